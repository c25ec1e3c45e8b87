//! The server's life: it takes the data directory, opens the engine, starts the façades, waits for a signal and stops them
//! in order. The only module that knows every façade.
//!
//! No request is handled here, and nothing here outlives a restart except the data directory's mark and lock.

pub mod backup;
pub mod check;
pub mod place;
pub mod screen;
pub mod stop;

use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Weak};

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinSet};

use crate::aws::door::{self, Caller, Door};
use crate::chance::Chance;
use crate::cli::{FAILED, USAGE};
use crate::clock::Clock;
use crate::config::server::{DataDir, Protocol, ServerSettings};
use crate::engine::catalog::Kind;
use crate::engine::open::Recovery;
use crate::engine::{self, Driver, Engine};
use crate::kafka::group::{self, coordinator::Coordinator};
use crate::kinesis::{self, Kinesis};
use crate::metrics::{self, Health};
use crate::store::Disk;
use crate::store::memory::MemDisk;
use crate::store::os::OsDisk;
use crate::{kafka, trace};
use place::Place;
use screen::{Recovered, Started};
use stop::Stop;

/// Most worker threads that are started unless the configuration asks for more.
const WORKERS_MAX: usize = 8;
/// Most threads that wait for the disk on behalf of readers.
const READERS_MAX: usize = 64;

/// Runs the server until it is told to stop; the exit code of the process.
pub fn run(settings: ServerSettings, ready_json: bool) -> ExitCode {
    if let Err(text) = trace::begin(settings.log_format, &settings.log_level) {
        eprintln!("interfluve: {text}");
        return ExitCode::from(USAGE);
    }
    let processors = std::thread::available_parallelism().map_or(1, |count| count.get());
    let workers = match settings.worker_threads {
        0 => processors.min(WORKERS_MAX),
        asked => asked,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers)
        .max_blocking_threads(READERS_MAX)
        .enable_all()
        .build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(live(settings, ready_json)),
        Err(error) => Err(format!("cannot start {workers} threads: {error}")),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("interfluve: {text}");
            ExitCode::from(FAILED)
        }
    }
}

/// The whole life; the error is for the person who started it.
async fn live(settings: ServerSettings, ready_json: bool) -> Result<(), String> {
    let clock = Clock::System;
    let chance = Chance::System;
    let (stopper, stop) = stop::listen().map_err(|error| format!("cannot listen for signals: {error}"))?;
    let (place, disk, cluster_id): (_, Arc<dyn Disk>, _) = match &settings.data_dir {
        DataDir::Memory => (None, Arc::new(MemDisk::new()), place::cluster_id(chance.draw_u128())),
        DataDir::Directory(dir) => {
            let place = Place::take(dir, chance.draw_u128()).map_err(|error| error.to_string())?;
            let disk = OsDisk::new(&place.dir).past_cache(settings.disk_direct_io);
            let cluster_id = place.cluster_id.clone();
            (Some(place), Arc::new(disk), cluster_id)
        }
    };
    // Sockets first: a port that is taken is found before a long recovery, and clients that come early wait in line.
    let sockets = Sockets::bind(&settings).await?;
    let opened = Engine::open(engine_options(&settings), disk, clock, chance, Driver::Threads).await;
    let (engine, recovery) = opened.map_err(|error| format!("cannot open the data directory: {error}"))?;
    let health = Health::default();
    let pages = {
        let engine = Arc::downgrade(&engine);
        metrics::router(health.clone(), move || look(&engine))
    };
    let mut faces = JoinSet::new();
    if let Some(place) = &place {
        backup::listen(&place.dir, &cluster_id, &engine, &stop);
    }
    let options = kafka::cx::Options::of(&settings, cluster_id);
    start_kafka(&mut faces, &settings, &engine, sockets.kafka, options, &stop).await?;
    if let Some(listener) = sockets.aws {
        start_aws(&mut faces, &settings, &engine, listener, pages.clone(), &stop);
    }
    if let Some(listener) = sockets.metrics {
        let stop = stop.clone();
        // Metrics are the last thing anyone waits for.
        tokio::spawn(async move { axum::serve(listener, pages).with_graceful_shutdown(stop.told()).await });
    }
    let started = Started {
        data_dir: place.as_ref().map(|place| place.dir.display().to_string()),
        new: place.as_ref().is_some_and(|place| place.new),
        recovered: recovered(&engine, &recovery),
        ..sockets.addresses
    };
    health.ready();
    eprint!("{}", screen::screen(&started));
    if ready_json {
        println!("{}", screen::ready_line(&started));
    }
    let failed = tokio::select! {
        () = stop.clone().told() => None,
        () = engine.failed() => engine.failure(),
        ended = faces.join_next(), if !faces.is_empty() => ended_by_itself(ended, &stop),
    };
    health.stopping();
    stopper.stop();
    if let Some(why) = engine.failure() {
        // Nothing more can be acknowledged, so nobody is worth waiting for; what was acknowledged is on disk.
        return Err(lane_failed(&why));
    }
    while let Some(ended) = faces.join_next().await {
        if let Ok(Err(error)) = ended {
            tracing::warn!("{error}");
        }
    }
    engine.close().await;
    match (engine.failure(), failed) {
        (Some(why), _) => Err(lane_failed(&why)),
        (None, Some(why)) => Err(why),
        (None, None) => Ok(()),
    }
}

/// Why a face ended before the server did: a socket that cannot be used any more, or a panic. `None`: it was told to.
fn ended_by_itself(ended: Option<Result<Result<(), String>, JoinError>>, stop: &Stop) -> Option<String> {
    match ended {
        Some(Ok(Err(error))) => Some(error),
        Some(Err(error)) => Some(format!("a listener ended: {error}")),
        Some(Ok(Ok(()))) if !stop.is_told() => Some("a listener ended by itself".into()),
        Some(Ok(Ok(()))) | None => None,
    }
}

fn lane_failed(why: &str) -> String {
    format!(
        "STOPPED: {why}\nNothing was acknowledged that is not on disk. Requests without an answer may or may not have \
         happened. Look after the disk, then start again."
    )
}

type Faces = JoinSet<Result<(), String>>;

async fn start_kafka(
    faces: &mut Faces,
    settings: &ServerSettings,
    engine: &Arc<Engine>,
    sockets: Vec<TcpListener>,
    options: kafka::cx::Options,
    stop: &Stop,
) -> Result<(), String> {
    let groups = Coordinator::open(engine.clone(), group::Settings::of(settings)).await;
    let groups = groups.map_err(|error| format!("cannot open the groups: {error}"))?;
    let users = match &settings.sasl_users_file {
        Some(file) => users(file)?,
        None => Vec::new(),
    };
    let security =
        kafka::security::Security::open(engine.clone(), kafka::security::Settings::of(settings), &users).await;
    let mut security = security.map_err(|error| format!("cannot open the credentials: {error}"))?;
    if let Some(oauth) = &settings.oauth {
        let jwks = Arc::new(kafka::jwks::Jwks::open(oauth).await?);
        security = security.with_oauth(jwks.clone());
        faces.spawn(until_stopped(jwks.follow(), stop));
    }
    let cx = Arc::new(kafka::cx::Cx::new(engine.clone(), groups, options).secured(security));
    cx.resume().await.map_err(|_| "cannot open the transactions or the overrides".to_owned())?;
    let tls = match settings.kafka_listeners.iter().any(|listener| listener.protocol.tls()) {
        true => Some(Arc::new(kafka::tls::Tls::open(kafka::tls::Settings::of(settings)?)?)),
        false => None,
    };
    if let Some(tls) = tls.clone() {
        faces.spawn(until_stopped(tls.follow(), stop));
    }
    for (socket, listener) in sockets.into_iter().zip(&settings.kafka_listeners) {
        let advertised = listener.advertised.clone().map(|(host, port)| kafka::cx::Advertised { host, port });
        let listener = kafka::listen::Listener {
            name: listener.name.as_str().into(),
            socket,
            sasl: listener.protocol.sasl(),
            tls: tls.clone().filter(|_| listener.protocol.tls()),
            advertised,
        };
        let (cx, stop) = (cx.clone(), stop.receiver());
        faces.spawn(async move {
            kafka::listen::serve(cx, listener, stop).await;
            Ok(())
        });
    }
    Ok(())
}

/// Something that goes on for ever, for as long as the server does.
fn until_stopped<F: Future<Output = ()>>(
    following: F,
    stop: &Stop,
) -> impl Future<Output = Result<(), String>> + use<F> {
    let mut stop = stop.receiver();
    async move {
        tokio::select! {
            () = following => {}
            _ = stop.wait_for(|stop| *stop) => {}
        }
        Ok(())
    }
}

/// Names and passwords of `sasl.users.file`. No error shows what stands in a line.
fn users(file: &Path) -> Result<Vec<(String, String)>, String> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).map_err(|error| format!("cannot read the users in {shown}: {error}"))?;
    let mut users = Vec::new();
    for (number, line) in text.lines().enumerate().map(|(at, line)| (at + 1, line.trim())) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match line.split_once('=') {
            Some((name, password)) if !name.trim().is_empty() && !password.is_empty() => {
                users.push((name.trim().to_owned(), password.to_owned()));
            }
            _ => return Err(format!("{shown}, line {number}: not name=password")),
        }
    }
    Ok(users)
}

fn start_aws(
    faces: &mut Faces,
    settings: &ServerSettings,
    engine: &Arc<Engine>,
    listener: TcpListener,
    pages: Router,
    stop: &Stop,
) {
    let kinesis = Arc::new(Kinesis::new(engine.clone(), kinesis::Settings::of(settings)));
    let ms = |ms: i64| u64::try_from(ms).unwrap_or(0);
    let door = Door {
        engine: engine.clone(),
        operations: kinesis::api::operations(&kinesis),
        home: Caller { account: HOME_ACCOUNT.into(), region: HOME_REGION.into() },
        pages,
        limits: door::Limits {
            connections: settings.max_connections,
            body_bytes: settings.aws_request_max_bytes,
            drain_ms: ms(settings.shutdown_grace_ms),
            header_ms: ms(settings.connections_max_idle_ms),
            ..door::Limits::default()
        },
    };
    let told = stop.clone().told();
    faces.spawn(
        async move { door::serve(door, listener, told).await.map_err(|error| format!("the AWS port: {error}")) },
    );
}

/// The account and region of requests that name none, as other local stacks have it.
const HOME_ACCOUNT: &str = "000000000000";
const HOME_REGION: &str = "us-east-1";

fn engine_options(settings: &ServerSettings) -> engine::Options {
    let plain = engine::Options::default();
    engine::Options {
        ingress_limit_bytes: settings.ingress_limit_bytes,
        small_ingress_limit_bytes: settings.ingress_small_limit_bytes,
        lane: engine::lane::Limits {
            settle_bytes: settings.settle_bytes,
            pack_bytes: settings.pack_bytes,
            pack_logs: settings.pack_logs,
            unsettled_bytes: settings.unsettled_limit_bytes,
            journal_bytes: settings.journal_limit_bytes,
            tail_bytes: settings.tail_limit_bytes,
            producers: settings.producers_limit,
        },
        journal_file_bytes: settings.journal_file_bytes,
        fetch_disk_limit_bytes: settings.fetch_disk_limit_bytes,
        open_files_limit: settings.open_files_limit,
        reserve_free_bytes: settings.disk_reserve_bytes,
        maintenance_ms: settings.retention_check_interval_ms,
        producer_expiration_ms: settings.producer_id_expiration_ms,
        compaction: engine::compact::Options {
            enabled: settings.log_cleaner_enable,
            backoff_ms: settings.log_cleaner_backoff_ms,
            keys_bytes: settings.log_cleaner_keys_bytes,
            bytes_per_second: settings.log_cleaner_bytes_per_second,
        },
        defaults: settings.stream_defaults.clone(),
        ..plain
    }
}

/// Metrics that are looked up.
fn look(engine: &Weak<Engine>) {
    let Some(engine) = engine.upgrade() else { return };
    let catalog = engine.catalog();
    let (streams, logs) =
        catalog.streams().fold((0, 0), |(streams, logs), s| (streams + 1, logs + s.logs.len() as i64));
    metrics::STREAMS.set(streams);
    metrics::LOGS.set(logs);
    metrics::INGRESS_BYTES.set(engine.admitted_bytes() as i64);
}

fn recovered(engine: &Engine, recovery: &Recovery) -> Recovered {
    let mut notes = Vec::new();
    if recovery.torn_bytes > 0 {
        notes.push(format!("{} bytes that were never acknowledged were cut off", recovery.torn_bytes));
    }
    if recovery.rotten > 0 {
        notes.push(format!("{} DAMAGED frames of the journal are withheld: see the log above", recovery.rotten));
    }
    Recovered {
        streams: engine.catalog().streams().filter(|stream| stream.kind == Kind::Client).count(),
        logs: recovery.logs,
        replayed_bytes: recovery.bytes,
        notes,
        took_ms: recovery.took_ms,
    }
}

/// Everything the server listens on.
struct Sockets {
    kafka: Vec<TcpListener>,
    aws: Option<TcpListener>,
    metrics: Option<TcpListener>,
    /// Their real addresses.
    addresses: Started,
}

impl Sockets {
    async fn bind(settings: &ServerSettings) -> Result<Sockets, String> {
        let mut addresses = Started::default();
        let mut kafka = Vec::new();
        for listener in &settings.kafka_listeners {
            let (socket, address) = bind(&listener.bind, "Kafka", "--kafka-listeners").await?;
            let advertised = listener.advertised.as_ref().map(|(host, port)| format!("{host}:{port}"));
            addresses.kafka.push((listener.name.clone(), address, advertised));
            if listener.protocol == Protocol::Plaintext {
                addresses.plain_kafka.get_or_insert(address);
            }
            kafka.push(socket);
        }
        let (mut aws, mut metrics) = (None, None);
        if let Some(address) = &settings.aws_listen {
            let (socket, address) = bind(address, "AWS", "--aws-listen").await?;
            (aws, addresses.aws) = (Some(socket), Some(address));
        }
        if let Some(address) = &settings.metrics_listen {
            let (socket, address) = bind(address, "metrics", "--metrics-listen").await?;
            (metrics, addresses.metrics) = (Some(socket), Some(address));
        }
        Ok(Sockets { kafka, aws, metrics, addresses })
    }
}

async fn bind(address: &str, what: &str, flag: &str) -> Result<(TcpListener, SocketAddr), String> {
    let explain = |error| format!("cannot listen on {address} ({what}): {error}; choose another address with {flag}");
    let socket = TcpListener::bind(address).await.map_err(explain)?;
    let address = socket.local_addr().map_err(explain)?;
    Ok((socket, address))
}
