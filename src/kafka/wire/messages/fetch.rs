//! API key 1, Fetch: records of partitions. Sessions from version 7 (KIP-227), by topic id from version 13 (KIP-516).
//! Records of a response are a rope of slices, never copied.

use crate::kafka::wire::{Rope, Uuid};

message! {
    request 1, versions 4..=18, flexible 12;

    struct FetchRequest {
        cluster_id:            Option<String>      [12..]   null [12..] tag 0 [12..] = None, ignorable;
        replica_id:            i32                 [4..=14] = -1;
        replica_state:         ReplicaState        [15..]   tag 1 [15..];
        max_wait_ms:           i32                 [4..];
        min_bytes:             i32                 [4..];
        max_bytes:             i32                 [4..]    = 2147483647, ignorable;
        isolation_level:       i8                  [4..], ignorable;
        session_id:            i32                 [7..], ignorable;
        session_epoch:         i32                 [7..]    = -1, ignorable;
        topics:                Vec<FetchTopic>     [4..];
        forgotten_topics_data: Vec<ForgottenTopic> [7..];
        rack_id:               String              [11..], ignorable;
    }

    struct ReplicaState {
        replica_id:    i32 [15..] = -1;
        replica_epoch: i64 [15..] = -1;
    }

    struct FetchTopic {
        topic:      String              [4..=12], ignorable;
        topic_id:   Uuid                [13..], ignorable;
        partitions: Vec<FetchPartition> [4..];
    }

    struct FetchPartition {
        partition:            i32  [4..];
        current_leader_epoch: i32  [9..]  = -1, ignorable;
        fetch_offset:         i64  [4..];
        last_fetched_epoch:   i32  [12..] = -1;
        log_start_offset:     i64  [5..]  = -1, ignorable;
        partition_max_bytes:  i32  [4..];
        replica_directory_id: Uuid [17..] tag 0 [17..], ignorable;
        high_watermark:       i64  [18..] tag 1 [18..] = 9223372036854775807, ignorable;
    }

    struct ForgottenTopic {
        topic:      String   [7..=12], ignorable;
        topic_id:   Uuid     [13..], ignorable;
        partitions: Vec<i32> [7..];
    }
}

message! {
    response 1, versions 4..=18, flexible 12;

    struct FetchResponse {
        throttle_time_ms: i32                         [4..], ignorable;
        error_code:       i16                         [7..], ignorable;
        session_id:       i32                         [7..];
        responses:        Vec<FetchableTopicResponse> [4..];
        node_endpoints:   Vec<NodeEndpoint>           [16..] tag 0 [16..];
    }

    struct FetchableTopicResponse {
        topic:      String             [4..=12], ignorable;
        topic_id:   Uuid               [13..], ignorable;
        partitions: Vec<PartitionData> [4..];
    }

    struct PartitionData {
        partition_index:        i32                             [4..];
        error_code:             i16                             [4..];
        high_watermark:         i64                             [4..];
        last_stable_offset:     i64                             [4..]  = -1, ignorable;
        log_start_offset:       i64                             [5..]  = -1, ignorable;
        diverging_epoch:        EpochEndOffset                  [12..] tag 0 [12..];
        current_leader:         LeaderIdAndEpoch                [12..] tag 1 [12..];
        snapshot_id:            SnapshotId                      [12..] tag 2 [12..];
        aborted_transactions:   Option<Vec<AbortedTransaction>> [4..]  null [4..], ignorable;
        preferred_read_replica: i32                             [11..] = -1;
        records:                Option<Rope>                    [4..]  null [4..] = None;
    }

    struct EpochEndOffset {
        epoch:      i32 [12..] = -1;
        end_offset: i64 [12..] = -1;
    }

    struct LeaderIdAndEpoch {
        leader_id:    i32 [12..] = -1;
        leader_epoch: i32 [12..] = -1;
    }

    struct SnapshotId {
        end_offset: i64 [4..] = -1;
        epoch:      i32 [4..] = -1;
    }

    struct AbortedTransaction {
        producer_id:  i64 [4..];
        first_offset: i64 [4..];
    }

    struct NodeEndpoint {
        node_id: i32            [16..];
        host:    String         [16..];
        port:    i32            [16..];
        rack:    Option<String> [16..] null [16..] = None;
    }
}
