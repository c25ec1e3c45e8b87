//! Pitfalls 9, 26, 27 and 28: topics made, made again, described.

use kafka_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig,
};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::fetch_request::FetchTopic;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::*;

use super::groups::{joining, syncing};
use crate::consumers::{beat, given, group_id, join};
use crate::harness::*;

/// A topic that is deleted and made again is another: its old id is unknown (100), a session that names it is told so
/// (103, or 106 where names and ids are mixed), and members of both protocols hear of the new one. (Commits by id:
/// pitfall 17.)
#[tokio::test]
async fn pitfall_09_a_topic_made_again_is_another() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[]).await;
    client.produce(9, "t", batch(&["a", "b"])).await;
    let id = client.topic("t").await.topic_id;
    let joined = client.ask(1, join("a", &["t"])).await;
    assert_eq!(given(&joined).map(|given| given[0].topic_id), Some(id));
    // The classic group g2, whose generation stays: its leader looks at the metadata itself.
    let member = client.ask(5, joining("", Some("i"), b"t").with_group_id(group_id("g2"))).await;
    let sync = syncing(&member.member_id, member.generation_id, &[]).with_group_id(group_id("g2"));
    assert_eq!(client.ask(5, sync).await.error_code, 0);
    let by_id = |session: i32, epoch: i32, topic: Option<FetchTopic>| {
        let topics = topic.into_iter().map(|topic| topic.with_topic_id(id)).collect();
        let request = fetch_request("", 0).with_session_id(session).with_session_epoch(epoch);
        request.with_topics(topics)
    };
    let of_t = || Some(fetch_request("", 0).topics.remove(0));
    let session = client.ask(13, by_id(0, 0, of_t())).await.session_id;
    client.delete("t").await;
    assert_eq!(client.ask(13, by_id(session, 1, None)).await.responses[0].partitions[0].error_code, 100);
    client.create("t", 1, &[]).await;
    let again = client.topic("t").await.topic_id;
    assert_ne!(again, id);
    let stale = client.ask(13, by_id(0, -1, of_t())).await;
    assert_eq!(stale.responses[0].partitions[0].error_code, 100, "UNKNOWN_TOPIC_ID");
    let stale = client.ask(13, by_id(session, 2, None)).await;
    assert_eq!(stale.responses[0].partitions[0].error_code, 103, "INCONSISTENT_TOPIC_ID");
    let mixed = fetch_request("t", 0).with_session_id(session).with_session_epoch(3);
    assert_eq!(client.ask(12, mixed).await.error_code, 106, "FETCH_SESSION_TOPIC_ID_ERROR");
    let mut produce = produce_request("", -1, batch(&["c"]));
    produce.topic_data[0].topic_id = id;
    assert_eq!(client.ask(13, produce).await.responses[0].partition_responses[0].error_code, 100);
    let by_id = DeleteTopicsRequest::default()
        .with_topics(vec![delete_topics_request::DeleteTopicState::default().with_name(None).with_topic_id(id)])
        .with_timeout_ms(1000);
    assert_eq!(client.ask(6, by_id).await.responses[0].error_code, 100);
    // The member has to give back what is gone before it gets what is new.
    let told = client.ask(1, beat("a", joined.member_epoch, given(&joined).as_deref())).await;
    let told = match given(&told).is_some_and(|given| given.is_empty()) {
        true => client.ask(1, beat("a", told.member_epoch, Some(&[]))).await,
        false => told,
    };
    assert_eq!(given(&told).map(|given| (given.len(), given[0].topic_id)), Some((1, again)));
    assert_eq!(client.fetch(12, "t", 0).await.high_watermark, 0, "nothing of the old one");
}

fn topic(name: &str, partitions: i32, factor: i16) -> CreatableTopic {
    CreatableTopic::default()
        .with_name(topic_name(name))
        .with_num_partitions(partitions)
        .with_replication_factor(factor)
}

/// One code per topic, sorted by name.
async fn create(client: &mut Client, version: i16, topics: Vec<CreatableTopic>, only_ask: bool) -> Vec<i16> {
    let request = CreateTopicsRequest::default().with_topics(topics).with_validate_only(only_ask);
    let mut topics = client.ask(version, request).await.topics;
    topics.sort_by(|one, other| one.name.cmp(&other.name));
    topics.iter().map(|topic| topic.error_code).collect()
}

/// Each topic of a request is judged by itself, with an error of its own; only asking makes nothing; -1 stands for the
/// broker's defaults; Metadata makes what it may. (Every version: tests/kafka/admin; beside Kafka: compat/oracle.)
#[tokio::test]
async fn pitfall_26_topics_are_created_one_by_one() {
    let server = server().await;
    let mut client = server.client().await;
    let assigned = |brokers: &[i32]| {
        let brokers = brokers.iter().map(|id| BrokerId(*id)).collect();
        let place = CreatableReplicaAssignment::default().with_partition_index(0).with_broker_ids(brokers);
        topic("assigned", -1, -1).with_assignments(vec![place])
    };
    let with = |name: &str, key: &str, value: &str| {
        let config = CreatableTopicConfig::default().with_name(text(key)).with_value(Some(text(value)));
        topic(name, 1, 1).with_configs(vec![config])
    };
    let cases = [
        (topic("defaults", -1, -1), 0),
        (topic(&"n".repeat(249), 1, 1), 0),
        (topic(&"n".repeat(250), 1, 1), 17),
        (topic("", 1, 1), 17),
        (topic(".", 1, 1), 17),
        (topic("..", 1, 1), 17),
        (topic("with space", 1, 1), 17),
        (topic("none", 0, 1), 37),
        (topic("two.copies", 1, 2), 38),
        (topic("no.copies", 1, 0), 38),
        (assigned(&[1]), 0),
        (assigned(&[7]), 39),
        (assigned(&[]), 39),
        (with("config", "retention.ms", "1000"), 0),
        (with("unknown.key", "retention.millis", "1000"), 40),
        (with("bad.value", "retention.ms", "soon"), 40),
        (topic("a.b", 1, 1), 0),
    ];
    for (topic, code) in cases.clone() {
        let case = format!("{topic:?}");
        assert_eq!(create(&mut client, 7, vec![topic], true).await, [code], "only asked: {case}");
    }
    let listed = client.ask(12, MetadataRequest::default().with_topics(None)).await.topics.len();
    assert_eq!(listed, 0, "only asking makes nothing");
    // All of them at once; those that share a name would all be refused.
    let mut cases: Vec<_> = cases.into_iter().filter(|(t, code)| t.name.as_str() != "assigned" || *code == 0).collect();
    cases.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
    let (topics, codes): (Vec<_>, Vec<_>) = cases.into_iter().unzip();
    assert_eq!(create(&mut client, 7, topics, false).await, codes);
    assert_eq!(create(&mut client, 7, vec![topic("a_b", 1, 1)], false).await, [17], "a.b is there");
    assert_eq!(create(&mut client, 7, vec![topic("a.b", 1, 1)], false).await, [36], "TOPIC_ALREADY_EXISTS");
    assert_eq!(client.topic("defaults").await.partitions.len(), 1);
    let twice = create(&mut client, 7, vec![topic("x", 1, 1), topic("x", 1, 1)], false).await;
    assert!(twice.iter().all(|code| *code == 42), "INVALID_REQUEST: {twice:?}");
    assert_eq!(client.topic("by.metadata").await.error_code, 0);
}

/// DescribeConfigs lists every key with value, source, synonyms, type and doc, of topics, brokers, groups and client
/// metrics; a list of names narrows it. (Values and changes: tests/kafka/configs and admin.)
#[tokio::test]
async fn pitfall_27_every_config_is_described() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[("retention.ms", "5")]).await;
    let cases = [
        (2, "t", 33, "retention.ms"),
        (4, "1", 345, "log.retention.ms"),
        (32, "g", 17, "consumer.session.timeout.ms"),
        (16, "m", 3, "interval.ms"),
    ];
    for (kind, name, at_least, one) in cases {
        for version in 1..=4 {
            let ask = |keys: Option<&[&str]>| {
                let keys = keys.map(|keys| keys.iter().map(|key| text(key)).collect());
                let resource = DescribeConfigsResource::default()
                    .with_resource_type(kind)
                    .with_resource_name(text(name))
                    .with_configuration_keys(keys);
                DescribeConfigsRequest::default()
                    .with_resources(vec![resource])
                    .with_include_synonyms(true)
                    .with_include_documentation(version >= 3)
            };
            let all = client.ask(version, ask(None)).await.results.remove(0);
            assert_eq!(all.error_code, 0, "{kind} v{version}");
            assert!(all.configs.len() >= at_least, "{kind} v{version}: {}", all.configs.len());
            for config in &all.configs {
                assert!(!config.synonyms.is_empty(), "{config:?}");
                assert_eq!(config.config_source, config.synonyms[0].source, "{config:?}");
                assert!(config.is_sensitive || config.value == config.synonyms[0].value, "{config:?}");
                assert_eq!(config.config_type > 0, version >= 3, "{config:?}");
                assert_eq!(
                    config.documentation.as_ref().is_some_and(|doc| !doc.is_empty()),
                    version >= 3,
                    "{config:?}"
                );
            }
            let narrow = client.ask(version, ask(Some(&[one, "no.such.key"]))).await.results.remove(0);
            let names: Vec<_> = narrow.configs.iter().map(|config| config.name.as_str()).collect();
            assert_eq!(names, [one], "{kind} v{version}");
        }
    }
}

/// What Metadata says is final: a topic that it makes has its leader at once, one that is not there is told so by itself,
/// operations are told to those who ask, and the controller is one of the brokers. (kafka-go through a restart: compat.)
#[tokio::test]
async fn pitfall_28_metadata_says_what_is_so() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 3, &[]).await;
    for version in 0..=13 {
        let named = |name: &str| MetadataRequestTopic::default().with_name(Some(topic_name(name)));
        let fresh = format!("made-by-v{version}");
        // Before version 4 nobody can say that nothing is to be made.
        let absent = if version >= 4 { "absent" } else { "not a name" };
        let mut topics = vec![named("t"), named(absent)];
        let make =
            MetadataRequest::default().with_topics(Some(vec![named(&fresh)])).with_allow_auto_topic_creation(true);
        let made: MetadataResponseTopic = client.ask(version, make).await.topics.remove(0);
        assert_eq!((made.error_code, made.partitions[0].error_code), (0, 0), "v{version}: never LEADER_NOT_AVAILABLE");
        topics.push(named(&fresh));
        let request = MetadataRequest::default().with_topics(Some(topics)).with_allow_auto_topic_creation(version < 4);
        let answer = client.ask(version, request.clone()).await;
        let codes: Vec<_> =
            answer.topics.iter().map(|topic| (topic.name.as_ref().map(|n| n.to_string()), topic.error_code)).collect();
        let code_of = |name: &str| codes.iter().find(|(n, _)| n.as_deref() == Some(name)).map(|(_, code)| *code);
        assert_eq!(code_of("t"), Some(0), "v{version}");
        assert_eq!(code_of(&fresh), Some(0), "v{version}");
        assert_eq!(code_of(absent), Some(if version >= 4 { 3 } else { 17 }), "v{version}");
        for partition in answer.topics.iter().flat_map(|topic| &topic.partitions) {
            assert_eq!((partition.error_code, partition.leader_id), (0, BrokerId(1)), "v{version}");
            assert_eq!((&partition.replica_nodes, &partition.isr_nodes), (&vec![BrokerId(1)], &vec![BrokerId(1)]));
        }
        if version >= 1 {
            assert!(answer.brokers.iter().any(|broker| broker.node_id == answer.controller_id), "v{version}");
        }
        for topic in &answer.topics {
            assert_eq!(topic.topic_authorized_operations, i32::MIN, "v{version}: nobody asked");
        }
        if version >= 8 {
            let asked = client.ask(version, request.with_include_topic_authorized_operations(true)).await;
            let t = asked.topics.iter().find(|topic| topic.name == Some(topic_name("t"))).expect("there");
            assert_ne!(t.topic_authorized_operations, i32::MIN, "v{version}");
        }
    }
}
