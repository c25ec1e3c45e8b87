//! What a consumer hears, request by request.

use super::*;
use crate::ids::Offset;

const AN_HOUR_MS: i64 = 3_600_000;

fn sessions(slots: usize) -> Sessions {
    Sessions::new(slots, 120_000)
}

fn place(partition: i32) -> Place {
    Place { topic: Topic::Name("t".into()), partition }
}

fn want(offset: i64) -> Want {
    Want { offset, max_bytes: 1000, leader_epoch: -1, last_epoch: -1 }
}

fn wants(partitions: std::ops::Range<i32>) -> Vec<(Place, Want)> {
    partitions.map(|p| (place(p), want(0))).collect()
}

fn bounds(end: u64) -> Bounds {
    Bounds { start: Offset(0), committed: Offset(end), end: Offset(end) }
}

/// Opens a session of partitions 0..n that were all told "empty".
fn open(sessions: &mut Sessions, now: i64, n: i32) -> i32 {
    let parts = wants(0..n).into_iter().map(|(p, w)| (p, w, Said::Bounds(bounds(0)))).collect();
    sessions.open(Timestamp(now), 42 + now as u64, false, parts)
}

fn incremental(sessions: &mut Sessions, id: i32, epoch: i32) -> Vec<i32> {
    match sessions.turn(Timestamp(1), id, epoch, false, &[], &[]) {
        Ok(Turn::Incremental { wants, .. }) => wants.iter().map(|(p, _)| p.partition).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn epochs_say_what_a_request_is() {
    let mut s = sessions(10);
    let id = open(&mut s, 0, 2);
    assert_eq!(s.turn(Timestamp(0), 0, FINAL_EPOCH, false, &wants(0..1), &[]), Ok(Turn::Sessionless));
    assert_eq!(s.turn(Timestamp(0), 0, INITIAL_EPOCH, false, &wants(0..1), &[]), Ok(Turn::Full));
    assert_eq!(s.turn(Timestamp(0), id + 1, 1, false, &[], &[]), Err(Code::FetchSessionIdNotFound));
    assert_eq!(s.turn(Timestamp(0), 0, 1, false, &[], &[]), Err(Code::FetchSessionIdNotFound));
    assert_eq!(s.turn(Timestamp(0), id, 2, false, &[], &[]), Err(Code::InvalidFetchSessionEpoch));
    assert_eq!(s.turn(Timestamp(0), id, 1, true, &[], &[]), Err(Code::FetchSessionTopicIdError));
    assert_eq!(incremental(&mut s, id, 1), [0, 1]);
    assert_eq!(s.turn(Timestamp(0), id, 1, false, &[], &[]), Err(Code::InvalidFetchSessionEpoch));
    assert_eq!(incremental(&mut s, id, 2), [0, 1]);
}

#[test]
fn naming_a_session_with_the_final_or_initial_epoch_closes_it() {
    for epoch in [FINAL_EPOCH, INITIAL_EPOCH] {
        let mut s = sessions(10);
        let id = open(&mut s, 0, 1);
        s.turn(Timestamp(0), id, epoch, false, &wants(0..1), &[]).expect("accepted");
        assert_eq!(s.turn(Timestamp(0), id, 1, false, &[], &[]), Err(Code::FetchSessionIdNotFound));
        assert_eq!(s.counts().0, 0);
    }
}

#[test]
fn an_incremental_request_adds_changes_and_forgets() {
    let mut s = sessions(10);
    let id = open(&mut s, 0, 3);
    let change = [(place(1), want(77)), (place(9), want(5))];
    let Ok(Turn::Incremental { wants, .. }) = s.turn(Timestamp(0), id, 1, false, &change, &[place(0)]) else {
        panic!("incremental")
    };
    assert_eq!(wants, [(place(1), want(77)), (place(2), want(0)), (place(9), want(5))]);
}

#[test]
fn a_session_that_forgets_everything_is_closed() {
    let mut s = sessions(10);
    let id = open(&mut s, 0, 1);
    assert_eq!(s.turn(Timestamp(0), id, 1, false, &[], &[place(0)]), Ok(Turn::Sessionless));
    assert_eq!(s.counts().0, 0);
}

#[test]
fn only_news_is_answered() {
    let mut s = sessions(10);
    let id = open(&mut s, 0, 1);
    let moved = Bounds { start: Offset(3), ..bounds(7) };
    let committed = Bounds { committed: Offset(5), ..bounds(7) };
    for (said, news) in [
        (Said::Bounds(bounds(0)), false),
        (Said::Bounds(bounds(7)), true),
        (Said::Bounds(bounds(7)), false),
        (Said::Bounds(committed), true),
        (Said::Bounds(moved), true),
        (Said::Records(moved), true),
        (Said::Records(moved), true),
        (Said::Bounds(moved), false),
        (Said::Error, true),
        (Said::Error, true),
        (Said::Bounds(moved), true),
        (Said::Bounds(moved), false),
    ] {
        assert_eq!(s.tell(id, &[(place(0), said)]), [news], "{said:?}");
    }
}

#[test]
fn a_partition_that_is_new_to_the_session_is_always_answered() {
    let mut s = sessions(10);
    let id = open(&mut s, 0, 1);
    s.turn(Timestamp(0), id, 1, false, &[(place(5), want(0))], &[]).expect("accepted");
    assert_eq!(s.tell(id, &[(place(0), Said::Bounds(bounds(0))), (place(5), Said::Bounds(bounds(0)))]), [false, true]);
}

#[test]
fn whoever_got_records_waits_behind_the_others() {
    let mut s = sessions(10);
    let id = open(&mut s, 0, 3);
    s.tell(id, &[(place(0), Said::Records(bounds(1)))]);
    assert_eq!(incremental(&mut s, id, 1), [1, 2, 0]);
    s.tell(id, &[(place(1), Said::Records(bounds(1))), (place(2), Said::Bounds(bounds(1)))]);
    assert_eq!(incremental(&mut s, id, 2), [2, 0, 1]);
}

#[test]
fn answers_to_a_session_that_is_gone_are_complete() {
    let mut s = sessions(10);
    assert_eq!(s.tell(5, &[(place(0), Said::Bounds(bounds(0)))]), [true]);
}

#[test]
fn epochs_wrap_to_one() {
    assert_eq!([next_epoch(0), next_epoch(1), next_epoch(i32::MAX)], [1, 2, 1]);
}

#[test]
fn the_1001st_consumer_gets_no_session_and_all_others_keep_theirs() {
    let mut s = sessions(1000);
    let ids: BTreeSet<i32> = (0..1000).map(|n| open(&mut s, n % 7, 1)).collect();
    assert_eq!(ids.len(), 1000);
    assert!(!ids.contains(&NO_SESSION));
    assert_eq!(open(&mut s, 10, 5), NO_SESSION);
    assert_eq!(s.counts(), (1000, 1000, 0));
}

#[test]
fn slots_are_taken_from_the_unused_and_from_the_smaller() {
    for (case, at, size, evicted) in [
        ("young sessions keep their slots", 60_000, 9, false),
        ("an unused one gives way to anyone", AN_HOUR_MS, 1, true),
    ] {
        let mut s = sessions(2);
        open(&mut s, 0, 3);
        open(&mut s, 0, 3);
        assert_eq!(open(&mut s, at, size) != NO_SESSION, evicted, "{case}");
    }
    let mut s = sessions(1);
    let id = open(&mut s, 0, 3);
    s.turn(Timestamp(AN_HOUR_MS), id, 1, false, &[], &[]).expect("used just now");
    assert_eq!(open(&mut s, AN_HOUR_MS + 1, 3), NO_SESSION, "not for one of the same size");
    assert_ne!(open(&mut s, AN_HOUR_MS + 1, 4), NO_SESSION, "for a larger one");
    assert_eq!(s.counts(), (1, 2, 1));
}

#[test]
fn a_request_without_partitions_opens_nothing() {
    assert_eq!(sessions(5).open(Timestamp(0), 1, false, vec![]), NO_SESSION);
}

#[test]
fn a_topic_keeps_its_name_as_long_as_the_session_asks_for_it() {
    let mut s = sessions(5);
    let topic = StreamId(7);
    let place = |partition| Place { topic: Topic::Id(topic), partition };
    let parts = [0, 1].map(|p| (place(p), want(0), Said::Bounds(bounds(0))));
    let id = s.open(Timestamp(0), 1, true, parts.into());
    s.learn(id, &[(topic, "t".into())]);
    assert_eq!(s.name(id, topic).as_deref(), Some("t"));
    s.turn(Timestamp(0), id, 1, true, &[], &[place(0)]).expect("accepted");
    assert_eq!(s.name(id, topic).as_deref(), Some("t"));
    s.turn(Timestamp(0), id, 2, true, &[(Place { topic: Topic::Id(StreamId(8)), partition: 0 }, want(0))], &[place(1)])
        .expect("accepted");
    assert_eq!(s.name(id, topic), None);
}
