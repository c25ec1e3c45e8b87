//! Consumer groups of both protocols and committed offsets: a machine whose memory is `__consumer_offsets`, in Kafka's own record
//! format. Pure: no IO, no clock, no chance (the random half of a new member id is part of the command).
//!
//! ```text
//!            join                 everyone joined, or time is up          the leader's assignment
//!   Empty ─────────► Preparing ─────────────────────────────► Completing ────────────────────────► Stable
//!     ▲                 │  ▲                                       │                                  │
//!     └── nobody left ──┘  └─── join, leave, or session's end ─────┴──────────────────────────────────┘
//! ```
//! A record is written when a generation becomes stable or empty, when a static member comes back under a new id, and
//! for every committed offset. Heartbeats, joins and syncs under way stand in the scratch: a restart forgets them, and
//! gives the members of the log a fresh session.
//!
//! `say.rs` what is asked and answered · `state.rs` what the log folds to · `record.rs` its bytes · `live.rs` a group
//! between two records · `membership.rs` join, sync, heartbeat, leave · `consumer/` groups of the new protocol (KIP-848) ·
//! `offsets.rs` commit, fetch, expiry, deletion.

pub mod consumer;
pub mod coordinator;
pub mod live;
mod membership;
mod offsets;
pub mod record;
pub mod say;
pub mod state;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::config::server::ServerSettings;
use crate::ids::Timestamp;
use crate::ledger::{Input, Machine, Step, Ticket};
use crate::record::records::Marker;
use consumer::assign::Topics;
use consumer::door::{enter as enter_consumer, is_consumer};
use consumer::{Beat, Beaten, Job, Refused};
use live::{Alarm, Alarms, Live, Phase};
use membership::{Room, new_member_id};
use offsets::Chore;
pub use record::Record;
use record::STRING_LIMIT_BYTES;
pub use say::*;
pub use state::{Committed, Name, State};

/// The machine of `__consumer_offsets`.
pub struct Groups;

/// What an operator may set; each has Kafka's name and default.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `group.initial.rebalance.delay.ms`
    pub initial_rebalance_delay_ms: i64,
    /// `group.min.session.timeout.ms`
    pub min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`
    pub max_session_timeout_ms: i32,
    /// `group.max.size`
    pub max_size: usize,
    /// How long a new member's join may wait; Kafka has no key for it.
    pub new_member_join_timeout_ms: i64,
    /// All that the members of one group say about themselves and are assigned: what one record must hold.
    pub group_limit_bytes: usize,
    /// `offset.metadata.max.bytes`
    pub offset_metadata_limit_bytes: usize,
    /// `offsets.retention.minutes`
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`
    pub retention_check_ms: i64,
    /// `group.consumer.*`
    pub consumer: consumer::Settings,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            initial_rebalance_delay_ms: 3_000,
            min_session_timeout_ms: 6_000,
            max_session_timeout_ms: 30 * 60_000,
            max_size: i32::MAX as usize,
            new_member_join_timeout_ms: 5 * 60_000,
            group_limit_bytes: 8 << 20,
            offset_metadata_limit_bytes: 4096,
            offsets_retention_ms: 7 * 24 * 3_600_000,
            retention_check_ms: 600_000,
            consumer: consumer::Settings::default(),
        }
    }
}

impl Settings {
    pub fn of(settings: &ServerSettings) -> Settings {
        let timeout = |ms: i64| i32::try_from(ms).unwrap_or(i32::MAX);
        Settings {
            initial_rebalance_delay_ms: settings.group_initial_rebalance_delay_ms,
            min_session_timeout_ms: timeout(settings.group_min_session_timeout_ms),
            max_session_timeout_ms: timeout(settings.group_max_session_timeout_ms),
            max_size: settings.group_max_size,
            new_member_join_timeout_ms: settings.group_new_member_join_timeout_ms,
            group_limit_bytes: settings.group_limit_bytes,
            offset_metadata_limit_bytes: settings.offset_metadata_max_bytes,
            offsets_retention_ms: settings.offsets_retention_ms,
            retention_check_ms: settings.offsets_retention_check_interval_ms,
            consumer: consumer::Settings::of(settings),
        }
    }
}

#[derive(Clone, Debug)]
pub enum Command {
    /// Takes effect for what is decided from now on; until then the defaults hold.
    Configure(Settings),
    /// What single groups have for themselves from now on.
    Own(Arc<consumer::Own>),
    Join(Join),
    Sync(Sync),
    Heartbeat(Heartbeat),
    /// Of a consumer group (KIP-848).
    Beat(Box<Beat>),
    /// The streams there are from now on.
    Look(Arc<dyn Topics>),
    /// Consumer groups by name.
    DescribeConsumers(Vec<Name>),
    Leave(Leave),
    Commit(Commit),
    /// Offsets that count when the producer's transaction is committed (TxnOffsetCommit).
    CommitWithin {
        producer: i64,
        epoch: i16,
        commit: Commit,
    },
    /// The transaction of a producer has ended. Answered when that is durable.
    End {
        producer: i64,
        epoch: i16,
        how: Marker,
    },
    /// Of several groups at once.
    Fetch(Vec<Fetch>),
    /// Groups by name.
    Describe(Vec<Name>),
    /// Every group.
    List,
    /// Groups by name; only empty ones go.
    Delete(Vec<Name>),
    /// Offsets of a group by topic and partition; what a member reads stays.
    DeleteOffsets {
        group: Name,
        topics: Vec<(Name, Vec<i32>)>,
    },
    /// The offsets that were committed for one life of a stream, in every group: it has been deleted.
    Forget {
        topic: Name,
        topic_id: u128,
    },
    /// A stream gets more logs: every group that stands somewhere in it starts each new one at its beginning.
    Grown {
        topic: Name,
        topic_id: u128,
        /// Numbers of the new logs.
        partitions: std::ops::Range<i32>,
    },
    /// The streams for which offsets are committed: what must be compared with the catalog after a restart.
    Topics,
}

#[derive(Debug, PartialEq)]
pub enum Reply {
    Done,
    Join(Result<Joined, JoinRefused>),
    Sync(Result<Synced, Refusal>),
    Heartbeat(Result<(), Refusal>),
    Beat(Result<Beaten, Refused>),
    DescribeConsumers(Vec<Result<consumer::Described, Missing>>),
    Leave(Result<Vec<Result<(), Refusal>>, Refusal>),
    /// One result per committed offset, in order.
    Commit(Result<Vec<Result<(), Refusal>>, Refusal>),
    /// Per group that was asked for, in order.
    Fetch(Vec<Result<Vec<Fetched>, Refusal>>),
    Describe(Vec<Result<Described, Missing>>),
    List(Vec<Listed>),
    Delete(Vec<Result<(), Refusal>>),
    /// One result per topic.
    DeleteOffsets(Result<Vec<Result<(), Refusal>>, Refusal>),
    Topics(Vec<(Name, u128)>),
}

/// Why a group cannot be described.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    NoGroup,
    /// There is one, and it speaks the other protocol.
    OtherProtocol,
}

/// Why the machine says no, as facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    UnknownMember,
    IllegalGeneration,
    RebalanceInProgress,
    InconsistentProtocol,
    /// Join again with the member id that stands beside this.
    MemberIdRequired,
    FencedInstance,
    InvalidSessionTimeout,
    InvalidGroupId,
    InvalidRequest,
    GroupFull,
    GroupNotFound,
    GroupNotEmpty,
    OffsetMetadataTooLarge,
    /// What the leader assigned does not fit into one record.
    AssignmentTooLarge,
    FencedEpoch,
    StaleEpoch,
    UnreleasedInstance,
    UnsupportedAssignor,
    InvalidRegex,
    SubscribedToTopic,
    UnsupportedVersion,
}

/// What a restart forgets.
#[derive(Debug, Default)]
pub struct Scratch {
    settings: Settings,
    own: Arc<consumer::Own>,
    is_loaded: bool,
    /// Every group that has members or gave out member ids.
    live: BTreeMap<Name, Live>,
    alarms: Alarms,
    chores: VecDeque<Chore>,
    topics: Option<Arc<dyn Topics>>,
    /// Every consumer group that has members, or had some since the start.
    consumers: BTreeMap<Name, consumer::Live>,
}

impl Scratch {
    /// What a machine starts with that is set up otherwise than by default.
    pub fn new(settings: Settings) -> Scratch {
        Scratch { settings, ..Scratch::default() }
    }
}

type Out = Vec<Step<Record, Reply, Job>>;

impl Machine for Groups {
    type State = State;
    type Scratch = Scratch;
    type Command = Command;
    type Reply = Reply;
    type Record = Record;
    type Effect = Job;

    fn decide(state: &State, scratch: &mut Scratch, now: Timestamp, input: Input<Command, Job>, out: &mut Out) {
        if let Input::Command(_, Command::Configure(settings)) = &input {
            scratch.settings = settings.clone();
        }
        if !scratch.is_loaded {
            load(state, scratch, now, out);
        }
        match input {
            Input::Command(ticket, command) => answer(state, scratch, now, ticket, command, out),
            Input::Tick => tick(state, scratch, now, out),
            Input::Done(job) => {
                let name = job.group.clone();
                enter_consumer(state, scratch, now, &name, out, |room| room.done(&job));
            }
        }
        let Some(next) = scratch.alarms.next() else { return };
        if scratch.alarms.asked.is_none_or(|asked| next < asked) {
            scratch.alarms.asked = Some(next);
            out.push(Step::WakeAt(next));
        }
    }

    fn apply(state: &mut State, record: &Record) {
        state.apply(record);
    }

    fn snapshot(state: &State) -> Vec<Record> {
        state.snapshot()
    }
}

/// What is due is seen to in pieces, each a decision of its own: its records must fit into one append.
const TICK_ALARMS: usize = 256;

/// After a restart, every member that the log knows gets a fresh session.
fn load(state: &State, scratch: &mut Scratch, now: Timestamp, out: &mut Out) {
    scratch.is_loaded = true;
    offsets::plan_expiry(scratch, now);
    for (name, group) in &state.groups {
        if group.consumer.as_ref().is_some_and(|consumer| !consumer.members.is_empty()) {
            enter_consumer(state, scratch, now, name, out, |room| room.wake_up());
        }
        let Some(meta) = group.meta.as_deref().filter(|m| !m.members.is_empty()) else { continue };
        scratch.live.insert(name.clone(), Live::restored(name.clone(), meta, now));
        enter(state, scratch, now, name, out, |room| room.wake_up());
    }
}

/// What the settings decide once and for all: the next look for expired offsets, and groups that are too large.
fn reconfigure(state: &State, scratch: &mut Scratch, now: Timestamp, out: &mut Out) {
    offsets::plan_expiry(scratch, now);
    let groups: Vec<Name> = scratch.live.keys().cloned().collect();
    for name in groups {
        enter(state, scratch, now, &name, out, |room| room.shrink());
    }
}

fn answer(state: &State, scratch: &mut Scratch, now: Timestamp, ticket: Ticket, command: Command, out: &mut Out) {
    let reply = match command {
        Command::Configure(_) => {
            reconfigure(state, scratch, now, out);
            Reply::Done
        }
        Command::Own(own) => {
            scratch.own = own;
            Reply::Done
        }
        Command::Beat(beat) => return consumer::door::beat(state, scratch, now, ticket, *beat, out),
        Command::Look(topics) => {
            // Two who looked at once may come in either order.
            if scratch.topics.as_ref().is_none_or(|known| known.version() < topics.version()) {
                scratch.topics = Some(topics);
            }
            Reply::Done
        }
        Command::DescribeConsumers(groups) => {
            let found = |name: &Name| state.groups.get(name).and_then(|group| group.consumer.as_deref());
            let missing = |name: &Name| match exists(state, scratch, name) {
                true => Missing::OtherProtocol,
                false => Missing::NoGroup,
            };
            let describe = |group| consumer::describe(group, &scratch.settings.consumer);
            let described = groups.iter().map(|name| found(name).map(describe).ok_or_else(|| missing(name)));
            Reply::DescribeConsumers(described.collect())
        }
        Command::Join(join) => return self::join(state, scratch, now, ticket, join, out),
        Command::Sync(sync) => {
            let refuse = |why| Step::Reply(ticket, Reply::Sync(Err(why)));
            if sync.group.is_empty() {
                return out.push(refuse(Refusal::InvalidGroupId));
            } else if is_consumer(state, &sync.group) {
                return consumer::door::sync(state, scratch, now, ticket, &sync, out);
            } else if !scratch.live.contains_key(&sync.group) {
                return out.push(refuse(Refusal::UnknownMember));
            }
            let group = sync.group.clone();
            return enter(state, scratch, now, &group, out, |room| room.sync(ticket, sync));
        }
        Command::Heartbeat(beat) if beat.group.is_empty() => Reply::Heartbeat(Err(Refusal::InvalidGroupId)),
        Command::Heartbeat(beat) if is_consumer(state, &beat.group) => {
            return consumer::door::heartbeat(state, scratch, now, ticket, &beat, out);
        }
        Command::Heartbeat(beat) => match scratch.live.get_mut(&beat.group) {
            Some(live) => Reply::Heartbeat(membership::heartbeat(live, &mut scratch.alarms, now, &beat)),
            None => Reply::Heartbeat(Err(Refusal::UnknownMember)),
        },
        Command::Leave(leave) if leave.group.is_empty() => Reply::Leave(Err(Refusal::InvalidGroupId)),
        Command::Leave(leave) if is_consumer(state, &leave.group) => {
            return consumer::door::leave(state, scratch, now, ticket, &leave, out);
        }
        Command::Leave(leave) if !scratch.live.contains_key(&leave.group) => {
            Reply::Leave(Ok(leave.members.iter().map(|_| Err(Refusal::UnknownMember)).collect()))
        }
        Command::Leave(leave) => {
            let mut results = Vec::new();
            enter(state, scratch, now, &leave.group, out, |room| results = room.leave(&leave.members));
            Reply::Leave(Ok(results))
        }
        Command::Commit(commit) => Reply::Commit(offsets::commit(state, scratch, now, commit, out)),
        Command::CommitWithin { producer, epoch, commit } => {
            Reply::Commit(offsets::commit_within(state, scratch, now, (producer, epoch), commit, out))
        }
        Command::End { producer, epoch, how } => {
            if state.pending.contains_key(&producer) {
                out.push(Step::Write(Record::Ended { producer, epoch, how }));
            }
            Reply::Done
        }
        Command::Fetch(groups) => Reply::Fetch(groups.iter().map(|group| offsets::fetch(state, group)).collect()),
        Command::Describe(groups) => {
            Reply::Describe(groups.iter().map(|group| describe(state, scratch, group)).collect())
        }
        Command::List => Reply::List(list(state, scratch)),
        Command::Delete(groups) => Reply::Delete(offsets::delete(state, scratch, &groups, out)),
        Command::DeleteOffsets { group, topics } => {
            Reply::DeleteOffsets(offsets::delete_offsets(state, scratch, &group, &topics, out))
        }
        Command::Forget { topic, topic_id } => {
            scratch.chores.push_front(Chore::forget(ticket, topic, topic_id));
            return offsets::chores(state, scratch, now, out);
        }
        Command::Grown { topic, topic_id, partitions } => {
            offsets::start_new(state, now, &topic, topic_id, partitions, out);
            Reply::Done
        }
        Command::Topics => Reply::Topics(offsets::topics(state)),
    };
    out.push(Step::Reply(ticket, reply));
}

fn join(state: &State, scratch: &mut Scratch, now: Timestamp, ticket: Ticket, join: Join, out: &mut Out) {
    if let Some(why) = cannot_join(state, scratch, &join) {
        out.push(Step::Reply(ticket, Reply::Join(Err(JoinRefused { why, member: join.member }))));
        return;
    }
    let group = join.group.clone();
    if is_consumer(state, &group) {
        return consumer::door::join(state, scratch, now, ticket, join, out);
    }
    if let Some(consumer) = state.groups.get(&group).and_then(|group| group.consumer.as_deref()) {
        // Nobody is in it: a classic group may begin.
        let end = consumer.end().into_iter();
        out.extend(end.map(|change| Step::Write(Record::Consumer { group: group.clone(), change })));
    }
    enter(state, scratch, now, &group, out, |room| room.join(ticket, join));
}

/// What is wrong with a join whatever its group is doing.
fn cannot_join(state: &State, scratch: &Scratch, join: &Join) -> Option<Refusal> {
    let sessions = scratch.settings.min_session_timeout_ms..=scratch.settings.max_session_timeout_ms;
    let protocols = join.protocols.iter().map(|(name, _)| name);
    let others = [&join.group, &join.protocol_type, &join.client_id, &join.client_host];
    let mut names = protocols.chain(others).chain(&join.instance);
    if join.group.is_empty() {
        Some(Refusal::InvalidGroupId)
    } else if !sessions.contains(&join.session_timeout_ms) {
        Some(Refusal::InvalidSessionTimeout)
    } else if names.any(|name| name.len() > STRING_LIMIT_BYTES) {
        Some(Refusal::InvalidRequest)
    } else if !join.member.is_empty() && !exists(state, scratch, &join.group) {
        Some(Refusal::UnknownMember)
    } else {
        None
    }
}

fn tick(state: &State, scratch: &mut Scratch, now: Timestamp, out: &mut Out) {
    scratch.alarms.asked = None;
    // Only what is due already: an alarm set meanwhile for this same moment waits for the next tick, so that chores
    // come in bounded pieces.
    let mut due = Vec::new();
    while due.len() < TICK_ALARMS
        && let Some(alarm) = scratch.alarms.due(now)
    {
        due.push(alarm);
    }
    let mut has_chores = false;
    // All that is due of one consumer group is one decision: each must see what the others wrote.
    let mut consumers: BTreeMap<Name, Vec<(Timestamp, Due)>> = BTreeMap::new();
    for (at, alarm) in due {
        match alarm {
            Alarm::Chores => has_chores = true,
            Alarm::Beat { group, member } => consumers.entry(group).or_default().push((at, Due::Silent(member))),
            Alarm::Revoke { group, member } => consumers.entry(group).or_default().push((at, Due::Late(member))),
            Alarm::Plan { group } => consumers.entry(group).or_default().push((at, Due::Plan)),
            Alarm::Session { group, member } if scratch.live.contains_key(&group) => {
                enter(state, scratch, now, &group, out, |room| room.session_ended(at, &member));
            }
            Alarm::Join { group } if scratch.live.contains_key(&group) => {
                enter(state, scratch, now, &group, out, |room| room.joining_ended(at));
            }
            Alarm::Sync { group } if scratch.live.contains_key(&group) => {
                enter(state, scratch, now, &group, out, |room| room.syncing_ended(at));
            }
            Alarm::Session { .. } | Alarm::Join { .. } | Alarm::Sync { .. } => {}
        }
    }
    for (name, due) in consumers {
        enter_consumer(state, scratch, now, &name, out, |room| {
            for (at, due) in &due {
                match due {
                    Due::Silent(member) => room.session_ended(*at, member),
                    Due::Late(member) => room.revoking_ended(*at, member),
                    Due::Plan => room.waiting_ended(*at),
                }
            }
        });
    }
    if has_chores {
        offsets::chores(state, scratch, now, out);
    }
}

/// What is due of a consumer group.
enum Due {
    Silent(Name),
    Late(Name),
    Plan,
}

/// Does something with a living group, bringing it to life first, and forgets it if the log then knows all of it.
fn enter(
    state: &State,
    scratch: &mut Scratch,
    now: Timestamp,
    name: &Name,
    out: &mut Out,
    act: impl FnOnce(&mut Room),
) {
    let Scratch { settings, live: groups, alarms, .. } = scratch;
    let live = groups.entry(name.clone()).or_insert_with(|| {
        let meta = state.groups.get(name).and_then(|g| g.meta.as_deref());
        Live::empty(name.clone(), meta, now)
    });
    let mut room = Room { live, alarms, settings, now, out };
    act(&mut room);
    if room.live.is_forgettable() {
        groups.remove(name);
    }
}

fn exists(state: &State, scratch: &Scratch, group: &str) -> bool {
    scratch.live.contains_key(group) || state.groups.contains_key(group)
}

fn describe(state: &State, scratch: &Scratch, group: &Name) -> Result<Described, Missing> {
    let Some(live) = scratch.live.get(group) else {
        let found = state.groups.get(group).ok_or(Missing::NoGroup)?;
        if found.consumer.is_some() {
            return Err(Missing::OtherProtocol);
        }
        let meta = found.meta.as_deref();
        let protocol_type = meta.and_then(|m| m.protocol_type.clone());
        return Ok(Described {
            group: group.clone(),
            phase: Phase::Empty,
            protocol_type,
            protocol: None,
            members: Vec::new(),
        });
    };
    let protocol = live.protocol.clone().filter(|_| live.phase == Phase::Stable);
    let members = live.members.iter().map(|(id, member)| DescribedMember {
        member: id.clone(),
        instance: member.instance.clone(),
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        metadata: member.metadata(protocol.as_deref()),
        assignment: member.assignment.clone(),
    });
    Ok(Described {
        group: group.clone(),
        phase: live.phase,
        protocol_type: live.protocol_type.clone(),
        members: members.collect(),
        protocol,
    })
}

fn list(state: &State, scratch: &Scratch) -> Vec<Listed> {
    let mut listed: BTreeMap<&Name, Listed> = BTreeMap::new();
    for (name, group) in &state.groups {
        let protocol_type = group.meta.as_ref().and_then(|m| m.protocol_type.clone());
        let consumer = group.consumer.as_deref().map(consumer::state::Consumer::state_name);
        let protocol_type = protocol_type.or_else(|| consumer.map(|_| live::CONSUMER.into()));
        listed.insert(name, Listed { group: name.clone(), phase: Phase::Empty, protocol_type, consumer });
    }
    for (name, live) in &scratch.live {
        let protocol_type = live.protocol_type.clone();
        listed.insert(name, Listed { group: name.clone(), phase: live.phase, protocol_type, consumer: None });
    }
    listed.into_values().collect()
}
