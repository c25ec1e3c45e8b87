//! The store: bytes on a disk. [`Disk`] and [`File`] are the seam for faults: everything above them is the same code
//! on a real disk ([`os::OsDisk`]) and on one that lives in memory and can be made to fail ([`memory::MemDisk`]).
//! [`journal::Journal`] stands on them. Nothing here knows what a record or a log is, and nothing here is async: only
//! threads that may block call it.

pub mod block;
pub mod journal;
pub mod memory;
pub mod os;

#[cfg(test)]
mod laws;

use std::io;
use std::sync::Arc;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// For reading; must exist.
    Read,
    /// For reading and writing; must exist.
    Write,
    /// For reading and writing; must not exist.
    CreateNew,
    /// For reading and writing; made empty if it does not exist.
    CreateOrOpen,
}

/// Blocking file operations. Names are `/`-separated relative paths chosen by us, never user text; a name that is
/// absolute, empty, or has a `.`, `..` or empty part is refused with `InvalidInput`. The root itself is `""` where a
/// directory is asked for.
pub trait Disk: Send + Sync + 'static {
    /// `NotFound`, `AlreadyExists` as [`Open`] says. A new file's name is durable after [`Disk::sync_dir`] only.
    fn open(&self, name: &str, how: Open) -> io::Result<Arc<dyn File>>;
    /// Makes a directory and those above it; fine if it exists. Durable after the parent's [`Disk::sync_dir`].
    fn create_dir_all(&self, name: &str) -> io::Result<()>;
    /// The names directly in `dir`, sorted, without the path; a missing directory is empty.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;
    /// Renames a file, replacing `to` if it is one; `IsADirectory` if either is none. Durable after [`Disk::sync_dir`] of both directories.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file, or an empty directory. Durable after [`Disk::sync_dir`].
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes the names in `dir` durable.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;
    /// What is left for us to write.
    fn free_bytes(&self) -> io::Result<u64>;
    /// The size of the volume, whoever uses it.
    fn total_bytes(&self) -> io::Result<u64>;
}

/// An open file. Calls may come from several threads at once.
pub trait File: Send + Sync {
    /// Reads at most `buf.len()` bytes; 0 at or behind the end.
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize>;
    /// Writes all of the slices, one behind the other, growing the file if need be. After an error any part may stand.
    fn write_at(&self, slices: &[&[u8]], at: u64) -> io::Result<()>;
    /// Makes bytes and length durable (fdatasync). After an error nothing is known: the file must be read again from
    /// the disk ([`File::reread`]), never synced again.
    fn sync(&self) -> io::Result<()>;
    fn len(&self) -> io::Result<u64>;
    /// Cuts or grows (with zeros, without taking space).
    fn set_len(&self, bytes: u64) -> io::Result<()>;
    /// Takes space for the first `bytes` bytes, growing the file if it is shorter: a full disk is met here and not by a
    /// later write (`StorageFull`). What stands in the file stays.
    fn allocate(&self, bytes: u64) -> io::Result<()>;
    /// Forgets what the system holds in memory of the file's bytes at and behind `from`, as far as they are not waiting to
    /// be written: later reads see what the disk has. After a failed sync that is not the same.
    fn reread(&self, from: u64) -> io::Result<()>;

    /// Writes whole blocks: the place and the length are multiples of [`block::BLOCK_BYTES`], as is the place in memory
    /// ([`block::Blocks`]). Means the same as [`File::write_at`], and goes past the system's cache where it can.
    fn write_blocks(&self, blocks: &[u8], at: u64) -> io::Result<()> {
        self.write_at(&[blocks], at)
    }

    /// Reads whole blocks, aligned as in [`File::write_blocks`], past the system's cache where it can.
    fn read_blocks(&self, blocks: &mut [u8], at: u64) -> io::Result<usize> {
        self.read_at(blocks, at)
    }

    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Fills `buf` or fails with `UnexpectedEof`.
    fn read_exact_at(&self, mut buf: &mut [u8], mut at: u64) -> io::Result<()> {
        while !buf.is_empty() {
            match self.read_at(buf, at)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => {
                    buf = &mut buf[n..];
                    at += n as u64;
                }
            }
        }
        Ok(())
    }
}

/// What can be read as a file and is none of its own: see [`ReadOnly`].
pub trait Reads: Send + Sync {
    /// As [`File::read_at`].
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize>;
    /// In bytes.
    fn length(&self) -> io::Result<u64>;
}

/// A file that is only read.
pub struct ReadOnly<R>(pub R);

impl<R: Reads> File for ReadOnly<R> {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.0.read_at(buf, at)
    }

    fn len(&self) -> io::Result<u64> {
        self.0.length()
    }

    fn write_at(&self, _: &[&[u8]], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn allocate(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn reread(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// Could the disk not read or write (EIO)? Nothing is said about the bytes by that.
pub fn is_broken(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

/// Is this the disk being full (or a quota)? Then nothing is broken: it passes when there is room again.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Refuses names that could leave the root.
fn check_name(name: &str) -> io::Result<()> {
    let fine = name.split('/').all(|part| !part.is_empty() && part != "." && part != ".." && !part.contains('\0'));
    if fine { Ok(()) } else { Err(io::Error::new(io::ErrorKind::InvalidInput, format!("not a store name: {name:?}"))) }
}

/// The directory of a name, `""` for the root.
fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(dir, _)| dir)
}
