//! API key 18, ApiVersions: which API keys, versions and features the broker serves (KIP-35, KIP-511, KIP-584).
//! Fields only; the response always takes header version 0.

message! {
    request 18, versions 0..=5, flexible 3;

    struct ApiVersionsRequest {
        client_software_name:    String         [3..], ignorable;
        client_software_version: String         [3..], ignorable;
        cluster_id:              Option<String> [5..] null [5..] = None, ignorable;
        node_id:                 i32            [5..] = -1, ignorable;
    }
}

message! {
    response 18, versions 0..=5, flexible 3;

    struct ApiVersionsResponse {
        error_code:               i16                      [0..];
        api_keys:                 Vec<ApiVersion>          [0..];
        throttle_time_ms:         i32                      [1..], ignorable;
        supported_features:       Vec<SupportedFeatureKey> [3..] tag 0 [3..], ignorable;
        finalized_features_epoch: i64                      [3..] tag 1 [3..] = -1, ignorable;
        finalized_features:       Vec<FinalizedFeatureKey> [3..] tag 2 [3..], ignorable;
        zk_migration_ready:       bool                     [3..] tag 3 [3..], ignorable;
    }

    struct ApiVersion {
        api_key:     i16 [0..];
        min_version: i16 [0..];
        max_version: i16 [0..];
    }

    struct SupportedFeatureKey {
        name:        String [3..];
        min_version: i16    [3..];
        max_version: i16    [3..];
    }

    struct FinalizedFeatureKey {
        name:              String [3..];
        max_version_level: i16    [3..];
        min_version_level: i16    [3..];
    }
}
