//! API key 23, OffsetForLeaderEpoch: where leader epochs ended (KIP-101, KIP-320).

message! {
    request 23, versions 0..=4, flexible 4;

    struct OffsetForLeaderEpochRequest {
        replica_id: i32                       [3..] = -2, ignorable;
        topics:     Vec<OffsetForLeaderTopic> [0..];
    }

    struct OffsetForLeaderTopic {
        topic:      String                        [0..];
        partitions: Vec<OffsetForLeaderPartition> [0..];
    }

    struct OffsetForLeaderPartition {
        partition:            i32 [0..];
        current_leader_epoch: i32 [2..] = -1, ignorable;
        leader_epoch:         i32 [0..];
    }
}

message! {
    response 23, versions 0..=4, flexible 4;

    struct OffsetForLeaderEpochResponse {
        throttle_time_ms: i32                             [2..], ignorable;
        topics:           Vec<OffsetForLeaderTopicResult> [0..];
    }

    struct OffsetForLeaderTopicResult {
        topic:      String              [0..];
        partitions: Vec<EpochEndOffset> [0..];
    }

    struct EpochEndOffset {
        error_code:   i16 [0..];
        partition:    i32 [0..];
        leader_epoch: i32 [1..] = -1, ignorable;
        end_offset:   i64 [0..] = -1;
    }
}
