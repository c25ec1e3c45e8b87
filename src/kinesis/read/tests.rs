//! What a cursor shows of batches of every kind.

use super::*;
use crate::ids::ShardNo;
use crate::kinesis::budget::Budget;
use crate::record::build::{Builder, NewRecord, Producer, marker};
use crate::record::compress::Codec;
use crate::record::records::Marker;
use bytes::Bytes;

/// Key and value.
type Pair<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

const ARRIVED: Timestamp = Timestamp(1_700_000_000_123);

fn shard(start: u64, end: Option<u64>) -> Shard {
    Shard {
        no: ShardNo(0),
        log: 0,
        start: Offset(start),
        end: end.map(Offset),
        first_key: 0,
        last_key: u128::MAX,
        parents: vec![],
        created_s: 1_700_000_000,
    }
}

fn cursor(shard: &Shard, next: Offset, records: usize, show_limit_bytes: usize) -> Cursor<'_> {
    let open = Limits { max_bytes: 64 << 20, max_ratio: 100_000 };
    Cursor::new(shard, next, records, show_limit_bytes, open, Budget::new(64 << 20).open())
}

fn stored(batch: &Batch, base: u64) -> Stored {
    let mut bytes = batch.bytes.to_vec();
    batch::stamp(&mut bytes, Offset(base), 0);
    Stored { bytes: bytes.into(), arrived: ARRIVED }
}

fn built(codec: Codec, base: u64, records: &[Pair<'_>]) -> Stored {
    let mut builder = Builder::new(codec);
    for (key, value) in records {
        builder.push(&NewRecord { timestamp: Timestamp(5), key: *key, value: *value, headers: &[] });
    }
    stored(&builder.finish(), base)
}

fn ten(codec: Codec, base: u64) -> Stored {
    let record: Pair<'_> = (Some(b"k"), Some(b"data"));
    built(codec, base, &[record; 10])
}

/// What a cursor shows of some batches: the elements, and what it stepped over.
fn show(cursor: &mut Cursor<'_>, batches: &[Stored]) -> (Vec<serde_json::Value>, Skipped) {
    let mut out = Out::default();
    let (mut skipped, mut filter) = (Skipped::default(), Filter::new(Vec::new()));
    out.begin();
    out.list("Records");
    for stored in batches {
        cursor.show(stored, &mut filter, &mut skipped, &mut out);
        if cursor.unread.is_some() || cursor.at_end() {
            break;
        }
    }
    out.end_list();
    out.end();
    let value: serde_json::Value = serde_json::from_slice(&out.finish()).unwrap();
    (value["Records"].as_array().unwrap().clone(), skipped)
}

fn offsets(shard: &Shard, shown: &[serde_json::Value]) -> Vec<u64> {
    shown
        .iter()
        .map(|record| {
            let number = SequenceNumber::parse(record["SequenceNumber"].as_str().unwrap()).unwrap();
            assert!(number.is_of(shard));
            number.offset().unwrap().0
        })
        .collect()
}

#[test]
fn a_record_is_shown_with_number_arrival_key_and_data() {
    let shard = shard(0, None);
    let mut cursor = cursor(&shard, Offset(7), 10, 1 << 20);
    let (shown, _) = show(&mut cursor, &[built(Codec::None, 7, &[(Some(b"key"), Some(b"hi"))])]);
    let expected = serde_json::json!([{
        "SequenceNumber": SequenceNumber::of(&shard, Offset(7)).to_string(),
        "ApproximateArrivalTimestamp": 1_700_000_000.123,
        "Data": "aGk=",
        "PartitionKey": "key",
    }]);
    assert_eq!(serde_json::Value::Array(shown), expected);
    assert_eq!((cursor.next, cursor.unread), (Offset(8), None));
}

#[test]
fn every_codec_is_opened() {
    let shard = shard(0, None);
    for codec in Codec::ALL {
        let mut cursor = cursor(&shard, Offset(0), 100, 1 << 20);
        let (shown, skipped) = show(&mut cursor, &[ten(codec, 0), ten(codec, 10)]);
        assert_eq!(offsets(&shard, &shown), (0..20).collect::<Vec<_>>(), "{codec:?}");
        assert_eq!(skipped, Skipped::default());
    }
}

#[test]
fn a_batch_is_entered_in_its_middle() {
    let shard = shard(0, None);
    let mut cursor = cursor(&shard, Offset(5), 100, 1 << 20);
    let (shown, _) = show(&mut cursor, &[ten(Codec::None, 0)]);
    assert_eq!(offsets(&shard, &shown), (5..10).collect::<Vec<_>>());
}

#[test]
fn the_limit_of_records_ends_an_answer_and_says_how_old_the_next_one_is() {
    let shard = shard(0, None);
    let mut cursor = cursor(&shard, Offset(0), 12, 1 << 20);
    let (shown, _) = show(&mut cursor, &[ten(Codec::None, 0), ten(Codec::None, 10)]);
    assert_eq!((shown.len(), cursor.next, cursor.unread), (12, Offset(12), Some(ARRIVED)));
}

#[test]
fn a_limit_met_at_the_tip_leaves_nothing_unread() {
    let shard = shard(0, None);
    let mut cursor = cursor(&shard, Offset(0), 10, 1 << 20);
    show(&mut cursor, &[ten(Codec::None, 0)]);
    assert_eq!((cursor.next, cursor.unread), (Offset(10), None));
}

#[test]
fn the_limit_of_bytes_ends_an_answer_but_never_before_its_first_record() {
    let shard = shard(0, None);
    let large = vec![7; 4 * 1024 * 1024];
    let records: Vec<Pair<'_>> = vec![(Some(b"k"), Some(&large)); 3];
    let mut cursor = cursor(&shard, Offset(0), 100, 10 << 20);
    let (shown, _) = show(&mut cursor, &[built(Codec::None, 0, &records)]);
    assert_eq!((shown.len(), cursor.next, cursor.unread), (2, Offset(2), Some(ARRIVED)));
}

#[test]
fn oversize_records_are_skipped_and_counted_never_cut() {
    let shard = shard(0, None);
    let large = vec![7; 2000];
    let records: [Pair<'_>; 3] = [(Some(b"a"), Some(b"1")), (Some(b"b"), Some(&large)), (Some(b"c"), Some(b"3"))];
    let mut cursor = cursor(&shard, Offset(0), 100, 1000);
    let (shown, skipped) = show(&mut cursor, &[built(Codec::Gzip, 0, &records)]);
    assert_eq!(offsets(&shard, &shown), [0, 2]);
    assert_eq!(skipped, Skipped { oversize: 1, ..Skipped::default() });
    assert_eq!(cursor.next, Offset(3));
}

#[test]
fn keys_and_values_of_every_kind_are_shown() {
    let shard = shard(0, None);
    let records: [Pair<'_>; 3] = [(None, Some(b"v")), (Some(&[0xff]), None), (Some(b""), Some(b""))];
    let mut cursor = cursor(&shard, Offset(0), 100, 1000);
    let (shown, _) = show(&mut cursor, &[built(Codec::None, 0, &records)]);
    let pairs: Vec<(&str, &str)> =
        shown.iter().map(|r| (r["PartitionKey"].as_str().unwrap(), r["Data"].as_str().unwrap())).collect();
    assert_eq!(pairs, [("~null", "dg=="), ("~b64:/w==", ""), ("~b64:", "")]);
}

#[test]
fn control_batches_are_invisible() {
    let shard = shard(0, None);
    let producer = Producer { id: 1, epoch: 0, sequence: 0 };
    let control = stored(&marker(Marker::Commit, producer, 0, Timestamp(5)), 10);
    let mut cursor = cursor(&shard, Offset(0), 100, 1000);
    let (shown, skipped) = show(&mut cursor, &[ten(Codec::None, 0), control, ten(Codec::None, 11)]);
    assert_eq!(offsets(&shard, &shown), (0..10).chain(11..21).collect::<Vec<_>>());
    assert_eq!(skipped, Skipped::default());
}

#[test]
fn a_batch_that_cannot_be_opened_is_skipped_and_counted() {
    let shard = shard(0, None);
    let mut broken = ten(Codec::Zstd, 10).bytes.to_vec();
    let last = broken.len() - 8;
    broken[last..].fill(0xff);
    let broken = Stored { bytes: Bytes::from(broken), arrived: ARRIVED };
    let mut cursor = cursor(&shard, Offset(0), 100, 1000);
    let (shown, skipped) = show(&mut cursor, &[ten(Codec::None, 0), broken, ten(Codec::None, 20)]);
    assert_eq!(offsets(&shard, &shown), (0..10).chain(20..30).collect::<Vec<_>>());
    assert_eq!(skipped, Skipped { undecodable: 1, ..Skipped::default() });
}

#[test]
fn a_closed_shard_ends_where_its_stretch_does() {
    let shard = shard(5, Some(12));
    let mut cursor = cursor(&shard, Offset(0), 100, 1000);
    let (shown, _) = show(&mut cursor, &[ten(Codec::None, 0), ten(Codec::None, 10)]);
    assert_eq!(offsets(&shard, &shown), (5..12).collect::<Vec<_>>());
    assert!(cursor.at_end());
}

#[test]
fn holes_are_stepped_over() {
    let shard = shard(0, None);
    let mut cursor = cursor(&shard, Offset(15), 100, 1000);
    let (shown, _) = show(&mut cursor, &[ten(Codec::None, 0), ten(Codec::None, 40)]);
    assert_eq!(offsets(&shard, &shown), (40..50).collect::<Vec<_>>());
}

#[test]
fn what_is_no_batch_stops_the_page() {
    let shard = shard(0, None);
    let mut cursor = cursor(&shard, Offset(0), 100, 1000);
    let (shown, skipped) = show(&mut cursor, &[Stored { bytes: Bytes::from_static(b"no batch"), arrived: ARRIVED }]);
    assert_eq!((shown.len(), skipped.undecodable, cursor.next), (0, 1, Offset(0)));
}
