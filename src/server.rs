//! The server's life: it takes the data directory, opens the engine, starts the façades, waits for a signal and stops them
//! in order. The only module that knows every façade.
//!
//! No request is handled here, and nothing here outlives a restart except the data directory's mark and lock.

pub mod place;
pub mod screen;
pub mod stop;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::chance::Chance;
use crate::cli::{FAILED, USAGE};
use crate::clock::Clock;
use crate::config::server::{DataDir, ServerSettings};
use crate::engine::{self, Driver, Engine};
use crate::kafka;
use crate::kafka::cx::Advertised;
use crate::kafka::group::{self, coordinator::Coordinator};
use crate::kafka::listen::Listener;
use crate::metrics::{self, Health};
use crate::store::Disk;
use crate::store::memory::MemDisk;
use crate::store::os::OsDisk;
use crate::trace;
use place::Place;
use screen::{Recovered, Started};

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
    let began = clock.now();
    let (_stopper, stop) = stop::listen().map_err(|error| format!("cannot listen for signals: {error}"))?;
    let place = match &settings.data_dir {
        DataDir::Memory => None,
        DataDir::Directory(dir) => Some(Place::take(dir, random()?).map_err(|error| error.to_string())?),
    };
    // Sockets first: a port that is taken is found before a long recovery, and clients that come early wait in line.
    let sockets = Sockets::bind(&settings).await?;
    let health = Health::default();
    let disk: Arc<dyn Disk> = match &place {
        None => Arc::new(MemDisk::new()),
        Some(place) => Arc::new(OsDisk::new(&place.dir)),
    };
    let opened = Engine::open(engine_options(&settings), disk, clock.clone(), Chance::System, Driver::Threads).await;
    let (engine, recovery) = opened.map_err(|error| format!("the data cannot be opened: {error}"))?;
    let cluster_id = match &place {
        None => place::cluster_id(random()?),
        Some(place) => place.cluster_id.clone(),
    };
    let groups = Coordinator::open(engine.clone(), group::Settings::of(&settings)).await;
    let groups = groups.map_err(|error| format!("the consumer groups cannot be opened: {error}"))?;
    let kafka_cx = Arc::new(kafka::cx::Cx::new(engine.clone(), groups, kafka::cx::Options::of(&settings, cluster_id)));
    if let Some(listener) = sockets.metrics {
        let pages = metrics::router(health.clone());
        let stop = stop.clone();
        tokio::spawn(async move { axum::serve(listener, pages).with_graceful_shutdown(stop.told()).await });
    }
    let mut facades = JoinSet::new();
    for listener in sockets.kafka {
        facades.spawn(kafka::listen::serve(kafka_cx.clone(), listener, stop.receiver()));
    }
    let started = Started {
        data_dir: place.as_ref().map(|place| place.dir.display().to_string()),
        new: place.as_ref().is_some_and(|place| place.new),
        recovered: Recovered {
            streams: engine.catalog().streams().count(),
            logs: recovery.logs,
            replayed_bytes: recovery.bytes,
            notes: notes(&recovery),
            took_ms: clock.now().0 - began.0,
        },
        ..sockets.addresses
    };
    eprint!("{}", screen::screen(&started));
    if ready_json {
        println!("{}", screen::ready_line(&started));
    }
    health.ready();
    let failed = tokio::select! {
        () = stop.told() => None,
        () = engine.failed() => engine.failure(),
    };
    health.stopping();
    if let Some(why) = failed {
        return Err(format!("{why}; nothing that was acknowledged is lost, start again when the disk is well"));
    }
    while facades.join_next().await.is_some() {}
    engine.close().await;
    Ok(())
}

fn engine_options(settings: &ServerSettings) -> engine::Options {
    let base = engine::Options::default();
    engine::Options {
        ingress_limit_bytes: u32::try_from(settings.ingress_limit_bytes).unwrap_or(u32::MAX),
        lane: engine::lane::Limits {
            unsettled_bytes: settings.unsettled_limit_bytes,
            journal_bytes: settings.unsettled_limit_bytes,
            tail_bytes: settings.tail_limit_bytes,
            ..base.lane
        },
        journal_file_bytes: settings.journal_file_bytes,
        maintenance_ms: settings.retention_check_interval_ms.min(base.maintenance_ms),
        producer_expiration_ms: settings.producer_id_expiration_ms,
        defaults: settings.stream_defaults.clone(),
        ..base
    }
}

/// What a person should know of the last end, if it was not in order.
fn notes(recovery: &engine::open::Recovery) -> Vec<String> {
    let mut notes = Vec::new();
    if recovery.torn_bytes > 0 {
        notes.push(format!("{} bytes that were being written at the end were cut off", recovery.torn_bytes));
    }
    if recovery.rotten > 0 {
        notes.push(format!("{} damaged frames of the journal are withheld; see `interfluve check`", recovery.rotten));
    }
    notes
}

/// Everything the server listens on.
struct Sockets {
    kafka: Vec<Listener>,
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
            let advertised = listener.advertised.clone().map(|(host, port)| Advertised { host, port });
            kafka.push(Listener { name: listener.name.as_str().into(), socket, advertised });
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

/// 128 bits from the system: the only chance there is; everything else is seeded from it.
fn random() -> Result<u128, String> {
    let mut bytes = [0; 16];
    let source = std::fs::File::open("/dev/urandom");
    let read = source.and_then(|mut source| std::io::Read::read_exact(&mut source, &mut bytes));
    read.map(|()| u128::from_ne_bytes(bytes)).map_err(|error| format!("cannot read /dev/urandom: {error}"))
}
