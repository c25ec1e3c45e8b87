//! What one log remembers of its idempotent producers (KIP-98, KIP-360): the last batches of each, so that a repetition
//! is answered with the original's place and a gap is refused. Never writes, never asks the time; a batch without
//! producer id is never remembered. Which transactions are open stands beside this (`transactions.rs`); here only where
//! each producer's last one ended.
//!
//! The rules are those of Kafka 4.4 for what clients write:
//!
//! | the log knows                  | the batch                              | verdict                      |
//! |--------------------------------|----------------------------------------|------------------------------|
//! | nothing of the producer        | any sequence (its state may have aged) | new                          |
//! | a lower epoch                  | sequence 0, else                       | new, else out of order       |
//! | a higher epoch                 | any                                    | fenced                       |
//! | the same epoch                 | exactly one of the last five           | duplicate: place of original |
//! |                                | the next sequence (2³¹-1 is before 0)  | new                          |
//! |                                | any other                              | out of order                 |
//!
//! So "unknown producer" is never said (since KIP-360 a log that knows nothing takes any sequence), and neither is
//! "duplicate sequence" of a batch older than the last five: that it was ever written is not known, clients take the
//! answer for success, and Kafka 4 says "out of order".
//!
//! A snapshot, all numbers big-endian, producers by rising id, batches from the oldest:
//!
//! ```text
//! 'IFPR' │ version u16 = 2 │ producers u32 │ producer* │ crc32c u32 of everything before
//! producer: id i64 │ epoch i16 │ last timestamp i64 │ arrived i64 │ coordinator epoch i32 │ behind marker u64 │ batches u8
//!           │ batch*
//! batch:    first sequence i32 │ last offset delta i32 │ first offset u64 │ arrived i64
//! ```

use std::fmt;

use crate::ids::{Offset, Timestamp};
use crate::log::transactions::Effect;
use crate::record::batch::{Header, sequence_plus};

/// How many batches of a producer are remembered: as many as an idempotent client may have in flight.
pub const REMEMBERED_BATCHES: usize = 5;

const MAGIC: &[u8; 4] = b"IFPR";
const VERSION: u16 = 2;
const SNAPSHOT_HEAD_BYTES: usize = 10;
const PRODUCER_BYTES: usize = 39;
const BATCH_BYTES: usize = 24;
const CRC_BYTES: usize = 4;

/// Every producer that one log remembers. Empty, it owns nothing on the heap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Producers {
    /// By rising id. Ids are given out rising, so a new producer nearly always goes to the end.
    known: Vec<Known>,
}

/// What a batch is to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    New,
    /// It is there already: where it begins and when it arrived.
    Duplicate {
        first: Offset,
        arrived: Timestamp,
    },
}

/// Why an idempotent producer's batch does not continue what its log remembers of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SequenceError {
    /// The sequence is not the next one.
    OutOfOrder,
    /// A newer incarnation of the producer has written.
    Fenced,
    /// Not what the producer's transaction in this log allows: it has ended, or the batch is not part of the open one.
    InvalidTransaction,
}

/// One producer, as [`Producers::iter`] shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Active {
    pub id: i64,
    pub epoch: i16,
    /// -1 where this epoch has only written batches without sequence.
    pub last_sequence: i32,
    /// Of its last batch with a sequence in this epoch.
    pub last_offset: Option<Offset>,
    /// The max timestamp of the last batch.
    pub last_timestamp: Timestamp,
    /// When the last batch arrived.
    pub arrived: Timestamp,
    /// As the last marker named it; -1: none has come.
    pub coordinator_epoch: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    id: i64,
    epoch: i16,
    last_timestamp: Timestamp,
    arrived: Timestamp,
    coordinator_epoch: i32,
    /// The offset behind the last marker; 0: none has come.
    behind_marker: Offset,
    batches: Batches,
}

/// The last batches, oldest first, all of one epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Batches {
    count: u8,
    all: [Remembered; REMEMBERED_BATCHES],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Remembered {
    first_sequence: i32,
    last_offset_delta: i32,
    first: Offset,
    arrived: Timestamp,
}

impl Producers {
    pub const EMPTY: Producers = Producers { known: Vec::new() };

    /// What the batch with this header is to the log. Changes nothing.
    pub fn decide(&self, header: &Header) -> Result<Verdict, SequenceError> {
        if !header.has_producer() {
            return Ok(Verdict::New);
        }
        let Ok(index) = self.find(header.producer_id) else {
            return Ok(Verdict::New);
        };
        let known = &self.known[index];
        if header.producer_epoch < known.epoch {
            return Err(SequenceError::Fenced);
        }
        if header.base_sequence < 0 {
            // Only the broker's own batches (markers, offsets of a group) have none; nothing orders them.
            return Ok(Verdict::New);
        }
        let same_epoch = header.producer_epoch == known.epoch;
        let batches = if same_epoch { known.batches.as_slice() } else { &[] };
        let original = batches.iter().find(|batch| {
            batch.first_sequence == header.base_sequence && batch.last_offset_delta == header.last_offset_delta
        });
        if let Some(&Remembered { first, arrived, .. }) = original {
            return Ok(Verdict::Duplicate { first, arrived });
        }
        let expected = batches.last().map_or(0, Remembered::next_sequence);
        if header.base_sequence == expected { Ok(Verdict::New) } else { Err(SequenceError::OutOfOrder) }
    }

    /// Remembers a batch that was given the place `first`. It was new by [`Producers::decide`], or is read back from
    /// the log: never refused. How many producers there may be is up to the caller.
    pub fn apply(&mut self, header: &Header, effect: Option<Effect>, first: Offset, arrived: Timestamp) {
        if !header.has_producer() {
            return;
        }
        let index = match self.find(header.producer_id) {
            Ok(index) => index,
            Err(_) => self.insert(header.producer_id, header.producer_epoch),
        };
        let known = &mut self.known[index];
        if header.producer_epoch < known.epoch {
            return;
        }
        if header.producer_epoch > known.epoch {
            known.epoch = header.producer_epoch;
            known.batches = Batches::default();
        }
        known.last_timestamp = Timestamp(header.max_timestamp);
        known.arrived = arrived;
        if let Some(Effect::Ended { coordinator_epoch, .. }) = effect {
            known.coordinator_epoch = coordinator_epoch;
            known.behind_marker = first.plus(1);
        }
        if header.base_sequence >= 0 {
            let last_offset_delta = header.last_offset_delta;
            known.batches.push(Remembered { first_sequence: header.base_sequence, last_offset_delta, first, arrived });
        }
    }

    /// The offset behind the last marker of a producer; 0: none is known.
    pub fn behind_marker(&self, id: i64) -> Offset {
        self.find(id).map_or(Offset(0), |index| self.known[index].behind_marker)
    }

    /// The newest epoch of a producer that is remembered.
    pub fn epoch(&self, id: i64) -> Option<i16> {
        self.find(id).ok().map(|index| self.known[index].epoch)
    }

    pub fn knows(&self, id: i64) -> bool {
        self.find(id).is_ok()
    }

    /// Forgets every producer whose last batch arrived `expiration_ms` ago or longer (`producer.id.expiration.ms`), but
    /// none that has to be kept; says how many.
    pub fn expire(&mut self, now: Timestamp, expiration_ms: i64, keep: impl Fn(i64) -> bool) -> usize {
        let before = self.known.len();
        self.known.retain(|known| now.0.saturating_sub(known.arrived.0) < expiration_ms || keep(known.id));
        self.give_back();
        before - self.known.len()
    }

    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// What this takes on the heap.
    pub fn heap_bytes(&self) -> usize {
        self.known.capacity() * size_of::<Known>()
    }

    /// The producers, by rising id.
    pub fn iter(&self) -> impl Iterator<Item = Active> + '_ {
        self.known.iter().map(|known| Active {
            id: known.id,
            epoch: known.epoch,
            last_sequence: known.batches.as_slice().last().map_or(-1, Remembered::last_sequence),
            last_offset: known.batches.as_slice().last().map(Remembered::last_offset),
            last_timestamp: known.last_timestamp,
            arrived: known.arrived,
            coordinator_epoch: known.coordinator_epoch,
        })
    }

    /// Appends a snapshot; the same producers always give the same bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        let most_bytes = PRODUCER_BYTES + REMEMBERED_BATCHES * BATCH_BYTES;
        out.reserve(SNAPSHOT_HEAD_BYTES + self.known.len() * most_bytes + CRC_BYTES);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_be_bytes());
        out.extend_from_slice(&(self.known.len() as u32).to_be_bytes());
        for known in &self.known {
            out.extend_from_slice(&known.id.to_be_bytes());
            out.extend_from_slice(&known.epoch.to_be_bytes());
            out.extend_from_slice(&known.last_timestamp.0.to_be_bytes());
            out.extend_from_slice(&known.arrived.0.to_be_bytes());
            out.extend_from_slice(&known.coordinator_epoch.to_be_bytes());
            out.extend_from_slice(&known.behind_marker.0.to_be_bytes());
            out.push(known.batches.count);
            for batch in known.batches.as_slice() {
                out.extend_from_slice(&batch.first_sequence.to_be_bytes());
                out.extend_from_slice(&batch.last_offset_delta.to_be_bytes());
                out.extend_from_slice(&batch.first.0.to_be_bytes());
                out.extend_from_slice(&batch.arrived.0.to_be_bytes());
            }
        }
        let crc = crc32c::crc32c(&out[start..]);
        out.extend_from_slice(&crc.to_be_bytes());
    }

    /// Reads the snapshot that `bytes` is, nothing before it and nothing after.
    pub fn decode(bytes: &[u8]) -> Result<Producers, SnapshotError> {
        let Some((covered, crc)) = bytes.split_last_chunk::<CRC_BYTES>() else {
            return Err(SnapshotError::Short { bytes: bytes.len() });
        };
        if !covered.starts_with(MAGIC) {
            return Err(SnapshotError::Foreign);
        }
        let (stored, computed) = (u32::from_be_bytes(*crc), crc32c::crc32c(covered));
        if stored != computed {
            return Err(SnapshotError::Crc { stored, computed });
        }
        let mut rest = Reader(&covered[MAGIC.len()..]);
        let short = SnapshotError::Short { bytes: bytes.len() };
        let version = rest.take().map(u16::from_be_bytes).ok_or(short)?;
        if version != VERSION {
            return Err(SnapshotError::Version { found: version });
        }
        let producers = rest.take().map(u32::from_be_bytes).ok_or(short)? as usize;
        if producers > rest.0.len() / PRODUCER_BYTES {
            return Err(short);
        }
        let mut known: Vec<Known> = Vec::with_capacity(producers);
        for index in 0..producers {
            let next = rest.producer().ok_or(SnapshotError::Malformed { producer: index })?;
            let rising = known.last().is_none_or(|last| last.id < next.id);
            if !rising || next.id < 0 {
                return Err(SnapshotError::Malformed { producer: index });
            }
            known.push(next);
        }
        if rest.0.is_empty() { Ok(Producers { known }) } else { Err(SnapshotError::Malformed { producer: producers }) }
    }

    fn find(&self, id: i64) -> Result<usize, usize> {
        self.known.binary_search_by_key(&id, |known| known.id)
    }

    fn insert(&mut self, id: i64, epoch: i16) -> usize {
        // Most logs have one producer or two: no room is kept for more until they come.
        if self.known.len() == self.known.capacity() {
            self.known.reserve_exact(self.known.len().max(1));
        }
        let index = self.find(id).unwrap_or_else(|place| place);
        let nothing = Timestamp(-1);
        self.known.insert(
            index,
            Known {
                id,
                epoch,
                last_timestamp: nothing,
                arrived: nothing,
                coordinator_epoch: -1,
                behind_marker: Offset(0),
                batches: Batches::default(),
            },
        );
        index
    }

    /// Forgets every producer that was heard of last at `last`'s moment or before; of those heard of at that moment, only
    /// the ids up to `last`'s. None that has to be kept; says how many.
    pub fn forget_up_to(&mut self, last: (Timestamp, i64), keep: impl Fn(i64) -> bool) -> usize {
        let before = self.known.len();
        self.known.retain(|known| (known.arrived, known.id) > last || keep(known.id));
        self.give_back();
        before - self.known.len()
    }

    fn give_back(&mut self) {
        if self.known.len() < self.known.capacity() / 2 {
            self.known.shrink_to_fit();
        }
    }
}

impl Batches {
    fn as_slice(&self) -> &[Remembered] {
        &self.all[..usize::from(self.count)]
    }

    fn push(&mut self, batch: Remembered) {
        if usize::from(self.count) == REMEMBERED_BATCHES {
            self.all.rotate_left(1);
            self.count -= 1;
        }
        self.all[usize::from(self.count)] = batch;
        self.count += 1;
    }
}

impl Remembered {
    fn last_offset(&self) -> Offset {
        self.first.plus(self.last_offset_delta as u64)
    }

    fn last_sequence(&self) -> i32 {
        sequence_plus(self.first_sequence, self.last_offset_delta)
    }

    fn next_sequence(&self) -> i32 {
        sequence_plus(self.last_sequence(), 1)
    }
}

/// The rest of a snapshot.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn producer(&mut self) -> Option<Known> {
        let id = i64::from_be_bytes(self.take()?);
        let epoch = i16::from_be_bytes(self.take()?);
        let last_timestamp = Timestamp(i64::from_be_bytes(self.take()?));
        let arrived = Timestamp(i64::from_be_bytes(self.take()?));
        let coordinator_epoch = i32::from_be_bytes(self.take()?);
        let behind_marker = Offset(u64::from_be_bytes(self.take()?));
        let count = u8::from_be_bytes(self.take()?);
        if usize::from(count) > REMEMBERED_BATCHES {
            return None;
        }
        let mut batches = Batches::default();
        for _ in 0..count {
            let batch = Remembered {
                first_sequence: i32::from_be_bytes(self.take()?),
                last_offset_delta: i32::from_be_bytes(self.take()?),
                first: Offset(u64::from_be_bytes(self.take()?)),
                arrived: Timestamp(i64::from_be_bytes(self.take()?)),
            };
            if batch.first_sequence < 0 || batch.last_offset_delta < 0 {
                return None;
            }
            batches.push(batch);
        }
        Some(Known { id, epoch, last_timestamp, arrived, coordinator_epoch, behind_marker, batches })
    }
}

/// Why bytes are no snapshot of producers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotError {
    /// Too few bytes for what they say they hold.
    Short { bytes: usize },
    /// They do not begin as a snapshot does.
    Foreign,
    /// They are not what the checksum was made of.
    Crc { stored: u32, computed: u32 },
    /// Written by a newer program.
    Version { found: u16 },
    /// The `producer`th cannot be, or bytes follow the last.
    Malformed { producer: usize },
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SnapshotError::Short { bytes } => write!(f, "{bytes} bytes are too few for the producers they claim"),
            SnapshotError::Foreign => f.write_str("no snapshot of producers"),
            SnapshotError::Crc { stored, computed } => write!(f, "stored CRC {stored:08x}, computed {computed:08x}"),
            SnapshotError::Version { found } => write!(f, "version {found} of producers, {VERSION} is known"),
            SnapshotError::Malformed { producer } => write!(f, "producer {producer} of the snapshot cannot be"),
        }
    }
}

impl std::error::Error for SnapshotError {}

#[cfg(test)]
mod tests;
