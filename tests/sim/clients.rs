//! Clients of both faces: they write and read as Kafka clients and Kinesis SDKs do, and tell the model what they sent and
//! were told. They survive crashes with their positions; their connections do not.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use interfluve::engine::Bounds;
use interfluve::engine::catalog::Stream;
use interfluve::ids::{LogId, Offset, ShardNo, StreamId};
use interfluve::kafka::wire::Uuid;
use interfluve::kafka::wire::messages::fetch::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, PartitionData,
};
use interfluve::kafka::wire::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
};
use interfluve::kafka::wire::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use interfluve::kafka::wire::messages::offset_fetch::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics, OffsetFetchResponse,
};
use interfluve::kafka::wire::messages::produce::{
    PartitionProduceData, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData,
};
use interfluve::kinesis::sequence::{SequenceNumber, shard_id, shard_no};
use interfluve::record::batch;
use interfluve::record::build::Producer;
use serde_json::{Value, json};

use crate::actors::{self, Stage, build, codec, sizes};
use crate::dice::Dice;
use crate::faces::{Faces, Failure, Kafka};
use crate::model::{Id, Model, SOMEWHERE};
use crate::records::{Writing, key_of, value_of};

/// Kafka's error codes that somebody here may meet.
const OUT_OF_RANGE: i16 = 1;
const CORRUPT: i16 = 2;
const UNKNOWN_TOPIC: i16 = 3;
const NOT_LEADER: i16 = 6;
const COORDINATOR_NOT_AVAILABLE: i16 = 15;
const STORAGE: i16 = 56;
const UNKNOWN_TOPIC_ID: i16 = 100;

/// From here on, requests name topics by id.
const PRODUCE_IDS_FROM: i16 = 13;
const FETCH_IDS_FROM: i16 = 13;
const COMMIT_IDS_FROM: i16 = 10;

// ── a Kafka producer

pub struct KafkaWriter {
    pub name: u32,
    pub dice: Dice,
}

type Sending = (LogId, i32, std::ops::Range<Id>);

impl KafkaWriter {
    pub async fn act(&mut self, stage: Stage, faces: Faces) {
        let mut kafka = faces.kafka();
        for _ in 0..stage.acts {
            let version = *self.dice.pick(&[7, 9, 12, 13]);
            let mut waiting = Vec::new();
            for _ in 0..self.dice.range(1, 3) {
                let Some(sending) = self.send(&stage, &mut kafka, version).await else { return };
                waiting.extend(sending);
            }
            for sending in waiting {
                let Some(answer) = kafka.receive::<ProduceResponse>(ProduceRequest::KEY, version).await else { return };
                let answers: Vec<_> = answer.responses.iter().flat_map(|topic| &topic.partition_responses).collect();
                assert_eq!(answers.len(), sending.len(), "one answer for each partition");
                for ((log, index, ids), answer) in sending.into_iter().zip(answers) {
                    assert_eq!(answer.index, index);
                    judge_produced(&stage, log, ids, answer);
                }
            }
            stage.pause(40, &mut self.dice).await;
        }
    }

    /// One request. `None`: the connection is closed; `Some(None)`: no answer is wanted.
    async fn send(&mut self, stage: &Stage, kafka: &mut Kafka, version: i16) -> Option<Option<Vec<Sending>>> {
        let mut topics: Vec<TopicProduceData> = Vec::new();
        let mut sending: Vec<Sending> = Vec::new();
        for _ in 0..self.dice.range(1, 3) {
            let Some((stream, number)) = stage.some_log(&mut self.dice) else { break };
            let log = stream.logs[number as usize];
            if topics.iter().any(|topic| *topic.name == *stream.name) {
                continue;
            }
            let sizes = sizes(&mut self.dice);
            let ids = {
                let mut model = stage.model();
                let group = model.new_group();
                model.send(log, self.name, group, &sizes, false)
            };
            let batch = build(ids.clone(), &sizes, stage.now(), codec(&mut self.dice), Producer::NONE);
            let partition = PartitionProduceData { index: number as i32, records: Some(batch.bytes) };
            sending.push((log, number as i32, ids));
            topics.push(TopicProduceData {
                name: stream.name.to_string(),
                topic_id: Uuid(if version >= PRODUCE_IDS_FROM { stream.id.0 } else { 0 }),
                partition_data: vec![partition],
            });
        }
        let acks = if self.dice.percent(10) { 0 } else { -1 };
        stage.model().note(format!("k{} produces {sending:?}, acks {acks}", self.name));
        let request = ProduceRequest { transactional_id: None, acks, timeout_ms: 600_000, topic_data: topics };
        kafka.send(version, &request).await?;
        if acks == 0 {
            kafka.no_answer();
            return Some(None);
        }
        Some(Some(sending))
    }
}

/// What an answer to Produce means for the records of one partition.
fn judge_produced(stage: &Stage, log: LogId, ids: std::ops::Range<Id>, answer: &PartitionProduceResponse) {
    let failed = stage.engine.failure().is_some();
    let mut model = stage.model();
    let code = answer.error_code;
    model.note(format!("produced log {log} {ids:?}: code {code}, at {}", answer.base_offset));
    let expected = match code {
        0 => {
            model.acknowledge(log, ids, answer.base_offset as u64);
            return;
        }
        // It may have happened.
        STORAGE if failed => return,
        STORAGE => model.full && !stage.calm,
        UNKNOWN_TOPIC | UNKNOWN_TOPIC_ID => model.going(log),
        NOT_LEADER => true,
        _ => false,
    };
    if !expected {
        model.blame(format!("log {log}: producing {ids:?} was refused with {code}: {:?}", answer.error_message));
    }
    model.refuse(ids);
}

// ── a Kafka consumer that commits

pub struct KafkaReader {
    pub group: String,
    pub dice: Dice,
    pub at: BTreeMap<LogId, i64>,
}

impl KafkaReader {
    pub async fn act(&mut self, stage: Stage, faces: Faces) {
        let mut kafka = faces.kafka();
        if self.committed(&stage, &mut kafka).await.is_none() {
            return;
        }
        for _ in 0..stage.acts {
            let asked = match self.dice.below(8) {
                0 => self.committed(&stage, &mut kafka).await,
                1 | 2 => self.commit(&stage, &mut kafka).await,
                _ => self.fetch(&stage, &mut kafka).await,
            };
            if asked.is_none() {
                return;
            }
            stage.pause(30, &mut self.dice).await;
        }
    }

    async fn fetch(&mut self, stage: &Stage, kafka: &mut Kafka) -> Option<()> {
        let version = *self.dice.pick(&[10, 11, 12, 13, 16, 18]);
        let mut asked: Vec<(Arc<Stream>, u32)> = Vec::new();
        for _ in 0..self.dice.range(1, 3) {
            let Some((stream, number)) = stage.some_log(&mut self.dice) else { break };
            if !asked.iter().any(|(other, _)| other.id == stream.id) {
                asked.push((stream, number));
            }
        }
        let topics = asked.iter().map(|(stream, number)| {
            let at = self.at.get(&stream.logs[*number as usize]).copied().unwrap_or(0);
            fetch_topic(version, stream, *number, at, self.dice.range(1, 5_000) as i32)
        });
        let request = FetchRequest {
            topics: topics.collect(),
            max_wait_ms: self.dice.range(0, 60) as i32,
            min_bytes: self.dice.below(2) as i32,
            max_bytes: 8_000,
            isolation_level: self.dice.below(2) as i8,
            ..FetchRequest::default()
        };
        // What an answer says was true some time after this.
        let before: Vec<_> = {
            let model = stage.model();
            let known = |log| model.logs.get(log).map_or((0, 0), |past| (past.start, past.end));
            asked.iter().map(|(stream, number)| known(&stream.logs[*number as usize])).collect()
        };
        let answer: FetchResponse = kafka.ask(version, &request).await?;
        let answers: Vec<_> = answer.responses.into_iter().flat_map(|topic| topic.partitions).collect();
        assert_eq!(answers.len(), asked.len(), "one answer for each partition");
        for (((stream, number), data), before) in asked.iter().zip(answers).zip(before) {
            assert_eq!(data.partition_index, *number as i32);
            self.take(stage, stream.logs[*number as usize], data, before);
        }
        Some(())
    }

    fn take(&mut self, stage: &Stage, log: LogId, data: PartitionData, before: (u64, u64)) {
        let failed = stage.engine.failure().is_some();
        let mut model = stage.model();
        let at = self.at.entry(log).or_default();
        match data.error_code {
            0 => {
                model.bounds_since(log, bounds_of(&data), before);
                for (base, end) in open(&mut model, log, data.records.map(|rope| rope.into_bytes())) {
                    let next = *at as u64;
                    let gap = base > next && !model.logs.get(&log).is_some_and(|past| past.is_rot(next..base));
                    if end <= next || gap {
                        model.blame(format!("log {log}: a consumer asked for {next}, got {base}..{end}"));
                    }
                    *at = end as i64;
                }
            }
            OUT_OF_RANGE => *at = stage.engine.bounds(log).map_or(0, |bounds| bounds.start.0 as i64),
            // Without power nothing can be read.
            STORAGE if stage.disk.is_off() => {}
            CORRUPT => {
                if model.logs.get(&log).is_some_and(|past| !past.rot.contains(&(*at as u64))) {
                    model.blame(format!("log {log}: offset {at} is said to be damaged and is not"));
                }
                *at += 1;
            }
            UNKNOWN_TOPIC | UNKNOWN_TOPIC_ID if model.going(log) => {}
            STORAGE | NOT_LEADER if failed => {}
            code => model.blame(format!("log {log}: a consumer's fetch at {at} failed with {code}")),
        }
    }

    async fn commit(&mut self, stage: &Stage, kafka: &mut Kafka) -> Option<()> {
        let version = *self.dice.pick(&[2, 7, 8, 9, 10]);
        let Some((stream, number)) = stage.some_log(&mut self.dice) else { return Some(()) };
        let log = stream.logs[number as usize];
        let offset = self.at.get(&log).copied().unwrap_or(0);
        {
            let mut model = stage.model();
            model.note(format!("{} commits {offset} of log {log}", self.group));
            model.commit(&self.group, log, offset);
        }
        let partition = OffsetCommitRequestPartition {
            partition_index: number as i32,
            committed_offset: offset,
            committed_metadata: Some(String::new()),
            ..OffsetCommitRequestPartition::default()
        };
        let topic = OffsetCommitRequestTopic {
            name: stream.name.to_string(),
            topic_id: Uuid(if version >= COMMIT_IDS_FROM { stream.id.0 } else { 0 }),
            partitions: vec![partition],
        };
        let request =
            OffsetCommitRequest { group_id: self.group.clone(), topics: vec![topic], ..OffsetCommitRequest::default() };
        let answer: OffsetCommitResponse = kafka.ask(version, &request).await?;
        let failed = stage.engine.failure().is_some();
        let mut model = stage.model();
        match answer.topics[0].partitions[0].error_code {
            0 => {
                model.note(format!("{} has committed {offset} of log {log}", self.group));
                model.committed(&self.group, log, offset);
            }
            UNKNOWN_TOPIC | UNKNOWN_TOPIC_ID if model.going(log) => {}
            COORDINATOR_NOT_AVAILABLE if failed || model.full => {}
            code => model.blame(format!("{}: committing {offset} of log {log} failed with {code}", self.group)),
        }
        Some(())
    }

    /// Asks for everything that was committed.
    async fn committed(&mut self, stage: &Stage, kafka: &mut Kafka) -> Option<()> {
        let version = *self.dice.pick(&[8, 9]);
        let streams = stage.streams();
        let topics = streams.iter().map(|stream| OffsetFetchRequestTopics {
            name: stream.name.to_string(),
            partition_indexes: (0..stream.logs.len() as i32).collect(),
            ..OffsetFetchRequestTopics::default()
        });
        let group = OffsetFetchRequestGroup {
            group_id: self.group.clone(),
            topics: Some(topics.collect()),
            ..OffsetFetchRequestGroup::default()
        };
        let request = OffsetFetchRequest { groups: vec![group], ..OffsetFetchRequest::default() };
        let answer: OffsetFetchResponse = kafka.ask(version, &request).await?;
        let failed = stage.engine.failure().is_some();
        let mut model = stage.model();
        let group = &answer.groups[0];
        if group.error_code != 0 {
            if !failed {
                model.blame(format!("{}: fetching offsets failed with {}", self.group, group.error_code));
            }
            return Some(());
        }
        for (stream, topic) in streams.iter().zip(&group.topics) {
            for (log, partition) in stream.logs.iter().zip(&topic.partitions) {
                if partition.error_code == 0 && !model.going(*log) {
                    model.fetched_commit(&self.group, *log, partition.committed_offset);
                }
            }
        }
        Some(())
    }
}

pub fn fetch_topic(version: i16, stream: &Stream, number: u32, at: i64, max_bytes: i32) -> FetchTopic {
    let ids = version >= FETCH_IDS_FROM;
    FetchTopic {
        topic: if ids { String::new() } else { stream.name.to_string() },
        topic_id: Uuid(if ids { stream.id.0 } else { 0 }),
        partitions: vec![FetchPartition {
            partition: number as i32,
            fetch_offset: at,
            partition_max_bytes: max_bytes,
            ..FetchPartition::default()
        }],
    }
}

fn bounds_of(data: &PartitionData) -> Bounds {
    Bounds {
        start: Offset(data.log_start_offset as u64),
        committed: Offset(data.last_stable_offset as u64),
        end: Offset(data.high_watermark as u64),
    }
}

/// Tells the model of the batches of a fetch; says where each begins and ends.
fn open(model: &mut Model, log: LogId, records: Option<Bytes>) -> Vec<(u64, u64)> {
    let mut stretches = Vec::new();
    for batch in batch::split(records.unwrap_or_default()) {
        match batch {
            Ok(batch) => {
                let (base, count) = actors::open(model, log, &batch.bytes);
                stretches.push((base, base + count));
            }
            Err(e) => model.blame(format!("log {log}: a fetch answered what is no batch: {e:?}")),
        }
    }
    stretches
}

/// ListOffsets of one partition: -2 its start, -1 its end.
pub async fn list_offset(kafka: &mut Kafka, stream: &Stream, number: u32, time: i64) -> Option<i64> {
    let partition =
        ListOffsetsPartition { partition_index: number as i32, timestamp: time, ..ListOffsetsPartition::default() };
    let topic = ListOffsetsTopic { name: stream.name.to_string(), partitions: vec![partition] };
    let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..ListOffsetsRequest::default() };
    let answer: ListOffsetsResponse = kafka.ask(7, &request).await?;
    let partition = &answer.topics[0].partitions[0];
    (partition.error_code == 0).then_some(partition.offset)
}

// ── somebody who puts records

pub struct KinesisWriter {
    pub name: u32,
    pub dice: Dice,
}

impl KinesisWriter {
    pub async fn act(&mut self, stage: Stage, faces: Faces) {
        for _ in 0..stage.acts {
            if let Some((stream, _)) = stage.some_log(&mut self.dice) {
                self.put(&stage, &faces, &stream).await;
            }
            stage.pause(40, &mut self.dice).await;
        }
    }

    async fn put(&mut self, stage: &Stage, faces: &Faces, stream: &Arc<Stream>) {
        let (mut entries, mut ids) = (Vec::new(), Vec::new());
        let group = stage.model().new_group();
        for bytes in sizes(&mut self.dice) {
            // The first key of an open shard stays in its log, whatever is split meanwhile.
            let open: Vec<_> = stream.shards.iter().filter(|shard| shard.end.is_none()).collect();
            let explicit = self.dice.percent(50).then(|| *self.dice.pick(&open));
            let log = explicit.map_or(SOMEWHERE, |shard| stream.logs[shard.log as usize]);
            let id = stage.model().send_one(log, self.name, group, bytes, false, Writing::Put);
            let key = key_of(id, Writing::Put).unwrap_or_default();
            let mut entry = json!({
                "Data": STANDARD.encode(value_of(id, bytes)),
                "PartitionKey": String::from_utf8_lossy(&key),
            });
            if let Some(shard) = explicit {
                entry["ExplicitHashKey"] = shard.first_key.to_string().into();
            }
            entries.push(entry);
            ids.push(id);
        }
        stage.model().note(format!("p{} puts {ids:?} into {}", self.name, stream.name));
        let request = json!({ "StreamName": &*stream.name, "Records": entries });
        let answer = faces.kinesis("PutRecords", request).await;
        let failed = stage.engine.failure().is_some();
        let catalog = stage.engine.catalog();
        let mut model = stage.model();
        let answer = match answer {
            Ok(answer) => answer,
            Err(failure) => return judge_put(&mut model, stage, stream, &ids, &failure, failed),
        };
        let now = catalog.stream_by_id(stream.id).unwrap_or(stream);
        let answers = answer["Records"].as_array().expect("a list");
        assert_eq!(answers.len(), ids.len(), "one answer for each record");
        for (id, answer) in ids.into_iter().zip(answers) {
            let number = answer["SequenceNumber"].as_str();
            let place = number.and_then(|number| place_of(now, answer["ShardId"].as_str()?, number));
            match place {
                Some((log, offset)) => {
                    model.note(format!("put {id} at {offset} of log {log}"));
                    model.acknowledge(log, id..id + 1, offset);
                }
                None if model.going(stream.logs[0]) => model.refuse(id..id + 1),
                None => model.blame(format!("stream {}: record {id} was answered {answer}", stream.name)),
            }
        }
    }
}

fn judge_put(model: &mut Model, stage: &Stage, stream: &Stream, ids: &[Id], failure: &Failure, failed: bool) {
    model.note(format!("put {ids:?}: {failure:?}"));
    let expected = match failure.kind {
        // It may have happened.
        "InternalFailure" if failed => return,
        "ResourceNotFoundException" => model.going(stream.logs[0]),
        _ if failure.message.contains("disk") => model.full && !stage.calm,
        _ => failure.message.contains("stopping"),
    };
    if !expected {
        model.blame(format!("stream {}: putting {ids:?} failed: {failure:?}", stream.name));
    }
    ids.iter().for_each(|id| model.refuse(*id..*id + 1));
}

/// The log and offset a sequence number means.
fn place_of(stream: &Stream, shard: &str, number: &str) -> Option<(LogId, u64)> {
    let shard = stream.shard(shard_no(shard)?)?;
    let parsed = SequenceNumber::parse(number).filter(|parsed| parsed.is_of(shard))?;
    Some((stream.log(shard.log)?, parsed.offset()?.0))
}

// ── somebody who iterates

pub struct KinesisReader {
    pub dice: Dice,
    pub at: BTreeMap<(StreamId, ShardNo), Place>,
}

/// Where a reader is in a shard.
#[derive(Default)]
pub struct Place {
    pub iterator: Option<String>,
    /// The number of the last record.
    pub last: Option<String>,
    /// The offset behind it.
    pub next: u64,
    pub ended: bool,
}

impl KinesisReader {
    pub async fn act(&mut self, stage: Stage, faces: Faces) {
        for _ in 0..stage.acts {
            if let Some((stream, _)) = stage.some_log(&mut self.dice) {
                let shard = self.dice.pick(&stream.shards).no;
                let limit = self.dice.range(1, 40);
                let place = self.at.entry((stream.id, shard)).or_default();
                step(&stage, &faces, &stream, shard, place, limit, &mut Vec::new()).await;
            }
            stage.pause(30, &mut self.dice).await;
        }
    }
}

/// A record as Kinesis shows it, at its offset: who it is, and when it arrived.
pub type ShownRecord = (u64, Id, i64);

/// One step of a reader: an iterator if there is none, else the records behind it. False: there is nothing more now.
pub async fn step(
    stage: &Stage,
    faces: &Faces,
    stream: &Arc<Stream>,
    no: ShardNo,
    place: &mut Place,
    limit: u64,
    out: &mut Vec<ShownRecord>,
) -> bool {
    let Some(shard) = stream.shard(no).filter(|_| !place.ended) else { return false };
    let log = stream.logs[shard.log as usize];
    let Some(iterator) = place.iterator.clone() else {
        let mut request = json!({ "StreamName": &*stream.name, "ShardId": shard_id(no) });
        match &place.last {
            None => request["ShardIteratorType"] = "TRIM_HORIZON".into(),
            Some(number) => {
                request["ShardIteratorType"] = "AFTER_SEQUENCE_NUMBER".into();
                request["StartingSequenceNumber"] = number.as_str().into();
            }
        }
        return match faces.kinesis("GetShardIterator", request).await {
            Ok(answer) => {
                place.iterator = answer["ShardIterator"].as_str().map(str::to_owned);
                place.iterator.is_some()
            }
            Err(failure) => {
                refused(stage, log, place, &failure);
                false
            }
        };
    };
    match faces.kinesis("GetRecords", json!({ "ShardIterator": iterator, "Limit": limit })).await {
        Ok(answer) => {
            place.iterator = answer["NextShardIterator"].as_str().map(str::to_owned);
            place.ended = place.iterator.is_none();
            let records = answer["Records"].as_array().expect("a list");
            let start = stage.engine.bounds(log).map_or(0, |bounds| bounds.start.0);
            let from = From { stream, no, log, start: start.max(shard.start.0) };
            let mut model = stage.model();
            for record in records {
                take(&mut model, &from, place, record, out);
            }
            !records.is_empty() || answer["MillisBehindLatest"] != 0
        }
        Err(failure) => {
            refused(stage, log, place, &failure);
            false
        }
    }
}

fn refused(stage: &Stage, log: LogId, place: &mut Place, failure: &Failure) {
    place.iterator = None;
    // Without power nothing can be read.
    let failed = stage.engine.failure().is_some() || stage.disk.is_off();
    let mut model = stage.model();
    let expected = match failure.kind {
        "ExpiredIteratorException" => true,
        "ResourceNotFoundException" => model.going(log),
        // The record behind which it was to go on may be lost.
        "InvalidArgumentException" if model.logs.get(&log).is_some_and(|past| !past.strict || past.rotted) => {
            *place = Place::default();
            true
        }
        _ => failed,
    };
    if !expected {
        model.blame(format!("log {log}: iterating at {} failed: {failure:?}", place.next));
    }
}

/// What a reader reads, and the first offset that is there.
struct From<'s> {
    stream: &'s Stream,
    no: ShardNo,
    log: LogId,
    start: u64,
}

fn take(model: &mut Model, from: &From<'_>, place: &mut Place, record: &Value, out: &mut Vec<ShownRecord>) {
    let From { stream, no, log, start } = *from;
    let number = record["SequenceNumber"].as_str().unwrap_or_default();
    let Some((_, offset)) = place_of(stream, &shard_id(no), number) else {
        model.blame(format!("log {log}: {number} is no number of shard {}", no.0));
        return;
    };
    let data = STANDARD.decode(record["Data"].as_str().unwrap_or_default()).unwrap_or_default();
    let key = record["PartitionKey"].as_str().unwrap_or_default();
    let arrived = (record["ApproximateArrivalTimestamp"].as_f64().unwrap_or_default() * 1000.0).round() as i64;
    if let Some(id) = model.shown(log, offset, key, &data, arrived) {
        out.push((offset, id, arrived));
    }
    let next = place.next.max(start);
    let gap = offset > next && !model.logs.get(&log).is_some_and(|past| past.is_rot(next..offset));
    if offset < place.next || gap {
        model.blame(format!("log {log}: a reader of shard {} was at {}, then {offset}", no.0, place.next));
    }
    place.next = offset + 1;
    place.last = Some(number.to_owned());
}
