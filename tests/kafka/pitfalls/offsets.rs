//! Pitfalls 11, 16 and 17: places in logs, by name and by time, and where groups stand.

use std::time::Duration;

use interfluve::clock::Clock;
use interfluve::ids::Timestamp;
use interfluve::kafka::cx::Options;
use interfluve::kafka::group::Settings;
use interfluve::kafka::wire::Uuid;
use interfluve::kafka::wire::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use interfluve::kafka::wire::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use interfluve::kafka::wire::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics, OffsetFetchResponse,
};
use interfluve::store::memory::MemDisk;
use kafka_protocol::messages::{LeaveGroupRequest, SyncGroupRequest};
use kafka_protocol::records::Compression;
use tokio::time::timeout;

use super::FOR_EVER;
use crate::consumers::{classic, group_id};
use crate::harness::*;
use crate::sasl::{plain, secured};

async fn list(client: &mut Client, version: i16, timestamp: i64) -> ListOffsetsPartitionResponse {
    let partition =
        ListOffsetsPartition { timestamp, max_num_offsets: if version == 0 { 10 } else { 1 }, ..Default::default() };
    let topic = ListOffsetsTopic { name: "t".into(), partitions: vec![partition] };
    let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..Default::default() };
    let mut answer: ListOffsetsResponse = client.ask_own(version, &request).await;
    answer.topics.remove(0).partitions.remove(0)
}

/// By time, the first record that is not older, wherever it stands among others; by name, each of Kafka's special times
/// from the version on that knows it. (Where deletions have moved the start: tests/kafka/lookup and src/engine/tests.)
#[tokio::test]
async fn pitfall_11_list_offsets_knows_every_special_time() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[FOR_EVER]).await;
    // Times do not grow with offsets: 100, 300, 200 | 400, 50.
    for times in [&[100, 300, 200][..], &[400, 50]] {
        let records: Vec<_> = (0..).zip(times).map(|(at, time)| record(at, *time, None, "v")).collect();
        assert_eq!(client.produce(9, "t", encode(&records, Compression::Lz4)).await.error_code, 0);
    }
    let cases = [
        ("the end", -1, 1, 5, -1),
        ("the start", -2, 1, 0, -1),
        ("the newest", -3, 7, 3, 400),
        ("the start of what is here", -4, 8, 0, -1),
        ("the last that is elsewhere", -5, 9, -1, -1),
        ("the first that waits to go elsewhere", -6, 11, -1, -1),
        ("the epoch", 0, 1, 0, 100),
        ("exactly", 100, 1, 0, 100),
        ("in between", 101, 1, 1, 300),
        ("behind an older one", 301, 1, 3, 400),
        ("nothing is as young", 401, 1, -1, -1),
    ];
    for (case, time, from, offset, at) in cases {
        for version in 1..=11 {
            let found = list(&mut client, version, time).await;
            if version < from {
                assert_eq!((found.error_code, found.offset), (35, -1), "UNSUPPORTED_VERSION: {case}, v{version}");
                continue;
            }
            assert_eq!((found.error_code, found.offset, found.timestamp), (0, offset, at), "{case}, v{version}");
            assert_eq!(found.leader_epoch, if version >= 4 && offset >= 0 { 0 } else { -1 }, "{case}, v{version}");
        }
    }
    assert_eq!(list(&mut client, 0, -1).await.old_style_offsets, [5, 0]);
    assert_eq!(list(&mut client, 0, -2).await.old_style_offsets, [0]);
}

/// A commit to partition 0 of `t`.
async fn commit(client: &mut Client, version: i16, group: &str, topic: (&str, Uuid), metadata: &str) -> i16 {
    let partition = OffsetCommitRequestPartition {
        committed_offset: 7,
        committed_leader_epoch: if version >= 6 { 0 } else { -1 },
        committed_metadata: Some(metadata.into()),
        ..Default::default()
    };
    let (name, topic_id) = if version >= 10 { ("", topic.1) } else { (topic.0, Uuid::ZERO) };
    let topic = OffsetCommitRequestTopic { name: name.into(), topic_id, partitions: vec![partition] };
    let request = OffsetCommitRequest { group_id: group.into(), topics: vec![topic], ..Default::default() };
    let answer: OffsetCommitResponse = client.ask_own(version, &request).await;
    answer.topics[0].partitions[0].error_code
}

/// Error of the whole and of the partition, offset, leader epoch and metadata.
type Position = (i16, i16, i64, i32, String);

async fn fetch(client: &mut Client, version: i16, group: &str, topic: (&str, Uuid)) -> Position {
    let metadata = |metadata: &Option<String>| metadata.clone().unwrap_or_default();
    if version < 8 {
        let topic = OffsetFetchRequestTopic { name: topic.0.into(), partition_indexes: vec![0] };
        let request = OffsetFetchRequest { group_id: group.into(), topics: Some(vec![topic]), ..Default::default() };
        let answer: OffsetFetchResponse = client.ask_own(version, &request).await;
        let Some(p) = answer.topics.first().and_then(|topic| topic.partitions.first()) else {
            return (answer.error_code, 0, -1, -1, String::new());
        };
        return (answer.error_code, p.error_code, p.committed_offset, p.committed_leader_epoch, metadata(&p.metadata));
    }
    let (name, topic_id) = if version >= 10 { ("", topic.1) } else { (topic.0, Uuid::ZERO) };
    let topic = OffsetFetchRequestTopics { name: name.into(), topic_id, partition_indexes: vec![0] };
    let group = OffsetFetchRequestGroup { group_id: group.into(), topics: Some(vec![topic]), ..Default::default() };
    let request = OffsetFetchRequest { groups: vec![group], ..Default::default() };
    let answer: OffsetFetchResponse = client.ask_own(version, &request).await;
    let group = &answer.groups[0];
    let Some(p) = group.topics.first().and_then(|topic| topic.partitions.first()) else {
        return (group.error_code, 0, -1, -1, String::new());
    };
    (group.error_code, p.error_code, p.committed_offset, p.committed_leader_epoch, metadata(&p.metadata))
}

/// Offsets go when they have been there for the time of retention without a member of their group, counted from when the
/// group lost its last one; what a member reads stays however old it is. The clock is in our hand. (Every rule of KIP-211:
/// src/kafka/group/tests.)
#[tokio::test]
async fn pitfall_16_offsets_expire_with_their_group() {
    assert_eq!(Settings::default().offsets_retention_ms, 7 * 24 * 3_600_000);
    let clock = Clock::manual(Timestamp(1_000_000));
    let settings = Settings {
        retention_check_ms: 1,
        offsets_retention_ms: 60_000,
        initial_rebalance_delay_ms: 0,
        ..Settings::default()
    };
    let server = server_on(MemDisk::new(), clock.clone(), settings, Options::default()).await;
    let mut client = server.client().await;
    client.create("t", 1, &[]).await;
    let t = ("t", Uuid::ZERO);
    // A member of g whose session outlives all of this.
    let id = client.ask(9, classic("", &[])).await.member_id;
    let joined = client.ask(9, classic(&id, &[])).await;
    assert_eq!(joined.error_code, 0);
    let sync = SyncGroupRequest::default()
        .with_group_id(group_id("g"))
        .with_member_id(id.clone())
        .with_generation_id(joined.generation_id);
    assert_eq!(client.ask(4, sync).await.error_code, 0);
    let partition = OffsetCommitRequestPartition { committed_offset: 7, ..Default::default() };
    let request = OffsetCommitRequest {
        group_id: "g".into(),
        member_id: id.to_string(),
        generation_id_or_member_epoch: joined.generation_id,
        topics: vec![OffsetCommitRequestTopic { name: "t".into(), partitions: vec![partition], ..Default::default() }],
        ..Default::default()
    };
    let answer: OffsetCommitResponse = client.ask_own(9, &request).await;
    assert_eq!(answer.topics[0].partitions[0].error_code, 0);
    for group in ["aside", "later"] {
        assert_eq!(commit(&mut client, 9, group, t, "").await, 0);
    }
    let begin = clock.now();
    clock.set(begin.plus_ms(50_000));
    assert_eq!(fetch(&mut client, 9, "aside", t).await.2, 7);
    assert_eq!(commit(&mut client, 9, "later", t, "").await, 0);
    clock.set(begin.plus_ms(70_000));
    gone(&mut client, "aside").await;
    assert_eq!(fetch(&mut client, 9, "later", t).await.2, 7, "its time began anew with its commit");
    clock.set(begin.plus_ms(200_000));
    gone(&mut client, "later").await;
    assert_eq!(fetch(&mut client, 9, "g", t).await.2, 7, "a member reads it");
    let leave = LeaveGroupRequest::default().with_group_id(group_id("g")).with_member_id(id);
    assert_eq!(client.ask(1, leave).await.error_code, 0);
    assert_eq!(fetch(&mut client, 9, "g", t).await.2, 7, "its time begins now");
    clock.set(begin.plus_ms(300_000));
    gone(&mut client, "g").await;
}

async fn gone(client: &mut Client, group: &str) {
    let gone = async {
        while fetch(client, 9, group, ("t", Uuid::ZERO)).await.2 != -1 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), gone).await.expect(group);
}

/// Metadata come back as they went, whatever the versions; 4096 units of text are not too long, one more is; and at the
/// versions that have no place for an error of the whole it stands on every partition. By id, a topic that was made again
/// is another.
#[tokio::test]
async fn pitfall_17_metadata_of_commits_comes_back() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[]).await;
    let id = Uuid(client.topic("t").await.topic_id.as_u128());
    let t = ("t", id);
    for wrote in 0..=10 {
        let group = format!("by {wrote}");
        let metadata = format!("what {group} says: ümlaut");
        assert_eq!(commit(&mut client, wrote, &group, t, &metadata).await, 0);
        for read in 0..=10 {
            let epoch = if wrote >= 6 && read >= 5 { 0 } else { -1 };
            let want = (0, 0, 7, epoch, metadata.clone());
            assert_eq!(fetch(&mut client, read, &group, t).await, want, "OffsetCommit v{wrote}, OffsetFetch v{read}");
            // Version 0 meant another place, where nothing is not there at all.
            let nothing = (0, if read == 0 { 3 } else { 0 }, -1, -1, String::new());
            assert_eq!(fetch(&mut client, read, "nobody", t).await, nothing, "OffsetFetch v{read}");
        }
        for (length, code) in [(4096, 0), (4097, 12)] {
            let got = commit(&mut client, wrote, &group, t, &"ü".repeat(length)).await;
            assert_eq!(got, code, "OFFSET_METADATA_TOO_LARGE: {length}, v{wrote}");
        }
    }
    client.delete("t").await;
    client.create("t", 1, &[]).await;
    assert_eq!(commit(&mut client, 10, "by 10", t, "").await, 100, "UNKNOWN_TOPIC_ID");
    assert_eq!(fetch(&mut client, 10, "by 10", t).await.1, 100, "UNKNOWN_TOPIC_ID");
    assert_eq!(fetch(&mut client, 9, "by 10", t).await.2, -1, "what was committed belongs to the topic that is gone");
    // Who may not is told so at every version.
    let (server, _) = secured(0).await;
    let mut alice = server.client().await;
    assert_eq!(plain(&mut alice, "alice", "alicesecret").await, 0);
    for version in 0..=10 {
        let (whole, partition, offset, ..) = fetch(&mut alice, version, "g", t).await;
        let want = if version >= 2 { (30, -1) } else { (0, -1) };
        assert_eq!((whole, offset), want, "GROUP_AUTHORIZATION_FAILED v{version}");
        assert!(version >= 2 || partition == 30, "v{version}: on the partition");
    }
}
