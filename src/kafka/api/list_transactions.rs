//! ListTransactions (66): the transactional ids there are (KIP-664).
//!
//! Serves v0–2: v1 those that run for long (KIP-994) · v2 those whose id matches a pattern (KIP-1152).

use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::ids::Timestamp;
use crate::kafka::access::transaction;
use crate::kafka::cx::{Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::txn::{Name, Status, Transaction};
use crate::kafka::wire::messages::list_transactions::{
    ListTransactionsRequest, ListTransactionsResponse, TransactionState,
};

pub struct ListTransactions;

/// States that Kafka has and we are never in.
const FOREIGN_STATES: [&str; 2] = ["Dead", "PrepareEpochFence"];
/// The largest a pattern may become when it is compiled.
const PATTERN_LIMIT_BYTES: usize = 1 << 20;

impl Api for ListTransactions {
    type Request = ListTransactionsRequest;
    type Response = ListTransactionsResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: ListTransactionsRequest) -> Answer<ListTransactionsResponse> {
        let all = match cx.transactions().await {
            Ok(transactions) => transactions.list().await,
            Err(code) => Err(code),
        };
        let access = cx.access(&call);
        let shown = all.map(|mut all| {
            all.retain(|(id, _)| access.may(Action::Describe, transaction(id)));
            all
        });
        let listed = shown.and_then(|all| list(&request, all, cx.engine.clock().now()));
        Answer::Now(
            listed.unwrap_or_else(|code| ListTransactionsResponse { error_code: code.wire(), ..Default::default() }),
        )
    }
}

fn list(
    request: &ListTransactionsRequest,
    all: Vec<(Name, Transaction)>,
    now: Timestamp,
) -> Result<ListTransactionsResponse, Code> {
    let known = |name: &String| Status::ALL.iter().any(|s| s.name() == name) || FOREIGN_STATES.contains(&&**name);
    let pattern = match request.transactional_id_pattern.as_deref().filter(|pattern| !pattern.is_empty()) {
        // As Java's matcher, and RE2's, for a whole id.
        Some(pattern) => Some(
            regex::RegexBuilder::new(&format!("^(?:{pattern})$"))
                .size_limit(PATTERN_LIMIT_BYTES)
                .build()
                .map_err(|_| Code::InvalidRegularExpression)?,
        ),
        None => None,
    };
    let wanted = |id: &str, transaction: &Transaction| {
        let states = &request.state_filters;
        let producers = &request.producer_id_filters;
        let age_ms = now.0 - transaction.started.0;
        let long = transaction.started.0 >= 0 && age_ms > request.duration_filter;
        (states.is_empty() || states.iter().any(|name| name == transaction.status.name()))
            && (producers.is_empty() || producers.contains(&transaction.producer.id))
            && (request.duration_filter < 0 || long)
            && pattern.as_ref().is_none_or(|pattern| pattern.is_match(id))
    };
    let found = all.into_iter().filter(|(id, transaction)| wanted(id, transaction));
    Ok(ListTransactionsResponse {
        unknown_state_filters: request.state_filters.iter().filter(|name| !known(name)).cloned().collect(),
        transaction_states: found
            .map(|(id, transaction)| TransactionState {
                transactional_id: id.to_string(),
                producer_id: transaction.producer.id,
                transaction_state: transaction.status.name().into(),
            })
            .collect(),
        ..Default::default()
    })
}
