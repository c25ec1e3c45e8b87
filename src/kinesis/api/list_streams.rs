//! ListStreams: names, sorted, a page at a time. Streams of the other face are listed like any other, whatever the length
//! of their names; streams of our own never.

use super::show;
use crate::aws::door::{Answer, Call};
use crate::aws::json::{Args, Kind, Member, Rule};
use crate::aws::write::Out;
use crate::engine::catalog;
use crate::ids::{ShardNo, StreamId};
use crate::kinesis::iterator::{self, LIFE_MS, Refusal, Token};
use crate::kinesis::target::{NAME_PATTERN, State, arn};
use crate::kinesis::validate::is_name;
use crate::kinesis::{Kinesis, error, validate};

/// Names of one page: as many where nothing is asked for as at most.
const PAGE: usize = 100;

const SHAPE: &[Member] = &[
    Member { name: "Limit", kind: Kind::Integer, rules: &[Rule::Min(1), Rule::Max(10_000)] },
    Member {
        name: "ExclusiveStartStreamName",
        kind: Kind::Text,
        rules: &[Rule::Pattern(NAME_PATTERN, is_name), Rule::MinLength(1), Rule::MaxLength(128)],
    },
    Member { name: "NextToken", kind: Kind::Text, rules: &[Rule::MinLength(1), Rule::MaxLength(1_048_576)] },
];

pub async fn handle(kinesis: &Kinesis, call: &Call) -> Answer {
    let args = Args::read(&call.body.bytes, SHAPE)?;
    validate::check(&args)?;
    let now = kinesis.engine.clock().now();
    let after = match (args.text("NextToken"), args.text("ExclusiveStartStreamName")) {
        (Some(_), Some(_)) => {
            return Err(error::argument("NextToken and ExclusiveStartStreamName cannot be provided together."));
        }
        (Some(text), None) => match Token::open(text, iterator::Kind::Streams, &kinesis.key, now, LIFE_MS) {
            Ok(token) => Some(token.name),
            Err(Refusal::Invalid) => return Err(error::token_invalid()),
            Err(Refusal::Expired { created }) => return Err(error::token_expired(created, now)),
        },
        (None, start) => start.map(str::to_string),
    };
    let limit = args.integer("Limit").map_or(PAGE, |limit| (limit as usize).min(PAGE));
    let catalog = kinesis.engine.catalog();
    let mut found: Vec<_> = catalog
        .streams()
        .filter(|stream| stream.kind == catalog::Kind::Client)
        .filter(|stream| after.as_deref().is_none_or(|after| &*stream.name > after))
        .take(limit + 1)
        .collect();
    let more = found.len() > limit;
    found.truncate(limit);
    let mut out = Out::default();
    out.begin();
    out.list("StreamNames");
    for stream in &found {
        out.item(&stream.name);
    }
    out.end_list();
    out.boolean("HasMoreStreams", more);
    if let (true, Some(last)) = (more, found.last()) {
        let token = Token {
            kind: iterator::Kind::Streams,
            created: now,
            stream: StreamId(0),
            shard: ShardNo(0),
            position: 0,
            name: last.name.to_string(),
        };
        out.text("NextToken", &token.seal(&kinesis.key));
    }
    out.list("StreamSummaries");
    for stream in &found {
        out.begin();
        out.text("StreamName", &stream.name);
        out.text("StreamARN", &arn(&call.caller.region, &call.caller.account, &stream.name));
        out.text("StreamStatus", State::of(stream, now).name());
        out.begin_in("StreamModeDetails");
        out.text("StreamMode", show::mode(stream));
        out.end();
        out.time_ms("StreamCreationTimestamp", stream.created.0);
        out.end();
    }
    out.end_list();
    out.end();
    Ok(out.finish().into())
}
