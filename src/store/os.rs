//! The real disk: a directory of the operating system's file system. Never asks the time, never retries a failed sync.

use std::fs;
use std::io::{self, IoSlice};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustix::fs::{Advice, FallocateFlags, FlockOperation, OFlags, fadvise, fallocate, flock, statvfs};
use rustix::io::{Errno, pwritev};

use super::{Disk, File, Open, check_name};

/// The most slices one `pwritev` takes (IOV_MAX of every system we run on).
const SLICES_MAX: usize = 1024;

/// A directory and everything in it.
pub struct OsDisk {
    root: PathBuf,
    past_cache: bool,
}

impl OsDisk {
    /// The directory must exist.
    pub fn new(root: impl Into<PathBuf>) -> OsDisk {
        OsDisk { root: root.into(), past_cache: true }
    }

    /// Whether blocks go past the system's cache, where the file system can. They do unless this says no.
    pub fn past_cache(self, past_cache: bool) -> OsDisk {
        OsDisk { past_cache, ..self }
    }

    fn path(&self, name: &str) -> io::Result<PathBuf> {
        check_name(name)?;
        Ok(self.root.join(name))
    }

    fn dir(&self, name: &str) -> io::Result<PathBuf> {
        if name.is_empty() { Ok(self.root.clone()) } else { self.path(name) }
    }
}

impl Disk for OsDisk {
    fn open(&self, name: &str, how: Open) -> io::Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true);
        match how {
            Open::Read => &mut options,
            Open::Write => options.write(true),
            Open::CreateNew => options.write(true).create_new(true),
            Open::CreateOrOpen => options.write(true).create(true),
        };
        let file = options.open(self.path(name)?)?;
        if file.metadata()?.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let blocks = if self.past_cache { OnceLock::new() } else { OnceLock::from(None) };
        Ok(Arc::new(OsFile { file, writes: how != Open::Read, blocks }))
    }

    fn create_dir_all(&self, name: &str) -> io::Result<()> {
        fs::create_dir_all(self.dir(name)?)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.dir(dir)?) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut names = Vec::new();
        for entry in entries {
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.path(from)?, self.path(to)?);
        if fs::symlink_metadata(&from)?.is_dir() || to.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        fs::rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.path(name)?;
        if fs::symlink_metadata(&path)?.is_dir() { fs::remove_dir(path) } else { fs::remove_file(path) }
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        fs::File::open(self.dir(dir)?)?.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let stat = statvfs(&self.root)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn total_bytes(&self) -> io::Result<u64> {
        let stat = statvfs(&self.root)?;
        Ok(stat.f_blocks.saturating_mul(stat.f_frsize))
    }
}

struct OsFile {
    file: fs::File,
    writes: bool,
    /// The same file once more, for whole blocks past the cache: opened when it is first needed. `None`: it cannot be.
    blocks: OnceLock<Option<fs::File>>,
}

impl OsFile {
    fn blocks(&self) -> Option<&fs::File> {
        let open = || {
            let mut options = fs::OpenOptions::new();
            options.read(true).write(self.writes).custom_flags(OFlags::DIRECT.bits() as i32);
            // By its handle: its name may have changed.
            options.open(format!("/proc/self/fd/{}", self.file.as_raw_fd())).ok()
        };
        self.blocks.get_or_init(open).as_ref()
    }
}

impl File for OsFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        loop {
            match self.file.read_at(buf, at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                done => return done,
            }
        }
    }

    fn write_at(&self, slices: &[&[u8]], mut at: u64) -> io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
        let mut left = &mut slices[..];
        IoSlice::advance_slices(&mut left, 0); // drops leading empty slices
        while !left.is_empty() {
            match pwritev(&self.file, &left[..left.len().min(SLICES_MAX)], at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    at += n as u64;
                    IoSlice::advance_slices(&mut left, n);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        loop {
            match fallocate(&self.file, FallocateFlags::empty(), 0, bytes) {
                Ok(()) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP) => break,
                Err(error) => return Err(error.into()),
            }
        }
        // A file system without fallocate: zeros behind the end take the space.
        static ZEROS: [u8; 64 << 10] = [0; 64 << 10];
        let mut at = self.len()?;
        while at < bytes {
            let n = (bytes - at).min(ZEROS.len() as u64) as usize;
            self.write_at(&[&ZEROS[..n]], at)?;
            at += n as u64;
        }
        Ok(())
    }

    fn reread(&self, from: u64) -> io::Result<()> {
        // The system forgets whole pages only, of whatever size it has.
        Ok(fadvise(&self.file, from & !0xffff, None, Advice::DontNeed)?)
    }
    fn write_blocks(&self, blocks: &[u8], at: u64) -> io::Result<()> {
        let mut done = 0;
        while let Some(direct) = self.blocks().filter(|_| done < blocks.len()) {
            match direct.write_at(&blocks[done..], at + done as u64) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // A file system that asks for more than our alignment; or a write that ended within a block.
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => break,
                written => done += written?,
            }
        }
        if done < blocks.len() { self.write_at(&[&blocks[done..]], at + done as u64) } else { Ok(()) }
    }

    fn read_blocks(&self, blocks: &mut [u8], at: u64) -> io::Result<usize> {
        while let Some(direct) = self.blocks() {
            match direct.read_at(blocks, at) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => break,
                done => return done,
            }
        }
        self.read_at(blocks, at)
    }
}

/// A data directory that is ours as long as this lives; the system gives it back when the process ends, however it ends.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held, not used")] fs::File);

/// Takes the data directory at `dir` (made if missing) for this process. `WouldBlock`: another process has it.
pub fn lock(dir: &Path) -> io::Result<Lock> {
    fs::create_dir_all(dir)?;
    let file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(dir.join("lock"))?;
    flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    Ok(Lock(file))
}
