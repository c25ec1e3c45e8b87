//! API key 46, ListPartitionReassignments: partitions on their way to other brokers (KIP-455).

message! {
    request 46, versions 0..=0, flexible 0;

    struct ListPartitionReassignmentsRequest {
        timeout_ms: i32                                           [0..] = 60000;
        topics:     Option<Vec<ListPartitionReassignmentsTopics>> [0..] null [0..] = None;
    }

    struct ListPartitionReassignmentsTopics {
        name:              String   [0..];
        partition_indexes: Vec<i32> [0..];
    }
}

message! {
    response 46, versions 0..=0, flexible 0;

    struct ListPartitionReassignmentsResponse {
        throttle_time_ms: i32                           [0..];
        error_code:       i16                           [0..];
        error_message:    Option<String>                [0..] null [0..];
        topics:           Vec<OngoingTopicReassignment> [0..];
    }

    struct OngoingTopicReassignment {
        name:       String                            [0..];
        partitions: Vec<OngoingPartitionReassignment> [0..];
    }

    struct OngoingPartitionReassignment {
        partition_index:   i32      [0..];
        replicas:          Vec<i32> [0..];
        adding_replicas:   Vec<i32> [0..];
        removing_replicas: Vec<i32> [0..];
    }
}
