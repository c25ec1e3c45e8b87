//! The catalog: streams, their logs, shards and settings. An immutable picture that is replaced at every change; the
//! changes are decided here, as a machine whose memory is the `__catalog` log.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ids::{LogId, Offset, ShardNo, StreamId, Timestamp};

/// All streams at one instant.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    by_id: imbl::HashMap<StreamId, Arc<Stream>>,
    by_name: imbl::OrdMap<Arc<str>, Arc<Stream>>,
}

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
    pub fn check(&self, _change: &Change) -> Result<(), super::Error> {
        unimplemented!("coming")
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
