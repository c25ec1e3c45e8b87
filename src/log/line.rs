//! The line of one log: where its next batch goes, and whether a batch may go there. Pure: the lane that owns the line
//! acts on what is decided here.

use crate::ids::{Offset, ShardNo, Timestamp};
use crate::log::producers::{Producers, SequenceError, Verdict};
use crate::log::segment::Roll;
use crate::log::transactions::{Effect, Transactions};
use crate::record::batch::Header;

/// What a stream's settings mean for the writing of one of its logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Of a batch as it is stored (`max.message.bytes`); ledgers are not held to it.
    pub max_batch_bytes: u32,
    /// Stamp the arrival time as every record's time (`message.timestamp.type=LogAppendTime`).
    pub append_time: bool,
    /// Publish when written, before it is synced (`flush.messages` / `flush.ms` were set): sync at least this often.
    pub relaxed_ms: Option<i64>,
    /// Such a stream is also synced when this many of the log's records have been written since the last sync.
    pub relaxed_records: u64,
    pub retention_ms: Option<i64>,
    pub retention_bytes: Option<u64>,
    pub roll: Roll,
    /// The shard that is open on this log; `None` once the log is drained.
    pub open_shard: Option<ShardNo>,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            max_batch_bytes: 1_048_588,
            append_time: false,
            relaxed_ms: None,
            relaxed_records: u64::MAX,
            retention_ms: None,
            retention_bytes: None,
            roll: Roll { bytes: 1 << 30, ms: 7 * 24 * 3_600_000 },
            open_shard: Some(ShardNo(0)),
        }
    }
}

/// The writing end of one log.
#[derive(Clone, Debug, Default)]
pub struct Line {
    pub start: Offset,
    /// Where the next batch goes.
    pub next: Offset,
    /// Leader epochs and the offset each began at, oldest first; the last is the current one. Empty: epoch 0 from 0.
    pub epochs: Vec<(u32, Offset)>,
    pub producers: Producers,
    pub transactions: Transactions,
    /// Arrival times never go back within a log, whatever the clock does.
    pub last_arrived: Timestamp,
    /// Everything below this has been compacted; offsets may be missing there.
    pub clean: Offset,
    pub rules: Rules,
}

/// Who a batch is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    Client,
    Marker,
    Ledger,
}

/// Why a batch may not be placed here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// The log does not end where the writer expects it to.
    Conflict { expected: Offset, actual: Offset },
    /// The shard the writer chose is not the open one of this log.
    ShardClosed { end: Offset },
    /// The batch is larger than the stream takes.
    TooLarge { limit: u32 },
    /// It does not continue what its producer wrote before.
    Sequence(SequenceError),
}

/// What a writer demands of the place it gets.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    pub expect: Option<Offset>,
    pub shard: Option<ShardNo>,
    pub joins: Option<Joins>,
    pub origin: Origin,
}

/// What the coordinator of transactions said about the writer of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Joins {
    /// This log is in the writer's transaction, if no marker of his stands at or behind this offset: it would have ended it
    /// in the meantime (Kafka's verification guard, KIP-890).
    pub since: Offset,
    /// The writer's epoch rises with every transaction, so the first sequence in this log is 0, and a marker from outside
    /// has an epoch above it (KIP-1228).
    pub bumps: bool,
}

impl Line {
    pub fn epoch(&self) -> u32 {
        self.epochs.last().map_or(0, |(epoch, _)| *epoch)
    }

    /// Whether a batch may be placed at `next` (the line's own next offset, or further on inside a group that has
    /// several batches for this log).
    pub fn decide(&self, header: &Header, terms: Terms, next: Offset) -> Result<Verdict, Unfit> {
        if let Some(expected) = terms.expect.filter(|e| *e != next) {
            return Err(Unfit::Conflict { expected, actual: next });
        }
        if terms.shard.is_some() && terms.shard != self.rules.open_shard {
            return Err(Unfit::ShardClosed { end: next });
        }
        if terms.origin == Origin::Client && header.bytes > self.rules.max_batch_bytes {
            return Err(Unfit::TooLarge { limit: self.rules.max_batch_bytes });
        }
        if header.is_control() && terms.origin == Origin::Ledger {
            // The coordinator alone gives out epochs and ends transactions.
            return Ok(Verdict::New);
        }
        let verdict = self.producers.decide(header).map_err(Unfit::Sequence)?;
        if header.is_control()
            && terms.joins.is_some_and(|joins| joins.bumps)
            && self.producers.epoch(header.producer_id).is_some_and(|known| header.producer_epoch <= known)
        {
            return Err(Unfit::Sequence(SequenceError::Fenced));
        }
        if verdict == Verdict::New && terms.origin == Origin::Client && header.has_producer() {
            self.decide_transaction(header, terms.joins).map_err(Unfit::Sequence)?;
        }
        Ok(verdict)
    }

    fn decide_transaction(&self, header: &Header, joins: Option<Joins>) -> Result<(), SequenceError> {
        let producer = header.producer_id;
        match (self.transactions.began(producer), header.is_transactional()) {
            (Some(_), true) | (None, false) => return Ok(()),
            (Some(_), false) => return Err(SequenceError::InvalidTransaction),
            (None, true) => {}
        }
        let Some(Joins { since, bumps }) = joins else { return Err(SequenceError::InvalidTransaction) };
        if self.producers.behind_marker(producer) > since {
            return Err(SequenceError::InvalidTransaction);
        }
        if bumps && !self.producers.knows(producer) && header.base_sequence != 0 {
            return Err(SequenceError::OutOfOrder);
        }
        Ok(())
    }

    /// Takes the place: the batch now stands at `first`.
    pub fn place(&mut self, header: &Header, effect: Option<Effect>, first: Offset, arrived: Timestamp) {
        self.next = first.plus(header.offsets());
        self.last_arrived = arrived;
        self.producers.apply(header, effect, first, arrived);
        if let Some(effect) = effect {
            self.transactions.apply(effect, first);
        }
    }

    /// The arrival time to give at wall time `now`.
    pub fn arrival(&self, now: Timestamp) -> Timestamp {
        now.max(self.last_arrived)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::build::{self, Builder, NewRecord, Producer};
    use crate::record::compress::Codec;
    use crate::record::records::Marker;

    #[test]
    fn a_marker_from_outside_is_above_the_epoch_of_what_it_ends_where_epochs_rise_with_each_transaction() {
        let mut line = Line::default();
        let by = |epoch| Producer { id: 7, epoch, sequence: 0 };
        let mut wrote = Builder::new(Codec::None).producer(by(3)).transactional();
        wrote.push(&NewRecord::default());
        let wrote = wrote.finish();
        line.place(&wrote.header, Some(Effect::Wrote { producer: 7 }), Offset(0), Timestamp(0));
        let joins = Some(Joins { since: Offset(0), bumps: true });
        for (epoch, joins, fits) in
            [(2, None, false), (3, None, true), (4, None, true), (2, joins, false), (3, joins, false), (4, joins, true)]
        {
            let marker = build::marker(Marker::Abort, by(epoch), 0, Timestamp(0));
            let terms = Terms { expect: None, shard: None, joins, origin: Origin::Marker };
            let decided = line.decide(&marker.header, terms, line.next);
            assert_eq!(decided.is_ok(), fits, "epoch {epoch}, {joins:?}: {decided:?}");
        }
    }
}
