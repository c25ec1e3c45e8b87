//! DeleteAcls (31): access rules that match filters are removed, and named (KIP-140).
//!
//! Serves v0–3: v1 patterns of names (KIP-290) · v2 flexible · v3 users as resources. Each filter has an answer of its own,
//! in the order of the request; a rule that two filters match is named in both.

use std::sync::Arc;

use super::create_acls::disabled;
use super::{Answer, Api};
use crate::auth::Action;
use crate::auth::machine::{CHANGES_LIMIT, Command, Reply};
use crate::auth::rules::Rule;
use crate::kafka::access::CLUSTER;
use crate::kafka::acl::Said;
use crate::kafka::cx::{Call, Cx};
use crate::kafka::error::{Code, Refusal};
use crate::kafka::wire::messages::delete_acls::{
    DeleteAclsFilter, DeleteAclsFilterResult, DeleteAclsMatchingAcl, DeleteAclsRequest, DeleteAclsResponse,
};

pub struct DeleteAcls;

impl Api for DeleteAcls {
    type Request = DeleteAclsRequest;
    type Response = DeleteAclsResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: DeleteAclsRequest) -> Answer<DeleteAclsResponse> {
        let said: Vec<Said> = request.filters.into_iter().map(said).collect();
        if !said.iter().all(Said::is_readable) {
            return Answer::Close("DeleteAcls with an unknown element".into());
        }
        let access = cx.access(&call);
        let mut outcomes: Vec<Result<Vec<Rule>, Refusal>> = Vec::with_capacity(said.len());
        match access.check_in_words(Action::Alter, CLUSTER) {
            Err(refusal) => outcomes.resize(said.len(), Err(refusal)),
            Ok(()) if !access.is_ruled() => outcomes.resize(said.len(), Err(disabled())),
            Ok(()) => {
                let mut filters = Vec::with_capacity(said.len());
                for said in said {
                    let filter = said.filter().map_err(|why| Refusal::new(Code::InvalidRequest, why));
                    outcomes.push(filter.map(|filter| {
                        filters.push(filter);
                        Vec::new()
                    }));
                }
                let sound = outcomes.iter_mut().filter(|outcome| outcome.is_ok());
                match cx.security.ask(Command::Forget(filters)).await {
                    Some(Ok(Reply::Forgotten(gone))) => sound.zip(gone).for_each(|(outcome, gone)| *outcome = Ok(gone)),
                    Some(Err(error)) => sound.for_each(|outcome| *outcome = Err(Refusal::from(&error))),
                    Some(Ok(Reply::Full)) => {
                        let why = format!("Cannot remove more than {CHANGES_LIMIT} acls in a single delete operation.");
                        let refusal = Refusal::new(Code::PolicyViolation, why);
                        sound.for_each(|outcome| *outcome = Err(refusal.clone()));
                    }
                    _ => sound.for_each(|outcome| *outcome = Err(disabled())),
                }
            }
        }
        let filter_results = outcomes.into_iter().map(|outcome| match outcome {
            Ok(rules) => DeleteAclsFilterResult {
                error_message: None,
                matching_acls: rules.into_iter().map(matching).collect(),
                ..Default::default()
            },
            Err(Refusal { code, message }) => {
                DeleteAclsFilterResult { error_code: code.wire(), error_message: Some(message), ..Default::default() }
            }
        });
        Answer::Now(DeleteAclsResponse { filter_results: filter_results.collect(), ..Default::default() })
    }
}

fn said(filter: DeleteAclsFilter) -> Said {
    Said {
        kind: filter.resource_type_filter,
        pattern: filter.pattern_type_filter,
        name: filter.resource_name_filter,
        principal: filter.principal_filter,
        host: filter.host_filter,
        action: filter.operation,
        verdict: filter.permission_type,
    }
}

fn matching(rule: Rule) -> DeleteAclsMatchingAcl {
    let Rule { subject, says } = rule;
    DeleteAclsMatchingAcl {
        resource_type: subject.kind.number(),
        resource_name: subject.name,
        pattern_type: subject.pattern.number(),
        principal: says.principal,
        host: says.host,
        operation: says.action.number(),
        permission_type: says.verdict.number(),
        error_code: Code::None.wire(),
        error_message: None,
    }
}
