//! A batch gets its place: it is judged, copied once into its log's memory, stamped there, and waits for the write at the
//! end of the turn. Nothing is written or shown to readers here.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::sync::oneshot;

use super::{Appending, Flight, Lane, Outgoing, RETRY_MS, Slot, Then};
use crate::engine::frame::{self, Member};
use crate::engine::tail::Entry;
use crate::engine::{Error, Group, Origin, Part, Placed, Refused};
use crate::ids::{LogId, Offset, Timestamp};
use crate::log::line::Terms;
use crate::log::producers::Verdict;
use crate::log::transactions::Effect;
use crate::metrics;
use crate::record::batch;
use crate::store::is_full;

/// The largest memory chunk that several small batches of one log share.
const CHUNK_BYTES: usize = 64 * 1024;
/// What all logs together have at most of chunks that are not filled yet: of very many logs, none has one.
const CHUNKS_BYTES: usize = 64 << 20;
/// The batches of one group, all together: they stand in one frame.
const GROUP_BYTES: u64 = 256 << 20;

impl Lane {
    pub(super) fn place(&mut self, appending: Appending, now: Timestamp) -> io::Result<()> {
        let ours = appending.group.origin != Origin::Client;
        if ours && !self.parked.is_empty() {
            self.parked.push_back(appending);
            return Ok(());
        }
        let Appending { group, reply, permit } = appending;
        let verdicts = match self.decide(&group) {
            Ok(verdicts) => verdicts,
            Err(refused) => {
                // The receiver may have gone away; then nobody wants to know.
                let _ = reply.send(Err(refused));
                return Ok(());
            }
        };
        let bytes: usize = group.parts.iter().map(|p| p.batch.bytes.len()).sum();
        if bytes as u64 > GROUP_BYTES {
            let _ = reply.send(Err(Refused { part: 0, error: Error::TooLarge { limit: GROUP_BYTES as u32 } }));
            return Ok(());
        }
        let spared = match group.origin {
            Origin::Client => self.spared_bytes,
            // A stream can still be deleted when its producers are refused.
            Origin::Marker | Origin::Ledger => self.spared_bytes / 2,
        };
        let frame_bytes = (4 + bytes + 28 * group.parts.len()) as u64;
        let reserved = match self.held.is_empty() {
            true => self.journal.reserve_sparing(frame_bytes, spared),
            // What could not be written before this goes first.
            false => Err(io::ErrorKind::StorageFull.into()),
        };
        match reserved {
            // It will take this in a segment; the journal's files are used again.
            Ok(()) => self.room_bytes = self.room_bytes.saturating_sub(bytes as u64),
            Err(e) if is_full(&e) && ours => {
                metrics::FULL.inc();
                self.parked.push_back(Appending { group, reply, permit });
                self.parked_until.get_or_insert(now.plus_ms(RETRY_MS));
                return Ok(());
            }
            Err(e) if is_full(&e) => {
                metrics::FULL.inc();
                let _ = reply.send(Err(Refused { part: 0, error: Error::Full }));
                return Ok(());
            }
            Err(e) => return Err(e),
        }
        let mut placed = Vec::with_capacity(group.parts.len());
        let mut members = Vec::with_capacity(group.parts.len());
        let mut publish = Vec::with_capacity(group.parts.len());
        let chunk_bytes = CHUNK_BYTES.min(CHUNKS_BYTES / self.slots.len().max(1));
        for (part, verdict) in group.parts.iter().zip(verdicts) {
            let Some(verdict) = verdict else {
                let (first, start) = (Offset(0), Offset(0));
                placed.push(Placed { log: part.log, first, arrived: now, start, duplicate: false });
                continue;
            };
            let slot = self.slots.get_mut(&part.log).expect("decided for this log a moment ago");
            let start = slot.line.start;
            match verdict {
                Verdict::Duplicate { first, arrived } => {
                    placed.push(Placed { log: part.log, first, arrived, start, duplicate: true });
                }
                Verdict::New => {
                    let first = slot.line.next;
                    let arrived = slot.line.arrival(now);
                    let bytes = slot.copy_in(&part.batch.bytes, first, arrived, chunk_bytes);
                    metrics::APPENDED_RECORDS.add(part.batch.header.record_count.max(0) as u64);
                    metrics::APPENDED_BYTES.add(bytes.len() as u64);
                    let effect = Effect::of(&part.batch.header, &part.batch.bytes);
                    let known = slot.line.producers.len();
                    slot.line.place(&part.batch.header, effect, first, arrived);
                    self.producers += slot.line.producers.len() - known;
                    slot.unpublished += 1;
                    self.flying_bytes += bytes.len() as u64;
                    let max_time =
                        if slot.line.rules.append_time { arrived } else { Timestamp(part.batch.header.max_timestamp) };
                    members.push(Member { log: part.log, first, arrived, bytes: bytes.len() as u32 });
                    placed.push(Placed { log: part.log, first, arrived, start, duplicate: false });
                    let (end, frame, stable) = (slot.line.next, 0, first);
                    let entry = Entry { first, end, bytes, arrived, max_time, frame, effect, stable };
                    publish.push((part.log, entry));
                }
            }
        }
        drop(permit);
        self.forget_silent_producers();
        if members.is_empty() {
            self.answer_duplicate(reply, placed);
            return Ok(());
        }
        let mut head = Vec::with_capacity(4 + members.len() * 28);
        frame::encode_group(&members, &mut head);
        self.outgoing.push(Outgoing { kind: frame::GROUP, head, publish, then: Then::Receipt(reply, placed) });
        Ok(())
    }

    /// Tries again what ledgers could not write for lack of room. A stop refuses it.
    pub(super) fn unpark(&mut self, now: Timestamp) -> io::Result<()> {
        let due = self.parked_until.is_some_and(|until| until <= now) && self.pictures.is_empty();
        if due || self.stopping.is_some() {
            self.parked_until = None;
            for appending in std::mem::take(&mut self.parked) {
                self.place(appending, now)?;
            }
        }
        Ok(())
    }

    /// Judges every part before any is placed: all or none.
    /// `None`: the end of a transaction in a log that is gone, which is nobody's loss.
    pub(super) fn decide(&self, group: &Group) -> Result<Vec<Option<Verdict>>, Refused> {
        let refuse = |part, error| Refused { part, error };
        if self.stopping.is_some() {
            return Err(refuse(0, Error::ShuttingDown));
        }
        let mut verdicts = Vec::with_capacity(group.parts.len());
        let mut ends: Vec<(LogId, Offset)> = Vec::new();
        for (i, part) in group.parts.iter().enumerate() {
            let Some(slot) = self.slots.get(&part.log) else {
                if group.origin == Origin::Ledger && part.batch.header.is_control() {
                    verdicts.push(None);
                    continue;
                }
                return Err(refuse(i, Error::NoSuchLog));
            };
            let known = ends.iter().position(|(log, _)| *log == part.log);
            let next = known.map_or(slot.line.next, |k| ends[k].1);
            let Part { expect, shard, joins, .. } = *part;
            let terms = Terms { expect, shard, joins, origin: group.origin };
            let verdict = slot.line.decide(&part.batch.header, terms, next).map_err(|unfit| refuse(i, unfit.into()))?;
            if self.room_bytes == 0 && group.origin == Origin::Client {
                metrics::FULL.inc();
                return Err(refuse(i, Error::Full));
            }
            if matches!(verdict, Verdict::New) && group.parts.len() > 1 {
                let end = next.plus(part.batch.header.offsets());
                match known {
                    Some(k) => ends[k].1 = end,
                    None => ends.push((part.log, end)),
                }
            }
            verdicts.push(Some(verdict));
        }
        Ok(verdicts)
    }

    /// A duplicate is answered when its original is durable, which it is once everything written so far is.
    pub(super) fn answer_duplicate(
        &mut self,
        reply: oneshot::Sender<Result<Vec<Placed>, Refused>>,
        placed: Vec<Placed>,
    ) {
        let then = Then::Receipt(reply, placed);
        if !self.outgoing.is_empty() {
            // The original may be in this very turn: ride behind it, on a frame without batches of its own.
            let mut head = Vec::new();
            frame::encode_group(&[], &mut head);
            if self.has_room_for(head.len()) {
                self.outgoing.push(Outgoing { kind: frame::GROUP, head, publish: Vec::new(), then });
            } else if let Then::Receipt(reply, _) = then {
                let _ = reply.send(Err(Refused { part: 0, error: Error::Full }));
            }
        } else if let Some(last) = self.flights.back() {
            self.flights.push_back(Flight { frame: last.frame, publish: Vec::new(), then });
        } else {
            self.land(Flight { frame: self.synced, publish: Vec::new(), then });
        }
    }
}

impl Slot {
    /// The one copy: into the log's memory, stamped there.
    fn copy_in(&mut self, bytes: &[u8], first: Offset, arrived: Timestamp, chunk_bytes: usize) -> Bytes {
        if self.chunk.capacity() < bytes.len() {
            self.chunk_bytes = (self.chunk_bytes * 2).clamp(bytes.len().min(chunk_bytes), chunk_bytes);
            self.chunk = BytesMut::with_capacity(bytes.len().max(self.chunk_bytes));
        }
        self.chunk.extend_from_slice(bytes);
        let mut copy = self.chunk.split();
        if self.line.rules.append_time {
            batch::stamp_log_append_time(&mut copy, arrived);
        }
        batch::stamp(&mut copy, first, self.line.epoch());
        copy.freeze()
    }
}
