//! Credentials, access rules and delegation tokens, as a machine over the stream `__auth`. Pure. No password ever comes here: who makes a
//! command has salted it already, and a record holds what SCRAM's server keeps.
//!
//! ```text
//! key                                                              value (null: taken away)
//! ["scram", user, mechanism]                                       [salt, stored key, server key, iterations]   base64
//! ["rule", kind, pattern, name, principal, host, action, verdict]  []
//! ["token", id]                                                    see `tokens`; its secret is not kept
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;

use super::rules::{Filter, Rule, Rules, Says, Subject};
use super::scram::{Credential, Mechanism};
use super::tokens::{self, Token};
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
    /// By id.
    pub tokens: BTreeMap<Arc<str>, Arc<Token>>,
}

/// How it was configured.
#[derive(Debug)]
pub struct Scratch {
    /// `delegation.token.expiry.check.interval.ms`: how often expired tokens are looked for.
    pub sweep_ms: i64,
}

impl Default for Scratch {
    fn default() -> Scratch {
        Scratch { sweep_ms: 3_600_000 }
    }
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
    Token(tokens::Command),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    Done,
    /// There is no such credential to be removed.
    NoSuchCredential,
    /// One result per rule: whether there was room for it.
    Allowed(Vec<bool>),
    Forgotten(Vec<Vec<Rule>>),
    /// The token as it is now; `None`: it is gone.
    Token(Result<Option<Arc<Token>>, tokens::Refused>),
    Full,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    Set(String, Credential),
    Unset(String, Mechanism),
    Rule(Rule),
    Unrule(Rule),
    Token(Arc<str>, Arc<Token>),
    Untoken(Arc<str>),
}

impl Machine for Auth {
    type State = State;
    type Scratch = Scratch;
    type Command = Command;
    type Reply = Reply;
    type Record = Record;
    type Effect = NoEffect;

    fn decide(
        state: &State,
        scratch: &mut Scratch,
        now: Timestamp,
        input: Input<Command, NoEffect>,
        out: &mut Vec<Step<Record, Reply, NoEffect>>,
    ) {
        let (ticket, command) = match input {
            Input::Command(ticket, command) => (ticket, command),
            Input::Tick => return sweep(state, now.plus_ms(scratch.sweep_ms.max(1)), now, out),
            Input::Done(never) => match never {},
        };
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
            Command::Token(command) => {
                let found = state.tokens.get(command.id());
                let decided = tokens::decide(found.map(|token| &**token), state.tokens.len(), now, command);
                Reply::Token(decided.map(|(id, token)| {
                    let (id, token) = (Arc::<str>::from(id), token.map(Arc::new));
                    out.push(Step::Write(match token.clone() {
                        Some(token) => Record::Token(id, token),
                        None => Record::Untoken(id),
                    }));
                    out.push(Step::WakeAt(now.plus_ms(scratch.sweep_ms.max(1))));
                    token
                }))
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
            Record::Token(id, token) => {
                state.tokens.insert(id, token);
            }
            Record::Untoken(id) => {
                state.tokens.remove(&id);
            }
        }
    }

    fn snapshot(state: &State) -> Vec<Record> {
        let credentials = state.credentials.iter();
        let credentials = credentials.map(|((user, _), credential)| Record::Set(user.clone(), credential.clone()));
        let rules = state.rules.iterate();
        let rules = rules.map(|(subject, says)| Record::Rule(Rule { subject: subject.clone(), says: says.clone() }));
        let tokens = state.tokens.iter().map(|(id, token)| Record::Token(id.clone(), token.clone()));
        credentials.chain(rules).chain(tokens).collect()
    }
}

/// Expired tokens go; while there are others, they are looked at again at `next`.
fn sweep(state: &State, next: Timestamp, now: Timestamp, out: &mut Vec<Step<Record, Reply, NoEffect>>) {
    let gone = state.tokens.iter().filter(|(_, token)| token.is_expired(now));
    let before = out.len();
    out.extend(gone.take(CHANGES_LIMIT).map(|(id, _)| Step::Write(Record::Untoken(id.clone()))));
    if out.len() - before < state.tokens.len() {
        out.push(Step::WakeAt(next));
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
            Record::Token(id, token) => (serde_json::json!(["token", &**id]), Some(token.to_json())),
            Record::Untoken(id) => (serde_json::json!(["token", &**id]), None),
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
            [of, id] if of == "token" => {
                let id: Arc<str> = text(id)?.into();
                Ok(Some(match value {
                    None => Record::Untoken(id),
                    Some(fields) => {
                        let token = Token::of_json(&fields).ok_or_else(|| malformed("a token of other fields"))?;
                        Record::Token(id, Arc::new(token))
                    }
                }))
            }
            _ => Ok(None),
        }
    }
}
