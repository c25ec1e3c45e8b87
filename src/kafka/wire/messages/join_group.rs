//! API key 11, JoinGroup: a member enters a group (classic protocol). The metadata of its protocols stays opaque.

use bytes::Bytes;

message! {
    request 11, versions 0..=9, flexible 6;

    struct JoinGroupRequest {
        group_id:             String                        [0..];
        session_timeout_ms:   i32                           [0..];
        rebalance_timeout_ms: i32                           [1..] = -1, ignorable;
        member_id:            String                        [0..];
        group_instance_id:    Option<String>                [5..] null [5..] = None;
        protocol_type:        String                        [0..];
        protocols:            Vec<JoinGroupRequestProtocol> [0..];
        reason:               Option<String>                [8..] null [8..] = None, ignorable;
    }

    struct JoinGroupRequestProtocol {
        name:     String [0..];
        metadata: Bytes  [0..];
    }
}

message! {
    response 11, versions 0..=9, flexible 6;

    struct JoinGroupResponse {
        throttle_time_ms: i32                          [2..], ignorable;
        error_code:       i16                          [0..];
        generation_id:    i32                          [0..] = -1;
        protocol_type:    Option<String>               [7..] null [7..] = None, ignorable;
        protocol_name:    Option<String>               [0..] null [7..];
        leader:           String                       [0..];
        skip_assignment:  bool                         [9..];
        member_id:        String                       [0..];
        members:          Vec<JoinGroupResponseMember> [0..];
    }

    struct JoinGroupResponseMember {
        member_id:         String         [0..];
        group_instance_id: Option<String> [5..] null [5..] = None, ignorable;
        metadata:          Bytes          [0..];
    }
}
