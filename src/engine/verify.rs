//! A segment held against its sidecar, byte for byte: what `check` reports and what makes a backup's copy a proven one.
//! Reads only; nothing is repaired and nothing is withheld here.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::engine::frame::{Filed, Settled};
use crate::engine::packs::Packs;
use crate::engine::vault::Segment;
use crate::engine::window::read_or_damaged;
use crate::ids::{LogId, Offset, Timestamp};
use crate::log::segment::{self, HEAD_BYTES, Head, Slot};
use crate::record::batch;
use crate::store::{Disk, File, Open};

/// Small batches are read together, up to this much at once.
const READ_BYTES: u64 = 1 << 20;
/// No batch is longer; a length above it is damage.
const BATCH_MAX_BYTES: u64 = 1 << 30;

/// How far a segment is known to be sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proven {
    pub bytes: u64,
    pub side_bytes: u64,
    pub hash: u32,
    pub end: Offset,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    pub file: String,
    /// Where in the file, in bytes; `None`: all of it.
    pub at: Option<u64>,
    /// The records that cannot be served because of it, if they are known: from the first to behind the last.
    pub records: Option<Range<u64>>,
    pub what: String,
}

/// What was read of one segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    pub batches: u64,
    /// What stands in the files behind what is recorded: settled, and stopped before it was written down.
    pub beyond_bytes: u64,
}

impl Proven {
    /// Nothing of a segment that begins at `base`.
    pub fn nothing(base: Offset) -> Proven {
        Proven { bytes: 0, side_bytes: 0, hash: 0, end: base }
    }

    /// All of what is recorded of a segment.
    pub fn whole(settled: &Settled) -> Proven {
        Proven { bytes: settled.bytes, side_bytes: settled.side_bytes, hash: settled.hash, end: settled.end }
    }
}

/// Reads a segment from `from` up to `reach`, what of it stands in packs too, and tells every flaw. `read` hears how many
/// bytes were read, as it goes. An error: the disk could not be asked (a file that is missing is a flaw).
pub fn verify(
    disk: &dyn Disk,
    packs: &Packs,
    log: LogId,
    reach: &Settled,
    from: Proven,
    read: &mut dyn FnMut(u64),
    tell: &mut dyn FnMut(Flaw),
) -> io::Result<Seen> {
    let mut check = Check {
        log,
        reach,
        names: ["log", "side"].map(|kind| Segment::file(log, reach.name(), kind)),
        at: from,
        arrived: Timestamp(i64::MIN),
        max_time: Timestamp(i64::MIN),
        seen: Seen::default(),
        flawed: false,
        read,
        tell,
    };
    let [records, side] = check.both(disk, packs)?;
    let mut records_end = 0;
    if let Some(file) = &records {
        records_end = check.length(0, &**file, reach.bytes)?;
    }
    let side_end = match &side {
        Some(file) => check.length(1, &**file, reach.side_bytes)?,
        None => 0,
    };
    if let (Some(records), Some(side)) = (&records, &side) {
        check.entries(&**records, records_end, &**side, side_end)?;
    }
    if let Some(records) = &records
        && check.at.bytes < records_end
    {
        // The sidecar says no more; the batches tell of themselves.
        check.raw(&**records, records_end)?;
    }
    if !check.flawed {
        check.end(from);
    }
    Ok(check.seen)
}

struct Check<'a> {
    log: LogId,
    reach: &'a Settled,
    names: [String; 2],
    /// Everything before this has been read.
    at: Proven,
    arrived: Timestamp,
    max_time: Timestamp,
    seen: Seen,
    flawed: bool,
    read: &'a mut dyn FnMut(u64),
    tell: &'a mut dyn FnMut(Flaw),
}

impl Check<'_> {
    fn flaw(&mut self, file: usize, at: Option<u64>, records: Option<Range<u64>>, what: impl Into<String>) {
        self.flawed = true;
        (self.tell)(Flaw { file: self.names[file].clone(), at, records, what: what.into() });
    }

    /// The two files, with what packs hold of them.
    fn both(&mut self, disk: &dyn Disk, packs: &Packs) -> io::Result<[Option<Arc<dyn File>>; 2]> {
        if self.reach.packed_bytes() == 0 {
            return Ok([self.open(disk, 0)?, self.open(disk, 1)?]);
        }
        let own = match self.reach.filed {
            Filed { bytes: 0, .. } => [None, None],
            _ => [self.open(disk, 0)?, self.open(disk, 1)?],
        };
        let missing = self.reach.filed.bytes > 0 && own[0].is_none();
        let [records, side] = packs.spliced(disk, self.log, self.reach, own)?;
        Ok([(!missing).then(|| Arc::new(records) as Arc<dyn File>), Some(Arc::new(side))])
    }

    fn open(&mut self, disk: &dyn Disk, file: usize) -> io::Result<Option<Arc<dyn File>>> {
        match disk.open(&self.names[file], Open::Read) {
            Ok(file) => Ok(Some(file)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let lost = (file == 0).then_some(self.reach.base.0..self.reach.end.0);
                self.flaw(file, None, lost, "the file is missing");
                Ok(None)
            }
            Err(e) => Err(e),
        }
    }

    /// How much of a file can be read; shorter than recorded is a flaw.
    fn length(&mut self, file: usize, open: &dyn File, recorded: u64) -> io::Result<u64> {
        let bytes = open.len()?;
        if bytes < recorded {
            self.flaw(file, Some(bytes), None, format!("the file ends after {bytes} bytes, {recorded} were settled"));
        }
        self.seen.beyond_bytes += bytes.saturating_sub(recorded);
        Ok(bytes.min(recorded))
    }

    /// Walks the sidecar, and the batches each entry describes.
    fn entries(&mut self, records: &dyn File, records_end: u64, side: &dyn File, side_end: u64) -> io::Result<()> {
        while self.at.side_bytes < side_end {
            let at = self.at.side_bytes;
            let mut head_bytes = [0; HEAD_BYTES];
            let fits = side_end - at >= HEAD_BYTES as u64 && read_or_damaged(side, &mut head_bytes, at)?;
            let head = fits.then(|| segment::head(&head_bytes)).flatten();
            let Some(head) = head.filter(|h| self.plausible(h, side_end - at)) else {
                self.flaw(1, Some(at), None, "the entry that begins here is damaged");
                return Ok(());
            };
            let mut entry = BytesMut::zeroed(head.entry_bytes as usize);
            let whole = read_or_damaged(side, &mut entry, at)?;
            (self.read)(u64::from(head.entry_bytes));
            match segment::slots(&entry.freeze()).filter(|_| whole) {
                Some((head, slots)) => self.entry(records, records_end, at, &head, &slots)?,
                None => {
                    self.flaw(1, Some(at), None, "an entry does not match its checksum");
                    let bytes = self.at.bytes + head.bytes;
                    self.raw(records, records_end.min(bytes))?;
                    self.at = Proven { bytes, hash: head.hash, end: head.end, ..self.at };
                    self.arrived = self.arrived.max(head.last_arrived);
                }
            }
            self.at.side_bytes = at + u64::from(head.entry_bytes);
        }
        Ok(())
    }

    /// Whether a head that may be damaged says where the next entry is.
    fn plausible(&self, head: &Head, left: u64) -> bool {
        let fits = u64::from(head.entry_bytes) <= left && head.bytes <= self.reach.bytes - self.at.bytes;
        head.log == self.log && head.first >= self.at.end && head.at == self.at.bytes && head.end > head.first && fits
    }

    /// One sound entry: every batch it describes.
    fn entry(&mut self, file: &dyn File, end: u64, at: u64, head: &Head, slots: &[Slot]) -> io::Result<()> {
        let told: u64 = slots.iter().map(|s| u64::from(s.bytes)).sum();
        if told != head.bytes {
            self.flaw(1, Some(at), None, format!("an entry of {} bytes describes {told}", head.bytes));
        }
        if head.first > self.at.end {
            self.hole(self.at.end, head.first);
        }
        let (mut batch_at, mut hash, mut sound) = (head.at, self.at.hash, true);
        let mut from = 0;
        while from < slots.len() {
            let mut to = from + 1;
            let mut bytes = u64::from(slots[from].bytes);
            while to < slots.len() && bytes + u64::from(slots[to].bytes) <= READ_BYTES {
                bytes += u64::from(slots[to].bytes);
                to += 1;
            }
            if batch_at + bytes > end {
                // The file is too short, which has been told; these records are what it means.
                let lost = slots[from].first.0..head.end.0;
                self.flaw(0, Some(batch_at), Some(lost), "the file ends before these batches");
                sound = false;
                break;
            }
            let mut buffer = BytesMut::zeroed(bytes as usize);
            let readable = read_or_damaged(file, &mut buffer, batch_at)?;
            (self.read)(bytes);
            let mut buffer = buffer.freeze();
            for (i, slot) in slots.iter().enumerate().take(to).skip(from) {
                let bytes = buffer.split_to(slot.bytes as usize);
                let slot_end = slots.get(i + 1).map_or(head.end, |next| next.first);
                hash = segment::running_hash(hash, &bytes);
                let judged = if readable { judge(&bytes, slot) } else { Err("cannot be read".into()) };
                match judged {
                    Ok(end) if end < slot_end => self.hole(end, slot_end),
                    Ok(end) if end == slot_end => {}
                    Ok(end) => {
                        let what = format!("a batch reaches up to offset {end}, its sidecar says {slot_end}");
                        self.flaw(0, Some(batch_at), Some(slot.first.0..slot_end.0), what);
                    }
                    Err(what) => {
                        sound = false;
                        self.flaw(0, Some(batch_at), Some(slot.first.0..slot_end.0), format!("a batch {what}"));
                    }
                }
                if slot.arrived < self.arrived {
                    self.flaw(1, Some(at), None, format!("offset {} arrived before the one before it", slot.first));
                }
                self.arrived = self.arrived.max(slot.arrived);
                batch_at += u64::from(slot.bytes);
                self.seen.batches += 1;
            }
            from = to;
        }
        if sound && hash != head.hash {
            let what = "batch headers do not match the sidecar (base offset, length or epoch)";
            self.flaw(0, Some(head.at), Some(head.first.0..head.end.0), what);
        }
        self.max_time = self.max_time.max(head.max_time);
        self.at = Proven { bytes: head.at + head.bytes, hash: head.hash, end: head.end, ..self.at };
        Ok(())
    }

    /// Offsets without batches. Unless compaction took them, they were lost before this was settled, and nobody can bring them back.
    fn hole(&mut self, from: Offset, to: Offset) {
        if self.reach.compacted > 0 {
            return;
        }
        self.flaw(
            0,
            None,
            Some(from.0..to.0),
            "records are missing between two batches, lost before they were settled",
        );
    }

    /// Batches without a sidecar: each says how long it is and what its checksum is.
    fn raw(&mut self, file: &dyn File, end: u64) -> io::Result<()> {
        let mut at = self.at.bytes;
        while at < end {
            let mut head = [0; batch::HEADER_BYTES];
            let fits = end - at >= head.len() as u64 && read_or_damaged(file, &mut head, at)?;
            let header = fits.then(|| batch::parse_header(&head).ok()).flatten();
            let Some(header) = header.filter(|h| u64::from(h.bytes) <= (end - at).min(BATCH_MAX_BYTES)) else {
                let lost = self.at.end.0..self.reach.end.0;
                self.flaw(
                    0,
                    Some(at),
                    Some(lost),
                    "no batch can be told here, and no sidecar says where the next begins",
                );
                return Ok(());
            };
            let mut bytes = BytesMut::zeroed(header.bytes as usize);
            let readable = read_or_damaged(file, &mut bytes, at)?;
            (self.read)(u64::from(header.bytes));
            let (first, next) =
                (header.base_offset as u64, (header.base_offset as u64).saturating_add(header.offsets()));
            if !readable || batch::check(bytes.freeze()).is_err() {
                self.flaw(0, Some(at), Some(first..next), "a batch does not match its checksum");
            }
            self.seen.batches += 1;
            at += u64::from(header.bytes);
            self.at.bytes = at;
            self.at.end = Offset(next);
        }
        Ok(())
    }

    /// Holds the whole against what was recorded when it was settled.
    fn end(&mut self, from: Proven) {
        let (at, reach) = (self.at, self.reach);
        let wrong = [
            ("bytes", at.bytes != reach.bytes),
            ("bytes of sidecar", at.side_bytes != reach.side_bytes),
            ("hash", at.hash != reach.hash),
            ("last offset", at.end != reach.end),
            ("time of arrival", from.bytes < reach.bytes && self.arrived != reach.arrived),
            ("greatest time", from.bytes == 0 && reach.bytes > 0 && self.max_time != reach.max_time),
        ];
        for (what, wrong) in wrong {
            if wrong {
                let records = Some(reach.base.0..reach.end.0);
                self.flaw(
                    0,
                    None,
                    records,
                    format!("the segment's {what} is not what was recorded when it was settled"),
                );
            }
        }
    }
}

/// Whether a batch is the one its slot describes; where it ends.
fn judge(bytes: &Bytes, slot: &Slot) -> Result<Offset, String> {
    let header = batch::check(bytes.clone()).map_err(|e| format!("is damaged: {e}"))?.header;
    if header.base_offset as u64 != slot.first.0 {
        return Err(format!("says it begins at offset {}, its sidecar says {}", header.base_offset, slot.first));
    }
    Ok(slot.first.plus(header.offsets()))
}
