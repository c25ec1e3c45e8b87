//! ListShards: the shards of a stream that a filter lets through, a page at a time. Never half a reshard: one picture of
//! the catalog answers one call.

use super::show;
use crate::aws::door::{Answer, Call};
use crate::aws::error::Failure;
use crate::aws::json::{Args, Kind, Member, Rule};
use crate::aws::write::Out;
use crate::engine::catalog::{Shard, Stream};
use crate::ids::{ShardNo, StreamId};
use crate::kinesis::iterator::{self, LIFE_MS, Refusal, Token};
use crate::kinesis::sequence::shard_no;
use crate::kinesis::target::{SHARD_ID_RULES, STREAM_ARN, STREAM_NAME, State, Target};
use crate::kinesis::{Kinesis, error, validate};

/// Shards of one page: as many where nothing is asked for as at most.
const PAGE: usize = 1000;

const FILTERS: &[&str] =
    &["AFTER_SHARD_ID", "AT_TRIM_HORIZON", "FROM_TRIM_HORIZON", "AT_LATEST", "AT_TIMESTAMP", "FROM_TIMESTAMP"];

const SHAPE: &[Member] = &[
    STREAM_NAME,
    STREAM_ARN,
    Member { name: "NextToken", kind: Kind::Text, rules: &[Rule::MinLength(1), Rule::MaxLength(1_048_576)] },
    Member { name: "ExclusiveStartShardId", kind: Kind::Text, rules: SHARD_ID_RULES },
    Member { name: "MaxResults", kind: Kind::Integer, rules: &[Rule::Min(1), Rule::Max(10_000)] },
    Member { name: "StreamCreationTimestamp", kind: Kind::Time, rules: &[] },
    Member {
        name: "ShardFilter",
        kind: Kind::Structure(&[
            Member { name: "Type", kind: Kind::Text, rules: &[Rule::NotNull, Rule::OneOf(FILTERS)] },
            Member { name: "ShardId", kind: Kind::Text, rules: SHARD_ID_RULES },
            Member { name: "Timestamp", kind: Kind::Time, rules: &[] },
        ]),
        rules: &[],
    },
];

/// Which shards are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filter {
    FromTrimHorizon,
    AtTrimHorizon,
    AtLatest,
    /// Seconds since the epoch.
    At(u32),
    From(u32),
}

impl Filter {
    /// The filter as a page token carries it.
    fn code(self) -> u64 {
        match self {
            Filter::FromTrimHorizon => 0,
            Filter::AtTrimHorizon => 1 << 32,
            Filter::AtLatest => 2 << 32,
            Filter::At(second) => 3 << 32 | u64::from(second),
            Filter::From(second) => 4 << 32 | u64::from(second),
        }
    }

    fn of_code(code: u64) -> Option<Filter> {
        let second = code as u32;
        match code >> 32 {
            0 => Some(Filter::FromTrimHorizon),
            1 => Some(Filter::AtTrimHorizon),
            2 => Some(Filter::AtLatest),
            3 => Some(Filter::At(second)),
            4 => Some(Filter::From(second)),
            _ => None,
        }
    }

    fn lets_through(self, shard: &Shard, stream: &Stream) -> bool {
        let open = shard.end.is_none();
        // A shard ended when its children began. (Creation seconds may run ahead of the clock by a few.)
        let ended = || stream.shards.iter().filter(|s| s.parents.contains(&shard.no)).map(|s| s.created_s).min();
        let lasted_to = |second: u32| open || ended().is_none_or(|ended| ended >= u64::from(second));
        match self {
            Filter::FromTrimHorizon => true,
            Filter::AtTrimHorizon => shard.parents.iter().all(|parent| stream.shard(*parent).is_none()),
            Filter::AtLatest => open,
            Filter::At(second) => shard.created_s <= u64::from(second) && lasted_to(second),
            Filter::From(second) => lasted_to(second),
        }
    }
}

/// What is asked for: a stream, a filter, and where the page begins.
struct Ask {
    target: Target,
    filter: Filter,
    first: u32,
    stream_id: Option<StreamId>,
}

fn ask(kinesis: &Kinesis, call: &Call, args: &Args<'_>) -> Result<Ask, Failure> {
    let now = kinesis.engine.clock().now();
    let named = args.text("StreamName").is_some() || args.text("StreamARN").is_some();
    if let Some(text) = args.text("NextToken") {
        if named {
            return Err(error::argument("NextToken and StreamName cannot be provided together."));
        }
        let token = match Token::open(text, iterator::Kind::Shards, &kinesis.key, now, LIFE_MS) {
            Ok(token) => token,
            Err(Refusal::Invalid) => return Err(error::token_invalid()),
            Err(Refusal::Expired { created }) => return Err(error::token_expired(created, now)),
        };
        let filter = Filter::of_code(token.position).ok_or_else(error::token_invalid)?;
        let target = Target::named(&token.name, &call.caller);
        return Ok(Ask { target, filter, first: token.shard.0, stream_id: Some(token.stream) });
    }
    if !named {
        return Err(error::argument("Either NextToken or StreamName should be provided."));
    }
    let target = Target::of(args, &call.caller)?;
    let mut first = 0;
    let mut after = |id: &str| -> Result<(), Failure> {
        let no = shard_no(id).ok_or_else(|| error::shard_id_odd(&target, id))?;
        first = first.max(no.0 + 1);
        Ok(())
    };
    if let Some(id) = args.text("ExclusiveStartShardId") {
        after(id)?;
    }
    let mut filter = Filter::FromTrimHorizon;
    if let Some(asked) = args.inner("ShardFilter") {
        let kind = asked.text("Type").unwrap_or_default();
        let second = || {
            let missing = || error::argument(format!("Timestamp must be specified for ShardFilter type {kind}."));
            let ms = asked.time_ms("Timestamp").ok_or_else(missing)?;
            if ms > now.0 {
                return Err(error::timestamp_in_future(ms, now));
            }
            Ok(u32::try_from(ms.max(0) / 1000).unwrap_or(u32::MAX))
        };
        filter = match kind {
            "AT_TRIM_HORIZON" => Filter::AtTrimHorizon,
            "AT_LATEST" => Filter::AtLatest,
            "AT_TIMESTAMP" => Filter::At(second()?),
            "FROM_TIMESTAMP" => Filter::From(second()?),
            "AFTER_SHARD_ID" => {
                let missing = || error::argument("ShardId must be specified for ShardFilter type AFTER_SHARD_ID.");
                after(asked.text("ShardId").ok_or_else(missing)?)?;
                Filter::FromTrimHorizon
            }
            _ => Filter::FromTrimHorizon,
        };
    }
    Ok(Ask { target, filter, first, stream_id: None })
}

pub async fn handle(kinesis: &Kinesis, call: &Call) -> Answer {
    let args = Args::read(&call.body.bytes, SHAPE)?;
    validate::check(&args)?;
    let Ask { target, filter, first, stream_id } = ask(kinesis, call, &args)?;
    let now = kinesis.engine.clock().now();
    let catalog = kinesis.engine.catalog();
    let stream = target.find(&catalog)?;
    if stream_id.is_some_and(|id| id != stream.id) {
        return Err(error::stream_missing(&target));
    }
    if let Some(created) = args.time_ms("StreamCreationTimestamp")
        && created / 1000 != stream.created.0 / 1000
    {
        return Err(error::stream_missing(&target));
    }
    let state = State::of(stream, now);
    if state != State::Active {
        return Err(error::stream_not_active(&target, state.name()));
    }
    let limit = args.integer("MaxResults").map_or(PAGE, |limit| (limit as usize).min(PAGE));
    let mut shards: Vec<&Shard> =
        stream.shards.iter().filter(|shard| shard.no.0 >= first && filter.lets_through(shard, stream)).collect();
    shards.sort_by_key(|shard| shard.no);
    let mut out = Out::default();
    out.begin();
    out.list("Shards");
    for shard in shards.iter().take(limit) {
        show::shard(&mut out, shard);
    }
    out.end_list();
    if let Some(next) = shards.get(limit) {
        let token = Token {
            kind: iterator::Kind::Shards,
            created: now,
            stream: stream.id,
            shard: ShardNo(next.no.0),
            position: filter.code(),
            name: target.name.clone(),
        };
        out.text("NextToken", &token.seal(&kinesis.key));
    }
    out.end();
    Ok(out.finish().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::catalog::{Born, Kind as StreamKind, Placement};
    use crate::ids::{LogId, Offset, Timestamp};
    use std::collections::BTreeMap;

    /// Shard 0 was split into 2 and 3 at second 200; shards 1 and 3 were merged into 4 at second 300.
    fn resharded() -> Stream {
        let shard = |no: u32, created_s: u64, end: Option<u64>, parents: &[u32]| Shard {
            no: ShardNo(no),
            log: 0,
            start: Offset(0),
            end: end.map(Offset),
            first_key: 0,
            last_key: 0,
            parents: parents.iter().map(|no| ShardNo(*no)).collect(),
            created_s,
        };
        Stream {
            id: StreamId(1),
            name: "s".into(),
            kind: StreamKind::Client,
            born: Born::Kinesis,
            created: Timestamp(100_000),
            active_from: Timestamp(100_000),
            logs: vec![LogId(1)],
            shards: vec![
                shard(0, 100, Some(9), &[]),
                shard(1, 100, Some(9), &[]),
                shard(2, 200, None, &[0]),
                shard(3, 200, Some(9), &[0]),
                shard(4, 300, None, &[1, 3]),
            ],
            placement: Placement::KeyRange,
            settings: BTreeMap::new(),
        }
    }

    #[test]
    fn filters_let_through_what_they_name() {
        let stream = resharded();
        let cases: [(Filter, &[u32]); 9] = [
            (Filter::FromTrimHorizon, &[0, 1, 2, 3, 4]),
            (Filter::AtTrimHorizon, &[0, 1]),
            (Filter::AtLatest, &[2, 4]),
            (Filter::At(99), &[]),
            (Filter::At(150), &[0, 1]),
            (Filter::At(250), &[1, 2, 3]),
            (Filter::At(350), &[2, 4]),
            (Filter::From(250), &[1, 2, 3, 4]),
            (Filter::From(350), &[2, 4]),
        ];
        for (filter, expected) in cases {
            let got: Vec<u32> =
                stream.shards.iter().filter(|s| filter.lets_through(s, &stream)).map(|s| s.no.0).collect();
            assert_eq!(got, expected, "{filter:?}");
            assert_eq!(Filter::of_code(filter.code()), Some(filter));
        }
    }
}
