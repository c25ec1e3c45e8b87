//! Members of a consumer group that still speak the classic protocol: join, sync, heartbeat and leave in terms of
//! heartbeats; and how a classic group becomes a consumer group and comes back, while its members live (KIP-848,
//! "online upgrade" and "online downgrade"). A member that has to give something back is told to join again.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::room::Room;
use super::state::{Assignment, Change, Classic, Current, Epoch, Held, Member, Phase, Target};
use crate::kafka::group::live::{self, CONSUMER};
use crate::kafka::group::state::{self as classic, Meta};
use crate::kafka::group::{Heartbeat, Join, JoinRefused, Joined, Name, Refusal, Reply, Sync, Synced, new_member_id};
use crate::kafka::wire::messages::consumer_protocol::{
    ConsumerProtocolAssignment, ConsumerProtocolSubscription, TopicPartition,
};
use crate::kafka::wire::versioned;
use crate::ledger::{Step, Ticket};

fn subscription(metadata: &Bytes) -> ConsumerProtocolSubscription {
    let read = versioned::read_newer::<ConsumerProtocolSubscription>(metadata.clone());
    // Bytes that nobody can read ask for nothing.
    read.map(|(_, subscription)| subscription).unwrap_or_default()
}

impl Room<'_> {
    // ── from a classic group to a consumer group

    /// Every member of the classic group is a member here, with what it has. Whoever waits there is to join again.
    pub fn adopt(&mut self, group: live::Live) {
        let generation = group.generation;
        let protocol = group.protocol.clone();
        for (id, member) in group.members {
            let metadata = match &protocol {
                Some(protocol) => member.metadata(Some(protocol)),
                None => member.protocols.first().map(|(_, metadata)| metadata.clone()).unwrap_or_default(),
            };
            let assigned = versioned::read_newer::<ConsumerProtocolAssignment>(member.assignment.clone());
            let assigned = assigned.map(|(_, assigned)| assigned.assigned_partitions).unwrap_or_default();
            let assigned = self.by_id(&assigned);
            let held = |(topic, partitions): (&u128, &std::collections::BTreeSet<i32>)| {
                (*topic, partitions.iter().map(|partition| (*partition, generation)).collect())
            };
            let current = Current {
                epoch: generation,
                previous_epoch: generation,
                phase: Phase::Stable,
                assigned: assigned.iter().map(held).collect(),
                revoking: Held::new(),
            };
            let new = self.classic_member(
                &subscription(&metadata),
                member.instance.clone(),
                (member.client_id.clone(), member.client_host.clone()),
                member.rebalance_timeout_ms,
                Classic { session_timeout_ms: member.session_timeout_ms, protocols: member.protocols.clone() },
            );
            self.put(Change::Member(id.clone(), Some(Arc::new(new))));
            self.put(Change::TargetOf(id.clone(), Some(Arc::new(assigned))));
            self.put(Change::Current(id.clone(), Some(Arc::new(current))));
            self.touch(&id);
            if let Some(ticket) = member.joining {
                let refused = JoinRefused { why: Refusal::RebalanceInProgress, member: id };
                self.out.push(Step::Reply(ticket, Reply::Join(Err(refused))));
            }
            if let Some(ticket) = member.syncing {
                self.out.push(Step::Reply(ticket, Reply::Sync(Err(Refusal::RebalanceInProgress))));
            }
        }
        self.put(Change::Epoch(Some(Epoch { number: generation, hash: 0 })));
        self.put(Change::Target(Some(Target { epoch: generation, time_ms: self.now.0 })));
    }

    /// The classic group that this one becomes, when `without`, the last member of the new protocol, has gone.
    pub fn as_classic(&self, without: &Name) -> Meta {
        let protocol = self.common_protocol(without);
        let member = |(id, member): (&Name, &Arc<Member>)| {
            let classic = member.classic.as_ref()?;
            let spoken = classic.protocols.iter().find(|(name, _)| Some(name) == protocol.as_ref());
            Some(classic::Member {
                id: id.clone(),
                instance: member.instance.clone(),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                rebalance_timeout_ms: member.rebalance_timeout_ms,
                session_timeout_ms: classic.session_timeout_ms,
                subscription: spoken.map(|(_, metadata)| metadata.clone()).unwrap_or_default(),
                assignment: self.assignment_bytes(id, classic),
            })
        };
        let members: Vec<_> = self.group.members.iter().filter(|(id, _)| *id != without).filter_map(member).collect();
        Meta {
            protocol_type: Some(CONSUMER.into()),
            generation: self.group.epoch(),
            protocol,
            leader: members.first().map(|member| member.id.clone()),
            since: self.now,
            members,
        }
    }

    /// Whether only members of the classic protocol would be left without this one.
    pub fn leaves_only_classic(&self, without: &Name) -> bool {
        let is_new = self.group.members.get(without).is_some_and(|member| member.classic.is_none());
        let mut others = self.group.members.iter().filter(|(id, _)| *id != without).peekable();
        is_new && others.peek().is_some() && others.all(|(_, member)| member.classic.is_some())
    }

    fn common_protocol(&self, without: &Name) -> Option<Name> {
        let speakers: Vec<&Classic> = self
            .group
            .members
            .iter()
            .filter(|(id, _)| *id != without)
            .filter_map(|(_, m)| m.classic.as_ref())
            .collect();
        let first = speakers.first()?;
        let speaks = |classic: &Classic, name: &Name| classic.protocols.iter().any(|(spoken, _)| spoken == name);
        let common = first.protocols.iter().find(|(name, _)| speakers.iter().all(|classic| speaks(classic, name)));
        common.map(|(name, _)| name.clone())
    }

    // ── the classic requests

    pub fn join(&mut self, ticket: Ticket, join: Join) {
        let result = self.join_answer(join);
        self.out.push(Step::Reply(ticket, Reply::Join(result)));
    }

    fn join_answer(&mut self, join: Join) -> Result<Joined, JoinRefused> {
        let refuse = |why, member: &Name| Err(JoinRefused { why, member: member.clone() });
        let is_member = self.group.members.contains_key(&join.member);
        if !is_member && self.group.members.len() >= self.settings.max_size {
            return refuse(Refusal::GroupFull, &join.member);
        }
        let Some((protocol, metadata)) = join.protocols.first().cloned() else {
            return refuse(Refusal::InconsistentProtocol, &join.member);
        };
        let everyone_speaks = |(name, _): &(Name, Bytes)| {
            let mut classics = self.group.members.values().filter_map(|member| member.classic.as_ref());
            classics.all(|classic| classic.protocols.iter().any(|(spoken, _)| spoken == name))
        };
        if &*join.protocol_type != CONSUMER || !join.protocols.iter().any(everyone_speaks) {
            return refuse(Refusal::InconsistentProtocol, &join.member);
        }
        let is_unknown = join.member.is_empty();
        let id = match is_unknown {
            true => new_member_id(join.instance.as_ref().unwrap_or(&join.client_id), join.fresh),
            false => join.member.clone(),
        };
        let holder = join.instance.as_ref().and_then(|instance| self.group.instance(instance).cloned());
        match (&join.instance, holder) {
            (None, _) if is_unknown && join.needs_known_id => return refuse(Refusal::MemberIdRequired, &id),
            (Some(_), Some(holder)) if is_unknown => self.replace(&holder, &id),
            (Some(_), Some(holder)) if holder != id => return refuse(Refusal::FencedInstance, &id),
            (Some(_), None) if !is_unknown => return refuse(Refusal::UnknownMember, &id),
            _ => {}
        }
        let subscription = subscription(&metadata);
        let member = self.classic_member(
            &subscription,
            join.instance,
            (join.client_id, join.client_host),
            join.rebalance_timeout_ms.max(0),
            Classic { session_timeout_ms: join.session_timeout_ms, protocols: join.protocols },
        );
        let owned = self.by_id(&subscription.owned_partitions);
        self.set(&id, member);
        self.plan();
        self.touch(&id);
        let epoch = self.step(&id, Some(&owned), false).epoch;
        // It has its rebalance timeout to fetch what it was given.
        self.late(&id, false);
        Ok(Joined {
            generation: epoch,
            protocol_type: Some(CONSUMER.into()),
            protocol: Some(protocol),
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
        if self.group.epoch() > self.group.current(&sync.member).epoch {
            self.late(&sync.member, true);
            return Err(Refusal::RebalanceInProgress);
        }
        self.in_time(&sync.member);
        self.touch(&sync.member);
        let assignment = self.assignment_bytes(&sync.member, &classic);
        Ok(Synced { protocol_type: sync.protocol_type.clone(), protocol: sync.protocol.clone(), assignment })
    }

    pub fn heartbeat(&mut self, beat: &Heartbeat) -> Result<(), Refusal> {
        self.validate(&beat.member, beat.instance.as_ref(), beat.generation)?;
        self.touch(&beat.member);
        let current = self.group.current(&beat.member);
        let must_join = current.epoch < self.group.epoch()
            || current.phase == Phase::Unrevoked
            || (current.phase == Phase::Unreleased && !self.waits(&beat.member, &current));
        if must_join {
            self.late(&beat.member, true);
            return Err(Refusal::RebalanceInProgress);
        }
        Ok(())
    }

    pub fn leave_classic(&mut self, members: &[(Name, Option<Name>)]) -> Vec<Result<(), Refusal>> {
        let mut leave = |(id, instance): &(Name, Option<Name>)| {
            let id = match instance {
                None => id.clone(),
                Some(instance) => match self.group.instance(instance).cloned() {
                    None => return Err(Refusal::UnknownMember),
                    Some(holder) if !id.is_empty() && holder != *id => return Err(Refusal::FencedInstance),
                    Some(holder) => holder,
                },
            };
            let is_classic = self.group.members.get(&id).is_some_and(|member| member.classic.is_some());
            if !is_classic {
                return Err(Refusal::UnknownMember);
            }
            self.remove(&id);
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
            partitions.iter().any(|partition| {
                current.given(*topic, *partition).is_none() && self.group.owner(*topic, *partition).is_some()
            })
        })
    }

    // ── the consumer protocol's own bytes

    fn classic_member(
        &self,
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
    fn by_id(&self, topics: &[TopicPartition]) -> Assignment {
        let one = |topic: &TopicPartition| {
            let (id, _) = self.topics.topic(&topic.topic)?;
            Some((id, topic.partitions.iter().copied().collect()))
        };
        topics.iter().filter_map(one).collect()
    }

    fn assignment_bytes(&self, id: &Name, classic: &Classic) -> Bytes {
        let one = |(topic, partitions): (&u128, &BTreeMap<i32, i32>)| {
            let topic = self.topics.name(*topic)?.to_string();
            Some(TopicPartition { topic, partitions: partitions.keys().copied().collect() })
        };
        let assigned = self.group.current(id).assigned.iter().filter_map(one).collect();
        let assignment = ConsumerProtocolAssignment { assigned_partitions: assigned, user_data: None };
        let version = classic.protocols.first().and_then(|(_, metadata)| versioned::version(metadata).ok());
        versioned::write(&assignment, version.unwrap_or(0).clamp(0, 3)).unwrap_or_default()
    }
}
