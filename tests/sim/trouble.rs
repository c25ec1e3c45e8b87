//! A disk that fills up while everybody is at work, and one that flips bits while nobody is.

use bytes::Bytes;
use interfluve::engine::frame::{GROUP, decode_group};
use interfluve::engine::{Error, Group, Origin, Part, Permit, Refused};
use interfluve::ids::LogId;
use interfluve::record::batch;
use interfluve::record::build::Producer;
use interfluve::record::compress::Codec;
use interfluve::store::memory::MemDisk;
use interfluve::store::{Disk, Open};

use crate::actors::{Stage, build};
use crate::dice::Dice;
use crate::model::Model;

// ── a full disk

/// Somebody else who fills the disk for a while, then makes room, and sees that writing goes on by itself.
pub struct Filler {
    pub name: u32,
    pub dice: Dice,
}

/// A size that no simulation reaches.
const WIDE_BYTES: u64 = 1 << 40;
/// What the engine keeps free (`Options::reserve_free_bytes`).
pub const RESERVE_BYTES: u64 = 64 << 10;
/// How long after there is room again every write must be taken: the disk is looked at every second.
const HEARD_MS: i64 = 1_500;

impl Filler {
    pub async fn act(&mut self, stage: Stage, disk: MemDisk) {
        if stage.calm || stage.acts == 0 || !self.dice.percent(25) {
            return;
        }
        stage.pause(300, &mut self.dice).await;
        {
            disk.set_capacity(Some(WIDE_BYTES));
            let taken = WIDE_BYTES - disk.free_bytes().unwrap_or(WIDE_BYTES);
            // Clients are refused when the reserve is reached; what is below it is for the ledgers.
            let room = self.dice.range(RESERVE_BYTES, 3 * RESERVE_BYTES);
            disk.set_capacity(Some(taken + room));
            let mut model = stage.model();
            model.full = true;
            model.note(format!("the disk has room for {room} bytes"));
        }
        stage.pause(3_000, &mut self.dice).await;
        disk.set_capacity(None);
        stage.model().note("the disk has room again".into());
        // The lane hears of it in a second; what was refused before is being told.
        stage.engine.clock().sleep_until(stage.now().plus_ms(HEARD_MS)).await;
        stage.model().full = false;
        if let Some(Err(Error::Full)) = self.append(&stage).await {
            stage.model().blame("there is room again, and writes are refused for lack of it".into());
        }
        stage.model().note("writes are taken again".into());
    }

    /// One record to anywhere. `None`: there is no stream.
    async fn append(&mut self, stage: &Stage) -> Option<Result<(), Error>> {
        let (stream, number) = stage.some_log(&mut self.dice)?;
        let log = stream.logs[number as usize];
        let ids = {
            let mut model = stage.model();
            let group = model.new_group();
            model.send(log, self.name, group, &[8], false)
        };
        let batch = build(ids.clone(), &[8], stage.now(), Codec::None, Producer::NONE);
        let part = Part::new(log, batch);
        let group = Group { parts: vec![part], origin: Origin::Client };
        let answer = stage.engine.append(group, Permit::default()).await;
        let mut model = stage.model();
        match answer {
            Ok(placed) => {
                model.acknowledge(log, ids, placed[0].first.0);
                Some(Ok(()))
            }
            Err(Refused { error: Error::LaneFailed, .. }) => Some(Err(Error::LaneFailed)),
            Err(Refused { error, .. }) => {
                model.refuse(ids);
                Some(Err(error))
            }
        }
    }
}

// ── flipped bits

/// Flips one bit of a batch in a segment, or of a frame in the middle of the journal, of streams that clients write; the
/// model is told which records may be missing from now on.
pub fn flip(disk: &MemDisk, model: &mut Model, dice: &mut Dice) {
    let flipped = if dice.percent(60) { in_segment(disk, model, dice) } else { in_journal(disk, model, dice) };
    if let Some((what, name, bit)) = flipped {
        disk.flip(&name, bit).expect("the file is there");
        model.note(format!("bit {bit} of {name} is flipped: {what}"));
    }
}

type Flipped = (String, String, u64);

fn read(disk: &MemDisk, name: &str) -> Option<Bytes> {
    let file = disk.open(name, Open::Read).ok()?;
    let mut bytes = vec![0; file.len().ok()? as usize];
    let read = file.read_at(&mut bytes, 0).ok()?;
    bytes.truncate(read);
    Some(bytes.into())
}

fn in_segment(disk: &MemDisk, model: &mut Model, dice: &mut Dice) -> Option<Flipped> {
    let mut names = Vec::new();
    for dir in disk.list("logs").ok()? {
        let Some(log) = dir.parse().ok().map(LogId).filter(|log| model.logs.contains_key(log)) else { continue };
        let files = disk.list(&format!("logs/{dir}")).ok()?;
        names.extend(files.into_iter().filter(|f| f.ends_with(".log")).map(|file| (log, format!("logs/{dir}/{file}"))));
    }
    names.sort();
    if names.is_empty() {
        return None;
    }
    let (log, name) = dice.pick(&names).clone();
    let bytes = read(disk, &name)?;
    let mut batches = Vec::new();
    let mut at = 0;
    // What a crash left behind the last settled batch is no batch, and nobody's loss.
    for found in batch::split(bytes).map_while(Result::ok) {
        if batch::check(found.bytes.clone()).is_err() {
            break;
        }
        let base = found.header.base_offset as u64;
        batches.push((at, found.bytes.len() as u64, base, base + found.header.offsets()));
        at += found.bytes.len() as u64;
    }
    if batches.is_empty() {
        return None;
    }
    let (at, length, base, end) = *dice.pick(&batches);
    model.logs.get_mut(&log)?.rots(base..end);
    let bit = 8 * at + dice.below(8 * length);
    Some((format!("log {log} {base}..{end}"), name, bit))
}

/// Layout: `src/store/journal/frame.rs`.
const FRAMES_FROM: usize = 8192;
const FRAME_HEADER: usize = 64;

fn in_journal(disk: &MemDisk, model: &mut Model, dice: &mut Dice) -> Option<Flipped> {
    let mut names = disk.list("journal").ok()?;
    names.sort();
    if names.is_empty() {
        return None;
    }
    let name = format!("journal/{}", dice.pick(&names));
    let bytes = read(disk, &name)?;
    let long = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let salt = bytes.get(8..24)?;
    let (mut frames, mut at) = (Vec::new(), FRAMES_FROM);
    while bytes.get(at..at + 4) == Some(b"IFJR") && bytes.get(at + 8..at + 24) == Some(salt) {
        let (number, durable) = (long(at + 24)?, long(at + 32)?);
        let length = u32::from_le_bytes(*bytes.get(at + 48..)?.first_chunk()?) as usize;
        let whole = (FRAME_HEADER + length).next_multiple_of(64);
        let (Some(frame), true) = (bytes.get(at..at + FRAME_HEADER + length), long(at + 40)? == at as u64) else {
            break;
        };
        frames.push((at, number, durable, frame));
        at += whole;
    }
    // Damage is told from a torn end by what later frames say was durable.
    let mut groups = Vec::new();
    for (i, (at, number, _, frame)) in frames.iter().enumerate() {
        let sealed = frames[i + 1..].iter().any(|(_, _, durable, _)| durable >= number);
        if frame[4] != GROUP || !sealed {
            continue;
        }
        let members = decode_group(&Bytes::copy_from_slice(&frame[FRAME_HEADER..])).ok()?;
        if !members.is_empty() && members.iter().all(|(member, _)| model.logs.contains_key(&member.log)) {
            groups.push((*at, frame.len(), *number, members));
        }
    }
    if groups.is_empty() {
        return None;
    }
    let (at, length, number, members) = dice.pick(&groups).clone();
    for (member, bytes) in members {
        let records = batch::parse_header(&bytes).ok()?.offsets();
        model.logs.get_mut(&member.log)?.rots(member.first.0..member.first.0 + records);
    }
    let bit = 8 * at as u64 + dice.below(8 * length as u64);
    Some((format!("frame {number}"), name, bit))
}
