//! Makes one batch (magic 2) of records: one output buffer, the CRC once at the end. Knows its size before a record is
//! added, so that many records become as few batches as a limit allows.

use bytes::Bytes;

use crate::ids::Timestamp;
use crate::record::batch::{self, Batch, HEADER_BYTES, Header, PREFIX_BYTES};
use crate::record::compress::{self, Codec};
use crate::record::records::Marker;
use crate::record::varint;

/// A record on its way into a batch: everything borrowed.
#[derive(Clone, Copy, Debug, Default)]
pub struct NewRecord<'a> {
    pub timestamp: Timestamp,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [(&'a [u8], Option<&'a [u8]>)],
}

/// Who wrote a batch, so that the log can tell a repetition from news.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Producer {
    pub id: i64,
    pub epoch: i16,
    /// The sequence of the first record, -1 where there is none (control batches).
    pub sequence: i32,
}

impl Producer {
    /// No producer that anyone remembers.
    pub const NONE: Producer = Producer { id: -1, epoch: -1, sequence: -1 };
}

/// A batch being built. Its offsets count from 0 until a log gives it its place.
#[derive(Clone, Debug)]
pub struct Builder {
    /// Room for the header, then the records, uncompressed.
    buffer: Vec<u8>,
    codec: Codec,
    level: Option<i32>,
    producer: Producer,
    attributes: i16,
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
    count: i32,
}

impl Builder {
    pub fn new(codec: Codec) -> Builder {
        Builder::with_capacity(codec, HEADER_BYTES)
    }

    /// With room for a batch of `bytes` uncompressed bytes, header included.
    pub fn with_capacity(codec: Codec, bytes: usize) -> Builder {
        let mut buffer = Vec::with_capacity(bytes.max(HEADER_BYTES));
        buffer.resize(HEADER_BYTES, 0);
        Builder {
            buffer,
            codec,
            level: None,
            producer: Producer::NONE,
            attributes: i16::from(codec.id()),
            base_timestamp: Timestamp(-1),
            max_timestamp: Timestamp(-1),
            count: 0,
        }
    }

    /// How hard the codec tries, in its own measure; `None`: as by itself.
    pub fn level(mut self, level: Option<i32>) -> Builder {
        self.level = level;
        self
    }

    /// Who writes this batch.
    pub fn producer(mut self, producer: Producer) -> Builder {
        self.producer = producer;
        self
    }

    /// The records belong to the open transaction of the producer.
    pub fn transactional(mut self) -> Builder {
        self.attributes |= batch::TRANSACTIONAL_BIT;
        self
    }

    /// The records' time is `now`, the broker's, whatever they say themselves (they are not opened for it later).
    pub fn log_append_time(mut self, now: Timestamp) -> Builder {
        self.attributes |= batch::LOG_APPEND_TIME_BIT;
        self.max_timestamp = now;
        self
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many records were added.
    pub fn count(&self) -> i32 {
        self.count
    }

    /// The bytes of the batch so far, header included, before compression.
    pub fn size(&self) -> usize {
        self.buffer.len()
    }

    /// What [`Builder::size`] would be with this record added.
    pub fn size_with(&self, record: &NewRecord<'_>) -> usize {
        let body = self.body_size(record);
        self.size().saturating_add(varint::size(body as i64)).saturating_add(body)
    }

    /// Adds a record behind the others. The batch must stay below 2 GiB, which the caller's limit sees to.
    pub fn push(&mut self, record: &NewRecord<'_>) {
        let body = self.body_size(record);
        assert!(self.size() + varint::size(body as i64) + body <= i32::MAX as usize, "a batch ends below 2 GiB");
        if self.count == 0 {
            self.base_timestamp = record.timestamp;
        }
        if self.attributes & batch::LOG_APPEND_TIME_BIT == 0 {
            self.max_timestamp =
                if self.count == 0 { record.timestamp } else { self.max_timestamp.max(record.timestamp) };
        }
        let timestamp_delta = self.timestamp_delta(record);
        let out = &mut self.buffer;
        varint::write(body as i64, out);
        out.push(0);
        varint::write(timestamp_delta, out);
        varint::write(self.count.into(), out);
        write_nullable(record.key, out);
        write_nullable(record.value, out);
        varint::write(record.headers.len() as i64, out);
        for (key, value) in record.headers {
            write_nullable(Some(key), out);
            write_nullable(*value, out);
        }
        self.count += 1;
    }

    /// The finished batch: compressed, sealed, at base offset 0. It has records; for one without see [`empty`].
    pub fn finish(self) -> Batch {
        assert!(!self.is_empty(), "a batch has records");
        let Builder { mut buffer, codec, level, producer, attributes, base_timestamp, max_timestamp, count } = self;
        if codec != Codec::None {
            let mut packed = Vec::with_capacity(buffer.len() / 2);
            packed.resize(HEADER_BYTES, 0);
            compress::compress(codec, level, &buffer[HEADER_BYTES..], &mut packed);
            buffer = packed;
        }
        let fields =
            Fields { attributes, producer, base_timestamp, max_timestamp, count, last_offset_delta: count - 1 };
        seal(buffer, fields)
    }

    fn body_size(&self, record: &NewRecord<'_>) -> usize {
        let timestamp_delta = self.timestamp_delta(record);
        let headers: usize =
            record.headers.iter().map(|(key, value)| nullable_size(Some(key)) + nullable_size(*value)).sum();
        1 + varint::size(timestamp_delta)
            + varint::size(self.count.into())
            + nullable_size(record.key)
            + nullable_size(record.value)
            + varint::size(record.headers.len() as i64)
            + headers
    }

    fn timestamp_delta(&self, record: &NewRecord<'_>) -> i64 {
        if self.count == 0 { 0 } else { record.timestamp.0.wrapping_sub(self.base_timestamp.0) }
    }
}

/// The batch that ends a producer's transaction in one log. `producer.sequence` is not used.
pub fn marker(marker: Marker, producer: Producer, coordinator_epoch: i32, now: Timestamp) -> Batch {
    let mut value = [0; 6];
    value[2..].copy_from_slice(&coordinator_epoch.to_be_bytes());
    let mut builder = Builder::new(Codec::None).producer(Producer { sequence: -1, ..producer }).transactional();
    builder.attributes |= batch::CONTROL_BIT;
    builder.push(&NewRecord { timestamp: now, key: Some(&marker.key()), value: Some(&value), headers: &[] });
    builder.finish()
}

/// What a header says beyond the buffer's own length.
struct Fields {
    attributes: i16,
    producer: Producer,
    base_timestamp: Timestamp,
    max_timestamp: Timestamp,
    count: i32,
    last_offset_delta: i32,
}

/// Writes the header into the room before the records, and the CRC into the header.
fn seal(mut buffer: Vec<u8>, fields: Fields) -> Batch {
    assert!(buffer.len() - PREFIX_BYTES <= i32::MAX as usize, "a batch ends below 2 GiB");
    let mut header = Header {
        base_offset: 0,
        bytes: buffer.len() as u32,
        leader_epoch: -1,
        crc: 0,
        attributes: fields.attributes,
        last_offset_delta: fields.last_offset_delta,
        base_timestamp: fields.base_timestamp.0,
        max_timestamp: fields.max_timestamp.0,
        producer_id: fields.producer.id,
        producer_epoch: fields.producer.epoch,
        base_sequence: fields.producer.sequence,
        record_count: fields.count,
    };
    header.write(&mut buffer);
    header.crc = batch::seal(&mut buffer);
    Batch { header, bytes: Bytes::from(buffer) }
}

fn write_nullable(field: Option<&[u8]>, out: &mut Vec<u8>) {
    match field {
        None => varint::write(-1, out),
        Some(bytes) => {
            varint::write(bytes.len() as i64, out);
            out.extend_from_slice(bytes);
        }
    }
}

fn nullable_size(field: Option<&[u8]>) -> usize {
    field.map_or(1, |bytes| varint::size(bytes.len() as i64) + bytes.len())
}

#[cfg(test)]
mod tests;
