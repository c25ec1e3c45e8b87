//! API key 22, InitProducerId: an identity for an idempotent or transactional producer (KIP-98, KIP-360). Version 6
//! is not stable in Kafka and is not stated here.

message! {
    request 22, versions 0..=5, flexible 2;

    struct InitProducerIdRequest {
        transactional_id:       Option<String> [0..] null [0..];
        transaction_timeout_ms: i32            [0..];
        producer_id:            i64            [3..] = -1;
        producer_epoch:         i16            [3..] = -1;
    }
}

message! {
    response 22, versions 0..=5, flexible 2;

    struct InitProducerIdResponse {
        throttle_time_ms: i32 [0..], ignorable;
        error_code:       i16 [0..];
        producer_id:      i64 [0..] = -1;
        producer_epoch:   i16 [0..];
    }
}
