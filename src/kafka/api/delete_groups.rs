//! DeleteGroups (42): groups that nobody is in go, with their offsets.
//!
//! Serves v0–3. v1 throttling after the answer · v2 flexible · v3 messages.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::kafka::access::group;
use crate::kafka::cx::{Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::group::{Name, Refusal};
use crate::kafka::wire::messages::delete_groups::{DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse};

pub struct DeleteGroups;

impl Api for DeleteGroups {
    type Request = DeleteGroupsRequest;
    type Response = DeleteGroupsResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: DeleteGroupsRequest) -> Answer<DeleteGroupsResponse> {
        // One that is named twice is answered once, as in Kafka.
        let mut seen = BTreeSet::new();
        let names: Vec<Name> = request.groups_names.into_iter().map(Name::from).collect();
        let names: Vec<Name> = names.into_iter().filter(|name| seen.insert(name.clone())).collect();
        let (names, kept) = cx.access(&call).split(Action::Delete, names, |name| group(name));
        let mut results = match cx.groups.delete(names.clone()).await {
            Ok(results) => names.iter().zip(results).map(|(name, result)| outcome(name, result.err())).collect(),
            Err(code) => names.iter().map(|name| failed(name, code, None)).collect::<Vec<_>>(),
        };
        results.extend(kept.iter().map(|name| failed(name, Code::GroupAuthorizationFailed, None)));
        Answer::Now(DeleteGroupsResponse { results, ..DeleteGroupsResponse::default() })
    }
}

fn outcome(name: &Name, refusal: Option<Refusal>) -> DeletableGroupResult {
    let message = match refusal {
        None => None,
        Some(Refusal::GroupNotEmpty) => Some(format!("Group {name} still has members.")),
        Some(_) => Some(format!("Group {name} not found.")),
    };
    failed(name, refusal.map_or(Code::None, Code::from), message)
}

fn failed(name: &Name, code: Code, message: Option<String>) -> DeletableGroupResult {
    DeletableGroupResult { group_id: name.to_string(), error_code: code.wire(), error_message: message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_group_has_its_own_outcome() {
        for (refusal, code) in [(None, 0), (Some(Refusal::GroupNotEmpty), 68), (Some(Refusal::GroupNotFound), 69)] {
            let outcome = outcome(&"g".into(), refusal);
            assert_eq!((outcome.error_code, outcome.error_message.is_some()), (code, code != 0));
        }
    }
}
