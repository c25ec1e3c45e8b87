//! What readers see of a log: its bounds, the newest batches in memory, and its segments. The lane publishes here under
//! a short lock; no file is touched and nothing is awaited while it is held.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;
use tokio::sync::Notify;

use super::{Bounds, Error, Stored, Until};
use crate::engine::frame::{SegmentName, Settled};
use crate::engine::vault::Segment;
use crate::ids::{LogId, Offset, Timestamp};
use crate::log::transactions::{Aborted, Effect, Transactions};
use crate::store::journal::FrameNo;

/// One published batch in memory.
#[derive(Clone, Debug)]
pub struct Entry {
    pub first: Offset,
    pub end: Offset,
    pub bytes: Bytes,
    pub arrived: Timestamp,
    pub max_time: Timestamp,
    /// The journal frame it stands in.
    pub frame: FrameNo,
    /// What it does to the transactions of its log.
    pub effect: Option<Effect>,
    /// How far everything was decided when it was published.
    pub stable: Offset,
}

/// A segment and how far it reaches, as of the last settle that is durable.
#[derive(Clone, Debug)]
pub struct Extent {
    pub settled: Settled,
    pub segment: Arc<Segment>,
}

/// The readers' side of one log.
#[derive(Debug)]
pub struct Shared {
    pub id: LogId,
    inner: Mutex<View>,
}

#[derive(Debug, Default)]
pub struct View {
    pub start: Offset,
    pub end: Offset,
    pub epochs: Vec<(u32, Offset)>,
    /// As far as published; of those given up, the ones whose markers stand in `tail`.
    pub transactions: Transactions,
    /// Oldest first, without holes except where rot was found. Everything from `settled` on is here; some of what lies
    /// below it may be too, as a cache.
    pub tail: VecDeque<Entry>,
    /// Where the segments end.
    pub settled: Offset,
    /// Oldest first. Where they were compacted, they need not follow one another.
    pub extents: Vec<Extent>,
    /// Everything below this has been compacted.
    pub clean: Offset,
    pub waiters: Vec<Arc<Notify>>,
    pub removed: bool,
}

/// Where a reader finds which transactions were given up.
#[derive(Debug, Default)]
pub struct GivenUp {
    pub settled: Vec<Extent>,
    pub aborted: Vec<Aborted>,
}

/// Where a reader finds what it wants.
pub enum Source {
    /// Nothing to read yet.
    Empty,
    Memory(Vec<Stored>),
    /// In these segments, the first of which holds the offset.
    Vault(Arc<Segment>, Settled),
}

impl Shared {
    pub fn new(id: LogId, view: View) -> Shared {
        Shared { id, inner: Mutex::new(view) }
    }

    /// A panic elsewhere cannot leave a view half changed: every change is a few plain assignments.
    pub fn view(&self) -> MutexGuard<'_, View> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl View {
    pub fn bounds(&self) -> Bounds {
        let committed = self.transactions.stable(self.end).max(self.start);
        Bounds { start: self.start, committed, end: self.end }
    }

    pub fn wake(&self) {
        for waiter in &self.waiters {
            waiter.notify_one();
        }
    }

    /// Batches from `from` on, at most `max_bytes` of them but at least one where `force`.
    pub fn read(&self, from: Offset, until: Until, max_bytes: usize, force: bool) -> Result<Source, Error> {
        if self.removed {
            return Err(Error::NoSuchLog);
        }
        let bounds = self.bounds();
        let limit = match until {
            Until::End => bounds.end,
            Until::Committed => bounds.committed,
        };
        if from < bounds.start || from > bounds.end {
            return Err(Error::OutOfRange(bounds));
        }
        if from >= limit {
            return Ok(Source::Empty);
        }
        let in_memory_from = self.tail.front().map_or(self.end, |e| e.first);
        if from < in_memory_from {
            let after = self.extents.partition_point(|x| x.settled.end <= from);
            if let Some(extent) = self.extents.get(after).filter(|x| x.settled.base < in_memory_from) {
                return Ok(Source::Vault(extent.segment.clone(), extent.settled));
            }
        }
        let mut found = Vec::new();
        let mut bytes = 0;
        let begin = self.tail.partition_point(|e| e.end <= from);
        for entry in self.tail.range(begin..).take_while(|e| e.first < limit) {
            bytes += entry.bytes.len();
            if bytes > max_bytes && !(force && found.is_empty()) {
                break;
            }
            found.push(Stored { bytes: entry.bytes.clone(), arrived: entry.arrived });
        }
        Ok(if found.is_empty() { Source::Empty } else { Source::Memory(found) })
    }

    /// The segments from the one that holds `from` on that know of transactions given up, and what memory knows; nothing, as
    /// long as none was.
    pub fn given_up(&self, from: Offset) -> GivenUp {
        let after = self.extents.partition_point(|x| x.settled.end <= from);
        let settled = self.extents[after..].iter().filter(|x| x.settled.aborted > 0).cloned().collect();
        GivenUp { settled, aborted: self.transactions.aborted().to_vec() }
    }

    /// What was given up by markers that are no longer in memory stands in segments.
    pub fn forget_given_up(&mut self) {
        let in_memory_from = self.tail.front().map_or(self.settled, |e| e.first);
        self.transactions.forget(in_memory_from);
    }

    /// Takes out the segments that end at or before `below`, but none of the last `spared`.
    pub fn drop_extents(&mut self, below: Offset, spared: usize) -> Vec<Extent> {
        let gone = self.extents.partition_point(|x| x.settled.end <= below);
        self.extents.drain(..gone.min(self.extents.len().saturating_sub(spared))).collect()
    }

    /// Takes out these segments, as far as they are still there, and puts another one in their place.
    pub fn replace_extents(&mut self, removed: &[SegmentName], added: Option<Extent>) -> Vec<Extent> {
        let removed = self.extents.extract_if(.., |x| removed.contains(&x.settled.name())).collect();
        if let Some(added) = added {
            let at = self.extents.partition_point(|x| x.settled.base < added.settled.base);
            self.extents.insert(at, added);
        }
        removed
    }

    /// The end of the newest epoch that is not above `epoch` (KIP-320): its number and where it ended.
    pub fn epoch_end(&self, epoch: u32) -> Option<(u32, Offset)> {
        let epochs: &[(u32, Offset)] = if self.epochs.is_empty() { &[(0, Offset(0))] } else { &self.epochs };
        let after = epochs.partition_point(|(e, _)| *e <= epoch);
        let (found, _) = *epochs.get(after.checked_sub(1)?)?;
        if after == epochs.len() {
            return (found == epoch).then_some((found, self.end));
        }
        Some((found, epochs[after].1))
    }
}

/// All logs, by id: looked up by readers, changed by the lane.
#[derive(Debug, Default)]
pub struct Logs(RwLock<BTreeMap<LogId, Arc<Shared>>>);

impl Logs {
    pub fn get(&self, id: LogId) -> Result<Arc<Shared>, Error> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned().ok_or(Error::NoSuchLog)
    }

    pub fn insert(&self, shared: Arc<Shared>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(shared.id, shared);
    }

    /// Makes an empty log unless there is one: readers may meet it before its writer does.
    pub fn insert_new(&self, id: LogId) {
        let mut logs = self.0.write().unwrap_or_else(PoisonError::into_inner);
        logs.entry(id).or_insert_with(|| Arc::new(Shared::new(id, View::default())));
    }

    pub fn remove(&self, id: LogId) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    pub fn all(&self) -> Vec<Arc<Shared>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
