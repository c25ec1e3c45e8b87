//! Produce (0): records for partitions, one batch for each.
//!
//! Serves v3–13: v3 transactional id, magic 2 only · v5 log start · v7 zstd · v8 errors of single records (KIP-467) ·
//! v9 flexible · v10 leaders in the answer (KIP-951) · v12 transactions v2 (KIP-890) · v13 topic ids (KIP-516).
//! Versions 0–2 are listed and refused, as in Kafka (KAFKA-18659).
//!
//! Every batch is checked (length, header, CRC) before the first one is placed, and every one is placed before anything
//! is awaited: the order of requests on a connection is the order in the logs. acks 1 and -1 are answered when the
//! batch is durable, acks 0 never. A transaction that has written nothing into a log yet is looked for at its coordinator
//! first: from v12 on that adds the log to it, before it has to be in it already (KIP-890).
//!
//! A batch is stored as it came. What has it opened stands in one place: [`Opening`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Answer, Api, Charged, Later};
use crate::auth::Action;
use crate::config::stream::{Compression, Oversize, StreamSettings, TimestampType};
use crate::engine::catalog::Stream;
use crate::engine::{Catalog, Group, Joins, Origin, Part, Permit, Placed, Receipt, Refused};
use crate::ids::{LogId, Offset, Timestamp};
use crate::kafka::access::{Access, transaction};
use crate::kafka::cx::{self, Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::recompress;
use crate::kafka::txn::{Add, Partition as TxnPartition, Producer};
use crate::kafka::wire::messages::produce::{
    BatchIndexAndErrorMessage, PartitionProduceResponse, ProduceRequest, ProduceResponse, TopicProduceData,
    TopicProduceResponse,
};
use crate::record::batch::{self, Batch, Header};
use crate::record::compress::{Codec, Limits};
use crate::record::records;

pub struct Produce;

/// From here on topics have ids and no names.
const IDS_FROM: i16 = 13;
/// From here on a write adds its log to the transaction.
const ADDS_FROM: i16 = 12;
/// From here on whoever is not in the transaction is told to give it up.
const ABORTABLE_FROM: i16 = 11;
/// From here on zstd may be used.
const ZSTD_FROM: i16 = 7;
/// A timeout shorter than this is taken for this: durability is not a race.
const SHORTEST_WAIT: Duration = Duration::from_secs(1);

impl Api for Produce {
    type Request = ProduceRequest;
    type Response = ProduceResponse;
    const APPENDS: bool = true;
    const CHARGED: Option<Charged> = Some(Charged::Request);

    async fn handle(cx: Arc<Cx>, call: Call, request: ProduceRequest) -> Answer<ProduceResponse> {
        let access = cx.access(&call);
        let Call { version, client_id, permit, .. } = call;
        let acks = request.acks;
        let wait = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0)).max(SHORTEST_WAIT);
        let joining = join(&cx, &access, version, &request).await;
        let topics = place(&cx, &access, version, request, joining, permit);
        match acks {
            0 => Answer::Silent(silent(client_id, topics)),
            _ => Answer::Later(Box::pin(answer(topics, wait))),
        }
    }
}

/// A topic of the request with its partitions under way.
struct Topic {
    name: String,
    topic_id: crate::kafka::wire::Uuid,
    partitions: Vec<Partition>,
}

struct Partition {
    index: i32,
    fate: Fate,
}

enum Fate {
    Placed { receipt: Receipt, log_append_time: bool },
    Refused(Refusal),
}

/// Why a batch was not taken.
struct Refusal {
    code: Code,
    message: Option<String>,
    /// Records at fault, by their index in the batch.
    records: Vec<(i32, &'static str)>,
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Refusal {
        Refusal { code, message: None, records: Vec::new() }
    }
}

impl Refusal {
    fn new(code: Code, message: impl Into<String>) -> Refusal {
        Refusal { code, message: Some(message.into()), records: Vec::new() }
    }
}

/// What is known of the transaction in each log that it has not written into yet.
type Joining = BTreeMap<LogId, Result<Joins, Code>>;

/// Asks the coordinator for what has to be known before batches of a transaction are placed; nothing, of all others.
async fn join(cx: &Cx, access: &Access, version: i16, request: &ProduceRequest) -> Joining {
    let id = request.transactional_id.as_ref().filter(|id| access.may(Action::Write, transaction(id)));
    let Some(id) = id else { return Joining::new() };
    let catalog = cx.engine.catalog();
    let mut producer = None;
    let mut asked: Vec<(LogId, Offset, TxnPartition)> = Vec::new();
    let mut mixed = false;
    for topic in &request.topic_data {
        let stream = find(access, &catalog, version, topic).ok();
        for data in &topic.partition_data {
            let log = stream.zip(u32::try_from(data.index).ok()).and_then(|(stream, number)| stream.log(number));
            let header = data.records.as_ref().and_then(|records| batch::parse_header(records).ok());
            let (Some(stream), Some(log), Some(header)) = (stream, log, header) else { continue };
            if !header.is_transactional() {
                continue;
            }
            let by = Producer { id: header.producer_id, epoch: header.producer_epoch };
            mixed |= *producer.get_or_insert(by) != by;
            let (Ok(None), Ok(bounds)) = (cx.engine.began(log, by.id), cx.engine.bounds(log)) else { continue };
            asked.push((log, bounds.end, TxnPartition { topic: stream.name.clone(), index: data.index }));
        }
    }
    let Some(producer) = producer.filter(|_| !asked.is_empty()) else { return Joining::new() };
    let bumps = version >= ADDS_FROM;
    let partitions = asked.iter().map(|(_, _, partition)| partition.clone()).collect();
    let add = Add { id: id.as_str().into(), producer, partitions, verify_only: !bumps, bumps };
    let known = match (mixed, cx.transactions().await) {
        (true, _) => Err(Code::InvalidProducerIdMapping),
        (false, Ok(transactions)) => transactions.add(add).await,
        (false, Err(code)) => Err(code),
    };
    let refusal = |code| match code {
        Code::ProducerFenced => Code::InvalidProducerEpoch,
        // What older clients know how to retry.
        Code::ConcurrentTransactions | Code::CoordinatorNotAvailable if !bumps => Code::NotEnoughReplicas,
        code => code,
    };
    let missing = if version >= ABORTABLE_FROM { Code::TransactionAbortable } else { Code::InvalidTxnState };
    let mut known = known.map(Vec::into_iter);
    let joined = asked.into_iter().map(|(log, since, _)| {
        let joins = match known.as_mut().map(Iterator::next) {
            Ok(Some(true)) => Ok(Joins { since, bumps }),
            Ok(_) => Err(missing),
            Err(code) => Err(refusal(*code)),
        };
        (log, joins)
    });
    joined.collect()
}

/// Checks every batch, then places them, all without an await.
fn place(
    cx: &Cx,
    access: &Access,
    version: i16,
    request: ProduceRequest,
    joining: Joining,
    permit: Permit,
) -> Vec<Topic> {
    let catalog = cx.engine.catalog();
    let now = cx.engine.clock().now();
    let may_write = |id: &String| access.may(Action::Write, transaction(id));
    let all = match request.acks {
        // Nobody may write into a transaction without saying whose it is: the whole request is refused, as in Kafka.
        _ if !request.transactional_id.as_ref().is_some_and(may_write) && any_transactional(&request) => {
            Some(Code::TransactionalIdAuthorizationFailed)
        }
        -1..=1 => None,
        _ => Some(Code::InvalidRequiredAcks),
    };
    let mut checked = Vec::new();
    let mut topics = Vec::with_capacity(request.topic_data.len());
    for topic in request.topic_data {
        let stream = find(access, &catalog, version, &topic);
        let TopicProduceData { name, topic_id, partition_data } = topic;
        let mut partitions = Vec::with_capacity(partition_data.len());
        for data in partition_data {
            let batch = match (all, &stream) {
                (Some(code), _) | (None, &Err(code)) => Err(Refusal::from(code)),
                (None, &Ok(stream)) => {
                    check(cx, version, stream, data.index, data.records, now).and_then(|sound| sound.joining(&joining))
                }
            };
            partitions.push(data.index);
            checked.push(batch);
        }
        topics.push((name, topic_id, partitions));
    }
    let last = checked.iter().rposition(Result::is_ok);
    let mut permit = Some(permit);
    let mut fates = checked.into_iter().enumerate().map(|(at, batch)| match batch {
        Err(refusal) => Fate::Refused(refusal),
        Ok(Sound { log, batch, joins, log_append_time }) => {
            // One group for each partition: one that is refused leaves the others alone. The memory of the frame is
            // given back with its last batch.
            let permit = permit.take_if(|_| Some(at) == last).unwrap_or_default();
            let part = Part { joins, ..Part::new(log, batch) };
            let group = Group { parts: vec![part], origin: Origin::Client };
            Fate::Placed { receipt: cx.engine.append(group, permit), log_append_time }
        }
    });
    let with_fates = |(name, topic_id, indexes): (String, _, Vec<i32>)| Topic {
        name,
        topic_id,
        partitions: indexes
            .into_iter()
            .filter_map(|index| fates.next().map(|fate| Partition { index, fate }))
            .collect(),
    };
    topics.into_iter().map(with_fates).collect()
}

/// Whether a batch claims to be part of a transaction; none of them has been checked yet.
fn any_transactional(request: &ProduceRequest) -> bool {
    let batches =
        request.topic_data.iter().flat_map(|topic| &topic.partition_data).filter_map(|p| p.records.as_deref());
    batches.filter_map(|batch| batch::parse_header(batch).ok()).any(|header| header.is_transactional())
}

fn find<'a>(
    access: &Access,
    catalog: &'a Catalog,
    version: i16,
    asked: &TopicProduceData,
) -> Result<&'a Arc<Stream>, Code> {
    match version >= IDS_FROM {
        true => cx::permitted_by_id(access, Action::Write, catalog, asked.topic_id),
        false => cx::permitted(access, Action::Write, catalog, &asked.name),
    }
}

/// A batch that may be placed.
struct Sound {
    log: LogId,
    batch: Batch,
    joins: Option<Joins>,
    log_append_time: bool,
}

impl Sound {
    /// With what is known of its transaction, if it has one.
    fn joining(mut self, joining: &Joining) -> Result<Sound, Refusal> {
        if self.batch.header.is_transactional() {
            self.joins = joining.get(&self.log).copied().transpose().map_err(Refusal::from)?;
        }
        Ok(self)
    }
}

fn check(
    cx: &Cx,
    version: i16,
    stream: &Arc<Stream>,
    index: i32,
    records: Option<Bytes>,
    now: Timestamp,
) -> Result<Sound, Refusal> {
    if cx::is_internal(stream) {
        return Err(Refusal::from(Code::InvalidTopicException));
    }
    let log = u32::try_from(index).ok().and_then(|number| stream.log(number)).ok_or(Code::UnknownTopicOrPartition)?;
    let records = records.filter(|records| !records.is_empty());
    let records =
        records.ok_or_else(|| Refusal::new(Code::InvalidRecord, "exactly one batch is expected, not none"))?;
    let sound = batch::check(records).map_err(|error| Refusal::new(Code::from(&error), error.to_string()))?;
    let header = sound.header;
    header.check_client().map_err(|error| Refusal::new(Code::from(&error), error.to_string()))?;
    if header.base_offset != 0 {
        return Err(Refusal::new(Code::InvalidRecord, "offsets of a new batch are counted from 0"));
    }
    if header.codec() == Ok(Codec::Zstd) && version < ZSTD_FROM {
        return Err(Refusal::from(Code::UnsupportedCompressionType));
    }
    let settings = cx.settings(stream);
    if sound.bytes.len() > settings.max_message_bytes as usize {
        // As it came; what it becomes in another codec is judged where it is placed.
        return Err(Refusal::from(Code::MessageTooLarge));
    }
    let log_append_time = settings.message_timestamp_type == TimestampType::LogAppendTime;
    if !log_append_time && too_far_ahead(&header, &settings, now) {
        return Err(Refusal::new(
            Code::InvalidTimestamp,
            "a timestamp is further ahead than message.timestamp.after.max.ms",
        ));
    }
    let Limits { max_bytes, max_ratio } = cx.options.open_limits;
    let limits = Limits { max_bytes: max_bytes.min(settings.max_decompressed_message_bytes), max_ratio };
    let batch = match Opening::of(&header, &settings, now) {
        Opening::Not => sound,
        Opening::Look => look(sound, &settings, limits, now)?,
        Opening::Recompress(codec, level) => {
            let sound = look(sound, &settings, limits, now)?;
            recompress::recompress(&sound, codec, level, limits)
                .map_err(|error| Refusal::new(Code::CorruptMessage, error.to_string()))?
        }
    };
    Ok(Sound { log, batch, joins: None, log_append_time })
}

fn too_far_ahead(header: &Header, settings: &StreamSettings, now: Timestamp) -> bool {
    header.max_timestamp > now.0.saturating_add(settings.message_timestamp_after_max_ms)
}

/// Whether a batch's records are looked at, and what for: by default they are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    Not,
    /// A compacted stream takes no record without a key; a stream that limits the age of records, or their size, must
    /// see them all.
    Look,
    /// The stream keeps another codec than the batch came in; at this level, or the codec's own.
    Recompress(Codec, Option<i32>),
}

impl Opening {
    fn of(header: &Header, settings: &StreamSettings, now: Timestamp) -> Opening {
        let codec = match settings.compression {
            Compression::Producer => None,
            Compression::Uncompressed => Some((Codec::None, None)),
            Compression::Gzip { level } => Some((Codec::Gzip, level)),
            Compression::Snappy => Some((Codec::Snappy, None)),
            Compression::Lz4 { level } => Some((Codec::Lz4, level)),
            Compression::Zstd { level } => Some((Codec::Zstd, level)),
        };
        if let Some((codec, level)) = codec.filter(|(codec, _)| header.codec() != Ok(*codec)) {
            return Opening::Recompress(codec, level);
        }
        let create_time = settings.message_timestamp_type == TimestampType::CreateTime;
        let oldest = now.0.saturating_sub(settings.message_timestamp_before_max_ms);
        // The base timestamp is the first record's; only a look shows whether a later one is older.
        let aged = create_time && settings.message_timestamp_before_max_ms != i64::MAX && oldest > 0;
        let sized = settings.oversize == Oversize::Refuse;
        if settings.compact || aged || sized { Opening::Look } else { Opening::Not }
    }
}

/// Reads every record of a batch for what its stream asks of them.
fn look(batch: Batch, settings: &StreamSettings, limits: Limits, now: Timestamp) -> Result<Batch, Refusal> {
    let corrupt = |error: records::RecordsError| Refusal::new(Code::CorruptMessage, error.to_string());
    let opened = records::open(&batch, limits).map_err(corrupt)?;
    let create_time = settings.message_timestamp_type == TimestampType::CreateTime;
    let oldest = now.0.saturating_sub(settings.message_timestamp_before_max_ms);
    let (mut keyless, mut aged) = (Vec::new(), Vec::new());
    for (at, view) in opened.views().enumerate() {
        let view = view.map_err(corrupt)?;
        if settings.compact && view.key.is_none() {
            keyless.push((at as i32, "a compacted topic takes no record without a key"));
        }
        if settings.refuses_oversize(view.key.map(<[u8]>::len), view.value.map_or(0, <[u8]>::len)) {
            // A client that meets this code sends the batch again in parts, and so loses only what is too large.
            let why = format!("record {at} is larger than every face can show, and interfluve.oversize is refuse");
            return Err(Refusal::new(Code::MessageTooLarge, why));
        }
        if create_time && view.timestamp.0 >= 0 && view.timestamp.0 < oldest {
            aged.push((at as i32, "the timestamp is older than message.timestamp.before.max.ms"));
        }
    }
    let (code, records) = match (keyless.is_empty(), aged.is_empty()) {
        (false, _) => (Code::InvalidRecord, keyless),
        (true, false) => (Code::InvalidTimestamp, aged),
        (true, true) => {
            drop(opened);
            return Ok(batch);
        }
    };
    let message = Some("one or more records were refused, and with them the batch".to_string());
    Err(Refusal { code, message, records })
}

/// Waits for durability, all partitions together, and says what became of each.
async fn answer(topics: Vec<Topic>, wait: Duration) -> ProduceResponse {
    // One deadline for all: whatever is late is late for the same reason.
    let mut deadline = std::pin::pin!(tokio::time::sleep(wait));
    let mut responses = Vec::with_capacity(topics.len());
    for topic in topics {
        let mut partition_responses = Vec::with_capacity(topic.partitions.len());
        for Partition { index, fate } in topic.partitions {
            let outcome = match fate {
                Fate::Refused(refusal) => Err(refusal),
                Fate::Placed { receipt, log_append_time } => tokio::select! {
                    biased;
                    placed = receipt => outcome(placed).map(|placed| (placed, log_append_time)),
                    // It may still become durable; that is what the client is told by this code.
                    () = &mut deadline, if !deadline.is_elapsed() => Err(Refusal::from(Code::RequestTimedOut)),
                },
            };
            partition_responses.push(partition(index, outcome));
        }
        responses.push(TopicProduceResponse { name: topic.name, topic_id: topic.topic_id, partition_responses });
    }
    ProduceResponse { responses, ..Default::default() }
}

fn outcome(placed: Result<Vec<Placed>, Refused>) -> Result<Placed, Refusal> {
    match placed {
        Ok(placed) => placed.first().copied().ok_or_else(|| Refusal::from(Code::UnknownServerError)),
        Err(refused) => Err(Refusal::new(Code::from(&refused.error), refused.error.to_string())),
    }
}

fn partition(index: i32, outcome: Result<(Placed, bool), Refusal>) -> PartitionProduceResponse {
    match outcome {
        Ok((placed, log_append_time)) => PartitionProduceResponse {
            index,
            base_offset: placed.first.0 as i64,
            log_append_time_ms: if log_append_time { placed.arrived.0 } else { -1 },
            log_start_offset: placed.start.0 as i64,
            ..Default::default()
        },
        Err(refusal) => PartitionProduceResponse {
            index,
            error_code: refusal.code.wire(),
            base_offset: -1,
            error_message: refusal.message,
            record_errors: refusal
                .records
                .into_iter()
                .map(|(batch_index, why)| BatchIndexAndErrorMessage {
                    batch_index,
                    batch_index_error_message: Some(why.into()),
                })
                .collect(),
            ..Default::default()
        },
    }
}

/// acks=0: nothing is said; if a batch was not taken after all, closing the connection says that something was lost.
fn silent(client_id: Option<String>, topics: Vec<Topic>) -> Later<Result<(), String>> {
    Box::pin(async move {
        for topic in topics {
            for Partition { index, fate } in topic.partitions {
                let refusal = match fate {
                    Fate::Refused(refusal) => Err(refusal),
                    Fate::Placed { receipt, .. } => outcome(receipt.await).map(drop),
                };
                if let Err(refusal) = refusal {
                    let client = client_id.as_deref().unwrap_or("");
                    return Err(format!(
                        "a batch sent with acks=0 by client {client:?} to {} partition {index} was refused: {}",
                        topic.name, refusal.code
                    ));
                }
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::build::{Builder, NewRecord};

    fn header(codec: Codec) -> Header {
        let mut builder = Builder::new(codec);
        builder.push(&NewRecord { timestamp: Timestamp(1000), key: None, value: Some(b"v"), headers: &[] });
        builder.finish().header
    }

    fn settings(set: &[(&str, &str)]) -> StreamSettings {
        let set = set.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        StreamSettings::parse(&set).expect("good settings")
    }

    #[test]
    fn a_batch_is_opened_only_where_a_setting_asks_for_it() {
        let now = Timestamp(1_000_000);
        for (set, codec, want) in [
            (&[][..], Codec::Zstd, Opening::Not),
            (&[("compression.type", "zstd")], Codec::Zstd, Opening::Not),
            (&[("compression.type", "uncompressed")], Codec::None, Opening::Not),
            (&[("compression.type", "lz4")], Codec::None, Opening::Recompress(Codec::Lz4, None)),
            (&[("compression.type", "uncompressed")], Codec::Gzip, Opening::Recompress(Codec::None, None)),
            (
                &[("compression.type", "zstd"), ("compression.zstd.level", "-7")],
                Codec::Gzip,
                Opening::Recompress(Codec::Zstd, Some(-7)),
            ),
            (&[("cleanup.policy", "compact")], Codec::None, Opening::Look),
            (&[("message.timestamp.type", "LogAppendTime")], Codec::None, Opening::Not),
            (&[("interfluve.oversize", "refuse")], Codec::None, Opening::Look),
            (&[("message.timestamp.before.max.ms", "5")], Codec::None, Opening::Look),
        ] {
            assert_eq!(Opening::of(&header(codec), &settings(set), now), want, "{set:?}");
        }
    }

    #[test]
    fn times_from_the_future_are_refused_by_the_header_alone() {
        let limits = settings(&[("message.timestamp.after.max.ms", "100")]);
        assert!(!too_far_ahead(&header(Codec::None), &limits, Timestamp(900)));
        assert!(too_far_ahead(&header(Codec::None), &limits, Timestamp(899)));
    }
}
