//! The sidecar of a settled segment: what its `.log` file, byte for byte Kafka's, has no room for. Pure layout.
//!
//! One entry per settle, appended:
//! ```text
//!  0 magic u32 "SIDE" │ 4 crc32c u32 of all that follows │ 8 bytes u32 of this entry │ 12 batches u32
//! 16 log u64 │ 24 first offset u64 │ 32 end offset u64 │ 40 position u64 in the .log │ 48 .log bytes u64
//! 56 hash u32 (running, after this entry) │ 60 max time i64 │ 68 first arrived i64 │ 76 last arrived i64
//! 84 stable u64: everything before it was decided when the last batch stood │ 92 aborted u32
//! 96 per batch: bytes u32 │ first offset, from the entry's u32 │ arrived i64 │ max time i64
//!    per transaction given up, whose marker stands here: producer i64 │ first u64 │ marker u64 │ stable u64
//! ```
//! The entries' heads are the segment's index by offset and by time; they are kept in memory as a cache and read again
//! from here when missing.

use bytes::{Buf, BufMut, Bytes};

use crate::ids::{LogId, Offset, Timestamp};
use crate::log::transactions::{ABORTED_BYTES, Aborted};

pub const HEAD_BYTES: usize = 96;
const MAGIC: u32 = 0x5349_4445;
const BATCH_BYTES: usize = 24;
/// What a batch's own CRC does not cover, and that CRC: base offset, length, leader epoch, magic, CRC.
const HASHED_BYTES: usize = 21;

/// The head of one sidecar entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub log: LogId,
    pub first: Offset,
    pub end: Offset,
    /// Where the entry's batches begin in the `.log` file, and how many bytes they are.
    pub at: u64,
    pub bytes: u64,
    pub hash: u32,
    pub max_time: Timestamp,
    pub first_arrived: Timestamp,
    pub last_arrived: Timestamp,
    pub stable: Offset,
    pub aborted: u32,
    pub batches: u32,
    pub entry_bytes: u32,
    pub crc: u32,
}

/// One batch of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    pub bytes: u32,
    pub first: Offset,
    pub arrived: Timestamp,
    pub max_time: Timestamp,
}

/// When a segment is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roll {
    pub bytes: u64,
    pub ms: i64,
}

/// A segment that is being filled.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub base: Offset,
    pub bytes: u64,
    /// When its first batch arrived.
    pub began: Timestamp,
}

impl Run {
    /// Whether a batch still belongs into it. The first one of a segment always does.
    pub fn takes(&self, roll: Roll, first: Offset, bytes: u64, arrived: Timestamp) -> bool {
        let full = self.bytes + bytes > roll.bytes;
        let old = arrived.0 - self.began.0 > roll.ms;
        // Relative offsets in Kafka's index files are 32 bits wide.
        let far = first.0 - self.base.0 > i32::MAX as u64 / 2;
        !(full || old || far)
    }
}

/// A batch about to be settled.
pub struct Settling<'a> {
    pub bytes: &'a [u8],
    pub max_time: Timestamp,
    pub first: Offset,
    pub end: Offset,
    pub arrived: Timestamp,
    /// How far everything was decided when it stood.
    pub stable: Offset,
}

/// Encodes the entry for `batches`, which will stand at `at` of the `.log` whose running hash is `hash`, and for the
/// transactions whose markers among them gave them up. Returns the entry's bytes and its head.
pub fn encode(log: LogId, at: u64, hash: u32, batches: &[Settling<'_>], aborted: &[Aborted]) -> (Vec<u8>, Head) {
    assert!(!batches.is_empty(), "an entry describes at least one batch");
    let first = batches[0].first;
    let mut head = Head {
        log,
        first,
        end: batches[batches.len() - 1].end,
        at,
        bytes: batches.iter().map(|b| b.bytes.len() as u64).sum(),
        hash,
        max_time: Timestamp(i64::MIN),
        first_arrived: batches[0].arrived,
        last_arrived: batches[batches.len() - 1].arrived,
        stable: batches[batches.len() - 1].stable,
        aborted: aborted.len() as u32,
        batches: batches.len() as u32,
        entry_bytes: (HEAD_BYTES + batches.len() * BATCH_BYTES + aborted.len() * ABORTED_BYTES) as u32,
        crc: 0,
    };
    for b in batches {
        head.hash = running_hash(head.hash, b.bytes);
        head.max_time = head.max_time.max(b.max_time);
    }
    let mut out = Vec::with_capacity(head.entry_bytes as usize);
    out.put_u32(MAGIC);
    out.put_u32(0);
    out.put_u32(head.entry_bytes);
    out.put_u32(head.batches);
    out.put_u64(log.0);
    out.put_u64(first.0);
    out.put_u64(head.end.0);
    out.put_u64(head.at);
    out.put_u64(head.bytes);
    out.put_u32(head.hash);
    out.put_i64(head.max_time.0);
    out.put_i64(head.first_arrived.0);
    out.put_i64(head.last_arrived.0);
    out.put_u64(head.stable.0);
    out.put_u32(head.aborted);
    for b in batches {
        out.put_u32(b.bytes.len() as u32);
        out.put_u32((b.first.0 - first.0) as u32);
        out.put_i64(b.arrived.0);
        out.put_i64(b.max_time.0);
    }
    aborted.iter().for_each(|a| a.encode(&mut out));
    head.crc = crc32c::crc32c(&out[8..]);
    out[4..8].copy_from_slice(&head.crc.to_be_bytes());
    (out, head)
}

/// The running hash of a segment after one more batch.
pub fn running_hash(hash: u32, batch: &[u8]) -> u32 {
    crc32c::crc32c_append(hash, &batch[..HASHED_BYTES.min(batch.len())])
}

/// The head of the entry at the start of `bytes`; `None` if there is no such entry. Its checksum is proven only by
/// [`slots`].
pub fn head(mut bytes: &[u8]) -> Option<Head> {
    if bytes.len() < HEAD_BYTES || bytes.get_u32() != MAGIC {
        return None;
    }
    let crc = bytes.get_u32();
    let entry_bytes = bytes.get_u32();
    let batches = bytes.get_u32();
    let head = Head {
        crc,
        entry_bytes,
        batches,
        log: LogId(bytes.get_u64()),
        first: Offset(bytes.get_u64()),
        end: Offset(bytes.get_u64()),
        at: bytes.get_u64(),
        bytes: bytes.get_u64(),
        hash: bytes.get_u32(),
        max_time: Timestamp(bytes.get_i64()),
        first_arrived: Timestamp(bytes.get_i64()),
        last_arrived: Timestamp(bytes.get_i64()),
        stable: Offset(bytes.get_u64()),
        aborted: bytes.get_u32(),
    };
    let (slots, aborted) = (u64::from(batches) * BATCH_BYTES as u64, u64::from(head.aborted) * ABORTED_BYTES as u64);
    (u64::from(entry_bytes) == HEAD_BYTES as u64 + slots + aborted && batches > 0).then_some(head)
}

/// The transactions given up of a whole entry; `None` if the checksum does not match.
pub fn aborted(entry: &Bytes) -> Option<Vec<Aborted>> {
    let (head, entry) = sound(entry)?;
    let mut at = &entry[HEAD_BYTES + head.batches as usize * BATCH_BYTES..];
    (0..head.aborted).map(|_| Aborted::decode(&mut at)).collect()
}

/// An entry that matches its checksum.
fn sound(entry: &Bytes) -> Option<(Head, &[u8])> {
    let head = head(entry)?;
    let entry = entry.get(..head.entry_bytes as usize)?;
    (crc32c::crc32c(&entry[8..]) == head.crc).then_some((head, entry))
}

/// The whole entry: its head and its batches; `None` if the checksum does not match.
pub fn slots(entry: &Bytes) -> Option<(Head, Vec<Slot>)> {
    let (head, entry) = sound(entry)?;
    let mut at = &entry[HEAD_BYTES..];
    let slots = (0..head.batches)
        .map(|_| Slot {
            bytes: at.get_u32(),
            first: head.first.plus(u64::from(at.get_u32())),
            arrived: Timestamp(at.get_i64()),
            max_time: Timestamp(at.get_i64()),
        })
        .collect();
    Some((head, slots))
}
