//! A world: a simulated disk, a clock, the engine, and those who use it, all from one seed. It lives through several
//! incarnations of the engine, each ended by a crash of some kind, and then through a calm one in which everybody must
//! finish. After every start all that the engine holds is read and judged by the model.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use interfluve::chance::Chance;
use interfluve::clock::Clock;
use interfluve::engine::catalog::{Born, Create, Kind};
use interfluve::engine::ledgers::{Effects, Ledger};
use interfluve::engine::{Change, Driver, Engine, Error, Fetch, Options, Read, Until, compact, lane};
use interfluve::ids::{LogId, Offset, Timestamp};
use interfluve::store::memory::{Fault, MemDisk, When};
use tokio::task::JoinSet;

use crate::actors::{self, Admin, Counter, Grouper, Idempotent, NUMBERS, Plain, Reader, Stage, Trimmer};
use crate::clients::{KafkaReader, KafkaWriter, KinesisReader, KinesisWriter};
use crate::dice::Dice;
use crate::equal;
use crate::faces::Faces;
use crate::keeper::{self, Keeper};
use crate::kv::Numbers;
use crate::model::{Ended, Model};
use crate::trouble::{self, Filler};

thread_local! {
    /// What panicked in this thread's world: the engine's asserts, mostly. Tasks swallow panics.
    static PANICS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Makes panics of simulated tasks known to their world. Once per process.
pub fn watch_panics() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.with(|panics| panics.borrow_mut().push(info.to_string()));
            if std::thread::current().name().is_none_or(|name| name != "world") {
                usual(info);
            }
        }));
    });
}

/// What may go wrong.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub incarnations: u64,
    pub acts: u64,
    /// One more incarnation, after one that prepares it and before the others, in which all do one thing and the power
    /// goes off.
    pub deed: Option<(Deed, PowerOff)>,
    /// May bits flip, and the disk be full?
    pub trouble: bool,
}

/// What there is to do in an incarnation whose every call of the disk is a place for a crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Nothing but appends: nothing is settled.
    Append,
    /// Appends that are settled at once, into many segments.
    Settle,
    /// Records are given up by age, by bytes and because somebody asks.
    Retention,
    /// Streams are made, grown, altered and deleted, while their ledger is begun anew.
    Catalog,
}

/// The power goes off at this call of the disk: before it, or when it was done. Call 0 never comes: the incarnation ends
/// well. `seed` says which unsynced bytes and names survive.
#[derive(Clone, Copy, Debug)]
pub struct PowerOff {
    pub call: u64,
    pub before: bool,
    pub seed: u64,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan { incarnations: 4, acts: 25, deed: None, trouble: true }
    }
}

/// How one incarnation is to end.
#[derive(Clone, Copy, Debug)]
enum Doom {
    /// Everybody finishes, the engine closes.
    Close,
    /// At this moment, with all that was written kept, or not.
    At(i64, Ended),
    /// The power goes off at a call of the disk, counted from the start.
    Call(u64, When),
    /// A call of the disk fails, counted from the start.
    Fails(u64, Fault),
}

pub struct Told {
    pub trace: Vec<String>,
    pub blamed: Vec<String>,
    pub reads: u64,
    pub acknowledged: u64,
    /// Changing calls of the disk in the incarnation of the deed.
    pub calls: u64,
}

/// Those who outlive the engine.
struct Cast {
    plain: Vec<Actor<Plain>>,
    groupers: Vec<Actor<Grouper>>,
    idempotent: Vec<Actor<Idempotent>>,
    readers: Vec<Actor<Reader>>,
    trimmer: Actor<Trimmer>,
    admin: Actor<Admin>,
    counter: Actor<Counter>,
    kafka_writers: Vec<Actor<KafkaWriter>>,
    kafka_readers: Vec<Actor<KafkaReader>>,
    kinesis_writers: Vec<Actor<KinesisWriter>>,
    kinesis_readers: Vec<Actor<KinesisReader>>,
    keeper: Actor<Keeper>,
    filler: Actor<Filler>,
}

type Actor<T> = Arc<tokio::sync::Mutex<T>>;

fn actor<T>(who: T) -> Actor<T> {
    Arc::new(tokio::sync::Mutex::new(who))
}

impl Cast {
    fn new(dice: &mut Dice) -> Cast {
        Cast {
            plain: (0..2).map(|n| actor(Plain { name: n, dice: dice.fork(n.into()) })).collect(),
            groupers: (10..11).map(|n| actor(Grouper { name: n, dice: dice.fork(n.into()) })).collect(),
            idempotent: (20..22)
                .map(|n| actor(Idempotent { name: n, dice: dice.fork(n.into()), id: None, logs: BTreeMap::new() }))
                .collect(),
            readers: (30..32).map(|n| actor(Reader { dice: dice.fork(n), at: BTreeMap::new() })).collect(),
            trimmer: actor(Trimmer { dice: dice.fork(40) }),
            admin: actor(Admin { dice: dice.fork(50), made: 0 }),
            counter: actor(Counter { dice: dice.fork(60), next: 0 }),
            kafka_writers: (80..82).map(|n| actor(KafkaWriter { name: n, dice: dice.fork(n.into()) })).collect(),
            kafka_readers: (90..92)
                .map(|n| actor(KafkaReader { group: format!("g{n}"), dice: dice.fork(n), at: BTreeMap::new() }))
                .collect(),
            kinesis_writers: (100..102).map(|n| actor(KinesisWriter { name: n, dice: dice.fork(n.into()) })).collect(),
            kinesis_readers: (110..112)
                .map(|n| actor(KinesisReader { dice: dice.fork(n), at: BTreeMap::new() }))
                .collect(),
            keeper: actor(Keeper { dice: dice.fork(130), next: 0 }),
            filler: actor(Filler { name: 120, dice: dice.fork(120) }),
        }
    }

    /// Everybody who takes part goes to work.
    fn enter(&self, stage: &Stage, scene: &Scene) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        macro_rules! go {
            ($actors:expr $(, $more:expr)*) => {
                for actor in $actors {
                    let (actor, stage) = (actor.clone(), stage.clone());
                    let _scene = scene.clone();
                    tasks.spawn(async move {
                        let mut actor = actor.lock_owned().await;
                        actor.act(stage $(, $more(&_scene))*).await;
                    });
                }
            };
        }
        let faces = |scene: &Scene| scene.faces.clone();
        let (writes, all) = (scene.deed != Some(Deed::Catalog), scene.deed.is_none());
        if writes {
            go!(&self.plain);
            go!(&self.groupers);
            go!(&self.idempotent);
            go!(&self.kafka_writers, faces);
            go!(&self.kinesis_writers, faces);
        }
        if all {
            go!(&self.readers);
            go!(&self.kinesis_readers, faces);
            go!([&self.counter], |scene: &Scene| scene.numbers.clone());
            go!([&self.keeper]);
        }
        if all || !writes {
            go!(&self.kafka_readers, faces);
        }
        if all || scene.deed == Some(Deed::Retention) {
            go!([&self.trimmer]);
        }
        if all || !writes {
            go!([&self.admin]);
        }
        if all && scene.trouble {
            go!([&self.filler], |scene: &Scene| scene.disk.clone());
        }
        tasks
    }
}

/// What there is besides the engine in one incarnation.
#[derive(Clone)]
struct Scene {
    numbers: Ledger<Numbers>,
    faces: Faces,
    disk: MemDisk,
    deed: Option<Deed>,
    trouble: bool,
}

pub struct World {
    seed: u64,
    plan: Plan,
    dice: Dice,
    disk: MemDisk,
    options: Options,
    clock: Clock,
    chance: Chance,
    model: Arc<Mutex<Model>>,
    cast: Cast,
    /// Changing calls of the disk in the incarnation of the deed.
    calls: u64,
    /// What survives the next power cut, if it is not left to the dice.
    crash: Option<u64>,
    /// Memory may show what the disk does not have.
    deceived: bool,
}

/// What an incarnation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Everything,
    /// All work for the first time, nothing goes wrong.
    Prepare,
    Do(Deed),
    /// The last one: no faults, nothing may be refused.
    Calm,
}

/// Most simulated time one incarnation may take: whoever is not done by then never will be.
const PATIENCE: Duration = Duration::from_secs(24 * 3600);
const BEGIN: Timestamp = Timestamp(1_700_000_000_000);

impl World {
    pub fn new(seed: u64, plan: Plan) -> World {
        let mut dice = Dice::new(seed);
        let cast = Cast::new(&mut dice);
        World {
            seed,
            plan,
            options: options(&mut dice, plan.deed.map(|(deed, _)| deed)),
            disk: MemDisk::faulty(),
            clock: Clock::manual(BEGIN),
            chance: Chance::seeded(dice.draw()),
            model: Arc::new(Mutex::new(Model { now: BEGIN.0, ..Model::default() })),
            cast,
            calls: 0,
            crash: None,
            deceived: false,
            dice,
        }
    }

    /// Lives the whole life.
    pub fn run(mut self) -> Told {
        watch_panics();
        PANICS.with(|panics| panics.borrow_mut().clear());
        let mut ended = Ended::Written;
        if let Some((deed, off)) = self.plan.deed {
            // So that there are streams with records in them; then the deed, and nothing else.
            let acts = std::mem::replace(&mut self.plan.acts, 4);
            ended = self.live(Doom::Close, ended, Act::Prepare);
            self.plan.acts = acts;
            let doom = match off.call {
                0 => Doom::Close,
                call => Doom::Call(call, if off.before { When::Before } else { When::After }),
            };
            self.crash = Some(off.seed);
            ended = self.live(doom, ended, Act::Do(deed));
            self.crash = None;
            self.plan.acts = 2;
        }
        for n in 0..self.plan.incarnations {
            let doom = self.doom();
            self.model(|m| m.note(format!("── incarnation {n}: {doom:?}")));
            ended = self.live(doom, ended, Act::Everything);
            if self.blamed() {
                return self.told();
            }
        }
        self.model(|m| m.note("── the calm".into()));
        ended = self.live(Doom::Close, ended, Act::Calm);
        if !self.blamed() {
            // And once more, to see that what the calm did is there.
            self.plan.acts = 0;
            self.live(Doom::Close, ended, Act::Calm);
        }
        self.told()
    }

    fn doom(&mut self) -> Doom {
        let dice = &mut self.dice;
        let at = dice.range(1, 1_500) as i64;
        match dice.below(10) {
            0 => Doom::Close,
            1 | 2 => Doom::At(at, Ended::Written),
            3..=5 => Doom::At(at, Ended::Power),
            6 | 7 => Doom::Call(dice.range(1, 400), if dice.percent(50) { When::Before } else { When::After }),
            _ => Doom::Fails(dice.range(1, 400), if dice.percent(70) { Fault::Broken } else { Fault::Half }),
        }
    }

    fn live(&mut self, doom: Doom, ended: Ended, act: Act) -> Ended {
        // After a failed sync memory shows more than the disk has, and what seals a frame may be part of it.
        if self.plan.trouble && act == Act::Everything && self.dice.percent(30) && !self.deceived {
            let (disk, mut dice) = (self.disk.clone(), self.dice.fork(75));
            self.model(|m| trouble::flip(&disk, m, &mut dice));
        }
        self.model(|m| m.full = false);
        match doom {
            Doom::Call(n, when) => self.disk.crash_at(n, when),
            Doom::Fails(n, fault) => self.disk.fail_at(n, fault),
            Doom::Close | Doom::At(..) => {}
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime needs nothing but memory");
        let patient = runtime
            .block_on(async { tokio::time::timeout(PATIENCE, self.incarnation(doom, ended, act)).await.is_ok() });
        drop(runtime);
        PANICS.with(|panics| {
            for panic in panics.borrow_mut().drain(..) {
                self.model(|m| m.blame(format!("a panic: {panic}")));
            }
        });
        if !patient {
            self.model(|m| m.blame("somebody waits for ever".into()));
        }
        let crash = self.dice.draw();
        let crash = self.crash.unwrap_or(crash);
        let kill = match doom {
            Doom::Close => true,
            Doom::At(_, how) => how == Ended::Written,
            Doom::Call(..) => false,
            Doom::Fails(..) => self.dice.percent(50),
        };
        self.deceived = kill && matches!(doom, Doom::Fails(..));
        let trace = self.disk.trace();
        if matches!(act, Act::Do(_)) {
            self.calls = self.disk.calls();
        }
        self.disk.set_capacity(None);
        self.model(|m| m.note(format!("disk {trace:08x}, {}", if kill { "killed" } else { "power off" })));
        self.disk = if kill { self.disk.kill() } else { self.disk.crash(crash) };
        // A failed sync drops what it should have written, also for those who live on.
        if kill && !matches!(doom, Doom::Fails(..)) { Ended::Written } else { Ended::Power }
    }

    async fn incarnation(&mut self, doom: Doom, ended: Ended, act: Act) {
        let (mut pace, disk) = (self.dice.fork(70), Arc::new(self.disk.clone()));
        let slow = pace.range(1, 40);
        let driver = Driver::Task(Box::new(move || Duration::from_millis(pace.below(slow))));
        let opened = Engine::open(self.options.clone(), disk, self.clock.clone(), self.chance.clone(), driver).await;
        let doomed = matches!(doom, Doom::Call(..) | Doom::Fails(..));
        let engine = match opened {
            Ok((engine, recovery)) => {
                self.model(|m| m.note(format!("opened: {recovery:?}")));
                engine
            }
            Err(e) => {
                self.model(|m| {
                    if doomed { m.note(format!("not opened: {e}")) } else { m.blame(format!("not opened: {e}")) }
                });
                return;
            }
        };
        let calm = act != Act::Everything;
        let (model, disk) = (self.model.clone(), self.disk.clone());
        let stage = Stage { engine: engine.clone(), model, disk, acts: self.plan.acts, calm };
        let mut dice = self.dice.fork(76);
        let begun = self.clock.now();
        let done = async {
            let faces = match Faces::open(&engine).await {
                Ok(faces) => faces,
                Err(Error::LaneFailed) => return,
                Err(e) => return stage.model().blame(format!("the groups cannot be opened: {e}")),
            };
            self.judge(&stage, &faces, ended, &mut dice).await;
            if stage.model().blamed.is_empty() && self.plan.acts > 0 {
                let Some(numbers) = self.numbers(&stage).await else { return };
                let deed = if let Act::Do(deed) = act { Some(deed) } else { None };
                let trouble = self.plan.trouble && act == Act::Everything;
                let scene = Scene { numbers, faces, disk: self.disk.clone(), deed, trouble };
                let mut tasks = self.cast.enter(&stage, &scene);
                while tasks.join_next().await.is_some() {}
            }
        };
        let until = match doom {
            Doom::At(ms, _) => begun.plus_ms(ms),
            _ => Timestamp(i64::MAX),
        };
        tokio::select! {
            biased;
            () = engine.failed() => {
                let why = engine.failure().unwrap_or_default();
                self.model(|m| if doomed { m.note(format!("failed: {why}")) } else { m.blame(format!("failed: {why}")) });
            }
            () = async { if until.0 == i64::MAX { std::future::pending().await } else { self.clock.sleep_until(until).await } } => {}
            () = done => {
                if matches!(doom, Doom::Close) {
                    engine.close().await;
                    if let Some(why) = engine.failure() {
                        self.model(|m| m.blame(format!("closed, but {why}")));
                    }
                }
            }
        }
        self.last_look(&engine);
    }

    /// What anybody could see at the moment of the end must still be there afterwards.
    fn last_look(&self, engine: &Engine) {
        let catalog = engine.catalog();
        self.model(|m| {
            for stream in catalog.streams().filter(|s| actors::is_common(s)) {
                m.adopt(stream);
                for log in &stream.logs {
                    if let Ok(bounds) = engine.bounds(*log) {
                        m.bounds(*log, bounds);
                    }
                }
            }
            let gone: Vec<String> = m.streams.keys().filter(|name| catalog.stream(name).is_none()).cloned().collect();
            gone.iter().for_each(|name| m.drop_stream(name));
        });
    }

    /// Reads everything and compares.
    async fn judge(&self, stage: &Stage, faces: &Faces, ended: Ended, dice: &mut Dice) {
        let engine = &stage.engine;
        let catalog = engine.catalog();
        let shown: Vec<_> = catalog.streams().filter(|s| actors::is_common(s)).cloned().collect();
        stage.model().catalog(&catalog, actors::is_common);
        let (mut starts, mut all) = (BTreeMap::new(), BTreeMap::new());
        for log in shown.iter().flat_map(|s| s.logs.iter().copied()) {
            let Some((start, found, holes)) = read_all(stage, log, ended).await else { return };
            starts.insert(log, start);
            let mut model = stage.model();
            let Ok(bounds) = engine.bounds(log) else { continue };
            let bounds = interfluve::engine::Bounds { start: Offset(start), ..bounds };
            model.note(format!("log {log} holds {start}..{}", bounds.end));
            model.recovered(log, bounds, &found, &holes, ended);
            drop(model);
            all.insert(log, found);
        }
        keeper::judge(stage).await;
        stage.model().settle_fates(&starts);
        for stream in &shown {
            for (number, log) in stream.logs.iter().enumerate() {
                if let Some(found) = all.get(log).filter(|_| stage.model().blamed.is_empty()) {
                    equal::judge(stage, faces, stream, number as u32, found, dice).await;
                }
            }
        }
    }

    /// The little ledger, its stream made if there is none, and compared.
    async fn numbers(&self, stage: &Stage) -> Option<Ledger<Numbers>> {
        let engine = &stage.engine;
        if engine.catalog().stream(NUMBERS).is_none() {
            let create = Create {
                name: NUMBERS.into(),
                born: Born::Kafka,
                kind: Kind::Hidden,
                logs: 1,
                settings: BTreeMap::new(),
                placement: None,
                creating_ms: 0,
            };
            if !stage.model().kv.is_empty() {
                stage.model().blame("the ledger's stream is gone".into());
            }
            engine.change(vec![Change::Create(create)]).await.remove(0).ok()?;
        }
        let log = engine.catalog().stream(NUMBERS)?.logs[0];
        let model = self.model.clone();
        let mut first = true;
        let observe: interfluve::engine::ledgers::Observe<Numbers> = Box::new(move |state: &Vec<u64>, _| {
            if std::mem::take(&mut first) {
                let mut model = model.lock().unwrap_or_else(PoisonError::into_inner);
                let lost: Vec<_> =
                    model.kv.iter().filter(|(at, n)| state.get(**at) != Some(n)).map(|(at, n)| (*at, *n)).collect();
                if !lost.is_empty() || state.len() < model.kv_seen {
                    let seen = model.kv_seen;
                    model.blame(format!("the ledger has {} of {seen} numbers, without {lost:?}", state.len()));
                }
                model.kv = state.iter().copied().enumerate().collect();
                model.kv_seen = state.len();
            }
            None
        });
        match Ledger::<Numbers>::open(engine.clone(), log, (), observe, Effects::none()).await {
            Ok(ledger) => Some(ledger),
            Err(Error::LaneFailed) => None,
            Err(e) => {
                stage.model().blame(format!("the ledger cannot be opened: {e}"));
                None
            }
        }
    }

    fn model<T>(&self, act: impl FnOnce(&mut Model) -> T) -> T {
        let mut model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        model.now = self.clock.now().0;
        act(&mut model)
    }

    fn blamed(&self) -> bool {
        self.model(|m| !m.blamed.is_empty())
    }

    fn told(self) -> Told {
        let model = std::mem::take(&mut *self.model.lock().unwrap_or_else(PoisonError::into_inner));
        let Model { trace, blamed, reads, acknowledged, .. } = model;
        let _ = self.seed;
        Told { calls: self.calls, trace, blamed, reads, acknowledged }
    }
}

/// Every record of a log with its offset, from the start on, and what the engine says is damaged.
type Found = (u64, Vec<(u64, u64)>, Vec<(u64, u64)>);

async fn read_all(stage: &Stage, log: LogId, ended: Ended) -> Option<Found> {
    let engine = &stage.engine;
    let bounds = engine.bounds(log).ok()?;
    {
        let mut model = stage.model();
        if let Some(past) = model.logs.get_mut(&log)
            && (!past.strict && ended == Ended::Power || past.is_rot(bounds.end.0..past.end))
        {
            past.end = 0;
        }
        model.bounds(log, bounds);
    }
    let (mut from, mut found, mut holes) = (bounds.start, Vec::new(), Vec::new());
    loop {
        let read = Read { log, from, max_bytes: 5_000, until: Until::End };
        let fetch = Fetch { reads: vec![read], min_bytes: 0, max_bytes: 5_000, deadline: Timestamp(0) };
        let page = match engine.fetch(fetch).await.remove(0) {
            Ok(page) => page,
            Err(Error::Unreadable { .. }) if stage.disk.is_off() => return None,
            Err(Error::Corrupt { first, end }) => {
                stage.model().note(format!("log {log}: {first}..{end} is damaged"));
                holes.push((first.0, end.0));
                from = end;
                continue;
            }
            // Retention or a failure came between; there is another judgement after the next start.
            Err(Error::OutOfRange(now)) if now.start > from => {
                found.retain(|(offset, _)| *offset >= now.start.0);
                from = from.max(now.start);
                continue;
            }
            Err(e) => {
                stage.model().blame(format!("log {log}: reading at {from}: {e}"));
                return None;
            }
        };
        let mut model = stage.model();
        for stored in &page.batches {
            let (base, count) = actors::open(&mut model, log, &stored.bytes);
            for offset in base.max(bounds.start.0)..base + count {
                if let Some(id) = model.logs.get(&log).and_then(|past| past.known.get(&offset)) {
                    found.push((offset, *id));
                }
            }
            from = Offset(base + count);
        }
        if page.batches.is_empty() || !model.blamed.is_empty() {
            let start = page.bounds.start.0;
            found.retain(|(offset, _)| *offset >= start);
            return Some((start, found, holes));
        }
    }
}

/// Small enough that everything that happens seldom happens often.
fn options(dice: &mut Dice, deed: Option<Deed>) -> Options {
    let settle_bytes = dice.range(500, 6_000);
    let plain = Options {
        lane: lane::Limits {
            settle_bytes,
            // One world in three packs nothing, the others what is small, or all that is not due; some only many at once.
            pack_bytes: settle_bytes * (settle_bytes % 3) / 2,
            pack_logs: 1 + settle_bytes as usize / 3 % 3,
            unsettled_bytes: dice.range(8_000, 60_000),
            journal_bytes: dice.range(10_000, 80_000),
            tail_bytes: dice.range(1_000, 30_000),
            // More than there are: what a producer wrote is never forgotten in a world.
            producers: 1_000,
        },
        journal_file_bytes: dice.range(8, 32) << 10,
        journal_spare_files: dice.below(3) as usize,
        open_files_limit: dice.range(4, 40) as usize,
        fetch_disk_limit_bytes: dice.range(1, 100_000) as usize,
        reserve_free_bytes: trouble::RESERVE_BYTES,
        maintenance_ms: dice.range(20, 400) as i64,
        ledger_snapshot_bytes: dice.range(500, 6_000),
        segment_limit_bytes: dice.range(1_000, 20_000),
        compaction: compact::Options {
            backoff_ms: dice.range(10, 300) as i64,
            // Seldom room for all keys.
            keys_bytes: dice.range(1, 1_000) as usize,
            ..compact::Options::default()
        },
        ..Options::default()
    };
    let limits = |settle_bytes, unsettled_bytes, journal_bytes| lane::Limits {
        settle_bytes,
        unsettled_bytes,
        journal_bytes,
        ..plain.lane.clone()
    };
    match deed {
        Some(Deed::Append) => Options { lane: limits(1 << 30, 1 << 31, 1 << 30), ..plain },
        Some(Deed::Settle | Deed::Retention) => Options {
            lane: limits(200, 4_000, 10_000),
            segment_limit_bytes: 1_000,
            maintenance_ms: 20,
            ledger_snapshot_bytes: 1 << 20,
            ..plain
        },
        Some(Deed::Catalog) => Options { ledger_snapshot_bytes: 1_000, ..plain },
        None => plain,
    }
}
