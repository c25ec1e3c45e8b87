//! AddOffsetsToTxn (25): a group's offsets come into a transaction (KIP-98).
//!
//! Serves v0–4: v2 "fenced" has a code of its own · v3 flexible · v4 as v3. Clients of KIP-890's second part do not ask:
//! TxnOffsetCommit adds.

use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::kafka::access::{group, transaction};
use crate::kafka::cx::{Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::txn::{Add, Partition, Producer};
use crate::kafka::wire::messages::add_offsets_to_txn::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse};

pub struct AddOffsetsToTxn;

impl Api for AddOffsetsToTxn {
    type Request = AddOffsetsToTxnRequest;
    type Response = AddOffsetsToTxnResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: AddOffsetsToTxnRequest) -> Answer<AddOffsetsToTxnResponse> {
        let access = cx.access(&call);
        let may = access
            .check(Action::Write, transaction(&request.transactional_id))
            .and_then(|()| access.check(Action::Read, group(&request.group_id)));
        let added = match may {
            Ok(()) => add(&cx, request).await,
            Err(code) => Err(code),
        };
        let code = match added {
            Ok(()) => Code::None,
            Err(Code::ProducerFenced) if call.version < 2 => Code::InvalidProducerEpoch,
            Err(code) => code,
        };
        Answer::Now(AddOffsetsToTxnResponse { error_code: code.wire(), ..Default::default() })
    }
}

async fn add(cx: &Cx, request: AddOffsetsToTxnRequest) -> Result<(), Code> {
    if request.transactional_id.is_empty() {
        return Err(Code::InvalidRequest);
    }
    if request.group_id.is_empty() {
        return Err(Code::InvalidGroupId);
    }
    let add = Add {
        id: request.transactional_id.into(),
        producer: Producer { id: request.producer_id, epoch: request.producer_epoch },
        partitions: vec![Partition::offsets()],
        verify_only: false,
        bumps: false,
    };
    cx.transactions().await?.add(add).await.map(drop)
}
