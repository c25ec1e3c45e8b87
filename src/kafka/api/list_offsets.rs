//! ListOffsets (2): the offset of a time, or of a place that has a name.
//!
//! Serves v0–11: v0 a list of offsets · v1 one offset with its time · v2 isolation level · v4 leader epochs · v6
//! flexible · v10 timeout. Times below zero are names:
//!
//! | time | means                               | from |
//! |-----:|-------------------------------------|-----:|
//! |   -1 | the end a reader may see            |    0 |
//! |   -2 | the start                           |    0 |
//! |   -3 | the record with the greatest time   |    7 |
//! |   -4 | the start of what is on local disk  |    8 |
//! |   -5 | the last record that was moved away |    9 |
//! |   -6 | the first one still to be moved     |   11 |
//!
//! There is one tier: -4 is the start, -5 and -6 exist nowhere. Never looks into records; the engine does.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::engine::{Bounds, Seek};
use crate::ids::{LogId, Timestamp};
use crate::kafka::cx::{self, Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::wire::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopicResponse,
};

pub struct ListOffsets;

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

const READ_COMMITTED: i8 = 1;

impl Api for ListOffsets {
    type Request = ListOffsetsRequest;
    type Response = ListOffsetsResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: ListOffsetsRequest) -> Answer<ListOffsetsResponse> {
        let committed = request.isolation_level == READ_COMMITTED;
        let twice = asked_twice(&request);
        let mut refused = BTreeSet::new();
        let catalog = cx.engine.catalog();
        let access = cx.access(&call);
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let stream = cx::permitted(&access, Action::Describe, &catalog, &topic.name);
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for asked in topic.partitions {
                let place = (topic.name.clone(), asked.partition_index);
                if twice.contains(&place) && stream != Err(Code::TopicAuthorizationFailed) {
                    if refused.insert(place) {
                        partitions.push(answer(call.version, asked.partition_index, Err(Code::InvalidRequest)));
                    }
                    continue;
                }
                let number = u32::try_from(asked.partition_index).ok();
                let found = match stream.map(|stream| number.and_then(|number| stream.log(number))) {
                    Ok(Some(log)) => find(&cx, log, &asked, call.version, committed).await,
                    Ok(None) => Err(Code::UnknownTopicOrPartition),
                    Err(code) => Err(code),
                };
                partitions.push(answer(call.version, asked.partition_index, found));
            }
            if !partitions.is_empty() {
                topics.push(ListOffsetsTopicResponse { name: topic.name, partitions });
            }
        }
        Answer::Now(ListOffsetsResponse { topics, ..Default::default() })
    }
}

/// Partitions that stand in the request more than once: as in Kafka, each is refused once and none of its questions is
/// answered.
fn asked_twice(request: &ListOffsetsRequest) -> BTreeSet<(String, i32)> {
    let (mut once, mut twice) = (BTreeSet::new(), BTreeSet::new());
    for topic in &request.topics {
        for asked in &topic.partitions {
            let place = (topic.name.clone(), asked.partition_index);
            if !once.insert(place.clone()) {
                twice.insert(place);
            }
        }
    }
    twice
}

/// What was found, by version.
enum Answered {
    /// Offset, time and epoch; -1 each where there is none.
    One { offset: i64, time: i64, epoch: i32 },
    /// Version 0: offsets, the greatest first.
    Many(Vec<i64>),
}

const NOTHING: Answered = Answered::One { offset: -1, time: -1, epoch: -1 };

async fn find(
    cx: &Cx,
    log: LogId,
    asked: &ListOffsetsPartition,
    version: i16,
    committed: bool,
) -> Result<Answered, Code> {
    let wire = |error| Code::from(&error);
    let current = cx.engine.epoch(log).map_err(wire)?;
    cx::check_epoch(asked.current_leader_epoch, current)?;
    let bounds = cx.engine.bounds(log).map_err(wire)?;
    let visible = if committed { bounds.committed } else { bounds.end };
    if version == 0 {
        return many(cx, log, asked, bounds).await.map(Answered::Many);
    }
    let seek = match asked.timestamp {
        LATEST => {
            return Ok(Answered::One { offset: visible.0 as i64, time: -1, epoch: current as i32 });
        }
        EARLIEST => Seek::Start,
        EARLIEST_LOCAL if version >= 8 => Seek::Start,
        MAX_TIMESTAMP if version >= 7 => Seek::MaxTime,
        LATEST_TIERED if version >= 9 => return Ok(NOTHING),
        EARLIEST_PENDING_UPLOAD if version >= 11 => return Ok(NOTHING),
        time if time >= 0 => Seek::Time(Timestamp(time)),
        // A name that this version, or any, does not have.
        _ => return Err(Code::UnsupportedVersion),
    };
    let found = cx.engine.seek(log, seek).await.map_err(wire)?;
    Ok(match found {
        // The start is a place even in an empty log.
        Some(found) if seek == Seek::Start => {
            Answered::One { offset: found.offset.0 as i64, time: -1, epoch: found.epoch as i32 }
        }
        None if seek == Seek::Start => Answered::One { offset: bounds.start.0 as i64, time: -1, epoch: current as i32 },
        Some(found) if found.offset < visible => {
            Answered::One { offset: found.offset.0 as i64, time: found.time.0, epoch: found.epoch as i32 }
        }
        Some(_) | None => NOTHING,
    })
}

/// Version 0 answered where segments begin, as far as their files are older than a time. No file of ours has a time that
/// means anything to a client, so we show the two ends, by the times of the records.
async fn many(cx: &Cx, log: LogId, asked: &ListOffsetsPartition, bounds: Bounds) -> Result<Vec<i64>, Code> {
    let (start, end) = (bounds.start.0 as i64, bounds.end.0 as i64);
    let mut offsets = match asked.timestamp {
        LATEST => vec![end, start],
        EARLIEST => vec![start],
        time if time >= 0 => {
            let found = cx.engine.seek(log, Seek::Time(Timestamp(time))).await.map_err(|error| Code::from(&error))?;
            if found.is_some() { vec![start] } else { vec![end, start] }
        }
        _ => return Err(Code::UnsupportedVersion),
    };
    offsets.dedup();
    offsets.truncate(usize::try_from(asked.max_num_offsets).unwrap_or(0));
    Ok(offsets)
}

fn answer(version: i16, partition_index: i32, found: Result<Answered, Code>) -> ListOffsetsPartitionResponse {
    let empty = ListOffsetsPartitionResponse { partition_index, ..Default::default() };
    match found {
        Err(code) => ListOffsetsPartitionResponse { error_code: code.wire(), ..empty },
        Ok(Answered::Many(old_style_offsets)) => ListOffsetsPartitionResponse { old_style_offsets, ..empty },
        Ok(Answered::One { offset, time, epoch }) => ListOffsetsPartitionResponse {
            offset,
            timestamp: time,
            leader_epoch: if version >= 4 { epoch } else { -1 },
            ..empty
        },
    }
}
