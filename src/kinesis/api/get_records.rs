//! GetRecords: what stands behind an iterator, and the next iterator. Never waits: an empty answer is an answer.
//!
//! The next iterator is always a new one. It is absent exactly when the shard is closed and has been read to its end, and
//! exactly then the children are named.

use super::show;
use crate::aws::door::{Answer, Call};
use crate::aws::json::{Args, Kind, Member, Rule};
use crate::aws::write::Out;
use crate::ids::Offset;
use crate::kinesis::iterator::{self, LIFE_MS, Refusal, Token};
use crate::kinesis::read::RECORDS_LIMIT;
use crate::kinesis::target::{STREAM_ARN, State, Target};
use crate::kinesis::{Kinesis, error, validate};
use crate::metrics;

const SHAPE: &[Member] = &[
    STREAM_ARN,
    Member {
        name: "ShardIterator",
        kind: Kind::Text,
        rules: &[Rule::NotNull, Rule::MinLength(1), Rule::MaxLength(512)],
    },
    Member { name: "Limit", kind: Kind::Integer, rules: &[Rule::Min(1), Rule::Max(10_000)] },
    Member { name: "DryRun", kind: Kind::Boolean, rules: &[] },
];

pub async fn handle(kinesis: &Kinesis, call: &Call) -> Answer {
    let args = Args::read(&call.body.bytes, SHAPE)?;
    validate::check(&args)?;
    let now = kinesis.engine.clock().now();
    let text = args.text("ShardIterator").unwrap_or_default();
    let token = match Token::open(text, iterator::Kind::Iterator, &kinesis.key, now, LIFE_MS) {
        Ok(token) => token,
        Err(Refusal::Invalid) => return Err(error::iterator_invalid()),
        Err(Refusal::Expired { created }) => return Err(error::iterator_expired(created, now)),
    };
    let target = match args.text("StreamARN").and_then(Target::of_arn) {
        Some(target) if target.name != token.name => {
            return Err(error::argument(format!("The ShardIterator is not of the stream {}.", target.arn())));
        }
        Some(target) => target,
        None => Target::named(&token.name, &call.caller),
    };
    let catalog = kinesis.engine.catalog();
    let stream = match catalog.stream_by_id(token.stream) {
        Some(stream) if State::of(stream, now) == State::Active => stream,
        // The stream is gone, or it is another one of that name: to this iterator that is the same.
        _ => return Err(error::shard_missing(&target, token.shard)),
    };
    let shard = stream.shard(token.shard).ok_or_else(|| error::shard_missing(&target, token.shard))?;
    let log = stream.log(shard.log).ok_or_else(|| error::shard_missing(&target, token.shard))?;
    if args.boolean("DryRun") == Some(true) {
        return Err(error::dry_run());
    }
    if !kinesis.may_read(stream.id, shard.no, now) {
        return Err(error::rate_exceeded(&target, shard.no));
    }
    let limit = args.integer("Limit").map_or(RECORDS_LIMIT, |limit| limit as usize);
    let settings = kinesis.settings(stream);
    let mut cursor = kinesis.cursor(shard, Offset(token.position), limit, settings.shown_limit_bytes());
    let mut out = Out::default();
    out.begin();
    out.list("Records");
    kinesis.read(log, &mut cursor, &mut out).await.map_err(|fact| error::engine(&fact, &target))?;
    if cursor.starved {
        metrics::KINESIS_ANSWERS_REFUSED.inc();
        return Err(error::rate_exceeded(&target, shard.no));
    }
    kinesis.was_read(stream.id, shard.no, cursor.bytes(), now);
    out.end_list();
    // The clock is asked again: what arrived while this was read is not from the future.
    let behind = cursor.unread.map_or(0, |arrived| (kinesis.engine.clock().now().0 - arrived.0).max(0));
    out.integer("MillisBehindLatest", behind);
    if cursor.at_end() {
        show::children(&mut out, stream, shard.no);
    } else {
        let next = Token::iterator(stream.id, &token.name, shard.no, cursor.next, now);
        out.text("NextShardIterator", &next.seal(&kinesis.key));
    }
    out.end();
    Ok(cursor.charge.seal(out.finish()))
}
