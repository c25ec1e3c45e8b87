//! Streams and shards: created, described, listed, deleted, with the service's sentences.

use interfluve::config::server::ShardLimits;
use interfluve::engine::{Change, Options, lane};
use interfluve::kinesis::Settings;
use interfluve::kinesis::sequence::SequenceNumber;
use interfluve::metrics;
use interfluve::store::memory::MemDisk;
use serde_json::{Value, json};

use crate::harness::{NOW, Server, Setup};

const ARN: &str = "arn:aws:kinesis:eu-west-1:000000000000:stream/";

#[tokio::test]
async fn a_created_stream_is_described_in_full() {
    let server = Server::start().await;
    server.create("orders", 3).await;
    let width = u128::MAX / 3;
    let shards: Vec<Value> = (0..3u32)
        .map(|no| {
            let first = u128::from(no) * width;
            let last = if no == 2 { u128::MAX } else { first + width - 1 };
            let stream = server.engine.catalog().stream("orders").cloned().expect("it is there");
            json!({
                "ShardId": format!("shardId-{no:012}"),
                "HashKeyRange": {"StartingHashKey": first.to_string(), "EndingHashKey": last.to_string()},
                "SequenceNumberRange": {
                    "StartingSequenceNumber": SequenceNumber::starting(&stream.shards[no as usize]).to_string(),
                },
            })
        })
        .collect();
    let common = json!({
        "StreamName": "orders",
        "StreamARN": format!("{ARN}orders"),
        "StreamStatus": "ACTIVE",
        "StreamModeDetails": {"StreamMode": "PROVISIONED"},
        "RetentionPeriodHours": 24,
        "StreamCreationTimestamp": 1_700_000_000.0,
        "EnhancedMonitoring": [{"ShardLevelMetrics": []}],
        "EncryptionType": "NONE",
    });
    let with = |more: Value| {
        let mut all = common.clone();
        for (name, value) in more.as_object().expect("an object") {
            all[name] = value.clone();
        }
        all
    };
    let described = server.ok("DescribeStream", json!({"StreamName": "orders"})).await;
    assert_eq!(described, json!({"StreamDescription": with(json!({"Shards": shards, "HasMoreShards": false}))}));
    let summary = server.ok("DescribeStreamSummary", json!({"StreamARN": format!("{ARN}orders")})).await;
    let more = json!({"OpenShardCount": 3, "ConsumerCount": 0, "MaxRecordSizeInKiB": 1024});
    assert_eq!(summary, json!({"StreamDescriptionSummary": with(more)}));
    let listed = server.ok("ListShards", json!({"StreamName": "orders"})).await;
    assert_eq!(listed, json!({"Shards": shards}));
    server.stop().await;
}

fn with(kinesis: Settings) -> Setup {
    Setup { kinesis, ..Setup::default() }
}

#[tokio::test]
async fn a_stream_id_is_answered_nowhere() {
    let server = Server::start().await;
    server.create("s", 1).await;
    for operation in ["DescribeStream", "DescribeStreamSummary", "ListStreams", "ListShards"] {
        let body = if operation == "ListStreams" { json!({}) } else { json!({"StreamName": "s"}) };
        assert!(!server.ok(operation, body).await.to_string().contains("StreamId"), "{operation}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_stream_is_creating_for_as_long_as_it_is_told() {
    let server = Server::start_with(with(Settings { creating_ms: 500, ..Settings::default() })).await;
    server.create("slow", 2).await;
    let described = server.ok("DescribeStream", json!({"StreamName": "slow"})).await;
    assert_eq!(described["StreamDescription"]["StreamStatus"], "CREATING");
    assert_eq!(described["StreamDescription"]["Shards"], json!([]));
    let put = json!({"StreamName": "slow", "PartitionKey": "k", "Data": ""});
    let missing = ("ResourceNotFoundException".into(), "Stream slow under account 000000000000 not found.".into());
    assert_eq!(server.err("PutRecord", put.clone()).await, missing);
    let records = json!({"StreamName": "slow", "Records": [{"PartitionKey": "k", "Data": ""}]});
    assert_eq!(server.err("PutRecords", records).await, missing);
    let ask = json!({"StreamName": "slow", "ShardId": "shardId-000000000000", "ShardIteratorType": "LATEST"});
    assert_eq!(server.err("GetShardIterator", ask).await, missing);
    let in_use = "Stream slow under account 000000000000 not ACTIVE, instead in state CREATING";
    let refused = server.err("ListShards", json!({"StreamName": "slow"})).await;
    assert_eq!(refused, ("ResourceInUseException".into(), in_use.into()));
    server.advance(500);
    server.ok("PutRecord", put).await;
    let described = server.ok("DescribeStream", json!({"StreamName": "slow"})).await;
    assert_eq!(described["StreamDescription"]["StreamStatus"], "ACTIVE");
    assert_eq!(described["StreamDescription"]["Shards"].as_array().map(Vec::len), Some(2));
    server.stop().await;
}

#[tokio::test]
async fn operations_on_what_is_not_there_name_it() {
    let server = Server::start().await;
    let missing = "Stream absent under account 000000000000 not found.";
    for operation in ["DescribeStream", "DescribeStreamSummary", "DeleteStream", "ListShards"] {
        let refused = server.err(operation, json!({"StreamName": "absent"})).await;
        assert_eq!(refused, ("ResourceNotFoundException".into(), missing.into()), "{operation}");
    }
    let put = json!({"StreamName": "absent", "PartitionKey": "k", "Data": ""});
    assert_eq!(server.err("PutRecord", put).await.1, missing);
    let no_shard = "Shard shardId-000000000005 in stream absent under account 000000000000 does not exist";
    let ask = json!({"StreamName": "absent", "ShardId": "shardId-5", "ShardIteratorType": "LATEST"});
    assert_eq!(server.err("GetShardIterator", ask).await.1, no_shard);
    let arn = "arn:aws-cn:kinesis:cn-north-1:123456789012:stream/absent";
    let by_arn = server.err("DescribeStream", json!({"StreamARN": arn})).await;
    assert_eq!(by_arn.1, "Stream absent under account 123456789012 not found.");
    server.stop().await;
}

#[tokio::test]
async fn creating_a_stream_twice_and_creating_what_cannot_be_is_refused() {
    let server = Server::start().await;
    server.create("s", 1).await;
    let exists = "Stream s under account 000000000000 already exists.";
    let twice = server.err("CreateStream", json!({"StreamName": "s", "ShardCount": 1})).await;
    assert_eq!(twice, ("ResourceInUseException".into(), exists.into()));
    let cases = [
        (json!({"StreamName": "x"}), "InvalidArgumentException"),
        (json!({"StreamName": "x", "ShardCount": 0}), "ValidationException"),
        (json!({"StreamName": "x", "ShardCount": -1}), "ValidationException"),
        (json!({"StreamName": "x", "ShardCount": 100_001}), "ValidationException"),
        (json!({"StreamName": "x", "ShardCount": 1, "MaxRecordSizeInKiB": 1}), "ValidationException"),
        (json!({"StreamName": "x", "StreamModeDetails": {"StreamMode": "OTHER"}}), "ValidationException"),
        (json!({"StreamName": "x", "StreamModeDetails": {}}), "ValidationException"),
        (json!({"StreamName": "x", "ShardCount": 1, "Tags": {"a": "b"}}), "InvalidArgumentException"),
        (json!({"ShardCount": 1}), "ValidationException"),
    ];
    for (body, kind) in cases {
        assert_eq!(server.err("CreateStream", body.clone()).await.0, kind, "{body}");
    }
    server.stop().await;
}

#[tokio::test]
async fn an_on_demand_stream_begins_with_four_shards_and_says_what_it_is() {
    let server = Server::start().await;
    let body = json!({"StreamName": "s", "StreamModeDetails": {"StreamMode": "ON_DEMAND"}, "MaxRecordSizeInKiB": 2048});
    server.ok("CreateStream", body).await;
    let summary = server.ok("DescribeStreamSummary", json!({"StreamName": "s"})).await;
    let summary = &summary["StreamDescriptionSummary"];
    assert_eq!(summary["StreamModeDetails"], json!({"StreamMode": "ON_DEMAND"}));
    assert_eq!((&summary["OpenShardCount"], &summary["MaxRecordSizeInKiB"]), (&json!(4), &json!(2048)));
    server.stop().await;
}

#[tokio::test]
async fn a_deleted_stream_is_gone_and_a_new_one_of_its_name_is_another() {
    let server = Server::start().await;
    server.create("s", 1).await;
    let put = json!({"StreamName": "s", "PartitionKey": "k", "Data": "aGk="});
    let old = server.ok("PutRecord", put.clone()).await["SequenceNumber"].as_str().map(str::to_string);
    let old = old.expect("a number");
    let iterator = server.iterator(json!({"StreamName": "s", "ShardIteratorType": "TRIM_HORIZON"})).await;
    server.ok("DeleteStream", json!({"StreamName": "s"})).await;
    assert_eq!(server.ok("ListStreams", json!({})).await["StreamNames"], json!([]));
    let gone = "Shard shardId-000000000000 in stream s under account 000000000000 does not exist";
    let refused = server.err("GetRecords", json!({"ShardIterator": iterator})).await;
    assert_eq!(refused, ("ResourceNotFoundException".into(), gone.into()));
    server.create("s", 1).await;
    assert_eq!(server.err("GetRecords", json!({"ShardIterator": iterator})).await.1, gone);
    let new = server.ok("PutRecord", put).await["SequenceNumber"].as_str().map(str::to_string).expect("a number");
    assert!(new > old, "a later stream's numbers are greater, though both were created in one second");
    let ask = json!({
        "StreamName": "s", "ShardId": "shardId-0", "ShardIteratorType": "AT_SEQUENCE_NUMBER", "StartingSequenceNumber": old,
    });
    let (kind, message) = server.err("GetShardIterator", ask).await;
    assert_eq!(kind, "InvalidArgumentException");
    assert!(message.ends_with("is invalid because it did not come from this stream."), "{message}");
    server.stop().await;
}

#[tokio::test]
async fn streams_are_listed_sorted_and_in_pages() {
    let server = Server::start().await;
    for name in ["c", "a", "e", "b", "d"] {
        server.create(name, 1).await;
    }
    let names = |value: &Value| value["StreamNames"].as_array().cloned().expect("names");
    let all = server.ok("ListStreams", json!({})).await;
    assert_eq!(
        (names(&all), &all["HasMoreStreams"]),
        (vec![json!("a"), json!("b"), json!("c"), json!("d"), json!("e")], &json!(false))
    );
    assert!(all.get("NextToken").is_none());
    assert_eq!(all["StreamSummaries"][0]["StreamARN"], format!("{ARN}a"));
    let first = server.ok("ListStreams", json!({"Limit": 2})).await;
    assert_eq!((names(&first), &first["HasMoreStreams"]), (vec![json!("a"), json!("b")], &json!(true)));
    let second = server.ok("ListStreams", json!({"Limit": 2, "NextToken": first["NextToken"]})).await;
    assert_eq!(names(&second), [json!("c"), json!("d")]);
    let by_name = server.ok("ListStreams", json!({"Limit": 2, "ExclusiveStartStreamName": "bb"})).await;
    assert_eq!(names(&by_name), [json!("c"), json!("d")]);
    server.advance(300_001);
    let expired = server.err("ListStreams", json!({"NextToken": first["NextToken"]})).await;
    assert_eq!(expired.0, "ExpiredNextTokenException");
    server.stop().await;
}

#[tokio::test]
async fn shards_are_listed_in_pages_by_token_or_by_id() {
    let server = Server::start().await;
    server.create("s", 5).await;
    let ids = |value: &Value, at: &str| -> Vec<String> {
        let shards = value.pointer(at).and_then(Value::as_array).expect("shards");
        shards.iter().map(|shard| shard["ShardId"].as_str().expect("an id")[19..].to_string()).collect()
    };
    let first = server.ok("ListShards", json!({"StreamName": "s", "MaxResults": 2})).await;
    assert_eq!(ids(&first, "/Shards"), ["0", "1"]);
    let second = server.ok("ListShards", json!({"NextToken": first["NextToken"], "MaxResults": 2})).await;
    assert_eq!(ids(&second, "/Shards"), ["2", "3"]);
    let third = server.ok("ListShards", json!({"NextToken": second["NextToken"]})).await;
    assert_eq!((ids(&third, "/Shards"), third.get("NextToken")), (vec!["4".to_string()], None));
    let after = json!({"StreamName": "s", "ExclusiveStartShardId": "shardId-000000000003"});
    assert_eq!(ids(&server.ok("ListShards", after).await, "/Shards"), ["4"]);
    let described = server.ok("DescribeStream", json!({"StreamName": "s", "Limit": 2})).await;
    assert_eq!(ids(&described, "/StreamDescription/Shards"), ["0", "1"]);
    assert_eq!(described["StreamDescription"]["HasMoreShards"], true);
    let rest = json!({"StreamName": "s", "ExclusiveStartShardId": "shardId-000000000001"});
    let rest = server.ok("DescribeStream", rest).await;
    assert_eq!(ids(&rest, "/StreamDescription/Shards"), ["2", "3", "4"]);
    let token = &first["NextToken"];
    let cases = [
        (json!({}), "Either NextToken or StreamName should be provided."),
        (json!({"StreamName": "s", "NextToken": token}), "NextToken and StreamName cannot be provided together."),
        (json!({"NextToken": "bm8="}), "Invalid NextToken."),
    ];
    for (body, message) in cases {
        assert_eq!(server.err("ListShards", body).await, ("InvalidArgumentException".into(), message.into()));
    }
    server.stop().await;
}

#[tokio::test]
async fn every_filter_of_shards_is_understood_across_a_split() {
    let server = Server::start().await;
    let stream = server.create_kafka("s", 1).await;
    server.advance(10_000);
    let grown = server.engine.change(vec![Change::Grow { id: stream.id, logs: 2 }]).await;
    assert!(grown[0].is_ok(), "{grown:?}");
    server.advance(10_000);
    let second = |ms: i64| (NOW.0 + ms) as f64 / 1000.0;
    let cases = [
        (json!({"Type": "FROM_TRIM_HORIZON"}), vec![0, 1, 2]),
        (json!({"Type": "AT_TRIM_HORIZON"}), vec![0]),
        (json!({"Type": "AT_LATEST"}), vec![1, 2]),
        (json!({"Type": "AT_TIMESTAMP", "Timestamp": second(5_000)}), vec![0]),
        (json!({"Type": "AT_TIMESTAMP", "Timestamp": second(15_000)}), vec![1, 2]),
        (json!({"Type": "FROM_TIMESTAMP", "Timestamp": second(5_000)}), vec![0, 1, 2]),
        (json!({"Type": "FROM_TIMESTAMP", "Timestamp": second(15_000)}), vec![1, 2]),
        (json!({"Type": "AFTER_SHARD_ID", "ShardId": "shardId-000000000001"}), vec![2]),
    ];
    for (filter, expected) in cases {
        let listed = server.ok("ListShards", json!({"StreamName": "s", "ShardFilter": filter})).await;
        let ids: Vec<String> = listed["Shards"]
            .as_array()
            .expect("shards")
            .iter()
            .map(|shard| shard["ShardId"].as_str().expect("an id").to_string())
            .collect();
        let expected: Vec<String> = expected.into_iter().map(|no: u32| format!("shardId-{no:012}")).collect();
        assert_eq!(ids, expected, "{filter}");
    }
    for filter in [json!({"Type": "AT_TIMESTAMP"}), json!({"Type": "AFTER_SHARD_ID"})] {
        let body = json!({"StreamName": "s", "ShardFilter": filter});
        assert_eq!(server.err("ListShards", body).await.0, "InvalidArgumentException", "{filter}");
    }
    let closed = server.ok("ListShards", json!({"StreamName": "s"})).await;
    assert!(closed["Shards"][0]["SequenceNumberRange"]["EndingSequenceNumber"].is_string());
    assert_eq!(closed["Shards"][1]["ParentShardId"], "shardId-000000000000");
    server.stop().await;
}

#[tokio::test]
async fn puts_are_judged_before_anything_is_written() {
    let server = Server::start().await;
    server.create("s", 1).await;
    let entry = |more: Value| {
        let mut entry = json!({"StreamName": "s", "PartitionKey": "k", "Data": "aGk="});
        for (name, value) in more.as_object().expect("an object") {
            entry[name] = value.clone();
        }
        entry
    };
    let big = "A".repeat((1024 * 1024 + 4) / 3 * 4);
    let future = "49999999999999999999999999999999999999999999999999999999";
    let cases = [
        (entry(json!({"PartitionKey": ""})), "ValidationException", "at 'partitionKey'"),
        (entry(json!({"PartitionKey": "é".repeat(257)})), "ValidationException", "length less than or equal to 256"),
        (entry(json!({"PartitionKey": null})), "ValidationException", "Value null at 'partitionKey'"),
        (entry(json!({"Data": null})), "ValidationException", "Value null at 'data'"),
        (entry(json!({"Data": big})), "ValidationException", "java.nio.HeapByteBuffer[pos=0 lim=1048578"),
        (entry(json!({"ExplicitHashKey": "01"})), "ValidationException", "at 'explicitHashKey'"),
        (
            entry(json!({"ExplicitHashKey": "340282366920938463463374607431768211456"})),
            "InvalidArgumentException",
            "must be in the range: [0, 2^128-1]",
        ),
        (
            entry(json!({"SequenceNumberForOrdering": "5"})),
            "InvalidArgumentException",
            "ExclusiveMinimumSequenceNumber 5",
        ),
        (
            entry(json!({"SequenceNumberForOrdering": future})),
            "InvalidArgumentException",
            "used in PutRecord on stream s",
        ),
        (entry(json!({"SequenceNumberForOrdering": "x"})), "ValidationException", "at 'sequenceNumberForOrdering'"),
        (entry(json!({"DryRun": true})), "DryRunOperationException", "would have succeeded"),
    ];
    for (body, kind, message) in cases {
        let got = server.err("PutRecord", body).await;
        assert_eq!(got.0, kind, "{got:?}");
        assert!(got.1.contains(message), "{got:?}");
    }
    let records = |count: usize| vec![json!({"PartitionKey": "k", "Data": ""}); count];
    let many = server.err("PutRecords", json!({"StreamName": "s", "Records": records(501)})).await;
    assert!(many.0 == "ValidationException" && many.1.contains("length less than or equal to 500"), "{}", many.0);
    let none = server.err("PutRecords", json!({"StreamName": "s", "Records": []})).await;
    assert!(none.1.contains("length greater than or equal to 1"), "{none:?}");
    let log = server.engine.catalog().stream("s").expect("it is there").logs[0];
    assert_eq!(server.engine.bounds(log).map(|bounds| bounds.end.0), Ok(0));
    server.stop().await;
}

#[tokio::test]
async fn five_hundred_records_are_answered_in_their_order_and_read_back() {
    let server = Server::start().await;
    server.create("s", 4).await;
    let entries: Vec<Value> = (0..500).map(|n| json!({"PartitionKey": format!("key-{n}"), "Data": "aGk="})).collect();
    let put = server.ok("PutRecords", json!({"StreamName": "s", "Records": entries})).await;
    assert_eq!(put["FailedRecordCount"], 0);
    let answers = put["Records"].as_array().expect("records").clone();
    assert_eq!(answers.len(), 500);
    let mut read = std::collections::BTreeMap::new();
    for no in 0..4 {
        let shard = format!("shardId-{no:012}");
        let ask = json!({"StreamName": "s", "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"});
        let page = server.records(&server.iterator(ask).await).await;
        for record in page["Records"].as_array().expect("records") {
            let key = record["PartitionKey"].as_str().expect("a key").to_string();
            read.insert(key, (shard.clone(), record["SequenceNumber"].clone()));
        }
    }
    for (n, answer) in answers.iter().enumerate() {
        let expected = (answer["ShardId"].as_str().expect("a shard").to_string(), answer["SequenceNumber"].clone());
        assert_eq!(read.get(&format!("key-{n}")), Some(&expected));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_record_too_large_for_its_log_fails_alone() {
    let server = Server::start().await;
    let stream = server.create_kafka("narrow", 1).await;
    let set = [("max.message.bytes".to_string(), Some("2000".to_string()))].into();
    let altered = server.engine.change(vec![Change::Alter { id: stream.id, set }]).await;
    assert!(altered[0].is_ok(), "{altered:?}");
    let large = "A".repeat(4000);
    let entry = |key: &str, data: &str| json!({"PartitionKey": key, "Data": data});
    let records = json!([entry("a", "aGk="), entry("b", &large), entry("c", "aGk=")]);
    let put = server.ok("PutRecords", json!({"StreamName": "narrow", "Records": records})).await;
    assert_eq!(put["FailedRecordCount"], 1);
    assert!(put["Records"][0]["SequenceNumber"].is_string() && put["Records"][2]["SequenceNumber"].is_string());
    assert_eq!(put["Records"][1]["ErrorCode"], "InvalidArgumentException");
    assert!(put["Records"][1]["ErrorMessage"].is_string() && put["Records"][1].get("ShardId").is_none());
    let page = server
        .records(&server.iterator(json!({"StreamName": "narrow", "ShardIteratorType": "TRIM_HORIZON"})).await)
        .await;
    let keys: Vec<&Value> = page["Records"].as_array().expect("records").iter().map(|r| &r["PartitionKey"]).collect();
    assert_eq!(keys, [&json!("a"), &json!("c")]);
    server.stop().await;
}

#[tokio::test]
async fn records_over_a_shard_s_limit_fail_one_by_one_where_limits_are_enforced() {
    let server = Server::start_with(with(Settings { limits: ShardLimits::Enforce, ..Settings::default() })).await;
    server.create("s", 1).await;
    // No more than it takes: the engine moves the clock of a test that takes a second.
    let entries = vec![json!({"PartitionKey": "k", "Data": "A".repeat(8000)}); 200];
    let put = json!({"StreamName": "s", "Records": entries});
    let answer = server.ok("PutRecords", put.clone()).await;
    // 1 MiB lets 174 records of 6,001 bytes through.
    assert_eq!(answer["FailedRecordCount"], 200 - 174);
    let results = answer["Records"].as_array().expect("results");
    assert!(results[..174].iter().all(|result| result["SequenceNumber"].is_string()));
    let message = "Rate exceeded for shard shardId-000000000000 in stream s under account 000000000000.";
    let refused = json!({"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": message});
    assert!(results[174..].iter().all(|result| *result == refused));
    // All refused is an answer too.
    server.ok("PutRecords", put.clone()).await;
    let answer = server.call("PutRecords", &put).await;
    assert_eq!((answer.status, &answer.json()["FailedRecordCount"]), (200, &json!(200)));
    let single = json!({"StreamName": "s", "PartitionKey": "k", "Data": "A".repeat(8000)});
    let refused = server.err("PutRecord", single.clone()).await;
    assert_eq!(refused, ("ProvisionedThroughputExceededException".into(), message.into()));
    server.advance(1_000);
    server.ok("PutRecord", single).await;
    let iterator = server.iterator(json!({"StreamName": "s", "ShardIteratorType": "TRIM_HORIZON"})).await;
    assert_eq!(server.records(&iterator).await["Records"].as_array().map(Vec::len), Some(175));
    for _ in 0..4 {
        server.ok("GetRecords", json!({"ShardIterator": iterator, "Limit": 1})).await;
    }
    assert_eq!(server.err("GetRecords", json!({"ShardIterator": iterator})).await.1, message);
    server.stop().await;
}

#[tokio::test]
async fn a_limit_that_only_warns_counts_and_refuses_nothing() {
    let server = Server::start_with(with(Settings { limits: ShardLimits::Warn, ..Settings::default() })).await;
    server.create("s", 1).await;
    let before = metrics::AWS_OVER_LIMIT.of("write bytes").value();
    let entries = vec![json!({"PartitionKey": "k", "Data": "A".repeat(8000)}); 500];
    let answer = server.ok("PutRecords", json!({"StreamName": "s", "Records": entries})).await;
    assert_eq!(answer["FailedRecordCount"], 0);
    assert!(metrics::AWS_OVER_LIMIT.of("write bytes").value() >= before + 326);
    server.stop().await;
}

#[tokio::test]
async fn a_full_disk_refuses_puts_to_be_tried_again_and_nothing_else() {
    let disk = MemDisk::faulty();
    // Small enough that the room it has taken already is soon used up.
    let small = lane::Limits {
        settle_bytes: 4_000,
        pack_bytes: 1_000,
        pack_logs: 2,
        unsettled_bytes: 40_000,
        journal_bytes: 40_000,
        tail_bytes: 10_000,
        producers: 50,
    };
    let engine = Options { journal_file_bytes: 16_384, lane: small, maintenance_ms: 20, ..Options::default() };
    let server = Server::start_with(Setup { disk: disk.clone(), engine, ..Setup::default() }).await;
    server.create("s", 1).await;
    let put = json!({"StreamName": "s", "PartitionKey": "k", "Data": "A".repeat(40_000)});
    server.ok("PutRecord", put.clone()).await;
    disk.set_capacity(Some(0));
    let mut stored = 1;
    let refused = loop {
        let answer = server.call("PutRecord", &put).await;
        if answer.status != 200 {
            break answer;
        }
        stored += 1;
    };
    // Every SDK tries a 503 again by itself.
    assert_eq!((refused.status, refused.error().0.as_str()), (503, "ServiceUnavailable"));
    let records = json!({"StreamName": "s", "Records": [{"PartitionKey": "k", "Data": "A".repeat(40_000)}]});
    assert_eq!(server.call("PutRecords", &records).await.status, 503);
    let iterator = server.iterator(json!({"StreamName": "s", "ShardIteratorType": "TRIM_HORIZON"})).await;
    let page = server.ok("GetRecords", json!({"ShardIterator": iterator, "Limit": stored.min(100)})).await;
    assert_eq!(page["Records"].as_array().map(Vec::len), Some(stored.min(100)));
    disk.set_capacity(None);
    // As an SDK does: again, until there is room.
    while server.call("PutRecord", &put).await.status == 503 {
        tokio::task::yield_now().await;
    }
    server.ok("PutRecord", put).await;
    server.stop().await;
}
