//! The engine: logs, their one writer, their readers, and the catalog of streams. Façades call its eight verbs and
//! nothing else. It does not know Kafka, Kinesis or HTTP.

pub mod catalog;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::clock::Clock;
use crate::ids::{LogId, Offset, ShardNo, StreamId, Timestamp};
pub use crate::log::producers::SequenceError;
use crate::record::batch::Batch;
pub use catalog::{Catalog, Change, Changed};

/// Where a log begins and ends, at one instant.
///
/// ```text
///      start          committed         end
///   ─────┼────────────────┼─────────────┼─ ─ ─ ─ ─►
///  given │  everyone may  │ open        │ ordered, not yet
///  up    │  read          │ transactions│ safe: invisible
/// ```
///
/// Invariant: start ≤ committed ≤ end. `end` is the synced prefix; on a stream that opted out of syncing, the
/// written prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    pub start: Offset,
    pub committed: Offset,
    pub end: Offset,
}

/// Memory for bytes that have arrived and are not yet in a log. Returned when dropped.
#[derive(Debug, Default)]
pub struct Permit(Option<OwnedSemaphorePermit>);

/// One batch on its way into one log.
#[derive(Clone, Debug)]
pub struct Part {
    pub log: LogId,
    pub batch: Batch,
    /// Refuse unless the log ends exactly here: how a ledger fences its predecessor.
    pub expect: Option<Offset>,
    /// Refuse unless this is the open shard of the log: how a writer that chose by key range meets a reshard.
    pub shard: Option<ShardNo>,
}

/// Batches that happen together or not at all, for one or many logs.
#[derive(Clone, Debug)]
pub struct Group {
    pub parts: Vec<Part>,
    pub origin: Origin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Client,
    Marker,
    Ledger,
}

/// Where one part of a group came to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    pub log: LogId,
    /// The offset of the batch's first record (of the original, if this was a duplicate).
    pub first: Offset,
    /// When the batch arrived (of the original, if this was a duplicate).
    pub arrived: Timestamp,
    /// The start of the log at that moment.
    pub start: Offset,
    pub duplicate: bool,
}

/// Why a group was refused: the first part that could not be placed, and what was wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub part: usize,
    pub error: Error,
}

/// Resolves when a group is durable (or refused): one [`Placed`] per part, in order.
pub struct Receipt(oneshot::Receiver<Result<Vec<Placed>, Refused>>);

impl Future for Receipt {
    type Output = Result<Vec<Placed>, Refused>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|reply| reply.unwrap_or(Err(Refused { part: 0, error: Error::LaneFailed })))
    }
}

/// A read of many logs at once.
#[derive(Clone, Debug)]
pub struct Fetch {
    pub reads: Vec<Read>,
    /// Wait until this many bytes can be answered (0: never wait) …
    pub min_bytes: usize,
    /// Over all reads; the first batch of all is answered whatever its size (KIP-74).
    pub max_bytes: usize,
    /// … or until this moment.
    pub deadline: Timestamp,
}

#[derive(Clone, Debug)]
pub struct Read {
    pub log: LogId,
    pub from: Offset,
    pub max_bytes: usize,
    pub until: Until,
}

/// How far a reader may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Everything durable ([`Bounds::end`]).
    End,
    /// Only what no open transaction can still undo ([`Bounds::committed`]).
    Committed,
}

/// What one read found: whole batches, the first of which may begin below `from`.
#[derive(Clone, Debug)]
pub struct Page {
    pub bounds: Bounds,
    pub batches: Vec<Stored>,
}

/// One batch as it stands in the log, with the moment it arrived.
#[derive(Clone, Debug)]
pub struct Stored {
    pub bytes: Bytes,
    pub arrived: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    Start,
    Committed,
    End,
    /// The first record whose own timestamp is at or after this.
    Time(Timestamp),
    /// The first record that arrived at or after this.
    Arrival(Timestamp),
    /// The record with the greatest timestamp.
    MaxTime,
}

/// A place in a log, with the time of the record there (-1 where none is meant) and the leader epoch it was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub offset: Offset,
    pub time: Timestamp,
    pub epoch: u32,
}

/// What can go wrong, as facts. Only `LaneFailed` leaves open whether it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    NoSuchStream,
    StreamExists,
    NoSuchLog,
    ShardClosed {
        end: Offset,
    },
    OutOfRange(Bounds),
    Conflict {
        expected: Offset,
        actual: Offset,
    },
    Sequence(SequenceError),
    /// The batch is larger than the stream's `max.message.bytes`.
    TooLarge {
        limit: u32,
    },
    /// A change of the catalog that makes no sense, in words for the person who asked.
    Invalid(String),
    /// Stored bytes that no longer match their checksum; they are withheld.
    Corrupt {
        first: Offset,
        end: Offset,
    },
    /// The disk has no room; reads go on, and writes when there is room again.
    Full,
    Overloaded,
    ShuttingDown,
    LaneFailed,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoSuchStream => f.write_str("no such stream"),
            Error::StreamExists => f.write_str("a stream of this name exists"),
            Error::NoSuchLog => f.write_str("no such log"),
            Error::ShardClosed { end } => write!(f, "the shard was closed at offset {end}"),
            Error::OutOfRange(b) => write!(f, "the offset is outside {}..{}", b.start, b.end),
            Error::Conflict { expected, actual } => write!(f, "the log ends at {actual}, not at {expected}"),
            Error::Sequence(why) => write!(f, "the producer's sequence was refused: {why:?}"),
            Error::TooLarge { limit } => write!(f, "the batch is larger than {limit} bytes"),
            Error::Invalid(why) => f.write_str(why),
            Error::Corrupt { first, end } => write!(f, "records {first}..{end} are damaged on disk"),
            Error::Full => f.write_str("the disk is full"),
            Error::Overloaded => f.write_str("too much is waiting"),
            Error::ShuttingDown => f.write_str("the engine is stopping"),
            Error::LaneFailed => f.write_str("the journal failed"),
        }
    }
}

impl std::error::Error for Error {}

/// The eight verbs: admit append fetch seek trim bounds catalog change.
pub struct Engine {
    clock: Clock,
}

impl Engine {
    /// The engine's clock; façades ask it and no other.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Memory for bytes that arrive; waits while `ingress.limit.bytes` of them are unanswered.
    pub async fn admit(&self, _bytes: u32) -> Permit {
        unimplemented!("coming")
    }

    /// Fixes the place of every part of `group` behind everything appended to its log before this call: all or none.
    /// Not async: when it returns, the order is settled. The receipt resolves when it is durable.
    pub fn append(&self, _group: Group, _permit: Permit) -> Receipt {
        unimplemented!("coming")
    }

    /// Reads many logs at once; waits, at most until the deadline, for `min_bytes` or news. One answer per read, in order.
    pub async fn fetch(&self, _want: Fetch) -> Vec<Result<Page, Error>> {
        unimplemented!("coming")
    }

    /// The offset of a time (of the record or of its arrival), the start, or the end. `None`: no such record.
    pub async fn seek(&self, _log: LogId, _to: Seek) -> Result<Option<Found>, Error> {
        unimplemented!("coming")
    }

    /// Gives up everything below an offset. Durable when it returns: a start never moves back.
    pub async fn trim(&self, _log: LogId, _below: Offset) -> Result<Bounds, Error> {
        unimplemented!("coming")
    }

    /// The bounds of a log, now.
    pub fn bounds(&self, _log: LogId) -> Result<Bounds, Error> {
        unimplemented!("coming")
    }

    /// The current leader epoch of a log.
    pub fn epoch(&self, _log: LogId) -> Result<u32, Error> {
        unimplemented!("coming")
    }

    /// The end of the newest epoch not above `epoch`: what OffsetForLeaderEpoch asks. `None`: an epoch from the future,
    /// or older than the log remembers.
    pub fn epoch_end(&self, _log: LogId, _epoch: u32) -> Result<Option<(u32, Offset)>, Error> {
        unimplemented!("coming")
    }

    /// An immutable picture of all streams (persistent map). A handler takes one and never looks again.
    pub fn catalog(&self) -> Arc<Catalog> {
        unimplemented!("coming")
    }

    /// Every change of the catalog, many at once, each with its own answer; durable when it returns.
    pub async fn change(&self, _changes: Vec<Change>) -> Vec<Result<Changed, Error>> {
        unimplemented!("coming")
    }

    /// A random stream id, from the engine's own source of chance.
    pub fn random(&self) -> u64 {
        unimplemented!("coming")
    }
}

/// Kept so that façades can name it in signatures.
pub type StreamRef = (StreamId, u32);
