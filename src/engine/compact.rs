//! Compaction: the cleaner of the logs whose stream says `cleanup.policy=compact`. What goes and what stays is decided in
//! log/compact.rs; here it is read and written, a few MiB at a time, beside everything else. The result is a segment of
//! another name, which takes the place of the old ones when the lane has recorded it; what was begun and never recorded is
//! swept at the next start. A log of which something cannot be read is left alone, whole, until then.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::catalog::Kind;
use super::fetch::{concerned, is_damage};
use super::frame::{SegmentName, Settled};
use super::lane::{Compacted, News};
use super::tail::{Extent, GivenUp, View};
use super::vault::{Segment, Vault};
use super::{Engine, Error, Stored};
use crate::config::stream::StreamSettings;
use crate::ids::{LogId, Offset, Timestamp};
use crate::log::compact::{self, Cleaner, Dirt, Kept, Keys, LastWrite, Piece, Rules, Traversal};
use crate::log::segment::{self, Roll, Run, Settling};
use crate::log::transactions::Aborted;
use crate::metrics;
use crate::record::batch::{self, Batch, Header};
use crate::record::compress::Limits;
use crate::store::block::{self, Blocks, STAGING_BYTES};
use crate::store::{File, Open, is_full};

/// The cleaner's limits and habits; each is a configuration key.
#[derive(Clone, Debug)]
pub struct Options {
    /// `log.cleaner.enable`
    pub enabled: bool,
    /// How long it pauses when nothing is dirty enough (`log.cleaner.backoff.ms`).
    pub backoff_ms: i64,
    /// Memory for keys (`log.cleaner.dedupe.buffer.size`); taken as they come.
    pub keys_bytes: usize,
    /// What it reads and writes in a second (`log.cleaner.io.max.bytes.per.second`).
    pub bytes_per_second: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options { enabled: true, backoff_ms: 15_000, keys_bytes: 128 << 20, bytes_per_second: u64::MAX }
    }
}

/// How much is read at once.
const STEP_BYTES: usize = 4 << 20;
/// A sidecar's entry speaks of as many batches as this, or of so many bytes.
const ENTRY_BATCHES: usize = 1024;
const ENTRY_BYTES: usize = STAGING_BYTES;
/// What is opened was taken by this server, whose limits of today may be narrower than those of then.
const LIMITS: Limits = Limits { max_bytes: 1 << 30, max_ratio: 100_000 };

/// A log that is to be compacted.
struct Work {
    log: LogId,
    name: String,
    rules: Rules,
    extents: Vec<Extent>,
    dirt: Dirt,
}

/// Why a round of a log ended before its end.
#[derive(Debug)]
enum Stop {
    /// Something of it cannot be read or opened.
    Damaged(String),
    /// It may be otherwise later: no room, a disk that does not give something now, a server that stops.
    Later(String),
}

/// Runs until the engine stops.
pub async fn run(engine: Arc<Engine>) {
    if !engine.options.compaction.enabled {
        return;
    }
    let mut left_alone: BTreeSet<LogId> = BTreeSet::new();
    loop {
        let backoff = engine.clock.now().plus_ms(engine.options.compaction.backoff_ms);
        tokio::select! {
            biased;
            () = engine.clock.sleep_until(backoff) => {}
            () = engine.closing() => return,
            () = engine.failed() => return,
        }
        while let Some(work) = filthiest(&engine, &left_alone) {
            let (log, name) = (work.log, work.name.clone());
            match round(&engine, work).await {
                Ok(()) => {}
                Err(Stop::Damaged(why)) => {
                    metrics::UNCOMPACTABLE_LOGS.inc();
                    tracing::error!(stream = %name, %log, "it is not compacted until the next start: {why}");
                    left_alone.insert(log);
                }
                Err(Stop::Later(why)) => {
                    tracing::warn!(stream = %name, %log, "compaction stopped and is tried again: {why}");
                    break;
                }
            }
            if engine.is_stopping() || engine.failure().is_some() {
                return;
            }
        }
    }
}

/// The log of which most is dirty. Has those settled that should have filled a segment.
fn filthiest(engine: &Engine, left_alone: &BTreeSet<LogId>) -> Option<Work> {
    let now = engine.clock.now();
    let defaults = engine.defaults();
    let mut filthiest: Option<Work> = None;
    for stream in engine.catalog().streams().filter(|stream| stream.kind == Kind::Client) {
        let Ok(settings) = StreamSettings::parse_over(&defaults, &stream.settings) else { continue };
        if !settings.compact {
            continue;
        }
        let roll = engine.roll_of(&settings);
        let rules = Rules {
            dirty_ratio: settings.min_cleanable_dirty_ratio,
            min_lag_ms: settings.min_compaction_lag_ms,
            max_lag_ms: settings.max_compaction_lag_ms,
            delete_retention_ms: settings.delete_retention_ms,
            segment_bytes: roll.bytes,
        };
        for log in stream.logs.iter().filter(|log| !left_alone.contains(log)) {
            let Ok(shared) = engine.logs.get(*log) else { continue };
            let view = shared.view();
            if let Some(upto) = full_upto(&view, roll) {
                engine.inbox.put(News::Settle(*log, upto));
            }
            let pieces: Vec<Piece> = view.extents.iter().map(piece).collect();
            let Some(dirt) = compact::dirt(&pieces, view.clean, view.bounds().committed, &rules, now) else { continue };
            if filthiest.as_ref().is_none_or(|other| dirt.ratio > other.dirt.ratio) {
                let extents = view.extents.iter().take_while(|x| x.settled.base < dirt.until).cloned().collect();
                filthiest = Some(Work { log: *log, name: stream.name.to_string(), rules, extents, dirt });
            }
        }
    }
    filthiest
}

fn piece(extent: &Extent) -> Piece {
    let Settled { base, end, bytes, max_time, began, .. } = extent.settled;
    Piece { base, end, bytes, newest: max_time, began }
}

/// Up to where a log should be settled, because what waits there fills segments and begins another one: only the newest is
/// spared, and it has to be known which that is.
fn full_upto(view: &View, roll: Roll) -> Option<Offset> {
    let mut run: Option<Run> = view.extents.last().map(|x| x.settled.run());
    let mut full = None;
    for entry in view.tail.iter().filter(|e| e.first >= view.settled) {
        let bytes = entry.bytes.len() as u64;
        match run.as_mut().filter(|run| run.takes(roll, entry.first, bytes, entry.arrived)) {
            Some(run) => run.bytes += bytes,
            None => {
                full = Some(entry.end).filter(|_| run.is_some());
                run = Some(Run { base: entry.first, bytes, began: entry.arrived });
            }
        }
    }
    full
}

/// What the steps of a round share; it goes into the blocking part of each and comes back.
struct Sweep {
    vault: Arc<Vault>,
    cleaner: Cleaner,
    staging: Blocks,
    /// Read and written since it was last asked.
    moved_bytes: u64,
}

async fn round(engine: &Arc<Engine>, work: Work) -> Result<(), Stop> {
    let Work { log, name, rules, extents, dirt } = work;
    let began = engine.clock.now();
    let read_bytes: u64 = extents.iter().map(|x| x.settled.bytes).sum();
    let cleaner = Cleaner {
        keys: Keys::new((engine.chance.draw(), engine.chance.draw()), engine.options.compaction.keys_bytes),
        traversal: Traversal::default(),
        writers: writers(engine, log).await?,
        now: began,
        delete_retention_ms: rules.delete_retention_ms,
        limits: LIMITS,
    };
    let vault = engine.vault.clone();
    let mut sweep = Sweep { vault, cleaner, staging: Blocks::new(STAGING_BYTES), moved_bytes: 0 };
    let dirty = extents.partition_point(|x| x.settled.end <= dirt.from);
    sweep.cleaner.traversal.expect(given_up(engine, log, &sweep.vault, dirt.from, dirt.until).await?);
    'learning: for extent in &extents[dirty..] {
        let mut at = extent.settled.base.max(dirt.from);
        while at < extent.settled.end {
            let (extent, from) = (extent.clone(), dirt.from);
            let (back, read) = blocking(engine, sweep, move |sweep| sweep.learn(&extent, at, from)).await?;
            sweep = back;
            match read? {
                Some(next) => at = next,
                None => break 'learning,
            }
            sweep.pause(engine).await?;
        }
    }
    let Some(learned) = sweep.cleaner.keys.end() else { return Ok(()) };
    let pieces: Vec<Piece> = extents.iter().map(piece).collect();
    let groups = compact::groups(&pieces, learned, rules.segment_bytes);
    sweep.cleaner.traversal = Traversal::default();
    let mut left = 0;
    let mut extents = extents.into_iter();
    for group in groups {
        let members: Vec<Extent> = extents.by_ref().take(group.len()).collect();
        let (first, end) = (members[0].settled, members[members.len() - 1].settled.end);
        let aborted = given_up(engine, log, &sweep.vault, first.base, end).await?;
        let nth = members.iter().map(|x| x.settled.compacted).max().unwrap_or(0) + 1;
        let name = SegmentName { base: first.base, compacted: nth };
        let written = write_group(engine, sweep, (log, name), aborted, &members).await;
        if written.is_err() {
            remove_file(engine, log, name).await;
        }
        let (back, added) = written?;
        sweep = back;
        left += added.as_ref().map_or(0, |settled| settled.bytes);
        let removed = members.iter().map(|x| x.settled.name()).collect();
        // Who reads a segment keeps its files; this reader is done.
        drop(members);
        let added = added.map(|settled| (Arc::new(Segment::new(log, name)), settled));
        let clean = dirt.from.max(end.min(learned));
        let (reply, recorded) = oneshot::channel();
        engine.inbox.put(News::Compacted(Box::new(Compacted { log, clean, removed, added, reply })));
        if recorded.await.is_err() {
            // The log is gone, and its files with it, or the server stops.
            return Ok(());
        }
    }
    metrics::COMPACTIONS.inc();
    metrics::COMPACTED_BYTES.add(read_bytes);
    let took_ms = engine.clock.now().0 - began.0;
    tracing::info!(
        stream = %name, %log, from = %dirt.from, upto = %learned, keys = sweep.cleaner.keys.len(), read_bytes,
        left_bytes = left, took_ms, "compacted"
    );
    Ok(())
}

/// Reads the segments of a group into one, which is durable then; `None`: nothing is left of them.
async fn write_group(
    engine: &Arc<Engine>,
    sweep: Sweep,
    (log, name): (LogId, SegmentName),
    aborted: Vec<Aborted>,
    members: &[Extent],
) -> Result<(Sweep, Option<Settled>), Stop> {
    let begin = move |sweep: &mut Sweep| {
        sweep.cleaner.traversal.expect(aborted.clone());
        Output::begin(&sweep.vault, log, name, aborted)
    };
    let (mut sweep, output) = blocking(engine, sweep, begin).await?;
    let mut output = output.map_err(|e| writing(&e))?;
    for extent in members {
        let mut at = extent.settled.base;
        while at < extent.settled.end {
            let extent = extent.clone();
            let (back, (put, read)) = blocking(engine, sweep, move |sweep| {
                let read = sweep.clean(&extent, at, &mut output);
                (output, read)
            })
            .await?;
            (sweep, output) = (back, put);
            at = read?;
            sweep.pause(engine).await?;
        }
    }
    let (sweep, finished) = blocking(engine, sweep, move |sweep| output.finish(sweep)).await?;
    Ok((sweep, finished.map_err(|e| writing(&e))?))
}

async fn remove_file(engine: &Engine, log: LogId, name: SegmentName) {
    let disk = engine.disk.clone();
    let remove = move || ["log", "side"].map(|kind| disk.remove(&Segment::file(log, name, kind)));
    // What stays is swept at the next start that follows no clean stop, or written over.
    drop(engine.blocking(remove).await);
}

async fn blocking<T: Send + 'static>(
    engine: &Engine,
    mut sweep: Sweep,
    work: impl FnOnce(&mut Sweep) -> T + Send + 'static,
) -> Result<(Sweep, T), Stop> {
    let done = engine.blocking(move || {
        let done = work(&mut sweep);
        (sweep, done)
    });
    done.await.map_err(|_| Stop::Later("the server stops".into()))
}

/// What a log remembers of its producers.
async fn writers(engine: &Engine, log: LogId) -> Result<BTreeMap<i64, LastWrite>, Stop> {
    let writers = engine.writers(log).await.map_err(|e: Error| Stop::Later(e.to_string()))?;
    let last = |active: &super::Active| LastWrite { epoch: active.epoch, data: active.last_offset };
    Ok(writers.iter().map(|writer| (writer.active.id, last(&writer.active))).collect())
}

/// The transactions given up that reach into a stretch of a log.
async fn given_up(
    engine: &Engine,
    log: LogId,
    vault: &Arc<Vault>,
    from: Offset,
    to: Offset,
) -> Result<Vec<Aborted>, Stop> {
    let given_up: GivenUp = match engine.logs.get(log) {
        Ok(shared) => shared.view().given_up(from),
        Err(e) => return Err(Stop::Later(e.to_string())),
    };
    let vault = vault.clone();
    let found = engine.blocking(move || concerned(&vault, &given_up, from, to)).await;
    found.map_err(|e| Stop::Later(e.to_string()))?.map_err(|e| reading(&e))
}

fn reading(e: &io::Error) -> Stop {
    if is_damage(e) { Stop::Damaged(e.to_string()) } else { Stop::Later(e.to_string()) }
}

fn writing(e: &io::Error) -> Stop {
    if is_full(e) { Stop::Later("the disk is full".into()) } else { Stop::Later(e.to_string()) }
}

impl Sweep {
    /// Not faster than allowed; ends when the server does.
    async fn pause(&mut self, engine: &Engine) -> Result<(), Stop> {
        if engine.is_stopping() || engine.failure().is_some() {
            return Err(Stop::Later("the server stops".into()));
        }
        let bytes_per_ms = (engine.options.compaction.bytes_per_second / 1000).max(1);
        let ms = self.moved_bytes / bytes_per_ms;
        if ms > 0 {
            self.moved_bytes %= bytes_per_ms;
            engine.clock.sleep_until(engine.clock.now().plus_ms(ms as i64)).await;
        }
        Ok(())
    }

    /// Some batches of a segment, each with its place; and where the next read goes on.
    fn read(&mut self, extent: &Extent, at: Offset) -> Result<(Vec<(Batch, Timestamp)>, Offset), Stop> {
        let Extent { settled, segment } = extent;
        let range = self.vault.read(segment, settled, at, settled.end, STEP_BYTES).map_err(|e| reading(&e))?;
        if let Some((first, end)) = range.withheld.first() {
            return Err(Stop::Damaged(format!("records {first}..{end} are damaged")));
        }
        let mut batches = Vec::with_capacity(range.batches.len());
        for Stored { bytes, arrived } in range.batches {
            self.moved_bytes += bytes.len() as u64;
            batches.push((batch::trust(bytes).map_err(|e| Stop::Damaged(e.to_string()))?, arrived));
        }
        // A segment's last batch may end before the segment does.
        let next = if range.next > at { range.next } else { settled.end };
        Ok((batches, next))
    }

    /// `None`: there is no room for more keys.
    fn learn(&mut self, extent: &Extent, at: Offset, from: Offset) -> Result<Option<Offset>, Stop> {
        let (batches, next) = self.read(extent, at)?;
        for (batch, _) in &batches {
            match self.cleaner.learn(batch, from) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(e) => return Err(unopened(&batch.header, &e)),
            }
        }
        Ok(Some(next))
    }

    fn clean(&mut self, extent: &Extent, at: Offset, output: &mut Output) -> Result<Offset, Stop> {
        let (batches, next) = self.read(extent, at)?;
        for (batch, arrived) in &batches {
            let kept = self.cleaner.clean(batch).map_err(|e| unopened(&batch.header, &e))?;
            let batch = match &kept {
                Kept::Nothing => continue,
                Kept::AsItWas => batch,
                Kept::Less(less) => less,
            };
            output.push(batch, *arrived);
            if output.is_ripe() {
                output.flush(self).map_err(|e| writing(&e))?;
            }
        }
        Ok(next)
    }
}

fn unopened(header: &Header, e: &dyn std::fmt::Display) -> Stop {
    Stop::Damaged(format!("the batch at offset {} cannot be opened: {e}", header.base_offset))
}

/// The segment that is being written.
struct Output {
    log: LogId,
    name: SegmentName,
    records: Arc<dyn File>,
    side: Arc<dyn File>,
    /// As far as it is written.
    settled: Option<Settled>,
    /// The next entry: its batches, back to back, and what is told of them.
    bytes: Vec<u8>,
    batches: Vec<Told>,
    undecided: Undecided,
}

struct Told {
    bytes: usize,
    first: Offset,
    end: Offset,
    arrived: Timestamp,
    max_time: Timestamp,
}

/// Up to where everything was decided, once a place was reached: below it begins nothing that was given up later.
struct Undecided {
    /// By rising marker, with the least first offset of it and all behind it.
    firsts: Vec<(Offset, Offset)>,
}

impl Undecided {
    fn of(mut aborted: Vec<Aborted>) -> Undecided {
        aborted.sort_unstable_by_key(|a| a.marker);
        let mut firsts: Vec<(Offset, Offset)> = aborted.iter().map(|a| (a.marker, a.first)).collect();
        let mut least = Offset(u64::MAX);
        for (_, first) in firsts.iter_mut().rev() {
            least = least.min(*first);
            *first = least;
        }
        Undecided { firsts }
    }

    fn stable(&self, end: Offset) -> Offset {
        let later = self.firsts.partition_point(|(marker, _)| *marker < end);
        self.firsts.get(later).map_or(end, |(_, first)| end.min(*first))
    }
}

impl Output {
    fn begin(vault: &Vault, log: LogId, name: SegmentName, aborted: Vec<Aborted>) -> io::Result<Output> {
        let disk = &*vault.disk;
        // All that is compacted may stand in packs.
        disk.create_dir_all(&Segment::dir(log))?;
        let open = |kind| {
            let file = disk.open(&Segment::file(log, name, kind), Open::CreateOrOpen)?;
            file.set_len(0)?;
            Ok::<_, io::Error>(file)
        };
        let (records, side) = (open("log")?, open("side")?);
        let (bytes, batches) = (Vec::with_capacity(ENTRY_BYTES), Vec::new());
        Ok(Output { log, name, records, side, settled: None, bytes, batches, undecided: Undecided::of(aborted) })
    }

    fn push(&mut self, batch: &Batch, arrived: Timestamp) {
        let header = &batch.header;
        let first = Offset(header.base_offset as u64);
        self.bytes.extend_from_slice(&batch.bytes);
        self.batches.push(Told {
            bytes: batch.bytes.len(),
            first,
            end: first.plus(header.offsets()),
            arrived,
            max_time: Timestamp(header.max_timestamp),
        });
    }

    fn is_ripe(&self) -> bool {
        self.bytes.len() >= ENTRY_BYTES || self.batches.len() >= ENTRY_BATCHES
    }

    /// Writes an entry. Of what was given up, it tells what has its marker here.
    fn flush(&mut self, sweep: &mut Sweep) -> io::Result<()> {
        let Some(last) = self.batches.last() else { return Ok(()) };
        let end = last.end;
        let stable = self.undecided.stable(end);
        let mut rest = &self.bytes[..];
        let mut settling = Vec::with_capacity(self.batches.len());
        for Told { bytes, first, end, arrived, max_time } in &self.batches {
            let (batch, after) = rest.split_at(*bytes);
            rest = after;
            settling.push(Settling {
                bytes: batch,
                max_time: *max_time,
                first: *first,
                end: *end,
                arrived: *arrived,
                stable,
            });
        }
        let retained = &mut sweep.cleaner.traversal.retained;
        let here = retained.iter().take_while(|a| a.marker < end).count();
        let aborted: Vec<Aborted> = retained.drain(..here).collect();
        let (at, hash) = self.settled.map_or((0, 0), |s| (s.bytes, s.hash));
        let (entry, head) = segment::encode(self.log, at, hash, &settling, &aborted);
        block::write_bulk(&*self.records, &mut sweep.staging, &[&self.bytes], at)?;
        let side_at = self.settled.map_or(0, |s| s.side_bytes);
        self.side.write_at(&[&entry], side_at)?;
        self.settled = Some(super::vault::settled(self.name, self.settled, &head, entry.len()).wholly_filed());
        sweep.moved_bytes += head.bytes;
        self.bytes.clear();
        self.batches.clear();
        Ok(())
    }

    /// Makes it durable; `None`: nothing is left, and there is no file.
    fn finish(mut self, sweep: &mut Sweep) -> io::Result<Option<Settled>> {
        self.flush(sweep)?;
        let disk = &*sweep.vault.disk;
        let dir = Segment::dir(self.log);
        if self.settled.is_none() {
            for kind in ["log", "side"] {
                disk.remove(&Segment::file(self.log, self.name, kind))?;
            }
            return Ok(None);
        }
        self.records.sync()?;
        self.side.sync()?;
        disk.sync_dir(&dir)?;
        disk.sync_dir("logs")?;
        Ok(self.settled)
    }
}
