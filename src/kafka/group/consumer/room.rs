//! One consumer group during one decision: a heartbeat, a leave, an end of time, an assignment that has come. Works on a
//! copy of the group that follows every record it writes.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use super::assign::{Assignor, Outcome, REGEXES_LIMIT, Topics, Viewer, Work, compile};
use super::reconcile::{is_part_of, reconcile};
use super::state::{AWAY, Assignment, Change, Consumer, Current, Epoch, Held, Member, Phase, Resolved, Target};
use super::{Beat, Beaten, Described, DescribedMember, Job, Live, Refused, Session, Settings, partitions};
use crate::ids::Timestamp;
use crate::kafka::group::live::{Alarm, Alarms};
use crate::kafka::group::record::{Record, STRING_LIMIT_BYTES};
use crate::kafka::group::{Name, Out, Refusal, Reply};
use crate::ledger::{Step, Ticket};

pub(in crate::kafka::group) struct Room<'a> {
    pub name: Name,
    pub group: Consumer,
    pub live: &'a mut Live,
    pub alarms: &'a mut Alarms,
    pub settings: &'a Settings,
    pub topics: Arc<dyn Topics>,
    pub now: Timestamp,
    pub out: &'a mut Out,
}

/// Records of one member whose keys name it and the group.
const KEYS: usize = 4;

enum Answer {
    Now(Beaten),
    /// When the assignment has been computed.
    Later(Name),
}

/// What is wrong with a heartbeat whatever its group is doing.
pub(in crate::kafka::group) fn check(beat: &Beat, settings: &Settings) -> Result<(), Refused> {
    let invalid = |words: &str| Err(Refused::new(Refusal::InvalidRequest, words));
    let is_empty = |name: &Option<Name>| name.as_ref().is_some_and(|name| name.is_empty());
    let names = [&beat.group, &beat.member, &beat.client_id, &beat.client_host];
    let optional = [&beat.instance, &beat.rack, &beat.regex].into_iter().flatten();
    let mut all = names.into_iter().chain(optional).chain(beat.topics.iter().flatten());
    if beat.group.is_empty() {
        return invalid("GroupId can't be empty.");
    } else if beat.member.is_empty() && (beat.names_itself || beat.epoch != 0) {
        return invalid("MemberId can't be empty.");
    } else if is_empty(&beat.instance) {
        return invalid("InstanceId can't be empty.");
    } else if is_empty(&beat.rack) {
        return invalid("RackId can't be empty.");
    } else if all.any(|name| name.len() > STRING_LIMIT_BYTES) {
        return invalid("A string is too long to be kept.");
    }
    match beat.epoch {
        0 if beat.rebalance_timeout_ms.is_none() => {
            return invalid("RebalanceTimeoutMs must be provided in first request.");
        }
        0 if beat.owned.as_ref().is_none_or(|owned| !owned.is_empty()) => {
            return invalid("TopicPartitions must be empty when (re-)joining.");
        }
        0 if beat.topics.is_none() && beat.regex.is_none() => {
            return invalid("Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.");
        }
        AWAY if beat.instance.is_none() => return invalid("InstanceId can't be null."),
        AWAY.. => {}
        _ => return invalid("MemberEpoch is invalid."),
    }
    let is_known = |name: &Name| settings.assignors.iter().any(|assignor| assignor.name() == &**name);
    if let Some(name) = beat.assignor.as_ref().filter(|name| !is_known(name)) {
        let known: Vec<&str> = settings.assignors.iter().map(|assignor| assignor.name()).collect();
        let words = format!("ServerAssignor {name} is not supported. Supported assignors: {}.", known.join(", "));
        return Err(Refused::new(Refusal::UnsupportedAssignor, words));
    }
    if let Some(regex) = beat.regex.as_ref().filter(|regex| compile(regex).is_none()) {
        let words = format!("SubscribedTopicRegex `{regex}` is not a valid regular expression.");
        return Err(Refused::new(Refusal::InvalidRegex, words));
    }
    Ok(())
}

impl Room<'_> {
    pub fn beat(&mut self, ticket: Ticket, beat: Beat) {
        let answer = match beat.epoch {
            ..0 => self.leave(&beat).map(Answer::Now),
            _ => self.hear(beat),
        };
        let answer = match answer {
            Ok(Answer::Now(beaten)) => Ok(beaten),
            Ok(Answer::Later(member)) => return self.live.parked.entry(member).or_default().push(ticket),
            Err(refused) => Err(refused),
        };
        self.out.push(Step::Reply(ticket, Reply::Beat(answer)));
    }

    // ── heartbeats

    fn hear(&mut self, mut beat: Beat) -> Result<Answer, Refused> {
        let is_member = self.group.members.contains_key(&beat.member);
        if !is_member && self.group.members.len() >= self.settings.max_size {
            let words =
                format!("The consumer group has reached its maximum capacity of {} members.", self.settings.max_size);
            return Err(Refused::new(Refusal::GroupFull, words));
        }
        if beat.member.is_empty() {
            beat.member = format!("{:032x}", beat.fresh).into();
        }
        let id = beat.member.clone();
        let holder = beat.instance.as_ref().and_then(|instance| self.group.instance(instance));
        let old = self.group.members.get(&id).or_else(|| self.group.members.get(holder?)).cloned();
        let member = merged(&beat, old.as_deref());
        self.has_room(&id, old.as_deref(), &member)?;
        self.admit(&beat)?;
        // Another subscription is a new question.
        let regex = member.regex.clone();
        self.set(&id, member);
        if let Some(regex) = regex {
            self.view(regex, beat.viewer.clone());
        }
        let is_planned = self.plan();
        self.touch(&id);
        if !is_planned && beat.epoch == 0 {
            return Ok(Answer::Later(id));
        }
        let is_full = beat.epoch == 0
            || (beat.rebalance_timeout_ms.is_some()
                && (beat.topics.is_some() || beat.regex.is_some())
                && beat.owned.is_some());
        Ok(Answer::Now(self.step(&id, beat.owned.as_ref(), is_full)))
    }

    /// An expression is resolved for whoever asks by it first.
    fn view(&mut self, regex: Name, viewer: Viewer) {
        if let Entry::Vacant(vacant) = self.live.viewers.entry(regex) {
            vacant.insert(viewer);
            // Whatever it stood for was not looked at for them.
            self.live.seen = None;
        }
    }

    /// Whether what a member says about itself can be kept beside all the others; `old`: whose room it takes.
    pub(super) fn has_room(&self, id: &Name, old: Option<&Member>, member: &Member) -> Result<(), Refused> {
        // Its id, and the keys of its records.
        let keys = |id: &Name| KEYS * (self.name.len() + id.len());
        let (old_bytes, bytes) = (old.map_or(0, |old| old.bytes()), member.bytes());
        let limit = self.settings.limit_bytes;
        if bytes <= old_bytes && self.group.members.contains_key(id) {
            return Ok(());
        } else if bytes + keys(id) > limit {
            return Err(Refused::new(Refusal::InvalidRequest, "The member says more about itself than can be kept."));
        }
        let ids: usize = self.group.members.keys().map(keys).sum();
        if self.group.bytes() - old_bytes + bytes + ids + keys(id) > limit {
            let words = format!("All members together say more about themselves than {limit} bytes.");
            return Err(Refused::new(Refusal::GroupFull, words));
        }
        let is_new = |regex: &Name| !self.group.members.values().any(|m| m.regex.as_ref() == Some(regex));
        if member.regex.as_ref().is_some_and(is_new) {
            let regexes: BTreeSet<&Name> = self.group.members.values().filter_map(|m| m.regex.as_ref()).collect();
            if regexes.len() >= REGEXES_LIMIT {
                let words = format!("The members subscribe by {REGEXES_LIMIT} different expressions already.");
                return Err(Refused::new(Refusal::GroupFull, words));
            }
        }
        Ok(())
    }

    /// Whether this member may speak, and makes it known if it is new. A member that joins again under its own id has
    /// lost nothing: it owns no partition, and hears of all.
    fn admit(&mut self, beat: &Beat) -> Result<(), Refused> {
        let id = &beat.member;
        let holder = beat.instance.as_ref().and_then(|instance| self.group.instance(instance).cloned());
        match (&beat.instance, holder) {
            (Some(instance), Some(holder)) if holder != *id => {
                if beat.epoch != 0 {
                    return Err(self.fenced_instance(id, instance, &holder));
                }
                let is_away = self.group.current(&holder).epoch == AWAY;
                let is_classic = self.group.members.get(&holder).is_some_and(|member| member.classic.is_some());
                if !is_away && !is_classic {
                    let words = format!(
                        "Static member {id} with instance id {instance} cannot join the group because the instance \
                         id is owned by {holder} member."
                    );
                    return Err(Refused::new(Refusal::UnreleasedInstance, words));
                }
                self.replace(&holder, id);
            }
            (Some(instance), None) if beat.epoch != 0 => {
                return Err(Refused::new(Refusal::UnknownMember, format!("Instance id {instance} is unknown.")));
            }
            (None, _) if beat.epoch != 0 && !self.group.members.contains_key(id) => return Err(self.unknown(id)),
            _ => {}
        }
        let current = self.group.current(id);
        let is_retry = beat.epoch == current.previous_epoch && is_part_of(beat.owned.as_ref(), &current.assigned);
        if beat.epoch == 0 {
            if current.epoch == AWAY {
                let back = Current { epoch: 0, previous_epoch: 0, phase: Phase::Stable, ..(*current).clone() };
                self.put(Change::Current(id.clone(), Some(Arc::new(back))));
            }
            return Ok(());
        }
        if beat.epoch == current.epoch || (beat.epoch < current.epoch && is_retry) {
            return Ok(());
        }
        let than = if beat.epoch > current.epoch { "greater" } else { "smaller" };
        let words = format!(
            "The consumer group member has a {than} member epoch ({}) than the one known by the group coordinator ({}). \
             The member must abandon all its partitions and rejoin.",
            beat.epoch, current.epoch
        );
        Err(Refused::new(Refusal::FencedEpoch, words))
    }

    /// A static member comes back under another id: what it had and should have is the new id's.
    pub(super) fn replace(&mut self, old: &Name, new: &Name) {
        let (member, target) = (self.group.members.get(old).cloned(), self.group.targets.get(old).cloned());
        let assigned = self.group.current(old).assigned.clone();
        self.remove(old);
        self.put(Change::Member(new.clone(), member));
        self.put(Change::TargetOf(new.clone(), Some(target.unwrap_or_default())));
        let current = Current { assigned, ..Current::default() };
        self.put(Change::Current(new.clone(), Some(Arc::new(current))));
    }

    pub(super) fn set(&mut self, id: &Name, member: Member) {
        let old = self.group.members.get(id).map(|old| &**old);
        if old == Some(&member) {
            return;
        }
        let is_new_question = old.is_none_or(|old| old.topics != member.topics || old.regex != member.regex);
        self.put(Change::Member(id.clone(), Some(Arc::new(member))));
        if is_new_question {
            self.bump();
        }
    }

    /// Takes the member one step towards its target, and says what it may use.
    pub(super) fn step(&mut self, id: &Name, owned: Option<&Assignment>, is_full: bool) -> Beaten {
        let before = self.group.current(id);
        let after = reconcile(&self.group, id, &before, owned);
        if after != *before || !self.group.current.contains_key(id) {
            self.put(Change::Current(id.clone(), Some(Arc::new(after.clone()))));
            self.watch(id, &after);
        }
        let is_changed = is_full || partitions(&after.assigned) != partitions(&before.assigned);
        Beaten {
            member: id.clone(),
            epoch: after.epoch,
            interval_ms: self.settings.heartbeat_interval_ms,
            assignment: is_changed.then(|| partitions(&after.assigned)),
        }
    }

    // ── leaving

    fn leave(&mut self, beat: &Beat) -> Result<Beaten, Refused> {
        let id = &beat.member;
        if let Some(instance) = &beat.instance {
            match self.group.instance(instance).cloned() {
                None => {
                    return Err(Refused::new(Refusal::UnknownMember, format!("Instance id {instance} is unknown.")));
                }
                Some(holder) if holder != *id => return Err(self.fenced_instance(id, instance, &holder)),
                Some(_) => {}
            }
        } else if !self.group.members.contains_key(id) {
            return Err(self.unknown(id));
        }
        if beat.epoch == AWAY {
            let away = Current { epoch: AWAY, revoking: Held::new(), ..(*self.group.current(id)).clone() };
            self.put(Change::Current(id.clone(), Some(Arc::new(away))));
        } else {
            self.fence(id);
        }
        Ok(Beaten { member: id.clone(), epoch: beat.epoch, interval_ms: 0, assignment: None })
    }

    /// The member is out, and the others are to have what it had.
    pub fn fence(&mut self, id: &Name) {
        self.remove(id);
        self.bump();
    }

    pub(super) fn remove(&mut self, id: &Name) {
        self.put(Change::Current(id.clone(), None));
        self.put(Change::TargetOf(id.clone(), None));
        self.put(Change::Member(id.clone(), None));
        self.live.members.remove(id);
        for ticket in self.live.parked.remove(id).into_iter().flatten() {
            let refused = self.unknown(id);
            self.out.push(Step::Reply(ticket, Reply::Beat(Err(refused))));
        }
    }

    pub(super) fn unknown(&self, id: &Name) -> Refused {
        Refused::new(Refusal::UnknownMember, format!("Member {id} is not a member of group {}.", self.name))
    }

    fn fenced_instance(&self, id: &Name, instance: &Name, holder: &Name) -> Refused {
        let words = format!("Static member {id} with instance id {instance} was fenced by member {holder}.");
        Refused::new(Refusal::FencedInstance, words)
    }

    // ── assignments

    pub(super) fn bump(&mut self) {
        let epoch = Epoch { number: self.group.epoch().saturating_add(1), hash: self.group.hash() };
        self.put(Change::Epoch(Some(epoch)));
    }

    /// Brings the targets up to the group's epoch and to the streams there are; false: that takes a while, and who has
    /// none yet waits for it. Where the last assignment is too young for another, members go on with it.
    pub(super) fn plan(&mut self) -> bool {
        let version = self.topics.version();
        let is_behind = self.group.target.is_none() || self.group.epoch() > self.group.target_epoch();
        if !is_behind && self.live.seen == Some(version) {
            return true;
        }
        if self.live.is_busy {
            return false;
        }
        if let Some(at) = self.not_before() {
            if self.live.next_plan.is_none_or(|next| next > at) {
                self.live.next_plan = Some(at);
                self.alarms.set(at, Alarm::Plan { group: self.name.clone() });
            }
            return true;
        }
        let work = Work {
            topics: self.topics.clone(),
            members: self.group.members.clone(),
            targets: self.group.targets.clone(),
            regexes: self.group.regexes.clone(),
            viewers: self.live.viewers.clone(),
            assignor: self.assignor(),
        };
        if work.size() > self.settings.inline_limit {
            self.live.is_busy = true;
            let (group, epoch, outcome) = (self.name.clone(), self.group.epoch(), Arc::new(OnceLock::new()));
            self.out.push(Step::Then(Job { group, epoch, work, outcome }));
            return false;
        }
        let outcome = work.run();
        self.take(version, self.group.epoch(), &outcome);
        true
    }

    /// When there may be another assignment, if that is not now.
    fn not_before(&self) -> Option<Timestamp> {
        let interval_ms = i64::from(self.settings.assignment_interval_ms);
        let last = self.group.target?.time_ms.min(self.now.0);
        Some(Timestamp(last).plus_ms(interval_ms)).filter(|at| *at > self.now)
    }

    /// The one that most members prefer; of equals the first by name.
    fn assignor(&self) -> Assignor {
        let mut votes: BTreeMap<&Name, usize> = BTreeMap::new();
        for assignor in self.group.members.values().filter_map(|member| member.assignor.as_ref()) {
            *votes.entry(assignor).or_default() += 1;
        }
        let winner = votes.into_iter().max_by_key(|(name, count)| (*count, std::cmp::Reverse(*name)));
        let known = winner.and_then(|(name, _)| Assignor::of(name)).filter(|a| self.settings.assignors.contains(a));
        known.or_else(|| self.settings.assignors.first().copied()).unwrap_or(Assignor::Uniform)
    }

    /// An assignment that was computed outside has come. Who waited for it is answered; what has changed meanwhile is a
    /// question of its own.
    pub fn done(&mut self, job: &Job) {
        self.live.is_busy = false;
        let Some(outcome) = job.outcome.get() else { return };
        // Should the group have gone and come again meanwhile, this is of another one.
        if job.epoch > self.group.target_epoch() || self.group.target.is_none() || job.epoch == self.group.epoch() {
            self.take(job.work.topics.version(), job.epoch, outcome);
        }
        let is_planned = self.plan();
        let is_ready = |id: &Name| is_planned || outcome.targets.contains_key(id);
        let ready: Vec<Name> = self.live.parked.keys().filter(|id| is_ready(id)).cloned().collect();
        for id in ready {
            for ticket in self.live.parked.remove(&id).into_iter().flatten() {
                let beaten = self.step(&id, Some(&Assignment::new()), true);
                self.out.push(Step::Reply(ticket, Reply::Beat(Ok(beaten))));
            }
        }
    }

    /// `epoch`: what the group's was when the question was asked.
    fn take(&mut self, version: u64, epoch: i32, outcome: &Outcome) {
        let is_newest = epoch == self.group.epoch();
        for (regex, topics) in &outcome.regexes {
            if self.group.regexes.get(regex).is_none_or(|resolved| resolved.topics != *topics) {
                let (topics, time_ms) = (topics.clone(), self.now.0);
                let resolved = Resolved { topics, version: version as i64, time_ms };
                self.put(Change::Regex(regex.clone(), Some(Arc::new(resolved))));
            }
        }
        let unused = |regex: &&Name| !self.group.members.values().any(|m| m.regex.as_ref() == Some(*regex));
        let unused: Vec<Name> = self.group.regexes.keys().filter(unused).cloned().collect();
        for regex in unused {
            self.put(Change::Regex(regex, None));
        }
        let members = &self.group.members;
        self.live.viewers.retain(|regex, _| members.values().any(|member| member.regex.as_ref() == Some(regex)));
        let mut epoch = epoch;
        if is_newest {
            self.live.seen = Some(version);
            if outcome.hash != self.group.hash() {
                // The streams have changed, and nothing else has asked for new targets.
                let is_asked = epoch > self.group.target_epoch() || self.group.target.is_none();
                epoch = if is_asked { epoch } else { epoch.saturating_add(1) };
                self.put(Change::Epoch(Some(Epoch { number: epoch, hash: outcome.hash })));
            }
        }
        if self.group.target.is_some() && epoch <= self.group.target_epoch() {
            return;
        }
        for (id, target) in &outcome.targets {
            let is_new = self.group.targets.get(id).is_none_or(|old| **old != *target);
            if is_new && self.group.members.contains_key(id) {
                self.put(Change::TargetOf(id.clone(), Some(Arc::new(target.clone()))));
            }
        }
        self.put(Change::Target(Some(Target { epoch, time_ms: self.now.0 })));
    }

    // ── time

    /// The first thing after a restart.
    pub fn wake_up(&mut self) {
        let ids: Vec<Name> = self.group.members.keys().cloned().collect();
        for id in ids {
            self.touch(&id);
            let current = self.group.current(&id);
            self.watch(&id, &current);
        }
    }

    pub(super) fn touch(&mut self, id: &Name) {
        let timeout_ms = match self.group.members.get(id).and_then(|member| member.classic.as_ref()) {
            Some(classic) => classic.session_timeout_ms,
            None => self.settings.session_timeout_ms,
        };
        self.extend(id, self.now.plus_ms(i64::from(timeout_ms)));
    }

    fn extend(&mut self, id: &Name, deadline: Timestamp) {
        let session = Session { deadline, armed: None, late: None, late_armed: None };
        let session = self.live.members.entry(id.clone()).or_insert(session);
        session.deadline = deadline;
        if session.armed.is_none_or(|armed| armed > deadline) {
            session.armed = Some(deadline);
            self.alarms.set(deadline, Alarm::Beat { group: self.name.clone(), member: id.clone() });
        }
    }

    /// Who must give something back has its rebalance timeout for it. A member of the classic protocol gives back what it
    /// does not name when it joins again.
    fn watch(&mut self, id: &Name, current: &Current) {
        let is_classic = self.group.members.get(id).is_some_and(|member| member.classic.is_some());
        match current.phase == Phase::Unrevoked {
            _ if is_classic => {}
            true => self.late(id),
            false => self.in_time(id),
        }
    }

    /// The member has its rebalance timeout to do what it has to do.
    pub(super) fn late(&mut self, id: &Name) {
        let Some(session) = self.live.members.get_mut(id) else { return };
        let timeout_ms = self.group.members.get(id).map_or(0, |member| i64::from(member.rebalance_timeout_ms.max(0)));
        session.late = Some(self.now.plus_ms(timeout_ms));
        self.arm_late(id);
    }

    /// The client chooses its timeout, which may be days: the alarm is set for a while at a time, so that what is left of
    /// members that have gone is soon forgotten.
    fn arm_late(&mut self, id: &Name) {
        let Some(session) = self.live.members.get_mut(id) else { return };
        let Some(late) = session.late else { return };
        let alarm = Alarm::Revoke { group: self.name.clone(), member: id.clone() };
        self.alarms.arm(&mut session.late_armed, late, self.now, alarm);
    }

    /// It has done it.
    pub(super) fn in_time(&mut self, id: &Name) {
        if let Some(session) = self.live.members.get_mut(id) {
            session.late = None;
        }
    }

    pub(super) fn is_late(&self, id: &Name) -> bool {
        self.live.members.get(id).is_some_and(|session| session.late.is_some())
    }

    pub fn session_ended(&mut self, at: Timestamp, id: &Name) {
        let Some(session) = self.live.members.get_mut(id).filter(|session| session.armed == Some(at)) else { return };
        session.armed = None;
        let deadline = session.deadline;
        if deadline > self.now {
            return self.extend(id, deadline);
        }
        if self.group.members.contains_key(id) {
            self.fence(id);
        }
    }

    /// There may be another assignment.
    pub fn waiting_ended(&mut self, at: Timestamp) {
        if self.live.next_plan == Some(at) {
            self.live.next_plan = None;
            if !self.group.members.is_empty() {
                self.plan();
            }
        }
    }

    pub fn revoking_ended(&mut self, at: Timestamp, id: &Name) {
        let session = self.live.members.get_mut(id).filter(|session| session.late_armed == Some(at));
        let Some(session) = session else { return };
        session.late_armed = None;
        match session.late {
            Some(late) if late <= self.now && self.group.members.contains_key(id) => self.fence(id),
            _ => self.arm_late(id),
        }
    }

    pub(super) fn put(&mut self, change: Change) {
        self.group.apply(&change);
        self.out.push(Step::Write(Record::Consumer { group: self.name.clone(), change }));
    }
}

/// What the member says about itself now, and what it said before where it says nothing.
fn merged(beat: &Beat, from: Option<&Member>) -> Member {
    let mut topics = beat.topics.clone().or_else(|| from.map(|m| m.topics.clone())).unwrap_or_default();
    topics.sort();
    topics.dedup();
    let regex = match &beat.regex {
        Some(regex) => Some(regex.clone()).filter(|regex| !regex.is_empty()),
        None => from.and_then(|m| m.regex.clone()),
    };
    Member {
        instance: beat.instance.clone().or_else(|| from.and_then(|m| m.instance.clone())),
        rack: beat.rack.clone().or_else(|| from.and_then(|m| m.rack.clone())),
        client_id: beat.client_id.clone(),
        client_host: beat.client_host.clone(),
        topics,
        regex,
        rebalance_timeout_ms: beat.rebalance_timeout_ms.or(from.map(|m| m.rebalance_timeout_ms)).unwrap_or(-1),
        assignor: beat.assignor.clone().or_else(|| from.and_then(|m| m.assignor.clone())),
        classic: None,
    }
}

pub(in crate::kafka::group) fn describe(group: &Consumer, settings: &Settings) -> Described {
    let first = settings.assignors.first().copied().unwrap_or(Assignor::Uniform);
    let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
    for assignor in group.members.values().filter_map(|member| member.assignor.as_deref()) {
        *votes.entry(assignor).or_default() += 1;
    }
    let winner = votes.into_iter().max_by_key(|(name, count)| (*count, std::cmp::Reverse(*name)));
    let member = |(id, member): (&Name, &Arc<Member>)| {
        let current = group.current(id);
        DescribedMember {
            id: id.clone(),
            member: member.clone(),
            epoch: current.epoch,
            assigned: partitions(&current.assigned),
            target: group.targets.get(id).map(|target| (**target).clone()).unwrap_or_default(),
        }
    };
    Described {
        state: group.state_name(),
        epoch: group.epoch(),
        target_epoch: group.target_epoch(),
        assignor: winner.and_then(|(name, _)| Assignor::of(name)).unwrap_or(first).name(),
        members: group.members.iter().map(member).collect(),
    }
}
