//! AlterClientQuotas (49): quotas of users, client ids and addresses are set and taken back, each entity by itself.
//!
//! Serves v0–1: v1 flexible (KIP-546). They are in force as soon as this is answered. An address is written as one: names
//! of hosts are not looked up.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::describe_client_quotas::{CLIENT_ID, IP, USER};
use super::{Answer, Api};
use crate::auth::Action;
use crate::kafka::access;
use crate::kafka::cx::{Call, Cx};
use crate::kafka::error::{Code, Refusal};
use crate::kafka::overrides::{Clients, Command, Name, Thing};
use crate::kafka::quota::limits::{CONNECTIONS, Kind};
use crate::kafka::wire::messages::alter_client_quotas::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, EntityData, EntryData, OpData, ResponseEntryData,
};

pub struct AlterClientQuotas;

impl Api for AlterClientQuotas {
    type Request = AlterClientQuotasRequest;
    type Response = AlterClientQuotasResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: AlterClientQuotasRequest) -> Answer<AlterClientQuotasResponse> {
        let may = cx.access(&call).check_in_words(Action::AlterConfigs, access::CLUSTER);
        let mut changes: Vec<(Thing, BTreeMap<String, Option<String>>)> = Vec::new();
        let mut entries = Vec::with_capacity(request.entries.len());
        for entry in request.entries {
            let outcome = match may.clone().and_then(|()| plan(&entry)) {
                Ok((clients, _)) if changes.iter().any(|(thing, _)| *thing == Thing::Clients(clients.clone())) => Err(
                    Refusal::new(Code::InvalidRequest, format!("Ignoring duplicate entity {}", shown(&entry.entity))),
                ),
                Ok((clients, set)) => {
                    changes.push((Thing::Clients(clients), set));
                    Ok(())
                }
                Err(refusal) => Err(refusal),
            };
            entries.push((entry.entity, outcome));
        }
        if !request.validate_only
            && !changes.is_empty()
            && let Err(refusal) = cx.overrides.change(&cx.engine, Command(changes)).await
        {
            for (_, outcome) in entries.iter_mut().filter(|(_, outcome)| outcome.is_ok()) {
                *outcome = Err(refusal.clone());
            }
        }
        let entries = entries.into_iter().map(|(entity, outcome)| match outcome {
            Ok(()) => ResponseEntryData { error_code: Code::None.wire(), error_message: None, entity },
            Err(Refusal { code, message }) => {
                ResponseEntryData { error_code: code.wire(), error_message: Some(message), entity }
            }
        });
        Answer::Now(AlterClientQuotasResponse { entries: entries.collect(), ..Default::default() })
    }
}

type Plan = (Clients, BTreeMap<String, Option<String>>);

fn plan(entry: &EntryData) -> Result<Plan, Refusal> {
    let invalid = |why: String| Refusal::new(Code::InvalidRequest, why);
    let mut set = BTreeMap::new();
    for op in &entry.ops {
        if set.contains_key(&op.key) {
            let whose = shown(&entry.entity);
            return Err(invalid(format!("Duplicate quota key {} not updating quota for this entity {whose}", op.key)));
        }
        set.insert(op.key.clone(), (!op.remove).then(|| op.value.to_string()));
    }
    let clients = clients(&entry.entity).map_err(invalid)?;
    for op in entry.ops.iter().filter(|op| !op.remove) {
        check(op, clients.address.is_some()).map_err(invalid)?;
    }
    Ok((clients, set))
}

fn clients(entity: &[EntityData]) -> Result<Clients, String> {
    let mut clients = Clients::default();
    for EntityData { entity_type, entity_name } in entity {
        let place = match entity_type.as_str() {
            USER => &mut clients.user,
            CLIENT_ID => &mut clients.client,
            IP => &mut clients.address,
            other => return Err(format!("Unhandled client quota entity type: {other}")),
        };
        if place.is_some() {
            return Err(format!("Invalid client quota entity, duplicate entity entry {entity_type}"));
        }
        *place = Some(match entity_name {
            None => Name::Default,
            Some(name) if name.is_empty() => return Err(format!("Empty {entity_type} not supported")),
            Some(name) => Name::Is(name.clone()),
        });
    }
    match &clients {
        Clients { user: None, client: None, address: None } => Err("Invalid empty client quota entity".into()),
        Clients { user: None, client: None, address: Some(Name::Is(text)) } if text.parse::<IpAddr>().is_err() => {
            Err(format!("{text} is not a valid IP or resolvable host."))
        }
        Clients { user: None, client: None, .. } | Clients { address: None, .. } => Ok(clients),
        Clients { .. } => {
            // The missing space is Kafka's.
            Err("Invalid quota entity combination, IP entity shouldnot be combined with User or ClientId".into())
        }
    }
}

/// Whether a quota can have this value.
fn check(op: &OpData, of_address: bool) -> Result<(), String> {
    let (key, value) = (op.key.as_str(), op.value);
    // The largest value, its type, and whether parts of one are fine.
    let (most, kind) = match key {
        _ if of_address && key == CONNECTIONS => (f64::from(i32::MAX), Some("an INT")),
        _ if of_address => return Err(format!("Invalid configuration key {key}")),
        _ if key == Kind::Produce.key() || key == Kind::Fetch.key() => (i64::MAX as f64, Some("a LONG")),
        _ if key == Kind::Request.key() || key == Kind::Mutation.key() => (f64::INFINITY, None),
        _ => return Err(format!("Invalid configuration key {key}")),
    };
    if value.is_nan() || value <= 0.0 {
        return Err(format!("Quota {key} must be greater than 0"));
    }
    let Some(kind) = kind else { return Ok(()) };
    if value > most {
        return Err(format!("Proposed value for {key} is too large for {kind}."));
    }
    if value % 1.0 > 1e-6 {
        return Err(format!("{key} cannot be a fractional value."));
    }
    Ok(())
}

/// An entity as Kafka's messages show it.
fn shown(entity: &[EntityData]) -> String {
    let parts = entity.iter().map(|EntityData { entity_type, entity_name }| {
        format!("{entity_type}={}", entity_name.as_deref().unwrap_or("null"))
    });
    format!("ClientQuotaEntity(entries={{{}}})", parts.collect::<Vec<_>>().join(", "))
}
