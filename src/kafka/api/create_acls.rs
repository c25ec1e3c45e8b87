//! CreateAcls (30): access rules are added (KIP-140). One that is there already stays, and is no error.
//!
//! Serves v0–3: v1 patterns of names (KIP-290) · v2 flexible · v3 users as resources. Each rule has an answer of its own, in
//! the order of the request; they hold for every request that comes after the answer.

use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::auth::machine::{Command, Reply};
use crate::kafka::access::CLUSTER;
use crate::kafka::acl::Said;
use crate::kafka::cx::{Call, Cx};
use crate::kafka::error::{Code, Refusal};
use crate::kafka::wire::messages::create_acls::{
    AclCreation, AclCreationResult, CreateAclsRequest, CreateAclsResponse,
};

pub struct CreateAcls;

impl Api for CreateAcls {
    type Request = CreateAclsRequest;
    type Response = CreateAclsResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: CreateAclsRequest) -> Answer<CreateAclsResponse> {
        let said: Vec<Said> = request.creations.into_iter().map(said).collect();
        if !said.iter().all(Said::is_readable) {
            return Answer::Close("CreateAcls with an unknown element".into());
        }
        let access = cx.access(&call);
        let mut outcomes: Vec<Result<(), Refusal>> = Vec::with_capacity(said.len());
        match access.check_in_words(Action::Alter, CLUSTER) {
            Err(refusal) => outcomes.resize(said.len(), Err(refusal)),
            Ok(()) if !access.is_ruled() => outcomes.resize(said.len(), Err(disabled())),
            Ok(()) => {
                let mut rules = Vec::with_capacity(said.len());
                for said in said {
                    outcomes.push(said.rule().map(|rule| rules.push(rule)));
                }
                let sound = outcomes.iter_mut().filter(|outcome| outcome.is_ok());
                match cx.security.ask(Command::Allow(rules)).await {
                    Some(Ok(Reply::Allowed(room))) => {
                        let full = || Refusal::new(Code::PolicyViolation, "There are too many access rules");
                        sound.zip(room).filter(|(_, room)| !room).for_each(|(outcome, _)| *outcome = Err(full()));
                    }
                    Some(Err(error)) => sound.for_each(|outcome| *outcome = Err(Refusal::from(&error))),
                    _ => sound.for_each(|outcome| *outcome = Err(disabled())),
                }
            }
        }
        let results = outcomes.into_iter().map(|outcome| match outcome {
            Ok(()) => AclCreationResult::default(),
            Err(Refusal { code, message }) => {
                AclCreationResult { error_code: code.wire(), error_message: Some(message) }
            }
        });
        Answer::Now(CreateAclsResponse { results: results.collect(), ..Default::default() })
    }
}

fn said(creation: AclCreation) -> Said {
    Said {
        kind: creation.resource_type,
        pattern: creation.resource_pattern_type,
        name: Some(creation.resource_name),
        principal: Some(creation.principal),
        host: Some(creation.host),
        action: creation.operation,
        verdict: creation.permission_type,
    }
}

/// Where nobody is asked who they are there are no rules either.
pub(super) fn disabled() -> Refusal {
    Refusal::new(Code::SecurityDisabled, "No Authorizer is configured.")
}
