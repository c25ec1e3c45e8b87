//! InitProducerId (22): a number for an idempotent producer, and an epoch for one with a transactional id (KIP-98).
//!
//! Serves v0–5: v2 flexible · v3 what the producer says it is (KIP-360) · v4 "fenced" has a code of its own · v5 error codes.
//! Version 6 is unstable in Kafka 4.4 and not served. Ids come from the catalog in blocks, so no restart gives one twice.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::{Action, Kind};
use crate::kafka::access::{CLUSTER, transaction};
use crate::kafka::cx::{Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::txn::{Init, Producer};
use crate::kafka::wire::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};

pub struct InitProducerId;

/// From here on a fenced producer is told so, and not that its epoch is invalid.
const FENCED_FROM: i16 = 4;

impl Api for InitProducerId {
    type Request = InitProducerIdRequest;
    type Response = InitProducerIdResponse;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    async fn handle(cx: Arc<Cx>, call: Call, request: InitProducerIdRequest) -> Answer<InitProducerIdResponse> {
        let access = cx.access(&call);
        let producer = match &request.transactional_id {
            // Who may write anywhere may do so idempotently (KIP-679).
            None if !access.may(Action::IdempotentWrite, CLUSTER)
                && !access.may_somewhere(Action::Write, Kind::Stream) =>
            {
                Err(Code::ClusterAuthorizationFailed)
            }
            None => cx.next_producer_id().await.map(|id| Producer { id, epoch: 0 }),
            Some(id) if !access.may(Action::Write, transaction(id)) => Err(Code::TransactionalIdAuthorizationFailed),
            Some(id) if id.is_empty() => Err(Code::InvalidRequest),
            Some(id) => init(&cx, id, &request).await,
        };
        Answer::Now(match producer {
            Ok(Producer { id, epoch }) => {
                InitProducerIdResponse { producer_id: id, producer_epoch: epoch, ..Default::default() }
            }
            Err(Code::ProducerFenced) if call.version < FENCED_FROM => failed(Code::InvalidProducerEpoch),
            Err(code) => failed(code),
        })
    }
}

async fn init(cx: &Cx, id: &str, request: &InitProducerIdRequest) -> Result<Producer, Code> {
    let expected = match (request.producer_id, request.producer_epoch) {
        (-1, -1) => None,
        (id, epoch) if id >= 0 && epoch >= 0 => Some(Producer { id, epoch }),
        _ => return Err(Code::InvalidRequest),
    };
    let fresh = cx.next_producer_id().await?;
    let init = Init { id: id.into(), timeout_ms: request.transaction_timeout_ms, expected, fresh };
    cx.transactions().await?.init(init).await
}

fn failed(code: Code) -> InitProducerIdResponse {
    InitProducerIdResponse { error_code: code.wire(), producer_epoch: -1, ..Default::default() }
}
