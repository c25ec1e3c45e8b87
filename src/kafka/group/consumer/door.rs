//! The way from the machine's commands to one consumer group: which group may be entered, and with what. Decides nothing
//! about its members.

use std::sync::Arc;

use super::{Beat, NoTopics, Refused, Room, check};
use crate::ids::Timestamp;
use crate::kafka::group::{Name, Out, Record, Refusal, Reply, Scratch, State};
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
        if scratch.live.contains_key(&name) {
            let words = format!("Group {name} is not a consumer group.");
            return out.push(refuse(Refused::new(Refusal::GroupNotFound, words)));
        }
        // Nobody is in it: what is left of it is its offsets, which the new group has.
        out.push(Step::Write(Record::Group { group: name.clone(), meta: None }));
    }
    enter(state, scratch, now, &name, out, |room| room.beat(ticket, beat));
}

/// Does something with a consumer group, which may be about to begin.
pub fn enter(
    state: &State,
    scratch: &mut Scratch,
    now: Timestamp,
    name: &Name,
    out: &mut Out,
    act: impl FnOnce(&mut Room),
) {
    let group = state.groups.get(name).and_then(|group| group.consumer.as_deref()).cloned().unwrap_or_default();
    let topics = scratch.topics.clone().unwrap_or_else(|| Arc::new(NoTopics));
    let Scratch { settings, consumers, alarms, .. } = scratch;
    let live = consumers.entry(name.clone()).or_default();
    let settings = &settings.consumer;
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
