//! A whole data directory held against itself: table, journal, every segment with its sidecar, the catalog. For a
//! directory that no server has open. Reads only: what is wrong is told, with what it means and what to do; nothing is
//! repaired here.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use serde::Serialize;

use super::catalog::{CATALOG_LOG, Catalog, CatalogMachine, FIRST_LOG, Note};
use super::frame::PackInfo;
use super::open::{Fold, Found};
use super::packs::{self, Packs};
use super::sweep::{self, Use};
use super::table;
use super::vault::Segment;
use super::verify::{self, Flaw, Proven};
use super::window::{gapped, read_if_there};
use crate::ids::{LogId, Offset};
use crate::ledger::{Machine, Record};
use crate::log::pack;
use crate::record::compress::Limits;
use crate::record::{batch, records};
use crate::store::journal::{Journal, Replayed};
use crate::store::{Disk, File, Open};

/// The catalog is written by us, uncompressed; the limits only have to be wide enough.
const LIMITS: Limits = Limits { max_bytes: 64 << 20, max_ratio: 1000 };
/// What may stand in a data directory besides the engine's own files.
const KNOWN: &[&str] =
    &["lock", "format", "format.new", "clean", "secret", "admin.sock", "journal", "logs", packs::DIR, "lost+found"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Something that was acknowledged is not there as it was written.
    Damage,
    /// Nothing is lost.
    Note,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub severity: Severity,
    /// The file, in the data directory.
    pub file: String,
    /// Where in it, in bytes.
    pub at: Option<u64>,
    pub log: Option<u64>,
    /// The stream the log belongs to, and its number there.
    pub stream: Option<String>,
    /// The offsets it is about, from the first to behind the last.
    pub offsets: Option<Range<u64>>,
    pub what: String,
    pub means: String,
    pub advice: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    pub findings: Vec<Finding>,
    pub streams: u64,
    pub logs: u64,
    pub segments: u64,
    pub packs: u64,
    pub batches: u64,
    /// Frames of the journal.
    pub frames: u64,
    /// All that was read.
    pub bytes: u64,
}

/// How far a check is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is so much to read, as far as is known by now.
    Total(u64),
    /// So much more has been read.
    Read(u64),
}

impl Report {
    pub fn damages(&self) -> usize {
        self.findings.iter().filter(|f| f.severity == Severity::Damage).count()
    }
}

/// Reads everything. An error: it cannot be read at all (`Unsupported`: a newer program wrote it).
pub fn check(disk: &Arc<dyn Disk>, progress: &mut dyn FnMut(Progress)) -> io::Result<Report> {
    let mut check = Check {
        disk: disk.clone(),
        progress,
        report: Report::default(),
        names: BTreeMap::new(),
        rot: false,
        blind: false,
    };
    check.run()?;
    Ok(check.report)
}

struct Check<'a> {
    disk: Arc<dyn Disk>,
    progress: &'a mut dyn FnMut(Progress),
    report: Report,
    /// What the logs are called.
    names: BTreeMap<LogId, String>,
    /// The journal has lost frames.
    rot: bool,
    /// The table cannot be read, so nobody knows which segments there should be.
    blind: bool,
}

impl Check<'_> {
    fn run(&mut self) -> io::Result<()> {
        self.extras("", &|name| KNOWN.contains(&name) || [table::NAME, table::COPY, table::NEW].contains(&name))?;
        self.extras("journal", &|name| {
            let digits = name.strip_prefix("journal-").or(name.strip_prefix("spare-"));
            digits.is_some_and(|d| d.len() == 16 && d.bytes().all(|b| b.is_ascii_hexdigit()))
        })?;
        self.secret()?;
        let mut fold = self.table()?;
        let journal_bytes = self.journal_bytes()?;
        self.journal(&mut fold)?;
        let packs = Packs::of(fold.packs.packs.iter().copied());
        self.catalog(&fold, &packs)?;
        let settled = fold.logs.values().flat_map(|found| &found.view.extents);
        let total: u64 = settled.map(|x| x.settled.bytes + x.settled.side_bytes).sum();
        (self.progress)(Progress::Total(journal_bytes + total));
        self.read(journal_bytes);
        for pack in &fold.packs.packs {
            self.pack(pack)?;
        }
        for (id, found) in &fold.logs {
            self.log(*id, found, &packs)?;
        }
        self.leftovers(&fold)?;
        self.left_over_packs(&fold)?;
        self.report.logs = fold.logs.len() as u64;
        let names = std::mem::take(&mut self.names);
        for finding in &mut self.report.findings {
            finding.stream = finding.log.and_then(|log| names.get(&LogId(log)).cloned());
        }
        Ok(())
    }

    fn read(&mut self, bytes: u64) {
        self.report.bytes += bytes;
        (self.progress)(Progress::Read(bytes));
    }

    fn tell(&mut self, severity: Severity, file: impl Into<String>, what: impl Into<String>) -> &mut Finding {
        self.report.findings.push(Finding {
            severity,
            file: file.into(),
            at: None,
            log: None,
            stream: None,
            offsets: None,
            what: what.into(),
            means: String::new(),
            advice: String::new(),
        });
        let last = self.report.findings.len() - 1;
        &mut self.report.findings[last]
    }

    /// Names that nothing of ours has.
    fn extras(&mut self, dir: &str, ours: &dyn Fn(&str) -> bool) -> io::Result<()> {
        for name in self.disk.list(dir)?.into_iter().filter(|name| !ours(name)) {
            let file = if dir.is_empty() { name } else { format!("{dir}/{name}") };
            let finding = self.tell(Severity::Note, file, "nothing of interfluve has this name");
            finding.means = "it is neither read nor written".into();
            finding.advice = "remove it if you know what it is".into();
        }
        Ok(())
    }

    fn secret(&mut self) -> io::Result<()> {
        let bytes = match self.disk.open("secret", Open::Read) {
            Ok(file) => file.len()?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => 0,
            Err(e) => return Err(e),
        };
        if bytes != 32 {
            let finding = self.tell(Severity::Note, "secret", format!("it has {bytes} bytes, not 32"));
            finding.means = "positions that readers hold are refused; they begin again where their client says".into();
            finding.advice = "nothing: the next start makes a new one".into();
        }
        Ok(())
    }

    fn table(&mut self) -> io::Result<Fold> {
        match table::read(&self.disk) {
            Ok(mut stored) => {
                if let Some((name, why)) = stored.damaged.take() {
                    let finding = self.tell(Severity::Damage, name, format!("the table of logs is damaged: {why}"));
                    finding.means = "its other copy is sound, and nothing is lost".into();
                    finding.advice = "nothing: the next start writes both anew".into();
                }
                Ok(Fold::of_table(stored))
            }
            Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                self.blind = true;
                let finding = self.tell(Severity::Damage, table::NAME, e.to_string());
                finding.means =
                    "a server does not start from this directory; segments could not be held against it".into();
                finding.advice = "restore a backup; the segments' .log files can be read by Kafka's own tools".into();
                Ok(Fold::default())
            }
            Err(e) => Err(e),
        }
    }

    fn journal_bytes(&self) -> io::Result<u64> {
        let names = self.disk.list("journal")?.into_iter().filter(|name| name.starts_with("journal-"));
        names.map(|name| self.disk.open(&format!("journal/{name}"), Open::Read)?.len()).sum()
    }

    fn journal(&mut self, fold: &mut Fold) -> io::Result<()> {
        let disk = self.disk.clone();
        let report = Journal::inspect(&*disk, "journal", &mut |replayed| {
            match replayed {
                Replayed::Frame(frame) => {
                    if let Err(e) = fold.replay(&frame) {
                        let finding = self.tell(Severity::Damage, "journal", e.to_string());
                        finding.means = "a server does not start from this directory".into();
                        finding.advice = "restore a backup, and report this: the frame matches its checksum".into();
                    }
                }
                Replayed::Rot { frames, bytes, file, at, .. } => {
                    self.rot = true;
                    let frames = if frames == 0 { "an unknown number of".into() } else { frames.to_string() };
                    let what = format!("{frames} frames in {bytes} bytes are damaged");
                    let finding = self.tell(Severity::Damage, format!("journal/{file}"), what);
                    finding.at = Some(at);
                    finding.means = "what they held is withheld, everything behind them is served".into();
                    finding.advice =
                        "holes in logs that come of it are listed below; a backup may have the records".into();
                }
            }
            Ok(())
        })?;
        self.report.frames = report.frames;
        if report.headers_damaged > 0 {
            let what = format!("{} copies of file headers are damaged", report.headers_damaged);
            let finding = self.tell(Severity::Note, "journal", what);
            finding.means = "the other copy serves".into();
            finding.advice = "nothing, if it happens once: the files are written anew in time".into();
        }
        if report.torn_bytes > 0 {
            let what = format!("{} bytes at its end are no whole frame", report.torn_bytes);
            let finding = self.tell(Severity::Note, "journal", what);
            finding.means =
                "they were being written when the process or the machine stopped; nobody was told they were safe"
                    .into();
            finding.advice = "nothing: the next start cuts them off".into();
        }
        Ok(())
    }

    /// Reads the catalog's log as far as it is sound, for the names of the streams; holds the streams against the logs.
    fn catalog(&mut self, fold: &Fold, packs: &Packs) -> io::Result<()> {
        let Some(found) = fold.logs.get(&CATALOG_LOG) else { return Ok(()) };
        let mut catalog = Catalog::default();
        for extent in &found.view.extents {
            let reach = &extent.settled;
            let name = Segment::file(CATALOG_LOG, reach.name(), "log");
            // Whatever is wrong with the file is told when the segment's turn comes.
            let own = (reach.filed.bytes > 0).then(|| self.disk.open(&name, Open::Read)).transpose();
            let Ok(own) = own else { continue };
            let Ok([file, _]) = packs.spliced(&*self.disk, CATALOG_LOG, reach, [own, None]) else { continue };
            let mut bytes = BytesMut::zeroed(reach.bytes.min(file.0.reach()) as usize);
            if file.read_exact_at(&mut bytes, 0).is_ok() {
                self.notes(&mut catalog, &name, found, bytes.freeze());
            }
        }
        for entry in &found.view.tail {
            self.notes(&mut catalog, "journal", found, entry.bytes.clone());
        }
        let mut owners: BTreeMap<LogId, String> = BTreeMap::new();
        for stream in catalog.streams() {
            self.report.streams += 1;
            for (number, log) in stream.logs.iter().enumerate() {
                let name = format!("{}, log {number}", stream.name);
                if log.0 < FIRST_LOG {
                    self.catalog_damage(format!("the stream {name} is log {log}, which is the engine's own"));
                } else if let Some(other) = owners.get(log) {
                    self.catalog_damage(format!("the streams {other} and {name} are one log, {log}"));
                }
                owners.insert(*log, name);
                let end = fold.logs.get(log).map_or(Offset(0), |f| f.line.next);
                let beyond =
                    stream.shards.iter().filter(|s| s.log as usize == number && s.start > end).map(|s| s.start);
                if let Some(start) = beyond.max() {
                    let what = format!("the log ends at offset {end}, and the catalog knows it up to {start}");
                    let finding = self.tell(Severity::Damage, Segment::dir(*log), what);
                    finding.log = Some(log.0);
                    finding.offsets = Some(end.0..start.0);
                    finding.means = "these records are lost".into();
                    finding.advice = "restore a backup, if they are needed".into();
                }
            }
            if let Some(shard) = stream.shards.iter().find(|s| s.log as usize >= stream.logs.len()) {
                self.catalog_damage(format!(
                    "shard {} of {} is in a log the stream does not have",
                    shard.no.0, stream.name
                ));
            }
        }
        owners.insert(CATALOG_LOG, "the catalog".into());
        self.names = owners;
        Ok(())
    }

    fn catalog_damage(&mut self, what: String) {
        let finding = self.tell(Severity::Damage, Segment::dir(CATALOG_LOG), what);
        finding.means = "the catalog contradicts itself".into();
        finding.advice = "restore a backup, and report this".into();
    }

    fn notes(&mut self, catalog: &mut Catalog, file: &str, found: &Found, bytes: Bytes) {
        let mut rest = bytes;
        while let Ok(header) = batch::parse(&rest) {
            let one = rest.split_to(header.bytes as usize);
            let base = header.base_offset as u64;
            if base + header.offsets() <= found.line.start.0 {
                continue;
            }
            let Ok(opened) = batch::check(one) else { continue };
            let decoded = records::iterate(&opened, LIMITS).map_err(|e| e.to_string()).and_then(|all| {
                all.map(|record| {
                    let record = record.map_err(|e| e.to_string())?;
                    Note::decode(record.key.as_deref(), record.value.as_deref()).map_err(|e| e.0)
                })
                .collect::<Result<Vec<_>, String>>()
            });
            match decoded {
                Ok(notes) => notes.iter().flatten().for_each(|note| CatalogMachine::apply(catalog, note)),
                Err(e) => {
                    let finding =
                        self.tell(Severity::Damage, file, format!("a record of the catalog cannot be read: {e}"));
                    finding.log = Some(CATALOG_LOG.0);
                    finding.offsets = Some(base..base + header.offsets());
                    finding.means = "a server does not start from this directory".into();
                    finding.advice = "restore a backup, and report this: the batch matches its checksum".into();
                }
            }
        }
    }

    /// A pack's index against its pieces; what stands in the pieces is looked at log by log.
    fn pack(&mut self, info: &PackInfo) -> io::Result<()> {
        let name = packs::file_name(info.id);
        let file = match self.disk.open(&name, Open::Read) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let finding = self.tell(Severity::Damage, name, "the file is missing");
                finding.means = "the records of small logs that it held are listed below".into();
                finding.advice = "restore a backup, if they are needed".into();
                return Ok(());
            }
            Err(e) => return Err(e),
        };
        self.report.packs += 1;
        let file = gapped(&*file);
        let mut head = [0; pack::HEAD_BYTES];
        if !read_if_there(&file, &mut head, 0)? || head != pack::head(info.id) {
            let finding = self.tell(Severity::Damage, name.clone(), "it does not begin as a pack does");
            finding.at = Some(0);
            finding.means = "nothing is lost by that: what it holds is found by its index".into();
            finding.advice = "test this machine's disk".into();
        }
        let mut lost = Vec::new();
        let walked = packs::walk(&file, info.bytes, &mut |range| lost.push(range.start))?;
        let rows = match packs::read_index(&file, info)? {
            Some((tail, fences)) => packs::read_groups(&file, &tail, &fences, 0..fences.len())?,
            None => None,
        };
        const ADVICE: &str = "restore a backup, if records are missing";
        let Some(rows) = rows else {
            let what = "its index is damaged, or this is not the file that was recorded";
            let finding = self.tell(Severity::Damage, name.clone(), what);
            finding.means =
                "pieces of logs are found by their own heads; records that are lost are listed below".into();
            finding.advice = ADVICE.into();
            for at in lost {
                let finding = self.tell(Severity::Damage, name.clone(), "no piece of a log can be told here");
                finding.at = Some(at);
                finding.means = "records that are lost are listed below".into();
                finding.advice = ADVICE.into();
            }
            return Ok(());
        };
        for row in rows.iter().filter(|row| walked.binary_search(row).is_err()) {
            let finding = self.tell(Severity::Damage, name.clone(), "the head of a piece is damaged");
            (finding.at, finding.log) = (Some(row.position), Some(row.log.0));
            finding.means = "nothing is lost by that as long as the index is sound".into();
            finding.advice = "test this machine's disk".into();
        }
        if walked.iter().any(|row| rows.binary_search(row).is_err()) {
            let finding = self.tell(Severity::Damage, name, "its index and its pieces contradict each other");
            finding.means = "both match their checksums".into();
            finding.advice = "report this".into();
        }
        Ok(())
    }

    /// Packs that no record names.
    fn left_over_packs(&mut self, fold: &Fold) -> io::Result<()> {
        if self.blind {
            return Ok(());
        }
        for name in self.disk.list(packs::DIR)? {
            let file = format!("{}/{name}", packs::DIR);
            let Some(id) = packs::id_of(&name) else {
                let finding = self.tell(Severity::Note, file, "nothing of interfluve has this name");
                finding.means = "it is neither read nor written".into();
                finding.advice = "remove it if you know what it is".into();
                continue;
            };
            if fold.packs.packs.iter().any(|pack| pack.id == id) {
                continue;
            }
            let severity = if self.rot { Severity::Damage } else { Severity::Note };
            let finding = self.tell(severity, file, "no record says that this pack is in use");
            finding.means = "it was being written when the process stopped, or has been merged".into();
            finding.advice = "nothing: the next start removes it, unless damage to the journal is reported".into();
        }
        Ok(())
    }

    fn log(&mut self, id: LogId, found: &Found, packs: &Packs) -> io::Result<()> {
        let disk = self.disk.clone();
        // Below that, compaction leaves offsets without records.
        let mut end: Option<Offset> = None;
        for extent in &found.view.extents {
            let reach = &extent.settled;
            self.hole(id, end.unwrap_or(reach.base).max(found.line.clean), reach.base);
            end = Some(reach.end);
            self.report.segments += 1;
            let mut flaws = Vec::new();
            let mut bytes = 0;
            let progress = &mut *self.progress;
            let seen = verify::verify(
                &*disk,
                packs,
                id,
                reach,
                Proven::nothing(reach.base),
                &mut |read| {
                    bytes += read;
                    progress(Progress::Read(read));
                },
                &mut |flaw| flaws.push(flaw),
            )?;
            self.report.bytes += bytes;
            self.report.batches += seen.batches;
            flaws.into_iter().for_each(|flaw| self.flaw(id, found, flaw));
            if seen.beyond_bytes > 0 {
                let file = Segment::file(id, reach.name(), "log");
                let what = format!("{} bytes stand behind what was recorded as settled", seen.beyond_bytes);
                let finding = self.tell(Severity::Note, file, what);
                finding.log = Some(id.0);
                finding.means = "settling was under way when the process stopped; the journal has these records".into();
                finding.advice = "nothing: they are written over".into();
            }
        }
        // The first of what waits may begin below the start: a batch is kept whole.
        let mut next =
            end.unwrap_or(found.view.tail.front().map_or(found.line.start, |e| e.first.min(found.line.start)));
        for entry in &found.view.tail {
            self.hole(id, next.max(found.line.clean), entry.first);
            next = next.max(entry.end);
            self.report.batches += 1;
            let sound = batch::check(entry.bytes.clone()).is_ok_and(|b| b.header.base_offset as u64 == entry.first.0);
            if !sound {
                let finding =
                    self.tell(Severity::Damage, "journal", format!("a batch of frame {} is damaged", entry.frame));
                finding.log = Some(id.0);
                finding.offsets = Some(entry.first.0..entry.end.0);
                finding.means = "its frame matches its checksum: the batch was damaged before it was written".into();
                finding.advice = "report this; test this machine's memory".into();
            }
        }
        Ok(())
    }

    /// Offsets that should have batches and have none.
    fn hole(&mut self, log: LogId, from: Offset, to: Offset) {
        if from >= to {
            return;
        }
        let why = if self.rot { "they stood in the damaged part of the journal" } else { "nothing says why" };
        let finding =
            self.tell(Severity::Damage, Segment::dir(log), format!("{} records are missing; {why}", to.0 - from.0));
        finding.log = Some(log.0);
        finding.offsets = Some(from.0..to.0);
        finding.means = "readers go on behind them".into();
        finding.advice = "restore a backup, if they are needed".into();
    }

    fn flaw(&mut self, log: LogId, found: &Found, flaw: Flaw) {
        let given_up = flaw.records.as_ref().is_some_and(|r| r.end <= found.line.start.0);
        let severity = if given_up { Severity::Note } else { Severity::Damage };
        let lost = flaw.records.is_some();
        let finding = self.tell(severity, flaw.file, flaw.what);
        finding.at = flaw.at;
        finding.log = Some(log.0);
        finding.offsets = flaw.records;
        (finding.means, finding.advice) = if given_up {
            ("these records have been given up anyway".into(), "nothing".into())
        } else if lost {
            let means = "these records are withheld from readers; everything before and behind them is served";
            (means.into(), "restore a backup, if they are needed".into())
        } else {
            let means = "times of arrival are lost; the records are whole unless another finding says otherwise";
            (means.into(), "restore a backup, if exact times of arrival are needed".into())
        };
    }

    /// What stands under `logs/` and belongs to no log, or to no segment of it.
    fn leftovers(&mut self, fold: &Fold) -> io::Result<()> {
        if self.blind {
            return Ok(());
        }
        for dir in self.disk.list("logs")? {
            let id = sweep::log_of(&dir);
            let path = format!("logs/{dir}");
            let Some(found) = id.and_then(|id| fold.logs.get(&id)) else {
                let finding = self.tell(Severity::Note, path, "no stream has this log");
                finding.means = "its removal was under way when the process stopped, or it was never recorded".into();
                finding.advice = "nothing: the next start removes it, unless damage to the journal is reported".into();
                continue;
            };
            let known = sweep::Known::of(&found.view, found.line.start, found.line.clean);
            for name in self.disk.list(&path)? {
                let file = format!("{path}/{name}");
                let Some(segment) = sweep::segment_of(&name) else {
                    let finding = self.tell(Severity::Note, file, "nothing of interfluve has this name");
                    finding.means = "it is neither read nor written".into();
                    finding.advice = "remove it if you know what it is".into();
                    continue;
                };
                const SWEPT: &str = "nothing: the next start that does not follow a clean stop removes it";
                let (severity, means, advice) = match known.judge(segment) {
                    Use::Needed => continue,
                    Use::GivenUp => (Severity::Note, "its records have been given up", SWEPT),
                    Use::Unfinished => (Severity::Note, "it was being written when the process stopped", SWEPT),
                    Use::Unknown => {
                        let means = "nobody knows this segment; what recorded it is lost";
                        (Severity::Damage, means, "restore a backup, if records are missing")
                    }
                };
                let finding = self.tell(severity, file, "no record says that this segment is in use");
                finding.log = id.map(|id| id.0);
                (finding.means, finding.advice) = (means.into(), advice.into());
            }
        }
        Ok(())
    }
}
