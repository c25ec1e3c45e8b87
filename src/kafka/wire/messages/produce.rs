//! API key 0, Produce: records for partitions. Versions 0-2 are listed by brokers and always refused (KAFKA-18659),
//! so they are not stated. By topic id from version 13 (KIP-516). Record bytes are slices of the request's frame.

use bytes::Bytes;

use crate::kafka::wire::Uuid;

message! {
    request 0, versions 3..=13, flexible 9;

    struct ProduceRequest {
        transactional_id: Option<String>        [3..] null [3..] = None;
        acks:             i16                   [3..];
        timeout_ms:       i32                   [3..];
        topic_data:       Vec<TopicProduceData> [3..];
    }

    struct TopicProduceData {
        name:           String                    [3..=12], ignorable;
        topic_id:       Uuid                      [13..], ignorable;
        partition_data: Vec<PartitionProduceData> [3..];
    }

    struct PartitionProduceData {
        index:   i32           [3..];
        records: Option<Bytes> [3..] null [3..] = None;
    }
}

message! {
    response 0, versions 3..=13, flexible 9;

    struct ProduceResponse {
        responses:        Vec<TopicProduceResponse> [3..];
        throttle_time_ms: i32                       [3..], ignorable;
        node_endpoints:   Vec<NodeEndpoint>         [10..] tag 0 [10..];
    }

    struct TopicProduceResponse {
        name:                String                        [3..=12], ignorable;
        topic_id:            Uuid                          [13..], ignorable;
        partition_responses: Vec<PartitionProduceResponse> [3..];
    }

    struct PartitionProduceResponse {
        index:              i32                            [3..];
        error_code:         i16                            [3..];
        base_offset:        i64                            [3..];
        log_append_time_ms: i64                            [3..]  = -1, ignorable;
        log_start_offset:   i64                            [5..]  = -1, ignorable;
        record_errors:      Vec<BatchIndexAndErrorMessage> [8..], ignorable;
        error_message:      Option<String>                 [8..]  null [8..] = None, ignorable;
        current_leader:     LeaderIdAndEpoch               [10..] tag 0 [10..];
    }

    struct BatchIndexAndErrorMessage {
        batch_index:               i32            [8..];
        batch_index_error_message: Option<String> [8..] null [8..] = None;
    }

    struct LeaderIdAndEpoch {
        leader_id:    i32 [10..] = -1;
        leader_epoch: i32 [10..] = -1;
    }

    struct NodeEndpoint {
        node_id: i32            [10..];
        host:    String         [10..];
        port:    i32            [10..];
        rack:    Option<String> [10..] null [10..] = None;
    }
}
