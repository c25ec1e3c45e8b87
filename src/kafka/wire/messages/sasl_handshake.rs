//! API key 17, SaslHandshake: a client names its SASL mechanism. After version 0 bare tokens follow, after version 1
//! SaslAuthenticate (KIP-152).

use crate::kafka::wire::NEVER;

message! {
    request 17, versions 0..=1, flexible NEVER;

    struct SaslHandshakeRequest {
        mechanism: String [0..];
    }
}

message! {
    response 17, versions 0..=1, flexible NEVER;

    struct SaslHandshakeResponse {
        error_code: i16         [0..];
        mechanisms: Vec<String> [0..];
    }
}
