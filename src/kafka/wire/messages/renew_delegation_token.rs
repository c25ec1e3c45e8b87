//! API key 39, RenewDelegationToken: a token lives longer (KIP-48).

use bytes::Bytes;

message! {
    request 39, versions 0..=2, flexible 2;

    struct RenewDelegationTokenRequest {
        hmac:            Bytes [0..];
        renew_period_ms: i64   [0..];
    }
}

message! {
    response 39, versions 0..=2, flexible 2;

    struct RenewDelegationTokenResponse {
        error_code:          i16 [0..];
        expiry_timestamp_ms: i64 [0..];
        throttle_time_ms:    i32 [0..];
    }
}
