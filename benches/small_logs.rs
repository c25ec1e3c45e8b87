//! What very many small logs cost: files, space, syncs, memory, CPU, and what producers feel meanwhile. A child process
//! appends to all logs in turn, is killed, and the directory is opened again, read and checked. Prints figures and asserts
//! nothing about time; what was acknowledged must be there again.
//!
//! Run: `cargo bench --bench small_logs -- [--logs 100000] [--rounds 5] [--bytes 1024] [--seconds 150] [--dir DIR]`
//! (needs about 4 GiB in DIR, the system's directory for temporary files if it is not said). As a test it does little,
//! once.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use interfluve::chance::Chance;
use interfluve::clock::Clock;
use interfluve::engine::catalog::{Born, Create, Kind};
use interfluve::engine::lane::Limits;
use interfluve::engine::{Change, Changed, Driver, Engine, Fetch, Group, Options, Origin, Part, Permit, Read, Until};
use interfluve::engine::{Receipt, check};
use interfluve::ids::{LogId, Offset, Timestamp};
use interfluve::record::batch::Batch;
use interfluve::record::build::{Builder, NewRecord};
use interfluve::record::compress::Codec;
use interfluve::store::os::OsDisk;
use interfluve::store::{Disk, File, Open};

/// Logs of one stream.
const STREAM_LOGS: usize = 100;
/// Appends that wait for their acknowledgement at once.
const WINDOW: usize = 1_000;
/// Of so many logs every record is read again.
const SAMPLE: usize = 1_000;

#[derive(Clone)]
struct Settings {
    logs: usize,
    rounds: usize,
    bytes: usize,
    seconds: u64,
    dir: PathBuf,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| arguments.iter().position(|a| a == name).and_then(|at| arguments.get(at + 1)).cloned();
    let number = |name: &str, or: usize| value(name).map_or(or, |v| v.parse().expect("a number"));
    let (logs, rounds, seconds) = match arguments.iter().any(|a| a == "--bench" || a == "--role") {
        true => (100_000, 5, 150),
        false => (200, 2, 10),
    };
    let settings = Settings {
        logs: number("--logs", logs),
        rounds: number("--rounds", rounds),
        bytes: number("--bytes", 1024),
        seconds: number("--seconds", seconds) as u64,
        dir: value("--dir").map_or_else(std::env::temp_dir, PathBuf::from),
    };
    let role = value("--role");
    let work = async {
        match role.as_deref() {
            None => whole(&settings),
            Some("load") => load(&settings).await,
            Some("open") => open_again(&settings).await,
            Some(other) => panic!("no such role: {other}"),
        }
    };
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(work);
}

/// The parent: a child that loads and is killed, one that opens what it left, the check, and what stands on disk.
fn whole(settings: &Settings) {
    let dir = settings.dir.join(format!("small-logs-{}", std::process::id()));
    fs::create_dir(&dir).expect("a new directory");
    let inner = Settings { dir: dir.join("data"), ..settings.clone() };
    fs::create_dir(&inner.dir).expect("a new directory");
    println!(
        "{} logs, at most {} rounds of one batch of {} bytes for each, at most {} s of them",
        inner.logs, inner.rounds, inner.bytes, inner.seconds
    );
    let told = child(&inner, "load", true);
    let batches: usize = told.get("acknowledged").and_then(|v| v.parse().ok()).expect("the child says how many");
    on_disk(&inner.dir, (batches * inner.bytes) as u64);
    child(&inner, "open", false);
    let (began, cpu) = (Instant::now(), cpu_of(Path::new("/proc/self/stat")));
    let disk: Arc<dyn Disk> = Arc::new(OsDisk::new(&inner.dir));
    let report = check::check(&disk, &mut |_| ()).expect("the directory can be checked");
    for finding in report.findings.iter().take(5) {
        println!("  {finding:?}");
    }
    println!(
        "check: {:.2} s, {:.2} CPU-s, {} batches in {} segments, {} findings",
        began.elapsed().as_secs_f64(),
        cpu_of(Path::new("/proc/self/stat")) - cpu,
        report.batches,
        report.segments,
        report.findings.len()
    );
    assert_eq!(report.damages(), 0, "what was acknowledged is sound");
    let began = Instant::now();
    fs::remove_dir_all(&dir).expect("the directory is ours");
    println!("removed in {:.2} s", began.elapsed().as_secs_f64());
}

/// Runs this program in a role; what it said as `key=value`. `kill`: until it says it is ready, then it is killed.
fn child(settings: &Settings, role: &str, kill: bool) -> BTreeMap<String, String> {
    let mut command = Command::new(std::env::current_exe().expect("this program has a name"));
    command.args(["--role", role, "--dir"]).arg(&settings.dir);
    for (name, value) in [("--logs", settings.logs), ("--rounds", settings.rounds), ("--bytes", settings.bytes)] {
        command.args([name, &value.to_string()]);
    }
    command.args(["--seconds", &settings.seconds.to_string()]).stdout(Stdio::piped());
    let mut child = command.spawn().expect("a child");
    let mut told = BTreeMap::new();
    for line in BufReader::new(child.stdout.take().expect("it is piped")).lines() {
        let line = line.expect("text");
        if line == "ready" && kill {
            child.kill().expect("it is killed");
            break;
        }
        match line.split_once('=') {
            Some((key, value)) => drop(told.insert(key.to_owned(), value.to_owned())),
            None => println!("{line}"),
        }
    }
    let ended = child.wait().expect("its end");
    assert!(kill || ended.success(), "the child failed");
    told
}

async fn opened(settings: &Settings) -> (Arc<Engine>, Arc<Counts>, Duration) {
    let counts = Arc::new(Counts::default());
    let disk = Arc::new(Counted { disk: OsDisk::new(&settings.dir), counts: counts.clone() });
    let began = Instant::now();
    let opened = Engine::open(options(), disk, Clock::System, Chance::System, Driver::Threads).await;
    (opened.expect("the engine opens").0, counts, began.elapsed())
}

/// As a server has it that was told nothing (docs/configuration.md).
fn options() -> Options {
    let options = Options::default();
    let lane = Limits { unsettled_bytes: 96 << 20, journal_bytes: 160 << 20, ..options.lane };
    Options { lane, ..options }
}

async fn load(settings: &Settings) {
    let (engine, counts, _) = opened(settings).await;
    let began = Instant::now();
    let mut logs: Vec<LogId> = Vec::new();
    while logs.len() < settings.logs {
        let creates = (0..50).map_while(|n| {
            let from = logs.len() + n * STREAM_LOGS;
            (from < settings.logs).then(|| stream(from, (settings.logs - from).min(STREAM_LOGS)))
        });
        for changed in engine.change(creates.collect()).await {
            match changed {
                Ok(Changed::Created(stream)) => logs.extend(stream.logs.iter()),
                other => panic!("a stream was not created: {other:?}"),
            }
        }
    }
    println!("created in {:.2} s; RSS {:.0} MiB", began.elapsed().as_secs_f64(), rss_mib());
    let limit = Instant::now() + Duration::from_secs(settings.seconds);
    let batch = batch_of(settings.bytes);
    let (mut acknowledged, mut before) = (0, Figures::now(&counts));
    for round in 0..settings.rounds {
        let began = Instant::now();
        let mut waiting: VecDeque<(Instant, Receipt)> = VecDeque::new();
        let mut took: Vec<Duration> = Vec::with_capacity(logs.len());
        for log in &logs {
            if Instant::now() > limit {
                break;
            }
            if waiting.len() >= WINDOW {
                took.push(answered(waiting.pop_front()).await);
            }
            let group = Group { parts: vec![Part::new(*log, batch.clone())], origin: Origin::Client };
            waiting.push_back((Instant::now(), engine.append(group, Permit::default())));
        }
        while !waiting.is_empty() {
            took.push(answered(waiting.pop_front()).await);
        }
        acknowledged += took.len();
        let seconds = began.elapsed().as_secs_f64();
        took.sort_unstable();
        let at = |share: f64| took.get((took.len() as f64 * share) as usize).or(took.last()).map_or(0.0, ms);
        let now = Figures::now(&counts);
        println!(
            "round {}: {} batches in {seconds:.2} s, {:.0} a second; ms p50 {:.1} p99 {:.1} max {:.1}; {}",
            round + 1,
            took.len(),
            took.len() as f64 / seconds,
            at(0.5),
            at(0.99),
            at(1.0),
            now.since(&before)
        );
        before = now;
        if Instant::now() > limit {
            println!("stopped: its time was over");
            break;
        }
    }
    println!("acknowledged={acknowledged}");
    println!("ready");
    tokio::time::sleep(Duration::from_secs(3600)).await;
}

async fn answered(one: Option<(Instant, Receipt)>) -> Duration {
    let (sent, receipt) = one.expect("there is one");
    receipt.await.expect("it is acknowledged");
    sent.elapsed()
}

/// Opens what was killed; reads a sample of the logs whole, and stops in good order.
async fn open_again(settings: &Settings) {
    let (engine, counts, took) = opened(settings).await;
    println!("opened after kill -9 in {:.0} ms; RSS {:.0} MiB; {} files opened", ms(&took), rss_mib(), counts.opens());
    let logs: Vec<LogId> = engine.catalog().streams().flat_map(|s| s.logs.to_vec()).collect();
    let (began, opens) = (Instant::now(), counts.opens());
    let (mut records, mut read) = (0usize, 0usize);
    for log in logs.iter().step_by((logs.len() / SAMPLE).max(1)) {
        let bounds = engine.bounds(*log).expect("the log is there");
        let mut from = bounds.start;
        while from < bounds.end {
            let part = Read { log: *log, from, max_bytes: 1 << 20, until: Until::End };
            let want = Fetch { reads: vec![part], min_bytes: 0, max_bytes: 1 << 20, deadline: Timestamp(0) };
            let page = engine.fetch(want).await.remove(0).expect("it can be read");
            assert!(!page.batches.is_empty(), "log {log} has a hole at {from}");
            from = Offset(from.0 + page.batches.len() as u64);
            records += page.batches.len();
        }
        read += 1;
    }
    println!(
        "read {records} records of {read} logs in {:.2} s; {} files opened; RSS {:.0} MiB",
        began.elapsed().as_secs_f64(),
        counts.opens() - opens,
        rss_mib()
    );
    let began = Instant::now();
    engine.close().await;
    println!("stopped in {:.2} s", began.elapsed().as_secs_f64());
    let began = Instant::now();
    drop(engine);
    let (engine, _, took) = opened(settings).await;
    println!("opened after a clean stop in {:.0} ms (after {:.1} s)", ms(&took), began.elapsed().as_secs_f64());
    engine.close().await;
}

fn stream(from: usize, logs: usize) -> Change {
    Change::Create(Create {
        name: format!("s{from}").as_str().into(),
        born: Born::Kafka,
        kind: Kind::Client,
        logs: logs as u32,
        settings: BTreeMap::new(),
        placement: None,
        creating_ms: 0,
    })
}

fn batch_of(bytes: usize) -> Batch {
    let mut builder = Builder::new(Codec::None);
    let value = vec![b'v'; bytes.saturating_sub(80)];
    // Of today, or retention would give it up at once.
    builder.push(&NewRecord { timestamp: Clock::System.now(), key: Some(b"key"), value: Some(&value), headers: &[] });
    builder.finish()
}

/// What stands in a directory: files, inodes, space.
fn on_disk(dir: &Path, payload: u64) {
    let (mut files, mut dirs, mut taken) = (BTreeMap::new(), 0, 0);
    let mut left = vec![dir.to_owned()];
    while let Some(dir) = left.pop() {
        dirs += 1;
        for entry in fs::read_dir(&dir).expect("a directory") {
            let entry = entry.expect("an entry");
            let meta = entry.metadata().expect("its length");
            taken += meta.blocks() * 512;
            if meta.is_dir() {
                left.push(entry.path());
            } else {
                let kind = entry.path().extension().map_or("other".into(), |e| e.to_string_lossy().into_owned());
                let kind: &mut (u64, u64) = files.entry(kind).or_default();
                *kind = (kind.0 + 1, kind.1 + meta.blocks() * 512);
            }
        }
    }
    let count: u64 = files.values().map(|(n, _)| n).sum();
    println!(
        "on disk: {count} files in {dirs} directories, {:.0} MiB = {:.2} bytes for each of {:.0} MiB acknowledged",
        mib(taken),
        taken as f64 / payload as f64,
        mib(payload)
    );
    let kinds = files.iter().map(|(kind, (n, bytes))| format!("{n} {kind} with {:.1} MiB", mib(*bytes)));
    println!("  {}", kinds.collect::<Vec<_>>().join(", "));
}

/// What a process has used up to a moment.
struct Figures {
    cpu: f64,
    settler: f64,
    lane: f64,
    syncs: u64,
    dir_syncs: u64,
    written: u64,
}

impl Figures {
    fn now(counts: &Counts) -> Figures {
        let (mut settler, mut lane) = (0.0, 0.0);
        for task in fs::read_dir("/proc/self/task").expect("threads").flatten() {
            let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
            match name.trim() {
                "settler" => settler = cpu_of(&task.path().join("stat")),
                "lane" => lane = cpu_of(&task.path().join("stat")),
                _ => {}
            }
        }
        Figures {
            cpu: cpu_of(Path::new("/proc/self/stat")),
            settler,
            lane,
            syncs: counts.syncs.load(Relaxed),
            dir_syncs: counts.dir_syncs.load(Relaxed),
            written: counts.written.load(Relaxed),
        }
    }

    fn since(&self, before: &Figures) -> String {
        format!(
            "CPU-s {:.2} (lane {:.2}, settler {:.2}); {} syncs of files, {} of directories; {:.0} MiB written; RSS {:.0} \
             MiB; {} files open",
            self.cpu - before.cpu,
            self.lane - before.lane,
            self.settler - before.settler,
            self.syncs - before.syncs,
            self.dir_syncs - before.dir_syncs,
            mib(self.written - before.written),
            rss_mib(),
            fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
        )
    }
}

/// Seconds of CPU; the kernel counts hundredths.
fn cpu_of(stat: &Path) -> f64 {
    let text = fs::read_to_string(stat).unwrap_or_default();
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|f| f.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn rss_mib() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap_or("");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

fn ms(took: &Duration) -> f64 {
    took.as_secs_f64() * 1000.0
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[derive(Default)]
struct Counts {
    syncs: AtomicU64,
    dir_syncs: AtomicU64,
    opened: AtomicU64,
    written: AtomicU64,
}

impl Counts {
    fn opens(&self) -> u64 {
        self.opened.load(Relaxed)
    }
}

/// The real disk, whose calls are counted.
struct Counted {
    disk: OsDisk,
    counts: Arc<Counts>,
}

impl Disk for Counted {
    fn open(&self, name: &str, how: Open) -> io::Result<Arc<dyn File>> {
        self.counts.opened.fetch_add(1, Relaxed);
        Ok(Arc::new(CountedFile { file: self.disk.open(name, how)?, counts: self.counts.clone() }))
    }

    fn create_dir_all(&self, name: &str) -> io::Result<()> {
        self.disk.create_dir_all(name)
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.counts.dir_syncs.fetch_add(1, Relaxed);
        self.disk.sync_dir(dir)
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.disk.free_bytes()
    }

    fn total_bytes(&self) -> io::Result<u64> {
        self.disk.total_bytes()
    }
}

struct CountedFile {
    file: Arc<dyn File>,
    counts: Arc<Counts>,
}

impl File for CountedFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.file.read_at(buf, at)
    }

    fn write_at(&self, slices: &[&[u8]], at: u64) -> io::Result<()> {
        self.counts.written.fetch_add(slices.iter().map(|s| s.len() as u64).sum(), Relaxed);
        self.file.write_at(slices, at)
    }

    fn sync(&self) -> io::Result<()> {
        self.counts.syncs.fetch_add(1, Relaxed);
        self.file.sync()
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.file.allocate(bytes)
    }

    fn reread(&self, from: u64) -> io::Result<()> {
        self.file.reread(from)
    }

    fn write_blocks(&self, blocks: &[u8], at: u64) -> io::Result<()> {
        self.counts.written.fetch_add(blocks.len() as u64, Relaxed);
        self.file.write_blocks(blocks, at)
    }

    fn read_blocks(&self, blocks: &mut [u8], at: u64) -> io::Result<usize> {
        self.file.read_blocks(blocks, at)
    }
}
