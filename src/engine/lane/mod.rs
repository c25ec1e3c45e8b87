//! The one writer of a set of logs. One turn: everything that arrived gets its place and is written to the journal; the
//! syncer makes it durable meanwhile; what is durable is published, answered, and in time settled into segments.
//! What happens to a batch reads in this order: `place.rs`, `publish.rs`, `settle.rs`; `logs.rs` is about the logs.
//! No `.await`, no clock and no chance in here: the driver (engine/driver.rs) calls [`Lane::turn`] with the time.

mod compact;
mod inbox;
mod logs;
mod place;
mod publish;
mod settle;
mod tidy;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;

use bytes::BytesMut;
use tokio::sync::oneshot;

use super::backup::Instant;
use super::frame::PackInfo;
use super::merge::{Tidied, Tidy};
use super::packs::Packs;
use super::table::PackList;
use super::tail::{Entry, Logs, Shared};
use super::vault::{Done, Round, Segment};
use super::{Bounds, Error, Group, Permit, Placed, Refused, Writer};
use crate::ids::{LogId, Offset, Timestamp};
use crate::log::line::{Line, Rules};
use crate::metrics;
use crate::store::journal::{FrameNo, Journal};
pub use compact::Compacted;
pub use inbox::Inbox;

/// The lane's limits; each is a configuration key.
#[derive(Clone, Debug)]
pub struct Limits {
    /// A log is settled when this much of it waits.
    pub settle_bytes: u64,
    /// All bytes that have a place and are not settled yet; appends wait above it, and settling is forced from half of it on.
    pub unsettled_bytes: u64,
    /// The journal's files; the oldest logs are settled to get below it.
    pub journal_bytes: u64,
    /// A log that has less than this, besides what stands in files of its own, is packed with others …
    pub pack_bytes: u64,
    /// … if so many logs have so little; fewer get files of their own.
    pub pack_logs: usize,
    /// Newest batches kept in memory, settled or not.
    pub tail_bytes: u64,
    /// Idempotent producers that are remembered, each counted in every log it wrote to.
    pub producers: usize,
}

/// The most that batches leave free in the journal, so that a full disk still has room for facts.
const SPARED_MOST_BYTES: u64 = 768 << 10;
/// How long a full disk is left alone before it is tried again.
const RETRY_MS: i64 = 1_000;

/// What the lane is told.
pub enum News {
    Append(Appending),
    /// Logs that exist from now on, or have new rules.
    Open(Vec<(LogId, Rules)>),
    /// Logs that are here have new rules; which of their shards are open stays as it is.
    Rules(Vec<(LogId, Rules)>),
    Remove(Vec<LogId>),
    Trim(LogId, Offset, oneshot::Sender<Result<Bounds, Error>>),
    /// Writers that name the open shard of these logs are refused from now on; says where each log ends.
    Cut(Vec<LogId>, oneshot::Sender<Vec<(LogId, Offset)>>),
    /// The leader epoch rises (the log lost a tail).
    RaiseEpoch(Vec<LogId>),
    Synced(FrameNo),
    Settled(Done),
    /// Settle a log up to here: a segment of it is full, or old enough.
    Settle(LogId, Offset),
    Compacted(Box<Compacted>),
    /// Settling failed for lack of space; try again later.
    NotSettled,
    Tidied(Tidied),
    Snapshotted(FrameNo),
    /// The table could not be written for lack of space; try again later.
    NotSnapshotted,
    /// How many more bytes may be written before the disk's reserve is touched; said anew from time to time.
    Room(u64),
    ExpireProducers {
        now: Timestamp,
        after_ms: i64,
    },
    /// Who has written to a log, as far as it remembers.
    Producers(LogId, oneshot::Sender<Vec<Writer>>),
    /// Asks for everything there is at one moment; appends wait for one sync meanwhile.
    Picture(oneshot::Sender<Instant>),
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
    Settle(Round),
    Snapshot { frame: FrameNo, table: Vec<u8> },
    RemoveSegments(Vec<Arc<Segment>>),
    RemoveLog(LogId),
    RemovePacks(Vec<u64>),
    Tidy(Tidy, Arc<Logs>),
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
    /// Records that were published without a sync since the lane asked for one; with the count of that one.
    unsynced: (u64, u64),
    settling: bool,
    /// It is to be settled up to here, however little that is.
    settle_upto: Offset,
}

/// A frame that has been written and waits to be durable.
struct Flight {
    frame: FrameNo,
    publish: Vec<(LogId, Entry)>,
    then: Then,
}

enum Then {
    Receipt(oneshot::Sender<Result<Vec<Placed>, Refused>>, Vec<Placed>),
    Settled(Done),
    Compacted(Compacted),
    /// Packs were removed, and perhaps one added.
    Packs(Vec<u64>, Option<PackInfo>),
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
    /// Of ledgers, while the disk has no room for them: what they decided cannot be refused, so it waits, in its order.
    parked: VecDeque<Appending>,
    /// Not before this are they tried again.
    parked_until: Option<Timestamp>,
    outgoing: Vec<Outgoing>,
    flights: VecDeque<Flight>,
    synced: FrameNo,
    /// When written but unsynced relaxed batches must be synced.
    sync_due: Option<Timestamp>,
    /// How often a sync has been asked for by what was written.
    syncs_asked: u64,
    /// Logs by the frame of their first unsettled batch.
    by_age: BTreeSet<(FrameNo, LogId)>,
    /// Logs with enough unsettled bytes to be worth a write of their own.
    due: BTreeSet<LogId>,
    /// Settled batches still in memory, oldest first.
    cached: VecDeque<(LogId, Offset)>,
    tail_bytes: u64,
    /// Producers remembered, in all logs together.
    producers: usize,
    /// Up to so many could not be forgotten when it was last tried.
    producers_kept: usize,
    unsettled_bytes: u64,
    /// Placed and not yet published.
    flying_bytes: u64,
    settling: bool,
    packs: tidy::State,
    /// Facts that the disk has had no room for, with what they are for.
    held: VecDeque<(Vec<u8>, Then)>,
    /// When it is tried again to write them.
    held_until: Option<Timestamp>,
    /// What batches leave free in the journal for facts.
    spared_bytes: u64,
    /// After a failed settle or snapshot: not before this.
    settle_from: Option<Timestamp>,
    facts_in_flight: u32,
    snapshot: Snapshot,
    room_bytes: u64,
    /// An error met where none can be returned; ends the turn.
    broken: Option<io::Error>,
    pictures: Vec<oneshot::Sender<Instant>>,
    stopping: Option<oneshot::Sender<()>>,
    tasks: Vec<Task>,
}

enum Snapshot {
    None,
    /// Taken, to be handed out when everything it saw is durable.
    Taken(FrameNo, Vec<u8>),
    Writing,
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
            unsynced: (0, 0),
            settling: false,
            settle_upto: Offset(0),
        }
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
        packs: (Arc<Packs>, PackList),
    ) -> Lane {
        let packs = tidy::State::new(packs.0, packs.1.next);
        let synced = journal.written();
        let spared_bytes = (journal.file_bytes() / 32).min(SPARED_MOST_BYTES);
        let mut lane = Lane {
            journal,
            inbox,
            logs,
            limits,
            slots: BTreeMap::new(),
            waiting: VecDeque::new(),
            parked: VecDeque::new(),
            parked_until: None,
            outgoing: Vec::new(),
            flights: VecDeque::new(),
            synced,
            sync_due: None,
            syncs_asked: 0,
            by_age: BTreeSet::new(),
            due: BTreeSet::new(),
            cached: VecDeque::new(),
            tail_bytes: 0,
            producers: 0,
            producers_kept: 0,
            unsettled_bytes: 0,
            flying_bytes: 0,
            settling: false,
            packs,
            held: VecDeque::new(),
            held_until: None,
            spared_bytes,
            settle_from: None,
            facts_in_flight: 0,
            snapshot: Snapshot::None,
            room_bytes: u64::MAX,
            broken: None,
            pictures: Vec::new(),
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
            lane.producers += slot.line.producers.len();
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
        lane.forget_silent_producers();
        lane
    }

    /// Everything that arrived gets its place and is written. An error is final: the lane must not be used again.
    pub fn turn(&mut self, now: Timestamp) -> io::Result<Turn> {
        if self.held_until.is_some_and(|until| until <= now) {
            self.held_until = None;
            self.let_facts_go();
        }
        for news in self.inbox.take() {
            match news {
                News::Append(appending) => self.waiting.push_back(appending),
                News::Synced(upto) => self.publish(upto),
                News::Open(logs) => self.open(logs),
                News::Rules(logs) => self.rule(logs),
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
                News::Settle(log, upto) => self.settle_upto(log, upto),
                News::Compacted(compacted) => self.record_compacted(*compacted),
                News::NotSettled => self.settling_failed(now),
                News::Tidied(tidied) => self.tidied(tidied, now),
                News::NotSnapshotted => {
                    self.snapshot = Snapshot::None;
                    self.settle_from = Some(now.plus_ms(RETRY_MS));
                }
                News::Snapshotted(frame) => self.forget(frame)?,
                News::Room(bytes) => self.room_bytes = bytes,
                News::ExpireProducers { now, after_ms } => self.expire_producers(now, after_ms),
                News::Producers(log, reply) => drop(reply.send(self.writers(log))),
                News::Picture(reply) => self.pictures.push(reply),
                News::Stop(reply) => self.stopping = Some(reply),
            }
        }
        self.unpark(now)?;
        // A full disk or a stop is answered, not waited for.
        let refusing = self.stopping.is_some() || self.room_bytes == 0;
        while refusing || self.unsettled_bytes + self.flying_bytes < self.limits.unsettled_bytes {
            // A picture is taken when everything placed has landed, so nothing is placed until then.
            let next =
                if self.pictures.is_empty() || self.stopping.is_some() { self.waiting.pop_front() } else { None };
            let Some(appending) = next else { break };
            self.place(appending, now)?;
        }
        if self.stopping.is_some() {
            self.give_up_facts();
        }
        if !self.held.is_empty() && self.held_until.is_none() {
            tracing::error!(facts = self.held.len(), "the disk is full; what happened to logs waits to be written");
            self.held_until = Some(now.plus_ms(RETRY_MS));
        }
        let mut sync = self.write(now)?;
        let pictured = self.take_pictures(&mut sync);
        if self.flights.is_empty() && self.sync_due.is_none() && self.pictures.is_empty() {
            self.journal.mark()?;
        }
        if self.settle_from.is_none_or(|from| from <= now) {
            self.settle_from = None;
            self.choose_settling();
            self.choose_tidying();
        }
        self.take_snapshot();
        if let Snapshot::Taken(frame, _) = self.snapshot
            && sync.is_none()
        {
            // What it saw may end in frames nobody else waits for.
            sync = Some(frame);
        }
        metrics::UNSETTLED_BYTES.set(self.unsettled_bytes as i64);
        metrics::PRODUCERS.set(self.producers as i64);
        metrics::TAIL_BYTES.set(self.tail_bytes as i64);
        let stopped = self.stop_if_done();
        // Tasks may be all that is left to do before stopping, and nothing will tell when they are done.
        let again = pictured || self.stopping.is_some() && !self.tasks.is_empty();
        let wake = if again {
            Some(now)
        } else {
            [self.sync_due, self.settle_from, self.held_until, self.parked_until].into_iter().flatten().min()
        };
        Ok(Turn { sync, wake, tasks: std::mem::take(&mut self.tasks), stopped })
    }

    fn stop_if_done(&mut self) -> bool {
        let idle = self.flights.is_empty() && self.waiting.is_empty() && !self.settling && !self.packs.tidying;
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
