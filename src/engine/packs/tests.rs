//! Many small logs over a disk in memory: what they share, what becomes of it, and what damage and power cuts may cost.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::chance::Chance;
use crate::clock::Clock;
use crate::engine::backup::{self, BackupError};
use crate::engine::check::{Severity, check};
use crate::engine::tests::{all, new_stream, open, put, small};
use crate::engine::vault::Segment;
use crate::engine::{Change, Driver, Engine, Options, lane};
use crate::store::memory::{MemDisk, When};

/// Two logs are many, and a log is small up to 1,000 bytes.
fn packing() -> Options {
    let lane = lane::Limits { pack_bytes: 1_000, pack_logs: 2, ..small().lane };
    Options { lane, ..small() }
}

/// Nothing is ever large enough for files of its own.
fn only_packing() -> Options {
    let lane = lane::Limits { pack_bytes: 1 << 20, pack_logs: 1, settle_bytes: 1 << 20, ..small().lane };
    Options { lane, ..small() }
}

fn packs_on(disk: &MemDisk) -> Vec<String> {
    disk.list(DIR).unwrap()
}

fn files_of_logs(disk: &MemDisk) -> Vec<String> {
    let dirs = disk.list("logs").unwrap().into_iter().map(|dir| format!("logs/{dir}"));
    dirs.flat_map(|dir| disk.list(&dir).unwrap().into_iter().map(move |name| format!("{dir}/{name}"))).collect()
}

async fn open_by_chance(disk: &MemDisk, options: Options, seed: u64) -> Arc<Engine> {
    let (clock, chance) = (Clock::manual(crate::ids::Timestamp(1_000_000)), Chance::seeded(seed));
    Engine::open(options, Arc::new(disk.clone()), clock, chance, Driver::Threads).await.unwrap().0
}

/// What a round puts into a log.
fn value(log: LogId, round: u64) -> Vec<u8> {
    [log.0 as u8, round as u8].repeat(60)
}

/// Rounds of one record for each log; what was acknowledged.
async fn fill(engine: &Engine, logs: &[LogId], rounds: std::ops::Range<u64>) {
    for round in rounds {
        for log in logs {
            put(engine, *log, &value(*log, round), 1).await;
        }
    }
}

async fn holds(engine: &Engine, logs: &[LogId], rounds: u64) {
    for log in logs {
        let want: Vec<(u64, Vec<u8>)> = (0..rounds).map(|round| (round, value(*log, round))).collect();
        assert_eq!(all(engine, *log, Offset(0)).await, want, "log {log}");
        if rounds > 2 {
            assert_eq!(all(engine, *log, Offset(rounds / 2)).await, want[rounds as usize / 2..], "log {log}");
        }
    }
}

/// A stop may leave the pack that was being merged, which is noted and no damage.
fn is_sound(disk: &MemDisk) {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let mut findings = check(&disk, &mut |_| ()).unwrap().findings;
    findings.retain(|finding| !(finding.severity == Severity::Note && finding.file.starts_with(DIR)));
    assert_eq!(findings, [], "{:?}", disk.list("journal"));
}

/// Until a moment comes that only the settler's thread knows.
async fn until(what: impl Fn() -> bool) {
    while !what() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn many_small_logs_have_few_files_and_read_as_one_line_each() {
    let disk = MemDisk::new();
    let engine = open(&disk, only_packing()).await;
    let logs = new_stream(&engine, "s", 200, &[]).await.logs.clone();
    fill(&engine, &logs, 0..10).await;
    assert!(files_of_logs(&disk).is_empty(), "{:?}", files_of_logs(&disk));
    assert!(!packs_on(&disk).is_empty());
    holds(&engine, &logs, 10).await;
    engine.close().await;
    is_sound(&disk);
    assert!(packs_on(&disk).len() < 40, "{:?}", packs_on(&disk));
    let engine = open(&disk, only_packing()).await;
    holds(&engine, &logs, 10).await;
    fill(&engine, &logs, 10..12).await;
    holds(&engine, &logs, 12).await;
    engine.close().await;
    is_sound(&disk);
}

#[tokio::test]
async fn a_log_that_grows_moves_into_its_own_files_byte_for_byte() {
    let disk = MemDisk::new();
    let engine = open(&disk, packing()).await;
    let logs = new_stream(&engine, "s", 30, &[]).await.logs.clone();
    fill(&engine, &logs, 0..30).await;
    let lifted: Vec<LogId> = {
        let filed = |log: &&LogId| {
            let shared = engine.logs.get(**log).unwrap();
            let view = shared.view();
            let first = view.extents.first().map(|x| x.settled);
            first.is_some_and(|s| s.filed.bytes > 1_000)
        };
        logs.iter().filter(filed).copied().collect()
    };
    assert!(!lifted.is_empty());
    holds(&engine, &logs, 30).await;
    for log in lifted {
        let settled = engine.logs.get(log).unwrap().view().extents[0].settled;
        let file = disk.open(&Segment::file(log, settled.name(), "log"), Open::Read).unwrap();
        let mut bytes = vec![0; settled.filed.bytes as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        let mut rest = bytes::Bytes::from(bytes);
        let mut next = 0;
        while !rest.is_empty() {
            let header = crate::record::batch::parse(&rest).unwrap();
            assert_eq!(header.base_offset, next, "log {log}");
            assert!(crate::record::batch::check(rest.split_to(header.bytes as usize)).is_ok());
            next += 1;
        }
        assert!(next > 5, "{next} batches of log {log}");
    }
    engine.close().await;
    is_sound(&disk);
}

/// Who has looked where a log stands, and reads when it has moved and its packs are merged, finds what he looked for.
#[tokio::test]
async fn a_reader_that_looked_before_a_log_moved_reads_it_all_the_same() {
    let disk = MemDisk::new();
    let engine = open(&disk, packing()).await;
    let logs = new_stream(&engine, "s", 30, &[]).await.logs.clone();
    let mut looked = Vec::new();
    for round in 0..40 {
        fill(&engine, &logs, round..round + 1).await;
        for log in &logs {
            let shared = engine.logs.get(*log).unwrap();
            let view = shared.view();
            looked.extend(view.extents.last().map(|x| (x.segment.clone(), x.settled)));
        }
    }
    let moved = |(segment, settled): &&(Arc<Segment>, Settled)| {
        let shared = engine.logs.get(segment.log).unwrap();
        let view = shared.view();
        settled.packed_bytes() > 0 && view.extents.iter().any(|x| x.settled.filed.bytes > settled.filed.bytes)
    };
    assert!(looked.iter().filter(moved).count() > 20);
    for (segment, settled) in &looked {
        let range = engine.vault.read(segment, settled, settled.base, settled.end, 1 << 20).unwrap();
        let log = segment.log;
        assert_eq!(range.batches.len() as u64, settled.end.0 - settled.base.0, "log {log} up to {}", settled.end);
    }
    engine.close().await;
}

#[tokio::test]
async fn a_segment_ends_by_its_age_even_if_records_never_cease() {
    let disk = MemDisk::new();
    let lane = lane::Limits { settle_bytes: 1, pack_logs: 1, ..only_packing().lane };
    for pack_bytes in [0, 1 << 20] {
        let options = Options { lane: lane::Limits { pack_bytes, ..lane.clone() }, ..only_packing() };
        let engine = open(&disk, options).await;
        let name = format!("s{pack_bytes}");
        let log = new_stream(&engine, &name, 1, &[("segment.ms", "1000")]).await.logs[0];
        let mut bases = Vec::new();
        for n in 0..5 {
            put(&engine, log, b"v", 1).await;
            let shared = engine.logs.get(log).unwrap();
            until(|| shared.view().settled == Offset(n + 1)).await;
            bases = shared.view().extents.iter().map(|x| x.settled.base.0).collect();
            engine.clock().set(engine.clock().now().plus_ms(600));
        }
        assert_eq!(bases, [0, 2, 4], "with {pack_bytes} to be packed");
        engine.close().await;
    }
}

#[tokio::test]
async fn packs_whose_logs_are_gone_go_too() {
    let disk = MemDisk::new();
    let engine = open(&disk, only_packing()).await;
    let kept = new_stream(&engine, "kept", 10, &[]).await.logs.clone();
    let gone = new_stream(&engine, "gone", 100, &[]).await;
    for round in 0..10 {
        fill(&engine, &gone.logs, round..round + 1).await;
        fill(&engine, &kept, round..round + 1).await;
    }
    let bytes = |disk: &MemDisk| {
        let length = |name: &String| disk.open(&format!("{DIR}/{name}"), Open::Read).map_or(0, |f| f.len().unwrap());
        packs_on(disk).iter().map(length).sum::<u64>()
    };
    let before = bytes(&disk);
    engine.change(vec![Change::Delete { id: gone.id }]).await.remove(0).unwrap();
    until(|| bytes(&disk) < before / 4).await;
    holds(&engine, &kept, 10).await;
    engine.close().await;
    is_sound(&disk);
    let engine = open(&disk, only_packing()).await;
    holds(&engine, &kept, 10).await;
    for log in &kept {
        engine.trim(*log, Offset(10)).await.unwrap();
    }
    engine.close().await;
    is_sound(&disk);
}

/// A directory with several packs, and its logs.
async fn packed(logs: u32, rounds: u64) -> (MemDisk, Vec<LogId>) {
    let disk = MemDisk::faulty();
    let engine = open(&disk, only_packing()).await;
    let logs = new_stream(&engine, "s", logs, &[]).await.logs.clone();
    fill(&engine, &logs, 0..rounds).await;
    engine.close().await;
    assert!(!packs_on(&disk).is_empty());
    (disk, logs)
}

/// Bits of every part of a pack are flipped: no more than one record is withheld, never a wrong one is served, and what the
/// flip costs is told.
#[tokio::test]
async fn a_flipped_bit_costs_one_record_at_most_and_is_told() {
    let (sound, logs) = packed(20, 25).await;
    let name = format!("{DIR}/{}", packs_on(&sound)[0]);
    let file = sound.open(&name, Open::Read).unwrap();
    let length = file.len().unwrap();
    // The catalog has a piece too; who loses that loses the streams.
    let of_logs = |row: &&Row| logs.contains(&row.log);
    let rows = walk(&*file, length, &mut |_| ()).unwrap();
    let pieces: Vec<Range<u64>> = rows.iter().filter(of_logs).map(|row| row.position..row.ends()).collect();
    let index = rows.iter().map(Row::ends).max().unwrap();
    assert!(pieces.len() > 10);
    // The dev profile is slow, and there to be quick.
    let step = if cfg!(debug_assertions) { 683 } else { 97 };
    let mut at = 0;
    while at < length {
        if at > 16 && at < index && !pieces.iter().any(|piece| piece.contains(&at)) {
            at += step;
            continue;
        }
        let spoilt = sound.kill();
        spoilt.flip(&name, at * 8 + at % 8).unwrap();
        let told = {
            let disk: Arc<dyn Disk> = Arc::new(spoilt.clone());
            check(&disk, &mut |_| ()).unwrap().findings
        };
        assert!(told.iter().any(|f| f.severity == Severity::Damage), "byte {at} of {length}");
        let engine = open(&spoilt, only_packing()).await;
        let mut lost = 0;
        for log in &logs {
            for (offset, found) in readable(&engine, *log).await {
                assert_eq!(found, value(*log, offset), "byte {at}, log {log}, offset {offset}");
                lost += 1;
            }
        }
        lost = logs.len() * 25 - lost;
        assert!(lost <= 1, "byte {at} of {length}: {lost} records are lost; {told:?}");
        engine.close().await;
        at += step;
    }
}

/// What can be read of a log, going on behind what is damaged.
async fn readable(engine: &Engine, log: LogId) -> BTreeMap<u64, Vec<u8>> {
    let mut found = BTreeMap::new();
    let end = engine.bounds(log).unwrap().end;
    let mut from = Offset(0);
    while from < end {
        let read = crate::engine::Read { log, from, max_bytes: 1, until: crate::engine::Until::End };
        let fetch =
            crate::engine::Fetch { reads: vec![read], min_bytes: 0, max_bytes: 1, deadline: crate::ids::Timestamp(0) };
        match engine.fetch(fetch).await.remove(0) {
            Ok(page) => {
                for stored in page.batches {
                    let opened = crate::record::batch::check(stored.bytes).unwrap();
                    let limits = crate::record::compress::Limits { max_bytes: 1 << 20, max_ratio: 100 };
                    let base = opened.header.base_offset as u64;
                    let mut records = crate::record::records::iterate(&opened, limits).unwrap();
                    found.insert(base, records.next().unwrap().unwrap().value.unwrap().to_vec());
                    from = from.max(Offset(base));
                }
                from = from.plus(1);
            }
            Err(crate::engine::Error::Corrupt { .. }) => from = from.plus(1),
            Err(other) => panic!("log {log}, offset {from}: {other}"),
        }
    }
    found
}

/// Packing, merging, lifting, trimming and deleting, with the power off at every call of the disk in turn: what was
/// acknowledged is there, nothing is left over, and the directory is sound.
#[tokio::test]
async fn the_power_may_go_off_at_any_call() {
    let whole = MemDisk::faulty();
    let engine = open(&whole, packing()).await;
    let logs = new_stream(&engine, "s", 12, &[]).await.logs.clone();
    let doomed = new_stream(&engine, "doomed", 12, &[]).await;
    fill(&engine, &doomed.logs, 0..3).await;
    fill(&engine, &logs, 0..3).await;
    engine.close().await;
    drop(engine);
    // As far as it comes; how many rounds were acknowledged for all, how many for some, and how far a log was trimmed.
    let work = async |engine: &Engine| {
        let (mut done, mut trimmed) = (3, 0);
        for round in 3..16 {
            for log in &logs {
                let batch = crate::engine::tests::one(&value(*log, round), 1);
                let group = crate::engine::tests::group(*log, batch);
                if engine.append(group, crate::engine::Permit::default()).await.is_err() {
                    return (done, trimmed);
                }
            }
            done = round + 1;
            if round == 8 && engine.change(vec![Change::Delete { id: doomed.id }]).await.remove(0).is_err() {
                return (done, trimmed);
            }
            if round == 10 {
                match engine.trim(logs[0], Offset(6)).await {
                    Ok(_) => trimmed = 6,
                    Err(_) => return (done, trimmed),
                }
            }
        }
        (done, trimmed)
    };
    let counting = whole.kill();
    let engine = open(&counting, packing()).await;
    let opened = counting.calls();
    work(&engine).await;
    engine.close().await;
    let calls = counting.calls();
    assert!(calls > opened + 100, "{calls} calls");
    for call in (opened + 1..=calls).step_by(if cfg!(debug_assertions) { 5 } else { 1 }) {
        let when = if call % 2 == 0 { When::Before } else { When::After };
        let cut = whole.kill();
        let engine = open(&cut, packing()).await;
        cut.crash_at(call, when);
        let (done, trimmed) = work(&engine).await;
        engine.close().await;
        let after = cut.crash(call);
        // With the same chance, files of the journal would be taken for what they were before they were used again.
        let engine = open_by_chance(&after, packing(), call).await;
        for log in &logs {
            let start = engine.bounds(*log).unwrap().start.0;
            assert!(*log != logs[0] || start >= trimmed, "call {call}: log {log} begins at {start}");
            let found = all(&engine, *log, Offset(start)).await;
            assert!(found.len() as u64 >= done - start, "call {call}: log {log} has {} records", found.len());
            for (n, (offset, bytes)) in found.into_iter().enumerate() {
                assert_eq!((offset, bytes), (start + n as u64, value(*log, offset)), "call {call}: log {log}");
            }
        }
        engine.close().await;
        let disk: Arc<dyn Disk> = Arc::new(after.clone());
        let findings = check(&disk, &mut |_| ()).unwrap().findings;
        // Files that were being settled into may be longer than what was recorded.
        let harmless = |f: &&crate::engine::check::Finding| f.severity == Severity::Note && f.log.is_some();
        let findings: Vec<_> = findings.iter().filter(|f| !harmless(f)).collect();
        assert!(findings.is_empty(), "call {call}: {findings:?}");
    }
}

async fn back_up(engine: &Engine, source: &MemDisk, target: &MemDisk) -> Result<backup::Done, BackupError> {
    let (picture, _hold) = engine.picture().await.unwrap();
    backup::copy(&picture, "c", 7, source, target, &mut |_| (), &mut || true)
}

#[tokio::test]
async fn a_backup_has_the_packs_and_copies_them_once() {
    let (disk, target) = (MemDisk::new(), MemDisk::new());
    let engine = open(&disk, packing()).await;
    let logs = new_stream(&engine, "s", 60, &[]).await.logs.clone();
    fill(&engine, &logs, 0..6).await;
    let first = back_up(&engine, &disk, &target).await.unwrap();
    assert_eq!(first.copied_bytes, first.bytes);
    assert!(!packs_on(&target).is_empty());
    // The settler may still be merging what was written.
    let mut copied = u64::MAX;
    for _ in 0..100 {
        copied = back_up(&engine, &disk, &target).await.unwrap().copied_bytes;
        if copied == 0 {
            break;
        }
    }
    assert_eq!(copied, 0, "what is there already is not copied again");
    // Packs are merged, and logs move into files of their own.
    for round in 6..40 {
        fill(&engine, &logs, round..round + 1).await;
        if round % 7 == 0 {
            back_up(&engine, &disk, &target).await.unwrap();
        }
    }
    back_up(&engine, &disk, &target).await.unwrap();
    engine.close().await;
    let restored = MemDisk::new();
    let into: Arc<dyn Disk> = Arc::new(restored.clone());
    backup::restore(&target, &into, &mut || 9, &mut |_| ()).unwrap();
    is_sound(&restored);
    let engine = open(&restored, packing()).await;
    holds(&engine, &logs, 40).await;
    fill(&engine, &logs, 40..42).await;
    holds(&engine, &logs, 42).await;
    engine.close().await;
}

#[tokio::test]
async fn a_damaged_pack_gives_no_backup() {
    let (disk, _) = packed(20, 25).await;
    let name = format!("{DIR}/{}", packs_on(&disk)[0]);
    disk.flip(&name, 8 * 400).unwrap();
    let engine = open(&disk, only_packing()).await;
    let refused = back_up(&engine, &disk, &MemDisk::new()).await;
    assert!(matches!(&refused, Err(BackupError::Damaged(flaws)) if !flaws.is_empty()), "{refused:?}");
    engine.close().await;
}

#[test]
fn only_our_own_names_are_names() {
    for (name, expect) in [
        ("0000000000000007.pack", Some(7)),
        ("00000000000000ff.pack", Some(255)),
        ("00000000000000FF.pack", None),
        ("7.pack", None),
        ("0000000000000007.log", None),
    ] {
        assert_eq!(id_of(name), expect, "{name}");
    }
    assert_eq!(file_name(255), "packs/00000000000000ff.pack");
}

#[test]
fn a_merged_pack_takes_the_place_of_the_oldest_it_is_made_of() {
    let id = |n: &u64| *n;
    for (packs, removed, added, expect) in [
        (vec![1, 2, 3, 4], vec![2, 3], Some(9), vec![1, 9, 4]),
        (vec![1, 2], vec![], Some(9), vec![1, 2, 9]),
        (vec![1, 2], vec![1], None, vec![2]),
    ] {
        let mut got = packs.clone();
        replace(&mut got, id, &removed, added);
        assert_eq!(got, expect, "{packs:?}");
    }
}
