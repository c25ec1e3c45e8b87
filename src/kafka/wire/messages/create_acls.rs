//! API key 30, CreateAcls: access rules are added (KIP-140), with pattern types from version 1 (KIP-290).

message! {
    request 30, versions 0..=3, flexible 2;

    struct CreateAclsRequest {
        creations: Vec<AclCreation> [0..];
    }

    struct AclCreation {
        resource_type:         i8     [0..];
        resource_name:         String [0..];
        resource_pattern_type: i8     [1..] = 3;
        principal:             String [0..];
        host:                  String [0..];
        operation:             i8     [0..];
        permission_type:       i8     [0..];
    }
}

message! {
    response 30, versions 0..=3, flexible 2;

    struct CreateAclsResponse {
        throttle_time_ms: i32                    [0..];
        results:          Vec<AclCreationResult> [0..];
    }

    struct AclCreationResult {
        error_code:    i16            [0..];
        error_message: Option<String> [0..] null [0..];
    }
}
