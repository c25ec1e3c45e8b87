//! The engine as a façade sees it, over a disk in memory.

mod transactions;
mod unreadable;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::catalog::{Born, Create, Kind, Stream};
use super::*;
use crate::record::build::{Builder, NewRecord, Producer};
use crate::record::compress::Codec;
use crate::record::{batch, records};
use crate::store::memory::MemDisk;

pub(super) async fn open(disk: &MemDisk, options: Options) -> Arc<Engine> {
    let clock = Clock::manual(Timestamp(1_000_000));
    Engine::open(options, Arc::new(disk.clone()), clock, Chance::seeded(7), Driver::Threads).await.unwrap().0
}

/// Small enough that a few records settle, roll journal files and evict.
pub(super) fn small() -> Options {
    Options {
        lane: lane::Limits {
            settle_bytes: 4_000,
            pack_bytes: 1_000,
            pack_logs: 1,
            unsettled_bytes: 40_000,
            journal_bytes: 40_000,
            tail_bytes: 10_000,
            producers: 50,
        },
        journal_file_bytes: 16_384,
        ..Options::default()
    }
}

fn create(name: &str, logs: u32, settings: &[(&str, &str)]) -> Change {
    Change::Create(Create {
        name: name.into(),
        born: Born::Kafka,
        kind: Kind::Client,
        logs,
        settings: settings.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect(),
        placement: None,
        creating_ms: 0,
    })
}

pub(super) async fn new_stream(engine: &Engine, name: &str, logs: u32, settings: &[(&str, &str)]) -> Arc<Stream> {
    match engine.change(vec![create(name, logs, settings)]).await.remove(0) {
        Ok(Changed::Created(stream)) => stream,
        other => panic!("{name} was not created: {other:?}"),
    }
}

pub(super) fn one(value: &[u8], at: i64) -> Batch {
    let mut builder = Builder::new(Codec::None);
    builder.push(&NewRecord { timestamp: Timestamp(at), key: Some(b"k"), value: Some(value), headers: &[] });
    builder.finish()
}

pub(super) fn group(log: LogId, batch: Batch) -> Group {
    Group { parts: vec![Part::new(log, batch)], origin: Origin::Client }
}

pub(super) async fn put(engine: &Engine, log: LogId, value: &[u8], at: i64) -> Placed {
    engine.append(group(log, one(value, at)), Permit::default()).await.unwrap()[0]
}

/// Every record from an offset to the end, as (offset, value).
pub(super) async fn all(engine: &Engine, log: LogId, mut from: Offset) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    loop {
        let read = Read { log, from, max_bytes: 5_000, until: Until::End };
        let fetch = Fetch { reads: vec![read], min_bytes: 0, max_bytes: 5_000, deadline: Timestamp(0) };
        let page = engine.fetch(fetch).await.remove(0).unwrap();
        if page.batches.is_empty() {
            return found;
        }
        for stored in page.batches {
            let opened = batch::check(stored.bytes).unwrap();
            let base = opened.header.base_offset as u64;
            from = Offset(base).plus(opened.header.offsets());
            for record in
                records::iterate(&opened, crate::record::compress::Limits { max_bytes: 1 << 20, max_ratio: 100 })
                    .unwrap()
            {
                let record = record.unwrap();
                found.push((base + record.offset_delta as u64, record.value.unwrap().to_vec()));
            }
        }
    }
}

#[tokio::test]
async fn what_is_appended_can_be_fetched() {
    let engine = open(&MemDisk::new(), Options::default()).await;
    let log = new_stream(&engine, "s", 1, &[]).await.logs[0];
    assert_eq!(put(&engine, log, b"a", 1).await.first, Offset(0));
    assert_eq!(put(&engine, log, b"b", 2).await.first, Offset(1));
    assert_eq!(all(&engine, log, Offset(0)).await, vec![(0, b"a".to_vec()), (1, b"b".to_vec())]);
    engine.close().await;
}

#[tokio::test]
async fn a_restart_finds_streams_and_records_again() {
    let disk = MemDisk::new();
    let engine = open(&disk, Options::default()).await;
    let stream = new_stream(&engine, "s", 2, &[("retention.ms", "-1")]).await;
    for i in 0..10u8 {
        put(&engine, stream.logs[1], &[i], 1).await;
    }
    engine.close().await;
    let engine = open(&disk, Options::default()).await;
    assert_eq!(engine.catalog().stream("s"), Some(&stream));
    assert_eq!(all(&engine, stream.logs[1], Offset(0)).await.len(), 10);
    assert_eq!(put(&engine, stream.logs[1], b"x", 1).await.first, Offset(10));
    engine.close().await;
}

/// What fuzzing found: time that grew with the square of the number of logs, minutes for as many as a stream may have.
#[tokio::test]
async fn a_stream_is_made_and_grown_to_as_many_logs_as_one_may_have() {
    let engine = open(&MemDisk::new(), Options::default()).await;
    let stream = new_stream(&engine, "s", 30_000, &[]).await;
    let grow = Change::Grow { id: stream.id, logs: catalog::MAX_LOGS };
    let grown = match engine.change(vec![grow]).await.remove(0) {
        Ok(Changed::Grown(stream)) => stream,
        other => panic!("{other:?}"),
    };
    assert_eq!(grown.logs.len(), catalog::MAX_LOGS as usize);
    assert_eq!(grown.shards.iter().filter(|s| s.end.is_none()).count(), catalog::MAX_LOGS as usize);
    assert_eq!(put(&engine, grown.logs[99_999], b"x", 1).await.first, Offset(0));
    engine.close().await;
}

#[tokio::test]
async fn settled_evicted_and_fresh_records_read_as_one_line() {
    let disk = MemDisk::new();
    let engine = open(&disk, small()).await;
    let stream = new_stream(&engine, "s", 3, &[]).await;
    let mut expect = BTreeMap::new();
    for i in 0..600u32 {
        let log = stream.logs[(i % 3) as usize];
        let value = [&i.to_be_bytes()[..], &[7u8; 300]].concat();
        let placed = put(&engine, log, &value, 1).await;
        expect.entry(log).or_insert_with(Vec::new).push((placed.first.0, value));
    }
    for (log, records) in &expect {
        assert_eq!(&all(&engine, *log, Offset(0)).await, records, "log {log}");
        assert_eq!(all(&engine, *log, Offset(77)).await, records[77..], "log {log} from 77");
    }
    engine.close().await;
    let engine = open(&disk, small()).await;
    for (log, records) in &expect {
        assert_eq!(&all(&engine, *log, Offset(0)).await, records, "log {log} after a restart");
    }
    engine.close().await;
}

#[tokio::test]
async fn a_page_that_has_no_room_for_the_next_batch_ends_before_it() {
    let engine = open(&MemDisk::new(), small()).await;
    let log = new_stream(&engine, "s", 1, &[]).await.logs[0];
    for i in 0..300u32 {
        put(&engine, log, &[7u8; 1000][..(i as usize * 37) % 1000], 1).await;
    }
    for max_bytes in (1..4_000).step_by(61) {
        let mut from = Offset(0);
        while from < Offset(300) {
            let read = Read { log, from, max_bytes, until: Until::End };
            let fetch = Fetch { reads: vec![read], min_bytes: 0, max_bytes, deadline: Timestamp(0) };
            for stored in engine.fetch(fetch).await.remove(0).unwrap().batches {
                let header = batch::parse_header(&stored.bytes).unwrap();
                assert_eq!(header.base_offset as u64, from.0, "with pages of {max_bytes} bytes");
                from = from.plus(header.offsets());
            }
        }
    }
    engine.close().await;
}

#[tokio::test]
async fn a_group_is_placed_as_a_whole_or_not_at_all() {
    let engine = open(&MemDisk::new(), Options::default()).await;
    let stream = new_stream(&engine, "s", 2, &[]).await;
    let part = |log: usize, expect: Option<u64>| Part {
        expect: expect.map(Offset),
        ..Part::new(stream.logs[log], one(b"x", 1))
    };
    let refused = Group { parts: vec![part(0, None), part(1, Some(5))], origin: Origin::Client };
    let answer = engine.append(refused, Permit::default()).await;
    let error = Error::Conflict { expected: Offset(5), actual: Offset(0) };
    assert_eq!(answer, Err(Refused { part: 1, error }));
    assert_eq!(engine.bounds(stream.logs[0]).unwrap().end, Offset(0));
    let whole = Group { parts: vec![part(0, None), part(1, Some(0)), part(0, Some(1))], origin: Origin::Client };
    let placed = engine.append(whole, Permit::default()).await.unwrap();
    assert_eq!(placed.iter().map(|p| p.first.0).collect::<Vec<_>>(), vec![0, 0, 1]);
    engine.close().await;
}

#[tokio::test]
async fn a_trim_outlives_a_restart() {
    let disk = MemDisk::new();
    let engine = open(&disk, small()).await;
    let log = new_stream(&engine, "s", 1, &[]).await.logs[0];
    for i in 0..100u8 {
        put(&engine, log, &[i; 200], 1).await;
    }
    assert_eq!(engine.trim(log, Offset(60)).await.unwrap().start, Offset(60));
    engine.close().await;
    let engine = open(&disk, small()).await;
    assert_eq!(engine.bounds(log).unwrap().start, Offset(60));
    assert_eq!(all(&engine, log, Offset(60)).await.len(), 40);
    engine.close().await;
}

#[tokio::test]
async fn a_deleted_stream_leaves_nothing_behind() {
    let disk = MemDisk::new();
    let engine = open(&disk, small()).await;
    let stream = new_stream(&engine, "s", 1, &[]).await;
    for i in 0..100u8 {
        put(&engine, stream.logs[0], &[i; 200], 1).await;
    }
    engine.change(vec![Change::Delete { id: stream.id }]).await.remove(0).unwrap();
    assert_eq!(engine.bounds(stream.logs[0]), Err(Error::NoSuchLog));
    engine.close().await;
    let left: Vec<String> = disk.list("logs").unwrap();
    assert!(!left.contains(&stream.logs[0].to_string()), "{left:?}");
}

#[tokio::test]
async fn seeking_by_time_finds_the_first_record_not_older() {
    let engine = open(&MemDisk::new(), small()).await;
    let log = new_stream(&engine, "s", 1, &[]).await.logs[0];
    for i in 0..100i64 {
        put(&engine, log, &[1; 200], i * 10).await;
    }
    let cases = [(0, Some(0)), (5, Some(1)), (500, Some(50)), (985, Some(99)), (991, None)];
    for (time, expect) in cases {
        let found = engine.seek(log, Seek::Time(Timestamp(time))).await.unwrap();
        assert_eq!(found.map(|f| f.offset.0), expect, "time {time}");
    }
    assert_eq!(engine.seek(log, Seek::MaxTime).await.unwrap().unwrap().offset, Offset(99));
    engine.close().await;
}

#[tokio::test]
async fn a_waiting_fetch_is_woken_by_an_append() {
    let engine = open(&MemDisk::new(), Options::default()).await;
    let log = new_stream(&engine, "s", 1, &[]).await.logs[0];
    let waiting = {
        let engine = engine.clone();
        tokio::spawn(async move {
            let read = Read { log, from: Offset(0), max_bytes: 1000, until: Until::End };
            let fetch = Fetch { reads: vec![read], min_bytes: 1, max_bytes: 1000, deadline: Timestamp(100_000_000) };
            engine.fetch(fetch).await.remove(0).unwrap().batches.len()
        })
    };
    tokio::task::yield_now().await;
    put(&engine, log, b"a", 1).await;
    assert_eq!(waiting.await.unwrap(), 1);
    engine.close().await;
}

#[tokio::test]
async fn growing_a_stream_splits_its_widest_shards() {
    let engine = open(&MemDisk::new(), Options::default()).await;
    let stream = new_stream(&engine, "s", 1, &[]).await;
    put(&engine, stream.logs[0], b"a", 1).await;
    let grown = engine.change(vec![Change::Grow { id: stream.id, logs: 3 }]).await.remove(0).unwrap();
    let Changed::Grown(grown) = grown else { panic!("not grown") };
    assert_eq!(grown.logs.len(), 3);
    let open: Vec<(u32, u64)> = grown.shards.iter().filter(|s| s.end.is_none()).map(|s| (s.log, s.start.0)).collect();
    assert_eq!(open.len(), 3);
    assert!(open.contains(&(0, 1)), "{open:?}");
    let mut ranges: Vec<(u128, u128)> =
        grown.shards.iter().filter(|s| s.end.is_none()).map(|s| (s.first_key, s.last_key)).collect();
    ranges.sort();
    assert_eq!((ranges[0].0, ranges[2].1), (0, u128::MAX));
    assert!(ranges.windows(2).all(|w| w[0].1 + 1 == w[1].0), "{ranges:?}");
    engine.close().await;
}

#[tokio::test]
async fn many_streams_are_created_in_one_change() {
    let engine = open(&MemDisk::new(), Options::default()).await;
    let changes = (0..300).map(|i| create(&format!("s{i}"), 10, &[])).collect();
    assert!(engine.change(changes).await.iter().all(Result::is_ok));
    assert_eq!(engine.catalog().streams().count(), 300);
    engine.close().await;
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_takes_them_again_when_there_is_room() {
    let disk = MemDisk::faulty();
    disk.set_capacity(Some(200_000));
    let options = Options { reserve_free_bytes: 20_000, maintenance_ms: 20, ..small() };
    let engine = open(&disk, options).await;
    let log = new_stream(&engine, "s", 1, &[]).await.logs[0];
    let mut acknowledged = 0;
    let refused = loop {
        match engine.append(group(log, one(&[7; 2_000], 1)), Permit::default()).await {
            Ok(_) => acknowledged += 1,
            Err(refused) => break refused.error,
        }
    };
    assert_eq!(refused, Error::Full);
    assert_eq!(all(&engine, log, Offset(0)).await.len(), acknowledged, "reads go on");
    disk.set_capacity(Some(10_000_000));
    while engine.append(group(log, one(b"again", 1)), Permit::default()).await.is_err() {
        tokio::task::yield_now().await;
    }
    assert_eq!(engine.failure(), None);
    engine.close().await;
}

/// A batch of one record of an idempotent producer.
fn numbered(producer: i64, sequence: i32) -> Batch {
    let mut builder = Builder::new(Codec::None).producer(Producer { id: producer, epoch: 0, sequence });
    builder.push(&NewRecord { timestamp: Timestamp(1), key: None, value: Some(b"v"), headers: &[] });
    builder.finish()
}

#[tokio::test]
async fn of_too_many_producers_the_longest_silent_are_forgotten_wherever_they_wrote() {
    let disk = MemDisk::new();
    let engine = open(&disk, small()).await;
    let stream = new_stream(&engine, "s", 3, &[]).await;
    let write = async |engine: &Engine, producer: i64, sequence: i32| {
        let log = stream.logs[producer as usize % 3];
        engine.append(group(log, numbered(producer, sequence)), Permit::default()).await.map(|placed| placed[0])
    };
    for producer in 0..50 {
        engine.clock.set(Timestamp(engine.clock.now().0 + 1));
        write(&engine, producer, 0).await.unwrap();
    }
    // Heard of again, so not silent any more.
    engine.clock.set(Timestamp(engine.clock.now().0 + 1));
    write(&engine, 0, 1).await.unwrap();
    write(&engine, 50, 0).await.unwrap();
    // Whoever is remembered is held to his next sequence; who was forgotten may begin anywhere.
    for (producer, remembered) in [(0, true), (1, false), (8, false), (9, true), (49, true), (50, true)] {
        assert_eq!(write(&engine, producer, 7).await.is_err(), remembered, "producer {producer}");
    }
    assert!(write(&engine, 0, 1).await.unwrap().duplicate);
    engine.close().await;
    let options = Options { lane: lane::Limits { producers: 10, ..small().lane }, ..small() };
    let engine = open(&disk, options).await;
    assert!(write(&engine, 20, 5).await.is_ok(), "a lower limit holds from the start on");
    engine.close().await;
}

/// How many records of a log every power cut leaves.
async fn survivors(disk: &MemDisk, log: LogId) -> u64 {
    let mut least = u64::MAX;
    for seed in 0..8 {
        let engine = open(&disk.crash(seed), Options::default()).await;
        least = least.min(engine.bounds(log).unwrap().end.0);
        engine.close().await;
    }
    least
}

#[tokio::test]
async fn a_stream_that_opted_out_is_synced_after_so_many_records() {
    let hour = ("flush.ms", "3600000");
    for (settings, expect) in [
        (&[hour, ("flush.messages", "10")][..], &[(9, 0), (10, 10), (19, 10), (20, 20)][..]),
        (&[hour], &[(30, 0)]),
        (&[("flush.messages", "1"), hour], &[(1, 1), (2, 2)]),
    ] {
        let disk = MemDisk::faulty();
        let engine = open(&disk, Options::default()).await;
        let log = new_stream(&engine, "s", 1, settings).await.logs[0];
        let mut records = 0;
        for (upto, durable) in expect {
            while records < *upto {
                put(&engine, log, b"x", 1).await;
                records += 1;
            }
            // A sync that was asked for is under way; one that was not never comes.
            while survivors(&disk, log).await < *durable {
                tokio::task::yield_now().await;
            }
            let least = survivors(&disk, log).await;
            let all_synced = upto == durable;
            assert_eq!(least >= *upto, all_synced, "{least} survive of {upto} with {settings:?}");
        }
        engine.close().await;
    }
}

#[tokio::test]
async fn what_is_not_synced_for_an_hour_is_synced_when_memory_asks_for_it() {
    let engine = open(&MemDisk::new(), small()).await;
    let log = new_stream(&engine, "s", 1, &[("flush.ms", "3600000")]).await.logs[0];
    for i in 0..300u32 {
        put(&engine, log, &[7; 1000], i64::from(i)).await;
    }
    assert_eq!(all(&engine, log, Offset(0)).await.len(), 300);
    engine.close().await;
}

/// No reserve of the disk's room, and nothing settled: the journal alone is filled.
fn roomless() -> Options {
    let lane = lane::Limits {
        settle_bytes: 1 << 20,
        pack_bytes: 0,
        pack_logs: 1,
        unsettled_bytes: 1 << 20,
        journal_bytes: 1 << 20,
        tail_bytes: 1 << 20,
        producers: 50,
    };
    Options { reserve_free_bytes: 0, maintenance_ms: 20, journal_file_bytes: 64 << 10, lane, ..Options::default() }
}

/// Really full: nothing is left in reserve, and the journal's file is filled by what has to be written.
#[tokio::test]
async fn a_disk_without_any_room_makes_facts_wait_and_the_engine_goes_on() {
    let disk = MemDisk::faulty();
    let options = roomless();
    let engine = open(&disk, options).await;
    let log = new_stream(&engine, "s", 1, &[]).await.logs[0];
    let gone = new_stream(&engine, "gone", 1, &[]).await;
    put(&engine, gone.logs[0], b"x", 1).await;
    disk.set_capacity(Some(1));
    let mut end = 0;
    while let Ok(placed) = engine.append(group(log, one(&[7; 200], 1)), Permit::default()).await {
        end = placed[0].first.0 + 1;
    }
    // Producers are refused; there is room left for what happens to logs.
    let mut start = 0;
    engine.change(vec![Change::Delete { id: gone.id }]).await.remove(0).unwrap();
    // Until there is none; or until nothing is left to trim, if the look at the disk came before the journal was full.
    while start < end {
        match engine.trim(log, Offset(start + 1)).await {
            Ok(bounds) => start = bounds.start.0,
            Err(e) => {
                assert_eq!(e, Error::Full);
                break;
            }
        }
    }
    assert!(start > 0, "there is room for facts when producers are refused");
    assert_eq!(all(&engine, log, Offset(start)).await.len() as u64, end - start, "reads go on");
    assert_eq!(engine.failure(), None);
    disk.set_capacity(None);
    while engine.append(group(log, one(b"again", 1)), Permit::default()).await.is_err() {
        tokio::task::yield_now().await;
    }
    engine.trim(log, Offset(end)).await.unwrap();
    assert_eq!(engine.failure(), None);
    engine.close().await;
    let engine = open(&disk, small()).await;
    assert_eq!(all(&engine, log, Offset(end)).await, vec![(end, b"again".to_vec())]);
    assert!(engine.catalog().stream("gone").is_none());
    engine.close().await;
}

#[tokio::test]
async fn facts_that_nobody_can_be_refused_wait_for_room() {
    for stopped_while_full in [false, true] {
        let disk = MemDisk::faulty();
        let options = roomless();
        let engine = open(&disk, options.clone()).await;
        let log = new_stream(&engine, "s", 1, &[]).await.logs[0];
        let gone = new_stream(&engine, "gone", 400, &[]).await;
        put(&engine, gone.logs[0], b"x", 1).await;
        disk.set_capacity(Some(1));
        while engine.append(group(log, one(&[7; 200], 1)), Permit::default()).await.is_ok() {}
        // The catalog's record finds room, the 400 facts that follow from it do not.
        engine.change(vec![Change::Delete { id: gone.id }]).await.remove(0).unwrap();
        let refused = engine.append(group(log, one(b"", 1)), Permit::default()).await;
        assert_eq!(refused.map_err(|r| r.error).err(), Some(Error::Full));
        assert_eq!(engine.failure(), None);
        if !stopped_while_full {
            disk.set_capacity(None);
            while engine.append(group(log, one(b"again", 1)), Permit::default()).await.is_err() {
                tokio::task::yield_now().await;
            }
        }
        engine.close().await;
        assert_eq!(engine.failure(), None);
        disk.set_capacity(None);
        let engine = open(&disk, options).await;
        put(&engine, log, b"behind", 1).await;
        assert!(engine.bounds(gone.logs[0]).is_err() && engine.catalog().stream("gone").is_none());
        engine.close().await;
        assert!(!disk.list("logs").unwrap().contains(&gone.logs[0].to_string()));
    }
}

#[tokio::test]
async fn an_engine_whose_disk_failed_can_still_be_closed() {
    let disk = MemDisk::faulty();
    let engine = open(&disk, Options::default()).await;
    let log = new_stream(&engine, "s", 1, &[]).await.logs[0];
    // A write, and then its sync.
    disk.fail_at(disk.calls() + 2, crate::store::memory::Fault::Broken);
    let refused = engine.append(group(log, one(b"a", 1)), Permit::default()).await;
    assert_eq!(refused, Err(Refused { part: 0, error: Error::LaneFailed }));
    engine.close().await;
    assert!(engine.failure().is_some());
}

#[tokio::test]
async fn a_reader_before_a_hole_goes_on_behind_it() {
    let disk = MemDisk::faulty();
    let engine = open(&disk, Options::default()).await;
    let log = new_stream(&engine, "s", 1, &[]).await.logs[0];
    for value in [&b"first"[..], b"second", b"third", b"fourth"] {
        put(&engine, log, value, 1).await;
    }
    engine.close().await;
    let disk = disk.kill();
    spoil_journal(&disk, b"second");
    let options =
        Options { lane: lane::Limits { settle_bytes: 1, tail_bytes: 1, ..small().lane }, ..Options::default() };
    let engine = open(&disk, options).await;
    put(&engine, log, b"fifth", 1).await;
    // Settled and out of memory, or not yet: a reader sees the same.
    for _ in 0..200 {
        let read = Read { log, from: Offset(1), max_bytes: 1, until: Until::End };
        let fetch = Fetch { reads: vec![read], min_bytes: 0, max_bytes: 1, deadline: Timestamp(0) };
        let page = engine.fetch(fetch).await.remove(0).unwrap();
        let first = batch::parse_header(&page.batches[0].bytes).unwrap().base_offset;
        assert_eq!(first, 2, "offset 1 is lost, and 0 was not asked for");
        tokio::task::yield_now().await;
    }
    engine.close().await;
}

/// A file of this directory that holds these bytes, and where.
fn holding(disk: &MemDisk, dir: &str, what: &[u8]) -> Option<(String, usize)> {
    disk.list(dir).unwrap_or_default().into_iter().find_map(|name| {
        let name = format!("{dir}/{name}");
        let file = disk.open(&name, Open::Read).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(&mut bytes, 0).unwrap();
        bytes.windows(what.len()).position(|w| w == what).map(|at| (name, at))
    })
}

/// Flips a bit of the first frame of the journal that holds these bytes.
fn spoil_journal(disk: &MemDisk, what: &[u8]) {
    let (name, at) = holding(disk, "journal", what).unwrap();
    disk.flip(&name, 8 * at as u64).unwrap();
}

#[tokio::test]
async fn a_settled_batch_is_known_to_be_there_though_its_frame_is_damaged() {
    const PRODUCER: i64 = 0x1122_3344_5566_7788;
    for (pack_bytes, dir) in [(0, "logs/{}"), (1_000, "packs")] {
        let disk = MemDisk::faulty();
        let at_once =
            Options { lane: lane::Limits { settle_bytes: 1, pack_bytes, ..small().lane }, ..Options::default() };
        let engine = open(&disk, at_once.clone()).await;
        let log = new_stream(&engine, "s", 1, &[]).await.logs[0];
        put(&engine, log, b"before", 1).await;
        let first = engine.append(group(log, numbered(PRODUCER, 0)), Permit::default()).await.unwrap()[0].first;
        while holding(&disk, &dir.replace("{}", &log.to_string()), &PRODUCER.to_be_bytes()).is_none() {
            tokio::task::yield_now().await;
        }
        put(&engine, log, b"behind", 1).await;
        engine.close().await;
        let disk = disk.kill();
        spoil_journal(&disk, &PRODUCER.to_be_bytes());
        let engine = open(&disk, at_once).await;
        let again = engine.append(group(log, numbered(PRODUCER, 0)), Permit::default()).await.unwrap()[0];
        assert_eq!((again.duplicate, again.first), (true, first), "{dir}");
        assert_eq!(all(&engine, log, Offset(0)).await.len(), 3, "{dir}");
        engine.close().await;
    }
}

#[tokio::test]
async fn a_ledger_waits_for_room_on_the_disk() {
    let disk = MemDisk::faulty();
    let engine = open(&disk, small()).await;
    disk.set_capacity(Some(1));
    // More than the journal's files hold.
    let changes = engine.change((0..500).map(|i| create(&format!("s{i}"), 10, &[])).collect());
    let room = async {
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(engine.catalog().streams().count(), 0, "there was no room");
        disk.set_capacity(None);
    };
    let (changed, ()) = tokio::join!(changes, room);
    assert!(changed.iter().all(Result::is_ok));
    assert_eq!((engine.failure(), engine.catalog().streams().count()), (None, 500));
    engine.close().await;
}

#[tokio::test]
async fn of_two_growths_at_once_the_later_is_refused_and_shards_stay_open() {
    let engine = open(&MemDisk::new(), Options::default()).await;
    let stream = new_stream(&engine, "s", 1, &[]).await;
    let grow = |logs| engine.change(vec![Change::Grow { id: stream.id, logs }]);
    let (first, second) = tokio::join!(grow(2), grow(3));
    let grown = [&first[0], &second[0]].into_iter().filter(|r| r.is_ok()).count();
    assert!(grown >= 1, "{first:?} {second:?}");
    let now = engine.catalog().stream("s").cloned().unwrap();
    for shard in now.shards.iter().filter(|s| s.end.is_none()) {
        let log = now.logs[shard.log as usize];
        let part = Part { shard: Some(shard.no), ..Part::new(log, one(b"x", 1)) };
        let placed = engine.append(Group { parts: vec![part], origin: Origin::Client }, Permit::default()).await;
        assert!(placed.is_ok(), "shard {}: {placed:?}", shard.no.0);
    }
    engine.close().await;
}
