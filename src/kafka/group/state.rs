//! What the log of groups folds to: the newest generation of every group, and its committed offsets. No session, no
//! waiting request and no clock stands here: a restart forgets those, and may.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::consumer::state::Consumer;
use super::record::Record;
use crate::ids::Timestamp;
use crate::record::records::Marker;

/// A group, member, instance, protocol or topic by name. Shared, because the same names stand in many places.
pub type Name = Arc<str>;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    /// A group is here as long as it has a generation or an offset.
    pub groups: BTreeMap<Name, Group>,
    /// Offsets that open transactions committed, by producer: they count when their transaction is committed.
    pub pending: BTreeMap<i64, Pending>,
}

/// What one open transaction committed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pending {
    pub epoch: i16,
    pub offsets: BTreeMap<Place, Committed>,
}

/// Group, topic and partition.
pub type Place = (Name, Name, i32);

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    /// `None`: offsets without a group, committed by consumers that manage themselves (a "simple" group).
    pub meta: Option<Arc<Meta>>,
    /// A group of the new protocol (KIP-848); then there is no `meta`.
    pub consumer: Option<Box<Consumer>>,
    pub offsets: BTreeMap<Name, BTreeMap<i32, Committed>>,
}

/// One generation of a group.
#[derive(Clone, Debug, PartialEq)]
pub struct Meta {
    /// `consumer` for consumers, `connect` for workers of Connect; `None` before anyone has joined.
    pub protocol_type: Option<Name>,
    pub generation: i32,
    pub protocol: Option<Name>,
    pub leader: Option<Name>,
    /// Since when the group has been in its state; -1 where an old log does not say.
    pub since: Timestamp,
    pub members: Vec<Member>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    pub id: Name,
    pub instance: Option<Name>,
    pub client_id: Name,
    pub client_host: Name,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    /// What the member said about itself under the chosen protocol. Opaque.
    pub subscription: Bytes,
    /// What the leader gave it. Opaque.
    pub assignment: Bytes,
}

/// Where a group stands in one log of one stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Committed {
    pub offset: i64,
    /// -1: not told.
    pub leader_epoch: i32,
    pub metadata: Name,
    pub time: Timestamp,
    /// Only where an old client asked for its own retention (OffsetCommit v2–4).
    pub expire: Option<Timestamp>,
    /// The life of the stream it was committed for; 0: not told.
    pub topic_id: u128,
}

impl State {
    pub fn apply(&mut self, record: &Record) {
        let (group, is_tombstone) = match record {
            Record::Group { group, meta } => (group, meta.is_none()),
            Record::Consumer { group, change } => (group, change.is_tombstone()),
            Record::Offset { group, topic, partition, committed } => {
                // What comes later counts, whatever becomes of the transaction.
                self.forget_pending(|place| (&*place.0, &*place.1, place.2) == (&**group, &**topic, *partition));
                (group, committed.is_none())
            }
            Record::Pending { producer, epoch, place, committed } => {
                let pending = self.pending.entry(*producer).or_default();
                pending.epoch = *epoch;
                pending.offsets.insert(place.clone(), committed.clone());
                return;
            }
            Record::Ended { producer, how, .. } => return self.end(*producer, *how),
        };
        if is_tombstone && !self.groups.contains_key(group) {
            return;
        }
        let entry = self.groups.entry(group.clone()).or_default();
        match record {
            Record::Pending { .. } | Record::Ended { .. } => {}
            Record::Group { meta, .. } => entry.meta = meta.clone(),
            Record::Consumer { change, .. } => {
                let consumer = entry.consumer.get_or_insert_default();
                consumer.apply(change);
                if consumer.is_gone() {
                    entry.consumer = None;
                }
            }
            Record::Offset { topic, partition, committed: Some(committed), .. } => {
                entry.offsets.entry(topic.clone()).or_default().insert(*partition, committed.clone());
            }
            Record::Offset { topic, partition, committed: None, .. } => {
                if let Some(partitions) = entry.offsets.get_mut(topic) {
                    partitions.remove(partition);
                    if partitions.is_empty() {
                        entry.offsets.remove(topic);
                    }
                }
            }
        }
        if entry.meta.is_none() && entry.consumer.is_none() && entry.offsets.is_empty() {
            self.groups.remove(group);
        }
    }

    /// A transaction's end: what it committed counts from now on, or never.
    fn end(&mut self, producer: i64, how: Marker) {
        let Some(pending) = self.pending.remove(&producer) else { return };
        if how == Marker::Commit {
            for ((group, topic, partition), committed) in pending.offsets {
                self.apply(&Record::Offset { group, topic, partition, committed: Some(committed) });
            }
        }
    }

    fn forget_pending(&mut self, gone: impl Fn(&Place) -> bool) {
        if self.pending.is_empty() {
            return;
        }
        self.pending.retain(|_, pending| {
            pending.offsets.retain(|place, _| !gone(place));
            !pending.offsets.is_empty()
        });
    }

    /// Whether an open transaction committed something for this place.
    pub fn is_pending(&self, group: &str, topic: &str, partition: i32) -> bool {
        // As many as there are open transactions that committed offsets: few.
        let place = (Name::from(group), Name::from(topic), partition);
        self.pending.values().any(|pending| pending.offsets.contains_key(&place))
    }

    pub fn snapshot(&self) -> Vec<Record> {
        let mut records = Vec::new();
        for (name, group) in &self.groups {
            if let Some(meta) = &group.meta {
                records.push(Record::Group { group: name.clone(), meta: Some(meta.clone()) });
            }
            for change in group.consumer.iter().flat_map(|consumer| consumer.snapshot()) {
                records.push(Record::Consumer { group: name.clone(), change });
            }
            for (topic, partitions) in &group.offsets {
                for (partition, committed) in partitions {
                    records.push(Record::Offset {
                        group: name.clone(),
                        topic: topic.clone(),
                        partition: *partition,
                        committed: Some(committed.clone()),
                    });
                }
            }
        }
        for (producer, Pending { epoch, offsets }) in &self.pending {
            records.extend(offsets.iter().map(|(place, committed)| Record::Pending {
                producer: *producer,
                epoch: *epoch,
                place: place.clone(),
                committed: committed.clone(),
            }));
        }
        records
    }

    pub fn offset(&self, group: &str, topic: &str, partition: i32) -> Option<&Committed> {
        self.groups.get(group)?.offsets.get(topic)?.get(&partition)
    }
}
