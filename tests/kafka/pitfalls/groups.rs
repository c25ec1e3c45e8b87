//! Pitfalls 12 to 15: members of groups, in both protocols.

use bytes::Bytes;
use interfluve::clock::Clock;
use interfluve::ids::Timestamp;
use interfluve::kafka::cx::Options;
use interfluve::kafka::group::Settings;
use interfluve::store::memory::MemDisk;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::join_group_request::JoinGroupRequestProtocol;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::sync_group_request::SyncGroupRequestAssignment;
use kafka_protocol::messages::*;

use crate::consumers::{beat, given, group_id, join, partitions};
use crate::harness::*;

const NOW: Timestamp = Timestamp(1_000_000);

/// A server whose clock is moved by its own alarms only, and whose new groups wait `delay_ms` for more members.
pub async fn patient(delay_ms: i64) -> (Server, Clock) {
    let clock = Clock::manual(NOW);
    let settings = Settings { initial_rebalance_delay_ms: delay_ms, ..Settings::default() };
    (server_on(MemDisk::new(), clock.clone(), settings, Options::default()).await, clock)
}

/// A member that says `metadata` about itself in two protocols of nobody's.
pub fn joining(member: &str, instance: Option<&str>, metadata: &[u8]) -> JoinGroupRequest {
    let protocol = |name: &str| {
        let metadata = Bytes::copy_from_slice(metadata);
        JoinGroupRequestProtocol::default().with_name(text(name)).with_metadata(metadata)
    };
    JoinGroupRequest::default()
        .with_group_id(group_id("g"))
        .with_member_id(text(member))
        .with_group_instance_id(instance.map(text))
        .with_session_timeout_ms(10_000)
        .with_rebalance_timeout_ms(60_000)
        .with_protocol_type(text("custom"))
        .with_protocols(vec![protocol("first"), protocol("second")])
}

pub fn syncing(member: &str, generation: i32, assignments: &[(&str, &[u8])]) -> SyncGroupRequest {
    let assignment = |(member, bytes): &(&str, &[u8])| {
        SyncGroupRequestAssignment::default()
            .with_member_id(text(member))
            .with_assignment(Bytes::copy_from_slice(bytes))
    };
    SyncGroupRequest::default()
        .with_group_id(group_id("g"))
        .with_member_id(text(member))
        .with_generation_id(generation)
        .with_protocol_type(Some(text("custom")))
        .with_protocol_name(Some(text("first")))
        .with_assignments(assignments.iter().map(assignment).collect())
}

fn beating(member: &str, instance: Option<&str>, generation: i32) -> HeartbeatRequest {
    HeartbeatRequest::default()
        .with_group_id(group_id("g"))
        .with_member_id(text(member))
        .with_group_instance_id(instance.map(text))
        .with_generation_id(generation)
}

/// A new group waits for more members, and those who come meanwhile are in its first generation; sessions last what the
/// broker allows. The new protocol's times are the broker's. (Every timer, with the clock in hand: src/kafka/group/tests;
/// assignors and static members of real clients: compat.)
#[tokio::test]
async fn pitfall_12_timers_of_groups_are_those_of_kafka() {
    let (server, clock) = patient(50).await;
    let (mut a, mut b) = (server.client().await, server.client().await);
    a.send(4, &joining("", Some("a"), b"").with_group_instance_id(None)).await;
    let id = a.receive::<JoinGroupRequest>(4).await.member_id;
    a.send(5, &joining(&id, None, b"")).await;
    b.send(5, &joining("", Some("b"), b"")).await;
    let (first, second) = (a.receive::<JoinGroupRequest>(5).await, b.receive::<JoinGroupRequest>(5).await);
    assert_eq!((first.error_code, first.generation_id, second.generation_id), (0, 1, 1));
    assert!(clock.now() >= NOW.plus_ms(50), "nobody is answered before the delay is over");
    for (session_ms, code) in [(5_999, 26), (1_800_001, 26), (6_000, 79), (1_800_000, 79)] {
        let request = joining("", None, b"").with_group_id(group_id("other")).with_session_timeout_ms(session_ms);
        assert_eq!(a.ask(9, request).await.error_code, code, "INVALID_SESSION_TIMEOUT: {session_ms}");
    }
    a.create("t", 1, &[]).await;
    let member = join("a", &["t"]).with_group_id(group_id("new"));
    assert_eq!(a.ask(1, member).await.heartbeat_interval_ms, 5_000);
    let of = |kind: i8, name: &str| {
        DescribeConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(text(name))
            .with_configuration_keys(None)
    };
    let request = DescribeConfigsRequest::default().with_resources(vec![of(4, "1"), of(32, "new")]);
    let configs: Vec<_> = a.ask(4, request).await.results.into_iter().flat_map(|result| result.configs).collect();
    for (name, value) in [
        ("group.initial.rebalance.delay.ms", "3000"),
        ("group.min.session.timeout.ms", "6000"),
        ("group.max.session.timeout.ms", "1800000"),
        ("group.consumer.session.timeout.ms", "45000"),
        ("group.consumer.min.session.timeout.ms", "45000"),
        ("group.consumer.max.session.timeout.ms", "60000"),
        ("group.consumer.heartbeat.interval.ms", "5000"),
        ("consumer.session.timeout.ms", "45000"),
        ("consumer.heartbeat.interval.ms", "5000"),
    ] {
        let config = configs.iter().find(|config| config.name.as_str() == name);
        assert_eq!(config.and_then(|config| config.value.as_deref()), Some(value), "{name}");
    }
}

/// The first join of a member without an id only gets it one; a static member needs none, and the one that comes after
/// it under its name takes its place: the old one is fenced wherever it asks.
#[tokio::test]
async fn pitfall_13_ids_come_first_and_instances_are_fenced() {
    let (server, _) = patient(0).await;
    let mut client = server.client().await;
    client.create("t", 1, &[]).await;
    for version in 4..=9 {
        let first = client.ask(version, joining("", None, b"")).await;
        assert_eq!((first.error_code, first.member_id.is_empty()), (79, false), "MEMBER_ID_REQUIRED v{version}");
        let leave = LeaveGroupRequest::default().with_group_id(group_id("g"));
        let leave = leave.with_members(vec![MemberIdentity::default().with_member_id(first.member_id)]);
        assert_eq!(client.ask(4, leave).await.members[0].error_code, 0);
    }
    let old = client.ask(9, joining("", Some("i"), b"")).await;
    assert_eq!((old.error_code, old.generation_id), (0, 1));
    assert_eq!(client.ask(5, syncing(&old.member_id, 1, &[(&old.member_id, b"all")])).await.assignment, "all");
    // Another process of the same instance: no rebalance, and the same assignment.
    let mut other = server.client().await;
    let new = other.ask(9, joining("", Some("i"), b"")).await;
    assert_eq!((new.error_code, new.generation_id, new.skip_assignment), (0, 1, true));
    assert_ne!(new.member_id, old.member_id);
    let synced = other.ask(5, syncing(&new.member_id, 1, &[]).with_group_instance_id(Some(text("i")))).await;
    assert_eq!((synced.error_code, synced.assignment), (0, Bytes::from_static(b"all")));
    let fenced = [
        client.ask(4, beating(&old.member_id, Some("i"), 1)).await.error_code,
        client.ask(5, syncing(&old.member_id, 1, &[]).with_group_instance_id(Some(text("i")))).await.error_code,
        client.ask(9, joining(&old.member_id, Some("i"), b"")).await.error_code,
        client.ask(9, commit(&old.member_id, Some("i"), 1)).await.topics[0].partitions[0].error_code,
    ];
    assert_eq!(fenced, [82; 4], "FENCED_INSTANCE_ID");
    assert_eq!(client.ask(4, beating(&old.member_id, None, 1)).await.error_code, 25, "UNKNOWN_MEMBER_ID");
    assert_eq!(other.ask(4, beating(&new.member_id, Some("i"), 1)).await.error_code, 0);
}

fn commit(member: &str, instance: Option<&str>, generation: i32) -> OffsetCommitRequest {
    use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
    let partition = OffsetCommitRequestPartition::default().with_committed_offset(1);
    let topic = OffsetCommitRequestTopic::default().with_name(topic_name("t")).with_partitions(vec![partition]);
    OffsetCommitRequest::default()
        .with_group_id(group_id("g"))
        .with_member_id(text(member))
        .with_group_instance_id(instance.map(text))
        .with_generation_id_or_member_epoch(generation)
        .with_topics(vec![topic])
}

/// What members say of themselves and what the leader gives them are bytes of nobody's business: they come out as they
/// went in, at every version, and empty only where the leader gave nothing.
#[tokio::test]
async fn pitfall_14_assignments_are_bytes_and_complete() {
    let (server, _) = patient(0).await;
    let mut client = server.client().await;
    let mut random = fastrand::Rng::with_seed(14);
    for (round, size) in [(1, 0), (2, 1), (3, 255), (4, 70_000)] {
        let group = group_id(&format!("g{round}"));
        let metadata: Vec<u8> = (0..size).map(|_| random.u8(..)).collect();
        let id = client.ask(9, joining("", None, &metadata).with_group_id(group.clone())).await.member_id;
        let joined = client.ask(9, joining(&id, None, &metadata).with_group_id(group.clone())).await;
        assert_eq!((joined.error_code, &joined.leader, joined.members.len()), (0, &id, 1));
        assert_eq!(joined.members[0].metadata, metadata);
        let assignment: Vec<u8> = (0..size).map(|_| random.u8(..)).collect();
        for version in 0..=5 {
            // Only the first of them is of the leader's making.
            let assignments: &[(&str, &[u8])] = if version == 0 { &[(&id, &assignment)] } else { &[] };
            let request = syncing(&id, joined.generation_id, assignments).with_group_id(group.clone());
            let request = if version < 5 { request.with_protocol_type(None).with_protocol_name(None) } else { request };
            let synced = client.ask(version, request).await;
            assert_eq!((synced.error_code, synced.assignment.to_vec()), (0, assignment.clone()), "v{version}, {size}");
        }
        let described = client.ask(5, DescribeGroupsRequest::default().with_groups(vec![group])).await;
        let member = &described.groups[0].members[0];
        assert_eq!((&member.member_metadata[..], &member.member_assignment[..]), (&metadata[..], &assignment[..]));
    }
}

/// A partition is given only when its last owner has given it back; a static member that goes for a while keeps what it
/// had, one that says it owns something while it joins is refused, and a commit counts for what its epoch was given.
/// (The whole machine against a model: src/kafka/group/consumer/tests; regular expressions: tests/kafka/consumers.)
#[tokio::test]
async fn pitfall_15_members_give_back_before_others_get() {
    let server = server().await;
    let (mut a, mut b) = (server.client().await, server.client().await);
    a.create("t", 4, &[]).await;
    let first = a.ask(1, join("a", &["t"]).with_instance_id(Some(text("i")))).await;
    assert_eq!((first.error_code, first.member_epoch, partitions(&first)), (0, 1, Some(vec![0, 1, 2, 3])));
    let all = given(&first);
    let owning = join("b", &["t"]).with_topic_partitions(all.clone());
    assert_eq!(b.ask(1, owning).await.error_code, 42, "INVALID_REQUEST: who joins owns nothing");
    let second = b.ask(1, join("b", &["t"])).await;
    assert_eq!((second.member_epoch, partitions(&second)), (2, Some(vec![])));
    // Until it is given back, b hears of nothing.
    let told = a.ask(1, beat("a", 1, all.as_deref())).await;
    assert_eq!((told.member_epoch, partitions(&told)), (1, Some(vec![0, 1])));
    assert_eq!(partitions(&b.ask(1, beat("b", 2, None)).await), None);
    let half = given(&told);
    assert_eq!(a.ask(1, beat("a", 1, half.as_deref())).await.member_epoch, 2);
    let told = b.ask(1, beat("b", 2, None)).await;
    assert_eq!((told.member_epoch, partitions(&told)), (2, Some(vec![2, 3])));
    // What it has held since epoch 1 may be committed in it, what it has given back may not.
    let code = |answer: OffsetCommitResponse| answer.topics[0].partitions[0].error_code;
    let in_epoch = |epoch: i32, partition: i32| {
        let mut request = commit("a", Some("i"), epoch);
        request.topics[0].partitions[0].partition_index = partition;
        request
    };
    for (epoch, partition, want) in [(2, 0, 0), (1, 0, 0), (1, 3, 113), (3, 0, 113)] {
        let got = code(a.ask(9, in_epoch(epoch, partition)).await);
        assert_eq!(got, want, "STALE_MEMBER_EPOCH: epoch {epoch}, partition {partition}");
    }
    // Away for a while: nobody gets what it had, and it has it again when it comes back.
    let away = a.ask(1, beat("a", -2, None).with_instance_id(Some(text("i")))).await;
    assert_eq!((away.error_code, away.member_epoch), (0, -2));
    assert_eq!(partitions(&b.ask(1, beat("b", 2, None)).await), None);
    let back = a.ask(1, join("c", &["t"]).with_instance_id(Some(text("i")))).await;
    assert_eq!((back.error_code, partitions(&back)), (0, Some(vec![0, 1])));
    let left = b.ask(1, beat("b", -1, None)).await;
    assert_eq!((left.error_code, left.member_epoch), (0, -1));
    let told = a.ask(1, beat("c", back.member_epoch, None)).await;
    assert_eq!(partitions(&told), Some(vec![0, 1, 2, 3]));
    for (member, epoch, code) in [("c", 99, 110), ("b", 2, 25), ("c", -3, 42)] {
        let answer = a.ask(1, beat(member, epoch, None)).await;
        assert_eq!(answer.error_code, code, "{member} in {epoch}");
    }
}
