//! OffsetFetch (9): where groups stand.
//!
//! Serves v0–10. v2 all topics, an error for the whole answer · v3 throttle time · v5 leader epoch · v6 flexible · v7
//! "require stable" · v8 many groups (KIP-709) · v9 member and epoch, for groups of the other protocol · v10 topics by id.
//! Where an open transaction committed something, "require stable" is told to ask again. An offset that was committed for a
//! topic since deleted is not told, even if another now has its name.

use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::engine::Catalog;
use crate::ids::StreamId;
use crate::kafka::access::{Access, group, topic};
use crate::kafka::cx::{self, Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::group::{Fetch, FetchTopic, Fetched, Name, Told};
use crate::kafka::wire::Uuid;
use crate::kafka::wire::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic, OffsetFetchRequestTopics,
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};

pub struct OffsetFetch;

impl Api for OffsetFetch {
    type Request = OffsetFetchRequest;
    type Response = OffsetFetchResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: OffsetFetchRequest) -> Answer<OffsetFetchResponse> {
        let catalog = cx.engine.catalog();
        let stable = request.require_stable;
        let access = cx.access(&call);
        let by_id = call.version >= 10;
        let known = |asked: &OffsetFetchRequestTopics| known(&access, &catalog, by_id, asked);
        let asked = groups(call.version, request);
        let (asked, hidden) = access.split(Action::Describe, asked, |asked| group(&asked.group_id));
        let fetched = cx.groups.fetch(asked.iter().map(|group| fetch(group, stable, known)).collect()).await;
        let is_current = |id: u128| id == 0 || catalog.stream_by_id(StreamId(id)).is_some();
        let id_of = |name: &str| cx::topic(&catalog, name).map(|stream| Uuid(stream.id.0));
        let is_shown = |name: &str| access.may(Action::Describe, topic(name));
        let mut answered: Vec<_> = match fetched {
            Ok(fetched) => asked
                .into_iter()
                .zip(fetched)
                .map(|(group, fetched)| match fetched {
                    Ok(mut fetched) => {
                        fetched.retain(|fetched| group.topics.is_some() || is_shown(&fetched.topic));
                        answer(by_id, group, fetched, is_current, id_of, known)
                    }
                    Err(why) => failed(group, why.into()),
                })
                .collect(),
            Err(code) => asked.into_iter().map(|group| failed(group, code)).collect(),
        };
        answered.extend(hidden.into_iter().map(|group| failed(group, Code::GroupAuthorizationFailed)));
        Answer::Now(response(call.version, answered))
    }
}

/// Every version's question as the newest asks it: groups of topics.
fn groups(version: i16, request: OffsetFetchRequest) -> Vec<OffsetFetchRequestGroup> {
    if version >= 8 {
        return request.groups;
    }
    let topic = |topic: OffsetFetchRequestTopic| OffsetFetchRequestTopics {
        name: topic.name,
        topic_id: Uuid::ZERO,
        partition_indexes: topic.partition_indexes,
    };
    let topics = request.topics.map(|topics| topics.into_iter().map(topic).collect());
    vec![OffsetFetchRequestGroup { group_id: request.group_id, topics, ..OffsetFetchRequestGroup::default() }]
}

/// The name and id of a topic that was asked for. By name, one that does not exist simply has no offsets.
fn known(
    access: &Access,
    catalog: &Catalog,
    by_id: bool,
    asked: &OffsetFetchRequestTopics,
) -> Result<(Name, u128), Code> {
    let found = match by_id {
        true => cx::permitted_by_id(access, Action::Describe, catalog, asked.topic_id),
        false => cx::permitted(access, Action::Describe, catalog, &asked.name),
    };
    match found {
        Ok(stream) => Ok((stream.name.clone(), stream.id.0)),
        Err(Code::UnknownTopicOrPartition) => Ok((asked.name.as_str().into(), 0)),
        Err(code) => Err(code),
    }
}

/// What nobody is told of is asked for under no name, so that the answer keeps its order.
fn fetch(
    group: &OffsetFetchRequestGroup,
    stable: bool,
    known: impl Fn(&OffsetFetchRequestTopics) -> Result<(Name, u128), Code>,
) -> Fetch {
    let topic = |topic: &OffsetFetchRequestTopics| {
        let (name, topic_id) = known(topic).unwrap_or_default();
        FetchTopic { topic: name, topic_id, partitions: topic.partition_indexes.clone() }
    };
    let topics = group.topics.as_ref().map(|topics| topics.iter().map(topic).collect());
    let member = group.member_id.as_deref().map(|id| (id.into(), group.member_epoch));
    Fetch { group: group.group_id.as_str().into(), member, stable, topics }
}

fn answer(
    by_id: bool,
    group: OffsetFetchRequestGroup,
    fetched: Vec<Fetched>,
    is_current: impl Fn(u128) -> bool,
    id_of: impl Fn(&str) -> Option<Uuid>,
    known: impl Fn(&OffsetFetchRequestTopics) -> Result<(Name, u128), Code>,
) -> OffsetFetchResponseGroup {
    let told = |told: Told| match told {
        Told::Offset(committed) if !is_current(committed.topic_id) => Told::Nothing,
        told => told,
    };
    let topics = match group.topics {
        Some(asked) => asked
            .into_iter()
            .zip(fetched)
            .map(|(asked, fetched)| {
                let code = known(&asked).err().unwrap_or(Code::None);
                let partitions = fetched.partitions.into_iter().map(|(index, c)| partition(index, told(c), code));
                let partitions = partitions.collect();
                OffsetFetchResponseTopics { name: asked.name, topic_id: asked.topic_id, partitions }
            })
            .collect(),
        None => fetched
            .into_iter()
            .filter_map(|fetched| {
                let topic_id = id_of(&fetched.topic);
                // What has no id any more cannot be told by id.
                let topic_id = if by_id { topic_id? } else { topic_id.unwrap_or(Uuid::ZERO) };
                let all = fetched.partitions.into_iter().map(|(index, found)| (index, told(found)));
                let there = all.filter(|(_, told)| *told != Told::Nothing);
                let partitions: Vec<_> = there.map(|(index, told)| partition(index, told, Code::None)).collect();
                let name = fetched.topic.to_string();
                (!partitions.is_empty()).then_some(OffsetFetchResponseTopics { name, topic_id, partitions })
            })
            .collect(),
    };
    OffsetFetchResponseGroup { group_id: group.group_id, topics, error_code: Code::None.wire() }
}

fn partition(partition_index: i32, told: Told, code: Code) -> OffsetFetchResponsePartitions {
    let code = if told == Told::Unstable { Code::UnstableOffsetCommit } else { code };
    match told {
        Told::Offset(committed) => OffsetFetchResponsePartitions {
            partition_index,
            committed_offset: committed.offset,
            committed_leader_epoch: committed.leader_epoch,
            metadata: Some(committed.metadata.to_string()),
            error_code: code.wire(),
        },
        Told::Nothing | Told::Unstable => OffsetFetchResponsePartitions {
            partition_index,
            committed_offset: -1,
            committed_leader_epoch: -1,
            metadata: Some(String::new()),
            error_code: code.wire(),
        },
    }
}

/// With every partition that was asked for: versions 0 and 1 have no other place for an error.
fn failed(group: OffsetFetchRequestGroup, code: Code) -> OffsetFetchResponseGroup {
    let topic = |topic: OffsetFetchRequestTopics| OffsetFetchResponseTopics {
        name: topic.name,
        topic_id: topic.topic_id,
        partitions: topic.partition_indexes.into_iter().map(|index| partition(index, Told::Nothing, code)).collect(),
    };
    let topics = group.topics.unwrap_or_default().into_iter().map(topic).collect();
    OffsetFetchResponseGroup { group_id: group.group_id, topics, error_code: code.wire() }
}

/// The newest answer as an older version says it.
fn response(version: i16, mut groups: Vec<OffsetFetchResponseGroup>) -> OffsetFetchResponse {
    if version >= 8 {
        for group in groups.iter_mut().filter(|group| group.error_code != 0) {
            // The group's error is enough.
            group.topics.clear();
        }
        return OffsetFetchResponse { groups, ..OffsetFetchResponse::default() };
    }
    let Some(group) = groups.pop() else { return OffsetFetchResponse::default() };
    let is_told_once = version >= 2 && group.error_code != 0;
    let topics = if is_told_once { Vec::new() } else { group.topics };
    let topic = |topic: OffsetFetchResponseTopics| OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic.partitions.into_iter().map(|partition| older(version, partition)).collect(),
    };
    OffsetFetchResponse {
        topics: topics.into_iter().map(topic).collect(),
        error_code: group.error_code,
        ..OffsetFetchResponse::default()
    }
}

fn older(version: i16, partition: OffsetFetchResponsePartitions) -> OffsetFetchResponsePartition {
    // Version 0 had no other way to say that there is no offset.
    let is_nothing = version == 0 && partition.committed_offset == -1 && partition.error_code == 0;
    OffsetFetchResponsePartition {
        partition_index: partition.partition_index,
        committed_offset: partition.committed_offset,
        committed_leader_epoch: partition.committed_leader_epoch,
        metadata: partition.metadata,
        error_code: if is_nothing { Code::UnknownTopicOrPartition.wire() } else { partition.error_code },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Timestamp;
    use crate::kafka::group::Committed;
    use crate::kafka::wire::{Message, Writer};

    fn committed(topic_id: u128) -> Told {
        let metadata = "m".into();
        Told::Offset(Committed { offset: 7, leader_epoch: 2, metadata, time: Timestamp(0), expire: None, topic_id })
    }

    /// A request for `t` 0 and 1 of group `g`, as the version asks it.
    fn request(version: i16, all: bool) -> OffsetFetchRequest {
        let (name, topic_id, partition_indexes) = ("t".to_owned(), Uuid(5), vec![0, 1]);
        if version >= 8 {
            let topics = vec![OffsetFetchRequestTopics { name, topic_id, partition_indexes }];
            let group = OffsetFetchRequestGroup {
                group_id: "g".into(),
                topics: (!all).then_some(topics),
                ..OffsetFetchRequestGroup::default()
            };
            return OffsetFetchRequest { groups: vec![group], ..OffsetFetchRequest::default() };
        }
        let topics = vec![OffsetFetchRequestTopic { name, partition_indexes }];
        OffsetFetchRequest { group_id: "g".into(), topics: (!all).then_some(topics), ..Default::default() }
    }

    /// What the machine found: `t` 0 committed for the topic of id 5, `t` 1 not.
    fn found(all: bool) -> Vec<Fetched> {
        let mut partitions = vec![(0, committed(5)), (1, Told::Nothing)];
        partitions.truncate(if all { 1 } else { 2 });
        vec![Fetched { topic: "t".into(), partitions }]
    }

    fn ask(version: i16, all: bool, found: Vec<Fetched>, live_id: u128) -> OffsetFetchResponse {
        let group = groups(version, request(version, all)).remove(0);
        let known = |_: &OffsetFetchRequestTopics| Ok(("t".into(), live_id));
        let answer = answer(version >= 10, group, found, |id| id == live_id, |_| Some(Uuid(live_id)), known);
        response(version, vec![answer])
    }

    /// (index, offset, epoch, code) of every partition, whatever the version.
    fn told(response: &OffsetFetchResponse) -> Vec<(i32, i64, i32, i16)> {
        let old = response.topics.iter().flat_map(|topic| &topic.partitions);
        let old = old.map(|p| (p.partition_index, p.committed_offset, p.committed_leader_epoch, p.error_code));
        let new = response.groups.iter().flat_map(|group| &group.topics).flat_map(|topic| &topic.partitions);
        let new = new.map(|p| (p.partition_index, p.committed_offset, p.committed_leader_epoch, p.error_code));
        old.chain(new).collect()
    }

    #[test]
    fn every_version_is_told_what_is_committed_and_what_is_not() {
        for version in 0..=10 {
            let response = ask(version, false, found(false), 5);
            let nothing = if version == 0 { 3 } else { 0 };
            assert_eq!(told(&response), [(0, 7, 2, 0), (1, -1, -1, nothing)], "v{version}");
            assert!(response.encode(&mut Writer::new(), version).is_ok(), "v{version}");
        }
    }

    #[test]
    fn all_topics_are_told_from_v2_by_name_and_from_v10_by_id() {
        for version in 2..=10 {
            let response = ask(version, true, found(true), 5);
            assert_eq!(told(&response), [(0, 7, 2, 0)], "v{version}");
            assert!(response.encode(&mut Writer::new(), version).is_ok(), "v{version}");
        }
        let response = ask(10, true, found(true), 5);
        assert_eq!(response.groups[0].topics[0].topic_id, Uuid(5));
    }

    #[test]
    fn an_offset_of_a_deleted_topic_is_not_told() {
        for version in 2..=10 {
            assert_eq!(told(&ask(version, true, found(true), 6)), [], "v{version}");
            assert_eq!(told(&ask(version, false, found(false), 6))[0], (0, -1, -1, 0), "v{version}");
        }
    }

    #[test]
    fn an_unknown_id_is_an_error_on_its_partitions() {
        let group = groups(10, request(10, false)).remove(0);
        let known = |_: &OffsetFetchRequestTopics| Err(Code::UnknownTopicId);
        let fetch = fetch(&group, false, known);
        let topics = fetch.topics.expect("named topics");
        assert_eq!((&*topics[0].topic, &topics[0].partitions), ("", &vec![0, 1]));
        let nothing = vec![Fetched { topic: "".into(), partitions: vec![(0, Told::Nothing), (1, Told::Nothing)] }];
        let answer = answer(true, group, nothing, |_| true, |_| None, known);
        assert_eq!(told(&response(10, vec![answer])), [(0, -1, -1, 100), (1, -1, -1, 100)]);
    }

    #[test]
    fn an_error_stands_where_the_version_has_a_place_for_it() {
        for version in 0..=10 {
            let group = groups(version, request(version, false)).remove(0);
            let response = response(version, vec![failed(group, Code::CoordinatorNotAvailable)]);
            let on_partitions = told(&response).iter().filter(|p| p.3 == 15).count();
            let on_groups = response.groups.iter().filter(|group| group.error_code == 15).count();
            let expected = match version {
                0..=1 => (15, 2, 0),
                2..=7 => (15, 0, 0),
                _ => (0, 0, 1),
            };
            assert_eq!((response.error_code, on_partitions, on_groups), expected, "v{version}");
            assert!(response.encode(&mut Writer::new(), version).is_ok(), "v{version}");
        }
    }
}
