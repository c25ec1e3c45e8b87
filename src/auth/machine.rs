//! Credentials and access rules, as a machine over the stream `__auth`. Pure. No password ever comes here: who makes a
//! command has salted it already, and a record holds what SCRAM's server keeps.
//!
//! ```text
//! key                                                              value (null: taken away)
//! ["scram", user, mechanism]                                       [salt, stored key, server key, iterations]   base64
//! ["rule", kind, pattern, name, principal, host, action, verdict]  []
//! ```

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;

use super::rules::{Filter, Rule, Rules, Says, Subject};
use super::scram::{Credential, Mechanism};
use super::{Action, Kind, Pattern, Verdict};
use crate::ids::Timestamp;
use crate::ledger::{self, Entry, Input, Machine, Malformed, NoEffect, Step};

/// Rules that may stand at once.
pub const RULES_LIMIT: usize = 100_000;
/// Rules that one command may add or take away.
pub const CHANGES_LIMIT: usize = 10_000;
/// Credentials that may stand at once.
pub const CREDENTIALS_LIMIT: usize = 100_000;

pub struct Auth;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub credentials: BTreeMap<(String, Mechanism), Credential>,
    pub rules: Rules,
}

impl State {
    /// What `user` can be known by, weakest mechanism first.
    pub fn of_user(&self, user: &str) -> impl Iterator<Item = &Credential> {
        Mechanism::ALL.into_iter().filter_map(|mechanism| self.credentials.get(&(user.to_owned(), mechanism)))
    }
}

#[derive(Debug)]
pub enum Command {
    /// All of a user's changes at once, or none of them.
    Credentials {
        user: String,
        set: Vec<Credential>,
        remove: Vec<Mechanism>,
    },
    Allow(Vec<Rule>),
    /// Those that match any; answered filter by filter.
    Forget(Vec<Filter>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Done,
    /// There is no such credential to be removed.
    NoSuchCredential,
    /// One result per rule: whether there was room for it.
    Allowed(Vec<bool>),
    Forgotten(Vec<Vec<Rule>>),
    Full,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    Set(String, Credential),
    Unset(String, Mechanism),
    Rule(Rule),
    Unrule(Rule),
}

impl Machine for Auth {
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
        let Input::Command(ticket, command) = input else { return };
        let reply = match command {
            Command::Credentials { user, set, remove } => {
                let known = |mechanism: &Mechanism| state.credentials.contains_key(&(user.clone(), *mechanism));
                let new = set.iter().filter(|credential| !known(&credential.mechanism)).count();
                if !remove.iter().all(known) {
                    Reply::NoSuchCredential
                } else if state.credentials.len() + new > CREDENTIALS_LIMIT {
                    Reply::Full
                } else {
                    out.extend(remove.into_iter().map(|mechanism| Step::Write(Record::Unset(user.clone(), mechanism))));
                    out.extend(set.into_iter().map(|credential| Step::Write(Record::Set(user.clone(), credential))));
                    Reply::Done
                }
            }
            Command::Allow(rules) => {
                let mut new = BTreeSet::new();
                let mut there_is_room = Vec::with_capacity(rules.len());
                for rule in rules {
                    let known = state.rules.contains(&rule) || new.contains(&rule);
                    let room = known || (state.rules.len() + new.len() < RULES_LIMIT && new.len() < CHANGES_LIMIT);
                    there_is_room.push(room);
                    if room && !known {
                        new.insert(rule);
                    }
                }
                out.extend(new.into_iter().map(|rule| Step::Write(Record::Rule(rule))));
                Reply::Allowed(there_is_room)
            }
            Command::Forget(filters) => {
                let mut gone = BTreeSet::new();
                let mut forgotten = Vec::with_capacity(filters.len());
                let mut left = CHANGES_LIMIT;
                for filter in &filters {
                    let meant = state.rules.iterate().filter(|(subject, says)| filter.matches(subject, says));
                    let meant = meant.map(|(subject, says)| Rule { subject: subject.clone(), says: says.clone() });
                    let meant: Vec<Rule> = meant.take(left + 1).collect();
                    let Some(rest) = left.checked_sub(meant.len()) else {
                        out.push(Step::Reply(ticket, Reply::Full));
                        return;
                    };
                    left = rest;
                    gone.extend(meant.iter().cloned());
                    forgotten.push(meant);
                }
                out.extend(gone.into_iter().map(|rule| Step::Write(Record::Unrule(rule))));
                Reply::Forgotten(forgotten)
            }
        };
        out.push(Step::Reply(ticket, reply));
    }

    fn apply(state: &mut State, record: &Record) {
        match record.clone() {
            Record::Set(user, credential) => {
                state.credentials.insert((user, credential.mechanism), credential);
            }
            Record::Unset(user, mechanism) => {
                state.credentials.remove(&(user, mechanism));
            }
            Record::Rule(rule) => {
                state.rules.insert(rule);
            }
            Record::Unrule(rule) => {
                state.rules.remove(&rule);
            }
        }
    }

    fn snapshot(state: &State) -> Vec<Record> {
        let credentials = state.credentials.iter();
        let credentials = credentials.map(|((user, _), credential)| Record::Set(user.clone(), credential.clone()));
        let rules = state.rules.iterate();
        let rules = rules.map(|(subject, says)| Record::Rule(Rule { subject: subject.clone(), says: says.clone() }));
        credentials.chain(rules).collect()
    }
}

impl ledger::Record for Record {
    fn encode(&self) -> Entry {
        let scram = |user: &str, mechanism: Mechanism| serde_json::json!(["scram", user, mechanism.number()]);
        let rule = |Rule { subject, says }: &Rule| {
            let (kind, pattern) = (subject.kind.number(), subject.pattern.number());
            let (action, verdict) = (says.action.number(), says.verdict.number());
            serde_json::json!(["rule", kind, pattern, subject.name, says.principal, says.host, action, verdict])
        };
        let base64 = |bytes: &Bytes| STANDARD.encode(bytes);
        let (key, value) = match self {
            Record::Set(user, c) => {
                let value =
                    serde_json::json!([base64(&c.salt), base64(&c.stored_key), base64(&c.server_key), c.iterations]);
                (scram(user, c.mechanism), Some(value))
            }
            Record::Unset(user, mechanism) => (scram(user, *mechanism), None),
            Record::Rule(it) => (rule(it), Some(serde_json::json!([]))),
            Record::Unrule(it) => (rule(it), None),
        };
        let bytes = |value: Value| Bytes::from(value.to_string());
        Entry { key: Some(bytes(key)), value: value.map(bytes), within: None }
    }

    fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Option<Record>, Malformed> {
        let malformed = |why: &str| Malformed(format!("a record of __auth: {why}"));
        let parse = |bytes: &[u8]| serde_json::from_slice(bytes).map_err(|error| malformed(&error.to_string()));
        let key: Vec<Value> = parse(key.ok_or_else(|| malformed("no key"))?)?;
        let value: Option<Vec<Value>> = value.map(parse).transpose()?;
        let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(|| malformed("no text"));
        let number = |value: &Value| {
            value.as_i64().and_then(|n| i8::try_from(n).ok()).ok_or_else(|| malformed("no small number"))
        };
        match key.as_slice() {
            [kind, user, mechanism] if kind == "scram" => {
                let user = text(user)?;
                let mechanism = Mechanism::of(number(mechanism)?).ok_or_else(|| malformed("unknown mechanism"))?;
                let bytes = |value: &Value| {
                    let decoded = STANDARD.decode(text(value)?);
                    decoded.map(Bytes::from).map_err(|error| malformed(&error.to_string()))
                };
                match value.as_deref() {
                    None => Ok(Some(Record::Unset(user, mechanism))),
                    Some([salt, stored_key, server_key, iterations]) => {
                        let iterations = iterations.as_u64().and_then(|n| u32::try_from(n).ok());
                        let credential = Credential {
                            mechanism,
                            salt: bytes(salt)?,
                            stored_key: bytes(stored_key)?,
                            server_key: bytes(server_key)?,
                            iterations: iterations.ok_or_else(|| malformed("no iterations"))?,
                        };
                        Ok(Some(Record::Set(user, credential)))
                    }
                    Some(_) => Err(malformed("a credential of other fields")),
                }
            }
            [of, kind, pattern, name, principal, host, action, verdict] if of == "rule" => {
                let unknown = || malformed("an unknown number");
                let subject = Subject {
                    kind: Kind::of(number(kind)?).ok_or_else(unknown)?,
                    pattern: Pattern::of(number(pattern)?).ok_or_else(unknown)?,
                    name: text(name)?,
                };
                let says = Says {
                    principal: text(principal)?,
                    host: text(host)?,
                    action: Action::of(number(action)?).ok_or_else(unknown)?,
                    verdict: Verdict::of(number(verdict)?).ok_or_else(unknown)?,
                };
                let rule = Rule { subject, says };
                Ok(Some(if value.is_some() { Record::Rule(rule) } else { Record::Unrule(rule) }))
            }
            _ => Ok(None),
        }
    }
}
