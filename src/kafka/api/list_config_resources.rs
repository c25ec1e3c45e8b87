//! ListConfigResources (74): what can have settings of its own. Version 0 is what ListClientMetricsResources was: client
//! metrics alone (KIP-714), version 1 everything (KIP-1142).
//!
//! Serves v0–1, both flexible.

use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::kafka::access::CLUSTER;
use crate::kafka::cx::{self, Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::overrides::Thing;
use crate::kafka::settings::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use crate::kafka::wire::messages::list_config_resources::{
    ConfigResource, ListConfigResourcesRequest, ListConfigResourcesResponse,
};

pub struct ListConfigResources;

/// In the order in which Kafka lists them.
const KINDS: &[i8] = &[GROUP, CLIENT_METRICS, BROKER_LOGGER, BROKER, TOPIC];

impl Api for ListConfigResources {
    type Request = ListConfigResourcesRequest;
    type Response = ListConfigResourcesResponse;

    async fn handle(
        cx: Arc<Cx>,
        call: Call,
        request: ListConfigResourcesRequest,
    ) -> Answer<ListConfigResourcesResponse> {
        if let Err(code) = cx.access(&call).check(Action::DescribeConfigs, CLUSTER) {
            return Answer::Now(ListConfigResourcesResponse { error_code: code.wire(), ..Default::default() });
        }
        let wanted = match call.version {
            0 => vec![CLIENT_METRICS],
            _ if request.resource_types.is_empty() => KINDS.to_vec(),
            _ => request.resource_types,
        };
        if !wanted.iter().all(|kind| KINDS.contains(kind)) {
            let error_code = Code::UnsupportedVersion.wire();
            return Answer::Now(ListConfigResourcesResponse { error_code, ..Default::default() });
        }
        let catalog = cx.engine.catalog();
        let standing = cx.overrides.standing();
        let mut config_resources = Vec::new();
        for kind in KINDS.iter().copied().filter(|kind| wanted.contains(kind)) {
            let names: Vec<String> = match kind {
                BROKER | BROKER_LOGGER => vec![cx.options.node_id.to_string()],
                TOPIC => cx::listed(&cx, &catalog).map(|stream| stream.name.to_string()).collect(),
                _ => standing.state.things.keys().filter_map(|thing| named(thing, kind)).collect(),
            };
            let of_kind = |resource_name| ConfigResource { resource_name, resource_type: kind };
            config_resources.extend(names.into_iter().map(of_kind));
        }
        Answer::Now(ListConfigResourcesResponse { config_resources, ..Default::default() })
    }
}

/// The name of a group or of client metrics that has settings.
fn named(thing: &Thing, kind: i8) -> Option<String> {
    match thing {
        Thing::Group(name) if kind == GROUP => Some(name.clone()),
        Thing::ClientMetrics(name) if kind == CLIENT_METRICS => Some(name.clone()),
        _ => None,
    }
}
