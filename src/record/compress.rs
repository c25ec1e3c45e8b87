//! The four codecs of record batches, each way. Never trusts a size that compressed bytes claim: output grows only as
//! far as it is really written, and never over the limits.
//!
//! ```text
//! gzip    one or more members (RFC 1952)
//! snappy  82 'SNAPPY' 00 │ version i32 │ compatible i32 │ { length i32 │ raw snappy }*    as snappy-java writes
//!         or one raw snappy block                                                        as some other clients do
//! lz4     04 22 4d 18 │ flags │ block size │ [content size u64le] │ check u8
//!         { length u32le, high bit: stored │ block │ [check u32le] }* │ 0 u32 │ [check u32le]
//! zstd    frames of RFC 8878
//! ```
//! Magic 2 needs no trace of the wrong header checksum that Kafka wrote with magic 0 (KIP-57). The checksums within lz4
//! frames are not verified: the CRC of the batch covers the same bytes.

use std::fmt;
use std::io::{self, Read, Write};

/// How the records of a batch are compressed; the numbers are those of the batch attributes (KIP-98, KIP-110).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Codec {
    None = 0,
    Gzip = 1,
    Snappy = 2,
    Lz4 = 3,
    Zstd = 4,
}

/// What opening a batch may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most decompressed bytes.
    pub max_bytes: usize,
    /// The most decompressed bytes for each compressed one; the first [`RATIO_FREE_BYTES`] are not asked for it, as a
    /// short batch of like records honestly shrinks to almost nothing.
    pub max_ratio: usize,
}

/// Output that no ratio forbids.
pub const RATIO_FREE_BYTES: usize = 1 << 20;
/// The largest zstd window that is opened: what RFC 8878 asks every decoder to support. Levels 20 and up can want more.
pub const ZSTD_WINDOW_LOG: u32 = 23;

/// Why compressed bytes were not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressError {
    /// More would come out than the limits allow.
    TooLarge { codec: Codec, limit_bytes: usize },
    /// A zstd frame wants to look back further than [`ZSTD_WINDOW_LOG`] allows.
    Window { window_bytes: u64, limit_bytes: u64 },
    /// Not what the codec writes; says where it was noticed.
    Corrupt { codec: Codec, what: &'static str },
}

const SNAPPY_JAVA_MAGIC: &[u8; 8] = b"\x82SNAPPY\0";
const SNAPPY_JAVA_HEADER: &[u8; 16] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
const SNAPPY_BLOCK_BYTES: usize = 32 * 1024;
/// Raw snappy's densest element is a copy of 64 bytes in 3.
const SNAPPY_MAX_RATIO: usize = 22;

const LZ4_MAGIC: u32 = 0x184D_2204;
const LZ4_WINDOW_BYTES: usize = 64 * 1024;
/// An lz4 block's densest part is a length byte that stands for 255.
const LZ4_MAX_RATIO: usize = 255;

/// Below this the library searches as fast as it does by itself, above there is nothing more to search.
const LZ4_HIGH_FROM: i32 = 3;
const LZ4_HIGH_TO: i32 = 12;

const ZSTD_MAGIC: u32 = 0xFD2F_B528;
const ZSTD_LEVEL: i32 = 3;
const ZSTD_WIDE_FROM: i32 = 20;

impl Codec {
    pub const ALL: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

    pub fn of_id(id: u8) -> Option<Codec> {
        Codec::ALL.get(usize::from(id)).copied()
    }

    pub fn id(self) -> u8 {
        self as u8
    }
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { max_bytes: 64 << 20, max_ratio: 16 << 10 }
    }
}

impl Limits {
    fn for_input(self, compressed: &[u8]) -> usize {
        self.max_bytes.min(compressed.len().saturating_mul(self.max_ratio).max(RATIO_FREE_BYTES))
    }
}

/// Everything that `compressed` stands for.
pub fn decompress(codec: Codec, compressed: &[u8], limits: Limits) -> Result<Vec<u8>, CompressError> {
    let mut output = Output { bytes: Vec::new(), codec, limit_bytes: limits.for_input(compressed) };
    match codec {
        Codec::None => {
            output.room(compressed.len())?;
            output.bytes.extend_from_slice(compressed);
        }
        Codec::Gzip => output.read_all(flate2::bufread::MultiGzDecoder::new(compressed), compressed.len())?,
        Codec::Snappy => snappy(compressed, &mut output)?,
        Codec::Lz4 => lz4(compressed, &mut output)?,
        Codec::Zstd => zstd(compressed, &mut output)?,
    }
    Ok(output.bytes)
}

/// Appends the compressed form of `plain` to `out`, in the framing that Kafka's own clients write. `level` is the codec's
/// own measure of effort (`None`: what the codec does by itself); none and snappy have no levels.
pub fn compress(codec: Codec, level: Option<i32>, plain: &[u8], out: &mut Vec<u8>) {
    let done = match (codec, level) {
        (Codec::None, _) => out.write_all(plain),
        (Codec::Gzip, level) => compress_gzip(level, plain, out),
        (Codec::Snappy, _) => compress_snappy(plain, out),
        (Codec::Lz4, None) => compress_lz4(plain, out),
        (Codec::Lz4, Some(level)) => compress_lz4_high(level, plain, out),
        (Codec::Zstd, level) => compress_zstd(level, plain, out),
    };
    // A codec fails only when its writer does, and a Vec never does.
    assert!(done.is_ok(), "compressing into memory failed: {done:?}");
}

/// Decompressed bytes with a limit.
struct Output {
    bytes: Vec<u8>,
    codec: Codec,
    limit_bytes: usize,
}

impl Output {
    fn too_large(&self) -> CompressError {
        CompressError::TooLarge { codec: self.codec, limit_bytes: self.limit_bytes }
    }

    fn corrupt(&self, what: &'static str) -> CompressError {
        CompressError::Corrupt { codec: self.codec, what }
    }

    /// Refuses `more` further bytes if they would go over the limit.
    fn room(&self, more: usize) -> Result<(), CompressError> {
        if more > self.limit_bytes - self.bytes.len() { Err(self.too_large()) } else { Ok(()) }
    }

    /// Reads a decoder to its end or to the limit. The buffer doubles with what was really written into it.
    fn read_all(&mut self, decoder: impl Read, compressed_bytes: usize) -> Result<(), CompressError> {
        self.bytes.reserve(compressed_bytes.saturating_mul(4).min(self.limit_bytes));
        let limit = (self.limit_bytes as u64).saturating_add(1);
        decoder.take(limit).read_to_end(&mut self.bytes).map_err(|_| self.corrupt("the stream"))?;
        if self.bytes.len() > self.limit_bytes { Err(self.too_large()) } else { Ok(()) }
    }
}

fn snappy(compressed: &[u8], output: &mut Output) -> Result<(), CompressError> {
    if !compressed.starts_with(SNAPPY_JAVA_MAGIC) {
        return snappy_block(compressed, output);
    }
    let mut rest = compressed.get(SNAPPY_JAVA_HEADER.len()..).ok_or(output.corrupt("the stream header"))?;
    while !rest.is_empty() {
        let length = take(&mut rest, 4).ok_or(output.corrupt("a block length"))?;
        let length = be_u32(length) as usize;
        let block = take(&mut rest, length).ok_or(output.corrupt("a block that ends early"))?;
        snappy_block(block, output)?;
    }
    Ok(())
}

fn snappy_block(block: &[u8], output: &mut Output) -> Result<(), CompressError> {
    let claimed = snap::raw::decompress_len(block).map_err(|_| output.corrupt("a block header"))?;
    if claimed > block.len().saturating_mul(SNAPPY_MAX_RATIO) {
        return Err(output.corrupt("a block size that cannot be"));
    }
    output.room(claimed)?;
    let start = output.bytes.len();
    output.bytes.resize(start + claimed, 0);
    let decoded = snap::raw::Decoder::new().decompress(block, &mut output.bytes[start..]);
    if matches!(decoded, Ok(bytes) if bytes == claimed) { Ok(()) } else { Err(output.corrupt("a block")) }
}

fn lz4(compressed: &[u8], output: &mut Output) -> Result<(), CompressError> {
    let mut rest = compressed;
    let head = take(&mut rest, 6).ok_or(output.corrupt("the frame header"))?;
    let (flags, block_size) = (head[4], head[5]);
    let (version, dictionary) = (flags >> 6, flags & 1 != 0);
    if le_u32(head) != LZ4_MAGIC || version != 1 || dictionary {
        return Err(output.corrupt("the frame header"));
    }
    let block_limit = match block_size >> 4 & 7 {
        code @ 4..=7 => 1 << (8 + 2 * code),
        _ => return Err(output.corrupt("the block size")),
    };
    let (content_check, content_size, block_check) = (flags & 4 != 0, flags & 8 != 0, flags & 16 != 0);
    // The claimed content size is passed over like the checksums: what comes out is what counts.
    let unread = if content_size { 9 } else { 1 };
    take(&mut rest, unread).ok_or(output.corrupt("the frame header"))?;
    loop {
        let length = le_u32(take(&mut rest, 4).ok_or(output.corrupt("a block length"))?);
        if length == 0 {
            break;
        }
        let (length, stored) = ((length & i32::MAX as u32) as usize, length >> 31 != 0);
        let block = take(&mut rest, length).ok_or(output.corrupt("a block that ends early"))?;
        if length > block_limit {
            return Err(output.corrupt("a block larger than the frame allows"));
        }
        if stored {
            output.room(length)?;
            output.bytes.extend_from_slice(block);
        } else {
            lz4_block(block, block_limit, output)?;
        }
        if block_check {
            take(&mut rest, 4).ok_or(output.corrupt("a block checksum"))?;
        }
    }
    let trailer = if content_check { 4 } else { 0 };
    if rest.len() == trailer { Ok(()) } else { Err(output.corrupt("bytes after the frame")) }
}

fn lz4_block(block: &[u8], block_limit: usize, output: &mut Output) -> Result<(), CompressError> {
    let start = output.bytes.len();
    let left = output.limit_bytes - start;
    let most = block_limit.min(block.len().saturating_mul(LZ4_MAX_RATIO));
    output.bytes.resize(start + most.min(left), 0);
    // Linked blocks look back into what came before them; independent ones simply do not.
    let (before, room) = output.bytes.split_at_mut(start);
    let window = &before[start.saturating_sub(LZ4_WINDOW_BYTES)..];
    match lz4_flex::block::decompress_into_with_dict(block, room, window) {
        Ok(written) => {
            output.bytes.truncate(start + written);
            Ok(())
        }
        Err(lz4_flex::block::DecompressError::OutputTooSmall { .. }) if left < most => Err(output.too_large()),
        Err(_) => Err(output.corrupt("a block")),
    }
}

fn zstd(compressed: &[u8], output: &mut Output) -> Result<(), CompressError> {
    let limit_bytes = 1 << ZSTD_WINDOW_LOG;
    match zstd_window(compressed) {
        Some(window_bytes) if window_bytes > limit_bytes => {
            return Err(CompressError::Window { window_bytes, limit_bytes });
        }
        Some(_) => {}
        None => return Err(output.corrupt("the frame header")),
    }
    // The library checks the window again, for the frames that follow the first.
    let decoder = zstd::stream::read::Decoder::with_buffer(compressed).and_then(|mut decoder| {
        decoder.window_log_max(ZSTD_WINDOW_LOG)?;
        Ok(decoder)
    });
    let decoder = decoder.map_err(|_| output.corrupt("the decoder"))?;
    output.read_all(decoder, compressed.len())
}

/// The window that the first frame asks for (RFC 8878 §3.1.1.1); `None` if this is no zstd frame.
fn zstd_window(frame: &[u8]) -> Option<u64> {
    let mut rest = frame;
    let head = take(&mut rest, 5)?;
    if le_u32(head) != ZSTD_MAGIC {
        return None;
    }
    let descriptor = head[4];
    let single_segment = descriptor & 0x20 != 0;
    if !single_segment {
        let window = take(&mut rest, 1)?[0];
        let base = 1_u64 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    // One segment: the window is the content. (A size of two bytes counts from 256, which no limit here notices.)
    take(&mut rest, [0, 1, 2, 4][usize::from(descriptor & 3)])?;
    let size_bytes = 1 << (descriptor >> 6);
    Some(take(&mut rest, size_bytes)?.iter().rev().fold(0, |size, &byte| size << 8 | u64::from(byte)))
}

fn compress_gzip(level: Option<i32>, plain: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let level =
        level.map_or(flate2::Compression::default(), |level| flate2::Compression::new(level.clamp(1, 9) as u32));
    let mut encoder = flate2::write::GzEncoder::new(out, level);
    encoder.write_all(plain)?;
    encoder.finish().map(drop)
}

fn compress_snappy(plain: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    out.extend_from_slice(SNAPPY_JAVA_HEADER);
    let mut encoder = snap::raw::Encoder::new();
    for block in plain.chunks(SNAPPY_BLOCK_BYTES) {
        let start = out.len();
        out.resize(start + 4 + snap::raw::max_compress_len(block.len()), 0);
        let length = encoder.compress(block, &mut out[start + 4..])?;
        out[start..start + 4].copy_from_slice(&(length as u32).to_be_bytes());
        out.truncate(start + 4 + length);
    }
    Ok(())
}

fn compress_lz4(plain: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    let info = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
    let mut encoder = FrameEncoder::with_frame_info(info, out);
    encoder.write_all(plain)?;
    encoder.finish().map(drop).map_err(io::Error::other)
}

/// lz4's slower search, which takes only the blocks' bytes another way: readers notice nothing.
fn compress_lz4_high(level: i32, plain: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let mut encoder = lz4::EncoderBuilder::new()
        .block_size(lz4::BlockSize::Max64KB)
        .block_mode(lz4::BlockMode::Independent)
        .block_checksum(lz4::liblz4::BlockChecksum::NoBlockChecksum)
        .checksum(lz4::ContentChecksum::NoChecksum)
        .level(level.clamp(LZ4_HIGH_FROM, LZ4_HIGH_TO) as u32)
        .build(out)?;
    encoder.write_all(plain)?;
    encoder.finish().1
}

fn compress_zstd(level: Option<i32>, plain: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let mut encoder = zstd::stream::write::Encoder::new(out, level.unwrap_or(ZSTD_LEVEL))?;
    if level.is_some_and(|level| level >= ZSTD_WIDE_FROM) {
        // Left alone, these levels look back further than every decoder has to be able to.
        encoder.window_log(ZSTD_WINDOW_LOG)?;
    }
    encoder.write_all(plain)?;
    encoder.finish().map(drop)
}

fn take<'a>(rest: &mut &'a [u8], bytes: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(bytes)?;
    *rest = left;
    Some(taken)
}

fn be_u32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

fn le_u32(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Codec::None => "none",
            Codec::Gzip => "gzip",
            Codec::Snappy => "snappy",
            Codec::Lz4 => "lz4",
            Codec::Zstd => "zstd",
        })
    }
}

impl fmt::Display for CompressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CompressError::TooLarge { codec, limit_bytes } => write!(f, "{codec} holds more than {limit_bytes} bytes"),
            CompressError::Window { window_bytes, limit_bytes } => {
                write!(f, "zstd asks for a window of {window_bytes} bytes, {limit_bytes} are allowed")
            }
            CompressError::Corrupt { codec, what } => write!(f, "{codec} is damaged: {what}"),
        }
    }
}

impl std::error::Error for CompressError {}

#[cfg(test)]
mod tests;
