//! Settled segments on disk: appending to them, reading ranges of them. Everything here blocks; only the settler's
//! thread appends, any blocking thread reads. A batch whose bytes no longer match their checksum is withheld and counted.
//!
//! ```text
//! logs/<log id>/<base offset, 20 digits>.log    Kafka's own segment format, byte for byte
//! logs/<log id>/<base offset, 20 digits>.side   the sidecar (log/segment.rs)
//! ```

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};

use super::Stored;
use super::sabotage::{self, Bug};
use super::window::{Window, read_or_damaged};
use crate::engine::frame::Settled;
use crate::engine::tail::Entry;
use crate::ids::{LogId, Offset, Timestamp};
use crate::log::segment::{self, Head, Settling, Slot};
use crate::log::transactions::{self, Aborted};
use crate::metrics;
use crate::record::batch;
use crate::store::block::{self, BLOCK_BYTES, BULK_BYTES, Blocks, Pool, STAGING_BYTES};
use crate::store::{Disk, File, Open};

/// How much memory of past reads is kept for the next ones.
const POOL_BYTES: usize = 8 << 20;
/// How much is read at once: a buffer that is used again while it is still in the processor's cache.
const PIECE_BYTES: usize = 1 << 20;

/// One segment: its name, and its index once somebody needed it.
#[derive(Debug)]
pub struct Segment {
    pub log: LogId,
    pub base: Offset,
    index: Mutex<Option<Vec<Place>>>,
    /// How far it has been read past the system's cache. Who reads it after that is not the only reader, and reads through
    /// the cache, for himself and the next one.
    read_past_cache: AtomicU64,
}

/// Where a sidecar entry stands, with its head.
#[derive(Clone, Copy, Debug)]
struct Place {
    at: u64,
    head: Head,
    /// The entry is damaged; the head says what is known without it.
    rebuilt: bool,
}

/// Whether an entry can stand behind these.
fn follows(places: &[Place], head: &Head, log: LogId) -> bool {
    let (end, at) = places.last().map_or((Offset(0), 0), |p| (p.head.end, p.head.at + p.head.bytes));
    head.log == log && head.first >= end && head.at >= at
}

/// Batches to be settled into one segment.
#[derive(Debug)]
pub struct Job {
    pub segment: Arc<Segment>,
    /// How far the segment reaches now; `None` creates it.
    pub from: Option<Settled>,
    pub entries: Vec<Entry>,
    /// Transactions that were given up by a marker among them.
    pub aborted: Vec<Aborted>,
}

/// A range of a segment, with batches that do not match their checksum left out.
#[derive(Debug, Default)]
pub struct Range {
    pub batches: Vec<Stored>,
    /// Batches that were left out, as [first, end).
    pub withheld: Vec<(Offset, Offset)>,
    /// Where the next read goes on.
    pub next: Offset,
}

/// What was settled at once, to be read: the sidecar's entry and the file it speaks of.
#[derive(Clone, Copy)]
struct Entries<'a> {
    s: &'a Segment,
    records: &'a dyn File,
    head: &'a Head,
    slots: &'a [Slot],
}

pub struct Vault {
    disk: Arc<dyn Disk>,
    files: Mutex<Files>,
    pool: Arc<Pool>,
    /// Of the settler, made with the first settle.
    staging: Mutex<Option<Blocks>>,
    withheld: AtomicU64,
    held: Mutex<Removals>,
}

/// Removals that wait until nobody holds the files.
#[derive(Default)]
struct Removals {
    holders: usize,
    /// A segment, or a whole log.
    waiting: Vec<(LogId, Option<Offset>)>,
}

type FileKey = (LogId, Offset, &'static str);

/// Open files, the least recently used closed first.
struct Files {
    limit: usize,
    tick: u64,
    /// By log, base offset and kind; with the tick of its last use.
    open: BTreeMap<FileKey, (u64, Arc<dyn File>)>,
}

impl Segment {
    pub fn new(log: LogId, base: Offset) -> Segment {
        Segment { log, base, index: Mutex::new(None), read_past_cache: AtomicU64::new(0) }
    }

    pub fn dir(log: LogId) -> String {
        format!("logs/{log}")
    }

    pub fn file(log: LogId, base: Offset, kind: &str) -> String {
        format!("logs/{log}/{:020}.{kind}", base.0)
    }

    /// Keeps the index whole: one that does not reach up to the new entry (it was read before the last settle was
    /// recorded) is dropped, to be read again when it is needed.
    fn extend_index(&self, place: Place) {
        let mut index = self.index();
        let mut places = index.take().unwrap_or_default();
        places.truncate(places.partition_point(|p| p.at < place.at));
        if reach_of(&places) == place.at {
            places.push(place);
            *index = Some(places);
        }
    }

    fn index(&self) -> MutexGuard<'_, Option<Vec<Place>>> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Vault {
    pub fn new(disk: Arc<dyn Disk>, open_files_limit: usize) -> Vault {
        let files = Files { limit: open_files_limit.max(4), tick: 0, open: BTreeMap::new() };
        Vault {
            disk,
            files: Mutex::new(files),
            pool: Pool::new(POOL_BYTES),
            staging: Mutex::default(),
            withheld: AtomicU64::new(0),
            held: Mutex::default(),
        }
    }

    /// How many batches have been withheld because their bytes were damaged.
    pub fn withheld(&self) -> u64 {
        self.withheld.load(Ordering::Relaxed)
    }

    /// Appends every job's batches to its segment and makes them durable. All or an error; a segment that was extended
    /// but not recorded is cut back when it is next appended to.
    pub fn settle(&self, jobs: &[Job]) -> io::Result<Vec<Settled>> {
        let mut done = Vec::with_capacity(jobs.len());
        let mut dirty = Vec::with_capacity(jobs.len() * 2);
        let mut dirs: Vec<String> = Vec::new();
        let mut staging = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
        let staging = staging.get_or_insert_with(|| Blocks::new(STAGING_BYTES));
        for job in jobs {
            let (log, base) = (job.segment.log, job.segment.base);
            if job.from.is_none() {
                let dir = Segment::dir(log);
                self.disk.create_dir_all(&dir)?;
                dirs.push(dir);
            }
            let records = self.file(log, base, "log", true)?;
            let side = self.file(log, base, "side", true)?;
            let (at, side_at, hash) = job.from.map_or((0, 0, 0), |s| (s.bytes, s.side_bytes, s.hash));
            if records.len()? > at {
                records.set_len(at)?;
            }
            if side.len()? > side_at {
                side.set_len(side_at)?;
            }
            let settling: Vec<Settling<'_>> = job.entries.iter().map(settling).collect();
            let (entry, head) = segment::encode(log, at, hash, &settling, &job.aborted);
            let slices: Vec<&[u8]> = settling.iter().map(|s| s.bytes).collect();
            block::write_bulk(&*records, staging, &slices, at)?;
            metrics::SETTLED_BYTES.add(head.bytes);
            side.write_at(&[&entry], side_at)?;
            done.push(Settled {
                base,
                end: head.end,
                bytes: at + head.bytes,
                side_bytes: side_at + entry.len() as u64,
                hash: head.hash,
                max_time: job.from.map_or(head.max_time, |s| s.max_time.max(head.max_time)),
                arrived: head.last_arrived,
                aborted: job.from.map_or(0, |s| s.aborted) + head.aborted,
            });
            dirty.push(records);
            dirty.push(side);
            job.segment.extend_index(Place { at: side_at, head, rebuilt: false });
        }
        for file in dirty.into_iter().filter(|_| !sabotage::is(Bug::SettledBeforeSync)) {
            file.sync()?;
        }
        for dir in &dirs {
            self.disk.sync_dir(dir)?;
        }
        if !dirs.is_empty() {
            self.disk.sync_dir("logs")?;
        }
        Ok(done)
    }

    /// Reads whole batches from the one that holds `from`, at most `max_bytes` but at least one, never past `until` or
    /// the end of the segment.
    pub fn read(
        &self,
        s: &Segment,
        reach: &Settled,
        from: Offset,
        until: Offset,
        max_bytes: usize,
    ) -> io::Result<Range> {
        let mut range = Range { next: from, ..Range::default() };
        let mut left = max_bytes;
        let records = self.file(s.log, s.base, "log", false)?;
        while let Some(place) = self.place(s, reach, range.next)? {
            if place.head.first >= until || (left == 0 && !range.batches.is_empty()) {
                break;
            }
            let settled = Entries { s, records: &*records, head: &place.head, slots: &self.slots(s, &place)? };
            loop {
                match self.read_piece(&settled, until, &mut left, &mut range) {
                    Ok(true) => {}
                    Ok(false) => break,
                    // What came before it is worth an answer; the next read begins where the disk refuses.
                    Err(_) if !range.batches.is_empty() => return Ok(range),
                    Err(e) => return Err(e),
                }
            }
            if range.next < place.head.end {
                break;
            }
        }
        Ok(range)
    }

    /// Reads some of an entry's batches from `range.next` on, as many as one buffer holds, or one that is larger. False:
    /// there is nothing more to read of this entry, or no room for it in the answer.
    fn read_piece(
        &self,
        settled: &Entries<'_>,
        until: Offset,
        left: &mut usize,
        range: &mut Range,
    ) -> io::Result<bool> {
        let Entries { s, records, head, slots } = *settled;
        let end_of = |i: usize| slots.get(i + 1).map_or(head.end, |next| next.first);
        let mut at = head.at;
        let mut wanted: Vec<usize> = Vec::new();
        let mut begin = None;
        let mut bytes = 0usize;
        let mut full = false;
        for (i, slot) in slots.iter().enumerate() {
            if end_of(i) > range.next && slot.first < until {
                let with = bytes + slot.bytes as usize;
                // The first batch of an answer has room, whatever its size; the first of a piece, if the answer has any.
                full = match wanted.is_empty() {
                    true => with > *left && !range.batches.is_empty(),
                    false => with > (*left).min(PIECE_BYTES),
                };
                if full {
                    break;
                }
                begin.get_or_insert(at);
                wanted.push(i);
                bytes = with;
            }
            at += u64::from(slot.bytes);
        }
        let Some(begin) = begin else {
            // Nothing of this entry is wanted, unless the answer had no room for its first batch.
            if !full && head.end <= until {
                range.next = range.next.max(head.end);
            }
            return Ok(false);
        };
        let mut buffer = match self.read_range(s, records, begin, bytes) {
            // A batch that the disk does not give holds up nobody who wants those before it.
            Err(_) if wanted.len() > 1 => {
                wanted.truncate(1);
                bytes = slots[wanted[0]].bytes as usize;
                self.read_range(s, records, begin, bytes)?
            }
            read => read?,
        };
        metrics::DISK_READ_BYTES.add(bytes as u64);
        let asked = range.next;
        for i in wanted {
            let slot = slots[i];
            let batch = buffer.split_to(slot.bytes as usize);
            let checked = batch::check(batch.clone()).ok().filter(|b| b.header.base_offset as u64 == slot.first.0);
            if checked.as_ref().is_some_and(|b| slot.first.plus(b.header.offsets()) <= asked) {
                // A hole follows, where the journal was damaged: this one ends before what was asked for.
                range.next = end_of(i);
                continue;
            }
            if checked.is_some() || sabotage::is(Bug::RotServed) {
                let arrived = if sabotage::is(Bug::ArrivalForgotten) { Timestamp(0) } else { slot.arrived };
                range.batches.push(Stored { bytes: batch, arrived });
            } else {
                self.withheld.fetch_add(1, Ordering::Relaxed);
                metrics::DAMAGED_BATCHES.inc();
                tracing::error!(log = %head.log, first = %slot.first, end = %end_of(i), "a settled batch is damaged and withheld");
                range.withheld.push((slot.first, end_of(i)));
            }
            range.next = end_of(i);
        }
        *left = left.saturating_sub(bytes);
        Ok(*left > 0 && range.next < head.end)
    }

    fn read_range(&self, s: &Segment, records: &dyn File, begin: u64, bytes: usize) -> io::Result<Bytes> {
        if bytes < BULK_BYTES {
            let mut buffer = BytesMut::zeroed(bytes);
            records.read_exact_at(&mut buffer, begin)?;
            return Ok(buffer.freeze());
        }
        let skip = (begin % BLOCK_BYTES as u64) as usize;
        let mut blocks = self.pool.take(skip + bytes);
        if s.read_past_cache.fetch_max(begin + bytes as u64, Ordering::Relaxed) <= begin {
            block::read_bulk(records, blocks.as_mut(), begin - skip as u64, skip, bytes)?;
        } else {
            records.read_exact_at(&mut blocks.as_mut()[skip..skip + bytes], begin)?;
        }
        Ok(Bytes::from_owner(blocks).slice(skip..skip + bytes))
    }

    /// The first batch, in order, of which `hit` is true; judged by entries first (`may` must be true of an entry that
    /// holds a hit).
    pub fn find(
        &self,
        s: &Segment,
        reach: &Settled,
        may: impl Fn(&Head) -> bool,
        hit: impl Fn(&Slot) -> bool,
    ) -> io::Result<Option<Slot>> {
        for place in self.places(s, reach)?.into_iter().filter(|p| may(&p.head)) {
            if let Some(slot) = self.slots(s, &place)?.into_iter().find(&hit) {
                return Ok(Some(slot));
            }
        }
        Ok(None)
    }

    /// Puts the transactions given up that a reader of [from, to) must know into `found`, as far as this segment says.
    /// True: nothing behind it can concern him.
    pub fn aborted(
        &self,
        s: &Segment,
        reach: &Settled,
        from: Offset,
        to: Offset,
        found: &mut Vec<Aborted>,
    ) -> io::Result<bool> {
        for place in self.places(s, reach)?.into_iter().filter(|place| place.head.end > from) {
            if place.head.aborted > 0 {
                if place.rebuilt {
                    // A marker does not say where its transaction began: who must not see what was given up sees nothing.
                    return Err(damaged_entry(s, &place));
                }
                let entry = self.entry(s, &place)?;
                let aborted = segment::aborted(&entry).ok_or_else(|| damaged_entry(s, &place))?;
                if transactions::concerning(&aborted, from, to, found) {
                    return Ok(true);
                }
            }
            if place.head.stable >= to {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// From now on nothing is removed, until [`Vault::let_go`] was called as often as this.
    pub fn hold(&self) {
        self.lock_held().holders += 1;
    }

    /// Gives up a hold; the last one does the removals that waited.
    pub fn let_go(&self) {
        let waiting = {
            let mut held = self.lock_held();
            held.holders -= 1;
            if held.holders > 0 { Vec::new() } else { std::mem::take(&mut held.waiting) }
        };
        for (log, base) in waiting {
            let removed = base.map_or_else(|| self.remove_log(log), |base| self.remove(log, base));
            if let Err(e) = removed {
                tracing::error!(%log, "files that were given up could not be removed: {e}");
            }
        }
    }

    /// Whether something is to be removed that somebody still holds.
    pub fn removals_wait(&self) -> bool {
        !self.lock_held().waiting.is_empty()
    }

    /// Whether a removal has to wait; then it is remembered.
    fn is_held(&self, log: LogId, base: Option<Offset>) -> bool {
        let mut held = self.lock_held();
        if held.holders > 0 {
            held.waiting.push((log, base));
        }
        held.holders > 0
    }

    fn lock_held(&self) -> MutexGuard<'_, Removals> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes a segment's files. Missing files are fine: a removal that was cut short is repeated.
    pub fn remove(&self, log: LogId, base: Offset) -> io::Result<()> {
        if self.is_held(log, Some(base)) {
            return Ok(());
        }
        for kind in ["log", "side"] {
            self.lock_files().open.remove(&(log, base, kind));
            match self.disk.remove(&Segment::file(log, base, kind)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
        self.disk.sync_dir(&Segment::dir(log))
    }

    /// Removes everything of a log.
    pub fn remove_log(&self, log: LogId) -> io::Result<()> {
        if self.is_held(log, None) {
            return Ok(());
        }
        let dir = Segment::dir(log);
        let names = self.disk.list(&dir)?;
        if names.is_empty() && !self.disk.list("logs")?.contains(&log.to_string()) {
            return Ok(());
        }
        self.lock_files().open.retain(|(l, _, _), _| *l != log);
        for name in names {
            self.disk.remove(&format!("{dir}/{name}"))?;
        }
        self.disk.remove(&dir)?;
        self.disk.sync_dir("logs")
    }

    /// The first entry that ends behind an offset.
    fn place(&self, s: &Segment, reach: &Settled, from: Offset) -> io::Result<Option<Place>> {
        self.with_index(s, reach, |places| places.get(places.partition_point(|p| p.head.end <= from)).copied())
    }

    fn places(&self, s: &Segment, reach: &Settled) -> io::Result<Vec<Place>> {
        self.with_index(s, reach, <[Place]>::to_vec)
    }

    /// Looks at the entries a reader may see; they are read from the sidecar if they are not in memory.
    fn with_index<T>(&self, s: &Segment, reach: &Settled, look: impl FnOnce(&[Place]) -> T) -> io::Result<T> {
        let mut index = s.index();
        let places = match index.take().filter(|places| reach_of(places) >= reach.side_bytes) {
            Some(places) => index.insert(places),
            None => index.insert(self.load_index(s, reach)?),
        };
        let seen = places.partition_point(|p| p.at < reach.side_bytes);
        Ok(look(&places[..seen]))
    }

    /// Every entry of the sidecar, each proven by its checksum; where one is damaged or the file is missing, what it said
    /// is taken from the batches themselves.
    fn load_index(&self, s: &Segment, reach: &Settled) -> io::Result<Vec<Place>> {
        let side = match self.file(s.log, s.base, "side", false) {
            Ok(side) => Some(side),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(e),
        };
        let mut places: Vec<Place> = Vec::new();
        let mut window = Window::default();
        let mut at = 0;
        while at < reach.side_bytes {
            let found = side.as_deref().map_or(Ok(None), |side| window.entry(side, at, reach.side_bytes))?;
            if let Some((head, _)) = found.filter(|(head, _)| follows(&places, head, s.log)) {
                places.push(Place { at, head, rebuilt: false });
                at += u64::from(head.entry_bytes);
                continue;
            }
            let mut next = at + 1;
            let mut sound = None;
            while let Some(side) = side.as_deref().filter(|_| next < reach.side_bytes && sound.is_none()) {
                sound = window.entry(side, next, reach.side_bytes)?.filter(|(head, _)| follows(&places, head, s.log));
                next += u64::from(sound.is_none());
            }
            let (until, first, arrived) = sound
                .as_ref()
                .map_or((reach.bytes, reach.end, reach.arrived), |(head, _)| (head.at, head.first, head.first_arrived));
            next = if sound.is_some() { next } else { reach.side_bytes };
            let from = places.last().map_or(0, |p| p.head.at + p.head.bytes);
            let head = Head {
                log: s.log,
                first: places.last().map_or(s.base, |p| p.head.end),
                end: first,
                at: from,
                bytes: until.saturating_sub(from),
                hash: 0,
                max_time: NO_TIME,
                first_arrived: places.last().map_or(NO_TIME, |p| p.head.last_arrived),
                last_arrived: arrived,
                stable: Offset(0),
                aborted: 0,
                batches: 0,
                entry_bytes: u32::try_from(next - at).unwrap_or(u32::MAX),
                crc: 0,
            };
            let place = self.rebuilt(s, Place { at, head, rebuilt: true })?;
            metrics::REBUILT_ENTRIES.inc();
            tracing::error!(
                log = %s.log, first = %place.head.first, end = %place.head.end,
                "{} is damaged at byte {at}: batches are found by their own headers, and their times of arrival are lost; \
                 their greatest record times stand for them",
                Segment::file(s.log, s.base, "side")
            );
            places.push(place);
            at = next;
        }
        Ok(places)
    }

    /// The place of a damaged entry, with what its batches say.
    fn rebuilt(&self, s: &Segment, mut place: Place) -> io::Result<Place> {
        let (slots, markers) = self.walk(s, &place.head)?;
        let head = &mut place.head;
        head.aborted = markers;
        head.batches = slots.len() as u32;
        head.max_time = slots.iter().map(|slot| slot.max_time).max().unwrap_or(NO_TIME);
        Ok(place)
    }

    /// The batches of an entry that cannot be read, by their own headers. Where a header is damaged too, everything up
    /// to the end of the entry is one piece, which no checksum will match. And how many of them are markers.
    fn walk(&self, s: &Segment, head: &Head) -> io::Result<(Vec<Slot>, u32)> {
        let records = self.file(s.log, s.base, "log", false)?;
        let (mut at, end) = (head.at, head.at + head.bytes);
        let (mut first, mut arrived) = (head.first, head.first_arrived);
        let (mut slots, mut markers) = (Vec::new(), 0);
        while at < end {
            let mut bytes = [0; batch::HEADER_BYTES];
            let fits = end - at >= bytes.len() as u64 && read_or_damaged(&*records, &mut bytes, at)?;
            let header = fits.then(|| batch::parse_header(&bytes).ok()).flatten().filter(|h| {
                let base = h.base_offset as u64;
                let ends = base.checked_add(h.offsets()).is_some_and(|ends| ends <= head.end.0);
                base >= first.0 && ends && u64::from(h.bytes) <= end - at
            });
            let Some(header) = header else {
                let bytes = u32::try_from(end - at).unwrap_or(u32::MAX);
                slots.push(Slot { bytes, first, arrived, max_time: NO_TIME });
                break;
            };
            let max_time = Timestamp(header.max_timestamp);
            arrived = max_time.max(arrived).min(head.last_arrived);
            let base = Offset(header.base_offset as u64);
            slots.push(Slot { bytes: header.bytes, first: base, arrived, max_time });
            markers += u32::from(header.is_control());
            first = base.plus(header.offsets());
            at += u64::from(header.bytes);
        }
        Ok((slots, markers))
    }

    fn slots(&self, s: &Segment, place: &Place) -> io::Result<Vec<Slot>> {
        if !place.rebuilt {
            let sound = match self.file(s.log, s.base, "side", false) {
                Ok(side) => Window::default().entry(&*side, place.at, place.at + u64::from(place.head.entry_bytes))?,
                Err(e) if e.kind() == io::ErrorKind::NotFound => None,
                Err(e) => return Err(e),
            };
            if let Some((_, slots)) = sound {
                return Ok(slots);
            }
            // It was sound when it was indexed.
            let file = Segment::file(s.log, s.base, "side");
            tracing::error!(log = %s.log, "{file} is damaged at byte {}: batches are found by their own headers", place.at);
        }
        Ok(self.walk(s, &place.head)?.0)
    }

    /// The bytes of a sidecar's entry.
    fn entry(&self, s: &Segment, place: &Place) -> io::Result<Bytes> {
        let side = self.file(s.log, s.base, "side", false)?;
        let mut entry = BytesMut::zeroed(place.head.entry_bytes as usize);
        side.read_exact_at(&mut entry, place.at)?;
        Ok(entry.freeze())
    }

    fn file(&self, log: LogId, base: Offset, kind: &'static str, write: bool) -> io::Result<Arc<dyn File>> {
        let key = (log, base, kind);
        let mut files = self.lock_files();
        files.tick += 1;
        let tick = files.tick;
        if let Some((used, file)) = files.open.get_mut(&key) {
            *used = tick;
            return Ok(file.clone());
        }
        // Settled files are opened for writing even by readers, so that a handle serves both.
        let how = if write { Open::CreateOrOpen } else { Open::Write };
        let file = self.disk.open(&Segment::file(log, base, kind), how)?;
        if files.open.len() >= files.limit {
            let mut used: Vec<u64> = files.open.values().map(|(used, _)| *used).collect();
            used.sort_unstable();
            let keep_from = used[used.len() / 4];
            files.open.retain(|_, (used, _)| *used >= keep_from);
        }
        files.open.insert(key, (tick, file.clone()));
        Ok(file)
    }

    fn lock_files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn damaged_entry(s: &Segment, place: &Place) -> io::Error {
    let name = Segment::file(s.log, s.base, "side");
    io::Error::new(io::ErrorKind::InvalidData, format!("{name} is damaged at byte {}", place.at))
}

/// How many bytes of the sidecar an index covers.
fn reach_of(places: &[Place]) -> u64 {
    places.last().map_or(0, |p| p.at + u64::from(p.head.entry_bytes))
}

fn settling(entry: &Entry) -> Settling<'_> {
    Settling {
        bytes: &entry.bytes,
        max_time: entry.max_time,
        first: entry.first,
        end: entry.end,
        arrived: entry.arrived,
        stable: entry.stable,
    }
}

/// All bytes of a list of batches, for tests and tools that want them in one piece.
pub fn joined(batches: &[Stored]) -> Bytes {
    let mut all = BytesMut::with_capacity(batches.iter().map(|b| b.bytes.len()).sum());
    for batch in batches {
        all.extend_from_slice(&batch.bytes);
    }
    all.freeze()
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Vault").finish_non_exhaustive()
    }
}

/// The time a record-less batch is filed under.
pub const NO_TIME: Timestamp = Timestamp(-1);
