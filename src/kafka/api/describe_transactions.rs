//! DescribeTransactions (65): what coordinators know of transactional ids (KIP-664).
//!
//! Serves v0.

use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::kafka::access::{topic, transaction};
use crate::kafka::cx::{Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::txn::{Name, Transaction};
use crate::kafka::wire::messages::describe_transactions::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, TopicData, TransactionState,
};

pub struct DescribeTransactions;

impl Api for DescribeTransactions {
    type Request = DescribeTransactionsRequest;
    type Response = DescribeTransactionsResponse;

    async fn handle(
        cx: Arc<Cx>,
        call: Call,
        request: DescribeTransactionsRequest,
    ) -> Answer<DescribeTransactionsResponse> {
        let access = cx.access(&call);
        let ids: Vec<Name> = request.transactional_ids.into_iter().map(Name::from).collect();
        let (ids, hidden) = access.split(Action::Describe, ids, |id| transaction(id));
        let found = match cx.transactions().await {
            Ok(transactions) => transactions.describe(ids.clone()).await,
            Err(code) => Err(code),
        };
        let mut states: Vec<_> = match found {
            Ok(found) => ids.into_iter().zip(found).map(|(id, found)| state(&id, found)).collect(),
            Err(code) => ids.iter().map(|id| failed(id, code)).collect(),
        };
        states.extend(hidden.iter().map(|id| failed(id, Code::TransactionalIdAuthorizationFailed)));
        for state in &mut states {
            state.topics.retain(|written| access.may(Action::Describe, topic(&written.topic)));
        }
        Answer::Now(DescribeTransactionsResponse { transaction_states: states, ..Default::default() })
    }
}

fn state(id: &str, found: Option<Transaction>) -> TransactionState {
    if id.is_empty() {
        return failed(id, Code::InvalidRequest);
    }
    let Some(found) = found else { return failed(id, Code::TransactionalIdNotFound) };
    let mut topics: Vec<TopicData> = Vec::new();
    for partition in &found.partitions {
        match topics.last_mut().filter(|last| last.topic == *partition.topic) {
            Some(last) => last.partitions.push(partition.index),
            None => {
                topics.push(TopicData { topic: partition.topic.to_string(), partitions: vec![partition.index] });
            }
        }
    }
    TransactionState {
        error_code: Code::None.wire(),
        transactional_id: id.to_owned(),
        transaction_state: found.status.name().into(),
        transaction_timeout_ms: found.timeout_ms,
        transaction_start_time_ms: found.started.0,
        producer_id: found.producer.id,
        producer_epoch: found.producer.epoch,
        topics,
    }
}

fn failed(id: &str, code: Code) -> TransactionState {
    TransactionState { error_code: code.wire(), transactional_id: id.to_owned(), ..Default::default() }
}
