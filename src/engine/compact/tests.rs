//! Compaction of logs in an engine on a simulated disk.

use std::collections::BTreeMap;

use super::*;
use crate::engine::tests::{group, new_stream, open, small};
use crate::engine::{Change, Fetch, Permit, Read, Until};
use crate::engine::{backup, check};
use crate::record::build::{Builder, NewRecord};
use crate::record::compress::Codec;
use crate::store::Disk;
use crate::store::memory::{MemDisk, When};

const COMPACT: &[(&str, &str)] =
    &[("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0.1"), ("delete.retention.ms", "1000")];

/// Segments of about ten records.
fn options() -> super::super::Options {
    super::super::Options { segment_limit_bytes: 2_000, ..small() }
}

async fn put(engine: &Engine, log: LogId, key: &str, value: Option<&str>) -> u64 {
    let mut builder = Builder::new(Codec::None);
    let (key, value) = (key.as_bytes(), value.map(|v| v.repeat(20)));
    let value = value.as_ref().map(|v| v.as_bytes());
    builder.push(&NewRecord { timestamp: Timestamp(1), key: Some(key), value, headers: &[] });
    engine.append(group(log, builder.finish()), Permit::default()).await.unwrap()[0].first.0
}

/// The log, all of it in segments.
async fn settled(engine: &Engine, log: LogId) {
    let end = engine.bounds(log).unwrap().end;
    while engine.logs.get(log).unwrap().view().settled < end {
        engine.inbox.put(News::Settle(log, end));
        engine.trim(log, Offset(0)).await.unwrap();
    }
}

/// Everything that is dirty is compacted.
async fn compacted(engine: &Arc<Engine>) {
    while let Some(work) = filthiest(engine, &BTreeSet::new()) {
        round(engine, work).await.unwrap();
    }
}

/// Every record: offset, key, value.
async fn records(engine: &Engine, log: LogId) -> Vec<(u64, String, Option<String>)> {
    let mut found = Vec::new();
    let mut from = engine.bounds(log).unwrap().start;
    loop {
        let read = Read { log, from, max_bytes: 700, until: Until::Committed };
        let fetch = Fetch { reads: vec![read], min_bytes: 0, max_bytes: 700, deadline: Timestamp(0) };
        let page = engine.fetch(fetch).await.remove(0).unwrap();
        if page.batches.is_empty() {
            return found;
        }
        for stored in page.batches {
            let batch = batch::check(stored.bytes).unwrap();
            let base = batch.header.base_offset as u64;
            assert!(Offset(base).plus(batch.header.offsets()) > from, "{base} at {from}");
            from = Offset(base).plus(batch.header.offsets());
            for record in crate::record::records::iterate(&batch, LIMITS).unwrap() {
                let record = record.unwrap();
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                let value = record.value.map(|v| text(&v[..v.len() / 20]));
                found.push((base + record.offset_delta as u64, text(&record.key.unwrap()), value));
            }
        }
    }
}

fn findings(disk: &MemDisk) -> Vec<check::Finding> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    check::check(&disk, &mut |_| ()).unwrap().findings
}

/// The newest of each key among what was put, and everything from `from` on.
fn newest(puts: &[(u64, String, Option<String>)], from: u64) -> Vec<(u64, String, Option<String>)> {
    let last: BTreeMap<&str, u64> = puts.iter().map(|(offset, key, _)| (key.as_str(), *offset)).collect();
    puts.iter().filter(|(offset, key, _)| *offset >= from || last[key.as_str()] == *offset).cloned().collect()
}

async fn puts(engine: &Engine, log: LogId, count: usize) -> Vec<(u64, String, Option<String>)> {
    let mut puts = Vec::new();
    for i in 0..count {
        let (key, value) = (format!("k{}", i * i % 23), (i % 5 != 4).then(|| format!("v{i:04}")));
        let offset = put(engine, log, &key, value.as_deref()).await;
        puts.push((offset, key, value));
    }
    puts
}

#[tokio::test]
async fn only_the_newest_of_each_key_is_left_also_after_a_restart() {
    let disk = MemDisk::faulty();
    let engine = open(&disk, options()).await;
    let log = new_stream(&engine, "s", 1, COMPACT).await.logs[0];
    let puts = puts(&engine, log, 200).await;
    settled(&engine, log).await;
    assert_eq!(records(&engine, log).await, puts);
    let bounds = engine.bounds(log).unwrap();
    compacted(&engine).await;
    let active = engine.logs.get(log).unwrap().view().extents.last().unwrap().settled.base.0;
    let expect = newest(&puts, active);
    assert!(expect.len() < 50 && active > 150, "{} left, active from {active}", expect.len());
    let left = records(&engine, log).await;
    // Keys of the newest segment make nobody go yet.
    assert_eq!(
        left,
        newest(&puts[..active as usize], active)
            .into_iter()
            .chain(puts[active as usize..].to_vec())
            .collect::<Vec<_>>()
    );
    assert_eq!(engine.bounds(log).unwrap(), bounds, "compaction moves neither start nor end");
    assert!(filthiest(&engine, &BTreeSet::new()).is_none(), "nothing is dirty any more");
    engine.close().await;
    assert_eq!(findings(&disk), []);
    let engine = open(&disk, options()).await;
    assert_eq!(records(&engine, log).await, left);
    assert_eq!(put(&engine, log, "k1", None).await, 200);
    engine.close().await;
}

#[tokio::test]
async fn compacted_segments_are_compacted_again_and_joined() {
    let disk = MemDisk::faulty();
    let engine = open(&disk, options()).await;
    let log = new_stream(&engine, "s", 1, COMPACT).await.logs[0];
    let mut all = vec![(put(&engine, log, "first", Some("v")).await, "first".to_owned(), Some("v".to_owned()))];
    for round in 1..6 {
        for mut put in puts(&engine, log, 100).await {
            put.0 = all.len() as u64;
            all.push(put);
        }
        settled(&engine, log).await;
        compacted(&engine).await;
        let view = engine.logs.get(log).unwrap();
        let extents: Vec<Settled> = view.view().extents.iter().map(|x| x.settled).collect();
        assert_eq!(extents[0].compacted, round, "{extents:?}");
        let active = extents.last().unwrap().base.0 as usize;
        let expect: Vec<_> = newest(&all[..active], active as u64).into_iter().chain(all[active..].to_vec()).collect();
        assert_eq!(records(&engine, log).await, expect, "round {round}");
        let files = || disk.list(&Segment::dir(log)).unwrap();
        // The settler removes them in its own time.
        for _ in 0..10_000 {
            if files().len() == 2 * extents.len() {
                break;
            }
            engine.trim(log, Offset(0)).await.unwrap();
        }
        assert_eq!(files().len(), 2 * extents.len(), "nothing else is left: {:?}", files());
    }
    engine.close().await;
    assert_eq!(findings(&disk), []);
}

#[tokio::test]
async fn tombstones_go_when_their_time_has_come() {
    let disk = MemDisk::faulty();
    let engine = open(&disk, options()).await;
    let log = new_stream(&engine, "s", 1, COMPACT).await.logs[0];
    put(&engine, log, "gone", Some("v")).await;
    put(&engine, log, "gone", None).await;
    let more = async || {
        puts(&engine, log, 40).await;
        settled(&engine, log).await;
        compacted(&engine).await;
        records(&engine, log).await.iter().filter(|(_, key, _)| key == "gone").count()
    };
    assert_eq!(more().await, 1, "who reads slowly must still hear of it");
    engine.clock().set(Timestamp(1_000_999));
    assert_eq!(more().await, 1);
    engine.clock().set(Timestamp(1_001_000));
    assert_eq!(more().await, 0);
    engine.close().await;
    assert_eq!(findings(&disk), []);
}

#[tokio::test]
async fn who_reads_what_is_replaced_reads_it_to_the_end() {
    let disk = MemDisk::faulty();
    let engine = open(&disk, options()).await;
    let log = new_stream(&engine, "s", 1, COMPACT).await.logs[0];
    puts(&engine, log, 100).await;
    settled(&engine, log).await;
    let reader = engine.logs.get(log).unwrap().view().extents[1].clone();
    compacted(&engine).await;
    let Extent { settled: reach, segment } = &reader;
    let range = engine.vault.read(segment, reach, reach.base, reach.end, 1 << 20).unwrap();
    assert_eq!(range.batches.len() as u64, reach.end.0 - reach.base.0);
    let file = Segment::file(log, reach.name(), "log");
    assert!(disk.open(&file, Open::Read).is_ok());
    drop(reader);
    engine.close().await;
    assert!(disk.open(&file, Open::Read).is_err(), "then its files go");
    assert_eq!(findings(&disk), []);
}

#[tokio::test]
async fn a_log_with_damage_in_it_is_left_alone() {
    let disk = MemDisk::faulty();
    let engine = open(&disk, options()).await;
    let log = new_stream(&engine, "s", 1, COMPACT).await.logs[0];
    puts(&engine, log, 100).await;
    settled(&engine, log).await;
    let extents: Vec<SegmentName> =
        engine.logs.get(log).unwrap().view().extents.iter().map(|x| x.settled.name()).collect();
    disk.flip(&Segment::file(log, extents[2], "log"), 900).unwrap();
    let work = filthiest(&engine, &BTreeSet::new()).unwrap();
    assert!(matches!(round(&engine, work).await, Err(Stop::Damaged(_))));
    let after: Vec<SegmentName> =
        engine.logs.get(log).unwrap().view().extents.iter().map(|x| x.settled.name()).collect();
    assert_eq!(after, extents, "all of it stays as it is");
    assert!(filthiest(&engine, &BTreeSet::from([log])).is_none());
    assert_eq!(disk.list(&Segment::dir(log)).unwrap().len(), 2 * extents.len());
    engine.close().await;
}

#[tokio::test]
async fn a_full_disk_puts_compaction_off() {
    let disk = MemDisk::faulty();
    let engine = open(&disk, options()).await;
    let log = new_stream(&engine, "s", 1, COMPACT).await.logs[0];
    // Something of the first segment stays, so that there is something to write.
    put(&engine, log, "first", Some("v")).await;
    puts(&engine, log, 100).await;
    let before = records(&engine, log).await;
    settled(&engine, log).await;
    disk.set_capacity(Some(1 << 20));
    let used = (1 << 20) - disk.free_bytes().unwrap();
    disk.set_capacity(Some(used));
    let work = filthiest(&engine, &BTreeSet::new()).unwrap();
    let outcome = round(&engine, work).await;
    assert!(matches!(outcome, Err(Stop::Later(_))), "{outcome:?}, {used} used");
    assert_eq!(records(&engine, log).await, before);
    disk.set_capacity(None);
    compacted(&engine).await;
    assert!(records(&engine, log).await.len() < 50);
    engine.close().await;
    assert_eq!(findings(&disk), []);
}

#[tokio::test]
async fn what_is_given_up_meanwhile_stays_given_up() {
    let disk = MemDisk::faulty();
    let engine = open(&disk, options()).await;
    let stream = new_stream(&engine, "s", 1, COMPACT).await;
    let log = stream.logs[0];
    puts(&engine, log, 100).await;
    settled(&engine, log).await;
    for below in [15, 100] {
        puts(&engine, log, 30).await;
        settled(&engine, log).await;
        let work = filthiest(&engine, &BTreeSet::new()).unwrap();
        engine.trim(log, Offset(below)).await.unwrap();
        round(&engine, work).await.unwrap();
        let left = records(&engine, log).await;
        assert!(left.iter().all(|(offset, ..)| *offset >= below || below == 15 && *offset < 20), "{left:?}");
        assert_eq!(engine.bounds(log).unwrap().start, Offset(below));
    }
    puts(&engine, log, 30).await;
    settled(&engine, log).await;
    let work = filthiest(&engine, &BTreeSet::new()).unwrap();
    engine.change(vec![Change::Delete { id: stream.id }]).await.remove(0).unwrap();
    let _ = round(&engine, work).await;
    engine.close().await;
    assert_eq!(findings(&disk), []);
    let engine = open(&disk, options()).await;
    assert!(!disk.list("logs").unwrap().contains(&log.to_string()), "nothing of it is left");
    engine.close().await;
}

#[tokio::test]
async fn a_backup_follows_compaction_and_can_be_restored() {
    let (disk, target) = (MemDisk::new(), MemDisk::new());
    let engine = open(&disk, options()).await;
    let log = new_stream(&engine, "s", 1, COMPACT).await.logs[0];
    for _ in 0..3 {
        puts(&engine, log, 70).await;
        settled(&engine, log).await;
        let (picture, hold) = engine.picture().await.unwrap();
        // What is compacted while a backup is copied keeps its old files until it is done.
        compacted(&engine).await;
        backup::copy(&picture, "c", 7, &disk, &target, &mut |_| (), &mut || true).unwrap();
        drop(hold);
    }
    let (picture, _hold) = engine.picture().await.unwrap();
    backup::copy(&picture, "c", 7, &disk, &target, &mut |_| (), &mut || true).unwrap();
    let left = records(&engine, log).await;
    engine.close().await;
    let restored = MemDisk::new();
    let into: Arc<dyn Disk> = Arc::new(restored.clone());
    backup::restore(&target, &into, &mut || 9, &mut |_| ()).unwrap();
    assert_eq!(findings(&restored), []);
    let engine = open(&restored, options()).await;
    assert_eq!(records(&engine, log).await, left);
    engine.close().await;
}

/// The power goes off at every call of the disk during a round: afterwards every key is found, everything that a reader
/// may have seen as newest is there, nothing is left over, and the next round finishes.
#[tokio::test]
async fn the_power_may_go_off_at_any_call_of_a_round() {
    let disk = MemDisk::faulty();
    let engine = open(&disk, options()).await;
    let log = new_stream(&engine, "s", 1, COMPACT).await.logs[0];
    let puts = puts(&engine, log, 60).await;
    settled(&engine, log).await;
    engine.close().await;
    drop(engine);
    let counting = disk.kill();
    let engine = open(&counting, options()).await;
    let opened = counting.calls();
    let active = engine.logs.get(log).unwrap().view().extents.last().unwrap().settled.base.0 as usize;
    compacted(&engine).await;
    engine.close().await;
    let expect: Vec<_> = newest(&puts[..active], active as u64).into_iter().chain(puts[active..].to_vec()).collect();
    let calls = counting.calls();
    assert!(calls > opened + 20, "{opened} to {calls}");
    for call in opened + 1..=calls {
        let cut = disk.kill();
        let engine = open(&cut, options()).await;
        cut.crash_at(call, if call % 2 == 0 { When::Before } else { When::After });
        while let Some(work) = filthiest(&engine, &BTreeSet::new()) {
            if round(&engine, work).await.is_err() || engine.failure().is_some() {
                break;
            }
        }
        engine.close().await;
        let after = cut.crash(call);
        let engine = open(&after, options()).await;
        let left = records(&engine, log).await;
        assert!(expect.iter().all(|record| left.contains(record)), "call {call}: {left:?}");
        assert!(left.iter().all(|record| puts.contains(record)), "call {call}: {left:?}");
        compacted(&engine).await;
        assert_eq!(records(&engine, log).await, expect, "call {call}");
        let extents = engine.logs.get(log).unwrap().view().extents.len();
        engine.close().await;
        assert_eq!(after.list(&Segment::dir(log)).unwrap().len(), 2 * extents, "call {call}");
        assert_eq!(findings(&after), [], "call {call}");
    }
}
