//! API key 38, CreateDelegationToken: a token that authenticates in the name of its owner (KIP-48), for another owner
//! from version 3 (KIP-373).

use bytes::Bytes;

message! {
    request 38, versions 0..=3, flexible 2;

    struct CreateDelegationTokenRequest {
        owner_principal_type: Option<String>         [3..] null [3..];
        owner_principal_name: Option<String>         [3..] null [3..];
        renewers:             Vec<CreatableRenewers> [0..];
        max_lifetime_ms:      i64                    [0..];
    }

    struct CreatableRenewers {
        principal_type: String [0..];
        principal_name: String [0..];
    }
}

message! {
    response 38, versions 0..=3, flexible 2;

    struct CreateDelegationTokenResponse {
        error_code:                     i16    [0..];
        principal_type:                 String [0..];
        principal_name:                 String [0..];
        token_requester_principal_type: String [3..];
        token_requester_principal_name: String [3..];
        issue_timestamp_ms:             i64    [0..];
        expiry_timestamp_ms:            i64    [0..];
        max_timestamp_ms:               i64    [0..];
        token_id:                       String [0..];
        hmac:                           Bytes  [0..];
        throttle_time_ms:               i32    [0..];
    }
}
