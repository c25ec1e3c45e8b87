//! Committed offsets: commit, fetch, expiry (KIP-211), deletion with their group or their stream. Never looks whether a
//! stream exists: the handlers did.

use std::collections::BTreeSet;

use super::consumer::state::Consumer;
use super::live::{Alarm, CONSUMER, Live, Phase};
use super::record::{Record, STRING_LIMIT_BYTES};
use super::state::{Committed, Group, Name, State};
use super::{
    Commit, CommitOffset, Fetch, Fetched, Out, Refusal, Reply, Scratch, Settings, Told, exists, is_consumer, membership,
};
use crate::ids::Timestamp;
use crate::ledger::{Step, Ticket};

/// About how many offsets one decision takes away; more wait for the next.
const PIECE: usize = 4096;

pub(super) fn commit(
    state: &State,
    scratch: &mut Scratch,
    now: Timestamp,
    commit: Commit,
    out: &mut Out,
) -> Result<Vec<Result<(), Refusal>>, Refusal> {
    if commit.group.len() > STRING_LIMIT_BYTES {
        return Err(Refusal::InvalidGroupId);
    }
    validate_commit(state, scratch, &commit)?;
    if let Some(live) = scratch.live.get_mut(&commit.group)
        && matches!(live.phase, Phase::Stable | Phase::Preparing)
    {
        // Who commits is alive.
        membership::touch(live, &mut scratch.alarms, now, &commit.member);
    }
    let expire = (commit.retention_ms >= 0).then(|| now.plus_ms(commit.retention_ms));
    let limit = scratch.settings.offset_metadata_limit_bytes;
    let mut results = Vec::new();
    for offset in commit.offsets {
        if is_too_long(&offset.metadata, limit) {
            results.push(Err(Refusal::OffsetMetadataTooLarge));
            continue;
        }
        results.push(Ok(()));
        out.push(Step::Write(record(commit.group.clone(), offset, now, expire)));
    }
    Ok(results)
}

/// Offsets of a transaction: they stand in the log, and count when its end says so.
pub(super) fn commit_within(
    state: &State,
    scratch: &Scratch,
    now: Timestamp,
    (producer, epoch): (i64, i16),
    commit: Commit,
    out: &mut Out,
) -> Result<Vec<Result<(), Refusal>>, Refusal> {
    if commit.group.is_empty() || commit.group.len() > STRING_LIMIT_BYTES {
        return Err(Refusal::InvalidGroupId);
    }
    validate_within(state, scratch, &commit)?;
    let limit = scratch.settings.offset_metadata_limit_bytes;
    let mut results = Vec::new();
    for offset in commit.offsets {
        if is_too_long(&offset.metadata, limit) {
            results.push(Err(Refusal::OffsetMetadataTooLarge));
            continue;
        }
        results.push(Ok(()));
        if let Record::Offset { group, topic, partition, committed: Some(committed) } =
            record(commit.group.clone(), offset, now, None)
        {
            let place = (group, topic, partition);
            out.push(Step::Write(Record::Pending { producer, epoch, place, committed }));
        }
    }
    Ok(results)
}

/// Who says nothing of himself is a producer from before KIP-447, and is believed.
fn validate_within(state: &State, scratch: &Scratch, commit: &Commit) -> Result<(), Refusal> {
    let says_nothing = commit.generation < 0 && commit.member.is_empty() && commit.instance.is_none();
    if says_nothing {
        return Ok(());
    }
    if let Some(consumer) = state.groups.get(&commit.group).and_then(|group| group.consumer.as_deref()) {
        return validate_member_commit(consumer, commit);
    }
    if !exists(state, scratch, &commit.group) {
        return if commit.generation < 0 { Ok(()) } else { Err(Refusal::IllegalGeneration) };
    }
    let Some(live) = scratch.live.get(&commit.group) else {
        // As in Kafka: in a group without members, whoever names no generation is believed.
        return if commit.generation < 0 { Ok(()) } else { Err(Refusal::UnknownMember) };
    };
    membership::validate(live, &commit.member, commit.instance.as_deref())?;
    if commit.generation == live.generation { Ok(()) } else { Err(Refusal::IllegalGeneration) }
}

fn validate_commit(state: &State, scratch: &Scratch, commit: &Commit) -> Result<(), Refusal> {
    let manages_itself = commit.generation < 0;
    if let Some(consumer) = state.groups.get(&commit.group).and_then(|group| group.consumer.as_deref()) {
        return validate_member_commit(consumer, commit);
    }
    if !exists(state, scratch, &commit.group) {
        // Offsets without a group make a simple group.
        return match (manages_itself, commit.knows_group_not_found) {
            (true, _) => Ok(()),
            (false, true) => Err(Refusal::GroupNotFound),
            (false, false) => Err(Refusal::IllegalGeneration),
        };
    }
    let live = scratch.live.get(&commit.group);
    let is_empty = live.is_none_or(|live| live.phase == Phase::Empty);
    if manages_itself && is_empty {
        return Ok(());
    }
    let Some(live) = live.filter(|_| !manages_itself || !commit.member.is_empty() || commit.instance.is_some()) else {
        // Nobody may commit beside the members of a group that has some.
        return Err(Refusal::UnknownMember);
    };
    membership::validate(live, &commit.member, commit.instance.as_deref())?;
    if commit.generation != live.generation {
        return Err(Refusal::IllegalGeneration);
    }
    // It knows the generation but not yet its assignment: what it commits belongs to the one before.
    if live.phase == Phase::Completing { Err(Refusal::RebalanceInProgress) } else { Ok(()) }
}

/// A member of a consumer group commits in its epoch, or in an older one what it has held since (KIP-1251).
fn validate_member_commit(group: &Consumer, commit: &Commit) -> Result<(), Refusal> {
    if commit.generation < 0 && group.members.is_empty() {
        return Ok(());
    }
    let member = group.members.get(&commit.member).ok_or(Refusal::UnknownMember)?;
    let current = group.current(&commit.member);
    let is_classic = member.classic.is_some();
    if !is_classic && !commit.knows_group_not_found {
        // Before v9 a client does not know what an epoch is.
        return Err(Refusal::UnsupportedVersion);
    }
    let holds = |offset: &CommitOffset| {
        current.given(offset.topic_id, offset.partition).is_some_and(|given| given <= commit.generation)
    };
    let is_fine =
        commit.generation == current.epoch || (commit.generation < current.epoch && commit.offsets.iter().all(holds));
    match is_fine {
        true => Ok(()),
        false if is_classic => Err(Refusal::IllegalGeneration),
        false => Err(Refusal::StaleEpoch),
    }
}

/// Whether a member may see offsets; `None` where nobody says who asks.
fn validate_fetch(state: &State, fetch: &Fetch) -> Result<(), Refusal> {
    let Some((member, epoch)) = &fetch.member else { return Ok(()) };
    let group = state.groups.get(&fetch.group).and_then(|group| group.consumer.as_deref());
    let Some(group) = group else { return Ok(()) };
    let known = group.members.get(member).ok_or(Refusal::UnknownMember)?;
    match group.current(member).epoch == *epoch {
        true => Ok(()),
        false if known.classic.is_some() => Err(Refusal::IllegalGeneration),
        false => Err(Refusal::StaleEpoch),
    }
}

/// Kafka counts UTF-16 units; a record's string has a limit of its own.
fn is_too_long(metadata: &str, limit: usize) -> bool {
    metadata.len() > STRING_LIMIT_BYTES || (metadata.len() > limit && metadata.encode_utf16().count() > limit)
}

fn record(group: Name, offset: CommitOffset, now: Timestamp, expire: Option<Timestamp>) -> Record {
    // The format that can hold an expire time holds neither epoch nor topic id.
    let committed = Committed {
        offset: offset.offset,
        leader_epoch: if expire.is_some() { -1 } else { offset.leader_epoch },
        metadata: offset.metadata,
        time: if offset.time == -1 { now } else { Timestamp(offset.time) },
        expire,
        topic_id: if expire.is_some() { 0 } else { offset.topic_id },
    };
    Record::Offset { group, topic: offset.topic, partition: offset.partition, committed: Some(committed) }
}

/// What is not there is told as `None`, an unknown group too.
pub(super) fn fetch(state: &State, fetch: &Fetch) -> Result<Vec<Fetched>, Refusal> {
    validate_fetch(state, fetch)?;
    let group = state.groups.get(&fetch.group);
    let told = |topic: &Name, partition: i32, committed: Option<&Committed>| {
        if fetch.stable && state.is_pending(&fetch.group, topic, partition) {
            return Told::Unstable;
        }
        committed.map_or(Told::Nothing, |committed| Told::Offset(committed.clone()))
    };
    let Some(topics) = &fetch.topics else {
        let all = group.into_iter().flat_map(|g| &g.offsets).map(|(topic, partitions)| Fetched {
            topic: topic.clone(),
            partitions: partitions.iter().map(|(p, committed)| (*p, told(topic, *p, Some(committed)))).collect(),
        });
        return Ok(all.collect());
    };
    let one = |topic: &super::FetchTopic| {
        let offsets = group.and_then(|g| g.offsets.get(&topic.topic));
        let committed = |partition: &i32| {
            let found = offsets.and_then(|o| o.get(partition));
            let found = found.filter(|c| is_same_life(c.topic_id, topic.topic_id));
            (*partition, told(&topic.topic, *partition, found))
        };
        Fetched { topic: topic.topic.clone(), partitions: topic.partitions.iter().map(committed).collect() }
    };
    Ok(topics.iter().map(one).collect())
}

/// An id that is not known (0) agrees with every other.
pub fn is_same_life(one: u128, other: u128) -> bool {
    one == 0 || other == 0 || one == other
}

pub(super) fn delete(state: &State, scratch: &mut Scratch, groups: &[Name], out: &mut Out) -> Vec<Result<(), Refusal>> {
    let mut done: BTreeSet<&Name> = BTreeSet::new();
    let mut results = Vec::new();
    for name in groups {
        let is_there = exists(state, scratch, name) && !done.contains(name);
        let is_empty =
            scratch.live.get(name).is_none_or(|live| live.phase == Phase::Empty) && !is_consumer(state, name);
        results.push(match (is_there, is_empty) {
            (false, _) => Err(Refusal::GroupNotFound),
            (true, false) => Err(Refusal::GroupNotEmpty),
            (true, true) => {
                scratch.live.remove(name);
                if let Some(group) = state.groups.get(name) {
                    take_away(name, group, |_, _, _| true, out);
                    write_group_end(name, group, out);
                }
                done.insert(name);
                Ok(())
            }
        });
    }
    results
}

/// Takes the offsets of these partitions away (KIP-496), unless a member reads the topic: one result per topic. What
/// members of another kind than consumers read cannot be known.
pub(super) fn delete_offsets(
    state: &State,
    scratch: &Scratch,
    name: &Name,
    topics: &[(Name, Vec<i32>)],
    out: &mut Out,
) -> Result<Vec<Result<(), Refusal>>, Refusal> {
    if name.is_empty() {
        return Err(Refusal::InvalidGroupId);
    } else if !exists(state, scratch, name) {
        return Err(Refusal::GroupNotFound);
    }
    let live = scratch.live.get(name).filter(|live| live.phase != Phase::Empty);
    if live.is_some_and(|live| live.protocol_type.as_deref() != Some(CONSUMER)) {
        return Err(Refusal::GroupNotEmpty);
    }
    let group = state.groups.get(name);
    let consumer = group.and_then(|group| group.consumer.as_deref());
    let subscribed = live.map(Live::subscribed_topics);
    let mut results = Vec::new();
    for (topic, partitions) in topics {
        let is_subscribed = match &subscribed {
            None => consumer.is_some_and(|consumer| consumer.is_subscribed(topic)),
            Some(topics) => topics.as_ref().is_none_or(|topics| topics.contains(topic)),
        };
        if is_subscribed {
            results.push(Err(Refusal::SubscribedToTopic));
            continue;
        }
        results.push(Ok(()));
        let offsets = group.and_then(|group| group.offsets.get(topic));
        let is_there = |partition: &i32| {
            offsets.is_some_and(|offsets| offsets.contains_key(partition)) || state.is_pending(name, topic, *partition)
        };
        for partition in partitions.iter().copied().filter(is_there).collect::<BTreeSet<i32>>() {
            let (group, topic) = (name.clone(), topic.clone());
            out.push(Step::Write(Record::Offset { group, topic, partition, committed: None }));
        }
    }
    Ok(results)
}

/// Without this a group that starts at the end where it has no offset would skip what is written to a new partition
/// before it first hears of it.
pub(super) fn start_new(
    state: &State,
    now: Timestamp,
    topic: &Name,
    topic_id: u128,
    partitions: std::ops::Range<i32>,
    out: &mut Out,
) {
    for (group, offsets) in state.groups.iter().filter_map(|(name, group)| Some((name, group.offsets.get(topic)?))) {
        // As long as the newest of the others.
        let newest = offsets.values().filter(|c| is_same_life(c.topic_id, topic_id)).max_by_key(|c| c.time);
        let Some(newest) = newest else { continue };
        let start = Committed {
            offset: 0,
            leader_epoch: -1,
            metadata: "".into(),
            time: now,
            expire: newest.expire,
            topic_id: newest.topic_id,
        };
        for partition in partitions.clone().filter(|partition| !offsets.contains_key(partition)) {
            let (group, topic, committed) = (group.clone(), topic.clone(), Some(start.clone()));
            out.push(Step::Write(Record::Offset { group, topic, partition, committed }));
        }
    }
}

/// Every stream, by name and life, that a group has an offset for.
pub(super) fn topics(state: &State) -> Vec<(Name, u128)> {
    let mut found = BTreeSet::new();
    for group in state.groups.values() {
        for (topic, partitions) in &group.offsets {
            found.extend(partitions.values().map(|committed| (topic.clone(), committed.topic_id)));
        }
    }
    found.into_iter().collect()
}

// ── chores: they go through all groups, a piece at a time

#[derive(Debug)]
pub(super) struct Chore {
    what: What,
    not_before: Timestamp,
    /// The last group that has been seen to.
    after: Option<Name>,
}

#[derive(Debug)]
enum What {
    Expire,
    Forget { ticket: Ticket, topic: Name, topic_id: u128 },
}

impl Chore {
    pub fn forget(ticket: Ticket, topic: Name, topic_id: u128) -> Chore {
        Chore { what: What::Forget { ticket, topic, topic_id }, not_before: Timestamp(i64::MIN), after: None }
    }
}

/// The next look for expired offsets, instead of any that was planned.
pub(super) fn plan_expiry(scratch: &mut Scratch, now: Timestamp) {
    scratch.chores.retain(|chore| !matches!(chore.what, What::Expire));
    let not_before = now.plus_ms(scratch.settings.retention_check_ms.max(1));
    scratch.chores.push_back(Chore { what: What::Expire, not_before, after: None });
    scratch.alarms.set(not_before, Alarm::Chores);
}

pub(super) fn chores(state: &State, scratch: &mut Scratch, now: Timestamp, out: &mut Out) {
    // Chores judge by the state, so nothing may have been written in this decision before them.
    if out.iter().any(|step| matches!(step, Step::Write(_))) {
        scratch.alarms.set(now, Alarm::Chores);
        return;
    }
    let due = |chore: &Chore| chore.not_before <= now;
    let Some(at) = scratch.chores.iter().position(due) else { return };
    let Some(mut chore) = scratch.chores.remove(at) else { return };
    let is_done = work(state, scratch, now, &mut chore, out);
    match chore.what {
        _ if !is_done => scratch.chores.push_front(chore),
        What::Forget { ticket, .. } => out.push(Step::Reply(ticket, Reply::Done)),
        What::Expire => plan_expiry(scratch, now),
    }
    if scratch.chores.iter().any(due) {
        scratch.alarms.set(now, Alarm::Chores);
    }
}

/// True when all groups have been seen to.
fn work(state: &State, scratch: &Scratch, now: Timestamp, chore: &mut Chore, out: &mut Out) -> bool {
    use std::ops::Bound::{Excluded, Unbounded};
    let mut left = PIECE;
    let from = chore.after.take().map_or(Unbounded, Excluded);
    for (name, group) in state.groups.range::<Name, _>((from, Unbounded)) {
        let written = match &chore.what {
            What::Expire => expire(name, group, scratch.live.get(name), &scratch.settings, now, out),
            What::Forget { topic, topic_id, .. } => {
                take_away(name, group, |t, _, c| t == topic && is_same_life(c.topic_id, *topic_id), out)
            }
        };
        // Looking costs, too.
        left = left.saturating_sub(1 + written);
        if left == 0 {
            chore.after = Some(name.clone());
            return false;
        }
    }
    true
}

/// The rules of KIP-211: an offset lives on as long as its group is in use or its stream subscribed, and then for the
/// retention time; a group goes with its last offset. Returns how many offsets went.
fn expire(
    name: &Name,
    group: &Group,
    live: Option<&Live>,
    settings: &Settings,
    now: Timestamp,
    out: &mut Out,
) -> usize {
    let phase = live.map_or(Phase::Empty, |live| live.phase);
    let consumer = group.consumer.as_deref();
    let meta = group.meta.as_deref();
    let protocol_type = live.map_or(meta.and_then(|m| m.protocol_type.as_deref()), |l| l.protocol_type.as_deref());
    let empty_since = meta.map(|m| m.since).filter(|since| since.0 != -1);
    let mut subscribed = BTreeSet::new();
    let count_from = match (protocol_type, phase) {
        // A consumer group, too, counts from each commit; what its members read lives on.
        (None, _) if consumer.is_some() => {
            subscribed = consumer.map(Consumer::subscribed).unwrap_or_default();
            None
        }
        // Nobody ever joined: each offset counts from its own commit.
        (None, _) => None,
        (Some(_), Phase::Empty) => empty_since,
        (Some(CONSUMER), Phase::Stable) => match live.and_then(Live::subscribed_topics) {
            Some(topics) => {
                subscribed = topics;
                None
            }
            // What they read cannot be known: all of it may be in use.
            None => return 0,
        },
        (Some(_), Phase::Preparing | Phase::Completing | Phase::Stable) => return 0,
    };
    let is_over = |topic: &Name, _: i32, committed: &Committed| match committed.expire {
        _ if subscribed.contains(topic) => false,
        Some(at) => now >= at,
        None => now.0.saturating_sub(count_from.unwrap_or(committed.time).0) >= settings.offsets_retention_ms,
    };
    let gone = take_away(name, group, is_over, out);
    let all: usize = group.offsets.values().map(|partitions| partitions.len()).sum();
    if gone == all && live.is_none() && consumer.is_none_or(|consumer| consumer.members.is_empty()) {
        write_group_end(name, group, out);
    }
    gone
}

fn take_away(name: &Name, group: &Group, is_over: impl Fn(&Name, i32, &Committed) -> bool, out: &mut Out) -> usize {
    let mut gone = 0;
    for (topic, partitions) in &group.offsets {
        for (partition, committed) in partitions {
            if is_over(topic, *partition, committed) {
                gone += 1;
                let (group, topic, partition) = (name.clone(), topic.clone(), *partition);
                out.push(Step::Write(Record::Offset { group, topic, partition, committed: None }));
            }
        }
    }
    gone
}

fn write_group_end(name: &Name, group: &Group, out: &mut Out) {
    if group.meta.is_some() {
        out.push(Step::Write(Record::Group { group: name.clone(), meta: None }));
    }
    let end = group.consumer.iter().flat_map(|consumer| consumer.end());
    out.extend(end.map(|change| Step::Write(Record::Consumer { group: name.clone(), change })));
}
