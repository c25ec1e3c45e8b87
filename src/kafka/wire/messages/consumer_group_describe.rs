//! API key 69, ConsumerGroupDescribe: consumer groups, their members and assignments (KIP-848).

use crate::kafka::wire::Uuid;

message! {
    request 69, versions 0..=1, flexible 0;

    struct ConsumerGroupDescribeRequest {
        group_ids:                     Vec<String> [0..];
        include_authorized_operations: bool        [0..];
    }
}

message! {
    response 69, versions 0..=1, flexible 0;

    struct ConsumerGroupDescribeResponse {
        throttle_time_ms: i32                 [0..];
        groups:           Vec<DescribedGroup> [0..];
    }

    struct DescribedGroup {
        error_code:            i16            [0..];
        error_message:         Option<String> [0..] null [0..] = None;
        group_id:              String         [0..];
        group_state:           String         [0..];
        group_epoch:           i32            [0..];
        assignment_epoch:      i32            [0..];
        assignor_name:         String         [0..];
        members:               Vec<Member>    [0..];
        authorized_operations: i32            [0..] = -2147483648;
    }

    struct Member {
        member_id:              String         [0..];
        instance_id:            Option<String> [0..] null [0..] = None;
        rack_id:                Option<String> [0..] null [0..] = None;
        member_epoch:           i32            [0..];
        client_id:              String         [0..];
        client_host:            String         [0..];
        subscribed_topic_names: Vec<String>    [0..];
        subscribed_topic_regex: Option<String> [0..] null [0..] = None;
        assignment:             Assignment     [0..];
        target_assignment:      Assignment     [0..];
        member_type:            i8             [1..] = -1, ignorable;
    }

    struct Assignment {
        topic_partitions: Vec<TopicPartitions> [0..];
    }

    struct TopicPartitions {
        topic_id:   Uuid     [0..];
        topic_name: String   [0..];
        partitions: Vec<i32> [0..];
    }
}
