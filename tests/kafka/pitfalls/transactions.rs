//! Pitfalls 1, 2, 18, 19 and 20: what readers see of transactions, and what their writers are told.

use std::collections::{BTreeMap, BTreeSet};

use kafka_protocol::messages::fetch_response::{AbortedTransaction, PartitionData};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::*;
use kafka_protocol::records::{Record, RecordBatchDecoder};

use super::{FOR_EVER, Transactional};
use crate::consumers::group_id;
use crate::harness::*;

const READ_COMMITTED: i8 = 1;

async fn fetch_committed(client: &mut Client, version: i16, offset: i64) -> PartitionData {
    let request = fetch_request("t", offset).with_isolation_level(READ_COMMITTED);
    client.ask(version, request).await.responses.remove(0).partitions.remove(0)
}

async fn last_offset(client: &mut Client, isolation: i8) -> i64 {
    let partition = ListOffsetsPartition::default().with_timestamp(-1);
    let topic = ListOffsetsTopic::default().with_name(topic_name("t")).with_partitions(vec![partition]);
    let request = ListOffsetsRequest::default()
        .with_replica_id((-1).into())
        .with_isolation_level(isolation)
        .with_topics(vec![topic]);
    client.ask(9, request).await.topics[0].partitions[0].offset
}

fn records_of(data: &PartitionData) -> Vec<Record> {
    let mut bytes = data.records.clone().unwrap_or_default();
    let mut records = Vec::new();
    while !bytes.is_empty() {
        records.extend(RecordBatchDecoder::decode(&mut bytes).expect("sound batches").records);
    }
    records
}

/// What a careful consumer makes of an answer: it believes the list of aborted transactions, in its order.
fn delivered(data: &PartitionData, from: i64) -> Vec<(i64, String)> {
    let mut aborted = data.aborted_transactions.clone().unwrap_or_default().into_iter().peekable();
    let mut skipped = BTreeSet::new();
    let mut delivered = Vec::new();
    for record in records_of(data) {
        while let Some(AbortedTransaction { producer_id, .. }) = aborted.next_if(|a| a.first_offset <= record.offset) {
            skipped.insert(producer_id.0);
        }
        if record.control {
            skipped.remove(&record.producer_id);
        } else if record.offset >= from && !(record.transactional && skipped.contains(&record.producer_id)) {
            let value = record.value.unwrap_or_default();
            delivered.push((record.offset, String::from_utf8_lossy(&value).into_owned()));
        }
    }
    delivered
}

/// The last stable offset is the smaller of the first open transaction and the high watermark: a careful reader gets
/// nothing beyond it, whatever it asks for, and nothing that was given up. (Under crashes: tests/sim; in the state:
/// src/log/transactions.)
#[tokio::test]
async fn pitfall_01_last_stable_offset_and_aborted_records() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[FOR_EVER]).await;
    let (mut a, mut b) = (Transactional::start(&mut client, "a").await, Transactional::start(&mut client, "b").await);
    a.write(&mut client, "t", &["a1", "a2"]).await;
    b.write(&mut client, "t", &["b1"]).await;
    client.produce(9, "t", batch(&["plain1"])).await;
    a.end(&mut client, false).await;
    let plain = client.produce(9, "t", batch(&["plain2"])).await.base_offset;
    assert_eq!((last_offset(&mut client, READ_COMMITTED).await, last_offset(&mut client, 0).await), (2, plain + 1));
    // Nothing is stable from there on: an answer, and an empty one.
    let data = fetch_committed(&mut client, 12, 2).await;
    assert_eq!((data.error_code, data.last_stable_offset, data.high_watermark), (0, 2, plain + 1));
    assert_eq!(records_of(&data).len(), 0);
    b.end(&mut client, true).await;
    a.write(&mut client, "t", &["a3"]).await;
    a.end(&mut client, true).await;
    let open = b.write(&mut client, "t", &["b2"]).await;
    client.produce(9, "t", batch(&["plain3"])).await;
    let end = last_offset(&mut client, 0).await;
    let all = [(2, "b1"), (3, "plain1"), (5, "plain2"), (7, "a3")].map(|(offset, value)| (offset, value.to_owned()));
    for version in 4..=12 {
        for from in 0..=end {
            let data = fetch_committed(&mut client, version, from).await;
            assert_eq!((data.error_code, data.last_stable_offset, data.high_watermark), (0, open, end), "from {from}");
            let want: Vec<_> = all.iter().filter(|(offset, _)| *offset >= from).cloned().collect();
            assert_eq!(delivered(&data, from), want, "v{version} from {from}");
        }
    }
    // Who is not careful sees all of it, and no list.
    let data = client.fetch(12, "t", 0).await;
    assert_eq!((records_of(&data).iter().filter(|r| !r.control).count(), data.aborted_transactions), (8, None));
}

/// Whatever transactions do among each other, and wherever a reader begins, the list is sorted by first offset and
/// names exactly those that were given up and reach into what is read. The model is a list of what was done.
#[tokio::test]
async fn pitfall_02_abort_lists_are_sorted_by_first_offset() {
    for seed in 0..4 {
        let server = server().await;
        let mut client = server.client().await;
        client.create("t", 1, &[FOR_EVER]).await;
        let mut random = fastrand::Rng::with_seed(seed);
        let mut producers = Vec::new();
        for id in ["a", "b", "c", "d"] {
            producers.push(Transactional::start(&mut client, id).await);
        }
        let mut open: BTreeMap<usize, i64> = BTreeMap::new();
        // Producer, first offset, offset of the marker.
        let mut aborted: Vec<(i64, i64, i64)> = Vec::new();
        for step in 0..60 {
            let who = random.usize(..producers.len());
            let producer = &mut producers[who];
            match open.get(&who).copied() {
                Some(first) if random.u8(..3) == 0 || step >= 50 => {
                    let (id, commit) = (producer.producer, random.bool());
                    producer.end(&mut client, commit).await;
                    open.remove(&who);
                    if !commit {
                        aborted.push((id, first, last_offset(&mut client, 0).await - 1));
                    }
                }
                _ => {
                    let at = producer.write(&mut client, "t", &["v"]).await;
                    open.entry(who).or_insert(at);
                }
            }
        }
        let stable = last_offset(&mut client, READ_COMMITTED).await;
        aborted.sort_by_key(|(_, first, _)| *first);
        assert!(aborted.len() > 3, "seed {seed} gives nothing up");
        for from in 0..stable {
            let data = fetch_committed(&mut client, 12, from).await;
            let list: Vec<_> = (data.aborted_transactions.unwrap_or_default().iter())
                .map(|transaction| (transaction.producer_id.0, transaction.first_offset.to_owned()))
                .collect();
            let want: Vec<_> = (aborted.iter())
                .filter(|(_, first, marker)| *marker >= from && *first < stable)
                .map(|(id, first, _)| (*id, *first))
                .collect();
            assert_eq!(list, want, "seed {seed} from {from}");
        }
    }
}

/// What a group is told of its offset in partition 0 of `t`: its error, and the offset.
async fn position(client: &mut Client, version: i16, group: &str, stable: bool) -> (i16, i64) {
    let mut request = OffsetFetchRequest::default().with_require_stable(stable);
    if version >= 8 {
        let topic = OffsetFetchRequestTopics::default().with_name(topic_name("t")).with_partition_indexes(vec![0]);
        let group = OffsetFetchRequestGroup::default().with_group_id(group_id(group)).with_topics(Some(vec![topic]));
        request = request.with_groups(vec![group]);
        let answer = client.ask(version, request).await;
        assert_eq!(answer.groups[0].error_code, 0);
        let partition = &answer.groups[0].topics[0].partitions[0];
        return (partition.error_code, partition.committed_offset);
    }
    let topic = offset_fetch_request::OffsetFetchRequestTopic::default()
        .with_name(topic_name("t"))
        .with_partition_indexes(vec![0]);
    let answer = client.ask(version, request.with_group_id(group_id(group)).with_topics(Some(vec![topic]))).await;
    assert_eq!(answer.error_code, 0);
    let partition = &answer.topics[0].partitions[0];
    (partition.error_code, partition.committed_offset)
}

async fn commit_within(client: &mut Client, producer: &Transactional, offset: i64) -> i16 {
    let partition = TxnOffsetCommitRequestPartition::default().with_committed_offset(offset);
    let topic = TxnOffsetCommitRequestTopic::default().with_name(topic_name("t")).with_partitions(vec![partition]);
    let request = TxnOffsetCommitRequest::default()
        .with_transactional_id(TransactionalId(text(producer.id)))
        .with_group_id(group_id("g"))
        .with_producer_id(ProducerId(producer.producer))
        .with_producer_epoch(producer.epoch)
        .with_generation_id(-1)
        .with_topics(vec![topic]);
    client.ask(5, request).await.topics[0].partitions[0].error_code
}

/// Between TxnOffsetCommit and EndTxn the offset is unstable: 88 to who requires stable ones, the old one to others. The
/// producer that dies there is fenced by its next incarnation, and the offset is as it was.
#[tokio::test]
async fn pitfall_18_an_offset_of_an_open_transaction_is_not_stable() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[FOR_EVER]).await;
    for version in [7, 8, 9] {
        assert_eq!(position(&mut client, version, "nobody", true).await, (0, -1), "an unknown group, v{version}");
    }
    let mut producer = Transactional::start(&mut client, "tx").await;
    assert_eq!(commit_within(&mut client, &producer, 3).await, 0);
    producer.end(&mut client, true).await;
    assert_eq!(position(&mut client, 9, "g", true).await, (0, 3));
    assert_eq!(commit_within(&mut client, &producer, 7).await, 0);
    for version in [7, 8, 9] {
        assert_eq!(position(&mut client, version, "g", true).await, (88, -1), "UNSTABLE_OFFSET_COMMIT v{version}");
        assert_eq!(position(&mut client, version, "g", false).await, (0, 3), "v{version}");
    }
    let next = Transactional::start(&mut client, "tx").await;
    assert_eq!(position(&mut client, 9, "g", true).await, (0, 3), "given up");
    assert_eq!(commit_within(&mut client, &producer, 8).await, 47, "INVALID_PRODUCER_EPOCH");
    assert!(next.epoch > producer.epoch);
}

/// Each end raises the epoch and tells it, an end that is asked for again is the same success, and what comes late from
/// before it is fenced. By version 4 the epoch stays. (Histories under crashes: tests/sim; every order of requests:
/// src/kafka/txn/tests.)
#[tokio::test]
async fn pitfall_19_every_transaction_has_an_epoch_of_its_own() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[FOR_EVER]).await;
    let mut producer = Transactional::start(&mut client, "tx").await;
    for (commit, epoch) in [(true, 1), (false, 2), (true, 3)] {
        producer.write(&mut client, "t", &["v"]).await;
        for again in [false, true] {
            let answer = producer.try_end(&mut client, 5, commit).await;
            let told = (answer.error_code, answer.producer_id.0, answer.producer_epoch);
            assert_eq!(told, (0, producer.producer, epoch), "again: {again}");
        }
        let other = producer.try_end(&mut client, 5, !commit).await.error_code;
        assert_eq!(other, 48, "INVALID_TXN_STATE: it ended otherwise");
        let late = producer.try_write(&mut client, "t", &["late"]).await.error_code;
        assert_eq!(late, 47, "INVALID_PRODUCER_EPOCH");
        producer.epoch = epoch;
        producer.sequences.clear();
    }
    // The markers carry the epoch that came with the end.
    let markers: Vec<i16> =
        records_of(&client.fetch(12, "t", 0).await).iter().filter(|r| r.control).map(|r| r.producer_epoch).collect();
    assert_eq!(markers, [1, 2, 3]);
    // An older client's epoch is not raised.
    producer.write(&mut client, "t", &["v"]).await;
    let answer = producer.try_end(&mut client, 4, true).await;
    assert_eq!(answer.error_code, 0);
    producer.write(&mut client, "t", &["v"]).await;
}

/// A timeout above `transaction.max.timeout.ms` is refused, the least is 1 ms; an id whose transaction is being ended by
/// another is asked to come again. (Ids that expire after seven days: src/kafka/txn/tests, with the clock in hand.)
#[tokio::test]
async fn pitfall_20_transaction_timeouts_have_limits() {
    let server = server().await;
    let mut client = server.client().await;
    let init = |timeout_ms| {
        let id = Some(TransactionalId(text("tx")));
        InitProducerIdRequest::default().with_transactional_id(id).with_transaction_timeout_ms(timeout_ms)
    };
    for version in 0..=5 {
        for (timeout_ms, code) in [(0, 50), (-1, 50), (900_001, 50), (i32::MAX, 50), (1, 0), (900_000, 0)] {
            let answer = client.ask(version, init(timeout_ms)).await;
            assert_eq!(answer.error_code, code, "INVALID_TRANSACTION_TIMEOUT: v{version}, {timeout_ms} ms");
            assert_eq!(answer.producer_epoch >= 0, code == 0);
        }
    }
    // Without an id there is no transaction to time.
    let plain = InitProducerIdRequest::default().with_transactional_id(None).with_transaction_timeout_ms(i32::MAX);
    assert_eq!(client.ask(5, plain).await.error_code, 0);
}
