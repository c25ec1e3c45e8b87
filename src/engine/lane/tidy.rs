//! Which packs are merged, and when it is looked what of them is still needed. The settler does the work (merge.rs), a step
//! at a time; here it is only chosen and its outcome recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use super::{Lane, RETRY_MS, Task, Then};
use crate::engine::frame::{Fact, PackInfo};
use crate::engine::merge::{Tidied, Tidy};
use crate::engine::packs::{Pack, Packs};
use crate::engine::table::PackList;
use crate::ids::Timestamp;
use crate::log::pack;
use crate::metrics;

/// What the lane knows of the packs.
pub(super) struct State {
    packs: Arc<Packs>,
    next: u64,
    /// Something is under way.
    pub tidying: bool,
    /// What they no longer need to hold, since it was last looked. More than is known after a start.
    pub dead_bytes: u64,
    /// What is needed of packs of which it was found to be less than half.
    sparse: BTreeMap<u64, u64>,
    /// Cannot be read.
    damaged: BTreeSet<u64>,
}

impl State {
    pub fn new(packs: Arc<Packs>, next: u64) -> State {
        metrics::PACKS.set(packs.all().len() as i64);
        let dead_bytes = packs.infos().iter().map(|pack| pack.bytes).sum();
        State { packs, next, tidying: false, dead_bytes, sparse: BTreeMap::new(), damaged: BTreeSet::new() }
    }

    pub fn take_id(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    pub fn list(&self) -> PackList {
        PackList { next: self.next, packs: self.packs.infos() }
    }

    pub fn replace(&mut self, removed: &[u64], added: Option<PackInfo>) {
        if removed.is_empty() && added.is_none() {
            return;
        }
        self.packs.replace(removed, added);
        metrics::PACKS.set(self.packs.all().len() as i64);
        for id in removed {
            self.sparse.remove(id);
            self.damaged.remove(id);
        }
    }

    /// What is worth doing, where so much may be written.
    fn choose(&mut self, room_bytes: u64) -> Option<Tidy> {
        let packs = self.packs.all();
        if packs.is_empty() {
            return None;
        }
        // A damaged one stays, and those before it with it.
        let bytes = |pack: &Arc<Pack>| if self.damaged.contains(&pack.info.id) { u64::MAX } else { pack.info.bytes };
        let sizes: Vec<u64> = packs.iter().map(bytes).collect();
        let live: Vec<Option<u64>> = packs.iter().map(|pack| self.sparse.get(&pack.info.id).copied()).collect();
        let merge = pack::to_merge(&sizes).filter(|range| sizes[range.clone()].iter().sum::<u64>() <= room_bytes);
        let needed = |range: &Range<usize>| live[range.clone()].iter().flatten().sum::<u64>();
        let rewrite = || pack::to_rewrite(&live).filter(|range| needed(range) <= room_bytes);
        if let Some(range) = merge.or_else(rewrite) {
            return Some(Tidy::Merge(packs[range].to_vec(), self.take_id()));
        }
        let all: u64 = packs.iter().map(|pack| pack.info.bytes).sum();
        if self.dead_bytes < all / 4 || self.dead_bytes == 0 {
            return None;
        }
        self.dead_bytes = 0;
        Some(Tidy::Judge(packs.iter().filter(|pack| !self.damaged.contains(&pack.info.id)).cloned().collect()))
    }
}

impl Lane {
    /// Hands the settler what is to be done about the packs, if anything is.
    pub(super) fn choose_tidying(&mut self) {
        if self.packs.tidying || self.stopping.is_some() {
            return;
        }
        if let Some(tidy) = self.packs.choose(self.room_bytes) {
            self.packs.tidying = true;
            self.tasks.push(Task::Tidy(tidy, self.logs.clone()));
        }
    }

    pub(super) fn tidied(&mut self, tidied: Tidied, now: Timestamp) {
        match tidied {
            Tidied::GoOn if self.stopping.is_none() => {
                self.tasks.push(Task::Tidy(Tidy::GoOn, self.logs.clone()));
                return;
            }
            Tidied::Merged { removed, added } if self.stopping.is_none() => {
                let facts = [Fact::Packs { added, removed: removed.clone() }];
                self.send_facts(&facts, Then::Packs(removed, added));
                return;
            }
            // The next start removes what was written.
            Tidied::GoOn | Tidied::Merged { .. } => {}
            Tidied::Judged(judged) => {
                let packs = self.packs.packs.all();
                let bytes = |id| packs.iter().find(|pack| pack.info.id == id).map_or(0, |pack| pack.info.bytes);
                let sparse = judged.into_iter().filter(|(id, live)| live * 2 < bytes(*id));
                self.packs.sparse = sparse.collect();
            }
            Tidied::Damaged(packs) => self.packs.damaged.extend(packs),
            Tidied::Later => self.settle_from = Some(now.plus_ms(RETRY_MS)),
        }
        self.packs.tidying = false;
    }

    pub(super) fn land_packs(&mut self, removed: Vec<u64>, added: Option<PackInfo>) {
        self.packs.replace(&removed, added);
        self.packs.tidying = false;
        self.tasks.push(Task::RemovePacks(removed));
    }
}
