//! Iterators of every type, what they read, and what ends them.

use interfluve::engine::{Change, Options};
use interfluve::ids::Offset;
use interfluve::store::Disk;
use interfluve::store::memory::MemDisk;
use serde_json::{Value, json};

use crate::harness::{NOW, Server, Setup};

/// Puts one record and gives its number.
async fn put(server: &Server, stream: &str, data: &str) -> String {
    let body = json!({"StreamName": stream, "PartitionKey": "k", "Data": data});
    server.ok("PutRecord", body).await["SequenceNumber"].as_str().expect("a number").to_string()
}

fn data(page: &Value) -> Vec<String> {
    let records = page["Records"].as_array().expect("records");
    records.iter().map(|record| record["Data"].as_str().expect("data").to_string()).collect()
}

fn next(page: &Value) -> String {
    page["NextShardIterator"].as_str().expect("a next iterator").to_string()
}

#[tokio::test]
async fn every_type_of_iterator_begins_where_it_says() {
    let server = Server::start().await;
    server.create("s", 1).await;
    let mut numbers = Vec::new();
    for text in ["AAAA", "BBBB", "CCCC"] {
        numbers.push(put(&server, "s", text).await);
        server.advance(1_000);
    }
    let shards = server.ok("ListShards", json!({"StreamName": "s"})).await;
    let starting = shards["Shards"][0]["SequenceNumberRange"]["StartingSequenceNumber"].clone();
    let at = |kind: &str, number: &str| json!({"ShardIteratorType": kind, "StartingSequenceNumber": number});
    let starting = starting.as_str().expect("a number");
    let time = |ms: i64| json!({"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": (NOW.0 + ms) as f64 / 1000.0});
    let cases = [
        (json!({"ShardIteratorType": "TRIM_HORIZON"}), vec!["AAAA", "BBBB", "CCCC"]),
        (json!({"ShardIteratorType": "LATEST"}), vec![]),
        (at("AT_SEQUENCE_NUMBER", &numbers[1]), vec!["BBBB", "CCCC"]),
        (at("AFTER_SEQUENCE_NUMBER", &numbers[1]), vec!["CCCC"]),
        (at("AFTER_SEQUENCE_NUMBER", &numbers[2]), vec![]),
        (at("AT_SEQUENCE_NUMBER", starting), vec!["AAAA", "BBBB", "CCCC"]),
        (at("AFTER_SEQUENCE_NUMBER", starting), vec!["AAAA", "BBBB", "CCCC"]),
        (time(-1_000_000), vec!["AAAA", "BBBB", "CCCC"]),
        (time(0), vec!["AAAA", "BBBB", "CCCC"]),
        (time(1), vec!["BBBB", "CCCC"]),
        (time(1_000), vec!["BBBB", "CCCC"]),
        (time(2_001), vec![]),
    ];
    for (mut ask, expected) in cases {
        ask["StreamName"] = json!("s");
        let page = server.records(&server.iterator(ask.clone()).await).await;
        assert_eq!(data(&page), expected, "{ask}");
        assert_eq!(page["MillisBehindLatest"], 0);
    }
    server.stop().await;
}

#[tokio::test]
async fn latest_is_fixed_when_it_is_asked_for() {
    let server = Server::start().await;
    server.create("s", 1).await;
    put(&server, "s", "AAAA").await;
    let iterator = server.iterator(json!({"StreamName": "s", "ShardIteratorType": "LATEST"})).await;
    put(&server, "s", "BBBB").await;
    assert_eq!(data(&server.records(&iterator).await), ["BBBB"]);
    server.stop().await;
}

#[tokio::test]
async fn nothing_is_read_twice_along_the_iterators_and_nothing_is_left_out() {
    let server = Server::start().await;
    server.create("s", 1).await;
    let mut iterator = server.iterator(json!({"StreamName": "s", "ShardIteratorType": "TRIM_HORIZON"})).await;
    let mut read = Vec::new();
    for round in 0..5u8 {
        let texts: Vec<String> = (0..7u8).map(|n| format!("{}{n}==", char::from(b'A' + round))).collect();
        let entries: Vec<Value> = texts.iter().map(|_| json!({"PartitionKey": "k", "Data": "AA=="})).collect();
        server.ok("PutRecords", json!({"StreamName": "s", "Records": entries})).await;
        let page = server.ok("GetRecords", json!({"ShardIterator": iterator, "Limit": 5})).await;
        read.extend(page["Records"].as_array().expect("records").iter().map(|r| r["SequenceNumber"].to_string()));
        assert_ne!(next(&page), iterator);
        iterator = next(&page);
    }
    let page = server.records(&iterator).await;
    read.extend(page["Records"].as_array().expect("records").iter().map(|r| r["SequenceNumber"].to_string()));
    assert_eq!(read.len(), 35);
    assert!(read.windows(2).all(|pair| pair[0] < pair[1]), "strictly growing");
    server.stop().await;
}

#[tokio::test]
async fn an_iterator_may_be_used_again_until_it_is_300_seconds_old() {
    let server = Server::start().await;
    server.create("s", 1).await;
    put(&server, "s", "AAAA").await;
    let iterator = server.iterator(json!({"StreamName": "s", "ShardIteratorType": "TRIM_HORIZON"})).await;
    let created = server.clock.now();
    assert_eq!(data(&server.records(&iterator).await), ["AAAA"]);
    assert_eq!(data(&server.records(&iterator).await), ["AAAA"]);
    server.clock.set(created.plus_ms(301_000));
    let (kind, message) = server.err("GetRecords", json!({"ShardIterator": iterator})).await;
    assert_eq!(kind, "ExpiredIteratorException");
    assert!(message.starts_with("Iterator expired. The iterator was created at time Tue Nov 14 22:13:20 UTC 2023 "));
    assert!(message.ends_with("tolerated delay of 300000 milliseconds."), "{message}");
    server.stop().await;
}

#[tokio::test]
async fn how_far_a_reader_is_behind_is_true_to_the_millisecond() {
    let server = Server::start().await;
    server.create("s", 1).await;
    let base = server.clock.now();
    for (text, ms) in [("AAAA", 0), ("BBBB", 1_234), ("CCCC", 2_000)] {
        server.clock.set(base.plus_ms(ms));
        put(&server, "s", text).await;
    }
    server.clock.set(base.plus_ms(10_000));
    let mut iterator = server.iterator(json!({"StreamName": "s", "ShardIteratorType": "TRIM_HORIZON"})).await;
    for behind in [10_000 - 1_234, 10_000 - 2_000, 0, 0] {
        let page = server.ok("GetRecords", json!({"ShardIterator": iterator, "Limit": 1})).await;
        assert_eq!(page["MillisBehindLatest"], behind);
        iterator = next(&page);
    }
    server.stop().await;
}

#[tokio::test]
async fn arrival_is_the_moment_of_the_append() {
    let server = Server::start().await;
    server.create("s", 1).await;
    let base = server.clock.now();
    server.clock.set(base.plus_ms(1_234));
    put(&server, "s", "AAAA").await;
    let iterator = server.iterator(json!({"StreamName": "s", "ShardIteratorType": "TRIM_HORIZON"})).await;
    let page = server.records(&iterator).await;
    assert_eq!(page["Records"][0]["ApproximateArrivalTimestamp"], (base.0 + 1_234) as f64 / 1000.0);
    server.stop().await;
}

#[tokio::test]
async fn a_page_holds_ten_mebibytes_and_no_more() {
    let server = Server::start().await;
    server.create("s", 1).await;
    let mebibyte = "A".repeat(1024 * 1024 / 3 * 4);
    for _ in 0..2 {
        let entries = vec![json!({"PartitionKey": "k", "Data": mebibyte}); 7];
        server.ok("PutRecords", json!({"StreamName": "s", "Records": entries})).await;
    }
    let iterator = server.iterator(json!({"StreamName": "s", "ShardIteratorType": "TRIM_HORIZON"})).await;
    let page = server.records(&iterator).await;
    assert_eq!(page["Records"].as_array().map(Vec::len), Some(10));
    let rest = server.records(&next(&page)).await;
    assert_eq!((rest["Records"].as_array().map(Vec::len), &rest["MillisBehindLatest"]), (Some(4), &json!(0)));
    server.stop().await;
}

#[tokio::test]
async fn a_trimmed_position_goes_on_at_the_horizon() {
    let server = Server::start().await;
    server.create("s", 1).await;
    let first = put(&server, "s", "AAAA").await;
    put(&server, "s", "BBBB").await;
    let horizon = server.iterator(json!({"StreamName": "s", "ShardIteratorType": "TRIM_HORIZON"})).await;
    let ask = json!({"StreamName": "s", "ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": first});
    let at_first = server.iterator(ask.clone()).await;
    let log = server.engine.catalog().stream("s").expect("it is there").logs[0];
    server.engine.trim(log, Offset(1)).await.expect("trimmed");
    for iterator in [horizon, at_first, server.iterator(ask).await] {
        assert_eq!(data(&server.records(&iterator).await), ["BBBB"]);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_closed_shard_ends_with_its_children_and_no_iterator() {
    let server = Server::start().await;
    let stream = server.create_kafka("s", 1).await;
    put(&server, "s", "AAAA").await;
    let parent = json!({"StreamName": "s", "ShardIteratorType": "TRIM_HORIZON"});
    let early = server.iterator(parent.clone()).await;
    let grown = server.engine.change(vec![Change::Grow { id: stream.id, logs: 2 }]).await;
    assert!(grown[0].is_ok(), "{grown:?}");
    put(&server, "s", "BBBB").await;
    let half = (u128::MAX / 2).to_string();
    let above = (u128::MAX / 2 + 1).to_string();
    let child = |no: u32, first: &str, last: &str| {
        json!({
            "ShardId": format!("shardId-{no:012}"),
            "ParentShards": ["shardId-000000000000"],
            "HashKeyRange": {"StartingHashKey": first, "EndingHashKey": last},
        })
    };
    let children = json!([child(1, "0", &half), child(2, &above, &u128::MAX.to_string())]);
    let latest = json!({"StreamName": "s", "ShardIteratorType": "LATEST"});
    for (iterator, expected) in
        [(early, vec!["AAAA"]), (server.iterator(parent).await, vec!["AAAA"]), (server.iterator(latest).await, vec![])]
    {
        let page = server.records(&iterator).await;
        assert_eq!(data(&page), expected);
        assert!(page.get("NextShardIterator").is_none());
        assert_eq!((&page["ChildShards"], &page["MillisBehindLatest"]), (&children, &json!(0)));
    }
    let mut found = Vec::new();
    for no in [1, 2] {
        let ask =
            json!({"StreamName": "s", "ShardId": format!("shardId-{no:012}"), "ShardIteratorType": "TRIM_HORIZON"});
        let page = server.records(&server.iterator(ask).await).await;
        assert!(page.get("NextShardIterator").is_some() && page.get("ChildShards").is_none());
        found.extend(data(&page));
    }
    assert_eq!(found, ["BBBB"]);
    server.stop().await;
}

#[tokio::test]
async fn puts_go_on_while_shards_are_split() {
    let server = Server::start().await;
    server.create("s", 1).await;
    let id = server.engine.catalog().stream("s").expect("it is there").id;
    let engine = server.engine.clone();
    let splitting = tokio::spawn(async move {
        for logs in 2..=8 {
            let grown = engine.change(vec![Change::Grow { id, logs }]).await;
            assert!(grown[0].is_ok(), "{grown:?}");
        }
    });
    let mut put = 0;
    while !splitting.is_finished() || put < 20 {
        let entries: Vec<Value> =
            (0..10).map(|n| json!({"PartitionKey": format!("k{put}-{n}"), "Data": "AAAA"})).collect();
        let answer = server.ok("PutRecords", json!({"StreamName": "s", "Records": entries})).await;
        assert_eq!(answer["FailedRecordCount"], 0, "{answer}");
        put += 1;
    }
    splitting.await.expect("split");
    let shards = server.ok("ListShards", json!({"StreamName": "s"})).await;
    let mut found = 0;
    for shard in shards["Shards"].as_array().expect("shards") {
        let ask = json!({"StreamName": "s", "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"});
        let page = server.records(&server.iterator(ask).await).await;
        found += page["Records"].as_array().map_or(0, Vec::len);
    }
    assert_eq!(found, put * 10);
    server.stop().await;
}

#[tokio::test]
async fn iterators_that_cannot_be_are_refused_by_name() {
    let server = Server::start().await;
    server.create("s", 2).await;
    server.create("t", 1).await;
    let number = put(&server, "s", "AAAA").await;
    let shard = server.ok("PutRecord", json!({"StreamName": "s", "PartitionKey": "k", "Data": ""})).await["ShardId"]
        .as_str()
        .expect("a shard")
        .to_string();
    let other = if shard.ends_with('0') { "shardId-000000000001" } else { "shardId-000000000000" };
    let ask = |stream: &str, shard: &str, kind: &str, number: Option<&str>| {
        let mut ask = json!({"StreamName": stream, "ShardId": shard, "ShardIteratorType": kind});
        ask["StartingSequenceNumber"] = json!(number);
        ask
    };
    let cases = [
        (
            ask("s", "shardId-7", "LATEST", None),
            "Shard shardId-000000000007 in stream s under account 000000000000 does not exist",
        ),
        (ask("s", "odd", "LATEST", None), "Could not find shard odd in stream s under account 000000000000."),
        (ask("s", other, "AT_SEQUENCE_NUMBER", Some(&number)), "It encodes shardId-00000000000"),
        (ask("s", &shard, "AT_SEQUENCE_NUMBER", Some("12345")), "used in GetShardIterator on shard shardId-"),
        (ask("s", &shard, "LATEST", Some(&number)), "Request specified LATEST and also a StartingSequenceNumber."),
        (
            ask("s", &shard, "AT_SEQUENCE_NUMBER", None),
            "Request specified AT_SEQUENCE_NUMBER and no StartingSequenceNumber.",
        ),
        (ask("s", &shard, "AT_TIMESTAMP", None), "Must specify timestampInMillis parameter"),
        (ask("s", &shard, "SOMETIME", None), "Member must satisfy enum value set"),
    ];
    for (body, message) in cases {
        let (_, said) = server.err("GetShardIterator", body.clone()).await;
        assert!(said.contains(message), "{body}: {said}");
    }
    let mut future = ask("s", &shard, "AT_TIMESTAMP", None);
    future["Timestamp"] = json!((server.clock.now().0 + 60_000) as f64 / 1000.0);
    let (_, said) = server.err("GetShardIterator", future).await;
    assert!(
        said.starts_with("The timestampInMillis parameter cannot be greater than the currentTimestampInMillis."),
        "{said}"
    );
    for text in ["AAAA", "not base64", "AAAAAAAAAAEAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="] {
        let refused = server.err("GetRecords", json!({"ShardIterator": text})).await;
        assert_eq!(refused, ("InvalidArgumentException".into(), "Invalid ShardIterator.".into()));
    }
    server.stop().await;
}

/// A disk that fails for a while: GetRecords says so and steps over nothing, and goes on when the disk does.
#[tokio::test]
async fn records_that_the_disk_does_not_give_are_an_internal_failure_and_are_read_later() {
    let disk = MemDisk::faulty();
    let mut engine = Options::default();
    (engine.lane.settle_bytes, engine.lane.tail_bytes) = (4_000, 10_000);
    let server = Server::start_with(Setup { disk: disk.clone(), engine, ..Setup::default() }).await;
    server.create("s", 1).await;
    for _ in 0..100 {
        put(&server, "s", &"A".repeat(800)).await;
    }
    let iterator = server.iterator(json!({"StreamName": "s", "ShardIteratorType": "TRIM_HORIZON"})).await;
    let dirs: Vec<String> = disk.list("logs").expect("a directory").iter().map(|dir| format!("logs/{dir}")).collect();
    let files =
        dirs.iter().flat_map(|dir| disk.list(dir).expect("a directory").into_iter().map(move |n| format!("{dir}/{n}")));
    let segments: Vec<String> = files.filter(|name| name.ends_with(".log")).collect();
    assert!(!segments.is_empty(), "nothing has been settled");
    for name in &segments {
        disk.spoil(name, 0..u64::MAX).expect("a file");
    }
    for _ in 0..2 {
        assert_eq!(server.err("GetRecords", json!({"ShardIterator": iterator})).await.0, "InternalFailure");
    }
    for name in &segments {
        disk.mend(name).expect("a file");
    }
    let (mut iterator, mut read) = (iterator, 0);
    while read < 100 {
        let page = server.records(&iterator).await;
        assert!(!data(&page).is_empty(), "{read} of 100");
        read += data(&page).len();
        iterator = next(&page);
    }
    assert_eq!(read, 100);
    server.stop().await;
}
