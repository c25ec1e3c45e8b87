//! DescribeStream: a stream and its shards, a page at a time. A stream that is being created has no shards yet.

use super::show;
use crate::aws::door::{Answer, Call};
use crate::aws::json::{Args, Kind, Member, Rule};
use crate::aws::write::Out;
use crate::kinesis::sequence::shard_no;
use crate::kinesis::target::{SHARD_ID_RULES, STREAM_ARN, STREAM_NAME, State, Target};
use crate::kinesis::{Kinesis, error, validate};

/// Shards of one page: as many where nothing is asked for as at most.
const PAGE: usize = 100;

const SHAPE: &[Member] = &[
    STREAM_NAME,
    STREAM_ARN,
    Member { name: "Limit", kind: Kind::Integer, rules: &[Rule::Min(1), Rule::Max(10_000)] },
    Member { name: "ExclusiveStartShardId", kind: Kind::Text, rules: SHARD_ID_RULES },
];

pub async fn handle(kinesis: &Kinesis, call: &Call) -> Answer {
    let args = Args::read(&call.body.bytes, SHAPE)?;
    validate::check(&args)?;
    let target = Target::of(&args, &call.caller)?;
    let now = kinesis.engine.clock().now();
    let catalog = kinesis.engine.catalog();
    let stream = target.find(&catalog)?;
    let after = match args.text("ExclusiveStartShardId") {
        Some(id) => Some(shard_no(id).ok_or_else(|| error::shard_id_odd(&target, id))?),
        None => None,
    };
    let limit = args.integer("Limit").map_or(PAGE, |limit| (limit as usize).min(PAGE));
    let active = State::of(stream, now) == State::Active;
    let mut shards: Vec<_> =
        stream.shards.iter().filter(|shard| active && after.is_none_or(|after| shard.no > after)).collect();
    shards.sort_by_key(|shard| shard.no);
    let mut out = Out::default();
    out.begin();
    out.begin_in("StreamDescription");
    show::stream(&mut out, kinesis, stream, &target, now);
    out.list("Shards");
    for shard in shards.iter().take(limit) {
        show::shard(&mut out, shard);
    }
    out.end_list();
    out.boolean("HasMoreShards", shards.len() > limit);
    out.end();
    out.end();
    Ok(out.finish().into())
}
