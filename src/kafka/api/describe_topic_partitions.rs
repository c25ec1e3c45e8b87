//! DescribeTopicPartitions (75): topics and partitions, page by page (KIP-966).
//!
//! Serves v0, flexible. Topics come sorted by name; a page ends after `response_partition_limit` partitions, at most
//! 2,000, and says where the next one begins. Never creates a topic.

use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::engine::Catalog;
use crate::kafka::access::{self, Access};
use crate::kafka::cx::{self, Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::wire::Uuid;
use crate::kafka::wire::messages::describe_topic_partitions::{
    Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse, DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
};

pub struct DescribeTopicPartitions;

/// Kafka's `max.request.partition.size.limit`.
const PAGE_LIMIT: usize = 2000;

impl Api for DescribeTopicPartitions {
    type Request = DescribeTopicPartitionsRequest;
    type Response = DescribeTopicPartitionsResponse;

    async fn handle(
        cx: Arc<Cx>,
        call: Call,
        request: DescribeTopicPartitionsRequest,
    ) -> Answer<DescribeTopicPartitionsResponse> {
        let catalog = cx.engine.catalog();
        let access = cx.access(&call);
        let asks_all = request.topics.is_empty();
        let mut names: Vec<String> = match asks_all {
            true => cx::listed(&cx, &catalog).map(|stream| stream.name.to_string()).collect(),
            false => request.topics.into_iter().map(|topic| topic.name).collect(),
        };
        names.sort();
        names.dedup();
        let (from_topic, from_partition) = match request.cursor {
            None => (String::new(), 0),
            Some(cursor) if cursor.partition_index < 0 => {
                let name = Some(cursor.topic_name);
                let error_code = Code::InvalidRequest.wire();
                let topic = DescribeTopicPartitionsResponseTopic { name, error_code, ..Default::default() };
                return Answer::Now(DescribeTopicPartitionsResponse { topics: vec![topic], ..Default::default() });
            }
            Some(cursor) => (cursor.topic_name, cursor.partition_index as usize),
        };
        names.retain(|name| *name >= from_topic);
        let (names, hidden) = access.split(Action::Describe, names, |name| access::topic(name));
        let limit = usize::try_from(request.response_partition_limit).unwrap_or(0).clamp(1, PAGE_LIMIT);
        let mut page = page(&cx, &access, &catalog, names, &from_topic, from_partition, limit);
        // Of those that are hidden nobody has looked whether they are there.
        page.topics.extend(hidden.into_iter().filter(|_| !asks_all).map(|name| DescribeTopicPartitionsResponseTopic {
            name: Some(name),
            error_code: Code::TopicAuthorizationFailed.wire(),
            ..Default::default()
        }));
        Answer::Now(page)
    }
}

fn page(
    cx: &Cx,
    access: &Access,
    catalog: &Catalog,
    names: Vec<String>,
    from_topic: &str,
    from_partition: usize,
    limit: usize,
) -> DescribeTopicPartitionsResponse {
    let mut response = DescribeTopicPartitionsResponse::default();
    let mut left = limit;
    for name in names {
        let first = if name == from_topic { from_partition } else { 0 };
        let Some(stream) = cx::topic(catalog, &name) else {
            let code = if cx::name_problem(&name).is_some() {
                Code::InvalidTopicException
            } else {
                Code::UnknownTopicOrPartition
            };
            let (error_code, name) = (code.wire(), Some(name));
            response.topics.push(DescribeTopicPartitionsResponseTopic { error_code, name, ..Default::default() });
            continue;
        };
        if left == 0 {
            response.next_cursor = Some(Cursor { topic_name: name, partition_index: first as i32 });
            break;
        }
        let end = stream.logs.len().min(first.saturating_add(left));
        let partitions: Vec<_> = (first.min(end)..end).map(|index| partition(cx, index, stream.logs[index])).collect();
        left -= partitions.len();
        response.topics.push(DescribeTopicPartitionsResponseTopic {
            name: Some(name.clone()),
            topic_id: Uuid(stream.id.0),
            is_internal: cx::is_internal(stream),
            partitions,
            topic_authorized_operations: access.operations(access::topic(&stream.name)),
            ..Default::default()
        });
        if end < stream.logs.len() {
            response.next_cursor = Some(Cursor { topic_name: name, partition_index: end as i32 });
            break;
        }
    }
    response
}

fn partition(cx: &Cx, index: usize, log: crate::ids::LogId) -> DescribeTopicPartitionsResponsePartition {
    let node = cx.options.node_id;
    DescribeTopicPartitionsResponsePartition {
        partition_index: index as i32,
        leader_id: node,
        leader_epoch: cx.engine.epoch(log).map_or(-1, |epoch| epoch as i32),
        replica_nodes: vec![node],
        isr_nodes: vec![node],
        // There are no other replicas that could be eligible.
        eligible_leader_replicas: Some(Vec::new()),
        last_known_elr: Some(Vec::new()),
        ..Default::default()
    }
}
