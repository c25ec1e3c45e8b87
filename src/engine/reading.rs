//! A segment that is being read: its two files, opened when they are first needed, with what packs hold of them behind
//! what stands in files of the segment's own; and its index, from its sidecar. Nothing is written.

use std::cell::OnceCell;
use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::frame::Settled;
use super::vault::{Place, Segment, Vault};
use super::window::{Window, read_if_there};
use crate::ids::{LogId, Offset, Timestamp};
use crate::log::segment::{Head, Slot};
use crate::metrics;
use crate::record::batch;
use crate::store::File;

pub(super) struct Reading<'a> {
    vault: &'a Vault,
    pub s: &'a Segment,
    pub reach: &'a Settled,
    /// The `.log` and the sidecar.
    files: [OnceCell<Arc<dyn File>>; 2],
}

const KINDS: [&str; 2] = ["log", "side"];

impl<'a> Reading<'a> {
    pub fn new(vault: &'a Vault, s: &'a Segment, reach: &'a Settled) -> Reading<'a> {
        Reading { vault, s, reach, files: Default::default() }
    }

    pub fn records(&self) -> io::Result<Arc<dyn File>> {
        self.file(0)
    }

    /// `None`: there is none.
    pub fn side(&self) -> io::Result<Option<Arc<dyn File>>> {
        match self.file(1) {
            Ok(side) => Ok(Some(side)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn file(&self, which: usize) -> io::Result<Arc<dyn File>> {
        if self.files[which].get().is_none() {
            self.open(which)?;
        }
        self.files[which].get().cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn own(&self, which: usize) -> io::Result<Arc<dyn File>> {
        self.vault.file(self.s.log, self.s.name, KINDS[which], false)
    }

    fn open(&self, which: usize) -> io::Result<()> {
        if self.reach.packed_bytes() == 0 {
            let _ = self.files[which].set(self.own(which)?);
            return Ok(());
        }
        let filed = self.reach.filed.bytes > 0;
        let own = [0, 1].map(|which| if filed { self.own(which).map(Some) } else { Ok(None) });
        let [records, side] = own;
        // A sidecar of its own that is missing is damage, and told by who looks into it.
        let side = side.or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(None) } else { Err(e) })?;
        let vault = self.vault;
        let spliced = vault.packs.spliced(&*vault.disk, self.s.log, self.reach, [records?, side])?;
        if spliced[0].0.reach() < self.reach.bytes
            && let (Ok(records), Ok(side)) = (self.own(0), self.own(1))
            && records.len()? >= self.reach.bytes
        {
            // All of it was moved into the segment's own files since this reader looked.
            let _ = (self.files[0].set(records), self.files[1].set(side));
            return Ok(());
        }
        for (cell, file) in self.files.iter().zip(spliced) {
            let _ = cell.set(Arc::new(file));
        }
        Ok(())
    }
}

impl Vault {
    /// The first entry that ends behind an offset.
    pub(super) fn place(&self, reading: &Reading<'_>, from: Offset) -> io::Result<Option<Place>> {
        self.with_index(reading, |places| places.get(places.partition_point(|p| p.head.end <= from)).copied())
    }

    pub(super) fn places(&self, reading: &Reading<'_>) -> io::Result<Vec<Place>> {
        self.with_index(reading, <[Place]>::to_vec)
    }

    /// Looks at the entries a reader may see; they are read from the sidecar if they are not in memory. Those that stand in
    /// packs do not stay there: the logs are too many.
    fn with_index<T>(&self, reading: &Reading<'_>, look: impl FnOnce(&[Place]) -> T) -> io::Result<T> {
        let Reading { s, reach, .. } = reading;
        let mut index = s.index();
        let filed = reach.filed.side_bytes;
        let mut places = index.take().filter(|places| reach_of(places) >= filed).unwrap_or_default();
        if filed < reach.side_bytes {
            places.truncate(places.partition_point(|p| p.at < filed));
            let all = self.load_index(reading, places)?;
            let kept = &all[..all.partition_point(|p| p.at < filed)];
            *index = (reach_of(kept) == filed).then(|| kept.to_vec());
            return Ok(look(&all));
        }
        if reach_of(&places) < filed {
            places = self.load_index(reading, Vec::new())?;
        }
        let places = index.insert(places);
        let seen = places.partition_point(|p| p.at < reach.side_bytes);
        Ok(look(&places[..seen]))
    }

    /// Every entry of the sidecar, each proven by its checksum; where one is damaged or the file is missing, what it said
    /// is taken from the batches themselves. Goes on behind `places`.
    fn load_index(&self, reading: &Reading<'_>, mut places: Vec<Place>) -> io::Result<Vec<Place>> {
        let Reading { s, reach, .. } = reading;
        let side = reading.side()?;
        let mut window = Window::default();
        let mut at = reach_of(&places);
        while at < reach.side_bytes {
            let found = side.as_deref().map_or(Ok(None), |side| window.entry(side, at, reach.side_bytes))?;
            if let Some((head, _)) = found.filter(|(head, _)| follows(&places, head, s.log)) {
                places.push(Place { at, head, rebuilt: false });
                at += u64::from(head.entry_bytes);
                continue;
            }
            let mut next = at + 1;
            let mut sound = None;
            while let Some(side) = side.as_deref().filter(|_| next < reach.side_bytes && sound.is_none()) {
                sound = window.entry(side, next, reach.side_bytes)?.filter(|(head, _)| follows(&places, head, s.log));
                next += u64::from(sound.is_none());
            }
            let (until, first, arrived) = sound
                .as_ref()
                .map_or((reach.bytes, reach.end, reach.arrived), |(head, _)| (head.at, head.first, head.first_arrived));
            next = if sound.is_some() { next } else { reach.side_bytes };
            let from = places.last().map_or(0, |p| p.head.at + p.head.bytes);
            let head = Head {
                log: s.log,
                first: places.last().map_or(s.name.base, |p| p.head.end),
                end: first,
                at: from,
                bytes: until.saturating_sub(from),
                hash: 0,
                max_time: NO_TIME,
                first_arrived: places.last().map_or(NO_TIME, |p| p.head.last_arrived),
                last_arrived: arrived,
                stable: Offset(0),
                aborted: 0,
                batches: 0,
                entry_bytes: u32::try_from(next - at).unwrap_or(u32::MAX),
                crc: 0,
            };
            let place = self.rebuilt(reading, Place { at, head, rebuilt: true })?;
            metrics::REBUILT_ENTRIES.inc();
            tracing::error!(
                log = %s.log, first = %place.head.first, end = %place.head.end,
                "{} is damaged at byte {at}: batches are found by their own headers, and their times of arrival are lost; \
                 their greatest record times stand for them",
                Segment::file(s.log, s.name, "side")
            );
            places.push(place);
            at = next;
        }
        Ok(places)
    }

    /// The place of a damaged entry, with what its batches say.
    fn rebuilt(&self, reading: &Reading<'_>, mut place: Place) -> io::Result<Place> {
        let (slots, markers) = self.walk(reading, &place.head)?;
        let head = &mut place.head;
        head.aborted = markers;
        head.batches = slots.len() as u32;
        head.max_time = slots.iter().map(|slot| slot.max_time).max().unwrap_or(NO_TIME);
        Ok(place)
    }

    /// The batches of an entry that cannot be read, by their own headers. Where a header is damaged too, everything up
    /// to the end of the entry is one piece, which no checksum will match. And how many of them are markers.
    pub(super) fn walk(&self, reading: &Reading<'_>, head: &Head) -> io::Result<(Vec<Slot>, u32)> {
        let records = reading.records()?;
        let (mut at, end) = (head.at, head.at + head.bytes);
        let (mut first, mut arrived) = (head.first, head.first_arrived);
        let (mut slots, mut markers) = (Vec::new(), 0);
        while at < end {
            let mut bytes = [0; batch::HEADER_BYTES];
            let fits = end - at >= bytes.len() as u64 && read_if_there(&*records, &mut bytes, at)?;
            let header = fits.then(|| batch::parse_header(&bytes).ok()).flatten().filter(|h| {
                let base = h.base_offset as u64;
                let ends = base.checked_add(h.offsets()).is_some_and(|ends| ends <= head.end.0);
                base >= first.0 && ends && u64::from(h.bytes) <= end - at
            });
            let Some(header) = header else {
                let bytes = u32::try_from(end - at).unwrap_or(u32::MAX);
                slots.push(Slot { bytes, first, arrived, max_time: NO_TIME });
                break;
            };
            let max_time = Timestamp(header.max_timestamp);
            arrived = max_time.max(arrived).min(head.last_arrived);
            let base = Offset(header.base_offset as u64);
            slots.push(Slot { bytes: header.bytes, first: base, arrived, max_time });
            markers += u32::from(header.is_control());
            first = base.plus(header.offsets());
            at += u64::from(header.bytes);
        }
        Ok((slots, markers))
    }

    pub(super) fn slots(&self, reading: &Reading<'_>, place: &Place) -> io::Result<Vec<Slot>> {
        let s = reading.s;
        if !place.rebuilt {
            let sound = match reading.side()? {
                Some(side) => {
                    Window::default().entry(&*side, place.at, place.at + u64::from(place.head.entry_bytes))?
                }
                None => None,
            };
            if let Some((_, slots)) = sound {
                return Ok(slots);
            }
            // It was sound when it was indexed.
            let file = Segment::file(s.log, s.name, "side");
            tracing::error!(log = %s.log, "{file} is damaged at byte {}: batches are found by their own headers", place.at);
        }
        Ok(self.walk(reading, &place.head)?.0)
    }

    /// The bytes of a sidecar's entry.
    pub(super) fn entry(&self, reading: &Reading<'_>, place: &Place) -> io::Result<Bytes> {
        let side = reading.side()?.ok_or(io::ErrorKind::NotFound)?;
        let mut entry = BytesMut::zeroed(place.head.entry_bytes as usize);
        side.read_exact_at(&mut entry, place.at)?;
        Ok(entry.freeze())
    }
}

/// How many bytes of the sidecar an index covers.
pub(super) fn reach_of(places: &[Place]) -> u64 {
    places.last().map_or(0, |p| p.at + u64::from(p.head.entry_bytes))
}

/// Whether an entry can stand behind these.
fn follows(places: &[Place], head: &Head, log: LogId) -> bool {
    let (end, at) = places.last().map_or((Offset(0), 0), |p| (p.head.end, p.head.at + p.head.bytes));
    head.log == log && head.first >= end && head.at >= at
}

pub(super) fn damaged_entry(s: &Segment, place: &Place) -> io::Error {
    let name = Segment::file(s.log, s.name, "side");
    io::Error::new(io::ErrorKind::InvalidData, format!("{name} is damaged at byte {}", place.at))
}

/// The time a record-less batch is filed under.
const NO_TIME: Timestamp = Timestamp(-1);
