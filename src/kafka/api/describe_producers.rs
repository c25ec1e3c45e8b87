//! DescribeProducers (61): the producers that partitions remember, with their open transactions (KIP-664).
//!
//! Serves v0.

use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::engine::Writer;
use crate::kafka::access::Access;
use crate::kafka::cx::{self, Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::wire::messages::describe_producers::{
    DescribeProducersRequest, DescribeProducersResponse, PartitionResponse, ProducerState, TopicResponse,
};

pub struct DescribeProducers;

impl Api for DescribeProducers {
    type Request = DescribeProducersRequest;
    type Response = DescribeProducersResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: DescribeProducersRequest) -> Answer<DescribeProducersResponse> {
        let access = cx.access(&call);
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
            for index in topic.partition_indexes {
                partitions.push(match writers(&cx, &access, &topic.name, index).await {
                    Ok(writers) => PartitionResponse {
                        partition_index: index,
                        active_producers: writers.iter().map(state).collect(),
                        ..Default::default()
                    },
                    Err(code) => PartitionResponse {
                        partition_index: index,
                        error_code: code.wire(),
                        error_message: Some(code.to_string()),
                        ..Default::default()
                    },
                });
            }
            topics.push(TopicResponse { name: topic.name, partitions });
        }
        Answer::Now(DescribeProducersResponse { topics, ..Default::default() })
    }
}

async fn writers(cx: &Cx, access: &Access, topic: &str, index: i32) -> Result<Vec<Writer>, Code> {
    let catalog = cx.engine.catalog();
    let stream = cx::permitted(access, Action::Read, &catalog, topic).map_err(|code| match code {
        Code::UnknownTopicOrPartition if cx::name_problem(topic).is_some() => Code::InvalidTopicException,
        code => code,
    })?;
    let log = u32::try_from(index).ok().and_then(|number| stream.log(number)).ok_or(Code::UnknownTopicOrPartition)?;
    cx.engine.writers(log).await.map_err(|error| Code::from(&error))
}

fn state(writer: &Writer) -> ProducerState {
    let Writer { active, began } = writer;
    ProducerState {
        producer_id: active.id,
        producer_epoch: i32::from(active.epoch),
        last_sequence: active.last_sequence,
        last_timestamp: active.last_timestamp.0,
        coordinator_epoch: active.coordinator_epoch,
        current_txn_start_offset: began.map_or(-1, |offset| offset.0 as i64),
    }
}
