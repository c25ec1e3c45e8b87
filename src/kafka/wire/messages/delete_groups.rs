//! API key 42, DeleteGroups: groups to be deleted (KIP-229).

message! {
    request 42, versions 0..=3, flexible 2;

    struct DeleteGroupsRequest {
        groups_names: Vec<String> [0..];
    }
}

message! {
    response 42, versions 0..=3, flexible 2;

    struct DeleteGroupsResponse {
        throttle_time_ms: i32                       [0..];
        results:          Vec<DeletableGroupResult> [0..];
    }

    struct DeletableGroupResult {
        group_id:      String         [0..];
        error_code:    i16            [0..];
        error_message: Option<String> [3..] null [3..] = None, ignorable;
    }
}
