//! ListGroups (16): all groups.
//!
//! Serves v0–5. v1 throttle time · v3 flexible · v4 states, and a filter of them (KIP-518) · v5 types, and a filter of
//! them (KIP-848).

use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::kafka::access::{CLUSTER, group};
use crate::kafka::cx::{Call, Cx};
use crate::kafka::group::Listed;
use crate::kafka::wire::messages::list_groups::{ListGroupsRequest, ListGroupsResponse, ListedGroup};

pub struct ListGroups;

const CLASSIC: &str = "classic";
const CONSUMER: &str = "consumer";

impl Api for ListGroups {
    type Request = ListGroupsRequest;
    type Response = ListGroupsResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: ListGroupsRequest) -> Answer<ListGroupsResponse> {
        Answer::Now(match cx.groups.list().await {
            Ok(mut groups) => {
                let access = cx.access(&call);
                let may_all = access.may(Action::Describe, CLUSTER);
                groups.retain(|listed| may_all || access.may(Action::Describe, group(&listed.group)));
                ListGroupsResponse { groups: filter(groups, &request), ..Default::default() }
            }
            Err(code) => ListGroupsResponse { error_code: code.wire(), ..Default::default() },
        })
    }
}

/// An empty filter lets everything pass; case does not matter.
fn filter(groups: Vec<Listed>, request: &ListGroupsRequest) -> Vec<ListedGroup> {
    let passes = |wanted: &[String], name: &str| {
        wanted.is_empty() || wanted.iter().any(|wanted| wanted.trim().eq_ignore_ascii_case(name))
    };
    let state = |group: &Listed| group.consumer.unwrap_or(group.phase.name());
    let kind = |group: &Listed| if group.consumer.is_some() { CONSUMER } else { CLASSIC };
    let listed = |group: Listed| ListedGroup {
        group_state: state(&group).into(),
        group_type: kind(&group).into(),
        group_id: group.group.to_string(),
        protocol_type: group.protocol_type.map(|name| name.to_string()).unwrap_or_default(),
    };
    let groups = groups
        .into_iter()
        .filter(|group| passes(&request.types_filter, kind(group)) && passes(&request.states_filter, state(group)));
    groups.map(listed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::group::live::Phase;

    #[test]
    fn groups_pass_by_state_and_type_whatever_the_case() {
        let cases: [(&[&str], &[&str], &[&str]); 6] = [
            (&[], &[], &["a", "b"]),
            (&["stable"], &[], &["a"]),
            (&[" EMPTY ", "Dead"], &["Classic"], &["b"]),
            (&["Nonsense"], &[], &[]),
            (&[], &["consumer"], &[]),
            (&[], &["consumer", "CLASSIC"], &["a", "b"]),
        ];
        for (states, types, expected) in cases {
            let group = |name: &str, phase| Listed { group: name.into(), phase, protocol_type: None, consumer: None };
            let groups = vec![group("a", Phase::Stable), group("b", Phase::Empty)];
            let texts = |from: &[&str]| from.iter().map(|text| text.to_string()).collect();
            let request = ListGroupsRequest { states_filter: texts(states), types_filter: texts(types) };
            let passed: Vec<String> = filter(groups, &request).into_iter().map(|group| group.group_id).collect();
            assert_eq!(passed, expected, "{states:?} {types:?}");
        }
    }
}
