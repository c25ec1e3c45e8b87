//! What `compat/oracle` found and was mended: each as Kafka 4.4 answers it.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::describe_producers_request::TopicRequest;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::{
    DescribeProducersRequest, GroupId, MetadataRequest, OffsetCommitRequest, OffsetDeleteRequest,
};

use crate::harness::*;

#[tokio::test]
async fn a_partition_that_cannot_be_read_has_no_aborted_transactions_rather_than_null() {
    let server = server().await;
    let mut client = server.client().await;
    for version in [4, 12] {
        let data = client.fetch(version, "none", 0).await;
        assert_eq!((data.error_code, data.aborted_transactions), (3, Some(Vec::new())), "v{version}");
    }
    client.create("t", 1, &[]).await;
    for version in [4, 12] {
        let data = client.fetch(version, "t", 99).await;
        assert_eq!((data.error_code, data.aborted_transactions), (1, None), "v{version}: it was looked for");
    }
}

#[tokio::test]
async fn records_of_an_epoch_to_come_are_out_of_range() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[]).await;
    assert_eq!(client.produce(9, "t", batch(&["a"])).await.error_code, 0);
    for (epoch, code) in [(-1, 0), (0, 0), (1, 1), (9, 1)] {
        let mut request = fetch_request("t", 1);
        request.topics[0].partitions[0].last_fetched_epoch = epoch;
        assert_eq!(client.ask(12, request).await.responses[0].partitions[0].error_code, code, "epoch {epoch}");
    }
}

#[tokio::test]
async fn a_batch_in_no_known_format_is_corrupt_and_its_offsets_begin_at_nought() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[]).await;
    let with = |at: usize, byte: u8| -> Bytes {
        let mut bytes = BytesMut::from(&batch(&["a"])[..]);
        bytes[at] = byte;
        bytes.freeze()
    };
    for (sent, code) in [(with(16, 3), 2), (with(16, 1), 87), (with(7, 5), 87), (with(7, 0), 0)] {
        assert_eq!(client.produce(9, "t", sent).await.error_code, code);
    }
}

#[tokio::test]
async fn what_may_be_done_with_a_topic_that_is_not_there_is_told_whoever_asks() {
    let server = server().await;
    let mut client = server.client().await;
    let topic = MetadataRequestTopic::default().with_name(Some(topic_name("none")));
    let asked = MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(false);
    for (asks, told) in [(true, 0b1101_1111_1000), (false, i32::MIN)] {
        let answer = client.ask(9, asked.clone().with_include_topic_authorized_operations(asks)).await;
        assert_eq!((answer.topics[0].error_code, answer.topics[0].topic_authorized_operations), (3, told));
    }
}

#[tokio::test]
async fn producers_of_what_cannot_be_a_topic_are_not_looked_for() {
    let server = server().await;
    let mut client = server.client().await;
    for (name, code) in [("none", 3), ("no topic", 17)] {
        let topic = TopicRequest::default().with_name(topic_name(name)).with_partition_indexes(vec![0]);
        let answer = client.ask(0, DescribeProducersRequest::default().with_topics(vec![topic])).await;
        assert_eq!(answer.topics[0].partitions[0].error_code, code, "{name}");
    }
}

#[tokio::test]
async fn an_offset_of_a_partition_that_is_not_there_cannot_be_deleted() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 2, &[]).await;
    let group = || GroupId(text("g"));
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(5);
    let topic = OffsetCommitRequestTopic::default().with_name(topic_name("t")).with_partitions(vec![partition]);
    let commit = OffsetCommitRequest::default().with_group_id(group()).with_topics(vec![topic]);
    assert_eq!(client.ask(7, commit).await.topics[0].partitions[0].error_code, 0);
    let partition = |index| OffsetDeleteRequestPartition::default().with_partition_index(index);
    for (asked, told) in [(vec![9, 0, 1, -1], vec![3, 0, 0, 3]), (vec![9], vec![3])] {
        let partitions = asked.into_iter().map(partition).collect();
        let topic = OffsetDeleteRequestTopic::default().with_name(topic_name("t")).with_partitions(partitions);
        let answer =
            client.ask(0, OffsetDeleteRequest::default().with_group_id(group()).with_topics(vec![topic])).await;
        let codes: Vec<i16> = answer.topics[0].partitions.iter().map(|partition| partition.error_code).collect();
        assert_eq!((answer.error_code, codes), (0, told));
    }
}
