//! EndTxn (26): a transaction is committed or given up. When it is answered, every marker is durable.
//!
//! Serves v0–5: v2 "fenced" has a code of its own · v3 flexible · v5 the producer gets a new epoch with every end
//! (KIP-890), and a higher number where its epochs are used up.

use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::kafka::access::transaction;
use crate::kafka::cx::{Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::txn::{End, Producer};
use crate::kafka::wire::messages::end_txn::{EndTxnRequest, EndTxnResponse};
use crate::record::records::Marker;

pub struct EndTxn;

/// From here on a client's epoch rises with every transaction.
pub const BUMPS_FROM: i16 = 5;

impl Api for EndTxn {
    type Request = EndTxnRequest;
    type Response = EndTxnResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: EndTxnRequest) -> Answer<EndTxnResponse> {
        let bumps = call.version >= BUMPS_FROM;
        let ended = match cx.access(&call).check(Action::Write, transaction(&request.transactional_id)) {
            Ok(()) => end(&cx, bumps, request).await,
            Err(code) => Err(code),
        };
        Answer::Now(match ended {
            Ok(Producer { id, epoch }) if bumps => {
                EndTxnResponse { producer_id: id, producer_epoch: epoch, ..Default::default() }
            }
            Ok(_) => EndTxnResponse::default(),
            Err(Code::ProducerFenced) if call.version < 2 => failed(Code::InvalidProducerEpoch),
            Err(code) => failed(code),
        })
    }
}

async fn end(cx: &Cx, bumps: bool, request: EndTxnRequest) -> Result<Producer, Code> {
    if request.transactional_id.is_empty() {
        return Err(Code::InvalidRequest);
    }
    // Only a producer whose epochs are used up takes the number.
    let fresh = if bumps && request.producer_epoch >= i16::MAX - 1 { cx.next_producer_id().await? } else { -1 };
    let end = End {
        id: request.transactional_id.into(),
        producer: Producer { id: request.producer_id, epoch: request.producer_epoch },
        how: if request.committed { Marker::Commit } else { Marker::Abort },
        bumps,
        fresh,
    };
    cx.transactions().await?.end(end).await
}

fn failed(code: Code) -> EndTxnResponse {
    EndTxnResponse { error_code: code.wire(), ..Default::default() }
}
