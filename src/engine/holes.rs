//! Holes in a journal: a damaged frame takes with it what its batches said of their producers and transactions, and that
//! is more than the batches, if they had been settled before. Then they are read once more from where they stand now, and
//! everything behind them is told again, also what was given up meanwhile. What stands nowhere else is lost, and stays so.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::frame::PackInfo;
use super::open::{Found, Past};
use super::packs::Packs;
use super::vault::Vault;
use crate::ids::{LogId, Offset};
use crate::log::line::Line;
use crate::log::transactions::Effect;
use crate::record::batch;
use crate::store::Disk;

/// How much is read of a segment at once.
const READ_BYTES: usize = 1 << 20;
const OPEN_FILES: usize = 16;

/// Reads segments again, where a journal had holes.
pub(super) struct Refill(Vault);

impl Refill {
    pub fn new(disk: &Arc<dyn Disk>, packs: &[PackInfo]) -> Refill {
        let packs = Arc::new(Packs::of(packs.iter().copied()));
        Refill(Vault::new(disk.clone(), packs, OPEN_FILES))
    }

    /// Tells the log's line what the journal could not tell it, and once more everything behind that.
    pub fn refill(&self, log: LogId, found: &mut Found) {
        let settled = found.view.settled;
        let before = found.before_hole.take().map_or_else(|| found.line.clone(), |line| *line);
        let from = before.next;
        if from >= settled {
            return;
        }
        let mut past = BTreeMap::new();
        if let Err(e) = self.read_again(found, from, &mut past) {
            tracing::error!(
                %log, "records {from}..{settled} cannot be read again ({e}), as damage in the journal asks for: some of \
                 their producers may be unknown now, and what they send again may be taken for new"
            );
            return;
        }
        past.extend(std::mem::take(&mut found.since_hole).into_iter().map(|past| (past.first, past)));
        let mut line = Line { start: found.line.start, epochs: found.line.epochs.clone(), ..before };
        let mut tail = found.view.tail.iter_mut().peekable();
        for (first, Past { header, effect, arrived, .. }) in past {
            line.place(&header, effect, first, arrived);
            while let Some(entry) = tail.next_if(|entry| entry.first <= first) {
                if entry.first == first {
                    entry.stable = line.transactions.stable(entry.end);
                }
            }
        }
        line.next = line.next.max(found.line.next);
        found.line = line;
    }

    fn read_again(&self, found: &Found, from: Offset, past: &mut BTreeMap<Offset, Past>) -> std::io::Result<()> {
        for extent in &found.view.extents {
            let mut at = from.max(extent.settled.base);
            while at < extent.settled.end {
                let range = self.0.read(&extent.segment, &extent.settled, at, Offset(u64::MAX), READ_BYTES)?;
                for stored in &range.batches {
                    let Ok(header) = batch::parse_header(&stored.bytes) else { continue };
                    let first = Offset(header.base_offset as u64);
                    let effect = Effect::of(&header, &stored.bytes);
                    if first >= from {
                        past.insert(first, Past { header, effect, first, arrived: stored.arrived });
                    }
                }
                if range.next <= at {
                    break;
                }
                at = range.next;
            }
        }
        Ok(())
    }
}
