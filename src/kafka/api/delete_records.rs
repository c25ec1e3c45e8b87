//! DeleteRecords (21): gives up everything below an offset.
//!
//! Serves v0–2: v2 flexible. -1 means the high watermark. A start never moves back: an offset below it changes nothing.
//! Refused where a topic is only compacted, and where it is this server's own.

use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::engine::catalog::Stream;
use crate::ids::Offset;
use crate::kafka::cx::{self, Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::wire::messages::delete_records::{
    DeleteRecordsPartitionResult, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopicResult,
};

pub struct DeleteRecords;

const HIGH_WATERMARK: i64 = -1;

impl Api for DeleteRecords {
    type Request = DeleteRecordsRequest;
    type Response = DeleteRecordsResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: DeleteRecordsRequest) -> Answer<DeleteRecordsResponse> {
        let catalog = cx.engine.catalog();
        let access = cx.access(&call);
        let mut topics = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            let stream = cx::permitted(&access, Action::Delete, &catalog, &topic.name);
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for asked in topic.partitions {
                let trim = trim(&cx, stream, asked.partition_index, asked.offset);
                let outcome = super::within(request.timeout_ms, trim).await.unwrap_or(Err(Code::RequestTimedOut));
                let (low_watermark, code) = match outcome {
                    Ok(start) => (start.0 as i64, Code::None),
                    Err(code) => (-1, code),
                };
                let partition_index = asked.partition_index;
                let error_code = code.wire();
                partitions.push(DeleteRecordsPartitionResult { partition_index, low_watermark, error_code });
            }
            topics.push(DeleteRecordsTopicResult { name: topic.name, partitions });
        }
        Answer::Now(DeleteRecordsResponse { topics, ..Default::default() })
    }
}

async fn trim(cx: &Cx, stream: Result<&Arc<Stream>, Code>, partition: i32, below: i64) -> Result<Offset, Code> {
    let stream = stream?;
    if cx::is_internal(stream) {
        return Err(Code::InvalidTopicException);
    }
    let number = u32::try_from(partition).map_err(|_| Code::UnknownTopicOrPartition)?;
    let log = stream.log(number).ok_or(Code::UnknownTopicOrPartition)?;
    if !cx.settings(stream).delete {
        return Err(Code::PolicyViolation);
    }
    let bounds = cx.engine.bounds(log).map_err(|error| Code::from(&error))?;
    let below = match below {
        HIGH_WATERMARK => bounds.end,
        below => match u64::try_from(below) {
            Ok(below) if below <= bounds.end.0 => Offset(below),
            _ => return Err(Code::OffsetOutOfRange),
        },
    };
    if below <= bounds.start {
        return Ok(bounds.start);
    }
    cx.engine.trim(log, below).await.map(|bounds| bounds.start).map_err(|error| Code::from(&error))
}
