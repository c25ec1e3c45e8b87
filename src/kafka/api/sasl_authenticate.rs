//! SaslAuthenticate (36): one token of the SASL mechanism that was chosen.
//!
//! Serves v0–2: v1 how long the session may last (KIP-368) · v2 flexible.
//! Never says whether a user exists, and no token comes into a log. After a refusal the connection is closed.

use std::sync::Arc;

use super::{Answer, Api};
use crate::kafka::cx::{Call, Conn, Cx};
use crate::kafka::error::Code;
use crate::kafka::sasl::{Refused, Said, bearer};
use crate::kafka::wire::messages::sasl_authenticate::{SaslAuthenticateRequest, SaslAuthenticateResponse};

pub struct SaslAuthenticate;

impl Api for SaslAuthenticate {
    type Request = SaslAuthenticateRequest;
    type Response = SaslAuthenticateResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: SaslAuthenticateRequest) -> Answer<SaslAuthenticateResponse> {
        Answer::Now(match token(&cx, &call.conn, &request.auth_bytes) {
            Ok(said) => SaslAuthenticateResponse {
                auth_bytes: said.bytes,
                session_lifetime_ms: said.lifetime_ms,
                ..SaslAuthenticateResponse::default()
            },
            Err(refused) => {
                let (code, why) = match refused {
                    Refused::State => (Code::IllegalSaslState, "SaslAuthenticate request received out of turn"),
                    Refused::Credentials => {
                        (Code::SaslAuthenticationFailed, "Authentication failed: invalid credentials")
                    }
                    Refused::Bearer => (Code::SaslAuthenticationFailed, bearer::INVALID_TOKEN),
                };
                let error_message = Some(why.to_owned());
                SaslAuthenticateResponse { error_code: code.wire(), error_message, ..Default::default() }
            }
        })
    }
}

/// What is said to a token, in a frame of this API or bare.
pub fn token(cx: &Cx, conn: &Conn, token: &[u8]) -> Result<Said, Refused> {
    let (security, now) = (&cx.security, cx.engine.clock().now());
    let said = conn.login().token(token, security, &security.nonce(), now, security.settings.session_ms);
    match &said {
        Ok(_) => tracing::debug!(peer = %conn.peer, principal = %conn.principal(), "authenticating"),
        Err(why) => tracing::info!(peer = %conn.peer, listener = %conn.listener, ?why, "authentication failed"),
    }
    said
}
