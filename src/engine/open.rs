//! Opening a data directory: the table of logs, then the journal replayed over it, then the catalog's ledger. Restart
//! reads the unsettled journal only: its time grows neither with the number of segments nor with the size of the data.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::frame::{self, Fact, Member};
use super::holes::Refill;
use super::lane::Slot;
use super::packs;
use super::sabotage::{self, Bug};
use super::table::{self, PackList, Row, Stored};
use super::tail::{Entry, Extent, Shared, View};
use super::vault::Segment;
use crate::ids::{LogId, Offset, Timestamp};
use crate::log::line::Line;
use crate::log::transactions::Effect;
use crate::record::batch::{self, Header};
use crate::store::journal::{FrameIn, FrameNo, Journal, JournalOptions, Replayed};
use crate::store::{Disk, is_full};

/// What was found at a start.
#[derive(Clone, Debug, Default)]
pub struct Recovery {
    pub logs: usize,
    pub frames: u64,
    pub bytes: u64,
    /// Bytes of a frame that was being written when the process or the machine stopped.
    pub torn_bytes: u64,
    /// Damaged frames in the middle of the journal, withheld.
    pub rotten: u64,
    /// Files that a removal had been cut short of, removed now.
    pub swept_files: u64,
    pub took_ms: i64,
}

/// One log while it is put together.
pub(super) struct Found {
    pub line: Line,
    /// Up to here the table already knew the producers.
    known: Offset,
    /// The line as it was before something was missing from the journal.
    pub before_hole: Option<Box<Line>>,
    /// What the journal says behind that.
    pub since_hole: Vec<Past>,
    pub view: View,
}

/// What a batch did to its log's line.
pub(super) struct Past {
    pub header: Header,
    pub effect: Option<Effect>,
    pub first: Offset,
    pub arrived: Timestamp,
}

/// What a data directory says, while the journal is replayed over the table.
#[derive(Default)]
pub(super) struct Fold {
    /// What the table stands for; `None` where there is none.
    pub table_frame: Option<FrameNo>,
    pub logs: BTreeMap<LogId, Found>,
    pub packs: PackList,
    /// Removed: what the journal still says of them means nothing.
    gone: BTreeSet<LogId>,
    /// Something was visited: the journal does begin with its first frame, or there is a table for what it lacks.
    begun: bool,
}

impl Fold {
    pub fn of_table(stored: Stored) -> Fold {
        let table_frame = stored.bytes.is_some().then_some(stored.table.frame);
        let logs = stored.table.rows.into_iter().map(|(id, row)| (id, from_table(id, row))).collect();
        Fold { table_frame, logs, packs: stored.table.packs, gone: BTreeSet::new(), begun: false }
    }

    pub fn replay(&mut self, frame: &FrameIn) -> io::Result<()> {
        self.begin(frame.number)?;
        let damaged = |e: frame::Damaged| {
            io::Error::new(io::ErrorKind::InvalidData, format!("journal frame {}: {}", frame.number, e.0))
        };
        let in_table = self.table_frame.is_some_and(|table| frame.number <= table);
        match frame.kind {
            frame::GROUP => {
                let mut members = frame::decode_group(&frame.payload).map_err(damaged)?;
                if sabotage::is(Bug::TornGroup) && members.len() > 1 {
                    members.pop();
                }
                for (member, bytes) in members {
                    // A log that the table does not know had been removed when it was written.
                    if self.gone.contains(&member.log) || in_table && !self.logs.contains_key(&member.log) {
                        continue;
                    }
                    let log = self.logs.entry(member.log).or_insert_with(empty);
                    replay_member(log, frame.number, member, bytes)?;
                }
                Ok(())
            }
            frame::FACTS if in_table => Ok(()),
            frame::FACTS => {
                for fact in frame::decode_facts(&frame.payload).map_err(damaged)? {
                    self.replay_fact(fact);
                }
                Ok(())
            }
            other => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("journal frame {} is of kind {other}, which this program does not know", frame.number),
            )),
        }
    }

    fn replay_fact(&mut self, fact: Fact) {
        match fact {
            Fact::Removed { log } => {
                self.logs.remove(&log);
                self.gone.insert(log);
            }
            Fact::Packs { added, removed } => {
                self.packs.next = self.packs.next.max(added.map_or(0, |pack| pack.id + 1));
                packs::replace(&mut self.packs.packs, |pack| pack.id, &removed, added);
            }
            Fact::Start { log, .. }
            | Fact::Epoch { log, .. }
            | Fact::Settled { log, .. }
            | Fact::Compacted { log, .. }
                if self.gone.contains(&log) => {}
            Fact::Start { log, .. }
            | Fact::Epoch { log, .. }
            | Fact::Settled { log, .. }
            | Fact::Compacted { log, .. } => {
                replay_fact_of(log, self.logs.entry(log).or_insert_with(empty), fact);
            }
        }
    }

    /// Frame `first` is the first thing that is known of the journal. Journal files go only when a table stands for them.
    pub fn begin(&mut self, first: FrameNo) -> io::Result<()> {
        if !std::mem::replace(&mut self.begun, true) && self.table_frame.is_none() && first > 1 {
            let words = format!(
                "the journal begins with frame {first}, and the table that stands for what came before it is missing: \
                 bring back the file {} or {}, or a backup with `interfluve restore`",
                table::NAME,
                table::COPY
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, words));
        }
        Ok(())
    }
}

/// The journal, and the logs and packs it knows, as of the last acknowledged write.
pub fn recover(
    disk: &Arc<dyn Disk>,
    options: JournalOptions,
    chance: &mut dyn FnMut() -> u64,
) -> io::Result<(Journal, BTreeMap<LogId, Slot>, PackList, Recovery)> {
    let mut stored = table::read(disk)?;
    if let (Some((name, why)), Some(bytes)) = (stored.damaged.take(), &stored.bytes) {
        tracing::error!("the file {name} is damaged ({why}); its other copy is sound, and both are written anew");
        match table::write(&**disk, bytes) {
            Err(e) if is_full(&e) => tracing::warn!("the disk has no room for the second copy; it is written later"),
            written => written?,
        }
    }
    let mut fold = Fold::of_table(stored);
    let mut recovery = Recovery::default();
    let (journal, report) = Journal::open(disk.clone(), "journal", options, chance, &mut |replayed| match replayed {
        Replayed::Frame(frame) => fold.replay(&frame),
        Replayed::Rot { first, frames, bytes, file, at } => {
            tracing::error!(
                "journal frames from {first} on ({frames} of them, {bytes} bytes at {at} of {file}) are damaged; what \
                     they held is withheld, everything behind them is kept"
            );
            recovery.rotten += frames;
            fold.begin(first)
        }
    })?;
    recovery.frames = report.frames;
    recovery.bytes = report.bytes;
    recovery.torn_bytes = report.torn_bytes;
    recovery.logs = fold.logs.len();
    if recovery.rotten > 0 {
        let refill = Refill::new(disk, &fold.packs.packs);
        fold.logs.iter_mut().for_each(|(id, found)| refill.refill(*id, found));
    }
    let slots = fold.logs.into_iter().map(|(id, f)| (id, finish(id, f))).collect();
    Ok((journal, slots, fold.packs, recovery))
}

fn from_table(id: LogId, row: Row) -> Found {
    let extents = row
        .segments
        .into_iter()
        .map(|settled| Extent { settled, segment: Arc::new(Segment::new(id, settled.name())) })
        .collect::<Vec<_>>();
    // Not the start: a batch that straddles it may still stand in the journal alone.
    let settled = extents.last().map_or(Offset(0), |x| x.settled.end);
    Found {
        known: row.line.next,
        before_hole: None,
        since_hole: Vec::new(),
        line: row.line,
        view: View { extents, settled, ..View::default() },
    }
}

fn replay_member(log: &mut Found, frame: FrameNo, member: Member, bytes: Bytes) -> io::Result<()> {
    let header = batch::parse_header(&bytes).map_err(|e| {
        io::Error::new(io::ErrorKind::InvalidData, format!("log {}, offset {}: {e}", member.log, member.first))
    })?;
    let end = member.first.plus(header.offsets());
    let effect = Effect::of(&header, &bytes);
    // What the table knew already is decided by what it knew last: no more than the start of the log is certain of it.
    let mut stable = log.line.start;
    if member.first >= log.known {
        if member.first > log.line.next && log.before_hole.is_none() {
            log.before_hole = Some(Box::new(log.line.clone()));
        }
        log.line.place(&header, effect, member.first, member.arrived);
        if log.before_hole.is_some() {
            log.since_hole.push(Past { header, effect, first: member.first, arrived: member.arrived });
        }
        stable = log.line.transactions.stable(end);
    }
    if member.first >= log.view.settled && end > log.line.start {
        let max_time = Timestamp(header.max_timestamp);
        let Member { first, arrived, .. } = member;
        log.view.tail.push_back(Entry { first, end, bytes, arrived, max_time, frame, effect, stable });
    }
    Ok(())
}

fn replay_fact_of(id: LogId, log: &mut Found, fact: Fact) {
    match fact {
        Fact::Removed { .. } | Fact::Packs { .. } => {}
        Fact::Start { at, .. } => {
            log.line.start = log.line.start.max(at);
            log.line.next = log.line.next.max(at);
            let gone = log.view.extents.partition_point(|x| x.settled.end <= at);
            log.view.extents.drain(..gone);
            while log.view.tail.front().is_some_and(|e| e.end <= at) {
                log.view.tail.pop_front();
            }
            let kept = log.view.tail.front().map_or(at, |e| e.first.min(at));
            log.view.settled = log.view.settled.max(kept);
        }
        Fact::Epoch { epoch, from, .. } => {
            if log.line.epochs.is_empty() {
                log.line.epochs.push((0, Offset(0)));
            }
            if log.line.epoch() < epoch {
                log.line.epochs.push((epoch, from));
            }
        }
        Fact::Settled { settled, .. } => {
            if settled.end <= log.line.start {
                return;
            }
            match log.view.extents.last_mut().filter(|x| x.settled.base == settled.base) {
                Some(extent) => extent.settled = settled,
                None => {
                    log.view.extents.push(Extent { settled, segment: Arc::new(Segment::new(id, settled.name())) });
                }
            }
            log.view.settled = log.view.settled.max(settled.end);
            while log.view.tail.front().is_some_and(|e| e.end <= settled.end) {
                log.view.tail.pop_front();
            }
        }
        Fact::Compacted { clean, removed, added, .. } => {
            log.line.clean = log.line.clean.max(clean);
            let added = added.filter(|added| added.end > log.line.start);
            let added = added.map(|settled| Extent { settled, segment: Arc::new(Segment::new(id, settled.name())) });
            log.view.replace_extents(&removed, added);
        }
    }
}

fn empty() -> Found {
    Found { line: Line::default(), known: Offset(0), before_hole: None, since_hole: Vec::new(), view: View::default() }
}

fn finish(id: LogId, found: Found) -> Slot {
    let Found { mut line, mut view, .. } = found;
    if sabotage::is(Bug::ProducersForgotten) {
        line.producers = Default::default();
    }
    let kept = view.tail.front().map_or(line.start, |e| e.first.min(line.start));
    view.settled = view.settled.max(kept);
    line.next = line.next.max(view.settled);
    view.start = line.start;
    view.clean = line.clean;
    view.end = line.next;
    view.epochs = line.epochs.clone();
    view.transactions = line.transactions.clone();
    view.forget_given_up();
    line.transactions.forget(view.settled);
    Slot::new(line, Arc::new(Shared::new(id, view)))
}
