//! OffsetCommit (8): where a group stands in its partitions.
//!
//! Serves v0–10. v1 generation and member, commit time · v2–4 a retention of the client's own · v3 throttle time · v6
//! leader epoch · v7 group instance id · v8 flexible · v9 an unknown group is called that (KIP-848) · v10 topics by id.
//! v0 and v1, which Kafka 4 dropped, mean the same here: nothing was ever stored elsewhere. A partition that does not
//! exist takes no offset; the others of the same request do. The connection goes on while the offsets become durable.

use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::engine::Catalog;
use crate::kafka::access::{Access, group};
use crate::kafka::cx::{self, Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::group::{Commit, CommitOffset, Name, Refusal};
use crate::kafka::wire::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
    OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};

pub struct OffsetCommit;

impl Api for OffsetCommit {
    type Request = OffsetCommitRequest;
    type Response = OffsetCommitResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: OffsetCommitRequest) -> Answer<OffsetCommitResponse> {
        let catalog = cx.engine.catalog();
        let access = cx.access(&call);
        if let Err(code) = access.check(Action::Read, group(&request.group_id)) {
            let codes = request.topics.iter().map(|topic| vec![code; topic.partitions.len()]).collect();
            return Answer::Now(response(request.topics, codes, Err(code)));
        }
        let plan = plan(&request.topics, |topic| known(&access, &catalog, call.version, topic));
        let commit = Commit {
            group: request.group_id.into(),
            generation: request.generation_id_or_member_epoch,
            member: request.member_id.into(),
            instance: request.group_instance_id.map(Into::into),
            knows_group_not_found: call.version >= 9,
            retention_ms: request.retention_time_ms,
            offsets: plan.offsets,
        };
        if commit.offsets.is_empty() {
            // Nothing that exists is committed: the group is not asked, as in Kafka.
            return Answer::Now(response(request.topics, plan.codes, Ok(Vec::new())));
        }
        match cx.groups.commit(commit).await {
            Ok(results) => Answer::Later(Box::pin(async { response(request.topics, plan.codes, results.await) })),
            Err(code) => Answer::Now(response(request.topics, plan.codes, Err(code))),
        }
    }
}

/// A topic that exists.
struct Known {
    name: Name,
    id: u128,
    partitions: usize,
}

struct Plan {
    offsets: Vec<CommitOffset>,
    /// One list per topic, one code per partition; `None` stands where an offset is committed.
    codes: Vec<Vec<Code>>,
}

fn known(access: &Access, catalog: &Catalog, version: i16, asked: &OffsetCommitRequestTopic) -> Result<Known, Code> {
    let stream = match version >= 10 {
        true => cx::permitted_by_id(access, Action::Read, catalog, asked.topic_id)?,
        false => cx::permitted(access, Action::Read, catalog, &asked.name)?,
    };
    Ok(Known { name: stream.name.clone(), id: stream.id.0, partitions: stream.logs.len() })
}

fn plan(topics: &[OffsetCommitRequestTopic], known: impl Fn(&OffsetCommitRequestTopic) -> Result<Known, Code>) -> Plan {
    let mut offsets = Vec::new();
    let mut codes = Vec::new();
    for topic in topics {
        let known = known(topic);
        let mut code = |partition: &OffsetCommitRequestPartition| match &known {
            Err(code) => *code,
            Ok(known) if !usize::try_from(partition.partition_index).is_ok_and(|index| index < known.partitions) => {
                Code::UnknownTopicOrPartition
            }
            Ok(known) => {
                offsets.push(offset(known, partition));
                Code::None
            }
        };
        codes.push(topic.partitions.iter().map(&mut code).collect());
    }
    Plan { offsets, codes }
}

fn offset(topic: &Known, partition: &OffsetCommitRequestPartition) -> CommitOffset {
    CommitOffset {
        topic: topic.name.clone(),
        topic_id: topic.id,
        partition: partition.partition_index,
        offset: partition.committed_offset,
        leader_epoch: partition.committed_leader_epoch,
        metadata: partition.committed_metadata.as_deref().unwrap_or("").into(),
        time: partition.commit_timestamp,
    }
}

/// A refusal of the whole request stands on every partition: the answer has no other place for it.
fn response(
    topics: Vec<OffsetCommitRequestTopic>,
    codes: Vec<Vec<Code>>,
    results: Result<Vec<Result<(), Refusal>>, Code>,
) -> OffsetCommitResponse {
    let (mut results, refusal) = match results {
        Ok(results) => (results.into_iter(), None),
        Err(code) => (Vec::new().into_iter(), Some(code)),
    };
    let mut final_code = |code: Code| match (refusal, code) {
        (Some(refusal), _) => refusal,
        (None, Code::None) => results.next().and_then(Result::err).map_or(Code::None, Code::from),
        (None, code) => code,
    };
    let mut topic = |(topic, codes): (OffsetCommitRequestTopic, Vec<Code>)| OffsetCommitResponseTopic {
        partitions: topic
            .partitions
            .iter()
            .zip(codes)
            .map(|(partition, code)| OffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code: final_code(code).wire(),
            })
            .collect(),
        name: topic.name,
        topic_id: topic.topic_id,
    };
    let topics = topics.into_iter().zip(codes).map(&mut topic).collect();
    OffsetCommitResponse { topics, ..OffsetCommitResponse::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::wire::{Message, Uuid, Writer};

    fn topic(name: &str, partitions: &[i32]) -> OffsetCommitRequestTopic {
        let partition = |index: &i32| OffsetCommitRequestPartition {
            partition_index: *index,
            committed_offset: 7,
            ..OffsetCommitRequestPartition::default()
        };
        OffsetCommitRequestTopic {
            name: name.into(),
            topic_id: Uuid::ZERO,
            partitions: partitions.iter().map(partition).collect(),
        }
    }

    fn only_t(topic: &OffsetCommitRequestTopic) -> Result<Known, Code> {
        match &*topic.name {
            "t" => Ok(Known { name: "t".into(), id: 5, partitions: 2 }),
            _ => Err(Code::UnknownTopicOrPartition),
        }
    }

    fn codes(response: &OffsetCommitResponse) -> Vec<(i32, i16)> {
        let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|p| (p.partition_index, p.error_code)).collect()
    }

    #[test]
    fn what_does_not_exist_is_refused_and_the_rest_committed_in_its_place() {
        let topics = vec![topic("gone", &[0]), topic("t", &[-1, 1, 2, 0])];
        let plan = plan(&topics, only_t);
        let sent: Vec<_> = plan.offsets.iter().map(|o| (&*o.topic, o.topic_id, o.partition, o.time)).collect();
        assert_eq!(sent, [("t", 5, 1, -1), ("t", 5, 0, -1)]);
        let results = Ok(vec![Err(Refusal::OffsetMetadataTooLarge), Ok(())]);
        let response = response(topics, plan.codes, results);
        assert_eq!(codes(&response), [(0, 3), (-1, 3), (1, 12), (2, 3), (0, 0)]);
        for version in 0..=9 {
            assert!(response.encode(&mut Writer::new(), version).is_ok(), "v{version}");
        }
    }

    #[test]
    fn a_refused_request_is_refused_on_every_partition() {
        let topics = vec![topic("gone", &[0]), topic("t", &[0])];
        let plan = plan(&topics, only_t);
        let response = response(topics, plan.codes, Err(Code::IllegalGeneration));
        assert_eq!(codes(&response), [(0, 22), (0, 22)]);
    }
}
