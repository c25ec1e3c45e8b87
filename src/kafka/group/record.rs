//! The records of `__consumer_offsets`, byte for byte as Kafka publishes them (`OffsetCommitKey`, `OffsetCommitValue`,
//! `GroupMetadataKey`, `GroupMetadataValue`), so that foreign readers can read ours and we theirs.
//! Never fails to write; never trusts a count that it reads.
//!
//! ```text
//! key   0 or 1  group string │ topic string │ partition i32                        a committed offset
//! key   2       group string                                                      a group
//!
//! value of an offset   0-3  offset i64 │ [3: leader epoch i32] │ metadata string │ commit time i64 │ [1: expire time i64]
//!                      4    the same as 3, compact, then tagged fields: 0 = topic id (16 bytes)
//! value of a group     0-3  protocol type string │ generation i32 │ protocol string? │ leader string? │
//!                           [2+: state time i64] │ members [ id string │ [3: instance string?] │ client id string │
//!                           client host string │ [1+: rebalance timeout i32] │ session timeout i32 │
//!                           subscription bytes │ assignment bytes ]
//!                      4    the same as 3, compact, with tagged fields after the group and after each member
//! ```
//! Each begins with its version as an i16. A null value is a tombstone. Written are, as by Kafka 4.4: keys 1 and 2, an
//! offset as 4 (as 1 where it has an expire time), a group as 3.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::consumer::{self, state::Change};
use super::state::{Committed, Member, Meta, Name, Place};
use crate::ids::Timestamp;
use crate::ledger::{self, Entry, Malformed, Within};
use crate::record::records::Marker;

/// One change of the groups or of their offsets; no value takes it away.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    Group {
        group: Name,
        meta: Option<Arc<Meta>>,
    },
    /// Of a consumer group (KIP-848): see `consumer/record.rs`.
    Consumer {
        group: Name,
        change: Change,
    },
    Offset {
        group: Name,
        topic: Name,
        partition: i32,
        committed: Option<Committed>,
    },
    /// An offset that counts when the transaction it stands in is committed.
    Pending {
        producer: i64,
        epoch: i16,
        place: Place,
        committed: Committed,
    },
    /// The end of a transaction: a control record.
    Ended {
        producer: i64,
        epoch: i16,
        how: Marker,
    },
}

/// The longest string these formats can hold.
pub const STRING_LIMIT_BYTES: usize = i16::MAX as usize;

impl ledger::Record for Record {
    fn encode(&self) -> Entry {
        let mut key = BytesMut::new();
        let mut value = BytesMut::new();
        let mut within = None;
        let is_there = match self {
            Record::Pending { producer, epoch, place: (group, topic, partition), committed } => {
                put_place(&mut key, group, topic, *partition);
                put_offset(&mut value, committed);
                within = Some(Within { producer: *producer, epoch: *epoch, end: None });
                true
            }
            Record::Ended { producer, epoch, how } => {
                let within = Some(Within { producer: *producer, epoch: *epoch, end: Some(*how) });
                return Entry { key: None, value: None, within };
            }
            Record::Group { group, meta } => {
                key.put_i16(2);
                put_string(&mut key, group);
                meta.as_deref().map(|meta| put_group(&mut value, meta)).is_some()
            }
            Record::Consumer { group, change } => {
                let (key, value) = consumer::record::encode(group, change);
                return Entry { key: Some(key), value, within: None };
            }
            Record::Offset { group, topic, partition, committed } => {
                put_place(&mut key, group, topic, *partition);
                committed.as_ref().map(|committed| put_offset(&mut value, committed)).is_some()
            }
        };
        Entry { key: Some(key.freeze()), value: is_there.then(|| value.freeze()), within }
    }

    fn decode_within(within: Within, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Option<Record>, Malformed> {
        let Within { producer, epoch, end } = within;
        if let Some(how) = end {
            return Ok(Some(Record::Ended { producer, epoch, how }));
        }
        Ok(match Record::decode(key, value)? {
            Some(Record::Offset { group, topic, partition, committed: Some(committed) }) => {
                Some(Record::Pending { producer, epoch, place: (group, topic, partition), committed })
            }
            _ => None,
        })
    }

    fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Option<Record>, Malformed> {
        let Some(whole) = key else { return Err(Malformed("a group record without a key".into())) };
        let mut key = Bites { rest: whole };
        match key.i16()? {
            0 | 1 => {
                let (group, topic, partition) = (key.string()?, key.string()?, key.i32()?);
                let committed = value.map(read_offset).transpose()?;
                Ok(Some(Record::Offset { group, topic, partition, committed }))
            }
            2 => {
                let group = key.string()?;
                let meta = value.map(read_group).transpose()?.map(Arc::new);
                Ok(Some(Record::Group { group, meta }))
            }
            // Kinds of group that are not served are skipped.
            kind => {
                let found = consumer::record::decode(kind, whole, value)?;
                Ok(found.map(|(group, change)| Record::Consumer { group, change }))
            }
        }
    }
}

fn put_place(out: &mut BytesMut, group: &str, topic: &str, partition: i32) {
    out.put_i16(1);
    put_string(out, group);
    put_string(out, topic);
    out.put_i32(partition);
}

fn put_offset(out: &mut BytesMut, committed: &Committed) {
    if let Some(expire) = committed.expire {
        out.put_i16(1);
        out.put_i64(committed.offset);
        put_string(out, &committed.metadata);
        out.put_i64(committed.time.0);
        out.put_i64(expire.0);
        return;
    }
    out.put_i16(4);
    out.put_i64(committed.offset);
    out.put_i32(committed.leader_epoch);
    put_varint(out, committed.metadata.len() as u32 + 1);
    out.put_slice(committed.metadata.as_bytes());
    out.put_i64(committed.time.0);
    if committed.topic_id == 0 {
        put_varint(out, 0);
    } else {
        put_varint(out, 1);
        put_varint(out, 0);
        put_varint(out, 16);
        out.put_u128(committed.topic_id);
    }
}

fn put_group(out: &mut BytesMut, meta: &Meta) {
    out.put_i16(3);
    put_string(out, meta.protocol_type.as_deref().unwrap_or(""));
    out.put_i32(meta.generation);
    put_optional(out, meta.protocol.as_deref());
    put_optional(out, meta.leader.as_deref());
    out.put_i64(meta.since.0);
    out.put_i32(meta.members.len() as i32);
    for member in &meta.members {
        put_string(out, &member.id);
        put_optional(out, member.instance.as_deref());
        put_string(out, &member.client_id);
        put_string(out, &member.client_host);
        out.put_i32(member.rebalance_timeout_ms);
        out.put_i32(member.session_timeout_ms);
        put_bytes(out, &member.subscription);
        put_bytes(out, &member.assignment);
    }
}

fn put_string(out: &mut BytesMut, text: &str) {
    assert!(text.len() <= STRING_LIMIT_BYTES, "decide refuses longer strings");
    out.put_i16(text.len() as i16);
    out.put_slice(text.as_bytes());
}

fn put_optional(out: &mut BytesMut, text: Option<&str>) {
    match text {
        Some(text) => put_string(out, text),
        None => out.put_i16(-1),
    }
}

fn put_bytes(out: &mut BytesMut, bytes: &[u8]) {
    out.put_i32(bytes.len() as i32);
    out.put_slice(bytes);
}

fn put_varint(out: &mut BytesMut, mut value: u32) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

fn read_offset(value: &[u8]) -> Result<Committed, Malformed> {
    let mut from = Bites { rest: value };
    let version = from.i16()?;
    if !(0..=4).contains(&version) {
        return Err(Malformed(format!("an offset of version {version}")));
    }
    let compact = version == 4;
    let offset = from.i64()?;
    let leader_epoch = if version >= 3 { from.i32()? } else { -1 };
    let metadata = from.either_string(compact)?;
    let time = Timestamp(from.i64()?);
    let expire = if version == 1 { Some(from.i64()?).filter(|at| *at != -1).map(Timestamp) } else { None };
    let mut topic_id = 0;
    if compact {
        from.tags(|tag, bytes| {
            if let (0, Ok(id)) = (tag, <[u8; 16]>::try_from(bytes)) {
                topic_id = u128::from_be_bytes(id);
            }
        })?;
    }
    Ok(Committed { offset, leader_epoch, metadata, time, expire, topic_id })
}

fn read_group(value: &[u8]) -> Result<Meta, Malformed> {
    let mut from = Bites { rest: value };
    let version = from.i16()?;
    if !(0..=4).contains(&version) {
        return Err(Malformed(format!("a group of version {version}")));
    }
    let compact = version == 4;
    let protocol_type = from.either_string(compact)?;
    let generation = from.i32()?;
    let protocol = from.either_optional(compact)?;
    let leader = from.either_optional(compact)?;
    let since = Timestamp(if version >= 2 { from.i64()? } else { -1 });
    let count = if compact { i64::from(from.varint()?) - 1 } else { i64::from(from.i32()?) };
    // The vector grows with what is really there; a claimed count reserves nothing.
    let mut members = Vec::new();
    for _ in 0..count.max(0) {
        members.push(read_member(&mut from, version)?);
    }
    if compact {
        from.tags(|_, _| ())?;
    }
    let protocol_type = Some(protocol_type).filter(|t| !t.is_empty());
    Ok(Meta { protocol_type, generation, protocol, leader, since, members })
}

fn read_member(from: &mut Bites<'_>, version: i16) -> Result<Member, Malformed> {
    let compact = version == 4;
    let id = from.either_string(compact)?;
    let instance = if version >= 3 { from.either_optional(compact)? } else { None };
    let client_id = from.either_string(compact)?;
    let client_host = from.either_string(compact)?;
    let rebalance_timeout_ms = if version >= 1 { from.i32()? } else { -1 };
    let session_timeout_ms = from.i32()?;
    let subscription = from.either_bytes(compact)?;
    let assignment = from.either_bytes(compact)?;
    if compact {
        from.tags(|_, _| ())?;
    }
    let rebalance_timeout_ms = if rebalance_timeout_ms == -1 { session_timeout_ms } else { rebalance_timeout_ms };
    Ok(Member {
        id,
        instance,
        client_id,
        client_host,
        rebalance_timeout_ms,
        session_timeout_ms,
        subscription,
        assignment,
    })
}

/// What has not been read yet of untrusted bytes.
pub(super) struct Bites<'a> {
    pub rest: &'a [u8],
}

impl<'a> Bites<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], Malformed> {
        if bytes > self.rest.len() {
            return Err(Malformed(format!("{bytes} bytes wanted, {} left", self.rest.len())));
        }
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub fn i16(&mut self) -> Result<i16, Malformed> {
        self.array().map(i16::from_be_bytes)
    }

    pub fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_be_bytes)
    }

    fn varint(&mut self) -> Result<u32, Malformed> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Malformed("a varint of more than five bytes".into()))
    }

    fn text(&mut self, bytes: i64) -> Result<Option<Name>, Malformed> {
        let Ok(bytes) = usize::try_from(bytes) else { return Ok(None) };
        if bytes > STRING_LIMIT_BYTES {
            return Err(Malformed(format!("a string of {bytes} bytes")));
        }
        match std::str::from_utf8(self.take(bytes)?) {
            Ok(text) => Ok(Some(text.into())),
            Err(error) => Err(Malformed(format!("a string that is not UTF-8: {error}"))),
        }
    }

    pub fn string(&mut self) -> Result<Name, Malformed> {
        self.either_string(false)
    }

    fn either_string(&mut self, compact: bool) -> Result<Name, Malformed> {
        self.either_optional(compact)?.ok_or_else(|| Malformed("null where a string must be".into()))
    }

    fn either_optional(&mut self, compact: bool) -> Result<Option<Name>, Malformed> {
        let bytes = if compact { i64::from(self.varint()?) - 1 } else { i64::from(self.i16()?) };
        self.text(bytes)
    }

    fn either_bytes(&mut self, compact: bool) -> Result<Bytes, Malformed> {
        let bytes = if compact { i64::from(self.varint()?) - 1 } else { i64::from(self.i32()?) };
        let bytes = usize::try_from(bytes).map_err(|_| Malformed("null where bytes must be".into()))?;
        self.take(bytes).map(Bytes::copy_from_slice)
    }

    fn tags(&mut self, mut visit: impl FnMut(u32, &[u8])) -> Result<(), Malformed> {
        for _ in 0..self.varint()? {
            let (tag, bytes) = (self.varint()?, self.varint()?);
            visit(tag, self.take(bytes as usize)?);
        }
        Ok(())
    }
}

/// The topics that a consumer's subscription names, read as version 0, which prefixes every later one. `None`: these
/// bytes are not a subscription.
pub fn subscribed_topics(subscription: &[u8]) -> Option<Vec<Name>> {
    let mut from = Bites { rest: subscription };
    from.i16().ok()?;
    let count = from.i32().ok()?;
    let mut topics = Vec::new();
    for _ in 0..count.max(0) {
        topics.push(from.string().ok()?);
    }
    Some(topics)
}
