//! The records of `__consumer_offsets` about consumer groups (KIP-848), as Kafka publishes them. Key and value are each
//! preceded by an i16 (`versioned`): that of a key is the kind of the record, that of a value its version.
//!
//! `classic_member_metadata` and `assignment_epochs` are not null unless somebody says so: Kafka's definitions name
//! null as their default in a way that its own classes do not take. Who has none writes `None`.

use bytes::Bytes;

use crate::kafka::wire::{NEVER, Uuid};

message! {
    data, versions 3..=3, flexible NEVER;

    struct ConsumerGroupMetadataKey {
        group_id: String [3..];
    }
}

message! {
    data, versions 0..=0, flexible 0;

    struct ConsumerGroupMetadataValue {
        epoch:         i32 [0..];
        metadata_hash: i64 [0..] tag 0 [0..];
    }
}

message! {
    data, versions 4..=4, flexible NEVER;

    struct ConsumerGroupPartitionMetadataKey {
        group_id: String [4..];
    }
}

message! {
    data, versions 0..=0, flexible 0;

    struct ConsumerGroupPartitionMetadataValue {
        topics: Vec<TopicMetadata> [0..];
    }

    struct TopicMetadata {
        topic_id:           Uuid                   [0..];
        topic_name:         String                 [0..];
        num_partitions:     i32                    [0..];
        partition_metadata: Vec<PartitionMetadata> [0..];
    }

    struct PartitionMetadata {
        partition: i32         [0..];
        racks:     Vec<String> [0..];
    }
}

message! {
    data, versions 5..=5, flexible NEVER;

    struct ConsumerGroupMemberMetadataKey {
        group_id:  String [5..];
        member_id: String [5..];
    }
}

message! {
    data, versions 0..=0, flexible 0;

    struct ConsumerGroupMemberMetadataValue {
        instance_id:             Option<String>                [0..] null [0..];
        rack_id:                 Option<String>                [0..] null [0..];
        client_id:               String                        [0..];
        client_host:             String                        [0..];
        subscribed_topic_names:  Vec<String>                   [0..];
        subscribed_topic_regex:  Option<String>                [0..] null [0..];
        rebalance_timeout_ms:    i32                           [0..] = -1;
        server_assignor:         Option<String>                [0..] null [0..];
        classic_member_metadata: Option<ClassicMemberMetadata> [0..] null [0..] tag 0 [0..];
    }

    struct ClassicMemberMetadata {
        session_timeout_ms:  i32                  [0..];
        supported_protocols: Vec<ClassicProtocol> [0..];
    }

    struct ClassicProtocol {
        name:     String [0..];
        metadata: Bytes  [0..];
    }
}

message! {
    data, versions 6..=6, flexible NEVER;

    struct ConsumerGroupTargetAssignmentMetadataKey {
        group_id: String [6..];
    }
}

message! {
    data, versions 0..=0, flexible 0;

    struct ConsumerGroupTargetAssignmentMetadataValue {
        assignment_epoch:     i32 [0..];
        assignment_timestamp: i64 [0..] tag 0 [0..], ignorable;
    }
}

message! {
    data, versions 7..=7, flexible NEVER;

    struct ConsumerGroupTargetAssignmentMemberKey {
        group_id:  String [7..];
        member_id: String [7..];
    }
}

message! {
    data, versions 0..=0, flexible 0;

    struct ConsumerGroupTargetAssignmentMemberValue {
        topic_partitions: Vec<TopicPartition> [0..];
    }

    struct TopicPartition {
        topic_id:   Uuid     [0..];
        partitions: Vec<i32> [0..];
    }
}

message! {
    data, versions 8..=8, flexible NEVER;

    struct ConsumerGroupCurrentMemberAssignmentKey {
        group_id:  String [8..];
        member_id: String [8..];
    }
}

message! {
    data, versions 0..=0, flexible 0;

    struct ConsumerGroupCurrentMemberAssignmentValue {
        member_epoch:                  i32                  [0..];
        previous_member_epoch:         i32                  [0..];
        state:                         i8                   [0..];
        assigned_partitions:           Vec<TopicPartitions> [0..];
        partitions_pending_revocation: Vec<TopicPartitions> [0..];
    }

    struct TopicPartitions {
        topic_id:          Uuid             [0..];
        partitions:        Vec<i32>         [0..];
        assignment_epochs: Option<Vec<i32>> [0..] null [0..] tag 0 [0..];
    }
}

message! {
    data, versions 16..=16, flexible NEVER;

    struct ConsumerGroupRegularExpressionKey {
        group_id:           String [16..];
        regular_expression: String [16..];
    }
}

message! {
    data, versions 0..=0, flexible 0;

    struct ConsumerGroupRegularExpressionValue {
        topics:    Vec<String> [0..];
        version:   i64         [0..];
        timestamp: i64         [0..];
    }
}
