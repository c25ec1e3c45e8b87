//! The settings of the server, typed, and the layers they come from: flags over environment over file over defaults.
//!
//! Pure: `cli` reads the sources and hands their texts over. All that is wrong is reported at once, each with the
//! key, the value, where it came from and the nearest right name.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use super::keys::{BadSetting, Key, Kind, Numbers, Value};
use super::server_keys;
use super::stream::StreamDefaults;
use super::stream_keys::STREAM_KEYS;

/// Where a text came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    Flag,
    Environment,
    File(PathBuf),
    Default,
}

/// One text of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The key as it was written there: a flag, a variable, a dotted name.
    pub written: String,
    /// The dotted name it stands for; not yet known to exist.
    pub name: String,
    pub value: String,
    pub origin: Origin,
}

/// A text that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub written: String,
    pub origin: Origin,
    pub bad: BadSetting,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refusal { written, origin, bad } = self;
        match origin {
            Origin::Flag => write!(f, "the flag {written}: {:?}", bad.value)?,
            Origin::Environment => write!(f, "the environment variable {written}={:?}", bad.value)?,
            Origin::File(path) => write!(f, "{}: {written} = {:?}", path.display(), bad.value)?,
            Origin::Default => write!(f, "{written} = {:?}", bad.value)?,
        }
        write!(f, ": {}", bad.why)?;
        let Some(nearest) = bad.nearest else { return Ok(()) };
        let meant = match (origin, bad.known, server_keys::named(nearest)) {
            (Origin::Flag, false, Some(key)) => format!("--{}", key.flag()),
            (Origin::Environment, false, Some(key)) => key.env(),
            _ => nearest.to_string(),
        };
        write!(f, "; did you mean {meant}?")
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataDir {
    /// Nothing is kept.
    Memory,
    Directory(PathBuf),
}

/// One address for Kafka clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Empty for the only, unnamed one.
    pub name: String,
    /// `host:port`, as configured; port 0 is not yet chosen.
    pub bind: String,
    pub protocol: Protocol,
    /// What clients are told to connect to. `None`: the address their connection came in on.
    pub advertised: Option<(String, u16)>,
}

/// What a listener asks of Kafka clients (Kafka's security protocols).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    #[default]
    Plaintext,
    SaslPlaintext,
    Ssl,
    SaslSsl,
}

impl Protocol {
    fn of(name: &str) -> Option<Protocol> {
        match name.to_ascii_uppercase().as_str() {
            "PLAINTEXT" => Some(Protocol::Plaintext),
            "SASL_PLAINTEXT" => Some(Protocol::SaslPlaintext),
            "SSL" => Some(Protocol::Ssl),
            "SASL_SSL" => Some(Protocol::SaslSsl),
            _ => None,
        }
    }

    /// Whether clients have to say who they are, by SASL.
    pub fn sasl(self) -> bool {
        matches!(self, Protocol::SaslPlaintext | Protocol::SaslSsl)
    }

    /// Whether connections are encrypted.
    pub fn tls(self) -> bool {
        matches!(self, Protocol::Ssl | Protocol::SaslSsl)
    }
}

/// `delegation.token.*`
#[derive(Clone, PartialEq, Eq)]
pub struct TokenSettings {
    /// `None`: there are no tokens.
    pub secret: Option<String>,
    pub max_lifetime_ms: i64,
    pub expiry_ms: i64,
    pub check_interval_ms: i64,
}

impl fmt::Debug for TokenSettings {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenSettings({})", if self.secret.is_some() { "on" } else { "off" })
    }
}

/// `sasl.oauthbearer.*`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OauthSettings {
    pub jwks_url: String,
    pub jwks_ca: PathBuf,
    pub refresh_ms: i64,
    pub retry_ms: i64,
    pub retry_max_ms: i64,
    /// Empty: anybody.
    pub audience: Vec<String>,
    /// Empty: anybody.
    pub issuer: String,
    pub skew_ms: i64,
    pub scope_claim: String,
    pub subject_claim: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Human,
    Json,
}

/// What is done about AWS's limits of a shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ShardLimits {
    #[default]
    Off,
    /// Counted only.
    Warn,
    Enforce,
}

/// Everything the server is told, typed. Fields bear the names of their keys.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    pub data_dir: DataDir,
    pub kafka_listeners: Vec<Listener>,
    /// `sasl.enabled.mechanisms`
    pub sasl_mechanisms: Vec<String>,
    pub sasl_users_file: Option<PathBuf>,
    pub ssl_certificate: PathBuf,
    pub ssl_key: PathBuf,
    /// `none`, `requested` or `required`
    pub ssl_client_auth: String,
    pub ssl_client_ca: PathBuf,
    pub ssl_principal_mapping_rules: String,
    pub tokens: TokenSettings,
    /// `None`: OAUTHBEARER is not one of the mechanisms.
    pub oauth: Option<OauthSettings>,
    pub super_users: Vec<String>,
    pub allow_everyone_if_no_acl_found: bool,
    pub connections_max_reauth_ms: i64,
    pub failed_authentication_delay_ms: i64,
    pub aws_listen: Option<String>,
    pub metrics_listen: Option<String>,
    pub node_id: i32,
    pub auto_create: bool,
    /// `num.partitions`: logs of a new stream whose creator does not say.
    pub num_logs: u32,
    pub kinesis_creating_ms: i64,
    pub kinesis_limits: ShardLimits,
    pub kinesis_answers_limit_bytes: usize,
    pub kinesis_reads_limit: usize,
    pub kinesis_open_limit_bytes: usize,
    pub kinesis_open_limit_ratio: usize,
    pub group_initial_rebalance_delay_ms: i64,
    pub group_min_session_timeout_ms: i64,
    pub group_max_session_timeout_ms: i64,
    pub group_max_size: usize,
    pub group_consumer_session_timeout_ms: i64,
    pub group_consumer_heartbeat_interval_ms: i64,
    pub group_consumer_session_bounds_ms: (i64, i64),
    pub group_consumer_heartbeat_bounds_ms: (i64, i64),
    /// `None`: nobody set it.
    pub group_consumer_assignment_interval_ms: Option<i64>,
    pub group_consumer_assignment_bounds_ms: (i64, i64),
    pub group_consumer_assignor_offload: bool,
    pub group_consumer_max_size: usize,
    pub group_consumer_assignors: Vec<String>,
    pub group_consumer_migration_policy: String,
    pub group_limit_bytes: usize,
    pub group_new_member_join_timeout_ms: i64,
    pub offsets_retention_ms: i64,
    pub offsets_retention_check_interval_ms: i64,
    pub offset_metadata_max_bytes: usize,
    pub producer_id_expiration_ms: i64,
    pub transaction_max_timeout_ms: i64,
    pub transactional_id_expiration_ms: i64,
    pub transaction_abort_check_ms: i64,
    pub transaction_remove_check_ms: i64,
    pub producers_limit: usize,
    pub log_cleaner_enable: bool,
    pub log_cleaner_backoff_ms: i64,
    /// `log.cleaner.dedupe.buffer.size`
    pub log_cleaner_keys_bytes: usize,
    /// `log.cleaner.io.max.bytes.per.second`
    pub log_cleaner_bytes_per_second: u64,
    pub socket_request_max_bytes: u32,
    pub aws_request_max_bytes: usize,
    pub batch_open_limit_bytes: usize,
    pub batch_open_limit_ratio: usize,
    pub max_connections: usize,
    pub max_connections_per_ip: usize,
    pub connections_max_idle_ms: i64,
    pub fetch_max_bytes: i32,
    pub fetch_session_slots: usize,
    pub ingress_limit_bytes: u32,
    pub ingress_small_limit_bytes: u32,
    pub tail_limit_bytes: u64,
    pub disk_reserve_bytes: u64,
    pub disk_direct_io: bool,
    pub fetch_disk_limit_bytes: usize,
    pub open_files_limit: usize,
    pub journal_file_bytes: u64,
    pub journal_limit_bytes: u64,
    pub settle_bytes: u64,
    pub pack_bytes: u64,
    pub pack_logs: usize,
    pub unsettled_limit_bytes: u64,
    pub retention_check_interval_ms: i64,
    /// 0: chosen by the number of processors.
    pub worker_threads: usize,
    pub shutdown_grace_ms: i64,
    pub log_format: LogFormat,
    pub log_level: String,
    pub stream_defaults: StreamDefaults,
    /// What every key was given, by name; keys that are not here have their default.
    pub given: BTreeMap<&'static str, (String, Origin)>,
}

impl ServerSettings {
    /// Types the texts of all layers; a later text of the same key loses to an earlier one.
    pub fn parse(texts: impl IntoIterator<Item = Text>) -> Result<ServerSettings, Vec<Refusal>> {
        let mut given: BTreeMap<&'static str, Text> = BTreeMap::new();
        let mut refusals = Vec::new();
        for text in texts {
            let refuse = |bad| Refusal { written: text.written.clone(), origin: text.origin.clone(), bad };
            let Some(key) = server_keys::named(&text.name) else {
                let names = server_keys::all().iter().map(|key| key.name);
                refusals.push(refuse(BadSetting::unknown(&text.name, &text.value, names)));
                continue;
            };
            match key.judge(&text.value, Numbers::Units) {
                Ok(_) => drop(given.entry(key.name).or_insert(text)),
                Err(bad) => refusals.push(refuse(bad)),
            }
        }
        if !refusals.is_empty() {
            return Err(refusals);
        }
        typed(&given).map_err(|refusal| vec![*refusal])
    }

    /// The value of every key and where it came from, in the order of `--help`.
    pub fn values(&self) -> impl Iterator<Item = (&'static Key, &str, &Origin)> {
        server_keys::all().iter().map(|key| match self.given.get(key.name) {
            Some((value, origin)) => (key, value.as_str(), origin),
            None => (key, key.default, &Origin::Default),
        })
    }
}

fn typed(given: &BTreeMap<&'static str, Text>) -> Result<ServerSettings, Box<Refusal>> {
    let from = Texts(given);
    Ok(ServerSettings {
        data_dir: match from.text("data.dir").as_str() {
            "memory:" => DataDir::Memory,
            path => DataDir::Directory(path.into()),
        },
        kafka_listeners: from.listeners()?,
        sasl_mechanisms: from.list("sasl.enabled.mechanisms"),
        sasl_users_file: Some(from.text("sasl.users.file")).filter(|file| !file.is_empty()).map(PathBuf::from),
        ssl_certificate: from.text("ssl.certificate").into(),
        ssl_key: from.text("ssl.key").into(),
        ssl_client_auth: from.text("ssl.client.auth"),
        ssl_client_ca: from.text("ssl.client.ca").into(),
        ssl_principal_mapping_rules: from.text("ssl.principal.mapping.rules"),
        tokens: TokenSettings {
            secret: from.address("delegation.token.secret.key"),
            max_lifetime_ms: from.whole("delegation.token.max.lifetime.ms"),
            expiry_ms: from.whole("delegation.token.expiry.time.ms"),
            check_interval_ms: from.whole("delegation.token.expiry.check.interval.ms"),
        },
        oauth: from.oauth()?,
        super_users: from.super_users()?,
        allow_everyone_if_no_acl_found: from.bool("allow.everyone.if.no.acl.found"),
        connections_max_reauth_ms: from.whole("connections.max.reauth.ms"),
        failed_authentication_delay_ms: from.whole("connection.failed.authentication.delay.ms"),
        aws_listen: from.address("aws.listen"),
        metrics_listen: from.address("metrics.listen"),
        node_id: from.whole("node.id") as i32,
        auto_create: from.bool("auto.create.topics.enable"),
        num_logs: from.whole("num.partitions") as u32,
        kinesis_creating_ms: from.whole("kinesis.creating.ms"),
        kinesis_limits: match from.text("kinesis.limits").as_str() {
            "warn" => ShardLimits::Warn,
            "enforce" => ShardLimits::Enforce,
            _ => ShardLimits::Off,
        },
        kinesis_answers_limit_bytes: from.whole("kinesis.answers.limit.bytes") as usize,
        kinesis_reads_limit: from.whole("kinesis.reads.limit") as usize,
        kinesis_open_limit_bytes: from.whole("kinesis.open.limit.bytes") as usize,
        kinesis_open_limit_ratio: from.whole("kinesis.open.limit.ratio") as usize,
        group_initial_rebalance_delay_ms: from.whole("group.initial.rebalance.delay.ms"),
        group_min_session_timeout_ms: from.whole("group.min.session.timeout.ms"),
        group_max_session_timeout_ms: from.whole("group.max.session.timeout.ms"),
        group_max_size: from.whole("group.max.size") as usize,
        group_consumer_session_timeout_ms: from.consumer_session()?,
        group_consumer_heartbeat_interval_ms: from.consumer_heartbeat()?,
        group_consumer_session_bounds_ms: (
            from.whole("group.consumer.min.session.timeout.ms"),
            from.whole("group.consumer.max.session.timeout.ms"),
        ),
        group_consumer_heartbeat_bounds_ms: (
            from.whole("group.consumer.min.heartbeat.interval.ms"),
            from.whole("group.consumer.max.heartbeat.interval.ms"),
        ),
        group_consumer_assignment_interval_ms: from.consumer_assignment_interval()?,
        group_consumer_assignment_bounds_ms: (
            from.whole("group.consumer.min.assignment.interval.ms"),
            from.whole("group.consumer.max.assignment.interval.ms"),
        ),
        group_consumer_assignor_offload: from.bool("group.consumer.assignor.offload.enable"),
        group_consumer_max_size: from.whole("group.consumer.max.size") as usize,
        group_consumer_assignors: from.consumer_assignors()?,
        group_consumer_migration_policy: from.text("group.consumer.migration.policy"),
        group_limit_bytes: from.whole("group.limit.bytes") as usize,
        group_new_member_join_timeout_ms: from.whole("group.new.member.join.timeout.ms"),
        offsets_retention_ms: from.whole("offsets.retention.minutes") * 60_000,
        offsets_retention_check_interval_ms: from.whole("offsets.retention.check.interval.ms"),
        offset_metadata_max_bytes: from.whole("offset.metadata.max.bytes") as usize,
        producer_id_expiration_ms: from.whole("producer.id.expiration.ms"),
        transaction_max_timeout_ms: from.whole("transaction.max.timeout.ms"),
        transactional_id_expiration_ms: from.whole("transactional.id.expiration.ms"),
        transaction_abort_check_ms: from.whole("transaction.abort.timed.out.transaction.cleanup.interval.ms"),
        transaction_remove_check_ms: from.whole("transaction.remove.expired.transaction.cleanup.interval.ms"),
        producers_limit: from.whole("producers.limit") as usize,
        log_cleaner_enable: from.bool("log.cleaner.enable"),
        log_cleaner_backoff_ms: from.whole("log.cleaner.backoff.ms"),
        log_cleaner_keys_bytes: from.whole("log.cleaner.dedupe.buffer.size") as usize,
        log_cleaner_bytes_per_second: from.whole("log.cleaner.io.max.bytes.per.second") as u64,
        socket_request_max_bytes: from.whole("socket.request.max.bytes") as u32,
        aws_request_max_bytes: from.whole("aws.request.max.bytes") as usize,
        batch_open_limit_bytes: from.whole("batch.open.limit.bytes") as usize,
        batch_open_limit_ratio: from.whole("batch.open.limit.ratio") as usize,
        max_connections: from.whole("max.connections") as usize,
        max_connections_per_ip: from.whole("max.connections.per.ip") as usize,
        fetch_max_bytes: from.whole("fetch.max.bytes") as i32,
        fetch_session_slots: from.whole("max.incremental.fetch.session.cache.slots") as usize,
        connections_max_idle_ms: from.whole("connections.max.idle.ms"),
        ingress_limit_bytes: from.whole("ingress.limit.bytes") as u32,
        ingress_small_limit_bytes: from.whole("ingress.small.limit.bytes") as u32,
        tail_limit_bytes: from.whole("tail.limit.bytes") as u64,
        disk_reserve_bytes: from.whole("disk.reserve.bytes") as u64,
        disk_direct_io: from.bool("disk.direct.io"),
        fetch_disk_limit_bytes: from.whole("fetch.disk.limit.bytes") as usize,
        open_files_limit: from.whole("open.files.limit") as usize,
        journal_file_bytes: from.whole("journal.file.bytes") as u64,
        journal_limit_bytes: from.whole("journal.limit.bytes") as u64,
        settle_bytes: from.whole("settle.bytes") as u64,
        pack_bytes: from.whole("pack.bytes") as u64,
        pack_logs: from.whole("pack.logs") as usize,
        unsettled_limit_bytes: from.whole("unsettled.limit.bytes") as u64,
        retention_check_interval_ms: from.whole("log.retention.check.interval.ms"),
        worker_threads: from.whole("worker.threads") as usize,
        shutdown_grace_ms: from.whole("shutdown.grace.ms"),
        log_format: match from.text("log.format").as_str() {
            "json" => LogFormat::Json,
            _ => LogFormat::Human,
        },
        log_level: from.text("log.level"),
        stream_defaults: from.stream_defaults(),
        given: given.iter().map(|(name, text)| (*name, (shown(name, &text.value), text.origin.clone()))).collect(),
    })
}

/// A text as others may see it.
fn shown(name: &str, value: &str) -> String {
    let secret = server_keys::named(name).is_some_and(|key| key.kind == Kind::Secret);
    if secret { "(hidden)".into() } else { value.to_owned() }
}

/// The text of each key, judged before; or its default.
struct Texts<'a>(&'a BTreeMap<&'static str, Text>);

impl Texts<'_> {
    fn value(&self, name: &'static str) -> Value {
        let Some(key) = server_keys::named(name) else { unreachable!("{name} is not declared (tested)") };
        let text = self.0.get(name).map_or(key.default, |text| &text.value);
        match key.judge(text, Numbers::Units) {
            Ok(value) => value,
            Err(bad) => unreachable!("judged before: {bad}"),
        }
    }

    fn whole(&self, name: &'static str) -> i64 {
        match self.value(name) {
            Value::Whole(number) => number,
            other => unreachable!("{name} is declared as a whole number (tested), not {other:?}"),
        }
    }

    fn bool(&self, name: &'static str) -> bool {
        self.value(name) == Value::Bool(true)
    }

    fn text(&self, name: &'static str) -> String {
        match self.value(name) {
            Value::Text(text) => text,
            other => unreachable!("{name} is declared as a text (tested), not {other:?}"),
        }
    }

    fn list(&self, name: &'static str) -> Vec<String> {
        match self.value(name) {
            Value::List(list) => list,
            other => unreachable!("{name} is declared as a list (tested), not {other:?}"),
        }
    }

    fn address(&self, name: &'static str) -> Option<String> {
        Some(self.text(name)).filter(|address| !address.is_empty())
    }

    /// A number that two other keys bound.
    fn within(&self, name: &'static str, min: &'static str, max: &'static str) -> Result<i64, Box<Refusal>> {
        let (value, bounds) = (self.whole(name), (self.whole(min), self.whole(max)));
        match (bounds.0..=bounds.1).contains(&value) {
            true => Ok(value),
            false => {
                let why = format!("{min} and {max} allow {} to {}", bounds.0, bounds.1);
                Err(self.refuse(name, &value.to_string(), why))
            }
        }
    }

    fn consumer_session(&self) -> Result<i64, Box<Refusal>> {
        let bounds = ("group.consumer.min.session.timeout.ms", "group.consumer.max.session.timeout.ms");
        self.within("group.consumer.session.timeout.ms", bounds.0, bounds.1)
    }

    fn consumer_heartbeat(&self) -> Result<i64, Box<Refusal>> {
        let name = "group.consumer.heartbeat.interval.ms";
        let bounds = ("group.consumer.min.heartbeat.interval.ms", "group.consumer.max.heartbeat.interval.ms");
        let value = self.within(name, bounds.0, bounds.1)?;
        match value < self.consumer_session()? {
            true => Ok(value),
            false => {
                let why = "members must be heard within group.consumer.session.timeout.ms".into();
                Err(self.refuse(name, &value.to_string(), why))
            }
        }
    }

    fn consumer_assignment_interval(&self) -> Result<Option<i64>, Box<Refusal>> {
        let name = "group.consumer.assignment.interval.ms";
        let bounds = ("group.consumer.min.assignment.interval.ms", "group.consumer.max.assignment.interval.ms");
        let value = self.within(name, bounds.0, bounds.1)?;
        Ok(self.0.contains_key(name).then_some(value))
    }

    fn consumer_assignors(&self) -> Result<Vec<String>, Box<Refusal>> {
        let name = "group.consumer.assignors";
        let assignors = self.list(name);
        match assignors.is_empty() {
            true => Err(self.refuse(name, "", "there must be one".into())),
            false => Ok(assignors),
        }
    }

    fn refuse(&self, name: &'static str, value: &str, why: String) -> Box<Refusal> {
        let (written, origin) = match self.0.get(name) {
            Some(text) => (text.written.clone(), text.origin.clone()),
            None => (name.into(), Origin::Default),
        };
        Box::new(Refusal { written, origin, bad: BadSetting::value(name, value, why) })
    }

    /// Listeners, each with what it advertises.
    fn listeners(&self) -> Result<Vec<Listener>, Box<Refusal>> {
        let named = |item: &str| match item.split_once("://") {
            Some((name, address)) => (name.to_string(), address.to_string()),
            None => (String::new(), item.to_string()),
        };
        let mut listeners: Vec<Listener> = Vec::new();
        for item in self.list("kafka.listeners") {
            let (name, bind) = named(&item);
            if listeners.iter().any(|other| other.name == name) {
                let why = match name.is_empty() {
                    true => "several listeners need names, as in internal://host:port".into(),
                    false => format!("two listeners are named {name}"),
                };
                return Err(self.refuse("kafka.listeners", &item, why));
            }
            let protocol = Protocol::of(&name).unwrap_or_default();
            listeners.push(Listener { name, bind, protocol, advertised: None });
        }
        let map = self.text("listener.security.protocol.map");
        for item in map.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            let refuse = |why: &str| self.refuse("listener.security.protocol.map", item, why.into());
            let (name, protocol) = item.split_once(':').ok_or_else(|| refuse("not NAME:PROTOCOL"))?;
            let protocol = Protocol::of(protocol)
                .ok_or_else(|| refuse("PLAINTEXT, SASL_PLAINTEXT, SSL and SASL_SSL are served"))?;
            let listener = listeners.iter_mut().find(|listener| listener.name.eq_ignore_ascii_case(name));
            listener.ok_or_else(|| refuse("no listener has this name"))?.protocol = protocol;
        }
        if let Some(listener) = listeners.iter().find(|listener| listener.protocol.tls())
            && (self.text("ssl.certificate").is_empty() || self.text("ssl.key").is_empty())
        {
            let why = "a listener with TLS needs ssl.certificate and ssl.key".into();
            return Err(self.refuse("kafka.listeners", &listener.bind, why));
        }
        if self.text("ssl.client.auth") != "none" && self.text("ssl.client.ca").is_empty() {
            let why = "clients' certificates are judged by ssl.client.ca, which is not set".into();
            return Err(self.refuse("ssl.client.auth", &self.text("ssl.client.auth"), why));
        }
        for item in self.list("kafka.advertised") {
            let (name, address) = named(&item);
            let only = listeners.len() == 1 && name.is_empty();
            let Some(listener) = listeners.iter_mut().find(|listener| only || listener.name == name) else {
                let names: Vec<_> = listeners.iter().map(|listener| listener.name.as_str()).collect();
                let why = format!("no listener has this name; kafka.listeners has: {}", names.join(", "));
                return Err(self.refuse("kafka.advertised", &item, why));
            };
            let port = address.rsplit_once(':').and_then(|(host, port)| Some((host.to_string(), port.parse().ok()?)));
            match port {
                Some((host, port)) if listener.advertised.is_none() => listener.advertised = Some((host, port)),
                _ => return Err(self.refuse("kafka.advertised", &item, "the listener is advertised twice".into())),
            }
        }
        Ok(listeners)
    }

    /// What is asked of tokens of OAUTHBEARER, if they are taken. As in Kafka 4.4, that anybody's are has to be said.
    fn oauth(&self) -> Result<Option<OauthSettings>, Box<Refusal>> {
        let mechanisms = "sasl.enabled.mechanisms";
        if !self.list(mechanisms).iter().any(|name| name == "OAUTHBEARER") {
            return Ok(None);
        }
        let (url, issuer) = ("sasl.oauthbearer.jwks.endpoint.url", "sasl.oauthbearer.expected.issuer");
        let jwks_url = self.text(url);
        if !["file:/", "http://", "https://"].iter().any(|scheme| jwks_url.starts_with(scheme)) {
            let why = "OAUTHBEARER needs the keys that sign tokens, at a file:, http: or https: address".into();
            return Err(self.refuse(url, &jwks_url, why));
        }
        let audience = self.list("sasl.oauthbearer.expected.audience");
        let needed = |given: bool, key: &'static str, unless: &'static str| match given || self.bool(unless) {
            true => Ok(()),
            false => Err(self.refuse(key, "", format!("OAUTHBEARER needs it, unless {unless} is true"))),
        };
        let unless = "sasl.oauthbearer.allow.unverified.audience";
        needed(!audience.is_empty(), "sasl.oauthbearer.expected.audience", unless)?;
        needed(!self.text(issuer).is_empty(), issuer, "sasl.oauthbearer.allow.unverified.issuer")?;
        Ok(Some(OauthSettings {
            jwks_url,
            jwks_ca: self.text("sasl.oauthbearer.jwks.endpoint.ca").into(),
            refresh_ms: self.whole("sasl.oauthbearer.jwks.endpoint.refresh.ms"),
            retry_ms: self.whole("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms"),
            retry_max_ms: self.whole("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms"),
            audience,
            issuer: self.text(issuer),
            skew_ms: self.whole("sasl.oauthbearer.clock.skew.seconds").saturating_mul(1000),
            scope_claim: self.text("sasl.oauthbearer.scope.claim.name"),
            subject_claim: self.text("sasl.oauthbearer.sub.claim.name"),
        }))
    }

    /// `User:name;User:name`, as in Kafka.
    fn super_users(&self) -> Result<Vec<String>, Box<Refusal>> {
        let text = self.text("super.users");
        let users = text.split(';').map(str::trim).filter(|user| !user.is_empty());
        let sound = |user: &str| user.strip_prefix("User:").is_some_and(|name| !name.is_empty());
        users
            .map(|user| match sound(user) {
                true => Ok(user.to_owned()),
                false => Err(self.refuse("super.users", user, "not User:name".into())),
            })
            .collect()
    }

    /// What streams that set nothing get: each stream key's server key, and the coarser units of three of them.
    fn stream_defaults(&self) -> StreamDefaults {
        let mut defaults = StreamDefaults::default();
        let coarser = |name: &'static str, factor: i64| {
            let _ = self.0.get(name)?;
            let number = self.whole(name);
            Some(if number < 0 { number } else { number.saturating_mul(factor) })
        };
        for key in STREAM_KEYS {
            let Some(server_key) = key.server_key else { continue };
            let set = match self.0.contains_key(server_key) {
                true => Some(match self.value(server_key) {
                    Value::Bool(value) => value.to_string(),
                    Value::Whole(value) => value.to_string(),
                    Value::Ratio(value) => value.to_string(),
                    Value::Text(value) => value,
                    Value::List(value) => value.join(","),
                }),
                false => match key.name {
                    "retention.ms" => coarser("log.retention.minutes", 60_000)
                        .or_else(|| coarser("log.retention.hours", 3_600_000))
                        .map(|ms| ms.to_string()),
                    "segment.ms" => coarser("log.roll.hours", 3_600_000).map(|ms| ms.to_string()),
                    _ => None,
                },
            };
            if let Some(Err(bad)) = set.map(|text| defaults.set(key, &text)) {
                unreachable!("both keys have one range (tested): {bad}");
            }
        }
        defaults
    }
}

/// The environment variables we know: the text of each, by its key's dotted name. What begins like ours and is none of
/// ours is passed on under its own name, to be refused.
pub fn from_environment(variables: impl Iterator<Item = (String, String)>) -> Vec<Text> {
    let ours = variables.filter(|(name, _)| name.starts_with("INTERFLUVE_") && !NOT_KEYS.contains(&name.as_str()));
    let mut texts: Vec<Text> = ours
        .map(|(written, value)| {
            let name = match server_keys::all().iter().find(|key| key.env() == written) {
                Some(key) => key.name.to_string(),
                None => written.trim_start_matches("INTERFLUVE_").to_ascii_lowercase().replace('_', "."),
            };
            Text { written, name, value, origin: Origin::Environment }
        })
        .collect();
    texts.sort_by(|a, b| a.written.cmp(&b.written));
    texts
}

/// Variables that are about the command line and not keys of the server.
const NOT_KEYS: &[&str] = &["INTERFLUVE_CONFIG"];

mod file;
#[cfg(test)]
mod tests;

pub use file::from_toml;
