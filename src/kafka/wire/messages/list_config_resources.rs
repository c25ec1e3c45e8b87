//! API key 74, ListConfigResources: resources that have settings of their own; only client metrics in version 0
//! (KIP-714, KIP-1142).

message! {
    request 74, versions 0..=1, flexible 0;

    struct ListConfigResourcesRequest {
        resource_types: Vec<i8> [1..];
    }
}

message! {
    response 74, versions 0..=1, flexible 0;

    struct ListConfigResourcesResponse {
        throttle_time_ms: i32                 [0..];
        error_code:       i16                 [0..];
        config_resources: Vec<ConfigResource> [0..];
    }

    struct ConfigResource {
        resource_name: String [0..];
        resource_type: i8     [1..] = 16, ignorable;
    }
}
