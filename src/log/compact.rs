//! What compaction takes from a log and what it leaves, by Kafka's rules (its `LogCleaner`; KIP-58, 98, 354, 534). Pure: the
//! engine reads and writes.
//!
//! ```text
//!  start            clean                     until         active
//!  ──┼──────────────┼─────────────────────────┼─────────────┼───────────►
//!    │ compacted    │ dirty: its keys make    │ too young,  │ still being
//!    │ before       │ older records go        │ undecided   │ written
//! ```
//! A round reads the dirty part for its keys and the last offset of each ([`Keys`]), then rewrites everything from the start
//! up to there ([`Cleaner`]). A record stays if no later one has its key. Of one without value (a tombstone), that lasts
//! until its batch's delete horizon, which the first round that meets it sets. What a transaction wrote that was given up
//! goes; its marker, once nothing of the transaction is left, gets a horizon too. The last batch of every producer that is
//! remembered stays, without records if need be.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use siphasher::sip128::SipHasher13;

use crate::ids::{Offset, Timestamp};
use crate::log::transactions::{Aborted, Effect};
use crate::record::batch::{Batch, Header};
use crate::record::compress::Limits;
use crate::record::records::{self, Marker, RecordsError, View};
use crate::record::rewrite;

/// A segment, as far as compaction looks at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub base: Offset,
    pub end: Offset,
    pub bytes: u64,
    /// The greatest record timestamp in it.
    pub newest: Timestamp,
    /// When its first batch arrived.
    pub began: Timestamp,
}

/// A stream's settings for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// `min.cleanable.dirty.ratio`
    pub dirty_ratio: f64,
    /// `min.compaction.lag.ms`
    pub min_lag_ms: i64,
    /// `max.compaction.lag.ms`; `i64::MAX`: none.
    pub max_lag_ms: i64,
    /// `delete.retention.ms`: how long tombstones and markers stay after they were first met.
    pub delete_retention_ms: i64,
    /// Segments are joined up to this size.
    pub segment_bytes: u64,
}

/// What is to be compacted of a log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dirt {
    /// How much of what there would be is dirty.
    pub ratio: f64,
    /// Keys are read from here …
    pub from: Offset,
    /// … up to here: where a segment begins.
    pub until: Offset,
}

/// Whether a log is to be compacted now. `pieces`: all its segments, the last of which is still being written. `stable`:
/// everything before it is decided.
pub fn dirt(pieces: &[Piece], clean: Offset, stable: Offset, rules: &Rules, now: Timestamp) -> Option<Dirt> {
    let (active, whole) = pieces.split_last()?;
    let start = pieces[0].base;
    // What was given up took the clean part with it; or the records say something that cannot be.
    let from = if clean < start || clean > active.base { start } else { clean };
    let dirty = &whole[whole.partition_point(|piece| piece.end <= from)..];
    let undecided = |piece: &&Piece| piece.end > stable;
    let young = |piece: &&Piece| rules.min_lag_ms > 0 && piece.newest.0 > now.0.saturating_sub(rules.min_lag_ms);
    let until = dirty.iter().find(|piece| undecided(piece) || young(piece)).map_or(active.base, |piece| piece.base);
    let bytes = |pieces: &[Piece]| pieces.iter().map(|piece| piece.bytes).sum::<u64>();
    let cleanable = bytes(&dirty[..dirty.partition_point(|piece| piece.base < until)]);
    if cleanable == 0 {
        return None;
    }
    let before = bytes(&whole[..whole.partition_point(|piece| piece.end <= from)]);
    let ratio = cleanable as f64 / (before + cleanable) as f64;
    let oldest = dirty.iter().map(|piece| piece.began).min()?;
    let overdue = rules.max_lag_ms < i64::MAX && oldest.0 < now.0.saturating_sub(rules.max_lag_ms);
    (overdue || ratio > rules.dirty_ratio).then_some(Dirt { ratio, from, until })
}

/// Which of the segments, those before `until`, become one each.
pub fn groups(pieces: &[Piece], until: Offset, segment_bytes: u64) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    let mut bytes = 0;
    for (i, piece) in pieces.iter().enumerate().take_while(|(_, piece)| piece.base < until) {
        match groups.last_mut() {
            // Relative offsets in Kafka's index files are 32 bits wide.
            Some(group)
                if bytes + piece.bytes <= segment_bytes
                    && piece.end.0 - pieces[group.start].base.0 <= i32::MAX as u64 =>
            {
                group.end = i + 1;
                bytes += piece.bytes;
            }
            _ => {
                groups.push(i..i + 1);
                bytes = piece.bytes;
            }
        }
    }
    groups
}

/// The last offset of each key in a stretch of a log. Keys are known by a hash of 128 bits under a secret of this run:
/// nobody can make two that are taken for one.
pub struct Keys {
    secret: (u64, u64),
    /// Hash and offset + 1; 0: free.
    slots: Vec<[u64; 3]>,
    used: usize,
    limit: usize,
    /// The last offset that was looked at.
    latest: Option<Offset>,
}

const SLOT_BYTES: usize = 24;
const FIRST_SLOTS: usize = 1024;

impl Keys {
    /// At most so much memory, but room for some keys.
    pub fn new(secret: (u64, u64), limit_bytes: usize) -> Keys {
        let limit = (limit_bytes / SLOT_BYTES).max(16);
        Keys { secret, slots: vec![[0; 3]; FIRST_SLOTS.min(limit)], used: 0, limit, latest: None }
    }

    /// Where everything that was read ends; `None`: nothing was.
    pub fn end(&self) -> Option<Offset> {
        self.latest.map(|latest| latest.plus(1))
    }

    pub fn len(&self) -> usize {
        self.used
    }

    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// False: there is no room for another key.
    fn put(&mut self, key: &[u8], offset: Offset) -> bool {
        if self.used * 10 >= self.slots.len() * 9 && self.slots.len() == self.limit {
            return false;
        }
        // Long chains cost more than memory, as long as there may be more of it.
        if self.used * 4 >= self.slots.len() * 3 && self.slots.len() < self.limit {
            let more = vec![[0; 3]; (self.slots.len() * 2).min(self.limit)];
            for slot in std::mem::replace(&mut self.slots, more).into_iter().filter(|slot| slot[2] != 0) {
                let at = self.find((slot[0], slot[1]));
                self.slots[at] = slot;
            }
        }
        let hash = self.hash(key);
        let at = self.find(hash);
        self.used += usize::from(self.slots[at][2] == 0);
        self.slots[at] = [hash.0, hash.1, offset.0 + 1];
        self.latest = self.latest.max(Some(offset));
        true
    }

    fn get(&self, key: &[u8]) -> Option<Offset> {
        let found = self.slots[self.find(self.hash(key))][2];
        found.checked_sub(1).map(Offset)
    }

    fn hash(&self, key: &[u8]) -> (u64, u64) {
        let hash = SipHasher13::new_with_keys(self.secret.0, self.secret.1).hash(key);
        (hash.h1, hash.h2)
    }

    /// The slot of a hash, or the free one where it would be. There is always a free one.
    fn find(&self, hash: (u64, u64)) -> usize {
        let mut at = ((u128::from(hash.0) * self.slots.len() as u128) >> 64) as usize;
        while self.slots[at][2] != 0 && (self.slots[at][0], self.slots[at][1]) != hash {
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
        at
    }
}

/// Which transactions that were given up or kept are being walked through, batch by batch.
#[derive(Debug, Default)]
pub struct Traversal {
    /// By falling first offset: the next to begin is the last.
    coming: Vec<Aborted>,
    /// By producer; with whether a batch of it was met.
    aborted: BTreeMap<i64, (Aborted, bool)>,
    committed: BTreeSet<i64>,
    /// Of those whose markers have to stay.
    pub retained: Vec<Aborted>,
}

impl Traversal {
    /// What was given up in the batches to come.
    pub fn expect(&mut self, mut aborted: Vec<Aborted>) {
        aborted.sort_unstable_by_key(|a| std::cmp::Reverse((a.first, a.producer)));
        self.coming = aborted;
    }

    /// Whether nothing has to stay of this batch: it was given up, or is the marker of a transaction of which nothing is left.
    fn discards(&mut self, header: &Header, batch: &[u8]) -> bool {
        let last = Offset(header.base_offset as u64 + header.last_offset_delta as u64);
        while let Some(begun) = self.coming.pop_if(|a| a.first <= last) {
            self.aborted.entry(begun.producer).or_insert((begun, false));
        }
        match Effect::of(header, batch) {
            Some(Effect::Ended { producer, how: Marker::Abort, .. }) => match self.aborted.remove(&producer) {
                Some((aborted, true)) => {
                    self.retained.push(aborted);
                    false
                }
                _ => true,
            },
            Some(Effect::Ended { producer, how: Marker::Commit, .. }) => !self.committed.remove(&producer),
            Some(Effect::Wrote { producer }) => match self.aborted.get_mut(&producer) {
                Some((_, met)) => {
                    *met = true;
                    true
                }
                None => {
                    self.committed.insert(producer);
                    false
                }
            },
            // A marker without its record says nothing any more.
            None => header.is_control() && header.record_count == 0,
        }
    }
}

/// The last that a producer wrote, as the log remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastWrite {
    pub epoch: i16,
    /// `None`: only markers are left of it.
    pub data: Option<Offset>,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    Nothing,
    AsItWas,
    Less(Batch),
}

/// Decides what stays of each batch, from the first of a log on, in order.
pub struct Cleaner {
    pub keys: Keys,
    pub traversal: Traversal,
    /// Of the producers that are remembered.
    pub writers: BTreeMap<i64, LastWrite>,
    pub now: Timestamp,
    pub delete_retention_ms: i64,
    pub limits: Limits,
}

impl Cleaner {
    /// Learns the keys of a batch, from an offset on. False: there is no room for more of them.
    pub fn learn(&mut self, batch: &Batch, from: Offset) -> Result<bool, RecordsError> {
        let header = &batch.header;
        let base = Offset(header.base_offset as u64);
        // Keys of what was given up, and of markers, make nobody go.
        if !self.traversal.discards(header, &batch.bytes) && !header.is_control() {
            for view in records::open(batch, self.limits)?.views() {
                let view = view?;
                let offset = base.plus(view.offset_delta as u64);
                if let Some(key) = view.key.filter(|_| offset >= from)
                    && !self.keys.put(key, offset)
                {
                    return Ok(false);
                }
            }
        }
        self.keys.latest = self.keys.latest.max(Some(base.plus(header.last_offset_delta as u64)));
        Ok(true)
    }

    /// What is to stay of a batch.
    pub fn clean(&mut self, batch: &Batch) -> Result<Kept, RecordsError> {
        let header = &batch.header;
        let horizon = header.delete_horizon();
        let discardable = self.traversal.discards(header, &batch.bytes);
        // A marker goes as a tombstone does: once whoever may still be reading its transaction has read it.
        let gone = discardable && (!header.is_control() || horizon.is_some_and(|at| at <= self.now));
        let remembered = header.has_producer() && self.is_last_of_producer(header);
        if gone {
            return Ok(if remembered { emptied(header) } else { Kept::Nothing });
        }
        let opened = records::open(batch, self.limits)?;
        let mut kept: Vec<View<'_>> = Vec::new();
        let mut all = true;
        let mut tombstones = false;
        for view in opened.views() {
            let view = view?;
            if header.is_control() || self.stays(header, &view) {
                tombstones |= view.value.is_none();
                kept.push(view);
            } else {
                all = false;
            }
        }
        if kept.is_empty() {
            return Ok(if remembered { emptied(header) } else { Kept::Nothing });
        }
        let marks = horizon.is_none() && (tombstones || discardable && header.is_control());
        if all && !marks {
            return Ok(Kept::AsItWas);
        }
        let horizon = marks.then(|| self.now.plus_ms(self.delete_retention_ms));
        Ok(Kept::Less(rewrite::with_records(header, &kept, horizon)))
    }

    fn stays(&self, header: &Header, view: &View<'_>) -> bool {
        let offset = Offset(header.base_offset as u64).plus(view.offset_delta as u64);
        if self.keys.latest.is_none_or(|latest| offset > latest) {
            return true;
        }
        let Some(key) = view.key else { return false };
        let newest = self.keys.get(key).is_none_or(|last| offset >= last);
        newest && (view.value.is_some() || header.delete_horizon().is_none_or(|at| self.now < at))
    }

    /// It has the last sequence of a producer, or the last epoch: what fencing and repetitions are decided by.
    fn is_last_of_producer(&self, header: &Header) -> bool {
        self.writers.get(&header.producer_id).is_some_and(|last| match last.data {
            Some(offset) => header.base_offset as u64 + header.last_offset_delta as u64 == offset.0,
            None => header.is_control() && header.producer_epoch == last.epoch,
        })
    }
}

/// Without its records, unless it has none already.
fn emptied(header: &Header) -> Kept {
    if header.record_count == 0 { Kept::AsItWas } else { Kept::Less(rewrite::without_records(header)) }
}
