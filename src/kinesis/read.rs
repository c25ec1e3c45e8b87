//! Reads records for a Kinesis client: pages of the engine, opened, and shown record by record as the JSON of the answer.
//! Never waits for data. What cannot be shown (control batches, records over the face's limit, batches that cannot be
//! decoded) is stepped over; the last two are counted.

use crate::aws::write::Out;
use crate::engine::catalog::Shard;
use crate::engine::sabotage::{self, Bug};
use crate::engine::{Error, Fetch, Filter, Page, Read, Stored, Until};
use crate::ids::{LogId, Offset, ShardNo, StreamId, Timestamp};
use crate::kinesis::Kinesis;
use crate::kinesis::budget::Charge;
use crate::kinesis::limits::Limit;
use crate::kinesis::mapping::{GENUINE_HEADER, Shown, shown};
use crate::kinesis::sequence::SequenceNumber;
use crate::metrics;
use crate::record::batch::{self, Batch};
use crate::record::compress::Limits;
use crate::record::records;

/// Most records of one answer.
pub const RECORDS_LIMIT: usize = 10_000;
/// Most bytes of data and keys of one answer; one record is answered whatever its size.
pub const ANSWER_LIMIT_BYTES: usize = 10 * 1024 * 1024;
/// What the JSON of a record takes besides its key and data, at most.
const FRAME_BYTES: usize = 256;
/// Pages one call reads while it finds nothing to show.
const PAGES: usize = 64;

/// Where a reader is, and what its answer still has room for.
pub struct Cursor<'s> {
    shard: &'s Shard,
    /// The next offset to be looked at.
    pub next: Offset,
    /// Data and key of a record that is shown are no more than this.
    show_limit_bytes: usize,
    records_left: usize,
    bytes_left: usize,
    open_limits: Limits,
    /// What the answer has been charged; gives it a buffer.
    pub charge: Charge,
    /// There was a record, no memory for it, and nothing has been shown.
    pub starved: bool,
    shown: usize,
    shown_bytes: u64,
    /// When the first record arrived that was there and had no room.
    pub unread: Option<Timestamp>,
    /// When the last batch that was looked at arrived.
    seen: Timestamp,
}

impl<'s> Cursor<'s> {
    pub fn new(
        shard: &'s Shard,
        next: Offset,
        records: usize,
        show_limit_bytes: usize,
        open_limits: Limits,
        charge: Charge,
    ) -> Cursor<'s> {
        Cursor {
            shard,
            next: next.max(shard.start),
            show_limit_bytes,
            records_left: records.min(RECORDS_LIMIT),
            bytes_left: ANSWER_LIMIT_BYTES,
            open_limits,
            charge,
            starved: false,
            shown: 0,
            shown_bytes: 0,
            unread: None,
            seen: Timestamp(0),
        }
    }

    /// Bytes of data and keys that were shown.
    pub fn bytes(&self) -> u64 {
        self.shown_bytes
    }

    /// Whether the shard is closed and has been read to its end.
    pub fn at_end(&self) -> bool {
        self.shard.end.is_some_and(|end| self.next >= end)
    }

    /// Shows what there is in one batch, as elements of the list that `out` is in, unless `filter` says that nobody sees it:
    /// a marker, or what a transaction wrote that was given up.
    pub fn show(&mut self, stored: &Stored, filter: &mut Filter, skipped: &mut Skipped, out: &mut Out) {
        let batch = match batch::trust(stored.bytes.clone()) {
            Ok(batch) => batch,
            Err(error) => {
                // The engine hands out whole batches; one that is none cannot be stepped over either, so it ends the page.
                tracing::error!(?error, offset = %self.next, "the engine handed out what is no batch");
                skipped.undecodable += 1;
                return;
            }
        };
        let shows = filter.shows(&batch.header, &batch.bytes);
        let base = batch.header.base_offset.max(0) as u64;
        let behind = Offset(base + batch.header.offsets());
        if behind <= self.next {
            return;
        }
        self.seen = stored.arrived;
        if shows && !self.show_records(&batch, base, stored.arrived, skipped, out) {
            return;
        }
        self.next = self.next.max(behind);
    }

    /// `false`: a record had no room, and the cursor stands before it.
    fn show_records(
        &mut self,
        batch: &Batch,
        base: u64,
        arrived: Timestamp,
        skipped: &mut Skipped,
        out: &mut Out,
    ) -> bool {
        let opened = match records::open(batch, self.open_limits) {
            Ok(opened) => opened,
            Err(error) => {
                tracing::warn!(?error, offset = base, "a batch cannot be opened and is skipped by Kinesis readers");
                // One, whatever number of records the header claims: nobody has seen them.
                skipped.undecodable += 1;
                return true;
            }
        };
        for view in opened.views() {
            let view = match view {
                Ok(view) => view,
                Err(error) => {
                    tracing::warn!(?error, offset = base, "the rest of a batch cannot be read and is skipped");
                    skipped.undecodable += 1;
                    return true;
                }
            };
            let offset = Offset(base + u64::from(view.offset_delta.max(0) as u32));
            if offset < self.next || self.shard.end.is_some_and(|end| offset >= end) {
                continue;
            }
            let genuine =
                view.headers.clone().any(|(name, _)| name == GENUINE_HEADER) && !sabotage::is(Bug::GenuineForgotten);
            match shown(view.key, view.value, genuine, self.show_limit_bytes) {
                Shown::Oversize => skipped.oversize += 1,
                Shown::Record { partition_key, data } => {
                    let bytes = partition_key.len() + data.len();
                    if self.records_left == 0 || (bytes > self.bytes_left && self.shown > 0) {
                        self.unread = Some(arrived);
                        return false;
                    }
                    // A byte of a key can be six in JSON.
                    let written = data.len().div_ceil(3) * 4 + partition_key.len() * 6 + FRAME_BYTES;
                    if !self.charge.make_room(out, written) {
                        self.unread = Some(arrived);
                        self.starved = self.shown == 0;
                        return false;
                    }
                    self.records_left -= 1;
                    self.bytes_left = self.bytes_left.saturating_sub(bytes);
                    self.shown += 1;
                    self.shown_bytes += bytes as u64;
                    let numbered = if sabotage::is(Bug::NumberOffByOne) { offset.plus(1) } else { offset };
                    out.begin();
                    out.text("SequenceNumber", &SequenceNumber::of(self.shard, numbered).to_string());
                    out.time_ms("ApproximateArrivalTimestamp", arrived.0);
                    out.blob("Data", data);
                    out.text("PartitionKey", &partition_key);
                    out.end();
                }
            }
            self.next = offset.plus(1);
        }
        true
    }
}

/// Records that exist and could not be shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    pub oversize: u64,
    /// Batches, and the rest of batches, that cannot be read.
    pub undecodable: u64,
    /// Withheld by the engine: their bytes no longer match their checksum.
    pub damaged: u64,
}

impl Skipped {
    fn count(&self) {
        let reasons = [("oversize", self.oversize), ("undecodable", self.undecodable), ("damaged", self.damaged)];
        for (reason, number) in reasons {
            if number > 0 {
                metrics::SKIPPED_RECORDS.of(reason).add(number);
            }
        }
    }
}

impl Kinesis {
    /// A reader of a shard from an offset on.
    pub fn cursor<'s>(&self, shard: &'s Shard, next: Offset, records: usize, show_limit_bytes: usize) -> Cursor<'s> {
        Cursor::new(shard, next, records, show_limit_bytes, self.open_limits, self.answers.open())
    }

    /// Whether the limits let this shard be read now.
    pub fn may_read(&self, stream: StreamId, shard: ShardNo, now: Timestamp) -> bool {
        self.within_limits(|limiter| {
            if !limiter.holds_any(stream, shard, Limit::ReadBytes, now) {
                return Err(Limit::ReadBytes);
            }
            if limiter.take(stream, shard, Limit::ReadCalls, 1, now) { Ok(()) } else { Err(Limit::ReadCalls) }
        })
    }

    /// Pays for what was read.
    pub fn was_read(&self, stream: StreamId, shard: ShardNo, bytes: u64, now: Timestamp) {
        self.within_limits(|limiter| {
            limiter.spend(stream, shard, Limit::ReadBytes, bytes, now);
            Ok(())
        });
    }

    /// Whether the limits let an iterator be made now.
    pub fn may_make_iterator(&self, stream: StreamId, shard: ShardNo, now: Timestamp) -> bool {
        self.within_limits(|limiter| {
            if limiter.take(stream, shard, Limit::Iterators, 1, now) { Ok(()) } else { Err(Limit::Iterators) }
        })
    }

    /// Fills an answer from `log` until the cursor is full, at the tip, or at the end of its shard. The list of records
    /// is open in `out`.
    pub async fn read(&self, log: LogId, cursor: &mut Cursor<'_>, out: &mut Out) -> Result<(), Error> {
        let Ok(_turn) = self.reads.acquire().await else { return Err(Error::ShuttingDown) };
        let mut skipped = Skipped::default();
        let mut result = Ok(());
        let mut pages = 0;
        while cursor.unread.is_none() && !cursor.at_end() {
            if pages == PAGES {
                // So much that cannot be shown: the reader comes back for the rest, which is about as old as this.
                cursor.unread = Some(cursor.seen);
                break;
            }
            pages += 1;
            match self.page(log, cursor).await {
                Ok(page) if page.batches.is_empty() => break,
                Ok(page) => {
                    let before = cursor.next;
                    let mut filter = Filter::new(page.aborted);
                    for stored in &page.batches {
                        cursor.show(stored, &mut filter, &mut skipped, out);
                        if cursor.unread.is_some() || cursor.at_end() {
                            break;
                        }
                    }
                    if cursor.next == before {
                        break;
                    }
                }
                // Damaged records are withheld: a reader goes on behind them.
                Err(Error::Corrupt { end, .. }) if end > cursor.next => {
                    skipped.damaged += end.0 - cursor.next.0;
                    cursor.next = end;
                }
                // What was there has been given up: a reader goes on at the horizon.
                Err(Error::OutOfRange(bounds)) if bounds.start > cursor.next => cursor.next = bounds.start,
                Err(Error::OutOfRange(_)) => break,
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        skipped.count();
        result
    }

    async fn page(&self, log: LogId, cursor: &Cursor<'_>) -> Result<Page, Error> {
        // Little is asked for where little can be answered: the first batch comes whatever its size.
        let max_bytes = match cursor.records_left {
            0 => 1,
            records => (records * 4096).clamp(64 * 1024, ANSWER_LIMIT_BYTES),
        };
        let read = Read { log, from: cursor.next, max_bytes, until: Until::Committed };
        let want = Fetch { reads: vec![read], min_bytes: 0, max_bytes, deadline: self.engine.clock().now() };
        match self.engine.fetch(want).await.pop() {
            Some(page) => page,
            None => Err(Error::ShuttingDown),
        }
    }
}

#[cfg(test)]
mod tests;
