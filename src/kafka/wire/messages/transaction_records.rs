//! The records of `__transaction_state` as Kafka publishes them. Key and value are each preceded by a version as an i16
//! (`versioned`).

use crate::kafka::wire::NEVER;

message! {
    data, versions 0..=0, flexible NEVER;

    struct TransactionLogKey {
        transactional_id: String [0..];
    }
}

message! {
    data, versions 0..=1, flexible 1;

    struct TransactionLogValue {
        producer_id:                          i64                           [0..];
        previous_producer_id:                 i64                           [1..] tag 0 [1..] = -1;
        next_producer_id:                     i64                           [1..] tag 1 [1..] = -1;
        producer_epoch:                       i16                           [0..];
        transaction_timeout_ms:               i32                           [0..];
        transaction_status:                   i8                            [0..];
        transaction_partitions:               Option<Vec<PartitionsSchema>> [0..] null [0..];
        transaction_last_update_timestamp_ms: i64                           [0..];
        transaction_start_timestamp_ms:       i64                           [0..];
        client_transaction_version:           i16                           [1..] tag 2 [1..];
        next_producer_epoch:                  i16                           [1..] tag 3 [1..] = -1;
    }

    struct PartitionsSchema {
        topic:         String   [0..];
        partition_ids: Vec<i32> [0..];
    }
}
