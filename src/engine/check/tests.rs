//! Damage planted into a data directory, and what is said of it.

use std::sync::Arc;

use super::*;
use crate::engine::tests::{new_stream, open, put, small};
use crate::engine::{Error, Fetch, Options, Read, Until};
use crate::ids::Timestamp;
use crate::store::memory::MemDisk;

/// A directory of one stream with two logs, settled and unsettled records, a table and a journal of several files;
/// stopped in good order.
async fn directory() -> MemDisk {
    let disk = MemDisk::faulty();
    let engine = open(&disk, small()).await;
    let stream = new_stream(&engine, "s", 2, &[("segment.bytes", "1048576")]).await;
    for i in 0..100usize {
        put(&engine, stream.logs[i % 2], &[i as u8; 30_000], i as i64).await;
    }
    engine.close().await;
    disk
}

fn report(disk: &MemDisk) -> Report {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    check(&disk, &mut |_| ()).unwrap()
}

/// The damages of a report, as (file, what, offsets).
fn damages(disk: &MemDisk) -> Vec<(String, String, Option<Range<u64>>)> {
    let found = report(disk).findings.into_iter().filter(|f| f.severity == Severity::Damage);
    found.map(|f| (f.file, f.what, f.offsets)).collect()
}

fn length(disk: &MemDisk, name: &str) -> u64 {
    disk.open(name, Open::Read).unwrap().len().unwrap()
}

/// The files of log 16 of a kind, in order.
fn segments(disk: &MemDisk, kind: &str) -> Vec<String> {
    let names = disk.list("logs/16").unwrap().into_iter().filter(|name| name.ends_with(kind));
    names.map(|name| format!("logs/16/{name}")).collect()
}

fn bytes(disk: &MemDisk, name: &str) -> Vec<u8> {
    let mut bytes = vec![0; length(disk, name) as usize];
    disk.open(name, Open::Read).unwrap().read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

#[tokio::test]
async fn a_sound_directory_has_nothing_to_tell() {
    let disk = directory().await;
    let before = disk.trace();
    let report = report(&disk);
    assert_eq!(report.findings, []);
    assert_eq!((report.streams, report.logs), (1, 3));
    assert!(report.segments >= 4 && report.batches >= 100, "{report:?}");
    assert_eq!(disk.trace(), before, "a check changes nothing");
}

#[tokio::test]
async fn a_process_killed_at_work_left_no_damage() {
    let disk = MemDisk::faulty();
    let engine = open(&disk, small()).await;
    let log = new_stream(&engine, "s", 1, &[]).await.logs[0];
    for i in 0..200usize {
        put(&engine, log, &[i as u8; 300], 1).await;
        if i % 20 == 0 {
            assert_eq!(damages(&disk.kill()), [], "after {i} records");
        }
    }
    engine.close().await;
}

#[tokio::test]
async fn progress_ends_where_it_said_it_would() {
    let disk: Arc<dyn Disk> = Arc::new(directory().await);
    let (mut total, mut read) = (0, 0);
    let report = check(&disk, &mut |progress| match progress {
        Progress::Total(bytes) => total = bytes,
        Progress::Read(bytes) => read += bytes,
    });
    assert_eq!((read, report.unwrap().bytes), (total, total));
}

#[tokio::test]
async fn a_flipped_bit_anywhere_in_a_segment_costs_its_batch_and_is_named() {
    let disk = directory().await;
    let name = &segments(&disk, "log")[0];
    let stored = Bytes::from(bytes(&disk, name));
    let one = batch::parse(&stored).unwrap();
    let length = u64::from(one.bytes);
    // In base offset, length, leader epoch, magic, checksum, attributes, records and the last byte of the second batch.
    for byte in [0, 7, 9, 13, 16, 18, 22, 70, length - 1] {
        let disk = disk.kill();
        disk.flip(name, (length + byte) * 8 + 1).unwrap();
        let found = damages(&disk);
        assert_eq!(found.len(), 1, "byte {byte}: {found:?}");
        assert_eq!(&found[0].0, name, "byte {byte}");
        let offsets = found[0].2.clone().unwrap();
        // The leader epoch is covered by the running hash of a whole entry, everything else by the batch.
        let exact = byte != 13;
        assert!(offsets.contains(&1) && (!exact || offsets == (1..2)), "byte {byte}: {offsets:?}");
        let finding = report(&disk).findings.remove(0);
        assert_eq!(finding.stream.as_deref(), Some("s, log 0"));
    }
}

#[tokio::test]
async fn a_flipped_bit_in_a_sidecar_is_told_and_the_batches_are_still_read() {
    let disk = directory().await;
    let sound = report(&disk);
    let name = &segments(&disk, "side")[0];
    for byte in [0, 5, 9, 13, 20, 30, 60, 85, 100] {
        let disk = disk.kill();
        disk.flip(name, byte * 8).unwrap();
        let found = damages(&disk);
        assert_eq!(found.len(), 1, "byte {byte}: {found:?}");
        assert_eq!((&found[0].0, &found[0].2), (name, &None), "byte {byte}");
        assert_eq!(report(&disk).batches, sound.batches, "byte {byte}");
    }
}

#[tokio::test]
async fn damage_that_has_a_name_is_told_by_it() {
    let sound = directory().await;
    let (records, sides) = (segments(&sound, "log"), segments(&sound, "side"));
    let end = length(&sound, &records[0]);
    type Plant<'a> = Box<dyn Fn(&MemDisk) + 'a>;
    let cut = |name: &String, to: u64| -> Plant<'_> {
        let name = name.clone();
        Box::new(move |disk| disk.open(&name, Open::Write).unwrap().set_len(to).unwrap())
    };
    let remove = |name: &String| -> Plant<'_> {
        let name = name.clone();
        Box::new(move |disk| disk.remove(&name).unwrap())
    };
    let cases: Vec<(&str, Plant<'_>, &String, &str)> = vec![
        ("a segment is cut", cut(&records[0], end - 5), &records[0], "were settled"),
        ("a segment is empty", cut(&records[0], 0), &records[0], "ends after 0 bytes"),
        ("a sidecar is cut", cut(&sides[0], 50), &sides[0], "ends after 50 bytes"),
        ("a segment is gone", remove(&records[1]), &records[1], "is missing"),
        ("a sidecar is gone", remove(&sides[1]), &sides[1], "is missing"),
    ];
    for (case, plant, file, words) in cases {
        let disk = sound.kill();
        plant(&disk);
        let found = damages(&disk);
        assert!(found.iter().any(|(f, what, _)| f == file && what.contains(words)), "{case}: {found:?}");
        assert!(found.iter().all(|(f, _, _)| f[..28] == file[..28]), "{case} is told of its own segment: {found:?}");
    }
}

#[tokio::test]
async fn a_flipped_bit_in_the_table_is_damage_and_costs_nothing() {
    let disk = directory().await;
    let sound = report(&disk);
    for name in ["table", "table.copy"] {
        for byte in [0, 7, 9, 40, length(&disk, name) - 1] {
            let disk = disk.kill();
            disk.flip(name, byte * 8).unwrap();
            assert_eq!(damages(&disk).len(), 1, "byte {byte} of {name}");
            assert_eq!(damages(&disk)[0].0, name, "byte {byte}");
            let engine = open(&disk, small()).await;
            engine.close().await;
            let after = report(&disk);
            assert_eq!((&after.findings, after.segments), (&sound.findings, sound.segments), "byte {byte} of {name}");
        }
    }
}

#[tokio::test]
async fn without_any_table_nothing_is_taken_for_an_empty_directory() {
    let disk = directory().await;
    for name in ["table", "table.copy"] {
        disk.remove(name).unwrap();
    }
    let clock = crate::clock::Clock::manual(crate::ids::Timestamp(1));
    let (chance, driver) = (crate::chance::Chance::seeded(1), crate::engine::Driver::Threads);
    let opened = crate::engine::Engine::open(small(), Arc::new(disk.clone()), clock, chance, driver).await;
    let refused = opened.err().map(|e| e.to_string()).unwrap_or_default();
    assert!(refused.contains("is missing: bring back"), "{refused}");
    assert!(damages(&disk).iter().any(|d| d.1.contains("is missing")), "{:?}", damages(&disk));
}

#[tokio::test]
async fn a_damaged_frame_in_the_middle_of_the_journal_is_told_with_the_records_it_held() {
    let disk = MemDisk::faulty();
    let engine = open(&disk, Options::default()).await;
    let log = new_stream(&engine, "s", 1, &[]).await.logs[0];
    for i in 0..20 {
        put(&engine, log, &[0xA0 + i; 40], 1).await;
    }
    engine.close().await;
    let name = format!("journal/{}", disk.list("journal").unwrap()[0]);
    let stored = bytes(&disk, &name);
    let at = stored.windows(40).position(|w| w == [0xA7; 40]).unwrap() as u64;
    disk.flip(&name, at * 8).unwrap();
    let found = damages(&disk);
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!(found[0].0, name);
    assert_eq!(found[1].2, Some(7..8), "{found:?}");
}

#[tokio::test]
async fn a_torn_tail_is_no_damage() {
    let disk = MemDisk::faulty();
    let engine = open(&disk, Options::default()).await;
    let log = new_stream(&engine, "s", 1, &[]).await.logs[0];
    put(&engine, log, &[0xA1; 40], 1).await;
    engine.close().await;
    // The last frame is a mark, which nothing behind it claims.
    let torn = disk.kill();
    let name = format!("journal/{}", torn.list("journal").unwrap()[0]);
    let at = bytes(&torn, &name).windows(4).rposition(|w| w == b"IFJR").unwrap() as u64;
    torn.flip(&name, (at + 40) * 8).unwrap();
    let report = report(&torn);
    assert_eq!(report.damages(), 0, "{report:?}");
    assert!(report.findings.iter().any(|f| f.what.contains("no whole frame")), "{report:?}");
}

#[tokio::test]
async fn what_does_not_belong_is_noted() {
    let disk = directory().await;
    disk.create_dir_all("logs/99").unwrap();
    for name in ["notes.txt", "journal/old", "logs/16/x", "logs/99/00000000000000000000.log"] {
        disk.open(name, Open::CreateNew).unwrap();
    }
    let report = report(&disk);
    let files: Vec<&str> = report.findings.iter().map(|f| f.file.as_str()).collect();
    assert_eq!(files, ["notes.txt", "journal/old", "logs/16/x", "logs/99"]);
    assert_eq!(report.damages(), 0);
}

#[tokio::test]
async fn a_table_of_the_future_is_not_checked_at_all() {
    let disk = directory().await;
    for name in ["table", "table.copy"] {
        disk.open(name, Open::Write).unwrap().write_at(&[&9u32.to_be_bytes()], 4).unwrap();
    }
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let error = check(&disk, &mut |_| ()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    assert!(error.to_string().contains("version 9") && error.to_string().contains("knows 4"), "{error}");
}

#[tokio::test]
async fn a_damaged_sidecar_costs_arrival_times_and_no_record() {
    let sound = directory().await;
    let names = segments(&sound, "side");
    let engine = open(&sound.kill(), small()).await;
    let log = engine.catalog().stream("s").unwrap().logs[0];
    let expect = crate::engine::tests::all(&engine, log, Offset(0)).await;
    engine.close().await;
    assert_eq!(expect.len(), 50);
    let last = length(&sound, &names[0]) - 1;
    let mut plants: Vec<(String, MemDisk)> = Vec::new();
    for byte in [0, 5, 9, 13, 20, 30, 40, 44, 52, 60, 70, 85, 100, last] {
        let disk = sound.kill();
        disk.flip(&names[0], byte * 8 + 2).unwrap();
        plants.push((format!("byte {byte}"), disk));
    }
    let (gone, cut) = (sound.kill(), sound.kill());
    gone.remove(&names[0]).unwrap();
    cut.open(&names[0], Open::Write).unwrap().set_len(50).unwrap();
    plants.extend([("gone".into(), gone), ("cut".into(), cut)]);
    for (what, disk) in plants {
        let engine = open(&disk, small()).await;
        assert_eq!(crate::engine::tests::all(&engine, log, Offset(0)).await, expect, "{what}");
        assert_eq!(crate::engine::tests::all(&engine, log, Offset(3)).await, expect[3..], "{what}, from the middle");
        engine.close().await;
    }
}

/// A disk that cannot read for a moment must not change when records are said to have arrived.
#[tokio::test]
async fn a_sidecar_that_the_disk_cannot_read_is_asked_for_again_until_it_is_removed() {
    let disk = directory().await.kill();
    let side = segments(&disk, "side").remove(0);
    disk.spoil(&side, 0..length(&disk, &side)).unwrap();
    assert!(report(&disk).findings.iter().any(|finding| finding.file == side));
    let engine = open(&disk, small()).await;
    let log = engine.catalog().stream("s").unwrap().logs[0];
    let read = Read { log, from: Offset(0), max_bytes: 5_000, until: Until::End };
    let fetch = Fetch { reads: vec![read], min_bytes: 0, max_bytes: 5_000, deadline: Timestamp(0) };
    assert_eq!(engine.fetch(fetch).await.remove(0).err(), Some(Error::Unreadable { at: Offset(0) }));
    engine.close().await;
    disk.remove(&side).unwrap();
    let engine = open(&disk, small()).await;
    assert_eq!(crate::engine::tests::all(&engine, log, Offset(0)).await.len(), 50);
    engine.close().await;
}
