//! ApiVersions (18): what a client may ask here.
//!
//! Serves v0–5: v3 flexible, client software, features (KIP-511, KIP-584) · v4 features whose minimum is 0 · v5 the
//! broker the client means (KIP-1242). A version from the future is answered by the table, before it comes here.
//! Never lists what is not served: every line comes from the table.

use std::sync::Arc;

use super::{Answer, Api};
use crate::kafka::cx::{Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::table;
use crate::kafka::wire::messages::api_versions::{
    ApiVersionsRequest, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};

pub struct ApiVersions;

/// Longer names of software are refused: no client has one, and they are kept as long as the connection.
const SOFTWARE_LIMIT_BYTES: usize = 256;

impl Api for ApiVersions {
    type Request = ApiVersionsRequest;
    type Response = ApiVersionsResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: ApiVersionsRequest) -> Answer<ApiVersionsResponse> {
        if call.version >= 3 {
            let software = (request.client_software_name, request.client_software_version);
            if !is_software(&software.0) || !is_software(&software.1) {
                return refused(Code::InvalidRequest);
            }
            tracing::debug!(peer = %call.conn.peer, name = software.0, version = software.1, "client software");
            // Asked twice on one connection, the first answer stands.
            let _ = call.conn.software.set(software);
        }
        if let Some(cluster_id) = request.cluster_id
            && request.node_id >= 0
            && (cluster_id != cx.options.cluster_id || request.node_id != cx.options.node_id)
        {
            return refused(Code::RebootstrapRequired);
        }
        let supported = FEATURES.iter().filter(|_| call.version >= ZERO_FROM).map(|(name, max)| SupportedFeatureKey {
            name: (*name).to_owned(),
            min_version: 0,
            max_version: *max,
        });
        let finalized = FEATURES.iter().map(|(name, max)| FinalizedFeatureKey {
            name: (*name).to_owned(),
            max_version_level: *max,
            min_version_level: *max,
        });
        Answer::Now(ApiVersionsResponse {
            api_keys: table::api_keys(),
            supported_features: supported.collect(),
            finalized_features_epoch: FEATURES_EPOCH,
            finalized_features: finalized.collect(),
            ..ApiVersionsResponse::default()
        })
    }
}

/// What clients switch on by a finalized level (KIP-584), with the level: each is served whole.
pub(super) const FEATURES: &[(&str, i16)] = &[("group.version", 1), ("transaction.version", 2)];
/// The levels have never been changed.
const FEATURES_EPOCH: i64 = 0;
/// Before this version a client cannot read a feature whose lowest level is 0 (KAFKA-17492).
const ZERO_FROM: i16 = 4;

fn refused(code: Code) -> Answer<ApiVersionsResponse> {
    Answer::Now(ApiVersionsResponse { error_code: code.wire(), ..ApiVersionsResponse::default() })
}

/// Letters, digits, `-` and `.`, beginning and ending with a letter or digit (KIP-511).
fn is_software(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    let outer = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    bytes.len() <= SOFTWARE_LIMIT_BYTES
        && outer(bytes.first())
        && outer(bytes.last())
        && bytes.iter().all(|&b| inner(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn software_is_named_as_kafka_allows() {
        for (name, fine) in [
            ("apache-kafka-java", true),
            ("librdkafka", true),
            ("4.4.0", true),
            ("a", true),
            ("", false),
            ("-x", false),
            ("x.", false),
            ("a b", false),
            ("a_b", false),
        ] {
            assert_eq!(is_software(name), fine, "{name}");
        }
    }
}
