//! The records of consumer groups, byte for byte as Kafka publishes them: keys 3 and 5 to 8 (KIP-848), 16 for resolved
//! expressions. Key 4, which Kafka 4.0 wrote and 4.1 gave up, is skipped. Never trusts what it reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::state::{Assignment, Change, Classic, Current, Epoch, Held, Member, Phase, Resolved, Target};
use crate::kafka::group::Name;
use crate::kafka::wire::messages::consumer_group_records::*;
use crate::kafka::wire::{Message, Uuid, WireError, versioned};
use crate::ledger::Malformed;

/// Decide refuses whatever would not fit.
const FITS: &str = "strings of the wire fit into strings of the wire";

pub fn encode(group: &Name, change: &Change) -> (Bytes, Option<Bytes>) {
    let group_id = group.to_string();
    match change {
        Change::Epoch(epoch) => {
            let value = epoch.map(|e| ConsumerGroupMetadataValue { epoch: e.number, metadata_hash: e.hash });
            (key(&ConsumerGroupMetadataKey { group_id }, 3), value.map(|v| value_of(&v)))
        }
        Change::Member(id, member) => {
            let member_id = id.to_string();
            (key(&ConsumerGroupMemberMetadataKey { group_id, member_id }, 5), member.as_ref().map(|m| member_value(m)))
        }
        Change::Target(target) => {
            let value = target.map(|t| ConsumerGroupTargetAssignmentMetadataValue {
                assignment_epoch: t.epoch,
                assignment_timestamp: t.time_ms,
            });
            (key(&ConsumerGroupTargetAssignmentMetadataKey { group_id }, 6), value.map(|v| value_of(&v)))
        }
        Change::TargetOf(id, target) => {
            let key = key(&ConsumerGroupTargetAssignmentMemberKey { group_id, member_id: id.to_string() }, 7);
            let one = |(topic, partitions): (&u128, &std::collections::BTreeSet<i32>)| TopicPartition {
                topic_id: Uuid(*topic),
                partitions: partitions.iter().copied().collect(),
            };
            let value = target
                .as_ref()
                .map(|t| ConsumerGroupTargetAssignmentMemberValue { topic_partitions: t.iter().map(one).collect() });
            (key, value.map(|v| value_of(&v)))
        }
        Change::Current(id, current) => {
            let key = key(&ConsumerGroupCurrentMemberAssignmentKey { group_id, member_id: id.to_string() }, 8);
            let value = current.as_ref().map(|c| ConsumerGroupCurrentMemberAssignmentValue {
                member_epoch: c.epoch,
                previous_member_epoch: c.previous_epoch,
                state: c.phase as i8,
                assigned_partitions: held(&c.assigned),
                partitions_pending_revocation: held(&c.revoking),
            });
            (key, value.map(|v| value_of(&v)))
        }
        Change::Regex(regex, resolved) => {
            let key = key(&ConsumerGroupRegularExpressionKey { group_id, regular_expression: regex.to_string() }, 16);
            let value = resolved.as_ref().map(|r| ConsumerGroupRegularExpressionValue {
                topics: r.topics.iter().map(Name::to_string).collect(),
                version: r.version,
                timestamp: r.time_ms,
            });
            (key, value.map(|v| value_of(&v)))
        }
    }
}

/// `None`: a kind that is not kept.
pub fn decode(kind: i16, key: &[u8], value: Option<&[u8]>) -> Result<Option<(Name, Change)>, Malformed> {
    let key = Bytes::copy_from_slice(key);
    let value = value.map(Bytes::copy_from_slice);
    let (group, change) = match kind {
        3 => {
            let key: ConsumerGroupMetadataKey = read(key)?;
            let value: Option<ConsumerGroupMetadataValue> = value.map(read).transpose()?;
            (key.group_id, Change::Epoch(value.map(|v| Epoch { number: v.epoch, hash: v.metadata_hash })))
        }
        5 => {
            let key: ConsumerGroupMemberMetadataKey = read(key)?;
            let value: Option<ConsumerGroupMemberMetadataValue> = value.map(read).transpose()?;
            (key.group_id, Change::Member(key.member_id.into(), value.map(|v| Arc::new(member(v)))))
        }
        6 => {
            let key: ConsumerGroupTargetAssignmentMetadataKey = read(key)?;
            let value: Option<ConsumerGroupTargetAssignmentMetadataValue> = value.map(read).transpose()?;
            let target = |v: ConsumerGroupTargetAssignmentMetadataValue| Target {
                epoch: v.assignment_epoch,
                time_ms: v.assignment_timestamp,
            };
            (key.group_id, Change::Target(value.map(target)))
        }
        7 => {
            let key: ConsumerGroupTargetAssignmentMemberKey = read(key)?;
            let value: Option<ConsumerGroupTargetAssignmentMemberValue> = value.map(read).transpose()?;
            let target = |v: ConsumerGroupTargetAssignmentMemberValue| {
                let one = |t: TopicPartition| (t.topic_id.0, t.partitions.into_iter().collect());
                Arc::new(v.topic_partitions.into_iter().map(one).collect::<Assignment>())
            };
            (key.group_id, Change::TargetOf(key.member_id.into(), value.map(target)))
        }
        8 => {
            let key: ConsumerGroupCurrentMemberAssignmentKey = read(key)?;
            let value: Option<ConsumerGroupCurrentMemberAssignmentValue> = value.map(read).transpose()?;
            let current = |v: ConsumerGroupCurrentMemberAssignmentValue| {
                Arc::new(Current {
                    epoch: v.member_epoch,
                    previous_epoch: v.previous_member_epoch,
                    phase: Phase::of(v.state),
                    assigned: holds(v.assigned_partitions, v.member_epoch),
                    revoking: holds(v.partitions_pending_revocation, v.member_epoch),
                })
            };
            (key.group_id, Change::Current(key.member_id.into(), value.map(current)))
        }
        16 => {
            let key: ConsumerGroupRegularExpressionKey = read(key)?;
            let value: Option<ConsumerGroupRegularExpressionValue> = value.map(read).transpose()?;
            let resolved = |v: ConsumerGroupRegularExpressionValue| {
                let topics = v.topics.into_iter().map(Name::from).collect();
                Arc::new(Resolved { topics, version: v.version, time_ms: v.timestamp })
            };
            (key.group_id, Change::Regex(key.regular_expression.into(), value.map(resolved)))
        }
        _ => return Ok(None),
    };
    Ok(Some((group.into(), change)))
}

fn key<M: Message>(key: &M, kind: i16) -> Bytes {
    versioned::write(key, kind).expect(FITS)
}

fn value_of<M: Message>(value: &M) -> Bytes {
    versioned::write(value, 0).expect(FITS)
}

fn read<M: Message>(bytes: Bytes) -> Result<M, Malformed> {
    versioned::read(bytes).map(|(_, message)| message).map_err(|error: WireError| Malformed(error.to_string()))
}

fn member_value(member: &Member) -> Bytes {
    let text = |name: &Option<Name>| name.as_ref().map(|name| name.to_string());
    let protocol =
        |(name, metadata): &(Name, Bytes)| ClassicProtocol { name: name.to_string(), metadata: metadata.clone() };
    value_of(&ConsumerGroupMemberMetadataValue {
        instance_id: text(&member.instance),
        rack_id: text(&member.rack),
        client_id: member.client_id.to_string(),
        client_host: member.client_host.to_string(),
        subscribed_topic_names: member.topics.iter().map(Name::to_string).collect(),
        subscribed_topic_regex: text(&member.regex),
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        server_assignor: text(&member.assignor),
        classic_member_metadata: member.classic.as_ref().map(|classic| ClassicMemberMetadata {
            session_timeout_ms: classic.session_timeout_ms,
            supported_protocols: classic.protocols.iter().map(protocol).collect(),
        }),
    })
}

fn member(value: ConsumerGroupMemberMetadataValue) -> Member {
    let protocol = |p: ClassicProtocol| (Name::from(p.name), p.metadata);
    Member {
        instance: value.instance_id.map(Name::from),
        rack: value.rack_id.map(Name::from),
        client_id: value.client_id.into(),
        client_host: value.client_host.into(),
        topics: value.subscribed_topic_names.into_iter().map(Name::from).collect(),
        // Kafka keeps the empty expression where there is none.
        regex: value.subscribed_topic_regex.filter(|regex| !regex.is_empty()).map(Name::from),
        rebalance_timeout_ms: value.rebalance_timeout_ms,
        assignor: value.server_assignor.map(Name::from),
        classic: value.classic_member_metadata.map(|classic| Classic {
            session_timeout_ms: classic.session_timeout_ms,
            protocols: classic.supported_protocols.into_iter().map(protocol).collect(),
        }),
    }
}

fn held(held: &Held) -> Vec<TopicPartitions> {
    let one = |(topic, partitions): (&u128, &BTreeMap<i32, i32>)| TopicPartitions {
        topic_id: Uuid(*topic),
        partitions: partitions.keys().copied().collect(),
        assignment_epochs: Some(partitions.values().copied().collect()),
    };
    held.iter().map(one).collect()
}

/// Before KIP-1251 no epochs were written: the member's own stands for them.
fn holds(topics: Vec<TopicPartitions>, member_epoch: i32) -> Held {
    let one = |topic: TopicPartitions| {
        let epochs = topic.assignment_epochs.filter(|epochs| epochs.len() == topic.partitions.len());
        let epochs = epochs.unwrap_or_else(|| vec![member_epoch; topic.partitions.len()]);
        (topic.topic_id.0, topic.partitions.into_iter().zip(epochs).collect())
    };
    topics.into_iter().map(one).collect()
}
