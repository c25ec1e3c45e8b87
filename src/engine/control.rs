//! Changing the catalog: every change is decided by the catalog's ledger; the lane learns of new logs and new rules before
//! anybody else sees them. Nothing here touches records.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::catalog::{Ask, Catalog, Change, Changed, Stream};
use super::lane::News;
use super::ledgers::Through;
use super::{Engine, Error, Part, Receipt};
use crate::config::stream::{StreamDefaults, StreamSettings, TimestampType};
use crate::ids::{LogId, Offset, StreamId};
use crate::log::line::Rules;
use crate::log::segment::Roll;

/// How long a relaxed stream that does not say it (`flush.messages` alone is set) waits for its sync at most.
const RELAXED_MS: i64 = 1_000;

/// A stream as it is, and how many logs it is to have.
#[derive(Clone, Debug)]
pub struct Growth {
    pub stream: Arc<Stream>,
    pub logs: u32,
}

/// Appends the catalog's batches of a growth together with what else has to happen at that moment, all or none.
pub type GrowthCompany = Arc<dyn Fn(Growth, Vec<Part>) -> Pin<Box<dyn Future<Output = Receipt> + Send>> + Send + Sync>;

impl Engine {
    /// Who adds something to every growth of a stream: groups start at the beginning of a log that appears, and not
    /// wherever it ends when they first hear of it. Said once, before clients come.
    pub fn accompany_growth(&self, company: GrowthCompany) {
        assert!(self.company.set(company).is_ok(), "growth has one companion");
    }

    /// Every change of the catalog, many at once, each with its own answer; durable when it returns.
    pub async fn change(&self, changes: Vec<Change>) -> Vec<Result<Changed, Error>> {
        let Some(ledger) = self.ledger.get() else {
            return changes.iter().map(|_| Err(Error::ShuttingDown)).collect();
        };
        let mut answers = Vec::with_capacity(changes.len());
        // In order, but all in flight at once: the ledger decides them together and one sync makes them durable.
        let mut asks = tokio::task::JoinSet::new();
        let count = changes.len();
        let mut grows = Vec::new();
        for (i, change) in changes.into_iter().enumerate() {
            let id = StreamId(self.chance.draw_u128());
            let cuts = match &change {
                Change::Grow { id, logs } => match self.cut(*id, *logs).await {
                    Ok(cuts) => {
                        grows.push((i, *id));
                        cuts
                    }
                    Err(e) => {
                        answers.push((i, Err(e)));
                        continue;
                    }
                },
                _ => Vec::new(),
            };
            let ledger = ledger.clone();
            let through = self.through(&change);
            asks.spawn(async move {
                let ask = Ask { change, id, cuts };
                let answer = match through {
                    None => ledger.ask(ask).await,
                    Some(through) => ledger.ask_through(ask, through).await,
                };
                (i, answer.unwrap_or_else(Err))
            });
        }
        while let Some(answer) = asks.join_next().await {
            answers.extend(answer.ok());
        }
        answers.sort_by_key(|(i, _)| *i);
        assert!(answers.len() == count, "every change is answered");
        for (i, id) in grows {
            if answers[i].1.is_err() {
                self.reopen(id);
            }
        }
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    /// How a growth is appended, where somebody adds something to it.
    fn through(&self, change: &Change) -> Option<Through> {
        let Change::Grow { id, logs } = change else { return None };
        let company = self.company.get()?.clone();
        let growth = Growth { stream: self.catalog().stream_by_id(*id)?.clone(), logs: *logs };
        Some(Box::new(move |parts| company(growth, parts)))
    }

    /// Closes the open shards of a stream's logs for writers that name their shard, and says where: until the catalog
    /// has the new shards such writers are refused and choose again.
    async fn cut(&self, id: StreamId, logs: u32) -> Result<Vec<(LogId, Offset)>, Error> {
        let logs = self.catalog().plan_grow(id, logs)?;
        let (reply, answer) = oneshot::channel();
        self.inbox.put(News::Cut(logs, reply));
        answer.await.map_err(|_| Error::LaneFailed)
    }

    /// A stream whose logs were cut did not grow after all: its shards are as open as the catalog says.
    fn reopen(&self, id: StreamId) {
        let mut open = Vec::new();
        if let Some(stream) = self.catalog().stream_by_id(id) {
            self.rules_of(stream, &mut open);
        }
        self.inbox.put(News::Open(open));
    }

    /// A new catalog is durable: the lane learns of its logs first, then everybody may see it.
    pub(super) fn take_catalog(&self, catalog: Catalog, changed: Vec<Changed>) {
        let ruling = self.ruling();
        let mut open = Vec::new();
        let mut gone = Vec::new();
        for changed in &changed {
            match changed {
                Changed::Created(stream) | Changed::Altered(stream) | Changed::Grown(stream) => {
                    self.rules_of(stream, &mut open);
                }
                Changed::Deleted(stream) => gone.extend(&stream.logs),
                Changed::ProducerIds { .. } => {}
            }
        }
        if !open.is_empty() {
            for (id, _) in &open {
                self.logs.insert_new(*id);
            }
            self.inbox.put(News::Open(open));
        }
        self.catalog.store(Arc::new(catalog));
        drop(ruling);
        if !gone.is_empty() {
            gone.iter().for_each(|log| self.logs.remove(*log));
            self.inbox.put(News::Remove(gone));
            self.deletions.send_modify(|count| *count += 1);
        }
    }

    /// When the segments of a stream with these settings are full.
    pub(super) fn roll_of(&self, settings: &StreamSettings) -> Roll {
        // What is still being written is not compacted, so a segment may not stay open longer than that may take.
        let most_ms = if settings.compact { settings.max_compaction_lag_ms } else { i64::MAX };
        let bytes = u64::from(settings.segment_bytes).min(self.options.segment_limit_bytes);
        Roll { bytes, ms: settings.segment_ms.min(most_ms) }
    }

    /// What streams get that they do not set themselves: the server's own defaults, or what [`Engine::set_defaults`] said
    /// last.
    pub fn defaults(&self) -> Arc<StreamDefaults> {
        self.defaults.load_full()
    }

    /// What the server was started with.
    pub fn first_defaults(&self) -> &StreamDefaults {
        &self.options.defaults
    }

    /// How long a silent producer is remembered from now on; `None`: as long as the server was started with.
    pub fn set_producer_expiration(&self, ms: Option<i64>) {
        self.producer_expiration_ms.store(ms.unwrap_or(self.options.producer_expiration_ms), Ordering::Relaxed);
    }

    /// Other defaults for what streams do not set themselves, from now on: for writers, readers and retention.
    pub fn set_defaults(&self, defaults: StreamDefaults) {
        let _ruling = self.ruling();
        if **self.defaults.load() == defaults {
            return;
        }
        self.defaults.store(Arc::new(defaults));
        let mut rules = Vec::new();
        self.catalog().streams().for_each(|stream| self.rules_of(stream, &mut rules));
        self.inbox.put(News::Rules(rules));
    }

    /// Rules come from the catalog and the defaults together: who tells the lane of new ones must not be overtaken.
    fn ruling(&self) -> MutexGuard<'_, ()> {
        self.ruling.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the settings of a stream mean for each of its logs.
    pub(super) fn rules_of(&self, stream: &Stream, out: &mut Vec<(LogId, Rules)>) {
        // They were accepted once; a key that this version no longer knows falls back to the defaults.
        let settings = StreamSettings::parse_over(&self.defaults.load(), &stream.settings).unwrap_or_else(|bad| {
            tracing::warn!(stream = %stream.name, "a stored setting is ignored: {bad}");
            StreamSettings::default()
        });
        let relaxed = match settings.sync_before_ack() {
            true => None,
            false => Some(settings.flush_ms.map_or(RELAXED_MS, |ms| ms.max(1))),
        };
        let mut open = vec![None; stream.logs.len()];
        for shard in stream.shards.iter().filter(|s| s.end.is_none()) {
            if let Some(open) = open.get_mut(shard.log as usize) {
                *open = Some(shard.no);
            }
        }
        for (log, open_shard) in stream.logs.iter().zip(open) {
            out.push((
                *log,
                Rules {
                    max_batch_bytes: settings.max_message_bytes,
                    append_time: settings.message_timestamp_type == TimestampType::LogAppendTime,
                    relaxed_ms: relaxed,
                    relaxed_records: settings.flush_messages.map_or(u64::MAX, |count| count.max(1) as u64),
                    retention_ms: settings.retention_ms.filter(|_| settings.delete),
                    retention_bytes: settings.retention_bytes.filter(|_| settings.delete),
                    roll: self.roll_of(&settings),
                    open_shard,
                },
            ));
        }
    }
}
