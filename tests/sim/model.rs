//! What must be true: a record of everything that was sent, acknowledged, refused and read, and the judgements over it.
//! Never asks the engine anything; it is told, and blames.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use interfluve::engine::catalog::Stream;
use interfluve::engine::{Bounds, Catalog};
use interfluve::ids::{LogId, Offset};

use crate::keeper::Kept;
pub use crate::records::Id;
use crate::records::{Writing, id_of, key_of, shown_key, value_of};

/// The log of a record whose place its stream chooses, until it is known.
pub const SOMEWHERE: LogId = LogId(u64::MAX);

/// One record's fate.
#[derive(Clone, Debug)]
pub struct Sent {
    pub log: LogId,
    pub writer: u32,
    /// Records that are all there or none.
    pub group: u32,
    pub value_bytes: usize,
    pub fate: Fate,
    /// Where it was acknowledged or seen.
    pub at: Option<u64>,
    /// The end of its log, as anyone knew it, when it was sent: it stands there or behind.
    pub end_before: u64,
    /// Will its writer send it again, after a crash that left its fate open?
    pub again: bool,
    /// Who wrote it: a client of which face.
    pub by: Writing,
    /// When it was sent, and when it arrived as soon as anyone was told.
    pub sent_at: i64,
    pub arrived: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Open,
    Acknowledged,
    Refused,
    /// A recovery did not find it: it must not come back.
    Gone,
}

/// One log's past.
#[derive(Clone, Debug, Default)]
pub struct Past {
    pub stream: String,
    /// Synced before acknowledged.
    pub strict: bool,
    /// Retention may give up records: after so many milliseconds, if it goes by time alone.
    pub retains: bool,
    pub retention_ms: Option<i64>,
    /// What is known to stand where.
    pub known: BTreeMap<u64, Id>,
    /// The highest start anyone was told, and the highest anyone asked for.
    pub start: u64,
    pub asked: u64,
    /// The highest end anyone was told.
    pub end: u64,
    /// Offsets whose records may be missing because their bytes were damaged.
    pub rot: BTreeSet<u64>,
    /// Were there ever any?
    pub rotted: bool,
    /// It came to its stream later: groups of that stream begin at 0 there, without having committed it.
    pub grown: bool,
}

impl Past {
    /// The records of this stretch may be missing from now on.
    pub fn rots(&mut self, offsets: std::ops::Range<u64>) {
        self.rot.extend(offsets);
        self.rotted = true;
    }

    /// May all of this stretch be missing?
    pub fn is_rot(&self, mut offsets: std::ops::Range<u64>) -> bool {
        offsets.all(|offset| self.rot.contains(&offset))
    }
}

/// What a group has committed for one log.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    pub acknowledged: Option<i64>,
    /// Sent since, without an answer.
    pub open: Vec<i64>,
}

/// A change of the catalog under way: it may or may not have happened.
#[derive(Clone, Debug)]
pub enum Wish {
    Create(String),
    Delete(String),
    Alter(String),
    Grow(String, u32),
}

/// How the last incarnation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Cleanly, or killed: what was written is there.
    Written,
    /// Without power: what was not synced may be gone.
    Power,
}

#[derive(Default)]
pub struct Model {
    pub sent: Vec<Sent>,
    pub groups: u32,
    pub logs: BTreeMap<LogId, Past>,
    pub streams: BTreeMap<String, Arc<Stream>>,
    pub wish: Option<Wish>,
    /// First producer ids of blocks of one that were given out.
    pub producers: BTreeSet<i64>,
    /// The numbers of the little ledger, by place, as acknowledged; and how many anyone has seen.
    pub kv: BTreeMap<usize, u64>,
    pub kv_seen: usize,
    /// What the keeper keeps.
    pub kept: Kept,
    /// What groups committed, by group and log.
    pub commits: BTreeMap<(String, LogId), Commit>,
    /// Appends may be refused for lack of room.
    pub full: bool,
    pub trace: Vec<String>,
    pub blamed: Vec<String>,
    pub now: i64,
    /// How much was done, to see that the simulation does something.
    pub reads: u64,
    pub acknowledged: u64,
}

impl Model {
    pub fn note(&mut self, what: String) {
        self.trace.push(format!("{:>8} {what}", self.now));
    }

    pub fn blame(&mut self, what: String) {
        self.note(format!("BLAME {what}"));
        self.blamed.push(what);
    }

    // ── sending

    pub fn new_group(&mut self) -> u32 {
        self.groups += 1;
        self.groups
    }

    /// Numbers for records about to be sent, in the order in which their writer sends them.
    pub fn send(&mut self, log: LogId, writer: u32, group: u32, sizes: &[usize], again: bool) -> std::ops::Range<Id> {
        let first = self.sent.len() as Id;
        for &value_bytes in sizes {
            self.send_one(log, writer, group, value_bytes, again, Writing::Log);
        }
        first..self.sent.len() as Id
    }

    /// A number for one record.
    pub fn send_one(
        &mut self,
        log: LogId,
        writer: u32,
        group: u32,
        value_bytes: usize,
        again: bool,
        by: Writing,
    ) -> Id {
        let end_before = self.logs.get(&log).map_or(0, |past| past.end);
        self.sent.push(Sent {
            log,
            writer,
            group,
            value_bytes,
            fate: Fate::Open,
            at: None,
            end_before,
            again,
            by,
            sent_at: self.now,
            arrived: None,
        });
        self.sent.len() as Id - 1
    }

    pub fn acknowledge(&mut self, log: LogId, ids: std::ops::Range<Id>, first: u64) {
        if !self.logs.contains_key(&log) {
            return;
        }
        for (delta, id) in ids.enumerate() {
            self.acknowledged += 1;
            self.stands(log, first + delta as u64, id);
            self.sent[id as usize].fate = Fate::Acknowledged;
        }
    }

    pub fn refuse(&mut self, ids: std::ops::Range<Id>) {
        for id in ids {
            self.sent[id as usize].fate = Fate::Refused;
        }
    }

    // ── reading

    /// A record was found in a log, by a reader or by its writer.
    fn stands(&mut self, log: LogId, offset: u64, id: Id) {
        let Some(past) = self.logs.get_mut(&log) else { return };
        past.end = past.end.max(offset + 1);
        let other = past.known.insert(offset, id).filter(|other| *other != id);
        let sent = &mut self.sent[id as usize];
        if sent.log == SOMEWHERE {
            sent.log = log;
        }
        let earlier = sent.at.replace(offset).filter(|at| *at != offset);
        let (fate, home) = (sent.fate, sent.log);
        if let Some(other) = other {
            self.blame(format!("log {log} offset {offset} held record {other}, now it holds {id}"));
        }
        if let Some(earlier) = earlier {
            self.blame(format!("log {log}: record {id} stands at {earlier} and at {offset}"));
        }
        if home != log {
            self.blame(format!("log {log} offset {offset}: record {id} was sent to log {home}"));
        }
        if matches!(fate, Fate::Refused | Fate::Gone) {
            self.blame(format!("log {log} offset {offset}: record {id} is there, and was {fate:?}"));
        }
    }

    /// A reader got these bytes at this offset.
    pub fn read(&mut self, log: LogId, offset: u64, key: Option<&[u8]>, value: Option<&[u8]>) -> Option<Id> {
        self.reads += 1;
        let id = value.and_then(id_of).filter(|id| (*id as usize) < self.sent.len());
        let Some(id) = id else {
            self.blame(format!("log {log} offset {offset}: nobody sent what stands there"));
            return None;
        };
        let sent = &self.sent[id as usize];
        let same = key == key_of(id, sent.by).as_deref() && value == Some(value_of(id, sent.value_bytes).as_slice());
        if !same {
            self.blame(format!("log {log} offset {offset}: the bytes of record {id} were changed"));
        }
        self.stands(log, offset, id);
        Some(id)
    }

    /// A Kinesis reader was shown this at the place its number says.
    pub fn shown(&mut self, log: LogId, offset: u64, key: &str, data: &[u8], arrived: i64) -> Option<Id> {
        let Some(id) = id_of(data).filter(|id| (*id as usize) < self.sent.len()) else {
            self.blame(format!("log {log} offset {offset}: nobody sent what Kinesis shows there"));
            return None;
        };
        let by = self.sent[id as usize].by;
        if key != shown_key(id, by) {
            let wanted = shown_key(id, by);
            self.blame(format!("log {log} offset {offset}: record {id} is shown with key {key:?}, not {wanted:?}"));
        }
        self.arrived(log, offset, id, arrived);
        self.read(log, offset, key_of(id, by).as_deref(), Some(data))
    }

    /// Somebody was told when a record arrived: after it was sent, and the same whoever asks, and when.
    pub fn arrived(&mut self, log: LogId, offset: u64, id: Id, arrived: i64) {
        let now = self.now;
        let sent = &mut self.sent[id as usize];
        let (sent_at, before) = (sent.sent_at, *sent.arrived.get_or_insert(arrived));
        if before != arrived || arrived < sent_at || arrived > now {
            self.blame(format!(
                "log {log} offset {offset}: record {id} was sent at {sent_at}, arrived at {before}, now at {arrived}"
            ));
        }
    }

    /// Somebody was told the bounds of a log.
    pub fn bounds(&mut self, log: LogId, bounds: Bounds) {
        let Some(past) = self.logs.get_mut(&log) else { return };
        let ordered = bounds.start <= bounds.committed && bounds.committed <= bounds.end;
        let (back, beyond) = (bounds.start.0 < past.start, !past.retains && bounds.start.0 > past.asked);
        let shorter = past.strict && bounds.end.0 < past.end;
        let before = (past.start, past.asked, past.end);
        // Retention by time gives up a record when it is as old as that, and not earlier.
        let given_up = past.known.range(past.start.max(past.asked)..bounds.start.0.max(past.start.max(past.asked)));
        let young = past.retention_ms.and_then(|ms| {
            let young = |id: &Id| self.sent[*id as usize].sent_at + ms > self.now;
            given_up.map(|(_, id)| *id).find(young)
        });
        past.start = past.start.max(bounds.start.0);
        past.end = past.end.max(bounds.end.0);
        if !ordered || back || beyond || shorter {
            self.blame(format!("log {log}: {bounds:?}, but (start, asked, end) were {before:?}"));
        }
        if let Some(id) = young {
            self.blame(format!("log {log}: retention gave up record {id} too early; {bounds:?}"));
        }
    }

    /// The same by a messenger who took his time: true at some moment since (start, end) were `before`.
    pub fn bounds_since(&mut self, log: LogId, bounds: Bounds, before: (u64, u64)) {
        let Some(past) = self.logs.get(&log) else { return };
        let strict = past.strict;
        let start = Offset(bounds.start.0.max(past.start));
        let end = Offset(bounds.end.0.max(past.end));
        let ordered = bounds.start <= bounds.committed && bounds.committed <= bounds.end;
        if !ordered || bounds.start.0 < before.0 || (strict && bounds.end.0 < before.1) {
            self.blame(format!("log {log}: {bounds:?}, but (start, end) were {before:?}"));
        }
        self.bounds(log, Bounds { start, committed: end, end });
    }

    // ── after a recovery

    /// Everything a log holds after a start, in order. `holes`: what the engine said is damaged.
    pub fn recovered(&mut self, log: LogId, bounds: Bounds, found: &[(u64, Id)], holes: &[(u64, u64)], ended: Ended) {
        let Some(past) = self.logs.get_mut(&log) else { return };
        // Damage at the end of a log takes the end with it, and other records will stand there.
        let cut = past.rot.range(bounds.end.0..).next().is_some();
        let may_lose = !past.strict && ended == Ended::Power || cut;
        let mut lost = Vec::new();
        let there: BTreeSet<u64> = found.iter().map(|(offset, _)| *offset).collect();
        let mut blames = Vec::new();
        for (&offset, &id) in past.known.range(bounds.start.0..) {
            let damaged = past.rot.contains(&offset);
            if there.contains(&offset) {
                continue;
            }
            if (!past.strict && may_lose && offset >= bounds.end.0) || damaged {
                lost.push((offset, id));
            } else {
                let fate = self.sent[id as usize].fate;
                blames.push(format!("log {log} offset {offset}: record {id} ({fate:?}) is lost; {bounds:?}"));
            }
        }
        if may_lose {
            past.end = bounds.end.0;
            past.rot.split_off(&bounds.end.0);
        }
        let mut next = bounds.start.0;
        for (first, end) in holes {
            if !past.is_rot(*first..*end) {
                blames.push(format!("log {log}: {first}..{end} is said to be damaged and is not"));
            }
        }
        for (offset, _) in found {
            if !past.is_rot(next..*offset) {
                blames.push(format!("log {log}: a hole from {next} to {offset}"));
            }
            next = offset + 1;
        }
        if !past.is_rot(next..bounds.end.0) {
            blames.push(format!("log {log}: nothing from {next} on, but it ends at {}", bounds.end));
        }
        for (offset, id) in lost {
            past.known.remove(&offset);
            self.sent[id as usize].at = None;
            self.sent[id as usize].arrived = None;
            self.sent[id as usize].fate = Fate::Gone;
        }
        // What was given up and whose frame was damaged nobody remembers: who sends it again has it placed anew.
        if let Some(past) = self.logs.get_mut(&log) {
            let forgotten: Vec<u64> = past.rot.range(..bounds.start.0).copied().collect();
            for id in forgotten.iter().filter_map(|offset| past.known.remove(offset)) {
                self.sent[id as usize].at = None;
                self.sent[id as usize].arrived = None;
            }
        }
        blames.into_iter().for_each(|blame| self.blame(blame));
        self.in_order(log, found);
    }

    /// Each writer's records stand in the order in which it sent them, each once.
    fn in_order(&mut self, log: LogId, found: &[(u64, Id)]) {
        let mut last: BTreeMap<u32, Id> = BTreeMap::new();
        for &(offset, id) in found {
            let writer = self.sent[id as usize].writer;
            if let Some(before) = last.insert(writer, id).filter(|before| *before >= id) {
                self.blame(format!("log {log} offset {offset}: record {id} stands behind {before} of the same writer"));
            }
        }
    }

    /// All logs have been looked at: what was not found is settled for good, and groups are whole or absent.
    pub fn settle_fates(&mut self, starts: &BTreeMap<LogId, u64>) {
        let mut groups: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
        for sent in &mut self.sent {
            let Some(start) = starts.get(&sent.log) else {
                // Wherever it was meant to go, it is not there.
                if sent.log == SOMEWHERE && sent.fate == Fate::Open {
                    sent.fate = Fate::Gone;
                }
                continue;
            };
            let rotten = self.logs.get(&sent.log).is_some_and(|past| past.rotted);
            if sent.fate == Fate::Open || sent.fate == Fate::Acknowledged {
                let counts = groups.entry(sent.group).or_default();
                match sent.at {
                    Some(_) => counts.0 += 1,
                    // It may have been there and given up since.
                    None if *start <= sent.end_before && !rotten => counts.1 += 1,
                    None => {}
                }
            }
            if sent.fate == Fate::Open && sent.at.is_none() && !sent.again {
                sent.fate = Fate::Gone;
            }
        }
        for (group, (there, absent)) in groups {
            if there > 0 && absent > 0 {
                self.blame(format!("group {group} is torn: {there} of its records are there and {absent} are not"));
            }
        }
    }

    /// What the catalog says after a start, against what was acknowledged and seen.
    pub fn catalog(&mut self, catalog: &Catalog, shown: impl Fn(&Stream) -> bool) {
        let wish = self.wish.take();
        let names: BTreeSet<String> = self
            .streams
            .keys()
            .cloned()
            .chain(catalog.streams().filter(|s| shown(s)).map(|s| s.name.to_string()))
            .collect();
        for name in names {
            let (before, after) = (self.streams.get(&name).cloned(), catalog.stream(&name).cloned());
            if before == after {
                continue;
            }
            let fits = match (&wish, &before, &after) {
                (Some(Wish::Create(of)), None, Some(_)) => *of == name,
                (Some(Wish::Delete(of)), Some(_), None) => *of == name,
                (Some(Wish::Alter(of)), Some(b), Some(a)) => *of == name && b.id == a.id && b.logs == a.logs,
                (Some(Wish::Grow(of, logs)), Some(b), Some(a)) => {
                    *of == name && b.id == a.id && a.logs.len() == *logs as usize && a.logs.starts_with(&b.logs)
                }
                _ => false,
            };
            if !fits {
                self.blame(format!("stream {name} was {before:?}, now it is {after:?} ({wish:?})"));
            }
            match after {
                Some(stream) => self.adopt(&stream),
                None => self.drop_stream(&name),
            }
        }
    }

    /// The stream exists, as acknowledged or seen.
    pub fn adopt(&mut self, stream: &Arc<Stream>) {
        let before = self.streams.get(&*stream.name).filter(|before| before.id == stream.id).cloned();
        for log in &stream.logs {
            let past = self.logs.entry(*log).or_default();
            past.grown |= before.as_ref().is_some_and(|before| !before.logs.contains(log));
            past.stream = stream.name.to_string();
            past.strict = !stream.settings.contains_key("flush.ms");
            // Once is enough: what it gave up is gone.
            past.retains |= stream.settings.keys().any(|key| key.starts_with("retention."));
            past.retention_ms = stream.settings.get("retention.ms").and_then(|ms| ms.parse().ok());
        }
        self.streams.insert(stream.name.to_string(), stream.clone());
    }

    pub fn drop_stream(&mut self, name: &str) {
        if let Some(stream) = self.streams.remove(name) {
            for log in &stream.logs {
                self.logs.remove(log);
                self.commits.retain(|(_, of), _| of != log);
            }
        }
    }

    // ── committed positions

    pub fn commit(&mut self, group: &str, log: LogId, offset: i64) {
        self.commits.entry((group.to_string(), log)).or_default().open.push(offset);
    }

    pub fn committed(&mut self, group: &str, log: LogId, offset: i64) {
        let commit = self.commits.entry((group.to_string(), log)).or_default();
        *commit = Commit { acknowledged: Some(offset), open: Vec::new() };
    }

    /// Somebody asked what a group has committed; -1 is nothing.
    pub fn fetched_commit(&mut self, group: &str, log: LogId, offset: i64) {
        let commit = self.commits.entry((group.to_string(), log)).or_default();
        let begun = offset == 0 && commit.acknowledged.is_none() && self.logs.get(&log).is_some_and(|past| past.grown);
        let fits = offset == commit.acknowledged.unwrap_or(-1) || commit.open.contains(&offset) || begun;
        let before = commit.clone();
        *commit = Commit { acknowledged: Some(offset).filter(|offset| *offset >= 0), open: Vec::new() };
        if !fits {
            self.blame(format!("group {group} has committed {offset} of log {log}, and sent {before:?}"));
        }
    }

    /// Is somebody deleting this log's stream, or has he?
    pub fn going(&self, log: LogId) -> bool {
        match self.logs.get(&log) {
            None => true,
            Some(past) => matches!(&self.wish, Some(Wish::Delete(name)) if *name == past.stream),
        }
    }
}
