//! The laws that every disk obeys: the operating system's and both of memory's pass one suite.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use proptest::prelude::*;

use super::memory::MemDisk;
use super::os::{OsDisk, lock};
use super::{Disk, File, Open, is_full};

/// Holds a law against every kind of disk, each fresh.
pub(super) fn on_each_disk(law: impl Fn(Arc<dyn Disk>)) {
    let dir = tempfile::tempdir().unwrap();
    law(Arc::new(OsDisk::new(dir.path())));
    law(Arc::new(MemDisk::new()));
    law(Arc::new(MemDisk::faulty()));
}

fn contents(file: &dyn File) -> Vec<u8> {
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

fn kind<T>(result: io::Result<T>) -> ErrorKind {
    result.err().map_or_else(|| panic!("it was done"), |error| error.kind())
}

#[test]
fn a_file_is_opened_as_asked_or_not_at_all() {
    on_each_disk(|disk| {
        for (name, how, expected) in [
            ("a", Open::Read, Some(ErrorKind::NotFound)),
            ("a", Open::Write, Some(ErrorKind::NotFound)),
            ("a", Open::CreateNew, None),
            ("a", Open::CreateNew, Some(ErrorKind::AlreadyExists)),
            ("a", Open::Read, None),
            ("a", Open::Write, None),
            ("a", Open::CreateOrOpen, None),
            ("b", Open::CreateOrOpen, None),
            ("none/a", Open::CreateOrOpen, Some(ErrorKind::NotFound)),
        ] {
            assert_eq!(disk.open(name, how).err().map(|error| error.kind()), expected, "{name} {how:?}");
        }
    });
}

#[test]
fn names_that_could_leave_the_root_are_refused() {
    on_each_disk(|disk| {
        for name in ["/a", "../a", "a/../b", "a//b", "a/", "./a", ".", "", "a\0b"] {
            assert_eq!(kind(disk.open(name, Open::CreateOrOpen)), ErrorKind::InvalidInput, "{name:?}");
            assert_eq!(kind(disk.rename("a", name)), ErrorKind::InvalidInput, "{name:?}");
            assert_eq!(kind(disk.remove(name)), ErrorKind::InvalidInput, "{name:?}");
        }
        assert_eq!(kind(disk.list("..")), ErrorKind::InvalidInput);
        assert_eq!(kind(disk.create_dir_all("a/..")), ErrorKind::InvalidInput);
    });
}

#[test]
fn slices_are_written_one_behind_the_other() {
    on_each_disk(|disk| {
        let file = disk.open("a", Open::CreateNew).unwrap();
        file.write_at(&[b"", b"one", b"", b"two"], 0).unwrap();
        file.write_at(&[], 100).unwrap();
        file.write_at(&[b"ne"], 1).unwrap();
        file.write_at(&[b"four"], 8).unwrap();
        assert_eq!(contents(&*file), b"onetwo\0\0four");
    });
}

#[test]
fn more_slices_than_one_call_takes_are_written() {
    on_each_disk(|disk| {
        let file = disk.open("a", Open::CreateNew).unwrap();
        let parts: Vec<Vec<u8>> = (0..5000usize).map(|n| vec![n as u8; n % 7]).collect();
        let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        file.write_at(&slices, 0).unwrap();
        assert_eq!(contents(&*file), parts.concat());
    });
}

#[test]
fn reading_ends_at_the_end() {
    on_each_disk(|disk| {
        let file = disk.open("a", Open::CreateNew).unwrap();
        file.write_at(&[&[7; 5000]], 0).unwrap();
        let mut buf = [0; 100];
        for (at, expected) in [(0, 100), (4950, 50), (5000, 0), (9000, 0)] {
            assert_eq!(file.read_at(&mut buf, at).unwrap(), expected, "at {at}");
        }
        assert_eq!(kind(file.read_exact_at(&mut buf, 4950)), ErrorKind::UnexpectedEof);
    });
}

#[test]
fn a_file_opened_for_reading_is_not_written() {
    on_each_disk(|disk| {
        disk.open("a", Open::CreateNew).unwrap();
        let file = disk.open("a", Open::Read).unwrap();
        assert!(file.write_at(&[b"x"], 0).is_err());
        assert!(file.is_empty().unwrap());
    });
}

#[test]
fn what_was_cut_is_zeros_when_the_file_grows_again() {
    on_each_disk(|disk| {
        let file = disk.open("a", Open::CreateNew).unwrap();
        file.write_at(&[&[1; 10_000]], 0).unwrap();
        file.set_len(5).unwrap();
        file.set_len(10_000).unwrap();
        assert_eq!(contents(&*file), [&[1; 5][..], &[0; 9995]].concat());
    });
}

#[test]
fn allocating_grows_and_keeps() {
    on_each_disk(|disk| {
        let file = disk.open("a", Open::CreateNew).unwrap();
        file.write_at(&[b"abc"], 0).unwrap();
        for (bytes, len) in [(2, 3), (9000, 9000), (10, 9000)] {
            file.allocate(bytes).unwrap();
            assert_eq!(file.len().unwrap(), len, "allocate {bytes}");
        }
        assert_eq!(contents(&*file), [&b"abc"[..], &[0; 8997]].concat());
    });
}

#[test]
fn what_was_synced_is_there_after_rereading() {
    on_each_disk(|disk| {
        let file = disk.open("a", Open::CreateNew).unwrap();
        file.write_at(&[b"abc"], 0).unwrap();
        file.sync().unwrap();
        file.reread(0).unwrap();
        assert_eq!(contents(&*disk.open("a", Open::Read).unwrap()), b"abc");
    });
}

#[test]
fn directories_list_their_own_names_in_order() {
    on_each_disk(|disk| {
        disk.create_dir_all("b/c").unwrap();
        disk.create_dir_all("b/c").unwrap();
        disk.create_dir_all("").unwrap();
        for name in ["z", "b/2", "b/10", "b/c/deep", "bb"] {
            disk.open(name, Open::CreateNew).unwrap();
        }
        for (dir, expected) in
            [("", &["b", "bb", "z"][..]), ("b", &["10", "2", "c"]), ("b/c", &["deep"]), ("none", &[])]
        {
            assert_eq!(disk.list(dir).unwrap(), expected, "{dir:?}");
        }
        for dir in ["", "b", "b/c"] {
            disk.sync_dir(dir).unwrap();
        }
        assert_eq!(kind(disk.sync_dir("none")), ErrorKind::NotFound);
    });
}

#[test]
fn a_rename_replaces_and_an_open_file_follows() {
    on_each_disk(|disk| {
        disk.create_dir_all("d").unwrap();
        let file = disk.open("a", Open::CreateNew).unwrap();
        disk.open("d/b", Open::CreateNew).unwrap().write_at(&[b"old"], 0).unwrap();
        disk.rename("a", "d/b").unwrap();
        file.write_at(&[b"new!"], 0).unwrap();
        assert_eq!(contents(&*disk.open("d/b", Open::Read).unwrap()), b"new!");
        assert_eq!(disk.list("").unwrap(), ["d"]);
        assert_eq!(kind(disk.rename("a", "c")), ErrorKind::NotFound);
        assert_eq!(kind(disk.rename("d/b", "none/c")), ErrorKind::NotFound);
        assert_eq!(kind(disk.rename("d/b", "d")), ErrorKind::IsADirectory);
        assert_eq!(kind(disk.rename("d", "e")), ErrorKind::IsADirectory);
    });
}

#[test]
fn removing_takes_a_file_or_an_empty_directory() {
    on_each_disk(|disk| {
        disk.create_dir_all("d").unwrap();
        let file = disk.open("d/a", Open::CreateNew).unwrap();
        file.write_at(&[b"still"], 0).unwrap();
        assert_eq!(kind(disk.remove("d")), ErrorKind::DirectoryNotEmpty);
        disk.remove("d/a").unwrap();
        assert_eq!(contents(&*file), b"still", "an open file outlives its name");
        disk.remove("d").unwrap();
        assert_eq!(kind(disk.remove("d")), ErrorKind::NotFound);
        assert!(disk.list("").unwrap().is_empty());
    });
}

#[test]
fn there_is_room_on_a_fresh_disk() {
    on_each_disk(|disk| {
        let free = disk.free_bytes().unwrap();
        assert!(free > 1 << 20);
        assert!(disk.total_bytes().unwrap() >= free);
    });
}

#[test]
fn a_data_directory_has_one_owner() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("made/for/it");
    let held = lock(&path).unwrap();
    assert_eq!(kind(lock(&path)), ErrorKind::WouldBlock);
    drop(held);
    lock(&path).unwrap();
}

#[test]
fn a_full_disk_is_told_from_a_broken_one() {
    for (errno, expected) in
        [(rustix::io::Errno::NOSPC, true), (rustix::io::Errno::DQUOT, true), (rustix::io::Errno::IO, false)]
    {
        assert_eq!(is_full(&io::Error::from(errno)), expected, "{errno:?}");
    }
}

#[derive(Clone, Debug)]
enum Call {
    Open(usize, Open),
    Write(usize, u64, Vec<u8>),
    SetLen(usize, u64),
    Allocate(usize, u64),
    Sync(usize),
    Read(usize, u64, usize),
    CreateDir(usize),
    Rename(usize, usize),
    Remove(usize),
    List(usize),
}

const NAMES: [&str; 7] = ["a", "b", "d", "d/a", "d/e", "d/e/f", "x/y"];

/// Does a call, and says all that it tells.
fn perform(disk: &dyn Disk, call: &Call) -> Result<Vec<u8>, ErrorKind> {
    let file = |name: &usize| disk.open(NAMES[*name], Open::Write);
    let done = |_: ()| Vec::new();
    let result = match call {
        Call::Open(name, how) => disk.open(NAMES[*name], *how).map(|_| Vec::new()),
        Call::Write(name, at, bytes) => file(name).and_then(|file| file.write_at(&[bytes], *at)).map(done),
        Call::SetLen(name, bytes) => file(name).and_then(|file| file.set_len(*bytes)).map(done),
        Call::Allocate(name, bytes) => file(name).and_then(|file| file.allocate(*bytes)).map(done),
        Call::Sync(name) => file(name).and_then(|file| file.sync()).map(done),
        Call::Read(name, at, bytes) => file(name).and_then(|file| {
            let mut buf = vec![0; *bytes];
            let read = file.read_at(&mut buf, *at)?;
            buf.truncate(read);
            buf.extend_from_slice(&file.len()?.to_le_bytes());
            Ok(buf)
        }),
        Call::CreateDir(name) => disk.create_dir_all(NAMES[*name]).map(done),
        Call::Rename(from, to) => disk.rename(NAMES[*from], NAMES[*to]).map(done),
        Call::Remove(name) => disk.remove(NAMES[*name]).map(done),
        Call::List(name) => disk.list(NAMES[*name]).map(|names| names.join("\n").into_bytes()),
    };
    result.map_err(|error| error.kind())
}

fn call() -> impl Strategy<Value = Call> {
    let (name, at) = (0..NAMES.len(), 0..20_000u64);
    let how = prop_oneof![Just(Open::Read), Just(Open::Write), Just(Open::CreateNew), Just(Open::CreateOrOpen)];
    prop_oneof![
        3 => (name.clone(), how).prop_map(|(name, how)| Call::Open(name, how)),
        3 => (name.clone(), at.clone(), 0..9000usize, 0..255u8)
            .prop_map(|(name, at, bytes, fill)| Call::Write(name, at, vec![fill; bytes])),
        1 => (name.clone(), at.clone()).prop_map(|(name, bytes)| Call::SetLen(name, bytes)),
        1 => (name.clone(), 1..20_000u64).prop_map(|(name, bytes)| Call::Allocate(name, bytes)),
        1 => name.clone().prop_map(Call::Sync),
        3 => (name.clone(), at, 0..9000usize).prop_map(|(name, at, bytes)| Call::Read(name, at, bytes)),
        2 => name.clone().prop_map(Call::CreateDir),
        2 => (name.clone(), name.clone()).prop_map(|(from, to)| Call::Rename(from, to)),
        1 => name.clone().prop_map(Call::Remove),
        1 => name.prop_map(Call::List),
    ]
}

proptest! {
    /// Whatever is called in whatever order, memory answers as the operating system does.
    #[test]
    fn all_disks_are_the_same_disk(calls in proptest::collection::vec(call(), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        let (os, plain, faulty) = (OsDisk::new(dir.path()), MemDisk::new(), MemDisk::faulty());
        for call in &calls {
            let expected = perform(&os, call);
            prop_assert_eq!(&perform(&plain, call), &expected, "plain: {:?}", call);
            prop_assert_eq!(&perform(&faulty, call), &expected, "faulty: {:?}", call);
        }
    }
}
