//! API key 20, DeleteTopics: topics to be deleted, by id from version 6 (KIP-516).

use crate::kafka::wire::Uuid;

message! {
    request 20, versions 0..=6, flexible 4;

    struct DeleteTopicsRequest {
        topics:      Vec<DeleteTopicState> [6..];
        topic_names: Vec<String>           [0..=5], ignorable;
        timeout_ms:  i32                   [0..];
    }

    struct DeleteTopicState {
        name:     Option<String> [6..] null [6..] = None;
        topic_id: Uuid           [6..];
    }
}

message! {
    response 20, versions 0..=6, flexible 4;

    struct DeleteTopicsResponse {
        throttle_time_ms: i32                       [1..], ignorable;
        responses:        Vec<DeletableTopicResult> [0..];
    }

    struct DeletableTopicResult {
        name:          Option<String> [0..] null [6..];
        topic_id:      Uuid           [6..], ignorable;
        error_code:    i16            [0..];
        error_message: Option<String> [5..] null [5..] = None, ignorable;
    }
}
