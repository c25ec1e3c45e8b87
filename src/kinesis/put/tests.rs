//! Routing and building of batches, as tables of cases.

use super::*;
use crate::engine::catalog::{Born, Kind};
use crate::ids::StreamId;
use crate::kinesis::mapping::{Shown, shown};
use crate::record::compress::Limits;
use crate::record::records::{self, Record};
use std::collections::BTreeMap as Map;

type Headers = Vec<(Vec<u8>, Option<Vec<u8>>)>;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// A stream of `shards` even shards, shard n being all of log n.
fn stream(shards: u32, placement: Placement) -> Stream {
    let width = if shards == 1 { 0 } else { u128::MAX / u128::from(shards) + 1 };
    Stream {
        id: StreamId(1),
        name: "orders".into(),
        kind: Kind::Client,
        born: Born::Kinesis,
        created: NOW,
        active_from: NOW,
        logs: (0..shards).map(|log| LogId(u64::from(log) + 100)).collect(),
        shards: (0..shards)
            .map(|no| Shard {
                no: ShardNo(no),
                log: no,
                start: Offset(0),
                end: None,
                first_key: u128::from(no) * width,
                last_key: if no + 1 == shards { u128::MAX } else { u128::from(no + 1) * width - 1 },
                parents: vec![],
                created_s: 1_700_000_000,
            })
            .collect(),
        placement,
        settings: Map::new(),
    }
}

fn settings(max_message_bytes: u32) -> StreamSettings {
    StreamSettings { max_message_bytes, ..StreamSettings::default() }
}

fn entry<'a>(partition_key: &'a str, hash_key: Option<&'a str>, data: &'a [u8]) -> Entry<'a> {
    Entry { partition_key, hash_key: hash_key.map(|text| super::hash_key(text).unwrap()), data }
}

fn planned(stream: &Stream, entries: &[Entry<'_>], limit: u32) -> Plan {
    let which: Vec<usize> = (0..entries.len()).collect();
    plan(stream, &settings(limit), entries, &which, NOW, |_, _| Ok(()))
}

fn opened(part: &Part) -> Vec<Record> {
    let limits = Limits { max_bytes: 1 << 20, max_ratio: 1000 };
    records::iterate(&part.batch, limits).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn records_go_where_their_hash_lies() {
    let stream = stream(4, Placement::KeyRange);
    let quarter = u128::MAX / 4 + 1;
    let max = u128::MAX.to_string();
    let (below, at) = ((quarter - 1).to_string(), quarter.to_string());
    let cases = [
        // MD5("a") begins with 0c, MD5("b") with 92, MD5("c") with 4a, MD5("d") with 82, MD5("e") with e1.
        ("a", None, 0),
        ("b", None, 2),
        ("c", None, 1),
        ("d", None, 2),
        ("e", None, 3),
        ("a", Some("0"), 0),
        ("e", Some(below.as_str()), 0),
        ("a", Some(at.as_str()), 1),
        ("a", Some(max.as_str()), 3),
    ];
    for (key, hash, no) in cases {
        let routes = Routes::new(&stream);
        assert_eq!(routes.of(&entry(key, hash, b"")).map(|s| s.no), Some(ShardNo(no)), "{key} {hash:?}");
    }
}

#[test]
fn a_stream_placed_by_murmur2_takes_keys_as_kafka_s_clients_place_them() {
    let stream = stream(5, Placement::Murmur2);
    let routes = Routes::new(&stream);
    for key in ["a", "order-17", "ключ", "21"] {
        let log = murmur2_place(key.as_bytes(), 5);
        assert_eq!(routes.of(&entry(key, None, b"")).map(|s| s.log), Some(log), "{key}");
    }
    // An explicit hash key always means the key range.
    assert_eq!(routes.of(&entry("a", Some("0"), b"")).map(|s| s.no), Some(ShardNo(0)));
}

#[test]
fn a_drained_log_s_keys_go_to_the_shard_that_owns_their_range() {
    let mut stream = stream(2, Placement::Murmur2);
    stream.shards[1].end = Some(Offset(10));
    stream.shards[0].last_key = u128::MAX;
    let key = (0..100).map(|n| format!("k{n}")).find(|key| murmur2_place(key.as_bytes(), 2) == 1).unwrap();
    assert_eq!(Routes::new(&stream).of(&entry(&key, None, b"")).map(|s| s.no), Some(ShardNo(0)));
}

#[test]
fn five_hundred_records_become_one_batch_per_log() {
    let stream = stream(4, Placement::KeyRange);
    let keys: Vec<String> = (0..500).map(|n| format!("key-{n}")).collect();
    let entries: Vec<Entry<'_>> = keys.iter().map(|key| entry(key, None, &[7; 100])).collect();
    let plan = planned(&stream, &entries, 1 << 20);
    assert_eq!(plan.parts.len(), 4);
    let held: usize = plan.held.iter().map(|(_, held)| held.len()).sum();
    assert_eq!((held, plan.failed.len()), (500, 0));
    for (part, (shard, held)) in plan.parts.iter().zip(&plan.held) {
        assert_eq!((part.log, part.shard), (stream.log(shard.log).unwrap(), Some(shard.no)));
        let keys: Vec<Vec<u8>> = opened(part).into_iter().map(|record| record.key.unwrap().to_vec()).collect();
        let expected: Vec<Vec<u8>> = held.iter().map(|at| entries[*at].partition_key.as_bytes().to_vec()).collect();
        assert_eq!(keys, expected, "in the order they came");
    }
}

#[test]
fn batches_are_as_few_as_the_limit_allows_and_never_larger() {
    let stream = stream(1, Placement::KeyRange);
    let data = vec![1; 400];
    let entries: Vec<Entry<'_>> = (0..10).map(|_| entry("k", None, &data)).collect();
    let plan = planned(&stream, &entries, 1000);
    let sizes: Vec<usize> = plan.parts.iter().map(|part| part.batch.bytes.len()).collect();
    assert!(sizes.iter().all(|size| *size <= 1000), "{sizes:?}");
    let counts: Vec<usize> = plan.held.iter().map(|(_, held)| held.len()).collect();
    assert_eq!(counts, [2, 2, 2, 2, 2]);
}

#[test]
fn a_record_larger_than_a_batch_fails_alone() {
    let stream = stream(1, Placement::KeyRange);
    let large = vec![1; 2000];
    let entries = [entry("a", None, b"x"), entry("b", None, &large), entry("c", None, b"y")];
    let plan = planned(&stream, &entries, 1000);
    assert_eq!(plan.held.iter().map(|(_, held)| held.clone()).collect::<Vec<_>>(), [vec![0, 2]]);
    let [(1, Outcome::Failed { code, message })] = &plan.failed[..] else { panic!("{:?}", plan.failed) };
    assert_eq!(*code, "InvalidArgumentException");
    assert!(message.contains("1000") && message.contains("orders"), "{message}");
}

#[test]
fn what_only_kinesis_knows_is_kept_in_reserved_headers() {
    let stream = stream(1, Placement::KeyRange);
    let entries = [entry("plain", None, b""), entry("~null", None, b"d"), entry("~b64:AA==", Some("12"), b"d")];
    let plan = planned(&stream, &entries, 1 << 20);
    let records = opened(&plan.parts[0]);
    let headers: Vec<Headers> = records
        .iter()
        .map(|r| r.headers.iter().map(|(k, v)| (k.to_vec(), v.as_ref().map(|v| v.to_vec()))).collect())
        .collect();
    let genuine = (GENUINE_HEADER.to_vec(), None);
    let explicit = (HASH_KEY_HEADER.to_vec(), Some(b"12".to_vec()));
    assert_eq!(headers, [vec![], vec![genuine.clone()], vec![genuine, explicit]]);
    for (record, entry) in records.iter().zip(&entries) {
        assert_eq!(record.timestamp, NOW);
        let genuine = record.headers.iter().any(|(name, _)| &name[..] == GENUINE_HEADER);
        let expected = Shown::Record { partition_key: entry.partition_key.into(), data: entry.data };
        assert_eq!(shown(record.key.as_deref(), record.value.as_deref(), genuine, 1000), expected);
    }
}

#[test]
fn a_stream_that_is_timed_by_the_broker_is_timed_by_us() {
    let stream = stream(1, Placement::KeyRange);
    let mut settings = settings(1000);
    settings.message_timestamp_type = TimestampType::LogAppendTime;
    let plan = plan(&stream, &settings, &[entry("k", None, b"")], &[0], NOW, |_, _| Ok(()));
    assert!(plan.parts[0].batch.header.is_log_append_time());
    assert_eq!(plan.parts[0].batch.header.max_timestamp, NOW.0);
}

#[test]
fn a_hash_key_beyond_128_bits_is_refused() {
    assert_eq!(super::hash_key(&u128::MAX.to_string()).unwrap().1, u128::MAX);
    let failure = super::hash_key("340282366920938463463374607431768211456").unwrap_err();
    assert_eq!(failure.kind, "InvalidArgumentException");
    assert!(failure.message.unwrap().ends_with("Specified value was 340282366920938463463374607431768211456"));
}

#[test]
fn a_number_for_ordering_must_have_been_answered_already() {
    let stream = stream(2, Placement::KeyRange);
    let end = |_: LogId| Some(Offset(10));
    let of = |no: usize, offset: u64| SequenceNumber::of(&stream.shards[no], Offset(offset)).to_string();
    let mut earlier = stream.shards[0].clone();
    earlier.created_s = 1_600_000_000;
    let mut later = stream.shards[0].clone();
    later.created_s = 1_800_000_000;
    let cases = [
        (of(0, 9), true),
        (of(1, 0), true),
        (of(0, 10), false),
        (SequenceNumber::starting(&stream.shards[0]).to_string(), true),
        (SequenceNumber::of(&earlier, Offset(1 << 40)).to_string(), true),
        (SequenceNumber::of(&later, Offset(0)).to_string(), false),
        ("0".to_string(), false),
        ("12345".to_string(), false),
    ];
    for (number, fits) in cases {
        assert_eq!(ordering_number_fits(&number, &stream, end, NOW), fits, "{number}");
    }
}
