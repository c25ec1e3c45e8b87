//! What was set for brokers and groups while the server runs, as what it means: defaults of streams, figures of groups.
//! A value that this version cannot read counts as not set. Pure.

use std::collections::BTreeMap;

use crate::config::keys::{Numbers, Value};
use crate::config::server_keys;
use crate::config::stream::StreamDefaults;
use crate::config::stream_keys::STREAM_KEYS;
use crate::kafka::group::consumer::{Own, OwnOfGroup};
use crate::kafka::overrides::{Settings, State, Thing};

/// Keys of the server, beside those that give streams their defaults, that take effect when they are set while it runs.
const KEYS: &[&str] = &[
    "max.connections",
    "max.connections.per.ip",
    "producer.id.expiration.ms",
    "group.consumer.assignment.interval.ms",
];

/// Whether a key of ours takes effect when it is set while the server runs.
pub fn is_live(name: &str) -> bool {
    KEYS.contains(&name) || STREAM_KEYS.iter().any(|key| key.server_key == Some(name))
}

/// The overrides as one broker sees them: what is set for it comes before what is set for all.
pub struct Live<'a> {
    state: &'a State,
    this: Option<&'a Settings>,
    all: Option<&'a Settings>,
}

impl Live<'_> {
    pub fn of(state: &State, node_id: i32) -> Live<'_> {
        let of = |name: String| state.of(&Thing::Broker(name));
        Live { state, this: of(node_id.to_string()), all: of(String::new()) }
    }

    fn text(&self, name: &str) -> Option<&str> {
        [self.this, self.all].into_iter().flatten().find_map(|set| set.get(name)).map(String::as_str)
    }

    /// A number that is set, if it is one its key allows.
    pub fn whole(&self, name: &str) -> Option<i64> {
        match server_keys::named(name)?.judge(self.text(name)?, Numbers::Plain) {
            Ok(Value::Whole(number)) => Some(number),
            _ => None,
        }
    }

    /// What streams get that they do not set themselves, over what the server was started with.
    pub fn defaults(&self, first: &StreamDefaults) -> StreamDefaults {
        let mut defaults = first.clone();
        for key in STREAM_KEYS {
            if let Some(text) = key.server_key.and_then(|name| self.text(name)) {
                // What cannot be read leaves what was there.
                let _ = defaults.set(key, text.trim());
            }
        }
        defaults
    }

    /// What groups have for themselves.
    pub fn of_groups(&self) -> Own {
        let of = |(thing, set): (&Thing, &Settings)| match thing {
            Thing::Group(name) => Some((name.as_str().into(), of_group(set))),
            _ => None,
        };
        let groups: BTreeMap<_, _> =
            self.state.things.iter().filter_map(of).filter(|(_, own)| *own != OwnOfGroup::default()).collect();
        let interval_ms = self.whole("group.consumer.assignment.interval.ms");
        Own { assignment_interval_ms: interval_ms.and_then(|ms| i32::try_from(ms).ok()), groups }
    }
}

fn of_group(set: &Settings) -> OwnOfGroup {
    let ms = |name: &str| set.get(name)?.trim().parse().ok();
    OwnOfGroup {
        session_timeout_ms: ms("consumer.session.timeout.ms"),
        heartbeat_interval_ms: ms("consumer.heartbeat.interval.ms"),
        assignment_interval_ms: ms("consumer.assignment.interval.ms"),
        offload: set.get("consumer.assignor.offload.enable").map(|text| text.trim().eq_ignore_ascii_case("true")),
    }
}
