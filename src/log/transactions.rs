//! The transactions in one log (KIP-98): which are open, and which were given up. From the first follows how far a
//! careful reader may see, from the second what he has to leave out. Pure.
//!
//! ```text
//!  offset   4        7   8        12            committed = 8: the first record of an open transaction
//!  ─────────a────────b───c────────A────────►    a, b, c: producers write; A: the marker that ends a's transaction
//! ```
//! A transaction is in the log from its first record to its marker. What other logs it is in, and how it will end, is the
//! coordinator's affair.

use bytes::{Buf, BufMut};

use crate::ids::Offset;
use crate::record::batch::Header;
use crate::record::records::{self, Marker};

/// A transaction that was given up, as readers are told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aborted {
    pub producer: i64,
    /// Its first record in this log.
    pub first: Offset,
    /// Where its marker stands.
    pub marker: Offset,
    /// Everything before this was decided once the marker stood: a later entry can only reach down to here.
    pub stable: Offset,
}

/// What one batch does to the transactions of its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Records of a transaction, which they open if they are its first.
    Wrote {
        producer: i64,
    },
    Ended {
        producer: i64,
        how: Marker,
        coordinator_epoch: i32,
    },
}

impl Effect {
    /// Of a batch that was checked; `None` for the many that are in no transaction.
    pub fn of(header: &Header, batch: &[u8]) -> Option<Effect> {
        let producer = header.producer_id;
        if header.is_control() {
            let (how, coordinator_epoch) = records::marker_of(batch)?;
            return Some(Effect::Ended { producer, how, coordinator_epoch });
        }
        header.is_transactional().then_some(Effect::Wrote { producer })
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transactions {
    /// Open ones by where they began: producer and first offset. Never many.
    open: Vec<(i64, Offset)>,
    /// Given up and not settled yet, by rising marker.
    aborted: Vec<Aborted>,
}

impl Transactions {
    /// The batch at `at` is in the log.
    pub fn apply(&mut self, effect: Effect, at: Offset) {
        match effect {
            Effect::Wrote { producer } => {
                if !self.open.iter().any(|(id, _)| *id == producer) {
                    self.open.push((producer, at));
                }
            }
            Effect::Ended { producer, how, .. } => {
                // A marker without records changes nothing: the transaction wrote elsewhere.
                let Some(index) = self.open.iter().position(|(id, _)| *id == producer) else { return };
                let (_, first) = self.open.remove(index);
                if how == Marker::Abort {
                    let stable = self.stable(at.plus(1));
                    self.aborted.push(Aborted { producer, first, marker: at, stable });
                }
            }
        }
    }

    /// How far everything is decided, in a log that ends at `end`.
    pub fn stable(&self, end: Offset) -> Offset {
        self.open.first().map_or(end, |(_, first)| *first)
    }

    pub fn open(&self) -> &[(i64, Offset)] {
        &self.open
    }

    /// Where the open transaction of a producer began.
    pub fn began(&self, producer: i64) -> Option<Offset> {
        self.open.iter().find(|(id, _)| *id == producer).map(|(_, first)| *first)
    }

    pub fn aborted(&self) -> &[Aborted] {
        &self.aborted
    }

    /// Those given up whose markers stand before `below` are settled: segments speak of them.
    pub fn forget(&mut self, below: Offset) {
        let settled = self.aborted.partition_point(|aborted| aborted.marker < below);
        self.aborted.drain(..settled);
    }
}

/// What one takes in bytes.
pub const ABORTED_BYTES: usize = 32;

impl Aborted {
    pub fn encode(&self, out: &mut impl BufMut) {
        out.put_i64(self.producer);
        out.put_u64(self.first.0);
        out.put_u64(self.marker.0);
        out.put_u64(self.stable.0);
    }

    pub fn decode(from: &mut impl Buf) -> Option<Aborted> {
        (from.remaining() >= ABORTED_BYTES).then(|| Aborted {
            producer: from.get_i64(),
            first: Offset(from.get_u64()),
            marker: Offset(from.get_u64()),
            stable: Offset(from.get_u64()),
        })
    }
}

impl Transactions {
    /// `open u32 × (producer i64, first u64) │ aborted u32 × 32 bytes`; the given up ones from `from` on.
    pub fn encode(&self, from: Offset, out: &mut impl BufMut) {
        out.put_u32(self.open.len() as u32);
        for (producer, first) in &self.open {
            out.put_i64(*producer);
            out.put_u64(first.0);
        }
        let aborted = &self.aborted[self.aborted.partition_point(|a| a.marker < from)..];
        out.put_u32(aborted.len() as u32);
        aborted.iter().for_each(|a| a.encode(out));
    }

    pub fn decode(from: &mut impl Buf) -> Option<Transactions> {
        let mut transactions = Transactions::default();
        for _ in 0..from.try_get_u32().ok()? {
            transactions.open.push((from.try_get_i64().ok()?, Offset(from.try_get_u64().ok()?)));
        }
        for _ in 0..from.try_get_u32().ok()? {
            transactions.aborted.push(Aborted::decode(from)?);
        }
        Some(transactions)
    }
}

/// Puts those of `aborted` (by rising marker) that a reader of [from, to) must know into `found`. True: nothing behind them
/// can concern him.
pub fn concerning(aborted: &[Aborted], from: Offset, to: Offset, found: &mut Vec<Aborted>) -> bool {
    let begin = aborted.partition_point(|a| a.marker < from);
    for a in &aborted[begin..] {
        if a.first < to {
            found.push(*a);
        }
        if a.stable >= to {
            return true;
        }
    }
    false
}

/// Tells a careful reader which batches he must not show: markers, and what transactions wrote that were given up. Batches
/// are shown to it in order.
#[derive(Debug)]
pub struct Filter {
    /// By falling first offset: the next to begin is the last.
    coming: Vec<Aborted>,
    /// Producers inside a transaction that was given up.
    inside: Vec<i64>,
}

impl Filter {
    /// For a range of which [`concerning`] found these.
    pub fn new(mut aborted: Vec<Aborted>) -> Filter {
        aborted.sort_unstable_by_key(|a| std::cmp::Reverse((a.first, a.producer)));
        Filter { coming: aborted, inside: Vec::new() }
    }

    /// Whether the records of the next batch may be seen.
    pub fn shows(&mut self, header: &Header, batch: &[u8]) -> bool {
        let last = Offset(header.base_offset as u64 + header.last_offset_delta as u64);
        while let Some(begun) = self.coming.pop_if(|a| a.first <= last) {
            self.inside.push(begun.producer);
        }
        match Effect::of(header, batch) {
            Some(Effect::Ended { producer, how: Marker::Abort, .. }) => {
                self.inside.retain(|id| *id != producer);
                false
            }
            Some(Effect::Wrote { producer }) => !self.inside.contains(&producer),
            Some(Effect::Ended { .. }) => false,
            None => !header.is_control(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::Timestamp;
    use crate::record::batch::Batch;
    use crate::record::build::{self, Builder, NewRecord, Producer};
    use crate::record::compress::Codec;

    const WROTE: fn(i64) -> Effect = |producer| Effect::Wrote { producer };
    const ABORT: fn(i64) -> Effect = |producer| Effect::Ended { producer, how: Marker::Abort, coordinator_epoch: 0 };
    const COMMIT: fn(i64) -> Effect = |producer| Effect::Ended { producer, how: Marker::Commit, coordinator_epoch: 0 };

    #[test]
    fn a_careful_reader_sees_up_to_the_first_open_transaction() {
        let mut log = Transactions::default();
        let table = [
            (None, 5),
            (Some(WROTE(1)), 1),
            (Some(WROTE(2)), 1),
            (Some(WROTE(1)), 1),
            (None, 1),
            (Some(COMMIT(1)), 2),
            (Some(ABORT(3)), 2),
            (Some(ABORT(2)), 8),
        ];
        for (at, (effect, stable)) in (0..).zip(table) {
            if let Some(effect) = effect {
                log.apply(effect, Offset(at));
            }
            let end = if at == 0 { 5 } else { at + 1 };
            assert_eq!(log.stable(Offset(end)), Offset(stable), "after {at}");
        }
        let given_up = Aborted { producer: 2, first: Offset(2), marker: Offset(7), stable: Offset(8) };
        assert_eq!(log.aborted(), [given_up], "a marker without records is none, and a commit is not given up");
    }

    fn data(producer: i64, transactional: bool, at: u64) -> Batch {
        let builder = Builder::new(Codec::None).producer(Producer { id: producer, epoch: 0, sequence: 0 });
        let mut builder = if transactional { builder.transactional() } else { builder };
        builder.push(&NewRecord { value: Some(b"v"), ..NewRecord::default() });
        placed(builder.finish(), at)
    }

    fn marker(producer: i64, how: Marker, at: u64) -> Batch {
        let by = Producer { id: producer, epoch: 0, sequence: -1 };
        placed(build::marker(how, by, 0, Timestamp(0)), at)
    }

    fn placed(batch: Batch, at: u64) -> Batch {
        let mut bytes = bytes::BytesMut::from(&batch.bytes[..]);
        crate::record::batch::stamp(&mut bytes, Offset(at), 0);
        crate::record::batch::check(bytes.freeze()).expect("a sound batch")
    }

    #[derive(Clone, Copy, Debug)]
    enum Act {
        Plain,
        Write(i64),
        End(i64, Marker),
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let act = prop_oneof![
            Just(Act::Plain),
            (0..4i64).prop_map(Act::Write),
            (0..4i64).prop_map(Act::Write),
            (0..4i64, any::<bool>())
                .prop_map(|(id, commit)| Act::End(id, if commit { Marker::Commit } else { Marker::Abort })),
        ];
        prop::collection::vec(act, 1..60)
    }

    proptest! {
        /// Whatever range is read, with whatever part settled, exactly the records of transactions that were not given up
        /// are shown.
        #[test]
        fn what_was_given_up_is_never_seen(acts in acts(), from in 0..60usize, upto in 0..60usize) {
            let mut log = Transactions::default();
            let mut batches = Vec::new();
            // Where each transaction's records stand, and by which producer.
            let mut writing: Vec<Vec<usize>> = vec![Vec::new(); 4];
            let mut visible = vec![false; acts.len()];
            for (at, act) in acts.iter().enumerate() {
                let batch = match *act {
                    Act::Plain => {
                        visible[at] = true;
                        data(9, false, at as u64)
                    }
                    Act::Write(id) => {
                        writing[id as usize].push(at);
                        data(id, true, at as u64)
                    }
                    Act::End(id, how) => {
                        for wrote in writing[id as usize].drain(..) {
                            visible[wrote] = how == Marker::Commit;
                        }
                        marker(id, how, at as u64)
                    }
                };
                if let Some(effect) = Effect::of(&batch.header, &batch.bytes) {
                    log.apply(effect, Offset(at as u64));
                }
                batches.push(batch);
            }
            let stable = log.stable(Offset(acts.len() as u64)).0 as usize;
            let to = upto.min(stable);
            let from = from.min(to);
            let mut found = Vec::new();
            concerning(log.aborted(), Offset(from as u64), Offset(to as u64), &mut found);
            let mut filter = Filter::new(found);
            for at in from..to {
                let shown = filter.shows(&batches[at].header, &batches[at].bytes);
                prop_assert_eq!(shown, visible[at], "offset {} of {:?}", at, acts);
            }
        }
    }
}
