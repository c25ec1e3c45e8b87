//! API key 2, ListOffsets: the offset of a time, or of the start or end of a partition (KIP-79). Version 0 answers
//! with an array of offsets.

message! {
    request 2, versions 0..=11, flexible 6;

    struct ListOffsetsRequest {
        replica_id:      i32                   [0..];
        isolation_level: i8                    [2..];
        topics:          Vec<ListOffsetsTopic> [0..];
        timeout_ms:      i32                   [10..], ignorable;
    }

    struct ListOffsetsTopic {
        name:       String                    [0..];
        partitions: Vec<ListOffsetsPartition> [0..];
    }

    struct ListOffsetsPartition {
        partition_index:      i32 [0..];
        current_leader_epoch: i32 [4..] = -1, ignorable;
        timestamp:            i64 [0..];
        max_num_offsets:      i32 [0]   = 1;
    }
}

message! {
    response 2, versions 0..=11, flexible 6;

    struct ListOffsetsResponse {
        throttle_time_ms: i32                           [2..], ignorable;
        topics:           Vec<ListOffsetsTopicResponse> [0..];
    }

    struct ListOffsetsTopicResponse {
        name:       String                            [0..];
        partitions: Vec<ListOffsetsPartitionResponse> [0..];
    }

    struct ListOffsetsPartitionResponse {
        partition_index:   i32      [0..];
        error_code:        i16      [0..];
        old_style_offsets: Vec<i64> [0];
        timestamp:         i64      [1..] = -1;
        offset:            i64      [1..] = -1;
        leader_epoch:      i32      [4..] = -1;
    }
}
