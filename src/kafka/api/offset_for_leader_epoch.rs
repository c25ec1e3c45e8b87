//! OffsetForLeaderEpoch (23): where an epoch of a log ended (KIP-279, KIP-320).
//!
//! Serves v0–4: v1 epoch of the answer · v2 throttle time, the epoch the client believes in · v3 replica id · v4
//! flexible. An epoch older than the log remembers ends where the log begins; one from the future has no end (-1).

use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::engine::catalog::Stream;
use crate::ids::LogId;
use crate::kafka::access::{Access, CLUSTER};
use crate::kafka::cx::{self, Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::wire::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition,
    OffsetForLeaderTopicResult,
};

pub struct OffsetForLeaderEpoch;

impl Api for OffsetForLeaderEpoch {
    type Request = OffsetForLeaderEpochRequest;
    type Response = OffsetForLeaderEpochResponse;

    async fn handle(
        cx: Arc<Cx>,
        call: Call,
        request: OffsetForLeaderEpochRequest,
    ) -> Answer<OffsetForLeaderEpochResponse> {
        let catalog = cx.engine.catalog();
        // Brokers ask for everything.
        let access = match cx.access(&call) {
            access if access.may(Action::ClusterAction, CLUSTER) => Access::open(),
            access => access,
        };
        let topics = request.topics.into_iter().map(|topic| {
            let stream = cx::permitted(&access, Action::Describe, &catalog, &topic.topic);
            let answer = |asked: OffsetForLeaderPartition| {
                let log = |stream: &Arc<Stream>| {
                    let log = u32::try_from(asked.partition).ok().and_then(|number| stream.log(number));
                    log.ok_or(Code::UnknownTopicOrPartition)
                };
                let found = stream.and_then(log).and_then(|log| end_of_epoch(&cx, log, &asked));
                let (code, (leader_epoch, end_offset)) = match found {
                    Ok(end) => (Code::None, end),
                    Err(code) => (code, (-1, -1)),
                };
                EpochEndOffset { error_code: code.wire(), partition: asked.partition, leader_epoch, end_offset }
            };
            let partitions = topic.partitions.into_iter().map(answer).collect();
            OffsetForLeaderTopicResult { topic: topic.topic, partitions }
        });
        Answer::Now(OffsetForLeaderEpochResponse { topics: topics.collect(), ..Default::default() })
    }
}

fn end_of_epoch(cx: &Cx, log: LogId, asked: &OffsetForLeaderPartition) -> Result<(i32, i64), Code> {
    let current = cx.engine.epoch(log).map_err(|error| Code::from(&error))?;
    cx::check_epoch(asked.current_leader_epoch, current)?;
    let Ok(epoch) = u32::try_from(asked.leader_epoch) else { return Ok((-1, -1)) };
    match cx.engine.epoch_end(log, epoch).map_err(|error| Code::from(&error))? {
        Some((epoch, end)) => Ok((epoch as i32, end.0 as i64)),
        None if epoch > current => Ok((-1, -1)),
        None => {
            let bounds = cx.engine.bounds(log).map_err(|error| Code::from(&error))?;
            Ok((asked.leader_epoch, bounds.start.0 as i64))
        }
    }
}
