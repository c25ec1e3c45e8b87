//! ElectLeaders (43): every partition has the leader it can have, so no election is ever needed.
//!
//! Serves v0–2: v1 unclean elections (KIP-460) · v2 flexible. Who asks for all partitions is told of none, as in Kafka,
//! where those that need no election are left out of that answer.

use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::engine::Catalog;
use crate::kafka::access::CLUSTER;
use crate::kafka::cx::{self, Call, Cx};
use crate::kafka::error::{Code, Refusal};
use crate::kafka::wire::messages::elect_leaders::{
    ElectLeadersRequest, ElectLeadersResponse, PartitionResult, ReplicaElectionResult,
};

pub struct ElectLeaders;

const PREFERRED: i8 = 0;
const UNCLEAN: i8 = 1;

impl Api for ElectLeaders {
    type Request = ElectLeadersRequest;
    type Response = ElectLeadersResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: ElectLeadersRequest) -> Answer<ElectLeadersResponse> {
        let catalog = cx.engine.catalog();
        let kind = request.election_type;
        let may = cx.access(&call).check_in_words(Action::Alter, CLUSTER);
        let unknown = (!matches!(kind, PREFERRED | UNCLEAN))
            .then(|| Refusal::new(Code::InvalidRequest, format!("Unknown election type {kind}")));
        let refused = may.err().or(unknown);
        let error_code = refused.as_ref().map_or(Code::None, |refusal| refusal.code).wire();
        let Some(topics) = request.topic_partitions else {
            let of_topic = |topic: &str| ReplicaElectionResult { topic: topic.to_owned(), ..Default::default() };
            let replica_election_results = match refused {
                Some(_) => Vec::new(),
                None => cx::listed(&cx, &catalog).map(|stream| of_topic(&stream.name)).collect(),
            };
            return Answer::Now(ElectLeadersResponse { error_code, replica_election_results, ..Default::default() });
        };
        let topics = topics.into_iter().map(|topic| {
            let partition_result = topic.partitions.into_iter().map(|partition_id| {
                let Refusal { code, message } =
                    refused.clone().unwrap_or_else(|| elect(&catalog, &topic.topic, partition_id));
                PartitionResult { partition_id, error_code: code.wire(), error_message: Some(message) }
            });
            ReplicaElectionResult { partition_result: partition_result.collect(), topic: topic.topic }
        });
        let replica_election_results = topics.collect();
        Answer::Now(ElectLeadersResponse { error_code, replica_election_results, ..Default::default() })
    }
}

fn elect(catalog: &Catalog, topic: &str, partition: i32) -> Refusal {
    let Some(stream) = cx::topic(catalog, topic) else {
        return Refusal::new(Code::UnknownTopicOrPartition, format!("No such topic as {topic}"));
    };
    match u32::try_from(partition).ok().and_then(|number| stream.log(number)) {
        None => Refusal::new(Code::UnknownTopicOrPartition, format!("No such partition as {topic}-{partition}")),
        Some(_) => Refusal::new(Code::ElectionNotNeeded, "Leader election not needed for topic partition."),
    }
}
