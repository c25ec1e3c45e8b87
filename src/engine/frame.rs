//! What the frames of a lane's journal say. Pure layout: no IO.
//!
//! ```text
//! GROUP   u32 members │ per member: log u64, first offset u64, arrived i64, bytes u32 │ the batches, back to back
//! FACTS   u32 facts   │ per fact: kind u8, log u64, then
//!           1 settled   segment base u64, end u64, log bytes u64, sidecar bytes u64, hash u32, max time i64, began i64,
//!                       arrived i64, aborted u32, filed: log bytes u64, sidecar bytes u64, compacted u32
//!           2 start     offset u64
//!           3 removed   –
//!           4 epoch     epoch u32, from u64
//!           5 packs     (log: the pack that was added, or 0) bytes u64, seal u32, removed u32 × id u64
//!           6 compacted clean u64, removed u32 × (base u64, compacted u32), added u32 (0 or 1) × settled
//! ```
//! Integers are big-endian, as on both wires.

use bytes::{Buf, BufMut, Bytes};

use crate::ids::{LogId, Offset, Timestamp};
use crate::log::segment::Run;

/// Frame kinds, as the journal keeps them.
pub const GROUP: u8 = 1;
pub const FACTS: u8 = 2;

const MEMBER_BYTES: usize = 28;
/// What a settled segment takes.
pub const SETTLED_BYTES: usize = 84;

/// One batch of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    pub log: LogId,
    pub first: Offset,
    pub arrived: Timestamp,
    pub bytes: u32,
}

/// What happened to a log besides appends. The table of segments is a fold of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    Settled {
        log: LogId,
        settled: Settled,
    },
    Start {
        log: LogId,
        at: Offset,
    },
    Removed {
        log: LogId,
    },
    Epoch {
        log: LogId,
        epoch: u32,
        from: Offset,
    },
    /// A pack was added, in the place of the first of those it makes superfluous.
    Packs {
        added: Option<PackInfo>,
        removed: Vec<u64>,
    },
    /// Segments were compacted into one, or into nothing. Everything below `clean` is as compact as it gets; offsets may be
    /// missing there.
    Compacted {
        log: LogId,
        clean: Offset,
        removed: Vec<SegmentName>,
        added: Option<Settled>,
    },
}

/// By what a pack (log/pack.rs) is known. Its id, from 1, is never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackInfo {
    pub id: u64,
    /// Length of its file.
    pub bytes: u64,
    /// A checksum over the checksums of its index.
    pub seal: u32,
}

/// How far a segment reaches after bytes were settled into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The segment's first offset, which names its files.
    pub base: Offset,
    pub end: Offset,
    /// Length of the `.log` file.
    pub bytes: u64,
    /// Length of the sidecar.
    pub side_bytes: u64,
    /// Running CRC32C over the first 21 bytes of every batch (what a batch's own CRC does not cover, and that CRC).
    pub hash: u32,
    /// The greatest record timestamp in the segment.
    pub max_time: Timestamp,
    /// When its first batch arrived.
    pub began: Timestamp,
    /// When its last batch arrived.
    pub arrived: Timestamp,
    /// How many transactions ended in it by being given up; the sidecar says which.
    pub aborted: u32,
    pub filed: Filed,
    /// How often it was compacted.
    pub compacted: u32,
}

/// What names the files of a segment: its first offset, and how often it was compacted. What was compacted stands in files
/// of another name, so that who reads the old ones is not disturbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentName {
    pub base: Offset,
    pub compacted: u32,
}

impl SegmentName {
    /// Of one that was not compacted yet.
    pub fn fresh(base: Offset) -> SegmentName {
        SegmentName { base, compacted: 0 }
    }
}

/// How much of a segment stands in files of its own. What follows stands in packs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filed {
    pub bytes: u64,
    pub side_bytes: u64,
}

impl Settled {
    pub fn name(&self) -> SegmentName {
        SegmentName { base: self.base, compacted: self.compacted }
    }

    /// As one that may be filled further.
    pub fn run(&self) -> Run {
        Run { base: self.base, bytes: self.bytes, began: self.began }
    }

    /// What of it stands in packs, with its part of the sidecar.
    pub fn packed_bytes(&self) -> u64 {
        (self.bytes - self.filed.bytes) + (self.side_bytes - self.filed.side_bytes)
    }

    /// This, with all of it in files of its own.
    pub fn wholly_filed(self) -> Settled {
        Settled { filed: Filed { bytes: self.bytes, side_bytes: self.side_bytes }, ..self }
    }
}

/// A frame that passed its checksum but does not parse: written by a newer version, or a defect of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged(pub &'static str);

pub fn encode_group(members: &[Member], out: &mut Vec<u8>) {
    out.put_u32(members.len() as u32);
    for m in members {
        out.put_u64(m.log.0);
        out.put_u64(m.first.0);
        out.put_i64(m.arrived.0);
        out.put_u32(m.bytes);
    }
}

/// The members of a group with their bytes, which stay slices of `payload`.
pub fn decode_group(payload: &Bytes) -> Result<Vec<(Member, Bytes)>, Damaged> {
    let mut head = payload.clone();
    if head.remaining() < 4 {
        return Err(Damaged("group shorter than its count"));
    }
    let count = head.get_u32() as usize;
    if count > head.remaining() / MEMBER_BYTES {
        return Err(Damaged("group with more members than bytes"));
    }
    let mut body = payload.slice(4 + count * MEMBER_BYTES..);
    let mut members = Vec::with_capacity(count);
    for _ in 0..count {
        let member = Member {
            log: LogId(head.get_u64()),
            first: Offset(head.get_u64()),
            arrived: Timestamp(head.get_i64()),
            bytes: head.get_u32(),
        };
        if member.bytes as usize > body.len() {
            return Err(Damaged("group shorter than its members"));
        }
        let bytes = body.split_to(member.bytes as usize);
        members.push((member, bytes));
    }
    if body.is_empty() { Ok(members) } else { Err(Damaged("bytes left over after a group")) }
}

pub fn encode_facts(facts: &[Fact]) -> Vec<u8> {
    let mut out = Vec::with_capacity(4 + facts.len() * (9 + SETTLED_BYTES));
    out.put_u32(facts.len() as u32);
    for fact in facts {
        match fact {
            Fact::Settled { log, settled } => {
                out.put_u8(1);
                out.put_u64(log.0);
                encode_settled(settled, &mut out);
            }
            Fact::Start { log, at } => {
                out.put_u8(2);
                out.put_u64(log.0);
                out.put_u64(at.0);
            }
            Fact::Removed { log } => {
                out.put_u8(3);
                out.put_u64(log.0);
            }
            Fact::Epoch { log, epoch, from } => {
                out.put_u8(4);
                out.put_u64(log.0);
                out.put_u32(*epoch);
                out.put_u64(from.0);
            }
            Fact::Packs { added, removed } => {
                let PackInfo { id, bytes, seal } = added.unwrap_or(PackInfo { id: 0, bytes: 0, seal: 0 });
                out.put_u8(5);
                out.put_u64(id);
                out.put_u64(bytes);
                out.put_u32(seal);
                out.put_u32(removed.len() as u32);
                removed.iter().for_each(|id| out.put_u64(*id));
            }
            Fact::Compacted { log, clean, removed, added } => {
                out.put_u8(6);
                out.put_u64(log.0);
                out.put_u64(clean.0);
                out.put_u32(removed.len() as u32);
                for name in removed {
                    out.put_u64(name.base.0);
                    out.put_u32(name.compacted);
                }
                out.put_u32(added.iter().len() as u32);
                added.iter().for_each(|settled| encode_settled(settled, &mut out));
            }
        }
    }
    out
}

pub fn decode_facts(payload: &Bytes) -> Result<Vec<Fact>, Damaged> {
    const SHORT: Damaged = Damaged("facts shorter than their count");
    let mut at = payload.clone();
    let count = at.try_get_u32().map_err(|_| SHORT)?;
    let mut facts = Vec::new();
    for _ in 0..count {
        let kind = at.try_get_u8().map_err(|_| SHORT)?;
        let log = LogId(at.try_get_u64().map_err(|_| SHORT)?);
        facts.push(match kind {
            1 => Fact::Settled { log, settled: decode_settled(&mut at).ok_or(SHORT)? },
            2 => Fact::Start { log, at: Offset(at.try_get_u64().map_err(|_| SHORT)?) },
            3 => Fact::Removed { log },
            4 => Fact::Epoch {
                log,
                epoch: at.try_get_u32().map_err(|_| SHORT)?,
                from: Offset(at.try_get_u64().map_err(|_| SHORT)?),
            },
            5 => {
                let bytes = at.try_get_u64().map_err(|_| SHORT)?;
                let seal = at.try_get_u32().map_err(|_| SHORT)?;
                let removed = (0..at.try_get_u32().map_err(|_| SHORT)?).map(|_| at.try_get_u64());
                let removed = removed.collect::<Result<Vec<_>, _>>().map_err(|_| SHORT)?;
                let added = (log.0 > 0).then_some(PackInfo { id: log.0, bytes, seal });
                Fact::Packs { added, removed }
            }
            6 => {
                let clean = Offset(at.try_get_u64().map_err(|_| SHORT)?);
                let count = at.try_get_u32().map_err(|_| SHORT)?;
                let name = |at: &mut Bytes| Some((at.try_get_u64().ok()?, at.try_get_u32().ok()?));
                let removed = (0..count).map(|_| {
                    name(&mut at).map(|(base, compacted)| SegmentName { base: Offset(base), compacted }).ok_or(SHORT)
                });
                let removed = removed.collect::<Result<_, _>>()?;
                let added = match at.try_get_u32().map_err(|_| SHORT)? {
                    0 => None,
                    _ => Some(decode_settled(&mut at).ok_or(SHORT)?),
                };
                Fact::Compacted { log, clean, removed, added }
            }
            _ => return Err(Damaged("a fact of an unknown kind")),
        });
    }
    if at.is_empty() { Ok(facts) } else { Err(Damaged("bytes left over after facts")) }
}

pub fn encode_settled(s: &Settled, out: &mut Vec<u8>) {
    out.put_u64(s.base.0);
    out.put_u64(s.end.0);
    out.put_u64(s.bytes);
    out.put_u64(s.side_bytes);
    out.put_u32(s.hash);
    out.put_i64(s.max_time.0);
    out.put_i64(s.began.0);
    out.put_i64(s.arrived.0);
    out.put_u32(s.aborted);
    out.put_u64(s.filed.bytes);
    out.put_u64(s.filed.side_bytes);
    out.put_u32(s.compacted);
}

pub fn decode_settled(at: &mut Bytes) -> Option<Settled> {
    if at.remaining() < SETTLED_BYTES {
        return None;
    }
    let settled = Settled {
        base: Offset(at.get_u64()),
        end: Offset(at.get_u64()),
        bytes: at.get_u64(),
        side_bytes: at.get_u64(),
        hash: at.get_u32(),
        max_time: Timestamp(at.get_i64()),
        began: Timestamp(at.get_i64()),
        arrived: Timestamp(at.get_i64()),
        aborted: at.get_u32(),
        filed: Filed { bytes: at.get_u64(), side_bytes: at.get_u64() },
        compacted: at.get_u32(),
    };
    let Filed { bytes, side_bytes } = settled.filed;
    (bytes <= settled.bytes && side_bytes <= settled.side_bytes).then_some(settled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_survives_its_encoding() {
        let members = [
            Member { log: LogId(7), first: Offset(9), arrived: Timestamp(-1), bytes: 3 },
            Member { log: LogId(8), first: Offset(0), arrived: Timestamp(5), bytes: 0 },
        ];
        let mut out = Vec::new();
        encode_group(&members, &mut out);
        out.extend_from_slice(b"abc");
        let back = decode_group(&Bytes::from(out)).unwrap();
        assert_eq!(back, vec![(members[0], Bytes::from("abc")), (members[1], Bytes::new())]);
    }

    #[test]
    fn facts_survive_their_encoding() {
        let settled = Settled {
            base: Offset(1),
            end: Offset(2),
            bytes: 3,
            side_bytes: 4,
            hash: 5,
            max_time: Timestamp(6),
            began: Timestamp(5),
            arrived: Timestamp(7),
            aborted: 8,
            filed: Filed { bytes: 2, side_bytes: 1 },
            compacted: 9,
        };
        let facts = vec![
            Fact::Settled { log: LogId(1), settled },
            Fact::Start { log: LogId(2), at: Offset(3) },
            Fact::Removed { log: LogId(4) },
            Fact::Epoch { log: LogId(5), epoch: 6, from: Offset(7) },
            Fact::Packs { added: Some(PackInfo { id: 8, bytes: 9, seal: 10 }), removed: vec![1, 2] },
            Fact::Packs { added: None, removed: vec![3] },
            Fact::Compacted { log: LogId(5), clean: Offset(6), removed: vec![settled.name(); 2], added: Some(settled) },
            Fact::Compacted { log: LogId(5), clean: Offset(6), removed: vec![], added: None },
        ];
        assert_eq!(decode_facts(&Bytes::from(encode_facts(&facts))).unwrap(), facts);
    }

    #[test]
    fn every_cut_of_a_frame_is_refused() {
        let mut group = Vec::new();
        encode_group(&[Member { log: LogId(7), first: Offset(9), arrived: Timestamp(1), bytes: 3 }], &mut group);
        group.extend_from_slice(b"abc");
        let facts = encode_facts(&[Fact::Start { log: LogId(2), at: Offset(3) }]);
        for cut in 0..group.len() {
            assert!(decode_group(&Bytes::copy_from_slice(&group[..cut])).is_err(), "group cut at {cut}");
        }
        for cut in 0..facts.len() {
            assert!(decode_facts(&Bytes::copy_from_slice(&facts[..cut])).is_err(), "facts cut at {cut}");
        }
    }
}
