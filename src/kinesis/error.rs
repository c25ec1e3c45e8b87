//! Every sentence a Kinesis client can be refused with, and what each fact of the engine is called here. Pure.
//!
//! People match on these texts; the facts in them (stream, shard, account, number) are what our tests assert.

use crate::aws::error::Failure;
use crate::engine::Error;
use crate::ids::{ShardNo, Timestamp};
use crate::kinesis::iterator::{LIFE_MS, in_words};
use crate::kinesis::sequence::{Unfit, shard_id};
use crate::kinesis::target::Target;

pub fn stream_missing(target: &Target) -> Failure {
    let Target { name, account, .. } = target;
    Failure::client("ResourceNotFoundException", format!("Stream {name} under account {account} not found."))
}

pub fn stream_exists(target: &Target) -> Failure {
    let Target { name, account, .. } = target;
    Failure::client("ResourceInUseException", format!("Stream {name} under account {account} already exists."))
}

pub fn stream_not_active(target: &Target, state: &str) -> Failure {
    let Target { name, account, .. } = target;
    let message = format!("Stream {name} under account {account} not ACTIVE, instead in state {state}");
    Failure::client("ResourceInUseException", message)
}

pub fn shard_missing(target: &Target, shard: ShardNo) -> Failure {
    let Target { name, account, .. } = target;
    let shard = shard_id(shard);
    let message = format!("Shard {shard} in stream {name} under account {account} does not exist");
    Failure::client("ResourceNotFoundException", message)
}

/// An id no shard can have.
pub fn shard_id_odd(target: &Target, id: &str) -> Failure {
    let Target { name, account, .. } = target;
    let message = format!("Could not find shard {id} in stream {name} under account {account}.");
    Failure::client("ResourceNotFoundException", message)
}

pub fn argument(message: impl Into<String>) -> Failure {
    Failure::client("InvalidArgumentException", message)
}

pub fn iterator_invalid() -> Failure {
    argument("Invalid ShardIterator.")
}

pub fn iterator_expired(created: Timestamp, now: Timestamp) -> Failure {
    let (created, now) = (in_words(created), in_words(now));
    let message = format!(
        "Iterator expired. The iterator was created at time {created} while right now it is {now} which is further in \
         the future than the tolerated delay of {LIFE_MS} milliseconds."
    );
    Failure::client("ExpiredIteratorException", message)
}

pub fn token_invalid() -> Failure {
    argument("Invalid NextToken.")
}

pub fn token_expired(created: Timestamp, now: Timestamp) -> Failure {
    let (created, now) = (in_words(created), in_words(now));
    let message = format!(
        "NextToken expired. The token was created at time {created} while right now it is {now} which is further in \
         the future than the tolerated delay of {LIFE_MS} milliseconds."
    );
    Failure::client("ExpiredNextTokenException", message)
}

pub fn hash_key_out_of_range(value: &str) -> Failure {
    argument(format!(
        "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was {value}"
    ))
}

pub fn ordering_number_invalid(target: &Target, number: &str) -> Failure {
    let Target { name, account, .. } = target;
    argument(format!(
        "ExclusiveMinimumSequenceNumber {number} used in PutRecord on stream {name} under account {account} is invalid."
    ))
}

/// A StartingSequenceNumber that names no place in the shard it was given for.
pub fn starting_number_unfit(target: &Target, shard: ShardNo, number: &str, why: Unfit) -> Failure {
    let Target { name, account, .. } = target;
    let shard = shard_id(shard);
    let used = format!(
        "StartingSequenceNumber {number} used in GetShardIterator on shard {shard} in stream {name} under account \
         {account} is invalid"
    );
    argument(match why {
        Unfit::Malformed | Unfit::Beyond => format!("{used}."),
        Unfit::Foreign => format!("{used} because it did not come from this stream."),
        Unfit::AtEnd => {
            format!("{used} because the sequence number has reached the maximum possible value for the shard.")
        }
        Unfit::OtherShard(other) => format!(
            "Invalid StartingSequenceNumber. It encodes {}, while it was used in a call to a shard with {shard}",
            shard_id(other)
        ),
    })
}

pub fn timestamp_in_future(asked_ms: i64, now: Timestamp) -> Failure {
    argument(format!(
        "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. timestampInMillis: \
         {asked_ms}, currentTimestampInMillis: {}",
        now.0
    ))
}

pub const THROUGHPUT: &str = "ProvisionedThroughputExceededException";

/// More than the service allows one shard.
pub fn rate_exceeded(target: &Target, shard: ShardNo) -> Failure {
    let Target { name, account, .. } = target;
    let message = format!("Rate exceeded for shard {} in stream {name} under account {account}.", shard_id(shard));
    Failure::client(THROUGHPUT, message)
}

pub fn dry_run() -> Failure {
    Failure::client("DryRunOperationException", "Request would have succeeded, but DryRun flag is set.")
}

/// What a fact of the engine is called, for a whole request.
pub fn engine(error: &Error, target: &Target) -> Failure {
    match error {
        Error::NoSuchStream | Error::NoSuchLog => stream_missing(target),
        Error::StreamExists => stream_exists(target),
        Error::Invalid(why) => argument(why.clone()),
        Error::TooLarge { limit } => {
            argument(format!("The record is larger than the {limit} bytes that stream {} accepts.", target.name))
        }
        Error::Full => Failure::unavailable("The disk of the server is full."),
        Error::Overloaded => Failure::unavailable("Rate exceeded: too much is waiting to be written."),
        Error::ShuttingDown => Failure::unavailable("The server is stopping."),
        // The façade routes again before it would say this: a client that still sees it retries.
        Error::ShardClosed { .. } => Failure::internal("The shard was closed while the request was served."),
        // Positions are chosen by the façade, which follows the bounds.
        Error::OutOfRange(_) => Failure::internal("The position moved while the request was served."),
        Error::Conflict { .. } | Error::Sequence(_) => Failure::internal("Internal Service Failure"),
        Error::Corrupt { first, end } => {
            tracing::error!(%first, %end, stream = %target.name, "records are damaged on disk and withheld");
            Failure::internal("Internal Service Failure")
        }
        Error::Unreadable { at } => {
            tracing::error!(%at, stream = %target.name, "records cannot be read from disk");
            Failure::internal("Internal Service Failure")
        }
        Error::LaneFailed => Failure::internal("Internal Service Failure"),
    }
}
