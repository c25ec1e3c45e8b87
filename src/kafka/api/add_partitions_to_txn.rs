//! AddPartitionsToTxn (24): partitions come into a transaction (KIP-98).
//!
//! Serves v0–5: v2 "fenced" has a code of its own · v3 flexible · v4 many transactions at once, asked by brokers, which may
//! only verify (KIP-890) · v5 "give up" has a code of its own. Clients of KIP-890's second part do not ask: a write adds.

use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::engine::Catalog;
use crate::kafka::access::{self, Access, CLUSTER};
use crate::kafka::cx::{self, Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::txn::{Add, Partition, Producer};
use crate::kafka::wire::messages::add_partitions_to_txn::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnRequest, AddPartitionsToTxnResponse, AddPartitionsToTxnResult,
    AddPartitionsToTxnTopic, AddPartitionsToTxnTopicResult, AddPartitionsToTxnTransaction,
};

pub struct AddPartitionsToTxn;

/// From here on a fenced producer is told so, and not that its epoch is invalid.
const FENCED_FROM: i16 = 2;
/// From here on whoever verifies in vain is told to give up its transaction.
const ABORTABLE_FROM: i16 = 5;

impl Api for AddPartitionsToTxn {
    type Request = AddPartitionsToTxnRequest;
    type Response = AddPartitionsToTxnResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: AddPartitionsToTxnRequest) -> Answer<AddPartitionsToTxnResponse> {
        let catalog = cx.engine.catalog();
        let access = cx.access(&call);
        if call.version < 4 {
            let one = AddPartitionsToTxnTransaction {
                transactional_id: request.v3_and_below_transactional_id,
                producer_id: request.v3_and_below_producer_id,
                producer_epoch: request.v3_and_below_producer_epoch,
                verify_only: false,
                topics: request.v3_and_below_topics,
            };
            let results_by_topic_v3_and_below = add(&cx, &access, &catalog, call.version, one).await;
            return Answer::Now(AddPartitionsToTxnResponse { results_by_topic_v3_and_below, ..Default::default() });
        }
        if let Err(code) = access.check(Action::ClusterAction, CLUSTER) {
            return Answer::Now(AddPartitionsToTxnResponse { error_code: code.wire(), ..Default::default() });
        }
        // What brokers ask was judged when their clients asked.
        let access = Access::open();
        let mut results_by_transaction = Vec::with_capacity(request.transactions.len());
        for transaction in request.transactions {
            let transactional_id = transaction.transactional_id.clone();
            let topic_results = add(&cx, &access, &catalog, call.version, transaction).await;
            results_by_transaction.push(AddPartitionsToTxnResult { transactional_id, topic_results });
        }
        Answer::Now(AddPartitionsToTxnResponse { results_by_transaction, ..Default::default() })
    }
}

async fn add(
    cx: &Cx,
    access: &Access,
    catalog: &Catalog,
    version: i16,
    transaction: AddPartitionsToTxnTransaction,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let AddPartitionsToTxnTransaction { transactional_id, producer_id, producer_epoch, verify_only, topics } =
        transaction;
    if let Err(code) = access.check(Action::Write, access::transaction(&transactional_id)) {
        return each(&topics, |_, _| code);
    }
    let problem = |name: &str, index: i32| match access.check(Action::Write, access::topic(name)) {
        Err(code) => Err(code),
        // Clients write none of those, and so into no transaction either.
        Ok(()) if version < 4 && cx::topic(catalog, name).is_some_and(|stream| cx::is_internal(stream)) => {
            Err(Code::TopicAuthorizationFailed)
        }
        Ok(()) if !exists(catalog, name, index) => Err(Code::UnknownTopicOrPartition),
        Ok(()) => Ok(()),
    };
    if topics.iter().any(|topic| topic.partitions.iter().any(|index| problem(&topic.name, *index).is_err())) {
        // None is added where one cannot be.
        return each(&topics, |name, index| problem(name, index).err().unwrap_or(Code::OperationNotAttempted));
    }
    let partitions = topics.iter().flat_map(|topic| {
        let name: Arc<str> = topic.name.as_str().into();
        topic.partitions.iter().map(move |&index| Partition { topic: name.clone(), index })
    });
    let add = Add {
        id: transactional_id.as_str().into(),
        producer: Producer { id: producer_id, epoch: producer_epoch },
        partitions: partitions.collect(),
        verify_only,
        bumps: false,
    };
    let added = match transactional_id.is_empty() {
        true => Err(Code::InvalidRequest),
        false => match cx.transactions().await {
            Ok(transactions) => transactions.add(add).await,
            Err(code) => Err(code),
        },
    };
    match added {
        Ok(added) => {
            let missing = if version >= ABORTABLE_FROM { Code::TransactionAbortable } else { Code::InvalidTxnState };
            let mut added = added.into_iter();
            each(&topics, |_, _| if added.next() == Some(true) { Code::None } else { missing })
        }
        Err(Code::ProducerFenced) if version < FENCED_FROM => each(&topics, |_, _| Code::InvalidProducerEpoch),
        Err(code) => each(&topics, |_, _| code),
    }
}

fn exists(catalog: &Catalog, name: &str, index: i32) -> bool {
    let log = |stream: &Arc<_>| {
        u32::try_from(index).ok().and_then(|number| crate::engine::catalog::Stream::log(stream, number))
    };
    cx::topic(catalog, name).and_then(log).is_some()
}

/// One code for each partition, in order.
fn each(
    topics: &[AddPartitionsToTxnTopic],
    mut code: impl FnMut(&str, i32) -> Code,
) -> Vec<AddPartitionsToTxnTopicResult> {
    let mut results = Vec::with_capacity(topics.len());
    for topic in topics {
        let partition = |&index: &i32| AddPartitionsToTxnPartitionResult {
            partition_index: index,
            partition_error_code: code(&topic.name, index).wire(),
        };
        let results_by_partition = topic.partitions.iter().map(partition).collect();
        results.push(AddPartitionsToTxnTopicResult { name: topic.name.clone(), results_by_partition });
    }
    results
}
