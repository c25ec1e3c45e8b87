//! A disk in memory. [`MemDisk::new`] keeps what it is given and never fails. [`MemDisk::faulty`] is the same disk with
//! everything that real ones do to those who trust them:
//!
//! - bytes are durable after `sync` and names after `sync_dir`, not before; [`MemDisk::crash`] is a power cut that keeps
//!   any part of what was not: whole files' writes lost, cut off, torn at 512-byte sectors or out of order;
//! - a failed sync drops what it should have written, and the next one succeeds;
//! - a full disk, failing and half-done calls, the power going off before or after any call ([`MemDisk::fail_at`],
//!   [`MemDisk::crash_at`]: calls that change something are numbered from 1);
//! - flipped bits and unreadable bytes.
//!
//! All chance comes from seeds, and the same calls give the same disk.

mod inode;
mod names;
mod pages;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Disk, File, Open, check_name, parent};
use inode::Inode;
use names::{Names, Node};

/// A disk in memory. Clones are the same disk.
#[derive(Clone)]
pub struct MemDisk(Arc<Shared>);

struct Shared {
    /// Are changes tracked, calls numbered and faults done?
    faulty: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    names: Names,
    /// The number of the last call that changed something.
    calls: u64,
    faults: BTreeMap<u64, Fault>,
    crash: Option<(u64, When)>,
    /// The power is off: every call fails.
    off: bool,
    capacity: Option<u64>,
    /// A running checksum of all calls.
    trace: u32,
}

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing happens but an input/output error. A sync also drops all that it should have written.
    Broken,
    /// Nothing happens, and the disk says it is full.
    Full,
    /// A write does half of it and then breaks; other calls are done and say that they are broken.
    Half,
}

/// When the power goes off: the call itself fails in both cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Before,
    /// The call was done, as far as an undurable change is done.
    After,
}

/// Which part of the unsynced changes of a file, or of the names in a directory, a power cut leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Survives {
    Nothing,
    Everything,
    /// The older ones.
    Prefix,
    /// Any of them, sector by sector and name by name.
    Sectors,
}

/// Chance from a seed (splitmix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Less than `n`, which is not 0.
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn survives(&mut self) -> Survives {
        match self.below(6) {
            0 => Survives::Nothing,
            1 => Survives::Everything,
            2 | 3 => Survives::Prefix,
            _ => Survives::Sectors,
        }
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn broken() -> io::Error {
    rustix::io::Errno::IO.into()
}

fn full() -> io::Error {
    rustix::io::Errno::NOSPC.into()
}

impl Default for MemDisk {
    fn default() -> MemDisk {
        MemDisk::new()
    }
}

impl MemDisk {
    /// A disk that never fails and never forgets, as long as the process lives.
    pub fn new() -> MemDisk {
        MemDisk::with(false, State::default())
    }

    /// A disk on which everything can go wrong, and nothing does until it is asked to.
    pub fn faulty() -> MemDisk {
        MemDisk::with(true, State::default())
    }

    fn with(faulty: bool, state: State) -> MemDisk {
        MemDisk(Arc::new(Shared { faulty, state: Mutex::new(state) }))
    }

    /// How many calls have changed something so far.
    pub fn calls(&self) -> u64 {
        held(&self.0.state).calls
    }

    /// A checksum of all changing calls with their arguments, to compare two runs by.
    pub fn trace(&self) -> u32 {
        held(&self.0.state).trace
    }

    /// Lets the `call`-th changing call fail.
    pub fn fail_at(&self, call: u64, fault: Fault) {
        held(&self.0.state).faults.insert(call, fault);
    }

    /// Turns the power off at the `call`-th changing call.
    pub fn crash_at(&self, call: u64, when: When) {
        held(&self.0.state).crash = Some((call, when));
    }

    /// Every later call fails.
    pub fn power_off(&self) {
        held(&self.0.state).off = true;
    }

    pub fn is_off(&self) -> bool {
        held(&self.0.state).off
    }

    /// The size of the disk in bytes, or no limit. Making it smaller than what is taken leaves a full disk.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        held(&self.0.state).capacity = bytes;
    }

    /// The disk after a power cut now, as the seed has it. This one stays as it is.
    pub fn crash(&self, seed: u64) -> MemDisk {
        let state = held(&self.0.state);
        let names = state.names.after_power_cut(&mut Chance(seed));
        MemDisk::with(true, State { names, capacity: state.capacity, ..State::default() })
    }

    /// The disk after the process was killed now: everything written is there, and what was not synced can still be lost.
    /// This one stays as it is.
    pub fn kill(&self) -> MemDisk {
        let state = held(&self.0.state);
        MemDisk::with(true, State { names: state.names.copy(), capacity: state.capacity, ..State::default() })
    }

    /// Flips one bit of a file on the disk; counted from its first byte's lowest.
    pub fn flip(&self, name: &str, bit: u64) -> io::Result<()> {
        let inode = held(&self.0.state).names.file(name)?;
        held(&inode).flip(bit);
        Ok(())
    }

    /// Makes bytes of a file unreadable until they are written again.
    pub fn spoil(&self, name: &str, range: Range<u64>) -> io::Result<()> {
        let inode = held(&self.0.state).names.file(name)?;
        held(&inode).spoil(range);
        Ok(())
    }

    /// Makes all of a file readable again, as it was.
    pub fn mend(&self, name: &str) -> io::Result<()> {
        let inode = held(&self.0.state).names.file(name)?;
        held(&inode).mend();
        Ok(())
    }
}

/// What happens to a call that changes something.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Course {
    Do,
    /// Nothing is done; the call fails.
    Refuse(Fault),
    /// It is done, by half if it is a write; the call fails.
    Half,
    /// It is done, but the power is off before anyone is told.
    Unheard,
}

impl State {
    /// Gives the call its number and its fate.
    fn begin(&mut self, call: &str, name: &str, numbers: [u64; 2]) -> io::Result<Course> {
        if self.off {
            return Err(broken());
        }
        self.calls += 1;
        self.trace = crc32c::crc32c_append(self.trace, call.as_bytes());
        self.trace = crc32c::crc32c_append(self.trace, name.as_bytes());
        for number in numbers {
            self.trace = crc32c::crc32c_append(self.trace, &number.to_le_bytes());
        }
        if let Some((at, when)) = self.crash
            && at <= self.calls
        {
            self.off = true;
            return if when == When::Before { Err(broken()) } else { Ok(Course::Unheard) };
        }
        Ok(match self.faults.remove(&self.calls) {
            None => Course::Do,
            Some(Fault::Half) => Course::Half,
            Some(fault) => Course::Refuse(fault),
        })
    }

    fn taken(&self) -> u64 {
        self.names.files().map(|inode| held(inode).taken).sum()
    }

    /// Is there room for so many bytes more?
    fn has_room(&self, more: u64) -> bool {
        self.capacity.is_none_or(|capacity| more == 0 || self.taken() + more <= capacity)
    }
}

impl Course {
    fn error(self) -> io::Error {
        if self == Course::Refuse(Fault::Full) { full() } else { broken() }
    }

    /// Do it, and say so; or do it or not, and fail.
    fn run<T>(self, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match self {
            Course::Do => act(),
            Course::Refuse(_) => Err(self.error()),
            Course::Half | Course::Unheard => act().and(Err(self.error())),
        }
    }
}

impl Disk for MemDisk {
    fn open(&self, name: &str, how: Open) -> io::Result<Arc<dyn File>> {
        check_name(name)?;
        let state = &mut *held(&self.0.state);
        if state.off {
            return Err(broken());
        }
        let inode = match state.names.get(name) {
            Some(_) if how == Open::CreateNew => return Err(io::ErrorKind::AlreadyExists.into()),
            Some(Node::File(inode)) => inode.clone(),
            Some(Node::Dir) => return Err(io::ErrorKind::IsADirectory.into()),
            None if matches!(how, Open::Read | Open::Write) => return Err(state.names.missing(name)),
            None => {
                let course = self.0.begin(state, "create", name, [0, 0])?;
                course.run(|| state.names.create(name))?
            }
        };
        Ok(Arc::new(MemFile { disk: self.0.clone(), inode, name: name.to_owned(), writable: how != Open::Read }))
    }

    fn create_dir_all(&self, name: &str) -> io::Result<()> {
        if name.is_empty() {
            return Ok(());
        }
        check_name(name)?;
        let state = &mut *held(&self.0.state);
        if !state.off && state.names.is_dir(name) {
            return Ok(());
        }
        let course = self.0.begin(state, "create_dir_all", name, [0, 0])?;
        course.run(|| state.names.create_dir_all(name))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        if !dir.is_empty() {
            check_name(dir)?;
        }
        let state = held(&self.0.state);
        if state.off { Err(broken()) } else { state.names.list(dir) }
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        check_name(from)?;
        check_name(to)?;
        let state = &mut *held(&self.0.state);
        let course = self.0.begin(state, "rename", from, [u64::from(crc32c::crc32c(to.as_bytes())), 0])?;
        course.run(|| state.names.rename(from, to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        check_name(name)?;
        let state = &mut *held(&self.0.state);
        let course = self.0.begin(state, "remove", name, [0, 0])?;
        course.run(|| state.names.remove(name))
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let state = &mut *held(&self.0.state);
        let course = self.0.begin(state, "sync_dir", dir, [0, 0])?;
        course.run(|| state.names.sync_dir(dir))
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = held(&self.0.state);
        Ok(state.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(state.taken())))
    }

    fn total_bytes(&self) -> io::Result<u64> {
        Ok(held(&self.0.state).capacity.unwrap_or(u64::MAX))
    }
}

impl Shared {
    fn begin(&self, state: &mut State, call: &str, name: &str, numbers: [u64; 2]) -> io::Result<Course> {
        if self.faulty { state.begin(call, name, numbers) } else { Ok(Course::Do) }
    }
}

struct MemFile {
    disk: Arc<Shared>,
    inode: Arc<Mutex<Inode>>,
    name: String,
    writable: bool,
}

impl MemFile {
    /// A call that changes the file: numbered, and refused if the disk is full and the file grows beyond `needs`.
    fn begin(&self, call: &str, numbers: [u64; 2], needs: u64) -> io::Result<Course> {
        if !self.writable {
            return Err(rustix::io::Errno::BADF.into());
        }
        if !self.disk.faulty {
            return Ok(Course::Do);
        }
        let state = &mut *held(&self.disk.state);
        let course = state.begin(call, &self.name, numbers)?;
        let more = needs.saturating_sub(held(&self.inode).taken);
        if !state.has_room(more) {
            return Ok(Course::Refuse(Fault::Full));
        }
        if course == Course::Do || course == Course::Unheard {
            held(&self.inode).taken += more;
        }
        Ok(course)
    }
}

impl File for MemFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        if self.disk.faulty && held(&self.disk.state).off {
            return Err(broken());
        }
        let inode = held(&self.inode);
        if !inode.readable(at..at + buf.len() as u64) {
            return Err(broken());
        }
        Ok(inode.cache.read(buf, at))
    }

    fn write_at(&self, slices: &[&[u8]], at: u64) -> io::Result<()> {
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        let end = at + length as u64;
        if length == 0 {
            return Ok(());
        }
        if !self.disk.faulty {
            if !self.writable {
                return Err(rustix::io::Errno::BADF.into());
            }
            let (mut inode, mut at) = (held(&self.inode), at);
            for slice in slices {
                inode.cache.write(slice, at);
                at += slice.len() as u64;
            }
            return Ok(());
        }
        let mut bytes = Vec::with_capacity(length);
        slices.iter().for_each(|slice| bytes.extend_from_slice(slice));
        let sum = u64::from(crc32c::crc32c(&bytes)) << 32 | length as u64;
        let course = self.begin("write_at", [at, sum], end.next_multiple_of(pages::PAGE as u64))?;
        if course == Course::Half {
            bytes.truncate(length / 2);
        }
        course.run(|| {
            held(&self.inode).write(at, bytes);
            Ok(())
        })
    }

    fn sync(&self) -> io::Result<()> {
        let course = self.begin("sync", [0, 0], 0)?;
        if !self.disk.faulty {
            return Ok(());
        }
        let mut inode = held(&self.inode);
        if matches!(course, Course::Refuse(_) | Course::Half) {
            inode.fail_sync();
            return Err(course.error());
        }
        course.run(|| {
            inode.sync();
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        if self.disk.faulty && held(&self.disk.state).off {
            return Err(broken());
        }
        Ok(held(&self.inode).cache.len())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let course = self.begin("set_len", [bytes, 0], 0)?;
        course.run(|| {
            let mut inode = held(&self.inode);
            inode.taken = inode.taken.min(bytes.next_multiple_of(pages::PAGE as u64));
            if self.disk.faulty {
                inode.set_len(bytes)
            } else {
                inode.cache.set_len(bytes)
            }
            Ok(())
        })
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        let course = self.begin("allocate", [bytes, 0], bytes.next_multiple_of(pages::PAGE as u64))?;
        course.run(|| {
            let mut inode = held(&self.inode);
            let grown = inode.cache.len().max(bytes);
            if grown > inode.cache.len() {
                if self.disk.faulty { inode.set_len(grown) } else { inode.cache.set_len(grown) }
            }
            Ok(())
        })
    }

    fn reread(&self, from: u64) -> io::Result<()> {
        held(&self.inode).reread(from);
        Ok(())
    }
}
