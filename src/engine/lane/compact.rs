//! What compaction has written (engine/compact.rs) is recorded and takes the place of what it was made from.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Lane, Task, Then};
use crate::engine::frame::{Fact, SegmentName, Settled};
use crate::engine::tail::Extent;
use crate::engine::vault::Segment;
use crate::ids::{LogId, Offset};

/// Segments of a log that were compacted into one, or into nothing; that one is durable.
pub struct Compacted {
    pub log: LogId,
    /// Everything below this is compact now.
    pub clean: Offset,
    pub removed: Vec<SegmentName>,
    pub added: Option<(Arc<Segment>, Settled)>,
    /// Told when it is recorded and readers see it; dropped if the log is gone.
    pub reply: oneshot::Sender<()>,
}

impl Lane {
    pub(super) fn record_compacted(&mut self, compacted: Compacted) {
        let Compacted { log, clean, .. } = compacted;
        if self.slots.get(&log).is_none_or(|slot| slot.shared.view().removed) {
            return;
        }
        let added = compacted.added.as_ref().map(|(_, settled)| *settled);
        let facts = [Fact::Compacted { log, clean, removed: compacted.removed.clone(), added }];
        self.send_facts(&facts, Then::Compacted(compacted));
    }

    pub(super) fn land_compacted(&mut self, compacted: Compacted) {
        let Compacted { log, clean, removed, added, reply } = compacted;
        let Some(slot) = self.slots.get_mut(&log) else {
            self.tasks.push(Task::RemoveLog(log));
            return;
        };
        slot.line.clean = slot.line.clean.max(clean);
        let mut view = slot.shared.view();
        view.clean = slot.line.clean;
        // All of it may have been given up meanwhile.
        let start = view.start;
        let added = added.map(|(segment, settled)| Extent { settled, segment });
        let (added, late) = match added {
            Some(added) if added.settled.end <= start => (None, Some(added)),
            added => (added, None),
        };
        let mut gone = view.replace_extents(&removed, added);
        gone.extend(late);
        // Memory shows what was compacted away.
        let settled = view.settled.min(clean);
        while let Some(entry) = view.tail.front().filter(|entry| entry.end <= settled) {
            self.tail_bytes -= entry.bytes.len() as u64;
            view.tail.pop_front();
        }
        view.forget_given_up();
        drop(view);
        self.give_up_segments(gone);
        let _ = reply.send(());
    }
}
