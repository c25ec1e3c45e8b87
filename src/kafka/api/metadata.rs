//! Metadata (3): topics, their partitions, and who leads them: always this broker.
//!
//! Serves v0–13: v1 null means all · v2 cluster id · v4 auto-creation by choice · v7 leader epoch · v8 authorized
//! operations (KIP-430) · v9 flexible · v10 topic ids · v12 topics asked by id (KIP-516) · v13 top-level error.
//! Never answers LEADER_NOT_AVAILABLE: a topic that is created here is led when the answer leaves.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::engine::catalog::{Born, Create, Kind, Stream};
use crate::engine::{Catalog, Change, Error};
use crate::kafka::access::{self, Access, CLUSTER};
use crate::kafka::cx::{self, Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::wire::Uuid;
use crate::kafka::wire::messages::metadata::{
    MetadataRequest, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};

pub struct Metadata;

impl Api for Metadata {
    type Request = MetadataRequest;
    type Response = MetadataResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: MetadataRequest) -> Answer<MetadataResponse> {
        let version = call.version;
        let access = cx.access(&call);
        let operations = request.include_topic_authorized_operations.then_some(&access);
        let create = cx.options.auto_create && (version < 4 || request.allow_auto_topic_creation);
        let topics = match asked(version, request.topics) {
            Asked::All => {
                let catalog = cx.engine.catalog();
                let shown = |stream: &&Arc<Stream>| access.may(Action::Describe, access::topic(&stream.name));
                cx::listed(&cx, &catalog).filter(shown).map(|stream| topic(&cx, stream, operations)).collect()
            }
            Asked::Ids(ids) => {
                let catalog = cx.engine.catalog();
                ids.into_iter()
                    .map(|id| match cx::permitted_by_id(&access, Action::Describe, &catalog, id) {
                        Ok(stream) => topic(&cx, stream, operations),
                        Err(code) => no_topic(None, id, code),
                    })
                    .collect()
            }
            Asked::Names(names) => by_name(&cx, &access, names, create, operations).await,
            Asked::Wrong(names) => {
                names.into_iter().map(|(name, id)| no_topic(Some(name), id, Code::InvalidRequest)).collect()
            }
        };
        Answer::Now(MetadataResponse {
            brokers: vec![MetadataResponseBroker {
                node_id: cx.options.node_id,
                host: call.conn.advertised.host.clone(),
                port: i32::from(call.conn.advertised.port),
                rack: None,
            }],
            cluster_id: Some(cx.options.cluster_id.clone()),
            controller_id: cx.options.node_id,
            topics,
            cluster_authorized_operations: match request.include_cluster_authorized_operations {
                true if access.may(Action::Describe, CLUSTER) => access.operations(CLUSTER),
                true => 0,
                false => cx::OPERATIONS_NOT_ASKED,
            },
            ..MetadataResponse::default()
        })
    }
}

/// What a request asks for, at any version.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    All,
    Names(BTreeSet<String>),
    Ids(BTreeSet<Uuid>),
    /// Ids at a version at which nobody may ask by id.
    Wrong(Vec<(String, Uuid)>),
}

fn asked(version: i16, topics: Option<Vec<crate::kafka::wire::messages::metadata::MetadataRequestTopic>>) -> Asked {
    let Some(topics) = topics else { return Asked::All };
    // Before null could be said, an empty list meant all.
    if version == 0 && topics.is_empty() {
        return Asked::All;
    }
    if version < 12 && topics.iter().any(|topic| topic.name.is_none() || !topic.topic_id.is_zero()) {
        return Asked::Wrong(topics.into_iter().map(|t| (t.name.unwrap_or_default(), t.topic_id)).collect());
    }
    // As in Kafka: one id makes it a question by ids, and names beside it are not looked at.
    let ids: BTreeSet<Uuid> = topics.iter().map(|topic| topic.topic_id).filter(|id| !id.is_zero()).collect();
    match ids.is_empty() {
        true => Asked::Names(topics.into_iter().filter_map(|topic| topic.name).collect()),
        false => Asked::Ids(ids),
    }
}

async fn by_name(
    cx: &Cx,
    access: &Access,
    names: BTreeSet<String>,
    create: bool,
    operations: Option<&Access>,
) -> Vec<MetadataResponseTopic> {
    let mut catalog = cx.engine.catalog();
    let names = names.into_iter().collect();
    let (names, hidden) = access.split(Action::Describe, names, |name: &String| access::topic(name));
    let may_create_all = access.may(Action::Create, CLUSTER);
    let missing: Vec<&String> = names.iter().filter(|name| cx::topic(&catalog, name).is_none()).collect();
    let mut problems = std::collections::BTreeMap::new();
    let mut wanted = Vec::new();
    for name in missing {
        if create && !may_create_all && !access.may(Action::Create, access::topic(name)) {
            problems.insert(name.clone(), Code::TopicAuthorizationFailed);
            continue;
        }
        match problem(&catalog, name, create) {
            Some(code) => drop(problems.insert(name.clone(), code)),
            None => wanted.push(name.clone()),
        }
    }
    if !wanted.is_empty() {
        let changes = wanted.iter().map(|name| Change::Create(newborn(cx, name))).collect();
        let changed = cx.engine.change(changes).await;
        for (name, changed) in wanted.into_iter().zip(changed) {
            match changed {
                // Somebody else was quicker; that is as good.
                Ok(_) | Err(Error::StreamExists) => {}
                Err(error) => drop(problems.insert(name, Code::from(&error))),
            }
        }
        catalog = cx.engine.catalog();
    }
    let answer = |name: String| match (cx::topic(&catalog, &name), problems.get(&name)) {
        (Some(stream), _) => topic(cx, stream, operations),
        // What might be done with it is said of a topic that is not there, too (seen with Kafka 4.4).
        (None, Some(code)) => MetadataResponseTopic {
            topic_authorized_operations: operations
                .filter(|_| *code != Code::TopicAuthorizationFailed)
                .map_or(cx::OPERATIONS_NOT_ASKED, |access| access.operations(access::topic(&name))),
            ..no_topic(Some(name), Uuid::ZERO, *code)
        },
        // A name that we keep to ourselves.
        (None, None) => no_topic(Some(name), Uuid::ZERO, Code::InvalidTopicException),
    };
    // Of those that are hidden nobody has looked whether they are there.
    let hidden = hidden.into_iter().map(|name| no_topic(Some(name), Uuid::ZERO, Code::TopicAuthorizationFailed));
    names.into_iter().map(answer).chain(hidden).collect()
}

/// Why a topic that does not exist is not created; `None`: it is.
fn problem(catalog: &Catalog, name: &str, create: bool) -> Option<Code> {
    if cx::name_problem(name).is_some() {
        return Some(Code::InvalidTopicException);
    }
    if !create {
        return Some(Code::UnknownTopicOrPartition);
    }
    let other = cx::collision(catalog, name)?;
    // As in Kafka: the creation is refused where the client does not see it, and the topic stays unknown.
    tracing::debug!(topic = %name, %other.name, "not created: the two names differ only in . and _");
    Some(Code::UnknownTopicOrPartition)
}

fn newborn(cx: &Cx, name: &str) -> Create {
    Create {
        name: name.into(),
        born: Born::Kafka,
        kind: Kind::Client,
        logs: cx.options.logs_of_a_new_stream,
        settings: Default::default(),
        placement: None,
        creating_ms: 0,
    }
}

fn topic(cx: &Cx, stream: &Stream, operations: Option<&Access>) -> MetadataResponseTopic {
    let node = cx.options.node_id;
    let partition = |(index, log): (usize, &crate::ids::LogId)| MetadataResponsePartition {
        error_code: Code::None.wire(),
        partition_index: index as i32,
        leader_id: node,
        // A log that has just gone is led by nobody any more; the topic's next answer says so.
        leader_epoch: cx.engine.epoch(*log).map_or(-1, |epoch| epoch as i32),
        replica_nodes: vec![node],
        isr_nodes: vec![node],
        offline_replicas: Vec::new(),
    };
    MetadataResponseTopic {
        error_code: Code::None.wire(),
        name: Some(stream.name.to_string()),
        topic_id: Uuid(stream.id.0),
        is_internal: cx::is_internal(stream),
        partitions: stream.logs.iter().enumerate().map(partition).collect(),
        topic_authorized_operations: operations
            .map_or(cx::OPERATIONS_NOT_ASKED, |access| access.operations(access::topic(&stream.name))),
    }
}

fn no_topic(name: Option<String>, topic_id: Uuid, code: Code) -> MetadataResponseTopic {
    MetadataResponseTopic { error_code: code.wire(), name, topic_id, ..MetadataResponseTopic::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::wire::messages::metadata::MetadataRequestTopic;

    fn named(name: &str) -> MetadataRequestTopic {
        MetadataRequestTopic { name: Some(name.into()), ..Default::default() }
    }

    fn with_id(id: u128) -> MetadataRequestTopic {
        MetadataRequestTopic { name: None, topic_id: Uuid(id) }
    }

    #[test]
    fn null_and_empty_differ() {
        assert_eq!(asked(0, Some(vec![])), Asked::All);
        assert_eq!(asked(1, Some(vec![])), Asked::Names(BTreeSet::new()));
        assert_eq!(asked(1, None), Asked::All);
        assert_eq!(asked(13, Some(vec![])), Asked::Names(BTreeSet::new()));
        assert_eq!(asked(13, None), Asked::All);
    }

    #[test]
    fn ids_are_asked_from_version_12_on() {
        assert_eq!(asked(12, Some(vec![with_id(7), named("x")])), Asked::Ids(BTreeSet::from([Uuid(7)])));
        assert_eq!(asked(10, Some(vec![with_id(7)])), Asked::Wrong(vec![(String::new(), Uuid(7))]));
        assert_eq!(asked(13, Some(vec![named("x"), named("x")])), Asked::Names(BTreeSet::from(["x".into()])));
    }
}
