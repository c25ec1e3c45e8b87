//! The lane's table of logs as one checksummed file: what the journal's facts said, so that old journal files can go.
//!
//! ```text
//! magic u32 "IFTB" │ version u32 = 4 │ crc32c u32 of what follows │ frame u64 │ logs u32 │ per log:
//!   log u64 │ start u64 │ next u64 │ last arrived i64 │ clean u64 │ epochs u32 × (epoch u32, from u64)
//!   segments u32 × settled (engine/frame.rs) │ transactions (log/transactions.rs) │ producers u32 bytes
//! next pack u64 │ packs u32 × (id u64, bytes u64, seal u32), the oldest first
//! ```
//! Facts of frames up to `frame` are in it. Batches of frames up to it are known to the producers in it.
//!
//! It stands on disk twice, as `table` and `table.copy`, written one after the other: whatever happens to one of them,
//! the journal is kept until both stand, so the other can serve.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};

use super::frame::{self, PackInfo, Settled};
use super::lane::Slot;
use crate::ids::{LogId, Offset, Timestamp};
use crate::log::line::Line;
use crate::log::producers::Producers;
use crate::log::transactions::Transactions;
use crate::store::journal::FrameNo;
use crate::store::{Disk, Open, is_broken};

/// The file's name.
pub const NAME: &str = "table";
/// The same once more.
pub const COPY: &str = "table.copy";
/// One that was being written.
pub const NEW: &str = "table.new";
const MAGIC: u32 = 0x4946_5442;
const VERSION: u32 = 4;

/// What the table says.
#[derive(Default)]
pub struct Table {
    pub frame: FrameNo,
    pub rows: BTreeMap<LogId, Row>,
    pub packs: PackList,
}

/// Which packs there are, the oldest first; and the id of the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackList {
    pub next: u64,
    pub packs: Vec<PackInfo>,
}

impl Default for PackList {
    fn default() -> PackList {
        PackList { next: 1, packs: Vec::new() }
    }
}

/// One log of the table.
pub struct Row {
    pub line: Line,
    pub segments: Vec<Settled>,
}

pub fn encode(frame: FrameNo, slots: &BTreeMap<LogId, Slot>, packs: &PackList) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + slots.len() * 160);
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
        out.put_u64(line.clean.0);
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
        // Of those given up, segments know what is settled.
        line.transactions.encode(view.settled, &mut out);
        drop(view);
        let at = out.len();
        out.put_u32(0);
        line.producers.encode(&mut out);
        let bytes = (out.len() - at - 4) as u32;
        out[at..at + 4].copy_from_slice(&bytes.to_be_bytes());
    }
    out.put_u64(packs.next);
    out.put_u32(packs.packs.len() as u32);
    for PackInfo { id, bytes, seal } in &packs.packs {
        out.put_u64(*id);
        out.put_u64(*bytes);
        out.put_u32(*seal);
    }
    let crc = crc32c::crc32c(&out[12..]);
    out[8..12].copy_from_slice(&crc.to_be_bytes());
    out
}

pub fn decode(bytes: Bytes) -> io::Result<Table> {
    let bad = |why: &str| io::Error::new(io::ErrorKind::InvalidData, why.to_owned());
    let short = || bad("it ends too early");
    let mut at = bytes;
    if at.len() < 24 || at.get_u32() != MAGIC {
        return Err(bad("it is not a table of logs"));
    }
    let version = at.get_u32();
    if version != VERSION {
        let words = format!("it has version {version}; this program knows {VERSION}");
        return Err(io::Error::new(io::ErrorKind::Unsupported, words));
    }
    let crc = at.get_u32();
    if crc32c::crc32c(&at) != crc {
        return Err(bad("it does not match its checksum"));
    }
    let frame = at.get_u64();
    let count = at.get_u32();
    let mut rows = BTreeMap::new();
    for _ in 0..count {
        if at.remaining() < 44 {
            return Err(short());
        }
        let id = LogId(at.get_u64());
        let mut line = Line {
            start: Offset(at.get_u64()),
            next: Offset(at.get_u64()),
            last_arrived: Timestamp(at.get_i64()),
            clean: Offset(at.get_u64()),
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
        line.transactions = Transactions::decode(&mut at).ok_or_else(short)?;
        let bytes = at.try_get_u32().map_err(|_| short())? as usize;
        if bytes > at.len() {
            return Err(short());
        }
        line.producers =
            Producers::decode(&at.split_to(bytes)).map_err(|e| bad(&format!("it has producers that {e:?}")))?;
        rows.insert(id, Row { line, segments });
    }
    let mut packs = PackList { next: at.try_get_u64().map_err(|_| short())?, packs: Vec::new() };
    for _ in 0..at.try_get_u32().map_err(|_| short())? {
        if at.remaining() < 20 {
            return Err(short());
        }
        packs.packs.push(PackInfo { id: at.get_u64(), bytes: at.get_u64(), seal: at.get_u32() });
    }
    Ok(Table { frame, rows, packs })
}

/// Writes the table beside the old one and puts it in its place, then does the same with the copy. When it returns, both
/// are durable; at every moment before, one of them is whole.
pub fn write(disk: &dyn Disk, table: &[u8]) -> io::Result<()> {
    for name in [COPY, NAME] {
        let file = disk.open(NEW, Open::CreateOrOpen)?;
        file.set_len(0)?;
        file.write_at(&[table], 0)?;
        file.sync()?;
        disk.rename(NEW, name)?;
        disk.sync_dir("")?;
    }
    Ok(())
}

/// What stands on disk.
#[derive(Default)]
pub struct Stored {
    /// Of frame 0 where there is none yet.
    pub table: Table,
    /// The file it was read from, with its bytes; `None` where there is none yet.
    pub bytes: Option<Bytes>,
    /// The file that could not be read although the other one could, and what is wrong with it.
    pub damaged: Option<(&'static str, String)>,
}

/// Reads the newer one of the two files that is sound. `InvalidData`: one is damaged and the other does not help.
/// `Unsupported`: a newer program wrote it. (It says so in both; in one alone the version is damage, like anything else.)
pub fn read(disk: &Arc<dyn Disk>) -> io::Result<Stored> {
    let mut stored = Stored::default();
    let mut wrong: Vec<(&'static str, io::Error)> = Vec::new();
    for name in [NAME, COPY] {
        let read = read_file(&**disk, name).and_then(|bytes| match bytes {
            Some(bytes) => decode(bytes.clone()).map(|table| Some((table, bytes))),
            None => Ok(None),
        });
        match read {
            Ok(Some((table, bytes))) if stored.bytes.is_none() || table.frame > stored.table.frame => {
                stored = Stored { table, bytes: Some(bytes), damaged: None };
            }
            Ok(_) => {}
            Err(e) if matches!(e.kind(), io::ErrorKind::InvalidData | io::ErrorKind::Unsupported) => {
                wrong.push((name, e))
            }
            Err(e) => return Err(io::Error::new(e.kind(), format!("{name}: {e}"))),
        }
    }
    if stored.bytes.is_some() || wrong.is_empty() {
        let damaged = wrong.pop().map(|(name, e)| (name, e.to_string()));
        return Ok(Stored { damaged, ..stored });
    }
    let told: Vec<String> = wrong.iter().map(|(name, e)| format!("{name}: {e}")).collect();
    let told = told.join("; ");
    if wrong.iter().all(|(_, e)| e.kind() == io::ErrorKind::Unsupported) {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            format!("the table of logs is of another format: {told}"),
        ));
    }
    let alone = if wrong.len() == 1 { "; there is no other copy" } else { "" };
    let words = format!(
        "the table of logs cannot be read: {told}{alone}. It says which segments there are and where logs begin, so \
         nothing can be served without it. Bring back either file, or a backup with `interfluve restore`; Kafka's own tools \
         can read the .log files under logs/"
    );
    Err(io::Error::new(io::ErrorKind::InvalidData, words))
}

/// A file's bytes, if there is one; what the disk cannot read is damage.
fn read_file(disk: &dyn Disk, name: &str) -> io::Result<Option<Bytes>> {
    let file = match disk.open(name, Open::Read) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut bytes = vec![0; file.len()? as usize];
    match file.read_exact_at(&mut bytes, 0) {
        Ok(()) => Ok(Some(bytes.into())),
        Err(e) if is_broken(&e) => Err(io::Error::new(io::ErrorKind::InvalidData, "the disk cannot read it")),
        Err(e) => Err(e),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::{MemDisk, When};

    fn table(frame: FrameNo) -> Vec<u8> {
        encode(frame, &BTreeMap::new(), &PackList::default())
    }

    fn disk(disk: &MemDisk) -> Arc<dyn Disk> {
        Arc::new(disk.clone())
    }

    #[test]
    fn a_flipped_bit_in_one_of_the_two_costs_nothing() {
        let sound = MemDisk::faulty();
        write(&sound, &table(7)).unwrap();
        for name in [NAME, COPY] {
            for bit in 0..table(7).len() as u64 * 8 {
                let spoilt = sound.kill();
                spoilt.flip(name, bit).unwrap();
                let stored = read(&disk(&spoilt)).unwrap();
                assert_eq!((stored.table.frame, stored.damaged.map(|d| d.0)), (7, Some(name)), "bit {bit} of {name}");
            }
            let spoilt = sound.kill();
            spoilt.spoil(name, 3..5).unwrap();
            assert_eq!(read(&disk(&spoilt)).unwrap().damaged.map(|d| d.0), Some(name), "unreadable {name}");
            let alone = sound.kill();
            alone.remove(name).unwrap();
            assert_eq!(read(&disk(&alone)).unwrap().table.frame, 7, "without {name}");
        }
    }

    #[test]
    fn two_damaged_ones_are_refused_with_what_to_do() {
        let spoilt = MemDisk::faulty();
        write(&spoilt, &table(7)).unwrap();
        for name in [NAME, COPY] {
            spoilt.flip(name, 100).unwrap();
        }
        let refused = read(&disk(&spoilt)).err().unwrap();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        let words = refused.to_string();
        assert!(["table: ", "table.copy", "interfluve restore"].iter().all(|w| words.contains(w)), "{words}");
    }

    #[test]
    fn the_power_may_go_off_at_any_call_of_a_write() {
        let old = MemDisk::faulty();
        write(&old, &table(7)).unwrap();
        let whole = old.kill();
        write(&whole, &table(8)).unwrap();
        for call in 1..=whole.calls() {
            for when in [When::Before, When::After] {
                for seed in 0..8 {
                    let cut = old.kill();
                    cut.crash_at(call, when);
                    assert!(write(&cut, &table(8)).is_err());
                    let stored = read(&disk(&cut.crash(seed))).unwrap();
                    assert!(
                        [7, 8].contains(&stored.table.frame) && stored.damaged.is_none(),
                        "call {call} {when:?} {seed}"
                    );
                }
            }
        }
    }
}
