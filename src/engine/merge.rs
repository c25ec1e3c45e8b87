//! Packs are merged, and their dead pieces left out: by the settler, a step at a time, so that settling never waits long.
//! Which packs, the lane decides; what is still needed of them, the logs say. The old packs stay until the lane has recorded
//! the new one.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, PoisonError};

use super::frame::PackInfo;
use super::packs::{self, Pack};
use super::tail::Logs;
use super::vault::Vault;
use crate::ids::{LogId, Offset};
use crate::log::pack::{self, Row};
use crate::metrics;
use crate::store::block::{self, BLOCK_BYTES, Blocks, STAGING_BYTES};
use crate::store::{Disk, File, Open, is_full};

/// How much of packs one step reads.
const STEP_BYTES: u64 = 8 << 20;
/// How many rows one step judges.
const STEP_ROWS: usize = 100_000;
/// How much of a pack is read at once.
const WINDOW_BYTES: u64 = 1 << 20;
/// Pieces are joined up to this size.
const PIECE_BYTES: u64 = 256 << 20;

/// What the lane asks for.
pub enum Tidy {
    /// Makes one pack of these, under a new id; none, if nothing of them is needed.
    Merge(Vec<Arc<Pack>>, u64),
    /// Says how much of these is still needed.
    Judge(Vec<Arc<Pack>>),
    /// Goes on with what was begun.
    GoOn,
}

/// What a step has come to.
#[derive(Debug, PartialEq, Eq)]
pub enum Tidied {
    /// There is more to do.
    GoOn,
    Merged {
        removed: Vec<u64>,
        added: Option<PackInfo>,
    },
    /// The packs with what is needed of them, in bytes.
    Judged(Vec<(u64, u64)>),
    /// These cannot be read; nothing was changed.
    Damaged(Vec<u64>),
    /// It could not be done now, for lack of room mostly; nothing was changed.
    Later,
}

/// What is under way.
pub enum Merge {
    Merging(Box<Merging>),
    Judging { left: VecDeque<Arc<Pack>>, judged: Vec<(u64, u64)> },
}

pub struct Merging {
    id: u64,
    inputs: Vec<Input>,
    out: Arc<dyn File>,
    /// Where `pending` belongs: a block's place.
    flushed: u64,
    pending: Vec<u8>,
    rows: Vec<Row>,
}

struct Input {
    pack: Arc<Pack>,
    file: Arc<dyn File>,
    groups: usize,
    next_group: usize,
    rows: VecDeque<Row>,
    window: Vec<u8>,
    window_at: u64,
}

/// Who says whether a piece is still needed. Asked for pieces in their order, it looks at each log once.
struct Living<'a> {
    logs: &'a Logs,
    log: Option<LogId>,
    /// By base offset: which bytes of the segment stand in packs.
    packed: Vec<(Offset, u64, u64)>,
}

impl Living<'_> {
    fn needs(&mut self, row: &Row) -> bool {
        if self.log != Some(row.log) {
            self.log = Some(row.log);
            self.packed.clear();
            if let Ok(shared) = self.logs.get(row.log) {
                let view = shared.view();
                let packed = view.extents.iter().map(|x| x.settled).filter(|s| s.packed_bytes() > 0);
                self.packed.extend(packed.map(|s| (s.base, s.filed.bytes, s.bytes)));
            }
        }
        self.packed.iter().any(|(base, from, to)| *base == row.base && row.at >= *from && row.at < *to)
    }
}

impl Input {
    fn new(pack: Arc<Pack>, disk: &dyn Disk) -> io::Result<Input> {
        let (file, groups) = (pack.file(disk)?, pack.groups(disk)?);
        Ok(Input { pack, file, groups, next_group: 0, rows: VecDeque::new(), window: Vec::new(), window_at: 0 })
    }

    fn peek(&mut self, disk: &dyn Disk) -> Result<Option<Row>, Stop> {
        while self.rows.is_empty() && self.next_group < self.groups {
            // Once an index turns out to be damaged, its rows come in another order.
            let rows = self.pack.group(disk, self.next_group).map_err(|e| Stop::reading(&self.pack, e))?;
            self.rows = rows.ok_or_else(|| Stop::reading(&self.pack, io::ErrorKind::Interrupted.into()))?.into();
            self.next_group += 1;
        }
        Ok(self.rows.front().copied())
    }

    /// Bytes of the pack, which are asked for in rising order.
    fn read(&mut self, at: u64, bytes: u64) -> Result<&[u8], Stop> {
        let held = self.window_at..self.window_at + self.window.len() as u64;
        if at < held.start || at + bytes > held.end {
            let some = bytes.max(WINDOW_BYTES).min(self.pack.info.bytes.saturating_sub(at)).max(bytes);
            self.window.resize(some as usize, 0);
            self.window_at = at;
            self.file.read_exact_at(&mut self.window, at).map_err(|e| Stop::reading(&self.pack, e))?;
        }
        let skip = (at - self.window_at) as usize;
        Ok(&self.window[skip..skip + bytes as usize])
    }
}

impl Merging {
    fn begin(disk: &dyn Disk, packs: &[Arc<Pack>], id: u64) -> Result<Merging, Stop> {
        let inputs = packs.iter().map(|pack| Input::new(pack.clone(), disk).map_err(|e| Stop::reading(pack, e)));
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        let out = disk.open(&packs::file_name(id), Open::CreateOrOpen).map_err(Stop::Writing)?;
        out.set_len(0).map_err(Stop::Writing)?;
        Ok(Merging { id, inputs, out, flushed: 0, pending: pack::head(id).to_vec(), rows: Vec::new() })
    }

    /// True: everything has been read.
    fn step(&mut self, disk: &dyn Disk, logs: &Logs, staging: &mut Blocks) -> Result<bool, Stop> {
        let mut living = Living { logs, log: None, packed: Vec::new() };
        let mut left = STEP_BYTES;
        let mut judged = 0;
        while left > 0 && judged < STEP_ROWS {
            let mut least: Option<(LogId, Offset)> = None;
            for input in &mut self.inputs {
                least = input.peek(disk)?.map(|row| row.key()).into_iter().chain(least).min();
            }
            let Some(key) = least else { return Ok(true) };
            let mut pieces: Vec<(usize, Row)> = Vec::new();
            for (n, input) in self.inputs.iter_mut().enumerate() {
                while let Some(row) = input.peek(disk)? {
                    if row.key() != key {
                        break;
                    }
                    input.rows.pop_front();
                    judged += 1;
                    if living.needs(&row) {
                        pieces.push((n, row));
                    }
                }
            }
            pieces.sort_unstable_by_key(|(_, row)| row.at);
            let mut rest = &pieces[..];
            while !rest.is_empty() {
                let run = run_of(rest);
                left = left.saturating_sub(self.join(&rest[..run], staging)?);
                rest = &rest[run..];
            }
        }
        Ok(false)
    }

    /// Writes pieces that follow one another as one.
    fn join(&mut self, pieces: &[(usize, Row)], staging: &mut Blocks) -> Result<u64, Stop> {
        let sum = |of: fn(&Row) -> u32| pieces.iter().map(|(_, row)| of(row)).sum();
        let row = Row {
            position: self.flushed + self.pending.len() as u64,
            side_bytes: sum(|row| row.side_bytes),
            bytes: sum(|row| row.bytes),
            ..pieces[0].1
        };
        self.pending.extend_from_slice(&pack::piece_head(&row));
        // Both parts of each piece stand together, so reading its batches finds them in the window.
        let mut batches = Vec::with_capacity(row.bytes as usize);
        for (n, piece) in pieces {
            let whole = u64::from(piece.side_bytes) + u64::from(piece.bytes);
            let bytes = self.inputs[*n].read(piece.entries_at(), whole)?;
            let (entries, batch) = bytes.split_at(piece.side_bytes as usize);
            self.pending.extend_from_slice(entries);
            batches.extend_from_slice(batch);
        }
        self.pending.extend_from_slice(&batches);
        self.rows.push(row);
        if self.pending.len() >= STAGING_BYTES {
            self.flush(staging).map_err(Stop::Writing)?;
        }
        Ok(row.ends() - row.position)
    }

    /// Whole blocks of what is pending go out.
    fn flush(&mut self, staging: &mut Blocks) -> io::Result<()> {
        let whole = self.pending.len() - self.pending.len() % BLOCK_BYTES;
        block::write_bulk(&*self.out, staging, &[&self.pending[..whole]], self.flushed)?;
        self.pending.drain(..whole);
        self.flushed += whole as u64;
        Ok(())
    }

    /// The merged pack, durable; nothing, where nothing was needed.
    fn finish(mut self, disk: &dyn Disk, staging: &mut Blocks) -> io::Result<Tidied> {
        let removed: Vec<u64> = self.inputs.iter().map(|input| input.pack.info.id).collect();
        if self.rows.is_empty() {
            disk.remove(&packs::file_name(self.id))?;
            return Ok(Tidied::Merged { removed, added: None });
        }
        let (index, seal) = pack::index(self.id, self.flushed + self.pending.len() as u64, &self.rows);
        self.pending.extend_from_slice(&index);
        let bytes = self.flushed + self.pending.len() as u64;
        block::write_bulk(&*self.out, staging, &[&self.pending], self.flushed)?;
        metrics::MERGED_BYTES.add(bytes);
        self.out.sync()?;
        disk.sync_dir(packs::DIR)?;
        Ok(Tidied::Merged { removed, added: Some(PackInfo { id: self.id, bytes, seal }) })
    }
}

/// How many of the first pieces follow one another.
fn run_of(pieces: &[(usize, Row)]) -> usize {
    let (mut bytes, mut run) = (0, 1);
    for pair in pieces.windows(2) {
        let (before, row) = (&pair[0].1, &pair[1].1);
        bytes += u64::from(before.bytes) + u64::from(before.side_bytes);
        let follows = before.at + u64::from(before.bytes) == row.at
            && before.side_at + u64::from(before.side_bytes) == row.side_at;
        if !follows || bytes > PIECE_BYTES {
            break;
        }
        run += 1;
    }
    run
}

/// Why a step could not be done.
enum Stop {
    Reading(u64, io::Error),
    Writing(io::Error),
}

impl Stop {
    fn reading(pack: &Pack, e: io::Error) -> Stop {
        Stop::Reading(pack.info.id, e)
    }
}

impl Vault {
    /// Does a step of what is asked. An error: the disk failed in writing.
    pub fn tidy(&self, ask: Tidy, logs: &Logs) -> io::Result<Tidied> {
        let mut under_way = self.merging.lock().unwrap_or_else(PoisonError::into_inner);
        let disk = &*self.disk;
        let done = match ask {
            Tidy::Merge(packs, id) => Merging::begin(disk, &packs, id).map(|m| Merge::Merging(Box::new(m))).map(Some),
            Tidy::Judge(packs) => Ok(Some(Merge::Judging { left: packs.into(), judged: Vec::new() })),
            Tidy::GoOn => Ok(under_way.take()),
        };
        let (out, stepped) = match done {
            Ok(Some(Merge::Judging { left, judged })) => (None, judge(disk, logs, left, judged)),
            Ok(Some(Merge::Merging(mut merging))) => {
                let mut staging = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
                let staging = staging.get_or_insert_with(|| Blocks::new(STAGING_BYTES));
                let id = merging.id;
                let stepped = match merging.step(disk, logs, staging) {
                    Ok(false) => Ok((Tidied::GoOn, Some(Merge::Merging(merging)))),
                    Ok(true) => merging.finish(disk, staging).map(|done| (done, None)).map_err(Stop::Writing),
                    Err(stop) => Err(stop),
                };
                (Some(id), stepped)
            }
            Ok(None) => (None, Ok((Tidied::Later, None))),
            Err(stop) => (None, Err(stop)),
        };
        match stepped {
            Ok((tidied, next)) => {
                *under_way = next;
                Ok(tidied)
            }
            Err(stop) => {
                if let Some(id) = out {
                    // If it stays, the next start removes it.
                    let _ = disk.remove(&packs::file_name(id));
                }
                match stop {
                    Stop::Reading(_, e) if e.kind() == io::ErrorKind::Interrupted => Ok(Tidied::Later),
                    Stop::Reading(id, e) => {
                        tracing::error!("{} cannot be read and stays as it is: {e}", packs::file_name(id));
                        Ok(Tidied::Damaged(vec![id]))
                    }
                    Stop::Writing(e) if is_full(&e) => Ok(Tidied::Later),
                    Stop::Writing(e) => Err(e),
                }
            }
        }
    }
}

/// Judges one pack.
fn judge(
    disk: &dyn Disk,
    logs: &Logs,
    mut left: VecDeque<Arc<Pack>>,
    mut judged: Vec<(u64, u64)>,
) -> Result<(Tidied, Option<Merge>), Stop> {
    let mut living = Living { logs, log: None, packed: Vec::new() };
    if let Some(pack) = left.pop_front() {
        let mut bytes = 0;
        for n in 0..pack.groups(disk).map_err(|e| Stop::reading(&pack, e))? {
            let rows = pack.group(disk, n).map_err(|e| Stop::reading(&pack, e))?;
            let rows = rows.ok_or_else(|| Stop::reading(&pack, io::ErrorKind::Interrupted.into()))?;
            bytes += rows.iter().filter(|row| living.needs(row)).map(|row| row.ends() - row.position).sum::<u64>();
        }
        judged.push((pack.info.id, bytes));
    }
    Ok(match left.is_empty() {
        true => (Tidied::Judged(judged), None),
        false => (Tidied::GoOn, Some(Merge::Judging { left, judged })),
    })
}
