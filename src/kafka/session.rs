//! Fetch sessions (KIP-227): what a consumer asked for last time, so that it need not say it again, and what it was
//! told, so that it hears only of news. Pure: no IO, no clock, no chance; nothing here reads a log.
//!
//! | a request with            | is                                                                     |
//! |---------------------------|------------------------------------------------------------------------|
//! | epoch -1 (final)          | without session; the one that it names is closed                       |
//! | epoch 0 (initial)         | full; a session is opened for it if there is a slot                    |
//! | a session's id and epoch  | incremental: changes the session's list, is answered with what is new  |
//!
//! A restart loses every session; clients then hear FETCH_SESSION_ID_NOT_FOUND and open another.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::engine::Bounds;
use crate::ids::{StreamId, Timestamp};
use crate::kafka::error::Code;

/// "No session": in a request that has none, in an answer that gives none.
pub const NO_SESSION: i32 = 0;
/// Opens a session.
pub const INITIAL_EPOCH: i32 = 0;
/// Wants no session, closes the one it names.
pub const FINAL_EPOCH: i32 = -1;

/// How a client names a topic: by name up to Fetch v12, by id from v13 (KIP-516).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    Name(String),
    Id(StreamId),
}

/// One partition, as a client names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub topic: Topic,
    pub partition: i32,
}

/// What a client wants of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    pub offset: i64,
    pub max_bytes: i32,
    /// The leader epoch the client knows; -1: none.
    pub leader_epoch: i32,
    /// The epoch of the last record it has; -1: it does not say.
    pub last_epoch: i32,
}

/// What the client was last told of a partition; news is what differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    Bounds(Bounds),
}

/// What one answer says of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// No records, these bounds.
    Bounds(Bounds),
    /// Records, and these bounds.
    Records(Bounds),
    /// An error, or something else that must be heard in any case.
    Error,
}

/// What a request with a session id and epoch turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// All partitions stand in the request, all are answered, nothing is remembered.
    Sessionless,
    /// All partitions stand in the request, all are answered; then [`Sessions::open`] remembers them.
    Full,
    /// Read these, in this order; then [`Sessions::tell`] says which are answered.
    Incremental { id: i32, wants: Vec<(Place, Want)> },
}

/// All sessions of this server.
#[derive(Debug)]
pub struct Sessions {
    slots: usize,
    /// A session must be this old, or unused this long, before another may take its slot.
    evict_after_ms: i64,
    by_id: BTreeMap<i32, Session>,
    /// The least recently used first.
    by_use: BTreeSet<(Timestamp, i32)>,
    opened: u64,
    evicted: u64,
}

#[derive(Debug)]
struct Session {
    /// What the next request must say.
    epoch: i32,
    by_id: bool,
    created: Timestamp,
    used: Timestamp,
    /// In reading order: what was answered with records goes to the back, so that no partition starves.
    order: BTreeMap<u64, Place>,
    parts: BTreeMap<Place, Part>,
    /// What the topics that are named by id were called when they were asked for.
    names: BTreeMap<StreamId, Arc<str>>,
    next_turn: u64,
}

#[derive(Debug)]
struct Part {
    turn: u64,
    want: Want,
    told: Told,
}

impl Sessions {
    /// `slots`: most sessions at a time (`max.incremental.fetch.session.cache.slots`, 1000 in Kafka).
    pub fn new(slots: usize, evict_after_ms: i64) -> Sessions {
        Sessions { slots, evict_after_ms, by_id: BTreeMap::new(), by_use: BTreeSet::new(), opened: 0, evicted: 0 }
    }

    /// Sorts out a request: `ids` says whether it names topics by id; `wants` and `forget` are its two lists.
    ///
    /// The errors stand for the whole answer: FETCH_SESSION_ID_NOT_FOUND, INVALID_FETCH_SESSION_EPOCH,
    /// FETCH_SESSION_TOPIC_ID_ERROR.
    pub fn turn(
        &mut self,
        now: Timestamp,
        id: i32,
        epoch: i32,
        ids: bool,
        wants: &[(Place, Want)],
        forget: &[Place],
    ) -> Result<Turn, Code> {
        if epoch == INITIAL_EPOCH || epoch == FINAL_EPOCH {
            self.close(id);
            return Ok(if epoch == INITIAL_EPOCH { Turn::Full } else { Turn::Sessionless });
        }
        let session = self.by_id.get_mut(&id).ok_or(Code::FetchSessionIdNotFound)?;
        if session.epoch != epoch {
            return Err(Code::InvalidFetchSessionEpoch);
        }
        if session.by_id != ids {
            return Err(Code::FetchSessionTopicIdError);
        }
        wants.iter().for_each(|(place, want)| session.want(place, *want));
        forget.iter().for_each(|place| session.forget(place));
        if session.parts.is_empty() {
            self.close(id);
            return Ok(Turn::Sessionless);
        }
        session.epoch = next_epoch(epoch);
        self.by_use.remove(&(session.used, id));
        session.used = now;
        self.by_use.insert((now, id));
        let wants = session.order.values().map(|place| (place.clone(), session.parts[place].want)).collect();
        Ok(Turn::Incremental { id, wants })
    }

    /// Remembers a full request and what it was answered. `chance` picks the id. [`NO_SESSION`]: there is no slot.
    pub fn open(&mut self, now: Timestamp, chance: u64, ids: bool, parts: Vec<(Place, Want, Said)>) -> i32 {
        if parts.is_empty() || !self.make_room(now, parts.len()) {
            return NO_SESSION;
        }
        let id = self.free_id(chance);
        let mut session = Session {
            epoch: next_epoch(INITIAL_EPOCH),
            by_id: ids,
            created: now,
            used: now,
            order: BTreeMap::new(),
            parts: BTreeMap::new(),
            names: BTreeMap::new(),
            next_turn: 0,
        };
        for (place, want, said) in parts {
            session.want(&place, want);
            session.say(&place, said);
        }
        self.by_id.insert(id, session);
        self.by_use.insert((now, id));
        self.opened += 1;
        id
    }

    /// Remembers what topics of a session are called, as long as one of its partitions is theirs.
    pub fn learn(&mut self, id: i32, names: &[(StreamId, Arc<str>)]) {
        if let Some(session) = self.by_id.get_mut(&id) {
            session.names.extend(names.iter().cloned());
        }
    }

    /// What a topic of a session was called: one that is gone, perhaps replaced by another of its name.
    pub fn name(&self, id: i32, topic: StreamId) -> Option<Arc<str>> {
        self.by_id.get(&id)?.names.get(&topic).cloned()
    }

    /// Which of `said` an incremental answer carries; they count as told from now on. The places that were just read
    /// may have left the session meanwhile (closed, evicted): then all are answered.
    pub fn tell(&mut self, id: i32, said: &[(Place, Said)]) -> Vec<bool> {
        match self.by_id.get_mut(&id) {
            Some(session) => said.iter().map(|(place, said)| session.say(place, *said)).collect(),
            None => vec![true; said.len()],
        }
    }

    /// How many sessions there are, have been opened, and have lost their slot to another.
    pub fn counts(&self) -> (usize, u64, u64) {
        (self.by_id.len(), self.opened, self.evicted)
    }

    fn close(&mut self, id: i32) {
        if let Some(session) = self.by_id.remove(&id) {
            self.by_use.remove(&(session.used, id));
        }
    }

    /// As Kafka chooses: a session that nobody used for a while gives way to anyone, one that merely is old enough
    /// gives way to a larger one.
    fn make_room(&mut self, now: Timestamp, parts: usize) -> bool {
        if self.by_id.len() < self.slots {
            return true;
        }
        let since = |then: Timestamp| now.0.saturating_sub(then.0);
        let stale = self.by_use.first().filter(|(used, _)| since(*used) > self.evict_after_ms).map(|(_, id)| *id);
        let smaller = || {
            let old = self.by_id.iter().filter(|(_, s)| since(s.created) > self.evict_after_ms);
            old.map(|(id, s)| (s.parts.len(), *id)).min().filter(|(size, _)| *size < parts).map(|(_, id)| id)
        };
        match stale.or_else(smaller) {
            Some(id) => {
                self.close(id);
                self.evicted += 1;
                true
            }
            None => false,
        }
    }

    /// A positive number that is no session's.
    fn free_id(&self, chance: u64) -> i32 {
        let mut id = ((chance & 0x7fff_ffff) as i32).max(1);
        while self.by_id.contains_key(&id) {
            id = if id == i32::MAX { 1 } else { id + 1 };
        }
        id
    }
}

impl Session {
    fn want(&mut self, place: &Place, want: Want) {
        match self.parts.get_mut(place) {
            Some(part) => part.want = want,
            None => {
                self.order.insert(self.next_turn, place.clone());
                self.parts.insert(place.clone(), Part { turn: self.next_turn, want, told: Told::Nothing });
                self.next_turn += 1;
            }
        }
    }

    fn forget(&mut self, place: &Place) {
        if let Some(part) = self.parts.remove(place) {
            self.order.remove(&part.turn);
        }
        if let Topic::Id(id) = &place.topic {
            let first = Place { topic: place.topic.clone(), partition: i32::MIN };
            if self.parts.range(first..).next().is_none_or(|(other, _)| other.topic != place.topic) {
                self.names.remove(id);
            }
        }
    }

    /// Whether `said` is news.
    fn say(&mut self, place: &Place, said: Said) -> bool {
        let Some(part) = self.parts.get_mut(place) else { return true };
        match said {
            Said::Error => {
                // It will be heard again when the error is over.
                part.told = Told::Nothing;
                true
            }
            Said::Records(bounds) => {
                part.told = Told::Bounds(bounds);
                self.order.remove(&part.turn);
                part.turn = self.next_turn;
                self.order.insert(self.next_turn, place.clone());
                self.next_turn += 1;
                true
            }
            Said::Bounds(bounds) => {
                let news = part.told != Told::Bounds(bounds);
                part.told = Told::Bounds(bounds);
                news
            }
        }
    }
}

/// Counts 1, 2, … and from the largest number to 1 again.
fn next_epoch(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

#[cfg(test)]
mod tests;
