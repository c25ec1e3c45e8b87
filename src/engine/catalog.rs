//! The catalog: streams, their logs, shards and settings. An immutable picture that is replaced at every change; the
//! changes are decided here, as a machine whose memory is the `__catalog` log.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use super::Error;
pub use super::notes::Note;
use crate::config::stream::{PlacementRule, StreamSettings};
use crate::ids::{LogId, Offset, ShardNo, StreamId, Timestamp};
use crate::ledger::{Input, Machine, NoEffect, Step};

/// All streams at one instant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    by_id: imbl::OrdMap<StreamId, Arc<Stream>>,
    by_name: imbl::OrdMap<Arc<str>, Arc<Stream>>,
    /// The latest creation second of any shard a name has had, deleted streams included.
    seconds: imbl::OrdMap<Arc<str>, u64>,
    next_log: u64,
    next_producer: i64,
}

/// Log ids below this one are the engine's own.
pub const FIRST_LOG: u64 = 16;
/// The log of the catalog itself.
pub const CATALOG_LOG: LogId = LogId(0);
/// The most logs a stream may have.
pub const MAX_LOGS: u32 = 100_000;
/// A name is a file name nowhere, but it has to end somewhere.
pub const MAX_NAME_BYTES: usize = 255;

/// A named set of logs.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    pub id: StreamId,
    pub name: Arc<str>,
    pub kind: Kind,
    pub born: Born,
    pub created: Timestamp,
    /// When the stream becomes usable (CREATING before it, ACTIVE from then on).
    pub active_from: Timestamp,
    /// Log number `p` of the stream: what one face calls partition `p`.
    pub logs: Vec<LogId>,
    /// All shards that still hold records or are open, by number.
    pub shards: Vec<Shard>,
    pub placement: Placement,
    /// What the owner set, by its configuration name (`retention.ms`); everything else is default.
    pub settings: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Client,
    /// Ours, shown to readers of one face and written by no client (`__consumer_offsets`).
    Shown,
    /// Ours, invisible.
    Hidden,
}

/// Which face created the stream; decides defaults (`house.md` §6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Born {
    /// 168 h, placement `murmur2`.
    Kafka,
    /// 24 h, placement by MD5 key ranges.
    Kinesis,
}

/// Where a record goes whose writer gives a key but no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// murmur2 of the key, modulo the number of logs.
    Murmur2,
    /// MD5 of the key into the shards' key ranges.
    KeyRange,
}

/// A stretch [start, end) of one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shard {
    pub no: ShardNo,
    /// Index into [`Stream::logs`].
    pub log: u32,
    pub start: Offset,
    /// `None` while open.
    pub end: Option<Offset>,
    /// First and last 128-bit key hash it owns, both inclusive.
    pub first_key: u128,
    pub last_key: u128,
    pub parents: Vec<ShardNo>,
    /// Creation second: greater than its parents' and than any earlier shard of the same stream name.
    pub created_s: u64,
}

#[derive(Clone, Debug)]
pub enum Change {
    Create(Create),
    Delete {
        id: StreamId,
    },
    /// `None` takes a setting back to its default.
    Alter {
        id: StreamId,
        set: BTreeMap<String, Option<String>>,
    },
    /// More logs (never fewer): `logs` in all.
    Grow {
        id: StreamId,
        logs: u32,
    },
    /// A block of producer ids that nobody else will be given.
    ProducerIds {
        count: u32,
    },
}

#[derive(Clone, Debug)]
pub struct Create {
    pub name: String,
    pub born: Born,
    pub kind: Kind,
    pub logs: u32,
    pub settings: BTreeMap<String, String>,
    /// `None`: by birth.
    pub placement: Option<Placement>,
    /// How long it stays CREATING.
    pub creating_ms: i64,
}

#[derive(Clone, Debug)]
pub enum Changed {
    Created(Arc<Stream>),
    Deleted(Arc<Stream>),
    Altered(Arc<Stream>),
    Grown(Arc<Stream>),
    ProducerIds { first: i64, count: u32 },
}

impl Catalog {
    pub fn stream(&self, name: &str) -> Option<&Arc<Stream>> {
        self.by_name.get(name)
    }

    pub fn stream_by_id(&self, id: StreamId) -> Option<&Arc<Stream>> {
        self.by_id.get(&id)
    }

    /// All streams, sorted by name.
    pub fn streams(&self) -> impl Iterator<Item = &Arc<Stream>> {
        self.by_name.values()
    }

    /// Whether `change` would be accepted now, without making it.
    pub fn check(&self, change: &Change) -> Result<(), Error> {
        let ask = Ask { change: change.clone(), id: StreamId(0), cuts: Vec::new() };
        match &change {
            Change::Grow { id, logs } => self.check_grow(*id, *logs).map(drop),
            _ => self.decide(&ask, Timestamp(0)).map(drop),
        }
    }

    /// The shards that growing a stream to `logs` logs would split, in order: each split opens one more log.
    pub fn plan_grow(&self, id: StreamId, logs: u32) -> Result<Vec<LogId>, Error> {
        let stream = self.check_grow(id, logs)?;
        Ok(stream.logs.clone())
    }

    fn check_grow(&self, id: StreamId, logs: u32) -> Result<&Arc<Stream>, Error> {
        let stream = self.by_id.get(&id).ok_or(Error::NoSuchStream)?;
        if logs as usize <= stream.logs.len() {
            return Err(Error::Invalid(format!("the stream {} has {} logs already", stream.name, stream.logs.len())));
        }
        if logs > MAX_LOGS {
            return Err(Error::Invalid(format!("a stream has at most {MAX_LOGS} logs, not {logs}")));
        }
        Ok(stream)
    }

    /// What a change would write and answer.
    fn decide(&self, ask: &Ask, now: Timestamp) -> Result<(Vec<Note>, Changed), Error> {
        match &ask.change {
            Change::Create(create) => self.create(create, ask.id, now),
            Change::Delete { id } => {
                let stream = self.by_id.get(id).ok_or(Error::NoSuchStream)?;
                Ok((vec![Note::Gone(stream.id)], Changed::Deleted(stream.clone())))
            }
            Change::Alter { id, set } => {
                let stream = self.by_id.get(id).ok_or(Error::NoSuchStream)?;
                let mut settings = stream.settings.clone();
                for (key, value) in set {
                    match value {
                        Some(value) => drop(settings.insert(key.clone(), value.clone())),
                        None => drop(settings.remove(key)),
                    }
                }
                let parsed = parse(&settings)?;
                let placement = placement(&parsed).unwrap_or(stream.placement);
                let changed = Arc::new(Stream { settings, placement, ..Stream::clone(stream) });
                Ok((vec![Note::Stream(changed.clone())], Changed::Altered(changed)))
            }
            Change::Grow { id, logs } => self.grow(self.check_grow(*id, *logs)?, *logs, &ask.cuts, now),
            Change::ProducerIds { count } => {
                let first = self.next_producer;
                let next = first.checked_add(i64::from(*count)).ok_or(Error::Overloaded)?;
                Ok((vec![Note::Producers(next)], Changed::ProducerIds { first, count: *count }))
            }
        }
    }

    fn create(&self, create: &Create, id: StreamId, now: Timestamp) -> Result<(Vec<Note>, Changed), Error> {
        if create.name.is_empty() || create.name.len() > MAX_NAME_BYTES {
            return Err(Error::Invalid(format!("a stream's name has 1 to {MAX_NAME_BYTES} bytes")));
        }
        if self.by_name.contains_key(create.name.as_str()) {
            return Err(Error::StreamExists);
        }
        if create.logs == 0 || create.logs > MAX_LOGS {
            return Err(Error::Invalid(format!("a stream has 1 to {MAX_LOGS} logs, not {}", create.logs)));
        }
        let parsed = parse(&create.settings)?;
        let name: Arc<str> = create.name.as_str().into();
        let created_s = self.next_second(&name, now);
        let first_log = self.next_log.max(FIRST_LOG);
        let by_birth = match create.born {
            Born::Kafka => Placement::Murmur2,
            Born::Kinesis => Placement::KeyRange,
        };
        let shards = (0..create.logs).map(|n| {
            let (first_key, last_key) = key_range(n, create.logs);
            let no = ShardNo(n);
            Shard { no, log: n, start: Offset(0), end: None, first_key, last_key, parents: Vec::new(), created_s }
        });
        let stream = Arc::new(Stream {
            id,
            name,
            kind: create.kind,
            born: create.born,
            created: now,
            active_from: now.plus_ms(create.creating_ms),
            logs: (0..u64::from(create.logs)).map(|n| LogId(first_log + n)).collect(),
            shards: shards.collect(),
            placement: create.placement.or(placement(&parsed)).unwrap_or(by_birth),
            settings: create.settings.clone(),
        });
        Ok((vec![Note::Stream(stream.clone())], Changed::Created(stream)))
    }

    /// Splits the widest open shards, lowest number first, until there are enough logs. `cuts` says where each existing
    /// log was cut.
    fn grow(
        &self,
        stream: &Arc<Stream>,
        logs: u32,
        cuts: &[(LogId, Offset)],
        now: Timestamp,
    ) -> Result<(Vec<Note>, Changed), Error> {
        let mut grown = Stream::clone(stream);
        let mut created_s = self.next_second(&stream.name, now);
        let mut next_log = self.next_log.max(FIRST_LOG);
        let cuts: BTreeMap<LogId, Offset> = cuts.iter().copied().collect();
        let width = |s: &Shard| (s.last_key - s.first_key, Reverse(s.no));
        let open = grown.shards.iter().enumerate().filter(|(_, s)| s.end.is_none());
        let mut widest: BinaryHeap<_> = open.map(|(at, s)| (width(s), at)).collect();
        let mut number = grown.shards.iter().map(|s| s.no.0).max().unwrap_or(0) + 1;
        while (grown.logs.len() as u32) < logs {
            let Some((_, at)) = widest.pop() else {
                return Err(Error::Invalid("no shard of the stream is open".into()));
            };
            let upper_log = grown.logs.len() as u32;
            let shard = &mut grown.shards[at];
            let parent = shard.no;
            if shard.first_key == shard.last_key {
                return Err(Error::Invalid("the stream's shards cannot be split further".into()));
            }
            created_s = created_s.max(shard.created_s + 1);
            let log = stream.logs.get(shard.log as usize);
            let cut = match (log, log.and_then(|log| cuts.get(log))) {
                (_, Some(cut)) => *cut,
                // Opened by this very change: nothing is in it yet.
                (None, None) => Offset(0),
                (Some(_), None) => return Err(Error::Invalid("the stream has grown meanwhile; look again".into())),
            };
            let middle = shard.first_key + (shard.last_key - shard.first_key) / 2;
            shard.end = Some(cut);
            let lower = Shard {
                no: ShardNo(number),
                start: cut,
                end: None,
                last_key: middle,
                parents: vec![parent],
                created_s,
                ..shard.clone()
            };
            let upper = Shard {
                no: ShardNo(number + 1),
                log: upper_log,
                start: Offset(0),
                first_key: middle + 1,
                last_key: shard.last_key,
                ..lower.clone()
            };
            let next = grown.shards.len();
            widest.extend([(width(&lower), next), (width(&upper), next + 1)]);
            grown.shards.extend([lower, upper]);
            number += 2;
            grown.logs.push(LogId(next_log));
            next_log += 1;
        }
        let grown = Arc::new(grown);
        Ok((vec![Note::Stream(grown.clone())], Changed::Grown(grown)))
    }

    fn next_second(&self, name: &Arc<str>, now: Timestamp) -> u64 {
        let now_s = (now.0 / 1000).max(0) as u64;
        now_s.max(self.seconds.get(name).map_or(0, |last| last + 1))
    }

    fn insert(&mut self, stream: &Arc<Stream>) {
        let second = stream.shards.iter().map(|s| s.created_s).max().unwrap_or(0);
        let known = self.seconds.get(&stream.name).copied().unwrap_or(0);
        self.seconds.insert(stream.name.clone(), known.max(second));
        self.next_log = self.next_log.max(stream.logs.iter().map(|l| l.0 + 1).max().unwrap_or(0));
        self.by_name.insert(stream.name.clone(), stream.clone());
        self.by_id.insert(stream.id, stream.clone());
    }
}

/// The key range of shard `n` of `count`: width ⌊2^128 / count⌋, the last up to the end.
fn key_range(n: u32, count: u32) -> (u128, u128) {
    let width = if count == 1 { u128::MAX } else { u128::MAX / u128::from(count) + u128::from(is_power_of_two(count)) };
    let first = if count == 1 { 0 } else { width * u128::from(n) };
    let last = if n + 1 == count { u128::MAX } else { first + (width - 1) };
    (first, last)
}

/// ⌊2^128 / n⌋ is ⌊(2^128 - 1) / n⌋, and one more where n divides 2^128.
fn is_power_of_two(n: u32) -> bool {
    n.is_power_of_two()
}

fn parse(settings: &BTreeMap<String, String>) -> Result<StreamSettings, Error> {
    StreamSettings::parse(settings).map_err(|bad| Error::Invalid(bad.to_string()))
}

fn placement(settings: &StreamSettings) -> Option<Placement> {
    settings.placement.map(|rule| match rule {
        PlacementRule::Murmur2 => Placement::Murmur2,
        PlacementRule::KeyRange => Placement::KeyRange,
    })
}

// ── the machine

/// A change with what deciding it needs from outside.
#[derive(Clone, Debug)]
pub struct Ask {
    pub change: Change,
    /// Random: the id of a stream that is created.
    pub id: StreamId,
    /// Where the lane cut the logs of a stream that grows.
    pub cuts: Vec<(LogId, Offset)>,
}

/// The catalog as a machine over the log [`CATALOG_LOG`].
pub struct CatalogMachine;

impl Machine for CatalogMachine {
    type State = Catalog;
    type Scratch = ();
    type Command = Ask;
    type Reply = Result<Changed, Error>;
    type Record = Note;
    type Effect = NoEffect;

    fn decide(
        state: &Catalog,
        (): &mut (),
        now: Timestamp,
        input: Input<Ask>,
        out: &mut Vec<Step<Note, Result<Changed, Error>>>,
    ) {
        let Input::Command(ticket, ask) = input else { return };
        match state.decide(&ask, now) {
            Ok((notes, changed)) => {
                out.extend(notes.into_iter().map(Step::Write));
                out.push(Step::Reply(ticket, Ok(changed)));
            }
            Err(e) => out.push(Step::Reply(ticket, Err(e))),
        }
    }

    fn apply(state: &mut Catalog, note: &Note) {
        match note {
            Note::Stream(stream) => state.insert(stream),
            Note::Gone(id) => {
                if let Some(stream) = state.by_id.remove(id) {
                    state.by_name.remove(&stream.name);
                }
            }
            Note::Producers(next) => state.next_producer = state.next_producer.max(*next),
            Note::Logs(next) => state.next_log = state.next_log.max(*next),
            Note::Seconds(name, second) => {
                let known = state.seconds.get(name).copied().unwrap_or(0);
                state.seconds.insert(name.clone(), known.max(*second));
            }
        }
    }

    fn snapshot(state: &Catalog) -> Vec<Note> {
        let seconds = state.seconds.iter().map(|(name, second)| Note::Seconds(name.clone(), *second));
        let streams = state.by_id.values().map(|stream| Note::Stream(stream.clone()));
        seconds.chain(streams).chain([Note::Logs(state.next_log), Note::Producers(state.next_producer)]).collect()
    }
}

impl Stream {
    pub fn log(&self, number: u32) -> Option<LogId> {
        self.logs.get(number as usize).copied()
    }

    pub fn shard(&self, no: ShardNo) -> Option<&Shard> {
        self.shards.iter().find(|s| s.no == no)
    }
}
