//! UnregisterBroker (64): a broker leaves the cluster for good. This one is the only one and cannot.
//!
//! Serves v0, which is flexible.

use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::kafka::access::{CLUSTER, words};
use crate::kafka::cx::{Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::wire::messages::unregister_broker::{UnregisterBrokerRequest, UnregisterBrokerResponse};

pub struct UnregisterBroker;

impl Api for UnregisterBroker {
    type Request = UnregisterBrokerRequest;
    type Response = UnregisterBrokerResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: UnregisterBrokerRequest) -> Answer<UnregisterBrokerResponse> {
        if let Err(code) = cx.access(&call).check(Action::Alter, CLUSTER) {
            let (error_code, error_message) = (code.wire(), Some(words(code).into()));
            return Answer::Now(UnregisterBrokerResponse { error_code, error_message, ..Default::default() });
        }
        let broker = request.broker_id;
        let (code, why) = if broker == cx.options.node_id {
            (Code::InvalidRequest, format!("Broker ID {broker} is the only broker; it cannot be unregistered"))
        } else {
            (Code::BrokerIdNotRegistered, format!("Broker ID {broker} is not currently registered"))
        };
        let error_message = Some(why);
        Answer::Now(UnregisterBrokerResponse { error_code: code.wire(), error_message, ..Default::default() })
    }
}
