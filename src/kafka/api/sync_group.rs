//! SyncGroup (14): the leader hands out assignments, everyone receives theirs.
//!
//! Serves v0–5. v1 throttle time · v3 group instance id · v4 flexible · v5 protocol type and name (KIP-559).
//! Waits in the group machine for the leader. The assignments are opaque: their bytes come out as they went in.

use std::sync::Arc;

use bytes::Bytes;

use super::{Answer, Api};
use crate::auth::Action;
use crate::kafka::access::group;
use crate::kafka::cx::{Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::group::{Sync, Synced};
use crate::kafka::wire::messages::sync_group::{SyncGroupRequest, SyncGroupResponse};

pub struct SyncGroup;

impl Api for SyncGroup {
    type Request = SyncGroupRequest;
    type Response = SyncGroupResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: SyncGroupRequest) -> Answer<SyncGroupResponse> {
        // From v5 on, a member must say what it believes it is taking part in.
        let is_incomplete = request.protocol_type.is_none() || request.protocol_name.is_none();
        let result = match call.version >= 5 && is_incomplete {
            true => Err(Code::InconsistentGroupProtocol),
            false => match cx.access(&call).check(Action::Read, group(&request.group_id)) {
                Ok(()) => cx.groups.sync(command(request)).await,
                Err(code) => Err(code),
            },
        };
        Answer::Now(response(result))
    }
}

fn command(request: SyncGroupRequest) -> Sync {
    Sync {
        group: request.group_id.into(),
        generation: request.generation_id,
        member: request.member_id.into(),
        instance: request.group_instance_id.map(Into::into),
        protocol_type: request.protocol_type.map(Into::into),
        protocol: request.protocol_name.map(Into::into),
        // Copied: a group lives longer than the frame, which may be much larger.
        assignments: request
            .assignments
            .iter()
            .map(|a| (a.member_id.as_str().into(), Bytes::copy_from_slice(&a.assignment)))
            .collect(),
    }
}

fn response(result: Result<Synced, Code>) -> SyncGroupResponse {
    match result {
        Ok(synced) => SyncGroupResponse {
            throttle_time_ms: 0,
            error_code: Code::None.wire(),
            protocol_type: synced.protocol_type.map(|name| name.to_string()),
            protocol_name: synced.protocol.map(|name| name.to_string()),
            assignment: synced.assignment,
        },
        Err(code) => SyncGroupResponse { error_code: code.wire(), ..SyncGroupResponse::default() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::wire::messages::sync_group::SyncGroupRequestAssignment;

    #[test]
    fn an_assignment_does_not_keep_its_frame_in_memory() {
        let frame = Bytes::from(vec![7; 1 << 20]);
        let assignment = SyncGroupRequestAssignment { member_id: "m".into(), assignment: frame.slice(10..12) };
        let request = SyncGroupRequest { assignments: vec![assignment], ..SyncGroupRequest::default() };
        let sync = command(request);
        assert_eq!(&sync.assignments[0].1[..], [7, 7]);
        assert!(frame.is_unique(), "nobody else holds it");
    }
}
