//! TxnOffsetCommit (28): where a group stands, if a transaction is committed (KIP-98).
//!
//! Serves v0–6: v2 leader epoch · v3 flexible, the member's generation (KIP-447) · v5 adds the offsets to the transaction
//! itself (KIP-890) · v6 topics by id.

use std::sync::Arc;

use super::end_txn::BUMPS_FROM;
use super::{Answer, Api};
use crate::auth::Action;
use crate::engine::Catalog;
use crate::kafka::access::{Access, group, transaction};
use crate::kafka::cx::{self, Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::group::{Commit, CommitOffset};
use crate::kafka::txn::{Add, Partition, Producer};
use crate::kafka::wire::messages::txn_offset_commit::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestTopic, TxnOffsetCommitResponse, TxnOffsetCommitResponsePartition,
    TxnOffsetCommitResponseTopic,
};

pub struct TxnOffsetCommit;

/// From here on topics have ids and no names.
const IDS_FROM: i16 = 6;
/// From here on whoever is not in the transaction is told to give it up.
const ABORTABLE_FROM: i16 = 4;

impl Api for TxnOffsetCommit {
    type Request = TxnOffsetCommitRequest;
    type Response = TxnOffsetCommitResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: TxnOffsetCommitRequest) -> Answer<TxnOffsetCommitResponse> {
        let catalog = cx.engine.catalog();
        let access = cx.access(&call);
        let all = access
            .check(Action::Write, transaction(&request.transactional_id))
            .and_then(|()| access.check(Action::Read, group(&request.group_id)));
        let mut offsets = Vec::new();
        let mut codes = Vec::new();
        for topic in &request.topics {
            match all {
                Ok(()) => codes.extend(take(&access, &catalog, call.version, topic, &mut offsets)),
                Err(code) => codes.extend(topic.partitions.iter().map(|_| code)),
            }
        }
        let result =
            if offsets.is_empty() { Ok(Vec::new()) } else { commit(&cx, call.version, &request, offsets).await };
        let (mut results, refusal) = match result {
            Ok(results) => (results.into_iter(), None),
            Err(code) => (Vec::new().into_iter(), Some(code)),
        };
        let mut codes = codes.into_iter().map(|code| match (code, refusal) {
            (Code::None, Some(refusal)) => refusal,
            (Code::None, None) => results.next().unwrap_or(Code::None),
            (code, _) => code,
        });
        let topics = request.topics.into_iter().map(|topic| TxnOffsetCommitResponseTopic {
            partitions: (topic.partitions.iter().zip(&mut codes))
                .map(|(partition, code)| TxnOffsetCommitResponsePartition {
                    partition_index: partition.partition_index,
                    error_code: code.wire(),
                })
                .collect(),
            name: topic.name,
            topic_id: topic.topic_id,
        });
        Answer::Now(TxnOffsetCommitResponse { topics: topics.collect(), ..Default::default() })
    }
}

/// One code for each partition of a topic; what may be committed goes to `offsets`.
fn take(
    access: &Access,
    catalog: &Catalog,
    version: i16,
    topic: &TxnOffsetCommitRequestTopic,
    offsets: &mut Vec<CommitOffset>,
) -> Vec<Code> {
    let stream = match version >= IDS_FROM {
        true => cx::permitted_by_id(access, Action::Read, catalog, topic.topic_id),
        false => cx::permitted(access, Action::Read, catalog, &topic.name),
    };
    let code = |partition: &_| {
        let crate::kafka::wire::messages::txn_offset_commit::TxnOffsetCommitRequestPartition {
            partition_index,
            committed_offset,
            committed_leader_epoch,
            committed_metadata,
        } = partition;
        let stream = match &stream {
            Ok(stream) if usize::try_from(*partition_index).is_ok_and(|index| index < stream.logs.len()) => stream,
            Ok(_) => return Code::UnknownTopicOrPartition,
            Err(code) => return *code,
        };
        offsets.push(CommitOffset {
            topic: stream.name.clone(),
            topic_id: stream.id.0,
            partition: *partition_index,
            offset: *committed_offset,
            leader_epoch: *committed_leader_epoch,
            metadata: committed_metadata.as_deref().unwrap_or("").into(),
            time: -1,
        });
        Code::None
    };
    topic.partitions.iter().map(code).collect()
}

/// One code for each offset.
async fn commit(
    cx: &Cx,
    version: i16,
    request: &TxnOffsetCommitRequest,
    offsets: Vec<CommitOffset>,
) -> Result<Vec<Code>, Code> {
    let bumps = version >= BUMPS_FROM;
    let producer = Producer { id: request.producer_id, epoch: request.producer_epoch };
    let add = Add {
        id: request.transactional_id.as_str().into(),
        producer,
        partitions: vec![Partition::offsets()],
        verify_only: !bumps,
        bumps,
    };
    let known = cx.transactions().await?.add(add).await.map_err(|code| match code {
        // What this request has always called it.
        Code::ProducerFenced => Code::InvalidProducerEpoch,
        code => code,
    })?;
    if known != [true] {
        return Err(if version >= ABORTABLE_FROM { Code::TransactionAbortable } else { Code::InvalidTxnState });
    }
    let commit = Commit {
        group: request.group_id.as_str().into(),
        generation: request.generation_id_or_member_epoch,
        member: request.member_id.as_str().into(),
        instance: request.group_instance_id.as_deref().map(Into::into),
        knows_group_not_found: true,
        retention_ms: -1,
        offsets,
    };
    let results = cx.groups.commit_within((producer.id, producer.epoch), commit).await.map_err(|code| match code {
        // Older clients do not know what a member's epoch is.
        Code::StaleMemberEpoch if version < IDS_FROM => Code::IllegalGeneration,
        code => code,
    })?;
    Ok(results.into_iter().map(|result| result.err().map_or(Code::None, Code::from)).collect())
}
