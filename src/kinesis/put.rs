//! Puts records: each is routed to an open shard, those of one log become as few batches as its limit allows, and all
//! batches go into one group: one sync, all or none. After a reshard the façade takes the new catalog and routes again;
//! no client is ever refused because of one.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::aws::error::Failure;
use crate::config::stream::{StreamSettings, TimestampType};
use crate::engine::catalog::{CATALOG_LOG, Catalog, Placement, Shard, Stream};
use crate::engine::{Error, Fetch, Group, Origin, Part, Permit, Read, Until};
use crate::ids::{LogId, Offset, ShardNo, Timestamp};
use crate::kinesis::mapping::{GENUINE_HEADER, HASH_KEY_HEADER, needs_genuine};
use crate::kinesis::sequence::{SequenceNumber, shard_id};
use crate::kinesis::target::Target;
use crate::kinesis::{Kinesis, error};
use crate::record::build::{Builder, NewRecord};
use crate::record::compress::Codec;
use crate::record::hash::{md5_key, murmur2_place};

/// How long a request is routed again and again before it fails, when reshards come between.
const PATIENCE_MS: i64 = 5_000;
/// How long one new catalog is waited for before the old one is tried again.
const NEWS_MS: i64 = 50;

/// One record to be put.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    pub partition_key: &'a str,
    /// ExplicitHashKey, as text and as the number it is.
    pub hash_key: Option<(&'a str, u128)>,
    pub data: &'a [u8],
}

/// What became of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Stored { shard: ShardNo, number: String },
    Failed { code: &'static str, message: String },
}

/// Who takes which record, at one instant.
struct Routes<'s> {
    stream: &'s Stream,
    /// Open shards by their first key; together they own every key.
    open: Vec<&'s Shard>,
}

impl<'s> Routes<'s> {
    fn new(stream: &'s Stream) -> Routes<'s> {
        let mut open: Vec<&Shard> = stream.shards.iter().filter(|shard| shard.end.is_none()).collect();
        open.sort_by_key(|shard| shard.first_key);
        Routes { stream, open }
    }

    fn of(&self, entry: &Entry<'_>) -> Option<&'s Shard> {
        let by_range = |hash: u128| {
            let at = self.open.partition_point(|shard| shard.last_key < hash);
            self.open.get(at).filter(|shard| shard.first_key <= hash).copied()
        };
        match (entry.hash_key, self.stream.placement) {
            (Some((_, hash)), _) => by_range(hash),
            (None, Placement::KeyRange) => by_range(md5_key(entry.partition_key.as_bytes())),
            (None, Placement::Murmur2) => {
                let log = murmur2_place(entry.partition_key.as_bytes(), self.stream.logs.len().max(1) as u32);
                let of_log = self.open.iter().find(|shard| shard.log == log).copied();
                // A drained log has no open shard: the key goes to whoever owns it now.
                of_log.or_else(|| by_range(md5_key(entry.partition_key.as_bytes())))
            }
        }
    }
}

/// Batches on their way, and which entries each holds.
#[derive(Default)]
struct Plan {
    parts: Vec<Part>,
    held: Vec<(Shard, Vec<usize>)>,
    failed: Vec<(usize, Outcome)>,
}

/// One log's batch being built.
struct Building<'s> {
    shard: &'s Shard,
    log: LogId,
    builder: Builder,
    held: Vec<usize>,
}

impl Plan {
    fn add(&mut self, building: Building<'_>) {
        let Building { shard, log, builder, held } = building;
        self.parts.push(Part { shard: Some(shard.no), ..Part::new(log, builder.finish()) });
        self.held.push((shard.clone(), held));
    }
}

/// Routes `which` of the entries and builds the batches of those that `may` be written.
fn plan(
    stream: &Stream,
    settings: &StreamSettings,
    entries: &[Entry<'_>],
    which: &[usize],
    now: Timestamp,
    mut may: impl FnMut(ShardNo, &Entry<'_>) -> Result<(), Outcome>,
) -> Plan {
    let limit = settings.max_message_bytes as usize;
    let routes = Routes::new(stream);
    let mut plan = Plan::default();
    let mut building: BTreeMap<u32, Building<'_>> = BTreeMap::new();
    for &index in which {
        let entry = &entries[index];
        let routed = routes.of(entry).and_then(|shard| Some((shard, stream.log(shard.log)?)));
        let Some((shard, log)) = routed else {
            plan.failed.push((index, internal()));
            continue;
        };
        if let Err(outcome) = may(shard.no, entry) {
            plan.failed.push((index, outcome));
            continue;
        }
        let mut headers: [(&[u8], Option<&[u8]>); 2] = [(&[], None); 2];
        let mut count = 0;
        if needs_genuine(entry.partition_key) {
            headers[count] = (GENUINE_HEADER, None);
            count += 1;
        }
        if let Some((text, _)) = entry.hash_key {
            headers[count] = (HASH_KEY_HEADER, Some(text.as_bytes()));
            count += 1;
        }
        let record = NewRecord {
            timestamp: now,
            key: Some(entry.partition_key.as_bytes()),
            value: Some(entry.data),
            headers: &headers[..count],
        };
        let fresh = || Building { shard, log, builder: builder(settings, now), held: Vec::new() };
        let here = building.entry(shard.log).or_insert_with(fresh);
        if here.builder.size_with(&record) > limit {
            let next = fresh();
            if next.builder.size_with(&record) > limit {
                let message =
                    format!("The record is larger than the {limit} bytes that stream {} accepts.", stream.name);
                plan.failed.push((index, Outcome::Failed { code: "InvalidArgumentException", message }));
                continue;
            }
            plan.add(std::mem::replace(here, next));
        }
        here.builder.push(&record);
        here.held.push(index);
    }
    for (_, last) in building {
        if !last.builder.is_empty() {
            plan.add(last);
        }
    }
    plan
}

fn builder(settings: &StreamSettings, now: Timestamp) -> Builder {
    let builder = Builder::new(Codec::None);
    match settings.message_timestamp_type {
        TimestampType::CreateTime => builder,
        TimestampType::LogAppendTime => builder.log_append_time(now),
    }
}

fn internal() -> Outcome {
    Outcome::Failed { code: "InternalFailure", message: "Internal Service Failure".to_string() }
}

impl Kinesis {
    /// Puts the entries, one outcome each, in order. What befalls the whole request is an error.
    pub async fn put(&self, target: &Target, entries: &[Entry<'_>]) -> Result<Vec<Outcome>, Failure> {
        let mut outcomes: Vec<Option<Outcome>> = vec![None; entries.len()];
        let mut paid = false;
        let began = self.engine.clock().now();
        while self.engine.clock().now() < began.plus_ms(PATIENCE_MS) {
            let which: Vec<usize> = (0..entries.len()).filter(|index| outcomes[*index].is_none()).collect();
            let now = self.engine.clock().now();
            let catalog = self.engine.catalog();
            let stream = target.find_active(&catalog, now)?;
            let may = |shard: ShardNo, entry: &Entry<'_>| {
                let bytes = (entry.data.len() + entry.partition_key.len()) as u64;
                // What is routed again has been paid for.
                if paid || self.within_limits(|limiter| limiter.take_write(stream.id, shard, bytes, now)) {
                    return Ok(());
                }
                let message = error::rate_exceeded(target, shard).message.unwrap_or_default();
                Err(Outcome::Failed { code: error::THROUGHPUT, message })
            };
            let plan = plan(stream, &self.settings(stream), entries, &which, now, may);
            paid = true;
            for (index, outcome) in plan.failed {
                outcomes[index] = Some(outcome);
            }
            if plan.parts.is_empty() {
                break;
            }
            let group = Group { parts: plan.parts, origin: Origin::Client };
            match self.engine.append(group, Permit::default()).await {
                Ok(placed) => {
                    for (place, (shard, held)) in placed.iter().zip(&plan.held) {
                        for (delta, index) in held.iter().enumerate() {
                            let number = SequenceNumber::of(shard, place.first.plus(delta as u64)).to_string();
                            outcomes[*index] = Some(Outcome::Stored { shard: shard.no, number });
                        }
                    }
                    break;
                }
                // A reshard came between: the log knows it before the catalog does.
                Err(refused) if matches!(refused.error, Error::ShardClosed { .. } | Error::NoSuchLog) => {
                    self.await_news(&catalog).await;
                }
                // One batch is at fault and the others were only in its company.
                Err(refused) if matches!(refused.error, Error::TooLarge { .. } | Error::Invalid(_)) => {
                    let failure = error::engine(&refused.error, target);
                    let message = failure.message.unwrap_or_default();
                    for index in plan.held.get(refused.part).into_iter().flat_map(|(_, held)| held) {
                        outcomes[*index] = Some(Outcome::Failed { code: failure.kind, message: message.clone() });
                    }
                }
                Err(refused) => return Err(error::engine(&refused.error, target)),
            }
        }
        Ok(outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(internal)).collect())
    }
}

impl Kinesis {
    /// Waits for another catalog than `seen`, for a short while: catalogs are folds of a log, and this waits for that log.
    async fn await_news(&self, seen: &Arc<Catalog>) {
        let Ok(bounds) = self.engine.bounds(CATALOG_LOG) else { return };
        if !Arc::ptr_eq(&self.engine.catalog(), seen) {
            return;
        }
        let read = Read { log: CATALOG_LOG, from: bounds.end, max_bytes: 1, until: Until::End };
        let deadline = self.engine.clock().now().plus_ms(NEWS_MS);
        self.engine.fetch(Fetch { reads: vec![read], min_bytes: 1, max_bytes: 1, deadline }).await;
    }
}

/// Reads an ExplicitHashKey that has the right pattern. `Err`: it is 2^128 or more.
pub fn hash_key(text: &str) -> Result<(&str, u128), Failure> {
    text.parse().map(|number| (text, number)).map_err(|_| error::hash_key_out_of_range(text))
}

/// What a PutRecord is told that one of many would have been told by itself.
pub fn single(outcome: Outcome) -> Result<(String, String), Failure> {
    match outcome {
        Outcome::Stored { shard, number } => Ok((shard_id(shard), number)),
        Outcome::Failed { code: "InternalFailure", message } => Err(Failure::internal(message)),
        Outcome::Failed { code, message } => Err(Failure::client(code, message)),
    }
}

/// Whether a SequenceNumberForOrdering can have been answered before `now`: the log orders puts by itself, so that this
/// is all that is asked of it.
pub fn ordering_number_fits(
    text: &str,
    stream: &Stream,
    end_of: impl Fn(LogId) -> Option<Offset>,
    now: Timestamp,
) -> bool {
    let Some(number) = SequenceNumber::parse(text) else { return false };
    let own = stream.shard(number.shard()).filter(|shard| number.is_of(shard));
    match own {
        Some(shard) => {
            let end = stream.log(shard.log).and_then(end_of);
            number.offset().is_none_or(|offset| end.is_some_and(|end| offset < end))
        }
        None => i64::try_from(number.time_s()).is_ok_and(|time_s| time_s.saturating_mul(1000) <= now.0),
    }
}

#[cfg(test)]
mod tests;
