//! PutRecords: up to 500 records, answered one by one in the order they came. One group, one sync; a record that fails
//! does not fail the others, and the answer is 200 even if all of them did.

use crate::aws::door::{Answer, Call};
use crate::aws::error::Failure;
use crate::aws::json::{Args, Kind, Member, Node, Rule};
use crate::aws::write::Out;
use crate::kinesis::put::{Entry, Outcome, hash_key};
use crate::kinesis::sequence::shard_id;
use crate::kinesis::target::{STREAM_ARN, STREAM_NAME, Target};
use crate::kinesis::validate::is_hash_key;
use crate::kinesis::{Kinesis, error, validate};

use super::show::record_limit_kib;

/// Data and keys of all records together.
const REQUEST_LIMIT_BYTES: usize = 10 * 1024 * 1024;

/// The greatest record any stream can be told to take; the stream's own limit is judged once the stream is known.
pub const DATA_RULES: &[Rule] = &[Rule::NotNull, Rule::MaxLength(10 * 1024 * 1024)];
pub const KEY_RULES: &[Rule] = &[Rule::NotNull, Rule::MinLength(1), Rule::MaxLength(256)];
pub const HASH_KEY_RULES: &[Rule] = &[Rule::Pattern("0|([1-9]\\d{0,38})", is_hash_key)];

const ENTRY: &[Member] = &[
    Member { name: "Data", kind: Kind::Blob, rules: DATA_RULES },
    Member { name: "PartitionKey", kind: Kind::Text, rules: KEY_RULES },
    Member { name: "ExplicitHashKey", kind: Kind::Text, rules: HASH_KEY_RULES },
];

const SHAPE: &[Member] = &[
    STREAM_NAME,
    STREAM_ARN,
    Member {
        name: "Records",
        kind: Kind::List(&Member { name: "member", kind: Kind::Structure(ENTRY), rules: &[] }),
        rules: &[
            Rule::NotNull,
            Rule::MinLength(1),
            Rule::MaxLength(500),
            Rule::Shown("com.amazonaws.kinesis.v20131202.PutRecordsRequestEntry@c965e310"),
        ],
    },
    Member { name: "DryRun", kind: Kind::Boolean, rules: &[] },
];

/// A record, key included, must fit the stream's limit.
///
/// `path` says where the data stands in the request.
pub fn size_fits(entry: &Entry<'_>, max_message_bytes: u32, path: impl Fn() -> String) -> Result<(), Failure> {
    let limit = record_limit_kib(max_message_bytes) * 1024;
    let bytes = entry.data.len() + entry.partition_key.len();
    if bytes as i64 <= limit {
        return Ok(());
    }
    // Data alone over the default limit has the sentence that clients know from the model of old.
    if entry.data.len() as i64 > limit {
        return Err(validate::refuse(format!(
            "1 validation error detected: Value 'java.nio.HeapByteBuffer[pos=0 lim={0} cap={0}]' at '{1}' failed to \
             satisfy constraint: Member must have length less than or equal to {limit}",
            entry.data.len(),
            path()
        )));
    }
    Err(error::argument(format!("The size of data and partition key is {bytes} bytes; the limit is {limit}.")))
}

/// The records of a request that has passed its rules.
fn entries<'a>(args: &'a Args<'_>) -> Result<Vec<Entry<'a>>, Failure> {
    let Node::List(items, _) = args.node("Records") else { return Ok(Vec::new()) };
    let mut entries = Vec::with_capacity(items.len());
    for item in items {
        let Node::Structure(values) = item else { continue };
        let [data, key, explicit] = &values[..] else { unreachable!("an entry has the members of its shape") };
        let data: &[u8] = match data {
            Node::Blob(bytes) => bytes,
            _ => &[],
        };
        let partition_key = match key {
            Node::Text(text) => text.as_ref(),
            _ => "",
        };
        let hash_key = match explicit {
            Node::Text(text) => Some(hash_key(text)?),
            _ => None,
        };
        entries.push(Entry { partition_key, hash_key, data });
    }
    Ok(entries)
}

pub async fn handle(kinesis: &Kinesis, call: &Call) -> Answer {
    let args = Args::read(&call.body.bytes, SHAPE)?;
    validate::check(&args)?;
    let target = Target::of(&args, &call.caller)?;
    let now = kinesis.engine.clock().now();
    let catalog = kinesis.engine.catalog();
    let stream = target.find_active(&catalog, now)?;
    let entries = entries(&args)?;
    let max_message_bytes = kinesis.settings(stream).max_message_bytes;
    for (index, entry) in entries.iter().enumerate() {
        size_fits(entry, max_message_bytes, || format!("records.{}.member.data", index + 1))?;
    }
    let bytes: usize = entries.iter().map(|entry| entry.data.len() + entry.partition_key.len()).sum();
    if bytes > REQUEST_LIMIT_BYTES {
        return Err(error::argument(format!(
            "The records of a request may have {REQUEST_LIMIT_BYTES} bytes together; these have {bytes}."
        )));
    }
    if args.boolean("DryRun") == Some(true) {
        return Err(error::dry_run());
    }
    let outcomes = kinesis.put(&target, &entries).await?;
    let mut out = Out::with_capacity(outcomes.len() * 128 + 64);
    out.begin();
    let failed = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Failed { .. })).count();
    out.integer("FailedRecordCount", failed as i64);
    out.list("Records");
    for outcome in &outcomes {
        out.begin();
        match outcome {
            Outcome::Stored { shard, number } => {
                out.text("SequenceNumber", number);
                out.text("ShardId", &shard_id(*shard));
            }
            Outcome::Failed { code, message } => {
                out.text("ErrorCode", code);
                out.text("ErrorMessage", message);
            }
        }
        out.end();
    }
    out.end_list();
    out.end();
    Ok(out.finish().into())
}
