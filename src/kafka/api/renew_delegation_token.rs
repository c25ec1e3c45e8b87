//! RenewDelegationToken (39): a token lives longer, as far as it can (KIP-48).
//!
//! Serves v0–2: v1 throttled as others · v2 flexible. Its owner and its renewers may ask for that, by its secret.

use std::sync::Arc;

use super::create_delegation_token::{NO_TIME, ask, find};
use super::{Answer, Api};
use crate::auth::tokens::Command;
use crate::kafka::cx::{Call, Cx, may_ask_for_tokens};
use crate::kafka::error::Code;
use crate::kafka::wire::messages::renew_delegation_token::{RenewDelegationTokenRequest, RenewDelegationTokenResponse};

pub struct RenewDelegationToken;

impl Api for RenewDelegationToken {
    type Request = RenewDelegationTokenRequest;
    type Response = RenewDelegationTokenResponse;

    async fn handle(
        cx: Arc<Cx>,
        call: Call,
        request: RenewDelegationTokenRequest,
    ) -> Answer<RenewDelegationTokenResponse> {
        let answer = |code: Code, expiry_timestamp_ms: i64| {
            let error_code = code.wire();
            Answer::Now(RenewDelegationTokenResponse { error_code, expiry_timestamp_ms, ..Default::default() })
        };
        if !may_ask_for_tokens(&call.conn) {
            return answer(Code::DelegationTokenRequestNotAllowed, NO_TIME);
        }
        match renew(&cx, &call, &request).await {
            Ok(expires_ms) => answer(Code::None, expires_ms),
            Err(code) => answer(code, 0),
        }
    }
}

async fn renew(cx: &Cx, call: &Call, request: &RenewDelegationTokenRequest) -> Result<i64, Code> {
    let (tokens, id) = find(cx, &request.hmac)?;
    let by = call.conn.principal().to_string();
    let command = Command::Renew { id, by, period_ms: request.renew_period_ms, lifetimes: tokens.lifetimes };
    ask(cx, command).await.map(|token| token.map_or(0, |token| token.expires.0))
}
