//! A pack: one file with what many small logs had to settle at one time. Written once, never changed. Pure layout, and the
//! rule by which packs are merged.
//!
//! ```text
//! magic u32 "IFPK" │ version u32 = 1 │ id u64
//! per piece, by log, base and place:
//!   magic u32 "PIEC" │ crc32c u32 of the row │ row │ sidecar entries (segment.rs) │ batches
//! index: the rows once more
//! per 64 rows: log u64 │ base u64, both of the first │ crc32c u32 of these rows
//! position u64 of the index │ rows u32 │ id u64 │ seal u32: crc32c from behind the rows to here │ magic u32 "PEND"
//!
//! row  log u64 │ base u64 of its segment │ at u64 in the .log │ side at u64 in the sidecar
//!      position u64 of the piece in the pack │ side bytes u32 │ bytes u32
//! ```
//! A piece is a stretch of one segment: the bytes that would stand from `at` on in its `.log`, and from `side at` on in its
//! sidecar. So what is packed moves into the segment's own files, or into another pack, as it is.

use std::ops::Range;

use bytes::{Buf, BufMut};

use crate::ids::{LogId, Offset};

pub const HEAD_BYTES: usize = 16;
pub const ROW_BYTES: usize = 48;
/// What stands before the entries of a piece.
pub const PIECE_HEAD_BYTES: usize = 8 + ROW_BYTES;
pub const TAIL_BYTES: usize = 28;
/// Rows that are read and proven together.
const GROUP_ROWS: usize = 64;
const FENCE_BYTES: usize = 20;
const MAGIC: u32 = 0x4946_504b;
const PIECE_MAGIC: u32 = 0x5049_4543;
const TAIL_MAGIC: u32 = 0x5045_4e44;
const VERSION: u32 = 1;

/// Where a stretch of a segment stands in a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    pub log: LogId,
    /// The first offset of the segment, which names it.
    pub base: Offset,
    /// Where its batches belong in the `.log`, and its entries in the sidecar.
    pub at: u64,
    pub side_at: u64,
    /// Of the piece's head, in the pack.
    pub position: u64,
    pub side_bytes: u32,
    pub bytes: u32,
}

impl Row {
    pub fn key(&self) -> (LogId, Offset) {
        (self.log, self.base)
    }

    /// Where the entries stand in the pack.
    pub fn entries_at(&self) -> u64 {
        self.position + PIECE_HEAD_BYTES as u64
    }

    /// Where the batches stand in the pack.
    pub fn batches_at(&self) -> u64 {
        self.entries_at() + u64::from(self.side_bytes)
    }

    /// Where the piece ends in the pack.
    pub fn ends(&self) -> u64 {
        self.batches_at() + u64::from(self.bytes)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.put_u64(self.log.0);
        out.put_u64(self.base.0);
        out.put_u64(self.at);
        out.put_u64(self.side_at);
        out.put_u64(self.position);
        out.put_u32(self.side_bytes);
        out.put_u32(self.bytes);
    }

    fn decode(mut at: &[u8]) -> Row {
        Row {
            log: LogId(at.get_u64()),
            base: Offset(at.get_u64()),
            at: at.get_u64(),
            side_at: at.get_u64(),
            position: at.get_u64(),
            side_bytes: at.get_u32(),
            bytes: at.get_u32(),
        }
    }
}

/// What a pack begins with.
pub fn head(id: u64) -> [u8; HEAD_BYTES] {
    let mut out = [0; HEAD_BYTES];
    out[..4].copy_from_slice(&MAGIC.to_be_bytes());
    out[4..8].copy_from_slice(&VERSION.to_be_bytes());
    out[8..].copy_from_slice(&id.to_be_bytes());
    out
}

/// What stands before the entries of a piece.
pub fn piece_head(row: &Row) -> Vec<u8> {
    let mut out = Vec::with_capacity(PIECE_HEAD_BYTES);
    out.put_u32(PIECE_MAGIC);
    out.put_u32(0);
    row.encode(&mut out);
    let crc = crc32c::crc32c(&out[8..]);
    out[4..8].copy_from_slice(&crc.to_be_bytes());
    out
}

/// The row of the piece whose head this is; `None` if it is none, or damaged.
pub fn piece(mut head: &[u8]) -> Option<Row> {
    if head.len() < PIECE_HEAD_BYTES || head.get_u32() != PIECE_MAGIC {
        return None;
    }
    let crc = head.get_u32();
    (crc32c::crc32c(&head[..ROW_BYTES]) == crc).then(|| Row::decode(head))
}

/// All that stands behind the pieces of a pack, which end at `at`; and the seal, by which the pack is known.
pub fn index(id: u64, at: u64, rows: &[Row]) -> (Vec<u8>, u32) {
    let mut out = Vec::with_capacity(rows.len() * (ROW_BYTES + 1) + TAIL_BYTES + FENCE_BYTES);
    rows.iter().for_each(|row| row.encode(&mut out));
    let fences = out.len();
    for (n, group) in rows.chunks(GROUP_ROWS).enumerate() {
        let from = n * GROUP_ROWS * ROW_BYTES;
        let crc = crc32c::crc32c(&out[from..from + group.len() * ROW_BYTES]);
        out.put_u64(group[0].log.0);
        out.put_u64(group[0].base.0);
        out.put_u32(crc);
    }
    out.put_u64(at);
    out.put_u32(rows.len() as u32);
    out.put_u64(id);
    let seal = crc32c::crc32c(&out[fences..]);
    out.put_u32(seal);
    out.put_u32(TAIL_MAGIC);
    (out, seal)
}

/// What a pack ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    pub index_at: u64,
    pub rows: u32,
    pub id: u64,
    pub seal: u32,
}

impl Tail {
    /// Of the last [`TAIL_BYTES`] of a pack of `bytes` bytes; `None` if that is no such tail.
    pub fn of(mut tail: &[u8], bytes: u64) -> Option<Tail> {
        if tail.len() != TAIL_BYTES {
            return None;
        }
        let tail_of = Tail { index_at: tail.get_u64(), rows: tail.get_u32(), id: tail.get_u64(), seal: tail.get_u32() };
        let sound = tail.get_u32() == TAIL_MAGIC && tail_of.index_at.checked_add(tail_of.bytes()) == Some(bytes);
        sound.then_some(tail_of)
    }

    /// From the index to the end of the pack.
    fn bytes(&self) -> u64 {
        let rows = self.rows as usize;
        (rows * ROW_BYTES + rows.div_ceil(GROUP_ROWS) * FENCE_BYTES + TAIL_BYTES) as u64
    }

    /// Where the fences stand, up to the end of the pack.
    pub fn fences_at(&self) -> u64 {
        self.index_at + u64::from(self.rows) * ROW_BYTES as u64
    }

    /// Where the rows of a group stand in the pack.
    pub fn group(&self, n: usize) -> Range<u64> {
        let row = |n: usize| self.index_at + n.min(self.rows as usize) as u64 * ROW_BYTES as u64;
        row(n * GROUP_ROWS)..row((n + 1) * GROUP_ROWS)
    }
}

/// The first row of a group, and what proves the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fence {
    pub first: (LogId, Offset),
    crc: u32,
}

/// The fences, from all that stands at [`Tail::fences_at`]; `None` if it does not match the seal.
pub fn fences(mut bytes: &[u8], tail: &Tail) -> Option<Vec<Fence>> {
    let sealed = bytes.len().checked_sub(8)?;
    if crc32c::crc32c(&bytes[..sealed]) != tail.seal {
        return None;
    }
    let groups = (tail.rows as usize).div_ceil(GROUP_ROWS);
    if bytes.len() != groups * FENCE_BYTES + TAIL_BYTES {
        return None;
    }
    let fence = |_| Fence { first: (LogId(bytes.get_u64()), Offset(bytes.get_u64())), crc: bytes.get_u32() };
    Some((0..groups).map(fence).collect())
}

/// The rows of one group; `None` if they do not match their fence.
pub fn rows(bytes: &[u8], fence: &Fence) -> Option<Vec<Row>> {
    (crc32c::crc32c(bytes) == fence.crc).then(|| bytes.chunks_exact(ROW_BYTES).map(Row::decode).collect())
}

/// The groups in which rows of a segment may stand.
pub fn groups_of(fences: &[Fence], key: (LogId, Offset)) -> Range<usize> {
    let from = fences.partition_point(|fence| fence.first < key).saturating_sub(1);
    from..fences.partition_point(|fence| fence.first <= key)
}

/// So many packs are worth a merge.
pub const MERGE_PACKS: usize = 8;
/// Larger ones stay as they are: a merge needs as much room again.
const MERGE_MOST_BYTES: u64 = 4 << 30;

/// Which packs to merge, if any, of packs of these sizes, the oldest first: the longest run of newest ones, at least eight,
/// of which the largest is no more than half of all. So whatever is written again ends in a pack twice as large: packs stay
/// few, and no byte is written often.
pub fn to_merge(packs: &[u64]) -> Option<Range<usize>> {
    let (mut sum, mut largest, mut found) = (0u64, 0, None);
    for (at, bytes) in packs.iter().enumerate().rev().take_while(|(_, bytes)| **bytes <= MERGE_MOST_BYTES) {
        sum += bytes;
        largest = largest.max(*bytes);
        if packs.len() - at >= MERGE_PACKS && 2 * largest <= sum {
            found = Some(at..packs.len());
        }
    }
    found
}

/// Which packs to write again because most of them is not needed any more: the first such, with those that follow it.
/// `live`: what is needed, of packs of which it is little.
pub fn to_rewrite(live: &[Option<u64>]) -> Option<Range<usize>> {
    let from = live.iter().position(Option::is_some)?;
    let to = live[from..].iter().position(Option::is_none).map_or(live.len(), |n| from + n);
    Some(from..to)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows_of(n: usize) -> Vec<Row> {
        (0..n as u64)
            .map(|i| Row {
                log: LogId(7 + i / 3),
                base: Offset(i % 3 * 100),
                at: i,
                side_at: 2 * i,
                position: 16 + 1_000 * i,
                side_bytes: 120,
                bytes: 300,
            })
            .collect()
    }

    #[test]
    fn an_index_survives_its_encoding() {
        for n in [1, 2, 63, 64, 65, 128, 200] {
            let want = rows_of(n);
            let (bytes, seal) = index(9, 5_000, &want);
            let length = 5_000 + bytes.len() as u64;
            let tail = Tail::of(&bytes[bytes.len() - TAIL_BYTES..], length).unwrap();
            assert_eq!(tail, Tail { index_at: 5_000, rows: n as u32, id: 9, seal });
            let fences = fences(&bytes[(tail.fences_at() - 5_000) as usize..], &tail).unwrap();
            let group = |g: usize| {
                let Range { start, end } = tail.group(g);
                rows(&bytes[(start - 5_000) as usize..(end - 5_000) as usize], &fences[g]).unwrap()
            };
            assert_eq!((0..fences.len()).flat_map(group).collect::<Vec<_>>(), want);
            for row in &want {
                let found: Vec<Row> = groups_of(&fences, row.key()).flat_map(group).collect();
                assert!(found.contains(row), "{row:?} of {n}");
            }
            assert!(groups_of(&fences, (LogId(1), Offset(0))).is_empty());
        }
    }

    #[test]
    fn a_flipped_bit_in_an_index_is_found() {
        let (sound, _) = index(9, 16, &rows_of(70));
        let length = 16 + sound.len() as u64;
        let proven = |bytes: &[u8]| {
            let tail = Tail::of(&bytes[bytes.len() - TAIL_BYTES..], length).filter(|t| t.id == 9)?;
            let fences = fences(&bytes[(tail.fences_at() - 16) as usize..], &tail)?;
            let group = |(g, fence): (usize, &Fence)| {
                let Range { start, end } = tail.group(g);
                rows(&bytes[(start - 16) as usize..(end - 16) as usize], fence)
            };
            fences.iter().enumerate().map(group).collect::<Option<Vec<_>>>()
        };
        assert!(proven(&sound).is_some());
        for bit in 0..sound.len() * 8 {
            let mut spoilt = sound.clone();
            spoilt[bit / 8] ^= 1 << (bit % 8);
            assert!(proven(&spoilt).is_none(), "bit {bit}");
        }
    }

    #[test]
    fn a_piece_tells_where_it_belongs() {
        let row = rows_of(5)[4];
        let head = piece_head(&row);
        assert_eq!((head.len(), piece(&head)), (PIECE_HEAD_BYTES, Some(row)));
        for bit in 0..head.len() * 8 {
            let mut spoilt = head.clone();
            spoilt[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(piece(&spoilt), None, "bit {bit}");
        }
    }

    #[test]
    fn the_newest_packs_are_merged_when_it_pays() {
        const MIB: u64 = 1 << 20;
        for (packs, expect) in [
            (vec![], None),
            (vec![20 * MIB; 7], None),
            (vec![20 * MIB; 8], Some(0..8)),
            (vec![20 * MIB; 30], Some(0..30)),
            (vec![5_000 * MIB; 30], None),
            ([vec![160 * MIB], vec![20 * MIB; 7]].concat(), None),
            ([vec![160 * MIB], vec![20 * MIB; 8]].concat(), Some(0..9)),
            ([vec![160 * MIB; 2], vec![MIB; 7]].concat(), Some(0..9)),
            ([vec![160 * MIB], vec![MIB; 8]].concat(), Some(1..9)),
            ([vec![5_000 * MIB], vec![20 * MIB; 8]].concat(), Some(1..9)),
            ([vec![MIB; 3], vec![160 * MIB], vec![MIB; 7]].concat(), None),
        ] {
            let got = to_merge(&packs);
            assert_eq!(got, expect, "{packs:?}");
        }
    }

    #[test]
    fn sparse_packs_that_stand_together_are_rewritten_together() {
        for (live, expect) in [
            (vec![], None),
            (vec![None, None], None),
            (vec![None, Some(0), Some(7), None, Some(1)], Some(1..3)),
            (vec![Some(3)], Some(0..1)),
        ] {
            assert_eq!(to_rewrite(&live), expect, "{live:?}");
        }
    }

    proptest! {
        /// Whatever is settled, packs stay few and no byte is written often.
        #[test]
        fn packs_stay_few(scales in proptest::collection::vec((0u32..8, 1u64..(6 << 20)), 1..2_000)) {
            let (mut packs, mut settled, mut written) = (Vec::new(), 0u64, 0u64);
            for (scale, size) in scales {
                let size = size >> scale;
                packs.push(size);
                settled += size;
                while let Some(range) = to_merge(&packs) {
                    let merged: u64 = packs[range.clone()].iter().sum();
                    written += merged;
                    packs.splice(range, [merged]);
                }
                prop_assert!(packs.len() <= 32, "{} packs of {settled} bytes", packs.len());
            }
            prop_assert!(written <= 8 * settled, "{written} written for {settled}");
        }
    }
}
