//! Finding an offset by time: segments first (by their sidecars), then the tail; a batch is opened only to find the very
//! record.

use std::io;
use std::sync::Arc;

use super::fetch::is_damage;
use super::frame::Settled;
use super::tail::Shared;
use super::vault::{Segment, Vault};
use super::{Engine, Error, Found, Seek, Stored};
use crate::ids::{LogId, Offset, Timestamp};
use crate::record::compress::Limits;
use crate::record::{batch, records};

/// What opening one batch to look for a time may cost.
const LIMITS: Limits = Limits { max_bytes: 64 << 20, max_ratio: 1000 };

/// What is looked for, as a test of a batch.
#[derive(Clone, Copy)]
enum Aim {
    Time(Timestamp),
    Arrival(Timestamp),
    /// The first record of exactly this time, which is the greatest there is.
    Max(Timestamp),
}

impl Aim {
    fn hits(self, max_time: Timestamp, arrived: Timestamp) -> bool {
        match self {
            Aim::Time(t) | Aim::Max(t) => max_time >= t,
            Aim::Arrival(t) => arrived >= t,
        }
    }
}

impl Engine {
    /// The offset of a time (of the record or of its arrival), the start, or the end. `None`: no such record.
    pub async fn seek(&self, log: LogId, to: Seek) -> Result<Option<Found>, Error> {
        let shared = self.logs.get(log)?;
        let (bounds, epoch) = {
            let view = shared.view();
            (view.bounds(), view.epochs.last().map_or(0, |(epoch, _)| *epoch))
        };
        let at = |offset| Ok(Some(Found { offset, time: Timestamp(-1), epoch }));
        match to {
            Seek::Start => at(bounds.start),
            Seek::Committed => at(bounds.committed),
            Seek::End => at(bounds.end),
            Seek::Time(t) => self.aim(&shared, Aim::Time(t)).await,
            Seek::Arrival(t) => self.aim(&shared, Aim::Arrival(t)).await,
            Seek::MaxTime => {
                let greatest = {
                    let view = shared.view();
                    let settled = view.extents.iter().map(|x| x.settled.max_time);
                    settled.chain(view.tail.iter().map(|e| e.max_time)).max()
                };
                match greatest {
                    Some(t) => self.aim(&shared, Aim::Max(t)).await,
                    None => Ok(None),
                }
            }
        }
    }

    async fn aim(&self, shared: &Arc<Shared>, aim: Aim) -> Result<Option<Found>, Error> {
        let (start, in_memory_from, segments) = {
            let view = shared.view();
            let from = view.tail.front().map_or(view.end, |e| e.first);
            let segments: Vec<(Arc<Segment>, Settled)> = view
                .extents
                .iter()
                .filter(|x| x.settled.base < from && aim.hits(x.settled.max_time, x.settled.arrived))
                .map(|x| (x.segment.clone(), x.settled))
                .collect();
            (view.start, from, segments)
        };
        if !segments.is_empty() {
            let vault = self.vault.clone();
            let found = self
                .blocking(move || {
                    let mut found = segments
                        .iter()
                        .map(|(s, reach)| in_segment(&vault, s, reach, aim, start, in_memory_from).transpose());
                    found.find_map(|found| found).transpose()
                })
                .await??;
            if let Some(found) = found {
                return Ok(Some(found));
            }
        }
        let hit = {
            let view = shared.view();
            view.tail
                .iter()
                .find(|e| e.end > start && aim.hits(e.max_time, e.arrived))
                .map(|e| Stored { bytes: e.bytes.clone(), arrived: e.arrived })
        };
        Ok(hit.and_then(|stored| in_batch(&stored, aim, start)))
    }
}

fn in_segment(
    vault: &Vault,
    s: &Segment,
    reach: &Settled,
    aim: Aim,
    start: Offset,
    until: Offset,
) -> Result<Option<Found>, Error> {
    let slot = vault.find(
        s,
        reach,
        |h| h.end > start && aim.hits(h.max_time, h.last_arrived),
        |slot| slot.first >= until || aim.hits(slot.max_time, slot.arrived),
    );
    let slot = match slot {
        Ok(slot) => slot.filter(|slot| slot.first < until),
        Err(e) => return unsearchable(s, &e),
    };
    let Some(slot) = slot else { return Ok(None) };
    match vault.read(s, reach, slot.first, reach.end, 1) {
        Ok(range) => Ok(range.batches.first().and_then(|stored| in_batch(stored, aim, start))),
        Err(e) => unsearchable(s, &e),
    }
}

/// What is damaged has nothing to be found; what the disk does not give now may hold what is looked for.
fn unsearchable(s: &Segment, error: &io::Error) -> Result<Option<Found>, Error> {
    tracing::error!(log = %s.log, base = %s.name.base, "searching a segment failed: {error}");
    if is_damage(error) { Ok(None) } else { Err(Error::Unreadable { at: s.name.base }) }
}

/// The record of a batch that is aimed at. A batch that cannot be opened is answered by its first offset.
fn in_batch(stored: &Stored, aim: Aim, start: Offset) -> Option<Found> {
    let header = batch::parse_header(&stored.bytes).ok()?;
    let base = Offset(header.base_offset as u64);
    let epoch = header.leader_epoch.max(0) as u32;
    let whole = Found { offset: base.max(start), time: Timestamp(header.max_timestamp), epoch };
    let wanted = match aim {
        Aim::Arrival(_) => return Some(whole),
        Aim::Time(t) | Aim::Max(t) => t,
    };
    if header.is_log_append_time() {
        return Some(whole);
    }
    let Ok(opened) = batch::trust(stored.bytes.clone()) else { return Some(whole) };
    let Ok(iter) = records::iterate(&opened, LIMITS) else { return Some(whole) };
    for record in iter {
        let Ok(record) = record else { return Some(whole) };
        let offset = base.plus(record.offset_delta as u64);
        if record.timestamp >= wanted && offset >= start {
            return Some(Found { offset, time: record.timestamp, epoch });
        }
    }
    None
}
