//! Reading and writing Kafka's primitive types. A reader never trusts a length: what it announces must be there before
//! anything is made of it, and vectors grow in steps while their elements arrive. No message is known here.
//!
//! ```text
//!            classic                                  flexible (KIP-482)
//! string     i16 length, -1 = null │ UTF-8            uvarint length + 1, 0 = null │ UTF-8
//! bytes      i32 length, -1 = null │ bytes            uvarint length + 1, 0 = null │ bytes
//! array      i32 count,  -1 = null │ elements         uvarint count + 1,  0 = null │ elements
//! struct     fields                                   fields │ tagged fields
//! tags       -                                        uvarint count │ { uvarint tag │ uvarint size │ field }
//! ```

use bytes::{Bytes, BytesMut};

use super::error::{What, WireError};
use super::rope::Rope;

/// Memory that one message may take once decoded, beside the bytes it arrived in (strings are copied, structs are
/// larger than their bytes). Far above any honest request: a hundred thousand topics take about 10 MiB.
pub const DECODED_LIMIT_BYTES: usize = 64 << 20;

/// Vectors grow by at most this much at a time, so that memory follows the bytes that really came.
pub const STEP_BYTES: usize = 64 << 10;

/// Byte slices of at least this size are shared with the rope; below it a copy is cheaper than one more piece.
pub const SHARE_BYTES: usize = 512;

/// Reads values from a buffer. Byte fields are slices of that buffer.
#[derive(Debug)]
pub struct Reader {
    bytes: Bytes,
    position: usize,
    limit: usize,
    decoded: usize,
    message: &'static str,
    field: &'static str,
}

/// Where the next tagged fields of one struct stand.
#[derive(Debug)]
pub struct Tags {
    left: u32,
    last: Option<u32>,
}

/// One tagged field on the wire: its number and where it must end.
#[derive(Clone, Copy, Debug)]
pub struct Tag {
    pub number: u32,
    start: usize,
    end: usize,
}

impl Reader {
    /// Reads from the start of `bytes`; the decoded value may take `DECODED_LIMIT_BYTES`.
    pub fn new(bytes: Bytes) -> Reader {
        Reader::with_limit(bytes, DECODED_LIMIT_BYTES)
    }

    /// Reads from the start of `bytes`; the decoded value may take `limit_bytes` of memory.
    pub fn with_limit(bytes: Bytes, limit_bytes: usize) -> Reader {
        Reader { bytes, position: 0, limit: limit_bytes, decoded: 0, message: "", field: "" }
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.position
    }

    /// Bytes not read yet.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    /// What has not been read yet, shared.
    pub fn rest(&self) -> Bytes {
        self.bytes.slice(self.position..)
    }

    /// Memory that decoded strings and vectors have taken so far.
    pub fn decoded_bytes(&self) -> usize {
        self.decoded
    }

    /// Errors from here on name this struct and field.
    pub fn at(&mut self, message: &'static str, field: &'static str) {
        self.message = message;
        self.field = field;
    }

    pub fn error(&self, what: What) -> WireError {
        WireError { what, message: self.message, field: self.field, position: self.position }
    }

    /// Refuses bytes behind the message.
    pub fn finish(&self) -> Result<(), WireError> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(self.error(What::Trailing(left))),
        }
    }

    /// Makes sure that `needed` bytes are there.
    fn need(&self, needed: usize) -> Result<(), WireError> {
        let left = self.remaining();
        if needed > left { Err(self.error(What::Truncated { needed, left })) } else { Ok(()) }
    }

    pub fn fixed<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        self.need(N)?;
        let mut out = [0; N];
        out.copy_from_slice(&self.bytes[self.position..self.position + N]);
        self.position += N;
        Ok(out)
    }

    pub fn i8(&mut self) -> Result<i8, WireError> {
        Ok(i8::from_be_bytes(self.fixed()?))
    }

    pub fn i16(&mut self) -> Result<i16, WireError> {
        Ok(i16::from_be_bytes(self.fixed()?))
    }

    pub fn i32(&mut self) -> Result<i32, WireError> {
        Ok(i32::from_be_bytes(self.fixed()?))
    }

    pub fn i64(&mut self) -> Result<i64, WireError> {
        Ok(i64::from_be_bytes(self.fixed()?))
    }

    /// An unsigned varint of at most 32 bits, in at most five bytes.
    pub fn uvarint(&mut self) -> Result<u32, WireError> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.fixed()?;
            let bits = u32::from(byte & 0x7f);
            if shift == 28 && bits > 0x0f {
                return Err(self.error(What::Varint));
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.error(What::Varint))
    }

    /// The length of a string, null as `None`. The bytes themselves have not been looked for yet.
    pub fn string_length(&mut self, flexible: bool) -> Result<Option<usize>, WireError> {
        let length = if flexible { self.compact_length()? } else { i64::from(self.i16()?) };
        // Kafka's strings never exceed what the classic form can say, in the flexible form neither.
        if length > i64::from(i16::MAX) { Err(self.error(What::Length(length))) } else { self.length(length) }
    }

    /// The length of a byte field or the count of an array, null as `None`.
    pub fn bytes_length(&mut self, flexible: bool) -> Result<Option<usize>, WireError> {
        let length = if flexible { self.compact_length()? } else { i64::from(self.i32()?) };
        if length > i64::from(i32::MAX) { Err(self.error(What::Length(length))) } else { self.length(length) }
    }

    fn compact_length(&mut self) -> Result<i64, WireError> {
        Ok(i64::from(self.uvarint()?) - 1)
    }

    fn length(&self, length: i64) -> Result<Option<usize>, WireError> {
        match length {
            -1 => Ok(None),
            _ => usize::try_from(length).map(Some).map_err(|_| self.error(What::Length(length))),
        }
    }

    /// The next `length` bytes, shared with the buffer.
    pub fn slice(&mut self, length: usize) -> Result<Bytes, WireError> {
        self.need(length)?;
        let slice = self.bytes.slice(self.position..self.position + length);
        self.position += length;
        Ok(slice)
    }

    /// The next `length` bytes as text, copied.
    pub fn text(&mut self, length: usize) -> Result<String, WireError> {
        self.need(length)?;
        let text = std::str::from_utf8(&self.bytes[self.position..self.position + length]);
        let text = text.map_err(|_| self.error(What::Utf8))?.to_owned();
        self.charge(length)?;
        self.position += length;
        Ok(text)
    }

    /// A nullable string in the classic or the flexible form.
    pub fn string(&mut self, flexible: bool) -> Result<Option<String>, WireError> {
        match self.string_length(flexible)? {
            None => Ok(None),
            Some(length) => self.text(length).map(Some),
        }
    }

    /// Refuses a count that the rest of the bytes cannot hold if every element takes at least `min_bytes`.
    pub fn fits(&self, count: usize, min_bytes: usize) -> Result<(), WireError> {
        let left = self.remaining();
        if count > left / min_bytes.max(1) { Err(self.error(What::TooMany { count, left })) } else { Ok(()) }
    }

    /// Makes room in `vec` for its next element, `left` more being announced.
    pub fn grow<T>(&mut self, vec: &mut Vec<T>, left: usize) -> Result<(), WireError> {
        if vec.len() < vec.capacity() {
            return Ok(());
        }
        let size = size_of::<T>().max(1);
        let step = left.min((STEP_BYTES / size).max(1));
        self.charge(step * size)?;
        vec.reserve_exact(step);
        Ok(())
    }

    /// Counts memory against the limit of this reader.
    fn charge(&mut self, bytes: usize) -> Result<(), WireError> {
        self.decoded = self.decoded.saturating_add(bytes);
        if self.decoded > self.limit { Err(self.error(What::Memory { limit: self.limit })) } else { Ok(()) }
    }

    /// Begins the tagged fields of a struct.
    pub fn tags(&mut self) -> Result<Tags, WireError> {
        let left = self.uvarint()?;
        self.fits(left as usize, 2)?;
        Ok(Tags { left, last: None })
    }

    /// The next tagged field, if there is one. Every tag must be larger than the one before it (KIP-482).
    pub fn next_tag(&mut self, tags: &mut Tags) -> Result<Option<Tag>, WireError> {
        if tags.left == 0 {
            return Ok(None);
        }
        tags.left -= 1;
        let number = self.uvarint()?;
        if let Some(after) = tags.last.filter(|last| number <= *last) {
            return Err(self.error(What::Tag { tag: number, after }));
        }
        tags.last = Some(number);
        let size = self.uvarint()? as usize;
        self.need(size)?;
        Ok(Some(Tag { number, start: self.position, end: self.position + size }))
    }

    /// Steps over a tagged field that nobody here knows.
    pub fn skip_tag(&mut self, tag: Tag) {
        self.position = tag.end;
    }

    /// Refuses a tagged field that was shorter or longer than announced.
    pub fn end_tag(&mut self, tag: Tag) -> Result<(), WireError> {
        if self.position == tag.end {
            return Ok(());
        }
        let (announced, actual) = (tag.end - tag.start, self.position - tag.start);
        Err(self.error(What::TagSize { tag: tag.number, announced, actual }))
    }
}

/// Writes values into a rope, or only counts their bytes.
#[derive(Debug)]
pub struct Writer {
    tail: BytesMut,
    rope: Rope,
    written: usize,
    copied: usize,
    counting: bool,
    message: &'static str,
    field: &'static str,
}

impl Default for Writer {
    fn default() -> Writer {
        Writer::new()
    }
}

impl Writer {
    pub fn new() -> Writer {
        Writer::with_capacity(0)
    }

    /// Room for `bytes` bytes that are not shared slices.
    pub fn with_capacity(bytes: usize) -> Writer {
        Writer {
            tail: BytesMut::with_capacity(bytes),
            rope: Rope::new(),
            written: 0,
            copied: 0,
            counting: false,
            message: "",
            field: "",
        }
    }

    /// A writer that keeps nothing and only counts.
    pub fn counting() -> Writer {
        Writer { counting: true, ..Writer::new() }
    }

    /// Bytes written so far.
    pub fn written(&self) -> usize {
        self.written
    }

    /// Bytes among them that are not shared slices.
    pub fn copied(&self) -> usize {
        self.copied
    }

    /// Errors from here on name this struct and field.
    pub fn at(&mut self, message: &'static str, field: &'static str) {
        self.message = message;
        self.field = field;
    }

    pub fn error(&self, what: What) -> WireError {
        WireError { what, message: self.message, field: self.field, position: self.written }
    }

    pub fn put(&mut self, bytes: &[u8]) {
        self.written += bytes.len();
        self.copied += bytes.len();
        if !self.counting {
            self.tail.extend_from_slice(bytes);
        }
    }

    /// Adds bytes without copying them, if they are worth a piece of their own.
    pub fn share(&mut self, bytes: &Bytes) {
        if bytes.len() < SHARE_BYTES {
            return self.put(bytes);
        }
        self.written += bytes.len();
        if !self.counting {
            self.rope.push(self.tail.split().freeze());
            self.rope.push(bytes.clone());
        }
    }

    /// An unsigned varint of at most 32 bits.
    pub fn uvarint(&mut self, mut value: u32) {
        let mut out = [0u8; 5];
        let mut used = 0;
        while value >= 0x80 {
            out[used] = (value & 0x7f) as u8 | 0x80;
            value >>= 7;
            used += 1;
        }
        out[used] = value as u8;
        self.put(&out[..=used]);
    }

    /// The length of a string; `None` is null.
    pub fn string_length(&mut self, length: Option<usize>, flexible: bool) -> Result<(), WireError> {
        let length = self.length(length, i16::MAX as usize)?;
        if flexible {
            self.uvarint((length + 1) as u32)
        } else {
            self.put(&(length as i16).to_be_bytes())
        }
        Ok(())
    }

    /// The length of a byte field or the count of an array; `None` is null.
    pub fn bytes_length(&mut self, length: Option<usize>, flexible: bool) -> Result<(), WireError> {
        let length = self.length(length, i32::MAX as usize)?;
        if flexible {
            self.uvarint((length + 1) as u32)
        } else {
            self.put(&(length as i32).to_be_bytes())
        }
        Ok(())
    }

    fn length(&self, length: Option<usize>, largest: usize) -> Result<i64, WireError> {
        match length {
            None => Ok(-1),
            Some(length) if length > largest => Err(self.error(What::Length(length as i64))),
            Some(length) => Ok(length as i64),
        }
    }

    /// A nullable string in the classic or the flexible form.
    pub fn string(&mut self, text: Option<&str>, flexible: bool) -> Result<(), WireError> {
        self.string_length(text.map(str::len), flexible)?;
        self.put(text.unwrap_or("").as_bytes());
        Ok(())
    }

    /// Announces one tagged field.
    pub fn tag(&mut self, number: u32, size: usize) -> Result<(), WireError> {
        let size = self.length(Some(size), i32::MAX as usize)?;
        self.uvarint(number);
        self.uvarint(size as u32);
        Ok(())
    }

    /// Everything written, in pieces.
    pub fn finish(mut self) -> Rope {
        self.rope.push(self.tail.freeze());
        self.rope
    }
}
