//! CreatePartitions (37): more partitions for topics that exist.
//!
//! Serves v0–3: v2 flexible · v3 throttling error. Never fewer partitions. Growing splits the widest open shards; what
//! is in the topic stays where it is.

use std::sync::Arc;

use super::create_topics::{check_replicas, named_twice};
use super::{Answer, Api};
use crate::auth::Action;
use crate::engine::{Catalog, Change};
use crate::kafka::access::{self, Access};
use crate::kafka::cx::{self, Call, Cx};
use crate::kafka::error::{Code, Refusal};
use crate::kafka::wire::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic, CreatePartitionsTopicResult,
};

pub struct CreatePartitions;

/// From here on a client knows the error that says to come back later.
const THROTTLES_FROM: i16 = 3;

impl Api for CreatePartitions {
    type Request = CreatePartitionsRequest;
    type Response = CreatePartitionsResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: CreatePartitionsRequest) -> Answer<CreatePartitionsResponse> {
        let catalog = cx.engine.catalog();
        let access = cx.access(&call);
        let twice = named_twice(request.topics.iter().map(|topic| topic.name.as_str()));
        let mut results = Vec::with_capacity(request.topics.len());
        for name in &twice {
            results.push(result(name.clone(), Err(Refusal::new(Code::InvalidRequest, "Duplicate topic name."))));
        }
        let mut quota =
            cx.quotas.mutations(&cx.overrides, &call, call.version >= THROTTLES_FROM, cx.engine.clock().now());
        let (mut names, mut changes) = (Vec::new(), Vec::new());
        for topic in request.topics.into_iter().filter(|topic| !twice.contains(&topic.name)) {
            match plan(&cx, &access, &catalog, &topic).and_then(|(change, more)| quota.record(more).map(|()| change)) {
                Ok(change) => {
                    names.push(topic.name);
                    changes.push(change);
                }
                Err(refusal) => results.push(result(topic.name, Err(refusal))),
            }
        }
        if request.validate_only {
            for (name, change) in names.into_iter().zip(changes) {
                results.push(result(name, catalog.check(&change).map_err(|error| Refusal::from(&error))));
            }
        } else if !changes.is_empty() {
            let changed = super::within(request.timeout_ms, cx.engine.change(changes)).await;
            for (at, name) in names.into_iter().enumerate() {
                let outcome = match changed.as_ref().map(|changed| changed.get(at)) {
                    Some(Some(Ok(_))) => Ok(()),
                    Some(Some(Err(error))) => Err(Refusal::from(error)),
                    Some(None) => Err(Refusal::new(Code::UnknownServerError, "the change was not answered")),
                    None => Err(Refusal::new(Code::RequestTimedOut, super::LATE)),
                };
                results.push(result(name, outcome));
            }
        }
        Answer::Now(CreatePartitionsResponse { throttle_time_ms: quota.throttle_ms(), results })
    }
}

/// The change, and how many partitions it makes.
fn plan(
    cx: &Cx,
    access: &Access,
    catalog: &Catalog,
    topic: &CreatePartitionsTopic,
) -> Result<(Change, usize), Refusal> {
    access.check_in_words(Action::Alter, access::topic(&topic.name))?;
    let unknown = || Refusal::new(Code::UnknownTopicOrPartition, format!("The topic '{}' does not exist.", topic.name));
    let stream = cx::topic(catalog, &topic.name).ok_or_else(unknown)?;
    if cx::is_internal(stream) {
        let why = format!("Topic '{}' is kept by this server for itself.", topic.name);
        return Err(Refusal::new(Code::InvalidRequest, why));
    }
    let now = stream.logs.len();
    let wrong = |why: String| Err(Refusal::new(Code::InvalidPartitions, why));
    let count = match u32::try_from(topic.count) {
        Ok(count) if count as usize == now => return wrong(format!("Topic already has {now} partition(s).")),
        Ok(count) if count as usize > now => count,
        _ => {
            return wrong(format!(
                "The topic {} currently has {now} partition(s); {} would not be an increase.",
                topic.name, topic.count
            ));
        }
    };
    let more = count as usize - now;
    if more > cx.options.max_logs_per_request {
        return wrong(format!("One request may add at most {} partitions.", cx.options.max_logs_per_request));
    }
    if let Some(assignments) = &topic.assignments {
        let wrong = |why: String| Refusal::new(Code::InvalidReplicaAssignment, why);
        if assignments.len() != more {
            return Err(wrong(format!(
                "Attempted to add {more} additional partition(s), but {} assignment(s) were specified.",
                assignments.len()
            )));
        }
        assignments.iter().try_for_each(|a| check_replicas(cx, &a.broker_ids).map_err(wrong))?;
    }
    Ok((Change::Grow { id: stream.id, logs: count }, more))
}

fn result(name: String, outcome: Result<(), Refusal>) -> CreatePartitionsTopicResult {
    match outcome {
        Ok(()) => CreatePartitionsTopicResult { name, ..Default::default() },
        Err(refusal) => {
            CreatePartitionsTopicResult { name, error_code: refusal.code.wire(), error_message: refusal.words() }
        }
    }
}
