//! GetShardIterator: a place in a shard, as a text to come back with. LATEST and AT_TIMESTAMP are fixed when this is
//! answered. Never remembers whom it answered.

use crate::aws::door::{Answer, Call};
use crate::aws::error::Failure;
use crate::aws::json::{Args, Kind, Member, Rule};
use crate::aws::write::Out;
use crate::engine::Seek;
use crate::engine::catalog::Shard;
use crate::ids::{LogId, Offset, Timestamp};
use crate::kinesis::iterator::Token;
use crate::kinesis::sequence::{place, shard_no};
use crate::kinesis::target::{NAME_PATTERN, STREAM_ARN, STREAM_NAME, State, Target};
use crate::kinesis::validate::is_sequence_number;
use crate::kinesis::{Kinesis, error, validate};

const TYPES: &[&str] = &["AFTER_SEQUENCE_NUMBER", "LATEST", "AT_TIMESTAMP", "AT_SEQUENCE_NUMBER", "TRIM_HORIZON"];

const SHAPE: &[Member] = &[
    STREAM_NAME,
    STREAM_ARN,
    Member {
        name: "ShardId",
        kind: Kind::Text,
        rules: &[
            Rule::NotNull,
            Rule::Pattern(NAME_PATTERN, validate::is_name),
            Rule::MinLength(1),
            Rule::MaxLength(128),
        ],
    },
    Member { name: "ShardIteratorType", kind: Kind::Text, rules: &[Rule::NotNull, Rule::OneOf(TYPES)] },
    Member {
        name: "StartingSequenceNumber",
        kind: Kind::Text,
        rules: &[Rule::Pattern("0|([1-9]\\d{0,128})", is_sequence_number)],
    },
    Member { name: "Timestamp", kind: Kind::Time, rules: &[] },
    Member { name: "DryRun", kind: Kind::Boolean, rules: &[] },
];

/// Where an iterator begins, as asked for.
enum Start<'a> {
    Horizon,
    Latest,
    At(&'a str),
    After(&'a str),
    Time(Timestamp),
}

fn start<'a>(args: &'a Args<'_>, now: Timestamp) -> Result<Start<'a>, Failure> {
    let kind = args.text("ShardIteratorType").unwrap_or_default();
    let clash = |end: &str| {
        error::argument(format!(
            "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or (2) \
             TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified {kind} and {end}"
        ))
    };
    match (kind, args.text("StartingSequenceNumber")) {
        ("AT_SEQUENCE_NUMBER", Some(number)) => Ok(Start::At(number)),
        ("AFTER_SEQUENCE_NUMBER", Some(number)) => Ok(Start::After(number)),
        ("AT_SEQUENCE_NUMBER" | "AFTER_SEQUENCE_NUMBER", None) => Err(clash("no StartingSequenceNumber.")),
        (_, Some(_)) => Err(clash("also a StartingSequenceNumber.")),
        ("TRIM_HORIZON", None) => Ok(Start::Horizon),
        ("LATEST", None) => Ok(Start::Latest),
        _ => match args.time_ms("Timestamp") {
            Some(ms) if ms > now.0 => Err(error::timestamp_in_future(ms, now)),
            Some(ms) => Ok(Start::Time(Timestamp(ms))),
            None => Err(error::argument(
                "Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current request has no \
                 timestamp parameter.",
            )),
        },
    }
}

pub async fn handle(kinesis: &Kinesis, call: &Call) -> Answer {
    let args = Args::read(&call.body.bytes, SHAPE)?;
    validate::check(&args)?;
    let target = Target::of(&args, &call.caller)?;
    let id = args.text("ShardId").unwrap_or_default();
    let no = shard_no(id).ok_or_else(|| error::shard_id_odd(&target, id))?;
    let now = kinesis.engine.clock().now();
    let catalog = kinesis.engine.catalog();
    // A stream that is not there has no such shard either: that is how the service says it here.
    let stream = target.find(&catalog).map_err(|_| error::shard_missing(&target, no))?;
    if State::of(stream, now) == State::Creating {
        return Err(error::stream_missing(&target));
    }
    let shard = stream.shard(no).ok_or_else(|| error::shard_missing(&target, no))?;
    let log = stream.log(shard.log).ok_or_else(|| error::shard_missing(&target, no))?;
    if !kinesis.may_make_iterator(stream.id, no, now) {
        return Err(error::rate_exceeded(&target, no));
    }
    let next = resolve(kinesis, &target, shard, log, start(&args, now)?).await?;
    if args.boolean("DryRun") == Some(true) {
        return Err(error::dry_run());
    }
    let mut out = Out::default();
    out.begin();
    out.text("ShardIterator", &Token::iterator(stream.id, &target.name, no, next, now).seal(&kinesis.key));
    out.end();
    Ok(out.finish().into())
}

/// The offset a start means now.
async fn resolve(
    kinesis: &Kinesis,
    target: &Target,
    shard: &Shard,
    log: LogId,
    start: Start<'_>,
) -> Result<Offset, Failure> {
    let bounds = kinesis.engine.bounds(log).map_err(|fact| error::engine(&fact, target))?;
    let tip = shard.end.map_or(bounds.committed, |end| end.min(bounds.committed)).max(shard.start);
    let number = |text: &str, after: bool| {
        place(text, shard, bounds.end, after).map_err(|why| error::starting_number_unfit(target, shard.no, text, why))
    };
    match start {
        Start::Horizon => Ok(shard.start),
        Start::Latest => Ok(tip),
        Start::At(text) => number(text, false),
        Start::After(text) => number(text, true),
        Start::Time(time) => {
            let found = kinesis.engine.seek(log, Seek::Arrival(time)).await;
            let found = found.map_err(|fact| error::engine(&fact, target))?;
            Ok(found.map_or(tip, |found| found.offset.clamp(shard.start, tip)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_number_and_time_must_agree() {
        let now = Timestamp(1_000_000);
        let cases = [
            (r#"{"ShardIteratorType":"TRIM_HORIZON"}"#, "ok"),
            (r#"{"ShardIteratorType":"LATEST"}"#, "ok"),
            (r#"{"ShardIteratorType":"AT_SEQUENCE_NUMBER","StartingSequenceNumber":"5"}"#, "ok"),
            (r#"{"ShardIteratorType":"AFTER_SEQUENCE_NUMBER","StartingSequenceNumber":"5"}"#, "ok"),
            (r#"{"ShardIteratorType":"AT_TIMESTAMP","Timestamp":1000}"#, "ok"),
            (r#"{"ShardIteratorType":"AT_TIMESTAMP","Timestamp":1000.001}"#, "cannot be greater than the current"),
            (r#"{"ShardIteratorType":"AT_TIMESTAMP"}"#, "Must specify timestampInMillis parameter"),
            (
                r#"{"ShardIteratorType":"LATEST","StartingSequenceNumber":"5"}"#,
                "Request specified LATEST and also a StartingSequenceNumber.",
            ),
            (
                r#"{"ShardIteratorType":"AFTER_SEQUENCE_NUMBER"}"#,
                "Request specified AFTER_SEQUENCE_NUMBER and no StartingSequenceNumber.",
            ),
        ];
        for (body, expected) in cases {
            let args = Args::read(body.as_bytes(), SHAPE).unwrap();
            let got = match start(&args, now) {
                Ok(_) => "ok".to_string(),
                Err(failure) => failure.message.unwrap(),
            };
            assert!(got.contains(expected), "{body}: {got}");
        }
    }
}
