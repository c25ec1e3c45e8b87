//! LeaveGroup (13): members leave a classic group, or are removed from it.
//!
//! Serves v0–5. v1 throttle time · v3 several members, by id or instance (KIP-345) · v4 flexible · v5 reason, which
//! nobody needs to know. Until v2 the one member's result is the answer's.

use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::kafka::access::group;
use crate::kafka::cx::{Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::group::{Leave, Refusal};
use crate::kafka::wire::messages::leave_group::{
    LeaveGroupRequest, LeaveGroupResponse, MemberIdentity, MemberResponse,
};

pub struct LeaveGroup;

impl Api for LeaveGroup {
    type Request = LeaveGroupRequest;
    type Response = LeaveGroupResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: LeaveGroupRequest) -> Answer<LeaveGroupResponse> {
        if let Err(code) = cx.access(&call).check(Action::Read, group(&request.group_id)) {
            return Answer::Now(response(call.version, Vec::new(), Err(code)));
        }
        let members = match call.version {
            ..=2 => vec![MemberIdentity { member_id: request.member_id, ..MemberIdentity::default() }],
            _ => request.members,
        };
        let leaving = members.iter().map(|m| {
            let instance = m.group_instance_id.as_deref().map(Into::into);
            (m.member_id.as_str().into(), instance)
        });
        let leave = Leave { group: request.group_id.into(), members: leaving.collect() };
        let results = cx.groups.leave(leave).await;
        Answer::Now(response(call.version, members, results))
    }
}

fn response(
    version: i16,
    members: Vec<MemberIdentity>,
    results: Result<Vec<Result<(), Refusal>>, Code>,
) -> LeaveGroupResponse {
    let results = match results {
        Ok(results) => results,
        Err(code) => return LeaveGroupResponse { error_code: code.wire(), ..LeaveGroupResponse::default() },
    };
    let codes = results.into_iter().map(|result| result.err().map_or(Code::None, Code::from).wire());
    if version <= 2 {
        let error_code = codes.into_iter().next().unwrap_or(Code::None.wire());
        return LeaveGroupResponse { error_code, ..LeaveGroupResponse::default() };
    }
    let member = |(member, error_code): (MemberIdentity, i16)| MemberResponse {
        member_id: member.member_id,
        group_instance_id: member.group_instance_id,
        error_code,
    };
    LeaveGroupResponse { members: members.into_iter().zip(codes).map(member).collect(), ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_members_error_is_the_answers_until_v2_and_its_own_from_v3() {
        for (version, answer, member) in [(0, 25, None), (2, 25, None), (3, 0, Some(25)), (5, 0, Some(25))] {
            let members = vec![MemberIdentity { member_id: "m".into(), ..MemberIdentity::default() }];
            let response = response(version, members, Ok(vec![Err(Refusal::UnknownMember)]));
            assert_eq!((response.error_code, response.members.first().map(|m| m.error_code)), (answer, member));
        }
    }
}
