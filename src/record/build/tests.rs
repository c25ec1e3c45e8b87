//! What is built is what was said, at the size that was foretold.

use super::*;
use crate::record::batch::check;
use crate::record::compress::Limits;
use crate::record::records::{iterate, validate};

fn text<'a>(timestamp: i64, key: &'a str, value: &'a str) -> NewRecord<'a> {
    NewRecord {
        timestamp: Timestamp(timestamp),
        key: Some(key.as_bytes()),
        value: Some(value.as_bytes()),
        headers: &[],
    }
}

#[test]
fn a_built_batch_checks_and_says_its_fields() {
    let mut builder = Builder::new(Codec::None).producer(Producer { id: 9, epoch: 2, sequence: 5 }).transactional();
    builder.push(&text(1_000, "a", "one"));
    builder.push(&text(990, "b", "two"));
    builder.push(&text(1_001, "c", "three"));
    let batch = builder.finish();
    let checked = check(batch.bytes.clone()).unwrap();
    assert_eq!(checked.header, batch.header);
    let expected = Header {
        base_offset: 0,
        bytes: batch.bytes.len() as u32,
        leader_epoch: -1,
        crc: batch.header.crc,
        attributes: 1 << 4,
        last_offset_delta: 2,
        base_timestamp: 1_000,
        max_timestamp: 1_001,
        producer_id: 9,
        producer_epoch: 2,
        base_sequence: 5,
        record_count: 3,
    };
    assert_eq!(batch.header, expected);
    assert_eq!(batch.header.check_client(), Ok(()));
}

#[test]
fn the_size_is_foretold_exactly() {
    let headers: Vec<(&[u8], Option<&[u8]>)> = vec![(b"h", None), (b"h", Some(b"")), (b"", Some(&[7; 200]))];
    let long = [1; 5_000];
    let records = [
        NewRecord::default(),
        NewRecord { timestamp: Timestamp(i64::MAX), key: Some(b""), value: None, headers: &headers },
        NewRecord { timestamp: Timestamp(i64::MIN), key: None, value: Some(&long), headers: &[] },
    ];
    let mut builder = Builder::new(Codec::None);
    for round in 0..100 {
        for record in &records {
            let foretold = builder.size_with(record);
            builder.push(record);
            assert_eq!(builder.size(), foretold, "round {round}");
        }
    }
    let size = builder.size();
    assert_eq!(builder.finish().bytes.len(), size);
}

#[test]
fn many_records_become_as_few_batches_as_the_limit_allows() {
    let limit_bytes = 1_000;
    let value = "v".repeat(100);
    let mut batches = Vec::new();
    let mut builder = Builder::new(Codec::None);
    for _ in 0..50 {
        let record = text(1, "key", &value);
        if builder.size_with(&record) > limit_bytes {
            batches.push(std::mem::replace(&mut builder, Builder::new(Codec::None)).finish());
        }
        builder.push(&record);
    }
    batches.push(builder.finish());
    assert!(batches.iter().all(|batch| batch.bytes.len() <= limit_bytes));
    assert_eq!(batches.iter().map(|batch| batch.header.record_count).sum::<i32>(), 50);
    assert_eq!(batches.len(), 7, "eight records of 111 or 112 bytes fit beside the header");
}

#[test]
fn the_brokers_time_stands_over_the_records_own() {
    let mut builder = Builder::new(Codec::Lz4).log_append_time(Timestamp(5_000));
    builder.push(&text(9_000, "k", "v"));
    let batch = builder.finish();
    assert_eq!((batch.header.max_timestamp, batch.header.is_log_append_time()), (5_000, true));
    let record = iterate(&batch, Limits::default()).unwrap().next().unwrap().unwrap();
    assert_eq!(record.timestamp, Timestamp(5_000));
}

#[test]
fn a_marker_is_a_control_batch_of_one_record() {
    for kind in [Marker::Abort, Marker::Commit] {
        let batch = marker(kind, Producer { id: 3, epoch: 4, sequence: 99 }, 7, Timestamp(1));
        let header = check(batch.bytes.clone()).unwrap().header;
        assert!(header.is_control() && header.is_transactional());
        assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (3, 4, -1));
        let record = iterate(&batch, Limits::default()).unwrap().next().unwrap().unwrap();
        assert_eq!(Marker::of_key(&record.key.unwrap()), Some(kind));
        assert_eq!(record.value.unwrap()[..], [0, 0, 0, 0, 0, 7]);
    }
    assert_eq!(Marker::of_key(&[0, 0, 0, 2]), None);
}

#[test]
fn validating_finds_the_greatest_time_and_the_first_null_key() {
    let mut builder = Builder::new(Codec::Gzip);
    builder.push(&text(10, "k", ""));
    builder.push(&NewRecord { timestamp: Timestamp(30), ..NewRecord::default() });
    builder.push(&NewRecord { timestamp: Timestamp(30), ..NewRecord::default() });
    let summary = validate(&builder.finish(), Limits::default()).unwrap();
    assert_eq!((summary.max_timestamp, summary.max_timestamp_delta), (Timestamp(30), 1));
    assert_eq!(summary.null_key, Some(1));
}
