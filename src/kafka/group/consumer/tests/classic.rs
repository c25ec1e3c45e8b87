//! Members of both protocols in one group: the way from a classic group to a consumer group and back, and what classic
//! requests hear in between.

use bytes::Bytes;

use super::*;
use crate::kafka::group::live::Phase as ClassicPhase;
use crate::kafka::group::{Heartbeat, Join, JoinRefused, Joined, Leave, Missing, Sync};
use crate::kafka::wire::messages::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartition,
};
use crate::kafka::wire::versioned;

pub type Owned<'a> = &'a [(&'a str, &'a [i32])];

fn named(of: Owned) -> Vec<TopicPartition> {
    let one = |(topic, partitions): &(&str, &[i32])| TopicPartition {
        topic: (*topic).into(),
        partitions: partitions.to_vec(),
    };
    of.iter().map(one).collect()
}

/// A consumer of the classic protocol that subscribes to `t` and owns this.
pub fn classic(member: &str, owned: Owned) -> Join {
    let subscription = ConsumerProtocolSubscription {
        topics: vec!["t".into()],
        owned_partitions: named(owned),
        ..ConsumerProtocolSubscription::default()
    };
    Join {
        group: "g".into(),
        member: member.into(),
        instance: None,
        client_id: "old".into(),
        client_host: "/127.0.0.1".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".into(),
        protocols: vec![("range".into(), versioned::write(&subscription, 1).unwrap())],
        needs_known_id: false,
        may_skip_assignment: false,
        fresh: 0xabc,
    }
}

pub fn assigned(of: Owned) -> Bytes {
    let assignment = ConsumerProtocolAssignment { assigned_partitions: named(of), user_data: None };
    versioned::write(&assignment, 1).unwrap()
}

/// The partitions in an assignment.
pub fn place_of(assignment: Bytes) -> Vec<i32> {
    if assignment.is_empty() {
        return Vec::new();
    }
    let (_, read) = versioned::read::<ConsumerProtocolAssignment>(assignment).expect("an assignment");
    read.assigned_partitions.into_iter().flat_map(|topic| topic.partitions).collect()
}

fn join(bench: &mut Bench, join: Join) -> Result<Joined, Refusal> {
    match bench.call(Command::Join(join)) {
        Reply::Join(result) => result.map_err(|refused| refused.why),
        other => panic!("{other:?}"),
    }
}

pub fn sync_of(joined: &Joined, assignments: &[(&Name, Bytes)]) -> Sync {
    Sync {
        group: "g".into(),
        generation: joined.generation,
        member: joined.member.clone(),
        instance: None,
        protocol_type: None,
        protocol: None,
        assignments: assignments.iter().map(|(member, bytes)| ((*member).clone(), bytes.clone())).collect(),
    }
}

/// What a member is told it has of `t`.
fn sync(bench: &mut Bench, joined: &Joined) -> Result<Vec<i32>, Refusal> {
    match bench.call(Command::Sync(sync_of(joined, &[]))) {
        Reply::Sync(result) => result.map(|synced| place_of(synced.assignment)),
        other => panic!("{other:?}"),
    }
}

fn heartbeat(bench: &mut Bench, member: &Name, generation: i32) -> Result<(), Refusal> {
    let beat = Heartbeat { group: "g".into(), generation, member: member.clone(), instance: None };
    match bench.call(Command::Heartbeat(beat)) {
        Reply::Heartbeat(result) => result,
        other => panic!("{other:?}"),
    }
}

/// A stable classic group of one member that has all of `t`.
fn stable(bench: &mut Bench, join: Join) -> Joined {
    let ticket = bench.ask(Command::Join(join));
    bench.pass(3_000);
    let Some(Reply::Join(Ok(joined))) = bench.answer(ticket) else { panic!("joined") };
    let all = assigned(&[("t", &[0, 1, 2, 3])]);
    let synced = bench.call(Command::Sync(sync_of(&joined, &[(&joined.member, all)])));
    assert!(matches!(synced, Reply::Sync(Ok(_))), "{synced:?}");
    joined
}

fn phase(bench: &mut Bench) -> Result<ClassicPhase, Missing> {
    match bench.call(Command::Describe(vec!["g".into()])) {
        Reply::Describe(mut groups) => groups.remove(0).map(|group| group.phase),
        other => panic!("{other:?}"),
    }
}

fn allow(bench: &mut Bench, migration: Migration) {
    let consumer = Settings { migration, ..Settings::default() };
    bench.call(Command::Configure(crate::kafka::group::Settings { consumer, ..Default::default() }));
}

const ALL: Owned = &[("t", &[0, 1, 2, 3])];

#[test]
fn a_classic_group_becomes_a_consumer_group_while_its_members_live() {
    let mut bench = bench(T);
    let old = stable(&mut bench, classic("", &[]));
    assert_eq!(commit(&mut bench, &old.member, 1, 0), Ok(()));
    let new = given(beat(&mut bench, joining("new", &["t"])));
    assert_eq!(new, (2, Some(Assignment::new())), "nothing is free yet");
    assert_eq!(phase(&mut bench), Err(Missing::OtherProtocol));
    let group = describe(&mut bench).expect("a consumer group");
    assert_eq!((group.state, group.members.len()), ("Reconciling", 2));
    assert_eq!(commit(&mut bench, &old.member, 1, 0), Ok(()), "what it had is still its own");
    // The old member is told to join again, and then which half it may keep.
    assert_eq!(heartbeat(&mut bench, &old.member, 1), Err(Refusal::RebalanceInProgress));
    let joined = join(&mut bench, classic(&old.member, ALL)).expect("joined");
    assert_eq!((joined.generation, &*joined.leader, joined.members.len()), (1, "", 0), "nobody leads");
    assert_eq!(sync(&mut bench, &joined), Ok(vec![0, 1]));
    assert_eq!(
        heartbeat(&mut bench, &old.member, 1),
        Err(Refusal::RebalanceInProgress),
        "it must say what it gave back"
    );
    assert_eq!(given(beat(&mut bench, again("new", 2, None))), (2, None));
    let joined = join(&mut bench, classic(&old.member, &[("t", &[0, 1])])).expect("joined");
    assert_eq!(joined.generation, 2);
    assert_eq!(given(beat(&mut bench, again("new", 2, None))), (2, Some(assignment(&[(1, &[2, 3])]))));
    assert_eq!(sync(&mut bench, &joined), Ok(vec![0, 1]));
    assert_eq!(heartbeat(&mut bench, &old.member, 2), Ok(()));
    assert_eq!(state(&mut bench), "Stable");
    check(&bench);
}

#[test]
fn when_the_last_new_member_leaves_it_is_a_classic_group_again() {
    let mut bench = bench(T);
    let old = stable(&mut bench, classic("", &[]));
    beat(&mut bench, joining("new", &["t"])).expect("joined");
    beat(&mut bench, again("new", -1, None)).expect("left");
    assert_eq!(phase(&mut bench), Ok(ClassicPhase::Preparing));
    assert_eq!(describe(&mut bench), None);
    check(&bench);
    assert_eq!(heartbeat(&mut bench, &old.member, 3), Err(Refusal::RebalanceInProgress));
    let joined = join(&mut bench, classic(&old.member, ALL)).expect("alone, at once");
    assert_eq!((joined.generation, &joined.leader), (4, &old.member));
    bench.restart();
    assert_eq!(phase(&mut bench), Ok(ClassicPhase::Stable), "as the log says");
}

#[test]
fn an_upgrade_ends_what_classic_members_wait_for() {
    let mut bench = bench(T);
    let old = stable(&mut bench, classic("", &[]));
    let waiting = bench.ask(Command::Join(Join { fresh: 9, ..classic("", &[]) }));
    assert!(bench.is_waiting(waiting));
    beat(&mut bench, joining("new", &["t"])).expect("joined");
    let Some(Reply::Join(Err(JoinRefused { why, member }))) = bench.answer(waiting) else { panic!("answered") };
    assert_eq!(why, Refusal::RebalanceInProgress);
    assert_ne!(member, old.member);
    assert_eq!(describe(&mut bench).map(|group| group.members.len()), Some(3));
    check(&bench);
}

#[test]
fn a_refused_upgrade_changes_nothing() {
    let broken = |protocols| Join { protocols, ..classic("", &[]) };
    let settings = |change: &dyn Fn(&mut Settings)| {
        let mut settings = Settings::default();
        change(&mut settings);
        settings
    };
    let cases: Vec<(&str, Settings, Join, Beat, Refusal)> = vec![
        (
            "policy",
            settings(&|s| s.migration = Migration::Downgrade),
            classic("", &[]),
            joining("new", &["t"]),
            Refusal::GroupNotFound,
        ),
        (
            "no consumers",
            Settings::default(),
            Join { protocol_type: "connect".into(), ..classic("", &[]) },
            joining("new", &["t"]),
            Refusal::GroupNotFound,
        ),
        (
            "malformed",
            Settings::default(),
            broken(vec![("range".into(), Bytes::from_static(&[0, 1, 9]))]),
            joining("new", &["t"]),
            Refusal::GroupNotFound,
        ),
        ("size", settings(&|s| s.max_size = 1), classic("", &[]), joining("new", &["t"]), Refusal::GroupFull),
        ("bytes", settings(&|s| s.limit_bytes = 200), classic("", &[]), joining("new", &["t"]), Refusal::GroupFull),
    ];
    for (why, consumer, join, newcomer, refusal) in cases {
        let mut bench = bench(T);
        bench.call(Command::Configure(crate::kafka::group::Settings { consumer, ..Default::default() }));
        let old = stable(&mut bench, join);
        let written = bench.log.len();
        assert_eq!(beat(&mut bench, newcomer), Err(refusal), "{why}");
        assert_eq!(bench.log.len(), written, "{why}");
        assert_eq!(heartbeat(&mut bench, &old.member, 1), Ok(()), "{why}");
        check(&bench);
    }
}

#[test]
fn a_policy_that_allows_one_way_only_is_kept() {
    let mut bench = bench(T);
    allow(&mut bench, Migration::Upgrade);
    let old = stable(&mut bench, classic("", &[]));
    beat(&mut bench, joining("new", &["t"])).expect("joined");
    beat(&mut bench, again("new", -1, None)).expect("left");
    assert_eq!(state(&mut bench), "Assigning", "classic members alone, and still a consumer group");
    let joined = join(&mut bench, classic(&old.member, &[])).expect("joined");
    assert_eq!(sync(&mut bench, &joined), Ok(vec![0, 1, 2, 3]));
    allow(&mut bench, Migration::Disabled);
    assert_eq!(join(&mut bench, classic("", &[])), Err(Refusal::InconsistentProtocol));
    check(&bench);
}

#[test]
fn a_classic_member_joins_a_consumer_group() {
    let mut bench = bench(T);
    beat(&mut bench, joining("new", &["t"])).expect("joined");
    let ask = |needs_known_id| Join { needs_known_id, ..classic("", &[]) };
    let Reply::Join(Err(refused)) = bench.call(Command::Join(ask(true))) else { panic!("it must know its id") };
    assert_eq!(refused.why, Refusal::MemberIdRequired);
    let foreign = Join { protocol_type: "connect".into(), ..ask(false) };
    assert_eq!(join(&mut bench, foreign), Err(Refusal::InconsistentProtocol));
    let joined = join(&mut bench, classic(&refused.member, &[])).expect("joined");
    assert_eq!((joined.generation, &joined.member), (2, &refused.member));
    let strange = Join { protocols: vec![("other".into(), classic("", &[]).protocols[0].1.clone())], ..ask(false) };
    assert_eq!(join(&mut bench, strange), Err(Refusal::InconsistentProtocol), "no protocol in common");
    assert_eq!(sync(&mut bench, &joined), Ok(vec![]));
    assert_eq!(heartbeat(&mut bench, &joined.member, 2), Ok(()), "what it is to have is not free yet");
    let all: &[(u128, &[i32])] = &[(1, &[0, 1, 2, 3])];
    beat(&mut bench, again("new", 1, Some(all))).expect("told");
    beat(&mut bench, again("new", 1, Some(&[(1, &[0, 1])]))).expect("given back");
    assert_eq!(heartbeat(&mut bench, &joined.member, 2), Err(Refusal::RebalanceInProgress), "now it is");
    let joined = join(&mut bench, classic(&joined.member, &[])).expect("joined");
    assert_eq!(sync(&mut bench, &joined), Ok(vec![2, 3]));
    for (member, generation, refusal) in [
        ("new", 2, Refusal::UnknownMember),
        ("x", 2, Refusal::UnknownMember),
        (&*joined.member, 1, Refusal::IllegalGeneration),
    ] {
        assert_eq!(heartbeat(&mut bench, &member.into(), generation), Err(refusal), "{member}");
    }
    assert_eq!(commit(&mut bench, &joined.member, 2, 2), Ok(()));
    assert_eq!(commit(&mut bench, &joined.member, 3, 2), Err(Refusal::IllegalGeneration));
    check(&bench);
}

#[test]
fn a_classic_member_that_is_silent_or_slow_is_out() {
    for is_silent in [true, false] {
        let mut bench = bench(T);
        let old = stable(&mut bench, classic("", &[]));
        beat(&mut bench, joining("new", &["t"])).expect("joined");
        let mut epoch = 2;
        for _ in 0..61 {
            if !is_silent {
                // Alive, but it does not join again.
                let _ = heartbeat(&mut bench, &old.member, 1);
            }
            bench.pass(1_000);
            epoch = beat(&mut bench, again("new", epoch, None)).expect("heard").epoch;
        }
        let group = describe(&mut bench).expect("there");
        let has: Vec<_> = group.members.iter().map(|member| (&*member.id, &member.assigned)).collect();
        assert_eq!(has, [("new", &assignment(&[(1, &[0, 1, 2, 3])]))], "silent: {is_silent}");
        check(&bench);
    }
}

#[test]
fn a_static_member_changes_its_protocol_and_keeps_what_it_had() {
    let mut bench = bench(T);
    let old = stable(&mut bench, Join { instance: Some("i".into()), ..classic("", &[]) });
    let new = Beat { instance: Some("i".into()), ..joining("new", &["t"]) };
    let joined = beat(&mut bench, new).expect("in its place");
    assert_eq!(joined.assignment, Some(assignment(&[(1, &[0, 1, 2, 3])])));
    assert_eq!(describe(&mut bench).map(|group| group.members.len()), Some(1));
    assert_eq!(heartbeat(&mut bench, &old.member, 1), Err(Refusal::UnknownMember));
    // And back: the group is classic with it.
    let back = bench.ask(Command::Join(Join { instance: Some("i".into()), ..classic("", &[]) }));
    let Some(Reply::Join(Ok(back))) = bench.answer(back) else { panic!("joined") };
    assert_eq!(phase(&mut bench), Ok(ClassicPhase::Preparing));
    assert_eq!(heartbeat(&mut bench, &back.member, back.generation), Err(Refusal::RebalanceInProgress));
    check(&bench);
}

#[test]
fn administrators_remove_members_of_either_protocol() {
    let mut bench = bench(T);
    beat(&mut bench, joining("new", &["t"])).expect("joined");
    beat(&mut bench, Beat { instance: Some("i".into()), ..joining("static", &["t"]) }).expect("joined");
    let old = join(&mut bench, classic("", &[])).expect("joined");
    let members = vec![
        (old.member.clone(), None),
        ("".into(), Some("i".into())),
        ("x".into(), Some("i".into())),
        ("nobody".into(), None),
    ];
    let Reply::Leave(Ok(results)) = bench.call(Command::Leave(Leave { group: "g".into(), members })) else { panic!() };
    let unknown = Err(Refusal::UnknownMember);
    assert_eq!(results, [Ok(()), Ok(()), unknown, unknown]);
    assert_eq!(describe(&mut bench).map(|group| group.members.len()), Some(1));
    check(&bench);
}

#[test]
fn a_mixed_group_survives_a_restart() {
    let mut bench = bench(T);
    let old = stable(&mut bench, classic("", &[]));
    beat(&mut bench, joining("new", &["t"])).expect("joined");
    bench.restart();
    look(&mut bench, fake(1, T));
    assert_eq!(heartbeat(&mut bench, &old.member, 1), Err(Refusal::RebalanceInProgress));
    let joined = join(&mut bench, classic(&old.member, &[])).expect("joined");
    assert_eq!((joined.generation, sync(&mut bench, &joined)), (2, Ok(vec![0, 1])));
    assert_eq!(given(beat(&mut bench, again("new", 2, None))), (2, Some(assignment(&[(1, &[2, 3])]))));
    check(&bench);
}
