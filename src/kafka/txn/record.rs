//! The records of `__transaction_state`, byte for byte as Kafka publishes them, so that foreign readers can read ours and
//! we theirs: key `TransactionLogKey` 0, value `TransactionLogValue` 1 (0 is read too); a null value is a tombstone.

use bytes::Bytes;

use super::state::{Partition, Status, Transaction};
use super::{Name, Producer};
use crate::ids::Timestamp;
use crate::kafka::wire::messages::transaction_records::{PartitionsSchema, TransactionLogKey, TransactionLogValue};
use crate::kafka::wire::{WireError, versioned};
use crate::ledger::{self, Entry, Malformed};

const KEY_VERSION: i16 = 0;
const VALUE_VERSION: i16 = 1;

/// What a transactional id is from now on; nothing takes it away.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub id: Name,
    pub transaction: Option<Transaction>,
}

impl ledger::Record for Record {
    fn encode(&self) -> Entry {
        let key = TransactionLogKey { transactional_id: self.id.to_string() };
        let value = self.transaction.as_ref().map(value);
        // Ids and names came in as strings of these very formats.
        let written = "strings of the wire fit into strings of the wire";
        Entry {
            key: Some(versioned::write(&key, KEY_VERSION).expect(written)),
            value: value.map(|value| versioned::write(&value, VALUE_VERSION).expect(written)),
            within: None,
        }
    }

    fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Option<Record>, Malformed> {
        let key = key.ok_or_else(|| Malformed("a transaction's record without a key".into()))?;
        let (_, key) = versioned::read::<TransactionLogKey>(Bytes::copy_from_slice(key)).map_err(malformed)?;
        let transaction = match value {
            None => None,
            Some(value) => {
                let (_, value) =
                    versioned::read::<TransactionLogValue>(Bytes::copy_from_slice(value)).map_err(malformed)?;
                Some(transaction(value)?)
            }
        };
        Ok(Some(Record { id: key.transactional_id.into(), transaction }))
    }
}

fn malformed(error: WireError) -> Malformed {
    Malformed(error.to_string())
}

fn value(transaction: &Transaction) -> TransactionLogValue {
    let Transaction { producer, next, timeout_ms, status, partitions, started, updated, bumps } = transaction;
    let mut topics: Vec<PartitionsSchema> = Vec::new();
    for Partition { topic, index } in partitions {
        match topics.last_mut().filter(|last| last.topic == **topic) {
            Some(last) => last.partition_ids.push(*index),
            None => topics.push(PartitionsSchema { topic: topic.to_string(), partition_ids: vec![*index] }),
        }
    }
    let mut value = TransactionLogValue {
        producer_id: producer.id,
        producer_epoch: producer.epoch,
        transaction_timeout_ms: *timeout_ms,
        transaction_status: *status as i8,
        // As Kafka does: null where a transaction cannot have any.
        transaction_partitions: (*status != Status::Empty).then_some(topics),
        transaction_last_update_timestamp_ms: updated.0,
        transaction_start_timestamp_ms: started.0,
        client_transaction_version: if *bumps { 2 } else { 0 },
        ..Default::default()
    };
    if next != producer {
        value.next_producer_id = next.id;
        value.next_producer_epoch = next.epoch;
    }
    value
}

fn transaction(value: TransactionLogValue) -> Result<Transaction, Malformed> {
    let status = Status::ALL.into_iter().find(|status| *status as i8 == value.transaction_status);
    let status = status.ok_or_else(|| Malformed(format!("a transaction in state {}", value.transaction_status)))?;
    let producer = Producer { id: value.producer_id, epoch: value.producer_epoch };
    let next = match value.next_producer_id {
        -1 => producer,
        id => Producer { id, epoch: value.next_producer_epoch.max(0) },
    };
    let topics = value.transaction_partitions.unwrap_or_default();
    let partitions = topics.into_iter().flat_map(|PartitionsSchema { topic, partition_ids }| {
        let topic = Name::from(topic);
        partition_ids.into_iter().map(move |index| Partition { topic: topic.clone(), index })
    });
    Ok(Transaction {
        producer,
        next,
        timeout_ms: value.transaction_timeout_ms,
        status,
        partitions: partitions.collect(),
        started: Timestamp(value.transaction_start_timestamp_ms),
        updated: Timestamp(value.transaction_last_update_timestamp_ms),
        bumps: value.client_transaction_version >= 2,
    })
}
