//! API key 26, EndTxn: a transaction commits or aborts (KIP-98). From version 5 the answer carries the raised epoch
//! (KIP-890).

message! {
    request 26, versions 0..=5, flexible 3;

    struct EndTxnRequest {
        transactional_id: String [0..];
        producer_id:      i64    [0..];
        producer_epoch:   i16    [0..];
        committed:        bool   [0..];
    }
}

message! {
    response 26, versions 0..=5, flexible 3;

    struct EndTxnResponse {
        throttle_time_ms: i32 [0..];
        error_code:       i16 [0..];
        producer_id:      i64 [5..] = -1, ignorable;
        producer_epoch:   i16 [5..] = -1, ignorable;
    }
}
