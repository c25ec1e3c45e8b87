//! OffsetDelete (47): committed offsets of a group are taken away, unless a member reads the topic (KIP-496).
//!
//! Serves v0. Of classic groups and consumer groups; one whose members are no consumers must be empty.

use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::engine::Catalog;
use crate::engine::catalog::Stream;
use crate::kafka::access::{Access, group};
use crate::kafka::cx::{self, Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::group::{Name, Refusal};
use crate::kafka::wire::messages::offset_delete::{
    OffsetDeleteRequest, OffsetDeleteRequestTopic, OffsetDeleteResponse, OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
};

pub struct OffsetDelete;

impl Api for OffsetDelete {
    type Request = OffsetDeleteRequest;
    type Response = OffsetDeleteResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: OffsetDeleteRequest) -> Answer<OffsetDeleteResponse> {
        let catalog = cx.engine.catalog();
        let access = cx.access(&call);
        if let Err(code) = access.check(Action::Delete, group(&request.group_id)) {
            return Answer::Now(OffsetDeleteResponse { error_code: code.wire(), ..OffsetDeleteResponse::default() });
        }
        let there = |topic: &OffsetDeleteRequestTopic| {
            let stream = find(&access, &catalog, topic).ok()?;
            let partitions = topic.partitions.iter().map(|p| p.partition_index);
            let partitions: Vec<i32> = partitions.filter(|index| has(stream, *index)).collect();
            (!partitions.is_empty()).then(|| (topic.name.as_str().into(), partitions))
        };
        let topics: Vec<(Name, Vec<i32>)> = request.topics.iter().filter_map(there).collect();
        let deleted = match topics.is_empty() {
            // The group is not asked, as in Kafka.
            true => Ok(Vec::new()),
            false => cx.groups.delete_offsets(request.group_id.into(), topics).await,
        };
        Answer::Now(match deleted {
            Ok(results) => response(&access, &catalog, request.topics, results),
            Err(code) => OffsetDeleteResponse { error_code: code.wire(), ..OffsetDeleteResponse::default() },
        })
    }
}

fn find<'a>(access: &Access, catalog: &'a Catalog, topic: &OffsetDeleteRequestTopic) -> Result<&'a Arc<Stream>, Code> {
    cx::permitted(access, Action::Read, catalog, &topic.name)
}

fn has(stream: &Stream, index: i32) -> bool {
    u32::try_from(index).is_ok_and(|number| stream.log(number).is_some())
}

fn response(
    access: &Access,
    catalog: &Catalog,
    topics: Vec<OffsetDeleteRequestTopic>,
    results: Vec<Result<(), Refusal>>,
) -> OffsetDeleteResponse {
    let mut results = results.into_iter();
    let topic = |topic: OffsetDeleteRequestTopic| {
        let found = find(access, catalog, &topic);
        let asked = found.is_ok_and(|stream| topic.partitions.iter().any(|p| has(stream, p.partition_index)));
        let deleted = asked.then(|| results.next().and_then(Result::err).map_or(Code::None, Code::from));
        let partition = |index: i32| {
            let code = match (found, deleted) {
                (Ok(stream), Some(code)) if has(stream, index) => code,
                (Ok(_), _) => Code::UnknownTopicOrPartition,
                (Err(code), _) => code,
            };
            OffsetDeleteResponsePartition { partition_index: index, error_code: code.wire() }
        };
        OffsetDeleteResponseTopic {
            name: topic.name,
            partitions: topic.partitions.into_iter().map(|p| partition(p.partition_index)).collect(),
        }
    };
    OffsetDeleteResponse { topics: topics.into_iter().map(topic).collect(), ..OffsetDeleteResponse::default() }
}
