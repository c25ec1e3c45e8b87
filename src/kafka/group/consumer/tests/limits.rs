//! What a member may say about itself, how much of it a group keeps, and what expressions may be.

use super::*;
use crate::kafka::group::consumer::assign::{REGEXES_LIMIT, compile};

fn limited(limit_bytes: usize) -> Bench {
    let mut bench = bench(T);
    let consumer = Settings { limit_bytes, ..Settings::default() };
    bench.call(Command::Configure(crate::kafka::group::Settings { consumer, ..Default::default() }));
    bench
}

/// A member that subscribes to a topic with a name of so many bytes.
fn wordy(member: &str, bytes: usize) -> Beat {
    Beat { topics: Some(vec!["x".repeat(bytes).into()]), ..joining(member, &[]) }
}

#[test]
fn a_member_that_says_too_much_is_refused_and_one_too_many_finds_the_group_full() {
    let mut bench = limited(1000);
    assert_eq!(beat(&mut bench, wordy("a", 1000)), Err(Refusal::InvalidRequest));
    assert!(bench.log.is_empty(), "a refusal writes nothing");
    beat(&mut bench, wordy("a", 400)).expect("joined");
    assert_eq!(beat(&mut bench, wordy("b", 500)), Err(Refusal::GroupFull));
    beat(&mut bench, wordy("b", 100)).expect("joined");
    let more = Beat { topics: Some(vec!["x".repeat(500).into()]), ..again("b", 2, None) };
    assert_eq!(beat(&mut bench, more), Err(Refusal::GroupFull), "a member cannot grow into it either");
    assert!(beat(&mut bench, again("b", 2, None)).is_ok(), "who says nothing new is heard");
    beat(&mut bench, again("a", -1, None)).expect("left");
    let more = Beat { topics: Some(vec!["x".repeat(500).into()]), ..again("b", 2, Some(&[])) };
    assert!(beat(&mut bench, more).is_ok(), "there is room again");
    check(&bench);
}

#[test]
fn the_keys_of_a_long_named_group_count_too() {
    let mut bench = limited(40_000);
    let join = |member: &str| Beat { group: "g".repeat(5_000).into(), ..joining(member, &["t"]) };
    beat(&mut bench, join("a")).expect("joined");
    assert_eq!(beat(&mut bench, join("b")), Err(Refusal::GroupFull));
}

#[test]
fn a_static_member_takes_the_room_of_the_one_it_replaces() {
    let mut bench = limited(1000);
    let statics = |id: &str| Beat { instance: Some("i".into()), ..wordy(id, 700) };
    beat(&mut bench, statics("a")).expect("joined");
    beat(&mut bench, Beat { instance: Some("i".into()), ..again("a", -2, None) }).expect("left");
    beat(&mut bench, statics("b")).expect("in its place");
    check(&bench);
}

#[test]
fn a_group_has_so_many_different_expressions_and_no_more() {
    let mut bench = bench(T);
    let join = |nth: usize, regex: usize| {
        let regex = Some(format!("t{regex}.*").into());
        Beat { regex, topics: None, ..joining(&format!("m{nth:03}"), &[]) }
    };
    for nth in 0..REGEXES_LIMIT {
        beat(&mut bench, join(nth, nth)).expect("joined");
    }
    assert_eq!(beat(&mut bench, join(900, 900)), Err(Refusal::GroupFull));
    assert!(beat(&mut bench, join(900, 3)).is_ok(), "one that is known costs nothing");
    check(&bench);
}

#[test]
fn expressions_mean_what_they_mean_to_re2() {
    let cases: &[(&str, &str, Option<bool>)] = &[
        ("a.*", "abc", Some(true)),
        ("b", "abc", Some(false)),
        ("(?i)ABC", "abc", Some(true)),
        (r"\w+-\d{2}", "orders-07", Some(true)),
        (r"\Qa.b\E.", "a.bc", Some(true)),
        (r"\Qa.b\E.", "axbc", Some(false)),
        (r"\Qa.b", "a.b", Some(true)),
        (r"a\\Q", r"a\Q", Some(true)),
        (r"[[:alpha:]]+", "abc", Some(true)),
        (r"\p{L}+", "abc", Some(true)),
        (r"a|b)(c", "ab", None),
        (r"(?=a)", "a", None),
        (r"(a)\1", "aa", None),
        (r"((a{100}){100}){100}", "a", None),
        (r"*", "a", None),
    ];
    for (regex, name, expected) in cases {
        assert_eq!(compile(regex).map(|regex| regex.is_match(name.as_bytes())), *expected, "{regex} {name}");
    }
    assert!(compile(&"(".repeat(1000)).is_none());
    assert!(compile(&format!("{}a{}", "(".repeat(1000), ")".repeat(1000))).is_none(), "nested too deeply");
}

#[test]
fn a_member_that_is_told_to_give_back_again_and_again_sets_one_alarm() {
    let mut bench = bench(T);
    let patient = |member: &str| Beat { rebalance_timeout_ms: Some(i32::MAX), ..joining(member, &["t"]) };
    beat(&mut bench, patient("a")).expect("joined");
    let mut owned: Vec<i32> = vec![0, 1, 2, 3];
    let mut epoch = 1;
    for _ in 0..50 {
        beat(&mut bench, patient("b")).expect("joined");
        let mut told = beat(&mut bench, again("a", epoch, Some(&[(1, &owned)]))).expect("told to give back");
        beat(&mut bench, again("b", -1, None)).expect("left");
        for _ in 0..3 {
            owned = told.assignment.take().map_or(owned, |given| given.into_values().flatten().collect());
            told = beat(&mut bench, again("a", told.epoch, Some(&[(1, &owned)]))).expect("heard");
        }
        owned = told.assignment.take().map_or(owned, |given| given.into_values().flatten().collect());
        epoch = told.epoch;
    }
    assert_eq!(owned, [0, 1, 2, 3]);
    // One for each session of `b`, one for the session of `a`, one for what it gives back, one for chores.
    assert!(bench.scratch.alarms.count() <= 54, "{} alarms", bench.scratch.alarms.count());
    bench.pass(44_000);
    assert!(beat(&mut bench, again("a", epoch, None)).is_ok());
}

#[test]
fn sessions_that_end_together_are_seen_to_in_pieces() {
    let mut bench = bench(T);
    for nth in 0..700 {
        let join = Beat { group: format!("g{nth}").into(), ..joining("a", &["t"]) };
        beat(&mut bench, join).expect("joined");
    }
    bench.pass(45_000);
    let is_empty = |group: &&crate::kafka::group::state::Group| group.consumer.as_ref().unwrap().members.is_empty();
    assert_eq!(bench.state.groups.values().filter(is_empty).count(), 700);
    check(&bench);
}
