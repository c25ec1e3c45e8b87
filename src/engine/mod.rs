//! The engine: logs, their one writer, their readers, and the catalog of streams. Façades call its eight verbs and
//! nothing else. It does not know Kafka, Kinesis or HTTP.

pub mod backup;
pub mod catalog;
pub mod check;
pub mod compact;
mod control;
pub mod driver;
pub mod fetch;
pub mod frame;
mod holes;
pub mod lane;
pub mod ledgers;
mod maintain;
mod merge;
mod notes;
pub mod open;
mod options;
pub mod packs;
mod reading;
mod removals;
pub mod sabotage;
mod seek;
mod sweep;
pub mod table;
pub mod tail;
#[cfg(test)]
mod tests;
pub mod vault;
pub mod verify;
mod window;
mod word;

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};

use crate::chance::Chance;
use crate::clock::Clock;
use crate::config::stream::StreamDefaults;
use crate::ids::{LogId, Offset, ShardNo, Timestamp};
use crate::log::line::Rules;
use crate::log::line::Unfit;
pub use crate::log::line::{Joins, Origin};
pub use crate::log::producers::{Active, SequenceError};
pub use crate::log::transactions::{Aborted, Filter};
use crate::record::batch::Batch;
use crate::store::journal::JournalOptions;
use crate::store::{Disk, Open};
use catalog::{CATALOG_LOG, CatalogMachine};
pub use catalog::{Catalog, Change, Changed};
pub use control::{Growth, GrowthCompany};
use driver::Parts;
use lane::{Appending, Inbox, Lane, News};
use ledgers::{Effects, Ledger};
pub use open::Recovery;
pub use options::{Options, SMALL_FRAME_BYTES};
use packs::Packs;
use tail::Logs;
use vault::Vault;
use word::Word;

/// Where a log begins and ends, at one instant.
///
/// ```text
///      start          committed         end
///   ─────┼────────────────┼─────────────┼─ ─ ─ ─ ─►
///  given │  everyone may  │ open        │ ordered, not yet
///  up    │  read          │ transactions│ safe: invisible
/// ```
///
/// Invariant: start ≤ committed ≤ end. `end` is the synced prefix; on a stream that opted out of syncing, the
/// written prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    pub start: Offset,
    pub committed: Offset,
    pub end: Offset,
}

/// Memory for bytes that have arrived and are not yet in a log. Returned when dropped.
#[derive(Debug, Default)]
pub struct Permit {
    _held: Option<OwnedSemaphorePermit>,
}

/// One batch on its way into one log.
#[derive(Clone, Debug)]
pub struct Part {
    pub log: LogId,
    pub batch: Batch,
    /// Refuse unless the log ends exactly here: how a ledger fences its predecessor.
    pub expect: Option<Offset>,
    /// Refuse unless this is the open shard of the log: how a writer that chose by key range meets a reshard.
    pub shard: Option<ShardNo>,
    /// What is known of the transaction that the batch says it is part of; without it none is begun.
    pub joins: Option<Joins>,
}

impl Part {
    /// A batch that may stand wherever its log ends.
    pub fn new(log: LogId, batch: Batch) -> Part {
        Part { log, batch, expect: None, shard: None, joins: None }
    }
}

/// Batches that happen together or not at all, for one or many logs.
#[derive(Clone, Debug)]
pub struct Group {
    pub parts: Vec<Part>,
    pub origin: Origin,
}

/// Where one part of a group came to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    pub log: LogId,
    /// The offset of the batch's first record (of the original, if this was a duplicate).
    pub first: Offset,
    /// When the batch arrived (of the original, if this was a duplicate).
    pub arrived: Timestamp,
    /// The start of the log at that moment.
    pub start: Offset,
    pub duplicate: bool,
}

/// Why a group was refused: the first part that could not be placed, and what was wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub part: usize,
    pub error: Error,
}

/// Resolves when a group is durable (or refused): one [`Placed`] per part, in order.
pub struct Receipt(oneshot::Receiver<Result<Vec<Placed>, Refused>>);

impl Future for Receipt {
    type Output = Result<Vec<Placed>, Refused>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|reply| reply.unwrap_or(Err(Refused { part: 0, error: Error::LaneFailed })))
    }
}

impl Receipt {
    fn refused(error: Error) -> Receipt {
        let (reply, receipt) = oneshot::channel();
        // The other end stands right here.
        let _ = reply.send(Err(Refused { part: 0, error }));
        Receipt(receipt)
    }
}

/// A read of many logs at once.
#[derive(Clone, Debug)]
pub struct Fetch {
    pub reads: Vec<Read>,
    /// Wait until this many bytes can be answered (0: never wait) …
    pub min_bytes: usize,
    /// Over all reads; the first batch of all is answered whatever its size (KIP-74).
    pub max_bytes: usize,
    /// … or until this moment.
    pub deadline: Timestamp,
}

#[derive(Clone, Debug)]
pub struct Read {
    pub log: LogId,
    pub from: Offset,
    pub max_bytes: usize,
    pub until: Until,
}

/// How far a reader may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Everything durable ([`Bounds::end`]).
    End,
    /// Only what no open transaction can still undo ([`Bounds::committed`]).
    Committed,
}

/// What one read found: whole batches, the first of which may begin below `from`.
#[derive(Clone, Debug)]
pub struct Page {
    pub bounds: Bounds,
    pub batches: Vec<Stored>,
    /// For a reader up to [`Until::Committed`]: the transactions given up that reach into these batches, by first offset.
    pub aborted: Vec<Aborted>,
}

/// One batch as it stands in the log, with the moment it arrived.
#[derive(Clone, Debug)]
pub struct Stored {
    pub bytes: Bytes,
    pub arrived: Timestamp,
}

/// A producer that a log remembers, and where its transaction there began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writer {
    pub active: Active,
    pub began: Option<Offset>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seek {
    Start,
    Committed,
    End,
    /// The first record whose own timestamp is at or after this.
    Time(Timestamp),
    /// The first record that arrived at or after this.
    Arrival(Timestamp),
    /// The record with the greatest timestamp.
    MaxTime,
}

/// A place in a log, with the time of the record there (-1 where none is meant) and the leader epoch it was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub offset: Offset,
    pub time: Timestamp,
    pub epoch: u32,
}

/// How large a volume is, and what is left of it for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Volume {
    pub total_bytes: u64,
    pub free_bytes: u64,
}

/// What can go wrong, as facts. Only `LaneFailed` leaves open whether it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    NoSuchStream,
    StreamExists,
    NoSuchLog,
    ShardClosed {
        end: Offset,
    },
    OutOfRange(Bounds),
    Conflict {
        expected: Offset,
        actual: Offset,
    },
    Sequence(SequenceError),
    /// The batch is larger than the stream's `max.message.bytes`.
    TooLarge {
        limit: u32,
    },
    /// A change of the catalog that makes no sense, in words for the person who asked.
    Invalid(String),
    /// Stored bytes that no longer match their checksum; they are withheld.
    Corrupt {
        first: Offset,
        end: Offset,
    },
    /// The disk did not give what is stored there, which is not lost by that: it may when it is asked again.
    Unreadable {
        at: Offset,
    },
    /// The disk has no room; reads go on, and writes when there is room again.
    Full,
    Overloaded,
    ShuttingDown,
    LaneFailed,
}

impl From<Unfit> for Error {
    fn from(unfit: Unfit) -> Error {
        match unfit {
            Unfit::Conflict { expected, actual } => Error::Conflict { expected, actual },
            Unfit::ShardClosed { end } => Error::ShardClosed { end },
            Unfit::TooLarge { limit } => Error::TooLarge { limit },
            Unfit::Sequence(why) => Error::Sequence(why),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NoSuchStream => f.write_str("no such stream"),
            Error::StreamExists => f.write_str("a stream of this name exists"),
            Error::NoSuchLog => f.write_str("no such log"),
            Error::ShardClosed { end } => write!(f, "the shard was closed at offset {end}"),
            Error::OutOfRange(b) => write!(f, "the offset is outside {}..{}", b.start, b.end),
            Error::Conflict { expected, actual } => write!(f, "the log ends at {actual}, not at {expected}"),
            Error::Sequence(why) => write!(f, "the producer's sequence was refused: {why:?}"),
            Error::TooLarge { limit } => write!(f, "the batch is larger than {limit} bytes"),
            Error::Invalid(why) => f.write_str(why),
            Error::Corrupt { first, end } => write!(f, "records {first}..{end} are damaged on disk"),
            Error::Unreadable { at } => write!(f, "the disk does not give the records from {at} on"),
            Error::Full => f.write_str("the disk is full"),
            Error::Overloaded => f.write_str("too much is waiting"),
            Error::ShuttingDown => f.write_str("the engine is stopping"),
            Error::LaneFailed => f.write_str("the journal failed"),
        }
    }
}

impl std::error::Error for Error {}

/// Who gives the lane its turns.
pub enum Driver {
    /// OS threads: a server.
    Threads,
    /// One task, which syncs at the pace it is told: a simulation. Disk reads happen in place.
    Task(Box<dyn FnMut() -> Duration + Send>),
}

/// The eight verbs: admit append fetch seek trim bounds catalog change.
pub struct Engine {
    clock: Clock,
    chance: Chance,
    options: Options,
    inbox: Arc<Inbox>,
    logs: Arc<Logs>,
    vault: Arc<Vault>,
    disk: Arc<dyn Disk>,
    catalog: ArcSwap<Catalog>,
    ledger: OnceLock<Ledger<CatalogMachine>>,
    /// Counts deletions of streams.
    deletions: watch::Sender<u64>,
    company: OnceLock<control::GrowthCompany>,
    ingress: Arc<Semaphore>,
    small_ingress: Arc<Semaphore>,
    failure: Arc<driver::Failure>,
    stopping: Word<()>,
    secret: [u8; 32],
    threads: Mutex<Vec<JoinHandle<()>>>,
    reads_in_place: bool,
    /// Held while the lane is told of new rules.
    ruling: Mutex<()>,
    defaults: ArcSwap<StreamDefaults>,
    producer_expiration_ms: AtomicI64,
}

impl Engine {
    /// Opens a data directory (an empty one becomes an empty engine) and starts its lane.
    pub async fn open(
        options: Options,
        disk: Arc<dyn Disk>,
        clock: Clock,
        chance: Chance,
        driver: Driver,
    ) -> io::Result<(Arc<Engine>, Recovery)> {
        let began = clock.now();
        let secret = secret(&*disk, &chance)?;
        disk.create_dir_all("journal")?;
        disk.create_dir_all("logs")?;
        disk.create_dir_all(packs::DIR)?;
        let clean = take_clean_mark(&*disk)?;
        disk.sync_dir("")?;
        let journal_options =
            JournalOptions { file_bytes: options.journal_file_bytes, keep_spare: options.journal_spare_files };
        let (journal, slots, packs, mut recovery) = open::recover(&disk, journal_options, &mut || chance.draw())?;
        if recovery.rotten == 0 {
            recovery.swept_files = sweep::sweep(&*disk, &slots, &packs.packs, clean)?;
        }
        let syncer = journal.syncer();
        let inbox = Arc::new(Inbox::default());
        let logs = Arc::new(Logs::default());
        let list = Arc::new(Packs::of(packs.packs.iter().copied()));
        let vault = Arc::new(Vault::new(disk.clone(), list.clone(), options.open_files_limit));
        let failure = Arc::new(driver::Failure::default());
        let lane = Lane::new(journal, inbox.clone(), logs.clone(), options.lane.clone(), slots, (list, packs));
        let engine = Arc::new(Engine {
            clock: clock.clone(),
            chance,
            inbox: inbox.clone(),
            logs,
            vault: vault.clone(),
            disk: disk.clone(),
            catalog: ArcSwap::default(),
            ledger: OnceLock::new(),
            deletions: watch::Sender::new(0),
            company: OnceLock::new(),
            ingress: Arc::new(Semaphore::new(options.ingress_limit_bytes as usize)),
            small_ingress: Arc::new(Semaphore::new(options.small_ingress_limit_bytes as usize)),
            failure: failure.clone(),
            stopping: Word::default(),
            secret,
            threads: Mutex::new(Vec::new()),
            reads_in_place: matches!(driver, Driver::Task(_)),
            ruling: Mutex::default(),
            defaults: ArcSwap::from_pointee(options.defaults.clone()),
            producer_expiration_ms: AtomicI64::new(options.producer_expiration_ms),
            options,
        });
        let parts = Parts { lane, syncer, vault, disk, inbox, clock, failure };
        match driver {
            Driver::Threads => *engine.lock_threads() = driver::start_threads(parts)?,
            Driver::Task(pace) => drop(tokio::spawn(driver::run_as_task(parts, pace))),
        }
        engine.open_catalog(!clean).await.map_err(|e| io::Error::other(format!("the catalog cannot be read: {e}")))?;
        tokio::spawn(maintain::run(engine.clone()));
        tokio::spawn(compact::run(engine.clone()));
        recovery.took_ms = engine.clock.now().0 - began.0;
        recovery.logs = recovery.logs.saturating_sub(1);
        Ok((engine, recovery))
    }

    async fn open_catalog(self: &Arc<Self>, lost_tails: bool) -> Result<(), Error> {
        self.inbox.put(News::Open(vec![(CATALOG_LOG, Rules::default())]));
        // The lane may not have taken its first turn; an empty trim is answered after it.
        self.trim(CATALOG_LOG, Offset(0)).await?;
        let weak = Arc::downgrade(self);
        let observe: ledgers::Observe<CatalogMachine> = Box::new(move |catalog, replies| {
            let (engine, catalog) = (weak.upgrade()?, catalog.clone());
            let changed: Vec<Changed> = replies.iter().flatten().cloned().collect();
            Some(Box::new(move || engine.take_catalog(catalog, changed)))
        });
        let ledger = Ledger::open(self.clone(), CATALOG_LOG, (), observe, Effects::none()).await?;
        let catalog = self.catalog();
        let known: BTreeSet<LogId> = catalog.streams().flat_map(|s| s.logs.iter().copied()).collect();
        let mut open = Vec::new();
        catalog.streams().for_each(|stream| self.rules_of(stream, &mut open));
        let relaxed: Vec<LogId> = open.iter().filter(|(_, r)| r.relaxed_ms.is_some()).map(|(log, _)| *log).collect();
        self.inbox.put(News::Open(open));
        if lost_tails && !relaxed.is_empty() {
            // Readers may have seen records that are gone, and other records will stand at their offsets (KIP-320).
            self.inbox.put(News::RaiseEpoch(relaxed));
        }
        let orphans: Vec<LogId> =
            self.logs.all().iter().map(|l| l.id).filter(|id| *id != CATALOG_LOG && !known.contains(id)).collect();
        if !orphans.is_empty() {
            self.inbox.put(News::Remove(orphans));
        }
        self.trim(CATALOG_LOG, Offset(0)).await?;
        assert!(self.ledger.set(ledger).is_ok(), "an engine opens its catalog once");
        Ok(())
    }

    /// The engine's clock; façades ask it and no other.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The engine's source of chance; façades draw from it and no other.
    pub fn chance(&self) -> &Chance {
        &self.chance
    }

    /// 64 random bits.
    pub fn random(&self) -> u64 {
        self.chance.draw()
    }

    /// 32 random bytes that belong to the data directory: what façades authenticate their tokens with.
    pub fn secret(&self) -> &[u8; 32] {
        &self.secret
    }

    /// Memory for bytes that arrive; waits while as many as the limit allows have no place yet.
    pub async fn admit(&self, bytes: u32) -> Permit {
        let (budget, limit) = if bytes <= SMALL_FRAME_BYTES {
            (&self.small_ingress, self.options.small_ingress_limit_bytes)
        } else {
            (&self.ingress, self.options.ingress_limit_bytes)
        };
        // A frame larger than the whole budget waits until it is alone.
        Permit { _held: budget.clone().acquire_many_owned(bytes.min(limit)).await.ok() }
    }

    /// Bytes that have been admitted and have no place yet.
    pub fn admitted_bytes(&self) -> u64 {
        let taken = |limit: u32, budget: &Semaphore| (limit as usize).saturating_sub(budget.available_permits()) as u64;
        taken(self.options.ingress_limit_bytes, &self.ingress)
            + taken(self.options.small_ingress_limit_bytes, &self.small_ingress)
    }

    /// Fixes the place of every part of `group` behind everything appended to its log before this call: all or none.
    /// Not async: when it returns, the order is settled. The receipt resolves when it is durable.
    pub fn append(&self, group: Group, permit: Permit) -> Receipt {
        let (reply, receipt) = oneshot::channel();
        self.inbox.put(News::Append(Appending { group, reply, permit }));
        Receipt(receipt)
    }

    /// Gives up everything below an offset. Durable when it returns: a start never moves back.
    pub async fn trim(&self, log: LogId, below: Offset) -> Result<Bounds, Error> {
        let (reply, answer) = oneshot::channel();
        self.inbox.put(News::Trim(log, below, reply));
        answer.await.unwrap_or(Err(Error::LaneFailed))
    }

    /// The bounds of a log, now.
    pub fn bounds(&self, log: LogId) -> Result<Bounds, Error> {
        Ok(self.logs.get(log)?.view().bounds())
    }

    /// The producers that a log remembers, by rising id.
    pub async fn writers(&self, log: LogId) -> Result<Vec<Writer>, Error> {
        self.logs.get(log)?;
        let (reply, answer) = oneshot::channel();
        self.inbox.put(News::Producers(log, reply));
        answer.await.map_err(|_| Error::LaneFailed)
    }

    /// Where the open transaction of a producer began in a log.
    pub fn began(&self, log: LogId, producer: i64) -> Result<Option<Offset>, Error> {
        Ok(self.logs.get(log)?.view().transactions.began(producer))
    }

    /// The current leader epoch of a log.
    pub fn epoch(&self, log: LogId) -> Result<u32, Error> {
        Ok(self.logs.get(log)?.view().epochs.last().map_or(0, |(epoch, _)| *epoch))
    }

    /// The end of the newest epoch not above `epoch`: what OffsetForLeaderEpoch asks (KIP-320). `None`: an epoch from
    /// the future, or older than the log remembers.
    pub fn epoch_end(&self, log: LogId, epoch: u32) -> Result<Option<(u32, Offset)>, Error> {
        Ok(self.logs.get(log)?.view().epoch_end(epoch))
    }

    /// How many bytes of a log are kept, in segments and waiting for them.
    pub fn log_bytes(&self, log: LogId) -> Result<u64, Error> {
        let shared = self.logs.get(log)?;
        let view = shared.view();
        let settled: u64 = view.extents.iter().map(|x| x.settled.bytes).sum();
        let waiting = view.tail.iter().filter(|e| e.first >= view.settled).map(|e| e.bytes.len() as u64);
        Ok(settled + waiting.sum::<u64>())
    }

    /// The volume that everything is kept on.
    pub async fn volume(&self) -> Result<Volume, Error> {
        let disk = self.disk.clone();
        let asked = self.blocking(move || Ok((disk.total_bytes()?, disk.free_bytes()?)));
        let (total_bytes, free_bytes) = asked.await?.map_err(|error: io::Error| Error::Invalid(error.to_string()))?;
        Ok(Volume { total_bytes, free_bytes })
    }

    /// An immutable picture of all streams (persistent map). A handler takes one and never looks again.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.load_full()
    }

    /// Tells whenever streams have been deleted; ends with the engine.
    pub fn watch_deletions(&self) -> watch::Receiver<u64> {
        self.deletions.subscribe()
    }

    /// Runs something that blocks where it may: on a thread of its own, or in place in a simulation.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        if self.reads_in_place {
            return Ok(work());
        }
        tokio::task::spawn_blocking(work).await.map_err(|_| Error::ShuttingDown)
    }

    /// Resolves when the lane has failed: nothing more can be acknowledged, and the process has to stop.
    pub async fn failed(&self) {
        self.failure.heard().await;
    }

    /// Why the lane failed, if it did.
    pub fn failure(&self) -> Option<String> {
        self.failure.said().cloned()
    }

    fn fail(&self, why: String) {
        tracing::error!("{why}");
        self.failure.say(why);
    }

    /// Resolves when the engine begins to stop.
    pub async fn closing(&self) {
        self.stopping.heard().await;
    }

    fn is_stopping(&self) -> bool {
        self.stopping.said().is_some()
    }

    /// Finishes what was appended, then ends the lane. Appends from now on are refused.
    pub async fn close(&self) {
        self.stopping.say(());
        let (reply, stopped) = oneshot::channel();
        self.inbox.put(News::Stop(reply));
        let _ = stopped.await;
        let threads = std::mem::take(&mut *self.lock_threads());
        let _ = self.blocking(move || threads.into_iter().for_each(|t| drop(t.join()))).await;
        self.vault.remove_unread();
        // Removals that wait for a backup to end are done at a start that was not clean.
        if self.failure().is_none()
            && !self.vault.removals_wait()
            && let Err(e) = make_clean_mark(&*self.disk)
        {
            tracing::warn!("the mark of a clean stop could not be written: {e}");
        }
    }

    fn lock_threads(&self) -> std::sync::MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Stands in the data directory while no engine has it open and the last one stopped in good order.
const CLEAN_MARK: &str = "clean";

/// Whether the last stop was clean; the mark is gone, durably once the caller has synced the directory.
fn take_clean_mark(disk: &dyn Disk) -> io::Result<bool> {
    match disk.remove(CLEAN_MARK) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e),
    }
}

fn make_clean_mark(disk: &dyn Disk) -> io::Result<()> {
    disk.open(CLEAN_MARK, Open::CreateOrOpen)?.sync()?;
    disk.sync_dir("")
}

/// The data directory's secret, made at its first start.
fn secret(disk: &dyn Disk, chance: &Chance) -> io::Result<[u8; 32]> {
    let mut secret = [0u8; 32];
    match disk.open("secret", Open::Read) {
        Ok(file) if file.len()? == 32 => {
            file.read_exact_at(&mut secret, 0)?;
            return Ok(secret);
        }
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        // Shorter: the first start was cut off while writing it, so nothing was ever signed with it.
        _ => {}
    }
    secret.chunks_mut(8).for_each(|c| c.copy_from_slice(&chance.draw().to_le_bytes()));
    let file = disk.open("secret", Open::CreateOrOpen)?;
    file.write_at(&[&secret], 0)?;
    file.sync()?;
    disk.sync_dir("")?;
    Ok(secret)
}
