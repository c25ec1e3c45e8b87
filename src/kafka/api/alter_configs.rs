//! AlterConfigs (33): all settings of a resource, at once: what is not named goes back to its default. Superseded by
//! IncrementalAlterConfigs (44) and still sent by older clients.
//!
//! Serves v0–2: v2 flexible. Settings of topics, groups and client metrics can be altered, and of a broker
//! those that Kafka lets be altered while it runs.

use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::engine::Catalog;
use crate::kafka::access::Access;
use crate::kafka::cx::{Call, Cx};
use crate::kafka::error::{Code, Refusal};
use crate::kafka::overrides::Command;
use crate::kafka::settings::{self, Changes, Planned};
use crate::kafka::wire::messages::alter_configs::{
    AlterConfigsRequest, AlterConfigsResource, AlterConfigsResourceResponse, AlterConfigsResponse,
};

pub struct AlterConfigs;

impl Api for AlterConfigs {
    type Request = AlterConfigsRequest;
    type Response = AlterConfigsResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: AlterConfigsRequest) -> Answer<AlterConfigsResponse> {
        let catalog = cx.engine.catalog();
        let access = cx.access(&call);
        let names = request.resources.iter().map(|r| (r.resource_type, r.resource_name.clone())).collect();
        let plans = request.resources.iter().map(|resource| plan(&cx, &access, &catalog, resource)).collect();
        let outcomes = alter(&cx, &catalog, names, plans, request.validate_only).await;
        let responses = outcomes.into_iter().map(|((resource_type, resource_name), outcome)| {
            let (error_code, error_message) = wire(outcome);
            AlterConfigsResourceResponse { error_code, error_message, resource_type, resource_name }
        });
        Answer::Now(AlterConfigsResponse { responses: responses.collect(), ..Default::default() })
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
    let mut set: Changes = settings::standing(cx, &target).into_keys().map(|name| (name, None)).collect();
    for config in &resource.configs {
        let null = || Refusal::new(Code::InvalidConfig, format!("Null value not supported for : {}", config.name));
        set.insert(config.name.clone(), Some(config.value.clone().ok_or_else(null)?));
    }
    settings::change(cx, &target, set)
}

/// Type and name of a resource.
pub(super) type Resource = (i8, String);

/// Makes all planned changes with one call, or only asks whether they could be made.
pub(super) async fn alter(
    cx: &Cx,
    catalog: &Catalog,
    names: Vec<Resource>,
    plans: Vec<Result<Option<Planned>, Refusal>>,
    validate_only: bool,
) -> Vec<(Resource, Result<(), Refusal>)> {
    let mut outcomes = Vec::with_capacity(names.len());
    let (mut at, mut changes) = (Vec::new(), Vec::new());
    for (name, plan) in names.iter().zip(plans) {
        let twice = names.iter().filter(|other| *other == name).count() > 1;
        let outcome = match plan {
            _ if twice => Err(Refusal::new(Code::InvalidRequest, "Each resource must appear at most once.")),
            Ok(Some(Planned::Stream(change))) if validate_only => {
                catalog.check(&change).map_err(|error| Refusal::from(&error))
            }
            Ok(Some(Planned::Stream(change))) => {
                at.push(outcomes.len());
                changes.push(change);
                Ok(())
            }
            Ok(Some(Planned::Thing(..))) if validate_only => Ok(()),
            Ok(Some(Planned::Thing(thing, set))) => {
                let outcome = cx.overrides.change(&cx.engine, Command(vec![(thing, set)])).await;
                match outcome {
                    Ok(()) => {
                        cx.enforce().await.map_err(|code| Refusal::new(code, "It stands, and has no effect yet."))
                    }
                    Err(refusal) => Err(refusal),
                }
            }
            Ok(None) => Ok(()),
            Err(refusal) => Err(refusal),
        };
        outcomes.push((name.clone(), outcome));
    }
    if !changes.is_empty() {
        for (at, changed) in at.into_iter().zip(cx.engine.change(changes).await) {
            outcomes[at].1 = changed.map(drop).map_err(|error| Refusal::from(&error));
        }
    }
    outcomes
}

pub(super) fn wire(outcome: Result<(), Refusal>) -> (i16, Option<String>) {
    match outcome {
        Ok(()) => (Code::None.wire(), None),
        Err(Refusal { code, message }) => (code.wire(), Some(message)),
    }
}
