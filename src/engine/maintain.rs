//! What is done from time to time: retention, the disk's room, producers nobody hears of any more.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Engine;
use super::lane::News;
use super::sabotage::{self, Bug};
use crate::config::stream::StreamSettings;
use crate::ids::{LogId, Offset, Timestamp};
use crate::log::retain::{self, Piece};

/// Runs until the engine stops.
pub async fn run(engine: Arc<Engine>) {
    let mut full = false;
    full = watch_room(&engine, full).await;
    let mut producers_due = engine.clock.now().plus_ms(PRODUCERS_MS);
    let mut retention_due = engine.clock.now().plus_ms(engine.options.maintenance_ms.min(FIRST_MS));
    loop {
        let next = engine.clock.now().plus_ms(engine.options.maintenance_ms.min(ROOM_MS));
        tokio::select! {
            biased;
            () = engine.clock.sleep_until(next) => {}
            () = engine.closing() => return,
            () = engine.failed() => return,
        }
        full = watch_room(&engine, full).await;
        let now = engine.clock.now();
        if now >= producers_due {
            producers_due = now.plus_ms(PRODUCERS_MS);
            let after_ms = engine.producer_expiration_ms.load(Ordering::Relaxed);
            engine.inbox.put(News::ExpireProducers { now, after_ms });
        }
        if now >= retention_due {
            retention_due = now.plus_ms(engine.options.maintenance_ms);
            apply_retention(&engine, now).await;
        }
    }
}

/// The lane counts what it writes against the room it was told of; a fast writer must hear of new room before that is
/// used up.
const ROOM_MS: i64 = 1_000;

/// Kafka's `log.initial.task.delay.ms`.
const FIRST_MS: i64 = 30_000;

/// Kafka looks for expired producers every ten minutes (`producer.id.expiration.check.interval.ms`).
const PRODUCERS_MS: i64 = 600_000;

/// Tells the lane when the disk's reserve is reached, and when there is room again; twice the reserve, so that it does
/// not flicker.
async fn watch_room(engine: &Arc<Engine>, full: bool) -> bool {
    let disk = engine.disk.clone();
    let Ok(Ok(free)) = engine.blocking(move || disk.free_bytes()).await else { return full };
    let reserve = engine.options.reserve_free_bytes;
    if full && sabotage::is(Bug::FullForEver) {
        return full;
    }
    let now_full = if full { free < 2 * reserve } else { free < reserve };
    if now_full && !full {
        tracing::error!(free_bytes = free, "the disk is full; writes are refused until there is room again");
    }
    if !now_full && full {
        tracing::warn!(free_bytes = free, "the disk has room again; writes are accepted");
    }
    engine.inbox.put(News::Room(if now_full { 0 } else { free - reserve }));
    now_full
}

async fn apply_retention(engine: &Arc<Engine>, now: Timestamp) {
    let defaults = engine.defaults();
    for stream in engine.catalog().streams() {
        let Ok(settings) = StreamSettings::parse_over(&defaults, &stream.settings) else { continue };
        if !settings.delete {
            continue;
        }
        let rules = retain::Rules { ms: settings.retention_ms, bytes: settings.retention_bytes };
        for log in &stream.logs {
            let Some(below) = expired(engine, *log, rules, now) else { continue };
            match engine.trim(*log, below).await {
                Ok(_) => tracing::info!(stream = %stream.name, %log, %below, "retention gave up the oldest records"),
                Err(e) => tracing::warn!(stream = %stream.name, %log, "retention failed: {e}"),
            }
        }
    }
}

/// Up to where a log has outlived its retention.
fn expired(engine: &Engine, log: LogId, rules: retain::Rules, now: Timestamp) -> Option<Offset> {
    let shared = engine.logs.get(log).ok()?;
    let view = shared.view();
    let mut pieces: Vec<Piece> = view
        .extents
        .iter()
        .map(|x| Piece { end: x.settled.end, bytes: x.settled.bytes, newest: x.settled.max_time.min(now) })
        .collect();
    // What is not settled yet is part of the newest piece: the one still being written.
    let waiting = || view.tail.iter().filter(|e| e.first >= view.settled);
    if let Some(newest) = waiting().map(|e| e.max_time.min(now)).max() {
        let bytes: u64 = waiting().map(|e| e.bytes.len() as u64).sum();
        match pieces.last_mut() {
            Some(last) => {
                last.bytes += bytes;
                last.newest = last.newest.max(newest);
                last.end = view.end;
            }
            None => pieces.push(Piece { end: view.end, bytes, newest }),
        }
    }
    let now = if sabotage::is(Bug::RetentionEager) { now.plus_ms(1_000) } else { now };
    retain::expired(&pieces, rules, now)
}
