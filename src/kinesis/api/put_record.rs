//! PutRecord: one record, durable when this is answered.

use super::put_records::{DATA_RULES, HASH_KEY_RULES, KEY_RULES, size_fits};
use crate::aws::door::{Answer, Call};
use crate::aws::json::{Args, Kind, Member, Node, Rule};
use crate::aws::write::Out;
use crate::kinesis::put::{Entry, hash_key, ordering_number_fits, single};
use crate::kinesis::target::{STREAM_ARN, STREAM_NAME, Target};
use crate::kinesis::validate::is_sequence_number;
use crate::kinesis::{Kinesis, error, validate};

const SHAPE: &[Member] = &[
    STREAM_NAME,
    STREAM_ARN,
    Member { name: "Data", kind: Kind::Blob, rules: DATA_RULES },
    Member { name: "PartitionKey", kind: Kind::Text, rules: KEY_RULES },
    Member { name: "ExplicitHashKey", kind: Kind::Text, rules: HASH_KEY_RULES },
    Member {
        name: "SequenceNumberForOrdering",
        kind: Kind::Text,
        rules: &[Rule::Pattern("0|([1-9]\\d{0,128})", is_sequence_number)],
    },
    Member { name: "DryRun", kind: Kind::Boolean, rules: &[] },
];

pub async fn handle(kinesis: &Kinesis, call: &Call) -> Answer {
    let args = Args::read(&call.body.bytes, SHAPE)?;
    validate::check(&args)?;
    let target = Target::of(&args, &call.caller)?;
    let now = kinesis.engine.clock().now();
    let catalog = kinesis.engine.catalog();
    let stream = target.find_active(&catalog, now)?;
    let data: &[u8] = match args.node("Data") {
        Node::Blob(bytes) => bytes,
        _ => &[],
    };
    let partition_key = args.text("PartitionKey").unwrap_or_default();
    let hash_key = args.text("ExplicitHashKey").map(hash_key).transpose()?;
    let entry = Entry { partition_key, hash_key, data };
    size_fits(&entry, kinesis.settings(stream).max_message_bytes, || "data".to_string())?;
    if let Some(number) = args.text("SequenceNumberForOrdering") {
        let end_of = |log| kinesis.engine.bounds(log).ok().map(|bounds| bounds.end);
        if !ordering_number_fits(number, stream, end_of, now) {
            return Err(error::ordering_number_invalid(&target, number));
        }
    }
    if args.boolean("DryRun") == Some(true) {
        return Err(error::dry_run());
    }
    let outcome = kinesis.put(&target, &[entry]).await?.pop();
    let Some(outcome) = outcome else { unreachable!("one entry has one outcome") };
    let (shard, number) = single(outcome)?;
    let mut out = Out::default();
    out.begin();
    out.text("ShardId", &shard);
    out.text("SequenceNumber", &number);
    out.end();
    Ok(out.finish().into())
}
