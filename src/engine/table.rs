//! The lane's table of logs as one checksummed file: what the journal's facts said, so that old journal files can go.
//!
//! ```text
//! magic u32 "IFTB" │ version u32 = 1 │ crc32c u32 of what follows │ frame u64 │ logs u32 │ per log:
//!   log u64 │ start u64 │ next u64 │ last arrived i64 │ epochs u32 × (epoch u32, from u64)
//!   segments u32 × settled (engine/frame.rs) │ producers u32 bytes
//! ```
//! Facts of frames up to `frame` are in it. Batches of frames up to it are known to the producers in it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};

use super::frame::{self, Settled};
use super::lane::Slot;
use crate::ids::{LogId, Offset, Timestamp};
use crate::log::line::Line;
use crate::log::producers::Producers;
use crate::store::journal::FrameNo;
use crate::store::{Disk, Open};

/// The file's name; `table.new` beside it is one that was being written.
pub const NAME: &str = "table";
const NEW: &str = "table.new";
const MAGIC: u32 = 0x4946_5442;
const VERSION: u32 = 1;

/// One log of the table.
pub struct Row {
    pub line: Line,
    pub segments: Vec<Settled>,
}

pub fn encode(frame: FrameNo, slots: &BTreeMap<LogId, Slot>) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + slots.len() * 64);
    out.put_u32(MAGIC);
    out.put_u32(VERSION);
    out.put_u32(0);
    out.put_u64(frame);
    out.put_u32(slots.len() as u32);
    for (id, slot) in slots {
        let line = &slot.line;
        out.put_u64(id.0);
        out.put_u64(line.start.0);
        out.put_u64(line.next.0);
        out.put_i64(line.last_arrived.0);
        out.put_u32(line.epochs.len() as u32);
        for (epoch, from) in &line.epochs {
            out.put_u32(*epoch);
            out.put_u64(from.0);
        }
        let view = slot.shared.view();
        out.put_u32(view.extents.len() as u32);
        for extent in &view.extents {
            frame::encode_settled(&extent.settled, &mut out);
        }
        drop(view);
        let at = out.len();
        out.put_u32(0);
        line.producers.encode(&mut out);
        let bytes = (out.len() - at - 4) as u32;
        out[at..at + 4].copy_from_slice(&bytes.to_be_bytes());
    }
    let crc = crc32c::crc32c(&out[12..]);
    out[8..12].copy_from_slice(&crc.to_be_bytes());
    out
}

/// The frame the table stands for, and its logs.
pub fn decode(bytes: Bytes) -> io::Result<(FrameNo, BTreeMap<LogId, Row>)> {
    let bad = |why: &str| io::Error::new(io::ErrorKind::InvalidData, format!("the file {NAME} {why}"));
    let short = || bad("ends too early");
    let mut at = bytes;
    if at.len() < 24 || at.get_u32() != MAGIC {
        return Err(bad("is not a table of logs"));
    }
    let version = at.get_u32();
    if version != VERSION {
        let words = format!("the file {NAME} has version {version}; this program knows {VERSION}");
        return Err(io::Error::new(io::ErrorKind::Unsupported, words));
    }
    let crc = at.get_u32();
    if crc32c::crc32c(&at) != crc {
        return Err(bad("does not match its checksum"));
    }
    let frame = at.get_u64();
    let count = at.get_u32();
    let mut rows = BTreeMap::new();
    for _ in 0..count {
        if at.remaining() < 36 {
            return Err(short());
        }
        let id = LogId(at.get_u64());
        let mut line = Line {
            start: Offset(at.get_u64()),
            next: Offset(at.get_u64()),
            last_arrived: Timestamp(at.get_i64()),
            ..Line::default()
        };
        for _ in 0..at.get_u32() {
            let epoch = at.try_get_u32().map_err(|_| short())?;
            line.epochs.push((epoch, Offset(at.try_get_u64().map_err(|_| short())?)));
        }
        let mut segments = Vec::new();
        for _ in 0..at.try_get_u32().map_err(|_| short())? {
            segments.push(frame::decode_settled(&mut at).ok_or_else(short)?);
        }
        let bytes = at.try_get_u32().map_err(|_| short())? as usize;
        if bytes > at.len() {
            return Err(short());
        }
        line.producers =
            Producers::decode(&at.split_to(bytes)).map_err(|e| bad(&format!("has producers that {e:?}")))?;
        rows.insert(id, Row { line, segments });
    }
    Ok((frame, rows))
}

/// Writes the table beside the old one and puts it in its place.
pub fn write(disk: &dyn Disk, table: &[u8]) -> io::Result<()> {
    let file = disk.open(NEW, Open::CreateOrOpen)?;
    file.set_len(0)?;
    file.write_at(&[table], 0)?;
    file.sync()?;
    disk.rename(NEW, NAME)?;
    disk.sync_dir("")
}

/// Reads the table; an empty one where there is none yet.
pub fn read(disk: &Arc<dyn Disk>) -> io::Result<(FrameNo, BTreeMap<LogId, Row>)> {
    let file = match disk.open(NAME, Open::Read) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok((0, BTreeMap::new())),
        Err(e) => return Err(e),
    };
    let mut bytes = vec![0; file.len()? as usize];
    file.read_exact_at(&mut bytes, 0)?;
    decode(Bytes::from(bytes))
}
