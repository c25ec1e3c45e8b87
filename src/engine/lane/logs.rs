//! Logs come, change and go: opened, trimmed, cut for a reshard, raised to a new epoch, removed. What has to be
//! remembered is a fact in the journal and takes effect for readers when that is durable.

use std::cmp::Ordering;

use tokio::sync::oneshot;

use super::{Lane, Outgoing, Slot, Task, Then};
use crate::engine::frame::{self, Fact};
use crate::engine::sabotage::{self, Bug};
use crate::engine::tail::Extent;
use crate::engine::{Bounds, Error, Writer};
use crate::ids::{LogId, Offset, Timestamp};
use crate::log::line::{Line, Rules};
use crate::metrics;

impl Lane {
    pub(super) fn open(&mut self, logs: Vec<(LogId, Rules)>) {
        for (id, rules) in logs {
            if let Some(slot) = self.slots.get_mut(&id) {
                slot.line.rules = rules;
                continue;
            }
            self.logs.insert_new(id);
            let Ok(shared) = self.logs.get(id) else { continue };
            let line = Line { rules, ..Line::default() };
            self.slots.insert(id, Slot::new(line, shared));
        }
    }

    pub(super) fn rule(&mut self, logs: Vec<(LogId, Rules)>) {
        for (id, rules) in logs {
            if let Some(slot) = self.slots.get_mut(&id) {
                slot.line.rules = Rules { open_shard: slot.line.rules.open_shard, ..rules };
            }
        }
    }

    pub(super) fn remove(&mut self, logs: Vec<LogId>) {
        let facts: Vec<Fact> = logs.iter().map(|log| Fact::Removed { log: *log }).collect();
        for log in &logs {
            // Readers and writers meet the removal at once; the files follow when it is durable.
            self.logs.remove(*log);
            if let Some(slot) = self.slots.get(log) {
                let mut view = slot.shared.view();
                view.removed = true;
                view.wake();
            }
        }
        self.send_facts(&facts, Then::Removed(logs));
    }

    pub(super) fn land_removal(&mut self, log: LogId) {
        if let Some(slot) = self.slots.remove(&log) {
            let view = slot.shared.view();
            let in_memory: u64 = view.tail.iter().map(|e| e.bytes.len() as u64).sum();
            self.packs.dead_bytes += view.extents.iter().map(|x| x.settled.packed_bytes()).sum::<u64>();
            drop(view);
            self.tail_bytes -= in_memory;
            self.unsettled_bytes -= slot.unsettled_bytes;
            self.producers -= slot.line.producers.len();
            if let Some(frame) = slot.oldest {
                self.by_age.remove(&(frame, log));
            }
            self.due.remove(&log);
        }
        self.tasks.push(Task::RemoveLog(log));
    }

    pub(super) fn trim(&mut self, log: LogId, below: Offset, reply: oneshot::Sender<Result<Bounds, Error>>) {
        let Some(slot) = self.slots.get_mut(&log) else {
            let _ = reply.send(Err(Error::NoSuchLog));
            return;
        };
        let bounds = slot.shared.view().bounds();
        if below > bounds.end {
            let _ = reply.send(Err(Error::OutOfRange(bounds)));
        } else if below <= bounds.start {
            // Already given up, durably; a start never moves back.
            let _ = reply.send(Ok(bounds));
        } else if sabotage::is(Bug::TrimNotDurable) {
            slot.line.start = below;
            let _ = reply.send(self.land_trim(log, below));
        } else {
            // It may have been asked for by another already, and not be durable yet: then this waits behind that.
            let at = slot.line.start.max(below);
            let head = frame::encode_facts(&[Fact::Start { log, at }]);
            if !self.has_room_for(head.len()) {
                let _ = reply.send(Err(Error::Full));
                return;
            }
            if let Some(slot) = self.slots.get_mut(&log) {
                slot.line.start = at;
            }
            self.facts_in_flight += 1;
            let then = Then::Trimmed(log, below, reply);
            self.outgoing.push(Outgoing { kind: frame::FACTS, head, publish: Vec::new(), then });
        }
    }

    pub(super) fn land_trim(&mut self, log: LogId, below: Offset) -> Result<Bounds, Error> {
        let slot = self.slots.get_mut(&log).ok_or(Error::NoSuchLog)?;
        let mut view = slot.shared.view();
        view.start = view.start.max(below);
        let mut unsettled = 0;
        while let Some(entry) = view.tail.front().filter(|e| e.end <= below) {
            let bytes = entry.bytes.len() as u64;
            self.tail_bytes -= bytes;
            if entry.first >= view.settled {
                unsettled += bytes;
            }
            view.tail.pop_front();
        }
        // The settler may be writing into the last segment; then it goes when that is done.
        let spared = usize::from(slot.settling);
        let gone = view.drop_extents(below, spared);
        // A batch that straddles the new start still has to be settled whole.
        let kept = view.tail.front().map_or(below, |e| e.first.min(below));
        view.settled = view.settled.max(kept);
        view.wake();
        let bounds = view.bounds();
        drop(view);
        self.forget_unsettled(log, unsettled);
        self.give_up_segments(gone);
        Ok(bounds)
    }

    /// The files of these segments go, once nobody reads them any more.
    pub(super) fn give_up_segments(&mut self, gone: Vec<Extent>) {
        if !gone.is_empty() {
            metrics::GIVEN_UP_SEGMENTS.add(gone.len() as u64);
            self.packs.dead_bytes += gone.iter().map(|x| x.settled.packed_bytes()).sum::<u64>();
            self.tasks.push(Task::RemoveSegments(gone.into_iter().map(|x| x.segment).collect()));
        }
    }

    pub(super) fn cut(&mut self, logs: &[LogId]) -> Vec<(LogId, Offset)> {
        let mut cuts = Vec::with_capacity(logs.len());
        for log in logs {
            if let Some(slot) = self.slots.get_mut(log) {
                slot.line.rules.open_shard = None;
                cuts.push((*log, slot.line.next));
            }
        }
        cuts
    }

    pub(super) fn raise_epochs(&mut self, logs: Vec<LogId>) {
        let mut raised = Vec::new();
        for log in logs {
            if let Some(slot) = self.slots.get_mut(&log) {
                let (epoch, from) = (slot.line.epoch() + 1, slot.line.next);
                if slot.line.epochs.is_empty() {
                    slot.line.epochs.push((0, Offset(0)));
                    slot.shared.view().epochs.push((0, Offset(0)));
                }
                slot.line.epochs.push((epoch, from));
                raised.push((log, epoch, from));
            }
        }
        let facts: Vec<Fact> =
            raised.iter().map(|(log, epoch, from)| Fact::Epoch { log: *log, epoch: *epoch, from: *from }).collect();
        if !facts.is_empty() {
            self.send_facts(&facts, Then::Epochs(raised));
        }
    }

    pub(super) fn writers(&self, log: LogId) -> Vec<Writer> {
        let Some(slot) = self.slots.get(&log) else { return Vec::new() };
        let Line { producers, transactions, .. } = &slot.line;
        producers.iter().map(|active| Writer { began: transactions.began(active.id), active }).collect()
    }

    pub(super) fn expire_producers(&mut self, now: Timestamp, after_ms: i64) {
        for slot in self.slots.values_mut() {
            let Line { producers, transactions, .. } = &mut slot.line;
            // Who has a transaction open is still to be told that it ended.
            self.producers -= producers.expire(now, after_ms, |id| transactions.began(id).is_some());
        }
    }

    /// Beyond the limit, an eighth of all producers is forgotten, those first that were silent longest, whatever log they
    /// wrote to: their next batch is taken whatever its sequence, as Kafka does after `producer.id.expiration.ms`.
    pub(super) fn forget_silent_producers(&mut self) {
        let limit = self.limits.producers;
        if self.producers <= limit.max(self.producers_kept) {
            return;
        }
        let mut heard: Vec<(Timestamp, LogId, i64)> = Vec::with_capacity(self.producers);
        for (log, slot) in &self.slots {
            let Line { producers, transactions, .. } = &slot.line;
            // Who has a transaction open is still to be told that it ended.
            let idle = producers.iter().filter(|producer| transactions.began(producer.id).is_none());
            heard.extend(idle.map(|producer| (producer.arrived, *log, producer.id)));
        }
        let eighth = limit.div_ceil(8);
        let excess = self.producers - (limit - eighth);
        let forget = excess.min(heard.len());
        // Where open transactions keep too many, it is not looked again at each newcomer.
        self.producers_kept = if forget < excess { self.producers - forget + eighth } else { 0 };
        if forget == 0 {
            return;
        }
        let (_, &mut (moment, last, id), _) = heard.select_nth_unstable(forget - 1);
        for (log, slot) in &mut self.slots {
            let id = match (*log).cmp(&last) {
                Ordering::Less => i64::MAX,
                Ordering::Equal => id,
                Ordering::Greater => i64::MIN,
            };
            let Line { producers, transactions, .. } = &mut slot.line;
            self.producers -= producers.forget_up_to((moment, id), |id| transactions.began(id).is_some());
        }
        metrics::FORGOTTEN_PRODUCERS.add(forget as u64);
    }
}
