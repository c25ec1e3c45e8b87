//! Flipped bits, unreadable sectors, missing files: what is hit is told, everything else is kept, nothing is invented.

use super::*;

/// A journal of several files, everything in it claimed but the last mark.
fn claimed() -> (MemDisk, Vec<(FrameNo, Vec<u8>)>) {
    let disk = MemDisk::faulty();
    let mut frames = Vec::new();
    let mut rng = fastrand::Rng::with_seed(4);
    for round in 0..3 {
        let (mut journal, ..) = open(Arc::new(disk.clone()), round).unwrap();
        for n in 0..14 {
            let payload: Vec<u8> = (0..rng.usize(..1500)).map(|_| rng.u8(..)).collect();
            frames.push((write(&mut journal, &payload), payload));
            if n % 5 == 4 {
                settle(&mut journal);
            }
        }
        settle(&mut journal);
    }
    (disk.crash(0), frames)
}

/// What was told is what was written, apart from exactly the frames said to be rot, of which there are so many at most.
fn check_loss(told: &Heard, frames: &[(FrameNo, Vec<u8>)], lost_at_most: u64, what: &str) -> u64 {
    let rotten = |number: &FrameNo| told.rot.iter().any(|(first, count)| (*first..first + count).contains(number));
    let expected: Vec<_> = frames.iter().filter(|(number, _)| !rotten(number)).cloned().collect();
    assert_eq!(told.frames, expected, "{what}");
    let lost = told.rot.iter().map(|(_, count)| count).sum();
    assert!(lost <= lost_at_most, "{what}: {lost} frames lost");
    lost
}

#[test]
fn one_flipped_bit_costs_one_frame_and_is_noticed() {
    let (disk, frames) = claimed();
    let mut rng = fastrand::Rng::with_seed(8);
    let mut noticed = 0;
    for name in journal_files(&disk) {
        let path = format!("{DIR}/{name}");
        let bytes = disk.open(&path, Open::Read).unwrap().len().unwrap();
        for block in 0..bytes / 512 {
            let bit = (block * 512 + rng.u64(..512)) * 8 + rng.u64(..8);
            disk.flip(&path, bit).unwrap();
            let (told, report) = inspect(&disk);
            let what = format!("bit {bit} of {name}");
            noticed += check_loss(&told, &frames, 1, &what) + report.headers_damaged + report.torn_bytes / 64;
            disk.flip(&path, bit).unwrap();
        }
    }
    assert!(noticed > 40, "only {noticed} noticed");
}

/// Every bit of one frame: header, payload, all of them.
#[test]
fn every_bit_of_a_frame_is_guarded() {
    let disk = MemDisk::faulty();
    let (mut journal, ..) = open(Arc::new(disk.clone()), 1).unwrap();
    let frames: Vec<_> = [b"one".to_vec(), vec![7; 64], b"three".to_vec()]
        .into_iter()
        .map(|payload| (write(&mut journal, &payload), payload))
        .collect();
    settle(&mut journal);
    let path = format!("{DIR}/{}", journal_files(&disk)[0]);
    let second = START + frame_bytes(3);
    for bit in second * 8..(second + frame_bytes(64)) * 8 {
        disk.flip(&path, bit).unwrap();
        assert_eq!(check_loss(&inspect(&disk).0, &frames, 1, "bit"), 1, "bit {bit} was not noticed");
        disk.flip(&path, bit).unwrap();
    }
}

#[test]
fn unreadable_sectors_cost_the_frames_in_them() {
    let (disk, frames) = claimed();
    let path = format!("{DIR}/{}", journal_files(&disk)[1]);
    disk.spoil(&path, START + 4096..START + 4097).unwrap();
    let (told, _) = inspect(&disk);
    // A 4096-byte block is the least a disk fails to read; its frames are gone, and the rest of the file is not.
    let lost = check_loss(&told, &frames, 12, "spoiled");
    assert!(lost > 0);
}

#[test]
fn a_missing_or_headless_file_is_rot() {
    for headless in [false, true] {
        let (disk, frames) = claimed();
        let files = journal_files(&disk);
        for (nth, name) in files.iter().enumerate() {
            let disk = disk.kill();
            let path = format!("{DIR}/{name}");
            if headless {
                COPIES.into_iter().for_each(|at| disk.flip(&path, at * 8 + 100).unwrap());
            } else {
                disk.remove(&path).unwrap();
            }
            let what = format!("headless {headless}, file {nth} of {}", files.len());
            for opened in [false, true] {
                let (told, report) = if opened {
                    let (_, told, report) = open(Arc::new(disk.clone()), 9).unwrap();
                    (told, report)
                } else {
                    inspect(&disk)
                };
                if nth == 0 {
                    // The oldest: nobody knows what was before. A missing one cannot be told from a forgotten one.
                    assert_eq!(told.rot.len(), usize::from(headless), "{what}");
                    assert!(frames.ends_with(&told.frames) && !told.frames.is_empty(), "{what}");
                } else if nth == files.len() - 1 {
                    // The newest: what it held is unknown; that it is gone is seen if it is there without a head.
                    assert_eq!(told.rot.len(), usize::from(headless), "{what}");
                    assert!(frames.starts_with(&told.frames), "{what}");
                } else {
                    assert!(check_loss(&told, &frames, 40, &what) > 1, "{what}");
                    assert_eq!(report.rotten, told.rot[0].1, "{what}");
                }
            }
        }
    }
}

#[test]
fn one_damaged_header_of_two_costs_nothing_and_is_noticed() {
    let (disk, frames) = claimed();
    for name in journal_files(&disk) {
        for copy in COPIES {
            let path = format!("{DIR}/{name}");
            disk.flip(&path, copy * 8 + 77).unwrap();
            let (told, report) = inspect(&disk);
            check_loss(&told, &frames, 0, &name);
            assert_eq!(report.headers_damaged, 1);
            disk.flip(&path, copy * 8 + 77).unwrap();
        }
    }
}

/// The hole that remains, so that nobody forgets it: damage to frames that no later frame claims looks like a torn tail.
#[test]
fn rot_before_the_mark_is_taken_for_a_torn_tail() {
    let disk = MemDisk::faulty();
    let (mut journal, ..) = open(Arc::new(disk.clone()), 1).unwrap();
    write(&mut journal, b"one");
    write(&mut journal, b"two");
    journal.syncer().sync().unwrap();
    let unmarked = disk.kill();
    settle(&mut journal);
    let flip = |disk: &MemDisk| disk.flip(&format!("{DIR}/{}", journal_files(disk)[0]), START * 8 + 520).unwrap();
    flip(&unmarked);
    flip(&disk);
    let (told, report) = inspect(&unmarked);
    assert_eq!((told.numbers(), told.rot, report.torn_bytes), (vec![], vec![], 2 * frame_bytes(3)));
    let (told, report) = inspect(&disk);
    assert_eq!((told.numbers(), told.rot, report.torn_bytes), (vec![2], vec![(1, 1)], 0));
}

#[test]
fn rot_stays_rot_however_often_it_is_read() {
    let (disk, frames) = claimed();
    let path = format!("{DIR}/{}", journal_files(&disk)[0]);
    disk.flip(&path, START * 8 + 40).unwrap();
    let first = inspect(&disk).0;
    assert_eq!(check_loss(&first, &frames, 1, "first"), 1);
    for round in 0..3 {
        let (_, told, _) = open(Arc::new(disk.clone()), round).unwrap();
        assert_eq!(told, first);
    }
}

/// A payload that holds the journal's own bytes, frames and all, is never taken for frames, not even when the header of
/// the frame around it is lost.
#[test]
fn payload_forges_no_frame() {
    let disk = MemDisk::faulty();
    let (mut journal, ..) = open(Arc::new(disk.clone()), 1).unwrap();
    let mut frames = vec![(write(&mut journal, &[3; 500]), vec![3; 500])];
    let path = format!("{DIR}/{}", journal_files(&disk)[0]);
    let mut copy = vec![0; frame_bytes(500) as usize];
    disk.open(&path, Open::Read).unwrap().read_exact_at(&mut copy, START).unwrap();
    let open = journal.open.as_ref().unwrap();
    // As good a forgery as can be had without knowing where it will stand: right salt, right number.
    let forged = FrameHeader { kind: 1, number: 2, durable: 1, at: open.end, length: 0 }.encode(&open.salt, &[], None);
    copy.extend_from_slice(&forged);
    let lost = open.end;
    frames.push((write(&mut journal, &copy), copy));
    frames.push((write(&mut journal, b"after"), b"after".to_vec()));
    settle(&mut journal);
    check_loss(&inspect(&disk).0, &frames, 0, "whole");
    disk.flip(&path, lost * 8 + 300).unwrap();
    assert_eq!(check_loss(&inspect(&disk).0, &frames, 1, "without its header"), 1);
}

/// What stood in a file that is gone may have been acknowledged, though no frame behind it says so.
#[test]
fn a_missing_file_is_rot_even_if_nothing_claims_what_it_held() {
    let disk = MemDisk::faulty();
    let (mut journal, ..) = open(Arc::new(disk.clone()), 1).unwrap();
    let mut frames = Vec::new();
    while journal.used.len() < 3 {
        frames.push((write(&mut journal, &[1; 900]), vec![1; 900]));
    }
    journal.syncer().sync().unwrap();
    disk.remove(&format!("{DIR}/{}", journal_files(&disk)[1])).unwrap();
    let (told, report) = inspect(&disk);
    assert_eq!(report.durable, 0);
    assert!(check_loss(&told, &frames, 40, "the second of three") > 1);
    assert_eq!(report.next, frames.len() as u64 + 1);
}

#[test]
fn numbers_are_remembered_by_a_file_that_lost_all_its_frames() {
    let disk = MemDisk::faulty();
    for round in 1..=2 {
        let (mut journal, ..) = open(Arc::new(disk.clone()), round).unwrap();
        assert_eq!(write(&mut journal, b"x"), round);
        let upto = journal.syncer().sync().unwrap();
        journal.note_durable(upto);
        journal.forget(FrameNo::MAX).unwrap();
    }
    let files = journal_files(&disk);
    assert_eq!(files.len(), 1);
    disk.flip(&format!("{DIR}/{}", files[0]), START * 8 + 515).unwrap();
    for round in 0..3 {
        let (_, told, report) = open(Arc::new(disk.crash(0)), round).unwrap();
        assert_eq!((told.frames.len(), report.next), (0, 2));
        let _ = open(Arc::new(disk.clone()), round).unwrap();
    }
}

proptest::proptest! {
    /// Whatever stands in the files: reading ends, invents nothing, and a journal that was opened can be used.
    #[test]
    fn hostile_bytes_are_read_without_harm(
        wounds in proptest::collection::vec((0..6usize, 0..15_000u64, proptest::collection::vec(0..255u8, 0..80)), 0..8),
        cuts in proptest::collection::vec((0..6usize, 0..15_000u64), 0..3),
        moved in proptest::collection::vec((0..6usize, 0..230u64, 0..6usize, 0..230u64), 0..4),
    ) {
        let (disk, frames) = claimed();
        let files = journal_files(&disk);
        let file = |nth: usize| disk.open(&format!("{DIR}/{}", files[nth % files.len()]), Open::Write).unwrap();
        for (nth, at, bytes) in wounds {
            file(nth).write_at(&[&bytes], at).unwrap();
        }
        for (from, block, to, other) in moved {
            let mut bytes = vec![0; 1024];
            let read = file(from).read_at(&mut bytes, block * ALIGN).unwrap();
            file(to).write_at(&[&bytes[..read]], other * ALIGN).unwrap();
        }
        for (nth, bytes) in cuts {
            file(nth).set_len(bytes).unwrap();
        }
        let (told, _) = inspect(&disk);
        proptest::prop_assert!(told.frames.iter().all(|frame| frames.contains(frame)));
        proptest::prop_assert!(told.numbers().is_sorted_by(|a, b| a < b));
        let (mut journal, told, report) = open(Arc::new(disk.clone()), 1).unwrap();
        proptest::prop_assert!(told.frames.iter().all(|frame| frames.contains(frame)));
        proptest::prop_assert_eq!(write(&mut journal, b"more"), report.next);
        settle(&mut journal);
        let (_, again, _) = open(Arc::new(disk.crash(1)), 1).unwrap();
        proptest::prop_assert_eq!(&again.frames[..told.frames.len()], &told.frames[..]);
        proptest::prop_assert_eq!(again.frames.len(), told.frames.len() + 1);
    }
}
