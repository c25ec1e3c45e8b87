//! API key 13, LeaveGroup: members leave a group; several at once from version 3 (KIP-345).

message! {
    request 13, versions 0..=5, flexible 4;

    struct LeaveGroupRequest {
        group_id:  String              [0..];
        member_id: String              [0..=2];
        members:   Vec<MemberIdentity> [3..];
    }

    struct MemberIdentity {
        member_id:         String         [3..];
        group_instance_id: Option<String> [3..] null [3..] = None;
        reason:            Option<String> [5..] null [5..] = None, ignorable;
    }
}

message! {
    response 13, versions 0..=5, flexible 4;

    struct LeaveGroupResponse {
        throttle_time_ms: i32                 [1..], ignorable;
        error_code:       i16                 [0..];
        members:          Vec<MemberResponse> [3..];
    }

    struct MemberResponse {
        member_id:         String         [3..];
        group_instance_id: Option<String> [3..] null [3..];
        error_code:        i16            [3..];
    }
}
