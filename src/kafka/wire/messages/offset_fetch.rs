//! API key 9, OffsetFetch: committed positions of groups; several groups at once from version 8 (KIP-709), by topic
//! id from version 10 (KIP-848).

use crate::kafka::wire::Uuid;

message! {
    request 9, versions 0..=10, flexible 6;

    struct OffsetFetchRequest {
        group_id:       String                               [0..=7];
        topics:         Option<Vec<OffsetFetchRequestTopic>> [0..=7] null [2..=7];
        groups:         Vec<OffsetFetchRequestGroup>         [8..];
        require_stable: bool                                 [7..];
    }

    struct OffsetFetchRequestTopic {
        name:              String   [0..=7];
        partition_indexes: Vec<i32> [0..=7];
    }

    struct OffsetFetchRequestGroup {
        group_id:     String                                [8..];
        member_id:    Option<String>                        [9..] null [9..] = None, ignorable;
        member_epoch: i32                                   [9..] = -1, ignorable;
        topics:       Option<Vec<OffsetFetchRequestTopics>> [8..] null [8..];
    }

    struct OffsetFetchRequestTopics {
        name:              String   [8..=9], ignorable;
        topic_id:          Uuid     [10..], ignorable;
        partition_indexes: Vec<i32> [8..];
    }
}

message! {
    response 9, versions 0..=10, flexible 6;

    struct OffsetFetchResponse {
        throttle_time_ms: i32                           [3..], ignorable;
        topics:           Vec<OffsetFetchResponseTopic> [0..=7];
        error_code:       i16                           [2..=7], ignorable;
        groups:           Vec<OffsetFetchResponseGroup> [8..];
    }

    struct OffsetFetchResponseTopic {
        name:       String                            [0..=7];
        partitions: Vec<OffsetFetchResponsePartition> [0..=7];
    }

    struct OffsetFetchResponsePartition {
        partition_index:        i32            [0..=7];
        committed_offset:       i64            [0..=7];
        committed_leader_epoch: i32            [5..=7] = -1, ignorable;
        metadata:               Option<String> [0..=7] null [0..=7];
        error_code:             i16            [0..=7];
    }

    struct OffsetFetchResponseGroup {
        group_id:   String                         [8..];
        topics:     Vec<OffsetFetchResponseTopics> [8..];
        error_code: i16                            [8..];
    }

    struct OffsetFetchResponseTopics {
        name:       String                             [8..=9], ignorable;
        topic_id:   Uuid                               [10..], ignorable;
        partitions: Vec<OffsetFetchResponsePartitions> [8..];
    }

    struct OffsetFetchResponsePartitions {
        partition_index:        i32            [8..];
        committed_offset:       i64            [8..];
        committed_leader_epoch: i32            [8..] = -1, ignorable;
        metadata:               Option<String> [8..] null [8..];
        error_code:             i16            [8..];
    }
}
