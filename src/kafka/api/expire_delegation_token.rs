//! ExpireDelegationToken (40): a token ends at another time, or at once (KIP-48).
//!
//! Serves v0–2: v1 throttled as others · v2 flexible. Its owner and its renewers may ask for that, by its secret. Whoever is
//! logged in by a token that ends at once stays so until their session is over, as in Kafka.

use std::sync::Arc;

use super::create_delegation_token::{NO_TIME, ask, find};
use super::{Answer, Api};
use crate::auth::tokens::Command;
use crate::kafka::cx::{Call, Cx, may_ask_for_tokens};
use crate::kafka::error::Code;
use crate::kafka::wire::messages::expire_delegation_token::{
    ExpireDelegationTokenRequest, ExpireDelegationTokenResponse,
};

pub struct ExpireDelegationToken;

impl Api for ExpireDelegationToken {
    type Request = ExpireDelegationTokenRequest;
    type Response = ExpireDelegationTokenResponse;

    async fn handle(
        cx: Arc<Cx>,
        call: Call,
        request: ExpireDelegationTokenRequest,
    ) -> Answer<ExpireDelegationTokenResponse> {
        let answer = |code: Code, expiry_timestamp_ms: i64| {
            let error_code = code.wire();
            Answer::Now(ExpireDelegationTokenResponse { error_code, expiry_timestamp_ms, ..Default::default() })
        };
        if !may_ask_for_tokens(&call.conn) {
            return answer(Code::DelegationTokenRequestNotAllowed, NO_TIME);
        }
        match expire(&cx, &call, &request).await {
            Ok(expires_ms) => answer(Code::None, expires_ms),
            Err(code) => answer(code, 0),
        }
    }
}

async fn expire(cx: &Cx, call: &Call, request: &ExpireDelegationTokenRequest) -> Result<i64, Code> {
    let (_, id) = find(cx, &request.hmac)?;
    let by = call.conn.principal().to_string();
    let period_ms = request.expiry_time_period_ms;
    // Of one that is gone at once Kafka says the period that was asked for.
    ask(cx, Command::Expire { id, by, period_ms }).await.map(|token| token.map_or(period_ms, |token| token.expires.0))
}
