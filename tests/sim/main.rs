//! The deterministic simulation: the real engine and both faces on a simulated disk, with time and chance in our hand. A
//! seed decides everything: who does what and when, when the power goes off, which unsynced bytes survive. What must hold
//! is in `model.rs` and `equal.rs`; nothing here waits for real time or touches a real disk.
//!
//! ```text
//! SIM_SEEDS=500 SIM_FROM=0 cargo test --release --test sim nothing     these seeds
//! SIM_SEED=17              cargo test --release --test sim nothing     one seed, with everything that happened
//! SIM_CRASH_SEEDS=20       cargo test --release --test sim the_power   every call of the disk in twenty lives of each kind
//! cargo test --release --features sabotage --test sim planted          bugs put into the engine are found
//! ```

mod actors;
mod clients;
mod dice;
mod equal;
mod faces;
mod keeper;
mod kv;
mod model;
mod records;
mod trouble;
mod world;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use interfluve::metrics;
use world::{Deed, Plan, PowerOff, Told, World};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Does all of these on every processor; what went wrong with them, in their order.
fn on_all_processors<T: Sync>(lives: &[T], live: impl Fn(&T) -> Option<String> + Sync) -> Vec<String> {
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, |n| n.get()) {
            let worker = std::thread::Builder::new().name("world".into()).spawn_scoped(scope, || {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(one) = lives.get(at) else { return };
                    if let Some(how) = live(one) {
                        wrong.lock().expect("no panic in here").push((at, how));
                    }
                }
            });
            worker.expect("a thread can be started");
        }
    });
    let mut wrong = wrong.into_inner().expect("no panic in here");
    wrong.sort();
    wrong.into_iter().map(|(_, how)| how).collect()
}

#[test]
fn nothing_that_was_promised_is_broken() {
    let plan = Plan::default();
    if let Some(seed) = number("SIM_SEED") {
        // What the engine says, too.
        let _ = tracing_subscriber::fmt().without_time().with_ansi(false).try_init();
        let Told { trace, blamed, .. } = World::new(seed, plan).run();
        println!("{}", trace.join("\n"));
        assert!(blamed.is_empty(), "seed {seed}: {}", blamed.join("\n"));
        return;
    }
    let seeds = number("SIM_SEEDS").unwrap_or(if cfg!(debug_assertions) { 30 } else { 100 });
    let first = number("SIM_FROM").unwrap_or(0);
    let seeds: Vec<u64> = (first..first + seeds).collect();
    let (reads, acknowledged) = (AtomicU64::new(0), AtomicU64::new(0));
    let wrong = on_all_processors(&seeds, |&seed| {
        let told = World::new(seed, plan).run();
        reads.fetch_add(told.reads, Ordering::Relaxed);
        acknowledged.fetch_add(told.acknowledged, Ordering::Relaxed);
        told.blamed.first().map(|first| format!("SIM_SEED={seed}: {first}"))
    });
    let (seeds, reads, acknowledged) = (seeds.len() as u64, reads.into_inner(), acknowledged.into_inner());
    println!("{seeds} seeds: {acknowledged} records acknowledged, {reads} read");
    assert!(
        wrong.is_empty(),
        "{} of {seeds} seeds went wrong; SIM_SEED=n replays one\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(acknowledged > 50 * seeds && reads > 50 * seeds, "the simulation does next to nothing");
    let [packed, merged, lifted] =
        [&metrics::PACKED_BYTES, &metrics::MERGED_BYTES, &metrics::LIFTED_BYTES].map(|counter| counter.value());
    println!("{packed} bytes packed, {merged} merged, {lifted} lifted");
    assert!(packed > 0 && merged > 0 && lifted > 0, "small logs are not packed, or nothing becomes of their packs");
}

/// Appends, settling, retention and changes of the catalog, each with the power off at every call of the disk in turn.
fn the_power_may_go_off_at_any_call_of(deed: Deed) {
    // The dev profile is slow, and there to be quick.
    let (step, crash_seeds) = if cfg!(debug_assertions) { (7, 1) } else { (1, 2) };
    let whole = |seed| plan_of(deed, seed, PowerOff { call: 0, before: true, seed: 0 });
    let mut lives = Vec::new();
    for seed in 0..number("SIM_CRASH_SEEDS").unwrap_or(1) {
        let told = whole(seed).run();
        assert!(told.blamed.is_empty() && told.calls > 20, "{deed:?} {seed}: {:?}, {}", told.blamed, told.calls);
        for call in (1..=told.calls).step_by(step) {
            for crash in 0..crash_seeds {
                lives.extend([true, false].map(|before| (seed, PowerOff { call, before, seed: crash })));
            }
        }
    }
    let wrong = on_all_processors(&lives, |(seed, off)| {
        let first = plan_of(deed, *seed, *off).run().blamed.into_iter().next()?;
        Some(format!("{deed:?}, seed {seed}, {off:?}: {first}"))
    });
    println!("{deed:?}: {} crashes", lives.len());
    assert!(wrong.is_empty(), "{} of {} went wrong\n{}", wrong.len(), lives.len(), wrong.join("\n"));
}

fn plan_of(deed: Deed, seed: u64, off: PowerOff) -> World {
    // A change of the catalog is one act in six.
    let acts = if deed == Deed::Catalog { 24 } else { 4 };
    World::new(1_000 + seed, Plan { incarnations: 0, acts, deed: Some((deed, off)), trouble: false })
}

#[test]
fn the_power_may_go_off_at_any_call_of_an_append() {
    the_power_may_go_off_at_any_call_of(Deed::Append);
}

#[test]
fn the_power_may_go_off_at_any_call_of_settling() {
    the_power_may_go_off_at_any_call_of(Deed::Settle);
}

#[test]
fn the_power_may_go_off_at_any_call_of_retention() {
    the_power_may_go_off_at_any_call_of(Deed::Retention);
}

#[test]
fn the_power_may_go_off_at_any_call_of_the_catalog() {
    the_power_may_go_off_at_any_call_of(Deed::Catalog);
}

/// Seeds that once went wrong, with what they found.
#[test]
fn what_went_wrong_once_does_not_again() {
    for (seed, found) in [
        (80, "a page without room for the next entry's first batch stepped over it"),
        (206, "a batch across the start, not settled yet, was lost once a table was written"),
        (269, "the same"),
        (316, "the same"),
        (330, "the same"),
        (171, "a frame found no room in the journal that was reserved for it"),
        (375, "on a full disk the table was written again and again, without a pause"),
        (451, "the same"),
    ] {
        let told = World::new(seed, Plan::default()).run();
        assert!(told.blamed.is_empty(), "seed {seed} ({found}): {:?}", told.blamed);
    }
}

/// A simulation that never went red is no evidence.
#[cfg(feature = "sabotage")]
#[test]
fn every_planted_bug_is_found_within_50_seeds() {
    use interfluve::engine::sabotage::{BUGS, plant};
    let mut missed = Vec::new();
    for bug in BUGS {
        plant(Some(bug));
        let found =
            (0..50).find_map(|seed| Some((seed, World::new(seed, Plan::default()).run().blamed.first()?.clone())));
        plant(None);
        match found {
            Some((seed, how)) => println!("{bug:?}: seed {seed}: {how}"),
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}

#[test]
fn a_seed_is_lived_twice_alike() {
    for seed in 0..20 {
        let (one, two) = (World::new(seed, Plan::default()).run(), World::new(seed, Plan::default()).run());
        let differs = one.trace.iter().zip(&two.trace).find(|(a, b)| a != b);
        assert_eq!(differs, None, "seed {seed}");
        assert_eq!(one.trace.len(), two.trace.len(), "seed {seed}");
    }
}
