//! CreateTopics (19): new topics, each with its own answer.
//!
//! Serves v0–7: v1 validate only, messages · v2 throttle time · v4 broker defaults by -1 (KIP-464) · v5 flexible,
//! settings in the answer (KIP-525) · v7 topic ids. One broker: a replication factor of 1 or -1, and assignments to
//! this node alone. Never changes a topic that exists.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::engine::catalog::{Born, Create, Kind};
use crate::engine::{Catalog, Change, Changed, Error};
use crate::kafka::access::{self, Access, CLUSTER};
use crate::kafka::cx::{self, Call, Cx};
use crate::kafka::error::{Code, Refusal};
use crate::kafka::settings;
use crate::kafka::wire::Uuid;
use crate::kafka::wire::messages::create_topics::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest,
    CreateTopicsResponse,
};

pub struct CreateTopics;

/// From here on a client knows the error that says to come back later.
const THROTTLES_FROM: i16 = 6;

impl Api for CreateTopics {
    type Request = CreateTopicsRequest;
    type Response = CreateTopicsResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: CreateTopicsRequest) -> Answer<CreateTopicsResponse> {
        let catalog = cx.engine.catalog();
        let access = cx.access(&call);
        let may_all = access.may(Action::Create, CLUSTER);
        let twice = named_twice(request.topics.iter().map(|topic| topic.name.as_str()));
        let mut results = Vec::with_capacity(request.topics.len());
        let mut creates = Vec::new();
        // Of a name that stands here twice nothing is created; it is answered once.
        for name in &twice {
            let refusal = Refusal::new(Code::InvalidRequest, "Duplicate topic name.");
            results.push(refused(name.clone(), refusal));
        }
        let mut quota =
            cx.quotas.mutations(&cx.overrides, &call, call.version >= THROTTLES_FROM, cx.engine.clock().now());
        let mut left = cx.options.max_logs_per_request;
        let mut claimed = BTreeSet::new();
        for topic in request.topics.into_iter().filter(|topic| !twice.contains(&topic.name)) {
            let may = may_all || access.may(Action::Create, access::topic(&topic.name));
            if !may {
                results
                    .push(refused(topic.name, Refusal::new(Code::TopicAuthorizationFailed, "Authorization failed.")));
                continue;
            }
            let plan = plan(&cx, &catalog, &topic, &mut left, &mut claimed);
            match plan.and_then(|create| quota.record(create.logs as usize).map(|()| create)) {
                Ok(create) => creates.push(create),
                Err(refusal) => results.push(refused(topic.name, refusal)),
            }
        }
        if request.validate_only {
            for create in creates {
                results.push(match catalog.check(&Change::Create(create.clone())) {
                    Ok(()) => created(&cx, &access, &create, Uuid::ZERO),
                    Err(error) => refused(create.name, explain(&error)),
                });
            }
        } else if !creates.is_empty() {
            let changes = creates.iter().cloned().map(Change::Create).collect();
            let changed = super::within(request.timeout_ms, cx.engine.change(changes)).await;
            for (at, create) in creates.into_iter().enumerate() {
                results.push(match changed.as_ref().map(|changed| changed.get(at)) {
                    Some(Some(Ok(Changed::Created(stream)))) => created(&cx, &access, &create, Uuid(stream.id.0)),
                    Some(Some(Err(error))) => refused(create.name, explain(error)),
                    Some(Some(Ok(_)) | None) => {
                        refused(create.name, Refusal::new(Code::UnknownServerError, "the change was not answered"))
                    }
                    None => refused(create.name, Refusal::new(Code::RequestTimedOut, super::LATE)),
                });
            }
        }
        Answer::Now(CreateTopicsResponse { throttle_time_ms: quota.throttle_ms(), topics: results })
    }
}

/// The names that occur more than once.
pub(super) fn named_twice<'a>(names: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let (mut once, mut twice) = (BTreeSet::new(), BTreeSet::new());
    for name in names {
        if !once.insert(name) {
            twice.insert(name.to_owned());
        }
    }
    twice
}

/// What is to be created, or why not.
fn plan(
    cx: &Cx,
    catalog: &Catalog,
    topic: &CreatableTopic,
    left: &mut usize,
    claimed: &mut BTreeSet<String>,
) -> Result<Create, Refusal> {
    if let Some(problem) = cx::name_problem(&topic.name) {
        return Err(Refusal::new(Code::InvalidTopicException, problem));
    }
    if catalog.stream(&topic.name).is_some() {
        return Err(exists(&topic.name));
    }
    let folded = topic.name.replace('.', "_");
    if let Some(other) = cx::collision(catalog, &topic.name) {
        let why =
            format!("Topic '{}' collides with existing topic '{}': '.' and '_' count as one.", topic.name, other.name);
        return Err(Refusal::new(Code::InvalidTopicException, why));
    }
    if !claimed.insert(folded) {
        let why =
            format!("Topic '{}' collides with another one in this request: '.' and '_' count as one.", topic.name);
        return Err(Refusal::new(Code::InvalidTopicException, why));
    }
    let logs = if topic.assignments.is_empty() { counted(cx, topic)? } else { assigned(cx, topic)? };
    *left = left.checked_sub(logs as usize).ok_or_else(|| {
        let limit = cx.options.max_logs_per_request;
        Refusal::new(Code::PolicyViolation, format!("One request may create at most {limit} partitions."))
    })?;
    let mut set = BTreeMap::new();
    for config in &topic.configs {
        let Some(value) = &config.value else {
            let why = format!("Null value not supported for topic configs: {}", config.name);
            return Err(Refusal::new(Code::InvalidConfig, why));
        };
        set.insert(config.name.clone(), value.clone());
    }
    settings::check_topic(cx, &set)?;
    Ok(Create {
        name: topic.name.clone(),
        born: Born::Kafka,
        kind: Kind::Client,
        logs,
        settings: set,
        placement: None,
        creating_ms: 0,
    })
}

/// The number of logs where the request counts them.
fn counted(cx: &Cx, topic: &CreatableTopic) -> Result<u32, Refusal> {
    match topic.replication_factor {
        -1 | 1 => {}
        factor if factor < 1 => {
            let why = "Replication factor must be larger than 0, or -1 to use the default value.";
            return Err(Refusal::new(Code::InvalidReplicationFactor, why));
        }
        factor => {
            let why = format!(
                "Unable to replicate the partition {factor} time(s): the target replication factor of {factor} cannot be \
                 reached because only 1 broker(s) are registered."
            );
            return Err(Refusal::new(Code::InvalidReplicationFactor, why));
        }
    }
    match topic.num_partitions {
        -1 => Ok(cx.options.logs_of_a_new_stream),
        count => u32::try_from(count).ok().filter(|count| *count > 0).ok_or_else(|| {
            let why = "Number of partitions was set to an invalid non-positive value.";
            Refusal::new(Code::InvalidPartitions, why)
        }),
    }
}

/// The number of logs where the request says who holds each: only this node may.
fn assigned(cx: &Cx, topic: &CreatableTopic) -> Result<u32, Refusal> {
    if topic.replication_factor != -1 {
        let why = "A manual partition assignment was specified, but replication factor was not set to -1.";
        return Err(Refusal::new(Code::InvalidRequest, why));
    }
    if topic.num_partitions != -1 {
        let why = "A manual partition assignment was specified, but numPartitions was not set to -1.";
        return Err(Refusal::new(Code::InvalidRequest, why));
    }
    let wrong = |why: String| Refusal::new(Code::InvalidReplicaAssignment, why);
    let mut seen = BTreeSet::new();
    for CreatableReplicaAssignment { partition_index, broker_ids } in &topic.assignments {
        if !seen.insert(*partition_index) {
            return Err(wrong(format!("Found multiple manual partition assignments for partition {partition_index}")));
        }
        check_replicas(cx, broker_ids).map_err(wrong)?;
    }
    let count = topic.assignments.len() as i32;
    match seen.into_iter().eq(0..count) {
        true => Ok(count as u32),
        false => Err(wrong("partitions should be a consecutive 0-based integer sequence".into())),
    }
}

/// Whether the replicas named for one partition can be had: this node, once.
pub(super) fn check_replicas(cx: &Cx, broker_ids: &[i32]) -> Result<(), String> {
    let node = cx.options.node_id;
    match broker_ids {
        [] => Err("The manual partition assignment includes an empty replica list.".into()),
        [id] if *id == node => Ok(()),
        ids if ids.iter().all(|id| *id == node) => {
            Err(format!("The manual partition assignment includes the broker {node} more than once."))
        }
        ids => {
            let stranger = ids.iter().find(|id| **id != node).copied().unwrap_or(node);
            Err(format!(
                "The manual partition assignment includes broker {stranger}, but no such broker is registered."
            ))
        }
    }
}

fn exists(name: &str) -> Refusal {
    Refusal::new(Code::TopicAlreadyExists, format!("Topic '{name}' already exists."))
}

/// What the catalog says, in the words of this request.
fn explain(error: &Error) -> Refusal {
    match error {
        Error::Invalid(why) => Refusal::new(Code::InvalidConfig, why.clone()),
        other => Refusal::from(other),
    }
}

fn created(cx: &Cx, access: &Access, create: &Create, topic_id: Uuid) -> CreatableTopicResult {
    if let Err(code) = access.check(Action::DescribeConfigs, access::topic(&create.name)) {
        return CreatableTopicResult {
            name: create.name.clone(),
            topic_id,
            topic_config_error_code: code.wire(),
            configs: Some(Vec::new()),
            ..Default::default()
        };
    }
    let configs = settings::of_topic(cx, &create.settings).into_iter().map(|described| CreatableTopicConfigs {
        name: described.what.name().to_owned(),
        value: described.value,
        read_only: false,
        config_source: described.source.wire(),
        is_sensitive: false,
    });
    CreatableTopicResult {
        name: create.name.clone(),
        topic_id,
        num_partitions: create.logs as i32,
        replication_factor: 1,
        configs: Some(configs.collect()),
        error_message: None,
        ..Default::default()
    }
}

fn refused(name: String, refusal: Refusal) -> CreatableTopicResult {
    CreatableTopicResult {
        name,
        error_code: refusal.code.wire(),
        error_message: refusal.words(),
        configs: Some(Vec::new()),
        ..Default::default()
    }
}
