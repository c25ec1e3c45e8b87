//! Consumer groups of the new protocol (KIP-848): members only send heartbeats, the coordinator assigns. Part of the group
//! machine, and as pure.
//!
//! ```text
//!   heartbeat ─► member (5) ─► group epoch (3) ─► targets (7) and their epoch (6) ─► what each member has (8)
//!                 changed?      a new question      a new answer, by `assign.rs`       step by step, by `reconcile.rs`
//! ```
//! Assignments of small groups are computed at once. A large group's is a [`Job`] outside the machine: while it runs,
//! heartbeats are answered from the targets there are, joins wait for it, and whatever changes meanwhile is one next job.
//!
//! Three things are otherwise than in Kafka 4.4: where nobody sets a least time between two assignments there is none;
//! expressions are resolved whenever the streams or access rules have changed, and not by a timer; and all that the members
//! of one group say about themselves, and how many expressions they use, has a limit (GROUP_MAX_SIZE_REACHED).

pub mod assign;
mod classic;
pub(super) mod door;
pub mod reconcile;
pub mod record;
mod room;
pub mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use super::Name;
use crate::config::server::ServerSettings;
use crate::ids::Timestamp;
use crate::ledger::Ticket;
use assign::{Assignor, Outcome, Topics, Viewer, Work};
pub(super) use room::{Room, check, describe};
use state::{Assignment, Held};

/// One heartbeat. `None` stands for "as before".
#[derive(Clone, Debug)]
pub struct Beat {
    pub group: Name,
    pub member: Name,
    /// 0: joins; -1: leaves; -2: a static member leaves for a while.
    pub epoch: i32,
    pub instance: Option<Name>,
    pub rack: Option<Name>,
    pub rebalance_timeout_ms: Option<i32>,
    pub topics: Option<Vec<Name>>,
    pub regex: Option<Name>,
    pub assignor: Option<Name>,
    pub owned: Option<Assignment>,
    pub client_id: Name,
    pub client_host: Name,
    /// Who sends it.
    pub viewer: Viewer,
    /// v1+: the member names itself (KIP-1082).
    pub names_itself: bool,
    /// The member's id, should it not name itself.
    pub fresh: u128,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Beaten {
    pub member: Name,
    pub epoch: i32,
    pub interval_ms: i32,
    /// What the member may use, if that has changed or it cannot know.
    pub assignment: Option<Assignment>,
}

/// A refusal with words for the log of the client.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    pub why: super::Refusal,
    pub words: String,
}

impl Refused {
    pub fn new(why: super::Refusal, words: impl Into<String>) -> Refused {
        Refused { why, words: words.into() }
    }
}

/// What ConsumerGroupDescribe tells.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    pub state: &'static str,
    pub epoch: i32,
    pub target_epoch: i32,
    pub assignor: &'static str,
    pub members: Vec<DescribedMember>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct DescribedMember {
    pub id: Name,
    pub member: Arc<state::Member>,
    pub epoch: i32,
    pub assigned: Assignment,
    pub target: Assignment,
}

/// `group.consumer.migration.policy`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Migration {
    Disabled,
    Upgrade,
    Downgrade,
    Bidirectional,
}

impl Migration {
    pub fn allows_upgrade(self) -> bool {
        matches!(self, Migration::Upgrade | Migration::Bidirectional)
    }

    pub fn allows_downgrade(self) -> bool {
        matches!(self, Migration::Downgrade | Migration::Bidirectional)
    }
}

/// What an operator may set; names and defaults are those of `group.consumer.*`.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub session_timeout_ms: i32,
    pub heartbeat_interval_ms: i32,
    pub max_size: usize,
    /// The first is the default.
    pub assignors: Vec<Assignor>,
    pub migration: Migration,
    /// `group.limit.bytes`: all that the members of one group say about themselves, with their keys.
    pub limit_bytes: usize,
    /// What a group may set for itself: shortest and longest.
    pub session_bounds_ms: (i32, i32),
    pub heartbeat_bounds_ms: (i32, i32),
    /// `group.consumer.assignment.interval.ms`; 0 where nobody sets it.
    pub assignment_interval_ms: i32,
    pub assignment_bounds_ms: (i32, i32),
    /// How many steps an assignment may take within the machine's own turn; Kafka has no key for it.
    pub inline_limit: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            session_timeout_ms: 45_000,
            session_bounds_ms: (45_000, 60_000),
            heartbeat_interval_ms: 5_000,
            heartbeat_bounds_ms: (5_000, 15_000),
            assignment_interval_ms: 0,
            assignment_bounds_ms: (0, 15_000),
            max_size: i32::MAX as usize,
            assignors: vec![Assignor::Uniform, Assignor::Range],
            migration: Migration::Bidirectional,
            limit_bytes: 8 << 20,
            inline_limit: 8192,
        }
    }
}

impl Settings {
    pub fn of(settings: &ServerSettings) -> Settings {
        let ms = |ms: i64| i32::try_from(ms).unwrap_or(i32::MAX);
        let both = |(min, max): (i64, i64)| (ms(min), ms(max));
        Settings {
            session_timeout_ms: ms(settings.group_consumer_session_timeout_ms),
            heartbeat_interval_ms: ms(settings.group_consumer_heartbeat_interval_ms),
            max_size: settings.group_consumer_max_size,
            assignors: settings.group_consumer_assignors.iter().filter_map(|name| Assignor::of(name)).collect(),
            migration: match settings.group_consumer_migration_policy.as_str() {
                "disabled" => Migration::Disabled,
                "upgrade" => Migration::Upgrade,
                "downgrade" => Migration::Downgrade,
                _ => Migration::Bidirectional,
            },
            limit_bytes: settings.group_limit_bytes,
            session_bounds_ms: both(settings.group_consumer_session_bounds_ms),
            heartbeat_bounds_ms: both(settings.group_consumer_heartbeat_bounds_ms),
            assignment_interval_ms: settings.group_consumer_assignment_interval_ms.map_or(0, ms),
            assignment_bounds_ms: both(settings.group_consumer_assignment_bounds_ms),
            inline_limit: inline_limit(settings.group_consumer_assignor_offload),
        }
    }
}

/// Steps of an assignment that may be taken at once, and beside the machine otherwise.
fn inline_limit(offload: bool) -> usize {
    if offload { Settings::default().inline_limit } else { usize::MAX }
}

/// What was set while the server ran: for all groups, and for single ones. It was judged when it was set; should the
/// server's bounds have changed since, they hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Own {
    pub assignment_interval_ms: Option<i32>,
    pub groups: BTreeMap<Name, OwnOfGroup>,
}

/// Each `None` where the group has none of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OwnOfGroup {
    /// `consumer.session.timeout.ms`
    pub session_timeout_ms: Option<i32>,
    /// `consumer.heartbeat.interval.ms`
    pub heartbeat_interval_ms: Option<i32>,
    /// `consumer.assignment.interval.ms`
    pub assignment_interval_ms: Option<i32>,
    /// `consumer.assignor.offload.enable`
    pub offload: Option<bool>,
}

impl Own {
    /// The settings of one group, if they are not the server's.
    pub(super) fn over(&self, group: &Name, settings: &Settings) -> Option<Settings> {
        let own = self.groups.get(group).copied();
        if own.is_none() && self.assignment_interval_ms.is_none() {
            return None;
        }
        let own = own.unwrap_or_default();
        let within = |own: Option<i32>, or: i32, (min, max): (i32, i32)| own.map_or(or, |own| own.min(max).max(min));
        let interval_ms = own.assignment_interval_ms.or(self.assignment_interval_ms);
        let s = settings;
        Some(Settings {
            session_timeout_ms: within(own.session_timeout_ms, s.session_timeout_ms, s.session_bounds_ms),
            heartbeat_interval_ms: within(own.heartbeat_interval_ms, s.heartbeat_interval_ms, s.heartbeat_bounds_ms),
            assignment_interval_ms: within(interval_ms, s.assignment_interval_ms, s.assignment_bounds_ms),
            inline_limit: own.offload.map_or(s.inline_limit, inline_limit),
            ..settings.clone()
        })
    }
}

/// An assignment that is computed outside the machine. Whoever performs it calls [`Job::run`] and hands it back.
#[derive(Clone, Debug)]
pub struct Job {
    pub(super) group: Name,
    epoch: i32,
    work: Work,
    outcome: Arc<OnceLock<Outcome>>,
}

/// Jobs are known by what they were asked for; two of one group and epoch do not differ.
impl PartialEq for Job {
    fn eq(&self, other: &Job) -> bool {
        (&self.group, self.epoch) == (&other.group, other.epoch)
    }
}

impl Job {
    pub fn run(&self) {
        self.outcome.get_or_init(|| self.work.run());
    }
}

/// What a restart forgets of a consumer group.
#[derive(Debug, Default)]
pub(super) struct Live {
    /// The version of the streams that the targets were computed with.
    seen: Option<u64>,
    is_busy: bool,
    /// When the alarm rings that is set for the next assignment.
    next_plan: Option<Timestamp>,
    /// Members that wait for their first assignment.
    parked: BTreeMap<Name, Vec<Ticket>>,
    members: BTreeMap<Name, Session>,
    /// For whom each expression is resolved.
    viewers: BTreeMap<Name, Viewer>,
}

impl Live {
    /// Nothing is known here that matters without members. A job that is under way will find another group, or none.
    pub fn is_forgettable(&self) -> bool {
        !self.is_busy && self.parked.is_empty()
    }
}

#[derive(Debug)]
struct Session {
    deadline: Timestamp,
    /// The earliest alarm that is set for it.
    armed: Option<Timestamp>,
    /// When it must have given back what it was told to give back; in the classic protocol, have joined or synced.
    late: Option<Timestamp>,
    /// The earliest alarm that is set for that.
    late_armed: Option<Timestamp>,
}

/// Before anyone has shown the machine what streams there are.
#[derive(Debug)]
pub(super) struct NoTopics;

impl Topics for NoTopics {
    fn version(&self) -> u64 {
        0
    }

    fn topic(&self, _: &str) -> Option<(u128, i32)> {
        None
    }

    fn name(&self, _: u128) -> Option<Name> {
        None
    }

    fn count(&self) -> usize {
        0
    }

    fn visit(&self, _: &mut dyn FnMut(&Name)) {}
}

fn partitions(held: &Held) -> Assignment {
    held.iter().map(|(topic, partitions)| (*topic, partitions.keys().copied().collect())).collect()
}
