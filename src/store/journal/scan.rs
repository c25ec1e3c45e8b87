//! Reading a journal: finding the frames of its files in order, and judging what is missing between them. Reads only;
//! what is to be cut is said, not done.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::frame::{
    ALIGN, COPIES, FileHeader, FrameHeader, FrameRead, HEADER_BYTES, HeaderRead, NUMBER_MAX, START, Salt, VERSION,
    frame_bytes,
};
use super::{FrameIn, FrameNo, MARK, ReplayReport, Replayed};
use crate::store::{Disk, File, Open, is_broken};

/// How much is read at once.
const WINDOW_BYTES: u64 = 1 << 20;
/// What a disk that cannot read is asked for piece by piece.
const BLOCK_BYTES: usize = 4096;

/// How exactly it is known where frames stand that are claimed durable.
const STEP_BYTES: u64 = 256 << 10;

const PREFIX: &str = "journal-";

pub(super) fn file_name(sequence: u64) -> String {
    format!("{PREFIX}{sequence:016x}")
}

/// The sequence in a file's name, if it is one of ours.
fn sequence_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?;
    let sequence = u64::from_str_radix(digits, 16).ok()?;
    ((1..=NUMBER_MAX).contains(&sequence) && file_name(sequence) == name).then_some(sequence)
}

/// A file of the journal, as found.
pub(super) struct Found {
    pub sequence: u64,
    pub name: String,
    pub file: Arc<dyn File>,
    pub bytes: u64,
    /// `None`: neither copy can be read.
    pub header: Option<FileHeader>,
    /// Copies of the header that cannot be read, or say less than the other.
    pub bad_copies: u64,
}

/// Every file of the journal, oldest first, opened `how`.
pub(super) fn find(disk: &dyn Disk, dir: &str, how: Open) -> io::Result<Vec<Found>> {
    let mut found = Vec::new();
    for name in disk.list(dir)? {
        let Some(sequence) = sequence_of(&name) else { continue };
        let file = disk.open(&format!("{dir}/{name}"), how)?;
        let bytes = file.len()?;
        found.push(Found { sequence, name, file, bytes, header: None, bad_copies: 0 });
    }
    Ok(found)
}

impl Found {
    /// Reads both copies of the header and keeps the one that knows more.
    pub fn read_header(&mut self) -> io::Result<()> {
        self.header = None;
        self.bad_copies = 0;
        for at in COPIES {
            let mut bytes = [0; HEADER_BYTES];
            read_or_zeros(&*self.file, &mut bytes, at)?;
            match FileHeader::decode(&bytes) {
                HeaderRead::Good(header) if header.sequence == self.sequence => {
                    if self.header.is_none_or(|other| other.first < header.first) {
                        self.header = Some(header);
                    }
                }
                HeaderRead::Foreign(version) => {
                    let words = format!("{} has journal format {version}; this program reads {}", self.name, VERSION);
                    return Err(io::Error::new(io::ErrorKind::Unsupported, words));
                }
                HeaderRead::Good(_) | HeaderRead::Bad => self.bad_copies += 1,
            }
        }
        Ok(())
    }
}

/// Fills `buf`; what cannot be read, for whatever reason that is the disk's, is zeros (and so no frame).
fn read_or_zeros(file: &dyn File, buf: &mut [u8], at: u64) -> io::Result<()> {
    match file.read_exact_at(buf, at) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
        Err(error) if is_broken(&error) => {}
        Err(error) => return Err(error),
    }
    for (n, block) in buf.chunks_mut(BLOCK_BYTES).enumerate() {
        let from = at + (n * BLOCK_BYTES) as u64;
        let mut done = 0;
        while done < block.len() {
            match file.read_at(&mut block[done..], from + done as u64) {
                Ok(0) | Err(_) => break,
                Ok(read) => done += read,
            }
        }
        block[done..].fill(0);
    }
    Ok(())
}

/// The frames of one file, in order; whatever is none is passed over.
struct Scan<'a> {
    file: &'a dyn File,
    bytes: u64,
    salt: Salt,
    /// Where to look next.
    at: u64,
    /// Behind the last thing that looks as if it was written in this use of the file.
    seen: u64,
    window: Bytes,
    window_at: u64,
}

impl<'a> Scan<'a> {
    fn new(found: &'a Found, header: FileHeader, at: u64) -> Scan<'a> {
        let window = Bytes::new();
        Scan { file: &*found.file, bytes: found.bytes, salt: header.salt, at, seen: at, window, window_at: 0 }
    }

    /// Makes the window hold `length` bytes from `at`, all of them inside the file, and says where in it they begin.
    fn hold(&mut self, at: u64, length: u64) -> io::Result<usize> {
        let end = self.window_at + self.window.len() as u64;
        if at < self.window_at || at + length > end {
            let take = length.max(WINDOW_BYTES).min(self.bytes - at);
            let mut window = vec![0; take as usize];
            read_or_zeros(self.file, &mut window, at)?;
            self.window = Bytes::from(window);
            self.window_at = at;
        }
        Ok((at - self.window_at) as usize)
    }

    fn next(&mut self) -> io::Result<Option<(FrameHeader, Bytes)>> {
        while self.at + HEADER_BYTES as u64 <= self.bytes {
            let at = self.at;
            let from = self.hold(at, HEADER_BYTES as u64)?;
            let mut header = [0; HEADER_BYTES];
            header.copy_from_slice(&self.window[from..from + HEADER_BYTES]);
            self.at += ALIGN;
            let frame = match FrameHeader::decode(&header, &self.salt, at) {
                FrameRead::Good(frame) => frame,
                FrameRead::Damaged => {
                    self.seen = self.at;
                    continue;
                }
                FrameRead::Other => continue,
            };
            let length = u64::from(frame.length);
            if frame_bytes(length) > self.bytes - at {
                continue;
            }
            self.at = at + frame_bytes(length);
            self.seen = self.at;
            let from = self.hold(at, HEADER_BYTES as u64 + length)? + HEADER_BYTES;
            let payload = self.window.slice(from..from + length as usize);
            if FrameHeader::fits(&header, &payload) {
                return Ok(Some((frame, payload)));
            }
        }
        Ok(None)
    }
}

/// What a walk found in one file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    /// The last frame that counts, 0 if none does.
    pub last: FrameNo,
    /// Behind the last frame that counts.
    pub end: u64,
}

/// What a walk found.
#[derive(Debug)]
pub(super) struct Walked {
    pub report: ReplayReport,
    /// One for each file.
    pub kept: Vec<Kept>,
    /// A place (file and byte) in front of which every frame is claimed durable, and behind which there is not much that
    /// is.
    pub proven: (usize, u64),
    /// The last frame that counts and is not a mark.
    pub last_plain: FrameNo,
    /// Files from here on hold nothing that counts.
    pub files: usize,
}

type Visit<'v> = dyn FnMut(Replayed) -> io::Result<()> + 'v;

struct Walk<'a> {
    files: &'a [Found],
    out: Walked,
    /// The number of the next frame. `None`: nothing has been found that says where the journal begins.
    next: Option<FrameNo>,
    /// Behind the last frame that counts: file and place.
    after: (usize, u64),
    /// For each file, behind the last thing in it that looks written.
    seen: Vec<u64>,
    /// The name of a file that should stand before the one being read and is missing or has lost both headers. What is
    /// missing because of it is rot whatever is claimed: a file stands under its name only when both are durable.
    lost: Option<String>,
    /// The highest claim anywhere at or behind the first gap, once it was needed.
    claim: Option<FrameNo>,
    /// Some frames by number with their file and place, at most one for each [`STEP_BYTES`] of a file.
    steps: Vec<(FrameNo, usize, u64)>,
}

/// Visits every frame that counts and every gap that is rot, in order.
pub(super) fn walk(files: &[Found], visit: &mut Visit<'_>) -> io::Result<Walked> {
    let kept = vec![Kept { last: 0, end: START }; files.len()];
    let mut walk = Walk {
        files,
        out: Walked { report: ReplayReport::default(), kept, proven: (0, 0), last_plain: 0, files: 0 },
        next: None,
        after: (0, START),
        seen: vec![START; files.len()],
        lost: None,
        claim: None,
        steps: Vec::new(),
    };
    walk.out.report.headers_damaged = files.iter().map(|file| file.bad_copies).sum();
    if walk.run(visit)? && walk.lost.is_some() {
        walk.rot(files.len() - 1, START, walk.next.unwrap_or(1), visit)?;
    }
    let (last, end) = walk.after;
    let seen = walk.seen.iter().enumerate().skip(last);
    walk.out.report.torn_bytes =
        seen.map(|(file, seen)| seen.saturating_sub(if file == last { end } else { START })).sum();
    walk.out.report.next = walk.next.unwrap_or(1);
    let durable = walk.out.report.durable;
    if let Some((_, file, at)) = walk.steps.iter().rfind(|(number, ..)| *number <= durable + 1) {
        // A file's header is as durable as its first frame.
        walk.out.proven = (*file, if *at == START { 0 } else { *at });
    }
    Ok(walk.out)
}

impl Walk<'_> {
    /// False: there is a torn tail, and reading ended before it.
    fn run(&mut self, visit: &mut Visit<'_>) -> io::Result<bool> {
        let files = self.files;
        for (index, found) in files.iter().enumerate() {
            let Some(header) = found.header else {
                self.lost.get_or_insert(found.name.clone());
                continue;
            };
            if index == 0 && header.previous == 0 {
                // The first there ever was, even if a power cut took the header that says so.
                self.next = Some(1);
            }
            if index > 0 && header.previous != files[index - 1].sequence {
                self.lost.get_or_insert(file_name(header.previous));
            }
            self.out.report.durable = self.out.report.durable.max(header.claim);
            if header.first > 0 && !self.reach(index, START, header.first, visit)? {
                return Ok(false);
            }
            let mut scan = Scan::new(found, header, START);
            let mut step = START;
            while let Some((frame, payload)) = scan.next()? {
                if self.next.is_some_and(|next| frame.number < next) {
                    continue;
                }
                if !self.reach(index, frame.at, frame.number, visit)? {
                    return Ok(false);
                }
                if frame.at >= step {
                    self.steps.push((frame.number, index, frame.at));
                    step = frame.at + STEP_BYTES;
                }
                self.next = Some(frame.number + 1);
                self.after = (index, scan.at);
                self.out.kept[index] = Kept { last: frame.number, end: scan.at };
                self.out.files = index + 1;
                let report = &mut self.out.report;
                report.durable = report.durable.max(frame.durable);
                report.frames += 1;
                report.bytes += frame_bytes(u64::from(frame.length));
                if frame.kind != MARK {
                    self.out.last_plain = frame.number;
                    visit(Replayed::Frame(FrameIn { number: frame.number, kind: frame.kind, payload }))?;
                }
            }
            self.seen[index] = scan.seen;
        }
        Ok(true)
    }

    /// The next thing to be had is frame `number`, at this place: judges what is missing before it. False: that was never
    /// durable, and reading ends there. True: there is nothing missing, or it is rot (which is told).
    fn reach(&mut self, index: usize, at: u64, number: FrameNo, visit: &mut Visit<'_>) -> io::Result<bool> {
        let next = *self.next.get_or_insert(number);
        let missing = number > next;
        if missing && self.lost.is_none() && self.claim_from(index, at)? < next {
            return Ok(false);
        }
        if missing || self.lost.is_some() {
            self.rot(index, at, number.max(next), visit)?;
        }
        Ok(true)
    }

    /// Tells that everything from `next` up to frame `number`, at this place, is gone.
    fn rot(&mut self, index: usize, at: u64, number: FrameNo, visit: &mut Visit<'_>) -> io::Result<()> {
        let first = self.next.unwrap_or(number);
        let bytes = self.bytes_between(index, at);
        let (file, damage_at) = match self.lost.take() {
            Some(lost) => (lost, 0),
            None => (self.files[self.after.0].name.clone(), self.after.1),
        };
        self.out.report.rotten += number - first;
        self.next = Some(number);
        self.after = (index, at);
        self.out.files = index + 1;
        visit(Replayed::Rot { first, frames: number - first, bytes, file, at: damage_at })
    }

    fn bytes_between(&self, index: usize, at: u64) -> u64 {
        let (from, after) = self.after;
        if from == index {
            return at - after;
        }
        let between: u64 = self.files[from + 1..index].iter().map(|file| file.bytes.saturating_sub(START)).sum();
        self.files[from].bytes.saturating_sub(after) + between + (at - START)
    }

    /// The highest claim of any frame or file from here on.
    fn claim_from(&mut self, index: usize, at: u64) -> io::Result<FrameNo> {
        if let Some(claim) = self.claim {
            return Ok(claim);
        }
        let mut claim = 0;
        for (nth, found) in self.files.iter().enumerate().skip(index) {
            let Some(header) = found.header else { continue };
            claim = claim.max(header.claim);
            let mut scan = Scan::new(found, header, if nth == index { at } else { START });
            while let Some((frame, _)) = scan.next()? {
                claim = claim.max(frame.durable);
            }
            self.seen[nth] = scan.seen;
        }
        self.claim = Some(claim);
        Ok(claim)
    }
}
