//! API key 64, UnregisterBroker: a broker leaves the cluster for good (KIP-500).

message! {
    request 64, versions 0..=0, flexible 0;

    struct UnregisterBrokerRequest {
        broker_id: i32 [0..];
    }
}

message! {
    response 64, versions 0..=0, flexible 0;

    struct UnregisterBrokerResponse {
        throttle_time_ms: i32            [0..];
        error_code:       i16            [0..];
        error_message:    Option<String> [0..] null [0..];
    }
}
