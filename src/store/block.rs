//! Memory in whole, aligned blocks: what a file needs to be written and read past the system's cache
//! ([`File::write_blocks`], [`File::read_blocks`]). No file is opened here and nothing is remembered of one.
//!
//! Why past the cache: what we write in bulk is read again from our own tail, or much later. Copying it into pages that
//! the system first has to find costs more CPU than everything else that happens to a record
//! (docs/decisions/0008-past-the-cache.md).

use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use super::File;

/// What a block's place and length are multiples of: no disk or file system in use asks for more.
pub const BLOCK_BYTES: usize = 4096;
/// From so much on it is worth going past the cache.
pub const BULK_BYTES: usize = 64 * 1024;
/// How much is gathered for one write.
pub const STAGING_BYTES: usize = 1 << 20;

/// Memory that begins at a multiple of [`BLOCK_BYTES`] and is as long as one.
pub struct Blocks {
    memory: Vec<u8>,
    skip: usize,
    bytes: usize,
}

impl Blocks {
    /// Zeros, at least so many.
    pub fn new(bytes: usize) -> Blocks {
        let bytes = bytes.next_multiple_of(BLOCK_BYTES);
        let memory = vec![0; bytes + BLOCK_BYTES - 1];
        // Never more than BLOCK_BYTES - 1 for memory of single bytes; the vector never grows, so it never moves.
        let skip = memory.as_ptr().align_offset(BLOCK_BYTES);
        Blocks { memory, skip, bytes }
    }
}

impl Deref for Blocks {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.skip..self.skip + self.bytes]
    }
}

impl DerefMut for Blocks {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.skip..self.skip + self.bytes]
    }
}

/// Writes `slices` at `at`, one behind the other: whole blocks by way of `staging` past the cache, what is left over at
/// both ends through it, so that the file ends where the slices end. After an error any part may stand.
pub fn write_bulk(file: &dyn File, staging: &mut Blocks, slices: &[&[u8]], at: u64) -> io::Result<()> {
    let bytes: usize = slices.iter().map(|slice| slice.len()).sum();
    if bytes < BULK_BYTES {
        return file.write_at(slices, at);
    }
    let block = BLOCK_BYTES as u64;
    let (mut at, end) = (at, at + bytes as u64);
    let mut source = Source { slices, used: 0 };
    let mut edge = [0; BLOCK_BYTES];
    for part_end in [at.next_multiple_of(block), end - end % block, end] {
        while at < part_end {
            let aligned = at % block == 0 && part_end - at >= block;
            let room: &mut [u8] = if aligned { staging } else { &mut edge };
            let some = room.len().min((part_end - at) as usize);
            source.fill(&mut room[..some]);
            if aligned {
                file.write_blocks(&room[..some], at)?;
            } else {
                file.write_at(&[&room[..some]], at)?;
            }
            at += some as u64;
        }
    }
    Ok(())
}

/// Slices that are taken from in order.
struct Source<'a> {
    slices: &'a [&'a [u8]],
    /// Of the first slice.
    used: usize,
}

impl Source<'_> {
    /// There must be as many bytes left.
    fn fill(&mut self, mut room: &mut [u8]) {
        while !room.is_empty() {
            let left = &self.slices[0][self.used..];
            let some = left.len().min(room.len());
            room[..some].copy_from_slice(&left[..some]);
            room = &mut room[some..];
            self.used += some;
            if some == left.len() {
                (self.slices, self.used) = (&self.slices[1..], 0);
            }
        }
    }
}

/// Fills `blocks` from `skip` on with `bytes` bytes that stand in the file at `at + skip`; `at` is a block's place. What
/// stands around them in their blocks is read too. `UnexpectedEof`: the file is shorter.
pub fn read_bulk(file: &dyn File, blocks: &mut [u8], at: u64, skip: usize, bytes: usize) -> io::Result<()> {
    let blocks = &mut blocks[..(skip + bytes).next_multiple_of(BLOCK_BYTES)];
    let mut done = 0;
    while done < skip + bytes {
        let read = file.read_blocks(&mut blocks[done..], at + done as u64)?;
        if done + read >= skip + bytes {
            break;
        }
        // A short read in the middle of a block: only whole blocks count.
        let whole = read - read % BLOCK_BYTES;
        if whole == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        done += whole;
    }
    Ok(())
}

/// Blocks that were used are used again: neither zeroed nor fetched from the system for every read.
pub struct Pool {
    kept: Mutex<Vec<Blocks>>,
    limit_bytes: usize,
}

/// Blocks that go back to their pool.
pub struct Pooled {
    blocks: Option<Blocks>,
    pool: Arc<Pool>,
}

impl Pool {
    /// Keeps at most so many bytes that nobody uses.
    pub fn new(limit_bytes: usize) -> Arc<Pool> {
        Arc::new(Pool { kept: Mutex::default(), limit_bytes })
    }

    /// At least so many bytes, of any content.
    pub fn take(self: &Arc<Pool>, bytes: usize) -> Pooled {
        let bytes = bytes.next_power_of_two().max(BULK_BYTES);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let found = kept.iter().position(|blocks| blocks.len() == bytes).map(|i| kept.swap_remove(i));
        drop(kept);
        Pooled { blocks: Some(found.unwrap_or_else(|| Blocks::new(bytes))), pool: self.clone() }
    }
}

impl AsMut<[u8]> for Pooled {
    fn as_mut(&mut self) -> &mut [u8] {
        self.blocks.as_deref_mut().unwrap_or_default()
    }
}

impl AsRef<[u8]> for Pooled {
    fn as_ref(&self) -> &[u8] {
        self.blocks.as_deref().unwrap_or_default()
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        let Some(blocks) = self.blocks.take() else { return };
        let mut kept = self.pool.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes: usize = kept.iter().map(|blocks| blocks.len()).sum();
        if bytes + blocks.len() <= self.pool.limit_bytes {
            kept.push(blocks);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::memory::MemDisk;
    use crate::store::os::OsDisk;
    use crate::store::{Disk, Open};

    /// What `bytes` bytes written at `at` in two slices leave in a file that held `at` bytes.
    fn check(at: usize, bytes: usize) {
        let dir = tempfile::tempdir().expect("a directory");
        let disks: [Arc<dyn Disk>; 2] = [Arc::new(MemDisk::new()), Arc::new(OsDisk::new(dir.path()))];
        for disk in disks {
            let file = disk.open("file", Open::CreateNew).expect("a file");
            let want: Vec<u8> = (0..at + bytes).map(|i| (i % 251) as u8).collect();
            file.write_at(&[&want[..at]], 0).expect("what is there");
            let (one, two) = want[at..].split_at(bytes / 3);
            let mut staging = Blocks::new(2 * BULK_BYTES);
            write_bulk(&*file, &mut staging, &[one, &[], two], at as u64).expect("written");
            assert_eq!(
                file.len().expect("a length"),
                want.len() as u64,
                "{at} + {bytes}: the file ends where it should"
            );
            let mut got = vec![0; want.len()];
            file.read_exact_at(&mut got, 0).expect("read");
            assert!(got == want, "{at} + {bytes}: the bytes are in their places");

            let skip = at % BLOCK_BYTES;
            let pool = Pool::new(0);
            let mut blocks = pool.take(skip + bytes);
            read_bulk(&*file, blocks.as_mut(), (at - skip) as u64, skip, bytes).expect("read past the cache");
            assert!(blocks.as_ref()[skip..skip + bytes] == want[at..], "{at} + {bytes}: read past the cache");
            if skip + bytes < blocks.as_ref().len() {
                let past = read_bulk(&*file, blocks.as_mut(), (at - skip) as u64, skip, bytes + 1);
                assert_eq!(past.expect_err("one too many").kind(), io::ErrorKind::UnexpectedEof);
            }
        }
    }

    #[test]
    fn bulk_is_written_and_read_at_any_place() {
        let (block, bulk) = (BLOCK_BYTES, BULK_BYTES);
        for (at, bytes) in [
            (0, 0),
            (5, 7),
            (0, bulk),
            (1, bulk),
            (block, bulk + 1),
            (block - 1, bulk + 1),
            (3 * block + 77, 5 * bulk + 1234),
            (block + 1, bulk - 1),
        ] {
            check(at, bytes);
        }
    }

    #[test]
    fn blocks_begin_at_a_block() {
        let blocks = Blocks::new(1);
        assert_eq!((blocks.as_ptr() as usize % BLOCK_BYTES, blocks.len()), (0, BLOCK_BYTES));
    }

    #[test]
    fn what_is_given_back_is_used_again() {
        let pool = Pool::new(1 << 20);
        let place = pool.take(100_000).as_ref().as_ptr();
        assert_eq!(pool.take(131_072).as_ref().as_ptr(), place);
    }

    #[test]
    fn a_pool_keeps_no_more_than_its_limit() {
        let pool = Pool::new(BULK_BYTES);
        drop((pool.take(1), pool.take(1), pool.take(1 << 20)));
        let kept = pool.kept.lock().expect("nobody panicked");
        assert_eq!(kept.iter().map(|blocks| blocks.len()).sum::<usize>(), BULK_BYTES);
    }
}
