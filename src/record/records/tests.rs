//! Malformed records, one fault at a time.

use super::*;
use crate::record::build::{Builder, NewRecord};

const NULL: u8 = 1;

/// A batch whose records are `body`, saying it has `records` of them up to `last_offset_delta`.
fn batch(records: i32, last_offset_delta: i32, body: &[u8]) -> Batch {
    let mut builder = Builder::new(Codec::None);
    builder.push(&NewRecord { timestamp: Timestamp(100), ..NewRecord::default() });
    let Batch { mut header, bytes } = builder.finish();
    header.record_count = records;
    header.last_offset_delta = last_offset_delta;
    let bytes = [&bytes[..crate::record::batch::HEADER_BYTES], body].concat();
    header.bytes = bytes.len() as u32;
    Batch { header, bytes: bytes.into() }
}

/// A record whose length is right, made of `fields` after the attributes.
fn framed(fields: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint::write(fields.len() as i64 + 1, &mut out);
    out.push(0);
    out.extend_from_slice(fields);
    out
}

fn first_error(batch: &Batch) -> Option<RecordsError> {
    let read: Result<Vec<Record>, RecordsError> = iterate(batch, Limits::default()).and_then(Iterator::collect);
    read.err()
}

#[test]
fn each_malformed_record_says_its_fault() {
    // timestamp delta 0, offset delta 0
    let at_zero = |rest: &[u8]| framed(&[&[0, 0], rest].concat());
    let table: Vec<(Vec<u8>, Fault)> = vec![
        (vec![], Fault::Number),
        (vec![0x80], Fault::Number),
        (vec![0xff; 6], Fault::Number),
        (vec![12], Fault::Length { claimed: 6, left: 0 }),
        (vec![10, 0, 0, 0, 1, 1], Fault::Length { claimed: 5, left: 5 }),
        (vec![1], Fault::Length { claimed: -1, left: 0 }),
        (vec![0xfe, 0xff, 0xff, 0xff, 0x0f], Fault::Length { claimed: i32::MAX, left: 0 }),
        (framed(&[0x80, 0x80, 0x80, 0x80, 0x80, 0x80]), Fault::Number),
        (at_zero(&[3, NULL, 0]), Fault::Field { claimed: -2, left: 2 }),
        (at_zero(&[6, NULL, 0]), Fault::Field { claimed: 3, left: 2 }),
        (at_zero(&[NULL, 4, 0]), Fault::Field { claimed: 2, left: 1 }),
        (at_zero(&[NULL, 0xfe, 0xff, 0xff, 0xff, 0x0f]), Fault::Field { claimed: i32::MAX, left: 0 }),
        (at_zero(&[NULL, 2, 0]), Fault::Number),
        (at_zero(&[NULL, NULL, 1]), Fault::HeaderCount { claimed: -1, left: 0 }),
        (at_zero(&[NULL, NULL, 2]), Fault::HeaderCount { claimed: 1, left: 0 }),
        (at_zero(&[NULL, NULL, 4, 0, NULL, 0]), Fault::HeaderCount { claimed: 2, left: 3 }),
        (at_zero(&[NULL, NULL, 0xfe, 0xff, 0xff, 0xff, 0x0f]), Fault::HeaderCount { claimed: i32::MAX, left: 0 }),
        (at_zero(&[NULL, NULL, 2, NULL, NULL]), Fault::Field { claimed: -1, left: 2 }),
        (at_zero(&[NULL, NULL, 2, 2, 7]), Fault::Number),
        (at_zero(&[NULL, NULL, 0, 9]), Fault::Unread { bytes: 1 }),
        (framed(&[0, 1, NULL, NULL, 0]), Fault::OffsetDelta { found: -1, previous: -1, last: 0 }),
        (framed(&[0, 2, NULL, NULL, 0]), Fault::OffsetDelta { found: 1, previous: -1, last: 0 }),
    ];
    for (body, fault) in table {
        assert_eq!(first_error(&batch(1, 0, &body)), Some(RecordsError::Record { index: 0, fault }), "{body:?}");
    }
}

#[test]
fn records_and_the_count_of_the_header_agree() {
    let record = framed(&[0, 0, NULL, NULL, 0]);
    assert_eq!(first_error(&batch(1, 0, &record)), None);
    assert_eq!(first_error(&batch(0, 0, &record)), Some(RecordsError::Trailing { bytes: 7 }));
    let missing = RecordsError::Record { index: 1, fault: Fault::Number };
    assert_eq!(first_error(&batch(2, 1, &record)), Some(missing));
}

#[test]
fn offsets_rise_and_may_have_gaps_that_only_validation_refuses() {
    let at = |delta: u8| framed(&[0, delta << 1, NULL, NULL, 0]);
    let gaps = batch(2, 9, &[at(3), at(7)].concat());
    assert_eq!(first_error(&gaps), None);
    let gap = RecordsError::Record { index: 0, fault: Fault::Gap { found: 3, expected: 0 } };
    assert_eq!(validate(&gaps, Limits::default()), Err(gap));
    let twice = batch(2, 9, &[at(3), at(3)].concat());
    let fault = Fault::OffsetDelta { found: 3, previous: 3, last: 9 };
    assert_eq!(first_error(&twice), Some(RecordsError::Record { index: 1, fault }));
}

#[test]
fn null_and_empty_are_not_the_same_and_header_keys_may_repeat() {
    let headers: [(&[u8], Option<&[u8]>); 3] = [(b"h", Some(b"")), (b"h", None), (b"", Some(b"x"))];
    let mut builder = Builder::new(Codec::Snappy);
    builder.push(&NewRecord { timestamp: Timestamp(5), key: Some(b""), value: None, headers: &headers });
    let record = iterate(&builder.finish(), Limits::default()).unwrap().next().unwrap().unwrap();
    let expected = Record {
        offset_delta: 0,
        timestamp: Timestamp(5),
        key: Some(Bytes::new()),
        value: None,
        headers: vec![
            (Bytes::from_static(b"h"), Some(Bytes::new())),
            (Bytes::from_static(b"h"), None),
            (Bytes::new(), Some(Bytes::from_static(b"x"))),
        ],
    };
    assert_eq!(record, expected);
}

#[test]
fn record_bytes_are_pointed_at() {
    let mut builder = Builder::new(Codec::None);
    builder.push(&NewRecord { key: Some(b"key"), value: Some(b"value"), ..NewRecord::default() });
    let batch = builder.finish();
    let record = iterate(&batch, Limits::default()).unwrap().next().unwrap().unwrap();
    let inside = batch.bytes.as_ptr_range();
    assert!(inside.contains(&record.key.unwrap().as_ptr()) && inside.contains(&record.value.unwrap().as_ptr()));
}

#[test]
fn views_and_records_say_the_same() {
    let headers: [(&[u8], Option<&[u8]>); 1] = [(b"h", None)];
    let mut builder = Builder::new(Codec::Zstd);
    for value in [&b"one"[..], b"two", b""] {
        builder.push(&NewRecord { value: Some(value), headers: &headers, ..NewRecord::default() });
    }
    let opened = open(&builder.finish(), Limits::default()).unwrap();
    let views: Vec<Record> = opened.views().map(|view| opened.record(view.unwrap())).collect();
    let records: Vec<Record> = opened.into_records().map(Result::unwrap).collect();
    assert_eq!(views, records);
}

#[test]
fn a_batch_that_opens_too_wide_is_an_error() {
    let mut builder = Builder::new(Codec::Gzip);
    builder.push(&NewRecord { value: Some(&[0; 100_000]), ..NewRecord::default() });
    let limits = Limits { max_bytes: 1_000, max_ratio: 1_000 };
    let refused = CompressError::TooLarge { codec: Codec::Gzip, limit_bytes: 1_000 };
    assert_eq!(iterate(&builder.finish(), limits).err(), Some(RecordsError::Compress(refused)));
}
