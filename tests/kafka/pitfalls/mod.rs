//! The thirty places where servers that speak Kafka have gone wrong before, one test each, over real sockets. What a test
//! here only touches is gone through elsewhere: the doc of each test says where.

use std::collections::BTreeMap;

use bytes::Bytes;
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{EndTxnRequest, EndTxnResponse, InitProducerIdRequest, ProducerId, TransactionalId};
use kafka_protocol::records::{Compression, Record};

use crate::harness::*;

mod admin;
mod clients;
mod groups;
mod offsets;
mod records;
mod topics;
mod transactions;

/// For records whose times are long ago.
const FOR_EVER: (&str, &str) = ("retention.ms", "-1");

const SOURCES: [&str; 7] = [
    include_str!("admin.rs"),
    include_str!("clients.rs"),
    include_str!("groups.rs"),
    include_str!("offsets.rs"),
    include_str!("records.rs"),
    include_str!("topics.rs"),
    include_str!("transactions.rs"),
];

#[test]
fn every_one_of_the_thirty_has_its_test() {
    let tests = |number: usize| {
        let name = format!("async fn pitfall_{number:02}_");
        SOURCES.iter().map(|source| source.matches(&name).count()).sum::<usize>()
    };
    let wrong: Vec<_> = (1..=30).filter(|number| tests(*number) != 1).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// A client that writes in transactions by the rules of KIP-890: its first write to a partition adds it.
struct Transactional {
    id: &'static str,
    producer: i64,
    epoch: i16,
    /// The next sequence of each topic's partition 0.
    sequences: BTreeMap<String, i32>,
}

impl Transactional {
    async fn start(client: &mut Client, id: &'static str) -> Transactional {
        let request = InitProducerIdRequest::default()
            .with_transactional_id(Some(TransactionalId(text(id))))
            .with_transaction_timeout_ms(60_000);
        let answer = client.ask(5, request).await;
        assert_eq!(answer.error_code, 0, "{id}");
        let (producer, epoch) = (answer.producer_id.0, answer.producer_epoch);
        Transactional { id, producer, epoch, sequences: BTreeMap::new() }
    }

    fn batch(&mut self, topic: &str, values: &[&str]) -> Bytes {
        let next = self.sequences.entry(topic.to_owned()).or_default();
        let records: Vec<Record> = (0..)
            .zip(values)
            .map(|(at, value)| Record {
                transactional: true,
                producer_id: self.producer,
                producer_epoch: self.epoch,
                sequence: *next + at,
                ..record(i64::from(at), 1_000_000, Some("k"), value)
            })
            .collect();
        *next += values.len() as i32;
        encode(&records, Compression::None)
    }

    async fn try_write(&mut self, client: &mut Client, topic: &str, values: &[&str]) -> PartitionProduceResponse {
        let batch = self.batch(topic, values);
        let id = Some(TransactionalId(text(self.id)));
        let mut answer = client.ask(12, produce_request(topic, -1, batch).with_transactional_id(id)).await;
        answer.responses.remove(0).partition_responses.remove(0)
    }

    /// Where the first of them is.
    async fn write(&mut self, client: &mut Client, topic: &str, values: &[&str]) -> i64 {
        let placed = self.try_write(client, topic, values).await;
        assert_eq!(placed.error_code, 0, "{}: {values:?}", self.id);
        placed.base_offset
    }

    async fn try_end(&mut self, client: &mut Client, version: i16, commit: bool) -> EndTxnResponse {
        let request = EndTxnRequest::default()
            .with_transactional_id(TransactionalId(text(self.id)))
            .with_producer_id(ProducerId(self.producer))
            .with_producer_epoch(self.epoch)
            .with_committed(commit);
        client.ask(version, request).await
    }

    /// Ends the transaction; the next one is of another epoch.
    async fn end(&mut self, client: &mut Client, commit: bool) {
        let answer = self.try_end(client, 5, commit).await;
        assert_eq!(answer.error_code, 0, "{}", self.id);
        (self.producer, self.epoch) = (answer.producer_id.0, answer.producer_epoch);
        self.sequences.clear();
    }
}
