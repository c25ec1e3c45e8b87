//! Join, sync, heartbeat, leave: what Kafka's own tests of its classic coordinator describe, scenario by scenario.

use super::*;

#[test]
fn the_first_member_waits_for_others_three_seconds() {
    let mut bench = bench();
    let ticket = bench.ask(Command::Join(newcomer(1)));
    bench.pass(2_999);
    assert!(bench.is_waiting(ticket));
    bench.pass(1);
    let joined = joined(&mut bench, ticket);
    assert_eq!((joined.generation, &joined.leader), (1, &joined.member));
    assert_eq!(&*joined.member, "app-00000000-0000-0000-0000-000000000001");
    assert_eq!(joined.members.len(), 1);
}

#[test]
fn newcomers_prolong_the_first_delay_up_to_the_rebalance_timeout() {
    let mut bench = bench();
    let join = |fresh| Join { rebalance_timeout_ms: 7_000, ..newcomer(fresh) };
    let first = bench.ask(Command::Join(join(1)));
    for fresh in 2..=4 {
        bench.pass(2_000);
        bench.ask(Command::Join(join(fresh)));
    }
    bench.pass(999);
    assert!(bench.is_waiting(first), "6,999 of 7,000 ms have passed");
    bench.pass(1);
    assert_eq!(joined(&mut bench, first).members.len(), 4);
}

#[test]
fn only_the_leader_is_told_who_is_there() {
    let mut bench = bench();
    let members = stable(&mut bench, vec![newcomer(1), newcomer(2)]);
    assert_eq!(members.iter().map(|m| m.members.len()).collect::<Vec<_>>(), [2, 0]);
    assert_eq!(members[0].members[1].metadata, subscription(&["t"]));
    assert!(members.iter().all(|m| m.leader == members[0].member));
    bench.check_laws();
}

#[test]
fn a_member_that_joins_makes_everyone_join_again() {
    let mut bench = bench();
    let members = stable(&mut bench, vec![newcomer(1)]);
    let second = bench.ask(Command::Join(newcomer(2)));
    assert_eq!(phase(&mut bench), Some(Phase::Preparing));
    assert_eq!(heartbeat(&mut bench, &members[0].member, 1), Err(Refusal::RebalanceInProgress));
    let first = bench.ask(Command::Join(again(&members[0].member)));
    let (first, second) = (joined(&mut bench, first), joined(&mut bench, second));
    assert_eq!((first.generation, second.generation), (2, 2));
    settle(&mut bench, &[first, second]);
    bench.check_laws();
}

#[test]
fn a_member_that_does_not_join_again_in_time_is_left_behind() {
    let mut bench = bench();
    let members = stable(&mut bench, vec![newcomer(1)]);
    let second = bench.ask(Command::Join(newcomer(2)));
    // It keeps its session alive, but does not join.
    for _ in 0..12 {
        bench.pass(5_000);
        let _ = heartbeat(&mut bench, &members[0].member, 1);
    }
    let second = joined(&mut bench, second);
    assert_eq!((&second.leader, second.members.len()), (&second.member, 1));
    assert_eq!(heartbeat(&mut bench, &members[0].member, 1), Err(Refusal::UnknownMember));
}

#[test]
fn alarms_of_rebalances_that_are_over_do_not_pile_up() {
    let mut bench = bench();
    let patient = |join: Join| Join { rebalance_timeout_ms: 86_400_000, ..join };
    let members = stable(&mut bench, vec![patient(newcomer(1))]);
    for generation in 2..300 {
        let ticket = bench.ask(Command::Join(patient(again(&members[0].member))));
        let joined = joined(&mut bench, ticket);
        assert_eq!(joined.generation, generation);
        settle(&mut bench, &[joined]);
    }
    assert!(bench.scratch.alarms.count() < 10, "{} alarms", bench.scratch.alarms.count());
}

#[test]
fn a_rebalance_may_take_longer_than_any_alarm_is_set_for() {
    let mut bench = bench();
    let patient = |join| Join { rebalance_timeout_ms: 1_000_000, session_timeout_ms: 1_800_000, ..join };
    let members = stable(&mut bench, vec![patient(newcomer(1)), patient(newcomer(2))]);
    let leader = bench.ask(Command::Join(patient(again(&members[0].member))));
    bench.pass(999_999);
    assert!(bench.is_waiting(leader), "the other one may still join again");
    bench.pass(1);
    assert_eq!(joined(&mut bench, leader).members.len(), 1);
    assert_eq!(heartbeat(&mut bench, &members[1].member, 1), Err(Refusal::UnknownMember));
}

#[test]
fn a_silent_member_is_removed_when_its_session_ends() {
    let mut bench = bench();
    let members = stable(&mut bench, vec![newcomer(1), newcomer(2)]);
    bench.pass(9_999);
    assert_eq!(heartbeat(&mut bench, &members[0].member, 1), Ok(()));
    assert_eq!(phase(&mut bench), Some(Phase::Stable));
    bench.pass(1);
    assert_eq!(phase(&mut bench), Some(Phase::Preparing));
    assert_eq!(heartbeat(&mut bench, &members[1].member, 1), Err(Refusal::UnknownMember));
    let first = bench.ask(Command::Join(again(&members[0].member)));
    assert_eq!(joined(&mut bench, first).members.len(), 1);
}

#[test]
fn a_heartbeat_writes_no_record_and_asks_for_no_wake_up() {
    let mut bench = bench();
    let members = stable(&mut bench, vec![newcomer(1)]);
    let written = bench.log.len();
    bench.pass(1_000);
    let beat = Heartbeat { group: "g".into(), generation: 1, member: members[0].member.clone(), instance: None };
    let mut steps = Vec::new();
    let input = Input::Command(Ticket(99), Command::Heartbeat(beat));
    Groups::decide(&bench.state, &mut bench.scratch, bench.now, input, &mut steps);
    assert_eq!(steps, [Step::Reply(Ticket(99), Reply::Heartbeat(Ok(())))]);
    assert_eq!(bench.log.len(), written);
}

#[test]
fn heartbeats_keep_a_session_alive_for_ever() {
    let mut bench = bench();
    let members = stable(&mut bench, vec![newcomer(1)]);
    for _ in 0..100 {
        bench.pass(9_000);
        assert_eq!(heartbeat(&mut bench, &members[0].member, 1), Ok(()));
    }
}

#[test]
fn heartbeats_are_refused_with_the_reason() {
    let mut bench = bench();
    let members = stable(&mut bench, vec![statics("i", 1)]);
    let member = members[0].member.clone();
    let beat = |group: &str, generation, member: &str, instance: Option<&str>| Heartbeat {
        group: group.into(),
        generation,
        member: member.into(),
        instance: instance.map(Name::from),
    };
    let cases = [
        (beat("", 1, &member, None), Err(Refusal::InvalidGroupId)),
        (beat("nobody", 1, &member, None), Err(Refusal::UnknownMember)),
        (beat("g", 1, "nobody", None), Err(Refusal::UnknownMember)),
        (beat("g", 1, &member, Some("other")), Err(Refusal::UnknownMember)),
        (beat("g", 1, "nobody", Some("i")), Err(Refusal::FencedInstance)),
        (beat("g", 2, &member, Some("i")), Err(Refusal::IllegalGeneration)),
        (beat("g", 1, &member, Some("i")), Ok(())),
    ];
    for (beat, expected) in cases {
        assert_eq!(bench.call(Command::Heartbeat(beat.clone())), Reply::Heartbeat(expected), "{beat:?}");
    }
}

#[test]
fn joins_are_refused_with_the_reason() {
    let mut bench = bench();
    let members = stable(&mut bench, vec![statics("i", 1), newcomer(2)]);
    let dynamic = members[1].member.clone();
    let speaks = |name: &str| vec![(Name::from(name), Bytes::new())];
    let cases = [
        (Join { group: "".into(), ..newcomer(9) }, Refusal::InvalidGroupId),
        (Join { session_timeout_ms: 5_999, ..newcomer(9) }, Refusal::InvalidSessionTimeout),
        (Join { session_timeout_ms: 1_800_001, ..newcomer(9) }, Refusal::InvalidSessionTimeout),
        (Join { group: "new".into(), protocols: Vec::new(), ..newcomer(9) }, Refusal::InconsistentProtocol),
        (Join { group: "new".into(), protocol_type: "".into(), ..newcomer(9) }, Refusal::InconsistentProtocol),
        (Join { protocols: speaks("sticky"), ..newcomer(9) }, Refusal::InconsistentProtocol),
        (Join { protocol_type: "connect".into(), ..newcomer(9) }, Refusal::InconsistentProtocol),
        (Join { group: "nobody".into(), ..again(&dynamic) }, Refusal::UnknownMember),
        (again(&"nobody".into()), Refusal::UnknownMember),
        (Join { instance: Some("other".into()), ..again(&dynamic) }, Refusal::UnknownMember),
        (Join { instance: Some("i".into()), ..again(&dynamic) }, Refusal::FencedInstance),
        (Join { group: "x".repeat(40_000).into(), ..newcomer(9) }, Refusal::InvalidRequest),
    ];
    for (join, expected) in cases {
        assert_eq!(join_refused(&mut bench, join.clone()), expected, "{join:?}");
    }
    assert_eq!(phase(&mut bench), Some(Phase::Stable), "no refusal moves the group");
}

#[test]
fn a_dynamic_member_is_first_told_its_id() {
    let mut bench = bench();
    let first = Join { needs_known_id: true, ..newcomer(7) };
    let ticket = bench.ask(Command::Join(first));
    let refused = refused_join(&mut bench, ticket);
    assert_eq!(refused.why, Refusal::MemberIdRequired);
    let ticket = bench.ask(Command::Join(again(&refused.member)));
    bench.pass(3_000);
    assert_eq!(joined(&mut bench, ticket).member, refused.member);
}

#[test]
fn a_static_member_is_not_made_to_ask_twice() {
    let mut bench = bench();
    let ticket = bench.ask(Command::Join(Join { needs_known_id: true, ..statics("i", 1) }));
    bench.pass(3_000);
    assert!(joined(&mut bench, ticket).member.starts_with("i-"));
}

#[test]
fn an_unused_member_id_lapses_with_the_session_it_asked_for() {
    let mut bench = bench();
    let ticket = bench.ask(Command::Join(Join { needs_known_id: true, ..newcomer(7) }));
    let id = refused_join(&mut bench, ticket).member;
    bench.pass(10_000);
    assert_eq!(join_refused(&mut bench, again(&id)), Refusal::UnknownMember);
    assert_eq!(phase(&mut bench), None, "nothing remains of it");
}

#[test]
fn a_rebalance_waits_for_a_member_whose_id_is_not_used_yet() {
    let mut bench = bench();
    let members = stable(&mut bench, vec![newcomer(1)]);
    let second = bench.ask(Command::Join(Join { needs_known_id: true, ..newcomer(2) }));
    let second = refused_join(&mut bench, second).member;
    assert_eq!(phase(&mut bench), Some(Phase::Stable), "an id alone moves nothing");
    let first = bench.ask(Command::Join(again(&members[0].member)));
    assert!(bench.is_waiting(first), "the second is expected");
    bench.ask(Command::Join(again(&second)));
    assert_eq!(joined(&mut bench, first).members.len(), 2);
}

#[test]
fn a_static_member_that_comes_back_keeps_its_assignment_without_a_rebalance() {
    let mut bench = bench();
    let members = stable(&mut bench, vec![newcomer(1), statics("i", 2)]);
    let old = members[1].member.clone();
    let ticket = bench.ask(Command::Join(statics("i", 3)));
    let back = joined(&mut bench, ticket);
    assert_ne!(back.member, old);
    assert_eq!((back.generation, back.members.len(), &back.leader), (1, 0, &members[0].leader));
    let ticket = bench.ask(Command::Sync(sync_of(&back, &[])));
    assert_eq!(synced(&mut bench, ticket), Ok("a1".into()));
    assert_eq!(heartbeat(&mut bench, &old, 1), Err(Refusal::UnknownMember));
    let fenced = Heartbeat { group: "g".into(), generation: 1, member: old, instance: Some("i".into()) };
    assert_eq!(bench.call(Command::Heartbeat(fenced)), Reply::Heartbeat(Err(Refusal::FencedInstance)));
    bench.check_laws();
    bench.restart();
    assert_eq!(heartbeat(&mut bench, &back.member, 1), Ok(()), "the new id is in the log");
}

#[test]
fn a_static_leader_that_comes_back_may_keep_the_assignment_and_knows_everyone() {
    for may_skip in [true, false] {
        let mut bench = bench();
        let members = stable(&mut bench, vec![statics("i", 1), newcomer(2)]);
        let ticket = bench.ask(Command::Join(Join { may_skip_assignment: may_skip, ..statics("i", 3) }));
        let back = joined(&mut bench, ticket);
        assert_eq!((back.skip_assignment, back.members.len()), (may_skip, if may_skip { 2 } else { 0 }));
        // Who cannot skip is told its old name as leader's, so that it does not assign.
        assert_eq!(back.leader, if may_skip { back.member.clone() } else { members[0].member.clone() });
    }
}

#[test]
fn a_static_member_that_changes_the_protocol_causes_a_rebalance() {
    let mut bench = bench();
    let both = vec![("range".into(), Bytes::new()), ("sticky".into(), Bytes::new())];
    let swapped = vec![("sticky".into(), Bytes::new()), ("range".into(), Bytes::new())];
    stable(&mut bench, vec![Join { protocols: both, ..statics("i", 1) }]);
    let ticket = bench.ask(Command::Join(Join { protocols: swapped, ..statics("i", 2) }));
    let back = joined(&mut bench, ticket);
    assert_eq!((back.generation, back.protocol.as_deref()), (2, Some("sticky")));
}

#[test]
fn a_second_instance_fences_the_first_that_still_waits() {
    let mut bench = bench();
    let first = bench.ask(Command::Join(statics("i", 1)));
    let second = bench.ask(Command::Join(statics("i", 2)));
    assert_eq!(refused_join(&mut bench, first).why, Refusal::FencedInstance);
    bench.pass(3_000);
    assert_eq!(joined(&mut bench, second).members.len(), 1);
}

#[test]
fn a_static_member_that_comes_back_while_the_leader_assigns_starts_over() {
    let mut bench = bench();
    let first = bench.ask(Command::Join(newcomer(1)));
    let second = bench.ask(Command::Join(statics("i", 2)));
    bench.pass(6_000);
    let (first, second) = (joined(&mut bench, first), joined(&mut bench, second));
    let waiting = bench.ask(Command::Sync(sync_of(&second, &[])));
    let back = bench.ask(Command::Join(statics("i", 3)));
    assert_eq!(synced(&mut bench, waiting), Err(Refusal::FencedInstance));
    assert_eq!(phase(&mut bench), Some(Phase::Preparing));
    let first = bench.ask(Command::Join(again(&first.member)));
    let members = [joined(&mut bench, first), joined(&mut bench, back)];
    settle(&mut bench, &members);
}

#[test]
fn a_static_member_survives_a_rebalance_it_does_not_come_to() {
    let mut bench = bench();
    let join = |fresh| Join { session_timeout_ms: 1_800_000, ..statics("i", fresh) };
    let members = stable(&mut bench, vec![newcomer(1), join(2)]);
    let first = bench.ask(Command::Join(again(&members[0].member)));
    bench.pass(60_000);
    assert_eq!(joined(&mut bench, first).members.len(), 2, "it is still assigned to");
}

#[test]
fn who_does_not_sync_is_removed_after_the_rebalance_timeout() {
    let mut bench = bench();
    let first = bench.ask(Command::Join(newcomer(1)));
    let second = bench.ask(Command::Join(newcomer(2)));
    bench.pass(6_000);
    let (first, second) = (joined(&mut bench, first), joined(&mut bench, second));
    let waiting = bench.ask(Command::Sync(sync_of(&second, &[])));
    for _ in 0..12 {
        bench.pass(5_000);
        let _ = heartbeat(&mut bench, &first.member, 1);
    }
    assert_eq!(synced(&mut bench, waiting), Err(Refusal::RebalanceInProgress));
    assert_eq!(heartbeat(&mut bench, &first.member, 1), Err(Refusal::UnknownMember));
    let ticket = bench.ask(Command::Join(again(&second.member)));
    assert_eq!(joined(&mut bench, ticket).leader, second.member);
}

#[test]
fn syncs_are_refused_with_the_reason() {
    let mut bench = bench();
    let members = stable(&mut bench, vec![statics("i", 1)]);
    let sync = sync_of(&members[0], &[]);
    let other = || Some(Name::from("other"));
    let cases = [
        (Sync { group: "".into(), ..sync.clone() }, Refusal::InvalidGroupId),
        (Sync { group: "nobody".into(), ..sync.clone() }, Refusal::UnknownMember),
        (Sync { member: "nobody".into(), ..sync.clone() }, Refusal::UnknownMember),
        (Sync { generation: 7, ..sync.clone() }, Refusal::IllegalGeneration),
        (Sync { protocol_type: other(), ..sync.clone() }, Refusal::InconsistentProtocol),
        (Sync { protocol: other(), ..sync.clone() }, Refusal::InconsistentProtocol),
        (Sync { member: "old".into(), instance: Some("i".into()), ..sync.clone() }, Refusal::FencedInstance),
    ];
    for (sync, expected) in cases {
        let ticket = bench.ask(Command::Sync(sync));
        assert_eq!(synced(&mut bench, ticket), Err(expected));
    }
}

#[test]
fn a_member_that_the_leader_forgot_gets_an_empty_assignment() {
    let mut bench = bench();
    let first = bench.ask(Command::Join(newcomer(1)));
    let second = bench.ask(Command::Join(newcomer(2)));
    bench.pass(6_000);
    let (first, second) = (joined(&mut bench, first), joined(&mut bench, second));
    let waiting = bench.ask(Command::Sync(sync_of(&second, &[(&second.member, "not mine to give")])));
    let leader = bench.ask(Command::Sync(sync_of(&first, &[(&first.member, "all")])));
    assert_eq!(synced(&mut bench, leader), Ok("all".into()));
    assert_eq!(synced(&mut bench, waiting), Ok("".into()));
}

#[test]
fn any_bytes_go_through_as_an_assignment() {
    let mut bench = bench();
    let ticket = bench.ask(Command::Join(newcomer(1)));
    bench.pass(3_000);
    let member = joined(&mut bench, ticket);
    let bytes: Bytes = (0..=255).cycle().take(70_000).collect::<Vec<u8>>().into();
    let assignments = vec![(member.member.clone(), bytes.clone())];
    let ticket = bench.ask(Command::Sync(Sync { assignments, ..sync_of(&member, &[]) }));
    let Some(Reply::Sync(Ok(synced))) = bench.answer(ticket) else { panic!("not synced") };
    assert_eq!((synced.assignment, synced.protocol.as_deref()), (bytes, Some("range")));
    bench.check_laws();
}

#[test]
fn an_assignment_too_large_for_a_record_is_refused_and_asked_for_again() {
    let mut bench = bench();
    bench.call(Command::Configure(Settings { group_limit_bytes: 100, ..Settings::default() }));
    let ticket = bench.ask(Command::Join(newcomer(1)));
    bench.pass(3_000);
    let member = joined(&mut bench, ticket);
    let ticket = bench.ask(Command::Sync(sync_of(&member, &[(&member.member, &"x".repeat(200))])));
    assert_eq!(synced(&mut bench, ticket), Err(Refusal::AssignmentTooLarge));
    assert_eq!(phase(&mut bench), Some(Phase::Preparing));
}

#[test]
fn a_follower_that_joins_again_unchanged_is_answered_at_once() {
    let mut bench = bench();
    let members = stable(&mut bench, vec![newcomer(1), newcomer(2)]);
    let ticket = bench.ask(Command::Join(again(&members[1].member)));
    assert_eq!(joined(&mut bench, ticket), members[1]);
    assert_eq!(phase(&mut bench), Some(Phase::Stable));
}

#[test]
fn a_follower_with_new_metadata_and_a_leader_with_none_cause_a_rebalance() {
    let changed = vec![("range".into(), subscription(&["t", "u"]))];
    for (who, protocols) in [(1, changed), (0, newcomer(0).protocols)] {
        let mut bench = bench();
        let members = stable(&mut bench, vec![newcomer(1), newcomer(2)]);
        bench.ask(Command::Join(Join { protocols, ..again(&members[who].member) }));
        assert_eq!(phase(&mut bench), Some(Phase::Preparing));
    }
}

#[test]
fn a_join_whose_answer_was_lost_is_answered_again() {
    let mut bench = bench();
    let ticket = bench.ask(Command::Join(newcomer(1)));
    bench.pass(3_000);
    let first = joined(&mut bench, ticket);
    let ticket = bench.ask(Command::Join(again(&first.member)));
    assert_eq!(joined(&mut bench, ticket), first);
}

#[test]
fn a_member_that_asks_twice_is_answered_twice() {
    let mut bench = bench();
    let members = stable(&mut bench, vec![newcomer(1), newcomer(2)]);
    let first = bench.ask(Command::Join(again(&members[0].member)));
    let second = bench.ask(Command::Join(again(&members[0].member)));
    assert_eq!(refused_join(&mut bench, first).why, Refusal::RebalanceInProgress);
    assert!(bench.is_waiting(second));
}

#[test]
fn the_protocol_with_the_most_votes_among_the_common_ones_wins() {
    let mut bench = bench();
    let speaks = |names: &[&str]| names.iter().map(|n| (Name::from(*n), Bytes::new())).collect::<Vec<_>>();
    let joins = [(1, &["a", "b", "c"][..]), (2, &["c", "b"]), (3, &["b", "c"]), (4, &["x", "c", "b"])];
    let joins = joins.map(|(fresh, names)| Join { protocols: speaks(names), ..newcomer(fresh) });
    let members = stable(&mut bench, joins.into());
    // Common are b and c; the votes are b, c, b, c: a tie, which goes to the first by name.
    assert!(members.iter().all(|m| m.protocol.as_deref() == Some("b")));
}

#[test]
fn the_last_member_that_leaves_leaves_an_empty_group() {
    let mut bench = bench();
    let members = stable(&mut bench, vec![newcomer(1), newcomer(2)]);
    assert_eq!(leave(&mut bench, &[(&members[0].member, None)]), [Ok(())]);
    assert_eq!(phase(&mut bench), Some(Phase::Preparing));
    assert_eq!(leave(&mut bench, &[(&members[1].member, None)]), [Ok(())]);
    assert_eq!(phase(&mut bench), Some(Phase::Empty));
    let meta = bench.state.groups["g"].meta.clone().expect("the group is remembered");
    assert_eq!((meta.generation, &meta.protocol, &meta.leader, meta.members.len()), (2, &None, &None, 0));
    bench.check_laws();
}

#[test]
fn members_leave_by_id_or_instance_each_with_its_own_result() {
    let mut bench = bench();
    let members = stable(&mut bench, vec![statics("i", 1), statics("j", 2), newcomer(3)]);
    let results = leave(
        &mut bench,
        &[
            ("", Some("i")),
            ("", Some("i")),
            ("", None),
            ("nobody", None),
            (&members[2].member, Some("j")),
            (&members[1].member, Some("j")),
        ],
    );
    let unknown = Err(Refusal::UnknownMember);
    assert_eq!(results, [Ok(()), unknown, unknown, unknown, Err(Refusal::FencedInstance), Ok(())]);
    let unknown_group = Leave { group: "nobody".into(), members: vec![("m".into(), None)] };
    assert_eq!(bench.call(Command::Leave(unknown_group)), Reply::Leave(Ok(vec![Err(Refusal::UnknownMember)])));
}

#[test]
fn who_leaves_while_it_waits_is_answered() {
    let mut bench = bench();
    let members = stable(&mut bench, vec![newcomer(1), newcomer(2)]);
    let waiting = bench.ask(Command::Join(again(&members[0].member)));
    assert_eq!(leave(&mut bench, &[(&members[0].member, None)]), [Ok(())]);
    assert_eq!(refused_join(&mut bench, waiting).why, Refusal::UnknownMember);
}

#[test]
fn a_full_group_takes_nobody_more() {
    let mut bench = bench();
    bench.call(Command::Configure(Settings { max_size: 2, ..Settings::default() }));
    let members = stable(&mut bench, vec![newcomer(1), newcomer(2)]);
    assert_eq!(join_refused(&mut bench, newcomer(3)), Refusal::GroupFull);
    let ticket = bench.ask(Command::Join(again(&members[1].member)));
    assert_eq!(joined(&mut bench, ticket).generation, 1, "who is in may stay");
}

#[test]
fn a_restart_that_finds_too_many_members_turns_the_last_away() {
    let mut bench = bench();
    let members = stable(&mut bench, vec![newcomer(1), newcomer(2), newcomer(3)]);
    bench.restart();
    bench.call(Command::Configure(Settings { max_size: 2, ..Settings::default() }));
    assert_eq!(phase(&mut bench), Some(Phase::Preparing));
    bench.ask(Command::Join(again(&members[0].member)));
    bench.ask(Command::Join(again(&members[1].member)));
    assert_eq!(join_refused(&mut bench, again(&members[2].member)), Refusal::GroupFull);
}

#[test]
fn a_new_member_whose_client_gave_up_is_cleared_away() {
    let mut bench = bench();
    let join = |fresh| Join { rebalance_timeout_ms: 3_600_000, ..newcomer(fresh) };
    let members = stable(&mut bench, vec![join(1)]);
    let ticket = bench.ask(Command::Join(join(2)));
    for _ in 0..60 {
        bench.pass(5_000);
        let _ = heartbeat(&mut bench, &members[0].member, 1);
    }
    assert_eq!(refused_join(&mut bench, ticket).why, Refusal::UnknownMember);
}

#[test]
fn a_restart_gives_members_a_fresh_session_and_forgets_what_waited() {
    let mut bench = bench();
    let members = stable(&mut bench, vec![newcomer(1), newcomer(2)]);
    bench.ask(Command::Join(newcomer(3)));
    bench.pass(9_000);
    bench.restart();
    assert_eq!(phase(&mut bench), Some(Phase::Stable), "the log knows the stable generation only");
    bench.pass(9_999);
    for member in &members {
        assert_eq!(heartbeat(&mut bench, &member.member, 1), Ok(()));
    }
    bench.pass(10_000);
    assert_eq!(phase(&mut bench), Some(Phase::Empty));
}

#[test]
fn a_generation_never_comes_twice_even_across_an_empty_group_and_a_restart() {
    let mut bench = bench();
    let members = stable(&mut bench, vec![newcomer(1)]);
    leave(&mut bench, &[(&members[0].member, None)]);
    bench.restart();
    let members = stable(&mut bench, vec![newcomer(2)]);
    assert_eq!(members[0].generation, 3);
}

#[test]
fn groups_are_described_and_listed_in_every_phase() {
    let mut bench = bench();
    let first = bench.ask(Command::Join(newcomer(1)));
    assert_eq!(phase(&mut bench), Some(Phase::Preparing));
    bench.pass(3_000);
    let first = joined(&mut bench, first);
    assert_eq!(phase(&mut bench), Some(Phase::Completing));
    settle(&mut bench, std::slice::from_ref(&first));
    let Reply::Describe(groups) = bench.call(Command::Describe(vec!["g".into(), "nobody".into()])) else { panic!() };
    let [Ok(group), Err(Missing::NoGroup)] = &groups[..] else { panic!("{groups:?}") };
    assert_eq!((group.protocol.as_deref(), group.protocol_type.as_deref()), (Some("range"), Some("consumer")));
    let member = &group.members[0];
    assert_eq!((&*member.client_id, &*member.client_host), ("app", "/127.0.0.1"));
    assert_eq!((&member.metadata, &member.assignment[..]), (&subscription(&["t"]), &b"a0"[..]));
    let listed =
        Listed { group: "g".into(), phase: Phase::Stable, protocol_type: Some("consumer".into()), consumer: None };
    assert_eq!(bench.call(Command::List), Reply::List(vec![listed]));
}
