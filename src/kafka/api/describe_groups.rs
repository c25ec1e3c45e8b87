//! DescribeGroups (15): the state and the members of classic groups.
//!
//! Serves v0–6. v1 throttle time · v3 authorized operations · v4 group instance ids · v5 flexible · v6 an unknown group
//! is an error (KIP-1043); before, it is called dead.

use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::kafka::access;
use crate::kafka::cx::{Call, Cx, OPERATIONS_NOT_ASKED};
use crate::kafka::error::Code;
use crate::kafka::group::{Described, DescribedMember, Missing, Name};
use crate::kafka::wire::messages::describe_groups::{
    DescribeGroupsRequest, DescribeGroupsResponse, DescribedGroup, DescribedGroupMember,
};

pub struct DescribeGroups;

impl Api for DescribeGroups {
    type Request = DescribeGroupsRequest;
    type Response = DescribeGroupsResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: DescribeGroupsRequest) -> Answer<DescribeGroupsResponse> {
        let access = cx.access(&call);
        let asks = request.include_authorized_operations;
        let operations = |id: &str| if asks { access.operations(access::group(id)) } else { OPERATIONS_NOT_ASKED };
        let (shown, hidden) = access.split(Action::Describe, request.groups, |id| access::group(id));
        let mut groups: Vec<_> = hidden.into_iter().map(|id| failed(id, Code::GroupAuthorizationFailed)).collect();
        let names: Vec<Name> = shown.iter().map(|group| group.as_str().into()).collect();
        match cx.groups.describe(names).await {
            Ok(described) => {
                let described = shown.into_iter().zip(described);
                groups.extend(described.map(|(id, d)| {
                    let operations = operations(&id);
                    group(call.version, id, d, operations)
                }));
            }
            Err(code) => groups.extend(shown.into_iter().map(|id| failed(id, code))),
        }
        Answer::Now(DescribeGroupsResponse { groups, ..DescribeGroupsResponse::default() })
    }
}

fn group(version: i16, group_id: String, described: Result<Described, Missing>, operations: i32) -> DescribedGroup {
    let described = match described {
        Ok(described) => described,
        Err(missing) => {
            let is_error = version >= 6;
            let words = match missing {
                Missing::NoGroup => format!("Group {group_id} not found."),
                Missing::OtherProtocol => format!("Group {group_id} is not a classic group."),
            };
            return DescribedGroup {
                error_code: if is_error { Code::GroupIdNotFound } else { Code::None }.wire(),
                error_message: is_error.then_some(words),
                group_id,
                group_state: "Dead".into(),
                authorized_operations: if is_error { OPERATIONS_NOT_ASKED } else { operations },
                ..DescribedGroup::default()
            };
        }
    };
    let text = |name: Option<Name>| name.map(|name| name.to_string()).unwrap_or_default();
    DescribedGroup {
        error_code: Code::None.wire(),
        error_message: None,
        group_id,
        group_state: described.phase.name().into(),
        protocol_type: text(described.protocol_type),
        protocol_data: text(described.protocol),
        members: described.members.into_iter().map(member).collect(),
        authorized_operations: operations,
    }
}

fn member(member: DescribedMember) -> DescribedGroupMember {
    DescribedGroupMember {
        member_id: member.member.to_string(),
        group_instance_id: member.instance.map(|name| name.to_string()),
        client_id: member.client_id.to_string(),
        client_host: member.client_host.to_string(),
        member_metadata: member.metadata,
        member_assignment: member.assignment,
    }
}

fn failed(group_id: String, code: Code) -> DescribedGroup {
    DescribedGroup { error_code: code.wire(), group_id, ..DescribedGroup::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::wire::{Message, Writer};

    #[test]
    fn a_group_that_is_no_classic_one_is_dead_and_from_v6_an_error() {
        let cases = [Missing::NoGroup, Missing::OtherProtocol].into_iter().flat_map(|m| (0..=6).map(move |v| (m, v)));
        for (missing, version) in cases {
            // Only v3 and later can ask, and be told.
            let asked = if version >= 3 { 3400 } else { OPERATIONS_NOT_ASKED };
            let group = group(version, "g".into(), Err(missing), asked);
            let words = match missing {
                Missing::NoGroup => "Group g not found.",
                Missing::OtherProtocol => "Group g is not a classic group.",
            };
            let expected = if version >= 6 { (69, Some(words)) } else { (0, None) };
            assert_eq!((group.error_code, group.error_message.as_deref()), expected, "v{version}");
            // Up to v5 it is said what might be done with it (seen with Kafka 4.4).
            let operations = if version >= 6 { OPERATIONS_NOT_ASKED } else { asked };
            assert_eq!((&*group.group_state, group.authorized_operations), ("Dead", operations));
            let response = DescribeGroupsResponse { groups: vec![group], ..Default::default() };
            assert!(response.encode(&mut Writer::new(), version).is_ok(), "v{version}");
        }
    }
}
