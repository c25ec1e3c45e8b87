//! DescribeCluster (60): the cluster's id, its controller and its brokers: this one.
//!
//! Serves v0–2: v1 endpoint type (KIP-919) · v2 fenced brokers. All flexible. Never describes controllers: there is no
//! listener for them.

use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::kafka::access::CLUSTER;
use crate::kafka::cx::{self, Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::wire::messages::describe_cluster::{
    DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse,
};

pub struct DescribeCluster;

const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

impl Api for DescribeCluster {
    type Request = DescribeClusterRequest;
    type Response = DescribeClusterResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: DescribeClusterRequest) -> Answer<DescribeClusterResponse> {
        let refused = |code: Code, why: &str| {
            let error_message = Some(why.into());
            Answer::Now(DescribeClusterResponse { error_code: code.wire(), error_message, ..Default::default() })
        };
        match request.endpoint_type {
            BROKERS => {}
            CONTROLLERS => return refused(Code::MismatchedEndpointType, "this listener is for clients of brokers"),
            _ => return refused(Code::UnsupportedEndpointType, "there is no such type of endpoint"),
        }
        let access = cx.access(&call);
        Answer::Now(DescribeClusterResponse {
            cluster_id: cx.options.cluster_id.clone(),
            controller_id: cx.options.node_id,
            brokers: vec![DescribeClusterBroker {
                broker_id: cx.options.node_id,
                host: call.conn.advertised.host.clone(),
                port: i32::from(call.conn.advertised.port),
                ..Default::default()
            }],
            cluster_authorized_operations: match request.include_cluster_authorized_operations {
                true if access.may(Action::Describe, CLUSTER) => access.operations(CLUSTER),
                true => 0,
                false => cx::OPERATIONS_NOT_ASKED,
            },
            ..Default::default()
        })
    }
}
