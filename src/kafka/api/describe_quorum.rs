//! DescribeQuorum (55): who keeps the cluster's metadata. This server alone does, in its catalog, which is described as
//! the one partition of `__cluster_metadata`, whose only voter and leader it is.
//!
//! Serves v0–2: v1 times (KIP-836) · v2 directories and addresses (KIP-853). All flexible.

use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::engine::catalog::CATALOG_LOG;
use crate::kafka::access::{CLUSTER, words};
use crate::kafka::cx::{Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::wire::messages::describe_quorum::{
    DescribeQuorumRequest, DescribeQuorumResponse, Listener, Node, PartitionData, ReplicaState, TopicData,
};

pub struct DescribeQuorum;

const TOPIC: &str = "__cluster_metadata";
const UNKNOWN: &str = "This server does not host this topic-partition.";

impl Api for DescribeQuorum {
    type Request = DescribeQuorumRequest;
    type Response = DescribeQuorumResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: DescribeQuorumRequest) -> Answer<DescribeQuorumResponse> {
        if let Err(code) = cx.access(&call).check(Action::Describe, CLUSTER) {
            let (error_code, error_message) = (code.wire(), Some(words(code).into()));
            return Answer::Now(DescribeQuorumResponse { error_code, error_message, ..Default::default() });
        }
        let only_ours = match request.topics.as_slice() {
            [topic] => topic.topic_name == TOPIC && topic.partitions.iter().map(|p| p.partition_index).eq([0]),
            _ => false,
        };
        if !only_ours {
            let topics = request.topics.into_iter().map(|topic| TopicData {
                topic_name: topic.topic_name,
                partitions: topic
                    .partitions
                    .into_iter()
                    .map(|partition| PartitionData {
                        partition_index: partition.partition_index,
                        error_code: Code::UnknownTopicOrPartition.wire(),
                        error_message: Some(UNKNOWN.into()),
                        ..Default::default()
                    })
                    .collect(),
            });
            return Answer::Now(DescribeQuorumResponse { topics: topics.collect(), ..Default::default() });
        }
        let node_id = cx.options.node_id;
        let now_ms = cx.engine.clock().now().0;
        let end = cx.engine.bounds(CATALOG_LOG).map_or(0, |bounds| bounds.end.0 as i64);
        let epoch = cx.engine.epoch(CATALOG_LOG).unwrap_or(0);
        let voter = ReplicaState {
            replica_id: node_id,
            log_end_offset: end,
            last_fetch_timestamp: now_ms,
            last_caught_up_timestamp: now_ms,
            ..Default::default()
        };
        let partition = PartitionData {
            leader_id: node_id,
            leader_epoch: i32::try_from(epoch).unwrap_or(i32::MAX),
            high_watermark: end,
            current_voters: vec![voter],
            ..Default::default()
        };
        let listener = Listener {
            name: call.conn.listener.to_string(),
            host: call.conn.advertised.host.clone(),
            port: call.conn.advertised.port,
        };
        Answer::Now(DescribeQuorumResponse {
            topics: vec![TopicData { topic_name: TOPIC.into(), partitions: vec![partition] }],
            nodes: if call.version >= 2 { vec![Node { node_id, listeners: vec![listener] }] } else { Vec::new() },
            ..Default::default()
        })
    }
}
