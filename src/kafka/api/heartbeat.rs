//! Heartbeat (12): a classic group member is still alive.
//!
//! Serves v0–4. v1 throttle time · v3 group instance id · v4 flexible.
//! Never joins, never rebalances: it only reports what the group machine says.

use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::kafka::access::group;
use crate::kafka::cx::{Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::group::Heartbeat as Command;
use crate::kafka::wire::messages::heartbeat::{HeartbeatRequest, HeartbeatResponse};

pub struct Heartbeat;

impl Api for Heartbeat {
    type Request = HeartbeatRequest;
    type Response = HeartbeatResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: HeartbeatRequest) -> Answer<HeartbeatResponse> {
        let result = match cx.access(&call).check(Action::Read, group(&request.group_id)) {
            Ok(()) => cx.groups.heartbeat(command(request)).await,
            Err(code) => Err(code),
        };
        let error_code = result.err().unwrap_or(Code::None).wire();
        Answer::Now(HeartbeatResponse { error_code, ..HeartbeatResponse::default() })
    }
}

fn command(request: HeartbeatRequest) -> Command {
    Command {
        group: request.group_id.into(),
        generation: request.generation_id,
        member: request.member_id.into(),
        instance: request.group_instance_id.map(Into::into),
    }
}
