//! The records of the catalog's log: JSON, because they are few and somebody will want to read them. Numbers wider than
//! JSON's are hexadecimal text.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::catalog::{Born, Kind, Placement, Shard, Stream};
use crate::ids::{LogId, Offset, ShardNo, StreamId, Timestamp};
use crate::ledger::{Entry, Malformed, Record};

/// One record of the catalog's log.
#[derive(Clone, Debug, PartialEq)]
pub enum Note {
    /// A stream is now like this.
    Stream(Arc<Stream>),
    /// A stream is no more.
    Gone(StreamId),
    /// The next producer id to be given out.
    Producers(i64),
    /// The next log id to be given out.
    Logs(u64),
    /// The latest creation second of a name's shards.
    Seconds(Arc<str>, u64),
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
enum Key {
    Stream { id: String },
    Producers,
    Logs,
    Seconds { name: String },
}

#[derive(Serialize, Deserialize)]
struct StreamDoc {
    name: String,
    kind: String,
    born: String,
    created_ms: i64,
    active_from_ms: i64,
    logs: Vec<u64>,
    shards: Vec<ShardDoc>,
    placement: String,
    settings: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
struct ShardDoc {
    no: u32,
    log: u32,
    start: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    end: Option<u64>,
    first_key: String,
    last_key: String,
    parents: Vec<u32>,
    created_s: u64,
}

impl Record for Note {
    fn encode(&self) -> Entry {
        let (key, value) = match self {
            Note::Stream(stream) => (Key::Stream { id: hex(stream.id.0) }, Some(json(&stream_doc(stream)))),
            Note::Gone(id) => (Key::Stream { id: hex(id.0) }, None),
            Note::Producers(next) => (Key::Producers, Some(json(next))),
            Note::Logs(next) => (Key::Logs, Some(json(next))),
            Note::Seconds(name, second) => (Key::Seconds { name: name.to_string() }, Some(json(second))),
        };
        Entry { key: Some(json(&key)), value, within: None }
    }

    fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Option<Self>, Malformed> {
        let key: Key = parse(key.ok_or(Malformed("a catalog record without a key".into()))?)?;
        Ok(Some(match (key, value) {
            (Key::Stream { id }, None) => Note::Gone(StreamId(unhex(&id)?)),
            (Key::Stream { id }, Some(value)) => Note::Stream(Arc::new(stream(unhex(&id)?, parse(value)?)?)),
            (Key::Producers, Some(value)) => Note::Producers(parse(value)?),
            (Key::Logs, Some(value)) => Note::Logs(parse(value)?),
            (Key::Seconds { name }, Some(value)) => Note::Seconds(name.into(), parse(value)?),
            (_, None) => return Ok(None),
        }))
    }
}

fn stream_doc(s: &Stream) -> StreamDoc {
    StreamDoc {
        name: s.name.to_string(),
        kind: match s.kind {
            Kind::Client => "client",
            Kind::Shown => "shown",
            Kind::Hidden => "hidden",
        }
        .into(),
        born: match s.born {
            Born::Kafka => "kafka",
            Born::Kinesis => "kinesis",
        }
        .into(),
        created_ms: s.created.0,
        active_from_ms: s.active_from.0,
        logs: s.logs.iter().map(|l| l.0).collect(),
        shards: s.shards.iter().map(shard_doc).collect(),
        placement: match s.placement {
            Placement::Murmur2 => "murmur2",
            Placement::KeyRange => "key_range",
        }
        .into(),
        settings: s.settings.clone(),
    }
}

fn shard_doc(s: &Shard) -> ShardDoc {
    ShardDoc {
        no: s.no.0,
        log: s.log,
        start: s.start.0,
        end: s.end.map(|e| e.0),
        first_key: hex(s.first_key),
        last_key: hex(s.last_key),
        parents: s.parents.iter().map(|p| p.0).collect(),
        created_s: s.created_s,
    }
}

fn stream(id: u128, doc: StreamDoc) -> Result<Stream, Malformed> {
    let unknown = |what: &str, text: &str| Malformed(format!("a stream of {what} {text:?}"));
    Ok(Stream {
        id: StreamId(id),
        name: doc.name.into(),
        kind: match doc.kind.as_str() {
            "client" => Kind::Client,
            "shown" => Kind::Shown,
            "hidden" => Kind::Hidden,
            other => return Err(unknown("kind", other)),
        },
        born: match doc.born.as_str() {
            "kafka" => Born::Kafka,
            "kinesis" => Born::Kinesis,
            other => return Err(unknown("birth", other)),
        },
        created: Timestamp(doc.created_ms),
        active_from: Timestamp(doc.active_from_ms),
        logs: doc.logs.into_iter().map(LogId).collect(),
        shards: doc.shards.into_iter().map(shard).collect::<Result<_, _>>()?,
        placement: match doc.placement.as_str() {
            "murmur2" => Placement::Murmur2,
            "key_range" => Placement::KeyRange,
            other => return Err(unknown("placement", other)),
        },
        settings: doc.settings,
    })
}

fn shard(doc: ShardDoc) -> Result<Shard, Malformed> {
    Ok(Shard {
        no: ShardNo(doc.no),
        log: doc.log,
        start: Offset(doc.start),
        end: doc.end.map(Offset),
        first_key: unhex(&doc.first_key)?,
        last_key: unhex(&doc.last_key)?,
        parents: doc.parents.into_iter().map(ShardNo).collect(),
        created_s: doc.created_s,
    })
}

fn hex(n: u128) -> String {
    format!("{n:032x}")
}

fn unhex(text: &str) -> Result<u128, Malformed> {
    u128::from_str_radix(text, 16).map_err(|e| Malformed(format!("{text:?} is not a hexadecimal number: {e}")))
}

fn json<T: Serialize>(value: &T) -> Bytes {
    serde_json::to_vec(value).map(Bytes::from).expect("plain structs with text keys always have a JSON form")
}

fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Malformed> {
    serde_json::from_slice(bytes).map_err(|e| Malformed(e.to_string()))
}
