//! The service's limits of one shard, as buckets that fill with time. Pure: time is an argument, and what a limit means for
//! a request is its caller's business. A restart forgets the buckets, rightly: they are full again within a second.
//!
//! ```text
//!                 fills by              holds at most   may be overdrawn
//! write records   1,000 a second        1 second's      no
//! write bytes     1 MiB a second        1 second's      no   (keys count)
//! read calls      5 a second            1 second's      no
//! read bytes      2 MiB a second        1 second's      yes: a page of 10 MiB is answered, then none for 4 s
//! iterators       5 a second            1 second's      no
//! ```

use std::collections::BTreeMap;

use crate::ids::{ShardNo, StreamId, Timestamp};

/// Shards whose buckets are remembered; beyond that the full ones are forgotten, which changes nothing.
const SHARDS: usize = 100_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Limit {
    WriteRecords,
    WriteBytes,
    ReadCalls,
    ReadBytes,
    Iterators,
}

impl Limit {
    fn per_second(self) -> i64 {
        match self {
            Limit::WriteRecords => 1_000,
            Limit::WriteBytes => 1 << 20,
            Limit::ReadCalls | Limit::Iterators => 5,
            Limit::ReadBytes => 2 << 20,
        }
    }

    /// Its label in the metrics.
    pub fn name(self) -> &'static str {
        match self {
            Limit::WriteRecords => "write records",
            Limit::WriteBytes => "write bytes",
            Limit::ReadCalls => "read calls",
            Limit::ReadBytes => "read bytes",
            Limit::Iterators => "iterators",
        }
    }
}

/// What one bucket holds, in thousandths: it fills by `per_second` thousandths each millisecond.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    thousandths: i64,
    at: Timestamp,
}

impl Bucket {
    fn fill(&mut self, limit: Limit, now: Timestamp) {
        // A clock that went back fills nothing; no bucket ever needs more than an hour.
        let ms = now.0.saturating_sub(self.at.0).clamp(0, 3_600_000);
        let most = limit.per_second() * 1000;
        self.thousandths = (self.thousandths + ms * limit.per_second()).min(most);
        self.at = now;
    }
}

/// The buckets of all shards that were used lately.
#[derive(Debug, Default)]
pub struct Limiter {
    buckets: BTreeMap<(StreamId, ShardNo, Limit), Bucket>,
}

impl Limiter {
    /// Takes an amount, if the bucket holds it. `false`: nothing was taken.
    pub fn take(&mut self, stream: StreamId, shard: ShardNo, limit: Limit, amount: u64, now: Timestamp) -> bool {
        let asked = thousandths(amount);
        let bucket = self.bucket(stream, shard, limit, now);
        let enough = bucket.thousandths >= asked;
        if enough {
            bucket.thousandths -= asked;
        }
        enough
    }

    /// Takes two amounts, or neither.
    pub fn take_write(&mut self, stream: StreamId, shard: ShardNo, bytes: u64, now: Timestamp) -> Result<(), Limit> {
        if !self.take(stream, shard, Limit::WriteRecords, 1, now) {
            return Err(Limit::WriteRecords);
        }
        if !self.take(stream, shard, Limit::WriteBytes, bytes, now) {
            self.bucket(stream, shard, Limit::WriteRecords, now).thousandths += thousandths(1);
            return Err(Limit::WriteBytes);
        }
        Ok(())
    }

    /// Whether a bucket that may be overdrawn holds anything.
    pub fn holds_any(&mut self, stream: StreamId, shard: ShardNo, limit: Limit, now: Timestamp) -> bool {
        self.bucket(stream, shard, limit, now).thousandths > 0
    }

    /// Takes an amount, overdrawing the bucket if need be.
    pub fn spend(&mut self, stream: StreamId, shard: ShardNo, limit: Limit, amount: u64, now: Timestamp) {
        self.bucket(stream, shard, limit, now).thousandths -= thousandths(amount);
    }

    fn bucket(&mut self, stream: StreamId, shard: ShardNo, limit: Limit, now: Timestamp) -> &mut Bucket {
        if self.buckets.len() >= SHARDS {
            self.buckets.retain(|(_, _, limit), bucket| {
                bucket.fill(*limit, now);
                bucket.thousandths < limit.per_second() * 1000
            });
        }
        let full = Bucket { thousandths: limit.per_second() * 1000, at: now };
        let bucket = self.buckets.entry((stream, shard, limit)).or_insert(full);
        bucket.fill(limit, now);
        bucket
    }
}

fn thousandths(amount: u64) -> i64 {
    i64::try_from(amount).unwrap_or(i64::MAX / 1000).saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: StreamId = StreamId(1);
    const A: ShardNo = ShardNo(0);

    fn at(ms: i64) -> Timestamp {
        Timestamp(1_000_000 + ms)
    }

    #[test]
    fn a_second_s_worth_of_records_passes_and_then_one_for_each_millisecond() {
        let mut limiter = Limiter::default();
        let passed = (0..1500).filter(|_| limiter.take_write(S, A, 1, at(0)).is_ok()).count();
        assert_eq!(passed, 1000);
        assert_eq!(limiter.take_write(S, A, 1, at(0)), Err(Limit::WriteRecords));
        let passed = (0..100).filter(|_| limiter.take_write(S, A, 1, at(7)).is_ok()).count();
        assert_eq!(passed, 7);
    }

    #[test]
    fn a_mebibyte_passes_in_a_second_and_a_refused_record_costs_nothing() {
        let mut limiter = Limiter::default();
        assert_eq!(limiter.take_write(S, A, 1 << 20, at(0)), Ok(()));
        assert_eq!(limiter.take_write(S, A, 1, at(0)), Err(Limit::WriteBytes));
        // 999 records are left although one was refused for its bytes.
        let passed = (0..1500).filter(|_| limiter.take_write(S, A, 0, at(0)).is_ok()).count();
        assert_eq!(passed, 999);
    }

    #[test]
    fn shards_and_limits_have_buckets_of_their_own() {
        let mut limiter = Limiter::default();
        for shard in [A, ShardNo(1)] {
            assert!((0..5).all(|_| limiter.take(S, shard, Limit::ReadCalls, 1, at(0))));
            assert!(!limiter.take(S, shard, Limit::ReadCalls, 1, at(0)));
            assert!(limiter.take(S, shard, Limit::Iterators, 1, at(0)));
        }
        assert!(limiter.take(S, A, Limit::ReadCalls, 1, at(200)));
        assert!(!limiter.take(S, A, Limit::ReadCalls, 1, at(200)));
    }

    #[test]
    fn a_large_page_is_paid_for_afterwards() {
        let mut limiter = Limiter::default();
        assert!(limiter.holds_any(S, A, Limit::ReadBytes, at(0)));
        limiter.spend(S, A, Limit::ReadBytes, 10 << 20, at(0));
        assert!(!limiter.holds_any(S, A, Limit::ReadBytes, at(4000)));
        assert!(limiter.holds_any(S, A, Limit::ReadBytes, at(4001)));
    }

    #[test]
    fn a_clock_that_goes_back_fills_nothing_and_breaks_nothing() {
        let mut limiter = Limiter::default();
        assert!((0..5).all(|_| limiter.take(S, A, Limit::ReadCalls, 1, at(0))));
        assert!(!limiter.take(S, A, Limit::ReadCalls, 1, at(-60_000)));
        assert!(limiter.take(S, A, Limit::ReadCalls, 1, at(-59_000)));
        assert!(!limiter.take(S, A, Limit::WriteBytes, u64::MAX, at(0)));
    }

    #[test]
    fn buckets_of_idle_shards_are_forgotten() {
        let mut limiter = Limiter::default();
        for no in 0..=SHARDS as u32 {
            limiter.take(S, ShardNo(no), Limit::Iterators, 1, at(i64::from(no)));
        }
        assert!(limiter.buckets.len() < 1000, "{}", limiter.buckets.len());
    }
}
