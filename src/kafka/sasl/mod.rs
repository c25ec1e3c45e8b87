//! SASL on one connection: which mechanism was chosen, how far it has come, who it turned out to be and until when. Pure:
//! the time, the nonce and the credentials are arguments. No password is kept or printed.
//!
//! ```text
//! SaslHandshake v0 ─► bare tokens, each behind its length          SaslHandshake v1 ─► SaslAuthenticate (KIP-152)
//! known ── SaslHandshake again, same mechanism, same user ──► known anew (KIP-368)
//! ```

pub mod bearer;

use bytes::Bytes;

use crate::auth::Principal;
use crate::auth::jwt::Bearer;
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
    by_token: bool,
    raw: bool,
}

enum State {
    Nothing,
    Chosen(Method),
    /// A proof is waited for; with the delegation token that it is to prove, if it is one.
    Proof(Box<Exchange>, Option<TokenLogin>),
    /// A token of OAuth was not taken, and the client has been told so.
    Rebuffed,
    Known,
    Failed,
}

impl std::fmt::Debug for State {
    /// Without what was exchanged.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            State::Nothing => "Nothing",
            State::Chosen(_) => "Chosen",
            State::Proof(..) => "Proof",
            State::Rebuffed => "Rebuffed",
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
    OauthBearer,
}

impl Method {
    pub const ALL: [Method; 4] =
        [Method::Plain, Method::Scram(Mechanism::Sha256), Method::Scram(Mechanism::Sha512), Method::OauthBearer];

    pub fn name(self) -> &'static str {
        match self {
            Method::Plain => "PLAIN",
            Method::Scram(mechanism) => mechanism.name(),
            Method::OauthBearer => "OAUTHBEARER",
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
    /// What the delegation token of this id can be known by, if it is good now. Ids are no secret.
    fn token(&self, mechanism: Mechanism, id: &str, now: Timestamp) -> Option<(Credential, TokenLogin)>;
    /// Whose token of OAuth this is, if it is good now.
    fn bearer(&self, token: &str, now: Timestamp) -> Option<Bearer>;
}

/// As whom a delegation token logs in, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenLogin {
    pub owner: String,
    pub expires: Timestamp,
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
    /// A token of OAuth.
    Bearer,
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
        let state = State::Nothing;
        Login { needed, state, mechanism: None, principal: None, expires: None, by_token: false, raw: false }
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

    /// Whether it was a delegation token that said who is there.
    pub fn is_by_token(&self) -> bool {
        self.by_token
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
            State::Nothing | State::Chosen(_) | State::Proof(..) | State::Rebuffed | State::Failed => {
                Err(Barred::Unknown)
            }
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
        match std::mem::replace(&mut self.state, State::Failed) {
            State::Chosen(Method::Plain) => {
                let user = plain(token).filter(|(user, password)| users.has_password(user, password));
                let (user, _) = user.ok_or(Refused::Credentials)?;
                self.known(user, None, now, session_ms, Bytes::new())
            }
            State::Chosen(Method::Scram(mechanism)) => {
                let first = First::parse(token).map_err(|_| Refused::Credentials)?;
                let (credential, by_token) = match first.by_token {
                    true => {
                        let found = users.token(mechanism, &first.user, now).ok_or(Refused::Credentials)?;
                        (found.0, Some(found.1))
                    }
                    false => (users.credential(mechanism, &first.user), None),
                };
                let (challenge, exchange) = first.challenge(credential, nonce);
                self.state = State::Proof(Box::new(exchange), by_token);
                Ok(Said { bytes: challenge.into(), lifetime_ms: 0 })
            }
            State::Proof(exchange, by_token) => {
                let last = exchange.finish(token).map_err(|_| Refused::Credentials)?;
                let said = match &by_token {
                    None => self.known(exchange.user(), None, now, session_ms, last.into())?,
                    Some(token) => self.known(&token.owner, Some(token.expires), now, session_ms, last.into())?,
                };
                self.by_token = by_token.is_some();
                Ok(said)
            }
            State::Chosen(Method::OauthBearer) => {
                let first = bearer::First::parse(token).ok_or(Refused::Credentials)?;
                let Some(Bearer { user, expires }) = users.bearer(first.token, now) else {
                    self.state = State::Rebuffed;
                    let bytes = Bytes::from_static(bearer::INVALID_TOKEN.as_bytes());
                    return Ok(Said { bytes, lifetime_ms: 0 });
                };
                if first.authorization.is_some_and(|name| name != user) {
                    return Err(Refused::Credentials);
                }
                self.known(&user, Some(expires), now, session_ms, Bytes::new())
            }
            State::Rebuffed => Err(Refused::Bearer),
            State::Nothing if !self.needed => {
                self.state = State::Nothing;
                Err(Refused::State)
            }
            State::Nothing | State::Known | State::Failed => Err(Refused::State),
        }
    }

    /// Somebody has proved to be `user`, by something that is good `until` then.
    fn known(
        &mut self,
        user: &str,
        until: Option<Timestamp>,
        now: Timestamp,
        session_ms: i64,
        bytes: Bytes,
    ) -> Result<Said, Refused> {
        let principal = Principal::user(user);
        // Who comes again comes as the one they were.
        if self.principal.as_ref().is_some_and(|before| *before != principal) {
            return Err(Refused::Credentials);
        }
        let session = (session_ms > 0).then(|| now.plus_ms(session_ms));
        self.principal = Some(principal);
        self.expires = [session, until].into_iter().flatten().min();
        self.by_token = false;
        self.state = State::Known;
        self.raw = false;
        let lifetime_ms = self.expires.map_or(0, |at| at.0.saturating_sub(now.0).max(0));
        Ok(Said { bytes, lifetime_ms })
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
