//! InitProducerId (22): a number for an idempotent producer (KIP-98).
//!
//! Serves v0–5: v2 flexible · v3 the id the producer has (KIP-360) · v4, v5 error codes. Version 6 is unstable in
//! Kafka 4.4 and not served. Transactions are not served yet: a transactional id is refused, never half accepted.
//! Ids come from the catalog in blocks, so no restart gives one twice.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::{Answer, Api};
use crate::engine::{Change, Changed};
use crate::kafka::cx::{Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::wire::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};

pub struct InitProducerId;

/// Ids taken from the catalog at a time (Kafka's own figure).
const BLOCK: u32 = 1000;

impl Api for InitProducerId {
    type Request = InitProducerIdRequest;
    type Response = InitProducerIdResponse;
    const VERSIONS: RangeInclusive<i16> = 0..=5;

    async fn handle(cx: Arc<Cx>, _call: Call, request: InitProducerIdRequest) -> Answer<InitProducerIdResponse> {
        let id = match request.transactional_id {
            None => next_id(&cx).await,
            Some(id) if id.is_empty() => Err(Code::InvalidRequest),
            Some(_) => Err(Code::UnsupportedVersion),
        };
        Answer::Now(match id {
            Ok(producer_id) => InitProducerIdResponse { producer_id, producer_epoch: 0, ..Default::default() },
            Err(code) => InitProducerIdResponse { error_code: code.wire(), producer_epoch: -1, ..Default::default() },
        })
    }
}

async fn next_id(cx: &Cx) -> Result<i64, Code> {
    let mut block = cx.producer_ids.lock().await;
    if let Some(id) = block.next() {
        return Ok(id);
    }
    match cx.engine.change(vec![Change::ProducerIds { count: BLOCK }]).await.pop() {
        Some(Ok(Changed::ProducerIds { first, count })) => {
            *block = first..first.saturating_add(i64::from(count));
            block.next().ok_or(Code::CoordinatorNotAvailable)
        }
        Some(Ok(_)) | None => Err(Code::UnknownServerError),
        Some(Err(error)) => Err(Code::from(&error)),
    }
}
