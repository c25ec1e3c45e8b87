//! Members of a consumer group that still speak the classic protocol: join, sync, heartbeat and leave in terms of
//! heartbeats; and how a classic group becomes a consumer group and comes back while its members live (KIP-848, "online
//! upgrade" and "online downgrade"). Nobody waits here: a member that has to give something back is told to join again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::assign::Topics;
use super::room::Room;
use super::state::{Assignment, Change, Classic, Current, Epoch, Held, Member, Phase, Target};
use super::{Refused, Settings};
use crate::ids::Timestamp;
use crate::kafka::group::live::{self, CONSUMER, Live};
use crate::kafka::group::{Heartbeat, Join, JoinRefused, Joined, Name, Refusal, Sync, Synced, new_member_id};
use crate::kafka::wire::messages::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartition,
};
use crate::kafka::wire::versioned;

/// Every member of a classic group as a member here, with what it has; or why that cannot be.
pub fn adopted(group: &Live, topics: &dyn Topics, settings: &Settings, now: Timestamp) -> Result<Vec<Change>, Refused> {
    let refuse = |why: &str| {
        let words = format!("Cannot upgrade classic group {} to consumer group because {why}.", group.name);
        Err(Refused::new(Refusal::GroupNotFound, words))
    };
    if !settings.migration.allows_upgrade() {
        return refuse("online upgrade is disabled");
    } else if group.protocol_type.as_deref() != Some(CONSUMER) {
        return refuse("the group does not use the consumer embedded protocol");
    } else if group.members.len() > settings.max_size {
        return refuse("the group size exceeds the consumer group maximum size");
    }
    let epoch = group.generation;
    let mut changes = Vec::new();
    for (id, member) in &group.members {
        let metadata = match &group.protocol {
            Some(protocol) => member.metadata(Some(protocol)),
            None => member.protocols.first().map(|(_, metadata)| metadata.clone()).unwrap_or_default(),
        };
        let Ok((_, subscription)) = versioned::read_newer::<ConsumerProtocolSubscription>(metadata) else {
            return refuse("the embedded consumer protocol is malformed");
        };
        let assignment = match member.assignment.is_empty() {
            true => ConsumerProtocolAssignment::default(),
            false => match versioned::read_newer(member.assignment.clone()) {
                Ok((_, assignment)) => assignment,
                Err(_) => return refuse("the embedded consumer protocol is malformed"),
            },
        };
        if assignment.user_data.as_ref().is_some_and(|data| !data.is_empty()) {
            return refuse("an unsupported custom assignor is in use");
        }
        let assigned = by_id(topics, &assignment.assigned_partitions);
        let held = |(topic, partitions): (&u128, &BTreeSet<i32>)| {
            (*topic, partitions.iter().map(|partition| (*partition, epoch)).collect())
        };
        let assigned_held = assigned.iter().map(held).collect();
        let current = Current { epoch, previous_epoch: epoch, assigned: assigned_held, ..Current::default() };
        let new = classic_member(
            &subscription,
            member.instance.clone(),
            (member.client_id.clone(), member.client_host.clone()),
            member.rebalance_timeout_ms,
            Classic { session_timeout_ms: member.session_timeout_ms, protocols: member.protocols.clone() },
        );
        changes.push(Change::Member(id.clone(), Some(Arc::new(new))));
        changes.push(Change::TargetOf(id.clone(), Some(Arc::new(assigned))));
        changes.push(Change::Current(id.clone(), Some(Arc::new(current))));
    }
    changes.push(Change::Epoch(Some(Epoch { number: epoch, hash: 0 })));
    changes.push(Change::Target(Some(Target { epoch, time_ms: now.0 })));
    Ok(changes)
}

impl Room<'_> {
    // ── over and back

    pub fn adopt(&mut self, changes: Vec<Change>) {
        for change in changes {
            self.put(change);
        }
        let ids: Vec<Name> = self.group.members.keys().cloned().collect();
        ids.iter().for_each(|id| self.touch(id));
    }

    /// Whether all of its members speak the classic protocol.
    pub fn is_classic(&self) -> bool {
        !self.group.members.is_empty() && self.group.members.values().all(|member| member.classic.is_some())
    }

    /// The classic group that this one becomes.
    pub fn as_classic(&self) -> Live {
        let mut live = Live::empty(self.name.clone(), None, self.now);
        live.phase = live::Phase::Stable;
        live.generation = self.group.epoch();
        live.protocol_type = Some(CONSUMER.into());
        for (id, member) in &self.group.members {
            let Some(classic) = &member.classic else { continue };
            if let Some(instance) = &member.instance {
                live.instances.insert(instance.clone(), id.clone());
            }
            let new = live::Member {
                instance: member.instance.clone(),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                rebalance_timeout_ms: member.rebalance_timeout_ms.max(0),
                session_timeout_ms: classic.session_timeout_ms,
                protocols: classic.protocols.clone(),
                assignment: self.assignment_bytes(id, classic),
                is_new: false,
                joining: None,
                syncing: None,
                deadline: self.now,
                armed: None,
            };
            live.members.insert(id.clone(), new);
        }
        live.protocol = live.elect_protocol();
        live.leader = live.members.keys().next().cloned();
        live
    }

    /// Takes all of it out of the log.
    pub fn end(&mut self) {
        for change in self.group.end() {
            self.put(change);
        }
        self.live.members.clear();
    }

    // ── the classic requests

    pub fn join(&mut self, join: Join) -> Result<Joined, JoinRefused> {
        let refuse = |why, member: &Name| Err(JoinRefused { why, member: member.clone() });
        let is_member = self.group.members.contains_key(&join.member);
        let holder = join.instance.as_ref().and_then(|instance| self.group.instance(instance).cloned());
        let takes_a_place = !is_member && holder.is_none();
        if takes_a_place && self.group.members.len() >= self.settings.max_size {
            return refuse(Refusal::GroupFull, &join.member);
        }
        let everyone_speaks = |(name, _): &(Name, Bytes)| {
            let mut classics = self.group.members.values().filter_map(|member| member.classic.as_ref());
            classics.all(|classic| classic.protocols.iter().any(|(spoken, _)| spoken == name))
        };
        if &*join.protocol_type != CONSUMER || !join.protocols.iter().any(everyone_speaks) {
            return refuse(Refusal::InconsistentProtocol, &join.member);
        }
        let Some((protocol, metadata)) = join.protocols.first().cloned() else {
            return refuse(Refusal::InconsistentProtocol, &join.member);
        };
        let Ok((_, subscription)) = versioned::read_newer::<ConsumerProtocolSubscription>(metadata) else {
            return refuse(Refusal::InconsistentProtocol, &join.member);
        };
        let is_unknown = join.member.is_empty();
        let id = match is_unknown {
            true => new_member_id(join.instance.as_ref().unwrap_or(&join.client_id), join.fresh),
            false => join.member.clone(),
        };
        match (&join.instance, &holder) {
            (None, _) if is_unknown && join.needs_known_id => return refuse(Refusal::MemberIdRequired, &id),
            (Some(_), Some(holder)) if !is_unknown && *holder != id => return refuse(Refusal::FencedInstance, &id),
            (Some(_), None) if !is_unknown => return refuse(Refusal::UnknownMember, &id),
            _ => {}
        }
        let member = classic_member(
            &subscription,
            join.instance,
            (join.client_id, join.client_host),
            join.rebalance_timeout_ms.max(0),
            Classic { session_timeout_ms: join.session_timeout_ms, protocols: join.protocols },
        );
        let old = self.group.members.get(&id).or_else(|| self.group.members.get(holder.as_ref()?));
        if self.has_room(&id, old.map(|old| &**old), &member).is_err() {
            return refuse(Refusal::GroupFull, &id);
        }
        if let Some(holder) = holder.filter(|holder| *holder != id) {
            // A static member comes back: what it had is its own.
            self.replace(&holder, &id);
        }
        let owned = by_id(&*self.topics, &subscription.owned_partitions);
        self.set(&id, member);
        self.plan();
        self.touch(&id);
        let epoch = self.step(&id, Some(&owned), false).epoch;
        // It has its rebalance timeout to ask for what it was given.
        self.late(&id);
        Ok(Joined {
            generation: epoch,
            protocol_type: Some(CONSUMER.into()),
            protocol: Some(protocol),
            // Nobody leads: the assignment is made here.
            leader: "".into(),
            member: id,
            skip_assignment: false,
            members: Vec::new(),
        })
    }

    pub fn sync(&mut self, sync: &Sync) -> Result<Synced, Refusal> {
        let classic = self.validate(&sync.member, sync.instance.as_ref(), sync.generation)?;
        let protocol = classic.protocols.first().map(|(name, _)| name.clone());
        let differs = |asked: &Option<Name>, is: Option<&str>| asked.is_some() && asked.as_deref() != is;
        if differs(&sync.protocol_type, Some(CONSUMER)) || differs(&sync.protocol, protocol.as_deref()) {
            return Err(Refusal::InconsistentProtocol);
        }
        let current = self.group.current(&sync.member);
        if self.group.target_epoch() > current.epoch && current.phase != Phase::Unrevoked {
            self.must_join(&sync.member);
            return Err(Refusal::RebalanceInProgress);
        }
        self.in_time(&sync.member);
        self.touch(&sync.member);
        let assignment = self.assignment_bytes(&sync.member, &classic);
        Ok(Synced { protocol_type: Some(CONSUMER.into()), protocol, assignment })
    }

    pub fn heartbeat(&mut self, beat: &Heartbeat) -> Result<(), Refusal> {
        self.validate(&beat.member, beat.instance.as_ref(), beat.generation)?;
        self.touch(&beat.member);
        let current = self.group.current(&beat.member);
        let is_behind = current.epoch < self.group.target_epoch();
        let can_go_on = match current.phase {
            Phase::Unrevoked => true,
            Phase::Unreleased => !self.waits(&beat.member, &current),
            Phase::Stable | Phase::Unknown => false,
        };
        match is_behind || can_go_on {
            true => {
                self.must_join(&beat.member);
                Err(Refusal::RebalanceInProgress)
            }
            false => Ok(()),
        }
    }

    /// It is told to join again, and has its rebalance timeout for that from the first time on.
    fn must_join(&mut self, id: &Name) {
        if !self.is_late(id) {
            self.late(id);
        }
    }

    /// Of both protocols: an administrator removes members of either.
    pub fn leave_all(&mut self, members: &[(Name, Option<Name>)]) -> Vec<Result<(), Refusal>> {
        let mut leave = |(id, instance): &(Name, Option<Name>)| {
            let holder = match instance {
                None => Some(id.clone()),
                Some(instance) => self.group.instance(instance).cloned(),
            };
            let holder = holder.filter(|holder| self.group.members.contains_key(holder));
            let holder = holder.ok_or(Refusal::UnknownMember)?;
            if !id.is_empty() && holder != *id {
                return Err(Refusal::FencedInstance);
            }
            self.remove(&holder);
            Ok(())
        };
        let results: Vec<_> = members.iter().map(&mut leave).collect();
        if results.iter().any(Result::is_ok) {
            self.bump();
        }
        results
    }

    fn validate(&self, id: &Name, instance: Option<&Name>, generation: i32) -> Result<Classic, Refusal> {
        if let Some(instance) = instance {
            match self.group.instance(instance) {
                None => return Err(Refusal::UnknownMember),
                Some(holder) if holder != id => return Err(Refusal::FencedInstance),
                Some(_) => {}
            }
        }
        let member = self.group.members.get(id).ok_or(Refusal::UnknownMember)?;
        let classic = member.classic.clone().ok_or(Refusal::UnknownMember)?;
        match self.group.current(id).epoch == generation {
            true => Ok(classic),
            false => Err(Refusal::IllegalGeneration),
        }
    }

    /// Whether something it is to have is still in another's hands.
    fn waits(&self, id: &Name, current: &Current) -> bool {
        let target = self.group.targets.get(id).cloned().unwrap_or_default();
        target.iter().any(|(topic, partitions)| {
            let is_taken = |partition: &i32| {
                current.given(*topic, *partition).is_none() && self.group.owner(*topic, *partition).is_some()
            };
            partitions.iter().any(is_taken)
        })
    }

    fn assignment_bytes(&self, id: &Name, classic: &Classic) -> Bytes {
        let current = self.group.current(id);
        let one = |(topic, partitions): (&u128, &BTreeMap<i32, i32>)| {
            let topic = self.topics.name(*topic)?.to_string();
            Some(TopicPartition { topic, partitions: partitions.keys().copied().collect() })
        };
        let held: &Held = &current.assigned;
        let assignment =
            ConsumerProtocolAssignment { assigned_partitions: held.iter().filter_map(one).collect(), user_data: None };
        let version = classic.protocols.first().and_then(|(_, metadata)| versioned::version(metadata).ok());
        versioned::write(&assignment, version.unwrap_or(0).clamp(0, 3)).unwrap_or_default()
    }
}

// ── the consumer protocol's own words

fn classic_member(
    subscription: &ConsumerProtocolSubscription,
    instance: Option<Name>,
    client: (Name, Name),
    rebalance_timeout_ms: i32,
    classic: Classic,
) -> Member {
    let mut topics: Vec<Name> = subscription.topics.iter().map(|topic| topic.as_str().into()).collect();
    topics.sort();
    topics.dedup();
    Member {
        instance,
        rack: subscription.rack_id.as_deref().map(Name::from),
        client_id: client.0,
        client_host: client.1,
        topics,
        regex: None,
        rebalance_timeout_ms,
        assignor: None,
        classic: Some(classic),
    }
}

/// Topics that are gone are nobody's.
fn by_id(topics: &dyn Topics, named: &[TopicPartition]) -> Assignment {
    let one = |topic: &TopicPartition| {
        let (id, _) = topics.topic(&topic.topic)?;
        Some((id, topic.partitions.iter().copied().collect()))
    };
    named.iter().filter_map(one).collect()
}
