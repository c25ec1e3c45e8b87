//! SASL on one connection: which mechanism was chosen, how far it has come, who it turned out to be and until when. Pure:
//! the time, the nonce and the credentials are arguments. No password is kept or printed.
//!
//! ```text
//! SaslHandshake v0 ─► bare tokens, each behind its length          SaslHandshake v1 ─► SaslAuthenticate (KIP-152)
//! known ── SaslHandshake again, same mechanism, same user ──► known anew (KIP-368)
//! ```

use bytes::Bytes;

use crate::auth::Principal;
use crate::auth::scram::{Credential, Exchange, First, Mechanism};
use crate::ids::Timestamp;

/// Who is on the other side of a connection, as far as is known.
#[derive(Debug)]
pub struct Login {
    needed: bool,
    state: State,
    mechanism: Option<Method>,
    principal: Option<Principal>,
    expires: Option<Timestamp>,
    raw: bool,
}

enum State {
    Nothing,
    Chosen(Method),
    Proof(Box<Exchange>),
    Known,
    Failed,
}

impl std::fmt::Debug for State {
    /// Without what was exchanged.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            State::Nothing => "Nothing",
            State::Chosen(_) => "Chosen",
            State::Proof(_) => "Proof",
            State::Known => "Known",
            State::Failed => "Failed",
        })
    }
}

/// How somebody says who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Plain,
    Scram(Mechanism),
}

impl Method {
    pub const ALL: [Method; 3] = [Method::Plain, Method::Scram(Mechanism::Sha256), Method::Scram(Mechanism::Sha512)];

    pub fn name(self) -> &'static str {
        match self {
            Method::Plain => "PLAIN",
            Method::Scram(mechanism) => mechanism.name(),
        }
    }

    pub fn of(name: &str) -> Option<Method> {
        Method::ALL.into_iter().find(|method| method.name() == name)
    }
}

/// What credentials there are.
pub trait Users {
    /// What the user can be known by; somebody who fits no proof, if there is no such user.
    fn credential(&self, mechanism: Mechanism, user: &str) -> Credential;
    fn has_password(&self, user: &str, password: &str) -> bool;
}

/// What may not be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Barred {
    Unknown,
    /// The session is over and was not renewed (KIP-368).
    Expired,
}

/// Why a token was not accepted; the connection ends after this has been said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// No mechanism was chosen.
    State,
    Credentials,
}

/// What is said to a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub bytes: Bytes,
    /// For how long the client is known now: 0 for ever.
    pub lifetime_ms: i64,
}

const SASL_HANDSHAKE: i16 = 17;
const API_VERSIONS: i16 = 18;
const SASL_AUTHENTICATE: i16 = 36;

impl Login {
    pub fn new(needed: bool) -> Login {
        Login { needed, state: State::Nothing, mechanism: None, principal: None, expires: None, raw: false }
    }

    pub fn principal(&self) -> Option<&Principal> {
        self.principal.as_ref()
    }

    pub fn is_needed(&self) -> bool {
        self.needed
    }

    pub fn is_known(&self) -> bool {
        !self.needed || matches!(self.state, State::Known)
    }

    pub fn has_failed(&self) -> bool {
        matches!(self.state, State::Failed)
    }

    /// Whether the next frame is a bare token.
    pub fn is_raw(&self) -> bool {
        self.raw
    }

    /// Whether an API may be asked now.
    pub fn gate(&self, key: i16, now: Timestamp) -> Result<(), Barred> {
        if !self.needed || matches!(key, SASL_HANDSHAKE | SASL_AUTHENTICATE) {
            return Ok(());
        }
        match self.state {
            State::Known if self.expires.is_some_and(|at| at <= now) => Err(Barred::Expired),
            State::Known => Ok(()),
            _ if key == API_VERSIONS => Ok(()),
            State::Nothing | State::Chosen(_) | State::Proof(_) | State::Failed => Err(Barred::Unknown),
        }
    }

    /// A mechanism is chosen; `false`: it is none of `enabled`, or not the one this connection began with.
    pub fn choose(&mut self, name: &str, version: i16, enabled: &[Method]) -> Result<(), Refused> {
        let method = Method::of(name).filter(|method| enabled.contains(method));
        let same = |method: &Method| self.principal.is_none() || self.mechanism == Some(*method);
        match (&self.state, method.filter(same)) {
            (State::Nothing | State::Known, Some(method)) if self.needed => {
                self.mechanism = Some(method);
                self.raw = version == 0;
                self.state = State::Chosen(method);
                Ok(())
            }
            (State::Nothing | State::Known, None) if self.needed => {
                self.state = State::Failed;
                Err(Refused::Credentials)
            }
            _ => {
                self.state = if self.needed { State::Failed } else { State::Nothing };
                Err(Refused::State)
            }
        }
    }

    /// One token of the client. `session_ms`: how long somebody may stay known, 0 for ever.
    pub fn token(
        &mut self,
        token: &[u8],
        users: &dyn Users,
        nonce: &str,
        now: Timestamp,
        session_ms: i64,
    ) -> Result<Said, Refused> {
        let said = match std::mem::replace(&mut self.state, State::Failed) {
            State::Chosen(Method::Plain) => {
                let user = plain(token).filter(|(user, password)| users.has_password(user, password));
                let (user, _) = user.ok_or(Refused::Credentials)?;
                self.known(user, now, session_ms)?;
                Bytes::new()
            }
            State::Chosen(Method::Scram(mechanism)) => {
                let first = First::parse(token).map_err(|_| Refused::Credentials)?;
                if first.by_token {
                    return Err(Refused::Credentials);
                }
                let credential = users.credential(mechanism, &first.user);
                let (challenge, exchange) = first.challenge(credential, nonce);
                self.state = State::Proof(Box::new(exchange));
                return Ok(Said { bytes: challenge.into(), lifetime_ms: 0 });
            }
            State::Proof(exchange) => {
                let last = exchange.finish(token).map_err(|_| Refused::Credentials)?;
                self.known(exchange.user(), now, session_ms)?;
                last.into()
            }
            State::Nothing if !self.needed => {
                self.state = State::Nothing;
                return Err(Refused::State);
            }
            State::Nothing | State::Known | State::Failed => return Err(Refused::State),
        };
        Ok(Said { bytes: said, lifetime_ms: session_ms })
    }

    fn known(&mut self, user: &str, now: Timestamp, session_ms: i64) -> Result<(), Refused> {
        let principal = Principal::user(user);
        // Who comes again comes as the one they were.
        if self.principal.as_ref().is_some_and(|before| *before != principal) {
            return Err(Refused::Credentials);
        }
        self.principal = Some(principal);
        self.expires = (session_ms > 0).then(|| now.plus_ms(session_ms));
        self.state = State::Known;
        self.raw = false;
        Ok(())
    }
}

/// `[authorization] NUL user NUL password` (RFC 4616): user and password, if nobody is to be acted for.
fn plain(token: &[u8]) -> Option<(&str, &str)> {
    let mut parts = std::str::from_utf8(token).ok()?.split('\0');
    let (authorization, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    let sound = parts.next().is_none() && !user.is_empty() && !password.is_empty();
    (sound && (authorization.is_empty() || authorization == user)).then_some((user, password))
}

#[cfg(test)]
mod tests;
