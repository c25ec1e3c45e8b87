//! API key 32, DescribeConfigs: settings of topics, brokers and other resources, with their sources (KIP-133,
//! KIP-226).

message! {
    request 32, versions 0..=4, flexible 4;

    struct DescribeConfigsRequest {
        resources:             Vec<DescribeConfigsResource> [0..];
        include_synonyms:      bool                         [1..];
        include_documentation: bool                         [3..];
    }

    struct DescribeConfigsResource {
        resource_type:      i8                  [0..];
        resource_name:      String              [0..];
        configuration_keys: Option<Vec<String>> [0..] null [0..];
    }
}

message! {
    response 32, versions 0..=4, flexible 4;

    struct DescribeConfigsResponse {
        throttle_time_ms: i32                        [0..];
        results:          Vec<DescribeConfigsResult> [0..];
    }

    struct DescribeConfigsResult {
        error_code:    i16                                [0..];
        error_message: Option<String>                     [0..] null [0..];
        resource_type: i8                                 [0..];
        resource_name: String                             [0..];
        configs:       Vec<DescribeConfigsResourceResult> [0..];
    }

    struct DescribeConfigsResourceResult {
        name:          String                      [0..];
        value:         Option<String>              [0..] null [0..];
        read_only:     bool                        [0..];
        is_default:    bool                        [0];
        config_source: i8                          [1..] = -1, ignorable;
        is_sensitive:  bool                        [0..];
        synonyms:      Vec<DescribeConfigsSynonym> [1..], ignorable;
        config_type:   i8                          [3..], ignorable;
        documentation: Option<String>              [3..] null [0..], ignorable;
    }

    struct DescribeConfigsSynonym {
        name:   String         [1..];
        value:  Option<String> [1..] null [0..];
        source: i8             [1..];
    }
}
