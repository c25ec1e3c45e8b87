//! ConsumerGroupDescribe (69): consumer groups of the new protocol, their members and assignments (KIP-848).
//!
//! Serves v0–1. v1 which protocol each member speaks (KIP-1099). A classic group is not found here.

use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::engine::Catalog;
use crate::kafka::access::{Access, group as named, topic};
use crate::kafka::cx::{self, Call, Cx, OPERATIONS_NOT_ASKED};
use crate::kafka::error::Code;
use crate::kafka::group::consumer::state::Assignment as Partitions;
use crate::kafka::group::consumer::{Described, DescribedMember};
use crate::kafka::group::{Missing, Name};
use crate::kafka::wire::Uuid;
use crate::kafka::wire::messages::consumer_group_describe::{
    Assignment, ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse, DescribedGroup, Member, TopicPartitions,
};

pub struct ConsumerGroupDescribe;

impl Api for ConsumerGroupDescribe {
    type Request = ConsumerGroupDescribeRequest;
    type Response = ConsumerGroupDescribeResponse;

    async fn handle(
        cx: Arc<Cx>,
        call: Call,
        request: ConsumerGroupDescribeRequest,
    ) -> Answer<ConsumerGroupDescribeResponse> {
        let catalog = cx.engine.catalog();
        let access = cx.access(&call);
        let (shown, hidden) = access.split(Action::Describe, request.group_ids, |id| named(id));
        let names: Vec<Name> = shown.iter().map(|id| id.as_str().into()).collect();
        let asks = request.include_authorized_operations;
        let mut groups: Vec<_> = match cx.groups.describe_consumers(names).await {
            Ok(found) => shown.into_iter().zip(found).map(|(id, d)| group(&access, &catalog, id, d, asks)).collect(),
            Err(code) => shown.into_iter().map(|id| failed(id, code, None)).collect(),
        };
        groups.extend(hidden.into_iter().map(|id| failed(id, Code::GroupAuthorizationFailed, None)));
        Answer::Now(ConsumerGroupDescribeResponse { groups, ..ConsumerGroupDescribeResponse::default() })
    }
}

fn group(
    access: &Access,
    catalog: &Catalog,
    group_id: String,
    described: Result<Described, Missing>,
    asks_operations: bool,
) -> DescribedGroup {
    if group_id.is_empty() {
        return failed(group_id, Code::InvalidGroupId, None);
    }
    let described = match described {
        Ok(described) => described,
        Err(missing) => {
            let words = match missing {
                Missing::NoGroup => format!("Group {group_id} not found."),
                Missing::OtherProtocol => format!("Group {group_id} is not a consumer group."),
            };
            return failed(group_id, Code::GroupIdNotFound, Some(words));
        }
    };
    let members: Vec<Member> = described.members.into_iter().map(|m| member(catalog, m)).collect();
    let assigned = members.iter().flat_map(|m| [&m.assignment, &m.target_assignment]);
    let may = |one: &TopicPartitions| access.may(Action::Describe, topic(&one.topic_name));
    if !assigned.flat_map(|assignment| &assignment.topic_partitions).all(may) {
        let words = "The group has described topic(s) that the client is not authorized to describe.";
        return failed(group_id, Code::TopicAuthorizationFailed, Some(words.into()));
    }
    let operations = if asks_operations { access.operations(named(&group_id)) } else { OPERATIONS_NOT_ASKED };
    DescribedGroup {
        error_code: Code::None.wire(),
        error_message: None,
        group_id,
        group_state: described.state.into(),
        group_epoch: described.epoch,
        assignment_epoch: described.target_epoch,
        assignor_name: described.assignor.into(),
        members,
        authorized_operations: operations,
    }
}

fn member(catalog: &Catalog, described: DescribedMember) -> Member {
    let DescribedMember { id, member, epoch, assigned, target } = described;
    let text = |name: &Option<Name>| name.as_ref().map(|name| name.to_string());
    Member {
        member_id: id.to_string(),
        instance_id: text(&member.instance),
        rack_id: text(&member.rack),
        member_epoch: epoch,
        client_id: member.client_id.to_string(),
        client_host: member.client_host.to_string(),
        subscribed_topic_names: member.topics.iter().map(Name::to_string).collect(),
        // Kafka says an empty one where there is none.
        subscribed_topic_regex: Some(text(&member.regex).unwrap_or_default()),
        assignment: assignment(catalog, assigned),
        target_assignment: assignment(catalog, target),
        member_type: if member.classic.is_some() { 0 } else { 1 },
    }
}

/// What is of a topic that is gone has no name any more, and is not told.
fn assignment(catalog: &Catalog, partitions: Partitions) -> Assignment {
    let one = |(topic, partitions): (u128, std::collections::BTreeSet<i32>)| {
        let stream = cx::topic_by_id(catalog, Uuid(topic))?;
        let partitions = partitions.into_iter().collect();
        Some(TopicPartitions { topic_id: Uuid(topic), topic_name: stream.name.to_string(), partitions })
    };
    Assignment { topic_partitions: partitions.into_iter().filter_map(one).collect() }
}

fn failed(group_id: String, code: Code, error_message: Option<String>) -> DescribedGroup {
    DescribedGroup { error_code: code.wire(), error_message, group_id, ..DescribedGroup::default() }
}
