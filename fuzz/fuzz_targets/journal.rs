//! A journal file that was changed on the disk. The checksums of headers and frames are put right, so that what stands
//! behind them is reached; every other input is scanned as it is. Opening and inspecting see the same, and what was
//! opened takes a frame and shows it again. Input: flags (1 byte), the file.
#![no_main]

use std::sync::Arc;

use interfluve::store::journal::{FrameOut, Journal, JournalOptions, Replayed};
use interfluve::store::memory::MemDisk;
use interfluve::store::{Disk, Open};
use interfluve_fuzz::{bounded, counted};
use libfuzzer_sys::fuzz_target;

counted!();

/// Where things stand: drawn in `src/store/journal/frame.rs`.
const START: usize = 8192;
const HEADER: usize = 64;

/// Puts the two header copies' and all frames' checksums right.
fn seal(file: &mut [u8]) {
    for at in [0, 4096] {
        if let Some(header) = file.get_mut(at..at + HEADER) {
            let crc = crc32c::crc32c(&header[..60]);
            header[60..].copy_from_slice(&crc.to_le_bytes());
        }
    }
    for at in (START..file.len()).step_by(64) {
        let Some(frame) = file.get_mut(at..) else { break };
        if frame.len() < HEADER || &frame[..4] != b"IFJR" {
            continue;
        }
        let length = u32::from_le_bytes([frame[48], frame[49], frame[50], frame[51]]) as usize;
        if let Some(payload) = frame.get(HEADER..HEADER.saturating_add(length)) {
            let crc = crc32c::crc32c_append(crc32c::crc32c(&frame[..56]), payload);
            frame[56..60].copy_from_slice(&crc.to_le_bytes());
        }
        let crc = crc32c::crc32c(&frame[..60]);
        frame[60..64].copy_from_slice(&crc.to_le_bytes());
    }
}

fuzz_target!(|data: &[u8]| {
    let [flags, file @ ..] = data else { return };
    let mut file = file.to_vec();
    if flags & 1 == 0 {
        seal(&mut file);
    }
    let disk = MemDisk::new();
    disk.create_dir_all("journal").expect("a directory");
    let written = disk.open("journal/journal-0000000000000001", Open::CreateNew).expect("a file");
    written.write_at(&[&file], 0).expect("the memory takes it");
    // The scan reads 1 MiB at once.
    let (inspected, whole) = bounded(&HEAP, file.len(), 8, 4 << 20, || {
        let mut seen = 0;
        let inspected = Journal::inspect(&disk, "journal", &mut |found| {
            seen += usize::from(matches!(found, Replayed::Frame(_)));
            Ok(())
        });
        (seen, inspected)
    });
    let mut chance = 7;
    let mut draw = || {
        chance += 1;
        chance
    };
    let options = JournalOptions { file_bytes: 64 << 10, keep_spare: 1 };
    let disk: Arc<dyn Disk> = Arc::new(disk);
    let mut seen = 0;
    let mut count = |found: Replayed| {
        seen += usize::from(matches!(found, Replayed::Frame(_)));
        Ok(())
    };
    let Ok((mut journal, _)) = Journal::open(disk.clone(), "journal", options, &mut draw, &mut count) else { return };
    assert!(whole.is_ok(), "what opens can be inspected");
    assert_eq!(seen, inspected, "opening and inspecting see the same frames");
    let Ok(number) = journal.write(&[FrameOut { kind: 1, slices: &[b"new"], payload_crc: None }]) else { return };
    journal.syncer().sync().expect("memory syncs");
    drop(journal);
    let mut found = false;
    Journal::open(disk, "journal", options, &mut draw, &mut |replayed| {
        found |= matches!(replayed, Replayed::Frame(frame) if frame.number == number && &frame.payload[..] == b"new");
        Ok(())
    })
    .expect("it opens again");
    assert!(found, "the frame that was written and synced is there");
});
