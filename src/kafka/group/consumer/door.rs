//! The way from the machine's commands to one consumer group: which group may be entered, and with what; and the two ways
//! over, from a classic group to a consumer group and back (`classic.rs`). Decides nothing about its members.

use std::sync::Arc;

use super::{Beat, Migration, NoTopics, Refused, Room, check, classic};
use crate::ids::Timestamp;
use crate::kafka::group::{
    Heartbeat, Join, JoinRefused, Leave, Name, Out, Record, Refusal, Reply, Scratch, State, Sync,
    enter as enter_classic,
};
use crate::ledger::{Step, Ticket};

pub fn beat(state: &State, scratch: &mut Scratch, now: Timestamp, ticket: Ticket, beat: Beat, out: &mut Out) {
    let refuse = |refused| Step::Reply(ticket, Reply::Beat(Err(refused)));
    if let Err(refused) = check(&beat, &scratch.settings.consumer) {
        return out.push(refuse(refused));
    }
    let name = beat.group.clone();
    let group = state.groups.get(&name);
    let is_consumer = group.is_some_and(|group| group.consumer.is_some());
    let is_classic = group.is_some_and(|group| group.meta.is_some()) || scratch.live.contains_key(&name);
    if !is_consumer && beat.epoch != 0 {
        let words = match is_classic {
            true => format!("Group {name} is not a consumer group."),
            false => format!("Consumer group {name} not found."),
        };
        return out.push(refuse(Refused::new(Refusal::GroupNotFound, words)));
    }
    if is_classic {
        if scratch.live.get(&name).is_some_and(|live| !live.members.is_empty()) {
            return upgrade(state, scratch, now, ticket, beat, out);
        }
        // Nobody is in it: what is left of it is its offsets, which the new group has.
        scratch.live.remove(&name);
        if group.is_some_and(|group| group.meta.is_some()) {
            out.push(Step::Write(Record::Group { group: name.clone(), meta: None }));
        }
    }
    enter(state, scratch, now, &name, out, |room| room.beat(ticket, beat));
}

/// The first member of the new protocol comes to a classic group that has members: it becomes a consumer group, if the new
/// member is let in.
fn upgrade(state: &State, scratch: &mut Scratch, now: Timestamp, ticket: Ticket, beat: Beat, out: &mut Out) {
    let name = beat.group.clone();
    let topics = scratch.topics.clone().unwrap_or_else(|| Arc::new(NoTopics));
    let Some(live) = scratch.live.get(&name) else { return };
    let members = match classic::adopted(live, &*topics, &scratch.settings.consumer, now) {
        Ok(members) => members,
        Err(refused) => return out.push(Step::Reply(ticket, Reply::Beat(Err(refused)))),
    };
    let mark = out.len();
    if state.groups.get(&name).is_some_and(|group| group.meta.is_some()) {
        out.push(Step::Write(Record::Group { group: name.clone(), meta: None }));
    }
    let mut is_in = false;
    visit(state, scratch, now, &name, out, |room| {
        room.adopt(members);
        room.beat(ticket, beat);
        is_in = room.group.members.values().any(|member| member.classic.is_none());
    });
    if !is_in {
        // Nothing of it has happened but the refusal.
        scratch.consumers.remove(&name);
        let refusal = out.pop();
        out.truncate(mark);
        out.extend(refusal);
        return;
    }
    for (id, member) in scratch.live.remove(&name).into_iter().flat_map(|live| live.members) {
        // Whoever waits is to join again.
        let why = Refusal::RebalanceInProgress;
        if let Some(waiting) = member.joining {
            out.push(Step::Reply(waiting, Reply::Join(Err(JoinRefused { why, member: id }))));
        }
        if let Some(waiting) = member.syncing {
            out.push(Step::Reply(waiting, Reply::Sync(Err(why))));
        }
    }
}

// ── requests of the classic protocol to a consumer group

pub fn join(state: &State, scratch: &mut Scratch, now: Timestamp, ticket: Ticket, join: Join, out: &mut Out) {
    if scratch.settings.consumer.migration == Migration::Disabled {
        let refused = JoinRefused { why: Refusal::InconsistentProtocol, member: join.member };
        return out.push(Step::Reply(ticket, Reply::Join(Err(refused))));
    }
    let name = join.group.clone();
    enter(state, scratch, now, &name, out, |room| {
        let joined = room.join(join);
        room.out.push(Step::Reply(ticket, Reply::Join(joined)));
    });
}

pub fn sync(state: &State, scratch: &mut Scratch, now: Timestamp, ticket: Ticket, sync: &Sync, out: &mut Out) {
    enter(state, scratch, now, &sync.group, out, |room| {
        let synced = room.sync(sync);
        room.out.push(Step::Reply(ticket, Reply::Sync(synced)));
    });
}

pub fn heartbeat(
    state: &State,
    scratch: &mut Scratch,
    now: Timestamp,
    ticket: Ticket,
    beat: &Heartbeat,
    out: &mut Out,
) {
    enter(state, scratch, now, &beat.group, out, |room| {
        let heard = room.heartbeat(beat);
        room.out.push(Step::Reply(ticket, Reply::Heartbeat(heard)));
    });
}

pub fn leave(state: &State, scratch: &mut Scratch, now: Timestamp, ticket: Ticket, leave: &Leave, out: &mut Out) {
    enter(state, scratch, now, &leave.group, out, |room| {
        let results = room.leave_all(&leave.members);
        room.out.push(Step::Reply(ticket, Reply::Leave(Ok(results))));
    });
}

// ── entering

/// Does something with a consumer group, which may be about to begin. Should only members of the classic protocol be left
/// in it then, it is a classic group from there on, and they join again.
pub fn enter(
    state: &State,
    scratch: &mut Scratch,
    now: Timestamp,
    name: &Name,
    out: &mut Out,
    act: impl FnOnce(&mut Room),
) {
    let may_become_classic = scratch.settings.consumer.migration.allows_downgrade();
    let max_size = scratch.settings.max_size;
    let mut classic = None;
    visit(state, scratch, now, name, out, |room| {
        act(room);
        if may_become_classic && room.is_classic() && room.group.members.len() <= max_size {
            classic = Some(room.as_classic());
            room.end();
        }
    });
    if let Some(live) = classic {
        scratch.live.insert(name.clone(), live);
        enter_classic(state, scratch, now, name, out, |room| room.begin());
    }
}

fn visit(
    state: &State,
    scratch: &mut Scratch,
    now: Timestamp,
    name: &Name,
    out: &mut Out,
    act: impl FnOnce(&mut Room),
) {
    let group = state.groups.get(name).and_then(|group| group.consumer.as_deref()).cloned().unwrap_or_default();
    let topics = scratch.topics.clone().unwrap_or_else(|| Arc::new(NoTopics));
    let Scratch { settings, own, consumers, alarms, .. } = scratch;
    let live = consumers.entry(name.clone()).or_default();
    let own = own.over(name, &settings.consumer);
    let settings = own.as_ref().unwrap_or(&settings.consumer);
    let mut room = Room { name: name.clone(), group, live, alarms, settings, topics, now, out };
    act(&mut room);
    if room.group.members.is_empty() && room.live.is_forgettable() {
        consumers.remove(name);
    }
}

/// A group of the new protocol that has members.
pub fn is_consumer(state: &State, group: &str) -> bool {
    let consumer = state.groups.get(group).and_then(|group| group.consumer.as_deref());
    consumer.is_some_and(|consumer| !consumer.members.is_empty())
}
