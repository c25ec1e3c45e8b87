//! FindCoordinator (10): which broker a group, or a transactional id, must talk to. There is one broker: this.
//!
//! Serves v0–6. v1 key types, throttle time, message · v3 flexible · v4 many keys at once (KIP-699) · v5 as v4 · v6 share
//! groups' state (KIP-932), which is not served: as in Kafka where it is switched off, the request is invalid.

use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::kafka::access::{Access, group, transaction, words};
use crate::kafka::cx::{Advertised, Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::wire::messages::find_coordinator::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};

pub struct FindCoordinator;

impl Api for FindCoordinator {
    type Request = FindCoordinatorRequest;
    type Response = FindCoordinatorResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: FindCoordinatorRequest) -> Answer<FindCoordinatorResponse> {
        let access = cx.access(&call);
        Answer::Now(response(&access, call.version, request, cx.options.node_id, &call.conn.advertised))
    }
}

/// Whether there is somebody who coordinates a key of this type, for whoever asks.
fn find(access: &Access, key_type: i8, key: &str) -> Result<(), Code> {
    match key_type {
        0 => access.check(Action::Describe, group(key)),
        1 => access.check(Action::Describe, transaction(key)),
        _ => Err(Code::InvalidRequest),
    }
}

fn response(
    access: &Access,
    version: i16,
    request: FindCoordinatorRequest,
    node_id: i32,
    at: &Advertised,
) -> FindCoordinatorResponse {
    let keys = if version >= 4 { request.coordinator_keys } else { vec![request.key] };
    let coordinator = |key: String| match find(access, request.key_type, &key) {
        Ok(()) => Coordinator {
            key,
            node_id,
            host: at.host.clone(),
            port: i32::from(at.port),
            error_code: Code::None.wire(),
            error_message: None,
        },
        Err(code) => Coordinator {
            key,
            node_id: -1,
            host: String::new(),
            port: -1,
            error_code: code.wire(),
            error_message: None,
        },
    };
    let mut coordinators: Vec<Coordinator> = keys.into_iter().map(coordinator).collect();
    if version >= 4 {
        return FindCoordinatorResponse { coordinators, ..FindCoordinatorResponse::default() };
    }
    let Some(one) = coordinators.pop() else { return FindCoordinatorResponse::default() };
    // Kafka names the error here, even where there is none.
    let message = match find(access, request.key_type, &one.key) {
        Ok(()) => Code::None.to_string(),
        Err(Code::InvalidRequest) => Code::InvalidRequest.to_string(),
        Err(code) => words(code).to_owned(),
    };
    FindCoordinatorResponse {
        error_code: one.error_code,
        error_message: Some(message),
        node_id: one.node_id,
        host: one.host,
        port: one.port,
        ..FindCoordinatorResponse::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::wire::{Message, Writer};

    #[test]
    fn groups_and_transactions_are_here_and_other_types_are_invalid() {
        let at = Advertised { host: "h".into(), port: 9092 };
        for version in 0..=6 {
            for (key_type, expected) in [(0, (0, 1, 9092)), (1, (0, 1, 9092)), (2, (42, -1, -1)), (9, (42, -1, -1))] {
                let keys = vec!["k".into(), "l".into()];
                let request = FindCoordinatorRequest { key: "k".into(), key_type, coordinator_keys: keys };
                let response = response(&Access::open(), version, request, 1, &at);
                assert!(response.encode(&mut Writer::new(), version).is_ok(), "v{version}");
                if version < 4 {
                    assert_eq!((response.error_code, response.node_id, response.port), expected, "v{version}");
                } else {
                    let found: Vec<_> = response.coordinators.iter().map(|c| (&*c.key, c.error_code)).collect();
                    assert_eq!(found, [("k", expected.0), ("l", expected.0)]);
                }
            }
        }
    }
}
