//! Power cuts, kills and failing calls, at every call of a run in turn: what was acknowledged is there, and nothing else.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use super::*;
use crate::store::memory::{Fault, When};

/// What the test knows to be true.
#[derive(Clone, Default)]
struct Truth {
    /// The payload of each frame that may be in the journal; `None`: a mark.
    payloads: BTreeMap<FrameNo, Option<Vec<u8>>>,
    /// Every frame up to this was acknowledged.
    safe: FrameNo,
    /// Frames below this need not come back.
    forgotten: FrameNo,
}

impl Truth {
    fn plain(&self, numbers: RangeInclusive<FrameNo>) -> Vec<FrameNo> {
        if numbers.is_empty() {
            return Vec::new();
        }
        self.payloads.range(numbers).filter(|(_, payload)| payload.is_some()).map(|(number, _)| *number).collect()
    }

    /// Holds a replay against the truth, and takes over what it decided.
    fn check(&mut self, told: &Heard, report: &ReplayReport, what: &str) {
        assert_eq!(told.rot, [], "{what}: nothing rotted");
        for (number, payload) in &told.frames {
            let truth = self.payloads.get(number).and_then(Option::as_ref);
            assert_eq!(truth, Some(payload), "{what}: frame {number} was never written so");
        }
        let numbers = told.numbers();
        let last = report.next - 1;
        assert!(last >= self.safe, "{what}: frames up to {} were acknowledged, {last} is the last", self.safe);
        assert!(report.durable <= self.safe, "{what}: {} is claimed, {} is true", report.durable, self.safe);
        let from = numbers.first().copied().unwrap_or(last + 1).min(self.forgotten.max(1));
        assert_eq!(numbers, self.plain(from..=last), "{what}: a hole, or frames out of order");
        self.payloads.split_off(&report.next);
        self.safe = last;
    }
}

/// One run of a journal: opens it, checks what it holds, and works until it is done or something fails.
fn live(disk: &MemDisk, truth: &mut Truth, seed: u64, steps: usize, what: &str) -> io::Result<()> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (mut journal, told, report) = open(Arc::new(disk.clone()), seed)?;
    truth.check(&told, &report, what);
    let mut syncer = journal.syncer();
    for step in 0..steps {
        match rng.u8(..10) {
            0..5 => {
                let mut payloads = Vec::new();
                for n in 0..rng.usize(1..5) {
                    let size = if rng.u8(..) < 10 { 17_000 } else { rng.usize(..1200) };
                    match journal.reserve(size as u64) {
                        Err(error) if is_full(&error) => continue,
                        reserved => reserved?,
                    }
                    let mut payload = format!("{seed} {step} {n} ").into_bytes();
                    payload.resize(size, rng.u8(..));
                    payloads.push(payload);
                }
                for (number, payload) in (journal.written() + 1..).zip(&payloads) {
                    truth.payloads.insert(number, Some(payload.clone()));
                }
                let slices: Vec<[&[u8]; 1]> = payloads.iter().map(|payload| [&payload[..]]).collect();
                let frames: Vec<_> =
                    slices.iter().map(|slices| FrameOut { kind: 1, slices, payload_crc: None }).collect();
                journal.write(&frames)?;
            }
            5..8 => {
                truth.safe = truth.safe.max(syncer.sync()?);
                journal.note_durable(truth.safe);
            }
            8 => {
                truth.payloads.insert(journal.written() + 1, None);
                journal.mark()?;
            }
            _ => {
                truth.forgotten = truth.safe.saturating_sub(rng.u64(..4)).max(truth.forgotten);
                journal.forget(truth.forgotten)?;
            }
        }
    }
    Ok(())
}

/// The power goes off at every call of a run in turn; whatever it leaves holds what was acknowledged. The next run may
/// lose power too, while it recovers or later.
#[test]
fn power_cuts_at_every_call_lose_nothing_acknowledged() {
    let mut states = 0;
    for seed in 0..6 {
        let dry = MemDisk::faulty();
        live(&dry, &mut Truth::default(), seed, 40, "dry").unwrap();
        for call in 1..=dry.calls() {
            for when in [When::Before, When::After] {
                let disk = MemDisk::faulty();
                disk.crash_at(call, when);
                let mut truth = Truth::default();
                live(&disk, &mut truth, seed, 40, "first").unwrap_err();
                for cut in 0..4 {
                    let what = format!("seed {seed}, {when:?} call {call}, cut {cut}");
                    let (mut truth, second) = (truth.clone(), disk.crash(cut));
                    second.crash_at(1 + (call + cut) % 23, if cut % 2 == 0 { When::After } else { When::Before });
                    let _ = live(&second, &mut truth, seed + 100, 10, &what);
                    for cut in 0..2 {
                        let (mut truth, third) = (truth.clone(), second.crash(cut));
                        live(&third, &mut truth, seed + 200, 3, &format!("{what}, then {cut}")).unwrap();
                        live(&third.kill(), &mut truth, seed + 300, 0, &format!("{what}, then {cut}, killed")).unwrap();
                        states += 1;
                    }
                }
            }
        }
    }
    assert!(states > 5000, "only {states} states");
}

/// The process is killed at every call in turn, and the power goes later: what a killed run left and the next one took
/// for granted must still be there.
#[test]
fn what_was_replayed_after_a_kill_survives_a_power_cut() {
    for seed in 0..6 {
        let dry = MemDisk::faulty();
        live(&dry, &mut Truth::default(), seed, 40, "dry").unwrap();
        for call in 1..=dry.calls() {
            let disk = MemDisk::faulty();
            disk.crash_at(call, When::After);
            let mut truth = Truth::default();
            live(&disk, &mut truth, seed, 40, "first").unwrap_err();
            let second = disk.kill();
            let what = format!("seed {seed}, killed at call {call}");
            live(&second, &mut truth, seed + 100, 4, &what).unwrap();
            for cut in 0..4 {
                live(&second.crash(cut), &mut truth.clone(), seed, 0, &format!("{what}, cut {cut}")).unwrap();
            }
        }
    }
}

/// Every call in turn fails. The journal takes no more; the next process finds what was acknowledged, also if a failed sync
/// left bytes in memory that the disk never got.
#[test]
fn failing_calls_lose_nothing_acknowledged() {
    for seed in 0..6 {
        let dry = MemDisk::faulty();
        live(&dry, &mut Truth::default(), seed, 40, "dry").unwrap();
        for call in 1..=dry.calls() {
            for fault in [Fault::Broken, Fault::Half, Fault::Full] {
                let disk = MemDisk::faulty();
                disk.fail_at(call, fault);
                let mut truth = Truth::default();
                let _ = live(&disk, &mut truth, seed, 40, "first");
                let what = format!("seed {seed}, {fault:?} at call {call}");
                let killed = disk.kill();
                for (next, name) in [(killed.clone(), "killed"), (disk.crash(call), "cut")] {
                    let mut truth = truth.clone();
                    live(&next, &mut truth, seed + 100, 5, &format!("{what}, {name}")).unwrap();
                    live(&next.crash(call), &mut truth, seed, 0, &format!("{what}, {name}, then cut")).unwrap();
                }
            }
        }
    }
}

#[test]
fn a_failure_is_final() {
    for failing in ["write", "sync"] {
        let disk = MemDisk::faulty();
        let (mut journal, ..) = open(Arc::new(disk.clone()), 1).unwrap();
        let mut syncer = journal.syncer();
        write(&mut journal, b"fine");
        syncer.sync().unwrap();
        if failing == "write" {
            disk.fail_at(disk.calls() + 1, Fault::Broken);
            assert!(journal.write(&[FrameOut { kind: 1, slices: &[b"lost"], payload_crc: None }]).is_err());
            assert!(journal.write(&[FrameOut { kind: 1, slices: &[b"more"], payload_crc: None }]).is_err());
            assert!(journal.reserve(1).is_err() && journal.mark().is_err() && journal.forget(1).is_err());
        } else {
            write(&mut journal, b"lost");
            disk.fail_at(disk.calls() + 1, Fault::Broken);
            assert!(syncer.sync().is_err());
            let calls = disk.calls();
            assert!(syncer.sync().is_err() && journal.syncer().sync().is_err());
            assert_eq!(disk.calls(), calls, "no file is synced again");
        }
        assert_eq!(open(Arc::new(disk.kill()), 1).unwrap().1.numbers(), [1], "{failing}");
    }
}
