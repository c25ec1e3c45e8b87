//! Backup of an engine at work, and its way back. The engine hands out one consistent [`Picture`]; the settled bytes it
//! names are copied from the data directory, each proven against its sidecar; the manifest, put in place last and as a
//! whole, is what makes a backup.
//!
//! ```text
//! DIR/manifest             text: "interfluve-backup 1 <sha256 of what follows>\n", then JSON
//! DIR/picture-<sha256>     the picture the manifest names: table, secret, what was not settled
//! DIR/logs/<log>/…         segments and sidecars as in a data directory; they only grow
//! DIR/packs/<id>.pack      packs as in a data directory; they never change
//!
//! picture  magic u32 "IFPC" │ version u32 = 1 │ secret 32 bytes │ table u32 bytes, bytes (engine/table.rs, frame 0)
//!          then per frame: u64 bytes, the payload of a GROUP frame (engine/frame.rs)
//! ```
//! A segment that the last backup had up to some byte goes on there: nothing is copied twice. Until the new manifest is in
//! place the old one and all it names stay as they are.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use bytes::{Buf, BufMut, Bytes};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::check::Progress;
use super::frame::{self, Filed, Member, PackInfo, Settled};
use super::packs::{self, Packs};
use super::table::Table;
use super::tail::Entry;
use super::vault::Segment;
use super::verify::{self, Flaw, Proven};
use super::{Engine, Error, table};
use crate::engine::lane::News;
use crate::ids::{LogId, Offset, Timestamp};
use crate::store::journal::{FrameOut, Journal, JournalOptions};
use crate::store::{Disk, Open};

const MANIFEST: &str = "manifest";
const MANIFEST_NEW: &str = "manifest.new";
const HEAD: &str = "interfluve-backup 1 ";
const MAGIC: u32 = 0x4946_5043;
const VERSION: u32 = 1;
/// Unsettled batches share frames up to this size.
const FRAME_BYTES: usize = 4 << 20;
const COPY_BYTES: usize = 1 << 20;

/// Everything an engine knew at one moment, except the settled bytes themselves. As it is stored and sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture(pub Bytes);

/// What a lane hands out: its table, and what is published and not settled, group by group or not at all.
#[derive(Debug)]
pub struct Instant {
    pub table: Vec<u8>,
    pub waiting: Vec<(LogId, Entry)>,
}

/// What a backup did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    pub segments: u64,
    /// Settled bytes that the backup holds, with sidecars.
    pub bytes: u64,
    /// Those that were copied now.
    pub copied_bytes: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    cluster: String,
    taken_ms: i64,
    picture: String,
    segments: Vec<Held>,
    packs: Vec<HeldPack>,
}

/// The hard facts of one segment.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Held {
    log: u64,
    base: u64,
    end: u64,
    bytes: u64,
    side_bytes: u64,
    hash: u32,
    max_time: i64,
    began: i64,
    arrived: i64,
    aborted: u32,
    /// Of `bytes` and `side_bytes`, what stands in files of the segment's own.
    filed_bytes: u64,
    filed_side_bytes: u64,
    /// How often it was compacted.
    compacted: u32,
}

/// A pack that small logs share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct HeldPack {
    id: u64,
    bytes: u64,
    seal: u32,
}

/// Why there is no backup, or none that can be used.
#[derive(Debug)]
pub enum BackupError {
    /// The source or the backup is damaged: where, and what.
    Damaged(Vec<Flaw>),
    /// What is there cannot be used, in words.
    Refused(String),
    Io(io::Error),
}

impl std::fmt::Display for BackupError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BackupError::Damaged(flaws) => {
                let texts: Vec<String> = flaws.iter().map(|flaw| format!("{}: {}", flaw.file, flaw.what)).collect();
                f.write_str(&texts.join("; "))
            }
            BackupError::Refused(why) => f.write_str(why),
            BackupError::Io(e) => e.fmt(f),
        }
    }
}

impl From<io::Error> for BackupError {
    fn from(e: io::Error) -> Self {
        BackupError::Io(e)
    }
}

impl Engine {
    /// One moment of the engine: everything acknowledged before this call is in it, groups whole. Nothing the picture
    /// names is removed while the hold lives.
    pub async fn picture(&self) -> Result<(Picture, Hold), Error> {
        let hold = Hold::new(self.vault.clone());
        let (reply, answer) = tokio::sync::oneshot::channel();
        self.inbox.put(News::Picture(reply));
        let instant = answer.await.map_err(|_| Error::LaneFailed)?;
        Ok((Picture::of(&self.secret, &instant), hold))
    }
}

/// While one lives, no settled file is removed.
pub struct Hold(Arc<super::vault::Vault>);

impl Hold {
    fn new(vault: Arc<super::vault::Vault>) -> Hold {
        vault.hold();
        Hold(vault)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.let_go();
    }
}

impl Picture {
    fn of(secret: &[u8; 32], instant: &Instant) -> Picture {
        let waiting: usize = instant.waiting.iter().map(|(_, e)| e.bytes.len() + 64).sum();
        let mut out = Vec::with_capacity(64 + instant.table.len() + waiting);
        out.put_u32(MAGIC);
        out.put_u32(VERSION);
        out.extend_from_slice(secret);
        out.put_u32(instant.table.len() as u32);
        out.extend_from_slice(&instant.table);
        let mut from = 0;
        while from < instant.waiting.len() {
            let (mut to, mut bytes) = (from, 0);
            while to < instant.waiting.len() && (to == from || bytes + instant.waiting[to].1.bytes.len() <= FRAME_BYTES)
            {
                bytes += instant.waiting[to].1.bytes.len();
                to += 1;
            }
            let run = &instant.waiting[from..to];
            let members: Vec<Member> = run.iter().map(|(log, e)| member(*log, e)).collect();
            let mut head = Vec::new();
            frame::encode_group(&members, &mut head);
            out.put_u64((head.len() + bytes) as u64);
            out.extend_from_slice(&head);
            run.iter().for_each(|(_, e)| out.extend_from_slice(&e.bytes));
            from = to;
        }
        Picture(out.into())
    }

    fn name(&self) -> String {
        format!("picture-{}", hex(&Sha256::digest(&self.0)))
    }

    fn parse(&self) -> Option<Parts> {
        let mut at = self.0.clone();
        if at.len() < 44 || at.get_u32() != MAGIC || at.get_u32() != VERSION {
            return None;
        }
        let secret = at.split_to(32);
        let table_bytes = at.get_u32() as usize;
        if table_bytes > at.len() {
            return None;
        }
        let table = at.split_to(table_bytes);
        let mut frames = Vec::new();
        while !at.is_empty() {
            let bytes = usize::try_from(at.try_get_u64().ok()?).ok().filter(|bytes| *bytes <= at.len())?;
            frames.push(at.split_to(bytes));
        }
        Some(Parts { secret, table, frames })
    }

    fn table(&self) -> io::Result<Table> {
        let parts = self.parse().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "the picture is damaged"))?;
        table::decode(parts.table)
    }
}

struct Parts {
    secret: Bytes,
    table: Bytes,
    frames: Vec<Bytes>,
}

fn member(log: LogId, e: &Entry) -> Member {
    Member { log, first: e.first, arrived: e.arrived, bytes: e.bytes.len() as u32 }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

impl HeldPack {
    fn of(info: &PackInfo) -> HeldPack {
        HeldPack { id: info.id, bytes: info.bytes, seal: info.seal }
    }

    fn info(&self) -> PackInfo {
        PackInfo { id: self.id, bytes: self.bytes, seal: self.seal }
    }

    fn file(&self) -> String {
        packs::file_name(self.id)
    }
}

impl Held {
    fn name(&self) -> String {
        Segment::file(self.log(), self.settled().name(), "log")
    }

    fn of(log: LogId, s: &Settled) -> Held {
        Held {
            log: log.0,
            base: s.base.0,
            end: s.end.0,
            bytes: s.bytes,
            side_bytes: s.side_bytes,
            hash: s.hash,
            max_time: s.max_time.0,
            began: s.began.0,
            arrived: s.arrived.0,
            aborted: s.aborted,
            filed_bytes: s.filed.bytes,
            filed_side_bytes: s.filed.side_bytes,
            compacted: s.compacted,
        }
    }

    fn log(&self) -> LogId {
        LogId(self.log)
    }

    fn settled(&self) -> Settled {
        Settled {
            base: Offset(self.base),
            end: Offset(self.end),
            bytes: self.bytes,
            side_bytes: self.side_bytes,
            hash: self.hash,
            max_time: Timestamp(self.max_time),
            began: Timestamp(self.began),
            arrived: Timestamp(self.arrived),
            aborted: self.aborted,
            filed: Filed { bytes: self.filed_bytes, side_bytes: self.filed_side_bytes },
            compacted: self.compacted,
        }
    }

    /// The files of its own, if it has any, and how much of them counts.
    fn files(&self) -> impl Iterator<Item = (String, u64)> {
        let own =
            [("log", self.filed_bytes), ("side", self.filed_side_bytes)].into_iter().filter(|(_, bytes)| *bytes > 0);
        own.map(|(kind, bytes)| (Segment::file(self.log(), self.settled().name(), kind), bytes))
    }
}

/// Copies what `picture` names from a data directory into a backup directory. `still` is asked before the manifest is put
/// in place: whether the files were held all the time.
pub fn copy(
    picture: &Picture,
    cluster: &str,
    taken_ms: i64,
    source: &dyn Disk,
    target: &dyn Disk,
    progress: &mut dyn FnMut(Progress),
    still: &mut dyn FnMut() -> bool,
) -> Result<Done, BackupError> {
    let previous = read_manifest(target)?;
    let known = target.list("")?;
    match &previous {
        Some(previous) if previous.cluster != cluster => {
            let words = format!("it holds a backup of another server ({}); this one is {cluster}", previous.cluster);
            return Err(BackupError::Refused(words));
        }
        None if known.iter().any(|name| !ours(name)) => {
            return Err(BackupError::Refused("it holds other things and no backup; choose an empty directory".into()));
        }
        _ => {}
    }
    let Table { rows, packs, .. } = picture.table()?;
    let segments: Vec<Held> =
        rows.iter().flat_map(|(log, row)| row.segments.iter().map(|s| Held::of(*log, s))).collect();
    let (before, packs_before) = previous.map_or_else(Default::default, |p| (p.segments, p.packs));
    let had =
        |held: &Held| before.iter().find(|b| (b.log, b.base, b.compacted) == (held.log, held.base, held.compacted));
    let news = |held: &Held| {
        let (bytes, side_bytes) = had(held).map_or((0, 0), |b| (b.bytes, b.side_bytes));
        held.bytes.saturating_sub(bytes) + held.side_bytes.saturating_sub(side_bytes)
    };
    let packs: Vec<HeldPack> = packs.packs.iter().map(HeldPack::of).collect();
    let new_packs: Vec<&HeldPack> = packs.iter().filter(|pack| !packs_before.contains(pack)).collect();
    // Everything new is read twice: to be copied, and to be proven.
    let packed: u64 = new_packs.iter().map(|pack| pack.bytes).sum();
    progress(Progress::Total(packed + segments.iter().map(|held| 2 * news(held)).sum::<u64>()));
    let mut done = Done::default();
    for dir in ["logs", packs::DIR] {
        target.create_dir_all(dir)?;
    }
    for pack in new_packs {
        if packs_before.iter().any(|before| before.id == pack.id) {
            return Err(BackupError::Refused(diverged(&pack.file())));
        }
        done.copied_bytes += copy_file(source, target, &pack.file(), 0, pack.bytes, progress)?;
    }
    done.bytes += packs.iter().map(|pack| pack.bytes).sum::<u64>();
    target.sync_dir(packs::DIR)?;
    let in_packs = Packs::of(packs.iter().map(HeldPack::info));
    let mut dirs = BTreeSet::new();
    for held in &segments {
        let before = had(held);
        if let Some(before) = before
            && (before.bytes > held.bytes || (before.bytes == held.bytes && before.hash != held.hash))
        {
            return Err(BackupError::Refused(diverged(&held.name())));
        }
        // What was moved out of packs since stands where nobody has looked at it yet.
        let moved = |before: &&Held| before.filed_bytes != before.bytes && before.filed_bytes != held.filed_bytes;
        let proven = before.filter(|b| !moved(b)).map(|b| Proven::whole(&b.settled()));
        let from = proven.unwrap_or(Proven::nothing(Offset(held.base)));
        let had = before.map_or([0, 0], |b| [b.filed_bytes, b.filed_side_bytes]);
        for ((name, bytes), at) in held.files().zip(had) {
            if dirs.insert(held.log) {
                target.create_dir_all(&Segment::dir(held.log()))?;
            }
            done.copied_bytes += copy_file(source, target, &name, at, bytes, progress)?;
        }
        let mut flaws = Vec::new();
        let mut read = |bytes| progress(Progress::Read(bytes));
        verify::verify(target, &in_packs, held.log(), &held.settled(), from, &mut read, &mut |flaw| flaws.push(flaw))?;
        if !flaws.is_empty() {
            return Err(match before {
                // What goes on where the last backup ended is not its continuation.
                Some(_) if flaws.iter().all(|flaw| flaw.at == Some(from.side_bytes)) => {
                    BackupError::Refused(diverged(&held.name()))
                }
                _ => BackupError::Damaged(flaws),
            });
        }
        done.segments += 1;
        done.bytes += held.filed_bytes + held.filed_side_bytes;
    }
    for log in &dirs {
        target.sync_dir(&Segment::dir(LogId(*log)))?;
    }
    target.sync_dir("logs")?;
    let name = picture.name();
    write_whole(target, &name, &[&picture.0])?;
    if !still() {
        return Err(BackupError::Refused(
            "the server stopped while it was backed up; the backup was not finished".into(),
        ));
    }
    let manifest = Manifest { cluster: cluster.into(), taken_ms, picture: name, segments, packs };
    let body = serde_json::to_vec(&manifest).map_err(io::Error::other)?;
    let head = format!("{HEAD}{}\n", hex(&Sha256::digest(&body)));
    write_whole(target, MANIFEST_NEW, &[head.as_bytes(), &body])?;
    target.rename(MANIFEST_NEW, MANIFEST)?;
    target.sync_dir("")?;
    prune(target, &manifest)?;
    Ok(done)
}

fn diverged(file: &str) -> String {
    format!("{file} there is not what the server's has grown from (a restored server?); choose an empty directory")
}

fn ours(name: &str) -> bool {
    [MANIFEST, MANIFEST_NEW, "logs", packs::DIR, "lock", "lost+found"].contains(&name) || name.starts_with("picture-")
}

/// Appends what a file lacks from `at` up to `bytes`; durable, and forgotten by the system's memory, when it returns.
fn copy_file(
    source: &dyn Disk,
    target: &dyn Disk,
    name: &str,
    mut at: u64,
    bytes: u64,
    progress: &mut dyn FnMut(Progress),
) -> io::Result<u64> {
    let wrong = |e: io::Error| io::Error::new(e.kind(), format!("{name}: {e}"));
    let to = target.open(name, Open::CreateOrOpen).map_err(wrong)?;
    // What a broken-off backup left behind the last whole one.
    if to.len()? > at {
        to.set_len(at)?;
    }
    if at >= bytes {
        return Ok(0);
    }
    let from = source.open(name, Open::Read).map_err(wrong)?;
    let begun = at;
    let mut buffer = vec![0; COPY_BYTES];
    while at < bytes {
        let some = (bytes - at).min(COPY_BYTES as u64) as usize;
        from.read_exact_at(&mut buffer[..some], at).map_err(wrong)?;
        to.write_at(&[&buffer[..some]], at).map_err(wrong)?;
        at += some as u64;
        progress(Progress::Read(some as u64));
    }
    to.sync().map_err(wrong)?;
    to.reread(begun)?;
    Ok(bytes - begun)
}

fn write_whole(disk: &dyn Disk, name: &str, slices: &[&[u8]]) -> io::Result<()> {
    let file = disk.open(name, Open::CreateOrOpen)?;
    file.set_len(0)?;
    file.write_at(slices, 0)?;
    file.sync()?;
    disk.sync_dir("")
}

/// Removes what no manifest names any more. Whatever is left over by a crash here goes at the next backup.
fn prune(target: &dyn Disk, manifest: &Manifest) -> io::Result<()> {
    for name in target.list("")? {
        if name.starts_with("picture-") && name != manifest.picture {
            target.remove(&name)?;
        }
    }
    let named: BTreeSet<String> =
        manifest.segments.iter().flat_map(|held| held.files().map(|(name, _)| name)).collect();
    for log in target.list("logs")? {
        let dir = format!("logs/{log}");
        for name in target.list(&dir)? {
            let name = format!("{dir}/{name}");
            if !named.contains(&name) {
                target.remove(&name)?;
            }
        }
        if target.list(&dir)?.is_empty() {
            target.remove(&dir)?;
        }
    }
    let named: BTreeSet<String> = manifest.packs.iter().map(HeldPack::file).collect();
    for name in target.list(packs::DIR)?.into_iter().map(|name| format!("{}/{name}", packs::DIR)) {
        if !named.contains(&name) {
            target.remove(&name)?;
        }
    }
    Ok(())
}

fn read_whole(disk: &dyn Disk, name: &str) -> io::Result<Vec<u8>> {
    let file = disk.open(name, Open::Read)?;
    let mut bytes = vec![0; file.len()? as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

fn read_manifest(disk: &dyn Disk) -> Result<Option<Manifest>, BackupError> {
    let bytes = match read_whole(disk, MANIFEST) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    let damaged = || BackupError::Refused(format!("the file {MANIFEST} is damaged"));
    let end = bytes.iter().position(|b| *b == b'\n').ok_or_else(damaged)?;
    let (head, body) = (&bytes[..end], &bytes[end + 1..]);
    if head != format!("{HEAD}{}", hex(&Sha256::digest(body))).as_bytes() {
        return Err(damaged());
    }
    serde_json::from_slice(body).map(Some).map_err(|_| damaged())
}

/// What a backup brought back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    pub cluster: String,
    pub taken_ms: i64,
    pub segments: u64,
    pub bytes: u64,
}

/// Makes an empty directory a data directory with what a backup holds; every byte is proven on the way. The mark of the
/// directory (`format`) is the caller's, and last: without it no server starts from a half-restored one.
pub fn restore(
    backup: &dyn Disk,
    target: &Arc<dyn Disk>,
    chance: &mut dyn FnMut() -> u64,
    progress: &mut dyn FnMut(Progress),
) -> Result<Restored, BackupError> {
    let Some(manifest) = read_manifest(backup)? else {
        return Err(BackupError::Refused("there is no whole backup here (no manifest)".into()));
    };
    if let Some(name) = target.list("")?.into_iter().find(|name| !["lost+found", "lock"].contains(&name.as_str())) {
        return Err(BackupError::Refused(format!("the target is not empty: it holds {name:?}")));
    }
    let damaged = || BackupError::Refused(format!("the file {} of the backup is damaged or missing", manifest.picture));
    let picture = Picture(read_whole(backup, &manifest.picture).map_err(|_| damaged())?.into());
    let parts = picture.parse().filter(|_| picture.name() == manifest.picture).ok_or_else(damaged)?;
    let packed: u64 = manifest.packs.iter().map(|pack| pack.bytes).sum();
    let settled: u64 = manifest.segments.iter().map(|held| 2 * (held.bytes + held.side_bytes)).sum();
    progress(Progress::Total(packed + settled));
    for dir in ["logs", "journal", packs::DIR] {
        target.create_dir_all(dir)?;
    }
    let mut restored = Restored { cluster: manifest.cluster, taken_ms: manifest.taken_ms, segments: 0, bytes: 0 };
    let in_packs = Packs::of(manifest.packs.iter().map(HeldPack::info));
    for pack in &manifest.packs {
        restored.bytes += copy_file(backup, &**target, &pack.file(), 0, pack.bytes, progress)?;
    }
    target.sync_dir(packs::DIR)?;
    for held in &manifest.segments {
        let mut flaws = Vec::new();
        let mut read = |bytes| progress(Progress::Read(bytes));
        let nothing = Proven::nothing(Offset(held.base));
        verify::verify(backup, &in_packs, held.log(), &held.settled(), nothing, &mut read, &mut |flaw| {
            flaws.push(flaw)
        })?;
        if !flaws.is_empty() {
            return Err(BackupError::Damaged(flaws));
        }
        let files: Vec<(String, u64)> = held.files().collect();
        if !files.is_empty() {
            target.create_dir_all(&Segment::dir(held.log()))?;
            for (name, bytes) in files {
                restored.bytes += copy_file(backup, &**target, &name, 0, bytes, progress)?;
            }
            target.sync_dir(&Segment::dir(held.log()))?;
        }
        restored.segments += 1;
    }
    target.sync_dir("logs")?;
    write_whole(&**target, "secret", &[&parts.secret])?;
    table::write(&**target, &parts.table)?;
    let options = JournalOptions::default();
    let (mut journal, _) = Journal::open(target.clone(), "journal", options, chance, &mut |_| Ok(()))?;
    let mut syncer = journal.syncer();
    for payload in &parts.frames {
        journal.reserve(payload.len() as u64)?;
        journal.write(&[FrameOut { kind: frame::GROUP, slices: &[payload], payload_crc: None }])?;
        journal.note_durable(syncer.sync()?);
    }
    journal.mark()?;
    syncer.sync()?;
    target.sync_dir("")?;
    Ok(restored)
}
