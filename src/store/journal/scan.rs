//! Reading a journal: finding the frames of its files in order, and judging what is missing between them. Reads only;
//! what is to be cut is said, not done.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::frame::{ALIGN, COPIES, FileHeader, FrameHeader, HEADER_BYTES, HeaderRead, START, frame_bytes};
use super::{FrameIn, FrameNo, MARK, Replayed};
use crate::store::{Disk, File, Open};

/// How much is read at once.
const WINDOW_BYTES: u64 = 1 << 20;
/// What a disk that cannot read is asked for piece by piece.
const BLOCK_BYTES: usize = 4096;

const PREFIX: &str = "journal-";

pub(super) fn file_name(sequence: u64) -> String {
    format!("{PREFIX}{sequence:016x}")
}

/// The sequence in a file's name, if it is one of ours.
fn sequence_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix(PREFIX)?;
    let sequence = u64::from_str_radix(digits, 16).ok()?;
    (sequence > 0 && file_name(sequence) == name).then_some(sequence)
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
                    let words = format!(
                        "{} has journal format {version}; this program reads {}",
                        self.name,
                        super::frame::VERSION
                    );
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
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => {}
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
    header: FileHeader,
    /// Where to look next.
    at: u64,
    window: Bytes,
    window_at: u64,
}

impl<'a> Scan<'a> {
    fn new(found: &'a Found, header: FileHeader, at: u64) -> Scan<'a> {
        Scan { file: &*found.file, bytes: found.bytes, header, at, window: Bytes::new(), window_at: 0 }
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
            let Some(frame) = FrameHeader::decode(&header, &self.header.salt, at) else { continue };
            let length = u64::from(frame.length);
            if frame_bytes(length) > self.bytes - at {
                continue;
            }
            self.at = at + frame_bytes(length);
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
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Kept {
    /// The last frame that counts, 0 if none does.
    pub last: FrameNo,
    /// Behind the last frame that counts.
    pub end: u64,
}

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Walked {
    pub kept: Vec<Kept>,
    /// Files from here on hold nothing that counts.
    pub files: usize,
    pub frames: u64,
    pub bytes: u64,
    pub rotten: u64,
    pub torn_bytes: u64,
    pub headers_damaged: u64,
    pub next: FrameNo,
    pub durable: FrameNo,
}

struct Walk<'a> {
    files: &'a [Found],
    out: Walked,
    /// Behind the last frame that counts: file and place.
    after: (usize, u64),
    /// The highest claim anywhere at or behind the first gap, once it was needed.
    claim: Option<FrameNo>,
}

/// Visits every frame that counts and every gap that is rot, in order.
pub(super) fn walk(files: &[Found], visit: &mut dyn FnMut(Replayed) -> io::Result<()>) -> io::Result<Walked> {
    let mut walk = Walk { files, out: Walked::default(), after: (0, START), claim: None };
    walk.out.kept = vec![Kept { last: 0, end: START }; files.len()];
    walk.out.next = 1;
    walk.out.headers_damaged = files.iter().map(|file| file.bad_copies).sum();
    walk.run(visit)?;
    Ok(walk.out)
}

impl Walk<'_> {
    fn run(&mut self, visit: &mut dyn FnMut(Replayed) -> io::Result<()>) -> io::Result<()> {
        // Some file before this one that should be there is not, or cannot be read: the gap is no power cut's work.
        let mut lost: Option<usize> = None;
        for index in 0..self.files.len() {
            let found = &self.files[index];
            let Some(header) = found.header else {
                lost = Some(index);
                continue;
            };
            if index == 0 {
                self.out.next = header.first.max(1);
            } else if lost.is_none() && header.previous != self.files[index - 1].sequence {
                lost = Some(index);
            }
            self.out.durable = self.out.durable.max(header.claim);
            if header.first > self.out.next {
                if !self.gap(index, START, header.first, lost, visit)? {
                    return Ok(());
                }
                lost = None;
            }
            let mut scan = Scan::new(found, header, START);
            let mut begun = header.first > 0 || index > 0;
            while let Some((frame, payload)) = scan.next()? {
                if !begun {
                    self.out.next = frame.number;
                    begun = true;
                }
                if frame.number < self.out.next {
                    continue;
                }
                if frame.number > self.out.next && !self.gap(index, frame.at, frame.number, lost, visit)? {
                    return Ok(());
                }
                lost = None;
                self.out.next = frame.number + 1;
                self.out.durable = self.out.durable.max(frame.durable);
                self.out.frames += 1;
                self.out.bytes += frame_bytes(u64::from(frame.length));
                self.out.kept[index] = Kept { last: frame.number, end: scan.at };
                self.out.files = index + 1;
                self.after = (index, scan.at);
                if frame.kind != MARK {
                    visit(Replayed::Frame(FrameIn { number: frame.number, kind: frame.kind, payload }))?;
                }
            }
        }
        if let Some(index) = lost.filter(|&index| self.files[index].header.is_none()) {
            self.rot(index, START, self.out.next, Some(index), visit)?;
        }
        Ok(())
    }

    /// Frames from `next` up to `number` are missing before file `index`, place `at`. True: they rotted, which is told,
    /// and reading goes on behind them. False: they were never durable, and reading ends before them.
    fn gap(
        &mut self,
        index: usize,
        at: u64,
        number: FrameNo,
        lost: Option<usize>,
        visit: &mut dyn FnMut(Replayed) -> io::Result<()>,
    ) -> io::Result<bool> {
        if lost.is_none() && self.claim_from(index, at)? < self.out.next {
            self.out.torn_bytes = self.bytes_between(index, at);
            return Ok(false);
        }
        self.rot(index, at, number, lost, visit)?;
        Ok(true)
    }

    fn rot(
        &mut self,
        index: usize,
        at: u64,
        number: FrameNo,
        lost: Option<usize>,
        visit: &mut dyn FnMut(Replayed) -> io::Result<()>,
    ) -> io::Result<()> {
        let first = self.out.next;
        let bytes = self.bytes_between(index, at);
        let (file, at) = match lost {
            Some(lost) => (self.files[lost].name.clone(), 0),
            None => (self.files[self.after.0].name.clone(), self.after.1),
        };
        self.out.rotten += number - first;
        self.out.next = number;
        self.out.files = index + 1;
        visit(Replayed::Rot { first, frames: number - first, bytes, file, at })
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
        for (found, from) in self.files[index..].iter().zip([at].into_iter().chain(std::iter::repeat(START))) {
            let Some(header) = found.header else { continue };
            claim = claim.max(header.claim);
            let mut scan = Scan::new(found, header, from);
            while let Some((frame, _)) = scan.next()? {
                claim = claim.max(frame.durable);
            }
        }
        self.claim = Some(claim);
        Ok(claim)
    }
}
