//! The records of `__consumer_offsets` as Kafka publishes them: positions and classic groups. Key and value are each
//! preceded by a version as an i16 (`versioned`); the version of the key also tells its kind: 0 and 1 are
//! `OffsetCommitKey`, 2 is `GroupMetadataKey`.

use bytes::Bytes;

use crate::kafka::wire::{NEVER, Uuid};

message! {
    data, versions 0..=1, flexible NEVER;

    struct OffsetCommitKey {
        group:     String [0..];
        topic:     String [0..];
        partition: i32    [0..];
    }
}

message! {
    data, versions 0..=4, flexible 4;

    struct OffsetCommitValue {
        offset:           i64    [0..];
        leader_epoch:     i32    [3..] = -1, ignorable;
        metadata:         String [0..];
        commit_timestamp: i64    [0..];
        expire_timestamp: i64    [1]   = -1, ignorable;
        topic_id:         Uuid   [4..] tag 0 [4..], ignorable;
    }
}

message! {
    data, versions 2..=2, flexible NEVER;

    struct GroupMetadataKey {
        group: String [2..];
    }
}

message! {
    data, versions 0..=4, flexible 4;

    struct GroupMetadataValue {
        protocol_type:           String              [0..];
        generation:              i32                 [0..];
        protocol:                Option<String>      [0..] null [0..];
        leader:                  Option<String>      [0..] null [0..];
        current_state_timestamp: i64                 [2..] = -1, ignorable;
        members:                 Vec<MemberMetadata> [0..];
    }

    struct MemberMetadata {
        member_id:         String         [0..];
        group_instance_id: Option<String> [3..] null [3..] = None, ignorable;
        client_id:         String         [0..];
        client_host:       String         [0..];
        rebalance_timeout: i32            [1..] = -1, ignorable;
        session_timeout:   i32            [0..];
        subscription:      Bytes          [0..];
        assignment:        Bytes          [0..];
    }
}
