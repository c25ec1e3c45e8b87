//! Commit, fetch, expiry and deletion.

use super::*;

fn offset(topic: &str, partition: i32, offset: i64) -> CommitOffset {
    CommitOffset {
        topic: topic.into(),
        topic_id: 0,
        partition,
        offset,
        leader_epoch: 3,
        metadata: "m".into(),
        time: -1,
    }
}

/// By a consumer that manages itself.
fn simple(offsets: Vec<CommitOffset>) -> Commit {
    Commit {
        group: "g".into(),
        generation: -1,
        member: "".into(),
        instance: None,
        knows_group_not_found: true,
        retention_ms: -1,
        offsets,
    }
}

fn by(member: &Joined, offsets: Vec<CommitOffset>) -> Commit {
    Commit { generation: member.generation, member: member.member.clone(), ..simple(offsets) }
}

fn commit(bench: &mut Bench, commit: Commit) -> Result<Vec<Result<(), Refusal>>, Refusal> {
    match bench.call(Command::Commit(commit)) {
        Reply::Commit(result) => result,
        other => panic!("{other:?}"),
    }
}

fn committed(bench: &Bench, topic: &str, partition: i32) -> Option<i64> {
    bench.state.offset("g", topic, partition).map(|c| c.offset)
}

#[test]
fn what_is_committed_is_fetched_to_the_last_field() {
    let mut bench = bench();
    let offsets = vec![CommitOffset { topic_id: 9, metadata: "état".into(), ..offset("t", 0, 42) }];
    assert_eq!(commit(&mut bench, simple(offsets)), Ok(vec![Ok(())]));
    let expected =
        Committed { offset: 42, leader_epoch: 3, metadata: "état".into(), time: START, expire: None, topic_id: 9 };
    bench.restart();
    let topic = FetchTopic { topic: "t".into(), topic_id: 9, partitions: vec![1, 0] };
    let fetch = Fetch { group: "g".into(), member: None, stable: false, topics: Some(vec![topic]) };
    let fetched =
        Fetched { topic: "t".into(), partitions: vec![(1, Told::Nothing), (0, Told::Offset(expected.clone()))] };
    assert_eq!(bench.call(Command::Fetch(vec![fetch])), Reply::Fetch(vec![Ok(vec![fetched])]));
    let all = Fetched { topic: "t".into(), partitions: vec![(0, Told::Offset(expected))] };
    assert_eq!(
        bench.call(Command::Fetch(vec![Fetch { group: "g".into(), member: None, stable: true, topics: None }])),
        Reply::Fetch(vec![Ok(vec![all])])
    );
    bench.check_laws();
}

#[test]
fn an_unknown_group_has_no_offsets_and_that_is_no_error() {
    let mut bench = bench();
    let topic = FetchTopic { topic: "t".into(), topic_id: 0, partitions: vec![0] };
    let none = Fetched { topic: "t".into(), partitions: vec![(0, Told::Nothing)] };
    let cases = [(Some(vec![topic]), vec![none]), (None, vec![])];
    for (topics, expected) in cases {
        let fetch = Fetch { group: "nobody".into(), member: None, stable: true, topics };
        assert_eq!(bench.call(Command::Fetch(vec![fetch])), Reply::Fetch(vec![Ok(expected)]));
    }
}

#[test]
fn an_offset_of_a_deleted_stream_is_not_told_of_the_next_one_with_its_name() {
    let mut bench = bench();
    commit(&mut bench, simple(vec![CommitOffset { topic_id: 1, ..offset("t", 0, 42) }])).expect("committed");
    for (topic_id, is_told) in [(1, true), (2, false), (0, true)] {
        let topic = FetchTopic { topic: "t".into(), topic_id, partitions: vec![0] };
        let fetch = Fetch { group: "g".into(), member: None, stable: false, topics: Some(vec![topic]) };
        let Reply::Fetch(fetched) = bench.call(Command::Fetch(vec![fetch])) else { panic!() };
        assert_eq!(fetched[0].as_ref().expect("fetched")[0].partitions[0].1 != Told::Nothing, is_told, "{topic_id}");
    }
}

#[test]
fn commits_are_refused_with_the_reason() {
    let mut bench = bench();
    let members = stable(&mut bench, vec![statics("i", 1)]);
    let good = by(&members[0], vec![offset("t", 0, 1)]);
    let instance = || Some(Name::from("i"));
    let cases = [
        (Commit { generation: 7, ..good.clone() }, Err(Refusal::IllegalGeneration)),
        (Commit { member: "nobody".into(), ..good.clone() }, Err(Refusal::UnknownMember)),
        (Commit { member: "nobody".into(), instance: instance(), ..good.clone() }, Err(Refusal::FencedInstance)),
        (simple(vec![offset("t", 0, 1)]), Err(Refusal::UnknownMember)),
        (Commit { generation: -1, ..good.clone() }, Err(Refusal::IllegalGeneration)),
        (Commit { group: "new".into(), ..good.clone() }, Err(Refusal::GroupNotFound)),
        (Commit { group: "new".into(), knows_group_not_found: false, ..good.clone() }, Err(Refusal::IllegalGeneration)),
        (Commit { group: "x".repeat(40_000).into(), ..good.clone() }, Err(Refusal::InvalidGroupId)),
        (Commit { instance: instance(), ..good.clone() }, Ok(vec![Ok(())])),
        (good, Ok(vec![Ok(())])),
    ];
    for (ask, expected) in cases {
        assert_eq!(commit(&mut bench, ask.clone()), expected, "{ask:?}");
    }
}

#[test]
fn a_commit_between_join_and_sync_is_told_to_wait_and_one_during_joining_is_taken() {
    let mut bench = bench();
    let members = stable(&mut bench, vec![newcomer(1)]);
    let second = bench.ask(Command::Join(newcomer(2)));
    assert_eq!(commit(&mut bench, by(&members[0], vec![offset("t", 0, 1)])), Ok(vec![Ok(())]));
    let first = bench.ask(Command::Join(again(&members[0].member)));
    let (first, _) = (joined(&mut bench, first), joined(&mut bench, second));
    let refused = commit(&mut bench, by(&first, vec![offset("t", 0, 2)]));
    assert_eq!(refused, Err(Refusal::RebalanceInProgress));
}

#[test]
fn a_commit_keeps_a_session_alive() {
    let mut bench = bench();
    let members = stable(&mut bench, vec![newcomer(1)]);
    for at in 0..20 {
        bench.pass(9_000);
        assert_eq!(commit(&mut bench, by(&members[0], vec![offset("t", 0, at)])), Ok(vec![Ok(())]));
    }
}

#[test]
fn metadata_has_a_limit_of_its_own_for_each_offset() {
    let mut bench = bench();
    let with = |metadata: String| CommitOffset { metadata: metadata.into(), ..offset("t", 0, 1) };
    // As Kafka counts: UTF-16 units, not bytes.
    let offsets = vec![with("x".repeat(4096)), with("x".repeat(4097)), with("é".repeat(4096)), with("é".repeat(4097))];
    let too_large = Err(Refusal::OffsetMetadataTooLarge);
    assert_eq!(commit(&mut bench, simple(offsets)), Ok(vec![Ok(()), too_large, Ok(()), too_large]));
}

#[test]
fn offsets_of_a_group_that_nobody_is_in_go_after_the_retention_since_it_became_empty() {
    let mut bench = bench();
    let members = stable(&mut bench, vec![newcomer(1)]);
    commit(&mut bench, by(&members[0], vec![offset("t", 0, 1)])).expect("committed");
    for _ in 0..2 * DAY_MS / 9_000 {
        bench.pass(9_000);
        heartbeat(&mut bench, &members[0].member, 1).expect("alive");
    }
    leave(&mut bench, &[(&members[0].member, None)]);
    bench.pass(7 * DAY_MS - 1);
    assert_eq!(committed(&bench, "t", 0), Some(1), "the commit is older than the retention, the emptiness is not");
    bench.pass(600_000);
    assert_eq!(committed(&bench, "t", 0), None);
    assert_eq!(phase(&mut bench), None, "the group went with its last offset");
    bench.check_laws();
    laws::check_compaction::<Groups>(&bench.log, &bench.state);
}

#[test]
fn offsets_of_a_simple_group_count_from_their_own_commit() {
    let mut bench = bench();
    commit(&mut bench, simple(vec![offset("t", 0, 1)])).expect("committed");
    bench.pass(DAY_MS);
    commit(&mut bench, simple(vec![offset("t", 1, 1)])).expect("committed");
    bench.pass(6 * DAY_MS + 600_000);
    assert_eq!((committed(&bench, "t", 0), committed(&bench, "t", 1)), (None, Some(1)));
    bench.pass(DAY_MS);
    assert!(bench.state.groups.is_empty());
}

#[test]
fn a_live_group_loses_only_offsets_of_streams_it_does_not_read() {
    let mut bench = bench();
    let join = Join { session_timeout_ms: 1_800_000, ..newcomer(1) };
    let members = stable(&mut bench, vec![join]);
    commit(&mut bench, by(&members[0], vec![offset("t", 0, 1), offset("other", 0, 1)])).expect("committed");
    for _ in 0..8 * DAY_MS / 1_000_000 {
        bench.pass(1_000_000);
        heartbeat(&mut bench, &members[0].member, 1).expect("alive");
    }
    assert_eq!((committed(&bench, "t", 0), committed(&bench, "other", 0)), (Some(1), None));
}

#[test]
fn a_live_group_of_which_nothing_is_known_loses_nothing() {
    let opaque = vec![("range".into(), Bytes::from_static(b"?"))];
    let cases = [
        Join { protocols: opaque.clone(), ..newcomer(1) },
        Join { protocols: opaque, protocol_type: "connect".into(), ..newcomer(1) },
    ];
    for join in cases {
        let mut bench = bench();
        let members = stable(&mut bench, vec![Join { session_timeout_ms: 1_800_000, ..join }]);
        commit(&mut bench, by(&members[0], vec![offset("t", 0, 1)])).expect("committed");
        for _ in 0..8 * DAY_MS / 1_000_000 {
            bench.pass(1_000_000);
            heartbeat(&mut bench, &members[0].member, 1).expect("alive");
        }
        assert_eq!(committed(&bench, "t", 0), Some(1));
    }
}

#[test]
fn an_old_client_may_set_its_own_retention() {
    let mut bench = bench();
    let ask = Commit { retention_ms: HOUR_MS, ..simple(vec![CommitOffset { topic_id: 5, ..offset("t", 0, 1) }]) };
    commit(&mut bench, ask).expect("committed");
    bench.check_laws();
    bench.pass(HOUR_MS - 1);
    assert_eq!(committed(&bench, "t", 0), Some(1));
    bench.pass(600_000);
    assert_eq!(committed(&bench, "t", 0), None);
}

#[test]
fn an_old_client_may_set_the_time_of_its_commit() {
    let mut bench = bench();
    let time = START.0 - 6 * DAY_MS;
    commit(&mut bench, simple(vec![CommitOffset { time, ..offset("t", 0, 1) }])).expect("committed");
    bench.pass(DAY_MS + 600_000);
    assert_eq!(committed(&bench, "t", 0), None);
}

#[test]
fn only_an_empty_group_is_deleted_and_its_offsets_go_with_it() {
    let mut bench = bench();
    let members = stable(&mut bench, vec![newcomer(1)]);
    commit(&mut bench, by(&members[0], vec![offset("t", 0, 1), offset("u", 3, 1)])).expect("committed");
    let ask = |bench: &mut Bench| bench.call(Command::Delete(vec!["g".into(), "nobody".into()]));
    let not_found = Err(Refusal::GroupNotFound);
    assert_eq!(ask(&mut bench), Reply::Delete(vec![Err(Refusal::GroupNotEmpty), not_found]));
    leave(&mut bench, &[(&members[0].member, None)]);
    assert_eq!(ask(&mut bench), Reply::Delete(vec![Ok(()), not_found]));
    assert_eq!(bench.state, State::default());
    assert_eq!(ask(&mut bench), Reply::Delete(vec![not_found, not_found]));
    bench.check_laws();
    laws::check_compaction::<Groups>(&bench.log, &bench.state);
}

#[test]
fn offsets_of_a_deleted_stream_go_from_every_group_but_not_those_of_its_successor() {
    let mut bench = bench();
    for group in 0..3 {
        let offsets = vec![
            CommitOffset { topic_id: 1, ..offset("t", 0, 1) },
            CommitOffset { topic_id: 2, ..offset("t", 1, 1) },
            offset("t", 2, 1),
            offset("u", 0, 1),
        ];
        commit(&mut bench, Commit { group: format!("g{group}").into(), ..simple(offsets) }).expect("committed");
    }
    assert_eq!(bench.call(Command::Forget { topic: "t".into(), topic_id: 1 }), Reply::Done);
    let left = Reply::Topics(vec![("t".into(), 2), ("u".into(), 0)]);
    assert_eq!(bench.call(Command::Topics), left);
    assert_eq!(bench.state.groups.len(), 3);
    bench.check_laws();
}

#[test]
fn forgetting_much_is_done_a_piece_at_a_time() {
    let mut bench = bench();
    for group in 0..10 {
        let offsets = (0..1000).map(|p| offset("t", p, 1)).collect();
        commit(&mut bench, Commit { group: format!("g{group}").into(), ..simple(offsets) }).expect("committed");
    }
    let ticket = bench.ask(Command::Forget { topic: "t".into(), topic_id: 0 });
    assert!(bench.is_waiting(ticket), "one decision does not write ten thousand records");
    assert_eq!(bench.state.groups.len(), 5);
    bench.pass(0);
    assert_eq!(bench.answer(ticket), Some(Reply::Done));
    assert_eq!(bench.state, State::default());
}

#[test]
fn a_group_that_becomes_empty_at_the_very_moment_of_a_check_keeps_its_offsets() {
    let mut bench = bench();
    let settings = Settings { offsets_retention_ms: 1_000, retention_check_ms: 100, ..Settings::default() };
    bench.call(Command::Configure(settings));
    let members = stable(&mut bench, vec![newcomer(1)]);
    commit(&mut bench, by(&members[0], vec![offset("t", 0, 1)])).expect("committed");
    bench.pass(10_000);
    assert_eq!(phase(&mut bench), Some(Phase::Empty));
    assert_eq!(committed(&bench, "t", 0), Some(1));
    bench.pass(1_100);
    assert_eq!(committed(&bench, "t", 0), None);
}

fn commit_within(bench: &mut Bench, producer: i64, commit: Commit) -> Result<Vec<Result<(), Refusal>>, Refusal> {
    match bench.call(Command::CommitWithin { producer, epoch: 0, commit }) {
        Reply::Commit(result) => result,
        other => panic!("{other:?}"),
    }
}

fn end(bench: &mut Bench, producer: i64, how: Marker) {
    assert_eq!(bench.call(Command::End { producer, epoch: 1, how }), Reply::Done);
}

fn told(bench: &mut Bench, stable: bool) -> Told {
    let topic = FetchTopic { topic: "t".into(), topic_id: 0, partitions: vec![0] };
    let Reply::Fetch(mut fetched) =
        bench.call(Command::Fetch(vec![Fetch { group: "g".into(), member: None, stable, topics: Some(vec![topic]) }]))
    else {
        panic!()
    };
    fetched.remove(0).expect("fetched").remove(0).partitions.remove(0).1
}

#[test]
fn offsets_of_a_transaction_count_when_it_is_committed_and_not_before() {
    let mut bench = bench();
    commit(&mut bench, simple(vec![offset("t", 0, 1)])).expect("committed");
    assert_eq!(commit_within(&mut bench, 7, simple(vec![offset("t", 0, 5)])), Ok(vec![Ok(())]));
    bench.restart();
    assert_eq!(committed(&bench, "t", 0), Some(1));
    assert_eq!(told(&mut bench, true), Told::Unstable);
    end(&mut bench, 7, Marker::Commit);
    bench.restart();
    assert_eq!(committed(&bench, "t", 0), Some(5));
    assert!(matches!(told(&mut bench, true), Told::Offset(_)));
    bench.check_laws();
}

#[test]
fn in_a_group_without_members_whoever_names_no_generation_is_believed() {
    let mut bench = bench();
    commit(&mut bench, simple(vec![offset("t", 0, 1)])).expect("committed");
    let named = |generation| Commit { member: "nobody".into(), generation, ..simple(vec![offset("t", 0, 5)]) };
    assert_eq!(commit_within(&mut bench, 7, named(-1)), Ok(vec![Ok(())]));
    assert_eq!(commit_within(&mut bench, 7, named(1)), Err(Refusal::UnknownMember));
}

#[test]
fn offsets_of_a_transaction_that_was_given_up_never_count() {
    let mut bench = bench();
    commit_within(&mut bench, 7, simple(vec![offset("t", 0, 5)])).expect("taken");
    end(&mut bench, 8, Marker::Commit);
    assert_eq!(told(&mut bench, true), Told::Unstable, "that was another producer");
    end(&mut bench, 7, Marker::Abort);
    assert_eq!((committed(&bench, "t", 0), told(&mut bench, true)), (None, Told::Nothing));
    bench.check_laws();
}

#[test]
fn what_is_committed_later_counts_whatever_becomes_of_the_transaction() {
    let mut bench = bench();
    commit_within(&mut bench, 7, simple(vec![offset("t", 0, 5)])).expect("taken");
    commit(&mut bench, simple(vec![offset("t", 0, 9)])).expect("committed");
    end(&mut bench, 7, Marker::Commit);
    assert_eq!(committed(&bench, "t", 0), Some(9));
    bench.check_laws();
}

#[test]
fn a_member_that_is_not_of_this_generation_commits_nothing_in_a_transaction() {
    let mut bench = bench();
    let unknown = Commit { generation: 4, member: "m".into(), ..simple(vec![offset("t", 0, 5)]) };
    assert_eq!(commit_within(&mut bench, 7, unknown), Err(Refusal::IllegalGeneration));
    assert!(bench.log.is_empty());
}

#[test]
fn offsets_are_taken_away_unless_a_member_reads_the_topic() {
    let mut bench = bench();
    let delete = |bench: &mut Bench, group: &str| {
        let topics = vec![("t".into(), vec![0, 9]), ("u".into(), vec![0])];
        match bench.call(Command::DeleteOffsets { group: group.into(), topics }) {
            Reply::DeleteOffsets(result) => result,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(delete(&mut bench, ""), Err(Refusal::InvalidGroupId));
    assert_eq!(delete(&mut bench, "g"), Err(Refusal::GroupNotFound));
    let members = stable(&mut bench, vec![newcomer(1)]);
    commit(&mut bench, by(&members[0], vec![offset("t", 0, 1), offset("u", 0, 1)])).expect("committed");
    assert_eq!(delete(&mut bench, "g"), Ok(vec![Err(Refusal::SubscribedToTopic), Ok(())]));
    assert_eq!((committed(&bench, "t", 0), committed(&bench, "u", 0)), (Some(1), None));
    leave(&mut bench, &[(&members[0].member, None)]);
    assert_eq!(delete(&mut bench, "g"), Ok(vec![Ok(()), Ok(())]));
    assert_eq!(committed(&bench, "t", 0), None);
    let worker = Join { protocol_type: "connect".into(), ..newcomer(2) };
    stable(&mut bench, vec![worker]);
    assert_eq!(delete(&mut bench, "g"), Err(Refusal::GroupNotEmpty), "nobody knows what its members read");
    bench.check_laws();
}
