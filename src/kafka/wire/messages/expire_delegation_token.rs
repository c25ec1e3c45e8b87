//! API key 40, ExpireDelegationToken: a token ends earlier (KIP-48).

use bytes::Bytes;

message! {
    request 40, versions 0..=2, flexible 2;

    struct ExpireDelegationTokenRequest {
        hmac:                  Bytes [0..];
        expiry_time_period_ms: i64   [0..];
    }
}

message! {
    response 40, versions 0..=2, flexible 2;

    struct ExpireDelegationTokenResponse {
        error_code:          i16 [0..];
        expiry_timestamp_ms: i64 [0..];
        throttle_time_ms:    i32 [0..];
    }
}
