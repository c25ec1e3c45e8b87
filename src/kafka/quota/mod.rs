//! Quotas: what clients may use, measured as Kafka measures it (KIP-13, KIP-55, KIP-124, KIP-599, KIP-612). Who used more
//! is answered at once, is told how long it is too early, and is not read for that time (KIP-219). Measured here, said and
//! waited for elsewhere. What was measured is forgotten by a restart; the quotas themselves are overrides.

pub mod limits;
pub mod rate;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use crate::clock::Stopwatch;
use crate::ids::Timestamp;
use crate::kafka::cx::Call;
use crate::kafka::error::{Code, Refusal};
use crate::kafka::overrides::door::{Door, Standing};
use limits::{Kind, Who};
use rate::{Bucket, Rate, WINDOW_MS, WINDOWS};

/// Clients measured at once. When there are more, those that have been silent go first, which loses nothing.
const METERS_LIMIT: usize = 10_000;
/// A client's time and new connections are paid for in pieces of at most this.
const LONGEST_PIECE_MS: i64 = WINDOW_MS;

/// What has been used lately. Shared by all connections.
#[derive(Debug, Default)]
pub struct Quotas(Mutex<Meters>);

#[derive(Debug, Default)]
struct Meters {
    rates: BTreeMap<(Kind, Who), Rate>,
    buckets: BTreeMap<Who, Bucket>,
    addresses: BTreeMap<IpAddr, Rate>,
}

impl Quotas {
    /// `None`: there is no quota for anybody.
    pub fn metered(&self, door: &Door, call: &Call) -> Option<Metered> {
        door.has_limits().then(|| Metered {
            standing: door.standing(),
            user: call.conn.principal().name().to_owned(),
            client: call.client_id.clone().unwrap_or_default(),
        })
    }

    /// Records what a client used; says how many ms it has to wait.
    pub fn charge(&self, metered: &Metered, kind: Kind, value: f64, now: Timestamp) -> i32 {
        let Some((who, limit)) = metered.find(kind) else { return 0 };
        let mut meters = self.meters();
        let key = (kind, who);
        make_room(&mut meters.rates, &key, |rate| rate.is_silent(now.0));
        let rate = meters.rates.entry(key).or_default();
        rate.record(value, now.0);
        let excess_ms = rate.excess_ms(limit, now.0);
        let ms = if kind == Kind::Request { excess_ms.min(LONGEST_PIECE_MS) } else { excess_ms };
        i32::try_from(ms).unwrap_or(i32::MAX)
    }

    /// Records a new connection; says how many ms it comes too early. Then it is not counted, and is closed after that time.
    pub fn connect(&self, door: &Door, address: IpAddr, now: Timestamp) -> i64 {
        let standing = door.standing();
        let Some(limit) = standing.limits.of_address(address) else { return 0 };
        let mut meters = self.meters();
        let address = address.to_canonical();
        make_room(&mut meters.addresses, &address, |rate| rate.is_silent(now.0));
        let rate = meters.addresses.entry(address).or_default();
        rate.record(1.0, now.0);
        let excess_ms = rate.excess_ms(limit, now.0);
        if excess_ms > 0 {
            rate.record(-1.0, now.0);
        }
        excess_ms.min(LONGEST_PIECE_MS)
    }

    /// For a request that creates or deletes partitions. `strict`: the client knows the error that says to come back later.
    pub fn mutations(&self, door: &Door, call: &Call, strict: bool, now: Timestamp) -> Mutations<'_> {
        let metered = self.metered(door, call);
        Mutations { quotas: self, measured: metered.and_then(|m| m.find(Kind::Mutation)), strict, now, wait_ms: 0 }
    }

    fn meters(&self) -> MutexGuard<'_, Meters> {
        // A panic elsewhere leaves at worst one figure out.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For a meter of `key`, unless it has one.
fn make_room<K: Ord, V>(meters: &mut BTreeMap<K, V>, key: &K, mut is_silent: impl FnMut(&mut V) -> bool) {
    if meters.len() >= METERS_LIMIT && !meters.contains_key(key) {
        meters.retain(|_, meter| !is_silent(meter));
        while meters.len() >= METERS_LIMIT {
            meters.pop_first();
        }
    }
}

/// A client, with the quotas as they stood when its request came.
#[derive(Debug)]
pub struct Metered {
    standing: Arc<Standing>,
    user: String,
    client: String,
}

impl Metered {
    fn find(&self, kind: Kind) -> Option<(Who, f64)> {
        self.standing.limits.find(kind, &self.user, &self.client)
    }

    /// Whether the time a request takes has to be known.
    pub fn pays_for_time(&self) -> bool {
        self.standing.limits.has(Kind::Request)
    }

    /// The most that can be used at once without certainly being too much.
    pub fn most_at_once(&self, kind: Kind) -> Option<f64> {
        let (_, limit) = self.find(kind)?;
        Some(limit * ((WINDOWS - 1) * WINDOW_MS / 1000) as f64)
    }
}

/// One request that creates or deletes partitions.
pub struct Mutations<'a> {
    quotas: &'a Quotas,
    measured: Option<(Who, f64)>,
    /// Refuses, instead of letting the client wait for what it was given.
    strict: bool,
    now: Timestamp,
    wait_ms: i64,
}

impl Mutations<'_> {
    /// So many partitions more, or too many already.
    pub fn record(&mut self, partitions: usize) -> Result<(), Refusal> {
        let Some((who, limit)) = &self.measured else { return Ok(()) };
        let (limit, now) = (*limit, self.now.0);
        let mut meters = self.quotas.meters();
        make_room(&mut meters.buckets, who, |_| false);
        let bucket = meters.buckets.entry(who.clone()).or_insert_with(|| Bucket::full(limit, now));
        if self.strict {
            let wait_ms = bucket.wait_ms(limit, now);
            if wait_ms > 0 {
                self.wait_ms = wait_ms;
                // Kafka has no other words for it than the error's own, which it does not send.
                return Err(Refusal::new(Code::ThrottlingQuotaExceeded, ""));
            }
        }
        bucket.draw(partitions as f64, limit, now);
        if !self.strict {
            self.wait_ms = bucket.wait_ms(limit, now);
        }
        Ok(())
    }

    /// How long the client has to wait.
    pub fn throttle_ms(&self) -> i32 {
        i32::try_from(self.wait_ms).unwrap_or(i32::MAX)
    }
}

/// A future with the time it took of its thread, in µs: waiting does not count.
pub struct Timed<F> {
    inner: Pin<Box<F>>,
    us: u64,
}

impl<F: Future> Timed<F> {
    pub fn new(inner: F) -> Timed<F> {
        Timed { inner: Box::pin(inner), us: 0 }
    }
}

impl<F: Future> Future for Timed<F> {
    type Output = (F::Output, u64);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let watch = Stopwatch::start();
        let polled = self.inner.as_mut().poll(cx);
        self.us += watch.us();
        polled.map(|output| (output, self.us))
    }
}

/// Percent of one thread's second.
pub fn percent_of_a_second(us: u64) -> f64 {
    us as f64 / 10_000.0
}
