//! What the faulty memory disk does to those who trust it.

use std::collections::BTreeSet;

use super::*;
use crate::store::is_full;

const SEEDS: u64 = 300;

fn contents(disk: &MemDisk, name: &str) -> Option<Vec<u8>> {
    let file = disk.open(name, Open::Read).ok()?;
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    Some(bytes)
}

/// A disk with one durable file of these bytes.
fn with_file(bytes: &[u8]) -> (MemDisk, Arc<dyn File>) {
    let disk = MemDisk::faulty();
    let file = disk.open("a", Open::CreateNew).unwrap();
    file.write_at(&[bytes], 0).unwrap();
    file.sync().unwrap();
    disk.sync_dir("").unwrap();
    (disk, file)
}

/// Everything that power cuts leave of the file.
fn leftovers(disk: &MemDisk) -> BTreeSet<Option<Vec<u8>>> {
    (0..SEEDS).map(|seed| contents(&disk.crash(seed), "a")).collect()
}

#[test]
fn what_was_synced_survives() {
    let (disk, _file) = with_file(&[1; 3000]);
    assert_eq!(leftovers(&disk), BTreeSet::from([Some(vec![1; 3000])]));
}

#[test]
fn a_write_that_was_not_synced_survives_in_any_part_by_sectors() {
    let (disk, file) = with_file(&[0; 1536]);
    file.write_at(&[&[1; 1536]], 0).unwrap();
    let left: BTreeSet<Vec<u8>> =
        leftovers(&disk).into_iter().map(|bytes| bytes.unwrap().into_iter().step_by(512).collect()).collect();
    assert_eq!(left.len(), 8, "each of the three sectors, with and without: {left:?}");
}

#[test]
fn writes_survive_out_of_order() {
    let (disk, file) = with_file(&[0; 8192]);
    file.write_at(&[b"1"], 0).unwrap();
    file.write_at(&[b"2"], 4096).unwrap();
    let left: BTreeSet<(u8, u8)> =
        leftovers(&disk).into_iter().flatten().map(|bytes| (bytes[0], bytes[4096])).collect();
    assert_eq!(left, BTreeSet::from([(0, 0), (0, b'2'), (b'1', 0), (b'1', b'2')]));
}

#[test]
fn a_sector_is_never_a_mixture_of_moments() {
    let (disk, file) = with_file(&[0; 512]);
    file.write_at(&[&[1; 100]], 0).unwrap();
    file.write_at(&[&[2; 100]], 200).unwrap();
    let left: BTreeSet<(u8, u8)> = leftovers(&disk).into_iter().flatten().map(|bytes| (bytes[0], bytes[200])).collect();
    assert_eq!(left, BTreeSet::from([(0, 0), (1, 0), (1, 2)]));
}

#[test]
fn a_length_that_was_not_synced_may_be_lost() {
    let (disk, file) = with_file(&[1; 10]);
    file.write_at(&[&[1; 10]], 10).unwrap();
    file.set_len(5).unwrap();
    let left: BTreeSet<usize> = leftovers(&disk).into_iter().flatten().map(|bytes| bytes.len()).collect();
    assert_eq!(left, BTreeSet::from([5, 10, 20]));
}

#[test]
fn a_name_lives_by_the_sync_of_its_directory() {
    let disk = MemDisk::faulty();
    let file = disk.open("a", Open::CreateNew).unwrap();
    file.write_at(&[b"x"], 0).unwrap();
    file.sync().unwrap();
    assert_eq!(leftovers(&disk), BTreeSet::from([None, Some(b"x".to_vec())]));
    disk.sync_dir("").unwrap();
    assert_eq!(leftovers(&disk), BTreeSet::from([Some(b"x".to_vec())]));
    disk.remove("a").unwrap();
    assert_eq!(leftovers(&disk), BTreeSet::from([None, Some(b"x".to_vec())]));
    disk.sync_dir("").unwrap();
    assert_eq!(leftovers(&disk), BTreeSet::from([None]));
}

#[test]
fn a_rename_happens_whole_within_a_directory() {
    let (disk, _file) = with_file(b"x");
    disk.rename("a", "b").unwrap();
    let left: BTreeSet<Vec<String>> = (0..SEEDS).map(|seed| disk.crash(seed).list("").unwrap()).collect();
    assert_eq!(left, BTreeSet::from([vec!["a".to_owned()], vec!["b".to_owned()]]));
}

#[test]
fn a_directory_takes_what_is_in_it_along() {
    let disk = MemDisk::faulty();
    disk.create_dir_all("d").unwrap();
    disk.open("d/a", Open::CreateNew).unwrap();
    disk.sync_dir("d").unwrap();
    let left: BTreeSet<usize> = (0..SEEDS).map(|seed| disk.crash(seed).list("d").unwrap().len()).collect();
    assert_eq!(left, BTreeSet::from([0, 1]));
}

#[test]
fn a_failed_sync_is_a_trap() {
    let (disk, file) = with_file(b"old");
    file.write_at(&[b"new"], 0).unwrap();
    disk.fail_at(disk.calls() + 1, Fault::Broken);
    assert!(file.sync().is_err());
    file.sync().unwrap();
    assert_eq!(contents(&disk, "a").unwrap(), b"new", "the cache still shows it");
    assert_eq!(leftovers(&disk), BTreeSet::from([Some(b"old".to_vec())]), "the disk never got it");
    file.reread(0).unwrap();
    assert_eq!(contents(&disk, "a").unwrap(), b"old");
}

#[test]
fn a_killed_process_leaves_what_it_wrote_and_no_more_durable_than_it_was() {
    let (disk, file) = with_file(b"old");
    file.write_at(&[b"new"], 0).unwrap();
    let killed = disk.kill();
    assert_eq!(contents(&killed, "a").unwrap(), b"new");
    assert_eq!(leftovers(&killed), BTreeSet::from([Some(b"old".to_vec()), Some(b"new".to_vec())]));
    file.write_at(&[b"too late"], 0).unwrap();
    assert_eq!(contents(&killed, "a").unwrap(), b"new");
}

#[test]
fn faults_come_at_the_call_they_were_ordered_for() {
    for (fault, expected) in [(Fault::Broken, "____"), (Fault::Full, "____"), (Fault::Half, "ab__")] {
        let (disk, file) = with_file(b"____");
        disk.fail_at(disk.calls() + 2, fault);
        file.write_at(&[b"_"], 0).unwrap();
        let error = file.write_at(&[b"a", b"bcd"], 0).unwrap_err();
        assert_eq!(is_full(&error), fault == Fault::Full);
        assert_eq!(contents(&disk, "a").unwrap(), expected.as_bytes(), "{fault:?}");
        file.write_at(&[b"done"], 0).unwrap();
    }
}

#[test]
fn the_power_goes_off_before_or_after_a_call() {
    for (when, expected) in [(When::Before, b"old"), (When::After, b"new")] {
        let (disk, file) = with_file(b"old");
        file.write_at(&[b"new"], 0).unwrap();
        disk.crash_at(disk.calls() + 1, when);
        assert!(file.sync().is_err());
        assert!(
            disk.is_off() && file.len().is_err() && disk.list("").is_err() && disk.open("b", Open::CreateNew).is_err()
        );
        assert!(leftovers(&disk).contains(&Some(expected.to_vec())), "{when:?}");
        assert_eq!(leftovers(&disk).len(), if when == When::After { 1 } else { 2 });
    }
}

#[test]
fn a_full_disk_takes_what_was_allocated_and_nothing_else() {
    let (disk, file) = with_file(&[1; 4096]);
    disk.set_capacity(Some(12_288));
    file.allocate(8192).unwrap();
    assert_eq!(disk.free_bytes().unwrap(), 4096);
    let other = disk.open("b", Open::CreateNew).unwrap();
    assert!(is_full(&other.allocate(8192).unwrap_err()));
    assert!(is_full(&file.write_at(&[&[1; 9000]], 4096).unwrap_err()));
    file.write_at(&[&[1; 4096]], 4096).unwrap();
    disk.remove("a").unwrap();
    other.allocate(8192).unwrap();
}

#[test]
fn bits_flip_and_sectors_die() {
    let (disk, file) = with_file(&[0; 9000]);
    disk.flip("a", 8 * 5000 + 3).unwrap();
    assert_eq!(contents(&disk, "a").unwrap()[5000], 8);
    assert_eq!(contents(&disk.crash(1), "a").unwrap()[5000], 8);
    disk.spoil("a", 100..200).unwrap();
    let mut buf = [0; 50];
    for (at, fine) in [(0, true), (50, true), (51, false), (199, false), (200, true)] {
        assert_eq!(file.read_at(&mut buf, at).is_ok(), fine, "at {at}");
    }
    file.write_at(&[&[1; 512]], 0).unwrap();
    assert_eq!(file.read_at(&mut buf, 100).unwrap(), 50, "written again");
    disk.spoil("a", 0..10).unwrap();
    assert!(file.read_at(&mut buf, 0).is_err());
    disk.mend("a").unwrap();
    assert_eq!(file.read_at(&mut buf, 0).unwrap(), 50);
    assert_eq!(buf, [1; 50]);
}

#[test]
fn the_same_calls_give_the_same_disk() {
    let run = |text: &[u8]| {
        let (disk, file) = with_file(text);
        file.write_at(&[text], 700).unwrap();
        (disk.trace(), (0..20).map(|seed| contents(&disk.crash(seed), "a")).collect::<Vec<_>>())
    };
    assert_eq!(run(b"same"), run(b"same"));
    assert_ne!(run(b"same").0, run(b"else").0);
}
