//! API key 8, OffsetCommit: positions of a group are committed. By topic id from version 10 (KIP-848).

use crate::kafka::wire::Uuid;

message! {
    request 8, versions 0..=10, flexible 8;

    struct OffsetCommitRequest {
        group_id:                      String                        [0..];
        generation_id_or_member_epoch: i32                           [1..]   = -1, ignorable;
        member_id:                     String                        [1..], ignorable;
        group_instance_id:             Option<String>                [7..]   null [7..] = None;
        retention_time_ms:             i64                           [2..=4] = -1, ignorable;
        topics:                        Vec<OffsetCommitRequestTopic> [0..];
    }

    struct OffsetCommitRequestTopic {
        name:       String                            [0..=9], ignorable;
        topic_id:   Uuid                              [10..], ignorable;
        partitions: Vec<OffsetCommitRequestPartition> [0..];
    }

    struct OffsetCommitRequestPartition {
        partition_index:        i32            [0..];
        committed_offset:       i64            [0..];
        committed_leader_epoch: i32            [6..] = -1, ignorable;
        commit_timestamp:       i64            [1]   = -1;
        committed_metadata:     Option<String> [0..] null [0..];
    }
}

message! {
    response 8, versions 0..=10, flexible 8;

    struct OffsetCommitResponse {
        throttle_time_ms: i32                            [3..], ignorable;
        topics:           Vec<OffsetCommitResponseTopic> [0..];
    }

    struct OffsetCommitResponseTopic {
        name:       String                             [0..=9], ignorable;
        topic_id:   Uuid                               [10..], ignorable;
        partitions: Vec<OffsetCommitResponsePartition> [0..];
    }

    struct OffsetCommitResponsePartition {
        partition_index: i32 [0..];
        error_code:      i16 [0..];
    }
}
