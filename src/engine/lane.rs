//! The one writer of a set of logs. One turn: everything that arrived gets its place and is written to the journal; the
//! syncer makes it durable meanwhile; what is durable is published, answered, and in time settled into segments.
//! No `.await`, no clock and no chance in here: the driver (engine/driver.rs) calls [`Lane::turn`] with the time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::{Notify, oneshot};

use super::frame::{self, Fact, Member, Settled};
use super::tail::{Entry, Extent, Logs, Shared};
use super::vault::{Job, Segment};
use super::{Bounds, Error, Group, Permit, Placed, Refused};
use crate::engine::table;
use crate::ids::{LogId, Offset, Timestamp};
use crate::log::line::{Line, Rules, Terms};
use crate::log::producers::Verdict;
use crate::record::batch;
use crate::store::is_full;
use crate::store::journal::{FrameNo, FrameOut, Journal};

/// The largest memory chunk that several small batches of one log share.
const CHUNK_BYTES: usize = 64 * 1024;
/// How many logs and bytes one round of settling takes at most.
const ROUND_JOBS: usize = 256;
const ROUND_BYTES: u64 = 32 << 20;
/// The batches of one group, all together: they stand in one frame.
const GROUP_BYTES: u64 = 256 << 20;

/// The lane's limits; each is a configuration key.
#[derive(Clone, Debug)]
pub struct Limits {
    /// A log is settled when this much of it waits.
    pub settle_bytes: u64,
    /// All unsettled bytes together; appends wait above it, and settling is forced from half of it on.
    pub unsettled_bytes: u64,
    /// The journal's files; the oldest logs are settled to get below it.
    pub journal_bytes: u64,
    /// Newest batches kept in memory, settled or not.
    pub tail_bytes: u64,
}

/// What the lane is told.
pub enum News {
    Append(Appending),
    /// Logs that exist from now on, or have new rules.
    Open(Vec<(LogId, Rules)>),
    Remove(Vec<LogId>),
    Trim(LogId, Offset, oneshot::Sender<Result<Bounds, Error>>),
    /// Writers that name the open shard of these logs are refused from now on; says where each log ends.
    Cut(Vec<LogId>, oneshot::Sender<Vec<(LogId, Offset)>>),
    /// The leader epoch rises (the log lost a tail).
    RaiseEpoch(Vec<LogId>),
    Synced(FrameNo),
    Settled(Vec<(Arc<Segment>, Settled)>),
    /// Settling failed for lack of space; try again later.
    NotSettled,
    Snapshotted(FrameNo),
    /// How many more bytes may be written before the disk's reserve is touched; said anew from time to time.
    Room(u64),
    ExpireProducers {
        now: Timestamp,
        after_ms: i64,
    },
    Stop(oneshot::Sender<()>),
}

pub struct Appending {
    pub group: Group,
    pub reply: oneshot::Sender<Result<Vec<Placed>, Refused>>,
    pub permit: Permit,
}

/// What the driver has to do after a turn.
#[derive(Default)]
pub struct Turn {
    /// Sync the journal up to at least here.
    pub sync: Option<FrameNo>,
    /// Take another turn at this moment even without news.
    pub wake: Option<Timestamp>,
    /// For the settler, in this order.
    pub tasks: Vec<Task>,
    pub stopped: bool,
}

/// Work for the settler's thread.
pub enum Task {
    Settle(Vec<Job>),
    Snapshot { frame: FrameNo, table: Vec<u8> },
    RemoveSegments(LogId, Vec<Offset>),
    RemoveLog(LogId),
}

/// The lane's mailbox: many senders, one lane.
#[derive(Default)]
pub struct Inbox {
    news: Mutex<Letters>,
    arrived: Condvar,
    /// For a driver that is a task and not a thread.
    pub notify: Notify,
}

#[derive(Default)]
struct Letters {
    waiting: Vec<News>,
    /// Nobody reads any more; what is put is dropped, and with it the sender's hope.
    closed: bool,
}

/// One log as its writer sees it.
pub struct Slot {
    pub line: Line,
    pub shared: Arc<Shared>,
    chunk: BytesMut,
    chunk_bytes: usize,
    /// Published bytes that are not in a segment yet, and the frame of the first of them.
    unsettled_bytes: u64,
    oldest: Option<FrameNo>,
    /// Placed and not yet published.
    unpublished: u32,
    settling: bool,
}

/// A frame that has been written and waits to be durable.
struct Flight {
    frame: FrameNo,
    publish: Vec<(LogId, Entry)>,
    then: Then,
}

enum Then {
    Receipt(oneshot::Sender<Result<Vec<Placed>, Refused>>, Vec<Placed>),
    Settled(Vec<(Arc<Segment>, Settled)>),
    Trimmed(LogId, Offset, oneshot::Sender<Result<Bounds, Error>>),
    Removed(Vec<LogId>),
    Epochs(Vec<(LogId, u32, Offset)>),
}

/// A frame about to be written.
struct Outgoing {
    kind: u8,
    head: Vec<u8>,
    publish: Vec<(LogId, Entry)>,
    then: Then,
}

pub struct Lane {
    journal: Journal,
    inbox: Arc<Inbox>,
    logs: Arc<Logs>,
    limits: Limits,
    slots: BTreeMap<LogId, Slot>,
    waiting: VecDeque<Appending>,
    outgoing: Vec<Outgoing>,
    flights: VecDeque<Flight>,
    synced: FrameNo,
    /// When written but unsynced relaxed batches must be synced.
    sync_due: Option<Timestamp>,
    /// Logs by the frame of their first unsettled batch.
    by_age: BTreeSet<(FrameNo, LogId)>,
    /// Logs with enough unsettled bytes to be worth a write of their own.
    due: BTreeSet<LogId>,
    /// Settled batches still in memory, oldest first.
    cached: VecDeque<(LogId, Offset)>,
    tail_bytes: u64,
    unsettled_bytes: u64,
    settling: bool,
    facts_in_flight: u32,
    snapshot: Snapshot,
    room_bytes: u64,
    /// An error met where none can be returned; ends the turn.
    broken: Option<io::Error>,
    stopping: Option<oneshot::Sender<()>>,
    tasks: Vec<Task>,
}

enum Snapshot {
    None,
    /// Taken, to be handed out when everything it saw is durable.
    Taken(FrameNo, Vec<u8>),
    Writing,
}

impl Inbox {
    pub fn put(&self, news: News) {
        let mut letters = self.letters();
        if letters.closed {
            return;
        }
        letters.waiting.push(news);
        drop(letters);
        self.arrived.notify_one();
        self.notify.notify_one();
    }

    /// No more turns will be taken: whoever still waits is told by the drop of what he sent.
    pub fn close(&self) {
        let mut letters = self.letters();
        letters.closed = true;
        letters.waiting.clear();
    }

    fn take(&self) -> Vec<News> {
        std::mem::take(&mut self.letters().waiting)
    }

    /// Blocks a driver's thread until there is news, or `most` has passed.
    pub fn wait(&self, most: Option<Duration>) {
        let letters = self.letters();
        match most {
            Some(most) => drop(self.arrived.wait_timeout_while(letters, most, |l| l.waiting.is_empty())),
            None => drop(self.arrived.wait_while(letters, |l| l.waiting.is_empty())),
        }
    }

    fn letters(&self) -> MutexGuard<'_, Letters> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    pub fn new(line: Line, shared: Arc<Shared>) -> Slot {
        Slot {
            line,
            shared,
            chunk: BytesMut::new(),
            chunk_bytes: 0,
            unsettled_bytes: 0,
            oldest: None,
            unpublished: 0,
            settling: false,
        }
    }

    /// The one copy: into the log's memory, stamped there.
    fn copy_in(&mut self, bytes: &[u8], first: Offset, arrived: Timestamp) -> bytes::Bytes {
        if self.chunk.capacity() < bytes.len() {
            self.chunk_bytes = (self.chunk_bytes * 2).clamp(bytes.len().min(CHUNK_BYTES), CHUNK_BYTES);
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

impl Lane {
    /// A lane over a replayed journal: `slots` hold what was recovered, with their tails published.
    pub fn new(
        journal: Journal,
        inbox: Arc<Inbox>,
        logs: Arc<Logs>,
        limits: Limits,
        slots: BTreeMap<LogId, Slot>,
    ) -> Lane {
        let synced = journal.written();
        let mut lane = Lane {
            journal,
            inbox,
            logs,
            limits,
            slots: BTreeMap::new(),
            waiting: VecDeque::new(),
            outgoing: Vec::new(),
            flights: VecDeque::new(),
            synced,
            sync_due: None,
            by_age: BTreeSet::new(),
            due: BTreeSet::new(),
            cached: VecDeque::new(),
            tail_bytes: 0,
            unsettled_bytes: 0,
            settling: false,
            facts_in_flight: 0,
            snapshot: Snapshot::None,
            room_bytes: u64::MAX,
            broken: None,
            stopping: None,
            tasks: Vec::new(),
        };
        for (id, mut slot) in slots {
            let (bytes, oldest) = {
                let view = slot.shared.view();
                (view.tail.iter().map(|e| e.bytes.len() as u64).sum(), view.tail.front().map(|e| e.frame))
            };
            lane.logs.insert(slot.shared.clone());
            slot.unsettled_bytes = bytes;
            slot.oldest = oldest;
            lane.tail_bytes += bytes;
            lane.unsettled_bytes += bytes;
            if let Some(frame) = oldest {
                lane.by_age.insert((frame, id));
            }
            if bytes >= lane.limits.settle_bytes {
                lane.due.insert(id);
            }
            lane.slots.insert(id, slot);
        }
        lane
    }

    /// Everything that arrived gets its place and is written. An error is final: the lane must not be used again.
    pub fn turn(&mut self, now: Timestamp) -> io::Result<Turn> {
        for news in self.inbox.take() {
            match news {
                News::Append(appending) => self.waiting.push_back(appending),
                News::Synced(upto) => self.publish(upto),
                News::Open(logs) => self.open(logs),
                News::Remove(logs) => self.remove(logs),
                News::Trim(log, below, reply) => self.trim(log, below, reply),
                News::Cut(logs, reply) => {
                    // What waits was sent before the cut and stands before it.
                    while let Some(appending) = self.waiting.pop_front() {
                        self.place(appending, now)?;
                    }
                    drop(reply.send(self.cut(&logs)));
                }
                News::RaiseEpoch(logs) => self.raise_epochs(logs),
                News::Settled(done) => self.record_settled(done),
                News::NotSettled => self.settling_failed(),
                News::Snapshotted(frame) => self.forget(frame)?,
                News::Room(bytes) => self.room_bytes = bytes,
                News::ExpireProducers { now, after_ms } => self.expire_producers(now, after_ms),
                News::Stop(reply) => self.stopping = Some(reply),
            }
        }
        while self.unsettled_bytes < self.limits.unsettled_bytes || self.stopping.is_some() {
            let Some(appending) = self.waiting.pop_front() else { break };
            self.place(appending, now)?;
        }
        let mut sync = self.write(now)?;
        if self.flights.is_empty() && self.sync_due.is_none() {
            self.journal.mark()?;
        }
        self.choose_settling();
        self.take_snapshot();
        if let Snapshot::Taken(frame, _) = self.snapshot
            && sync.is_none()
        {
            // What it saw may end in frames nobody else waits for.
            sync = Some(frame);
        }
        let stopped = self.stop_if_done();
        // Tasks may be all that is left to do before stopping, and nothing will tell when they are done.
        let wake = if self.stopping.is_some() && !self.tasks.is_empty() { Some(now) } else { self.sync_due };
        Ok(Turn { sync, wake, tasks: std::mem::take(&mut self.tasks), stopped })
    }

    // ── placing

    fn place(&mut self, appending: Appending, now: Timestamp) -> io::Result<()> {
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
        match self.journal.reserve((4 + bytes + 28 * group.parts.len()) as u64) {
            // Twice: once in the journal, once in a segment.
            Ok(()) => self.room_bytes = self.room_bytes.saturating_sub(2 * bytes as u64),
            Err(e) if is_full(&e) => {
                let _ = reply.send(Err(Refused { part: 0, error: Error::Full }));
                return Ok(());
            }
            Err(e) => return Err(e),
        }
        let mut placed = Vec::with_capacity(group.parts.len());
        let mut members = Vec::with_capacity(group.parts.len());
        let mut publish = Vec::with_capacity(group.parts.len());
        for (part, verdict) in group.parts.iter().zip(verdicts) {
            let slot = self.slots.get_mut(&part.log).expect("decided for this log a moment ago");
            let start = slot.line.start;
            match verdict {
                Verdict::Duplicate { first, arrived } => {
                    placed.push(Placed { log: part.log, first, arrived, start, duplicate: true });
                }
                Verdict::New => {
                    let first = slot.line.next;
                    let arrived = slot.line.arrival(now);
                    let bytes = slot.copy_in(&part.batch.bytes, first, arrived);
                    slot.line.place(&part.batch.header, first, arrived);
                    slot.unpublished += 1;
                    let max_time =
                        if slot.line.rules.append_time { arrived } else { Timestamp(part.batch.header.max_timestamp) };
                    members.push(Member { log: part.log, first, arrived, bytes: bytes.len() as u32 });
                    placed.push(Placed { log: part.log, first, arrived, start, duplicate: false });
                    publish.push((part.log, Entry { first, end: slot.line.next, bytes, arrived, max_time, frame: 0 }));
                }
            }
        }
        drop(permit);
        if members.is_empty() {
            self.answer_duplicate(reply, placed);
            return Ok(());
        }
        let mut head = Vec::with_capacity(4 + members.len() * 28);
        frame::encode_group(&members, &mut head);
        self.outgoing.push(Outgoing { kind: frame::GROUP, head, publish, then: Then::Receipt(reply, placed) });
        Ok(())
    }

    /// Judges every part before any is placed: all or none.
    fn decide(&self, group: &Group) -> Result<Vec<Verdict>, Refused> {
        let refuse = |part, error| Refused { part, error };
        if self.stopping.is_some() {
            return Err(refuse(0, Error::ShuttingDown));
        }
        let mut verdicts = Vec::with_capacity(group.parts.len());
        let mut ends: Vec<(LogId, Offset)> = Vec::new();
        for (i, part) in group.parts.iter().enumerate() {
            let slot = self.slots.get(&part.log).ok_or(refuse(i, Error::NoSuchLog))?;
            let known = ends.iter().position(|(log, _)| *log == part.log);
            let next = known.map_or(slot.line.next, |k| ends[k].1);
            let terms = Terms { expect: part.expect, shard: part.shard, origin: group.origin };
            let verdict = slot.line.decide(&part.batch.header, terms, next).map_err(|error| refuse(i, error))?;
            if self.room_bytes == 0 && group.origin == super::Origin::Client {
                return Err(refuse(i, Error::Full));
            }
            if matches!(verdict, Verdict::New) && group.parts.len() > 1 {
                let end = next.plus(part.batch.header.offsets());
                match known {
                    Some(k) => ends[k].1 = end,
                    None => ends.push((part.log, end)),
                }
            }
            verdicts.push(verdict);
        }
        Ok(verdicts)
    }

    /// A duplicate is answered when its original is durable, which it is once everything written so far is.
    fn answer_duplicate(&mut self, reply: oneshot::Sender<Result<Vec<Placed>, Refused>>, placed: Vec<Placed>) {
        let then = Then::Receipt(reply, placed);
        if !self.outgoing.is_empty() {
            // The original may be in this very turn: ride behind it, on a frame without batches of its own.
            let mut head = Vec::new();
            frame::encode_group(&[], &mut head);
            self.push_bare(frame::GROUP, head, then);
        } else if let Some(last) = self.flights.back() {
            self.flights.push_back(Flight { frame: last.frame, publish: Vec::new(), then });
        } else {
            self.land(Flight { frame: self.synced, publish: Vec::new(), then });
        }
    }

    // ── writing and publishing

    fn write(&mut self, now: Timestamp) -> io::Result<Option<FrameNo>> {
        let mut strict = false;
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
                outgoing.iter().zip(&slices).map(|(o, s)| FrameOut { kind: o.kind, slices: s }).collect();
            let last = self.journal.write(&frames)?;
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
                        self.land(flight);
                    }
                    None => {
                        strict = true;
                        self.flights.push_back(flight);
                    }
                }
            }
        }
        if strict || self.sync_due.is_some_and(|due| due <= now || self.stopping.is_some()) {
            self.sync_due = None;
            return Ok(Some(self.journal.written()));
        }
        Ok(None)
    }

    /// Whether a flight may be published before it is synced: all its logs opted out, and none waits for a sync.
    fn relaxed_ms(&self, flight: &Flight) -> Option<i64> {
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

    fn publish(&mut self, upto: FrameNo) {
        self.synced = self.synced.max(upto);
        self.journal.note_durable(self.synced);
        while self.flights.front().is_some_and(|f| f.frame <= self.synced) {
            let flight = self.flights.pop_front().expect("looked at it");
            self.land(flight);
        }
    }

    /// A flight has arrived: readers may see its batches, and whoever waits for it is answered.
    fn land(&mut self, flight: Flight) {
        for (log, entry) in flight.publish {
            let Some(slot) = self.slots.get_mut(&log) else { continue };
            let bytes = entry.bytes.len() as u64;
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
            view.tail.push_back(entry);
            view.wake();
        }
        match flight.then {
            Then::Receipt(reply, placed) => drop(reply.send(Ok(placed))),
            Then::Settled(done) => {
                self.facts_in_flight -= 1;
                done.into_iter().for_each(|(segment, settled)| self.land_settled(segment, settled));
                self.settling = false;
                self.evict();
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

    fn send_facts(&mut self, facts: &[Fact], then: Then) {
        self.facts_in_flight += 1;
        self.push_bare(frame::FACTS, frame::encode_facts(facts), then);
    }

    /// A frame without batches.
    fn push_bare(&mut self, kind: u8, head: Vec<u8>, then: Then) {
        if let Err(e) = self.journal.reserve(head.len() as u64) {
            self.broken.get_or_insert(e);
        }
        self.outgoing.push(Outgoing { kind, head, publish: Vec::new(), then });
    }

    // ── logs come, change and go

    fn open(&mut self, logs: Vec<(LogId, Rules)>) {
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

    fn remove(&mut self, logs: Vec<LogId>) {
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

    fn land_removal(&mut self, log: LogId) {
        if let Some(slot) = self.slots.remove(&log) {
            let in_memory: u64 = slot.shared.view().tail.iter().map(|e| e.bytes.len() as u64).sum();
            self.tail_bytes -= in_memory;
            self.unsettled_bytes -= slot.unsettled_bytes;
            if let Some(frame) = slot.oldest {
                self.by_age.remove(&(frame, log));
            }
            self.due.remove(&log);
        }
        self.tasks.push(Task::RemoveLog(log));
    }

    fn trim(&mut self, log: LogId, below: Offset, reply: oneshot::Sender<Result<Bounds, Error>>) {
        let Some(slot) = self.slots.get_mut(&log) else {
            let _ = reply.send(Err(Error::NoSuchLog));
            return;
        };
        let bounds = slot.shared.view().bounds();
        if below > bounds.end {
            let _ = reply.send(Err(Error::OutOfRange(bounds)));
        } else if below <= slot.line.start {
            // Already given up; a start never moves back. It may not be durable yet: a later trim of nothing tells.
            let _ = reply.send(Ok(Bounds { start: slot.line.start, ..bounds }));
        } else {
            slot.line.start = below;
            self.send_facts(&[Fact::Start { log, at: below }], Then::Trimmed(log, below, reply));
        }
    }

    fn land_trim(&mut self, log: LogId, below: Offset) -> Result<Bounds, Error> {
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
        let bases = view.drop_extents(below, spared);
        // A batch that straddles the new start still has to be settled whole.
        let kept = view.tail.front().map_or(below, |e| e.first.min(below));
        view.settled = view.settled.max(kept);
        view.wake();
        let bounds = view.bounds();
        drop(view);
        self.forget_unsettled(log, unsettled);
        if !bases.is_empty() {
            self.tasks.push(Task::RemoveSegments(log, bases));
        }
        Ok(bounds)
    }

    fn cut(&mut self, logs: &[LogId]) -> Vec<(LogId, Offset)> {
        let mut cuts = Vec::with_capacity(logs.len());
        for log in logs {
            if let Some(slot) = self.slots.get_mut(log) {
                slot.line.rules.open_shard = None;
                cuts.push((*log, slot.line.next));
            }
        }
        cuts
    }

    fn raise_epochs(&mut self, logs: Vec<LogId>) {
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

    fn expire_producers(&mut self, now: Timestamp, after_ms: i64) {
        for slot in self.slots.values_mut() {
            slot.line.producers.expire(now, after_ms);
        }
    }

    // ── settling

    /// Hands the settler one round: logs that are due, and the oldest ones where memory or the journal asks for it.
    fn choose_settling(&mut self) {
        if self.settling {
            return;
        }
        let mut chosen: Vec<LogId> = self.due.iter().copied().take(ROUND_JOBS).collect();
        let pressed = self.unsettled_bytes > self.limits.unsettled_bytes / 2;
        let oldest_file = self.journal.oldest_file_last_frame();
        let crowded = self.journal.live_bytes() > self.limits.journal_bytes;
        if pressed || crowded {
            for (frame, log) in &self.by_age {
                let wanted = pressed || oldest_file.is_some_and(|last| *frame <= last);
                if chosen.len() >= ROUND_JOBS || !wanted {
                    break;
                }
                if !chosen.contains(log) {
                    chosen.push(*log);
                }
            }
        }
        let mut jobs = Vec::new();
        let mut bytes = 0;
        for log in chosen {
            if bytes >= ROUND_BYTES {
                break;
            }
            if let Some(job) = self.job(log) {
                bytes += job.entries.iter().map(|e| e.bytes.len() as u64).sum::<u64>();
                jobs.push(job);
            }
        }
        if !jobs.is_empty() {
            self.settling = true;
            self.tasks.push(Task::Settle(jobs));
        }
    }

    /// What of a log can be settled now: durable, not yet settled, into one segment.
    fn job(&mut self, log: LogId) -> Option<Job> {
        let slot = self.slots.get_mut(&log)?;
        self.due.remove(&log);
        let view = slot.shared.view();
        if view.removed {
            return None;
        }
        let begin = view.tail.partition_point(|e| e.first < view.settled);
        let mut entries = Vec::new();
        let mut bytes = 0;
        for entry in view.tail.range(begin..).take_while(|e| e.frame <= self.synced) {
            bytes += entry.bytes.len() as u64;
            if bytes > ROUND_BYTES && !entries.is_empty() {
                break;
            }
            entries.push(entry.clone());
        }
        let first = entries.first()?;
        let rules = &slot.line.rules;
        let last = view.extents.last().filter(|x| {
            let full = x.settled.bytes + bytes > rules.segment_bytes;
            let old = first.arrived.0 - x.settled.arrived.0 > rules.segment_ms;
            // Relative offsets in Kafka's index files are 32 bits wide.
            let far = first.first.0 - x.settled.base.0 > i32::MAX as u64 / 2;
            !(full || old || far)
        });
        let (segment, from) = match last {
            Some(extent) => (extent.segment.clone(), Some(extent.settled)),
            None => (Arc::new(Segment::new(log, first.first)), None),
        };
        drop(view);
        slot.settling = true;
        Some(Job { segment, from, entries })
    }

    fn record_settled(&mut self, done: Vec<(Arc<Segment>, Settled)>) {
        let facts: Vec<Fact> =
            done.iter().map(|(s, settled)| Fact::Settled { log: s.log, settled: *settled }).collect();
        self.send_facts(&facts, Then::Settled(done));
    }

    fn land_settled(&mut self, segment: Arc<Segment>, settled: Settled) {
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
            Some(extent) => extent.settled = settled,
            None => view.extents.push(Extent { settled, segment }),
        }
        view.settled = view.settled.max(settled.end);
        let start = view.start;
        let bases = view.drop_extents(start, 0);
        drop(view);
        if !bases.is_empty() {
            self.tasks.push(Task::RemoveSegments(log, bases));
        }
        self.cached.push_back((log, settled.end));
        self.forget_unsettled(log, unsettled);
    }

    /// `bytes` of a log no longer wait to be settled.
    fn forget_unsettled(&mut self, log: LogId, bytes: u64) {
        let Some(slot) = self.slots.get_mut(&log) else { return };
        slot.unsettled_bytes -= bytes;
        self.unsettled_bytes -= bytes;
        if let Some(frame) = slot.oldest.take() {
            self.by_age.remove(&(frame, log));
        }
        let view = slot.shared.view();
        let begin = view.tail.partition_point(|e| e.first < view.settled);
        slot.oldest = view.tail.get(begin).map(|e| e.frame);
        if let Some(frame) = slot.oldest {
            self.by_age.insert((frame, log));
        }
        if slot.unsettled_bytes >= self.limits.settle_bytes && !slot.settling {
            self.due.insert(log);
        } else {
            self.due.remove(&log);
        }
    }

    fn settling_failed(&mut self) {
        self.settling = false;
        for (id, slot) in &mut self.slots {
            if std::mem::take(&mut slot.settling) && slot.unsettled_bytes >= self.limits.settle_bytes {
                self.due.insert(*id);
            }
        }
    }

    /// Settled batches leave memory, oldest first, while there is too much of it.
    fn evict(&mut self) {
        while self.tail_bytes > self.limits.tail_bytes {
            let Some((log, end)) = self.cached.pop_front() else { break };
            let Some(slot) = self.slots.get(&log) else { continue };
            let mut view = slot.shared.view();
            while let Some(entry) = view.tail.front().filter(|e| e.end <= end) {
                self.tail_bytes -= entry.bytes.len() as u64;
                view.tail.pop_front();
            }
        }
    }

    // ── the table, and forgetting

    /// When nothing unsettled is left in the oldest journal file, a snapshot of the table lets that file go.
    fn take_snapshot(&mut self) {
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
        if crowded && free && matches!(self.snapshot, Snapshot::None) {
            let frame = self.journal.written();
            self.snapshot = Snapshot::Taken(frame, table::encode(frame, &self.slots));
        }
    }

    fn forget(&mut self, snapshot: FrameNo) -> io::Result<()> {
        self.snapshot = Snapshot::None;
        let unsettled_from = self.by_age.first().map_or(FrameNo::MAX, |(frame, _)| *frame);
        let flying_from = self.flights.front().map_or(FrameNo::MAX, |f| f.frame);
        self.journal.forget(unsettled_from.min(flying_from).min(snapshot + 1))
    }

    fn stop_if_done(&mut self) -> bool {
        let idle = self.flights.is_empty() && self.waiting.is_empty() && !self.settling;
        if !(idle && self.outgoing.is_empty() && self.tasks.is_empty() && matches!(self.snapshot, Snapshot::None)) {
            return false;
        }
        match self.stopping.take() {
            Some(reply) => {
                let _ = reply.send(());
                true
            }
            None => false,
        }
    }
}
