//! Those who use the engine: writers of several kinds, readers, trimmers, somebody who changes streams, and somebody who
//! counts with a ledger. What they send and are told goes into the model. They survive crashes; their connections do not.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use interfluve::engine::catalog::{Born, Create, Kind, Stream};
use interfluve::engine::ledgers::Ledger;
use interfluve::engine::{
    Change, Changed, Engine, Error, Fetch, Group, Origin, Page, Part, Permit, Placed, Read, Refused, Until,
};
use interfluve::ids::{LogId, Offset, StreamId, Timestamp};
use interfluve::record::batch::{self, Batch};
use interfluve::record::build::{Builder, NewRecord, Producer};
use interfluve::record::compress::{Codec, Limits};
use interfluve::record::records;
use interfluve::store::memory::MemDisk;

use crate::dice::Dice;
use crate::keeper::KEPT;
use crate::kv::{Command, Numbers};
use crate::model::{Id, Model, Wish};
use crate::records::{Writing, key_of, value_of};

/// The stream of the little ledger; nobody but its machine writes there.
pub const NUMBERS: &str = "numbers";
const LIMITS: Limits = Limits { max_bytes: 1 << 20, max_ratio: 1000 };

/// What every actor is given.
#[derive(Clone)]
pub struct Stage {
    pub engine: Arc<Engine>,
    pub model: Arc<Mutex<Model>>,
    pub disk: MemDisk,
    /// Things an actor does before it goes home.
    pub acts: u64,
    /// Is this the liveness phase: no faults, nothing may be refused for lack of anything?
    pub calm: bool,
}

impl Stage {
    pub fn model(&self) -> MutexGuard<'_, Model> {
        let mut model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        model.now = self.engine.clock().now().0;
        model
    }

    pub async fn pause(&self, most_ms: u64, dice: &mut Dice) {
        let until = self.now().plus_ms(dice.range(1, most_ms) as i64);
        self.engine.clock().sleep_until(until).await;
    }

    pub fn now(&self) -> Timestamp {
        self.engine.clock().now()
    }

    /// Streams that clients write.
    pub fn streams(&self) -> Vec<Arc<Stream>> {
        self.engine.catalog().streams().filter(|s| is_common(s)).cloned().collect()
    }

    pub fn some_log(&self, dice: &mut Dice) -> Option<(Arc<Stream>, u32)> {
        let streams = self.streams();
        if streams.is_empty() {
            return None;
        }
        let stream = dice.pick(&streams).clone();
        let number = dice.below(stream.logs.len() as u64) as u32;
        Some((stream, number))
    }
}

/// Whether everybody may write there.
pub fn is_common(stream: &Stream) -> bool {
    stream.kind == Kind::Client && &*stream.name != KEPT
}

pub fn sizes(dice: &mut Dice) -> Vec<usize> {
    let records = if dice.percent(60) { 1 } else { dice.range(1, 6) };
    (0..records)
        .map(|_| match dice.below(20) {
            0 => dice.range(1_000, 6_000) as usize,
            1..=5 => dice.range(200, 1_000) as usize,
            _ => dice.range(8, 200) as usize,
        })
        .collect()
}

pub fn build(ids: std::ops::Range<Id>, sizes: &[usize], now: Timestamp, codec: Codec, producer: Producer) -> Batch {
    let mut builder = Builder::new(codec).producer(producer);
    for (id, bytes) in ids.zip(sizes) {
        let (key, value) = (key_of(id, Writing::Log), value_of(id, *bytes));
        builder.push(&NewRecord { timestamp: now, key: key.as_deref(), value: Some(&value), headers: &[] });
    }
    builder.finish()
}

pub fn codec(dice: &mut Dice) -> Codec {
    match dice.below(10) {
        0 => Codec::Lz4,
        1 => Codec::Zstd,
        2 => Codec::Gzip,
        _ => Codec::None,
    }
}

/// What an answer to an append means for its records, whoever sent them. `shard`: it named a shard.
fn judge(
    stage: &Stage,
    what: &str,
    logs: &[LogId],
    answer: &Result<Vec<Placed>, Refused>,
    parts: &[std::ops::Range<Id>],
) {
    let mut model = stage.model();
    match answer {
        Ok(placed) => {
            for ((part, placed), log) in parts.iter().zip(placed).zip(logs) {
                model.note(format!("{what} log {log} {part:?} at {}{}", placed.first, dup(placed)));
                model.acknowledge(*log, part.clone(), placed.first.0);
            }
        }
        Err(Refused { error: Error::LaneFailed, .. }) => model.note(format!("{what} {parts:?} unknown")),
        Err(Refused { part, error }) => {
            model.note(format!("{what} {parts:?} refused: {error}"));
            let log = logs.get(*part).copied().unwrap_or(logs[0]);
            let expected = match error {
                Error::NoSuchLog => model.going(log),
                Error::ShardClosed { .. } => what == "group",
                Error::Full | Error::Overloaded => model.full && !stage.calm,
                Error::ShuttingDown => true,
                _ => false,
            };
            if !expected {
                model.blame(format!("{what} of {parts:?} to {logs:?} was refused: {error}"));
            }
            parts.iter().for_each(|part| model.refuse(part.clone()));
        }
    }
}

fn dup(placed: &Placed) -> &'static str {
    if placed.duplicate { " (again)" } else { "" }
}

// ── a writer who does not care

pub struct Plain {
    pub name: u32,
    pub dice: Dice,
}

impl Plain {
    pub async fn act(&mut self, stage: Stage) {
        for _ in 0..stage.acts {
            let burst = if self.dice.percent(70) { 1 } else { self.dice.range(2, 8) };
            let mut waiting = Vec::new();
            for _ in 0..burst {
                let Some((stream, number)) = stage.some_log(&mut self.dice) else { break };
                let log = stream.logs[number as usize];
                let sizes = sizes(&mut self.dice);
                let ids = {
                    let mut model = stage.model();
                    let group = model.new_group();
                    model.note(format!("w{} sends {} to log {log}", self.name, sizes.len()));
                    model.send(log, self.name, group, &sizes, false)
                };
                let batch = build(ids.clone(), &sizes, stage.now(), codec(&mut self.dice), Producer::NONE);
                let bytes = batch.bytes.len() as u32;
                let permit = stage.engine.admit(bytes).await;
                let part = Part::new(log, batch);
                let group = Group { parts: vec![part], origin: Origin::Client };
                waiting.push((log, ids, stage.engine.append(group, permit)));
            }
            for (log, ids, receipt) in waiting {
                let answer = receipt.await;
                judge(&stage, "append", &[log], &answer, &[ids]);
            }
            stage.pause(30, &mut self.dice).await;
        }
    }
}

// ── a writer of groups: all or none, and by shard

pub struct Grouper {
    pub name: u32,
    pub dice: Dice,
}

impl Grouper {
    pub async fn act(&mut self, stage: Stage) {
        for _ in 0..stage.acts {
            let parts = self.dice.range(2, 5);
            let by_shard = self.dice.percent(50);
            let (mut group, mut logs, mut all) = (Vec::new(), Vec::new(), Vec::new());
            let number = stage.model().new_group();
            for _ in 0..parts {
                let Some((stream, place)) = stage.some_log(&mut self.dice) else { break };
                let log = stream.logs[place as usize];
                let open = stream.shards.iter().find(|s| s.log == place && s.end.is_none()).map(|s| s.no);
                let sizes = sizes(&mut self.dice);
                let ids = stage.model().send(log, self.name, number, &sizes, false);
                let batch = build(ids.clone(), &sizes, stage.now(), Codec::None, Producer::NONE);
                group.push(Part { shard: open.filter(|_| by_shard), ..Part::new(log, batch) });
                logs.push(log);
                all.push(ids);
            }
            if !group.is_empty() {
                stage.model().note(format!("w{} sends group {number} to {logs:?}", self.name));
                let group = Group { parts: group, origin: Origin::Client };
                let answer = stage.engine.append(group, Permit::default()).await;
                judge(&stage, "group", &logs, &answer, &all);
            }
            stage.pause(40, &mut self.dice).await;
        }
    }
}

// ── an idempotent producer: at most five batches under way, sent again until it knows

pub struct Idempotent {
    pub name: u32,
    pub dice: Dice,
    pub id: Option<i64>,
    pub logs: BTreeMap<LogId, Line>,
}

#[derive(Default)]
pub struct Line {
    epoch: i16,
    next_sequence: i32,
    /// Sent, not known to be there.
    open: VecDeque<Numbered>,
    /// Acknowledged, with their place.
    done: VecDeque<(Numbered, u64)>,
}

#[derive(Clone)]
struct Numbered {
    ids: std::ops::Range<Id>,
    batch: Batch,
}

impl Idempotent {
    pub async fn act(&mut self, stage: Stage) {
        let id = match self.id {
            Some(id) => id,
            None => {
                let changed = stage.engine.change(vec![Change::ProducerIds { count: 1 }]).await.remove(0);
                let Ok(Changed::ProducerIds { first, .. }) = changed else { return };
                let mut model = stage.model();
                model.note(format!("w{} is producer {first}", self.name));
                if !model.producers.insert(first) {
                    model.blame(format!("producer id {first} was given out twice"));
                }
                self.id = Some(first);
                first
            }
        };
        let live: Vec<LogId> = stage.streams().iter().flat_map(|s| s.logs.clone()).collect();
        self.logs.retain(|log, _| live.contains(log));
        let known: Vec<LogId> = self.logs.keys().copied().collect();
        for log in known {
            self.send_open(&stage, log).await;
        }
        for _ in 0..stage.acts {
            let Some((stream, number)) = stage.some_log(&mut self.dice) else { return };
            let log = stream.logs[number as usize];
            let line = self.logs.entry(log).or_default();
            if self.dice.percent(25) && !line.done.is_empty() {
                self.repeat(&stage, log).await;
            } else {
                for _ in 0..self.dice.range(1, 5) {
                    self.number(&stage, log, id);
                }
                self.send_open(&stage, log).await;
            }
            stage.pause(50, &mut self.dice).await;
        }
    }

    fn number(&mut self, stage: &Stage, log: LogId, id: i64) {
        let sizes = sizes(&mut self.dice);
        let line = self.logs.entry(log).or_default();
        let mut model = stage.model();
        let group = model.new_group();
        let ids = model.send(log, self.name, group, &sizes, true);
        drop(model);
        let producer = Producer { id, epoch: line.epoch, sequence: line.next_sequence };
        line.next_sequence += sizes.len() as i32;
        let batch = build(ids.clone(), &sizes, stage.now(), Codec::None, producer);
        line.open.push_back(Numbered { ids, batch });
    }

    /// Sends everything open, in order, and takes the answers in order.
    async fn send_open(&mut self, stage: &Stage, log: LogId) {
        let Some(line) = self.logs.get_mut(&log) else { return };
        let receipts: Vec<_> =
            line.open.iter().map(|n| stage.engine.append(single(log, &n.batch), Permit::default())).collect();
        let mut refused = false;
        for receipt in receipts {
            let answer = receipt.await;
            let Some(numbered) = line.open.front().cloned() else { return };
            let lossy = stage.model().logs.get(&log).is_some_and(|past| !past.strict || past.rotted);
            match &answer {
                Ok(_) => {
                    judge(stage, "again", &[log], &answer, std::slice::from_ref(&numbered.ids));
                    line.open.pop_front();
                    let first = answer.map_or(0, |placed| placed[0].first.0);
                    line.done.push_back((numbered, first));
                    if line.done.len() > 5 {
                        line.done.pop_front();
                    }
                }
                Err(Refused { error: Error::Sequence(_), .. }) if lossy || refused => {
                    // The log lost what came before: begin anew in the next epoch.
                    refused = true;
                    stage.model().refuse(numbered.ids);
                    line.open.pop_front();
                }
                Err(Refused { error: Error::LaneFailed, .. }) => return,
                Err(Refused { error: Error::Full, .. }) => {
                    // What follows may pass, as soon as there is room, and is refused as out of order: send all again.
                    judge(stage, "again", &[log], &answer, std::slice::from_ref(&numbered.ids));
                    refused = true;
                    line.open.pop_front();
                }
                Err(_) => {
                    judge(stage, "again", &[log], &answer, std::slice::from_ref(&numbered.ids));
                    line.open.pop_front();
                }
            }
        }
        if refused {
            line.epoch += 1;
            line.next_sequence = 0;
            line.done.clear();
        }
    }

    /// Sends one of the last five again, as if its answer had been lost.
    async fn repeat(&mut self, stage: &Stage, log: LogId) {
        let Some(line) = self.logs.get_mut(&log) else { return };
        let which = self.dice.below(line.done.len() as u64) as usize;
        let (numbered, first) = line.done[which].clone();
        let answer = stage.engine.append(single(log, &numbered.batch), Permit::default()).await;
        let mut model = stage.model();
        model.note(format!("w{} repeats {:?} at {first}: {answer:?}", self.name, numbered.ids));
        let strict = model.logs.get(&log).is_some_and(|past| past.strict && !past.rotted);
        match answer {
            Ok(placed) if placed[0].duplicate && placed[0].first.0 == first => {}
            Err(Refused { error: Error::NoSuchLog, .. }) if model.going(log) => {}
            Err(Refused { error: Error::LaneFailed | Error::ShuttingDown, .. }) => {}
            Err(Refused { error: Error::Full, .. }) if model.full => {}
            // A relaxed log may have lost it; then it is written again and stands at another place.
            other if !strict => {
                if let Ok(placed) = other {
                    let at = placed[0].first.0;
                    for id in numbered.ids.clone() {
                        model.sent[id as usize].fate = crate::model::Fate::Open;
                    }
                    model.acknowledge(log, numbered.ids.clone(), at);
                    line.done[which].1 = at;
                }
                drop(model);
                line.epoch += 1;
                line.next_sequence = 0;
                line.done.clear();
            }
            other => {
                model.blame(format!("log {log}: {:?}, acknowledged at {first}, repeated: {other:?}", numbered.ids))
            }
        }
    }
}

fn single(log: LogId, batch: &Batch) -> Group {
    Group { parts: vec![Part::new(log, batch.clone())], origin: Origin::Client }
}

// ── readers

pub struct Reader {
    pub dice: Dice,
    pub at: BTreeMap<LogId, u64>,
}

impl Reader {
    pub async fn act(&mut self, stage: Stage) {
        for _ in 0..stage.acts {
            let mut logs = Vec::new();
            for _ in 0..self.dice.range(1, 4) {
                if let Some((stream, number)) = stage.some_log(&mut self.dice) {
                    let log = stream.logs[number as usize];
                    if !logs.contains(&log) {
                        logs.push(log);
                    }
                }
            }
            let max_bytes = self.dice.range(1, 5_000) as usize;
            let until = if self.dice.percent(50) { Until::End } else { Until::Committed };
            let reads: Vec<Read> = logs
                .iter()
                .map(|log| Read { log: *log, from: Offset(self.at.get(log).copied().unwrap_or(0)), max_bytes, until })
                .collect();
            let deadline = stage.now().plus_ms(self.dice.range(0, 60) as i64);
            let want = Fetch { reads, min_bytes: self.dice.below(2) as usize, max_bytes: 8_000, deadline };
            let pages = stage.engine.fetch(want).await;
            for (log, page) in logs.into_iter().zip(pages) {
                self.take(&stage, log, page);
            }
            stage.pause(20, &mut self.dice).await;
        }
    }

    fn take(&mut self, stage: &Stage, log: LogId, page: Result<Page, Error>) {
        let mut model = stage.model();
        let at = self.at.entry(log).or_default();
        match page {
            Ok(page) => {
                model.bounds(log, page.bounds);
                let mut next = *at;
                for stored in &page.batches {
                    let (base, found) = open(&mut model, log, &stored.bytes);
                    let end = base + found;
                    let fits = if next == *at { base <= next && next < end } else { base == next };
                    let rot = model.logs.get(&log).is_some_and(|past| base > next && past.is_rot(next..base));
                    if !fits && !rot {
                        model.blame(format!("log {log}: asked for {next}, got {base}..{end}"));
                    }
                    next = end;
                }
                if next != *at {
                    model.note(format!("read log {log} {at}..{next}"));
                }
                *at = next;
            }
            Err(Error::OutOfRange(bounds)) => {
                model.bounds(log, bounds);
                model.note(format!("read log {log} {at} outside {bounds:?}"));
                *at = bounds.start.0;
            }
            // Without power nothing can be read.
            Err(Error::Unreadable { .. }) if stage.disk.is_off() => {}
            Err(Error::Corrupt { first, end }) => {
                if model.logs.get(&log).is_some_and(|past| !past.is_rot(first.0..end.0)) {
                    model.blame(format!("log {log}: {first}..{end} is said to be damaged and is not"));
                }
                *at = end.0;
            }
            Err(Error::LaneFailed | Error::ShuttingDown) => {}
            Err(Error::NoSuchLog) if model.going(log) => {}
            Err(other) => model.blame(format!("log {log}: reading at {at} failed: {other}")),
        }
    }
}

/// Tells the model of a batch's records; says its base and how many there are.
pub fn open(model: &mut Model, log: LogId, bytes: &bytes::Bytes) -> (u64, u64) {
    let batch = match batch::check(bytes.clone()) {
        Ok(batch) => batch,
        Err(e) => {
            model.blame(format!("log {log}: a batch was handed out that is none: {e:?}"));
            return (0, 0);
        }
    };
    let base = batch.header.base_offset as u64;
    match records::iterate(&batch, LIMITS) {
        Ok(iter) => {
            for record in iter {
                let Ok(record) = record else { continue };
                model.read(log, base + record.offset_delta as u64, record.key.as_deref(), record.value.as_deref());
            }
        }
        Err(e) => model.blame(format!("log {log} offset {base}: cannot be opened: {e:?}")),
    }
    (base, batch.header.offsets())
}

// ── those who give up records

pub struct Trimmer {
    pub dice: Dice,
}

impl Trimmer {
    pub async fn act(&mut self, stage: Stage) {
        for _ in 0..stage.acts.div_ceil(4) {
            stage.pause(150, &mut self.dice).await;
            let Some((stream, number)) = stage.some_log(&mut self.dice) else { continue };
            let log = stream.logs[number as usize];
            let Ok(bounds) = stage.engine.bounds(log) else { continue };
            let below = match self.dice.below(4) {
                0 => bounds.end.0,
                _ => self.dice.range(bounds.start.0, bounds.end.0),
            };
            {
                let mut model = stage.model();
                model.note(format!("trim log {log} below {below}"));
                if let Some(past) = model.logs.get_mut(&log) {
                    past.asked = past.asked.max(below);
                }
            }
            let answer = stage.engine.trim(log, Offset(below)).await;
            let mut model = stage.model();
            match answer {
                Ok(told) => {
                    model.note(format!("trimmed log {log}: {told:?}"));
                    if told.start.0 < below {
                        model.blame(format!("log {log}: trimmed below {below}, told {told:?}"));
                    }
                    if let Some(past) = model.logs.get_mut(&log) {
                        past.start = past.start.max(told.start.0);
                    }
                }
                Err(Error::LaneFailed | Error::ShuttingDown) => {}
                Err(Error::NoSuchLog) if model.going(log) => {}
                Err(Error::Full) if model.full => {}
                Err(other) => model.blame(format!("log {log}: trimming failed: {other}")),
            }
        }
    }
}

// ── somebody who changes streams, one change at a time

pub struct Admin {
    pub dice: Dice,
    pub made: u32,
}

/// Most streams at one time, and most logs of one.
const STREAMS: usize = 4;
const LOGS: usize = 6;

impl Admin {
    pub async fn act(&mut self, stage: Stage) {
        for _ in 0..stage.acts.div_ceil(6) {
            let streams = stage.streams();
            if streams.is_empty() || (streams.len() < STREAMS && self.dice.percent(40)) {
                self.create(&stage).await;
            } else {
                let stream = self.dice.pick(&streams).clone();
                let (name, id) = (stream.name.to_string(), stream.id);
                match self.dice.below(10) {
                    0 => change(&stage, Wish::Delete(name), Change::Delete { id }).await,
                    1..=3 if stream.logs.len() < LOGS => {
                        let logs = stream.logs.len() as u32 + self.dice.range(1, 2) as u32;
                        change(&stage, Wish::Grow(name, logs), Change::Grow { id, logs }).await;
                    }
                    _ => self.alter(&stage, name, id).await,
                }
            }
            stage.pause(200, &mut self.dice).await;
        }
    }

    pub async fn create(&mut self, stage: &Stage) {
        self.made += 1;
        let name = format!("s{}", self.made);
        let mut settings = BTreeMap::new();
        let mut set = |key: &str, value: String| drop(settings.insert(key.to_string(), value));
        if self.dice.percent(25) {
            set("flush.ms", self.dice.range(1, 50).to_string());
        }
        if self.dice.percent(60) {
            set("segment.ms", self.dice.range(1, 400).to_string());
        }
        if self.dice.percent(20) {
            set("retention.ms", self.dice.range(50, 1500).to_string());
        } else if self.dice.percent(20) {
            set("retention.bytes", self.dice.range(100, 8_000).to_string());
        }
        if self.dice.percent(10) {
            set("message.timestamp.type", "LogAppendTime".to_string());
        }
        let create = Create {
            name: name.clone(),
            born: if self.dice.percent(50) { Born::Kafka } else { Born::Kinesis },
            kind: Kind::Client,
            logs: self.dice.range(1, 3) as u32,
            settings,
            placement: None,
            creating_ms: 0,
        };
        change(stage, Wish::Create(name), Change::Create(create)).await;
    }

    async fn alter(&mut self, stage: &Stage, name: String, id: StreamId) {
        let value = (!self.dice.percent(30)).then(|| self.dice.range(1, 500).to_string());
        let set = BTreeMap::from([("segment.ms".to_string(), value)]);
        change(stage, Wish::Alter(name), Change::Alter { id, set }).await;
    }
}

pub async fn change(stage: &Stage, wish: Wish, change: Change) {
    {
        let mut model = stage.model();
        model.note(format!("change {wish:?}"));
        model.wish = Some(wish.clone());
    }
    let answer = stage.engine.change(vec![change]).await.remove(0);
    let mut model = stage.model();
    match answer {
        Ok(Changed::Created(stream) | Changed::Altered(stream) | Changed::Grown(stream)) => {
            model.note(format!("changed {}: {:?} {:?}", stream.name, stream.logs, stream.settings));
            model.adopt(&stream);
            model.wish = None;
        }
        Ok(Changed::Deleted(stream)) => {
            model.note(format!("deleted {}", stream.name));
            model.drop_stream(&stream.name);
            model.wish = None;
        }
        Ok(Changed::ProducerIds { .. }) => model.wish = None,
        Err(Error::LaneFailed | Error::ShuttingDown) => model.note("change unknown".into()),
        Err(other) => {
            if !(matches!(other, Error::Full) && model.full) {
                model.blame(format!("{wish:?} failed: {other}"));
            }
            model.wish = None;
        }
    }
}

// ── somebody who counts

pub struct Counter {
    pub dice: Dice,
    pub next: u64,
}

impl Counter {
    pub async fn act(&mut self, stage: Stage, numbers: Ledger<Numbers>) {
        for _ in 0..stage.acts {
            let count = self.dice.percent(30);
            self.next += 1;
            let command = if count { Command::Count } else { Command::Put(self.next) };
            let answer = numbers.ask(command).await;
            if !self.take(&mut stage.model(), count, answer) {
                return;
            }
            stage.pause(60, &mut self.dice).await;
        }
    }

    fn take(&self, model: &mut Model, count: bool, answer: Result<usize, Error>) -> bool {
        match answer {
            Ok(seen) if count => {
                if seen < model.kv_seen {
                    let before = model.kv_seen;
                    model.blame(format!("the ledger counted {before}, now {seen}"));
                }
                model.kv_seen = model.kv_seen.max(seen);
            }
            Ok(place) => {
                model.note(format!("number {} at {place}", self.next));
                let number = self.next;
                if model.kv.insert(place, number).is_some() {
                    model.blame(format!("the ledger gave place {place} twice"));
                }
                model.kv_seen = model.kv_seen.max(place + 1);
            }
            Err(Error::LaneFailed | Error::ShuttingDown) => return false,
            Err(other) => model.blame(format!("the ledger failed: {other}")),
        }
        true
    }
}
