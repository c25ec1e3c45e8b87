//! DescribeAcls (29): the access rules that match a filter (KIP-140).
//!
//! Serves v0–3: v1 patterns of names (KIP-290) · v2 flexible · v3 users as resources. Never changes a rule.

use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::kafka::access::CLUSTER;
use crate::kafka::acl::Said;
use crate::kafka::cx::{Call, Cx};
use crate::kafka::error::{Code, Refusal};
use crate::kafka::wire::messages::describe_acls::{
    AclDescription, DescribeAclsRequest, DescribeAclsResource, DescribeAclsResponse,
};

pub struct DescribeAcls;

impl Api for DescribeAcls {
    type Request = DescribeAclsRequest;
    type Response = DescribeAclsResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: DescribeAclsRequest) -> Answer<DescribeAclsResponse> {
        let said = Said {
            kind: request.resource_type_filter,
            pattern: request.pattern_type_filter,
            name: request.resource_name_filter,
            principal: request.principal_filter,
            host: request.host_filter,
            action: request.operation,
            verdict: request.permission_type,
        };
        if !said.is_readable() {
            return Answer::Close("DescribeAcls with an unknown element".into());
        }
        let access = cx.access(&call);
        let may = access.check_in_words(Action::Describe, CLUSTER).and_then(|()| match access.is_ruled() {
            true => Ok(()),
            false => Err(Refusal::new(Code::SecurityDisabled, "No Authorizer is configured on the broker")),
        });
        Answer::Now(match may {
            Ok(()) => DescribeAclsResponse { resources: matching(&cx, said), ..Default::default() },
            Err(Refusal { code, message }) => {
                DescribeAclsResponse { error_code: code.wire(), error_message: Some(message), ..Default::default() }
            }
        })
    }
}

/// Rules about the same stand together. Version 0 cannot say what a prefix is: it asks for names only.
fn matching(cx: &Cx, said: Said) -> Vec<DescribeAclsResource> {
    let mut resources: Vec<DescribeAclsResource> = Vec::new();
    // What nobody knows, nothing is.
    let Ok(filter) = said.filter() else { return resources };
    let state = cx.security.state();
    for (subject, says) in state.rules.iterate().filter(|(subject, says)| filter.matches(subject, says)) {
        let (resource_type, pattern_type) = (subject.kind.number(), subject.pattern.number());
        let acl = AclDescription {
            principal: says.principal.clone(),
            host: says.host.clone(),
            operation: says.action.number(),
            permission_type: says.verdict.number(),
        };
        let same = |last: &&mut DescribeAclsResource| {
            (last.resource_type, last.pattern_type, &last.resource_name) == (resource_type, pattern_type, &subject.name)
        };
        match resources.last_mut().filter(same) {
            Some(last) => last.acls.push(acl),
            None => resources.push(DescribeAclsResource {
                resource_type,
                resource_name: subject.name.clone(),
                pattern_type,
                acls: vec![acl],
            }),
        }
    }
    resources
}
