//! CreateStream: a stream of as many shards as asked for, each owning an even part of the keys. Answers when it is durable.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::show::{BATCH_SPARE_BYTES, MODE_KEY};
use crate::aws::door::{Answer, Call};
use crate::aws::json::{Args, Kind, Member, Rule};
use crate::engine::Change;
use crate::engine::catalog::{self, Born, Create};
use crate::kinesis::target::{NAME_PATTERN, Target};
use crate::kinesis::validate::{self, is_name};
use crate::kinesis::{BORN_RETENTION_MS, Kinesis, RETENTION_KEY, error};

/// Shards of an on-demand stream when it begins.
const ON_DEMAND_SHARDS: i64 = 4;
const DEFAULT_RECORD_KIB: i64 = 1024;

const SHAPE: &[Member] = &[
    Member {
        name: "StreamName",
        kind: Kind::Text,
        rules: &[Rule::NotNull, Rule::Pattern(NAME_PATTERN, is_name), Rule::MinLength(1), Rule::MaxLength(128)],
    },
    Member { name: "ShardCount", kind: Kind::Integer, rules: &[Rule::Min(1), Rule::Max(100_000)] },
    Member {
        name: "StreamModeDetails",
        kind: Kind::Structure(&[Member {
            name: "StreamMode",
            kind: Kind::Text,
            rules: &[Rule::NotNull, Rule::OneOf(&["PROVISIONED", "ON_DEMAND"])],
        }]),
        rules: &[],
    },
    Member {
        name: "Tags",
        kind: Kind::Map(&Member { name: "member", kind: Kind::Text, rules: &[Rule::MaxLength(256)] }),
        rules: &[Rule::MinLength(1), Rule::MaxLength(200)],
    },
    Member { name: "WarmThroughputMiBps", kind: Kind::Integer, rules: &[Rule::Min(0)] },
    Member { name: "MaxRecordSizeInKiB", kind: Kind::Integer, rules: &[Rule::Min(1024), Rule::Max(10_240)] },
    Member {
        name: "RecordDistributionStrategy",
        kind: Kind::Text,
        rules: &[Rule::OneOf(&["AUTO", "USER_PARTITION_KEY"])],
    },
];

pub async fn handle(kinesis: &Kinesis, call: &Call) -> Answer {
    let args = Args::read(&call.body.bytes, SHAPE)?;
    validate::check(&args)?;
    let target = Target::named(args.text("StreamName").unwrap_or_default(), &call.caller);
    let mode = args.inner("StreamModeDetails");
    let mode = mode.as_ref().and_then(|details| details.text("StreamMode")).unwrap_or("PROVISIONED");
    let shards = match (mode, args.integer("ShardCount")) {
        ("ON_DEMAND", None) => ON_DEMAND_SHARDS,
        ("ON_DEMAND", Some(_)) => return Err(error::argument("ShardCount must not be set for ON_DEMAND streams.")),
        (_, Some(count)) => count,
        (_, None) => return Err(error::argument("ShardCount must be set for PROVISIONED streams.")),
    };
    if matches!(target.name.as_str(), "." | "..") {
        return Err(error::argument(format!(
            "StreamName {} is not supported: no Kafka client could name it.",
            target.name
        )));
    }
    // What cannot be kept is refused rather than forgotten.
    if !args.node("Tags").is_null() {
        return Err(error::argument("Tags are not supported by this server yet."));
    }
    if args.integer("WarmThroughputMiBps").is_some() {
        return Err(error::argument("WarmThroughputMiBps is not supported by this server yet."));
    }
    if args.text("RecordDistributionStrategy") == Some("AUTO") {
        return Err(error::argument("RecordDistributionStrategy AUTO is not supported by this server yet."));
    }
    let record_kib = args.integer("MaxRecordSizeInKiB").unwrap_or(DEFAULT_RECORD_KIB);
    let mut settings = BTreeMap::new();
    settings.insert(RETENTION_KEY.to_string(), BORN_RETENTION_MS.to_string());
    settings.insert("max.message.bytes".to_string(), (record_kib * 1024 + BATCH_SPARE_BYTES).to_string());
    if mode == "ON_DEMAND" {
        settings.insert(MODE_KEY.to_string(), mode.to_string());
    }
    let create = Change::Create(Create {
        name: target.name.clone(),
        born: Born::Kinesis,
        kind: catalog::Kind::Client,
        logs: u32::try_from(shards).unwrap_or(u32::MAX),
        settings,
        placement: None,
        creating_ms: kinesis.creating_ms,
    });
    match kinesis.engine.change(vec![create]).await.pop() {
        Some(Ok(_)) => Ok(Bytes::new()),
        Some(Err(refused)) => Err(error::engine(&refused, &target)),
        None => unreachable!("every change has its answer"),
    }
}
