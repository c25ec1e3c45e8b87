//! The 61-byte header of a record batch (magic 2): parse, check, stamp. Never opens the records.
//!
//! ```text
//!  0 base offset i64 │ 8 length i32 (of what follows) │ 12 leader epoch i32 │ 16 magic i8 = 2 │ 17 crc32c u32
//! 21 attributes i16 (0-2 codec, 3 log append time, 4 transactional, 5 control, 6 delete horizon)
//! 23 last offset delta i32 │ 27 base timestamp i64 │ 35 max timestamp i64 │ 43 producer id i64
//! 51 producer epoch i16 │ 53 base sequence i32 │ 57 record count i32 │ 61 records …
//! ```
//! The crc covers everything from the attributes on: base offset and leader epoch can be stamped without touching it.

use bytes::Bytes;

pub const HEADER_BYTES: usize = 61;

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

/// Exactly one batch whose length, magic and CRC have been checked.
#[derive(Clone, Debug)]
pub struct Batch {
    pub header: Header,
    pub bytes: Bytes,
}
