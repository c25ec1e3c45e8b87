//! The packs of small logs (log/pack.rs), as readers see them: which there are, and which pieces of a segment stand in
//! them. Their indexes are read when they are needed, a group of rows at a time; a damaged one is made again from the
//! pieces themselves. Nothing is written here.
//!
//! ```text
//! packs/<id, 16 hexadecimal digits>.pack
//! ```

#[cfg(test)]
mod tests;

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use super::frame::{PackInfo, Settled};
use super::window::read_if_there;
use crate::ids::{LogId, Offset};
use crate::log::pack::{self, Fence, PIECE_HEAD_BYTES, Row, TAIL_BYTES, Tail};
use crate::metrics;
use crate::store::{Disk, File, Open, ReadOnly, Reads};

pub const DIR: &str = "packs";
/// How much is read at once where a piece's head is damaged and the next one is looked for.
const SEARCH_BYTES: usize = 64 << 10;

pub fn file_name(id: u64) -> String {
    format!("{DIR}/{id:016x}.pack")
}

/// The pack whose file has this name, without the directory.
pub fn id_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".pack")?;
    let plain = digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    plain.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

/// One pack, opened by who first needs it and open as long as it is known: so it can be read to the end by who found it
/// here, even when it has been merged and removed meanwhile.
#[derive(Debug)]
pub struct Pack {
    pub info: PackInfo,
    opened: OnceLock<Opened>,
}

struct Opened {
    file: Arc<dyn File>,
    index: Mutex<Arc<Index>>,
}

/// Where rows are found.
enum Index {
    /// In the pack, proven by these.
    Sound(Tail, Vec<Fence>),
    /// Here: what stands in the pack is damaged.
    Rebuilt(Vec<Row>),
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").finish_non_exhaustive()
    }
}

impl Pack {
    pub fn new(info: PackInfo) -> Pack {
        Pack { info, opened: OnceLock::new() }
    }

    fn opened(&self, disk: &dyn Disk) -> io::Result<&Opened> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let file = disk.open(&file_name(self.info.id), Open::Read)?;
        let index = match read_index(&*file, &self.info)? {
            Some((tail, fences)) => Index::Sound(tail, fences),
            None => Index::Rebuilt(self.rebuild(&*file)?),
        };
        // Two may have done this at once; both found the same.
        Ok(self.opened.get_or_init(|| Opened { file, index: Mutex::new(Arc::new(index)) }))
    }

    pub fn file(&self, disk: &dyn Disk) -> io::Result<Arc<dyn File>> {
        Ok(self.opened(disk)?.file.clone())
    }

    fn rebuild(&self, file: &dyn File) -> io::Result<Vec<Row>> {
        metrics::REBUILT_ENTRIES.inc();
        let name = file_name(self.info.id);
        tracing::error!("the index of {name} is damaged: pieces are found by their own heads");
        walk(file, self.info.bytes, &mut |_| ())
    }

    /// The rows of a segment.
    pub fn rows_of(&self, disk: &dyn Disk, log: LogId, base: Offset) -> io::Result<Vec<Row>> {
        let opened = self.opened(disk)?;
        let index = lock(&opened.index).clone();
        let found = match &*index {
            Index::Rebuilt(rows) => rows.clone(),
            Index::Sound(tail, fences) => {
                let groups = pack::groups_of(fences, (log, base));
                match read_groups(&*opened.file, tail, fences, groups)? {
                    Some(rows) => rows,
                    None => self.replace_index(opened)?,
                }
            }
        };
        Ok(found.into_iter().filter(|row| row.key() == (log, base)).collect())
    }

    /// How many groups of rows there are.
    pub fn groups(&self, disk: &dyn Disk) -> io::Result<usize> {
        Ok(match &**lock(&self.opened(disk)?.index) {
            Index::Sound(_, fences) => fences.len(),
            Index::Rebuilt(_) => 1,
        })
    }

    /// The rows of one group. `None`: the index turned out to be damaged, and there is only one group from now on.
    pub fn group(&self, disk: &dyn Disk, n: usize) -> io::Result<Option<Vec<Row>>> {
        let opened = self.opened(disk)?;
        let index = lock(&opened.index).clone();
        match &*index {
            Index::Rebuilt(rows) => Ok((n == 0).then(|| rows.clone())),
            Index::Sound(tail, fences) => {
                let rows = read_groups(&*opened.file, tail, fences, n..n + 1)?;
                if rows.is_none() {
                    self.replace_index(opened)?;
                }
                Ok(rows)
            }
        }
    }

    fn replace_index(&self, opened: &Opened) -> io::Result<Vec<Row>> {
        let rows = self.rebuild(&*opened.file)?;
        *lock(&opened.index) = Arc::new(Index::Rebuilt(rows.clone()));
        Ok(rows)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a pack ends with; `None`: it is damaged, or this is not the pack that was recorded.
pub fn read_index(file: &dyn File, info: &PackInfo) -> io::Result<Option<(Tail, Vec<Fence>)>> {
    let mut bytes = [0; TAIL_BYTES];
    let Some(tail_at) = info.bytes.checked_sub(TAIL_BYTES as u64) else { return Ok(None) };
    let tail = read_if_there(file, &mut bytes, tail_at)?.then(|| Tail::of(&bytes, info.bytes)).flatten();
    let Some(tail) = tail.filter(|tail| (tail.id, tail.seal) == (info.id, info.seal)) else { return Ok(None) };
    let mut bytes = vec![0; (info.bytes - tail.fences_at()) as usize];
    let fences = read_if_there(file, &mut bytes, tail.fences_at())?.then(|| pack::fences(&bytes, &tail)).flatten();
    Ok(fences.map(|fences| (tail, fences)))
}

/// The rows of these groups; `None` where one of them is damaged.
pub fn read_groups(
    file: &dyn File,
    tail: &Tail,
    fences: &[Fence],
    groups: Range<usize>,
) -> io::Result<Option<Vec<Row>>> {
    if groups.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let (from, to) = (tail.group(groups.start).start, tail.group(groups.end - 1).end);
    let mut bytes = vec![0; (to - from) as usize];
    if !read_if_there(file, &mut bytes, from)? {
        return Ok(None);
    }
    let rows = groups.map(|n| {
        let Range { start, end } = tail.group(n);
        pack::rows(&bytes[(start - from) as usize..(end - from) as usize], &fences[n])
    });
    Ok(rows.collect::<Option<Vec<_>>>().map(|rows| rows.concat()))
}

/// The rows of a pack's pieces, from the pieces themselves; `damaged` hears of stretches between them that are none. What
/// stands behind the last piece is not told: it should be the index.
pub fn walk(file: &dyn File, bytes: u64, damaged: &mut dyn FnMut(Range<u64>)) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut at = pack::HEAD_BYTES as u64;
    while let Some(row) = next_piece(file, at, bytes)? {
        if row.position > at {
            damaged(at..row.position);
        }
        at = row.ends();
        rows.push(row);
    }
    rows.sort_unstable();
    Ok(rows)
}

/// The first piece that begins at or behind a place.
fn next_piece(file: &dyn File, mut at: u64, bytes: u64) -> io::Result<Option<Row>> {
    let mut many = PIECE_HEAD_BYTES;
    while at + PIECE_HEAD_BYTES as u64 <= bytes {
        let mut window = vec![0; many.min((bytes - at) as usize)];
        if read_if_there(file, &mut window, at)? {
            let here = |skip: &usize| pack::piece(&window[*skip..]).filter(|r| r.position == at + *skip as u64);
            let skips = window.len() - PIECE_HEAD_BYTES + 1;
            if let Some(row) = (0..skips).find_map(|skip| here(&skip)).filter(|row| row.ends() <= bytes) {
                return Ok(Some(row));
            }
            at += skips as u64;
        } else {
            at += PIECE_HEAD_BYTES as u64;
        }
        // The first look is for the piece that should be here, the next ones for any.
        many = SEARCH_BYTES;
    }
    Ok(None)
}

/// Puts `added` in the place of the first of `removed`, or behind all others: older packs stand before newer ones.
pub fn replace<T>(packs: &mut Vec<T>, id: impl Fn(&T) -> u64, removed: &[u64], added: Option<T>) {
    let place = packs.iter().position(|pack| removed.contains(&id(pack))).unwrap_or(packs.len());
    packs.retain(|pack| !removed.contains(&id(pack)));
    if let Some(pack) = added {
        packs.insert(place, pack);
    }
}

/// All packs, the oldest first: looked up by readers, changed by the lane.
#[derive(Debug, Default)]
pub struct Packs(RwLock<Arc<Vec<Arc<Pack>>>>);

impl Packs {
    pub fn of(infos: impl IntoIterator<Item = PackInfo>) -> Packs {
        Packs(RwLock::new(Arc::new(infos.into_iter().map(|info| Arc::new(Pack::new(info))).collect())))
    }

    pub fn all(&self) -> Arc<Vec<Arc<Pack>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// See [`replace`].
    pub fn replace(&self, removed: &[u64], added: Option<PackInfo>) {
        let mut list = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let mut packs = list.to_vec();
        replace(&mut packs, |pack| pack.info.id, removed, added.map(|info| Arc::new(Pack::new(info))));
        *list = Arc::new(packs);
    }

    pub fn infos(&self) -> Vec<PackInfo> {
        self.all().iter().map(|pack| pack.info).collect()
    }

    /// The pieces of a segment behind what it has in files of its own, up to what is recorded of it, in order.
    pub fn pieces(&self, disk: &dyn Disk, log: LogId, reach: &Settled) -> io::Result<Vec<(Arc<Pack>, Row)>> {
        let mut pieces = Vec::new();
        for pack in self.all().iter() {
            for row in pack.rows_of(disk, log, reach.base)? {
                // Older than what was moved into the segment's files, or newer than this reader knows of.
                if row.at >= reach.filed.bytes && row.at < reach.bytes {
                    pieces.push((pack.clone(), row));
                }
            }
        }
        pieces.sort_by_key(|(_, row)| row.at);
        Ok(pieces)
    }

    /// The `.log` and the sidecar of a segment, its own files with what stands in packs behind them. `own`: the
    /// segment's own files, opened. Where some of it is nowhere, they have a gap ([`Spliced::reach`]).
    pub fn spliced(
        &self,
        disk: &dyn Disk,
        log: LogId,
        reach: &Settled,
        own: [Option<Arc<dyn File>>; 2],
    ) -> io::Result<[ReadOnly<Spliced>; 2]> {
        let [records, side] = own;
        let mut spliced = [Spliced::after(records, reach.filed.bytes)?, Spliced::after(side, reach.filed.side_bytes)?];
        for (pack, row) in self.pieces(disk, log, reach)? {
            let file = pack.file(disk)?;
            spliced[0].push(row.at, u64::from(row.bytes), &file, row.batches_at());
            spliced[1].push(row.side_at, u64::from(row.side_bytes), &file, row.entries_at());
        }
        Ok(spliced.map(ReadOnly))
    }
}

/// A file that can be read as one and stands in pieces of several.
pub struct Spliced {
    parts: Vec<Part>,
    /// What stands behind the recorded part of the first file.
    beyond: u64,
}

struct Part {
    at: u64,
    bytes: u64,
    file: Arc<dyn File>,
    position: u64,
}

impl Spliced {
    fn after(own: Option<Arc<dyn File>>, bytes: u64) -> io::Result<Spliced> {
        let mut spliced = Spliced { parts: Vec::new(), beyond: 0 };
        if let Some(file) = own {
            let length = file.len()?;
            spliced.beyond = length.saturating_sub(bytes);
            spliced.parts.push(Part { at: 0, bytes: bytes.min(length), file, position: 0 });
        }
        Ok(spliced)
    }

    fn push(&mut self, at: u64, bytes: u64, file: &Arc<dyn File>, position: u64) {
        self.parts.push(Part { at, bytes, file: file.clone(), position });
    }

    /// How far it can be read without a gap.
    pub fn reach(&self) -> u64 {
        self.parts.iter().fold(0, |end, part| if part.at == end { end + part.bytes } else { end })
    }
}

impl Reads for Spliced {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let after = self.parts.partition_point(|part| part.at + part.bytes <= at);
        let Some(part) = self.parts.get(after).filter(|part| part.at <= at) else { return Ok(0) };
        let skip = at - part.at;
        let some = buf.len().min((part.bytes - skip) as usize);
        part.file.read_at(&mut buf[..some], part.position + skip)
    }

    /// With what stands behind the recorded part of its own file.
    fn length(&self) -> io::Result<u64> {
        Ok(self.reach() + self.beyond)
    }
}
