//! The journal: what a lane has ordered and not yet settled, as numbered frames in preallocated, recycled files.
//! One thread writes ([`Journal`]), another makes durable what was written ([`Syncer`]). Nothing is ever overwritten that
//! was not forgotten, nothing is cut that was claimed durable, and a failed write or sync is never tried again.
//!
//! Every frame says up to which frame everything was durable when it was written. So a reader can tell a *torn* tail
//! (frames a power cut lost before anyone was told they were safe: cut there) from *rot* (a damaged frame that a later
//! frame claims durable: told, and reading goes on behind it). One hole remains: rot in frames that no later frame claims.
//! [`Journal::mark`] writes that claim when a burst has ended; damage to the last frames before it looks like a torn tail.
//!
//! The bytes are drawn in `frame.rs`; reading is in `scan.rs`.

mod frame;
mod scan;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::block::{BLOCK_BYTES, Blocks, STAGING_BYTES};
use super::{Disk, File, Open, is_full, parent};
use frame::{ALIGN, COPIES, FileHeader, FrameHeader, HEADER_BYTES, START, Salt, frame_bytes};
use scan::{Found, file_name, find, walk};

/// Dense, from 1. Never used again within a directory's life once a sync made it durable.
pub type FrameNo = u64;

/// The kind of a mark: a frame without payload that only claims. Taken; visited by nobody.
pub const MARK: u8 = 255;
/// The longest payload of a frame, in bytes.
pub const PAYLOAD_MAX_BYTES: u64 = frame::PAYLOAD_MAX;

/// A spare's name begins so; it waits to be used again.
const SPARE: &str = "spare-";
/// Kept free at the end of a file for a mark.
const MARK_BYTES: u64 = frame_bytes(0);

#[derive(Clone, Copy, Debug)]
pub struct JournalOptions {
    /// The size of a file. One that must take a larger frame is made larger.
    pub file_bytes: u64,
    /// How many forgotten files are kept to be used again.
    pub keep_spare: usize,
}

impl Default for JournalOptions {
    fn default() -> JournalOptions {
        JournalOptions { file_bytes: 64 << 20, keep_spare: 2 }
    }
}

/// A frame to be written: its payload is the slices, one behind the other.
#[derive(Clone, Copy, Debug)]
pub struct FrameOut<'a> {
    /// Anything but [`MARK`].
    pub kind: u8,
    pub slices: &'a [&'a [u8]],
    /// CRC32C of the payload, for a caller who knows it without reading all of it once more.
    pub payload_crc: Option<u32>,
}

/// A frame that was read. The payload shares its memory with up to 1 MiB around it: copy what is to be kept long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameIn {
    pub number: FrameNo,
    pub kind: u8,
    pub payload: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replayed {
    Frame(FrameIn),
    /// Frames that were durable once and cannot be read. Marks count as frames.
    Rot {
        first: FrameNo,
        /// How many are missing; 0 if that cannot be known (the newest file's both headers are gone).
        frames: u64,
        /// What they may have taken in the file, in bytes.
        bytes: u64,
        /// The name of the file in the journal's directory.
        file: String,
        /// Where in it the damage begins.
        at: u64,
    },
}

/// What a journal held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// Frames that count, with marks.
    pub frames: u64,
    /// What they take, in bytes.
    pub bytes: u64,
    /// Frames told as rot.
    pub rotten: u64,
    /// What was cut at the end, in bytes: frames that nobody was told were safe.
    pub torn_bytes: u64,
    /// Copies of file headers that were damaged; the other copy served.
    pub headers_damaged: u64,
    /// The number the next frame gets.
    pub next: FrameNo,
    /// The highest frame that was claimed durable.
    pub durable: FrameNo,
}

/// The writing half. Belongs to the lane's thread.
pub struct Journal {
    disk: Arc<dyn Disk>,
    dir: String,
    options: JournalOptions,
    salts: Salts,
    /// Files with frames that are not forgotten, oldest first; frames go into the last one if it is `open`.
    used: VecDeque<Used>,
    open: Option<Current>,
    /// What is gathered for one write. Begins with the bytes of the block in which the open file ends, up to there.
    staging: Blocks,
    /// Files that wait to be begun, in order.
    ready: VecDeque<Ready>,
    /// Names of forgotten files.
    spare: Vec<String>,
    next_sequence: u64,
    next: FrameNo,
    durable: FrameNo,
    /// The highest claim that was written.
    claimed: FrameNo,
    /// The last frame that is not a mark.
    last_plain: FrameNo,
    /// Where the next reserved frame would go: 0 the open file, n the n-th of `ready`; and the place in it.
    plan: (usize, u64),
    shared: Arc<Shared>,
    failed: bool,
}

struct Used {
    sequence: u64,
    last: FrameNo,
    /// What its frames take, in bytes.
    live: u64,
    /// Its length, in bytes.
    capacity: u64,
}

struct Current {
    file: Arc<dyn File>,
    salt: Salt,
    capacity: u64,
    end: u64,
}

struct Ready {
    file: Arc<dyn File>,
    header: FileHeader,
    capacity: u64,
}

/// The half that makes durable. Belongs to the syncer's thread.
pub struct Syncer {
    shared: Arc<Shared>,
}

/// What the two halves tell each other; never held during IO.
#[derive(Default)]
struct Shared(Mutex<Told>);

#[derive(Default)]
struct Told {
    written: FrameNo,
    /// Files with writes that no sync has covered, oldest first.
    dirty: Vec<Arc<dyn File>>,
    failed: bool,
}

impl Shared {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Salts from one seed: nobody who does not have it can guess the next.
struct Salts {
    seed: [u8; 32],
    drawn: u64,
}

impl Salts {
    fn new(chance: &mut dyn FnMut() -> u64) -> Salts {
        let mut seed = [0; 32];
        for part in seed.chunks_mut(8) {
            part.copy_from_slice(&chance().to_le_bytes());
        }
        Salts { seed, drawn: 0 }
    }

    fn draw(&mut self) -> Salt {
        self.drawn += 1;
        let hash = Sha256::new().chain_update(self.seed).chain_update(self.drawn.to_le_bytes()).finalize();
        let mut salt = Salt::default();
        salt.copy_from_slice(&hash[..16]);
        salt
    }
}

fn stopped() -> io::Error {
    io::Error::other("the journal failed earlier and takes no more")
}

impl Journal {
    /// Opens the journal in `dir` (made if missing) and visits what it holds, oldest first: frames that count and gaps
    /// that are rot. Frames forgotten shortly before a crash may be visited again. A torn tail is cut. Everything visited
    /// is durable when this returns. An error of `visit` ends it. New frames go into a fresh file, made by the first
    /// [`Journal::reserve`] or [`Journal::write`]: a full disk does not keep a journal from being opened.
    ///
    /// `Unsupported`: the journal is of another version.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &str,
        options: JournalOptions,
        chance: &mut dyn FnMut() -> u64,
        visit: &mut dyn FnMut(Replayed) -> io::Result<()>,
    ) -> io::Result<(Journal, ReplayReport)> {
        disk.create_dir_all(dir)?;
        let mut name = dir;
        while !name.is_empty() {
            // Also what another process did to the names and was killed before it could sync.
            disk.sync_dir(name)?;
            name = parent(name);
        }
        disk.sync_dir("")?;
        let mut found = find(&*disk, dir, Open::Write)?;
        for file in &mut found {
            // Whoever wrote this may have been killed between writing and syncing: what counts must not vanish later.
            file.file.sync()?;
            file.read_header()?;
        }
        // Or it was stopped because a sync failed: then memory shows what the disk never got, and only what the disk
        // holds counts. What is claimed durable is there; what stands behind it is read from the disk itself.
        let (first, from) = walk(&found, &mut |_| Ok(()))?.proven;
        for (nth, file) in found.iter_mut().enumerate().skip(first) {
            file.file.reread(if nth == first { from } else { 0 })?;
            file.read_header()?;
        }
        let walked = walk(&found, visit)?;
        let last = walked.report.next - 1;
        let mut journal = Journal {
            spare: disk.list(dir)?.into_iter().filter(|name| name.starts_with(SPARE)).collect(),
            salts: Salts::new(chance),
            used: VecDeque::new(),
            open: None,
            staging: Blocks::new(STAGING_BYTES),
            ready: VecDeque::new(),
            next_sequence: found.last().map_or(0, |file| file.sequence) + 1,
            next: last + 1,
            durable: last,
            claimed: walked.report.durable,
            last_plain: walked.last_plain,
            plan: (0, 0),
            shared: Arc::new(Shared(Mutex::new(Told { written: last, ..Told::default() }))),
            failed: false,
            disk,
            dir: dir.to_owned(),
            options,
        };
        journal.adopt(&found, &walked)?;
        Ok((journal, walked.report))
    }

    /// Visits what the journal in `dir` holds and changes nothing, for a directory nobody has open.
    pub fn inspect(
        disk: &dyn Disk,
        dir: &str,
        visit: &mut dyn FnMut(Replayed) -> io::Result<()>,
    ) -> io::Result<ReplayReport> {
        let mut found = find(disk, dir, Open::Read)?;
        for file in &mut found {
            file.read_header()?;
        }
        Ok(walk(&found, visit)?.report)
    }

    /// Takes over the files that count, cuts the torn tail and frees the files behind it.
    fn adopt(&mut self, found: &[Found], walked: &scan::Walked) -> io::Result<()> {
        // The last file stays even if it holds nothing: it remembers which numbers were given.
        let keep = if walked.report.next > 1 { walked.files.max(1) } else { walked.files };
        let (counts, dead) = found.split_at(keep);
        // Newest first and one by one, so that a crash in between leaves no hole in the middle.
        for file in dead.iter().rev() {
            self.retire(file.sequence, file.bytes)?;
        }
        if let Some((file, kept)) = counts.last().zip(walked.kept[..counts.len()].last())
            && file.header.is_some()
            && kept.end < file.bytes
        {
            file.file.set_len(kept.end)?;
            file.file.sync()?;
        }
        let mut last = 0;
        for (file, kept) in counts.iter().zip(&walked.kept) {
            // A file that is rot from end to end goes when the one before it goes.
            last = last.max(kept.last);
            let live = kept.end - START;
            self.used.push_back(Used { sequence: file.sequence, last, live, capacity: file.bytes });
        }
        Ok(())
    }

    /// Writes frames behind each other, with as few calls as files allow (one, mostly). They are durable after a later
    /// [`Syncer::sync`]. Returns the number of the last one. Ends all reservations. An error is final.
    pub fn write(&mut self, frames: &[FrameOut<'_>]) -> io::Result<FrameNo> {
        if self.failed {
            return Err(stopped());
        }
        assert!(frames.iter().all(|frame| frame.kind != MARK), "the kind of marks is taken");
        let mut from = 0;
        while from < frames.len() {
            let size = frame_bytes(payload_bytes(&frames[from]));
            if !self.fits(size + MARK_BYTES) {
                self.roll(size)?;
            }
            let room = self.open.as_ref().map_or(0, |open| open.capacity - MARK_BYTES - open.end);
            let mut taken = 0;
            let mut to = from;
            while to < frames.len() && taken + frame_bytes(payload_bytes(&frames[to])) <= room {
                taken += frame_bytes(payload_bytes(&frames[to]));
                to += 1;
            }
            self.put(&frames[from..to])?;
            from = to;
        }
        if !frames.is_empty() {
            self.last_plain = self.next - 1;
        }
        self.plan = self.nothing_reserved();
        Ok(self.next - 1)
    }

    /// Space for one frame with a payload of so many bytes, beside all reserved since the last write: when this is Ok,
    /// writing the reserved frames, in this order, does not fail for lack of space. A full disk ([`is_full`]) leaves the
    /// journal as it was; any other error is final.
    pub fn reserve(&mut self, bytes: u64) -> io::Result<()> {
        self.reserve_sparing(bytes, 0)
    }

    /// The same, and so many bytes stay free behind it, in its file or in one that is ready, for what is reserved later:
    /// small frames that have to be written even when the disk has no room for one more file. Where a frame stands does
    /// not depend on what is spared: writing lays frames out again, without it.
    pub fn reserve_sparing(&mut self, bytes: u64, spared_bytes: u64) -> io::Result<()> {
        if self.failed {
            return Err(stopped());
        }
        assert!(bytes <= PAYLOAD_MAX_BYTES, "a frame's payload has a limit");
        let size = frame_bytes(bytes);
        let (mut file, mut end) = self.plan;
        loop {
            let capacity = match file {
                0 => self.open.as_ref().map_or(0, |open| open.capacity),
                n => self.ready[n - 1].capacity,
            };
            if end + size + MARK_BYTES <= capacity {
                if end + size + spared_bytes + MARK_BYTES > capacity {
                    self.have_ready(file + 1, spared_bytes)?;
                }
                self.plan = (file, end + size);
                return Ok(());
            }
            file += 1;
            end = START;
            self.have_ready(file, size + spared_bytes)?;
        }
    }

    /// The other half, for the syncer's thread.
    pub fn syncer(&self) -> Syncer {
        Syncer { shared: self.shared.clone() }
    }

    /// The last frame written.
    pub fn written(&self) -> FrameNo {
        self.next - 1
    }

    /// Everything up to this frame is durable: frames written from now on claim it.
    pub fn note_durable(&mut self, upto: FrameNo) {
        assert!(upto < self.next, "only what was written can be durable");
        self.durable = self.durable.max(upto);
    }

    /// Writes the frame that makes the claim after a burst, unless everything claimable is claimed already. To be synced
    /// like any frame; nobody need wait for it.
    pub fn mark(&mut self) -> io::Result<()> {
        if self.failed {
            return Err(stopped());
        }
        // Frames that space is reserved for make the claim themselves.
        if self.claimed >= self.durable.min(self.last_plain) || self.plan != self.nothing_reserved() {
            return Ok(());
        }
        if !self.fits(MARK_BYTES) {
            match self.roll(0) {
                Err(error) if is_full(&error) => return Ok(()), // The next frame makes the claim.
                rolled => rolled?,
            }
        }
        self.put(&[FrameOut { kind: MARK, slices: &[], payload_crc: None }])?;
        self.plan = self.nothing_reserved();
        Ok(())
    }

    /// Frames below this are not needed any more; files with no others are used again or removed, once a frame of the
    /// file behind them is durable: there is always a frame that remembers which numbers were given.
    pub fn forget(&mut self, below: FrameNo) -> io::Result<()> {
        if self.failed {
            return Err(stopped());
        }
        while let Some(last) = self.oldest_file_last_frame()
            && last < below
        {
            let Used { sequence, capacity, .. } = self.used[0];
            let retired = self.retire(sequence, capacity);
            self.poison(retired)?;
            self.used.pop_front();
        }
        Ok(())
    }

    /// Forgetting everything up to and with this frame frees the oldest file. `None`: only the newest file is left, or
    /// nothing behind the oldest is known to be durable yet.
    pub fn oldest_file_last_frame(&self) -> Option<FrameNo> {
        let last = self.used.front()?.last;
        (self.used.len() > 1 && self.durable > last).then_some(last)
    }

    /// The size of a file.
    pub fn file_bytes(&self) -> u64 {
        self.options.file_bytes
    }

    /// What the frames in files that are not forgotten take, in bytes.
    pub fn live_bytes(&self) -> u64 {
        self.used.iter().map(|file| file.live).sum()
    }

    fn nothing_reserved(&self) -> (usize, u64) {
        (0, self.open.as_ref().map_or(0, |open| open.end))
    }

    fn fits(&self, bytes: u64) -> bool {
        self.open.as_ref().is_some_and(|open| open.end + bytes <= open.capacity)
    }

    /// Writes frames, all of which fit into the open file, block by block: the one the file ends in is written again with
    /// the same bytes, and with zeros behind the last frame.
    fn put(&mut self, frames: &[FrameOut<'_>]) -> io::Result<()> {
        const ZEROS: [u8; ALIGN as usize] = [0; ALIGN as usize];
        let (Some(open), Some(used)) = (&mut self.open, self.used.back_mut()) else { return Err(stopped()) };
        let mut at = open.end;
        let mut headers = Vec::with_capacity(frames.len());
        for (number, frame) in (self.next..).zip(frames) {
            let length = payload_bytes(frame);
            assert!(length <= PAYLOAD_MAX_BYTES, "a frame's payload has a limit");
            let header = FrameHeader { kind: frame.kind, number, durable: self.durable, at, length: length as u32 };
            headers.push(header.encode(&open.salt, frame.slices, frame.payload_crc));
            at += frame_bytes(length);
        }
        let mut gathered = Gathered::begin(&*open.file, &mut self.staging, open.end);
        let written = headers.iter().zip(frames).try_for_each(|(header, frame)| {
            gathered.put(header)?;
            frame.slices.iter().try_for_each(|slice| gathered.put(slice))?;
            let length = payload_bytes(frame);
            gathered.put(&ZEROS[..(frame_bytes(length) - HEADER_BYTES as u64 - length) as usize])
        });
        if let Err(error) = written.and_then(|()| gathered.end()) {
            self.failed = true;
            return Err(error);
        }
        used.live += at - open.end;
        open.end = at;
        self.next += frames.len() as u64;
        self.claimed = self.claimed.max(self.durable);
        used.last = self.next - 1;
        let mut told = self.shared.told();
        told.written = self.next - 1;
        if !told.dirty.last().is_some_and(|last| Arc::ptr_eq(last, &open.file)) {
            told.dirty.push(open.file.clone());
        }
        Ok(())
    }

    /// Begins the next file, with room for a frame of this size.
    fn roll(&mut self, size: u64) -> io::Result<()> {
        self.have_ready(1, size)?;
        let Some(mut ready) = self.ready.pop_front() else { return Err(stopped()) };
        ready.header.first = self.next;
        ready.header.claim = self.durable;
        // Durable with the first frame that is.
        let written = write_header(&*ready.file, &ready.header);
        self.poison(written)?;
        let (sequence, capacity) = (ready.header.sequence, ready.capacity);
        self.used.push_back(Used { sequence, last: self.next - 1, live: 0, capacity });
        self.open = Some(Current { file: ready.file, salt: ready.header.salt, capacity: ready.capacity, end: START });
        self.plan = match self.plan {
            (0, _) => (0, START),
            (n, end) => (n - 1, end),
        };
        Ok(())
    }

    /// Makes the `n`-th waiting file (from 1) exist with room for a frame of this size.
    fn have_ready(&mut self, n: usize, size: u64) -> io::Result<()> {
        let capacity = (START + size + MARK_BYTES).next_multiple_of(BLOCK_BYTES as u64);
        let had = match self.ready.get_mut(n - 1) {
            Some(ready) if ready.capacity >= capacity => Ok(()),
            Some(ready) => ready.file.allocate(capacity).map(|()| ready.capacity = capacity),
            None => self.prepare(self.options.file_bytes.max(capacity)).map(|ready| self.ready.push_back(ready)),
        };
        match had {
            Err(error) if is_full(&error) => Err(error),
            had => self.poison(had),
        }
    }

    /// A file with a new salt, under its own name, all of it durable, and space for `capacity` bytes.
    fn prepare(&mut self, capacity: u64) -> io::Result<Ready> {
        let sequence = self.next_sequence;
        let spare = match self.spare.last() {
            Some(name) => name.clone(),
            None => {
                let name = format!("{SPARE}{sequence:016x}");
                self.spare.push(name.clone());
                name
            }
        };
        let path = self.path(&spare);
        let file = self.disk.open(&path, Open::CreateOrOpen)?;
        if let Err(error) = file.allocate(capacity) {
            // A part of the space would help nobody.
            if self.disk.remove(&path).is_ok() {
                self.spare.pop();
            }
            return Err(error);
        }
        let previous = self.ready.back().map(|ready| ready.header.sequence);
        let previous = previous.or(self.used.back().map(|used| used.sequence)).unwrap_or(0);
        let header = FileHeader { salt: self.salts.draw(), sequence, previous, first: 0, claim: 0 };
        write_header(&*file, &header)?;
        file.sync()?;
        self.disk.rename(&path, &self.path(&file_name(sequence)))?;
        self.disk.sync_dir(&self.dir)?;
        self.spare.pop();
        self.next_sequence += 1;
        let length = file.len()?;
        // Whole blocks are written, up to the last one.
        let capacity = capacity.max(length - length % BLOCK_BYTES as u64);
        Ok(Ready { file, header, capacity })
    }

    /// Takes a file out of the journal, durably.
    fn retire(&mut self, sequence: u64, capacity: u64) -> io::Result<()> {
        let path = self.path(&file_name(sequence));
        // One that was made larger for a large frame would hold that space for ever.
        if self.spare.len() < self.options.keep_spare && capacity <= self.options.file_bytes {
            let spare = format!("{SPARE}{sequence:016x}");
            self.disk.rename(&path, &self.path(&spare))?;
            self.spare.push(spare);
        } else {
            self.disk.remove(&path)?;
        }
        self.disk.sync_dir(&self.dir)
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.dir)
    }

    fn poison<T>(&mut self, done: io::Result<T>) -> io::Result<T> {
        self.failed |= done.is_err();
        done
    }
}

impl Syncer {
    /// When this is Ok, everything written before the call is durable; returns the last frame of it. An error is final:
    /// every later call fails, and no file is synced twice after one.
    pub fn sync(&mut self) -> io::Result<FrameNo> {
        let (written, dirty) = {
            let mut told = self.shared.told();
            if told.failed {
                return Err(stopped());
            }
            (told.written, std::mem::take(&mut told.dirty))
        };
        for file in dirty {
            if let Err(error) = file.sync() {
                self.shared.told().failed = true;
                return Err(error);
            }
        }
        Ok(written)
    }
}

/// Bytes on their way to a file, in order.
struct Gathered<'a> {
    file: &'a dyn File,
    staging: &'a mut Blocks,
    filled: usize,
    /// Where the staging's first byte belongs.
    at: u64,
}

impl Gathered<'_> {
    fn begin<'a>(file: &'a dyn File, staging: &'a mut Blocks, end: u64) -> Gathered<'a> {
        let filled = (end % BLOCK_BYTES as u64) as usize;
        Gathered { file, staging, filled, at: end - filled as u64 }
    }

    fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let some = bytes.len().min(self.staging.len() - self.filled);
            self.staging[self.filled..self.filled + some].copy_from_slice(&bytes[..some]);
            self.filled += some;
            bytes = &bytes[some..];
            if self.filled == self.staging.len() {
                self.file.write_blocks(self.staging, self.at)?;
                self.at += self.filled as u64;
                self.filled = 0;
            }
        }
        Ok(())
    }

    /// Writes what is left, and keeps the last block if it is not whole.
    fn end(self) -> io::Result<()> {
        let whole = self.filled.next_multiple_of(BLOCK_BYTES);
        self.staging[self.filled..whole].fill(0);
        if whole > 0 {
            self.file.write_blocks(&self.staging[..whole], self.at)?;
        }
        let kept = self.filled - self.filled % BLOCK_BYTES;
        self.staging.copy_within(kept..self.filled, 0);
        Ok(())
    }
}

fn write_header(file: &dyn File, header: &FileHeader) -> io::Result<()> {
    const GAP: [u8; COPIES[1] as usize - HEADER_BYTES] = [0; COPIES[1] as usize - HEADER_BYTES];
    let bytes = header.encode();
    file.write_at(&[&bytes, &GAP, &bytes], COPIES[0])
}

fn payload_bytes(frame: &FrameOut<'_>) -> u64 {
    frame.slices.iter().map(|slice| slice.len() as u64).sum()
}
