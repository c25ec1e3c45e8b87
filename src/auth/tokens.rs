//! Delegation tokens (KIP-48, KIP-373): what is kept of one, and the decisions about its life. Pure: its id and the time are
//! arguments. Its secret is nowhere here: whoever has the server's key makes it of the id, whenever it is needed.
//!
//! ```text
//! key            value (null: gone)
//! ["token", id]  [owner, requester, [renewers], issued, expires, expires at the latest]      times in ms since 1970
//! ```

use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha512;

use crate::ids::Timestamp;

/// Tokens that may stand at once.
pub const TOKENS_LIMIT: usize = 100_000;
/// Bytes of all names in one token.
pub const NAMES_LIMIT_BYTES: usize = 16 << 10;

/// A token, without its secret. Principals stand as text: `User:alice`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// In whose name it logs in.
    pub owner: String,
    /// Who asked for it.
    pub requester: String,
    /// Who may prolong and end it, beside the owner.
    pub renewers: Vec<String>,
    pub issued: Timestamp,
    /// It is good up to here, this instant included.
    pub expires: Timestamp,
    /// It cannot be prolonged beyond this.
    pub latest: Timestamp,
}

/// How long tokens live, as configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetimes {
    /// `delegation.token.max.lifetime.ms`
    pub max_ms: i64,
    /// `delegation.token.expiry.time.ms`
    pub renew_ms: i64,
}

impl Default for Lifetimes {
    /// Kafka's.
    fn default() -> Lifetimes {
        Lifetimes { max_ms: 7 * 24 * 3_600_000, renew_ms: 24 * 3_600_000 }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `id` is nobody's yet; `max_ms`: how long it may live at the most, or as long as is configured if it is not positive.
    Create { id: String, owner: String, requester: String, renewers: Vec<String>, max_ms: i64, lifetimes: Lifetimes },
    /// `period_ms` from now, or as long as is configured if it is not positive.
    Renew { id: String, by: String, period_ms: i64, lifetimes: Lifetimes },
    /// `period_ms` from now; at once if it is negative.
    Expire { id: String, by: String, period_ms: i64 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    NotFound,
    Expired,
    /// Whoever asked is neither its owner nor one of its renewers.
    NotYours,
    /// There is no room for another one.
    Full,
}

impl Token {
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires < now || self.latest < now
    }

    /// Whether somebody may see it without being allowed to see others'.
    pub fn concerns(&self, principal: &str) -> bool {
        self.owner == principal || self.requester == principal || self.is_renewed_by(principal)
    }

    fn is_renewed_by(&self, principal: &str) -> bool {
        self.renewers.iter().any(|renewer| renewer == principal)
    }

    /// The name its owner logs in by.
    pub fn owner_name(&self) -> &str {
        self.owner.split_once(':').map_or("", |(_, name)| name)
    }

    pub(super) fn to_json(&self) -> Value {
        json!([self.owner, self.requester, self.renewers, self.issued.0, self.expires.0, self.latest.0])
    }

    pub(super) fn of_json(fields: &[Value]) -> Option<Token> {
        let [owner, requester, renewers, issued, expires, latest] = fields else { return None };
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let time = |value: &Value| value.as_i64().map(Timestamp);
        Some(Token {
            owner: text(owner)?,
            requester: text(requester)?,
            renewers: renewers.as_array()?.iter().map(text).collect::<Option<Vec<_>>>()?,
            issued: time(issued)?,
            expires: time(expires)?,
            latest: time(latest)?,
        })
    }
}

/// What becomes of the token that a command is about; `None`: it is gone at once.
pub(super) fn decide(
    found: Option<&Token>,
    count: usize,
    now: Timestamp,
    command: Command,
) -> Result<(String, Option<Token>), Refused> {
    match command {
        Command::Create { id, owner, requester, renewers, max_ms, lifetimes } => {
            // An id that is there already would be chance itself failing.
            if count >= TOKENS_LIMIT || found.is_some() {
                return Err(Refused::Full);
            }
            let life_ms = if max_ms > 0 { max_ms.min(lifetimes.max_ms) } else { lifetimes.max_ms };
            let latest = now.plus_ms(life_ms);
            let expires = latest.min(now.plus_ms(lifetimes.renew_ms));
            Ok((id, Some(Token { owner, requester, renewers, issued: now, expires, latest })))
        }
        Command::Renew { id, by, period_ms, lifetimes } => {
            let token = its_own(found, &by, now)?;
            let period_ms = if period_ms > 0 { period_ms.min(lifetimes.renew_ms) } else { lifetimes.renew_ms };
            let expires = token.latest.min(now.plus_ms(period_ms));
            Ok((id, Some(Token { expires, ..token.clone() })))
        }
        Command::Expire { id, by, period_ms } => {
            let token = its_own(found, &by, now)?;
            let then = token.latest.min(now.plus_ms(period_ms));
            Ok((id, (period_ms >= 0).then(|| Token { expires: then, ..token.clone() })))
        }
    }
}

impl Command {
    pub(super) fn id(&self) -> &str {
        match self {
            Command::Create { id, .. } | Command::Renew { id, .. } | Command::Expire { id, .. } => id,
        }
    }
}

fn its_own<'a>(found: Option<&'a Token>, by: &str, now: Timestamp) -> Result<&'a Token, Refused> {
    let token = found.ok_or(Refused::NotFound)?;
    if token.is_expired(now) {
        return Err(Refused::Expired);
    }
    if token.owner != by && !token.is_renewed_by(by) {
        return Err(Refused::NotYours);
    }
    Ok(token)
}

/// The secret of a token: HMAC-SHA-512 of its id under the server's key (KIP-48).
pub fn hmac(key: &[u8], id: &str) -> [u8; 64] {
    let mut mac = Hmac::<Sha512>::new_from_slice(key).expect("any length will do");
    mac.update(id.as_bytes());
    mac.finalize().into_bytes().into()
}
