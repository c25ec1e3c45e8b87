//! API key 28, TxnOffsetCommit: positions of a group that take effect when their transaction commits (KIP-98, KIP-447).
//! By topic id from version 6 (KIP-848).

use crate::kafka::wire::Uuid;

message! {
    request 28, versions 0..=6, flexible 3;

    struct TxnOffsetCommitRequest {
        transactional_id:              String                           [0..];
        group_id:                      String                           [0..];
        producer_id:                   i64                              [0..];
        producer_epoch:                i16                              [0..];
        generation_id_or_member_epoch: i32                              [3..] = -1;
        member_id:                     String                           [3..];
        group_instance_id:             Option<String>                   [3..] null [3..] = None;
        topics:                        Vec<TxnOffsetCommitRequestTopic> [0..];
    }

    struct TxnOffsetCommitRequestTopic {
        name:       String                               [0..=5], ignorable;
        topic_id:   Uuid                                 [6..], ignorable;
        partitions: Vec<TxnOffsetCommitRequestPartition> [0..];
    }

    struct TxnOffsetCommitRequestPartition {
        partition_index:        i32            [0..];
        committed_offset:       i64            [0..];
        committed_leader_epoch: i32            [2..] = -1, ignorable;
        committed_metadata:     Option<String> [0..] null [0..];
    }
}

message! {
    response 28, versions 0..=6, flexible 3;

    struct TxnOffsetCommitResponse {
        throttle_time_ms: i32                               [0..];
        topics:           Vec<TxnOffsetCommitResponseTopic> [0..];
    }

    struct TxnOffsetCommitResponseTopic {
        name:       String                                [0..=5], ignorable;
        topic_id:   Uuid                                  [6..], ignorable;
        partitions: Vec<TxnOffsetCommitResponsePartition> [0..];
    }

    struct TxnOffsetCommitResponsePartition {
        partition_index: i32 [0..];
        error_code:      i16 [0..];
    }
}
