//! Batches with fewer records than they were written with: what compaction leaves of them. Offsets, sequences and the
//! producer stay what they were, also when no record is left (KIP-98). Made as Kafka's cleaner makes them (its
//! `MemoryRecords.filterTo`), byte for byte where nothing is compressed.
//!
//! A batch with a *delete horizon* (KIP-534) has bit 6 of its attributes set and that moment in the place of its base
//! timestamp: from then on, its tombstones, or the marker it is, may go.

use bytes::Bytes;

use crate::ids::Timestamp;
use crate::record::batch::{self, Batch, DELETE_HORIZON_BIT, HEADER_BYTES, Header, LOG_APPEND_TIME_BIT};
use crate::record::compress::{self, Codec};
use crate::record::records::View;
use crate::record::varint;

/// Bits of the attributes that a batch without records keeps: it is not compressed and has no horizon.
const EMPTIED_BITS: i16 = LOG_APPEND_TIME_BIT | batch::TRANSACTIONAL_BIT | batch::CONTROL_BIT;
/// What a record takes besides its key, value and headers, at most.
const RECORD_HEAD_BYTES: usize = 1 + 5 + 10 + 5;

/// The batch with these of its records, in order, at least one. `horizon`: the new delete horizon; without one it keeps the
/// one it has.
pub fn with_records(original: &Header, kept: &[View<'_>], horizon: Option<Timestamp>) -> Batch {
    assert!(!kept.is_empty(), "a batch of these records has some");
    let horizon = horizon.or(original.delete_horizon());
    let base = horizon.unwrap_or(kept[0].timestamp);
    let bytes = kept.iter().map(|view| view.rest.len() + RECORD_HEAD_BYTES).sum::<usize>();
    let mut buffer = Vec::with_capacity(HEADER_BYTES + bytes);
    buffer.resize(HEADER_BYTES, 0);
    let mut newest = Timestamp(i64::MIN);
    for view in kept {
        let time = view.timestamp.0.wrapping_sub(base.0);
        let body = 1 + varint::size(time) + varint::size(view.offset_delta.into()) + view.rest.len();
        varint::write(body as i64, &mut buffer);
        buffer.push(0);
        varint::write(time, &mut buffer);
        varint::write(view.offset_delta.into(), &mut buffer);
        buffer.extend_from_slice(view.rest);
        newest = newest.max(view.timestamp);
    }
    let codec = original.codec().unwrap_or(Codec::None);
    if codec != Codec::None {
        let mut packed = Vec::with_capacity(buffer.len() / 2);
        packed.resize(HEADER_BYTES, 0);
        compress::compress(codec, None, &buffer[HEADER_BYTES..], &mut packed);
        buffer = packed;
    }
    let header = Header {
        attributes: original.attributes | if horizon.is_some() { DELETE_HORIZON_BIT } else { 0 },
        base_timestamp: base.0,
        max_timestamp: if original.is_log_append_time() { original.max_timestamp } else { newest.0 },
        record_count: kept.len() as i32,
        ..*original
    };
    seal(buffer, header)
}

/// The batch without its records: it keeps its place, its producer and their sequences.
pub fn without_records(original: &Header) -> Batch {
    let attributes = original.attributes & EMPTIED_BITS;
    let header = Header { attributes, base_timestamp: batch::NONE, record_count: 0, ..*original };
    seal(vec![0; HEADER_BYTES], header)
}

/// Writes the header into the room before the records.
fn seal(mut buffer: Vec<u8>, header: Header) -> Batch {
    let mut header = Header { bytes: buffer.len() as u32, ..header };
    header.write(&mut buffer);
    header.crc = batch::seal(&mut buffer);
    Batch { header, bytes: Bytes::from(buffer) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::build::{Builder, NewRecord, Producer};
    use crate::record::compress::Limits;
    use crate::record::records::{self, Opened};

    const LIMITS: Limits = Limits { max_bytes: 1 << 20, max_ratio: 1000 };

    fn batch(codec: Codec, times: &[i64]) -> Batch {
        let mut builder = Builder::new(codec).producer(Producer { id: 7, epoch: 3, sequence: 11 });
        for (i, time) in times.iter().enumerate() {
            let (key, value) = ([b'k', i as u8], [b'v'; 40]);
            let headers: [(&[u8], Option<&[u8]>); 1] = [(b"h", Some(b"x"))];
            let record = NewRecord {
                timestamp: Timestamp(*time),
                key: Some(&key),
                value: (i % 3 != 2).then_some(&value),
                headers: &headers,
            };
            builder.push(&record);
        }
        let mut bytes = builder.finish().bytes.to_vec();
        batch::stamp(&mut bytes, crate::ids::Offset(100), 5);
        batch::check(bytes.into()).expect("a sound batch")
    }

    fn opened(batch: &Batch) -> Opened {
        records::open(&batch::check(batch.bytes.clone()).expect("sound"), LIMITS).expect("opened")
    }

    type Seen = (i32, i64, Vec<u8>, Option<Vec<u8>>, usize);

    fn seen(batch: &Batch) -> Vec<Seen> {
        let opened = opened(batch);
        let all = opened.views().map(|view| {
            let view = view.expect("a sound record");
            let key = view.key.unwrap_or_default().to_vec();
            (view.offset_delta, view.timestamp.0, key, view.value.map(<[u8]>::to_vec), view.headers.count())
        });
        all.collect()
    }

    #[test]
    fn records_that_stay_keep_everything_whatever_the_codec() {
        for codec in Codec::ALL {
            let original = batch(codec, &[50, 40, 90, 60, 10]);
            let opened = opened(&original);
            let kept: Vec<View<'_>> =
                opened.views().map(|v| v.expect("sound")).filter(|v| v.offset_delta != 0).collect();
            for horizon in [None, Some(Timestamp(1_000_000))] {
                let less = with_records(&original.header, &kept, horizon);
                assert_eq!(seen(&less), seen(&original)[1..], "{codec:?} {horizon:?}");
                let (old, new) = (original.header, less.header);
                let told =
                    (new.base_offset, new.last_offset_delta, new.leader_epoch, new.base_sequence, new.record_count);
                assert_eq!(told, (100, 4, 5, 11, 4), "{codec:?}");
                assert_eq!((new.producer_id, new.producer_epoch, new.codec()), (7, 3, old.codec()), "{codec:?}");
                assert_eq!((new.max_timestamp, new.delete_horizon()), (90, horizon), "{codec:?}");
                let again = with_records(&new, &kept[..1], None);
                assert_eq!(again.header.delete_horizon(), horizon, "a horizon stays");
            }
        }
    }

    #[test]
    fn a_batch_without_records_keeps_its_place_and_its_sequences() {
        let original = batch(Codec::Zstd, &[50, 40, 90]);
        let none = without_records(&original.header);
        let header = batch::check(none.bytes.clone()).expect("sound").header;
        assert_eq!(header, none.header);
        let told = (header.base_offset, header.offsets(), header.producer_id, header.last_sequence());
        assert_eq!(told, (100, 3, 7, 13));
        assert_eq!((header.bytes, header.record_count, header.codec()), (61, 0, Ok(Codec::None)));
        assert_eq!((header.base_timestamp, header.max_timestamp), (-1, 90));
        assert_eq!(seen(&none), []);
    }

    #[test]
    fn a_batch_that_was_emptied_and_kept_its_codec_has_no_records() {
        let mut none = without_records(&batch(Codec::None, &[1]).header);
        none.header.attributes |= i16::from(Codec::Zstd.id());
        assert_eq!(records::open(&none, LIMITS).expect("opened").views().count(), 0);
    }
}
