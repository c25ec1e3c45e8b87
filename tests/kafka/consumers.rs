//! Consumer groups of the new protocol (KIP-848) over the wire: what members hear, what others see of them, and what may
//! be done with their offsets; and members of both protocols in one group.

use bytes::{Buf, BufMut, BytesMut};
use kafka_protocol::messages::consumer_group_heartbeat_request::TopicPartitions;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable};

use crate::harness::*;

pub fn group_id(name: &str) -> GroupId {
    GroupId(text(name))
}

/// A member that joins `g` and wants these topics.
pub fn join(member: &str, topics: &[&str]) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group_id("g"))
        .with_member_id(text(member))
        .with_rebalance_timeout_ms(60_000)
        .with_subscribed_topic_names(Some(topics.iter().map(|topic| topic_name(topic)).collect()))
        .with_topic_partitions(Some(Vec::new()))
}

/// A heartbeat that says nothing but what the member owns, if anything.
pub fn beat(member: &str, epoch: i32, owned: Option<&[TopicPartitions]>) -> ConsumerGroupHeartbeatRequest {
    ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group_id("g"))
        .with_member_id(text(member))
        .with_member_epoch(epoch)
        .with_rebalance_timeout_ms(-1)
        .with_topic_partitions(owned.map(<[_]>::to_vec))
}

/// What an answer assigns, as its member says it owns it.
pub fn given(answer: &ConsumerGroupHeartbeatResponse) -> Option<Vec<TopicPartitions>> {
    let topics = answer.assignment.as_ref()?.topic_partitions.iter();
    Some(
        topics
            .map(|t| TopicPartitions::default().with_topic_id(t.topic_id).with_partitions(t.partitions.clone()))
            .collect(),
    )
}

/// What an answer assigns of the only topic.
pub fn partitions(answer: &ConsumerGroupHeartbeatResponse) -> Option<Vec<i32>> {
    given(answer).map(|given| given.into_iter().flat_map(|topic| topic.partitions).collect())
}

async fn commit(client: &mut Client, version: i16, member: &str, epoch: i32, partition: i32) -> i16 {
    let partition = OffsetCommitRequestPartition::default().with_partition_index(partition).with_committed_offset(5);
    let topic = OffsetCommitRequestTopic::default().with_name(topic_name("t")).with_partitions(vec![partition]);
    let request = OffsetCommitRequest::default()
        .with_group_id(group_id("g"))
        .with_member_id(text(member))
        .with_generation_id_or_member_epoch(epoch)
        .with_topics(vec![topic]);
    client.ask(version, request).await.topics[0].partitions[0].error_code
}

async fn fetch(client: &mut Client, member: Option<&str>, epoch: i32) -> (i16, Option<i64>) {
    let topic = OffsetFetchRequestTopics::default().with_name(topic_name("t")).with_partition_indexes(vec![0]);
    let group = OffsetFetchRequestGroup::default()
        .with_group_id(group_id("g"))
        .with_member_id(member.map(text))
        .with_member_epoch(epoch)
        .with_topics(Some(vec![topic]));
    let answer = client.ask(9, OffsetFetchRequest::default().with_groups(vec![group])).await;
    let group = &answer.groups[0];
    (group.error_code, group.topics.first().map(|topic| topic.partitions[0].committed_offset))
}

/// (error of the whole, error of partition 0)
async fn delete_offset(client: &mut Client, group: &str, topic: &str) -> (i16, Option<i16>) {
    let partition = OffsetDeleteRequestPartition::default().with_partition_index(0);
    let topic = OffsetDeleteRequestTopic::default().with_name(topic_name(topic)).with_partitions(vec![partition]);
    let request = OffsetDeleteRequest::default().with_group_id(group_id(group)).with_topics(vec![topic]);
    let answer = client.ask(0, request).await;
    (answer.error_code, answer.topics.first().map(|topic| topic.partitions[0].error_code))
}

#[tokio::test]
async fn the_protocol_is_switched_on_by_its_keys_and_its_feature() {
    let server = server().await;
    let request =
        ApiVersionsRequest::default().with_client_software_name(text("tester")).with_client_software_version(text("1"));
    let answer = server.client().await.ask(4, request).await;
    for key in [68, 69] {
        let api = answer.api_keys.iter().find(|api| api.api_key == key).expect("advertised");
        assert_eq!((api.min_version, api.max_version), (0, 1));
    }
    let feature = answer.finalized_features.iter().find(|feature| &*feature.name == "group.version").expect("there");
    assert_eq!((feature.min_version_level, feature.max_version_level), (1, 1));
}

#[tokio::test]
async fn two_members_share_a_topic_and_one_that_leaves_gives_its_half_to_the_other() {
    let server = server().await;
    let (mut a, mut b) = (server.client().await, server.client().await);
    a.create("t", 4, &[]).await;
    let joined = a.ask(1, join("a", &["t"])).await;
    assert_eq!((joined.error_code, joined.member_epoch, joined.heartbeat_interval_ms), (0, 1, 5000));
    assert_eq!(partitions(&joined), Some(vec![0, 1, 2, 3]));
    let all = given(&joined).expect("assigned");
    let joined = b.ask(1, join("b", &["t"])).await;
    assert_eq!((joined.member_epoch, partitions(&joined)), (2, Some(vec![])), "nothing is free yet");
    let told = a.ask(1, beat("a", 1, Some(&all))).await;
    assert_eq!((told.member_epoch, partitions(&told)), (1, Some(vec![0, 1])));
    let half = given(&told).expect("assigned");
    let told = a.ask(1, beat("a", 1, Some(&half))).await;
    assert_eq!((told.member_epoch, partitions(&told)), (2, None), "nothing new");
    let told = b.ask(1, beat("b", 2, None)).await;
    assert_eq!((told.member_epoch, partitions(&told)), (2, Some(vec![2, 3])));
    let left = b.ask(1, beat("b", -1, None)).await;
    assert_eq!((left.error_code, left.member_epoch), (0, -1));
    let told = a.ask(1, beat("a", 2, None)).await;
    assert_eq!((told.member_epoch, partitions(&told)), (3, Some(vec![0, 1, 2, 3])));
}

#[tokio::test]
async fn an_older_client_is_given_its_id_and_a_topic_that_comes_later_is_found() {
    let server = server().await;
    let mut client = server.client().await;
    let joined = client.ask(0, join("", &["t"])).await;
    let member = joined.member_id.clone().expect("an id");
    assert_eq!((joined.error_code, joined.member_epoch, partitions(&joined)), (0, 1, Some(vec![])));
    client.create("t", 2, &[]).await;
    let told = client.ask(0, beat(&member, 1, Some(&[]))).await;
    assert_eq!((told.member_epoch, partitions(&told)), (2, Some(vec![0, 1])));
}

#[tokio::test]
async fn an_expression_is_resolved_by_the_server() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("orders-1", 1, &[]).await;
    client.create("other", 1, &[]).await;
    let by =
        |regex: &str| join("a", &[]).with_subscribed_topic_names(None).with_subscribed_topic_regex(Some(text(regex)));
    assert_eq!(client.ask(1, by("orders-(")).await.error_code, 128, "INVALID_REGULAR_EXPRESSION");
    assert_eq!(partitions(&client.ask(1, by(r"orders-\d+")).await), Some(vec![0]));
    client.create("orders-2", 2, &[]).await;
    let told = client.ask(1, beat("a", 1, None)).await;
    assert_eq!(given(&told).map(|given| given.len()), Some(2));
}

#[tokio::test]
async fn a_group_is_listed_and_described_as_what_it_is() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 2, &[]).await;
    client.ask(1, join("a", &["t"]).with_instance_id(Some(text("i")))).await;
    let list = |types: &[&str], states: &[&str]| {
        let texts = |from: &[&str]| from.iter().map(|name| text(name)).collect();
        ListGroupsRequest::default().with_types_filter(texts(types)).with_states_filter(texts(states))
    };
    for (types, states, count) in [
        (&["consumer"][..], &[][..], 1),
        (&["classic"], &[], 0),
        (&["Consumer", "Classic"], &["stable"], 1),
        (&[], &["Empty"], 0),
    ] {
        let answer = client.ask(5, list(types, states)).await;
        assert_eq!(answer.groups.len(), count, "{types:?} {states:?}");
        for group in answer.groups {
            let told = (&*group.group_id.0, &*group.protocol_type, &*group.group_state, &*group.group_type);
            assert_eq!(told, ("g", "consumer", "Stable", "consumer"));
        }
    }
    let ids = vec![group_id("g"), group_id("none")];
    let answer = client.ask(1, ConsumerGroupDescribeRequest::default().with_group_ids(ids)).await;
    let group = &answer.groups[0];
    let told =
        (group.error_code, &*group.group_state, group.group_epoch, group.assignment_epoch, &*group.assignor_name);
    assert_eq!(told, (0, "Stable", 1, 1, "uniform"));
    let member = &group.members[0];
    assert_eq!((&*member.member_id, member.instance_id.as_deref(), member.member_epoch), ("a", Some("i"), 1));
    assert_eq!((&*member.client_id, &*member.client_host, member.member_type), ("tester", "/127.0.0.1", 1));
    let assigned = &member.assignment.topic_partitions[0];
    assert_eq!((&*assigned.topic_name.0, &assigned.partitions), ("t", &vec![0, 1]));
    assert_eq!(answer.groups[1].error_code, 69, "GROUP_ID_NOT_FOUND");
    let classic = DescribeGroupsRequest::default().with_groups(vec![group_id("g")]);
    for (version, code) in [(5, 0), (6, 69)] {
        let answer = client.ask(version, classic.clone()).await;
        assert_eq!((answer.groups[0].error_code, &*answer.groups[0].group_state), (code, "Dead"), "v{version}");
    }
}

#[tokio::test]
async fn offsets_are_committed_and_fetched_in_the_members_epoch() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 2, &[]).await;
    client.ask(1, join("a", &["t"])).await;
    assert_eq!(commit(&mut client, 9, "a", 1, 0).await, 0);
    assert_eq!(commit(&mut client, 9, "a", 2, 0).await, 113, "STALE_MEMBER_EPOCH");
    assert_eq!(commit(&mut client, 9, "x", 1, 0).await, 25, "UNKNOWN_MEMBER_ID");
    assert_eq!(commit(&mut client, 9, "", -1, 0).await, 25, "nobody commits beside the members");
    assert_eq!(commit(&mut client, 8, "a", 1, 0).await, 35, "UNSUPPORTED_VERSION: it cannot know epochs");
    assert_eq!(fetch(&mut client, Some("a"), 1).await, (0, Some(5)));
    assert_eq!(fetch(&mut client, None, -1).await, (0, Some(5)), "an administrator");
    assert_eq!(fetch(&mut client, Some("a"), 0).await, (113, None));
    assert_eq!(fetch(&mut client, Some("x"), 1).await, (25, None));
}

#[tokio::test]
async fn offsets_are_deleted_unless_a_member_reads_the_topic() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[]).await;
    client.create("u", 1, &[]).await;
    assert_eq!(delete_offset(&mut client, "", "t").await, (24, None), "INVALID_GROUP_ID");
    assert_eq!(delete_offset(&mut client, "g", "t").await, (69, None), "GROUP_ID_NOT_FOUND");
    client.ask(1, join("a", &["t"])).await;
    assert_eq!(commit(&mut client, 9, "a", 1, 0).await, 0);
    assert_eq!(delete_offset(&mut client, "g", "t").await, (0, Some(86)), "GROUP_SUBSCRIBED_TO_TOPIC");
    assert_eq!(delete_offset(&mut client, "g", "u").await, (0, Some(0)), "it was never there");
    assert_eq!(delete_offset(&mut client, "g", "none").await, (0, Some(3)), "UNKNOWN_TOPIC_OR_PARTITION");
    let delete = DeleteGroupsRequest::default().with_groups_names(vec![group_id("g")]);
    assert_eq!(client.ask(2, delete.clone()).await.results[0].error_code, 68, "NON_EMPTY_GROUP");
    client.ask(1, beat("a", -1, None)).await;
    assert_eq!(delete_offset(&mut client, "g", "t").await, (0, Some(0)));
    assert_eq!(fetch(&mut client, None, -1).await, (0, Some(-1)));
    assert_eq!(client.ask(2, delete).await.results[0].error_code, 0);
}

#[tokio::test]
async fn heartbeats_that_make_no_sense_are_refused_with_words() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[]).await;
    let cases = [
        (join("", &["t"]), 42, "MemberId can't be empty."),
        (join("a", &["t"]).with_rebalance_timeout_ms(-1), 42, "RebalanceTimeoutMs must be provided in first request."),
        (join("a", &["t"]).with_topic_partitions(None), 42, "TopicPartitions must be empty when (re-)joining."),
        (
            join("a", &["t"]).with_server_assignor(Some(text("sticky"))),
            112,
            "ServerAssignor sticky is not supported. Supported assignors: uniform, range.",
        ),
        (beat("a", 1, None), 69, "Consumer group g not found."),
    ];
    for (request, code, words) in cases {
        let answer = client.ask(1, request).await;
        assert_eq!((answer.error_code, answer.error_message.as_deref()), (code, Some(words)));
    }
    client.ask(1, join("a", &["t"])).await;
    for (request, code) in [(beat("a", 2, None), 110), (beat("x", 1, None), 25)] {
        assert_eq!(client.ask(1, request).await.error_code, code);
    }
}

/// A consumer of the classic protocol that subscribes to `t` and owns these partitions of it.
pub fn classic(member: &str, owned: &[i32]) -> JoinGroupRequest {
    use kafka_protocol::messages::consumer_protocol_subscription::TopicPartition;
    use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
    let owned = TopicPartition::default().with_topic(topic_name("t")).with_partitions(owned.to_vec());
    let subscription =
        ConsumerProtocolSubscription::default().with_topics(vec![text("t")]).with_owned_partitions(vec![owned]);
    let mut metadata = BytesMut::new();
    metadata.put_i16(1);
    subscription.encode(&mut metadata, 1).expect("encodes");
    let protocol = JoinGroupRequestProtocol::default().with_name(text("range")).with_metadata(metadata.freeze());
    JoinGroupRequest::default()
        .with_group_id(group_id("g"))
        .with_member_id(text(member))
        .with_session_timeout_ms(1_000_000)
        .with_rebalance_timeout_ms(60_000)
        .with_protocol_type(text("consumer"))
        .with_protocols(vec![protocol])
}

/// What SyncGroup gives a member of `t`.
pub async fn sync(client: &mut Client, member: &str, generation: i32) -> Vec<i32> {
    let request = SyncGroupRequest::default()
        .with_group_id(group_id("g"))
        .with_member_id(text(member))
        .with_generation_id(generation)
        .with_protocol_type(Some(text("consumer")))
        .with_protocol_name(Some(text("range")));
    let answer = client.ask(5, request).await;
    assert_eq!((answer.error_code, answer.protocol_name.as_deref()), (0, Some("range")));
    let mut bytes = answer.assignment;
    let version = bytes.get_i16();
    let assignment = ConsumerProtocolAssignment::decode(&mut bytes, version).expect("an assignment");
    assignment.assigned_partitions.into_iter().flat_map(|topic| topic.partitions).collect()
}

pub async fn heartbeat(client: &mut Client, member: &str, generation: i32) -> i16 {
    let request = HeartbeatRequest::default()
        .with_group_id(group_id("g"))
        .with_member_id(text(member))
        .with_generation_id(generation);
    client.ask(4, request).await.error_code
}

#[tokio::test]
async fn members_of_both_protocols_share_and_the_group_is_what_its_last_members_are() {
    let server = server().await;
    let (mut new, mut old) = (server.client().await, server.client().await);
    new.create("t", 4, &[]).await;
    let joined = new.ask(1, join("a", &["t"])).await;
    let member = old.ask(9, classic("", &[])).await;
    assert_eq!(member.error_code, 79, "MEMBER_ID_REQUIRED");
    let member = member.member_id;
    let answer = old.ask(9, classic(&member, &[])).await;
    assert_eq!((answer.error_code, answer.generation_id, &*answer.leader), (0, 2, ""));
    assert_eq!(sync(&mut old, &member, 2).await, [0_i32; 0]);
    assert_eq!(heartbeat(&mut old, &member, 2).await, 0);
    let told = new.ask(1, beat("a", 1, given(&joined).as_deref())).await;
    new.ask(1, beat("a", 1, given(&told).as_deref())).await;
    assert_eq!(heartbeat(&mut old, &member, 2).await, 27, "REBALANCE_IN_PROGRESS: there is something for it now");
    assert_eq!(old.ask(9, classic(&member, &[])).await.generation_id, 2);
    assert_eq!(sync(&mut old, &member, 2).await, [2, 3]);
    // The new one goes: a classic group, whose only member leads.
    new.ask(1, beat("a", -1, None)).await;
    assert_eq!(heartbeat(&mut old, &member, 3).await, 27);
    let answer = old.ask(9, classic(&member, &[2, 3])).await;
    assert_eq!((answer.error_code, answer.generation_id, &answer.leader), (0, 4, &member));
    let list = |kind: &str| ListGroupsRequest::default().with_types_filter(vec![text(kind)]);
    assert_eq!(old.ask(5, list("classic")).await.groups.len(), 1);
    // And it comes again.
    let joined = new.ask(1, join("b", &["t"])).await;
    assert_eq!(joined.error_code, 0);
    assert_eq!(old.ask(5, list("consumer")).await.groups.len(), 1);
    assert_eq!(heartbeat(&mut old, &member, 4).await, 27);
}
