//! Pitfall 29: clients that never ask which versions there are.

use bytes::Bytes;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestTopic;
use kafka_protocol::messages::*;

use super::FOR_EVER;
use super::groups::{joining, patient};
use crate::consumers::group_id;
use crate::harness::*;

/// The versions a client has built in, by the name of what it was told the broker is.
struct Fixed {
    name: &'static str,
    metadata: i16,
    create: i16,
    init: i16,
    produce: i16,
    list: i16,
    fetch: i16,
    find: i16,
    join: i16,
    sync: i16,
    beat: i16,
    commit: i16,
    position: i16,
    leave: i16,
}

const fn fixed(name: &'static str, versions: [i16; 13]) -> Fixed {
    let [metadata, create, init, produce, list, fetch, find, join, sync, beat, commit, position, leave] = versions;
    Fixed { name, metadata, create, init, produce, list, fetch, find, join, sync, beat, commit, position, leave }
}

/// What Sarama takes for each of its version constants, old Python clients for their `api_version`, and the newest there
/// could be: metadata, create, init, produce, list, fetch, find, join, sync, beat, commit, position, leave.
#[rustfmt::skip]
const CLIENTS: [Fixed; 9] = [
    fixed("kafka-python (0, 11)", [1, 2, 0, 3, 1, 4,  0, 2, 1, 1, 2, 1, 1]),
    fixed("Sarama V0_11_0_0",     [4, 2, 0, 3, 2, 5,  1, 2, 1, 1, 3, 3, 1]),
    fixed("Sarama V1_0_0_0",      [5, 2, 0, 5, 2, 6,  1, 2, 1, 1, 3, 3, 1]),
    fixed("Sarama V1_1_0_0",      [5, 2, 0, 5, 2, 7,  1, 2, 1, 1, 3, 3, 1]),
    fixed("Sarama V2_0_0_0",      [6, 3, 1, 6, 3, 8,  2, 3, 2, 2, 4, 4, 2]),
    fixed("Sarama V2_1_0_0",      [7, 3, 1, 7, 4, 10, 2, 3, 2, 2, 6, 5, 2]),
    fixed("Sarama V2_3_0_0",      [8, 3, 1, 7, 5, 11, 2, 5, 3, 3, 7, 5, 2]),
    fixed("Sarama V2_4_0_0",      [9, 5, 2, 7, 5, 11, 3, 6, 4, 4, 7, 6, 4]),
    fixed("Sarama V4_0_0_0",      [10, 7, 4, 8, 6, 11, 3, 6, 4, 4, 8, 7, 4]),
];

/// Each of them creates, writes, reads, joins, commits and leaves without a word about versions, all on one topic. (The
/// clients themselves: compat.)
#[tokio::test]
async fn pitfall_29_clients_with_fixed_versions_are_served() {
    let (server, _) = patient(0).await;
    for (round, with) in (0..).zip(&CLIENTS) {
        let name = with.name;
        let mut client = server.client().await;
        let topic = create_topics_request::CreatableTopic::default()
            .with_name(topic_name("t"))
            .with_num_partitions(1)
            .with_replication_factor(1)
            .with_configs(vec![
                create_topics_request::CreatableTopicConfig::default()
                    .with_name(text(FOR_EVER.0))
                    .with_value(Some(text(FOR_EVER.1))),
            ]);
        let created = client.ask(with.create, CreateTopicsRequest::default().with_topics(vec![topic])).await;
        assert_eq!(created.topics[0].error_code, if round == 0 { 0 } else { 36 }, "{name}");
        let named = MetadataRequestTopic::default().with_name(Some(topic_name("t")));
        let metadata = client.ask(with.metadata, MetadataRequest::default().with_topics(Some(vec![named]))).await;
        assert_eq!((metadata.topics[0].error_code, metadata.topics[0].partitions.len()), (0, 1), "{name}");
        let init = InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(60_000);
        assert_eq!(client.ask(with.init, init).await.error_code, 0, "{name}");
        let placed = client.produce(with.produce, "t", batch(&[name])).await;
        assert_eq!((placed.error_code, placed.base_offset), (0, round), "{name}");
        let partition = ListOffsetsPartition::default().with_timestamp(-1);
        let topic = ListOffsetsTopic::default().with_name(topic_name("t")).with_partitions(vec![partition]);
        let list = ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic]);
        assert_eq!(client.ask(with.list, list).await.topics[0].partitions[0].offset, round + 1, "{name}");
        let read = client.fetch(with.fetch, "t", 0).await;
        assert_eq!(read.error_code, 0, "{name}");
        assert_eq!(decode(read.records).len() as i64, round + 1, "{name} reads what all have written");
        group(&mut client, with).await;
    }
}

async fn group(client: &mut Client, with: &Fixed) {
    let name = with.name;
    let id = group_id(name);
    let find = FindCoordinatorRequest::default().with_key(text(name));
    assert_eq!(client.ask(with.find, find).await.error_code, 0, "{name}");
    let join = |member: &str| joining(member, None, b"m").with_group_id(id.clone());
    let mut joined = client.ask(with.join, join("")).await;
    if joined.error_code == 79 {
        let member = joined.member_id.clone();
        joined = client.ask(with.join, join(&member)).await;
    }
    assert_eq!(joined.error_code, 0, "{name}");
    let (member, generation) = (joined.member_id, joined.generation_id);
    let assignment = sync_group_request::SyncGroupRequestAssignment::default()
        .with_member_id(member.clone())
        .with_assignment(Bytes::from_static(b"a"));
    let sync = SyncGroupRequest::default()
        .with_group_id(id.clone())
        .with_member_id(member.clone())
        .with_generation_id(generation)
        .with_assignments(vec![assignment]);
    let synced = client.ask(with.sync, sync).await;
    assert_eq!((synced.error_code, &synced.assignment[..]), (0, &b"a"[..]), "{name}");
    let beat = HeartbeatRequest::default()
        .with_group_id(id.clone())
        .with_member_id(member.clone())
        .with_generation_id(generation);
    assert_eq!(client.ask(with.beat, beat).await.error_code, 0, "{name}");
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(1);
    let topic = OffsetCommitRequestTopic::default().with_name(topic_name("t")).with_partitions(vec![partition]);
    let commit = OffsetCommitRequest::default()
        .with_group_id(id.clone())
        .with_member_id(member.clone())
        .with_generation_id_or_member_epoch(generation)
        .with_topics(vec![topic]);
    assert_eq!(client.ask(with.commit, commit).await.topics[0].partitions[0].error_code, 0, "{name}");
    let topic = OffsetFetchRequestTopic::default().with_name(topic_name("t")).with_partition_indexes(vec![0]);
    let position = OffsetFetchRequest::default().with_group_id(id.clone()).with_topics(Some(vec![topic]));
    assert_eq!(client.ask(with.position, position).await.topics[0].partitions[0].committed_offset, 1, "{name}");
    let leave = LeaveGroupRequest::default().with_group_id(id);
    let leave = match with.leave {
        3.. => leave.with_members(vec![MemberIdentity::default().with_member_id(member)]),
        _ => leave.with_member_id(member),
    };
    assert_eq!(client.ask(with.leave, leave).await.error_code, 0, "{name}");
}
