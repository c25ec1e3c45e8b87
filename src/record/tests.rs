//! Properties of the whole library, and batches that others wrote: kafka-clients 4.4.0 (as hex) and the kafka-protocol
//! crate.

use bytes::{Bytes, BytesMut};
use kafka_protocol::indexmap::IndexMap;
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records as oracle;
use proptest::prelude::*;

use crate::ids::{Offset, Timestamp};
use crate::record::batch::{Batch, HEADER_BYTES, check, parse, split, stamp, trust};
use crate::record::build::{Builder, NewRecord, Producer};
use crate::record::compress::{Codec, Limits, decompress};
use crate::record::records::{Record, iterate, open, validate};

/// Three records of producer 4242, epoch 7, sequence 11, in one transaction, as MemoryRecordsBuilder writes them.
const JAVA: [(Codec, &str); 5] = [
    (
        Codec::None,
        "000000000000000000000085ffffffff026acec3a50010000000020000018bcfe568000000018bcfe569f4000000000000109200070000\
         000b000000038401000000066b65795e76616c75652076616c75652076616c75652076616c75652076616c75652076616c75652076616c\
         75652076616c756506026802780268010265000e00cf0f020100000e00e80704000100",
    ),
    (
        Codec::Gzip,
        "000000000000000000000071ffffffff020776bea50011000000020000018bcfe568000000018bcfe569f4000000000000109200070000\
         000b000000031f8b08000000000000ff6b6164606060cb4ead8c2b4bcc294d55209a6463ca60aa60ca60644a65e06338cfcf0434878fe1\
         053b0b03230300f4c39f6f54000000",
    ),
    (
        Codec::Snappy,
        "000000000000000000000076ffffffff02209c39a90012000000020000018bcfe568000000018bcfe569f4000000000000109200070000\
         000b0000000382534e4150505900000000010000000100000031543c8401000000066b65795e76616c756520a206006806026802780268\
         010265000e00cf0f020100000e00e80704000100",
    ),
    (
        Codec::Lz4,
        "000000000000000000000072ffffffff0256f8f0b40013000000020000018bcfe568000000018bcfe569f4000000000000109200070000\
         000b0000000304224d1860408232000000ff018401000000066b65795e76616c756520060016f00c06026802780268010265000e00cf0f\
         020100000e00e8070400010000000000",
    ),
    (
        Codec::Zstd,
        "00000000000000000000006fffffffff020205c9830014000000020000018bcfe568000000018bcfe569f4000000000000109200070000\
         000b0000000328b52ffd0058940100b4028401000000066b65795e76616c75652006026802780268010265000e00cf0f020100000e00e8\
         07040001000100042a4b010000",
    ),
];

fn java(codec: Codec) -> Bytes {
    let hex: Vec<u8> = JAVA[usize::from(codec.id())].1.bytes().collect();
    let digit = |byte: u8| (byte as char).to_digit(16).unwrap() as u8;
    hex.as_chunks::<2>().0.iter().map(|[high, low]| digit(*high) << 4 | digit(*low)).collect()
}

fn records(batch: &Batch) -> Vec<Record> {
    iterate(batch, Limits::default()).unwrap().map(Result::unwrap).collect()
}

/// What [`JAVA`] holds.
fn expected() -> Vec<Record> {
    let record = |offset_delta, timestamp, key: Option<&'static [u8]>, value: Option<&'static [u8]>| Record {
        offset_delta,
        timestamp: Timestamp(timestamp),
        key: key.map(Bytes::from_static),
        value: value.map(Bytes::from_static),
        headers: vec![],
    };
    let mut first =
        record(0, 1_700_000_000_000, Some(b"key"), Some(b"value value value value value value value value"));
    first.headers = vec![
        (Bytes::from_static(b"h"), Some(Bytes::from_static(b"x"))),
        (Bytes::from_static(b"h"), None),
        (Bytes::from_static(b"e"), Some(Bytes::new())),
    ];
    let second = record(1, 1_699_999_999_000, None, Some(b""));
    vec![first, second, record(2, 1_700_000_000_500, Some(b""), None)]
}

fn build(codec: Codec, producer: Producer, records: &[Record]) -> Builder {
    let mut builder = Builder::new(codec).producer(producer);
    for record in records {
        let headers: Vec<_> = record.headers.iter().map(|(key, value)| (&key[..], value.as_deref())).collect();
        builder.push(&NewRecord {
            timestamp: record.timestamp,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &headers,
        });
    }
    builder
}

#[test]
fn javas_batches_are_read_in_every_codec() {
    for (codec, _) in JAVA {
        let batch = check(java(codec)).unwrap();
        assert_eq!(records(&batch), expected(), "{codec}");
        assert!(validate(&batch, Limits::default()).is_ok());
    }
}

#[test]
fn our_batch_is_javas_byte_for_byte() {
    let producer = Producer { id: 4242, epoch: 7, sequence: 11 };
    let ours = build(Codec::None, producer, &expected()).transactional().finish();
    assert_eq!(ours.bytes, java(Codec::None));
}

fn bytes(most: usize) -> impl Strategy<Value = Bytes> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..most).prop_map(Bytes::from),
        // Something a codec can bite on.
        (any::<u8>(), 0..most * 20).prop_map(|(byte, count)| Bytes::from(vec![byte; count])),
    ]
}

fn any_record() -> impl Strategy<Value = Record> {
    let headers = proptest::collection::vec((bytes(4), proptest::option::of(bytes(8))), 0..4);
    let timestamp = prop_oneof![1_700_000_000_000..1_700_000_100_000_i64, any::<i64>()];
    (timestamp, proptest::option::of(bytes(20)), proptest::option::of(bytes(400)), headers).prop_map(
        |(timestamp, key, value, headers)| Record {
            offset_delta: 0,
            timestamp: Timestamp(timestamp),
            key,
            value,
            headers,
        },
    )
}

fn any_records() -> impl Strategy<Value = Vec<Record>> {
    proptest::collection::vec(any_record(), 1..40).prop_map(|mut records| {
        (0..).zip(&mut records).for_each(|(index, record)| record.offset_delta = index);
        records
    })
}

fn any_codec() -> impl Strategy<Value = Codec> {
    (0..5_u8).prop_map(|id| Codec::of_id(id).unwrap())
}

/// The oracle cannot hold two headers of one key, keys that are not UTF-8, or times whose difference overflows.
fn for_the_oracle(mut records: Vec<Record>) -> Vec<Record> {
    for record in &mut records {
        record.timestamp = Timestamp(record.timestamp.0 >> 2);
        for (index, header) in record.headers.iter_mut().enumerate() {
            header.0 = format!("header {index}").into();
        }
    }
    records
}

fn to_oracle(record: &Record) -> oracle::Record {
    let headers = record.headers.iter();
    // The rest is as in a record that the oracle itself has read: no time of arrival, no control record.
    let plain = oracle::RecordBatchDecoder::decode(&mut java(Codec::None)).unwrap().records.remove(0);
    oracle::Record {
        transactional: false,
        producer_id: 77,
        producer_epoch: 3,
        offset: i64::from(record.offset_delta),
        sequence: 500 + record.offset_delta,
        timestamp: record.timestamp.0,
        key: record.key.clone(),
        value: record.value.clone(),
        headers: headers.map(|(key, value)| (StrBytes::from_utf8(key.clone()).unwrap(), value.clone())).collect(),
        ..plain
    }
}

fn from_oracle(record: &oracle::Record) -> Record {
    let headers: &IndexMap<StrBytes, Option<Bytes>> = &record.headers;
    Record {
        offset_delta: record.offset as i32,
        timestamp: Timestamp(record.timestamp),
        key: record.key.clone(),
        value: record.value.clone(),
        headers: headers.iter().map(|(key, value)| (key.clone().into_bytes(), value.clone())).collect(),
    }
}

fn oracles(codec: Codec) -> oracle::Compression {
    match codec {
        Codec::None => oracle::Compression::None,
        Codec::Gzip => oracle::Compression::Gzip,
        Codec::Snappy => oracle::Compression::Snappy,
        Codec::Lz4 => oracle::Compression::Lz4,
        Codec::Zstd => oracle::Compression::Zstd,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_built_is_what_is_read(wrote in any_records(), codec in any_codec()) {
        let batch = check(build(codec, Producer::NONE, &wrote).finish().bytes).unwrap();
        prop_assert_eq!(batch.header.check_client(), Ok(()));
        let summary = validate(&batch, Limits::default()).unwrap();
        prop_assert_eq!(summary.max_timestamp.0, batch.header.max_timestamp);
        prop_assert_eq!(records(&batch), wrote);
    }

    #[test]
    fn the_oracle_reads_what_we_build(wrote in any_records(), codec in any_codec()) {
        let wrote = for_the_oracle(wrote);
        let producer = Producer { id: 77, epoch: 3, sequence: 500 };
        let mut ours = build(codec, producer, &wrote).finish().bytes;
        let read = oracle::RecordBatchDecoder::decode(&mut ours).unwrap().records;
        prop_assert!(read.iter().all(|record| record.producer_id == 77 && record.producer_epoch == 3));
        prop_assert_eq!(read.iter().map(from_oracle).collect::<Vec<_>>(), wrote);
    }

    #[test]
    fn we_read_what_the_oracle_encodes(wrote in any_records(), codec in any_codec()) {
        let wrote = for_the_oracle(wrote);
        let theirs: Vec<oracle::Record> = wrote.iter().map(to_oracle).collect();
        let options = oracle::RecordEncodeOptions { version: 2, compression: oracles(codec) };
        let mut encoded = BytesMut::new();
        oracle::RecordBatchEncoder::encode(&mut encoded, &theirs, &options).unwrap();
        let batch = check(encoded.freeze()).unwrap();
        let header = batch.header;
        prop_assert_eq!((header.producer_id, header.producer_epoch, header.base_sequence), (77, 3, 500));
        prop_assert_eq!(records(&batch), wrote);
    }

    #[test]
    fn batches_laid_end_to_end_come_apart_again(
        groups in proptest::collection::vec((any_records(), any_codec()), 0..4),
    ) {
        let mut log = Vec::new();
        let mut next = Offset(0);
        for (group, codec) in &groups {
            let start = log.len();
            log.extend_from_slice(&build(*codec, Producer::NONE, group).finish().bytes);
            stamp(&mut log[start..], next, 6);
            next = next.plus(group.len() as u64);
        }
        let mut expected_base = 0;
        let mut found = Vec::new();
        for batch in split(log.into()) {
            let batch = check(batch.unwrap().bytes).unwrap();
            prop_assert_eq!((batch.header.base_offset, batch.header.leader_epoch), (expected_base, 6));
            expected_base += batch.header.offsets() as i64;
            found.push(records(&batch));
        }
        prop_assert_eq!(found, groups.into_iter().map(|(group, _)| group).collect::<Vec<_>>());
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), codec in any_codec()) {
        let _ = parse(&bytes);
        let _ = check(bytes.clone().into());
        let _ = split(bytes.clone().into()).count();
        let _ = decompress(codec, &bytes, Limits::default());
    }

    /// A sound header over any bytes at all, with any count: reading ends, in an error or not.
    #[test]
    fn random_records_never_panic(
        body in proptest::collection::vec(prop_oneof![0..20_u8, any::<u8>()], 0..200),
        count in 0..50_i32,
        attributes in 0..128_i16,
    ) {
        let Batch { mut header, bytes } = build(Codec::None, Producer::NONE, &expected()).finish();
        header.record_count = count;
        header.last_offset_delta = count + 3;
        header.attributes = attributes;
        let bytes = [&bytes[..HEADER_BYTES], &body].concat();
        header.bytes = bytes.len() as u32;
        let batch = Batch { header, bytes: bytes.into() };
        let _ = validate(&batch, Limits::default());
        if let Ok(opened) = open(&batch, Limits::default()) {
            let views = opened.views().count();
            prop_assert!(views <= count as usize + 1);
            prop_assert_eq!(opened.into_records().count(), views);
        }
    }

    /// One byte of a real batch changed, the CRC made again: what a careless or hostile client could send.
    #[test]
    fn a_damaged_batch_never_panics(
        wrote in any_records(),
        codec in any_codec(),
        at in any::<usize>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = build(codec, Producer::NONE, &wrote).finish().bytes.to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(batch) = trust(bytes.into()) {
            let _ = iterate(&batch, Limits::default()).map(Iterator::count);
        }
    }
}
