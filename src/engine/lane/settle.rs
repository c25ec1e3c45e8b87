//! What is durable leaves the journal: it is settled into segments, then memory and old journal files are given up. The
//! settler's thread does the work; here it is only chosen and its outcome recorded.

use std::io;
use std::sync::Arc;

use super::{Lane, RETRY_MS, Snapshot, Task, Then};
use crate::engine::backup::Instant;
use crate::engine::frame::{Fact, SETTLED_BYTES, SegmentName, Settled};
use crate::engine::sabotage::{self, Bug};
use crate::engine::table;
use crate::engine::tail::{Entry, Extent};
use crate::engine::vault::{Done, Job, Round, Segment};
use crate::ids::{LogId, Offset, Timestamp};
use crate::log::segment::Run;
use crate::log::transactions::Aborted;
use crate::store::journal::FrameNo;

/// How many logs and bytes one round of settling takes at most; of logs that go into a pack, more.
const ROUND_JOBS: usize = 256;
const ROUND_PACKED: usize = 8_192;
const ROUND_BYTES: u64 = 32 << 20;
/// What the journal takes for each log that was settled.
const FACT_BYTES: usize = 9 + SETTLED_BYTES;

impl Lane {
    /// Hands the settler one round: logs that are due, and the oldest ones where memory or the journal asks for it. Many
    /// that have little go into a pack together.
    pub(super) fn choose_settling(&mut self) {
        if self.settling || self.stopping.is_some() {
            return;
        }
        let mut round = Round::default();
        let mut bytes = 0;
        let due: Vec<LogId> = self.due.iter().copied().take(ROUND_JOBS).collect();
        for log in due.into_iter().chain(self.pressing()) {
            if bytes >= ROUND_BYTES || round.filed.len() >= ROUND_JOBS {
                break;
            }
            let Some(job) = self.job(log) else { continue };
            let new: u64 = job.entries.iter().map(|e| e.bytes.len() as u64).sum();
            bytes += new;
            match new + job.from.map_or(0, |from| from.bytes - from.filed.bytes) {
                all if all >= self.limits.pack_bytes => round.filed.push(job),
                _ => round.packed.push(job),
            }
        }
        if round.packed.len() < self.limits.pack_logs {
            round.filed.append(&mut round.packed);
        }
        if !round.packed.is_empty() {
            round.pack = self.packs.take_id();
        }
        if !round.filed.is_empty() || !round.packed.is_empty() {
            self.settling = true;
            self.tasks.push(Task::Settle(round));
        }
    }

    /// Those that wait longest, as far as memory or the journal asks for their settling.
    fn pressing(&self) -> Vec<LogId> {
        let pressed = self.unsettled_bytes > self.limits.unsettled_bytes / 2;
        let crowded = self.journal.live_bytes() > self.limits.journal_bytes;
        let upto = match self.journal.oldest_file_last_frame() {
            _ if pressed => FrameNo::MAX,
            Some(last) if crowded => last,
            _ => return Vec::new(),
        };
        // What is recorded of a round has to fit into what is spared in the journal for it.
        let most = (self.spared_bytes as usize / FACT_BYTES).clamp(ROUND_JOBS, ROUND_PACKED);
        let waiting = self.by_age.iter().take_while(|(frame, _)| *frame <= upto).map(|(_, log)| *log);
        waiting.filter(|log| !self.due.contains(log)).take(most).collect()
    }

    /// Whether memory or the journal asks for settling; what is to be settled has to be synced.
    pub(super) fn is_pressed(&self) -> bool {
        self.unsettled_bytes > self.limits.unsettled_bytes / 2 || self.journal.live_bytes() > self.limits.journal_bytes
    }

    /// What of a log can be settled now: durable, not yet settled, into one segment.
    pub(super) fn job(&mut self, log: LogId) -> Option<Job> {
        let slot = self.slots.get_mut(&log)?;
        self.due.remove(&log);
        let view = slot.shared.view();
        if view.removed {
            return None;
        }
        let begin = view.tail.partition_point(|e| e.first < view.settled);
        let mut durable = view.tail.range(begin..).take_while(|e| e.frame <= self.synced).peekable();
        let first = *durable.peek()?;
        let roll = slot.line.rules.roll;
        let last = view
            .extents
            .last()
            .filter(|x| x.settled.run().takes(roll, first.first, first.bytes.len() as u64, first.arrived));
        let (segment, from) = match last {
            Some(extent) => (extent.segment.clone(), Some(extent.settled)),
            None => (Arc::new(Segment::new(log, SegmentName::fresh(first.first))), None),
        };
        let begun = Run { base: first.first, bytes: 0, began: first.arrived };
        let mut run = last.map_or(begun, |x| x.settled.run());
        let mut entries: Vec<Entry> = Vec::new();
        let mut bytes = 0;
        for entry in durable {
            bytes += entry.bytes.len() as u64;
            if !entries.is_empty()
                && (bytes > ROUND_BYTES || !run.takes(roll, entry.first, entry.bytes.len() as u64, entry.arrived))
            {
                break;
            }
            run.bytes += entry.bytes.len() as u64;
            entries.push(entry.clone());
        }
        let (first, end) = (first.first, entries.last()?.end);
        let within = |a: &&Aborted| first <= a.marker && a.marker < end;
        let aborted = view.transactions.aborted().iter().filter(within).copied().collect();
        if sabotage::is(Bug::RollOffByOne) && from.is_none() && !view.extents.is_empty() && entries.len() > 1 {
            entries.remove(0);
        }
        drop(view);
        slot.settling = true;
        Some(Job { segment, from, entries, aborted })
    }

    pub(super) fn record_settled(&mut self, done: Done) {
        // Of a log that was removed meanwhile there is nothing to be remembered.
        let known = |log| self.slots.get(&log).is_some_and(|slot| !slot.shared.view().removed);
        let known = done.settled.iter().filter(|(s, _)| known(s.log));
        let mut facts: Vec<Fact> = known.map(|(s, settled)| Fact::Settled { log: s.log, settled: *settled }).collect();
        facts.extend(done.pack.map(|pack| Fact::Packs { added: Some(pack), removed: Vec::new() }));
        self.send_facts(&facts, Then::Settled(done));
    }

    pub(super) fn land_settled(&mut self, segment: Arc<Segment>, settled: Settled) {
        let log = segment.log;
        let Some(slot) = self.slots.get_mut(&log) else {
            self.tasks.push(Task::RemoveLog(log));
            return;
        };
        slot.settling = false;
        let mut view = slot.shared.view();
        let from = view.settled;
        let unsettled: u64 =
            view.tail.iter().filter(|e| e.first >= from && e.first < settled.end).map(|e| e.bytes.len() as u64).sum();
        match view.extents.last_mut().filter(|x| x.settled.base == settled.base) {
            Some(extent) => {
                // What was packed has been moved, or is still there.
                self.packs.dead_bytes +=
                    extent.settled.packed_bytes() - extent.settled.packed_bytes().min(settled.packed_bytes());
                extent.settled = settled;
            }
            None => view.extents.push(Extent { settled, segment }),
        }
        view.settled = view.settled.max(settled.end);
        let start = view.start;
        let gone = view.drop_extents(start, 0);
        drop(view);
        self.give_up_segments(gone);
        let Some(slot) = self.slots.get_mut(&log) else { return };
        slot.line.transactions.forget(settled.end);
        self.cached.push_back((log, settled.end));
        self.forget_unsettled(log, unsettled);
    }

    /// `bytes` of a log no longer wait to be settled.
    pub(super) fn forget_unsettled(&mut self, log: LogId, bytes: u64) {
        let Some(slot) = self.slots.get_mut(&log) else { return };
        slot.unsettled_bytes -= bytes;
        self.unsettled_bytes -= bytes;
        if let Some(frame) = slot.oldest.take() {
            self.by_age.remove(&(frame, log));
        }
        let view = slot.shared.view();
        let begin = view.tail.partition_point(|e| e.first < view.settled);
        slot.oldest = view.tail.get(begin).map(|e| e.frame);
        let settled = view.settled;
        if let Some(frame) = slot.oldest {
            self.by_age.insert((frame, log));
        }
        let asked = slot.oldest.is_some() && slot.settle_upto > settled;
        if (asked || slot.unsettled_bytes >= self.limits.settle_bytes) && !slot.settling {
            self.due.insert(log);
        } else {
            self.due.remove(&log);
        }
    }

    pub(super) fn settling_failed(&mut self, now: Timestamp) {
        self.settling = false;
        self.settle_from = Some(now.plus_ms(RETRY_MS));
        for (id, slot) in &mut self.slots {
            let asked = slot.settle_upto > slot.shared.view().settled;
            let due = asked || slot.unsettled_bytes >= self.limits.settle_bytes;
            if std::mem::take(&mut slot.settling) && due {
                self.due.insert(*id);
            }
        }
    }

    /// A log is settled up to here soon.
    pub(super) fn settle_upto(&mut self, log: LogId, upto: Offset) {
        if let Some(slot) = self.slots.get_mut(&log) {
            slot.settle_upto = slot.settle_upto.max(upto);
            if slot.oldest.is_some() && !slot.settling {
                self.due.insert(log);
            }
        }
    }

    /// Settled batches leave memory, oldest first, while there is too much of it.
    pub(super) fn evict(&mut self) {
        while self.tail_bytes > self.limits.tail_bytes {
            let Some((log, end)) = self.cached.pop_front() else { break };
            let Some(slot) = self.slots.get(&log) else { continue };
            let mut view = slot.shared.view();
            while let Some(entry) = view.tail.front().filter(|e| e.end <= end) {
                self.tail_bytes -= entry.bytes.len() as u64;
                view.tail.pop_front();
            }
            view.forget_given_up();
        }
    }

    /// When nothing unsettled is left in the oldest journal file, a snapshot of the table lets that file go.
    pub(super) fn take_snapshot(&mut self) {
        if let Snapshot::Taken(frame, _) = self.snapshot
            && self.synced >= frame
            && let Snapshot::Taken(frame, table) = std::mem::replace(&mut self.snapshot, Snapshot::Writing)
        {
            self.tasks.push(Task::Snapshot { frame, table });
        }
        let Some(last) = self.journal.oldest_file_last_frame() else { return };
        let crowded = self.journal.live_bytes() > self.limits.journal_bytes / 2;
        let unsettled_from = self.by_age.first().map_or(FrameNo::MAX, |(frame, _)| *frame);
        let flying_from = self.flights.front().map_or(FrameNo::MAX, |f| f.frame);
        let free = unsettled_from.min(flying_from) > last && self.facts_in_flight == 0;
        if crowded && free && self.settle_from.is_none() && matches!(self.snapshot, Snapshot::None) {
            let frame = self.journal.written();
            self.snapshot = Snapshot::Taken(frame, table::encode(frame, &self.slots, &self.packs.list()));
        }
    }

    pub(super) fn forget(&mut self, snapshot: FrameNo) -> io::Result<()> {
        self.snapshot = Snapshot::None;
        let unsettled_from = self.by_age.first().map_or(FrameNo::MAX, |(frame, _)| *frame);
        let flying_from = self.flights.front().map_or(FrameNo::MAX, |f| f.frame);
        self.journal.forget(unsettled_from.min(flying_from).min(snapshot + 1))
    }

    /// Hands out pictures once nothing is under way: what is placed, what is published and what is durable are the same
    /// then, so every group is in the picture whole or not at all. True: something was handed out.
    pub(super) fn take_pictures(&mut self, sync: &mut Option<FrameNo>) -> bool {
        if self.pictures.is_empty() || !self.flights.is_empty() {
            return false;
        }
        if self.synced < self.journal.written() {
            *sync = Some(self.journal.written());
            return false;
        }
        for reply in std::mem::take(&mut self.pictures) {
            let table = table::encode(0, &self.slots, &self.packs.list());
            let mut waiting = Vec::new();
            for (log, slot) in &self.slots {
                let view = slot.shared.view();
                let from = view.tail.partition_point(|e| e.first < view.settled);
                waiting.extend(view.tail.range(from..).map(|e| (*log, e.clone())));
            }
            let _ = reply.send(Instant { table, waiting });
        }
        true
    }
}
