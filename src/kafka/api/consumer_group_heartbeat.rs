//! ConsumerGroupHeartbeat (68): a member of a consumer group says what it has and hears what it should have (KIP-848).
//!
//! Serves v0–1. v1 subscription by expression, and a member names itself (KIP-1082).
//! Never assigns: the machine does, from the streams that it is shown here.

use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::kafka::access::{group, topic};
use crate::kafka::cx::{Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::group::Name;
use crate::kafka::group::consumer::assign::Viewer;
use crate::kafka::group::consumer::state::Assignment as Partitions;
use crate::kafka::group::consumer::{Beat, Beaten};
use crate::kafka::wire::Uuid;
use crate::kafka::wire::messages::consumer_group_heartbeat::{
    Assignment, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};

pub struct ConsumerGroupHeartbeat;

impl Api for ConsumerGroupHeartbeat {
    type Request = ConsumerGroupHeartbeatRequest;
    type Response = ConsumerGroupHeartbeatResponse;

    async fn handle(
        cx: Arc<Cx>,
        call: Call,
        request: ConsumerGroupHeartbeatRequest,
    ) -> Answer<ConsumerGroupHeartbeatResponse> {
        let access = cx.access(&call);
        let named = request.subscribed_topic_names.iter().flatten();
        if let Err(code) = access.check(Action::Read, group(&request.group_id)) {
            return Answer::Now(refused(code, None));
        }
        if let Some(Err(code)) = named.map(|name| access.check(Action::Describe, topic(name))).find(Result::is_err) {
            return Answer::Now(refused(code, None));
        }
        let fresh = u128::from(cx.engine.random()) << 64 | u128::from(cx.engine.random());
        let beat = beat(&call, request, fresh);
        if let Err(code) = cx.groups.look_by(&cx.engine.catalog(), cx.security.ruled()).await {
            return Answer::Now(refused(code, None));
        }
        Answer::Now(match cx.groups.beat(beat).await {
            Ok(beaten) => response(beaten),
            Err((code, words)) => refused(code, words),
        })
    }
}

fn beat(call: &Call, request: ConsumerGroupHeartbeatRequest, fresh: u128) -> Beat {
    let one = |topic: TopicPartitions| (topic.topic_id.0, topic.partitions.into_iter().collect());
    Beat {
        group: request.group_id.into(),
        member: request.member_id.into(),
        epoch: request.member_epoch,
        instance: request.instance_id.map(Name::from),
        rack: request.rack_id.map(Name::from),
        rebalance_timeout_ms: Some(request.rebalance_timeout_ms).filter(|ms| *ms != -1),
        topics: request.subscribed_topic_names.map(|names| names.into_iter().map(Name::from).collect()),
        regex: request.subscribed_topic_regex.map(Name::from),
        assignor: request.server_assignor.map(Name::from),
        owned: request.topic_partitions.map(|topics| topics.into_iter().map(one).collect()),
        client_id: call.client_id.as_deref().unwrap_or("").into(),
        client_host: format!("/{}", call.conn.peer.ip()).into(),
        viewer: Viewer { principal: call.conn.principal(), host: call.conn.peer.ip().to_canonical().to_string() },
        names_itself: call.version >= 1,
        fresh,
    }
}

fn response(beaten: Beaten) -> ConsumerGroupHeartbeatResponse {
    let assignment = |partitions: Partitions| Assignment {
        topic_partitions: partitions
            .into_iter()
            .map(|(topic, partitions)| TopicPartitions {
                topic_id: Uuid(topic),
                partitions: partitions.into_iter().collect(),
            })
            .collect(),
    };
    ConsumerGroupHeartbeatResponse {
        member_id: Some(beaten.member.to_string()),
        member_epoch: beaten.epoch,
        heartbeat_interval_ms: beaten.interval_ms,
        assignment: beaten.assignment.map(assignment),
        ..ConsumerGroupHeartbeatResponse::default()
    }
}

fn refused(code: Code, error_message: Option<String>) -> ConsumerGroupHeartbeatResponse {
    ConsumerGroupHeartbeatResponse {
        error_code: code.wire(),
        error_message,
        assignment: None,
        ..ConsumerGroupHeartbeatResponse::default()
    }
}
