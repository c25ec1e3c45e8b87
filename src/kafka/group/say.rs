//! What the group machine is asked and what it answers, one type for each request of the classic protocol and for offsets.
//! Values only: nothing here is checked or decided.

use bytes::Bytes;

use super::Refusal;
use super::live::Phase;
use super::state::{Committed, Name};

#[derive(Clone, Debug)]
pub struct Join {
    pub group: Name,
    /// Empty: not yet known.
    pub member: Name,
    pub instance: Option<Name>,
    pub client_id: Name,
    pub client_host: Name,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    pub protocol_type: Name,
    pub protocols: Vec<(Name, Bytes)>,
    /// v4+: a dynamic member is first told its id (KIP-394).
    pub needs_known_id: bool,
    /// v9+: a leader can be told to keep the assignment (KIP-814).
    pub may_skip_assignment: bool,
    /// The random half of the member id, should one be needed.
    pub fresh: u128,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Joined {
    pub generation: i32,
    pub protocol_type: Option<Name>,
    pub protocol: Option<Name>,
    pub leader: Name,
    pub member: Name,
    pub skip_assignment: bool,
    /// For the leader: everyone, with what they say about themselves under the chosen protocol.
    pub members: Vec<JoinedMember>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct JoinedMember {
    pub member: Name,
    pub instance: Option<Name>,
    pub metadata: Bytes,
}

#[derive(Clone, Debug, PartialEq)]
pub struct JoinRefused {
    pub why: Refusal,
    /// The id to be used from now on, or the one that was refused.
    pub member: Name,
}

#[derive(Clone, Debug)]
pub struct Sync {
    pub group: Name,
    pub generation: i32,
    pub member: Name,
    pub instance: Option<Name>,
    /// v5+: refused where they are not the group's.
    pub protocol_type: Option<Name>,
    pub protocol: Option<Name>,
    /// From the leader only: opaque bytes per member.
    pub assignments: Vec<(Name, Bytes)>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Synced {
    pub protocol_type: Option<Name>,
    pub protocol: Option<Name>,
    pub assignment: Bytes,
}

#[derive(Clone, Debug)]
pub struct Heartbeat {
    pub group: Name,
    pub generation: i32,
    pub member: Name,
    pub instance: Option<Name>,
}

#[derive(Clone, Debug)]
pub struct Leave {
    pub group: Name,
    /// Member id (empty: whoever holds the instance) and instance.
    pub members: Vec<(Name, Option<Name>)>,
}

#[derive(Clone, Debug)]
pub struct Commit {
    pub group: Name,
    /// Negative, with an empty member: a consumer that manages itself, or an administrator.
    pub generation: i32,
    pub member: Name,
    pub instance: Option<Name>,
    /// v9+: an unknown group is called that; before, its generation was called illegal.
    pub knows_group_not_found: bool,
    /// -1: the operator's.
    pub retention_ms: i64,
    pub offsets: Vec<CommitOffset>,
}

#[derive(Clone, Debug)]
pub struct CommitOffset {
    pub topic: Name,
    pub topic_id: u128,
    pub partition: i32,
    pub offset: i64,
    pub leader_epoch: i32,
    pub metadata: Name,
    /// v1 only; -1: now.
    pub time: i64,
}

#[derive(Clone, Debug)]
pub struct Fetch {
    pub group: Name,
    /// v9+: the member that asks, and its epoch.
    pub member: Option<(Name, i32)>,
    /// Where an open transaction committed something, that is said instead (KIP-447).
    pub stable: bool,
    /// `None`: whatever there is. An offset for another life of the stream (another id, both known) is not told.
    pub topics: Option<Vec<FetchTopic>>,
}

#[derive(Clone, Debug)]
pub struct FetchTopic {
    pub topic: Name,
    pub topic_id: u128,
    pub partitions: Vec<i32>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Fetched {
    pub topic: Name,
    pub partitions: Vec<(i32, Told)>,
}

/// What is told of one partition.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    Nothing,
    Offset(Committed),
    /// An open transaction committed something: ask again.
    Unstable,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    pub group: Name,
    pub phase: Phase,
    pub protocol_type: Option<Name>,
    /// Told of a stable group only.
    pub protocol: Option<Name>,
    pub members: Vec<DescribedMember>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct DescribedMember {
    pub member: Name,
    pub instance: Option<Name>,
    pub client_id: Name,
    pub client_host: Name,
    /// Empty unless the group is stable.
    pub metadata: Bytes,
    pub assignment: Bytes,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    pub group: Name,
    pub phase: Phase,
    pub protocol_type: Option<Name>,
    /// Of a group of the new protocol: its state, as Kafka spells it.
    pub consumer: Option<&'static str>,
}
