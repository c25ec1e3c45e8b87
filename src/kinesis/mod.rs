//! The Kinesis façade: streams, shards and records as AWS's SDKs expect them, translated to the engine's eight verbs.
//! It holds no state that is not the engine's; what a client must come back with travels with the client. (Parsed settings
//! and the buckets of limits are kept for speed and forgotten at a restart.)

pub mod api;
pub mod budget;
pub mod error;
pub mod iterator;
pub mod limits;
pub mod mapping;
pub mod put;
pub mod read;
pub mod sequence;
pub mod target;
pub mod validate;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use crate::config::server::{ServerSettings, ShardLimits};
use crate::config::stream::{StreamDefaults, StreamSettings};
use crate::engine::Engine;
use crate::engine::catalog::Stream;
use crate::ids::StreamId;
use crate::metrics;
use crate::record::compress;
use budget::Budget;
use iterator::Key;
use limits::{Limit, Limiter};

/// Streams whose settings are kept parsed.
const PARSED: usize = 4096;

type Parsed = (Arc<Stream>, Arc<StreamDefaults>, Arc<StreamSettings>);

/// What the configuration says of this face.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long a new stream says CREATING.
    pub creating_ms: i64,
    pub limits: ShardLimits,
    /// Memory of answers that hold records and are not sent.
    pub answers_limit_bytes: usize,
    /// GetRecords calls that may hold opened batches at one time.
    pub reads_limit: usize,
    /// What opening one batch may cost a reader. The ratio is generous because megabytes of one byte are honest data; the
    /// bytes are what protects us.
    pub open: compress::Limits,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            creating_ms: 0,
            limits: ShardLimits::Off,
            answers_limit_bytes: 64 << 20,
            reads_limit: 16,
            open: compress::Limits { max_bytes: 64 << 20, max_ratio: 100_000 },
        }
    }
}

impl Settings {
    pub fn of(settings: &ServerSettings) -> Settings {
        let (max_bytes, max_ratio) = (settings.kinesis_open_limit_bytes, settings.kinesis_open_limit_ratio);
        Settings {
            creating_ms: settings.kinesis_creating_ms,
            limits: settings.kinesis_limits,
            answers_limit_bytes: settings.kinesis_answers_limit_bytes,
            reads_limit: settings.kinesis_reads_limit,
            open: compress::Limits { max_bytes, max_ratio },
        }
    }
}

/// The façade: cheap to share, the same for every connection.
pub struct Kinesis {
    pub engine: Arc<Engine>,
    /// Behind iterators and page tokens; of the data directory, so that they outlive a restart.
    pub key: Key,
    /// How long a new stream says CREATING.
    pub creating_ms: i64,
    /// Bounds the memory of reads in flight, …
    reads: Semaphore,
    open_limits: compress::Limits,
    /// … and that of what they answer.
    pub answers: Budget,
    limits: ShardLimits,
    limiter: Mutex<Limiter>,
    /// Settings of streams used lately, parsed once for each picture of the stream: every put asks for them.
    parsed: Mutex<BTreeMap<StreamId, Parsed>>,
}

impl Kinesis {
    pub fn new(engine: Arc<Engine>, settings: Settings) -> Kinesis {
        let key = Key::new(*engine.secret());
        let limiter = Mutex::new(Limiter::default());
        Kinesis {
            engine,
            key,
            creating_ms: settings.creating_ms,
            reads: Semaphore::new(settings.reads_limit),
            open_limits: settings.open,
            answers: Budget::new(settings.answers_limit_bytes),
            limits: settings.limits,
            limiter,
            parsed: Mutex::default(),
        }
    }

    /// Asks the limits of shards, if they are asked at all. `false`: refuse.
    fn within_limits(&self, ask: impl FnOnce(&mut Limiter) -> Result<(), Limit>) -> bool {
        if self.limits == ShardLimits::Off {
            return true;
        }
        let asked = ask(&mut self.limiter.lock().unwrap_or_else(PoisonError::into_inner));
        match asked {
            Ok(()) => true,
            Err(limit) => {
                metrics::AWS_OVER_LIMIT.of(limit.name()).inc();
                self.limits != ShardLimits::Enforce
            }
        }
    }

    /// The settings of a stream over the server's defaults. Stored settings were judged when they were set; should a
    /// later version know one no more, the defaults hold.
    pub fn settings(&self, stream: &Arc<Stream>) -> Arc<StreamSettings> {
        let mut parsed = self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        let defaults = self.engine.defaults();
        if let Some((of, over, settings)) = parsed.get(&stream.id)
            && Arc::ptr_eq(of, stream)
            && Arc::ptr_eq(over, &defaults)
        {
            return settings.clone();
        }
        let settings = StreamSettings::parse_over(&defaults, &stream.settings).unwrap_or_default();
        let settings = Arc::new(settings);
        if parsed.len() >= PARSED {
            parsed.clear();
        }
        parsed.insert(stream.id, (stream.clone(), defaults, settings.clone()));
        settings
    }

    /// How long records are kept, in milliseconds; `None`: for ever.
    pub fn retention_ms(&self, stream: &Arc<Stream>) -> Option<i64> {
        let settings = self.settings(stream);
        settings.retention_ms.filter(|_| settings.delete)
    }
}

/// The stream setting that says how long records are kept.
pub const RETENTION_KEY: &str = "retention.ms";
/// What a stream created by an AWS SDK begins with.
pub const BORN_RETENTION_MS: i64 = 24 * 60 * 60 * 1000;
