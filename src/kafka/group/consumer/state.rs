//! What the log says of one consumer group (KIP-848): its epoch, its members, what each should have and what each has.
//! Every map is persistent, so that a decision works on a copy that costs nothing. No session and no clock stands here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use imbl::OrdMap;

use crate::kafka::group::Name;
use crate::kafka::group::live::protocols_bytes;

/// Topic id to partitions.
pub type Assignment = BTreeMap<u128, BTreeSet<i32>>;
/// Topic id to partitions, each with the member epoch in which it was given (KIP-1251).
pub type Held = BTreeMap<u128, BTreeMap<i32, i32>>;

/// One consumer group. It is there as long as any part of it is: so a log that has been compacted gives the same.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Consumer {
    pub epoch: Option<Epoch>,
    pub target: Option<Target>,
    pub members: OrdMap<Name, Arc<Member>>,
    /// What each member should have.
    pub targets: OrdMap<Name, Arc<Assignment>>,
    /// What each member has.
    pub current: OrdMap<Name, Arc<Current>>,
    /// The topics that each regular expression stands for.
    pub regexes: OrdMap<Name, Arc<Resolved>>,
    /// Folded from `current`: who has a partition, or has not given it back yet.
    owners: OrdMap<(u128, i32), Name>,
    /// Folded from `members`: instance to member.
    instances: OrdMap<Name, Name>,
    /// Folded from `members`: all that they say about themselves.
    bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    pub number: i32,
    /// Of the topics that are subscribed, their ids and sizes: another hash means another assignment.
    pub hash: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The group epoch that the targets were computed for.
    pub epoch: i32,
    pub time_ms: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    pub instance: Option<Name>,
    pub rack: Option<Name>,
    pub client_id: Name,
    pub client_host: Name,
    /// Sorted, each once.
    pub topics: Vec<Name>,
    pub regex: Option<Name>,
    pub rebalance_timeout_ms: i32,
    pub assignor: Option<Name>,
    /// A member that still speaks the classic protocol.
    pub classic: Option<Classic>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Classic {
    pub session_timeout_ms: i32,
    /// Best first, with what the member says about itself in each.
    pub protocols: Vec<(Name, Bytes)>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Current {
    /// -2: a static member that will be back.
    pub epoch: i32,
    pub previous_epoch: i32,
    pub phase: Phase,
    pub assigned: Held,
    /// What the member must give back first.
    pub revoking: Held,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    pub topics: Vec<Name>,
    pub version: i64,
    pub time_ms: i64,
}

/// Where a member stands on its way to its target. The numbers are Kafka's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Stable = 0,
    /// It holds partitions that somebody else is to have.
    Unrevoked = 1,
    /// Somebody else still holds partitions that it is to have.
    Unreleased = 2,
    /// Of a version to come.
    Unknown = 127,
}

impl Phase {
    pub fn of(number: i8) -> Phase {
        match number {
            0 => Phase::Stable,
            1 => Phase::Unrevoked,
            2 => Phase::Unreleased,
            _ => Phase::Unknown,
        }
    }
}

/// One record about a consumer group; no value takes it away.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    Epoch(Option<Epoch>),
    Member(Name, Option<Arc<Member>>),
    Target(Option<Target>),
    TargetOf(Name, Option<Arc<Assignment>>),
    Current(Name, Option<Arc<Current>>),
    Regex(Name, Option<Arc<Resolved>>),
}

impl Change {
    pub fn is_tombstone(&self) -> bool {
        match self {
            Change::Epoch(epoch) => epoch.is_none(),
            Change::Target(target) => target.is_none(),
            Change::Member(_, member) => member.is_none(),
            Change::TargetOf(_, target) => target.is_none(),
            Change::Current(_, current) => current.is_none(),
            Change::Regex(_, resolved) => resolved.is_none(),
        }
    }
}

/// The member epoch of a static member that has left for a while.
pub const AWAY: i32 = -2;

impl Default for Current {
    fn default() -> Current {
        let (assigned, revoking) = (Held::new(), Held::new());
        Current { epoch: 0, previous_epoch: 0, phase: Phase::Stable, assigned, revoking }
    }
}

impl Consumer {
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Epoch(epoch) => self.epoch = *epoch,
            Change::Target(target) => self.target = *target,
            Change::Member(id, member) => {
                if let Some(instance) = self.members.get(id).and_then(|old| old.instance.clone())
                    && self.instances.get(&instance) == Some(id)
                {
                    self.instances.remove(&instance);
                }
                let bytes = |member: Option<&Arc<Member>>| member.map_or(0, |member| member.bytes());
                self.bytes = self.bytes - bytes(self.members.get(id)) + bytes(member.as_ref());
                if let Some(instance) = member.as_ref().and_then(|member| member.instance.clone()) {
                    self.instances.insert(instance, id.clone());
                }
                put(&mut self.members, id, member);
            }
            Change::TargetOf(id, target) => put(&mut self.targets, id, target),
            Change::Current(id, current) => {
                if let Some(old) = self.current.get(id).cloned() {
                    for place in places(&old) {
                        if self.owners.get(&place) == Some(id) {
                            self.owners.remove(&place);
                        }
                    }
                }
                for place in current.iter().flat_map(|current| places(current)) {
                    self.owners.insert(place, id.clone());
                }
                put(&mut self.current, id, current);
            }
            Change::Regex(regex, resolved) => put(&mut self.regexes, regex, resolved),
        }
    }

    pub fn snapshot(&self) -> Vec<Change> {
        let mut changes: Vec<Change> = Vec::new();
        changes.extend(self.members.iter().map(|(id, m)| Change::Member(id.clone(), Some(m.clone()))));
        changes.extend(self.regexes.iter().map(|(regex, r)| Change::Regex(regex.clone(), Some(r.clone()))));
        changes.extend(self.epoch.map(|epoch| Change::Epoch(Some(epoch))));
        changes.extend(self.targets.iter().map(|(id, t)| Change::TargetOf(id.clone(), Some(t.clone()))));
        changes.extend(self.target.map(|target| Change::Target(Some(target))));
        changes.extend(self.current.iter().map(|(id, c)| Change::Current(id.clone(), Some(c.clone()))));
        changes
    }

    /// What takes all of it out of the log.
    pub fn end(&self) -> Vec<Change> {
        let none = |change| match change {
            Change::Epoch(_) => Change::Epoch(None),
            Change::Target(_) => Change::Target(None),
            Change::Member(id, _) => Change::Member(id, None),
            Change::TargetOf(id, _) => Change::TargetOf(id, None),
            Change::Current(id, _) => Change::Current(id, None),
            Change::Regex(regex, _) => Change::Regex(regex, None),
        };
        // The group's own record goes last: Kafka wants its members gone by then.
        self.snapshot().into_iter().rev().map(none).collect()
    }

    pub fn is_gone(&self) -> bool {
        self.epoch.is_none()
            && self.target.is_none()
            && self.members.is_empty()
            && self.targets.is_empty()
            && self.current.is_empty()
            && self.regexes.is_empty()
    }

    pub fn epoch(&self) -> i32 {
        self.epoch.map_or(0, |epoch| epoch.number)
    }

    pub fn hash(&self) -> i64 {
        self.epoch.map_or(0, |epoch| epoch.hash)
    }

    pub fn target_epoch(&self) -> i32 {
        self.target.map_or(0, |target| target.epoch)
    }

    pub fn current(&self, member: &str) -> Arc<Current> {
        self.current.get(member).cloned().unwrap_or_default()
    }

    /// Who holds a partition.
    pub fn owner(&self, topic: u128, partition: i32) -> Option<&Name> {
        self.owners.get(&(topic, partition))
    }

    /// The member that an instance belongs to.
    pub fn instance(&self, instance: &str) -> Option<&Name> {
        self.instances.get(instance)
    }

    /// About as many as all that the members say about themselves takes in records.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Every topic that any member wants, by name or by expression.
    pub fn subscribed(&self) -> BTreeSet<Name> {
        let mut topics: BTreeSet<Name> = BTreeSet::new();
        for member in self.members.values() {
            topics.extend(member.topics.iter().cloned());
        }
        topics.extend(self.regexes.values().flat_map(|resolved| resolved.topics.iter().cloned()));
        topics
    }

    pub fn is_subscribed(&self, topic: &str) -> bool {
        let is = |name: &Name| &**name == topic;
        self.members.values().any(|m| m.topics.iter().any(is)) || self.regexes.values().any(|r| r.topics.iter().any(is))
    }

    /// As Kafka spells it.
    pub fn state_name(&self) -> &'static str {
        let target = self.target_epoch();
        if self.members.is_empty() {
            "Empty"
        } else if self.epoch() > target {
            "Assigning"
        } else if self.members.keys().any(|id| !self.current(id).is_reconciled(target)) {
            "Reconciling"
        } else {
            "Stable"
        }
    }
}

impl Member {
    /// About as many as it takes in its record.
    pub fn bytes(&self) -> usize {
        let optional = [&self.instance, &self.rack, &self.regex, &self.assignor].into_iter().flatten();
        let names = [&self.client_id, &self.client_host].into_iter().chain(optional).chain(&self.topics);
        let classic = self.classic.as_ref().map_or(0, |classic| protocols_bytes(&classic.protocols));
        MEMBER_BYTES + names.map(|name| name.len() + 2).sum::<usize>() + classic
    }
}

/// What a member's record takes whatever it says.
const MEMBER_BYTES: usize = 32;

impl Current {
    pub fn is_reconciled(&self, target_epoch: i32) -> bool {
        self.phase == Phase::Stable && self.epoch == target_epoch
    }

    /// The epoch in which a partition was given that the member holds still.
    pub fn given(&self, topic: u128, partition: i32) -> Option<i32> {
        let find = |held: &Held| held.get(&topic).and_then(|partitions| partitions.get(&partition)).copied();
        find(&self.assigned).or_else(|| find(&self.revoking))
    }
}

fn put<T: Clone>(map: &mut OrdMap<Name, T>, key: &Name, value: &Option<T>) {
    match value {
        Some(value) => map.insert(key.clone(), value.clone()),
        None => map.remove(key),
    };
}

fn places(current: &Current) -> impl Iterator<Item = (u128, i32)> {
    let held = current.assigned.iter().chain(&current.revoking);
    held.flat_map(|(topic, partitions)| partitions.keys().map(|partition| (*topic, *partition)))
}
