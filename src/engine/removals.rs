//! Files that are given up are removed: at once, or when nobody holds (a backup does) or reads them any more. What a stop
//! leaves of them goes at the next start (sweep.rs).

use std::io;
use std::sync::{Arc, MutexGuard, PoisonError};

use super::packs;
use super::vault::{Segment, Vault};
use crate::ids::LogId;

/// What is to be removed, of a log or of the packs.
#[derive(Debug)]
enum Removal {
    Segment(Arc<Segment>),
    Log(LogId),
    Pack(u64),
}

/// Removals that wait until nobody holds or reads the files.
#[derive(Default)]
pub struct Removals {
    holders: usize,
    waiting: Vec<Removal>,
}

impl Vault {
    /// From now on nothing is removed, until [`Vault::let_go`] was called as often as this.
    pub fn hold(&self) {
        self.lock_held().holders += 1;
    }

    /// Gives up a hold; the last one does the removals that waited.
    pub fn let_go(&self) {
        self.lock_held().holders -= 1;
        self.remove_unread();
    }

    /// Does the removals that waited, as far as nobody holds or reads the files any more.
    pub fn remove_unread(&self) {
        let waiting = {
            let mut held = self.lock_held();
            if held.holders > 0 { Vec::new() } else { std::mem::take(&mut held.waiting) }
        };
        for removal in waiting {
            let what = format!("{removal:?}");
            let removed = match removal {
                Removal::Segment(segment) => self.remove(segment),
                Removal::Log(log) => self.remove_log(log),
                Removal::Pack(id) => self.remove_pack(id),
            };
            if let Err(e) = removed {
                tracing::error!("files that were given up could not be removed ({what}): {e}");
            }
        }
    }

    /// Whether something is to be removed that somebody still holds.
    pub fn removals_wait(&self) -> bool {
        !self.lock_held().waiting.is_empty()
    }

    /// Whether a removal has to wait; then it is remembered.
    fn is_held(&self, removal: Removal) -> bool {
        let mut held = self.lock_held();
        // Who reads a segment has a reference to it, and nobody new can get one.
        let read = matches!(&removal, Removal::Segment(segment) if Arc::strong_count(segment) > 2);
        let waits = read || held.holders > 0;
        if waits {
            held.waiting.push(removal);
        }
        waits
    }

    fn lock_held(&self) -> MutexGuard<'_, Removals> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes a segment's files. Missing files are fine: a removal that was cut short is repeated.
    pub fn remove(&self, segment: Arc<Segment>) -> io::Result<()> {
        if self.is_held(Removal::Segment(segment.clone())) {
            return Ok(());
        }
        let Segment { log, name, .. } = *segment;
        let mut removed = false;
        for kind in ["log", "side"] {
            self.lock_files().open.remove(&(log, name, kind));
            removed |= self.remove_file(&Segment::file(log, name, kind))?;
        }
        // All of it may have stood in packs.
        if removed { self.disk.sync_dir(&Segment::dir(log)) } else { Ok(()) }
    }

    /// Removes everything of a log.
    pub fn remove_log(&self, log: LogId) -> io::Result<()> {
        if self.is_held(Removal::Log(log)) {
            return Ok(());
        }
        let dir = Segment::dir(log);
        let names = self.disk.list(&dir)?;
        self.lock_files().open.retain(|(l, _, _), _| *l != log);
        for name in names {
            self.disk.remove(&format!("{dir}/{name}"))?;
        }
        if self.remove_file(&dir)? { self.disk.sync_dir("logs") } else { Ok(()) }
    }

    /// Removes a pack that nothing needs any more.
    pub fn remove_pack(&self, id: u64) -> io::Result<()> {
        if self.is_held(Removal::Pack(id)) || !self.remove_file(&packs::file_name(id))? {
            return Ok(());
        }
        self.disk.sync_dir(packs::DIR)
    }

    /// False: it was not there.
    fn remove_file(&self, name: &str) -> io::Result<bool> {
        match self.disk.remove(name) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(e) => Err(e),
        }
    }
}
