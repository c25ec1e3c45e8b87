//! Who is in a group: join, sync, heartbeat, leave and what happens when time runs out, exactly as Apache Kafka's classic
//! coordinator behaves (KIP-134 first delay, KIP-345 static members, KIP-394 known ids, KIP-559 protocol checks,
//! KIP-814 kept assignments). Every parked request is answered exactly once, whatever happens to its member.
//!
//! Three things no client should notice are otherwise than there: a group is remembered from its first stable or empty
//! generation on, not from its first join; a request that is repeated while the first still waits ends the first with
//! REBALANCE_IN_PROGRESS, where Kafka never answers it; and of two protocols with equal votes the first by name is taken,
//! where Kafka takes any.

use std::mem;

use bytes::Bytes;

use super::live::{Alarm, Alarms, JoinTimer, Live, Member, Phase, protocols_bytes};
use super::record::{Record, STRING_LIMIT_BYTES};
use super::state::Name;
use super::{Heartbeat, Join, JoinRefused, Joined, JoinedMember, Out, Refusal, Reply, Settings, Sync, Synced};
use crate::ids::Timestamp;
use crate::ledger::{Step, Ticket};

/// One living group during one decision.
pub(super) struct Room<'a> {
    pub live: &'a mut Live,
    pub alarms: &'a mut Alarms,
    pub settings: &'a Settings,
    pub now: Timestamp,
    pub out: &'a mut Out,
}

/// Only touches the member's deadline: no record, no alarm as long as the old one rings early enough.
pub(super) fn heartbeat(live: &mut Live, alarms: &mut Alarms, now: Timestamp, beat: &Heartbeat) -> Result<(), Refusal> {
    validate(live, &beat.member, beat.instance.as_deref())?;
    if beat.generation != live.generation {
        return Err(Refusal::IllegalGeneration);
    }
    touch(live, alarms, now, &beat.member);
    match live.phase {
        Phase::Empty => Err(Refusal::UnknownMember),
        Phase::Preparing => Err(Refusal::RebalanceInProgress),
        Phase::Completing | Phase::Stable => Ok(()),
    }
}

/// A member must be here, and must still own its instance if it names one.
pub(super) fn validate(live: &Live, member: &str, instance: Option<&str>) -> Result<(), Refusal> {
    if let Some(instance) = instance {
        match live.instances.get(instance) {
            None => return Err(Refusal::UnknownMember),
            Some(owner) if &**owner != member => return Err(Refusal::FencedInstance),
            Some(_) => {}
        }
    }
    if live.members.contains_key(member) { Ok(()) } else { Err(Refusal::UnknownMember) }
}

/// Starts a member's session anew.
pub(super) fn touch(live: &mut Live, alarms: &mut Alarms, now: Timestamp, id: &str) {
    let Some(timeout_ms) = live.members.get(id).map(|m| i64::from(m.session_timeout_ms)) else { return };
    extend(live, alarms, now.plus_ms(timeout_ms), id);
}

/// Sets a member's deadline; rings again only if no alarm rings before it.
fn extend(live: &mut Live, alarms: &mut Alarms, deadline: Timestamp, id: &str) {
    let Some((name, _)) = live.members.get_key_value(id) else { return };
    let alarm = || Alarm::Session { group: live.name.clone(), member: name.clone() };
    let alarm = live.members[id].armed.is_none_or(|armed| armed > deadline).then(alarm);
    let Some(member) = live.members.get_mut(id) else { return };
    member.deadline = deadline;
    if let Some(alarm) = alarm {
        member.armed = Some(deadline);
        alarms.set(deadline, alarm);
    }
}

impl Room<'_> {
    // ── joining

    pub fn join(&mut self, ticket: Ticket, mut join: Join) {
        let mut seen = std::collections::BTreeSet::new();
        join.protocols.retain(|(name, _)| seen.insert(name.clone()));
        join.rebalance_timeout_ms = join.rebalance_timeout_ms.max(0);
        if !self.has_room_for(&join) {
            self.remove(&join.member);
            self.refuse_join(ticket, Refusal::GroupFull, "".into());
        } else if !self.live.supports(&join.protocol_type, &join.protocols) {
            self.refuse_join(ticket, Refusal::InconsistentProtocol, join.member);
        } else if join.member.is_empty() {
            self.join_unknown(ticket, join);
        } else {
            self.join_known(ticket, join);
        }
    }

    fn has_room_for(&self, join: &Join) -> bool {
        let max = self.settings.max_size;
        let member = self.live.members.get(&join.member);
        let has_place = match self.live.phase {
            Phase::Empty => true,
            // Those who wait are counted, not those who were here: who rejoins last is turned away where the limit has
            // been lowered.
            Phase::Preparing => {
                member.is_some_and(|m| m.joining.is_some())
                    || self.live.members.values().filter(|m| m.joining.is_some()).count() < max
            }
            Phase::Completing | Phase::Stable => member.is_some() || self.live.members.len() < max,
        };
        let others = self.live.bytes() - member.map_or(0, Member::bytes);
        has_place && others + protocols_bytes(&join.protocols) <= self.settings.group_limit_bytes
    }

    fn join_unknown(&mut self, ticket: Ticket, join: Join) {
        let id = new_member_id(join.instance.as_ref().unwrap_or(&join.client_id), join.fresh);
        match &join.instance {
            Some(instance) => match self.live.instances.get(instance).cloned() {
                Some(old) => self.take_over(ticket, join, &old, id),
                None => self.add(ticket, join, id),
            },
            None if join.needs_known_id => {
                let lapses = self.now.plus_ms(i64::from(join.session_timeout_ms));
                self.alarms.set(lapses, Alarm::Session { group: self.live.name.clone(), member: id.clone() });
                self.live.pending.insert(id.clone(), lapses);
                self.refuse_join(ticket, Refusal::MemberIdRequired, id);
            }
            None => self.add(ticket, join, id),
        }
    }

    fn join_known(&mut self, ticket: Ticket, join: Join) {
        let id = join.member.clone();
        if self.live.pending.contains_key(&id) {
            if join.instance.is_some() {
                // An id is never handed out in advance to a static member.
                return self.refuse_join(ticket, Refusal::UnknownMember, id);
            }
            return self.add(ticket, join, id);
        }
        if let Err(why) = validate(self.live, &id, join.instance.as_deref()) {
            return self.refuse_join(ticket, why, id);
        }
        let is_unchanged = self.live.members[&id].protocols == join.protocols;
        let is_leader = self.live.is_leader(&id);
        let answers_at_once = match self.live.phase {
            Phase::Empty => return self.refuse_join(ticket, Refusal::UnknownMember, id),
            Phase::Preparing => false,
            // Its answer to the first join was lost: the same again.
            Phase::Completing => is_unchanged,
            // A leader that joins again asks for a rebalance: it has seen something that no metadata shows.
            Phase::Stable => is_unchanged && !is_leader,
        };
        if answers_at_once {
            let joined = self.joined(&id, is_leader);
            self.out.push(Step::Reply(ticket, Reply::Join(Ok(joined))));
            return;
        }
        self.update(ticket, &join, &id);
        self.rebalance_or_complete();
    }

    fn add(&mut self, ticket: Ticket, join: Join, id: Name) {
        self.live.pending.remove(&id);
        if self.live.phase == Phase::Preparing && self.live.is_first {
            self.live.has_newcomer = true;
        }
        if let Some(instance) = &join.instance {
            self.live.instances.insert(instance.clone(), id.clone());
        }
        if self.live.members.is_empty() {
            self.live.protocol_type = Some(join.protocol_type);
        }
        self.live.leader.get_or_insert_with(|| id.clone());
        let member = Member {
            instance: join.instance,
            client_id: join.client_id,
            client_host: join.client_host,
            rebalance_timeout_ms: join.rebalance_timeout_ms,
            session_timeout_ms: join.session_timeout_ms,
            protocols: join.protocols,
            assignment: Bytes::new(),
            is_new: true,
            joining: Some(ticket),
            syncing: None,
            deadline: self.now,
            armed: None,
        };
        self.live.members.insert(id.clone(), member);
        // It cannot send heartbeats while its join waits; this clears away the joins of clients that gave up.
        let deadline = self.now.plus_ms(self.settings.new_member_join_timeout_ms);
        extend(self.live, self.alarms, deadline, &id);
        self.rebalance_or_complete();
    }

    fn update(&mut self, ticket: Ticket, join: &Join, id: &Name) {
        let Some(member) = self.live.members.get_mut(id) else { return };
        member.protocols = join.protocols.clone();
        member.rebalance_timeout_ms = join.rebalance_timeout_ms;
        member.session_timeout_ms = join.session_timeout_ms;
        if let Some(old) = member.joining.replace(ticket) {
            // The same member asks again: whoever still waits for the first answer is told to do the same.
            self.refuse_join(old, Refusal::RebalanceInProgress, id.clone());
        }
    }

    /// A static member comes back without its member id: it gets a new one, and the old id is fenced (KIP-345).
    fn take_over(&mut self, ticket: Ticket, join: Join, old: &Name, id: Name) {
        let was_leader = self.live.leader.clone();
        let Some(mut member) = self.live.members.remove(old) else { return };
        if let Some(waiting) = member.joining.take() {
            self.refuse_join(waiting, Refusal::FencedInstance, old.clone());
        }
        if let Some(waiting) = member.syncing.take() {
            self.out.push(Step::Reply(waiting, Reply::Sync(Err(Refusal::FencedInstance))));
        }
        if self.live.is_leader(old) {
            self.live.leader = Some(id.clone());
        }
        if self.live.unsynced.remove(old) {
            self.live.unsynced.insert(id.clone());
        }
        if let Some(instance) = &member.instance {
            self.live.instances.insert(instance.clone(), id.clone());
        }
        member.is_new = false;
        member.armed = None;
        self.live.members.insert(id.clone(), member);
        touch(self.live, self.alarms, self.now, &id);
        self.update(ticket, &join, &id);
        match self.live.phase {
            Phase::Stable if self.live.elect_protocol() == self.live.protocol => {
                // Nothing changes for anyone else: no rebalance, only the new name is remembered.
                self.write();
                let is_leader = self.live.is_leader(&id);
                let mut joined = self.joined(&id, is_leader && join.may_skip_assignment);
                joined.skip_assignment = is_leader && join.may_skip_assignment;
                if !join.may_skip_assignment {
                    // It must not think that it leads, or it would assign anew: it is told the leader's old name.
                    joined.leader = was_leader.unwrap_or_default();
                }
                self.answer_join(&id, Ok(joined));
            }
            // The leader may be assigning to the old id at this moment.
            Phase::Completing => self.prepare(),
            Phase::Stable => self.rebalance_or_complete(),
            Phase::Preparing | Phase::Empty => self.maybe_complete(),
        }
    }

    // ── rebalancing

    fn rebalance_or_complete(&mut self) {
        match self.live.phase {
            Phase::Empty | Phase::Completing | Phase::Stable => self.prepare(),
            Phase::Preparing => self.maybe_complete(),
        }
    }

    fn prepare(&mut self) {
        if self.live.phase == Phase::Completing {
            for id in self.member_ids() {
                if let Some(member) = self.live.members.get_mut(&id) {
                    member.assignment = Bytes::new();
                }
                self.answer_sync(&id, Err(Refusal::RebalanceInProgress));
            }
        }
        self.live.unsynced.clear();
        self.live.sync_timer = None;
        self.live.is_first = self.live.phase == Phase::Empty;
        self.turn(Phase::Preparing);
        if self.live.is_first {
            // Time for the others to arrive, too (KIP-134).
            self.live.has_newcomer = false;
            let delay_ms = self.settings.initial_rebalance_delay_ms;
            let left_ms = (self.live.rebalance_timeout_ms() - delay_ms).max(0);
            self.set_join_timer(delay_ms, Some((delay_ms, left_ms)));
        } else if self.live.everyone_joined() {
            self.complete();
        } else {
            self.set_join_timer(self.live.rebalance_timeout_ms(), None);
        }
    }

    fn maybe_complete(&mut self) {
        if self.live.phase == Phase::Preparing && !self.live.is_first && self.live.everyone_joined() {
            self.complete();
        }
    }

    /// The joining is over: the next generation begins.
    fn complete(&mut self) {
        self.live.join_timer = None;
        let is_late = |m: &Member| m.joining.is_none() && m.instance.is_none();
        let late: Vec<Name> = self.live.members.iter().filter(|(_, m)| is_late(m)).map(|(id, _)| id.clone()).collect();
        for id in late {
            self.remove(&id);
        }
        if !self.live.members.is_empty() && !self.elect_leader() {
            // Only static members, and none of them has come: their sessions will end this.
            return self.set_join_timer(self.live.rebalance_timeout_ms(), None);
        }
        self.live.generation = self.live.generation.checked_add(1).unwrap_or(0);
        self.live.unsynced.clear();
        self.live.protocol = self.live.elect_protocol();
        if self.live.members.is_empty() {
            self.turn(Phase::Empty);
            return self.write();
        }
        self.turn(Phase::Completing);
        for id in self.member_ids() {
            let joined = self.joined(&id, self.live.is_leader(&id));
            self.answer_join(&id, Ok(joined));
            touch(self.live, self.alarms, self.now, &id);
            if let Some(member) = self.live.members.get_mut(&id) {
                member.is_new = false;
            }
            self.live.unsynced.insert(id);
        }
        let at = self.now.plus_ms(self.live.rebalance_timeout_ms());
        self.live.sync_timer = Some(at);
        self.arm_sync(at);
    }

    /// The leader stays if it has joined; else the first who has. False: nobody has.
    fn elect_leader(&mut self) -> bool {
        let has_joined = |id: &Name| self.live.members.get(id).is_some_and(|m| m.joining.is_some());
        if self.live.leader.as_ref().is_some_and(has_joined) {
            return true;
        }
        match self.live.members.iter().find(|(_, m)| m.joining.is_some()) {
            Some((id, _)) => {
                self.live.leader = Some(id.clone());
                true
            }
            None => false,
        }
    }

    // ── syncing

    pub fn sync(&mut self, ticket: Ticket, sync: Sync) {
        let refusal = if let Err(why) = validate(self.live, &sync.member, sync.instance.as_deref()) {
            Some(why)
        } else if sync.generation != self.live.generation {
            Some(Refusal::IllegalGeneration)
        } else if differs(&sync.protocol_type, &self.live.protocol_type) || differs(&sync.protocol, &self.live.protocol)
        {
            Some(Refusal::InconsistentProtocol)
        } else {
            match self.live.phase {
                Phase::Empty => Some(Refusal::UnknownMember),
                Phase::Preparing => Some(Refusal::RebalanceInProgress),
                Phase::Completing | Phase::Stable => None,
            }
        };
        if let Some(why) = refusal {
            self.out.push(Step::Reply(ticket, Reply::Sync(Err(why))));
            return;
        }
        self.live.unsynced.remove(&sync.member);
        let Some(member) = self.live.members.get_mut(&sync.member) else { return };
        if let Some(old) = member.syncing.replace(ticket) {
            self.out.push(Step::Reply(old, Reply::Sync(Err(Refusal::RebalanceInProgress))));
        }
        if self.live.phase == Phase::Stable {
            return self.answer_sync(&sync.member, Ok(()));
        }
        if self.live.is_leader(&sync.member) {
            self.assign(sync.assignments);
        }
    }

    /// The leader has decided who gets what. Whoever it forgot gets nothing.
    fn assign(&mut self, assignments: Vec<(Name, Bytes)>) {
        for (id, assignment) in assignments {
            if let Some(member) = self.live.members.get_mut(&id) {
                member.assignment = assignment;
            }
        }
        if self.live.bytes() > self.settings.group_limit_bytes {
            for id in self.member_ids() {
                if let Some(member) = self.live.members.get_mut(&id) {
                    member.assignment = Bytes::new();
                }
                self.answer_sync(&id, Err(Refusal::AssignmentTooLarge));
            }
            return self.prepare();
        }
        self.turn(Phase::Stable);
        self.write();
        for id in self.member_ids() {
            self.answer_sync(&id, Ok(()));
        }
    }

    // ── leaving

    pub fn leave(&mut self, members: &[(Name, Option<Name>)]) -> Vec<Result<(), Refusal>> {
        let results: Vec<_> = members.iter().map(|(id, instance)| self.leave_one(id, instance.as_deref())).collect();
        if results.iter().any(Result::is_ok) {
            match self.live.phase {
                Phase::Completing | Phase::Stable => self.prepare(),
                Phase::Preparing => self.maybe_complete(),
                Phase::Empty => {}
            }
        }
        results
    }

    fn leave_one(&mut self, id: &Name, instance: Option<&str>) -> Result<(), Refusal> {
        let id = if id.is_empty() {
            // An administrator removes a static member by its instance.
            let owner = instance.and_then(|instance| self.live.instances.get(instance));
            owner.ok_or(Refusal::UnknownMember)?.clone()
        } else if self.live.pending.contains_key(id) {
            id.clone()
        } else {
            validate(self.live, id, instance)?;
            id.clone()
        };
        self.remove(&id);
        Ok(())
    }

    /// Takes a member (or an unused member id) out. What it waited for is answered.
    fn remove(&mut self, id: &Name) {
        self.live.pending.remove(id);
        self.live.unsynced.remove(id);
        let Some(member) = self.live.members.remove(id) else { return };
        if let Some(instance) = &member.instance {
            self.live.instances.remove(instance);
        }
        if self.live.is_leader(id) {
            self.live.leader = self.live.members.keys().next().cloned();
        }
        if let Some(waiting) = member.joining {
            self.refuse_join(waiting, Refusal::UnknownMember, "".into());
        }
        if let Some(waiting) = member.syncing {
            self.out.push(Step::Reply(waiting, Reply::Sync(Err(Refusal::UnknownMember))));
        }
    }

    /// A group that was one of the other protocol until now: its members are to join again.
    pub fn begin(&mut self) {
        for id in self.member_ids() {
            touch(self.live, self.alarms, self.now, &id);
        }
        self.write();
        self.prepare();
    }

    // ── time

    /// The first thing after a restart.
    pub fn wake_up(&mut self) {
        for id in self.member_ids() {
            touch(self.live, self.alarms, self.now, &id);
        }
        self.shrink();
    }

    /// A stable group with more members than it may have: they join again, and the last are turned away.
    pub fn shrink(&mut self) {
        if self.live.phase == Phase::Stable && self.live.members.len() > self.settings.max_size {
            self.prepare();
        }
    }

    pub fn session_ended(&mut self, at: Timestamp, id: &Name) {
        if self.live.pending.get(id) == Some(&at) {
            self.live.pending.remove(id);
            return self.maybe_complete_any();
        }
        let Some(member) = self.live.members.get_mut(id).filter(|m| m.armed == Some(at)) else { return };
        member.armed = None;
        let deadline = member.deadline;
        if deadline > self.now {
            return extend(self.live, self.alarms, deadline, id);
        }
        // Who waits for the others is not silent; but a new member may have gone while its join waits.
        if !member.is_new && (member.joining.is_some() || member.syncing.is_some()) {
            return;
        }
        self.remove(id);
        match self.live.phase {
            Phase::Completing | Phase::Stable => self.prepare(),
            Phase::Preparing => self.maybe_complete_any(),
            Phase::Empty => {}
        }
    }

    /// As [`Room::maybe_complete`], in a first rebalance too: where a session's end leaves nobody to wait for.
    fn maybe_complete_any(&mut self) {
        if self.live.phase == Phase::Preparing && self.live.everyone_joined() {
            self.complete();
        }
    }

    pub fn joining_ended(&mut self, at: Timestamp) {
        if self.live.join_armed != Some(at) {
            return;
        }
        self.live.join_armed = None;
        let Some(timer) = self.live.join_timer else { return };
        if timer.at > self.now {
            return self.arm_join(timer.at);
        }
        self.live.join_timer = None;
        match timer.first {
            Some((delay_ms, left_ms)) if self.live.has_newcomer && left_ms > 0 => {
                self.live.has_newcomer = false;
                let next_ms = self.settings.initial_rebalance_delay_ms.min(left_ms);
                self.set_join_timer(next_ms, Some((next_ms, (left_ms - delay_ms).max(0))));
            }
            Some(_) | None => self.complete(),
        }
    }

    pub fn syncing_ended(&mut self, at: Timestamp) {
        if self.live.sync_armed != Some(at) {
            return;
        }
        self.live.sync_armed = None;
        match self.live.sync_timer {
            None => return,
            Some(due) if due > self.now => return self.arm_sync(due),
            Some(_) => self.live.sync_timer = None,
        }
        let silent = mem::take(&mut self.live.unsynced);
        if silent.is_empty() {
            return;
        }
        for id in silent {
            self.remove(&id);
        }
        self.prepare();
    }

    fn set_join_timer(&mut self, ms: i64, first: Option<(i64, i64)>) {
        let at = self.now.plus_ms(ms);
        self.live.join_timer = Some(JoinTimer { at, first });
        self.arm_join(at);
    }

    fn arm_join(&mut self, due: Timestamp) {
        let alarm = Alarm::Join { group: self.live.name.clone() };
        self.alarms.arm(&mut self.live.join_armed, due, self.now, alarm);
    }

    fn arm_sync(&mut self, due: Timestamp) {
        let alarm = Alarm::Sync { group: self.live.name.clone() };
        self.alarms.arm(&mut self.live.sync_armed, due, self.now, alarm);
    }

    // ── answers and records

    fn joined(&self, id: &Name, with_members: bool) -> Joined {
        let protocol = self.live.protocol.as_deref();
        let member = |(id, member): (&Name, &Member)| JoinedMember {
            member: id.clone(),
            instance: member.instance.clone(),
            metadata: member.metadata(protocol),
        };
        Joined {
            generation: self.live.generation,
            protocol_type: self.live.protocol_type.clone(),
            protocol: self.live.protocol.clone(),
            leader: self.live.leader.clone().unwrap_or_default(),
            member: id.clone(),
            skip_assignment: false,
            members: if with_members { self.live.members.iter().map(member).collect() } else { Vec::new() },
        }
    }

    fn answer_join(&mut self, id: &Name, joined: Result<Joined, JoinRefused>) {
        let waiting = self.live.members.get_mut(id).and_then(|m| m.joining.take());
        if let Some(ticket) = waiting {
            self.out.push(Step::Reply(ticket, Reply::Join(joined)));
        }
    }

    fn refuse_join(&mut self, ticket: Ticket, why: Refusal, member: Name) {
        self.out.push(Step::Reply(ticket, Reply::Join(Err(JoinRefused { why, member }))));
    }

    /// Answers a member that waits for its assignment, and starts its session anew.
    fn answer_sync(&mut self, id: &Name, outcome: Result<(), Refusal>) {
        let (protocol_type, protocol) = (self.live.protocol_type.clone(), self.live.protocol.clone());
        let Some(member) = self.live.members.get_mut(id) else { return };
        let Some(ticket) = member.syncing.take() else { return };
        let assignment = member.assignment.clone();
        let synced = outcome.map(|()| Synced { protocol_type, protocol, assignment });
        self.out.push(Step::Reply(ticket, Reply::Sync(synced)));
        touch(self.live, self.alarms, self.now, id);
    }

    fn write(&mut self) {
        let meta = Some(self.live.meta().into());
        self.out.push(Step::Write(Record::Group { group: self.live.name.clone(), meta }));
    }

    fn turn(&mut self, phase: Phase) {
        self.live.phase = phase;
        self.live.since = self.now;
    }

    fn member_ids(&self) -> Vec<Name> {
        self.live.members.keys().cloned().collect()
    }
}

/// Absent on either side counts as agreement: older clients do not say.
fn differs(asked: &Option<Name>, actual: &Option<Name>) -> bool {
    matches!((asked, actual), (Some(asked), Some(actual)) if asked != actual)
}

/// `prefix-` and a UUID, as Kafka names members. An overlong prefix is cut: the whole must fit into a record.
pub(super) fn new_member_id(prefix: &str, fresh: u128) -> Name {
    let mut end = prefix.len().min(STRING_LIMIT_BYTES - 37);
    while !prefix.is_char_boundary(end) {
        end -= 1;
    }
    let hex = format!("{fresh:032x}");
    let (a, b, c, d, e) = (&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
    format!("{}-{a}-{b}-{c}-{d}-{e}", &prefix[..end]).into()
}
