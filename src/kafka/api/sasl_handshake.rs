//! SaslHandshake (17): a client names the SASL mechanism by which it will say who it is.
//!
//! Serves v0–1. After v0 bare tokens follow, after v1 SaslAuthenticate (KIP-152).
//! Never looks at a token. Where nobody has to say who they are, it is out of turn (ILLEGAL_SASL_STATE).

use std::sync::Arc;

use super::{Answer, Api};
use crate::kafka::cx::{Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::sasl::Refused;
use crate::kafka::wire::messages::sasl_handshake::{SaslHandshakeRequest, SaslHandshakeResponse};

pub struct SaslHandshake;

impl Api for SaslHandshake {
    type Request = SaslHandshakeRequest;
    type Response = SaslHandshakeResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: SaslHandshakeRequest) -> Answer<SaslHandshakeResponse> {
        let enabled = &cx.security.settings.methods;
        let code = match call.conn.login().choose(&request.mechanism, call.version, enabled) {
            Ok(()) => Code::None,
            Err(Refused::Credentials | Refused::Bearer) => Code::UnsupportedSaslMechanism,
            Err(Refused::State) => Code::IllegalSaslState,
        };
        let mechanisms = match code {
            Code::IllegalSaslState => Vec::new(),
            _ => enabled.iter().map(|method| method.name().to_owned()).collect(),
        };
        Answer::Now(SaslHandshakeResponse { error_code: code.wire(), mechanisms })
    }
}
