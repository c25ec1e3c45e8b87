//! Groups that have figures of their own, set while they live.

use super::*;

const T: &[(&str, u128, i32)] = &[("t", 1, 4)];

fn own(bench: &mut Bench, of_g: OwnOfGroup, assignment_interval_ms: Option<i32>) {
    let own = Own { assignment_interval_ms, groups: [("g".into(), of_g)].into() };
    assert_eq!(bench.call(Command::Own(Arc::new(own))), Reply::Done);
}

#[test]
fn a_member_hears_and_is_judged_by_its_groups_figures() {
    let mut bench = bench(T);
    let joined = beat(&mut bench, joining("a", &["t"])).expect("joined");
    assert_eq!(joined.interval_ms, 5_000);
    let mine =
        OwnOfGroup { session_timeout_ms: Some(60_000), heartbeat_interval_ms: Some(7_000), ..Default::default() };
    own(&mut bench, mine, None);
    assert_eq!(beat(&mut bench, again("a", 1, None)).expect("heard").interval_ms, 7_000);
    bench.pass(59_000);
    assert!(beat(&mut bench, again("a", 1, None)).is_ok(), "silent for less than its own time");
    let other = Beat { group: "other".into(), ..joining("b", &["t"]) };
    assert_eq!(beat(&mut bench, other).expect("joined").interval_ms, 5_000);
    own(&mut bench, OwnOfGroup::default(), None);
    assert!(beat(&mut bench, again("a", 1, None)).is_ok());
    bench.pass(45_000);
    assert_eq!(beat(&mut bench, again("a", 1, None)), Err(Refusal::UnknownMember));
}

/// The broker's bounds may have changed since.
#[test]
fn what_is_out_of_bounds_is_brought_back() {
    let settings = Settings::default();
    for (session, interval, want) in [(1, 1, (45_000, 5_000)), (100_000, 100_000, (60_000, 15_000))] {
        let mine = OwnOfGroup {
            session_timeout_ms: Some(session),
            heartbeat_interval_ms: Some(interval),
            ..OwnOfGroup::default()
        };
        let own = Own { assignment_interval_ms: None, groups: [("g".into(), mine)].into() };
        let over = own.over(&"g".into(), &settings).expect("its own");
        assert_eq!((over.session_timeout_ms, over.heartbeat_interval_ms), want);
        assert_eq!(own.over(&"other".into(), &settings), None);
    }
}

/// Whoever joins meanwhile is in and has nothing yet; then all that has changed is one assignment.
#[test]
fn assignments_keep_their_least_time() {
    let at_least = |ms| OwnOfGroup { assignment_interval_ms: Some(ms), ..OwnOfGroup::default() };
    for (mine, all) in [(at_least(2_000), None), (OwnOfGroup::default(), Some(2_000)), (at_least(2_000), Some(9_000))] {
        let mut bench = bench(T);
        own(&mut bench, mine, all);
        let first = beat(&mut bench, joining("a", &["t"])).expect("joined");
        assert_eq!(
            (first.epoch, first.assignment),
            (1, Some(assignment(&[(1, &[0, 1, 2, 3])]))),
            "the first waits for nobody"
        );
        for member in ["b", "c", "d"] {
            let joined = beat(&mut bench, joining(member, &["t"])).expect("joined");
            assert_eq!((joined.epoch, joined.assignment), (1, Some(Assignment::new())), "{member}");
        }
        bench.pass(1_999);
        assert_eq!(describe(&mut bench).map(|group| (group.epoch, group.target_epoch)), Some((4, 1)));
        bench.pass(1);
        assert_eq!(
            describe(&mut bench).map(|group| (group.epoch, group.target_epoch)),
            Some((4, 4)),
            "one for all three"
        );
        let told = beat(&mut bench, again("a", 1, Some(&[(1, &[0, 1, 2, 3])]))).expect("heard");
        assert_eq!(told.assignment.map(|given| given[&1].len()), Some(1));
        check(&bench);
    }
}
