//! ListOffsets and OffsetForLeaderEpoch.

use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::list_offsets_response::ListOffsetsPartitionResponse;
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::{ListOffsetsRequest, OffsetForLeaderEpochRequest};
use kafka_protocol::records::{Compression, Record};

use crate::harness::*;

pub async fn list(client: &mut Client, version: i16, times: &[(i32, i64)]) -> Vec<ListOffsetsPartitionResponse> {
    let partitions = times
        .iter()
        .map(|(partition, time)| ListOffsetsPartition::default().with_partition_index(*partition).with_timestamp(*time))
        .collect();
    let topic = ListOffsetsTopic::default().with_name(topic_name("t")).with_partitions(partitions);
    let request = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic]);
    client.ask(version, request).await.topics.remove(0).partitions
}

/// Times that do not grow with offsets: 100, 300, 200 | 400, 50.
async fn filled() -> (Server, Client) {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[]).await;
    for times in [&[100, 300, 200][..], &[400, 50]] {
        let records: Vec<Record> = times.iter().zip(0..).map(|(time, at)| record(at, *time, None, "v")).collect();
        assert_eq!(client.produce(9, "t", encode(&records, Compression::Gzip)).await.error_code, 0);
    }
    (server, client)
}

#[tokio::test]
async fn places_are_found_by_name_and_by_time() {
    let (_server, mut client) = filled().await;
    for (time, offset, at) in [
        (-1, 5, -1),
        (-2, 0, -1),
        (-3, 3, 400),
        (-4, 0, -1),
        (-5, -1, -1),
        (0, 0, 100),
        (100, 0, 100),
        (101, 1, 300),
        (300, 1, 300),
        (301, 3, 400),
        (401, -1, -1),
    ] {
        let found = list(&mut client, 9, &[(0, time)]).await.remove(0);
        assert_eq!((found.error_code, found.offset, found.timestamp), (0, offset, at), "time {time}");
    }
}

#[tokio::test]
async fn every_version_answers_and_names_come_with_theirs() {
    let (_server, mut client) = filled().await;
    for version in 1..=10 {
        let end = list(&mut client, version, &[(0, -1)]).await.remove(0);
        assert_eq!((end.error_code, end.offset), (0, 5), "v{version}");
        assert_eq!(end.leader_epoch >= 0, version >= 4, "v{version}");
        for (time, from) in [(-3, 7), (-4, 8), (-5, 9), (-6, 11), (-7, i16::MAX)] {
            let code = list(&mut client, version, &[(0, time)]).await.remove(0).error_code;
            assert_eq!(code, if version >= from { 0 } else { 35 }, "v{version} time {time}");
        }
    }
}

#[tokio::test]
async fn wrong_questions_are_answered_each_with_its_error() {
    let (_server, mut client) = filled().await;
    assert_eq!(list(&mut client, 5, &[(7, -1)]).await[0].error_code, 3);
    assert_eq!(list(&mut client, 5, &[(-1, -1)]).await[0].error_code, 3);
    let twice = list(&mut client, 5, &[(0, -1), (0, -2)]).await;
    // Once for both, as in Kafka.
    assert_eq!(twice.iter().map(|p| p.error_code).collect::<Vec<_>>(), [42]);
}

#[tokio::test]
async fn an_empty_partition_has_ends_and_nothing_between() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[]).await;
    for (time, offset) in [(-1, 0), (-2, 0), (-3, -1), (0, -1)] {
        let found = list(&mut client, 9, &[(0, time)]).await.remove(0);
        assert_eq!((found.error_code, found.offset, found.timestamp), (0, offset, -1), "time {time}");
    }
}

#[tokio::test]
async fn epochs_end_where_the_log_does() {
    let (_server, mut client) = filled().await;
    let now = list(&mut client, 9, &[(0, -1)]).await[0].leader_epoch;
    for version in 2..=4 {
        for (topic, partition, believed, asked, want) in [
            ("t", 0, -1, now, (0, now, 5)),
            ("t", 0, now, now, (0, now, 5)),
            ("t", 0, -1, now + 1, (0, -1, -1)),
            ("t", 0, now + 1, now, (75, -1, -1)),
            ("t", 3, -1, now, (3, -1, -1)),
            ("nothing", 0, -1, now, (3, -1, -1)),
        ] {
            let partition = OffsetForLeaderPartition::default()
                .with_partition(partition)
                .with_current_leader_epoch(believed)
                .with_leader_epoch(asked);
            let topic = OffsetForLeaderTopic::default().with_topic(topic_name(topic)).with_partitions(vec![partition]);
            let answer = client.ask(version, OffsetForLeaderEpochRequest::default().with_topics(vec![topic])).await;
            let end = &answer.topics[0].partitions[0];
            assert_eq!((end.error_code, end.leader_epoch, end.end_offset), want, "v{version}");
        }
    }
}
