//! IncrementalAlterConfigs (44): single settings, set, taken back, or a list's items added and removed (KIP-339).
//!
//! Serves v0–1: v1 flexible. Settings of topics, groups and client metrics can be altered, and of a broker those that Kafka
//! lets be altered while it runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::alter_configs::{alter, wire};
use super::{Answer, Api};
use crate::auth::Action;
use crate::engine::Catalog;
use crate::kafka::access::Access;
use crate::kafka::cx::{Call, Cx};
use crate::kafka::error::{Code, Refusal};
use crate::kafka::settings::{self, Planned, Target};
use crate::kafka::wire::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, AlterableConfig, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};

pub struct IncrementalAlterConfigs;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

impl Api for IncrementalAlterConfigs {
    type Request = IncrementalAlterConfigsRequest;
    type Response = IncrementalAlterConfigsResponse;

    async fn handle(
        cx: Arc<Cx>,
        call: Call,
        request: IncrementalAlterConfigsRequest,
    ) -> Answer<IncrementalAlterConfigsResponse> {
        let catalog = cx.engine.catalog();
        let access = cx.access(&call);
        let names = request.resources.iter().map(|r| (r.resource_type, r.resource_name.clone())).collect();
        let plans = request.resources.iter().map(|resource| plan(&cx, &access, &catalog, resource)).collect();
        let outcomes = alter(&cx, &catalog, names, plans, request.validate_only).await;
        let responses = outcomes.into_iter().map(|((resource_type, resource_name), outcome)| {
            let (error_code, error_message) = wire(outcome);
            AlterConfigsResourceResponse { error_code, error_message, resource_type, resource_name }
        });
        Answer::Now(IncrementalAlterConfigsResponse { responses: responses.collect(), ..Default::default() })
    }
}

fn plan(
    cx: &Cx,
    access: &Access,
    catalog: &Catalog,
    resource: &AlterConfigsResource,
) -> Result<Option<Planned>, Refusal> {
    settings::check_access(access, Action::AlterConfigs, resource.resource_type, &resource.resource_name)?;
    let target = settings::target(cx, catalog, resource.resource_type, &resource.resource_name)?;
    let mut set = BTreeMap::new();
    for config in &resource.configs {
        let value = operate(cx, &target, config)?;
        if set.insert(config.name.clone(), value).is_some() {
            let why = format!("Error due to duplicate config keys: {}", config.name);
            return Err(Refusal::new(Code::InvalidRequest, why));
        }
    }
    settings::change(cx, &target, set)
}

/// The value a setting is to have; `None`: its default.
fn operate(cx: &Cx, target: &Target<'_>, config: &AlterableConfig) -> Result<Option<String>, Refusal> {
    let value = || {
        let null = || Refusal::new(Code::InvalidRequest, format!("Null value not supported for : {}", config.name));
        config.value.clone().ok_or_else(null)
    };
    match config.config_operation {
        SET => value().map(Some),
        DELETE => Ok(None),
        operation @ (APPEND | SUBTRACT) => {
            settings::with_list(cx, target, &config.name, &value()?, operation == APPEND).map(Some)
        }
        other => Err(Refusal::new(Code::InvalidRequest, format!("Unknown operation {other}."))),
    }
}
