//! The settings of Kafka 4.4 that are no topic's: those of brokers that this server has no key of its own for, of groups
//! and of client metrics. Declarations, and the judging of values; what is set stands in the overrides. The names, types and
//! defaults are Kafka's, the words ours. Pure.

pub mod live;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use crate::config::keys::{Effect, Key, Kind, Numbers, Scope, Section, Unit};
use crate::config::server_keys;
use crate::kafka::error::{Code, Refusal};
use crate::kafka::settings::{self, BOOLEAN, DOUBLE, INT, LIST, LONG, PASSWORD, SHORT, STRING};

pub const CLASS: i8 = 8;

/// A setting of Kafka's broker that changes nothing here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign {
    pub name: &'static str,
    /// `ConfigDef.Type`
    pub kind: i8,
    /// `None`: null.
    pub default: Option<&'static str>,
    pub doc: &'static str,
    /// Why it changes nothing.
    pub why: &'static str,
    /// Whether Kafka lets it be changed while the broker runs.
    pub live: bool,
}

impl Foreign {
    pub fn is_secret(&self) -> bool {
        self.kind == PASSWORD
    }
}

/// Sorted by name; keys of our own are not among them, whenever they were added.
static FOREIGN: LazyLock<Vec<Foreign>> = LazyLock::new(|| {
    let mut all = parse(include_str!("broker.txt")).expect("our own page");
    all.retain(|foreign| !server_keys::all().iter().any(|key| key.name == foreign.name));
    all.sort_unstable_by_key(|foreign| foreign.name);
    all
});

pub fn foreign() -> &'static [Foreign] {
    &FOREIGN
}

/// Reads a page of settings; the error is the line.
fn parse(page: &'static str) -> Result<Vec<Foreign>, &'static str> {
    let mut all = Vec::new();
    let mut why = "";
    for line in page.lines().filter(|line| !line.starts_with("//")) {
        if let Some(reason) = line.strip_prefix("= ") {
            why = reason;
            continue;
        }
        let parts: Vec<&'static str> = line.split(" | ").collect();
        let [name, kind, default, doc] = parts[..] else { return Err(line) };
        let kind = match kind {
            "boolean" => BOOLEAN,
            "string" => STRING,
            "int" => INT,
            "short" => SHORT,
            "long" => LONG,
            "double" => DOUBLE,
            "list" => LIST,
            "class" => CLASS,
            "password" => PASSWORD,
            _ => return Err(line),
        };
        let default = Some(default).filter(|default| *default != "null");
        let (name, live) = name.strip_suffix('*').map_or((name, false), |name| (name, true));
        all.push(Foreign { name, kind, default, doc, why, live });
    }
    Ok(all)
}

const MAX: i64 = i32::MAX as i64;
const NOT_SHARED: &str = "share groups are not served";
const NOT_STREAMS: &str = "streams groups are not served";
const NOT_RECEIVED: &str = "no telemetry is received";

const fn key(
    name: &'static str,
    server: Option<&'static str>,
    kind: Kind,
    default: &'static str,
    why: &'static str,
    doc: &'static str,
) -> Key {
    let (scope, section, effect) = (Scope::Server, Section::Groups, Effect::Shown(why));
    Key { name, scope, section, kind, default, live: true, effect, server_key: server, doc }
}

const fn acts(name: &'static str, server: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    let (scope, section, effect) = (Scope::Server, Section::Groups, Effect::Acts);
    Key { name, scope, section, kind, default, live: true, effect, server_key: Some(server), doc }
}

const fn whole(min: i64, unit: Unit) -> Kind {
    Kind::Whole { min, max: MAX, unit }
}

macro_rules! bound {
    ($name:literal, $kind:literal, $rest:literal) => {
        ($name, Some(concat!($kind, "min.", $rest)), Some(concat!($kind, "max.", $rest)))
    };
}

/// Settings of a group, sorted by name.
pub static GROUP: &[Key] = &[
    acts(
        "consumer.assignment.interval.ms",
        "group.consumer.assignment.interval.ms",
        whole(0, Unit::Ms),
        "1000",
        "Shortest time between two assignments of the group. Where nobody sets it, nothing waits.",
    ),
    acts(
        "consumer.heartbeat.interval.ms",
        "group.consumer.heartbeat.interval.ms",
        whole(1, Unit::Ms),
        "5000",
        "How often its members are told to say that they live.",
    ),
    acts(
        "consumer.session.timeout.ms",
        "group.consumer.session.timeout.ms",
        whole(1, Unit::Ms),
        "45000",
        "How long its members may be silent.",
    ),
    key(
        "errors.deadletterqueue.copy.record.enable",
        None,
        Kind::Bool,
        "false",
        NOT_SHARED,
        "Whether a record that is given up is copied, or only told of.",
    ),
    key(
        "errors.deadletterqueue.topic.name",
        None,
        Kind::Text,
        "",
        NOT_SHARED,
        "The topic for records that are given up; none by default.",
    ),
    key(
        "share.assignment.interval.ms",
        Some("group.share.assignment.interval.ms"),
        whole(0, Unit::Ms),
        "1000",
        NOT_SHARED,
        "Time between two assignments of the share group.",
    ),
    key("share.auto.offset.reset", None, Kind::Text, "latest", NOT_SHARED, "Where a new share group begins to read."),
    key(
        "share.delivery.count.limit",
        Some("group.share.delivery.count.limit"),
        whole(2, Unit::Count),
        "5",
        NOT_SHARED,
        "How often a record is given out at most.",
    ),
    key(
        "share.heartbeat.interval.ms",
        Some("group.share.heartbeat.interval.ms"),
        whole(1, Unit::Ms),
        "5000",
        NOT_SHARED,
        "How often its members are told to say that they live.",
    ),
    key(
        "share.isolation.level",
        None,
        Kind::OneOf(&["read_committed", "read_uncommitted"]),
        "read_uncommitted",
        NOT_SHARED,
        "Whether records of open transactions are given out.",
    ),
    key(
        "share.partition.max.record.locks",
        Some("group.share.partition.max.record.locks"),
        whole(100, Unit::Count),
        "2000",
        NOT_SHARED,
        "Most records of one partition that are locked at one time.",
    ),
    key(
        "share.record.lock.duration.ms",
        Some("group.share.record.lock.duration.ms"),
        whole(1000, Unit::Ms),
        "30000",
        NOT_SHARED,
        "How long a record that was given out stays locked.",
    ),
    key(
        "share.renew.acknowledge.enable",
        None,
        Kind::Bool,
        "true",
        NOT_SHARED,
        "Whether a member may lock a record for longer.",
    ),
    key(
        "share.session.timeout.ms",
        Some("group.share.session.timeout.ms"),
        whole(1, Unit::Ms),
        "45000",
        NOT_SHARED,
        "How long its members may be silent.",
    ),
    key(
        "streams.assignment.interval.ms",
        Some("group.streams.assignment.interval.ms"),
        whole(0, Unit::Ms),
        "1000",
        NOT_STREAMS,
        "Time between two assignments of the streams group.",
    ),
    key(
        "streams.assignor.name",
        Some("group.streams.assignors"),
        Kind::OneOf(&["sticky"]),
        "sticky",
        NOT_STREAMS,
        "The assignor of the streams group.",
    ),
    key(
        "streams.heartbeat.interval.ms",
        Some("group.streams.heartbeat.interval.ms"),
        whole(1, Unit::Ms),
        "5000",
        NOT_STREAMS,
        "How often its members are told to say that they live.",
    ),
    key(
        "streams.initial.rebalance.delay.ms",
        Some("group.streams.initial.rebalance.delay.ms"),
        whole(0, Unit::Ms),
        "3000",
        NOT_STREAMS,
        "How long the group waits for more members when it is new.",
    ),
    key(
        "streams.num.standby.replicas",
        Some("group.streams.num.standby.replicas"),
        whole(0, Unit::Count),
        "0",
        NOT_STREAMS,
        "Standby copies of each task.",
    ),
    key(
        "streams.rack.aware.assignment.tags",
        Some("group.streams.rack.aware.assignment.tags"),
        Kind::Text,
        "",
        NOT_STREAMS,
        "Tags of clients whose standby copies are kept apart.",
    ),
    key(
        "streams.session.timeout.ms",
        Some("group.streams.session.timeout.ms"),
        whole(1, Unit::Ms),
        "45000",
        NOT_STREAMS,
        "How long its members may be silent.",
    ),
];

/// Settings of a group that Kafka takes and lists only where they are set, sorted by name.
pub static INNER: &[Key] = &[
    acts(
        "consumer.assignor.offload.enable",
        "group.consumer.assignor.offload.enable",
        Kind::Bool,
        "true",
        "Whether a large assignment is made beside the coordinator.",
    ),
    key(
        "share.assignor.offload.enable",
        None,
        Kind::Bool,
        "true",
        NOT_SHARED,
        "Whether a large assignment is made beside the coordinator.",
    ),
    key(
        "streams.acceptable.recovery.lag",
        None,
        whole(0, Unit::Count),
        "10000",
        NOT_STREAMS,
        "How far a copy of a task may lag and still take it over.",
    ),
    key(
        "streams.assignor.offload.enable",
        None,
        Kind::Bool,
        "true",
        NOT_STREAMS,
        "Whether a large assignment is made beside the coordinator.",
    ),
    key(
        "streams.num.warmup.replicas",
        None,
        whole(0, Unit::Count),
        "2",
        NOT_STREAMS,
        "Most copies of tasks that are warmed up at a time.",
    ),
    key(
        "streams.task.offset.interval.ms",
        None,
        whole(1, Unit::Ms),
        "60000",
        NOT_STREAMS,
        "How often members tell how far their tasks are.",
    ),
];

/// The setting of a group by its name.
pub fn of_group(name: &str) -> Option<&'static Key> {
    GROUP.iter().chain(INNER).find(|key| key.name == name)
}

/// Settings of client metrics, sorted by name (KIP-714).
pub static CLIENT_METRICS: &[Key] = &[
    key("interval.ms", None, whole(0, Unit::Ms), "300000", NOT_RECEIVED, "How often clients push their metrics."),
    key("match", None, Kind::Text, "", NOT_RECEIVED, "Which clients are meant: name=pattern, comma-separated."),
    key("metrics", None, Kind::Text, "", NOT_RECEIVED, "How the names of metrics that are wanted begin."),
];

/// The longest and the shortest time between two pushes.
const PUSH_MS: std::ops::RangeInclusive<i64> = 100..=3_600_000;
/// What clients can be told apart by.
const CLIENT_PARTS: &[&str] = &[
    "client_instance_id",
    "client_id",
    "client_software_name",
    "client_software_version",
    "client_source_address",
    "client_source_port",
];

/// Kafka's type of one of these keys, which is narrower than the value alone would say.
pub fn type_of(key: &Key) -> i8 {
    match (key.name, settings::type_of(key)) {
        ("match" | "metrics" | "streams.rack.aware.assignment.tags", _) => LIST,
        (_, kind) => kind,
    }
}

/// Why a text is no value of a key, in Kafka's words.
fn words(key: &Key, text: &str) -> Option<String> {
    let wrong = key.judge(text, Numbers::Plain).err()?;
    let (min, max) = match key.kind {
        Kind::Whole { min, max, .. } => (min, max),
        Kind::Bool => return Some("Expected value to be either true or false".into()),
        Kind::OneOf(values) => return Some(format!("String must be one of: {}", values.join(", "))),
        _ => return Some(wrong.why),
    };
    let is_int = max <= MAX;
    let number = text.trim().parse::<i64>().ok().filter(|number| !is_int || i32::try_from(*number).is_ok());
    Some(match number {
        None => format!("Not a number of type {}", if is_int { "INT" } else { "LONG" }),
        Some(number) if number < min => format!("Value must be at least {min}"),
        Some(_) => format!("Value must be no more than {max}"),
    })
}

/// What the broker lets a group have: the setting, and the keys of its least and its most.
const BOUNDS: &[(&str, Option<&str>, Option<&str>)] = &[
    bound!("consumer.heartbeat.interval.ms", "group.consumer.", "heartbeat.interval.ms"),
    bound!("consumer.session.timeout.ms", "group.consumer.", "session.timeout.ms"),
    bound!("consumer.assignment.interval.ms", "group.consumer.", "assignment.interval.ms"),
    bound!("share.heartbeat.interval.ms", "group.share.", "heartbeat.interval.ms"),
    bound!("share.session.timeout.ms", "group.share.", "session.timeout.ms"),
    bound!("share.record.lock.duration.ms", "group.share.", "record.lock.duration.ms"),
    bound!("share.delivery.count.limit", "group.share.", "delivery.count.limit"),
    bound!("share.partition.max.record.locks", "group.share.", "partition.max.record.locks"),
    bound!("share.assignment.interval.ms", "group.share.", "assignment.interval.ms"),
    bound!("streams.heartbeat.interval.ms", "group.streams.", "heartbeat.interval.ms"),
    bound!("streams.session.timeout.ms", "group.streams.", "session.timeout.ms"),
    ("streams.num.standby.replicas", None, Some("group.streams.max.standby.replicas")),
    bound!("streams.assignment.interval.ms", "group.streams.", "assignment.interval.ms"),
];

/// Whether a group may have these settings; `given`: what the broker was started with.
pub fn check_group(set: &BTreeMap<String, String>, given: &BTreeMap<String, String>) -> Result<(), Refusal> {
    let bad = |why: String| Err(Refusal::new(Code::InvalidConfig, why));
    if let Some(name) = set.keys().find(|name| of_group(name).is_none()) {
        return bad(format!("Unknown group config name: {name}"));
    }
    for (name, text) in set {
        if let Some(why) = of_group(name).and_then(|key| words(key, text)) {
            return bad(format!("Invalid value {text} for configuration {name}: {why}"));
        }
    }
    let of_broker = |name: &str| -> Option<i64> {
        let default = || server_keys::named(name).map(|key| key.default);
        let default = || default().or_else(|| foreign().iter().find(|f| f.name == name).and_then(|f| f.default));
        given.get(name).map(String::as_str).or_else(default)?.trim().parse().ok()
    };
    let own = |name: &str| set.get(name)?.trim().parse::<i64>().ok();
    for (name, min, max) in BOUNDS {
        let Some(value) = own(name) else { continue };
        let bound = |key: &Option<&str>| key.and_then(of_broker);
        match (bound(min), bound(max)) {
            (Some(min), Some(max)) if !(min..=max).contains(&value) => {
                return bad(format!("{name} must be in the range {min} to {max} inclusive."));
            }
            (None, Some(max)) if value > max => return bad(format!("{name} must be less than or equal to {max}")),
            _ => {}
        }
    }
    for kind in ["consumer", "share", "streams"] {
        let value = |name: &str| own(name).or_else(|| of_broker(of_group(name)?.server_key?));
        let (session, heartbeat) = (format!("{kind}.session.timeout.ms"), format!("{kind}.heartbeat.interval.ms"));
        if value(&session).zip(value(&heartbeat)).is_some_and(|(session, heartbeat)| session <= heartbeat) {
            return bad(format!("{session} must be greater than {heartbeat}"));
        }
    }
    if set.get("errors.deadletterqueue.topic.name").is_some_and(|name| name.starts_with("__")) {
        return bad("errors.deadletterqueue.topic.name: DLQ topic name must not start with '__'".into());
    }
    Ok(())
}

/// Whether client metrics may have these settings.
pub fn check_client_metrics(set: &BTreeMap<String, String>) -> Result<(), Refusal> {
    for (name, text) in set {
        match name.as_str() {
            "metrics" => {}
            "interval.ms" => {
                if !text.trim().parse::<i64>().is_ok_and(|ms| PUSH_MS.contains(&ms)) {
                    let why = format!(
                        "Invalid value {text} for interval.ms, interval must be between 100 and 3600000 (1 hour)"
                    );
                    return Err(Refusal::new(Code::InvalidRequest, why));
                }
            }
            "match" => {
                let patterns = text.split(',').map(str::trim).filter(|pattern| !pattern.is_empty());
                for pattern in patterns {
                    let known = pattern.split_once('=').is_some_and(|(name, _)| CLIENT_PARTS.contains(&name.trim()));
                    if !known {
                        let why = format!("Illegal client matching pattern: {pattern}");
                        return Err(Refusal::new(Code::InvalidConfig, why));
                    }
                }
            }
            _ => {
                let why = format!("Unknown client metrics configuration: {name}");
                return Err(Refusal::new(Code::InvalidRequest, why));
            }
        }
    }
    Ok(())
}

/// Whether a broker may have these settings, set while it runs.
pub fn check_broker(set: &BTreeMap<String, String>) -> Result<(), Refusal> {
    let bad = |why: String| Err(Refusal::new(Code::InvalidRequest, why));
    let can_live = |name: &str| live::is_live(name) || foreign().iter().any(|f| f.live && f.name == name);
    let fixed: Vec<&str> = set.keys().map(String::as_str).filter(|name| !can_live(name)).collect();
    if !fixed.is_empty() {
        return bad(format!("Cannot update these configs dynamically: [{}]", fixed.join(", ")));
    }
    for (name, text) in set {
        let wrong = |why: &str| bad(format!("Invalid value {text} for configuration {name}: {why}"));
        if let Some(key) = server_keys::named(name) {
            if let Some(why) = words(key, text) {
                return wrong(&why);
            }
            continue;
        }
        let Some(foreign) = foreign().iter().find(|f| f.name == name) else { continue };
        let text = text.trim();
        let fits = match foreign.kind {
            BOOLEAN => text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false"),
            INT => text.parse::<i32>().is_ok(),
            SHORT => text.parse::<i16>().is_ok(),
            LONG => text.parse::<i64>().is_ok(),
            DOUBLE => text.parse::<f64>().is_ok(),
            _ => true,
        };
        let of = match foreign.kind {
            BOOLEAN => "Expected value to be either true or false",
            SHORT => "Not a number of type SHORT",
            LONG => "Not a number of type LONG",
            DOUBLE => "Not a number of type DOUBLE",
            _ => "Not a number of type INT",
        };
        if foreign.is_secret() {
            return bad(format!("{name} cannot be set here: secrets are not kept"));
        }
        if !fits {
            return wrong(of);
        }
    }
    Ok(())
}

/// The part of `docs/configuration.md` that is about these.
pub fn markdown() -> String {
    let mut text = String::from(
        "\n## Settings of Kafka's brokers that change nothing here\n\n\
         DescribeConfigs lists them, because tools look for them. Those that Kafka lets be changed while it runs (*) are \
         accepted and kept, and have no effect.\n\n\
         | setting | default | what it is in Kafka | why it has no effect |\n|---|---|---|---|\n",
    );
    let put =
        |text: &mut String, line: std::fmt::Arguments<'_>| text.write_fmt(line).expect("a string takes everything");
    for Foreign { name, default, doc, why, live, .. } in foreign() {
        let star = if *live { " *" } else { "" };
        put(&mut text, format_args!("| `{name}`{star} | {} | {doc} | {why} |\n", default.unwrap_or("")));
    }
    for (title, keys) in [("groups", GROUP), ("client metrics", CLIENT_METRICS)] {
        put(
            &mut text,
            format_args!("\n## Settings of {title}\n\nSet by Kafka clients (AlterConfigs), judged and kept.\n\n"),
        );
        text.push_str("| setting | default | what it is | why it has no effect |\n|---|---|---|---|\n");
        for key in keys {
            let why = match key.effect {
                Effect::Shown(why) => why,
                Effect::Acts => "",
            };
            put(&mut text, format_args!("| `{}` | {} | {} | {why} |\n", key.name, key.default, key.doc));
        }
    }
    text
}
