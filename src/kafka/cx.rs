//! What every handler is given: the engine, how we were configured, and the few things that live as long as the process
//! and may be forgotten by it. No handler is here, and nothing here is remembered across a restart.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use arc_swap::ArcSwap;
use tokio::sync::OnceCell;

use crate::auth::{Action, Principal};
use crate::config::server::{DataDir, ServerSettings};
use crate::config::stream::{StreamDefaults, StreamSettings};
use crate::engine::catalog::Kind;
use crate::engine::{Catalog, Change, Changed, Engine, Permit, catalog::Stream};
use crate::ids::StreamId;
use crate::kafka::access::{self, Access};
use crate::kafka::configs::live::Live;
use crate::kafka::doors::{Doors, Entry, Shut};
use crate::kafka::error::Code;
use crate::kafka::group::consumer::Own;
use crate::kafka::group::coordinator::Coordinator;
use crate::kafka::overrides;
use crate::kafka::quota::Quotas;
use crate::kafka::sasl::Login;
use crate::kafka::security::Security;
use crate::kafka::session::Sessions;
use crate::kafka::txn::{self, coordinator::Coordinator as Transactions};
use crate::kafka::wire::Uuid;
use crate::record::compress::Limits;

/// How the Kafka face was configured. The defaults are Kafka's.
#[derive(Clone, Debug)]
pub struct Options {
    /// Given once to each data directory.
    pub cluster_id: String,
    pub node_id: i32,
    /// `auto.create.topics.enable`
    pub auto_create: bool,
    /// `num.partitions`
    pub logs_of_a_new_stream: u32,
    /// The one directory that logs are in, as clients are told: an absolute path, or `memory:`.
    pub log_dir: String,
    /// Server keys that were set, by name: what DescribeConfigs says of this broker beyond the defaults.
    pub server_settings: BTreeMap<String, String>,
    /// `socket.request.max.bytes`
    pub frame_limit_bytes: u32,
    /// `max.connections`, over all listeners.
    pub connections_limit: usize,
    /// `max.connections.per.ip`
    pub connections_per_ip_limit: usize,
    /// `connections.max.idle.ms`
    pub idle_ms: u64,
    /// `shutdown.grace.ms`
    pub grace_ms: u64,
    /// `fetch.max.bytes`
    pub fetch_limit_bytes: i32,
    /// `max.incremental.fetch.session.cache.slots`
    pub session_slots: usize,
    /// `batch.open.limit.bytes` and `.ratio`
    pub open_limits: Limits,
    /// Most logs one CreateTopics or CreatePartitions may ask for.
    pub max_logs_per_request: usize,
    pub transactions: txn::Settings,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            cluster_id: "interfluve".into(),
            node_id: 1,
            auto_create: true,
            logs_of_a_new_stream: 1,
            log_dir: "memory:".into(),
            server_settings: BTreeMap::new(),
            frame_limit_bytes: 100 << 20,
            connections_limit: 10_000,
            connections_per_ip_limit: usize::MAX,
            idle_ms: 600_000,
            grace_ms: 10_000,
            fetch_limit_bytes: 55 << 20,
            session_slots: 1000,
            open_limits: Limits::default(),
            max_logs_per_request: 100_000,
            transactions: txn::Settings::default(),
        }
    }
}

impl Options {
    /// From the server's configuration; `cluster_id` belongs to the data directory.
    pub fn of(settings: &ServerSettings, cluster_id: String) -> Options {
        let ms = |ms: i64| u64::try_from(ms).unwrap_or(0);
        Options {
            cluster_id,
            node_id: settings.node_id,
            auto_create: settings.auto_create,
            logs_of_a_new_stream: settings.num_logs,
            log_dir: log_dir(&settings.data_dir),
            server_settings: settings.given.iter().map(|(name, (text, _))| (name.to_string(), text.clone())).collect(),
            frame_limit_bytes: settings.socket_request_max_bytes,
            connections_limit: settings.max_connections,
            connections_per_ip_limit: settings.max_connections_per_ip,
            idle_ms: ms(settings.connections_max_idle_ms),
            grace_ms: ms(settings.shutdown_grace_ms),
            fetch_limit_bytes: settings.fetch_max_bytes,
            session_slots: settings.fetch_session_slots,
            open_limits: Limits {
                max_bytes: settings.batch_open_limit_bytes,
                max_ratio: settings.batch_open_limit_ratio,
            },
            max_logs_per_request: Options::default().max_logs_per_request,
            transactions: txn::Settings::of(settings),
        }
    }
}

/// Where the data is, absolute even if it is not there (any more).
fn log_dir(data_dir: &DataDir) -> String {
    match data_dir {
        DataDir::Memory => "memory:".into(),
        DataDir::Directory(path) => std::path::absolute(path).unwrap_or_else(|_| path.clone()).display().to_string(),
    }
}

/// A fetch session may lose its slot when it is this old (Kafka's own figure).
const SESSION_EVICT_AFTER_MS: i64 = 120_000;
/// Typed settings kept at most.
const SETTINGS_KEPT: usize = 10_000;

/// Shared by all connections.
pub struct Cx {
    pub engine: Arc<Engine>,
    /// The coordinator of all groups.
    pub groups: Coordinator,
    pub options: Options,
    /// Who may come in, and what they may do.
    pub security: Security,
    pub doors: Arc<Doors>,
    /// What is set for things that are no topics.
    pub overrides: overrides::door::Door,
    pub quotas: Quotas,
    sessions: Mutex<Sessions>,
    /// Settings of streams that have some of their own, typed: parsed once for each state of the stream.
    settings: RwLock<BTreeMap<StreamId, Typed>>,
    /// Settings of streams that have none of their own.
    plain_settings: ArcSwap<Plain>,
    /// What the groups were told last; held while overrides take effect.
    enforced: tokio::sync::Mutex<Own>,
    /// The coordinator of all transactions: opened with the first transactional id, or at the start where there are some.
    transactions: OnceCell<Transactions>,
    /// The rest of the block of producer ids that the catalog gave us; a restart wastes it.
    producer_ids: tokio::sync::Mutex<std::ops::Range<i64>>,
}

/// Producer ids taken from the catalog at a time (Kafka's own figure).
const PRODUCER_IDS: u32 = 1000;

/// Defaults, and the settings of a stream that has no others.
type Plain = (Arc<StreamDefaults>, Arc<StreamSettings>);
/// A state of a stream, the defaults it stands on, and its settings.
type Typed = (Arc<Stream>, Arc<StreamDefaults>, Arc<StreamSettings>);

impl Cx {
    pub fn new(engine: Arc<Engine>, groups: Coordinator, options: Options) -> Cx {
        let sessions = Mutex::new(Sessions::new(options.session_slots, SESSION_EVICT_AFTER_MS));
        let doors = Arc::new(Doors::new(options.connections_limit, options.connections_per_ip_limit));
        Cx {
            plain_settings: ArcSwap::from_pointee(plain(engine.defaults())),
            enforced: tokio::sync::Mutex::default(),
            engine,
            groups,
            settings: RwLock::default(),
            options,
            security: Security::off(),
            doors,
            overrides: overrides::door::Door::default(),
            quotas: Quotas::default(),
            sessions,
            transactions: OnceCell::new(),
            producer_ids: tokio::sync::Mutex::new(0..0),
        }
    }

    /// The same, with somebody at the door.
    pub fn secured(self, security: Security) -> Cx {
        Cx { security, ..self }
    }

    /// For the start: reads what was set, and ends what is under way before anybody asks, where there is a log of it.
    pub async fn resume(&self) -> Result<(), Code> {
        self.overrides.resume(&self.engine).await.map_err(|error| {
            tracing::error!("cannot open the overrides: {error}");
            Code::from(&error)
        })?;
        self.enforce().await?;
        match self.engine.catalog().stream(txn::coordinator::STREAM) {
            Some(_) => self.transactions().await.map(drop),
            None => Ok(()),
        }
    }

    /// What is set among the overrides takes effect: for streams that do not say otherwise, for producers and for groups.
    pub async fn enforce(&self) -> Result<(), Code> {
        let mut enforced = self.enforced.lock().await;
        let standing = self.overrides.standing();
        let live = Live::of(&standing.state, self.options.node_id);
        self.engine.set_defaults(live.defaults(self.engine.first_defaults()));
        self.engine.set_producer_expiration(live.whole("producer.id.expiration.ms"));
        let own = live.of_groups();
        if *enforced != own {
            self.groups.own(own.clone()).await?;
            *enforced = own;
        }
        Ok(())
    }

    pub async fn transactions(&self) -> Result<&Transactions, Code> {
        let open = || Transactions::open(self.engine.clone(), self.groups.clone(), self.options.transactions.clone());
        self.transactions.get_or_try_init(open).await.map_err(|error| {
            tracing::error!("cannot open the transactions: {error}");
            Code::CoordinatorNotAvailable
        })
    }

    /// A number no producer has had.
    pub async fn next_producer_id(&self) -> Result<i64, Code> {
        let mut block = self.producer_ids.lock().await;
        if let Some(id) = block.next() {
            return Ok(id);
        }
        match self.engine.change(vec![Change::ProducerIds { count: PRODUCER_IDS }]).await.pop() {
            Some(Ok(Changed::ProducerIds { first, count })) => {
                *block = first..first.saturating_add(i64::from(count));
                block.next().ok_or(Code::CoordinatorNotAvailable)
            }
            Some(Ok(_)) | None => Err(Code::UnknownServerError),
            Some(Err(error)) => Err(Code::from(&error)),
        }
    }

    /// What a stream that sets nothing of its own gets.
    pub fn stream_defaults(&self) -> Arc<StreamDefaults> {
        self.engine.defaults()
    }

    /// The settings of a stream, typed.
    pub fn settings(&self, stream: &Arc<Stream>) -> Arc<StreamSettings> {
        let defaults = self.stream_defaults();
        if stream.settings.is_empty() {
            return self.plain_settings(&defaults);
        }
        let known = self.settings.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, over, settings)) = known.get(&stream.id)
            && Arc::ptr_eq(of, stream)
            && Arc::ptr_eq(over, &defaults)
        {
            return settings.clone();
        }
        drop(known);
        // A stream is only ever stored with settings that were judged, perhaps by a version that knew more keys.
        let parsed = StreamSettings::parse_over(&defaults, &stream.settings);
        let settings = parsed.map_or_else(|_| self.plain_settings(&defaults), Arc::new);
        let mut known = self.settings.write().unwrap_or_else(PoisonError::into_inner);
        // Streams that are gone leave their settings behind; it is cheaper to forget all of them than to look.
        if known.len() >= SETTINGS_KEPT {
            known.clear();
        }
        known.insert(stream.id, (stream.clone(), defaults, settings.clone()));
        settings
    }

    fn plain_settings(&self, defaults: &Arc<StreamDefaults>) -> Arc<StreamSettings> {
        let known = self.plain_settings.load();
        if Arc::ptr_eq(&known.0, defaults) {
            return known.1.clone();
        }
        let now = plain(defaults.clone());
        let settings = now.1.clone();
        self.plain_settings.store(Arc::new(now));
        settings
    }

    /// What whoever asks may do.
    pub fn access(&self, call: &Call) -> Access {
        self.security.access(|| call.conn.principal(), call.conn.peer.ip())
    }

    /// Lets one connection in, within the limits as they are set now.
    pub fn enter(&self, ip: IpAddr) -> Result<Entry, Shut> {
        let standing = self.overrides.standing();
        let live = Live::of(&standing.state, self.options.node_id);
        let set = |name: &str| live.whole(name).and_then(|limit| usize::try_from(limit).ok());
        let limit = set("max.connections").unwrap_or(self.options.connections_limit);
        let per_ip_limit = set("max.connections.per.ip").unwrap_or(self.options.connections_per_ip_limit);
        self.doors.enter_within(ip, limit, per_ip_limit)
    }

    /// All fetch sessions. Never held across an await.
    pub fn sessions(&self) -> MutexGuard<'_, Sessions> {
        // A panic elsewhere leaves at worst one session in an odd state, which its own client will notice.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The defaults were judged when they were set; ours stand in for what cannot be.
fn plain(defaults: Arc<StreamDefaults>) -> Plain {
    let settings = StreamSettings::parse_over(&defaults, &BTreeMap::new()).unwrap_or_default();
    (defaults, Arc::new(settings))
}

/// One connection, as its requests see it.
#[derive(Debug)]
pub struct Conn {
    pub peer: SocketAddr,
    /// Name of the listener it came in by.
    pub listener: Arc<str>,
    /// Where this client is told to find us.
    pub advertised: Advertised,
    /// Name and version of the client's software, if it said so (ApiVersions v3, KIP-511).
    pub software: OnceLock<(String, String)>,
    /// Who its certificate says it is, where it showed one.
    pub certified: Option<Principal>,
    /// Who it is. Never held across an await.
    pub login: Mutex<Login>,
}

impl Conn {
    pub fn login(&self) -> MutexGuard<'_, Login> {
        // A login in which something panicked is not finished, and so nobody is known by it.
        self.login.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who asks.
    pub fn principal(&self) -> Principal {
        let login = self.login();
        match login.is_needed() {
            // A certificate is no login where one is needed, as in Kafka.
            true => login.principal().cloned(),
            false => self.certified.clone(),
        }
        .unwrap_or_else(Principal::anonymous)
    }
}

/// Whether delegation tokens may be asked for on a connection: by who has said who they are, and not by a token (KIP-48).
pub fn may_ask_for_tokens(conn: &Conn) -> bool {
    let login = conn.login();
    match login.is_needed() {
        true => !login.is_by_token(),
        false => conn.certified.is_some(),
    }
}

/// The address a client is given to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    pub host: String,
    pub port: u16,
}

/// What a request carries beside its body.
#[derive(Debug)]
pub struct Call {
    pub version: i16,
    pub client_id: Option<String>,
    pub conn: Arc<Conn>,
    /// The memory this request's bytes were admitted to. Dropped with the call, unless it goes on with an append.
    pub permit: Permit,
}

/// The stream of that name, if it is one this face shows.
pub fn topic<'a>(catalog: &'a Catalog, name: &str) -> Option<&'a Arc<Stream>> {
    catalog.stream(name).filter(|stream| is_topic(stream))
}

/// The stream of that id, if it is one this face shows.
pub fn topic_by_id(catalog: &Catalog, id: Uuid) -> Option<&Arc<Stream>> {
    catalog.stream_by_id(StreamId(id.0)).filter(|stream| is_topic(stream))
}

/// The stream of that name, if whoever asks may do `action` to it; who may not is not told whether it is there.
pub fn permitted<'a>(
    access: &Access,
    action: Action,
    catalog: &'a Catalog,
    name: &str,
) -> Result<&'a Arc<Stream>, Code> {
    access.check(action, access::topic(name))?;
    topic(catalog, name).ok_or(Code::UnknownTopicOrPartition)
}

/// The same by id, which is no secret.
pub fn permitted_by_id<'a>(
    access: &Access,
    action: Action,
    catalog: &'a Catalog,
    id: Uuid,
) -> Result<&'a Arc<Stream>, Code> {
    let stream = topic_by_id(catalog, id).ok_or(Code::UnknownTopicId)?;
    access.check(action, access::topic(&stream.name)).map(|()| stream)
}

/// All streams this face shows, sorted by name.
pub fn topics(catalog: &Catalog) -> impl Iterator<Item = &Arc<Stream>> {
    catalog.streams().filter(|stream| is_topic(stream))
}

/// Those of them that are told to who asks for all. As in Kafka, where it is made when the first group needs it, an
/// internal topic is not there as long as nothing is in it; who asks for it by name is told of it.
pub fn listed<'a>(cx: &Cx, catalog: &'a Catalog) -> impl Iterator<Item = &'a Arc<Stream>> {
    let used = |stream: &Stream| stream.logs.iter().any(|log| cx.engine.bounds(*log).is_ok_and(|b| b.end.0 > 0));
    topics(catalog).filter(move |stream| !is_internal(stream) || used(stream))
}

/// Ours that nobody sees are no topics; nor are streams whose name no Kafka client could say: those of `.` and `..`,
/// which the other face allows. Everything else that is legal there is legal here.
fn is_topic(stream: &Stream) -> bool {
    stream.kind != Kind::Hidden && name_problem(&stream.name).is_none()
}

/// Written by this server alone, readable by all.
pub fn is_internal(stream: &Stream) -> bool {
    stream.kind == Kind::Shown
}

/// Longest name of a topic.
pub const NAME_LIMIT_BYTES: usize = 249;

/// What is wrong with a topic's name, in words; `None`: nothing.
pub fn name_problem(name: &str) -> Option<String> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    match name {
        "" => Some("Topic name is invalid: it must not be empty.".into()),
        "." | ".." => Some(format!("Topic name is invalid: '{name}' is not allowed.")),
        _ if name.len() > NAME_LIMIT_BYTES => {
            Some(format!("Topic name is invalid: its length is {}, the limit is {NAME_LIMIT_BYTES}.", name.len()))
        }
        _ if !name.bytes().all(legal) => {
            let shown: String = name.escape_debug().collect();
            Some(format!(
                "Topic name is invalid: '{shown}' has characters other than ASCII letters, digits, '.', '_' and '-'."
            ))
        }
        _ => None,
    }
}

/// An existing topic whose name differs from `name` only in `.` for `_`: as in Kafka, whose metrics cannot tell such
/// names apart, it keeps a new one out.
pub fn collision<'a>(catalog: &'a Catalog, name: &str) -> Option<&'a Arc<Stream>> {
    if !name.contains(['.', '_']) {
        return None;
    }
    let folded = name.replace('.', "_");
    topics(catalog).find(|stream| *stream.name != *name && stream.name.replace('.', "_") == folded)
}

/// The leader epoch a client believes in, against the one there is; -1: it did not say.
pub fn check_epoch(claimed: i32, current: u32) -> Result<(), Code> {
    match u32::try_from(claimed) {
        Err(_) => Ok(()),
        Ok(claimed) if claimed < current => Err(Code::FencedLeaderEpoch),
        Ok(claimed) if claimed > current => Err(Code::UnknownLeaderEpoch),
        Ok(_) => Ok(()),
    }
}

/// "You did not ask."
pub const OPERATIONS_NOT_ASKED: i32 = i32::MIN;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_legal_as_in_kafka() {
        let longest = "x".repeat(249);
        for name in ["a", "A-z_0.9", "...", "__x", longest.as_str()] {
            assert_eq!(name_problem(name), None, "{name}");
        }
        let too_long = "x".repeat(250);
        for name in ["", ".", "..", "a b", "a/b", "a\0", "ä", "a:b", "../../etc", too_long.as_str()] {
            assert!(name_problem(name).is_some(), "{name:?}");
        }
    }

    #[test]
    fn epochs_are_fenced_both_ways() {
        for (claimed, current, want) in [
            (-1, 5, Ok(())),
            (5, 5, Ok(())),
            (4, 5, Err(Code::FencedLeaderEpoch)),
            (6, 5, Err(Code::UnknownLeaderEpoch)),
        ] {
            assert_eq!(check_epoch(claimed, current), want);
        }
    }
}
