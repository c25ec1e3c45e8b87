//! API key 14, SyncGroup: the leader of a group hands out assignments, everyone receives theirs, opaque.

use bytes::Bytes;

message! {
    request 14, versions 0..=5, flexible 4;

    struct SyncGroupRequest {
        group_id:          String                          [0..];
        generation_id:     i32                             [0..];
        member_id:         String                          [0..];
        group_instance_id: Option<String>                  [3..] null [3..] = None;
        protocol_type:     Option<String>                  [5..] null [5..] = None, ignorable;
        protocol_name:     Option<String>                  [5..] null [5..] = None, ignorable;
        assignments:       Vec<SyncGroupRequestAssignment> [0..];
    }

    struct SyncGroupRequestAssignment {
        member_id:  String [0..];
        assignment: Bytes  [0..];
    }
}

message! {
    response 14, versions 0..=5, flexible 4;

    struct SyncGroupResponse {
        throttle_time_ms: i32            [1..], ignorable;
        error_code:       i16            [0..];
        protocol_type:    Option<String> [5..] null [5..] = None, ignorable;
        protocol_name:    Option<String> [5..] null [5..] = None, ignorable;
        assignment:       Bytes          [0..];
    }
}
