//! JoinGroup (11): a member enters a classic group, or the next generation of its group.
//!
//! Serves v0–9. v1 rebalance timeout · v2 throttle time · v4 a dynamic member is first told its id (KIP-394) · v5 group
//! instance id (KIP-345) · v6 flexible · v7 protocol type, nullable protocol (KIP-559) · v8 reason · v9 kept assignments
//! (KIP-814). Waits in the group machine until the rebalance is over; the connection waits with it, as in Kafka.

use std::sync::Arc;

use bytes::Bytes;

use super::{Answer, Api};
use crate::auth::Action;
use crate::kafka::access::group;
use crate::kafka::cx::{Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::group::{Join, Joined, Name};
use crate::kafka::wire::messages::join_group::{JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember};

pub struct JoinGroup;

impl Api for JoinGroup {
    type Request = JoinGroupRequest;
    type Response = JoinGroupResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: JoinGroupRequest) -> Answer<JoinGroupResponse> {
        if let Err(code) = cx.access(&call).check(Action::Read, group(&request.group_id)) {
            return Answer::Now(response(call.version, Err((code, request.member_id.into()))));
        }
        let fresh = u128::from(cx.engine.random()) << 64 | u128::from(cx.engine.random());
        let join = Join {
            client_id: call.client_id.clone().unwrap_or_default().into(),
            client_host: format!("/{}", call.conn.peer.ip()).into(),
            fresh,
            ..command(call.version, request)
        };
        // In a consumer group the server assigns.
        if let Err(code) = cx.groups.look(&cx.engine.catalog()).await {
            return Answer::Now(response(call.version, Err((code, join.member))));
        }
        Answer::Now(response(call.version, cx.groups.join(join).await))
    }
}

fn command(version: i16, request: JoinGroupRequest) -> Join {
    // Before v1 a member had as long to rejoin as its session lasts.
    let rebalance_timeout_ms = if version == 0 { request.session_timeout_ms } else { request.rebalance_timeout_ms };
    Join {
        group: request.group_id.into(),
        member: request.member_id.into(),
        instance: request.group_instance_id.map(Into::into),
        client_id: Name::default(),
        client_host: Name::default(),
        session_timeout_ms: request.session_timeout_ms,
        rebalance_timeout_ms,
        protocol_type: request.protocol_type.into(),
        // Copied: a group lives longer than the frame, which may be much larger.
        protocols: request
            .protocols
            .iter()
            .map(|p| (p.name.as_str().into(), Bytes::copy_from_slice(&p.metadata)))
            .collect(),
        needs_known_id: version >= 4,
        may_skip_assignment: version >= 9,
        fresh: 0,
    }
}

fn response(version: i16, result: Result<Joined, (Code, Name)>) -> JoinGroupResponse {
    // Older clients cannot read a null protocol.
    let nothing = || if version >= 7 { None } else { Some(String::new()) };
    match result {
        Ok(joined) => JoinGroupResponse {
            throttle_time_ms: 0,
            error_code: Code::None.wire(),
            generation_id: joined.generation,
            protocol_type: joined.protocol_type.map(|name| name.to_string()),
            protocol_name: joined.protocol.map(|name| name.to_string()).or_else(nothing),
            leader: joined.leader.to_string(),
            skip_assignment: joined.skip_assignment,
            member_id: joined.member.to_string(),
            members: joined.members.into_iter().map(member).collect(),
        },
        Err((code, member)) => JoinGroupResponse {
            error_code: code.wire(),
            member_id: member.to_string(),
            protocol_name: nothing(),
            ..JoinGroupResponse::default()
        },
    }
}

fn member(member: crate::kafka::group::JoinedMember) -> JoinGroupResponseMember {
    JoinGroupResponseMember {
        member_id: member.member.to_string(),
        group_instance_id: member.instance.map(|name| name.to_string()),
        metadata: member.metadata,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::wire::{Message, Writer};

    #[test]
    fn before_v1_the_session_is_the_time_to_rejoin() {
        let request =
            JoinGroupRequest { session_timeout_ms: 7, rebalance_timeout_ms: -1, ..JoinGroupRequest::default() };
        assert_eq!(command(0, request).rebalance_timeout_ms, 7);
    }

    #[test]
    fn ids_are_asked_for_from_v4_and_assignments_kept_from_v9() {
        for (version, expected) in [(3, (false, false)), (4, (true, false)), (8, (true, false)), (9, (true, true))] {
            let join = command(version, JoinGroupRequest::default());
            assert_eq!((join.needs_known_id, join.may_skip_assignment), expected, "v{version}");
        }
    }

    #[test]
    fn an_answer_can_be_written_at_every_version() {
        let joined = Joined {
            generation: 1,
            protocol_type: Some("consumer".into()),
            protocol: None,
            leader: "m".into(),
            member: "m".into(),
            skip_assignment: false,
            members: Vec::new(),
        };
        for version in 0..=9 {
            for result in [Ok(joined.clone()), Err((Code::MemberIdRequired, "m".into()))] {
                let response = response(version, result);
                assert_eq!(response.protocol_name.is_none(), version >= 7);
                assert!(response.encode(&mut Writer::new(), version).is_ok(), "v{version}");
            }
        }
    }
}
