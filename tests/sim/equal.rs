//! Both faces equal: at rest, every log read through Kafka's Fetch and through Kinesis' iterators gives the same records,
//! in the same order, at the same places, as `docs/mapping.md` says: and the same as the engine holds.

use std::sync::Arc;

use interfluve::engine::catalog::Stream;
use interfluve::ids::{LogId, ShardNo};
use interfluve::kafka::wire::messages::fetch::{FetchRequest, FetchResponse};
use interfluve::record::batch;
use interfluve::record::compress::Limits;
use interfluve::record::records;

use crate::actors::Stage;
use crate::clients::{Place, ShownRecord, fetch_topic, list_offset, step};
use crate::dice::Dice;
use crate::faces::{Faces, Kafka};
use crate::model::Id;

const LIMITS: Limits = Limits { max_bytes: 1 << 20, max_ratio: 1000 };
/// Kafka's code for stored bytes that fail their checksum.
const CORRUPT: i16 = 2;

/// Reads one log of a stream through both faces; `found` is what the engine gave a moment ago.
pub async fn judge(
    stage: &Stage,
    faces: &Faces,
    stream: &Arc<Stream>,
    number: u32,
    found: &[(u64, Id)],
    dice: &mut Dice,
) {
    let log = stream.logs[number as usize];
    let mut kafka = faces.kafka();
    let Some(by_kafka) = read_kafka(stage, &mut kafka, stream, number, dice).await else { return };
    let by_kinesis = read_kinesis(stage, faces, stream, number, dice).await;
    let earliest = list_offset(&mut kafka, stream, number, -2).await;
    let latest = list_offset(&mut kafka, stream, number, -1).await;
    if stage.engine.failure().is_some() || stage.disk.is_off() {
        return;
    }
    let Ok(bounds) = stage.engine.bounds(log) else { return };
    let start = bounds.start.0;
    let mut model = stage.model();
    // Retention may have come between.
    let kept = |list: &[(u64, Id, i64)]| -> Vec<(u64, Id)> {
        list.iter().filter(|(offset, ..)| *offset >= start).map(|(offset, id, _)| (*offset, *id)).collect()
    };
    let held: Vec<(u64, Id)> = found.iter().filter(|(offset, _)| *offset >= start).copied().collect();
    for (face, list) in [("Kafka", kept(&by_kafka)), ("Kinesis", kept(&by_kinesis))] {
        if list != held {
            let at = list.iter().zip(&held).position(|(a, b)| a != b).unwrap_or(list.len().min(held.len()));
            model.blame(format!(
                "log {log}: {face} shows {} records, the engine holds {}; they differ from {:?} on ({:?} and {:?})",
                list.len(),
                held.len(),
                at,
                list.get(at),
                held.get(at)
            ));
        }
    }
    // Where the broker says the time, both faces say the same one.
    for ((offset, id, time), (_, _, arrived)) in by_kafka.iter().zip(&by_kinesis) {
        if *time >= 0 && time != arrived && kept(&by_kafka) == kept(&by_kinesis) && by_kafka.len() == by_kinesis.len() {
            model.blame(format!("log {log} offset {offset}: record {id} arrived at {time}, for Kinesis at {arrived}"));
        }
    }
    let early = earliest.is_none_or(|earliest| earliest as u64 > start);
    if early || latest != Some(bounds.end.0 as i64) {
        model.blame(format!("log {log}: ListOffsets says {earliest:?} and {latest:?}, it is {bounds:?}"));
    }
}

/// Everything a consumer gets, with the time the broker gave each record, or -1.
async fn read_kafka(
    stage: &Stage,
    kafka: &mut Kafka,
    stream: &Arc<Stream>,
    number: u32,
    dice: &mut Dice,
) -> Option<Vec<ShownRecord>> {
    let log = stream.logs[number as usize];
    let mut at = stage.engine.bounds(log).ok()?.start.0;
    let mut shown = Vec::new();
    loop {
        let bounds = stage.engine.bounds(log).ok()?;
        at = at.max(bounds.start.0);
        if at >= bounds.end.0 {
            return Some(shown);
        }
        let version = *dice.pick(&[10, 12, 13, 18]);
        let request = FetchRequest {
            topics: vec![fetch_topic(version, stream, number, at as i64, 20_000)],
            max_bytes: 20_000,
            ..FetchRequest::default()
        };
        let answer: FetchResponse = kafka.ask(version, &request).await?;
        let data = answer.responses.into_iter().next()?.partitions.into_iter().next()?;
        let records = match data.error_code {
            0 => data.records.map(|rope| rope.into_bytes()).unwrap_or_default(),
            // A consumer can do no more than to go on behind it.
            CORRUPT => {
                at += 1;
                continue;
            }
            _ => return None,
        };
        if records.is_empty() && stage.engine.bounds(log).is_ok_and(|now| now.start == bounds.start) {
            // Nothing behind the last damage.
            return Some(shown);
        }
        for sound in batch::split(records) {
            let opened = sound.ok().and_then(|batch| batch::check(batch.bytes).ok())?;
            let base = opened.header.base_offset as u64;
            for record in records::iterate(&opened, LIMITS).ok()? {
                let record = record.ok()?;
                let offset = base + record.offset_delta as u64;
                if offset < at {
                    continue;
                }
                // Where the broker says the time, the batch has it.
                let time = if opened.header.is_log_append_time() { opened.header.max_timestamp } else { -1 };
                let (key, value) = (record.key.as_deref(), record.value.as_deref());
                shown.push((offset, stage.model().read(log, offset, key, value)?, time));
            }
            at = at.max(base + opened.header.offsets());
        }
    }
}

/// Everything the readers of a log's shards are shown, one shard after the other.
async fn read_kinesis(
    stage: &Stage,
    faces: &Faces,
    stream: &Arc<Stream>,
    number: u32,
    dice: &mut Dice,
) -> Vec<ShownRecord> {
    let mut shards: Vec<_> = stream.shards.iter().filter(|shard| shard.log == number).collect();
    shards.sort_by_key(|shard| shard.start);
    let mut shown = Vec::new();
    for shard in shards {
        let mut place = Place::default();
        while step(stage, faces, stream, shard.no, &mut place, dice.range(1, 200), &mut shown).await {}
        resume(stage, faces, stream, shard.no, &place, dice).await;
    }
    shown
}

/// A reader that comes back with the number of a record goes on behind it.
async fn resume(stage: &Stage, faces: &Faces, stream: &Arc<Stream>, no: ShardNo, read: &Place, dice: &mut Dice) {
    let mut place = Place { last: read.last.clone(), next: read.next, ..Place::default() };
    if place.last.is_none() || dice.percent(50) {
        return;
    }
    let mut more: Vec<ShownRecord> = Vec::new();
    while step(stage, faces, stream, no, &mut place, 10, &mut more).await {}
    let log: Option<LogId> = stream.shard(no).and_then(|shard| stream.log(shard.log));
    if !more.is_empty() && stage.calm {
        stage.model().blame(format!("log {log:?}: behind its last record stand {more:?}"));
    }
}
