//! What a cluster of one answers to those who would move, elect, measure or retire its parts.

use interfluve::kafka::cx::Options;
use kafka_protocol::messages::alter_partition_reassignments_request::{ReassignablePartition, ReassignableTopic};
use kafka_protocol::messages::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use kafka_protocol::messages::describe_log_dirs_request::DescribableLogDirTopic;
use kafka_protocol::messages::describe_quorum_request::{PartitionData, TopicData};
use kafka_protocol::messages::elect_leaders_request::TopicPartitions;
use kafka_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsTopics;
use kafka_protocol::messages::update_features_request::FeatureUpdateKey;
use kafka_protocol::messages::{
    AlterPartitionReassignmentsRequest, AlterReplicaLogDirsRequest, DescribeLogDirsRequest, DescribeLogDirsResponse,
    DescribeQuorumRequest, ElectLeadersRequest, ListConfigResourcesRequest, ListPartitionReassignmentsRequest,
    UnregisterBrokerRequest, UpdateFeaturesRequest,
};

use crate::harness::*;

/// Topic, partition and size of all that is in an answer.
fn sizes(answer: &DescribeLogDirsResponse) -> Vec<(String, i32, i64)> {
    let topics = answer.results[0].topics.iter();
    let sizes = topics.flat_map(|topic| {
        topic.partitions.iter().map(|p| (topic.name.to_string(), p.partition_index, p.partition_size))
    });
    sizes.collect()
}

#[tokio::test]
async fn sizes_of_partitions_are_the_bytes_that_are_kept() {
    let server = server_with(Options { log_dir: "/data".into(), ..Options::default() }).await;
    let mut client = server.client().await;
    client.create("t", 2, &[]).await;
    let bytes = batch(&["one", "two"]);
    client.produce(9, "t", bytes.clone()).await;
    let asked = || {
        let of = |name: &str, partitions| {
            DescribableLogDirTopic::default().with_topic(topic_name(name)).with_partitions(partitions)
        };
        DescribeLogDirsRequest::default().with_topics(Some(vec![of("t", vec![0, 1, 7]), of("nobody", vec![0])]))
    };
    for version in 1..=4 {
        let answer = client.ask(version, asked()).await;
        assert_eq!((answer.error_code, answer.results.len()), (0, 1), "v{version}");
        let dir = &answer.results[0];
        assert_eq!((dir.error_code, dir.log_dir.as_str()), (0, "/data"));
        let want = [("t".to_string(), 0, bytes.len() as i64), ("t".to_string(), 1, 0)];
        assert_eq!(sizes(&answer), want, "v{version}");
        // The disk of a test has no end.
        let room = if version >= 4 { i64::MAX } else { -1 };
        assert_eq!((dir.total_bytes, dir.usable_bytes), (room, room), "v{version}");
    }
    let all = client.ask(4, DescribeLogDirsRequest::default().with_topics(None)).await;
    assert!(sizes(&all).contains(&("t".into(), 0, bytes.len() as i64)), "{all:?}");
}

#[tokio::test]
async fn a_partition_stays_in_the_one_directory_there_is() {
    let server = server_with(Options { log_dir: "/data".into(), ..Options::default() }).await;
    let mut client = server.client().await;
    client.create("t", 1, &[]).await;
    let to = |path: &str, name: &str, partitions| {
        let topic = AlterReplicaLogDirTopic::default().with_name(topic_name(name)).with_partitions(partitions);
        AlterReplicaLogDir::default().with_path(text(path)).with_topics(vec![topic])
    };
    for version in 1..=2 {
        for (dir, want) in [
            (to("/data", "t", vec![0, 1]), vec![(0, 0), (1, 9)]),
            (to("/other", "t", vec![0]), vec![(0, 57)]),
            (to("/data", "nobody", vec![0]), vec![(0, 9)]),
        ] {
            let answer = client.ask(version, AlterReplicaLogDirsRequest::default().with_dirs(vec![dir])).await;
            let got: Vec<_> = answer.results[0].partitions.iter().map(|p| (p.partition_index, p.error_code)).collect();
            assert_eq!(got, want);
        }
    }
}

#[tokio::test]
async fn no_election_is_needed() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[]).await;
    let named =
        |name: &str, partitions| TopicPartitions::default().with_topic(topic_name(name)).with_partitions(partitions);
    for version in 0..=2 {
        let request = ElectLeadersRequest::default()
            .with_topic_partitions(Some(vec![named("t", vec![0, 1]), named("nobody", vec![0])]));
        let answer = client.ask(version, request).await;
        assert_eq!(answer.error_code, 0);
        let results = answer.replica_election_results.iter().flat_map(|topic| &topic.partition_result);
        let got: Vec<_> =
            results.map(|p| (p.error_code, p.error_message.as_ref().map_or("", |m| m.as_str()))).collect();
        let want = [
            (84, "Leader election not needed for topic partition."),
            (3, "No such partition as t-1"),
            (3, "No such topic as nobody"),
        ];
        assert_eq!(got, want, "v{version}");
    }
    let all = client.ask(2, ElectLeadersRequest::default().with_topic_partitions(None)).await;
    assert!(all.replica_election_results.iter().all(|topic| topic.partition_result.is_empty()));
    let odd =
        ElectLeadersRequest::default().with_election_type(9).with_topic_partitions(Some(vec![named("t", vec![0])]));
    let answer = client.ask(2, odd).await;
    let partition = &answer.replica_election_results[0].partition_result[0];
    assert_eq!((answer.error_code, partition.error_code), (42, 42));
    assert_eq!(partition.error_message.as_deref(), Some("Unknown election type 9"));
}

#[tokio::test]
async fn partitions_can_be_assigned_to_where_they_are() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[]).await;
    let unknown = "The manual partition assignment includes broker 2, but no such broker is registered.";
    let twice = "The manual partition assignment includes the broker 1 more than once.";
    let empty = "The manual partition assignment includes an empty replica list.";
    for (topic, partition, replicas, want) in [
        ("t", 0, Some(vec![1]), (0, "")),
        ("t", 0, Some(vec![2]), (39, unknown)),
        ("t", 0, Some(vec![1, 2]), (39, unknown)),
        ("t", 0, Some(vec![1, 1]), (39, twice)),
        ("t", 0, Some(vec![]), (39, empty)),
        ("t", 0, None, (85, "")),
        ("t", 5, Some(vec![1]), (3, "Unable to find partition t:5.")),
        ("nobody", 0, None, (3, "Unable to find a topic named nobody.")),
    ] {
        let replicas = replicas.map(|all: Vec<i32>| all.into_iter().map(Into::into).collect());
        let part = ReassignablePartition::default().with_partition_index(partition).with_replicas(replicas);
        let named = ReassignableTopic::default().with_name(topic_name(topic)).with_partitions(vec![part]);
        for version in 0..=1 {
            let request = AlterPartitionReassignmentsRequest::default().with_topics(vec![named.clone()]);
            let answer = client.ask(version, request).await;
            assert_eq!(answer.error_code, 0);
            let got = &answer.responses[0].partitions[0];
            let message = got.error_message.as_ref().map_or("", |message| message.as_str());
            assert_eq!((got.error_code, message), want, "v{version} {named:?}");
        }
    }
    let part = ReassignablePartition::default().with_replicas(Some(vec![1.into(), 2.into()]));
    let named = ReassignableTopic::default().with_name(topic_name("t")).with_partitions(vec![part]);
    let held = AlterPartitionReassignmentsRequest::default()
        .with_allow_replication_factor_change(false)
        .with_topics(vec![named]);
    let answer = client.ask(1, held).await;
    let got = &answer.responses[0].partitions[0];
    let want = (38, Some("The replication factor is changed from 1 to 2"));
    assert_eq!((got.error_code, got.error_message.as_deref()), want);
    let named = ListPartitionReassignmentsTopics::default().with_name(topic_name("t")).with_partition_indexes(vec![0]);
    for topics in [None, Some(vec![named])] {
        let answer = client.ask(0, ListPartitionReassignmentsRequest::default().with_topics(topics)).await;
        assert_eq!((answer.error_code, answer.error_message, answer.topics.len()), (0, None, 0));
    }
}

#[tokio::test]
async fn the_metadata_have_one_keeper() {
    let server = server().await;
    let mut client = server.client().await;
    let asked = |name: &str| {
        let partition = PartitionData::default().with_partition_index(0);
        let topic = TopicData::default().with_topic_name(topic_name(name)).with_partitions(vec![partition]);
        DescribeQuorumRequest::default().with_topics(vec![topic])
    };
    let mut before = -1;
    for version in 0..=2 {
        client.create(&format!("v{version}"), 1, &[]).await;
        let answer = client.ask(version, asked("__cluster_metadata")).await;
        let partition = &answer.topics[0].partitions[0];
        assert_eq!((answer.error_code, partition.error_code, partition.leader_id.0), (0, 0, 1));
        assert!(partition.high_watermark > before, "every new topic is a change of the metadata");
        before = partition.high_watermark;
        let voters: Vec<_> = partition.current_voters.iter().map(|v| (v.replica_id.0, v.log_end_offset)).collect();
        assert_eq!(voters, [(1, before)]);
        assert_eq!(partition.current_voters[0].last_caught_up_timestamp > 0, version >= 1);
        let ports: Vec<_> = answer.nodes.iter().flat_map(|node| &node.listeners).map(|l| l.port).collect();
        assert_eq!(ports, if version >= 2 { vec![server.address.port()] } else { vec![] });
    }
    let answer = client.ask(2, asked("t")).await;
    assert_eq!(answer.topics[0].partitions[0].error_code, 3);
}

#[tokio::test]
async fn the_only_broker_cannot_be_unregistered_and_no_other_is_registered() {
    let server = server().await;
    let mut client = server.client().await;
    for (broker, code) in [(1, 42), (2, 102)] {
        let answer = client.ask(0, UnregisterBrokerRequest::default().with_broker_id(broker.into())).await;
        assert_eq!(answer.error_code, code);
    }
}

#[tokio::test]
async fn features_stay_at_their_levels() {
    let server = server().await;
    let mut client = server.client().await;
    let all = "The update failed for all features since the following feature had an error: Invalid update version";
    let t = "transaction.version";
    for (feature, level, kind, want) in [
        (t, 2, 1, None),
        (t, 2, 2, None),
        (t, 3, 1, Some(format!("{all} 3 for feature {t}. Local controller 1 only supports versions 0-2"))),
        (t, -1, 1, Some(format!("{all} -1 for feature {t}. A feature version cannot be less than 0."))),
        (t, 1, 9, Some(format!("{all} 1 for feature {t}. The controller does not support the given upgrade type."))),
        (t, 1, 2, Some(format!("{all} 1 for feature {t}. This server has only this version."))),
        ("x", 1, 1, Some(format!("{all} 1 for feature x. Local controller 1 does not support this feature."))),
        ("x", 0, 3, None),
    ] {
        for version in 1..=2 {
            let update = FeatureUpdateKey::default()
                .with_feature(text(feature))
                .with_max_version_level(level)
                .with_upgrade_type(kind);
            let answer = client.ask(version, UpdateFeaturesRequest::default().with_feature_updates(vec![update])).await;
            let message = answer.error_message.as_ref().map(|message| message.to_string());
            assert_eq!((answer.error_code, message), (if want.is_some() { 95 } else { 0 }, want.clone()));
            assert_eq!(answer.results.len(), usize::from(version == 1 && want.is_none()));
        }
    }
    let down = FeatureUpdateKey::default().with_feature(text(t)).with_max_version_level(1);
    let answer = client.ask(0, UpdateFeaturesRequest::default().with_feature_updates(vec![down])).await;
    assert!(answer.error_message.is_some_and(|why| why.contains("Can't downgrade")));
}

#[tokio::test]
async fn what_has_settings_is_listed_by_kind() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[]).await;
    for (version, kinds, want) in [
        (0, vec![], vec![]),
        (1, vec![2], vec![(2, "t")]),
        (1, vec![4, 8], vec![(8, "1"), (4, "1")]),
        (1, vec![], vec![(8, "1"), (4, "1"), (2, "t")]),
    ] {
        let answer = client.ask(version, ListConfigResourcesRequest::default().with_resource_types(kinds)).await;
        assert_eq!(answer.error_code, 0);
        let got: Vec<_> = answer.config_resources.iter().map(|r| (r.resource_type, r.resource_name.as_str())).collect();
        assert_eq!(got, want);
    }
    let answer = client.ask(1, ListConfigResourcesRequest::default().with_resource_types(vec![3])).await;
    assert_eq!((answer.error_code, answer.config_resources.len()), (35, 0));
}
