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
use crate::kafka::cx::{self, Cx};
use crate::kafka::error::{Code, Refusal};

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
    StaticBroker = 4,
    Default = 5,
}

impl Source {
    pub fn wire(self) -> i8 {
        self as i8
    }
}

/// One setting with its value.
#[derive(Clone, Debug)]
pub struct Described {
    pub key: &'static Key,
    pub value: String,
    pub source: Source,
    /// Where the value would come from next, and what it would be: name, value and source, this one first.
    pub synonyms: Vec<(&'static str, String, Source)>,
}

/// Every setting of a topic whose owner set `set`.
pub fn of_topic(cx: &Cx, set: &BTreeMap<String, String>) -> Vec<Described> {
    STREAM_KEYS
        .iter()
        .map(|key| {
            let mut synonyms = Vec::new();
            if let Some(value) = set.get(key.name) {
                synonyms.push((key.name, value.clone(), Source::Topic));
            }
            let server_name = key.server_key.unwrap_or(key.name);
            if let Some(value) = cx.stream_defaults().get(key.name) {
                synonyms.push((server_name, value.to_owned(), Source::StaticBroker));
            }
            synonyms.push((server_name, key.default.to_owned(), Source::Default));
            described(key, synonyms)
        })
        .collect()
}

/// Every setting of this broker.
pub fn of_broker(cx: &Cx) -> Vec<Described> {
    server_keys::all()
        .iter()
        .map(|key| {
            let mut synonyms = Vec::new();
            if let Some(value) = cx.options.server_settings.get(key.name) {
                synonyms.push((key.name, value.clone(), Source::StaticBroker));
            }
            synonyms.push((key.name, key.default.to_owned(), Source::Default));
            described(key, synonyms)
        })
        .collect()
}

fn described(key: &'static Key, synonyms: Vec<(&'static str, String, Source)>) -> Described {
    let (_, value, source) = synonyms.first().cloned().unwrap_or((key.name, key.default.to_owned(), Source::Default));
    Described { key, value, source, synonyms }
}

/// Facts about this broker that no key sets and that tools look for: name, type, value, doc.
pub fn facts(cx: &Cx) -> Vec<(&'static str, i8, String, &'static str)> {
    let options = &cx.options;
    vec![
        ("broker.id", INT, options.node_id.to_string(), "The number clients know this broker by: node.id."),
        ("delete.topic.enable", BOOLEAN, "true".into(), "Topics can be deleted."),
        ("offsets.topic.replication.factor", SHORT, "1".into(), "There is one copy of a log."),
    ]
}

pub const BOOLEAN: i8 = 1;
pub const STRING: i8 = 2;
pub const INT: i8 = 3;
pub const SHORT: i8 = 4;
pub const LONG: i8 = 5;
pub const DOUBLE: i8 = 6;
pub const LIST: i8 = 7;

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
        Kind::ListOf(_) | Kind::Replicas | Kind::Listeners => LIST,
        Kind::Text | Kind::OneOf(_) | Kind::Address | Kind::Directory => STRING,
    }
}

/// What a key means, and, where it means nothing here, why.
pub fn doc_of(key: &Key) -> String {
    match key.effect {
        Effect::Acts => key.doc.to_owned(),
        Effect::Shown(why) => format!("{} (Without effect here: {why}.)", key.doc),
    }
}

/// The one place that judges the settings of a topic.
pub fn check_topic(cx: &Cx, set: &BTreeMap<String, String>) -> Result<StreamSettings, Refusal> {
    StreamSettings::parse_over(cx.stream_defaults(), set).map_err(|bad| refusal(&bad))
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
    /// Nothing of a broker can be changed while it runs; the request is answered key by key.
    Broker,
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
    match kind {
        TOPIC => {
            if let Some(problem) = cx::name_problem(name) {
                return Err(Refusal::new(Code::InvalidTopicException, problem));
            }
            let stream = cx::topic(catalog, name).ok_or_else(|| {
                Refusal::new(Code::UnknownTopicOrPartition, format!("The topic '{name}' does not exist."))
            })?;
            match cx::is_internal(stream) {
                true => {
                    let why = format!("Topic '{name}' is kept by this server for itself.");
                    Err(Refusal::new(Code::InvalidRequest, why))
                }
                false => Ok(Target::Topic(stream)),
            }
        }
        BROKER => check_broker_name(cx, name).map(|()| Target::Broker),
        BROKER_LOGGER | CLIENT_METRICS | GROUP => {
            Err(Refusal::new(Code::InvalidRequest, format!("Nothing of resource type {kind} can be changed here.")))
        }
        _ => Err(Refusal::new(Code::InvalidRequest, format!("Unknown resource type {kind}."))),
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

/// The change of the catalog that alters a target, if there is anything to alter.
pub fn change(cx: &Cx, target: &Target<'_>, set: BTreeMap<String, Option<String>>) -> Result<Option<Change>, Refusal> {
    let stream = match target {
        Target::Topic(stream) => stream,
        Target::Broker if set.is_empty() => return Ok(None),
        Target::Broker => {
            let names = set.into_keys().collect::<Vec<_>>().join(", ");
            let why = format!("Cannot update these configs dynamically: {names}");
            return Err(Refusal::new(Code::InvalidConfig, why));
        }
    };
    let mut after = stream.settings.clone();
    for (name, value) in &set {
        match value {
            Some(value) => drop(after.insert(name.clone(), value.clone())),
            None => drop(after.remove(name)),
        }
    }
    check_topic(cx, &after)?;
    Ok((after != stream.settings).then_some(Change::Alter { id: stream.id, set }))
}

/// What a list-valued setting becomes when `text` is added to it or taken from it.
pub fn with_list(cx: &Cx, stream: &Stream, name: &str, text: &str, add: bool) -> Result<String, Refusal> {
    let verb = if add { "append to" } else { "subtract from" };
    let key = stream::key(name).filter(|key| type_of(key) == LIST).ok_or_else(|| {
        Refusal::new(Code::InvalidConfig, format!("Can't {verb} config {name}, because its type is not LIST."))
    })?;
    let now = stream.settings.get(name).map(String::as_str).or(cx.stream_defaults().get(name)).unwrap_or(key.default);
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
