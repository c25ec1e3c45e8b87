//! The coordinator over a real engine on a disk in memory. The clock stands still: no wait here is a matter of time.

use std::sync::Arc;

use super::*;
use crate::chance::Chance;
use crate::clock::Clock;
use crate::engine::catalog::{Born, Change, Changed, Create, Kind};
use crate::engine::{Driver, Engine, Options};
use crate::kafka::error::Code;
use crate::kafka::group::coordinator::{Coordinator, STREAM};
use crate::store::memory::{MemDisk, When};

async fn open(disk: &MemDisk) -> (Arc<Engine>, Coordinator) {
    let clock = Clock::manual(START);
    let opened =
        Engine::open(Options::default(), Arc::new(disk.clone()), clock, Chance::seeded(7), Driver::Threads).await;
    let (engine, _) = opened.expect("opened");
    let settings = Settings { initial_rebalance_delay_ms: 0, ..Settings::default() };
    let coordinator = Coordinator::open(engine.clone(), settings).await.expect("the groups were opened");
    (engine, coordinator)
}

fn commit_of(member: &Joined, topic_id: u128, offset: i64) -> Commit {
    Commit {
        group: "g".into(),
        generation: member.generation,
        member: member.member.clone(),
        instance: None,
        knows_group_not_found: true,
        retention_ms: -1,
        offsets: vec![CommitOffset {
            topic: "t".into(),
            topic_id,
            partition: 0,
            offset,
            leader_epoch: 0,
            metadata: "".into(),
            time: -1,
        }],
    }
}

fn offset_of(told: &Told) -> Option<i64> {
    match told {
        Told::Offset(committed) => Some(committed.offset),
        _ => None,
    }
}

async fn committed(coordinator: &Coordinator) -> Vec<i64> {
    let fetch = Fetch { group: "g".into(), member: None, stable: false, topics: None };
    let fetched = coordinator.fetch(vec![fetch]).await.expect("fetched");
    fetched[0].iter().flatten().flat_map(|t| &t.partitions).filter_map(|(_, told)| offset_of(told)).collect()
}

#[tokio::test]
async fn a_group_and_its_offsets_survive_a_restart() {
    let disk = MemDisk::new();
    let (engine, groups) = open(&disk).await;
    let id = create(&engine).await;
    let joined = groups.join(newcomer(1)).await.expect("joined");
    let synced = groups.sync(sync_of(&joined, &[(&joined.member, "all")])).await.expect("synced");
    assert_eq!(&synced.assignment[..], b"all");
    let commit = groups.commit(commit_of(&joined, id, 42)).await.expect("handed over");
    assert_eq!(committed(&groups).await, [42], "what is asked after a commit sees it, answered or not");
    assert_eq!(commit.await, Ok(vec![Ok(())]));
    engine.close().await;

    let (engine, groups) = open(&disk).await;
    let beat = |generation| Heartbeat { group: "g".into(), generation, member: joined.member.clone(), instance: None };
    assert_eq!(groups.heartbeat(beat(1)).await, Ok(()));
    assert_eq!(groups.heartbeat(beat(2)).await, Err(Code::IllegalGeneration));
    assert_eq!(committed(&groups).await, [42]);
    let stream = engine.catalog().stream(STREAM).cloned().expect("made once");
    assert_eq!((stream.kind, stream.logs.len()), (Kind::Shown, 1));
    engine.close().await;
}

#[tokio::test]
async fn two_members_meet_in_one_generation() {
    let (engine, groups) = open(&MemDisk::new()).await;
    let first = groups.join(newcomer(1)).await.expect("joined");
    groups.sync(sync_of(&first, &[])).await.expect("synced");
    let (first, second) = tokio::join!(groups.join(again(&first.member)), groups.join(newcomer(2)));
    let (first, second) = (first.expect("joined"), second.expect("joined"));
    // Which of the two asked first decides whether both are in generation 2 or the leader alone, and then both in 3.
    assert!(first.generation >= 2 && second.generation >= first.generation);
    engine.close().await;
}

#[tokio::test]
async fn offsets_of_a_stream_deleted_before_a_restart_are_taken_away_after_it() {
    let disk = MemDisk::new();
    let (engine, groups) = open(&disk).await;
    let id = create(&engine).await;
    let joined = groups.join(newcomer(1)).await.expect("joined");
    groups.sync(sync_of(&joined, &[])).await.expect("synced");
    groups.commit(commit_of(&joined, id, 42)).await.expect("handed over").await.expect("committed");
    let deleted = engine.change(vec![Change::Delete { id: crate::ids::StreamId(id) }]).await;
    assert!(deleted[0].is_ok());
    engine.close().await;

    let (engine, groups) = open(&disk).await;
    while !committed(&groups).await.is_empty() {
        tokio::task::yield_now().await;
    }
    engine.close().await;
}

#[tokio::test]
async fn offsets_of_a_deleted_stream_go_at_once() {
    let (engine, groups) = open(&MemDisk::new()).await;
    let id = create(&engine).await;
    let joined = groups.join(newcomer(1)).await.expect("joined");
    groups.sync(sync_of(&joined, &[])).await.expect("synced");
    groups.commit(commit_of(&joined, id, 42)).await.expect("handed over").await.expect("committed");
    engine.change(vec![Change::Delete { id: crate::ids::StreamId(id) }]).await.remove(0).expect("deleted");
    // The clock stands still: whoever waited for a time would wait here for ever.
    while !committed(&groups).await.is_empty() {
        tokio::task::yield_now().await;
    }
    engine.close().await;
}

fn to_three(id: u128) -> Vec<Change> {
    vec![Change::Grow { id: crate::ids::StreamId(id), logs: 3 }]
}

#[tokio::test]
async fn logs_that_appear_are_read_from_their_start_by_every_group_of_the_stream() {
    let disk = MemDisk::new();
    let (engine, groups) = open(&disk).await;
    let id = create(&engine).await;
    let joined = groups.join(newcomer(1)).await.expect("joined");
    groups.sync(sync_of(&joined, &[])).await.expect("synced");
    engine.change(to_three(id)).await.remove(0).expect("grown");
    assert!(committed(&groups).await.is_empty(), "a group without offsets has none in the new logs either");
    groups.commit(commit_of(&joined, id, 42)).await.expect("handed over").await.expect("committed");
    let five = vec![Change::Grow { id: crate::ids::StreamId(id), logs: 5 }];
    engine.change(five).await.remove(0).expect("grown");
    assert_eq!(committed(&groups).await, [42, 0, 0]);
    assert!(engine.change(to_three(id)).await.remove(0).is_err(), "a refused growth writes nothing");
    engine.close().await;
    let (engine, groups) = open(&disk).await;
    assert_eq!(
        (committed(&groups).await, engine.catalog().stream("t").map(|t| t.logs.len())),
        (vec![42, 0, 0], Some(5))
    );
    engine.close().await;
}

#[tokio::test]
async fn a_growth_and_its_offsets_survive_a_crash_together_or_not_at_all() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..15 {
        let disk = MemDisk::faulty();
        let (engine, groups) = open(&disk).await;
        let id = create(&engine).await;
        let joined = groups.join(newcomer(1)).await.expect("joined");
        groups.sync(sync_of(&joined, &[])).await.expect("synced");
        groups.commit(commit_of(&joined, id, 42)).await.expect("handed over").await.expect("committed");
        let when = if seed % 2 == 0 { When::Before } else { When::After };
        disk.crash_at(disk.calls() + 1 + seed % 5, when);
        let grown = engine.change(to_three(id)).await.remove(0).is_ok();
        let (after, groups) = open(&disk.crash(seed)).await;
        let logs = after.catalog().stream("t").map_or(0, |t| t.logs.len());
        let offsets = committed(&groups).await;
        let want: &[i64] = if logs == 3 { &[42, 0, 0] } else { &[42] };
        assert_eq!(offsets, want, "seed {seed}: {logs} logs");
        assert!(logs == 3 || !grown, "seed {seed}: what was answered is there");
        seen.insert(logs);
        after.close().await;
        engine.close().await;
    }
    assert_eq!(Vec::from_iter(seen), [1, 3], "both ways were met");
}

#[tokio::test]
async fn who_waits_when_the_engine_stops_is_sent_to_look_for_the_coordinator() {
    let (engine, groups) = open(&MemDisk::new()).await;
    groups.configure(Settings::default()).await.expect("configured");
    let waiting = tokio::spawn({
        let groups = groups.clone();
        async move { groups.join(newcomer(1)).await }
    });
    while groups.list().await.expect("listed").is_empty() {
        tokio::task::yield_now().await;
    }
    engine.close().await;
    let refused = waiting.await.expect("answered").expect_err("refused");
    assert_eq!(refused, (Code::CoordinatorNotAvailable, "".into()));
}

async fn create(engine: &Engine) -> u128 {
    let create = Create {
        name: "t".into(),
        born: Born::Kafka,
        kind: Kind::Client,
        logs: 1,
        settings: Default::default(),
        placement: None,
        creating_ms: 0,
    };
    match engine.change(vec![Change::Create(create)]).await.remove(0) {
        Ok(Changed::Created(stream)) => stream.id.0,
        other => panic!("{other:?}"),
    }
}
