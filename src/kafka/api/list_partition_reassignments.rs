//! ListPartitionReassignments (46): no partition is ever on its way to another broker, so the list is empty.
//!
//! Serves v0, which is flexible.

use std::sync::Arc;

use super::{Answer, Api};
use crate::kafka::cx::{Call, Cx};
use crate::kafka::wire::messages::list_partition_reassignments::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsResponse,
};

pub struct ListPartitionReassignments;

impl Api for ListPartitionReassignments {
    type Request = ListPartitionReassignmentsRequest;
    type Response = ListPartitionReassignmentsResponse;

    async fn handle(
        _cx: Arc<Cx>,
        _call: Call,
        _request: ListPartitionReassignmentsRequest,
    ) -> Answer<ListPartitionReassignmentsResponse> {
        Answer::Now(ListPartitionReassignmentsResponse { error_message: None, ..Default::default() })
    }
}
