//! Fetch (1): records of partitions.
//!
//! Serves v4–18: v4 isolation level · v5 log start · v7 sessions (KIP-227) · v9 leader epoch · v11 rack ·
//! v12 flexible, diverging epochs (KIP-595) · v13 topic ids (KIP-516) · v15 replica state · v16 endpoints of new leaders
//! (KIP-951) · v17 replica directories · v18 high watermark.
//!
//! A fetch inside a batch is answered with the whole batch, and the first batch of all whatever its size (KIP-74); the
//! engine sees to both. A partition with an error makes the answer immediate. Record bytes are never copied here.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::{Answer, Api, Charged};
use crate::auth::Action;
use crate::engine::{Bounds, Catalog, Error, Fetch as EngineFetch, Page, Read, Until};
use crate::ids::StreamId;
use crate::ids::{LogId, Offset};
use crate::kafka::access::Access;
use crate::kafka::cx::{self, Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::quota::limits::Kind;
use crate::kafka::session::{NO_SESSION, Place, Said, Topic, Turn, Want};
use crate::kafka::wire::messages::fetch::{
    AbortedTransaction, EpochEndOffset, FetchRequest, FetchResponse, FetchableTopicResponse, LeaderIdAndEpoch,
    NodeEndpoint, PartitionData,
};
use crate::kafka::wire::{Rope, Uuid};

pub struct Fetch;

const READ_COMMITTED: i8 = 1;
/// From here on topics have ids and no names.
const IDS_FROM: i16 = 13;

impl Api for Fetch {
    type Request = FetchRequest;
    type Response = FetchResponse;
    const CHARGED: Option<Charged> = Some(Charged::Answer);

    async fn handle(cx: Arc<Cx>, call: Call, mut request: FetchRequest) -> Answer<FetchResponse> {
        let version = call.version;
        let access = cx.access(&call);
        let ids = version >= IDS_FROM;
        let now = cx.engine.clock().now();
        let asked = asked(&request, ids);
        let forgotten = forgotten(&request, ids);
        let catalog = cx.engine.catalog();
        let names = names(&catalog, &asked);
        let turn = {
            let mut sessions = cx.sessions();
            let turn = sessions.turn(now, request.session_id, request.session_epoch, ids, &asked, &forgotten);
            if let Ok(Turn::Incremental { id, .. }) = &turn {
                sessions.learn(*id, &names);
            }
            turn
        };
        let (session, wants) = match &turn {
            Err(code) => {
                return Answer::Now(FetchResponse { error_code: code.wire(), ..Default::default() });
            }
            Ok(Turn::Incremental { id, wants }) => (Some(*id), wants.clone()),
            Ok(Turn::Full | Turn::Sessionless) => (None, asked),
        };
        // More than the whole of its quota would be too much however long a client has been silent.
        let quota = cx.quotas.metered(&cx.overrides, &call).and_then(|metered| metered.most_at_once(Kind::Fetch));
        request.max_bytes = request.max_bytes.min(quota.unwrap_or(f64::INFINITY) as i32);
        let found = read(&cx, &access, &catalog, version, session, &request, &wants).await;
        let said = |(place, _): &(Place, Want), data: &PartitionData| (place.clone(), said(data));
        let mut answered = vec![true; found.len()];
        let mut session_id = NO_SESSION;
        match (&turn, session) {
            (_, Some(id)) => {
                let said: Vec<_> = wants.iter().zip(&found).map(|(want, data)| said(want, data)).collect();
                answered = cx.sessions().tell(id, &said);
                session_id = id;
            }
            // Versions that cannot say a session's id have epoch -1 and do not come here.
            (Ok(Turn::Full), None) => {
                let parts =
                    wants.iter().zip(&found).map(|((place, want), data)| (place.clone(), *want, self::said(data)));
                let mut sessions = cx.sessions();
                session_id = sessions.open(now, cx.engine.random(), ids, parts.collect());
                sessions.learn(session_id, &names);
            }
            _ => {}
        }
        let node_endpoints = endpoints(&cx, &call, &found);
        let responses = by_topic(wants, found, &answered);
        Answer::Now(FetchResponse { session_id, responses, node_endpoints, ..Default::default() })
    }
}

/// What the request lists, in its order.
fn asked(request: &FetchRequest, ids: bool) -> Vec<(Place, Want)> {
    let mut asked = Vec::new();
    for topic in &request.topics {
        let name = named(ids, &topic.topic, topic.topic_id);
        asked.extend(topic.partitions.iter().map(|partition| {
            let want = Want {
                offset: partition.fetch_offset,
                max_bytes: partition.partition_max_bytes,
                leader_epoch: partition.current_leader_epoch,
                last_epoch: partition.last_fetched_epoch,
            };
            (Place { topic: name.clone(), partition: partition.partition }, want)
        }));
    }
    asked
}

fn forgotten(request: &FetchRequest, ids: bool) -> Vec<Place> {
    let mut forgotten = Vec::new();
    for topic in &request.forgotten_topics_data {
        let name = named(ids, &topic.topic, topic.topic_id);
        forgotten.extend(topic.partitions.iter().map(|&partition| Place { topic: name.clone(), partition }));
    }
    forgotten
}

fn named(ids: bool, name: &str, id: Uuid) -> Topic {
    if ids { Topic::Id(StreamId(id.0)) } else { Topic::Name(name.to_owned()) }
}

/// Reads everything wanted with one call of the engine; one answer for each want, in order.
async fn read(
    cx: &Cx,
    access: &Access,
    catalog: &Catalog,
    version: i16,
    session: Option<i32>,
    request: &FetchRequest,
    wants: &[(Place, Want)],
) -> Vec<PartitionData> {
    let until = if request.isolation_level == READ_COMMITTED { Until::Committed } else { Until::End };
    let mut reads = Vec::with_capacity(wants.len());
    let mut refused: Vec<Option<PartitionData>> = Vec::with_capacity(wants.len());
    for (place, want) in wants {
        match plan(cx, access, catalog, version, session, place, want) {
            ControlFlow::Continue(log) => {
                let from = Offset(u64::try_from(want.offset).expect("negative offsets were refused"));
                reads.push(Read { log, from, max_bytes: usize::try_from(want.max_bytes).unwrap_or(0), until });
                refused.push(None);
            }
            ControlFlow::Break(data) => refused.push(Some(*data)),
        }
    }
    let refusals = refused.iter().any(Option::is_some);
    let pages = cx
        .engine
        .fetch(EngineFetch {
            reads,
            // An error is worth an answer at once.
            min_bytes: if refusals { 0 } else { usize::try_from(request.min_bytes).unwrap_or(0) },
            max_bytes: usize::try_from(request.max_bytes.min(cx.options.fetch_limit_bytes)).unwrap_or(0),
            deadline: cx.engine.clock().now().plus_ms(i64::from(request.max_wait_ms.max(0))),
        })
        .await;
    let mut pages = pages.into_iter();
    let places = wants.iter().zip(refused);
    places
        .map(|((place, _), refused)| match refused {
            Some(data) => data,
            None => match pages.next() {
                Some(page) => show(until, place.partition, page),
                None => failed(place.partition, Code::UnknownServerError),
            },
        })
        .collect()
}

/// Which log to read, or what is answered without reading.
fn plan(
    cx: &Cx,
    access: &Access,
    catalog: &Catalog,
    version: i16,
    session: Option<i32>,
    place: &Place,
    want: &Want,
) -> ControlFlow<Box<PartitionData>, LogId> {
    let refuse = |code| ControlFlow::Break(Box::new(failed(place.partition, code)));
    let unread = |code| ControlFlow::Break(Box::new(not_read(place.partition, code)));
    let stream = match &place.topic {
        Topic::Name(name) => cx::permitted(access, Action::Read, catalog, name),
        Topic::Id(id) => cx::permitted_by_id(access, Action::Read, catalog, Uuid(id.0)),
    };
    let stream = match stream {
        Ok(stream) => stream,
        Err(Code::UnknownTopicId) => {
            return refuse(replaced(cx, catalog, session, place).unwrap_or(Code::UnknownTopicId));
        }
        Err(code) => return refuse(code),
    };
    let Some(log) = u32::try_from(place.partition).ok().and_then(|number| stream.log(number)) else {
        return refuse(Code::UnknownTopicOrPartition);
    };
    let current = match cx.engine.epoch(log) {
        Ok(epoch) => epoch,
        Err(error) => return unread(Code::from(&error)),
    };
    if let Err(code) = cx::check_epoch(want.leader_epoch, current) {
        let mut data = not_read(place.partition, code);
        if version >= 16 && code == Code::FencedLeaderEpoch {
            data.current_leader = LeaderIdAndEpoch { leader_id: cx.options.node_id, leader_epoch: current as i32 };
        }
        return ControlFlow::Break(Box::new(data));
    }
    if want.offset < 0 {
        return unread(Code::OffsetOutOfRange);
    }
    match diverging(cx, log, want) {
        Ok(None) => ControlFlow::Continue(log),
        Ok(Some((diverging_epoch, bounds))) => {
            let data = PartitionData { diverging_epoch, ..bounded(place.partition, bounds) };
            ControlFlow::Break(Box::new(data))
        }
        Err(code) => unread(code),
    }
}

/// Whether a topic that a session names by its id has been deleted and made again (KIP-516).
fn replaced(cx: &Cx, catalog: &Catalog, session: Option<i32>, place: &Place) -> Option<Code> {
    let Topic::Id(id) = place.topic else { return None };
    let name = cx.sessions().name(session?, id)?;
    cx::topic(catalog, &name).map(|_| Code::InconsistentTopicId)
}

/// Names of the topics that are asked for by id.
fn names(catalog: &Catalog, asked: &[(Place, Want)]) -> Vec<(StreamId, Arc<str>)> {
    let mut names: Vec<(StreamId, Arc<str>)> = Vec::new();
    for (place, _) in asked {
        if let Topic::Id(id) = place.topic
            && names.last().is_none_or(|(last, _)| *last != id)
            && let Some(stream) = cx::topic_by_id(catalog, Uuid(id.0))
        {
            names.push((id, stream.name.clone()));
        }
    }
    names
}

/// Whether the records the client has already are not those of our log (KIP-595): where they part.
fn diverging(cx: &Cx, log: LogId, want: &Want) -> Result<Option<(EpochEndOffset, Bounds)>, Code> {
    let Ok(last) = u32::try_from(want.last_epoch) else { return Ok(None) };
    let wire = |error| Code::from(&error);
    // Records of an epoch that has not been yet cannot be ours.
    let Some((epoch, end)) = cx.engine.epoch_end(log, last).map_err(wire)? else { return Err(Code::OffsetOutOfRange) };
    let agree = epoch == last && end.0 as i64 >= want.offset;
    if agree {
        return Ok(None);
    }
    let bounds = cx.engine.bounds(log).map_err(wire)?;
    Ok(Some((EpochEndOffset { epoch: epoch as i32, end_offset: end.0 as i64 }, bounds)))
}

fn show(until: Until, partition: i32, page: Result<Page, Error>) -> PartitionData {
    let page = match page {
        Ok(page) => page,
        Err(error) => return not_read(partition, Code::from(&error)),
    };
    let aborted =
        page.aborted.iter().map(|a| AbortedTransaction { producer_id: a.producer, first_offset: a.first.0 as i64 });
    let aborted = (until == Until::Committed).then(|| aborted.collect());
    let mut records = Rope::new();
    page.batches.into_iter().for_each(|stored| records.push(stored.bytes));
    PartitionData {
        // By first offset (clients rely on it); null to a reader of everything.
        aborted_transactions: aborted,
        records: Some(records),
        ..bounded(partition, page.bounds)
    }
}

/// An answer without records.
fn bounded(partition_index: i32, bounds: Bounds) -> PartitionData {
    PartitionData {
        partition_index,
        high_watermark: bounds.end.0 as i64,
        last_stable_offset: bounds.committed.0 as i64,
        log_start_offset: bounds.start.0 as i64,
        records: Some(Rope::new()),
        aborted_transactions: None,
        ..Default::default()
    }
}

/// A partition that was not looked at.
fn failed(partition_index: i32, code: Code) -> PartitionData {
    PartitionData {
        partition_index,
        error_code: code.wire(),
        high_watermark: -1,
        records: Some(Rope::new()),
        // Kafka says that there are none where it did not look, and null where it looked in vain or nobody asked.
        aborted_transactions: Some(Vec::new()),
        ..Default::default()
    }
}

/// A partition of which nothing could be read.
fn not_read(partition_index: i32, code: Code) -> PartitionData {
    PartitionData { aborted_transactions: None, ..failed(partition_index, code) }
}

/// What the answer says, for the session to judge whether it is news.
fn said(data: &PartitionData) -> Said {
    let offset = |value: i64| Offset(u64::try_from(value).unwrap_or(0));
    let bounds = Bounds {
        start: offset(data.log_start_offset),
        committed: offset(data.last_stable_offset),
        end: offset(data.high_watermark),
    };
    if data.error_code != Code::None.wire() || data.diverging_epoch != EpochEndOffset::default() {
        Said::Error
    } else if data.records.as_ref().is_some_and(|records| !records.is_empty()) {
        Said::Records(bounds)
    } else {
        Said::Bounds(bounds)
    }
}

/// Where the leaders named in the answer are found: with us.
fn endpoints(cx: &Cx, call: &Call, found: &[PartitionData]) -> Vec<NodeEndpoint> {
    let named = found.iter().any(|data| data.current_leader != LeaderIdAndEpoch::default());
    let us = || NodeEndpoint {
        node_id: cx.options.node_id,
        host: call.conn.advertised.host.clone(),
        port: i32::from(call.conn.advertised.port),
        rack: None,
    };
    named.then(us).into_iter().collect()
}

/// Neighbours of one topic stand together.
fn by_topic(wants: Vec<(Place, Want)>, found: Vec<PartitionData>, answered: &[bool]) -> Vec<FetchableTopicResponse> {
    let mut topics: Vec<(Topic, FetchableTopicResponse)> = Vec::new();
    for (((place, _), data), answered) in wants.into_iter().zip(found).zip(answered) {
        if !answered {
            continue;
        }
        match topics.last_mut().filter(|(topic, _)| *topic == place.topic) {
            Some((_, response)) => response.partitions.push(data),
            None => {
                let (topic, topic_id) = match &place.topic {
                    Topic::Name(name) => (name.clone(), Uuid::ZERO),
                    Topic::Id(id) => (String::new(), Uuid(id.0)),
                };
                topics.push((place.topic, FetchableTopicResponse { topic, topic_id, partitions: vec![data] }));
            }
        }
    }
    topics.into_iter().map(|(_, response)| response).collect()
}
