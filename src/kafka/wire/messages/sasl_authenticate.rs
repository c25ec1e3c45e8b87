//! API key 36, SaslAuthenticate: tokens of a SASL mechanism (KIP-152); from version 1 with the lifetime of the session
//! (KIP-368). The tokens are not opened here.

use bytes::Bytes;

message! {
    request 36, versions 0..=2, flexible 2;

    struct SaslAuthenticateRequest {
        auth_bytes: Bytes [0..];
    }
}

message! {
    response 36, versions 0..=2, flexible 2;

    struct SaslAuthenticateResponse {
        error_code:          i16            [0..];
        error_message:       Option<String> [0..] null [0..];
        auth_bytes:          Bytes          [0..];
        session_lifetime_ms: i64            [1..], ignorable;
    }
}
