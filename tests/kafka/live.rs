//! What is set while the server runs: defaults of the brokers for topics that do not say otherwise, figures of groups;
//! with where it comes from, and through a restart.

use interfluve::clock::Clock;
use interfluve::kafka::cx::Options;
use interfluve::kafka::group::Settings;
use interfluve::store::memory::MemDisk;
use kafka_protocol::messages::InitProducerIdRequest;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResult;
use kafka_protocol::records::Compression;

use crate::configs::{BROKER, DELETE, GROUP, SET, TOPIC, alter, describe};
use crate::consumers::{beat, join};
use crate::harness::*;

/// Value, and where it and those behind it come from.
fn found(result: &DescribeConfigsResult, name: &str) -> (String, Vec<(String, String, i8)>) {
    let config = result.configs.iter().find(|config| config.name.as_str() == name).expect("described");
    let text =
        |value: &Option<kafka_protocol::protocol::StrBytes>| value.as_ref().map_or("", |v| v.as_str()).to_owned();
    let synonyms = config.synonyms.iter().map(|s| (s.name.to_string(), text(&s.value), s.source)).collect();
    (text(&config.value), synonyms)
}

async fn set(client: &mut Client, kind: i8, name: &str, key: &str, value: &str) {
    let (code, why) = alter(client, kind, name, (SET, key, Some(value))).await;
    assert_eq!(code, 0, "{key}={value}: {why}");
}

async fn unset(client: &mut Client, kind: i8, name: &str, key: &str) {
    assert_eq!(alter(client, kind, name, (DELETE, key, None)).await.0, 0, "{key}");
}

async fn size_code(client: &mut Client, topic: &str, bytes: usize) -> i16 {
    let batch = encode(&[record(0, 5, Some("k"), &"x".repeat(bytes))], Compression::None);
    client.produce(9, topic, batch).await.error_code
}

#[tokio::test]
async fn defaults_of_brokers_act_at_once_where_a_topic_says_nothing() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("plain", 1, &[("retention.ms", "-1")]).await;
    client.create("own", 1, &[("max.message.bytes", "5000"), ("compression.type", "producer")]).await;
    client.create("bare", 1, &[]).await;
    for (broker, bytes) in [("", "1000"), ("1", "3000")] {
        set(&mut client, BROKER, broker, "message.max.bytes", bytes).await;
    }
    for (topic, bytes, code) in [
        ("bare", 2000, 0),
        ("bare", 4000, 10),
        ("plain", 2000, 0),
        ("plain", 4000, 10),
        ("own", 4000, 0),
        ("own", 6000, 10),
    ] {
        assert_eq!(size_code(&mut client, topic, bytes).await, code, "{topic}: {bytes}");
    }
    unset(&mut client, BROKER, "1", "message.max.bytes").await;
    assert_eq!(size_code(&mut client, "bare", 2000).await, 10, "what is set for all brokers");
    unset(&mut client, BROKER, "", "message.max.bytes").await;
    assert_eq!(size_code(&mut client, "bare", 4000).await, 0);
    set(&mut client, BROKER, "", "compression.type", "lz4").await;
    set(&mut client, BROKER, "", "log.message.timestamp.type", "LogAppendTime").await;
    for (topic, codec) in [("bare", 3), ("own", 0)] {
        let placed = client.produce(9, topic, batch(&["a"])).await;
        assert!(placed.log_append_time_ms > 0, "{topic}");
        let kept = client.fetch(12, topic, placed.base_offset).await.records.expect("records");
        assert_eq!((kept[22] & 7, kept[22] & 8), (codec, 8), "{topic}");
    }
}

#[tokio::test]
async fn where_a_default_comes_from_is_told_and_outlives_the_server() {
    let disk = MemDisk::new();
    let given = [("log.segment.bytes".to_owned(), "104857600".to_owned())].into();
    let options = Options { server_settings: given, ..Options::default() };
    let start = || server_on(disk.clone(), Clock::System, Settings::default(), options.clone());
    let server = start().await;
    let mut client = server.client().await;
    client.create("t", 1, &[]).await;
    client.create("own", 1, &[("retention.ms", "123456")]).await;
    for (broker, key, value) in [
        ("", "log.retention.ms", "5000000"),
        ("1", "log.retention.ms", "6000000"),
        ("1", "log.segment.bytes", "2097152"),
        ("", "min.insync.replicas", "1"),
    ] {
        set(&mut client, BROKER, broker, key, value).await;
    }
    server.close().await;
    let server = start().await;
    let mut client = server.client().await;
    let synonym = |name: &str, value: &str, source| (name.to_owned(), value.to_owned(), source);
    let retention = || vec![synonym("log.retention.ms", "6000000", 2), synonym("log.retention.ms", "5000000", 3)];
    let t = describe(&mut client, TOPIC, "t").await;
    let (value, synonyms) = found(&t, "retention.ms");
    assert_eq!((value.as_str(), &synonyms[..2]), ("6000000", &retention()[..]));
    let (value, synonyms) = found(&describe(&mut client, TOPIC, "own").await, "retention.ms");
    let mut want = vec![synonym("retention.ms", "123456", 1)];
    want.extend(retention());
    assert_eq!((value.as_str(), &synonyms[..3]), ("123456", &want[..]));
    let broker = describe(&mut client, BROKER, "1").await;
    let (value, synonyms) = found(&broker, "log.segment.bytes");
    let want = vec![
        synonym("log.segment.bytes", "2097152", 2),
        synonym("log.segment.bytes", "104857600", 4),
        synonym("log.segment.bytes", "1073741824", 5),
    ];
    assert_eq!((value.as_str(), synonyms), ("2097152", want));
    let is_read_only = |name: &str| broker.configs.iter().find(|c| c.name.as_str() == name).map(|c| c.read_only);
    for (name, want) in [("log.retention.ms", false), ("compression.type", false), ("node.id", true)] {
        assert_eq!(is_read_only(name), Some(want), "{name}");
    }
    let all = describe(&mut client, BROKER, "").await;
    let mut names: Vec<_> = all.configs.iter().map(|c| (c.name.as_str(), c.config_source)).collect();
    names.sort_unstable();
    assert_eq!(names, [("log.retention.ms", 3), ("min.insync.replicas", 3)]);
    unset(&mut client, BROKER, "1", "log.retention.ms").await;
    assert_eq!(found(&describe(&mut client, TOPIC, "t").await, "retention.ms").0, "5000000");
}

/// The words are those of Kafka 4.4.
#[tokio::test]
async fn what_cannot_be_changed_while_the_server_runs_is_refused() {
    let server = server().await;
    let mut client = server.client().await;
    let fixed = |key: &str| format!("Cannot update these configs dynamically: [{key}]");
    for (key, value, why) in [
        ("num.partitions", "3", fixed("num.partitions")),
        ("log.retention.hours", "5", fixed("log.retention.hours")),
        ("offsets.retention.minutes", "5", fixed("offsets.retention.minutes")),
        ("transaction.max.timeout.ms", "5", fixed("transaction.max.timeout.ms")),
        ("group.consumer.session.timeout.ms", "50000", fixed("group.consumer.session.timeout.ms")),
        (
            "log.retention.ms",
            "soon",
            "Invalid value soon for configuration log.retention.ms: Not a number of type LONG".into(),
        ),
        (
            "message.max.bytes",
            "-1",
            "Invalid value -1 for configuration message.max.bytes: Value must be at least 0".into(),
        ),
    ] {
        for broker in ["", "1"] {
            assert_eq!(alter(&mut client, BROKER, broker, (SET, key, Some(value))).await, (42, why.clone()), "{key}");
        }
    }
}

#[tokio::test]
async fn a_group_has_figures_of_its_own_within_the_servers_bounds() {
    let disk = MemDisk::new();
    let start = || server_on(disk.clone(), Clock::System, Settings::default(), Options::default());
    let server = start().await;
    let mut client = server.client().await;
    client.create("t", 4, &[]).await;
    let joined = client.ask(1, join("a", &["t"])).await;
    assert_eq!((joined.error_code, joined.heartbeat_interval_ms), (0, 5000));
    let epoch = joined.member_epoch;
    set(&mut client, GROUP, "g", "consumer.heartbeat.interval.ms", "7000").await;
    set(&mut client, GROUP, "other", "consumer.heartbeat.interval.ms", "9000").await;
    assert_eq!(client.ask(1, beat("a", epoch, None)).await.heartbeat_interval_ms, 7000, "at once");
    for (key, value, why) in [
        (
            "consumer.heartbeat.interval.ms",
            "15001",
            "consumer.heartbeat.interval.ms must be in the range 5000 to 15000 inclusive.",
        ),
        (
            "consumer.session.timeout.ms",
            "1000",
            "consumer.session.timeout.ms must be in the range 45000 to 60000 inclusive.",
        ),
        (
            "consumer.assignment.interval.ms",
            "15001",
            "consumer.assignment.interval.ms must be in the range 0 to 15000 inclusive.",
        ),
    ] {
        assert_eq!(alter(&mut client, GROUP, "g", (SET, key, Some(value))).await, (40, why.to_owned()));
    }
    // The broker's is behind the group's, and shows where the group has none.
    set(&mut client, BROKER, "", "group.consumer.assignment.interval.ms", "20").await;
    set(&mut client, GROUP, "g", "consumer.assignor.offload.enable", "false").await;
    let group = describe(&mut client, GROUP, "g").await;
    assert_eq!(found(&group, "consumer.assignment.interval.ms").0, "20");
    assert_eq!(found(&group, "consumer.assignor.offload.enable").1.first().map(|s| s.2), Some(8));
    let inner = |group: &DescribeConfigsResult| group.configs.iter().filter(|c| c.name.contains("offload")).count();
    assert_eq!((inner(&group), inner(&describe(&mut client, GROUP, "other").await)), (1, 0));
    server.close().await;
    let server = start().await;
    let mut client = server.client().await;
    assert_eq!(client.ask(1, beat("a", epoch, None)).await.heartbeat_interval_ms, 7000, "after a restart");
    unset(&mut client, GROUP, "g", "consumer.heartbeat.interval.ms").await;
    assert_eq!(client.ask(1, beat("a", epoch, None)).await.heartbeat_interval_ms, 5000);
}

#[tokio::test]
async fn transactions_are_bound_by_what_the_server_was_started_with() {
    let transactions = interfluve::kafka::txn::Settings { max_timeout_ms: 1000, ..Default::default() };
    let server = server_with(Options { transactions, ..Options::default() }).await;
    let mut client = server.client().await;
    for (timeout_ms, code) in [(1000, 0), (1001, 50)] {
        let id = Some(kafka_protocol::messages::TransactionalId(text("tx")));
        let request =
            InitProducerIdRequest::default().with_transactional_id(id).with_transaction_timeout_ms(timeout_ms);
        assert_eq!(client.ask(4, request).await.error_code, code, "INVALID_TRANSACTION_TIMEOUT: {timeout_ms}");
    }
}
