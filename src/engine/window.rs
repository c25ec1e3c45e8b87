//! Reading a sidecar entry by entry through one part of it in memory, and bytes that may not be there: whether that is
//! damage, the caller knows.

use std::io;

use bytes::{Bytes, BytesMut};

use crate::log::segment::{self, HEAD_BYTES, Head, Slot};
use crate::store::{File, ReadOnly, Reads, is_broken};

/// How much of a sidecar is read at once while its heads are gathered.
const SIDE_READ_BYTES: usize = 256 * 1024;

/// A part of a sidecar.
#[derive(Default)]
pub struct Window {
    at: u64,
    bytes: Bytes,
}

impl Window {
    /// The entry at this place, if one is there whole and matches its checksum.
    pub fn entry(&mut self, side: &dyn File, at: u64, end: u64) -> io::Result<Option<(Head, Vec<Slot>)>> {
        let Some(head) = self.hold(side, at, HEAD_BYTES as u64, end)?.and_then(|bytes| segment::head(&bytes)) else {
            return Ok(None);
        };
        Ok(self.hold(side, at, u64::from(head.entry_bytes), end)?.and_then(|bytes| segment::slots(&bytes)))
    }

    /// So many bytes from a place on; `None` where the file has no such bytes.
    fn hold(&mut self, side: &dyn File, at: u64, bytes: u64, end: u64) -> io::Result<Option<Bytes>> {
        if at + bytes > end {
            return Ok(None);
        }
        if at < self.at || at + bytes > self.at + self.bytes.len() as u64 {
            let take = bytes.max(SIDE_READ_BYTES as u64).min(end - at);
            let mut window = BytesMut::zeroed(take as usize);
            if !read_if_there(side, &mut window, at)? {
                window.truncate(bytes as usize);
                if !read_if_there(side, &mut window, at)? {
                    return Ok(None);
                }
            }
            *self = Window { at, bytes: window.freeze() };
        }
        let from = (at - self.at) as usize;
        Ok(Some(self.bytes.slice(from..from + bytes as usize)))
    }
}

/// Fills `buf`; false where the file is too short. A disk that cannot read says nothing about the bytes: an error.
pub fn read_if_there(file: &dyn File, buf: &mut [u8], at: u64) -> io::Result<bool> {
    match file.read_exact_at(buf, at) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}

/// The same for who looks for damage, or has to go on without: what the disk cannot read counts as not there.
pub fn read_or_damaged(file: &dyn File, buf: &mut [u8], at: u64) -> io::Result<bool> {
    read_if_there(&gapped(file), buf, at)
}

/// A file in which what the disk cannot read counts as not there.
pub fn gapped(file: &dyn File) -> ReadOnly<Gapped<'_>> {
    ReadOnly(Gapped(file))
}

pub struct Gapped<'f>(&'f dyn File);

impl Reads for Gapped<'_> {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        match self.0.read_at(buf, at) {
            Err(e) if is_broken(&e) => Ok(0),
            read => read,
        }
    }

    fn length(&self) -> io::Result<u64> {
        self.0.len()
    }
}
