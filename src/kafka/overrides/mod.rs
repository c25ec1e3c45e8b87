//! What is set for things that are no topics: brokers, groups, client metrics, and the quotas of clients. A machine over
//! the stream `__overrides`. Pure. Names and values were judged before they come here.
//!
//! ```text
//! key                                        value (null: taken back)
//! ["broker", name, setting]                  "text"        name empty: all brokers
//! ["group", name, setting]                   "text"
//! ["metrics", name, setting]                 "text"
//! ["clients", user, client, address, quota]  "1048576"     each null: any · [] the default · ["name"] that one
//! ```

pub mod door;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::ids::Timestamp;
use crate::ledger::{self, Entry, Input, Machine, Malformed, NoEffect, Step};

/// Settings that may stand at once, of all things together.
pub const LIMIT: usize = 100_000;

/// A thing that settings are of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Thing {
    /// The number of a broker as text; empty: all of them.
    Broker(String),
    Group(String),
    ClientMetrics(String),
    Clients(Clients),
}

/// Clients that a quota is for: those that fit every part that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Clients {
    pub user: Option<Name>,
    pub client: Option<Name>,
    pub address: Option<Name>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Name {
    /// Everybody that has no quota by name.
    Default,
    Is(String),
}

pub type Settings = BTreeMap<String, String>;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub things: BTreeMap<Thing, Settings>,
}

impl State {
    pub fn of(&self, thing: &Thing) -> Option<&Settings> {
        self.things.get(thing)
    }
}

pub struct Overrides;

/// Settings to set, or with `None` to take back, thing by thing: all or none.
#[derive(Clone, Debug)]
pub struct Command(pub Vec<(Thing, BTreeMap<String, Option<String>>)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    Done,
    /// There is no room for so many.
    Full,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub thing: Thing,
    pub setting: String,
    /// `None`: taken back.
    pub value: Option<String>,
}

impl Machine for Overrides {
    type State = State;
    type Scratch = ();
    type Command = Command;
    type Reply = Reply;
    type Record = Record;
    type Effect = NoEffect;

    fn decide(
        state: &State,
        _: &mut (),
        _: Timestamp,
        input: Input<Command, NoEffect>,
        out: &mut Vec<Step<Record, Reply, NoEffect>>,
    ) {
        let Input::Command(ticket, Command(changes)) = input else { return };
        let mut records = Vec::new();
        for (thing, settings) in changes {
            let now = state.of(&thing);
            let differ =
                settings.into_iter().filter(|(name, value)| now.and_then(|now| now.get(name)) != value.as_ref());
            records.extend(differ.map(|(setting, value)| Record { thing: thing.clone(), setting, value }));
        }
        let standing: usize = state.things.values().map(BTreeMap::len).sum();
        let more = records.iter().filter(|record| record.value.is_some()).count();
        if more > 0 && standing + more > LIMIT {
            return out.push(Step::Reply(ticket, Reply::Full));
        }
        out.extend(records.into_iter().map(Step::Write));
        out.push(Step::Reply(ticket, Reply::Done));
    }

    fn apply(state: &mut State, record: &Record) {
        let Record { thing, setting, value } = record.clone();
        match value {
            Some(value) => {
                state.things.entry(thing).or_default().insert(setting, value);
            }
            None => {
                if let Some(settings) = state.things.get_mut(&thing) {
                    settings.remove(&setting);
                    if settings.is_empty() {
                        state.things.remove(&thing);
                    }
                }
            }
        }
    }

    fn snapshot(state: &State) -> Vec<Record> {
        let of = |(thing, settings): (&Thing, &Settings)| {
            let record = |(setting, value): (&String, &String)| Record {
                thing: thing.clone(),
                setting: setting.clone(),
                value: Some(value.clone()),
            };
            settings.iter().map(record).collect::<Vec<_>>()
        };
        state.things.iter().flat_map(of).collect()
    }
}

impl ledger::Record for Record {
    fn encode(&self) -> Entry {
        let part = |part: &Option<Name>| match part {
            None => Value::Null,
            Some(Name::Default) => json!([]),
            Some(Name::Is(name)) => json!([name]),
        };
        let key = match &self.thing {
            Thing::Broker(name) => json!(["broker", name, self.setting]),
            Thing::Group(name) => json!(["group", name, self.setting]),
            Thing::ClientMetrics(name) => json!(["metrics", name, self.setting]),
            Thing::Clients(Clients { user, client, address }) => {
                json!(["clients", part(user), part(client), part(address), self.setting])
            }
        };
        let bytes = |value: Value| Bytes::from(value.to_string());
        Entry { key: Some(bytes(key)), value: self.value.as_ref().map(|value| bytes(json!(value))), within: None }
    }

    fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Option<Record>, Malformed> {
        let malformed = |why: &str| Malformed(format!("a record of __overrides: {why}"));
        let key = key.ok_or_else(|| malformed("no key"))?;
        let key: Vec<Value> = serde_json::from_slice(key).map_err(|error| malformed(&error.to_string()))?;
        let value: Option<String> =
            value.map(serde_json::from_slice).transpose().map_err(|error| malformed(&error.to_string()))?;
        let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(|| malformed("no text"));
        let part = |value: &Value| match value.as_array().map(Vec::as_slice) {
            None => Ok(None),
            Some([]) => Ok(Some(Name::Default)),
            Some([name]) => Ok(Some(Name::Is(text(name)?))),
            Some(_) => Err(malformed("two names")),
        };
        let (thing, setting) = match key.as_slice() {
            [kind, name, setting] if kind == "broker" => (Thing::Broker(text(name)?), setting),
            [kind, name, setting] if kind == "group" => (Thing::Group(text(name)?), setting),
            [kind, name, setting] if kind == "metrics" => (Thing::ClientMetrics(text(name)?), setting),
            [kind, user, client, address, setting] if kind == "clients" => {
                let clients = Clients { user: part(user)?, client: part(client)?, address: part(address)? };
                (Thing::Clients(clients), setting)
            }
            _ => return Ok(None),
        };
        Ok(Some(Record { thing, setting: text(setting)?, value }))
    }
}
