//! Settled segments on disk: appending to them, reading ranges of them. Everything here blocks; only the settler's
//! thread appends, any blocking thread reads. A batch whose bytes no longer match their checksum is withheld and counted.
//! The newest part of a segment may stand in packs (packs.rs): readers see no difference.
//!
//! ```text
//! logs/<log id>/<base offset, 20 digits>.log       Kafka's own segment format, byte for byte
//! logs/<log id>/<base offset, 20 digits>.side      the sidecar (log/segment.rs)
//! logs/<log id>/<base offset, 20 digits>.<n>.log   the same of one that was compacted for the nth time
//! ```

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};

use super::Stored;
use super::sabotage::{self, Bug};
use super::window::read_or_damaged;
use crate::engine::frame::{Filed, PackInfo, SegmentName, Settled};
use crate::engine::merge::Merge;
use crate::engine::packs::{self, Packs};
use crate::engine::reading::{Reading, damaged_entry, reach_of};
use crate::engine::removals::Removals;
use crate::engine::tail::Entry;
use crate::ids::{LogId, Offset, Timestamp};
use crate::log::pack::{self, Row};
use crate::log::segment::{self, Head, Settling, Slot};
use crate::log::transactions::{self, Aborted};
use crate::metrics;
use crate::record::batch;
use crate::store::block::{self, BLOCK_BYTES, BULK_BYTES, Blocks, Pool, STAGING_BYTES};
use crate::store::{Disk, File, Open, is_full};

/// How much memory of past reads is kept for the next ones.
const POOL_BYTES: usize = 8 << 20;
/// How much is read at once: a buffer that is used again while it is still in the processor's cache.
const PIECE_BYTES: usize = 1 << 20;

/// One segment: its name, and its index once somebody needed it.
#[derive(Debug)]
pub struct Segment {
    pub log: LogId,
    pub name: SegmentName,
    index: Mutex<Option<Vec<Place>>>,
    /// How far it has been read past the system's cache. Who reads it after that is not the only reader, and reads through
    /// the cache, for himself and the next one.
    read_past_cache: AtomicU64,
}

/// Where a sidecar entry stands, with its head.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub at: u64,
    pub head: Head,
    /// The entry is damaged; the head says what is known without it.
    pub rebuilt: bool,
}

/// What the settler does at once.
#[derive(Debug, Default)]
pub struct Round {
    /// Into files of their own, with what of these segments stands in packs.
    pub filed: Vec<Job>,
    /// All together into one pack of this id.
    pub packed: Vec<Job>,
    pub pack: u64,
}

/// What a round has made durable.
#[derive(Debug, Default)]
pub struct Done {
    pub settled: Vec<(Arc<Segment>, Settled)>,
    pub pack: Option<PackInfo>,
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
    pub(super) disk: Arc<dyn Disk>,
    pub(super) packs: Arc<Packs>,
    files: Mutex<Files>,
    pool: Arc<Pool>,
    /// Of the settler, made with the first settle.
    pub(super) staging: Mutex<Option<Blocks>>,
    pub(super) merging: Mutex<Option<Merge>>,
    withheld: AtomicU64,
    pub(super) held: Mutex<Removals>,
}

type FileKey = (LogId, SegmentName, &'static str);

/// Open files, the least recently used closed first.
pub(super) struct Files {
    limit: usize,
    tick: u64,
    /// By log, segment and kind; with the tick of its last use.
    pub open: BTreeMap<FileKey, (u64, Arc<dyn File>)>,
}

impl Segment {
    pub fn new(log: LogId, name: SegmentName) -> Segment {
        Segment { log, name, index: Mutex::new(None), read_past_cache: AtomicU64::new(0) }
    }

    pub fn dir(log: LogId) -> String {
        format!("logs/{log}")
    }

    pub fn file(log: LogId, name: SegmentName, kind: &str) -> String {
        match name.compacted {
            0 => format!("logs/{log}/{:020}.{kind}", name.base.0),
            nth => format!("logs/{log}/{:020}.{nth}.{kind}", name.base.0),
        }
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

    pub(super) fn index(&self) -> MutexGuard<'_, Option<Vec<Place>>> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Vault {
    pub fn new(disk: Arc<dyn Disk>, packs: Arc<Packs>, open_files_limit: usize) -> Vault {
        let files = Files { limit: open_files_limit.max(4), tick: 0, open: BTreeMap::new() };
        Vault {
            disk,
            packs,
            merging: Mutex::default(),
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

    /// Settles a round. All or an error; what was written and not recorded is written over or swept away later.
    pub fn settle(&self, round: &Round) -> io::Result<Done> {
        let mut done = Done { settled: self.file_jobs(&round.filed)?, pack: None };
        if !round.packed.is_empty() {
            let packed = self.pack_jobs(round.pack, &round.packed)?;
            done.settled.extend(packed.settled);
            done.pack = packed.pack;
        }
        Ok(done)
    }

    /// Appends every job's batches to its segment and makes them durable. All or an error; a segment that was extended
    /// but not recorded is cut back when it is next appended to.
    fn file_jobs(&self, jobs: &[Job]) -> io::Result<Vec<(Arc<Segment>, Settled)>> {
        let mut done = Vec::with_capacity(jobs.len());
        let mut dirty = Vec::with_capacity(jobs.len() * 2);
        let mut dirs: Vec<String> = Vec::new();
        let mut staging = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
        let staging = staging.get_or_insert_with(|| Blocks::new(STAGING_BYTES));
        for job in jobs {
            let lifted = match job.from.filter(|from| from.packed_bytes() > 0) {
                Some(from) => Some(self.lift(job.segment.log, &from)?),
                None => None,
            };
            // What cannot be read stays where it is, and the log goes on in a new segment.
            let stays = matches!(lifted, Some(None));
            let segment = match stays {
                true => Arc::new(Segment::new(job.segment.log, SegmentName::fresh(job.entries[0].first))),
                false => job.segment.clone(),
            };
            let from = job.from.filter(|_| !stays);
            let (log, name) = (segment.log, segment.name);
            let filed = from.map_or(Filed::default(), |s| s.filed);
            if filed.bytes == 0 {
                let dir = Segment::dir(log);
                self.disk.create_dir_all(&dir)?;
                dirs.push(dir);
            }
            let records = self.file(log, name, "log", true)?;
            let side = self.file(log, name, "side", true)?;
            if records.len()? > filed.bytes {
                records.set_len(filed.bytes)?;
            }
            if side.len()? > filed.side_bytes {
                side.set_len(filed.side_bytes)?;
            }
            if let Some(Some([batches, entries])) = &lifted {
                metrics::LIFTED_BYTES.add(batches.len() as u64);
                block::write_bulk(&*records, staging, &[batches], filed.bytes)?;
                side.write_at(&[entries], filed.side_bytes)?;
            }
            let (entry, head) = encode(job, from);
            let settled = settled(name, from, &head, entry.len()).wholly_filed();
            let slices: Vec<&[u8]> = job.entries.iter().map(|e| &e.bytes[..]).collect();
            block::write_bulk(&*records, staging, &slices, head.at)?;
            metrics::SETTLED_BYTES.add(head.bytes);
            let side_at = settled.side_bytes - entry.len() as u64;
            side.write_at(&[&entry], side_at)?;
            dirty.push(records);
            dirty.push(side);
            segment.extend_index(Place { at: side_at, head, rebuilt: false });
            done.push((segment, settled));
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

    /// What of a segment stands in packs: batches and entries. `None`: it is damaged beyond reading.
    fn lift(&self, log: LogId, from: &Settled) -> io::Result<Option<[Vec<u8>; 2]>> {
        let [records, side] = self.packs.spliced(&*self.disk, log, from, [None, None])?;
        let read = |file: &dyn File, from: u64, to: u64| {
            let mut bytes = vec![0; (to - from) as usize];
            Ok::<_, io::Error>(read_or_damaged(file, &mut bytes, from)?.then_some(bytes))
        };
        let batches = read(&records, from.filed.bytes, from.bytes)?;
        let entries = read(&side, from.filed.side_bytes, from.side_bytes)?;
        if batches.is_none() || entries.is_none() {
            let file = Segment::file(log, from.name(), "log");
            tracing::error!(%log, "what packs hold of {file} cannot be read; it stays there, and the log goes on in a new segment");
        }
        Ok(batches.zip(entries).map(|(batches, entries)| [batches, entries]))
    }

    /// Writes every job's batches into one new pack and makes it durable.
    fn pack_jobs(&self, id: u64, jobs: &[Job]) -> io::Result<Done> {
        let mut jobs: Vec<&Job> = jobs.iter().collect();
        jobs.sort_unstable_by_key(|job| (job.segment.log, job.segment.name));
        let mut done = Vec::with_capacity(jobs.len());
        let mut rows = Vec::with_capacity(jobs.len());
        let mut heads = Vec::with_capacity(jobs.len());
        let mut position = pack::HEAD_BYTES as u64;
        for job in &jobs {
            let Segment { log, name, .. } = *job.segment;
            let (entry, head) = encode(job, job.from);
            let settled = settled(name, job.from, &head, entry.len());
            let row = Row {
                log,
                base: name.base,
                at: head.at,
                side_at: settled.side_bytes - entry.len() as u64,
                position,
                side_bytes: entry.len() as u32,
                bytes: head.bytes as u32,
            };
            position = row.ends();
            let mut piece = pack::piece_head(&row);
            piece.extend_from_slice(&entry);
            heads.push(piece);
            rows.push(row);
            metrics::SETTLED_BYTES.add(head.bytes);
            metrics::PACKED_BYTES.add(head.bytes);
            done.push((job.segment.clone(), settled));
        }
        let (index, seal) = pack::index(id, position, &rows);
        let head = pack::head(id);
        let mut slices: Vec<&[u8]> = Vec::with_capacity(jobs.len() * 3);
        slices.push(&head);
        for (job, piece) in jobs.iter().zip(&heads) {
            slices.push(piece);
            slices.extend(job.entries.iter().map(|e| &e.bytes[..]));
        }
        slices.push(&index);
        let info = PackInfo { id, bytes: position + index.len() as u64, seal };
        let name = packs::file_name(id);
        let write = || {
            let file = self.disk.open(&name, Open::CreateOrOpen)?;
            file.set_len(0)?;
            let mut staging = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
            let staging = staging.get_or_insert_with(|| Blocks::new(STAGING_BYTES));
            block::write_bulk(&*file, staging, &slices, 0)?;
            if !sabotage::is(Bug::SettledBeforeSync) {
                file.sync()?;
            }
            self.disk.sync_dir(packs::DIR)
        };
        if let Err(e) = write() {
            if is_full(&e) {
                // It would take the room that is lacking. If it stays, the next start removes it.
                let _ = self.disk.remove(&name);
            }
            return Err(e);
        }
        Ok(Done { settled: done, pack: Some(info) })
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
        let reading = Reading::new(self, s, reach);
        let records = reading.records()?;
        while let Some(place) = self.place(&reading, range.next)? {
            if place.head.first >= until || (left == 0 && !range.batches.is_empty()) {
                break;
            }
            let settled = Entries { s, records: &*records, head: &place.head, slots: &self.slots(&reading, &place)? };
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
        let reading = Reading::new(self, s, reach);
        for place in self.places(&reading)?.into_iter().filter(|p| may(&p.head)) {
            if let Some(slot) = self.slots(&reading, &place)?.into_iter().find(&hit) {
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
        let reading = Reading::new(self, s, reach);
        for place in self.places(&reading)?.into_iter().filter(|place| place.head.end > from) {
            if place.head.aborted > 0 {
                if place.rebuilt {
                    // A marker does not say where its transaction began: who must not see what was given up sees nothing.
                    return Err(damaged_entry(s, &place));
                }
                let entry = self.entry(&reading, &place)?;
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

    pub(super) fn file(
        &self,
        log: LogId,
        name: SegmentName,
        kind: &'static str,
        write: bool,
    ) -> io::Result<Arc<dyn File>> {
        let key = (log, name, kind);
        let mut files = self.lock_files();
        files.tick += 1;
        let tick = files.tick;
        if let Some((used, file)) = files.open.get_mut(&key) {
            *used = tick;
            return Ok(file.clone());
        }
        // Settled files are opened for writing even by readers, so that a handle serves both.
        let how = if write { Open::CreateOrOpen } else { Open::Write };
        let file = self.disk.open(&Segment::file(log, name, kind), how)?;
        if files.open.len() >= files.limit {
            let mut used: Vec<u64> = files.open.values().map(|(used, _)| *used).collect();
            used.sort_unstable();
            let keep_from = used[used.len() / 4];
            files.open.retain(|_, (used, _)| *used >= keep_from);
        }
        files.open.insert(key, (tick, file.clone()));
        Ok(file)
    }

    pub(super) fn lock_files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sidecar's entry for a job, of a segment that reaches up to `from`.
fn encode(job: &Job, from: Option<Settled>) -> (Vec<u8>, Head) {
    let settling: Vec<Settling<'_>> = job.entries.iter().map(settling).collect();
    let (at, hash) = from.map_or((0, 0), |s| (s.bytes, s.hash));
    segment::encode(job.segment.log, at, hash, &settling, &job.aborted)
}

/// How far a segment reaches with one more entry; of its files nothing new is said.
pub(super) fn settled(name: SegmentName, from: Option<Settled>, head: &Head, entry_bytes: usize) -> Settled {
    Settled {
        base: name.base,
        compacted: name.compacted,
        end: head.end,
        bytes: head.at + head.bytes,
        side_bytes: from.map_or(0, |s| s.side_bytes) + entry_bytes as u64,
        hash: head.hash,
        max_time: from.map_or(head.max_time, |s| s.max_time.max(head.max_time)),
        began: from.map_or(head.first_arrived, |s| s.began),
        arrived: head.last_arrived,
        aborted: from.map_or(0, |s| s.aborted) + head.aborted,
        filed: from.map_or(Filed::default(), |s| s.filed),
    }
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
