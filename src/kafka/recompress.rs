//! A batch in another codec: for streams whose owner says in which one they are kept (`compression.type`). Pure. Never
//! changes a record: keys, values, headers, times, and what the header says of the producer stay as they were.

use crate::ids::Timestamp;
use crate::record::batch::Batch;
use crate::record::build::{Builder, NewRecord, Producer};
use crate::record::compress::{Codec, Limits};
use crate::record::records::{self, RecordsError};

/// The records of `batch`, in a batch of codec `codec`, packed as hard as `level` says (`None`: as the codec does by
/// itself).
pub fn recompress(batch: &Batch, codec: Codec, level: Option<i32>, limits: Limits) -> Result<Batch, RecordsError> {
    let header = batch.header;
    let opened = records::open(batch, limits)?;
    let mut builder = Builder::new(codec).level(level);
    if header.has_producer() {
        builder = builder.producer(Producer {
            id: header.producer_id,
            epoch: header.producer_epoch,
            sequence: header.base_sequence,
        });
    }
    if header.is_transactional() {
        builder = builder.transactional();
    }
    if header.is_log_append_time() {
        builder = builder.log_append_time(Timestamp(header.max_timestamp));
    }
    for view in opened.views() {
        let view = view?;
        let headers: Vec<_> = view.headers.collect();
        builder.push(&NewRecord { timestamp: view.timestamp, key: view.key, value: view.value, headers: &headers });
    }
    Ok(builder.finish())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::batch;

    #[test]
    fn records_stay_what_they_are_in_every_codec() {
        let mut builder = Builder::new(Codec::Gzip).producer(Producer { id: 7, epoch: 3, sequence: 11 });
        let headers: &[(&[u8], Option<&[u8]>)] = &[(b"h", Some(b"1")), (b"h", None)];
        builder.push(&NewRecord { timestamp: Timestamp(5), key: Some(b"k"), value: Some(b"v"), headers });
        builder.push(&NewRecord { timestamp: Timestamp(3), key: None, value: None, headers: &[] });
        let original = builder.finish();
        let read = |batch: &Batch| -> Vec<_> {
            records::iterate(batch, Limits::default()).expect("opens").map(|r| r.expect("a record")).collect()
        };
        for codec in Codec::ALL {
            let other = recompress(&original, codec, None, Limits::default()).expect("recompressed");
            assert_eq!(other.header.codec(), Ok(codec));
            assert_eq!(read(&other), read(&original));
            let of = |h: batch::Header| {
                (h.producer_id, h.producer_epoch, h.base_sequence, h.record_count, h.base_timestamp, h.max_timestamp)
            };
            assert_eq!(of(other.header), of(original.header));
            batch::check(other.bytes).expect("sound");
        }
    }
}
