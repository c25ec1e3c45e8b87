//! The secrets of delegation tokens: made of their ids whenever they are needed, and found again by what clients send. They
//! are in memory only; what tokens there are stands in the ledger (`auth::machine`), and nothing is decided here.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::auth::machine::State;
use crate::auth::scram::{Credential, Mechanism};
use crate::auth::tokens::{self, Lifetimes};
use crate::config::server::TokenSettings;

/// What SCRAM needs of a token takes milliseconds to make; so many are remembered.
const CREDENTIALS_KEPT: usize = 1000;

pub struct Tokens {
    /// `delegation.token.secret.key`
    key: Vec<u8>,
    pub lifetimes: Lifetimes,
    found: Mutex<Found>,
}

#[derive(Default)]
struct Found {
    /// Ids by the hash of their secrets: how long it takes to look one up tells nothing about any secret.
    by_secret: BTreeMap<[u8; 32], Arc<str>>,
    /// The hash of each id's secret.
    hashes: BTreeMap<Arc<str>, [u8; 32]>,
    credentials: BTreeMap<(Arc<str>, Mechanism), Credential>,
}

impl fmt::Debug for Tokens {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

impl Tokens {
    /// `None`: there is no key, so there are no tokens.
    pub fn of(settings: &TokenSettings) -> Option<Tokens> {
        let key = settings.secret.as_ref()?.clone().into_bytes();
        let lifetimes = Lifetimes { max_ms: settings.max_lifetime_ms, renew_ms: settings.expiry_ms };
        Some(Tokens { key, lifetimes, found: Mutex::default() })
    }

    /// A token's secret.
    pub fn hmac(&self, id: &str) -> [u8; 64] {
        tokens::hmac(&self.key, id)
    }

    /// The id of the token whose secret this is.
    pub fn find(&self, state: &State, secret: &[u8]) -> Option<Arc<str>> {
        let wanted: [u8; 32] = Sha256::digest(secret).into();
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let Found { by_secret, hashes, .. } = &mut *found;
        let good = |id: &&Arc<str>| state.tokens.contains_key(&***id);
        if let Some(id) = by_secret.get(&wanted).filter(good) {
            return Some(id.clone());
        }
        // Those that came since somebody looked last, and not those that went.
        hashes.retain(|id, _| state.tokens.contains_key(id));
        by_secret.retain(|_, id| state.tokens.contains_key(id));
        for id in state.tokens.keys() {
            if !hashes.contains_key(id) {
                let hash: [u8; 32] = Sha256::digest(tokens::hmac(&self.key, id)).into();
                hashes.insert(id.clone(), hash);
                by_secret.insert(hash, id.clone());
            }
        }
        by_secret.get(&wanted).cloned()
    }

    /// What SCRAM needs of a token.
    pub fn credential(&self, mechanism: Mechanism, id: &Arc<str>, salt: impl FnOnce() -> Bytes) -> Credential {
        let key = (id.clone(), mechanism);
        let known = self.found.lock().unwrap_or_else(PoisonError::into_inner).credentials.get(&key).cloned();
        if let Some(known) = known {
            return known;
        }
        let made = Credential::of_token(mechanism, &self.hmac(id), salt());
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.credentials.len() >= CREDENTIALS_KEPT {
            found.credentials.clear();
        }
        found.credentials.insert(key, made.clone());
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::tokens::Token;
    use crate::ids::Timestamp;

    fn state(ids: &[&str]) -> State {
        let token = Token {
            owner: "User:a".into(),
            requester: "User:a".into(),
            renewers: Vec::new(),
            issued: Timestamp(0),
            expires: Timestamp(1),
            latest: Timestamp(1),
        };
        let token = Arc::new(token);
        State { tokens: ids.iter().map(|id| (Arc::from(*id), token.clone())).collect(), ..State::default() }
    }

    #[test]
    fn tokens_are_found_by_their_secrets_as_long_as_they_are_there() {
        let settings =
            TokenSettings { secret: Some("k".into()), max_lifetime_ms: 1, expiry_ms: 1, check_interval_ms: 1 };
        let tokens = Tokens::of(&settings).expect("a key");
        let found = |ids: &[&str], of: &str| tokens.find(&state(ids), &tokens.hmac(of)).map(|id| id.to_string());
        assert_eq!(found(&["a", "b"], "b").as_deref(), Some("b"));
        assert_eq!(found(&["a", "b"], "c"), None);
        assert_eq!(found(&["a", "c"], "c").as_deref(), Some("c"));
        assert_eq!(found(&["a", "c"], "b"), None);
        assert_eq!(tokens.find(&state(&["a"]), b""), None);
        assert!(Tokens::of(&TokenSettings { secret: None, ..settings }).is_none());
        assert_eq!(format!("{tokens:?}"), "Tokens");
    }

    #[test]
    fn a_tokens_secret_is_the_hmac_of_its_id() {
        // HMAC-SHA-512("key", "The quick brown fox jumps over the lazy dog"), as published with RFC 2104's examples.
        let hmac = tokens::hmac(b"key", "The quick brown fox jumps over the lazy dog");
        assert_eq!(hmac[..8], [0xb4, 0x2a, 0xf0, 0x90, 0x57, 0xba, 0xc1, 0xe2]);
    }
}
