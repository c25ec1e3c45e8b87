//! What the server counts, each metric once: name, type and help stand beside the atomic that is counted up. Rendered as
//! Prometheus text (exposition format 0.0.4), served with the two health answers by [`router`].
//!
//! Counting is one relaxed atomic (one read lock more where a label chooses the counter) and never waits. Nothing here
//! decides anything: no behaviour may depend on a metric. No clock: durations are handed in.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::http::{StatusCode, header::CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::get;

macro_rules! metrics {
    ($($(#[$doc:meta])* $id:ident: $type:ty = $name:literal, $help:literal;)*) => {
        $($(#[$doc])* pub static $id: $type = <$type>::new();)*

        /// Every metric that is counted: (name, help, the counter).
        static ALL: &[(&str, &str, &(dyn Metric + Sync))] = &[$(($name, $help, &$id)),*];
    };
}

metrics! {
    CONNECTIONS: By<Gauge> = "interfluve_connections{face}",
        "Open connections.";
    CONNECTIONS_OPENED: By<Counter> = "interfluve_connections_opened_total{face}",
        "Connections accepted since the start.";
    CONNECTIONS_REFUSED: By<Counter> = "interfluve_connections_refused_total{reason}",
        "Connections closed by us: too many, a foreign protocol, a malformed or oversized frame.";
    ACCEPT_FAILURES: By<Counter> = "interfluve_accept_failures_total{face}",
        "Times the system refused to hand over the next connection, mostly for want of file descriptors.";
    PANICS: By<Counter> = "interfluve_panics_total{face}",
        "Requests that panicked: a bug of ours, logged with its request. Nobody else was hurt.";
    KAFKA_REQUESTS: By<Counter> = "interfluve_kafka_requests_total{api}",
        "Requests of Kafka clients that were read, by API.";
    KAFKA_RECEIVED_BYTES: Counter = "interfluve_kafka_received_bytes_total",
        "Bytes of requests of Kafka clients.";
    KAFKA_SENT_BYTES: Counter = "interfluve_kafka_sent_bytes_total",
        "Bytes of answers to Kafka clients.";
    AWS_REQUESTS: By<Counter> = "interfluve_aws_requests_total{operation}",
        "Requests of AWS SDKs, by operation.";
    AWS_ERRORS: By<Counter> = "interfluve_aws_errors_total{error}",
        "Requests of AWS SDKs that were answered with an error, by error.";
    AWS_OVER_LIMIT: By<Counter> = "interfluve_aws_over_limit_total{limit}",
        "Records and calls over a limit that AWS has for each shard; refused only where limits are enforced.";
    KINESIS_ANSWER_BYTES: Gauge = "interfluve_kinesis_answer_bytes",
        "Memory of answers to GetRecords that have not been sent yet.";
    KINESIS_ANSWERS_REFUSED: Counter = "interfluve_kinesis_answers_refused_total",
        "GetRecords calls refused because kinesis.answers.limit.bytes was in use.";
    SKIPPED_RECORDS: By<Counter> = "interfluve_skipped_records_total{reason}",
        "Records that exist and could not be shown to a reader of one face.";
    APPENDED_RECORDS: Counter = "interfluve_appended_records_total",
        "Records that got their place in a log.";
    APPENDED_BYTES: Counter = "interfluve_appended_bytes_total",
        "Bytes of the batches that got their place in a log.";
    FETCHED_BYTES: Counter = "interfluve_fetched_bytes_total",
        "Bytes of the batches handed to readers.";
    DISK_READ_BYTES: Counter = "interfluve_disk_read_bytes_total",
        "Bytes of batches that readers needed and that were no longer in memory.";
    JOURNAL_BYTES: Counter = "interfluve_journal_bytes_total",
        "Bytes written to the journal.";
    SYNCS: Counter = "interfluve_syncs_total",
        "Syncs of the journal.";
    SYNC_SECONDS: Histogram = "interfluve_sync_seconds",
        "How long a sync of the journal took.";
    SETTLED_BYTES: Counter = "interfluve_settled_bytes_total",
        "Bytes moved from the journal into segments and packs.";
    PACKED_BYTES: Counter = "interfluve_packed_bytes_total",
        "Of these, bytes of small logs that went into packs.";
    MERGED_BYTES: Counter = "interfluve_merged_bytes_total",
        "Bytes of packs that were made of older packs.";
    LIFTED_BYTES: Counter = "interfluve_lifted_bytes_total",
        "Bytes moved out of packs into segments, because their logs had become larger.";
    PACKS: Gauge = "interfluve_packs",
        "Files that small logs share.";
    UNSETTLED_BYTES: Gauge = "interfluve_unsettled_bytes",
        "Bytes in the journal that are not yet in segments.";
    TAIL_BYTES: Gauge = "interfluve_tail_bytes",
        "Memory that holds the newest records of all logs.";
    INGRESS_BYTES: Gauge = "interfluve_ingress_bytes",
        "Memory of requests that have arrived and are not answered.";
    STREAMS: Gauge = "interfluve_streams",
        "Streams in the catalog.";
    LOGS: Gauge = "interfluve_logs",
        "Logs in the catalog.";
    GIVEN_UP_SEGMENTS: Counter = "interfluve_given_up_segments_total",
        "Segments removed because their records were given up, by retention or on request.";
    COMPACTIONS: Counter = "interfluve_compactions_total",
        "Rounds of compaction that were finished, one log each.";
    COMPACTED_BYTES: Counter = "interfluve_compacted_bytes_total",
        "Bytes of segments that were read to be compacted.";
    UNCOMPACTABLE_LOGS: Counter = "interfluve_uncompactable_logs_total",
        "Logs that are not compacted until the next start, because something in them is damaged.";
    PRODUCERS: Gauge = "interfluve_producers",
        "Idempotent producers remembered, counted once for each log they wrote to.";
    FORGOTTEN_PRODUCERS: Counter = "interfluve_forgotten_producers_total",
        "Producers forgotten because there were more than producers.limit.";
    SWEPT_FILES: Counter = "interfluve_swept_files_total",
        "Files removed at the start that a removal before it had been cut short of.";
    DAMAGED_BATCHES: Counter = "interfluve_damaged_batches_total",
        "Stored batches that no longer match their checksum and are withheld.";
    REBUILT_ENTRIES: Counter = "interfluve_rebuilt_entries_total",
        "Damaged entries of sidecars whose batches are found by their own headers; times of arrival are lost.";
    FULL: Counter = "interfluve_refused_full_total",
        "Groups refused because the disk was full.";
}

/// Something that can be rendered.
pub trait Metric {
    /// Prometheus' word for it.
    fn kind(&self) -> &'static str;
    /// Lines of samples; `label` names the label of a family.
    fn render(&self, name: &str, label: &str, out: &mut String);
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub const fn new() -> Counter {
        Counter(AtomicU64::new(0))
    }

    pub fn inc(&self) {
        self.add(1);
    }

    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Metric for Counter {
    fn kind(&self) -> &'static str {
        "counter"
    }

    fn render(&self, name: &str, label: &str, out: &mut String) {
        sample(out, name, label, self.value());
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    pub const fn new() -> Gauge {
        Gauge(AtomicI64::new(0))
    }

    pub fn add(&self, more: i64) {
        self.0.fetch_add(more, Relaxed);
    }

    pub fn set(&self, to: i64) {
        self.0.store(to, Relaxed);
    }

    pub fn value(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

impl Metric for Gauge {
    fn kind(&self) -> &'static str {
        "gauge"
    }

    fn render(&self, name: &str, label: &str, out: &mut String) {
        sample(out, name, label, self.value());
    }
}

/// One metric per value of a label. Values are names out of our own code, so their number is bounded.
#[derive(Debug, Default)]
pub struct By<M>(RwLock<BTreeMap<&'static str, Arc<M>>>);

impl<M: Default> By<M> {
    pub const fn new() -> By<M> {
        By(RwLock::new(BTreeMap::new()))
    }

    /// The metric of one value; keep it where it is used often.
    pub fn of(&self, value: &'static str) -> Arc<M> {
        if let Some(metric) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(value) {
            return metric.clone();
        }
        self.0.write().unwrap_or_else(PoisonError::into_inner).entry(value).or_default().clone()
    }
}

impl<M: Metric + Default> Metric for By<M> {
    fn kind(&self) -> &'static str {
        M::default().kind()
    }

    fn render(&self, name: &str, label: &str, out: &mut String) {
        for (value, metric) in self.0.read().unwrap_or_else(PoisonError::into_inner).iter() {
            metric.render(name, &format!("{{{label}=\"{value}\"}}"), out);
        }
    }
}

/// Upper bounds of a histogram's buckets, in microseconds: doubling from 50 µs to 26 s.
const BOUNDS_US: [u64; 20] = {
    let mut bounds = [50; 20];
    let mut at = 1;
    while at < 20 {
        bounds[at] = bounds[at - 1] * 2;
        at += 1;
    }
    bounds
};

/// Durations, in buckets.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; 21],
    sum_us: AtomicU64,
}

impl Histogram {
    pub const fn new() -> Histogram {
        Histogram { buckets: [const { AtomicU64::new(0) }; 21], sum_us: AtomicU64::new(0) }
    }

    pub fn observe_us(&self, us: u64) {
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        self.buckets[bucket].fetch_add(1, Relaxed);
        self.sum_us.fetch_add(us, Relaxed);
    }
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram::new()
    }
}

impl Metric for Histogram {
    fn kind(&self) -> &'static str {
        "histogram"
    }

    fn render(&self, name: &str, _label: &str, out: &mut String) {
        let mut count = 0;
        for (bucket, bound) in self.buckets.iter().zip(BOUNDS_US) {
            count += bucket.load(Relaxed);
            sample(out, name, &format!("_bucket{{le=\"{}\"}}", seconds(bound)), count);
        }
        count += self.buckets[BOUNDS_US.len()].load(Relaxed);
        sample(out, name, "_bucket{le=\"+Inf\"}", count);
        sample(out, name, "_sum", seconds(self.sum_us.load(Relaxed)));
        sample(out, name, "_count", count);
    }
}

fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

fn sample(out: &mut String, name: &str, label: &str, value: impl std::fmt::Display) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{name}{label} {value}");
}

/// `interfluve_x{label}` as it is declared, taken apart.
fn parts(declared: &'static str) -> (&'static str, &'static str) {
    declared.trim_end_matches('}').split_once('{').unwrap_or((declared, ""))
}

/// All metrics, as Prometheus reads them.
pub fn render() -> String {
    let mut out = String::with_capacity(8 << 10);
    for (declared, help, metric) in ALL {
        let (name, label) = parts(declared);
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {}", metric.kind());
        metric.render(name, label, &mut out);
    }
    let version = env!("CARGO_PKG_VERSION");
    for (name, kind, help, value) in process() {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
    }
    let _ = writeln!(out, "# HELP {BUILD} {BUILD_HELP}\n# TYPE {BUILD} gauge\n{BUILD}{{version=\"{version}\"}} 1");
    out
}

const BUILD: &str = "interfluve_build_info";
const BUILD_HELP: &str = "The version that runs; always 1.";

type ProcessSample = (&'static str, &'static str, &'static str, f64);

/// What the system knows about this process; what it does not tell is 0.
fn process() -> [ProcessSample; 6] {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let stat = read("/proc/self/stat");
    // The second field is the program's name in brackets and may hold spaces; the third follows the last bracket.
    let fields: Vec<f64> = stat
        .rsplit_once(") ")
        .map(|(_, rest)| rest.split(' ').map(|field| field.parse().unwrap_or(0.0)).collect())
        .unwrap_or_default();
    let field = |number: usize| fields.get(number - 3).copied().unwrap_or(0.0);
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    let booted = read("/proc/stat")
        .lines()
        .find_map(|line| line.strip_prefix("btime ")?.trim().parse::<f64>().ok())
        .unwrap_or(0.0);
    let open = std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count());
    [
        ("process_cpu_seconds_total", "counter", "User and system time.", (field(14) + field(15)) / ticks),
        ("process_open_fds", "gauge", "Open file descriptors.", open as f64),
        (
            "process_resident_memory_bytes",
            "gauge",
            "Memory that is in use.",
            field(24) * rustix::param::page_size() as f64,
        ),
        ("process_virtual_memory_bytes", "gauge", "Memory that is mapped.", field(23)),
        ("process_threads", "gauge", "Threads.", field(20)),
        ("process_start_time_seconds", "gauge", "When the process began.", booted + field(22) / ticks),
    ]
}

/// The reference page of all metrics, `docs/metrics.md`.
pub fn reference() -> String {
    let mut page = String::from(
        "# Metrics\n\nServed as Prometheus text at `/metrics`, on the AWS address or on `metrics.listen`. This page is \
         generated (`UPDATE_DOCS=1 cargo test --test tidy`).\n\n| name | type | label | meaning |\n|---|---|---|---|\n",
    );
    for (declared, help, metric) in ALL {
        let (name, label) = parts(declared);
        let _ = writeln!(page, "| `{name}` | {} | {label} | {help} |", metric.kind());
    }
    for (name, kind, help, _) in process() {
        let _ = writeln!(page, "| `{name}` | {kind} | | {help} |");
    }
    let _ = writeln!(page, "| `{BUILD}` | gauge | version | {BUILD_HELP} |");
    page
}

/// How far the server is in its life.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<AtomicU8>);

const READY: u8 = 1;
const STOPPING: u8 = 2;

impl Health {
    /// Recovered and listening.
    pub fn ready(&self) {
        self.0.store(READY, Relaxed);
    }

    pub fn stopping(&self) {
        self.0.store(STOPPING, Relaxed);
    }

    fn answer(&self) -> (StatusCode, &'static str) {
        match self.0.load(Relaxed) {
            READY => (StatusCode::OK, "ready\n"),
            STOPPING => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
            _ => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        }
    }
}

/// `/metrics`, `/healthz` (the process answers) and `/readyz` (it serves clients). `look` is called before metrics are
/// rendered, for those that are looked up and not counted.
pub fn router(health: Health, look: impl Fn() + Clone + Send + Sync + 'static) -> Router {
    let text = |body: String| ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], body).into_response();
    Router::new()
        .route(
            "/metrics",
            get(move || async move {
                look();
                text(render())
            }),
        )
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(move || async move { health.answer() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn rendered(metric: &impl Metric, label: &str) -> String {
        let mut out = String::new();
        metric.render("x", label, &mut out);
        out
    }

    #[test]
    fn names_follow_the_rules_and_are_distinct() {
        let mut names = BTreeSet::new();
        for (declared, help, metric) in ALL {
            let (name, _) = parts(declared);
            assert!(names.insert(name), "{name} is declared twice");
            assert!(name.starts_with("interfluve_") && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
            assert_eq!(metric.kind() == "counter", name.ends_with("_total"), "{name}");
            assert!(help.ends_with('.'), "{name}");
        }
    }

    #[test]
    fn a_family_has_one_line_per_label_in_order() {
        let family: By<Counter> = By::new();
        family.of("b").add(2);
        family.of("a").inc();
        family.of("b").inc();
        assert_eq!(rendered(&family, "l"), "x{l=\"a\"} 1\nx{l=\"b\"} 3\n");
    }

    #[test]
    fn a_histogram_counts_up_to_each_bound() {
        let times = Histogram::new();
        for us in [1, 50, 51, 30_000_000] {
            times.observe_us(us);
        }
        let text = rendered(&times, "");
        for line in ["x_bucket{le=\"0.00005\"} 2", "x_bucket{le=\"0.0001\"} 3", "x_bucket{le=\"+Inf\"} 4", "x_count 4"]
        {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }

    #[test]
    fn every_sample_follows_its_type() {
        let text = render();
        let typed: BTreeSet<&str> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap_or("");
            let base = ["_bucket", "_sum", "_count"].iter().fold(name, |name, end| name.trim_end_matches(end));
            assert!(typed.contains(base) || typed.contains(name), "{line}");
        }
    }

    #[test]
    fn the_process_tells_its_memory() {
        let memory = process().into_iter().find(|(name, ..)| *name == "process_resident_memory_bytes");
        assert!(memory.is_some_and(|(.., bytes)| bytes > 100_000.0), "{memory:?}");
    }

    #[test]
    fn health_is_starting_then_ready_then_stopping() {
        let health = Health::default();
        let mut seen = vec![health.answer().0];
        health.ready();
        seen.push(health.answer().0);
        health.stopping();
        seen.push(health.answer().0);
        assert_eq!(seen, [StatusCode::SERVICE_UNAVAILABLE, StatusCode::OK, StatusCode::SERVICE_UNAVAILABLE]);
    }
}
