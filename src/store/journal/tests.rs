//! What the journal promises when nothing goes wrong, on every disk, and when the disk is full.

mod damage;
mod faults;

use super::*;
use crate::store::laws::on_each_disk;
use crate::store::memory::MemDisk;

const DIR: &str = "lanes/0";
const SMALL: JournalOptions = JournalOptions { file_bytes: 14 << 10, keep_spare: 1 };

fn chance(seed: u64) -> impl FnMut() -> u64 {
    let mut rng = fastrand::Rng::with_seed(seed);
    move || rng.u64(..)
}

/// What a replay told, in order.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    frames: Vec<(FrameNo, Vec<u8>)>,
    rot: Vec<(FrameNo, u64)>,
}

impl Heard {
    fn visit(&mut self, news: Replayed) -> io::Result<()> {
        match news {
            Replayed::Frame(frame) => self.frames.push((frame.number, frame.payload.to_vec())),
            Replayed::Rot { first, frames, .. } => self.rot.push((first, frames)),
        }
        Ok(())
    }

    fn numbers(&self) -> Vec<FrameNo> {
        self.frames.iter().map(|(number, _)| *number).collect()
    }
}

fn open(disk: Arc<dyn Disk>, seed: u64) -> io::Result<(Journal, Heard, ReplayReport)> {
    let mut told = Heard::default();
    let (journal, report) = Journal::open(disk, DIR, SMALL, &mut chance(seed), &mut |news| told.visit(news))?;
    Ok((journal, told, report))
}

fn inspect(disk: &dyn Disk) -> (Heard, ReplayReport) {
    let mut told = Heard::default();
    let report = Journal::inspect(disk, DIR, &mut |news| told.visit(news)).unwrap();
    (told, report)
}

fn write(journal: &mut Journal, payload: &[u8]) -> FrameNo {
    journal.write(&[FrameOut { kind: 1, slices: &[payload], payload_crc: None }]).unwrap()
}

/// Makes everything written durable, and lets it be claimed by the mark that follows.
fn settle(journal: &mut Journal) -> FrameNo {
    let upto = journal.syncer().sync().unwrap();
    journal.note_durable(upto);
    journal.mark().unwrap();
    journal.syncer().sync().unwrap();
    upto
}

fn journal_files(disk: &dyn Disk) -> Vec<String> {
    disk.list(DIR).unwrap().into_iter().filter(|name| name.starts_with("journal-")).collect()
}

#[test]
fn what_was_written_comes_back_round_after_round() {
    on_each_disk(|disk| {
        let mut written: Vec<(FrameNo, Vec<u8>)> = Vec::new();
        for round in 0..5u8 {
            let (mut journal, told, report) = open(disk.clone(), 1).unwrap();
            assert_eq!(told, Heard { frames: written.clone(), rot: vec![] });
            assert_eq!((report.frames as usize, report.rotten, report.torn_bytes), (written.len(), 0, 0));
            for size in [0usize, 1, 63, 64, 65, 4000, 20_000] {
                let bytes = vec![round; size];
                let slices: &[&[u8]] = &[&bytes[..size / 2], &[], &bytes[size / 2..]];
                let number = journal.write(&[FrameOut { kind: round, slices, payload_crc: None }]).unwrap();
                written.push((number, bytes));
            }
            assert_eq!(journal.syncer().sync().unwrap() as usize, written.len());
        }
        assert!(written.iter().map(|(number, _)| *number).eq(1..=35), "dense from 1");
    });
}

#[test]
fn kinds_come_back() {
    on_each_disk(|disk| {
        let (mut journal, ..) = open(disk.clone(), 1).unwrap();
        let frames: Vec<FrameOut<'_>> =
            [0, 7, 254].map(|kind| FrameOut { kind, slices: &[b"x"], payload_crc: None }).to_vec();
        assert_eq!(journal.write(&frames).unwrap(), 3);
        let mut kinds = Vec::new();
        Journal::inspect(&*disk, DIR, &mut |news| {
            let Replayed::Frame(frame) = news else { panic!("{news:?}") };
            kinds.push(frame.kind);
            Ok(())
        })
        .unwrap();
        assert_eq!(kinds, [0, 7, 254]);
    });
}

#[test]
fn forgotten_files_are_used_again_and_their_frames_stay_forgotten() {
    on_each_disk(|disk| {
        let (mut journal, ..) = open(disk.clone(), 1).unwrap();
        for _ in 0..60 {
            let last = write(&mut journal, &[9; 1500]);
            settle(&mut journal);
            journal.forget(last).unwrap();
            assert!(disk.list(DIR).unwrap().len() <= 4, "{:?}", disk.list(DIR));
            assert!(journal.live_bytes() <= 2 * SMALL.file_bytes);
        }
        let last = journal.written();
        drop(journal);
        let (journal, told, report) = open(disk, 2).unwrap();
        assert_eq!(report.next, last + 1);
        assert!(told.rot.is_empty() && told.frames.len() < 9 && told.numbers().last() == Some(&(last - 1)));
        assert_eq!(journal.written(), last);
    });
}

#[test]
fn the_oldest_file_is_told_and_freed_by_forgetting_its_last_frame() {
    on_each_disk(|disk| {
        let (mut journal, ..) = open(disk, 1).unwrap();
        assert_eq!(journal.oldest_file_last_frame(), None);
        while journal.used.len() < 3 {
            write(&mut journal, &[1; 900]);
        }
        assert_eq!(journal.oldest_file_last_frame(), None, "nothing behind it is known to be durable");
        settle(&mut journal);
        let last = journal.oldest_file_last_frame().unwrap();
        let live = journal.live_bytes();
        journal.forget(last).unwrap();
        assert_eq!(journal.live_bytes(), live);
        journal.forget(last + 1).unwrap();
        assert!(journal.live_bytes() < live && journal.oldest_file_last_frame() > Some(last));
        journal.forget(FrameNo::MAX).unwrap();
        assert_eq!(journal.oldest_file_last_frame(), None);
    });
}

#[test]
fn numbers_are_never_given_twice_even_if_all_is_forgotten() {
    on_each_disk(|disk| {
        for round in 0..6 {
            let (mut journal, _, report) = open(disk.clone(), round).unwrap();
            // Frames and marks of the rounds before.
            assert_eq!(report.next, 1 + round * 2);
            write(&mut journal, b"x");
            settle(&mut journal);
            journal.forget(FrameNo::MAX).unwrap();
        }
    });
}

#[test]
fn a_burst_is_one_write() {
    let disk = MemDisk::faulty();
    let (mut journal, ..) = open(Arc::new(disk.clone()), 1).unwrap();
    write(&mut journal, b"begins the file");
    let before = disk.calls();
    let frames = [FrameOut { kind: 1, slices: &[b"a", b"b"], payload_crc: None }; 40];
    journal.write(&frames).unwrap();
    assert_eq!(disk.calls() - before, 1);
}

#[test]
fn a_mark_is_written_only_if_it_claims_something() {
    let (mut journal, ..) = open(Arc::new(MemDisk::new()), 1).unwrap();
    journal.mark().unwrap();
    assert_eq!(journal.written(), 0, "there is nothing");
    write(&mut journal, b"x");
    journal.mark().unwrap();
    assert_eq!(journal.written(), 1, "nothing is durable");
    let upto = journal.syncer().sync().unwrap();
    journal.note_durable(upto);
    journal.reserve(100).unwrap();
    journal.mark().unwrap();
    assert_eq!(journal.written(), 1, "a frame is coming");
    journal.write(&[]).unwrap();
    journal.mark().unwrap();
    assert_eq!(journal.written(), 2);
    let upto = journal.syncer().sync().unwrap();
    journal.note_durable(upto);
    journal.mark().unwrap();
    assert_eq!(journal.written(), 2, "a mark needs no mark");
}

#[test]
fn two_threads_write_and_sync() {
    on_each_disk(|disk| {
        let (mut journal, ..) = open(disk.clone(), 1).unwrap();
        let mut syncer = journal.syncer();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let syncing = std::thread::spawn(move || {
            let mut last = 0;
            while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                let upto = syncer.sync().unwrap();
                assert!(upto >= last);
                last = upto;
            }
            syncer.sync().unwrap()
        });
        for n in 0..200u32 {
            write(&mut journal, &n.to_le_bytes());
        }
        drop(stop);
        assert_eq!(syncing.join().unwrap(), 200);
        assert_eq!(inspect(&*disk).0.frames.len(), 200);
    });
}

#[test]
fn inspecting_changes_nothing() {
    let disk = MemDisk::faulty();
    let (mut journal, ..) = open(Arc::new(disk.clone()), 1).unwrap();
    for _ in 0..30 {
        write(&mut journal, &[1; 1000]);
    }
    let calls = disk.calls();
    assert_eq!(inspect(&disk).0.numbers().len(), 30);
    assert_eq!(disk.calls(), calls);
}

#[test]
fn another_version_is_refused_by_name() {
    let disk = MemDisk::new();
    let (mut journal, ..) = open(Arc::new(disk.clone()), 1).unwrap();
    write(&mut journal, b"x");
    let name = format!("{DIR}/{}", journal_files(&disk)[0]);
    let file = disk.open(&name, Open::Write).unwrap();
    let mut header = [0; HEADER_BYTES];
    file.read_exact_at(&mut header, 0).unwrap();
    header[4] = 9;
    let crc = crc32c::crc32c(&header[..60]);
    header[60..].copy_from_slice(&crc.to_le_bytes());
    file.write_at(&[&header], 0).unwrap();
    let error = open(Arc::new(disk), 1).err().unwrap();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    assert!(error.to_string().contains("format 9") && error.to_string().contains("reads 1"), "{error}");
}

#[test]
fn what_was_reserved_can_be_written_on_a_full_disk() {
    for seed in 0..40 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let disk = MemDisk::faulty();
        disk.set_capacity(Some(rng.u64(60..200) << 10));
        let (mut journal, ..) = open(Arc::new(disk.clone()), seed).unwrap();
        let mut refused = false;
        while !refused {
            let mut sizes = Vec::new();
            for _ in 0..rng.usize(1..8) {
                let size = if rng.u8(..) < 30 { rng.usize(..40_000) } else { rng.usize(..3000) };
                let spared = if rng.bool() { rng.u64(..3000) } else { 0 };
                match journal.reserve_sparing(size as u64, spared) {
                    Ok(()) => sizes.push(size),
                    Err(error) => {
                        assert!(is_full(&error), "{error}");
                        refused = true;
                    }
                }
            }
            let capacity = disk.free_bytes().unwrap();
            disk.set_capacity(Some(0)); // Not a byte more than what was reserved.
            let zeros = vec![0; 40_000];
            let parts: Vec<[&[u8]; 1]> = sizes.iter().map(|size| [&zeros[..*size]]).collect();
            let frames: Vec<_> = parts.iter().map(|slices| FrameOut { kind: 1, slices, payload_crc: None }).collect();
            journal.write(&frames).unwrap();
            if rng.bool() {
                settle(&mut journal);
            }
            disk.set_capacity(Some(1 << 40));
            let taken = (1 << 40) - disk.free_bytes().unwrap();
            disk.set_capacity(Some(taken + capacity));
        }
        journal.syncer().sync().unwrap();
        let last = journal.written();
        assert_eq!(open(Arc::new(disk.crash(seed)), seed).unwrap().2.next, last + 1);
    }
}

#[test]
fn a_full_disk_refuses_and_takes_again_when_there_is_room() {
    let disk = MemDisk::faulty();
    let (mut journal, ..) = open(Arc::new(disk.clone()), 1).unwrap();
    write(&mut journal, &[1; 1000]);
    disk.set_capacity(Some(20 << 10));
    while journal.reserve(1000).is_ok() {
        write(&mut journal, &[1; 1000]);
    }
    assert!(is_full(&journal.reserve(1000).unwrap_err()));
    settle(&mut journal); // Reading, syncing and marking go on.
    assert_eq!(open(Arc::new(disk.crash(1)), 1).unwrap().2.next, journal.written() + 1, "it opens on a full disk");
    disk.set_capacity(Some(1 << 20));
    journal.reserve(1000).unwrap();
    write(&mut journal, &[1; 1000]);
}

#[test]
fn a_frame_larger_than_a_file_gets_one_and_that_is_not_kept() {
    let disk = MemDisk::new();
    let (mut journal, ..) = open(Arc::new(disk.clone()), 1).unwrap();
    let large = vec![5; 100_000];
    journal.reserve(100_000).unwrap();
    let first = write(&mut journal, &large);
    write(&mut journal, b"next");
    settle(&mut journal);
    assert_eq!(inspect(&disk).0.frames[0], (first, large));
    journal.forget(FrameNo::MAX).unwrap();
    assert!(disk.list(DIR).unwrap().iter().all(|name| !name.starts_with(SPARE)), "{:?}", disk.list(DIR));
}

#[test]
fn every_use_of_a_file_has_a_salt_of_its_own() {
    let (mut journal, ..) = open(Arc::new(MemDisk::new()), 1).unwrap();
    let mut salts = std::collections::BTreeSet::new();
    for _ in 0..200 {
        write(&mut journal, &[1; 2000]);
        settle(&mut journal);
        journal.forget(FrameNo::MAX).unwrap();
        salts.insert(journal.open.as_ref().unwrap().salt);
    }
    assert_eq!(salts.len() as u64, journal.next_sequence - 1);
    assert!(salts.len() > 50);
}
