//! The bytes of a journal file: two copies of its header, then frames. Pure: no IO, no clock, no chance.
//!
//! ```text
//! file    0        4096      8192
//!         ├ header ┤ header  ├ frame ┤ frame ┤ ... ┤ zeros, or what an earlier use of the file left
//!
//! header  magic "IFJF" 4 │ version u32 │ salt 16 │ sequence u64 │ previous u64 │ first u64 │ claim u64 │ 0 u32 │ crc u32
//!         (64 bytes; crc: CRC32C of the 60 before it)
//!
//! frame   magic "IFJR" 4 │ kind u8 │ 0 ×3 │ salt 16 │ number u64 │ durable u64 │ at u64 │ length u32 │ 0 u32
//!         │ body crc u32 │ header crc u32 │ payload │ zeros up to a multiple of 64
//!         (body crc: CRC32C of the first 56 bytes and the payload; header crc: of the 60 bytes before it)
//! ```
//!
//! Integers are little-endian. A frame belongs to one place: its salt is the file's, drawn anew for every use of a file,
//! and `at` is where it begins. So neither a recycled file's old frames, nor a block written to the wrong place, nor a
//! payload that looks like a frame is ever taken for one.

use super::FrameNo;

/// Where a frame may begin: at multiples of this.
pub(super) const ALIGN: u64 = 64;
/// The size of a file's header and of a frame's.
pub(super) const HEADER_BYTES: usize = 64;
/// Where the two copies of a file's header stand: in different pages, so that one bad page leaves the other.
pub(super) const COPIES: [u64; 2] = [0, 4096];
/// Where the first frame begins.
pub(super) const START: u64 = 8192;
/// The largest payload; what is longer is no frame.
pub(super) const PAYLOAD_MAX: u64 = 1 << 30;
/// The largest number of a frame or file; a file that claims more is damaged.
pub(super) const NUMBER_MAX: u64 = 1 << 62;
pub(super) const VERSION: u32 = 1;

const FILE_MAGIC: [u8; 4] = *b"IFJF";
const FRAME_MAGIC: [u8; 4] = *b"IFJR";

/// 128 bits of chance that say which use of a file a frame was written in.
pub(super) type Salt = [u8; 16];

/// The whole length in the file of a frame with so long a payload.
pub(super) const fn frame_bytes(payload: u64) -> u64 {
    (HEADER_BYTES as u64 + payload).next_multiple_of(ALIGN)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileHeader {
    pub salt: Salt,
    /// Of the file; also its name.
    pub sequence: u64,
    /// The sequence of the file before it, 0 if there was none.
    pub previous: u64,
    /// The number of its first frame, 0 as long as the file waits to be used.
    pub first: FrameNo,
    /// Every frame up to this was durable when the file was begun.
    pub claim: FrameNo,
}

/// What stands where a file's header should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeaderRead {
    Good(FileHeader),
    /// Whole, and of a version we do not know.
    Foreign(u32),
    Bad,
}

impl FileHeader {
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[0..4].copy_from_slice(&FILE_MAGIC);
        out[4..8].copy_from_slice(&VERSION.to_le_bytes());
        out[8..24].copy_from_slice(&self.salt);
        out[24..32].copy_from_slice(&self.sequence.to_le_bytes());
        out[32..40].copy_from_slice(&self.previous.to_le_bytes());
        out[40..48].copy_from_slice(&self.first.to_le_bytes());
        out[48..56].copy_from_slice(&self.claim.to_le_bytes());
        let crc = crc32c::crc32c(&out[..60]);
        out[60..64].copy_from_slice(&crc.to_le_bytes());
        out
    }

    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> HeaderRead {
        if bytes[0..4] != FILE_MAGIC || crc32c::crc32c(&bytes[..60]) != u32_at(bytes, 60) {
            return HeaderRead::Bad;
        }
        if u32_at(bytes, 4) != VERSION {
            return HeaderRead::Foreign(u32_at(bytes, 4));
        }
        if u64_at(bytes, 40) > NUMBER_MAX || u64_at(bytes, 48) > NUMBER_MAX {
            return HeaderRead::Bad;
        }
        let mut salt = Salt::default();
        salt.copy_from_slice(&bytes[8..24]);
        HeaderRead::Good(FileHeader {
            salt,
            sequence: u64_at(bytes, 24),
            previous: u64_at(bytes, 32),
            first: u64_at(bytes, 40),
            claim: u64_at(bytes, 48),
        })
    }
}

/// What stands where a frame's header might.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameRead {
    Good(FrameHeader),
    /// Written in this use of the file, and no longer whole or not in its place.
    Damaged,
    /// Nothing of this use.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    pub kind: u8,
    pub number: FrameNo,
    /// Every frame up to this was durable when this one was written; less than its number.
    pub durable: FrameNo,
    /// Where in the file the frame begins.
    pub at: u64,
    /// Of the payload, in bytes.
    pub length: u32,
}

impl FrameHeader {
    /// The header bytes of a frame whose payload is these slices, one behind the other, with this CRC32C if it is known.
    pub fn encode(&self, salt: &Salt, payload: &[&[u8]], payload_crc: Option<u32>) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[0..4].copy_from_slice(&FRAME_MAGIC);
        out[4] = self.kind;
        out[8..24].copy_from_slice(salt);
        out[24..32].copy_from_slice(&self.number.to_le_bytes());
        out[32..40].copy_from_slice(&self.durable.to_le_bytes());
        out[40..48].copy_from_slice(&self.at.to_le_bytes());
        out[48..52].copy_from_slice(&self.length.to_le_bytes());
        let head = crc32c::crc32c(&out[..56]);
        let read = || payload.iter().fold(head, |crc, slice| crc32c::crc32c_append(crc, slice));
        let body = match payload_crc {
            Some(known) => crc32c::crc32c_combine(head, known, self.length as usize),
            None => read(),
        };
        debug_assert_eq!(body, read(), "the CRC that was said to be the payload's");
        out[56..60].copy_from_slice(&body.to_le_bytes());
        let crc = crc32c::crc32c(&out[..60]);
        out[60..64].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// What stands at this place of a file with this salt.
    pub fn decode(bytes: &[u8; HEADER_BYTES], salt: &Salt, at: u64) -> FrameRead {
        if bytes[0..4] != FRAME_MAGIC || bytes[8..24] != *salt {
            return FrameRead::Other;
        }
        let (number, durable, length) = (u64_at(bytes, 24), u64_at(bytes, 32), u32_at(bytes, 48));
        let whole = crc32c::crc32c(&bytes[..60]) == u32_at(bytes, 60);
        if whole
            && u64_at(bytes, 40) == at
            && number > durable
            && number <= NUMBER_MAX
            && u64::from(length) <= PAYLOAD_MAX
        {
            FrameRead::Good(FrameHeader { kind: bytes[4], number, durable, at, length })
        } else {
            FrameRead::Damaged
        }
    }

    /// Is this the payload that the (already decoded) header was written with?
    pub fn fits(header: &[u8; HEADER_BYTES], payload: &[u8]) -> bool {
        crc32c::crc32c_append(crc32c::crc32c(&header[..56]), payload) == u32_at(header, 56)
    }
}

fn u32_at(bytes: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8; HEADER_BYTES], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
