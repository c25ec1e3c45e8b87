//! Settings as Kafka's config APIs show and change them: resources, sources, synonyms, types. Which keys exist, what
//! they mean and what values they take stands in `config/`; this file only finds Kafka's words for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::auth::Action;
use crate::config::keys::{BadSetting, Effect, Key, Kind};
use crate::config::server_keys;
use crate::config::stream::{self, StreamSettings};
use crate::config::stream_keys::STREAM_KEYS;
use crate::engine::catalog::Stream;
use crate::engine::{Catalog, Change};
use crate::kafka::access::{self, Access};
use crate::kafka::configs::live::Live;
use crate::kafka::configs::{self, Foreign};
use crate::kafka::cx::{self, Cx};
use crate::kafka::error::{Code, Refusal};
use crate::kafka::overrides::{Settings, State, Thing};
use crate::kafka::quota::rate::{WINDOW_MS, WINDOWS};

/// Kinds of things that have settings (`ConfigResource.Type`).
pub const TOPIC: i8 = 2;
pub const BROKER: i8 = 4;
pub const BROKER_LOGGER: i8 = 8;
pub const CLIENT_METRICS: i8 = 16;
pub const GROUP: i8 = 32;

/// Where a value comes from (`DescribeConfigsResponse.ConfigSource`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Topic = 1,
    /// Set for this broker while it ran.
    Broker = 2,
    /// Set for all brokers while they ran.
    Brokers = 3,
    StaticBroker = 4,
    Default = 5,
    ClientMetrics = 7,
    Group = 8,
}

impl Source {
    pub fn wire(self) -> i8 {
        self as i8
    }
}

/// Where a value would come from, and what it would be; `None`: null, or a secret.
pub type Synonym = (&'static str, Option<String>, Source);

/// One setting with its value.
#[derive(Clone, Debug)]
pub struct Described {
    pub what: What,
    pub value: Option<String>,
    pub source: Source,
    /// Where the value would come from next: this one first.
    pub synonyms: Vec<Synonym>,
    pub read_only: bool,
}

/// What a setting is.
#[derive(Clone, Copy, Debug)]
pub enum What {
    Key(&'static Key),
    Foreign(&'static Foreign),
    /// Something about this broker that no key sets and that tools look for.
    Fact {
        name: &'static str,
        kind: i8,
        doc: &'static str,
    },
}

impl What {
    pub fn name(self) -> &'static str {
        match self {
            What::Key(key) => key.name,
            What::Foreign(foreign) => foreign.name,
            What::Fact { name, .. } => name,
        }
    }

    pub fn kind(self) -> i8 {
        match self {
            What::Key(key) => configs::type_of(key),
            What::Foreign(foreign) => foreign.kind,
            What::Fact { kind, .. } => kind,
        }
    }

    pub fn is_secret(self) -> bool {
        self.kind() == PASSWORD
    }

    /// What it means, and, where it means nothing here, why.
    pub fn doc(self) -> String {
        let without = |doc: &str, why: &str| format!("{doc} (Without effect here: {why}.)");
        match self {
            What::Key(key) => match key.effect {
                Effect::Acts => key.doc.to_owned(),
                Effect::Shown(why) => without(key.doc, why),
            },
            What::Fact { doc, .. } => doc.to_owned(),
            What::Foreign(foreign) => without(foreign.doc, foreign.why),
        }
    }
}

/// Every setting of a topic whose owner set `set`.
pub fn of_topic(cx: &Cx, set: &BTreeMap<String, String>) -> Vec<Described> {
    let standing = cx.overrides.standing();
    STREAM_KEYS
        .iter()
        .map(|key| {
            let mut synonyms = Vec::new();
            if let Some(value) = set.get(key.name) {
                synonyms.push((key.name, Some(value.clone()), Source::Topic));
            }
            let server_name = key.server_key.unwrap_or(key.name);
            synonyms.extend(key.server_key.into_iter().flat_map(|name| live(cx, &standing.state, name)));
            if let Some(value) = cx.engine.first_defaults().get(key.name) {
                synonyms.push((server_name, Some(value.to_owned()), Source::StaticBroker));
            }
            synonyms.push((server_name, Some(key.default.to_owned()), Source::Default));
            described(What::Key(key), synonyms, false)
        })
        .collect()
}

/// What is set for a key of the server while it runs: for this broker, for all.
fn live(cx: &Cx, state: &State, name: &'static str) -> Vec<Synonym> {
    let of = |broker: String, source| {
        let value = state.of(&Thing::Broker(broker))?.get(name)?;
        Some((name, Some(value.clone()), source))
    };
    let this = of(cx.options.node_id.to_string(), Source::Broker);
    [this, of(String::new(), Source::Brokers)].into_iter().flatten().collect()
}

/// Where the value of a key of the server comes from, and what it would be otherwise.
fn of_server(cx: &Cx, state: &State, name: &'static str, default: &str) -> Vec<Synonym> {
    let mut synonyms = live(cx, state, name);
    if let Some(value) = cx.options.server_settings.get(name) {
        synonyms.push((name, Some(value.clone()), Source::StaticBroker));
    }
    synonyms.push((name, Some(default.to_owned()), Source::Default));
    synonyms
}

/// Every setting of this broker.
pub fn of_broker(cx: &Cx) -> Vec<Described> {
    let standing = cx.overrides.standing();
    let live = |name: &'static str| live(cx, &standing.state, name);
    let keys = server_keys::all().iter().map(|key| {
        let synonyms = of_server(cx, &standing.state, key.name, key.default);
        described(What::Key(key), synonyms, !configs::live::is_live(key.name))
    });
    let foreign = configs::foreign().iter().filter(|foreign| facts(cx).iter().all(|fact| fact.0 != foreign.name));
    let foreign = foreign.map(|foreign| {
        let mut synonyms = live(foreign.name);
        synonyms.push((foreign.name, foreign.default.map(str::to_owned), Source::Default));
        described(What::Foreign(foreign), synonyms, !foreign.live)
    });
    let facts = facts(cx).into_iter().map(|(name, kind, value, doc)| {
        described(What::Fact { name, kind, doc }, vec![(name, Some(value), Source::Default)], true)
    });
    keys.chain(foreign).chain(facts).collect()
}

/// What was set for all brokers while they ran, and nothing else.
pub fn of_brokers(cx: &Cx) -> Vec<Described> {
    let standing = cx.overrides.standing();
    let Some(set) = standing.state.of(&Thing::Broker(String::new())) else { return Vec::new() };
    let all = of_broker(cx).into_iter().filter_map(|mut one| {
        let name = one.what.name();
        let value = set.get(name)?.clone();
        one.synonyms.retain(|(_, _, source)| *source == Source::Brokers);
        Some(Described { value: Some(value), source: Source::Brokers, ..one })
    });
    all.collect()
}

/// Every setting of a group or of client metrics, set or not; those of `inner` only if they are set.
pub fn of_thing(
    cx: &Cx,
    thing: &Thing,
    (keys, inner): (&'static [Key], &'static [Key]),
    source: Source,
) -> Vec<Described> {
    let standing = cx.overrides.standing();
    let set = standing.state.of(thing);
    let own = |key: &Key| set.and_then(|set| set.get(key.name)).cloned();
    let keys = keys.iter().chain(inner.iter().filter(|key| own(key).is_some())).map(|key| {
        let mut synonyms: Vec<Synonym> = Vec::new();
        if let Some(value) = own(key) {
            synonyms.push((key.name, Some(value), source));
        }
        match key.server_key {
            Some(name) => synonyms.extend(of_server(cx, &standing.state, name, key.default)),
            None => synonyms.push((key.name, Some(key.default.to_owned()), Source::Default)),
        }
        described(What::Key(key), synonyms, false)
    });
    keys.collect()
}

fn described(what: What, mut synonyms: Vec<Synonym>, read_only: bool) -> Described {
    if what.is_secret() {
        synonyms.iter_mut().for_each(|(_, value, _)| *value = None);
    }
    let (_, value, source) = synonyms.first().cloned().unwrap_or((what.name(), None, Source::Default));
    Described { what, value, source, synonyms, read_only }
}

/// Facts about this broker that no key sets and that tools look for: name, type, value, doc.
fn facts(cx: &Cx) -> [(&'static str, i8, String, &'static str); 7] {
    let options = &cx.options;
    let windows = (WINDOWS.to_string(), (WINDOW_MS / 1000).to_string());
    [
        ("broker.id", INT, options.node_id.to_string(), "The number clients know this broker by: node.id."),
        ("delete.topic.enable", BOOLEAN, "true".into(), "Topics can be deleted."),
        ("offsets.topic.replication.factor", SHORT, "1".into(), "There is one copy of a log."),
        ("transaction.state.log.replication.factor", SHORT, "1".into(), "There is one copy of a log."),
        ("log.dirs", LIST, options.log_dir.clone(), "The directory of everything that is kept: data.dir."),
        ("quota.window.num", INT, windows.0, "Windows over which clients are measured."),
        ("quota.window.size.seconds", INT, windows.1, "Length of one such window."),
    ]
}

pub const BOOLEAN: i8 = 1;
pub const STRING: i8 = 2;
pub const INT: i8 = 3;
pub const SHORT: i8 = 4;
pub const LONG: i8 = 5;
pub const DOUBLE: i8 = 6;
pub const LIST: i8 = 7;
pub const PASSWORD: i8 = 9;

/// Kafka's type of a key (`ConfigDef.Type`).
pub fn type_of(key: &Key) -> i8 {
    match key.kind {
        Kind::Bool => BOOLEAN,
        Kind::Whole { max, .. } | Kind::WholeOr { max, .. } => {
            if max <= i64::from(i32::MAX) {
                INT
            } else {
                LONG
            }
        }
        Kind::Ratio { .. } => DOUBLE,
        Kind::ListOf(_) | Kind::Texts | Kind::Replicas | Kind::Listeners => LIST,
        Kind::Secret => PASSWORD,
        Kind::Text | Kind::OneOf(_) | Kind::Address | Kind::Directory => STRING,
    }
}

/// The one place that judges the settings of a topic.
pub fn check_topic(cx: &Cx, set: &BTreeMap<String, String>) -> Result<StreamSettings, Refusal> {
    StreamSettings::parse_over(&cx.stream_defaults(), set).map_err(|bad| refusal(&bad))
}

fn refusal(bad: &BadSetting) -> Refusal {
    let message = match (bad.known, bad.nearest) {
        (true, _) => format!("Invalid value {} for configuration {}: {}", bad.value, bad.key, bad.why),
        (false, None) => format!("Unknown topic config name: {}", bad.key),
        (false, Some(nearest)) => format!("Unknown topic config name: {} (did you mean {nearest}?)", bad.key),
    };
    Refusal::new(Code::InvalidConfig, message)
}

/// One thing whose settings are to change.
pub enum Target<'a> {
    Topic(&'a Arc<Stream>),
    Other(Thing),
}

/// Whether whoever asks may do `action` to the settings of a thing. Of an unknown kind others complain.
pub fn check_access(access: &Access, action: Action, kind: i8, name: &str) -> Result<(), Refusal> {
    match kind {
        TOPIC => access.check_in_words(action, access::topic(name)),
        GROUP => access.check_in_words(action, access::group(name)),
        BROKER | BROKER_LOGGER | CLIENT_METRICS => access.check_in_words(action, access::CLUSTER),
        _ => Ok(()),
    }
}

/// Finds what a change is about.
pub fn target<'a>(cx: &Cx, catalog: &'a Catalog, kind: i8, name: &str) -> Result<Target<'a>, Refusal> {
    let invalid = |why: String| Err(Refusal::new(Code::InvalidRequest, why));
    match kind {
        TOPIC => {
            if let Some(problem) = cx::name_problem(name) {
                return Err(Refusal::new(Code::InvalidTopicException, problem));
            }
            let stream = cx::topic(catalog, name).ok_or_else(|| {
                Refusal::new(Code::UnknownTopicOrPartition, format!("The topic '{name}' does not exist."))
            })?;
            match cx::is_internal(stream) {
                true => invalid(format!("Topic '{name}' is kept by this server for itself.")),
                false => Ok(Target::Topic(stream)),
            }
        }
        BROKER => check_broker_name(cx, name).map(|()| Target::Other(Thing::Broker(name.to_owned()))),
        GROUP if name.is_empty() => invalid("Default group resources are not allowed.".into()),
        GROUP => Ok(Target::Other(Thing::Group(name.to_owned()))),
        CLIENT_METRICS if name.is_empty() => invalid("Subscription name can't be empty".into()),
        CLIENT_METRICS => Ok(Target::Other(Thing::ClientMetrics(name.to_owned()))),
        BROKER_LOGGER => invalid(format!("Nothing of resource type {kind} can be changed here.")),
        _ => invalid(format!("Unknown resource type {kind}.")),
    }
}

/// This broker by its number, or all brokers by no name.
pub fn check_broker_name(cx: &Cx, name: &str) -> Result<(), Refusal> {
    let node = cx.options.node_id;
    match name.is_empty() || name.parse() == Ok(node) {
        true => Ok(()),
        false => {
            let why = format!("Unexpected broker id, expected {node} or empty string, but received {name}");
            Err(Refusal::new(Code::InvalidRequest, why))
        }
    }
}

/// Settings to set, or with `None` to take back.
pub type Changes = BTreeMap<String, Option<String>>;

/// A change that was judged.
pub enum Planned {
    Stream(Change),
    Thing(Thing, Changes),
}

/// What is set of a target now.
pub fn standing(cx: &Cx, target: &Target<'_>) -> Settings {
    match target {
        Target::Topic(stream) => stream.settings.clone(),
        Target::Other(thing) => cx.overrides.standing().state.of(thing).cloned().unwrap_or_default(),
    }
}

/// The change that alters a target, if there is anything to alter.
pub fn change(cx: &Cx, target: &Target<'_>, set: Changes) -> Result<Option<Planned>, Refusal> {
    let before = standing(cx, target);
    let mut after = before.clone();
    for (name, value) in &set {
        match value {
            Some(value) => drop(after.insert(name.clone(), value.clone())),
            None => drop(after.remove(name)),
        }
    }
    match target {
        Target::Topic(_) => check_topic(cx, &after).map(drop)?,
        Target::Other(Thing::Broker(name)) => check_broker(cx, name, &after)?,
        Target::Other(Thing::Group(_)) => configs::check_group(&after, &cx.options.server_settings)?,
        Target::Other(Thing::ClientMetrics(_)) => configs::check_client_metrics(&after)?,
        Target::Other(Thing::Clients(_)) => {}
    }
    if after == before {
        return Ok(None);
    }
    Ok(Some(match target {
        Target::Topic(stream) => Planned::Stream(Change::Alter { id: stream.id, set }),
        Target::Other(thing) => Planned::Thing(thing.clone(), set),
    }))
}

/// Whether a broker may have these settings, and streams that set nothing could live with them.
fn check_broker(cx: &Cx, name: &str, after: &Settings) -> Result<(), Refusal> {
    configs::check_broker(after)?;
    let mut state = cx.overrides.standing().state.clone();
    state.things.insert(Thing::Broker(name.to_owned()), after.clone());
    let defaults = Live::of(&state, cx.options.node_id).defaults(cx.engine.first_defaults());
    let agreed = StreamSettings::parse_over(&defaults, &BTreeMap::new());
    agreed.map(drop).map_err(|bad| Refusal { code: Code::InvalidRequest, ..refusal(&bad) })
}

/// What a list-valued setting becomes when `text` is added to it or taken from it.
pub fn with_list(cx: &Cx, target: &Target<'_>, name: &str, text: &str, add: bool) -> Result<String, Refusal> {
    let verb = if add { "append to" } else { "subtract from" };
    let what = match target {
        Target::Topic(_) => stream::key(name).map(What::Key),
        Target::Other(Thing::Group(_)) => configs::of_group(name).map(What::Key),
        Target::Other(Thing::ClientMetrics(_)) => {
            configs::CLIENT_METRICS.iter().find(|key| key.name == name).map(What::Key)
        }
        Target::Other(Thing::Broker(_) | Thing::Clients(_)) => {
            let foreign = || configs::foreign().iter().find(|foreign| foreign.name == name).map(What::Foreign);
            server_keys::named(name).map(What::Key).or_else(foreign)
        }
    };
    let what = what.filter(|what| what.kind() == LIST).ok_or_else(|| {
        Refusal::new(Code::InvalidConfig, format!("Can't {verb} config {name}, because its type is not LIST."))
    })?;
    let defaults = cx.stream_defaults();
    let default = match (target, what) {
        (Target::Topic(_), What::Key(key)) => defaults.get(name).unwrap_or(key.default),
        (_, What::Key(key)) => cx.options.server_settings.get(name).map_or(key.default, String::as_str),
        (_, What::Foreign(foreign)) => foreign.default.unwrap_or(""),
        (_, What::Fact { .. }) => "",
    };
    let standing = standing(cx, target);
    let now = standing.get(name).map_or(default, String::as_str);
    let split = |text: &str| -> Vec<String> {
        text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect()
    };
    let (mut items, given) = (split(now), split(text));
    if add {
        for item in given {
            if !items.contains(&item) {
                items.push(item);
            }
        }
    } else {
        items.retain(|item| !given.contains(item));
    }
    Ok(items.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_the_types_of_kafka() {
        for (name, want) in [
            ("cleanup.policy", LIST),
            ("compression.type", STRING),
            ("retention.ms", LONG),
            ("segment.bytes", INT),
            ("min.cleanable.dirty.ratio", DOUBLE),
            ("preallocate", BOOLEAN),
            ("compression.gzip.level", INT),
        ] {
            assert_eq!(type_of(stream::key(name).expect("a key")), want, "{name}");
        }
    }

    /// The topic configs of Kafka 4.4.
    #[test]
    fn no_topic_config_of_kafka_is_missing() {
        let theirs = "cleanup.policy compression.gzip.level compression.lz4.level compression.type \
            compression.zstd.level delete.retention.ms file.delete.delay.ms flush.messages flush.ms \
            follower.replication.throttled.replicas index.interval.bytes leader.replication.throttled.replicas \
            local.retention.bytes local.retention.ms max.compaction.lag.ms max.message.bytes \
            message.timestamp.after.max.ms message.timestamp.before.max.ms message.timestamp.type \
            min.cleanable.dirty.ratio min.compaction.lag.ms min.insync.replicas preallocate remote.log.copy.disable \
            remote.log.delete.on.disable remote.storage.enable retention.bytes retention.ms segment.bytes \
            segment.index.bytes segment.jitter.ms segment.ms unclean.leader.election.enable";
        let missing: Vec<_> = theirs.split_whitespace().filter(|name| stream::key(name).is_none()).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
