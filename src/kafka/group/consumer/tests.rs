//! Scenarios of consumer groups on a bench with virtual time: what a member says, what it hears, and when.

mod assignors;
mod classic;
mod limits;
mod mixed;
mod own;
mod random;

use super::assign::Viewer;
use super::*;
use crate::auth::Principal;
use crate::kafka::group::{Command, Commit, CommitOffset, Fetch, Groups, Record, Refusal, Reply};
use crate::ledger::laws;

pub type Bench = laws::Bench<Groups>;

const START: Timestamp = Timestamp(1_700_000_000_000);

/// Streams by name: the id is given, and stays with the name.
#[derive(Clone, Debug, Default)]
pub struct Fake {
    pub version: u64,
    pub topics: BTreeMap<Name, (u128, i32)>,
    /// Who may not know of which topic.
    pub hidden: Vec<(&'static str, &'static str)>,
}

impl Topics for Fake {
    fn version(&self) -> u64 {
        self.version
    }

    fn topic(&self, name: &str) -> Option<(u128, i32)> {
        self.topics.get(name).copied()
    }

    fn name(&self, id: u128) -> Option<Name> {
        self.topics.iter().find(|(_, topic)| topic.0 == id).map(|(name, _)| name.clone())
    }

    fn count(&self) -> usize {
        self.topics.len()
    }

    fn visit(&self, see: &mut dyn FnMut(&Name)) {
        self.topics.keys().for_each(see);
    }

    fn may_see(&self, viewer: &Viewer, name: &str) -> bool {
        !self.hidden.contains(&(viewer.principal.name(), name))
    }
}

pub fn fake(version: u64, topics: &[(&str, u128, i32)]) -> Fake {
    let topics = topics.iter().map(|(name, id, partitions)| ((*name).into(), (*id, *partitions)));
    Fake { version, topics: topics.collect(), hidden: Vec::new() }
}

pub fn look(bench: &mut Bench, fake: Fake) {
    assert_eq!(bench.call(Command::Look(Arc::new(fake))), Reply::Done);
}

fn bench(topics: &[(&str, u128, i32)]) -> Bench {
    let mut bench = Bench::new(START);
    look(&mut bench, fake(1, topics));
    bench
}

pub fn joining(member: &str, topics: &[&str]) -> Beat {
    Beat {
        group: "g".into(),
        member: member.into(),
        epoch: 0,
        instance: None,
        rack: None,
        rebalance_timeout_ms: Some(60_000),
        topics: Some(topics.iter().map(|topic| (*topic).into()).collect()),
        regex: None,
        assignor: None,
        owned: Some(Assignment::new()),
        client_id: "app".into(),
        client_host: "/127.0.0.1".into(),
        viewer: viewer("alice"),
        names_itself: true,
        fresh: 7,
    }
}

pub fn viewer(name: &str) -> Viewer {
    Viewer { principal: Principal::user(name), host: "127.0.0.1".into() }
}

pub fn again(member: &str, epoch: i32, owned: Option<&[(u128, &[i32])]>) -> Beat {
    let owned = owned.map(assignment);
    Beat { epoch, rebalance_timeout_ms: None, topics: None, owned, ..joining(member, &[]) }
}

pub fn assignment(of: &[(u128, &[i32])]) -> Assignment {
    of.iter().map(|(topic, partitions)| (*topic, partitions.iter().copied().collect())).collect()
}

pub fn beat(bench: &mut Bench, beat: Beat) -> Result<Beaten, Refusal> {
    match bench.call(Command::Beat(Box::new(beat))) {
        Reply::Beat(result) => result.map_err(|refused| refused.why),
        other => panic!("{other:?}"),
    }
}

fn given(beaten: Result<Beaten, Refusal>) -> (i32, Option<Assignment>) {
    let beaten = beaten.expect("a heartbeat that is heard");
    (beaten.epoch, beaten.assignment)
}

fn describe(bench: &mut Bench) -> Option<Described> {
    match bench.call(Command::DescribeConsumers(vec!["g".into()])) {
        Reply::DescribeConsumers(mut groups) => groups.remove(0).ok(),
        other => panic!("{other:?}"),
    }
}

fn state(bench: &mut Bench) -> &'static str {
    describe(bench).map_or("none", |group| group.state)
}

fn commit(bench: &mut Bench, member: &str, epoch: i32, partition: i32) -> Result<(), Refusal> {
    let offset = CommitOffset {
        topic: "t".into(),
        topic_id: 1,
        partition,
        offset: 5,
        leader_epoch: 0,
        metadata: "".into(),
        time: -1,
    };
    let commit = Commit {
        group: "g".into(),
        generation: epoch,
        member: member.into(),
        instance: None,
        knows_group_not_found: true,
        retention_ms: -1,
        offsets: vec![offset],
    };
    match bench.call(Command::Commit(commit)) {
        Reply::Commit(result) => result.map(|_| ()),
        other => panic!("{other:?}"),
    }
}

fn check(bench: &Bench) {
    bench.check_laws();
    laws::check_compaction::<Groups>(&bench.log, &bench.state);
}

const T: &[(&str, u128, i32)] = &[("t", 1, 4)];

#[test]
fn the_first_member_gets_everything_with_its_first_heartbeat() {
    let mut bench = bench(T);
    let joined = beat(&mut bench, joining("a", &["t"])).expect("joined");
    assert_eq!((joined.epoch, joined.interval_ms), (1, 5_000));
    assert_eq!(joined.assignment, Some(assignment(&[(1, &[0, 1, 2, 3])])));
    assert_eq!(given(beat(&mut bench, again("a", 1, Some(&[(1, &[0, 1, 2, 3])])))), (1, None), "nothing is new");
    assert_eq!(state(&mut bench), "Stable");
    check(&bench);
}

#[test]
fn a_second_member_gets_its_half_only_when_the_first_has_given_it_back() {
    let mut bench = bench(T);
    beat(&mut bench, joining("a", &["t"])).expect("joined");
    assert_eq!(given(beat(&mut bench, joining("b", &["t"]))), (2, Some(Assignment::new())));
    assert_eq!(state(&mut bench), "Reconciling");
    // The first hears what it may keep; it stays in its epoch until it has let go.
    let all: &[(u128, &[i32])] = &[(1, &[0, 1, 2, 3])];
    assert_eq!(given(beat(&mut bench, again("a", 1, Some(all)))), (1, Some(assignment(&[(1, &[0, 1])]))));
    assert_eq!(given(beat(&mut bench, again("b", 2, None))), (2, None));
    assert_eq!(given(beat(&mut bench, again("a", 1, Some(all)))), (1, None));
    assert_eq!(given(beat(&mut bench, again("a", 1, Some(&[(1, &[0, 1])])))), (2, None));
    assert_eq!(given(beat(&mut bench, again("b", 2, None))), (2, Some(assignment(&[(1, &[2, 3])]))));
    assert_eq!(state(&mut bench), "Stable");
    check(&bench);
}

#[test]
fn heartbeats_that_make_no_sense_are_refused() {
    let mut bench = bench(T);
    let wrong = |change: &dyn Fn(&mut Beat)| {
        let mut beat = joining("a", &["t"]);
        change(&mut beat);
        beat
    };
    let cases: Vec<(Beat, Refusal)> = vec![
        (wrong(&|b| b.group = "".into()), Refusal::InvalidRequest),
        (wrong(&|b| b.member = "".into()), Refusal::InvalidRequest),
        (wrong(&|b| b.instance = Some("".into())), Refusal::InvalidRequest),
        (wrong(&|b| b.rack = Some("".into())), Refusal::InvalidRequest),
        (wrong(&|b| b.rebalance_timeout_ms = None), Refusal::InvalidRequest),
        (wrong(&|b| b.owned = None), Refusal::InvalidRequest),
        (wrong(&|b| b.owned = Some(assignment(&[(1, &[0])]))), Refusal::InvalidRequest),
        (wrong(&|b| b.topics = None), Refusal::InvalidRequest),
        (wrong(&|b| b.epoch = -2), Refusal::InvalidRequest),
        (wrong(&|b| b.epoch = -3), Refusal::InvalidRequest),
        (wrong(&|b| b.assignor = Some("sticky".into())), Refusal::UnsupportedAssignor),
        (wrong(&|b| b.regex = Some("(".into())), Refusal::InvalidRegex),
        (wrong(&|b| b.regex = Some("a)(b".into())), Refusal::InvalidRegex),
        (wrong(&|b| b.regex = Some("((a{1000}){1000}){1000}".into())), Refusal::InvalidRegex),
        (wrong(&|b| b.regex = Some("(a)\\1".into())), Refusal::InvalidRegex),
        (again("a", 1, None), Refusal::GroupNotFound),
        (again("a", -1, None), Refusal::GroupNotFound),
    ];
    for (sent, refusal) in cases {
        let shown = format!("{sent:?}");
        assert_eq!(beat(&mut bench, sent), Err(refusal), "{shown}");
    }
    assert!(bench.log.is_empty(), "a refusal writes nothing");
}

#[test]
fn a_member_of_another_epoch_is_fenced_unless_its_answer_was_lost() {
    let mut bench = bench(T);
    beat(&mut bench, joining("a", &["t"])).expect("joined");
    for (epoch, owned, refusal) in
        [(5, None, Refusal::FencedEpoch), (2, Some(&[(1_u128, &[0_i32][..])][..]), Refusal::FencedEpoch)]
    {
        assert_eq!(beat(&mut bench, again("a", epoch, owned)), Err(refusal), "{epoch}");
    }
    assert_eq!(beat(&mut bench, again("x", 1, None)), Err(Refusal::UnknownMember));
    // Its subscription moves the group to epoch 2, and the answer is lost.
    let other = Beat { topics: Some(vec!["t".into(), "u".into()]), ..again("a", 1, Some(&[(1, &[0])])) };
    assert_eq!(given(beat(&mut bench, other)).0, 2);
    assert_eq!(beat(&mut bench, again("a", 1, None)), Err(Refusal::FencedEpoch), "it must say what it owns");
    assert_eq!(beat(&mut bench, again("a", 1, Some(&[(9, &[0])]))), Err(Refusal::FencedEpoch));
    assert_eq!(given(beat(&mut bench, again("a", 1, Some(&[(1, &[0])])))).0, 2);
    check(&bench);
}

#[test]
fn a_join_that_is_repeated_is_answered_again() {
    let mut bench = bench(T);
    let first = beat(&mut bench, joining("a", &["t"]));
    assert_eq!(beat(&mut bench, joining("a", &["t"])), first);
}

#[test]
fn who_leaves_makes_room_at_once() {
    let mut bench = bench(T);
    beat(&mut bench, joining("a", &["t"])).expect("joined");
    beat(&mut bench, joining("b", &["t"])).expect("joined");
    assert_eq!(beat(&mut bench, again("a", -1, None)).map(|b| b.epoch), Ok(-1));
    assert_eq!(given(beat(&mut bench, again("b", 2, None))), (3, Some(assignment(&[(1, &[0, 1, 2, 3])]))));
    assert_eq!(beat(&mut bench, again("a", -1, None)), Err(Refusal::UnknownMember));
    beat(&mut bench, again("b", -1, None)).expect("left");
    assert_eq!(state(&mut bench), "Empty");
    check(&bench);
}

#[test]
fn a_silent_member_is_out_after_its_session_and_a_slow_one_after_its_rebalance_timeout() {
    let mut bench = bench(T);
    beat(&mut bench, joining("a", &["t"])).expect("joined");
    bench.pass(44_999);
    assert_eq!(beat(&mut bench, again("a", 1, None)).map(|b| b.epoch), Ok(1));
    bench.pass(44_999);
    assert_eq!(describe(&mut bench).map(|group| group.members.len()), Some(1));
    bench.pass(1);
    assert_eq!(describe(&mut bench).map(|group| group.members.len()), Some(0));
    // It beats, but holds on to what another is to have.
    let join = Beat { rebalance_timeout_ms: Some(10_000), ..joining("a", &["t"]) };
    let epoch = beat(&mut bench, join).expect("joined").epoch;
    beat(&mut bench, joining("b", &["t"])).expect("joined");
    let all: &[(u128, &[i32])] = &[(1, &[0, 1, 2, 3])];
    beat(&mut bench, again("a", epoch, Some(all))).expect("told to give back");
    bench.pass(9_999);
    assert!(beat(&mut bench, again("a", epoch, Some(all))).is_ok());
    bench.pass(1);
    assert_eq!(beat(&mut bench, again("a", epoch, Some(all))), Err(Refusal::UnknownMember));
    check(&bench);
}

#[test]
fn many_silent_members_are_out_in_one_decision() {
    let mut bench = bench(T);
    for id in ["a", "b", "c"] {
        beat(&mut bench, joining(id, &["t"])).expect("joined");
    }
    bench.pass(45_000);
    let group = describe(&mut bench).expect("there");
    assert_eq!((group.members.len(), group.epoch), (0, 6));
    check(&bench);
}

#[test]
fn a_static_member_finds_its_partitions_when_it_comes_back() {
    let mut bench = bench(T);
    let statics = |id: &str, instance: &str| Beat { instance: Some(instance.into()), ..joining(id, &["t"]) };
    let later = |id: &str, epoch, instance: &str| Beat { instance: Some(instance.into()), ..again(id, epoch, None) };
    beat(&mut bench, statics("a", "i")).expect("joined");
    assert_eq!(beat(&mut bench, statics("b", "i")), Err(Refusal::UnreleasedInstance));
    assert_eq!(beat(&mut bench, later("b", 1, "i")), Err(Refusal::FencedInstance));
    assert_eq!(beat(&mut bench, later("b", 1, "j")), Err(Refusal::UnknownMember));
    assert_eq!(beat(&mut bench, later("b", -2, "i")), Err(Refusal::FencedInstance));
    assert_eq!(beat(&mut bench, later("a", -2, "i")).map(|b| b.epoch), Ok(-2));
    assert_eq!(beat(&mut bench, later("a", 1, "i")), Err(Refusal::FencedEpoch));
    let back = beat(&mut bench, statics("b", "i")).expect("joined");
    assert_eq!((back.epoch, back.assignment), (1, Some(assignment(&[(1, &[0, 1, 2, 3])]))));
    let group = describe(&mut bench).expect("there");
    assert_eq!((group.epoch, group.members.len()), (1, 1), "nobody is rebalanced");
    check(&bench);
}

#[test]
fn a_static_member_that_does_not_come_back_is_out_after_its_session() {
    let mut bench = bench(T);
    beat(&mut bench, Beat { instance: Some("i".into()), ..joining("a", &["t"]) }).expect("joined");
    beat(&mut bench, Beat { instance: Some("i".into()), ..again("a", -2, None) }).expect("left");
    bench.pass(45_000);
    assert_eq!(state(&mut bench), "Empty");
    check(&bench);
}

#[test]
fn a_stream_that_appears_grows_or_goes_is_noticed_by_the_next_heartbeat() {
    let mut bench = bench(&[]);
    assert_eq!(given(beat(&mut bench, joining("a", &["t"]))), (1, Some(Assignment::new())));
    look(&mut bench, fake(2, T));
    assert_eq!(given(beat(&mut bench, again("a", 1, None))), (2, Some(assignment(&[(1, &[0, 1, 2, 3])]))));
    look(&mut bench, fake(3, &[("t", 1, 5), ("other", 2, 1)]));
    assert_eq!(given(beat(&mut bench, again("a", 2, None))), (3, Some(assignment(&[(1, &[0, 1, 2, 3, 4])]))));
    look(&mut bench, fake(4, &[("t", 1, 5), ("other", 2, 7)]));
    assert_eq!(given(beat(&mut bench, again("a", 3, None))), (3, None), "other streams are nothing to it");
    look(&mut bench, fake(5, &[("t", 9, 1)]));
    assert_eq!(given(beat(&mut bench, again("a", 3, Some(&[(1, &[0])])))), (3, Some(Assignment::new())));
    assert_eq!(given(beat(&mut bench, again("a", 3, Some(&[])))), (4, Some(assignment(&[(9, &[0])]))));
    check(&bench);
}

#[test]
fn an_expression_is_resolved_here_and_matches_whole_names() {
    let mut bench = bench(&[("ab", 1, 1), ("abc", 2, 1), ("b", 3, 1)]);
    let join = Beat { regex: Some("a.|b".into()), topics: None, ..joining("a", &[]) };
    assert_eq!(given(beat(&mut bench, join)), (1, Some(assignment(&[(1, &[0]), (3, &[0])]))));
    look(&mut bench, fake(2, &[("ab", 1, 1), ("ax", 4, 1), ("b", 3, 1)]));
    assert_eq!(given(beat(&mut bench, again("a", 1, None))).1, Some(assignment(&[(1, &[0]), (3, &[0]), (4, &[0])])));
    let none = Beat { regex: Some("".into()), topics: Some(vec!["abc".into()]), ..again("a", 2, Some(&[])) };
    beat(&mut bench, none).expect("heard");
    let consumer = bench.state.groups["g"].consumer.as_ref().expect("there");
    assert!(consumer.regexes.is_empty(), "nobody uses it any more");
    check(&bench);
}

/// One topic of id and partition 0 each.
fn topics(ids: &[u128]) -> Option<Assignment> {
    let all: Vec<(u128, &[i32])> = ids.iter().map(|id| (*id, &[0][..])).collect();
    Some(assignment(&all))
}

#[test]
fn an_expression_stands_for_nothing_that_its_asker_may_not_see() {
    let mut bench = Bench::new(START);
    let seen = |version, hidden: &[(&'static str, &'static str)]| Fake {
        hidden: hidden.to_vec(),
        ..fake(version, &[("a1", 1, 1), ("a2", 2, 1), ("b1", 3, 1)])
    };
    look(&mut bench, seen(1, &[("alice", "a2"), ("bob", "b1")]));
    let by = |member: &str, regex: &str| Beat { regex: Some(regex.into()), topics: None, ..joining(member, &[]) };
    assert_eq!(given(beat(&mut bench, by("a", "a.*"))).1, topics(&[1]));
    // Another expression is another's.
    let bobs = Beat { viewer: viewer("bob"), ..by("b", ".*1") };
    beat(&mut bench, bobs).expect("joined");
    let resolved = |bench: &Bench, regex: &str| {
        let consumer = bench.state.groups["g"].consumer.as_ref().expect("there");
        consumer.regexes[regex].topics.iter().map(|name| name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!((resolved(&bench, "a.*"), resolved(&bench, ".*1")), (vec!["a1".into()], vec!["a1".to_owned()]));
    // Other rights are another picture.
    look(&mut bench, seen(2, &[("bob", "b1")]));
    beat(&mut bench, again("a", 1, None)).expect("heard");
    assert_eq!(resolved(&bench, "a.*"), ["a1", "a2"]);
    // After a restart nobody is known until they have been heard, and what is theirs stays as it was.
    bench.restart();
    look(&mut bench, seen(3, &[("alice", "a1"), ("bob", "b1")]));
    beat(&mut bench, Beat { viewer: viewer("bob"), ..again("b", 2, None) }).expect("heard");
    assert_eq!(
        (resolved(&bench, "a.*"), resolved(&bench, ".*1")),
        (vec!["a1".into(), "a2".into()], vec!["a1".to_owned()])
    );
    beat(&mut bench, again("a", 1, None)).expect("heard");
    assert_eq!(resolved(&bench, "a.*"), ["a2"]);
    check(&bench);
}

#[test]
fn offsets_are_for_members_of_the_epoch_or_for_what_they_have_held_since() {
    let mut bench = bench(T);
    assert_eq!(commit(&mut bench, "a", 1, 0), Err(Refusal::GroupNotFound));
    beat(&mut bench, joining("a", &["t"])).expect("joined");
    assert_eq!(commit(&mut bench, "a", 1, 0), Ok(()));
    assert_eq!(commit(&mut bench, "a", 2, 0), Err(Refusal::StaleEpoch));
    assert_eq!(commit(&mut bench, "x", 1, 0), Err(Refusal::UnknownMember));
    assert_eq!(commit(&mut bench, "", -1, 0), Err(Refusal::UnknownMember), "nobody commits beside the members");
    // The epoch moves on, the partitions stay: what was sent in the old epoch still counts (KIP-1251).
    let other = Beat { topics: Some(vec!["t".into(), "u".into()]), ..again("a", 1, Some(&[(1, &[0])])) };
    assert_eq!(given(beat(&mut bench, other)).0, 2);
    assert_eq!(commit(&mut bench, "a", 1, 0), Ok(()));
    assert_eq!(commit(&mut bench, "a", 1, 9), Err(Refusal::StaleEpoch), "it was never given that one");
    for (member, epoch, result) in
        [("a", 2, Ok(1)), ("a", 1, Err(Refusal::StaleEpoch)), ("x", 2, Err(Refusal::UnknownMember))]
    {
        let fetch = Fetch { group: "g".into(), member: Some((member.into(), epoch)), stable: false, topics: None };
        let Reply::Fetch(mut fetched) = bench.call(Command::Fetch(vec![fetch])) else { panic!() };
        assert_eq!(fetched.remove(0).map(|topics| topics.len()), result, "{member} {epoch}");
    }
    beat(&mut bench, again("a", -1, None)).expect("left");
    assert_eq!(commit(&mut bench, "", -1, 0), Ok(()), "an administrator, of an empty group");
    check(&bench);
}

#[test]
fn a_full_group_refuses_newcomers() {
    let mut bench = bench(T);
    let consumer = Settings { max_size: 1, ..Settings::default() };
    bench.call(Command::Configure(crate::kafka::group::Settings { consumer, ..Default::default() }));
    beat(&mut bench, joining("a", &["t"])).expect("joined");
    assert_eq!(beat(&mut bench, joining("b", &["t"])), Err(Refusal::GroupFull));
    assert!(beat(&mut bench, joining("a", &["t"])).is_ok());
}

#[test]
fn a_large_assignment_is_made_outside_and_joins_wait_for_it() {
    let mut bench = bench(T);
    let consumer = Settings { inline_limit: 0, ..Settings::default() };
    bench.call(Command::Configure(crate::kafka::group::Settings { consumer, ..Default::default() }));
    let a = bench.ask(Command::Beat(Box::new(joining("a", &["t"]))));
    let b = bench.ask(Command::Beat(Box::new(joining("b", &["t"]))));
    assert!(bench.is_waiting(a) && bench.is_waiting(b));
    assert!(bench.perform(Job::run), "one job is under way");
    assert!(bench.is_waiting(b), "who came meanwhile waits for the next");
    let Some(Reply::Beat(Ok(joined))) = bench.answer(a) else { panic!("a is answered") };
    assert_eq!((joined.epoch, joined.assignment), (1, Some(assignment(&[(1, &[0, 1, 2, 3])]))));
    assert_eq!(given(beat(&mut bench, again("a", 1, None))), (1, None), "heartbeats do not wait");
    assert!(bench.perform(Job::run));
    let Some(Reply::Beat(Ok(joined))) = bench.answer(b) else { panic!("b is answered") };
    assert_eq!(joined.epoch, 2);
    assert!(!bench.perform(Job::run), "and no more");
    check(&bench);
}

#[test]
fn a_restart_forgets_sessions_but_not_members() {
    let mut bench = bench(T);
    beat(&mut bench, joining("a", &["t"])).expect("joined");
    bench.restart();
    look(&mut bench, fake(1, T));
    assert_eq!(given(beat(&mut bench, again("a", 1, None))), (1, None));
    bench.restart();
    bench.pass(45_000);
    assert_eq!(state(&mut bench), "Empty", "a fresh session ends, too");
}

#[test]
fn an_empty_group_can_be_deleted_and_a_living_one_not() {
    let mut bench = bench(T);
    beat(&mut bench, joining("a", &["t"])).expect("joined");
    assert_eq!(bench.call(Command::Delete(vec!["g".into()])), Reply::Delete(vec![Err(Refusal::GroupNotEmpty)]));
    beat(&mut bench, again("a", -1, None)).expect("left");
    assert_eq!(bench.call(Command::Delete(vec!["g".into()])), Reply::Delete(vec![Ok(())]));
    assert_eq!((describe(&mut bench), bench.state.groups.len()), (None, 0));
    check(&bench);
}

#[test]
fn the_records_are_those_that_kafka_publishes() {
    let mut bench = bench(T);
    beat(&mut bench, joining("a", &["t"])).expect("joined");
    let kinds: Vec<i16> = bench
        .log
        .iter()
        .map(|entry| i16::from_be_bytes([entry.key.as_ref().unwrap()[0], entry.key.as_ref().unwrap()[1]]))
        .collect();
    assert_eq!(kinds, [5, 3, 3, 7, 6, 8]);
    let Some(Ok(Some(Record::Consumer { group, .. }))) = bench
        .log
        .first()
        .map(|entry| <Record as crate::ledger::Record>::decode(entry.key.as_deref(), entry.value.as_deref()))
    else {
        panic!("readable")
    };
    assert_eq!(&*group, "g");
}
