//! What members of a classic consumer group tell each other through the broker: what a member subscribes to, what it
//! is assigned. The bytes stay opaque to a broker, except where it describes groups and checks subscriptions. Each
//! value is preceded by its version as an i16 (`versioned`); readers take a newer version as the newest they know.

use bytes::Bytes;

use crate::kafka::wire::NEVER;

message! {
    data, versions 0..=3, flexible NEVER;

    struct ConsumerProtocolSubscription {
        topics:           Vec<String>         [0..];
        user_data:        Option<Bytes>       [0..] null [0..] = None;
        owned_partitions: Vec<TopicPartition> [1..], ignorable;
        generation_id:    i32                 [2..] = -1, ignorable;
        rack_id:          Option<String>      [3..] null [3..] = None, ignorable;
    }

    struct TopicPartition {
        topic:      String   [0..];
        partitions: Vec<i32> [0..];
    }
}

message! {
    data, versions 0..=3, flexible NEVER;

    struct ConsumerProtocolAssignment {
        assigned_partitions: Vec<TopicPartition> [0..];
        user_data:           Option<Bytes>       [0..] null [0..] = None;
    }
}
