//! AlterPartitionReassignments (45): partitions are to move to other brokers. There are none: a partition can be assigned
//! to this broker, where it is, and nothing that is under way can be cancelled.
//!
//! Serves v0–1: v1 the number of copies may be held (KIP-860). All flexible.

use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::engine::Catalog;
use crate::kafka::access::CLUSTER;
use crate::kafka::cx::{self, Call, Cx};
use crate::kafka::error::{Code, Refusal};
use crate::kafka::wire::messages::alter_partition_reassignments::{
    AlterPartitionReassignmentsRequest, AlterPartitionReassignmentsResponse, ReassignablePartition,
    ReassignablePartitionResponse, ReassignableTopicResponse,
};

pub struct AlterPartitionReassignments;

impl Api for AlterPartitionReassignments {
    type Request = AlterPartitionReassignmentsRequest;
    type Response = AlterPartitionReassignmentsResponse;

    async fn handle(
        cx: Arc<Cx>,
        call: Call,
        request: AlterPartitionReassignmentsRequest,
    ) -> Answer<AlterPartitionReassignmentsResponse> {
        let catalog = cx.engine.catalog();
        let may = cx.access(&call).check_in_words(Action::Alter, CLUSTER);
        let allow_replication_factor_change = request.allow_replication_factor_change;
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.into_iter().map(|partition| {
                let outcome = match &may {
                    Ok(()) => {
                        assign(&catalog, cx.options.node_id, &topic.name, &partition, allow_replication_factor_change)
                    }
                    Err(Refusal { code, message }) => Err((*code, Some(message.clone()))),
                };
                let (error_code, error_message) = match outcome {
                    Ok(()) => (Code::None.wire(), None),
                    Err((code, message)) => (code.wire(), message),
                };
                let partition_index = partition.partition_index;
                ReassignablePartitionResponse { partition_index, error_code, error_message }
            });
            ReassignableTopicResponse { partitions: partitions.collect(), name: topic.name }
        });
        let responses = topics.collect();
        Answer::Now(AlterPartitionReassignmentsResponse {
            allow_replication_factor_change,
            error_code: may.as_ref().err().map_or(Code::None, |refusal| refusal.code).wire(),
            error_message: may.as_ref().err().map(|refusal| refusal.message.clone()),
            responses,
            ..Default::default()
        })
    }
}

/// A code, and words where Kafka has other words for it than its own.
type Why = (Code, Option<String>);

fn assign(
    catalog: &Catalog,
    node: i32,
    topic: &str,
    partition: &ReassignablePartition,
    may_change_copies: bool,
) -> Result<(), Why> {
    let no = |code: Code, why: String| Err((code, Some(why)));
    let number = partition.partition_index;
    let Some(stream) = cx::topic(catalog, topic) else {
        return no(Code::UnknownTopicOrPartition, format!("Unable to find a topic named {topic}."));
    };
    if u32::try_from(number).ok().and_then(|number| stream.log(number)).is_none() {
        return no(Code::UnknownTopicOrPartition, format!("Unable to find partition {topic}:{number}."));
    }
    let Some(replicas) = &partition.replicas else { return Err((Code::NoReassignmentInProgress, None)) };
    if !may_change_copies && replicas.len() != 1 {
        let why = format!("The replication factor is changed from 1 to {}", replicas.len());
        return no(Code::InvalidReplicationFactor, why);
    }
    check_replicas(node, replicas).or_else(|Refusal { code, message }| no(code, message))
}

/// Whether these can be the copies of a partition.
fn check_replicas(node: i32, replicas: &[i32]) -> Result<(), Refusal> {
    let no = |why: String| Err(Refusal::new(Code::InvalidReplicaAssignment, why));
    if replicas.is_empty() {
        return no("The manual partition assignment includes an empty replica list.".into());
    }
    let mut sorted = replicas.to_vec();
    sorted.sort_unstable();
    let mut before = None;
    for broker in sorted {
        if broker != node {
            return no(format!(
                "The manual partition assignment includes broker {broker}, but no such broker is registered."
            ));
        }
        if before == Some(broker) {
            return no(format!("The manual partition assignment includes the broker {broker} more than once."));
        }
        before = Some(broker);
    }
    Ok(())
}
