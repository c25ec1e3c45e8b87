//! What was placed is written to the journal; when it is durable it lands: readers may see it, and whoever waits for it
//! is answered. Frames land in the order they were written.

use std::io;

use tokio::sync::oneshot;

use super::{Flight, Lane, Outgoing, Then};
use crate::engine::frame::{self, Fact};
use crate::engine::sabotage::{self, Bug};
use crate::engine::tail::Entry;
use crate::ids::Timestamp;
use crate::metrics;
use crate::record::batch;
use crate::store::is_full;
use crate::store::journal::{FrameNo, FrameOut};

impl Outgoing {
    fn frame<'a>(&self, slices: &'a [&'a [u8]]) -> FrameOut<'a> {
        let head = crc32c::crc32c(&self.head);
        let payload_crc = self.publish.iter().fold(head, |crc, (_, entry)| batch::crc_append(crc, &entry.bytes));
        FrameOut { kind: self.kind, slices, payload_crc: Some(payload_crc) }
    }
}

impl Lane {
    pub(super) fn write(&mut self, now: Timestamp) -> io::Result<Option<FrameNo>> {
        let (mut strict, mut counted) = (false, false);
        if let Some(e) = self.broken.take() {
            return Err(e);
        }
        if !self.outgoing.is_empty() {
            let outgoing = std::mem::take(&mut self.outgoing);
            let slices: Vec<Vec<&[u8]>> = outgoing
                .iter()
                .map(|o| std::iter::once(&o.head[..]).chain(o.publish.iter().map(|(_, e)| &e.bytes[..])).collect())
                .collect();
            let frames: Vec<FrameOut<'_>> =
                outgoing.iter().zip(&slices).map(|(out, slices)| out.frame(slices)).collect();
            let last = self.journal.write(&frames)?;
            metrics::JOURNAL_BYTES.add(slices.iter().flatten().map(|slice| slice.len() as u64).sum());
            drop(frames);
            drop(slices);
            let first = last + 1 - outgoing.len() as u64;
            for (frame, mut out) in (first..).zip(outgoing) {
                out.publish.iter_mut().for_each(|(_, e)| e.frame = frame);
                let flight = Flight { frame, publish: out.publish, then: out.then };
                match self.relaxed_ms(&flight) {
                    Some(ms) => {
                        let due = now.plus_ms(ms);
                        self.sync_due = Some(self.sync_due.map_or(due, |d| d.min(due)));
                        counted |= self.count_unsynced(&flight);
                        self.land(flight);
                    }
                    None => {
                        strict = true;
                        let flight = self.sabotaged(flight);
                        self.flights.push_back(flight);
                    }
                }
            }
        }
        let due = |due| due <= now || self.stopping.is_some() || counted || self.is_pressed();
        if strict || self.sync_due.is_some_and(due) {
            self.sync_due = None;
            self.syncs_asked += 1;
            return Ok(Some(self.journal.written()));
        }
        Ok(None)
    }

    /// Counts what a relaxed flight leaves unsynced in each of its logs; true: one of them has as much as it may have.
    fn count_unsynced(&mut self, flight: &Flight) -> bool {
        let mut enough = false;
        for (log, entry) in &flight.publish {
            let Some(slot) = self.slots.get_mut(log) else { continue };
            let before = if slot.unsynced.0 == self.syncs_asked { slot.unsynced.1 } else { 0 };
            slot.unsynced = (self.syncs_asked, before + (entry.end.0 - entry.first.0));
            enough |= slot.unsynced.1 >= slot.line.rules.relaxed_records;
        }
        enough
    }

    /// As it is, unless a bug is planted here.
    fn sabotaged(&mut self, mut flight: Flight) -> Flight {
        let nobody = || Then::Receipt(oneshot::channel().0, Vec::new());
        if sabotage::is(Bug::PublishBeforeSync) && !flight.publish.is_empty() {
            let publish = std::mem::take(&mut flight.publish);
            self.land(Flight { frame: flight.frame, publish, then: nobody() });
        }
        if sabotage::is(Bug::AckBeforeSync) && matches!(flight.then, Then::Receipt(..)) {
            let then = std::mem::replace(&mut flight.then, nobody());
            self.land(Flight { frame: flight.frame, publish: Vec::new(), then });
        }
        flight
    }

    /// Whether a flight may be published before it is synced: all its logs opted out, and none waits for a sync.
    pub(super) fn relaxed_ms(&self, flight: &Flight) -> Option<i64> {
        let mut least = None;
        for (log, _) in &flight.publish {
            let slot = self.slots.get(log)?;
            let ms = slot.line.rules.relaxed_ms?;
            let mine = flight.publish.iter().filter(|(l, _)| l == log).count() as u32;
            if slot.unpublished > mine {
                return None;
            }
            least = Some(least.map_or(ms, |l: i64| l.min(ms)));
        }
        least
    }

    pub(super) fn publish(&mut self, upto: FrameNo) {
        self.synced = self.synced.max(upto);
        self.journal.note_durable(self.synced);
        while self.flights.front().is_some_and(|f| f.frame <= self.synced) {
            let flight = self.flights.pop_front().expect("looked at it");
            self.land(flight);
        }
    }

    /// A flight has arrived: readers may see its batches, and whoever waits for it is answered.
    pub(super) fn land(&mut self, flight: Flight) {
        for (log, entry) in flight.publish {
            let bytes = entry.bytes.len() as u64;
            self.flying_bytes -= bytes;
            let Some(slot) = self.slots.get_mut(&log) else { continue };
            slot.unpublished -= 1;
            slot.unsettled_bytes += bytes;
            self.tail_bytes += bytes;
            self.unsettled_bytes += bytes;
            if slot.oldest.is_none() {
                slot.oldest = Some(entry.frame);
                self.by_age.insert((entry.frame, log));
            }
            if slot.unsettled_bytes >= self.limits.settle_bytes && !slot.settling {
                self.due.insert(log);
            }
            let mut view = slot.shared.view();
            view.end = entry.end;
            if let Some(effect) = entry.effect {
                view.transactions.apply(effect, entry.first);
            }
            let stable = view.transactions.stable(entry.end);
            view.tail.push_back(Entry { stable, ..entry });
            view.wake();
        }
        match flight.then {
            Then::Receipt(reply, placed) => drop(reply.send(Ok(placed))),
            Then::Compacted(compacted) => self.land_compacted(compacted),
            Then::Settled(done) => {
                self.facts_in_flight -= 1;
                // Readers of a log look for its pieces in the packs there are.
                self.packs.replace(&[], done.pack);
                done.settled.into_iter().for_each(|(segment, settled)| self.land_settled(segment, settled));
                self.settling = false;
                self.evict();
            }
            Then::Packs(removed, added) => {
                self.facts_in_flight -= 1;
                self.land_packs(removed, added);
            }
            Then::Trimmed(log, below, reply) => {
                self.facts_in_flight -= 1;
                let _ = reply.send(self.land_trim(log, below));
            }
            Then::Removed(logs) => {
                self.facts_in_flight -= 1;
                logs.into_iter().for_each(|log| self.land_removal(log));
            }
            Then::Epochs(raised) => {
                self.facts_in_flight -= 1;
                for (log, epoch, from) in raised {
                    if let Some(slot) = self.slots.get(&log) {
                        slot.shared.view().epochs.push((epoch, from));
                    }
                }
            }
        }
    }

    /// What happened to logs, for the journal. A full disk makes facts wait, all of them in their order; nothing else is
    /// placed until they are written.
    pub(super) fn send_facts(&mut self, facts: &[Fact], then: Then) {
        self.held.push_back((frame::encode_facts(facts), then));
        self.let_facts_go();
    }

    /// Facts that wait take their place in the journal as far as there is room for them.
    pub(super) fn let_facts_go(&mut self) {
        while let Some((head, then)) = self.held.pop_front() {
            match self.journal.reserve(head.len() as u64) {
                Ok(()) => {
                    self.facts_in_flight += 1;
                    self.outgoing.push(Outgoing { kind: frame::FACTS, head, publish: Vec::new(), then });
                }
                Err(e) => {
                    self.held.push_front((head, then));
                    if !is_full(&e) {
                        self.broken.get_or_insert(e);
                    }
                    return;
                }
            }
        }
    }

    /// The disk is full and the lane is to stop: what waits is not written. Nothing is lost by it: what was settled is
    /// settled again, what was to be removed is removed after the next start.
    pub(super) fn give_up_facts(&mut self) {
        for (_, then) in self.held.drain(..) {
            self.settling &= !matches!(then, Then::Settled(_));
            self.packs.tidying &= !matches!(then, Then::Packs(..));
        }
    }

    /// Space for a frame without batches that somebody waits for; false: the disk is full, and he is refused.
    pub(super) fn has_room_for(&mut self, bytes: usize) -> bool {
        if !self.held.is_empty() {
            return false;
        }
        match self.journal.reserve(bytes as u64) {
            Ok(()) => true,
            Err(e) if is_full(&e) => {
                metrics::FULL.inc();
                false
            }
            Err(e) => {
                self.broken.get_or_insert(e);
                true
            }
        }
    }
}
