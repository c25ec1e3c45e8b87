//! A group as it lives between two records: its members, who waits for what, and its deadlines. Lost on restart, which
//! gives every member of the log a fresh session. Nothing here decides: see `membership.rs`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use bytes::Bytes;

use super::record::subscribed_topics;
use super::state::{self, Meta, Name};
use crate::ids::Timestamp;
use crate::ledger::Ticket;

/// `Dead` is not among them: a dead group is one that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nobody is in it; its offsets are kept for a while.
    Empty,
    /// Waiting for the members to join the next generation.
    Preparing,
    /// Everyone has joined; waiting for the leader's assignment.
    Completing,
    Stable,
}

impl Phase {
    /// As Kafka spells it in answers.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Empty => "Empty",
            Phase::Preparing => "PreparingRebalance",
            Phase::Completing => "CompletingRebalance",
            Phase::Stable => "Stable",
        }
    }
}

#[derive(Debug)]
pub struct Live {
    pub name: Name,
    pub phase: Phase,
    /// The rebalance under way began in an empty group: it ends by its timer only.
    pub is_first: bool,
    pub since: Timestamp,
    pub generation: i32,
    pub protocol_type: Option<Name>,
    pub protocol: Option<Name>,
    pub leader: Option<Name>,
    pub members: BTreeMap<Name, Member>,
    /// Static members: instance to member.
    pub instances: BTreeMap<Name, Name>,
    /// Member ids given out (KIP-394) and not yet used, with the moment they lapse.
    pub pending: BTreeMap<Name, Timestamp>,
    /// Members of this generation that have not asked for their assignment yet.
    pub unsynced: BTreeSet<Name>,
    /// Someone joined during the first rebalance since its timer was set.
    pub has_newcomer: bool,
    pub join_timer: Option<JoinTimer>,
    pub sync_timer: Option<Timestamp>,
    /// When alarms ring for these two: at the latest [`LATE_ALARM_MS`] after they were set.
    pub join_armed: Option<Timestamp>,
    pub sync_armed: Option<Timestamp>,
}

/// When the joining ends at the latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JoinTimer {
    pub at: Timestamp,
    /// For the first rebalance: how long this wait is, and how much may follow while newcomers keep coming.
    pub first: Option<(i64, i64)>,
}

#[derive(Debug)]
pub struct Member {
    pub instance: Option<Name>,
    pub client_id: Name,
    pub client_host: Name,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    /// What it can speak, best first, with what it says about itself in each.
    pub protocols: Vec<(Name, Bytes)>,
    pub assignment: Bytes,
    /// Has never finished a join: its session runs even while it waits.
    pub is_new: bool,
    pub joining: Option<Ticket>,
    pub syncing: Option<Ticket>,
    pub deadline: Timestamp,
    /// The earliest alarm that is set for it.
    pub armed: Option<Timestamp>,
}

impl Member {
    pub fn metadata(&self, protocol: Option<&str>) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| Some(&**name) == protocol);
        found.map(|(_, metadata)| metadata.clone()).unwrap_or_default()
    }

    pub fn speaks(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|(name, _)| &**name == protocol)
    }

    /// About as many as it takes in the group's record.
    pub fn bytes(&self) -> usize {
        let names = self.client_id.len() + self.client_host.len() + self.instance.as_ref().map_or(0, |i| i.len());
        // Its id begins with one of its names.
        2 * names + self.assignment.len() + protocols_bytes(&self.protocols)
    }
}

pub fn protocols_bytes(protocols: &[(Name, Bytes)]) -> usize {
    protocols.iter().map(|(name, metadata)| name.len() + metadata.len()).sum()
}

impl Live {
    /// A group that nobody is in: a new one, or what the log says of an empty one.
    pub fn empty(name: Name, meta: Option<&Meta>, now: Timestamp) -> Live {
        Live {
            name,
            phase: Phase::Empty,
            is_first: false,
            since: meta.map_or(now, |m| m.since),
            generation: meta.map_or(0, |m| m.generation),
            protocol_type: meta.and_then(|m| m.protocol_type.clone()),
            protocol: meta.and_then(|m| m.protocol.clone()),
            leader: None,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            pending: BTreeMap::new(),
            unsynced: BTreeSet::new(),
            has_newcomer: false,
            join_timer: None,
            sync_timer: None,
            join_armed: None,
            sync_armed: None,
        }
    }

    /// A stable generation from the log. Of a foreign log that names an instance or a leader wrongly, the wrong name
    /// is dropped.
    pub fn restored(name: Name, meta: &Meta, now: Timestamp) -> Live {
        let mut live = Live::empty(name, Some(meta), now);
        live.phase = Phase::Stable;
        for member in &meta.members {
            let protocol = meta.protocol.clone().unwrap_or_else(|| "".into());
            let instance = member.instance.clone().filter(|i| !live.instances.contains_key(i));
            if let Some(instance) = &instance {
                live.instances.insert(instance.clone(), member.id.clone());
            }
            live.members.insert(
                member.id.clone(),
                Member {
                    instance,
                    client_id: member.client_id.clone(),
                    client_host: member.client_host.clone(),
                    rebalance_timeout_ms: member.rebalance_timeout_ms,
                    session_timeout_ms: member.session_timeout_ms,
                    protocols: vec![(protocol, member.subscription.clone())],
                    assignment: member.assignment.clone(),
                    is_new: false,
                    joining: None,
                    syncing: None,
                    deadline: now,
                    armed: None,
                },
            );
        }
        let leader = meta.leader.clone().filter(|leader| live.members.contains_key(leader));
        live.leader = leader.or_else(|| live.members.keys().next().cloned());
        live
    }

    /// The group as its record says it.
    pub fn meta(&self) -> Meta {
        let member = |(id, member): (&Name, &Member)| state::Member {
            id: id.clone(),
            instance: member.instance.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            subscription: member.metadata(self.protocol.as_deref()),
            assignment: member.assignment.clone(),
        };
        Meta {
            protocol_type: self.protocol_type.clone(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            since: self.since,
            members: self.members.iter().map(member).collect(),
        }
    }

    /// Nothing is known here that the log does not know.
    pub fn is_forgettable(&self) -> bool {
        self.phase == Phase::Empty && self.pending.is_empty()
    }

    pub fn is_leader(&self, member: &str) -> bool {
        self.leader.as_deref() == Some(member)
    }

    pub fn everyone_joined(&self) -> bool {
        self.pending.is_empty() && self.members.values().all(|m| m.joining.is_some())
    }

    /// How long the slowest member may take to join.
    pub fn rebalance_timeout_ms(&self) -> i64 {
        self.members.values().map(|m| i64::from(m.rebalance_timeout_ms)).max().unwrap_or(0)
    }

    /// Whether a member that speaks these could be here together with everyone else.
    pub fn supports(&self, protocol_type: &str, protocols: &[(Name, Bytes)]) -> bool {
        if self.phase == Phase::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols.iter().any(|(name, _)| self.members.values().all(|m| m.speaks(name)))
    }

    /// The protocol with the most votes: each member votes for the first of its own that everyone speaks. Ties go to
    /// the first by name, so that a replay of the same requests chooses the same.
    pub fn elect_protocol(&self) -> Option<Name> {
        let mut votes: BTreeMap<&Name, usize> = BTreeMap::new();
        for member in self.members.values() {
            let common = |name: &str| self.members.values().all(|m| m.speaks(name));
            if let Some((vote, _)) = member.protocols.iter().find(|(name, _)| common(name)) {
                *votes.entry(vote).or_default() += 1;
            }
        }
        votes.into_iter().max_by_key(|(name, count)| (*count, Reverse(*name))).map(|(name, _)| name.clone())
    }

    /// The topics the members want; `None` where that cannot be known.
    pub fn subscribed_topics(&self) -> Option<BTreeSet<Name>> {
        if self.protocol_type.as_deref() != Some(CONSUMER) {
            return None;
        }
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            topics.extend(subscribed_topics(&member.metadata(self.protocol.as_deref()))?);
        }
        Some(topics)
    }

    pub fn bytes(&self) -> usize {
        self.members.values().map(Member::bytes).sum()
    }
}

/// The protocol type of consumers.
pub const CONSUMER: &str = "consumer";

/// What happens at a deadline.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Alarm {
    /// A member (or an unused member id) has been silent too long.
    Session { group: Name, member: Name },
    /// The joining has taken long enough.
    Join { group: Name },
    /// Members have not asked for their assignment.
    Sync { group: Name },
    /// A member of a consumer group has been silent too long.
    Beat { group: Name, member: Name },
    /// A member of a consumer group has not given back what it was told to, or has not joined or synced.
    Revoke { group: Name, member: Name },
    /// A consumer group may have new assignments again.
    Plan { group: Name },
    /// Chores wait: expired offsets, offsets of deleted streams.
    Chores,
}

/// All deadlines. One that no longer matches its group's is void: nothing is ever searched for and removed.
#[derive(Debug, Default)]
pub struct Alarms {
    heap: BinaryHeap<Reverse<(Timestamp, Alarm)>>,
    /// The wake-up that the runner has been asked for.
    pub asked: Option<Timestamp>,
}

/// The longest that an alarm is set for ahead, where a client chooses the moment, which may be days away: alarms cannot be
/// taken back, and those of what is long over would pile up.
pub const LATE_ALARM_MS: i64 = 300_000;

impl Alarms {
    /// Sets an alarm for `due`, or for a while before it, unless one rings earlier already.
    pub fn arm(&mut self, armed: &mut Option<Timestamp>, due: Timestamp, now: Timestamp, alarm: Alarm) {
        let at = due.min(now.plus_ms(LATE_ALARM_MS));
        if armed.is_none_or(|armed| armed > at) {
            *armed = Some(at);
            self.set(at, alarm);
        }
    }

    pub fn set(&mut self, at: Timestamp, alarm: Alarm) {
        self.heap.push(Reverse((at, alarm)));
    }

    #[cfg(test)]
    pub fn count(&self) -> usize {
        self.heap.len()
    }

    pub fn next(&self) -> Option<Timestamp> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    pub fn due(&mut self, now: Timestamp) -> Option<(Timestamp, Alarm)> {
        if self.next()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(due)| due)
    }
}
