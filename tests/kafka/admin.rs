//! Topics, partitions, settings, and what the server says of itself.

use std::collections::BTreeMap;

use interfluve::engine::Change;
use interfluve::engine::catalog::{Born, Create, Kind};
use interfluve::kafka::cx::Options;
use kafka_protocol::messages::alter_configs_request::{
    AlterConfigsResource as LegacyResource, AlterableConfig as LegacyConfig,
};
use kafka_protocol::messages::create_partitions_request::{CreatePartitionsAssignment, CreatePartitionsTopic};
use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::{DescribeConfigsResourceResult, DescribeConfigsResult};
use kafka_protocol::messages::describe_topic_partitions_request::{Cursor, TopicRequest};
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::{
    AlterConfigsRequest, ApiVersionsRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteRecordsRequest,
    DeleteTopicsRequest, DescribeClusterRequest, DescribeConfigsRequest, DescribeTopicPartitionsRequest, GroupId,
    IncrementalAlterConfigsRequest, MetadataRequest, OffsetCommitRequest, OffsetFetchRequest,
};

use crate::harness::*;

fn topic(name: &str, partitions: i32, factor: i16) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partitions)
        .with_replication_factor(factor)
}

fn config(name: &str, value: &str) -> CreatableTopicConfig {
    CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value)))
}

fn assigned(mut topic: CreatableTopic, replicas: &[(i32, &[i32])]) -> CreatableTopic {
    let assignments = replicas.iter().map(|(partition, brokers)| {
        CreatableReplicaAssignment::default()
            .with_partition_index(*partition)
            .with_broker_ids(brokers.iter().map(|id| (*id).into()).collect())
    });
    topic.assignments = assignments.collect();
    topic
}

async fn create(client: &mut Client, version: i16, topics: Vec<CreatableTopic>, only_ask: bool) -> Vec<(String, i16)> {
    let request =
        CreateTopicsRequest::default().with_topics(topics).with_validate_only(only_ask).with_timeout_ms(10_000);
    let answer = client.ask(version, request).await;
    answer.topics.iter().map(|t| (t.name.to_string(), t.error_code)).collect()
}

#[tokio::test]
async fn each_topic_is_judged_by_itself() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("there", 1, &[]).await;
    client.create("a.b", 1, &[]).await;
    let long = "x".repeat(250);
    for (case, wanted, code) in [
        ("fine", topic("n1", 3, 1), 0),
        ("defaults", topic("n2", -1, -1), 0),
        ("there already", topic("there", 1, 1), 36),
        ("no partitions", topic("n3", 0, 1), 37),
        ("fewer than none", topic("n3", -2, 1), 37),
        ("no replicas", topic("n3", 1, 0), 38),
        ("three replicas", topic("n3", 1, 3), 38),
        ("no name", topic("", 1, 1), 17),
        ("a dot", topic(".", 1, 1), 17),
        ("two dots", topic("..", 1, 1), 17),
        ("a slash", topic("a/b", 1, 1), 17),
        ("too long", topic(&long, 1, 1), 17),
        ("a collision", topic("a_b", 1, 1), 17),
        ("a bad value", topic("n3", 1, 1).with_configs(vec![config("retention.ms", "soon")]), 40),
        ("no such setting", topic("n3", 1, 1).with_configs(vec![config("retention", "1")]), 40),
        ("assigned to us", assigned(topic("n4", -1, -1), &[(0, &[1]), (1, &[1])]), 0),
        ("assigned and counted", assigned(topic("n5", 1, -1), &[(0, &[1])]), 42),
        ("assigned with a factor", assigned(topic("n5", -1, 1), &[(0, &[1])]), 42),
        ("assigned to a stranger", assigned(topic("n5", -1, -1), &[(0, &[2])]), 39),
        ("assigned with a hole", assigned(topic("n5", -1, -1), &[(0, &[1]), (2, &[1])]), 39),
        ("assigned twice", assigned(topic("n5", -1, -1), &[(0, &[1]), (0, &[1])]), 39),
        ("assigned to nobody", assigned(topic("n5", -1, -1), &[(0, &[])]), 39),
    ] {
        let name = wanted.name.to_string();
        assert_eq!(create(&mut client, 5, vec![wanted], false).await, [(name, code)], "{case}");
    }
}

#[tokio::test]
async fn one_request_creates_what_it_can_and_only_asking_creates_nothing() {
    let server = server().await;
    let mut client = server.client().await;
    let all = || vec![topic("a", 1, 1), topic("twice", 1, 1), topic("bad/name", 1, 1), topic("twice", 2, 1)];
    for (only_ask, known) in [(true, 0), (false, 1)] {
        let mut got = create(&mut client, 7, all(), only_ask).await;
        got.sort();
        let want = [("a", 0), ("bad/name", 17), ("twice", 42)].map(|(name, code)| (name.to_string(), code));
        assert_eq!(got, want);
        assert_eq!(metadata(&mut client, 12, None).await.len(), known);
    }
}

#[tokio::test]
async fn every_version_creates_and_version_7_says_everything() {
    let server = server().await;
    let mut client = server.client().await;
    for version in 2..=7 {
        let got = create(&mut client, version, vec![topic(&format!("v{version}"), 2, 1)], false).await;
        assert_eq!(got[0].1, 0, "v{version}");
    }
    let wanted = topic("full", 2, 1).with_configs(vec![config("retention.ms", "5000")]);
    let answer = client.ask(7, CreateTopicsRequest::default().with_topics(vec![wanted]).with_timeout_ms(1000)).await;
    let full = &answer.topics[0];
    assert_eq!((full.num_partitions, full.replication_factor), (2, 1));
    assert!(!full.topic_id.is_nil());
    let configs: BTreeMap<_, _> = full
        .configs
        .iter()
        .flatten()
        .map(|c| (c.name.as_str(), (c.value.as_ref().map_or("", |v| v.as_str()), c.config_source)))
        .collect();
    assert_eq!(configs["retention.ms"], ("5000", 1));
    assert_eq!(configs["cleanup.policy"], ("delete", 5));
}

async fn metadata(client: &mut Client, version: i16, names: Option<&[&str]>) -> Vec<MetadataResponseTopic> {
    let topics = names.map(|names| {
        names.iter().map(|name| MetadataRequestTopic::default().with_name(Some(topic_name(name)))).collect()
    });
    client.ask(version, MetadataRequest::default().with_topics(topics)).await.topics
}

#[tokio::test]
async fn metadata_creates_at_once_what_is_asked_for() {
    let server = server_with(Options { logs_of_a_new_stream: 3, ..Options::default() }).await;
    let mut client = server.client().await;
    for version in 0..=13 {
        let name = format!("new{version}");
        let topic = metadata(&mut client, version, Some(&[&name])).await.remove(0);
        assert_eq!((topic.error_code, topic.partitions.len()), (0, 3), "v{version}");
        for partition in &topic.partitions {
            assert_eq!(
                (partition.error_code, partition.leader_id.0, &partition.isr_nodes[..]),
                (0, 1, &[1.into()][..])
            );
            assert_eq!(partition.leader_epoch >= 0, version >= 7, "v{version}");
        }
        assert_eq!(client.produce(9, &name, batch(&["a"])).await.error_code, 0);
    }
}

#[tokio::test]
async fn metadata_creates_nothing_where_it_must_not() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("a.b", 1, &[]).await;
    let request = |name: &str| {
        let topic = MetadataRequestTopic::default().with_name(Some(topic_name(name)));
        MetadataRequest::default().with_topics(Some(vec![topic]))
    };
    for (name, allow, code) in
        [("x", false, 3), ("a/b", true, 17), ("a/b", false, 17), ("a_b", true, 3), ("__catalog", true, 0)]
    {
        let answer = client.ask(9, request(name).with_allow_auto_topic_creation(allow)).await;
        // Our own streams have no topic's name to be found by; anyone may use it.
        assert_eq!(answer.topics[0].error_code, code, "{name}");
    }
    let off = server_with(Options { auto_create: false, ..Options::default() }).await;
    assert_eq!(off.client().await.ask(9, request("x")).await.topics[0].error_code, 3);
}

#[tokio::test]
async fn null_means_all_and_empty_means_none() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("b", 1, &[]).await;
    client.create("a", 1, &[]).await;
    let names = |topics: Vec<MetadataResponseTopic>| -> Vec<String> {
        topics.iter().map(|t| t.name.as_ref().map_or(String::new(), |name| name.to_string())).collect()
    };
    assert_eq!(names(metadata(&mut client, 0, Some(&[])).await), ["a", "b"]);
    assert_eq!(names(metadata(&mut client, 1, None).await), ["a", "b"]);
    assert!(metadata(&mut client, 1, Some(&[])).await.is_empty());
}

#[tokio::test]
async fn the_topic_of_offsets_is_listed_once_a_group_has_used_it() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[]).await;
    let internal = |topics: Vec<MetadataResponseTopic>| topics.iter().filter(|t| t.is_internal).count();
    assert_eq!(internal(metadata(&mut client, 12, None).await), 0);
    assert_eq!(internal(metadata(&mut client, 12, Some(&["__consumer_offsets"])).await), 1, "by name");
    let partition = OffsetCommitRequestPartition::default().with_partition_index(0).with_committed_offset(0);
    let topic = OffsetCommitRequestTopic::default().with_name(topic_name("t")).with_partitions(vec![partition]);
    let commit = OffsetCommitRequest::default()
        .with_group_id(GroupId(text("g")))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic]);
    assert_eq!(client.ask(8, commit).await.topics[0].partitions[0].error_code, 0);
    assert_eq!(internal(metadata(&mut client, 12, None).await), 1);
}

#[tokio::test]
async fn operations_are_told_to_those_who_ask() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[]).await;
    for (ask, topic, cluster) in [(false, i32::MIN, i32::MIN), (true, 3576, 8096)] {
        let request = MetadataRequest::default()
            .with_topics(None)
            .with_include_topic_authorized_operations(ask)
            .with_include_cluster_authorized_operations(ask);
        let answer = client.ask(8, request).await;
        assert_eq!(answer.topics[0].topic_authorized_operations, topic);
        assert_eq!(answer.cluster_authorized_operations, cluster);
        assert_eq!((answer.controller_id.0, answer.brokers.len()), (1, 1));
        assert_eq!(answer.brokers[0].port, i32::from(server.address.port()));
    }
}

#[tokio::test]
async fn a_stream_whose_name_kafka_cannot_say_is_not_shown() {
    let server = server().await;
    let mut client = server.client().await;
    for name in ["..", "legal.in-both_worlds"] {
        let create = Create {
            name: name.into(),
            born: Born::Kinesis,
            kind: Kind::Client,
            logs: 1,
            settings: BTreeMap::new(),
            placement: None,
            creating_ms: 0,
        };
        server.engine.change(vec![Change::Create(create)]).await.remove(0).expect("created");
    }
    let all = metadata(&mut client, 12, None).await;
    assert_eq!(
        all.iter().map(|t| t.name.clone().expect("named").to_string()).collect::<Vec<_>>(),
        ["legal.in-both_worlds"]
    );
    assert_eq!(metadata(&mut client, 12, Some(&[".."])).await[0].error_code, 17);
    assert_eq!(client.fetch(12, "..", 0).await.error_code, 3);
}

#[tokio::test]
async fn topics_are_deleted_by_name_and_by_id() {
    let server = server().await;
    let mut client = server.client().await;
    for name in ["a", "b", "c"] {
        client.create(name, 1, &[]).await;
    }
    let id = metadata(&mut client, 12, Some(&["b"])).await[0].topic_id;
    for (version, name, code) in [(1, "a", 0), (1, "a", 3), (5, "nothing", 3)] {
        let request = DeleteTopicsRequest::default().with_topic_names(vec![topic_name(name)]).with_timeout_ms(1000);
        assert_eq!(client.ask(version, request).await.responses[0].error_code, code, "{name}");
    }
    let state = |name: Option<&str>, id| DeleteTopicState::default().with_name(name.map(topic_name)).with_topic_id(id);
    for (case, states, codes) in [
        ("both", vec![state(Some("b"), id)], vec![42]),
        ("neither", vec![state(None, Default::default())], vec![42]),
        ("twice", vec![state(Some("b"), Default::default()), state(None, id)], vec![42]),
        ("by id", vec![state(None, id)], vec![0]),
        ("gone", vec![state(None, id)], vec![100]),
        ("by name", vec![state(Some("c"), Default::default())], vec![0]),
    ] {
        let request = DeleteTopicsRequest::default().with_topics(states).with_timeout_ms(1000);
        let answer = client.ask(6, request).await;
        assert_eq!(answer.responses.iter().map(|r| r.error_code).collect::<Vec<_>>(), codes, "{case}");
    }
    assert!(metadata(&mut client, 12, None).await.is_empty());
}

#[tokio::test]
async fn a_group_that_starts_at_the_latest_skips_nothing_of_a_new_partition() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[]).await;
    client.produce(9, "t", batch(&["old"])).await;
    let partition = OffsetCommitRequestPartition::default().with_partition_index(0).with_committed_offset(1);
    let topic = OffsetCommitRequestTopic::default().with_name(topic_name("t")).with_partitions(vec![partition]);
    let commit = OffsetCommitRequest::default()
        .with_group_id(GroupId(text("latest")))
        .with_generation_id_or_member_epoch(-1)
        .with_topics(vec![topic]);
    assert_eq!(client.ask(8, commit).await.topics[0].partitions[0].error_code, 0);
    let grow = CreatePartitionsTopic::default().with_name(topic_name("t")).with_count(2).with_assignments(None);
    let grow = CreatePartitionsRequest::default().with_topics(vec![grow]).with_timeout_ms(5000);
    assert_eq!(client.ask(3, grow).await.results[0].error_code, 0);
    // Before the group has heard of the partition, which is when a consumer without an offset would take its end.
    let mut request = produce_request("t", -1, batch(&["new"]));
    request.topic_data[0].partition_data[0].index = 1;
    assert_eq!(client.ask(9, request).await.responses[0].partition_responses[0].error_code, 0);
    let topic = OffsetFetchRequestTopic::default().with_name(topic_name("t")).with_partition_indexes(vec![0, 1]);
    let fetch = OffsetFetchRequest::default().with_group_id(GroupId(text("latest"))).with_topics(Some(vec![topic]));
    let found = client.ask(7, fetch).await.topics.remove(0).partitions;
    assert_eq!(found.iter().map(|p| p.committed_offset).collect::<Vec<_>>(), [1, 0]);
}

#[tokio::test]
async fn partitions_only_become_more() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 2, &[]).await;
    let to = |name: &str, count| {
        CreatePartitionsTopic::default().with_name(topic_name(name)).with_count(count).with_assignments(None)
    };
    let on = |topic: CreatePartitionsTopic, brokers: &[i32]| {
        let assignments = brokers
            .iter()
            .map(|id| CreatePartitionsAssignment::default().with_broker_ids(vec![(*id).into()]))
            .collect();
        topic.with_assignments(Some(assignments))
    };
    for (case, topic, only_ask, code, after) in [
        ("the same", to("t", 2), false, 37, 2),
        ("fewer", to("t", 1), false, 37, 2),
        ("negative", to("t", -1), false, 37, 2),
        ("unknown", to("nothing", 5), false, 3, 2),
        ("only asked", to("t", 5), true, 0, 2),
        ("too few assignments", on(to("t", 5), &[1]), false, 39, 2),
        ("a stranger", on(to("t", 3), &[9]), false, 39, 2),
        ("assigned to us", on(to("t", 3), &[1]), false, 0, 3),
        ("more", to("t", 5), false, 0, 5),
    ] {
        let request = CreatePartitionsRequest::default()
            .with_topics(vec![topic])
            .with_validate_only(only_ask)
            .with_timeout_ms(1000);
        assert_eq!(client.ask(3, request).await.results[0].error_code, code, "{case}");
        assert_eq!(metadata(&mut client, 12, Some(&["t"])).await[0].partitions.len(), after, "{case}");
    }
}

#[tokio::test]
async fn records_are_deleted_up_to_an_offset_and_never_come_back() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[]).await;
    client.create("compact", 1, &[("cleanup.policy", "compact")]).await;
    client.produce(9, "t", batch(&["a", "b", "c"])).await;
    client.produce(9, "t", batch(&["d"])).await;
    for (topic, partition, offset, want) in [
        ("t", 0, 5, (1, -1)),
        ("t", 0, -2, (1, -1)),
        ("t", 1, 0, (3, -1)),
        ("nothing", 0, 0, (3, -1)),
        ("compact", 0, 0, (44, -1)),
        ("t", 0, 0, (0, 0)),
        ("t", 0, 2, (0, 2)),
        ("t", 0, 1, (0, 2)),
        ("t", 0, -1, (0, 4)),
    ] {
        let partition = DeleteRecordsPartition::default().with_partition_index(partition).with_offset(offset);
        let topic = DeleteRecordsTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
        let request = DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(1000);
        let answer = client.ask(2, request).await;
        let got = &answer.topics[0].partitions[0];
        assert_eq!((got.error_code, got.low_watermark), want, "to {offset}");
    }
    let data = client.fetch(12, "t", 0).await;
    assert_eq!((data.error_code, data.log_start_offset), (1, -1));
    assert_eq!(client.fetch(12, "t", 4).await.log_start_offset, 4);
}

async fn describe(client: &mut Client, version: i16, kind: i8, name: &str) -> DescribeConfigsResult {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default()
        .with_resources(vec![resource])
        .with_include_synonyms(true)
        .with_include_documentation(true);
    client.ask(version, request).await.results.remove(0)
}

fn find<'a>(result: &'a DescribeConfigsResult, name: &str) -> &'a DescribeConfigsResourceResult {
    result.configs.iter().find(|config| config.name.as_str() == name).expect("described")
}

#[tokio::test]
async fn settings_are_described_with_source_synonyms_type_and_doc() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[("retention.ms", "5000")]).await;
    for version in 3..=4 {
        let topic = describe(&mut client, version, 2, "t").await;
        assert_eq!(topic.error_code, 0);
        let retention = find(&topic, "retention.ms");
        assert_eq!(retention.value.as_ref().map(|v| v.as_str()), Some("5000"));
        assert_eq!((retention.config_source, retention.config_type, retention.read_only), (1, 5, false));
        let synonyms: Vec<_> = retention.synonyms.iter().map(|s| (s.name.as_str(), s.source)).collect();
        assert_eq!(synonyms, [("retention.ms", 1), ("log.retention.ms", 5)]);
        assert!(topic.configs.iter().all(|config| config.documentation.as_ref().is_some_and(|doc| !doc.is_empty())));
        assert!(topic.configs.len() >= 33);
    }
    let broker = describe(&mut client, 4, 4, "1").await;
    assert_eq!(find(&broker, "auto.create.topics.enable").config_source, 5);
    assert!(find(&broker, "node.id").read_only && !find(&broker, "max.connections").read_only);
    let mut names: Vec<_> = broker.configs.iter().map(|config| config.name.clone()).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), broker.configs.len(), "each key once");
    for (kind, name, code) in [
        (2, "nothing", 3),
        (2, "a/b", 17),
        (4, "7", 42),
        (4, "x", 42),
        (4, "", 0),
        (32, "g", 0),
        (32, "", 42),
        (16, "m", 0),
        (99, "x", 42),
    ] {
        assert_eq!(describe(&mut client, 4, kind, name).await.error_code, code, "{kind} {name:?}");
    }
}

#[tokio::test]
async fn single_settings_are_set_taken_back_added_and_removed() {
    const SET: i8 = 0;
    const DELETE: i8 = 1;
    const APPEND: i8 = 2;
    const SUBTRACT: i8 = 3;
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[]).await;
    for (kind, name, operation, key, value, only_ask, code, after) in [
        (2, "t", SET, "retention.ms", Some("7"), true, 0, None),
        (2, "t", SET, "retention.ms", Some("7"), false, 0, Some(("retention.ms", "7"))),
        (2, "t", SET, "retention.ms", Some("x"), false, 40, Some(("retention.ms", "7"))),
        (2, "t", SET, "retention.ms", None, false, 42, Some(("retention.ms", "7"))),
        (2, "t", DELETE, "retention.ms", None, false, 0, Some(("retention.ms", "604800000"))),
        (2, "t", APPEND, "cleanup.policy", Some("compact"), false, 0, Some(("cleanup.policy", "delete,compact"))),
        (2, "t", SUBTRACT, "cleanup.policy", Some("delete"), false, 0, Some(("cleanup.policy", "compact"))),
        (2, "t", APPEND, "retention.ms", Some("7"), false, 40, None),
        (2, "t", SET, "no.such.key", Some("7"), false, 40, None),
        (2, "t", 9, "retention.ms", Some("7"), false, 42, None),
        (2, "nothing", SET, "retention.ms", Some("7"), false, 3, None),
        (4, "1", SET, "log.retention.ms", Some("7"), true, 0, None),
        (4, "1", SET, "log.retention.hours", Some("7"), false, 42, None),
        (4, "8", SET, "log.retention.ms", Some("7"), false, 42, None),
        (99, "x", SET, "retention.ms", Some("7"), false, 42, None),
    ] {
        let config = AlterableConfig::default()
            .with_name(text(key))
            .with_config_operation(operation)
            .with_value(value.map(text));
        let resource = AlterConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(text(name))
            .with_configs(vec![config]);
        let request =
            IncrementalAlterConfigsRequest::default().with_resources(vec![resource]).with_validate_only(only_ask);
        let answer = client.ask(1, request).await;
        assert_eq!(answer.responses[0].error_code, code, "{operation} {key} = {value:?}");
        if let Some((key, value)) = after {
            let topic = describe(&mut client, 4, 2, "t").await;
            assert_eq!(find(&topic, key).value.as_ref().map(|v| v.as_str()), Some(value), "{operation} {key}");
        }
    }
}

#[tokio::test]
async fn altering_all_settings_takes_back_what_is_not_named() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[("retention.ms", "7"), ("segment.ms", "9")]).await;
    let config = LegacyConfig::default().with_name(text("segment.ms")).with_value(Some(text("11")));
    let resource = || {
        LegacyResource::default().with_resource_type(2).with_resource_name(text("t")).with_configs(vec![config.clone()])
    };
    let answer = client.ask(2, AlterConfigsRequest::default().with_resources(vec![resource()])).await;
    assert_eq!(answer.responses[0].error_code, 0);
    let topic = describe(&mut client, 4, 2, "t").await;
    assert_eq!(find(&topic, "segment.ms").value.as_ref().map(|v| v.as_str()), Some("11"));
    assert_eq!(find(&topic, "retention.ms").config_source, 5);
    let answer = client.ask(2, AlterConfigsRequest::default().with_resources(vec![resource(), resource()])).await;
    assert_eq!(answer.responses.iter().map(|r| r.error_code).collect::<Vec<_>>(), [42, 42]);
}

#[tokio::test]
async fn topics_are_described_page_by_page() {
    let server = server().await;
    let mut client = server.client().await;
    for name in ["a", "b", "c"] {
        client.create(name, 3, &[]).await;
    }
    let named = |name: &str| TopicRequest::default().with_name(topic_name(name));
    let mut cursor: Option<Cursor> = None;
    let mut seen = Vec::new();
    for _ in 0..10 {
        let request = DescribeTopicPartitionsRequest::default()
            .with_topics(["a", "b", "c"].map(named).into())
            .with_response_partition_limit(4)
            .with_cursor(cursor.clone());
        let answer = client.ask(0, request).await;
        let page: Vec<_> = answer
            .topics
            .iter()
            .flat_map(|t| t.partitions.iter().map(|p| (t.name.clone().expect("named").to_string(), p.partition_index)))
            .collect();
        assert!(page.len() <= 4);
        seen.extend(page);
        let Some(next) = answer.next_cursor else { break };
        cursor = Some(Cursor::default().with_topic_name(next.topic_name).with_partition_index(next.partition_index));
    }
    let want: Vec<_> = ["a", "b", "c"].iter().flat_map(|n| (0..3).map(move |p| (n.to_string(), p))).collect();
    assert_eq!(seen, want);
    let request = DescribeTopicPartitionsRequest::default().with_topics(vec![named("z"), named("a"), named("z")]);
    let answer = client.ask(0, request).await;
    let got: Vec<_> =
        answer.topics.iter().map(|t| (t.name.clone().expect("named").to_string(), t.error_code)).collect();
    assert_eq!(got, [("a".to_string(), 0), ("z".to_string(), 3)]);
}

#[tokio::test]
async fn the_cluster_is_this_broker() {
    let server = server().await;
    let mut client = server.client().await;
    for version in 0..=2 {
        let answer = client.ask(version, DescribeClusterRequest::default()).await;
        assert_eq!((answer.error_code, answer.controller_id.0, answer.brokers.len()), (0, 1, 1), "v{version}");
        assert_eq!(answer.brokers[0].port, i32::from(server.address.port()));
    }
    for (kind, code) in [(2, 114), (3, 115)] {
        let request = DescribeClusterRequest::default().with_endpoint_type(kind);
        assert_eq!(client.ask(1, request).await.error_code, code);
    }
}

#[tokio::test]
async fn api_versions_are_those_that_are_served() {
    let server = server().await;
    let mut client = server.client().await;
    for version in 0..=4 {
        let request = ApiVersionsRequest::default()
            .with_client_software_name(if version >= 3 { text("apache-kafka-java") } else { text("") })
            .with_client_software_version(if version >= 3 { text("4.4.0") } else { text("") });
        let answer = client.ask(version, request).await;
        let ranges: BTreeMap<_, _> =
            answer.api_keys.iter().map(|row| (row.api_key, (row.min_version, row.max_version))).collect();
        assert_eq!(answer.error_code, 0);
        for (key, range) in [(0, (0, 13)), (1, (4, 18)), (2, (0, 11)), (3, (0, 13)), (18, (0, 5)), (22, (0, 5))] {
            assert_eq!(ranges[&key], range, "key {key}");
        }
    }
    let unnamed = client.ask(3, ApiVersionsRequest::default()).await;
    assert_eq!((unnamed.error_code, unnamed.api_keys.len()), (42, 0));
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_leave_room_when_they_go() {
    let server = server_with(Options { connections_limit: 2, ..Options::default() }).await;
    let (mut one, mut two) = (server.client().await, server.client().await);
    for client in [&mut one, &mut two] {
        client.ask(0, ApiVersionsRequest::default()).await;
    }
    assert!(server.client().await.is_closed().await);
    drop(one);
    // The server notices that it is gone as soon as it reads.
    loop {
        let mut three = server.client().await;
        three.send(0, &ApiVersionsRequest::default()).await;
        if !three.is_closed().await {
            break;
        }
    }
}

#[tokio::test]
async fn stopping_answers_what_is_under_way() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[]).await;
    for _ in 0..10 {
        client.send(9, &produce_request("t", -1, batch(&["a"]))).await;
    }
    client.receive::<kafka_protocol::messages::ProduceRequest>(9).await;
    server.stop.send_replace(true);
    server.serving.await.expect("served to the end");
    assert!(tokio::net::TcpStream::connect(server.address).await.is_err(), "nobody listens any more");
}
