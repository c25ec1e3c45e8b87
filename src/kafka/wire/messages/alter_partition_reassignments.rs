//! API key 45, AlterPartitionReassignments: partitions move to other brokers (KIP-455).

message! {
    request 45, versions 0..=1, flexible 0;

    struct AlterPartitionReassignmentsRequest {
        timeout_ms:                      i32                    [0..] = 60000;
        allow_replication_factor_change: bool                   [1..] = true;
        topics:                          Vec<ReassignableTopic> [0..];
    }

    struct ReassignableTopic {
        name:       String                     [0..];
        partitions: Vec<ReassignablePartition> [0..];
    }

    struct ReassignablePartition {
        partition_index: i32              [0..];
        replicas:        Option<Vec<i32>> [0..] null [0..] = None;
    }
}

message! {
    response 45, versions 0..=1, flexible 0;

    struct AlterPartitionReassignmentsResponse {
        throttle_time_ms:                i32                            [0..];
        allow_replication_factor_change: bool                           [1..] = true, ignorable;
        error_code:                      i16                            [0..];
        error_message:                   Option<String>                 [0..] null [0..];
        responses:                       Vec<ReassignableTopicResponse> [0..];
    }

    struct ReassignableTopicResponse {
        name:       String                             [0..];
        partitions: Vec<ReassignablePartitionResponse> [0..];
    }

    struct ReassignablePartitionResponse {
        partition_index: i32            [0..];
        error_code:      i16            [0..];
        error_message:   Option<String> [0..] null [0..];
    }
}
