//! API key 55, DescribeQuorum: who keeps the cluster metadata and how far each has come (KIP-595, KIP-836, KIP-853).

use crate::kafka::wire::Uuid;

message! {
    request 55, versions 0..=2, flexible 0;

    struct DescribeQuorumRequest {
        topics: Vec<RequestTopicData> [0..];
    }

    struct RequestTopicData {
        topic_name: String                    [0..];
        partitions: Vec<RequestPartitionData> [0..];
    }

    struct RequestPartitionData {
        partition_index: i32 [0..];
    }
}

message! {
    response 55, versions 0..=2, flexible 0;

    struct DescribeQuorumResponse {
        error_code:    i16            [0..];
        error_message: Option<String> [2..] null [2..], ignorable;
        topics:        Vec<TopicData> [0..];
        nodes:         Vec<Node>      [2..];
    }

    struct TopicData {
        topic_name: String             [0..];
        partitions: Vec<PartitionData> [0..];
    }

    struct PartitionData {
        partition_index: i32               [0..];
        error_code:      i16               [0..];
        error_message:   Option<String>    [2..] null [2..], ignorable;
        leader_id:       i32               [0..];
        leader_epoch:    i32               [0..];
        high_watermark:  i64               [0..];
        current_voters:  Vec<ReplicaState> [0..];
        observers:       Vec<ReplicaState> [0..];
    }

    struct ReplicaState {
        replica_id:               i32  [0..];
        replica_directory_id:     Uuid [2..];
        log_end_offset:           i64  [0..];
        last_fetch_timestamp:     i64  [1..] = -1, ignorable;
        last_caught_up_timestamp: i64  [1..] = -1, ignorable;
    }

    struct Node {
        node_id:   i32           [2..];
        listeners: Vec<Listener> [2..];
    }

    struct Listener {
        name: String [2..];
        host: String [2..];
        port: u16    [2..];
    }
}
