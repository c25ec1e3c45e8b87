//! DeleteTopics (20): topics go, with everything in them.
//!
//! Serves v0–6: v1 throttle time · v4 flexible · v5 messages · v6 by id or by name (KIP-516). A topic created later
//! under the same name is another one. Topics that this server keeps for itself stay.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::engine::{Catalog, Change};
use crate::ids::StreamId;
use crate::kafka::access::{Access, CLUSTER, topic};
use crate::kafka::cx::{self, Call, Cx};
use crate::kafka::error::{Code, Refusal};
use crate::kafka::wire::Uuid;
use crate::kafka::wire::messages::delete_topics::{
    DeletableTopicResult, DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse,
};

pub struct DeleteTopics;

/// From here on a client knows the error that says to come back later.
const THROTTLES_FROM: i16 = 5;

impl Api for DeleteTopics {
    type Request = DeleteTopicsRequest;
    type Response = DeleteTopicsResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: DeleteTopicsRequest) -> Answer<DeleteTopicsResponse> {
        let catalog = cx.engine.catalog();
        let access = match cx.access(&call) {
            access if access.may(Action::Delete, CLUSTER) => Access::open(),
            access => access,
        };
        let asked: Vec<DeleteTopicState> = match call.version >= 6 {
            true => request.topics,
            false => {
                let by_name = |name| DeleteTopicState { name: Some(name), topic_id: Uuid::ZERO };
                request.topic_names.into_iter().map(by_name).collect()
            }
        };
        let mut quota =
            cx.quotas.mutations(&cx.overrides, &call, call.version >= THROTTLES_FROM, cx.engine.clock().now());
        let mut responses = Vec::with_capacity(asked.len());
        let mut found: BTreeMap<StreamId, Vec<DeleteTopicState>> = BTreeMap::new();
        for topic in asked {
            match find(&access, &catalog, &topic) {
                Ok(id) => found.entry(id).or_default().push(topic),
                Err(refusal) => responses.push(refused(named(&access, &catalog, topic), refusal)),
            }
        }
        // A topic that is named twice, by name, by id or by both, is not deleted, and is answered once.
        let ids: Vec<StreamId> = found
            .into_iter()
            .filter_map(|(id, mut named)| {
                let topic = named.pop()?;
                if named.is_empty() {
                    let partitions = catalog.stream_by_id(id).map_or(0, |stream| stream.logs.len());
                    return match quota.record(partitions) {
                        Ok(()) => Some(id),
                        Err(refusal) => {
                            responses.push(refused(topic, refusal));
                            None
                        }
                    };
                }
                responses.push(refused(topic, Refusal::new(Code::InvalidRequest, "Duplicate topic name or id.")));
                None
            })
            .collect();
        if !ids.is_empty() {
            let changes = ids.iter().map(|id| Change::Delete { id: *id }).collect();
            let changed = super::within(request.timeout_ms, cx.engine.change(changes)).await;
            for (at, id) in ids.into_iter().enumerate() {
                let outcome = match changed.as_ref().map(|changed| changed.get(at)) {
                    Some(Some(Ok(_))) => Ok(()),
                    Some(Some(Err(error))) => Err(Refusal::from(error)),
                    Some(None) => Err(Refusal::new(Code::UnknownServerError, "the change was not answered")),
                    None => Err(Refusal::new(Code::RequestTimedOut, super::LATE)),
                };
                let name = catalog.stream_by_id(id).map(|stream| stream.name.to_string());
                let topic = DeleteTopicState { name, topic_id: Uuid(id.0) };
                responses.push(match outcome {
                    Ok(()) => DeletableTopicResult { name: topic.name, topic_id: topic.topic_id, ..Default::default() },
                    Err(refusal) => refused(topic, refusal),
                });
            }
        }
        Answer::Now(DeleteTopicsResponse { throttle_time_ms: quota.throttle_ms(), responses })
    }
}

fn find(access: &Access, catalog: &Catalog, asked: &DeleteTopicState) -> Result<StreamId, Refusal> {
    let stream = match (&asked.name, asked.topic_id.is_zero()) {
        (Some(_), false) => {
            return Err(Refusal::new(Code::InvalidRequest, "You may not specify both topic name and topic id."));
        }
        (None, true) => {
            return Err(Refusal::new(Code::InvalidRequest, "Neither topic name nor id were specified."));
        }
        (Some(name), true) => {
            // Who may not even see it is not told whether it is there.
            access.check_in_words(Action::Describe, topic(name))?;
            cx::topic(catalog, name).ok_or_else(|| {
                Refusal::new(Code::UnknownTopicOrPartition, "This server does not host this topic-partition.")
            })?
        }
        (None, false) => cx::topic_by_id(catalog, asked.topic_id)
            .ok_or_else(|| Refusal::new(Code::UnknownTopicId, "This server does not host this topic ID."))?,
    };
    access.check_in_words(Action::Delete, topic(&stream.name))?;
    if cx::is_internal(stream) {
        let why = format!("Topic '{}' is kept by this server for itself.", stream.name);
        return Err(Refusal::new(Code::InvalidRequest, why));
    }
    Ok(stream.id)
}

/// With the name of what was asked for by id, for who may see it and not delete it.
fn named(access: &Access, catalog: &Catalog, asked: DeleteTopicState) -> DeleteTopicState {
    let stream = cx::permitted_by_id(access, Action::Describe, catalog, asked.topic_id);
    let name = stream.ok().map(|stream| stream.name.to_string());
    DeleteTopicState { name: asked.name.or(name), ..asked }
}

fn refused(topic: DeleteTopicState, refusal: Refusal) -> DeletableTopicResult {
    DeletableTopicResult {
        // Up to version 5 a name is always there.
        name: topic.name,
        topic_id: topic.topic_id,
        error_code: refusal.code.wire(),
        error_message: refusal.words(),
    }
}
