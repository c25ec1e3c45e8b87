//! One file of the memory disk: what reads see, what the disk holds, and the changes between the two. Pure: chance is an
//! argument.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::pages::{PAGE, Pages, touched};
use super::{Chance, Survives};

/// What a disk writes whole or not at all.
const SECTOR: u64 = 512;

/// A file. Without tracking only `cache` is used.
#[derive(Clone, Default)]
pub(super) struct Inode {
    /// What reads see.
    pub cache: Pages,
    durable: Pages,
    /// What was done since the last sync, in order.
    pending: Vec<Change>,
    /// Pages that a failed sync left in the cache as if they were on the disk.
    stale: BTreeSet<u64>,
    /// Reading any of these bytes fails.
    unreadable: Vec<Range<u64>>,
    /// Space taken, in bytes.
    pub taken: u64,
}

#[derive(Clone)]
enum Change {
    Write { at: u64, bytes: Vec<u8> },
    Len(u64),
}

impl Inode {
    pub fn readable(&self, range: Range<u64>) -> bool {
        !self.unreadable.iter().any(|bad| bad.start < range.end && range.start < bad.end)
    }

    pub fn spoil(&mut self, range: Range<u64>) {
        self.unreadable.push(range);
    }

    pub fn mend(&mut self) {
        self.unreadable.clear();
    }

    /// Flips a bit on the disk (and in the cache, if it had been read).
    pub fn flip(&mut self, bit: u64) {
        self.cache.flip(bit);
        self.durable.flip(bit);
    }

    pub fn write(&mut self, at: u64, bytes: Vec<u8>) {
        let range = at..at + bytes.len() as u64;
        self.cache.write(&bytes, at);
        for page in touched(range.clone()) {
            self.stale.remove(&page);
        }
        self.unreadable.retain(|bad| range.end <= bad.start || bad.end <= range.start);
        self.pending.push(Change::Write { at, bytes });
    }

    pub fn set_len(&mut self, bytes: u64) {
        self.cache.set_len(bytes);
        self.pending.push(Change::Len(bytes));
    }

    pub fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            match change {
                Change::Len(bytes) => self.durable.set_len(bytes),
                Change::Write { at, bytes } => {
                    let end = at + bytes.len() as u64;
                    for page in touched(at..end) {
                        self.durable.take_page(&self.cache, page);
                    }
                    self.durable.set_len(self.durable.len().max(end));
                }
            }
        }
        // The pages hold the newest bytes, and a cut that came after them is in `cache` already.
        self.durable.set_len(self.cache.len());
    }

    /// The trap of a failed sync: what was to be written counts as written, and is not.
    pub fn fail_sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            if let Change::Write { at, bytes } = change {
                self.stale.extend(touched(at..at + bytes.len() as u64));
            }
        }
    }

    /// Drops what is in the cache and neither on the disk nor waiting to go there.
    pub fn reread(&mut self, from: u64) {
        for page in self.stale.split_off(&(from / PAGE as u64)) {
            self.cache.take_page(&self.durable, page);
        }
    }

    /// What a power cut leaves: the disk's bytes and any part of the pending changes, sector by sector. A sector is as it
    /// was after one of the writes to it, not a mixture.
    pub fn after_power_cut(&self, survives: Survives, chance: &mut Chance) -> Inode {
        let changes = self.pending.len() as u64;
        // Under `Prefix`: changes before this one survive, and this one up to a sector.
        let (whole, torn) = match survives {
            Survives::Nothing => (0, 0),
            Survives::Everything => (changes, 0),
            Survives::Prefix | Survives::Sectors => (chance.below(changes + 1), chance.below(64)),
        };
        let mut touches: BTreeMap<u64, u64> = BTreeMap::new();
        if survives == Survives::Sectors {
            for sector in self.pending.iter().flat_map(Change::sectors) {
                *touches.entry(sector).or_default() += 1;
            }
            for count in touches.values_mut() {
                *count = chance.below(*count + 1);
            }
        }
        let mut left = self.durable.clone();
        let mut bytes = left.len();
        for (index, change) in (0..).zip(&self.pending) {
            match change {
                Change::Len(to) => {
                    if index < whole {
                        left.set_len(left.len().min(*to));
                        bytes = *to;
                    }
                }
                Change::Write { at, bytes: written } => {
                    let end = at + written.len() as u64;
                    for (nth, sector) in (0..).zip(change.sectors()) {
                        let survived = match survives {
                            Survives::Sectors => match touches.get_mut(&sector) {
                                Some(left @ 1..) => {
                                    *left -= 1;
                                    true
                                }
                                _ => false,
                            },
                            _ => index < whole || (index == whole && nth < torn),
                        };
                        if survived {
                            let from = (sector * SECTOR).max(*at);
                            let to = ((sector + 1) * SECTOR).min(end);
                            left.write(&written[(from - at) as usize..(to - at) as usize], from);
                        }
                    }
                    // The length is written apart from the bytes.
                    if index < whole {
                        bytes = bytes.max(end);
                    }
                }
            }
        }
        left.set_len(bytes);
        Inode {
            cache: left.clone(),
            durable: left,
            pending: Vec::new(),
            stale: BTreeSet::new(),
            unreadable: self.unreadable.clone(),
            taken: self.taken,
        }
    }
}

impl Change {
    /// The sectors a write touches.
    fn sectors(&self) -> Range<u64> {
        match self {
            Change::Write { at, bytes } => at / SECTOR..(at + bytes.len() as u64).div_ceil(SECTOR),
            Change::Len(_) => 0..0,
        }
    }
}
