//! The 61-byte header of a record batch (magic 2, KIP-98): parse, check, stamp. Never opens the records.
//!
//! ```text
//!  0 base offset i64 │ 8 length i32 (of what follows) │ 12 leader epoch i32 │ 16 magic i8 = 2 │ 17 crc32c u32
//! 21 attributes i16 (0-2 codec, 3 log append time, 4 transactional, 5 control, 6 delete horizon)
//! 23 last offset delta i32 │ 27 base timestamp i64 │ 35 max timestamp i64 │ 43 producer id i64
//! 51 producer epoch i16 │ 53 base sequence i32 │ 57 record count i32 │ 61 records …
//! ```
//! The crc covers everything from the attributes on: base offset and leader epoch can be stamped without touching it.

use std::fmt;

use bytes::Bytes;

use crate::ids::{Offset, Timestamp};
use crate::record::compress::Codec;

pub const HEADER_BYTES: usize = 61;
/// Base offset and length: what stands before the bytes that the length field counts.
pub const PREFIX_BYTES: usize = 12;
/// A producer id, epoch or sequence that is not there.
pub const NONE: i64 = -1;

const LENGTH_AT: usize = 8;
const EPOCH_AT: usize = 12;
const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;
const MAX_TIMESTAMP_AT: usize = 35;

const CODEC_BITS: i16 = 0b111;
pub(crate) const LOG_APPEND_TIME_BIT: i16 = 1 << 3;
pub(crate) const TRANSACTIONAL_BIT: i16 = 1 << 4;
pub(crate) const CONTROL_BIT: i16 = 1 << 5;
pub(crate) const DELETE_HORIZON_BIT: i16 = 1 << 6;

/// The fields of a batch header, copied out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub base_offset: i64,
    /// Of the whole batch, header included.
    pub bytes: u32,
    pub leader_epoch: i32,
    pub crc: u32,
    pub attributes: i16,
    pub last_offset_delta: i32,
    pub base_timestamp: i64,
    pub max_timestamp: i64,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub record_count: i32,
}

/// Exactly one batch whose length, magic and header have been checked; the CRC too, if it came from [`check`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    pub header: Header,
    pub bytes: Bytes,
}

/// What is wrong with a batch's header, with the figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchError {
    /// Fewer bytes than a header has.
    TooShort { bytes: usize },
    /// Magic 0 or 1: the formats before Kafka 0.11, which are not kept.
    OldMagic { magic: i8 },
    /// No format anyone has defined.
    UnknownMagic { magic: i8 },
    /// The length field cannot be true of any batch.
    Length { length: i32 },
    /// The batch says it goes on after the bytes end.
    Truncated { claimed: u64, present: usize },
    /// The batch ends and bytes follow where exactly one batch was expected.
    Trailing { claimed: u64, present: usize },
    /// The bytes are not those the checksum was made of.
    Crc { stored: u32, computed: u32 },
    /// A codec number without meaning (5, 6, 7).
    Codec { id: u8 },
    /// Negative, or more records than offsets (or than bytes) for them.
    Count { records: i32, last_offset_delta: i32 },
    /// Valid in a log, but not from a client: empty, or not one record for each offset.
    NotDense { records: i32, last_offset_delta: i32 },
    /// Only a coordinator writes control batches.
    Control,
    /// A producer id without epoch or sequence, or a transaction without producer id.
    Producer { id: i64, epoch: i16, sequence: i32 },
    /// Only a broker marks a batch as stamped with its time of arrival.
    LogAppendTime,
}

/// The header of the batch at the front of `bytes`, all of which (records included) must be there; more may follow.
/// The CRC is not looked at.
pub fn parse(bytes: &[u8]) -> Result<Header, BatchError> {
    let header = parse_header(bytes)?;
    let (claimed, present) = (u64::from(header.bytes), bytes.len());
    if claimed > present as u64 { Err(BatchError::Truncated { claimed, present }) } else { Ok(header) }
}

/// Like [`parse`], where only the first 61 bytes have been read yet.
pub fn parse_header(bytes: &[u8]) -> Result<Header, BatchError> {
    let header = fields(bytes)?;
    let (records, last_offset_delta) = (header.record_count, header.last_offset_delta);
    // Compaction and drained logs leave offsets without records, never records without offsets.
    if records < 0 || last_offset_delta < 0 || records - 1 > last_offset_delta {
        return Err(BatchError::Count { records, last_offset_delta });
    }
    header.codec()?;
    Ok(header)
}

/// The fields of a header, of which only the length and the magic byte have been judged.
fn fields(bytes: &[u8]) -> Result<Header, BatchError> {
    // The magic byte stands at one place in all formats, and an old record may be shorter than a new header.
    match bytes.get(MAGIC_AT).map(|&magic| magic as i8) {
        None | Some(2) => {}
        Some(magic @ (0 | 1)) => return Err(BatchError::OldMagic { magic }),
        Some(magic) => return Err(BatchError::UnknownMagic { magic }),
    }
    let Some(head) = bytes.first_chunk::<HEADER_BYTES>() else {
        return Err(BatchError::TooShort { bytes: bytes.len() });
    };
    let length = i32::from_be_bytes(field(head, LENGTH_AT));
    if length < (HEADER_BYTES - PREFIX_BYTES) as i32 {
        return Err(BatchError::Length { length });
    }
    Ok(Header {
        base_offset: i64::from_be_bytes(field(head, 0)),
        bytes: length as u32 + PREFIX_BYTES as u32,
        leader_epoch: i32::from_be_bytes(field(head, EPOCH_AT)),
        crc: u32::from_be_bytes(field(head, CRC_AT)),
        attributes: i16::from_be_bytes(field(head, ATTRIBUTES_AT)),
        last_offset_delta: i32::from_be_bytes(field(head, 23)),
        base_timestamp: i64::from_be_bytes(field(head, 27)),
        max_timestamp: i64::from_be_bytes(field(head, MAX_TIMESTAMP_AT)),
        producer_id: i64::from_be_bytes(field(head, 43)),
        producer_epoch: i16::from_be_bytes(field(head, 51)),
        base_sequence: i32::from_be_bytes(field(head, 53)),
        record_count: i32::from_be_bytes(field(head, 57)),
    })
}

/// Exactly one batch that fills `bytes`, its CRC verified.
pub fn check(bytes: Bytes) -> Result<Batch, BatchError> {
    let batch = match trust(bytes.clone()) {
        Ok(batch) => batch,
        // Was it written so, or has a bit flipped on the way? Of the latter the client must hear: it sends again.
        Err(nonsense @ (BatchError::Count { .. } | BatchError::Codec { .. })) => {
            verify_crc(&bytes, &fields(&bytes)?)?;
            return Err(nonsense);
        }
        Err(error) => return Err(error),
    };
    verify_crc(&batch.bytes, &batch.header)?;
    Ok(batch)
}

/// Exactly one batch that fills `bytes`, its CRC believed: for bytes that were checked when they came.
pub fn trust(bytes: Bytes) -> Result<Batch, BatchError> {
    let header = parse(&bytes)?;
    let (claimed, present) = (u64::from(header.bytes), bytes.len());
    if claimed < present as u64 {
        return Err(BatchError::Trailing { claimed, present });
    }
    Ok(Batch { header, bytes })
}

/// The back-to-back batches of `bytes`, each a slice of it, CRCs believed. Ends after the first error.
pub fn split(bytes: Bytes) -> Split {
    Split { rest: bytes }
}

/// See [`split`].
#[derive(Clone, Debug)]
pub struct Split {
    rest: Bytes,
}

impl Iterator for Split {
    type Item = Result<Batch, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        Some(match parse(&self.rest) {
            Ok(header) => Ok(Batch { header, bytes: self.rest.split_to(header.bytes as usize) }),
            Err(error) => {
                self.rest = Bytes::new();
                Err(error)
            }
        })
    }
}

/// Whether the batch at the front of `bytes`, whose header is `header`, is what its checksum was made of.
pub fn verify_crc(bytes: &[u8], header: &Header) -> Result<(), BatchError> {
    let (claimed, present) = (u64::from(header.bytes), bytes.len());
    let Some(covered) = bytes.get(ATTRIBUTES_AT..header.bytes as usize) else {
        return Err(BatchError::Truncated { claimed, present });
    };
    let computed = crc32c::crc32c(covered);
    if computed == header.crc { Ok(()) } else { Err(BatchError::Crc { stored: header.crc, computed }) }
}

/// From this length on two CRCs are combined faster than the second is computed.
const COMBINE_FROM_BYTES: usize = 16 * 1024;

/// The CRC32C of what `crc` is of, with `batch` behind it. A long batch is not read: it is believed to match its own CRC.
pub fn crc_append(crc: u32, batch: &[u8]) -> u32 {
    match batch.get(CRC_AT..ATTRIBUTES_AT) {
        Some(&[a, b, c, d]) if batch.len() >= COMBINE_FROM_BYTES => {
            let head = crc32c::crc32c_append(crc, &batch[..ATTRIBUTES_AT]);
            crc32c::crc32c_combine(head, u32::from_be_bytes([a, b, c, d]), batch.len() - ATTRIBUTES_AT)
        }
        _ => crc32c::crc32c_append(crc, batch),
    }
}

/// Writes the batch's place in its log into it. Both fields lie outside the CRC.
pub fn stamp(batch: &mut [u8], base_offset: Offset, leader_epoch: u32) {
    assert!(batch.len() >= HEADER_BYTES, "only a whole batch is stamped");
    batch[..LENGTH_AT].copy_from_slice(&base_offset.0.to_be_bytes());
    batch[EPOCH_AT..MAGIC_AT].copy_from_slice(&leader_epoch.to_be_bytes());
}

/// Stamps the broker's time on a batch: sets the attribute and the max timestamp (which readers then take for every
/// record, KIP-32) and makes the CRC anew. `batch` is exactly one batch.
pub fn stamp_log_append_time(batch: &mut [u8], now: Timestamp) {
    assert!(batch.len() >= HEADER_BYTES, "only a whole batch is stamped");
    let attributes = i16::from_be_bytes([batch[ATTRIBUTES_AT], batch[ATTRIBUTES_AT + 1]]) | LOG_APPEND_TIME_BIT;
    batch[ATTRIBUTES_AT..ATTRIBUTES_AT + 2].copy_from_slice(&attributes.to_be_bytes());
    batch[MAX_TIMESTAMP_AT..MAX_TIMESTAMP_AT + 8].copy_from_slice(&now.0.to_be_bytes());
    seal(batch);
}

/// Makes the CRC of a batch whose covered bytes changed, and says it. `batch` is exactly one batch.
pub(crate) fn seal(batch: &mut [u8]) -> u32 {
    let crc = crc32c::crc32c(&batch[ATTRIBUTES_AT..]);
    batch[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
    crc
}

impl Batch {
    /// The bytes after the header, as they stand: perhaps compressed.
    pub fn records(&self) -> Bytes {
        self.bytes.slice(HEADER_BYTES..)
    }
}

impl Header {
    /// What Kafka demands of a client's batch beyond a sound header (its LogValidator): not empty, one record for each
    /// offset, no control batch, a producer id only together with epoch and sequence, no time of arrival.
    pub fn check_client(&self) -> Result<(), BatchError> {
        let (records, last_offset_delta) = (self.record_count, self.last_offset_delta);
        if records == 0 || records - 1 != last_offset_delta {
            return Err(BatchError::NotDense { records, last_offset_delta });
        }
        if self.is_control() {
            return Err(BatchError::Control);
        }
        if self.is_log_append_time() {
            return Err(BatchError::LogAppendTime);
        }
        let (id, epoch, sequence) = (self.producer_id, self.producer_epoch, self.base_sequence);
        let sound = if self.has_producer() { epoch >= 0 && sequence >= 0 } else { !self.is_transactional() };
        if sound { Ok(()) } else { Err(BatchError::Producer { id, epoch, sequence }) }
    }

    /// Writes all fields to the front of `batch`; the magic is 2.
    pub(crate) fn write(&self, batch: &mut [u8]) {
        let length = self.bytes as i32 - PREFIX_BYTES as i32;
        let mut rest = &mut batch[..HEADER_BYTES];
        let mut put = |field: &[u8]| {
            let (now, later) = std::mem::take(&mut rest).split_at_mut(field.len());
            now.copy_from_slice(field);
            rest = later;
        };
        put(&self.base_offset.to_be_bytes());
        put(&length.to_be_bytes());
        put(&self.leader_epoch.to_be_bytes());
        put(&[2]);
        put(&self.crc.to_be_bytes());
        put(&self.attributes.to_be_bytes());
        put(&self.last_offset_delta.to_be_bytes());
        put(&self.base_timestamp.to_be_bytes());
        put(&self.max_timestamp.to_be_bytes());
        put(&self.producer_id.to_be_bytes());
        put(&self.producer_epoch.to_be_bytes());
        put(&self.base_sequence.to_be_bytes());
        put(&self.record_count.to_be_bytes());
    }

    /// How the records are compressed. Never an error of a header that [`parse`] gave.
    pub fn codec(&self) -> Result<Codec, BatchError> {
        let id = (self.attributes & CODEC_BITS) as u8;
        Codec::of_id(id).ok_or(BatchError::Codec { id })
    }

    /// Every record's time is the max timestamp: the broker's, not the producer's.
    pub fn is_log_append_time(&self) -> bool {
        self.attributes & LOG_APPEND_TIME_BIT != 0
    }

    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL_BIT != 0
    }

    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL_BIT != 0
    }

    /// Compaction has marked when tombstones here may go (KIP-534): the base timestamp is that moment.
    pub fn has_delete_horizon(&self) -> bool {
        self.attributes & DELETE_HORIZON_BIT != 0
    }

    /// See [`Header::has_delete_horizon`].
    pub fn delete_horizon(&self) -> Option<Timestamp> {
        self.has_delete_horizon().then_some(Timestamp(self.base_timestamp))
    }

    pub fn has_producer(&self) -> bool {
        self.producer_id >= 0
    }

    /// The offsets the batch takes: its records and those compaction took away.
    pub fn offsets(&self) -> u64 {
        self.last_offset_delta as u64 + 1
    }

    /// The sequence of the last offset, -1 where the batch has none.
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return NONE as i32;
        }
        sequence_plus(self.base_sequence, self.last_offset_delta)
    }
}

/// The sequence `steps` after `sequence`, both not negative: after 2³¹-1 comes 0.
pub fn sequence_plus(sequence: i32, steps: i32) -> i32 {
    assert!(sequence >= 0 && steps >= 0, "sequences are counted forward from 0");
    (sequence as u32 + steps as u32) as i32 & i32::MAX
}

fn field<const N: usize>(head: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut bytes = [0; N];
    bytes.copy_from_slice(&head[at..at + N]);
    bytes
}

impl fmt::Display for BatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BatchError::TooShort { bytes } => {
                write!(f, "{bytes} bytes are too few for a batch header of {HEADER_BYTES}")
            }
            BatchError::OldMagic { magic } => write!(f, "record format {magic} is not kept, only format 2"),
            BatchError::UnknownMagic { magic } => write!(f, "record format {magic} is unknown"),
            BatchError::Length { length } => write!(f, "a batch cannot be {length} bytes long"),
            BatchError::Truncated { claimed, present } => {
                write!(f, "the batch has {claimed} bytes, only {present} came")
            }
            BatchError::Trailing { claimed, present } => {
                write!(f, "one batch of {claimed} bytes expected, {present} came")
            }
            BatchError::Crc { stored, computed } => write!(f, "stored CRC {stored:08x}, computed {computed:08x}"),
            BatchError::Codec { id } => write!(f, "compression codec {id} is unknown"),
            BatchError::Count { records, last_offset_delta } => {
                write!(f, "{records} records cannot have offset deltas up to {last_offset_delta}")
            }
            BatchError::NotDense { records, last_offset_delta } => {
                write!(f, "{records} records with offset deltas up to {last_offset_delta} are not one for each offset")
            }
            BatchError::Control => f.write_str("clients do not write control batches"),
            BatchError::Producer { id, epoch, sequence } => {
                write!(f, "producer id {id}, epoch {epoch} and sequence {sequence} do not go together")
            }
            BatchError::LogAppendTime => f.write_str("clients do not stamp the broker's time"),
        }
    }
}

impl std::error::Error for BatchError {}

#[cfg(test)]
mod tests;
