//! The records inside a batch: opened (decompressed if need be), then read one by one as slices of the opened bytes.
//! Nothing malformed panics, and nothing is allocated because of a number the bytes claim.
//!
//! ```text
//! length varint │ attributes i8 (unused) │ timestamp delta varint │ offset delta varint
//! key length varint (-1: null) │ key │ value length varint (-1: null) │ value
//! header count varint │ { key length varint │ key │ value length varint (-1: null) │ value }*
//! ```
//! Control record: key = version i16 = 0 │ type i16 (0 abort, 1 commit); value = version i16 │ coordinator epoch i32.

use std::fmt;

use bytes::Bytes;

use crate::ids::Timestamp;
use crate::record::batch::{self, Batch, BatchError, Header};
use crate::record::compress::{self, Codec, CompressError, Limits};
use crate::record::varint;

/// The shortest record: seven fields of one byte, of which the length is not counted.
const MIN_BODY_BYTES: usize = 6;

/// One record, its bytes shared with the batch (or with what the batch was decompressed to).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The offset, counted from the batch's base offset.
    pub offset_delta: i32,
    pub timestamp: Timestamp,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    /// In order; a key may stand here twice.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

/// One record, borrowed: nothing is counted, copied or allocated, headers are read when asked for.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub offset_delta: i32,
    pub timestamp: Timestamp,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Headers<'a>,
    /// Key, value and headers as they stand, lengths included.
    pub rest: &'a [u8],
}

/// The headers of one record, known to be well-formed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Headers<'a> {
    count: usize,
    rest: &'a [u8],
}

/// How a transaction ended: what a control record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Marker {
    Abort,
    Commit,
}

/// Why records cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordsError {
    /// The header names a codec that is none.
    Batch(BatchError),
    Compress(CompressError),
    /// The `index`th record of the batch, counted from 0, is malformed.
    Record {
        index: i32,
        fault: Fault,
    },
    /// Bytes are left when all records that the header counts have been read.
    Trailing {
        bytes: usize,
    },
}

/// What is wrong with one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A number that ends early or is longer than its type.
    Number,
    /// The record would be longer than what is left, or shorter than any record.
    Length { claimed: i32, left: usize },
    /// A key, value or header that would be longer than what is left of the record, or negative where it may not be.
    Field { claimed: i32, left: usize },
    /// More headers than the rest of the record has room for, or fewer than none.
    HeaderCount { claimed: i32, left: usize },
    /// The fields end before the record does.
    Unread { bytes: usize },
    /// Not above the previous record's offset delta, or above the batch's last.
    OffsetDelta { found: i32, previous: i32, last: i32 },
    /// Not the next offset, where every offset must have its record.
    Gap { found: i32, expected: i32 },
}

/// Opens a batch and reads its records. Ends after the first error.
pub fn iterate(batch: &Batch, limits: Limits) -> Result<Records, RecordsError> {
    open(batch, limits).map(Opened::into_records)
}

/// How a transaction ended and the epoch of the coordinator that ended it, if this control batch says so. Compaction can
/// leave one without its record.
pub fn marker_of(control: &[u8]) -> Option<(Marker, i32)> {
    // Copied: a marker is 78 bytes, and they are rare.
    let control = batch::trust(Bytes::copy_from_slice(control)).ok()?;
    let opened = open(&control, Limits { max_bytes: 1 << 10, max_ratio: 1 }).ok()?;
    let record = opened.views().next()?.ok()?;
    let coordinator_epoch = match record.value? {
        [_, _, a, b, c, d, ..] => i32::from_be_bytes([*a, *b, *c, *d]),
        _ => return None,
    };
    Some((Marker::of_key(record.key?)?, coordinator_epoch))
}

/// A batch with its records decompressed.
#[derive(Clone, Debug)]
pub struct Opened {
    header: Header,
    body: Bytes,
}

/// Decompresses the records of a batch, or points at them if they are not compressed.
pub fn open(batch: &Batch, limits: Limits) -> Result<Opened, RecordsError> {
    let header = batch.header;
    let body = batch.records();
    let body = match header.codec().map_err(RecordsError::Batch)? {
        Codec::None => body,
        // Nothing was ever compressed into an empty batch.
        _ if header.record_count == 0 && body.is_empty() => body,
        codec => compress::decompress(codec, &body, limits).map_err(RecordsError::Compress)?.into(),
    };
    Ok(Opened { header, body })
}

/// What [`validate`] finds out on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The greatest timestamp (-1 of no records) and the offset delta of the first record that has it.
    pub max_timestamp: Timestamp,
    pub max_timestamp_delta: i32,
    /// The first record without a key, which a compacted stream does not take.
    pub null_key: Option<i32>,
}

/// Reads every record of a batch and keeps none: whether there are as many as the header says, well-formed, one for
/// each offset. What Kafka asks of a client's batch when it opens it (its LogValidator).
pub fn validate(batch: &Batch, limits: Limits) -> Result<Summary, RecordsError> {
    let mut summary = Summary { max_timestamp: Timestamp(-1), max_timestamp_delta: 0, null_key: None };
    for (index, view) in (0..).zip(open(batch, limits)?.views()) {
        let View { offset_delta: found, timestamp, key, .. } = view?;
        if found != index {
            return Err(RecordsError::Record { index, fault: Fault::Gap { found, expected: index } });
        }
        if index == 0 || timestamp > summary.max_timestamp {
            (summary.max_timestamp, summary.max_timestamp_delta) = (timestamp, found);
        }
        if key.is_none() && summary.null_key.is_none() {
            summary.null_key = Some(index);
        }
    }
    Ok(summary)
}

impl Opened {
    /// The records, borrowed.
    pub fn views(&self) -> Views<'_> {
        Views { header: &self.header, body: &self.body, cursor: Cursor::START }
    }

    /// The records, sharing the opened bytes.
    pub fn into_records(self) -> Records {
        Records { opened: self, cursor: Cursor::START }
    }

    /// A part of a [`View`] of this batch, shared instead of borrowed.
    pub fn share(&self, part: &[u8]) -> Bytes {
        // An empty slice may point anywhere.
        if part.is_empty() { Bytes::new() } else { self.body.slice_ref(part) }
    }

    fn record(&self, view: View<'_>) -> Record {
        Record {
            offset_delta: view.offset_delta,
            timestamp: view.timestamp,
            key: view.key.map(|key| self.share(key)),
            value: view.value.map(|value| self.share(value)),
            headers: view.headers.map(|(key, value)| (self.share(key), value.map(|value| self.share(value)))).collect(),
        }
    }
}

/// See [`iterate`].
#[derive(Clone, Debug)]
pub struct Records {
    opened: Opened,
    cursor: Cursor,
}

impl Iterator for Records {
    type Item = Result<Record, RecordsError>;

    fn next(&mut self) -> Option<Self::Item> {
        let view = self.cursor.next(&self.opened.header, &self.opened.body)?;
        Some(view.map(|view| self.opened.record(view)))
    }
}

/// See [`Opened::views`].
#[derive(Clone, Debug)]
pub struct Views<'a> {
    header: &'a Header,
    body: &'a [u8],
    cursor: Cursor,
}

impl<'a> Iterator for Views<'a> {
    type Item = Result<View<'a>, RecordsError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.cursor.next(self.header, self.body)
    }
}

/// How far the records of a batch have been read.
#[derive(Clone, Debug)]
struct Cursor {
    at: usize,
    index: i32,
    previous_delta: i32,
    done: bool,
}

impl Cursor {
    const START: Cursor = Cursor { at: 0, index: 0, previous_delta: -1, done: false };

    fn next<'a>(&mut self, header: &Header, body: &'a [u8]) -> Option<Result<View<'a>, RecordsError>> {
        if self.done {
            return None;
        }
        let mut rest = &body[self.at..];
        if self.index == header.record_count {
            self.done = true;
            return if rest.is_empty() { None } else { Some(Err(RecordsError::Trailing { bytes: rest.len() })) };
        }
        let index = self.index;
        match View::read(&mut rest, header, self.previous_delta) {
            Ok(view) => {
                self.at = body.len() - rest.len();
                self.index += 1;
                self.previous_delta = view.offset_delta;
                Some(Ok(view))
            }
            Err(fault) => {
                self.done = true;
                Some(Err(RecordsError::Record { index, fault }))
            }
        }
    }
}

impl<'a> View<'a> {
    fn read(rest: &mut &'a [u8], header: &Header, previous: i32) -> Result<View<'a>, Fault> {
        let claimed = varint::read_i32(rest).ok_or(Fault::Number)?;
        let mut body = match usize::try_from(claimed) {
            Ok(bytes) if bytes >= MIN_BODY_BYTES && bytes <= rest.len() => {
                let (body, after) = rest.split_at(bytes);
                *rest = after;
                body
            }
            _ => return Err(Fault::Length { claimed, left: rest.len() }),
        };
        body = &body[1..];
        let timestamp_delta = varint::read_i64(&mut body).ok_or(Fault::Number)?;
        let offset_delta = varint::read_i32(&mut body).ok_or(Fault::Number)?;
        let last = header.last_offset_delta;
        if offset_delta <= previous || offset_delta > last {
            return Err(Fault::OffsetDelta { found: offset_delta, previous, last });
        }
        let timestamp = if header.is_log_append_time() {
            header.max_timestamp
        } else {
            header.base_timestamp.wrapping_add(timestamp_delta)
        };
        let rest = body;
        let key = read_nullable(&mut body)?;
        let value = read_nullable(&mut body)?;
        let headers = Headers::read(body)?;
        Ok(View { offset_delta, timestamp: Timestamp(timestamp), key, value, headers, rest })
    }
}

impl<'a> Headers<'a> {
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Walks over the headers, which must fill `body`.
    fn read(mut body: &'a [u8]) -> Result<Headers<'a>, Fault> {
        let claimed = varint::read_i32(&mut body).ok_or(Fault::Number)?;
        // No header is shorter than two lengths.
        let count = match usize::try_from(claimed) {
            Ok(count) if count <= body.len() / 2 => count,
            _ => return Err(Fault::HeaderCount { claimed, left: body.len() }),
        };
        let headers = Headers { count, rest: body };
        for _ in 0..count {
            read_header(&mut body)?;
        }
        if body.is_empty() { Ok(headers) } else { Err(Fault::Unread { bytes: body.len() }) }
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        self.count = self.count.checked_sub(1)?;
        read_header(&mut self.rest).ok()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count, Some(self.count))
    }
}

impl ExactSizeIterator for Headers<'_> {}

fn read_header<'a>(body: &mut &'a [u8]) -> Result<(&'a [u8], Option<&'a [u8]>), Fault> {
    let left = body.len();
    let key = read_nullable(body)?.ok_or(Fault::Field { claimed: -1, left })?;
    Ok((key, read_nullable(body)?))
}

fn read_nullable<'a>(body: &mut &'a [u8]) -> Result<Option<&'a [u8]>, Fault> {
    let claimed = varint::read_i32(body).ok_or(Fault::Number)?;
    if claimed == -1 {
        return Ok(None);
    }
    let split = usize::try_from(claimed).ok().and_then(|bytes| body.split_at_checked(bytes));
    let (field, after) = split.ok_or(Fault::Field { claimed, left: body.len() })?;
    *body = after;
    Ok(Some(field))
}

impl Marker {
    /// What the key of a control record says; `None` for a kind that is no end of a transaction.
    pub fn of_key(key: &[u8]) -> Option<Marker> {
        match key {
            [0, 0, 0, 0] => Some(Marker::Abort),
            [0, 0, 0, 1] => Some(Marker::Commit),
            _ => None,
        }
    }

    pub fn key(self) -> [u8; 4] {
        match self {
            Marker::Abort => [0, 0, 0, 0],
            Marker::Commit => [0, 0, 0, 1],
        }
    }
}

impl fmt::Display for RecordsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecordsError::Batch(error) => error.fmt(f),
            RecordsError::Compress(error) => error.fmt(f),
            RecordsError::Record { index, fault } => write!(f, "record {index}: {fault}"),
            RecordsError::Trailing { bytes } => write!(f, "{bytes} bytes follow the last record"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Number => f.write_str("a number ends early or is too long"),
            Fault::Length { claimed, left } => write!(f, "it would have {claimed} bytes, {left} are left"),
            Fault::Field { claimed, left } => write!(f, "a field would have {claimed} bytes, {left} are left"),
            Fault::HeaderCount { claimed, left } => write!(f, "it would have {claimed} headers in {left} bytes"),
            Fault::Unread { bytes } => write!(f, "it is {bytes} bytes longer than its fields"),
            Fault::OffsetDelta { found, previous, last } => {
                write!(f, "offset delta {found} is not above {previous} and at most {last}")
            }
            Fault::Gap { found, expected } => write!(f, "offset delta {found} where {expected} is due"),
        }
    }
}

impl std::error::Error for RecordsError {}

#[cfg(test)]
mod tests;
