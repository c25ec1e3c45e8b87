//! API key 49, AlterClientQuotas: quotas of users, client ids and addresses change (KIP-546).

message! {
    request 49, versions 0..=1, flexible 1;

    struct AlterClientQuotasRequest {
        entries:       Vec<EntryData> [0..];
        validate_only: bool           [0..];
    }

    struct EntryData {
        entity: Vec<EntityData> [0..];
        ops:    Vec<OpData>     [0..];
    }

    struct EntityData {
        entity_type: String         [0..];
        entity_name: Option<String> [0..] null [0..];
    }

    struct OpData {
        key:    String [0..];
        value:  f64    [0..];
        remove: bool   [0..];
    }
}

message! {
    response 49, versions 0..=1, flexible 1;

    struct AlterClientQuotasResponse {
        throttle_time_ms: i32                    [0..];
        entries:          Vec<ResponseEntryData> [0..];
    }

    struct ResponseEntryData {
        error_code:    i16             [0..];
        error_message: Option<String>  [0..] null [0..];
        entity:        Vec<EntityData> [0..];
    }
}
