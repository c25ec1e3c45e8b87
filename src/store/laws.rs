//! The laws every disk obeys, and the journal on every disk.

use std::sync::Arc;

use super::Disk;
use super::journal::{FrameOut, Journal, JournalOptions, Replayed};
use super::memory::MemDisk;
use super::os::OsDisk;

fn each(law: impl Fn(Arc<dyn Disk>)) {
    let dir = tempfile::tempdir().unwrap();
    law(Arc::new(OsDisk::new(dir.path())));
    law(Arc::new(MemDisk::new()));
}

fn chance() -> impl FnMut() -> u64 {
    let mut rng = fastrand::Rng::with_seed(7);
    move || rng.u64(..)
}

#[test]
fn a_journal_gives_back_what_was_written() {
    each(|disk| {
        let options = JournalOptions { file_bytes: 16 << 10, keep_spare: 1 };
        let mut written = Vec::new();
        for round in 0..5u8 {
            let mut seen = Vec::new();
            let (mut journal, report) = Journal::open(disk.clone(), "lane-0", options, &mut chance(), &mut |news| {
                match news {
                    Replayed::Frame(frame) => seen.push((frame.kind, frame.payload.to_vec())),
                    rot => panic!("{rot:?}"),
                }
                Ok(())
            })
            .unwrap();
            assert_eq!(seen, written);
            assert_eq!(report.frames as usize, written.len());
            let mut syncer = journal.syncer();
            for size in [0usize, 1, 63, 64, 65, 4000, 20_000] {
                let bytes = vec![round + 1; size];
                journal.reserve(size as u64).unwrap();
                journal.write(&[FrameOut { kind: round, slices: &[&bytes[..size / 2], &bytes[size / 2..]] }]).unwrap();
                written.push((round, bytes));
            }
            assert_eq!(syncer.sync().unwrap() as usize, written.len());
        }
    });
}
