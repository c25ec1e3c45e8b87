//! What a start clears away: files that a removal was cut short of, or that were being settled or compacted when the process
//! stopped.
//! Done before the lane takes its first turn, because at work a segment exists before any record names it. A file is
//! removed only if the records say that it is not in use; where records were lost to rot, nothing is removed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::frame::{PackInfo, SegmentName};
use super::lane::Slot;
use super::packs;
use super::tail::View;
use super::vault::Segment;
use crate::ids::{LogId, Offset};
use crate::metrics;
use crate::store::Disk;

/// What a file or directory under `logs/` is to the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// In use.
    Needed,
    /// Its records have been given up.
    GivenUp,
    /// Settling into it was under way and never recorded; the journal has its records.
    Unfinished,
    /// It lies between others and no record names it: what named it is lost.
    Unknown,
}

/// What the records say of a log's segments.
pub(super) struct Known {
    start: Offset,
    settled: Offset,
    clean: Offset,
    segments: BTreeSet<SegmentName>,
}

impl Known {
    pub fn of(view: &View, start: Offset, clean: Offset) -> Known {
        let segments = view.extents.iter().map(|x| x.settled.name()).collect();
        Known { start, settled: view.settled.max(start), clean, segments }
    }

    /// What a segment of this name is to the log.
    pub fn judge(&self, name: SegmentName) -> Use {
        let SegmentName { base, compacted } = name;
        let nth = |range: std::ops::RangeInclusive<u32>| {
            let (from, to) = (*range.start(), *range.end());
            let named = |compacted| SegmentName { base, compacted };
            self.segments.range(named(from)..=named(to)).next().is_some()
        };
        if self.segments.contains(&name) {
            Use::Needed
        } else if base < self.start || nth(compacted..=u32::MAX) {
            Use::GivenUp
        } else if base >= self.settled || nth(0..=compacted) {
            Use::Unfinished
        } else if base < self.clean {
            // It was compacted into another one, or into nothing.
            Use::GivenUp
        } else {
            Use::Unknown
        }
    }
}

/// What names a segment's file, if this is the name of one.
pub(super) fn segment_of(name: &str) -> Option<SegmentName> {
    let name = name.strip_suffix(".log").or(name.strip_suffix(".side"))?;
    let (base, compacted) = name.split_once('.').map_or((name, None), |(base, nth)| (base, Some(nth)));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    if base.len() != 20 || !is_number(base) {
        return None;
    }
    let compacted = match compacted {
        None => 0,
        Some(nth) if is_number(nth) && !nth.starts_with('0') => nth.parse().ok()?,
        Some(_) => return None,
    };
    Some(SegmentName { base: Offset(base.parse().ok()?), compacted })
}

/// The log a directory belongs to, if it is one of ours.
pub(super) fn log_of(dir: &str) -> Option<LogId> {
    dir.parse().ok().map(LogId).filter(|id| id.to_string() == dir)
}

/// Removes what nothing needs and says what that was; how many files. After a clean stop there can only be whole
/// directories, so the others are not read: a start's time must not grow with the number of logs.
pub(super) fn sweep(
    disk: &dyn Disk,
    slots: &BTreeMap<LogId, Slot>,
    packs: &[PackInfo],
    clean: bool,
) -> io::Result<u64> {
    // A clean stop may leave one that was being merged.
    let mut swept = sweep_packs(disk, packs);
    for dir in disk.list("logs")? {
        let Some(id) = log_of(&dir) else { continue };
        let path = Segment::dir(id);
        let gone = match slots.get(&id) {
            None => disk.list(&path)?.into_iter().filter(|name| segment_of(name).is_some()).collect(),
            Some(_) if clean => continue,
            Some(slot) => not_in_use(disk, &path, slot)?,
        };
        let removed = remove(disk, &path, &gone, !slots.contains_key(&id));
        if let Err(e) = &removed {
            // They are in nobody's way but the disk's room's.
            tracing::warn!(log = %id, "files of {path} that nothing needs could not be removed: {e}");
        } else if slots.contains_key(&id) && !gone.is_empty() {
            tracing::info!(log = %id, files = gone.join(" "), "removed files of {path} that were left over when the process stopped");
        } else if !slots.contains_key(&id) {
            tracing::info!(log = %id, files = gone.len(), "removed {path}: the log was deleted before the process stopped");
        }
        swept += removed.unwrap_or(0);
    }
    metrics::SWEPT_FILES.add(swept);
    Ok(swept)
}

/// Packs that no record names: they were not recorded yet, or have been merged.
fn sweep_packs(disk: &dyn Disk, packs: &[PackInfo]) -> u64 {
    let known: BTreeSet<u64> = packs.iter().map(|pack| pack.id).collect();
    let gone =
        |names: Vec<String>| names.into_iter().filter(|name| packs::id_of(name).is_some_and(|id| !known.contains(&id)));
    let swept =
        disk.list(packs::DIR).map(gone).and_then(|names| remove(disk, packs::DIR, &names.collect::<Vec<_>>(), false));
    match swept {
        Ok(0) => 0,
        Ok(swept) => {
            tracing::info!(files = swept, "removed packs that were left over when the process stopped");
            swept
        }
        Err(e) => {
            tracing::warn!("packs that nothing needs could not be removed: {e}");
            0
        }
    }
}

fn not_in_use(disk: &dyn Disk, path: &str, slot: &Slot) -> io::Result<Vec<String>> {
    let names = disk.list(path)?;
    let view = slot.shared.view();
    let known = Known::of(&view, view.start, view.clean);
    let swept =
        |name: &String| matches!(segment_of(name).map(|name| known.judge(name)), Some(Use::GivenUp | Use::Unfinished));
    Ok(names.into_iter().filter(swept).collect())
}

fn remove(disk: &dyn Disk, path: &str, names: &[String], whole: bool) -> io::Result<u64> {
    for name in names {
        disk.remove(&format!("{path}/{name}"))?;
    }
    if whole && disk.list(path)?.is_empty() {
        disk.remove(path)?;
        disk.sync_dir("logs")?;
    } else if !names.is_empty() {
        disk.sync_dir(path)?;
    }
    Ok(names.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::tests::{all, new_stream, open, put, small};
    use crate::engine::{Change, Engine};
    use crate::store::Open;
    use crate::store::memory::{MemDisk, When};

    #[test]
    fn a_segment_is_judged_by_what_the_records_say() {
        let named = |(base, compacted)| SegmentName { base: Offset(base), compacted };
        let known = Known {
            start: Offset(30),
            settled: Offset(80),
            clean: Offset(50),
            segments: [(20, 0), (35, 2), (60, 0)].map(named).into(),
        };
        for (name, expect) in [
            ((5, 0), Use::GivenUp),
            ((20, 0), Use::Needed),
            ((20, 1), Use::GivenUp),
            ((35, 0), Use::GivenUp),
            ((35, 1), Use::GivenUp),
            ((35, 2), Use::Needed),
            ((35, 3), Use::Unfinished),
            ((40, 0), Use::GivenUp),
            ((40, 7), Use::GivenUp),
            ((50, 0), Use::Unknown),
            ((60, 0), Use::Needed),
            ((60, 1), Use::Unfinished),
            ((80, 0), Use::Unfinished),
            ((90, 0), Use::Unfinished),
        ] {
            assert_eq!(known.judge(named(name)), expect, "segment {name:?}");
        }
    }

    #[test]
    fn only_our_own_names_are_names() {
        for (name, expect) in [
            ("00000000000000000007.log", Some((7, 0))),
            ("00000000000000000007.side", Some((7, 0))),
            ("00000000000000000007.12.side", Some((7, 12))),
            ("00000000000000000007.012.side", None),
            ("00000000000000000007.0.log", None),
            ("00000000000000000007..log", None),
            ("00000000000000000007.1.2.log", None),
            ("00000000000000000007.4294967296.log", None),
            ("0000000000000000007.log", None),
            ("+0000000000000000007.log", None),
            ("00000000000000000007.index", None),
            ("99999999999999999999.log", None),
        ] {
            let expect = expect.map(|(base, compacted)| SegmentName { base: Offset(base), compacted });
            assert_eq!(segment_of(name), expect, "{name}");
        }
        assert_eq!([log_of("16"), log_of("016"), log_of("x")], [Some(LogId(16)), None, None]);
    }

    /// Settled segments of two streams, one of which is trimmed and the other deleted, with the power going off at every
    /// call of the disk while that happens: after the next start nothing is left that no record names.
    #[tokio::test]
    async fn what_a_removal_was_cut_short_of_is_swept_at_the_next_start() {
        let disk = MemDisk::faulty();
        let engine = open(&disk, small()).await;
        let stream = new_stream(&engine, "s", 1, &[("segment.bytes", "1048576")]).await;
        let doomed = new_stream(&engine, "doomed", 1, &[]).await;
        for i in 0..140usize {
            put(&engine, stream.logs[0], &[i as u8; 30_000], 1).await;
            put(&engine, doomed.logs[0], &[i as u8; 3_000], 1).await;
        }
        engine.close().await;
        drop(engine);
        let log = stream.logs[0];
        assert!(disk.list(&Segment::dir(log)).unwrap().len() > 6, "there are segments to be removed");
        let work = async |engine: &Engine| {
            let trimmed = engine.trim(log, Offset(120)).await.is_ok();
            let deleted = engine.change(vec![Change::Delete { id: doomed.id }]).await.remove(0).is_ok();
            (trimmed, deleted)
        };
        let counting = disk.kill();
        let engine = open(&counting, small()).await;
        let opened = counting.calls();
        work(&engine).await;
        engine.close().await;
        let mut swept_something = false;
        for call in opened + 1..=counting.calls() {
            let cut = disk.kill();
            let engine = open(&cut, small()).await;
            cut.crash_at(call, When::Before);
            let (trimmed, deleted) = work(&engine).await;
            engine.close().await;
            let after = cut.crash(call);
            let names = |disk: &MemDisk| disk.list(&Segment::dir(log)).unwrap().len();
            let before = (names(&after), after.list("logs").unwrap());
            let engine = open(&after, small()).await;
            swept_something |= before != (names(&after), after.list("logs").unwrap());
            assert!(!trimmed || engine.bounds(log).unwrap().start == Offset(120), "call {call}");
            assert!(!deleted || engine.catalog().stream("doomed").is_none(), "call {call}");
            let start = engine.bounds(log).unwrap().start;
            assert_eq!(all(&engine, log, start).await.len() as u64, 140 - start.0, "call {call}");
            engine.close().await;
            let disk: std::sync::Arc<dyn Disk> = std::sync::Arc::new(after);
            let findings = crate::engine::check::check(&disk, &mut |_| ()).unwrap().findings;
            assert_eq!(findings, [], "call {call}");
        }
        assert!(swept_something, "no crash left anything over");
    }

    #[tokio::test]
    async fn after_a_kill_leftovers_go_and_foreign_files_stay() {
        let disk = MemDisk::faulty();
        let engine = open(&disk, small()).await;
        let log = new_stream(&engine, "s", 1, &[]).await.logs[0];
        for i in 0..100u8 {
            put(&engine, log, &[i; 300], 1).await;
        }
        engine.trim(log, Offset(10)).await.unwrap();
        let killed = disk.kill();
        engine.close().await;
        killed.create_dir_all("logs/77").unwrap();
        let leftovers = [
            format!("logs/{log}/00000000000000000003.log"),
            format!("logs/{log}/00000000000000000003.side"),
            format!("logs/{log}/00000000000000000999.log"),
            "logs/77/00000000000000000000.log".to_owned(),
        ];
        let foreign = format!("logs/{log}/notes");
        for name in leftovers.iter().chain([&foreign]) {
            killed.open(name, Open::CreateNew).unwrap();
        }
        let before = metrics::SWEPT_FILES.value();
        let engine = open(&killed, small()).await;
        for name in &leftovers {
            assert_eq!(killed.open(name, Open::Read).err().map(|e| e.kind()), Some(io::ErrorKind::NotFound), "{name}");
        }
        assert!(killed.open(&foreign, Open::Read).is_ok());
        assert!(!killed.list("logs").unwrap().contains(&"77".to_owned()));
        assert!(metrics::SWEPT_FILES.value() >= before + 4);
        assert_eq!(all(&engine, log, Offset(10)).await.len(), 90);
        engine.close().await;
    }
}
