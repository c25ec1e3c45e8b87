//! One record, two faces: what a Kafka client appends a Kinesis client reads, and the other way. Each test is named in
//! docs/mapping.md beside the sentence it shows.

use bytes::Bytes;
use interfluve::engine::catalog::Placement;
use interfluve::engine::{Fetch, Group, Joins, Origin, Part, Read, Until};
use interfluve::ids::{LogId, Offset, Timestamp};
use interfluve::kinesis::mapping::{GENUINE_HEADER, HASH_KEY_HEADER};
use interfluve::kinesis::sequence::SequenceNumber;
use interfluve::metrics;
use interfluve::record::batch::{self, Batch};
use interfluve::record::build::{Builder, NewRecord, Producer, marker};
use interfluve::record::compress::{Codec, Limits};
use interfluve::record::hash::murmur2_place;
use interfluve::record::records::{self, Marker, Record};
use serde_json::{Value, json};

use crate::harness::{Server, Setup};

type Pair<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

fn built(codec: Codec, pairs: &[Pair<'_>]) -> Batch {
    let mut builder = Builder::new(codec);
    for (key, value) in pairs {
        let headers: &[(&[u8], Option<&[u8]>)] = &[(b"trace", Some(b"7"))];
        builder.push(&NewRecord { timestamp: Timestamp(5), key: *key, value: *value, headers });
    }
    builder.finish()
}

/// Everything in a log, as a Kafka client reads it: offset and record.
async fn read_kafka(server: &Server, log: LogId) -> Vec<(u64, Record)> {
    let read = Read { log, from: Offset(0), max_bytes: 10 << 20, until: Until::Committed };
    let want = Fetch { reads: vec![read], min_bytes: 0, max_bytes: 10 << 20, deadline: server.clock.now() };
    let page = server.engine.fetch(want).await.remove(0).expect("a page");
    let limits = Limits { max_bytes: 10 << 20, max_ratio: 100_000 };
    let mut found = Vec::new();
    for stored in page.batches {
        let batch = batch::check(stored.bytes).expect("a batch");
        if batch.header.is_control() {
            continue;
        }
        for record in records::iterate(&batch, limits).expect("opened") {
            let record = record.expect("a record");
            found.push((batch.header.base_offset as u64 + record.offset_delta as u64, record));
        }
    }
    found
}

async fn read_kinesis(server: &Server, stream: &str, shard: u32) -> Vec<Value> {
    let ask =
        json!({"StreamName": stream, "ShardId": format!("shardId-{shard:012}"), "ShardIteratorType": "TRIM_HORIZON"});
    server.records(&server.iterator(ask).await).await["Records"].as_array().expect("records").clone()
}

#[tokio::test]
async fn a_kafka_record_is_read_by_kinesis_whatever_its_codec() {
    let server = Server::start().await;
    let stream = server.create_kafka("topic", 1).await;
    for codec in Codec::ALL {
        server.append(stream.logs[0], built(codec, &[(Some(b"key"), Some(b"value"))])).await;
    }
    let records = read_kinesis(&server, "topic", 0).await;
    assert_eq!(records.len(), Codec::ALL.len());
    for (offset, record) in records.iter().enumerate() {
        assert_eq!((&record["PartitionKey"], &record["Data"]), (&json!("key"), &json!("dmFsdWU=")));
        let number = SequenceNumber::parse(record["SequenceNumber"].as_str().expect("a number")).expect("ours");
        assert_eq!(number.offset(), Some(Offset(offset as u64)));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_kinesis_record_is_read_by_kafka_at_the_offset_its_number_says() {
    let server = Server::start().await;
    server.create("stream", 2).await;
    let stream = server.engine.catalog().stream("stream").cloned().expect("it is there");
    for n in 0..20 {
        let body = json!({"StreamName": "stream", "PartitionKey": format!("key-{n}"), "Data": "aGk="});
        let put = server.ok("PutRecord", body).await;
        let number = SequenceNumber::parse(put["SequenceNumber"].as_str().expect("a number")).expect("ours");
        let shard = stream.shard(number.shard()).expect("a shard");
        let log = stream.log(shard.log).expect("a log");
        let (offset, record) = read_kafka(&server, log).await.pop().expect("a record");
        assert_eq!((Some(Offset(offset)), record.key), (number.offset(), Some(Bytes::from(format!("key-{n}")))));
        assert_eq!((record.value.as_deref(), record.timestamp), (Some(b"hi".as_slice()), server.clock.now()));
        assert!(record.headers.is_empty());
    }
    server.stop().await;
}

#[tokio::test]
async fn each_log_of_a_kafka_stream_is_one_shard_and_order_is_the_same_from_both_sides() {
    let server = Server::start().await;
    let stream = server.create_kafka("topic", 3).await;
    for n in 0..60u8 {
        server
            .append(stream.logs[usize::from(n) % 3], built(Codec::None, &[(Some(&[b'a' + n % 7]), Some(&[n]))]))
            .await;
        let body = json!({"StreamName": "topic", "PartitionKey": format!("k{n}"), "Data": "AA=="});
        server.ok("PutRecord", body).await;
    }
    let shards = server.ok("ListShards", json!({"StreamName": "topic"})).await;
    assert_eq!(shards["Shards"].as_array().map(Vec::len), Some(3));
    for (no, log) in stream.logs.iter().enumerate() {
        let kafka: Vec<(u64, String)> = read_kafka(&server, *log)
            .await
            .into_iter()
            .map(|(offset, record)| (offset, String::from_utf8_lossy(&record.key.unwrap_or_default()).into_owned()))
            .collect();
        let kinesis: Vec<(u64, String)> = read_kinesis(&server, "topic", no as u32)
            .await
            .iter()
            .map(|record| {
                let number = SequenceNumber::parse(record["SequenceNumber"].as_str().expect("a number")).expect("ours");
                let key = record["PartitionKey"].as_str().expect("a key").to_string();
                (number.offset().expect("a record").0, key)
            })
            .collect();
        assert_eq!(kafka, kinesis);
    }
    server.stop().await;
}

#[tokio::test]
async fn null_empty_binary_and_tilde_keys_are_shown_by_their_escapes_and_kept_as_they_are() {
    let server = Server::start().await;
    let stream = server.create_kafka("topic", 1).await;
    let pairs: [Pair<'_>; 5] = [
        (None, Some(b"v")),
        (Some(b""), Some(b"v")),
        (Some(&[0xff, 0]), Some(b"v")),
        (Some(b"~null"), None),
        (Some(b"~x"), None),
    ];
    server.append(stream.logs[0], built(Codec::None, &pairs)).await;
    let shown = read_kinesis(&server, "topic", 0).await;
    let keys: Vec<&str> = shown.iter().map(|record| record["PartitionKey"].as_str().expect("a key")).collect();
    assert_eq!(keys, ["~null", "~b64:", "~b64:/wA=", "~~null", "~x"]);
    let kept = read_kafka(&server, stream.logs[0]).await;
    for ((_, record), (key, _)) in kept.iter().zip(pairs) {
        assert_eq!(record.key.as_deref(), key);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_key_put_by_kinesis_is_shown_as_it_was_put_even_if_it_looks_escaped() {
    let server = Server::start().await;
    server.create("stream", 1).await;
    let keys = ["plain", "~null", "~~null", "~b64:AAEC", "~sha256:00", "~alice"];
    for key in keys {
        server.ok("PutRecord", json!({"StreamName": "stream", "PartitionKey": key, "Data": ""})).await;
    }
    let shown = read_kinesis(&server, "stream", 0).await;
    let shown: Vec<&str> = shown.iter().map(|record| record["PartitionKey"].as_str().expect("a key")).collect();
    assert_eq!(shown, keys);
    let log = server.engine.catalog().stream("stream").expect("it is there").logs[0];
    for ((_, record), key) in read_kafka(&server, log).await.iter().zip(keys) {
        assert_eq!(record.key.as_deref(), Some(key.as_bytes()));
        let marked = record.headers.iter().any(|(name, _)| &name[..] == GENUINE_HEADER);
        assert_eq!(marked, key.starts_with("~") && key != "~alice", "{key}");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_explicit_hash_key_chooses_the_shard_and_is_kept_in_a_header() {
    let server = Server::start().await;
    server.create("stream", 2).await;
    let max = u128::MAX.to_string();
    let body = json!({"StreamName": "stream", "PartitionKey": "k", "ExplicitHashKey": max, "Data": ""});
    assert_eq!(server.ok("PutRecord", body).await["ShardId"], "shardId-000000000001");
    let log = server.engine.catalog().stream("stream").expect("it is there").logs[1];
    let (_, record) = read_kafka(&server, log).await.pop().expect("a record");
    assert_eq!(record.headers, [(Bytes::from_static(HASH_KEY_HEADER), Some(Bytes::from(max)))]);
    server.stop().await;
}

#[tokio::test]
async fn a_tombstone_is_shown_as_empty_data_and_headers_stay_out_of_sight() {
    let server = Server::start().await;
    let stream = server.create_kafka("topic", 1).await;
    server.append(stream.logs[0], built(Codec::None, &[(Some(b"k"), None)])).await;
    let shown = read_kinesis(&server, "topic", 0).await;
    assert_eq!((&shown[0]["Data"], shown[0].as_object().map(|record| record.len())), (&json!(""), Some(4)));
    server.stop().await;
}

#[tokio::test]
async fn arrival_not_the_record_s_own_time_is_what_kinesis_shows_and_seeks_by() {
    let server = Server::start().await;
    let stream = server.create_kafka("topic", 1).await;
    let placed = server.append(stream.logs[0], built(Codec::None, &[(Some(b"k"), Some(b"old"))])).await;
    let shown = read_kinesis(&server, "topic", 0).await;
    assert_eq!(shown[0]["ApproximateArrivalTimestamp"], placed.arrived.0 as f64 / 1000.0);
    // Its own time says 1970; a minute before its arrival it had not arrived.
    server.advance(60_000);
    let at = json!({
        "StreamName": "topic", "ShardIteratorType": "AT_TIMESTAMP", "Timestamp": (placed.arrived.0 + 1) as f64 / 1000.0,
    });
    let page = server.records(&server.iterator(at).await).await;
    assert_eq!(page["Records"], json!([]));
    server.stop().await;
}

#[tokio::test]
async fn control_batches_are_invisible_and_leave_a_hole_in_the_numbers() {
    let server = Server::start().await;
    let stream = server.create_kafka("topic", 1).await;
    let log = stream.logs[0];
    server.append(log, built(Codec::None, &[(Some(b"a"), None)])).await;
    let control = marker(Marker::Commit, Producer { id: 9, epoch: 0, sequence: -1 }, 0, Timestamp(5));
    let group = Group { parts: vec![Part::new(log, control)], origin: Origin::Marker };
    server.engine.append(group, Default::default()).await.expect("placed");
    server.append(log, built(Codec::None, &[(Some(b"b"), None)])).await;
    let shown = read_kinesis(&server, "topic", 0).await;
    let offsets: Vec<Option<Offset>> = shown
        .iter()
        .map(|r| SequenceNumber::parse(r["SequenceNumber"].as_str().expect("a number")).expect("ours").offset())
        .collect();
    assert_eq!(offsets, [Some(Offset(0)), Some(Offset(2))]);
    server.stop().await;
}

#[tokio::test]
async fn what_a_transaction_wrote_is_seen_once_it_is_committed_and_never_if_it_was_given_up() {
    let server = Server::start().await;
    let log = server.create_kafka("topic", 1).await.logs[0];
    let append = async |batch: Batch, joins: Option<Joins>, origin: Origin| {
        let group = Group { parts: vec![Part { joins, ..Part::new(log, batch) }], origin };
        server.engine.append(group, Default::default()).await.expect("placed")
    };
    let ours = |id: i64, value: &[u8]| {
        let mut batch = Builder::new(Codec::None).producer(Producer { id, epoch: 0, sequence: 0 }).transactional();
        batch.push(&NewRecord { timestamp: Timestamp(5), key: Some(b"k"), value: Some(value), headers: &[] });
        batch.finish()
    };
    let shown = async || {
        let records = read_kinesis(&server, "topic", 0).await;
        records.iter().map(|record| record["Data"].as_str().expect("data").to_owned()).collect::<Vec<_>>()
    };
    let begins = |since: u64| Some(Joins { since: Offset(since), bumps: false });
    append(built(Codec::None, &[(None, Some(b"AAA"))]), None, Origin::Client).await;
    append(ours(8, b"given up"), begins(1), Origin::Client).await;
    append(ours(9, b"\x04\x10\x41"), begins(2), Origin::Client).await;
    append(built(Codec::None, &[(None, Some(b"\x08\x20\x82"))]), None, Origin::Client).await;
    // Neither what is undecided nor what stands behind it.
    assert_eq!(shown().await, ["QUFB"]);
    for (id, how) in [(8, Marker::Abort), (9, Marker::Commit)] {
        append(marker(how, Producer { id, epoch: 0, sequence: -1 }, 0, Timestamp(5)), None, Origin::Ledger).await;
    }
    assert_eq!(shown().await, ["QUFB", "BBBB", "CCCC"]);
    server.stop().await;
}

#[tokio::test]
async fn a_record_over_the_limit_of_kinesis_is_skipped_and_counted_and_kafka_still_has_it() {
    let server = Server::start().await;
    let stream = server.create_kafka("topic", 1).await;
    let large = vec![7; 3 << 20];
    let before = metrics::SKIPPED_RECORDS.of("oversize").value();
    let pairs: [Pair<'_>; 3] = [(Some(b"a"), Some(b"1")), (Some(b"b"), Some(&large)), (Some(b"c"), Some(b"3"))];
    server.append(stream.logs[0], built(Codec::Gzip, &pairs)).await;
    let shown = read_kinesis(&server, "topic", 0).await;
    let keys: Vec<&Value> = shown.iter().map(|record| &record["PartitionKey"]).collect();
    assert_eq!(keys, [&json!("a"), &json!("c")]);
    assert!(metrics::SKIPPED_RECORDS.of("oversize").value() > before);
    assert_eq!(read_kafka(&server, stream.logs[0]).await.len(), 3);
    server.stop().await;
}

#[tokio::test]
async fn placement_follows_the_face_a_stream_was_born_on() {
    let server = Server::start().await;
    let kafka = server.create_kafka("topic", 4).await;
    server.create("stream", 4).await;
    let kinesis = server.engine.catalog().stream("stream").cloned().expect("it is there");
    assert_eq!((kafka.placement, kinesis.placement), (Placement::Murmur2, Placement::KeyRange));
    for n in 0..20 {
        let key = format!("key-{n}");
        let put = |stream: &str| json!({"StreamName": stream, "PartitionKey": key, "Data": ""});
        let shard = server.ok("PutRecord", put("topic")).await["ShardId"].clone();
        assert_eq!(shard, format!("shardId-{:012}", murmur2_place(key.as_bytes(), 4)));
        let shard = server.ok("PutRecord", put("stream")).await["ShardId"].clone();
        let hash = interfluve::record::hash::md5_key(key.as_bytes());
        assert_eq!(shard, format!("shardId-{:012}", hash >> 126));
    }
    server.stop().await;
}

#[tokio::test]
async fn retention_of_the_other_face_is_shown_in_hours_rounded_up() {
    let server = Server::start().await;
    let stream = server.create_kafka("topic", 1).await;
    for (ms, hours) in [(None, 168), (Some("3600001"), 2), (Some("-1"), 8760)] {
        let set = [("retention.ms".to_string(), ms.map(str::to_string))].into();
        let altered = server.engine.change(vec![interfluve::engine::Change::Alter { id: stream.id, set }]).await;
        assert!(altered[0].is_ok(), "{altered:?}");
        let summary = server.ok("DescribeStreamSummary", json!({"StreamName": "topic"})).await;
        assert_eq!(summary["StreamDescriptionSummary"]["RetentionPeriodHours"], hours, "{ms:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_name_too_long_for_kinesis_is_listed_and_reached_by_its_arn() {
    let server = Server::start().await;
    let name = "n".repeat(249);
    let stream = server.create_kafka(&name, 1).await;
    server.append(stream.logs[0], built(Codec::None, &[(Some(b"k"), Some(b"v"))])).await;
    let listed = server.ok("ListStreams", json!({})).await;
    assert_eq!(listed["StreamNames"], json!([name]));
    assert_eq!(server.err("DescribeStream", json!({"StreamName": name})).await.0, "ValidationException");
    let arn = listed["StreamSummaries"][0]["StreamARN"].clone();
    let described = server.ok("DescribeStream", json!({"StreamARN": arn})).await;
    assert_eq!(described["StreamDescription"]["StreamName"], json!(name));
    let page =
        server.records(&server.iterator(json!({"StreamARN": arn, "ShardIteratorType": "TRIM_HORIZON"})).await).await;
    assert_eq!(page["Records"][0]["Data"], "dg==");
    server.stop().await;
}

#[tokio::test]
async fn streams_of_the_server_s_own_are_nobody_s_to_see() {
    let server = Server::start().await;
    let create = interfluve::engine::catalog::Create {
        name: "__own".into(),
        born: interfluve::engine::catalog::Born::Kafka,
        kind: interfluve::engine::catalog::Kind::Shown,
        logs: 1,
        settings: Default::default(),
        placement: None,
        creating_ms: 0,
    };
    let made = server.engine.change(vec![interfluve::engine::Change::Create(create)]).await;
    assert!(made[0].is_ok(), "{made:?}");
    assert_eq!(server.ok("ListStreams", json!({})).await["StreamNames"], json!([]));
    let put = json!({"StreamName": "__own", "PartitionKey": "k", "Data": ""});
    assert_eq!(server.err("PutRecord", put).await.0, "ResourceNotFoundException");
    assert_eq!(server.err("DeleteStream", json!({"StreamName": "__own"})).await.0, "ResourceNotFoundException");
    let taken = server.err("CreateStream", json!({"StreamName": "__own", "ShardCount": 1})).await;
    assert_eq!(taken.0, "ResourceInUseException");
    server.stop().await;
}

#[tokio::test]
async fn iterators_and_numbers_outlive_a_restart() {
    let disk = interfluve::store::memory::MemDisk::new();
    let server = Server::start_with(Setup { disk: disk.clone(), ..Setup::default() }).await;
    server.create("stream", 1).await;
    let body = json!({"StreamName": "stream", "PartitionKey": "k", "Data": "aGk="});
    let number = server.ok("PutRecord", body).await["SequenceNumber"].clone();
    let iterator = server.iterator(json!({"StreamName": "stream", "ShardIteratorType": "TRIM_HORIZON"})).await;
    server.stop().await.close().await;
    let server = Server::start_with(Setup { disk: disk.clone(), ..Setup::default() }).await;
    let page = server.records(&iterator).await;
    assert_eq!((&page["Records"][0]["SequenceNumber"], &page["Records"][0]["Data"]), (&number, &json!("aGk=")));
    server.stop().await;
}

#[test]
fn every_sentence_of_the_mapping_names_tests_that_exist() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/mapping.md")).expect("docs/mapping.md");
    let mut sources = String::new();
    let mut folders = vec![root.join("src/kinesis"), root.join("tests/kinesis")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path => sources += &std::fs::read_to_string(path).expect("a source"),
            }
        }
    }
    let names: Vec<&str> = page.split('`').filter_map(|code| code.split_once("::")).map(|(_, name)| name).collect();
    let missing: Vec<&&str> =
        names.iter().filter(|name| !name.is_empty() && !sources.contains(&format!("fn {name}("))).collect();
    assert!(names.len() > 50 && missing.is_empty(), "{missing:?}");
}
