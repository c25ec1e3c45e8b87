//! How streams and shards are written in answers that hold them. Pure. A StreamId is never written: SDKs would send
//! every later request to an address of AWS.

use std::sync::Arc;

use crate::aws::write::Out;
use crate::engine::catalog::{Shard, Stream};
use crate::ids::{ShardNo, Timestamp};
use crate::kinesis::Kinesis;
use crate::kinesis::sequence::{SequenceNumber, shard_id};
use crate::kinesis::target::{State, Target};

/// The longest retention the service can express, said of streams that keep records for ever.
const RETENTION_LIMIT_HOURS: i64 = 8760;
const HOUR_MS: i64 = 3_600_000;
/// The stream setting that holds `PROVISIONED` or `ON_DEMAND`.
pub const MODE_KEY: &str = "interfluve.kinesis.mode";
/// Bytes of a batch that are not the data and key of its one record, with room to spare.
pub const BATCH_SPARE_BYTES: i64 = 64 * 1024;
/// The least and the greatest limit of a record, in KiB.
pub const RECORD_KIB: std::ops::RangeInclusive<i64> = 1024..=10_240;

/// `PROVISIONED` or `ON_DEMAND`.
pub fn mode(stream: &Stream) -> &str {
    stream.settings.get(MODE_KEY).map_or("PROVISIONED", |mode| mode)
}

/// Retention in whole hours, rounded up; what is kept for ever is kept as long as the service can say.
pub fn retention_hours(retention_ms: Option<i64>) -> i64 {
    match retention_ms {
        Some(ms) => (ms.max(0) as u64).div_ceil(HOUR_MS as u64).min(RETENTION_LIMIT_HOURS as u64) as i64,
        None => RETENTION_LIMIT_HOURS,
    }
}

/// The limit of a record of this stream, in KiB.
pub fn record_limit_kib(max_message_bytes: u32) -> i64 {
    ((i64::from(max_message_bytes) - BATCH_SPARE_BYTES) / 1024).clamp(*RECORD_KIB.start(), *RECORD_KIB.end())
}

/// What the two descriptions of a stream and its summary begin with.
pub fn stream(out: &mut Out, kinesis: &Kinesis, stream: &Arc<Stream>, target: &Target, now: Timestamp) {
    out.text("StreamName", &stream.name);
    out.text("StreamARN", &target.arn());
    out.text("StreamStatus", State::of(stream, now).name());
    out.begin_in("StreamModeDetails");
    out.text("StreamMode", mode(stream));
    out.end();
    out.integer("RetentionPeriodHours", retention_hours(kinesis.retention_ms(stream)));
    out.time_ms("StreamCreationTimestamp", stream.created.0);
    out.list("EnhancedMonitoring");
    out.begin();
    out.list("ShardLevelMetrics");
    out.end_list();
    out.end();
    out.end_list();
    out.text("EncryptionType", "NONE");
}

pub fn shard(out: &mut Out, shard: &Shard) {
    out.begin();
    out.text("ShardId", &shard_id(shard.no));
    let mut parents = shard.parents.iter();
    if let Some(parent) = parents.next() {
        out.text("ParentShardId", &shard_id(*parent));
    }
    if let Some(adjacent) = parents.next() {
        out.text("AdjacentParentShardId", &shard_id(*adjacent));
    }
    key_range(out, shard);
    out.begin_in("SequenceNumberRange");
    out.text("StartingSequenceNumber", &SequenceNumber::starting(shard).to_string());
    if shard.end.is_some() {
        out.text("EndingSequenceNumber", &SequenceNumber::ending(shard).to_string());
    }
    out.end();
    out.end();
}

fn key_range(out: &mut Out, shard: &Shard) {
    out.begin_in("HashKeyRange");
    out.text("StartingHashKey", &shard.first_key.to_string());
    out.text("EndingHashKey", &shard.last_key.to_string());
    out.end();
}

/// The children of a shard, under `ChildShards`.
pub fn children(out: &mut Out, stream: &Stream, parent: ShardNo) {
    out.list("ChildShards");
    for child in stream.shards.iter().filter(|shard| shard.parents.contains(&parent)) {
        out.begin();
        out.text("ShardId", &shard_id(child.no));
        out.list("ParentShards");
        for parent in &child.parents {
            out.item(&shard_id(*parent));
        }
        out.end_list();
        key_range(out, child);
        out.end();
    }
    out.end_list();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_is_rounded_up_to_hours() {
        let cases = [(Some(HOUR_MS), 1), (Some(HOUR_MS + 1), 2), (Some(86_400_000), 24), (Some(0), 0), (None, 8760)];
        for (ms, hours) in cases {
            assert_eq!(retention_hours(ms), hours);
        }
        assert_eq!(retention_hours(Some(i64::MAX)), 8760);
    }

    #[test]
    fn the_record_limit_stays_within_the_service_s() {
        let cases = [(1_048_588, 1024), (1_114_112, 1024), (100, 1024), (5 * 1024 * 1024 + 65_536, 5120)];
        for (bytes, kib) in cases {
            assert_eq!(record_limit_kib(bytes), kib);
        }
        assert_eq!(record_limit_kib(u32::MAX), 10_240);
    }
}
