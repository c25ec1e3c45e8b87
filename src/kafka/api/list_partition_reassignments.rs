//! ListPartitionReassignments (46): no partition is ever on its way to another broker, so the list is empty.
//!
//! Serves v0, which is flexible.

use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::kafka::access::{CLUSTER, words};
use crate::kafka::cx::{Call, Cx};
use crate::kafka::wire::messages::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};

pub struct ListPartitionReassignments;

impl Api for ListPartitionReassignments {
    type Request = ListPartitionReassignmentsRequest;
    type Response = ListPartitionReassignmentsResponse;

    async fn handle(
        cx: Arc<Cx>,
        call: Call,
        _request: ListPartitionReassignmentsRequest,
    ) -> Answer<ListPartitionReassignmentsResponse> {
        if let Err(code) = cx.access(&call).check(Action::Describe, CLUSTER) {
            let (error_code, error_message) = (code.wire(), Some(words(code).into()));
            return Answer::Now(ListPartitionReassignmentsResponse { error_code, error_message, ..Default::default() });
        }
        Answer::Now(ListPartitionReassignmentsResponse { error_message: None, ..Default::default() })
    }
}
