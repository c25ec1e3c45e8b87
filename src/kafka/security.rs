//! Who may come in and who may do what, as the Kafka face was configured and as the ledger of credentials says. No
//! decision is taken here: `auth` and `sasl` decide. No password is kept: those of the users' file are salted when it is
//! read.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::auth::Principal;
use crate::auth::jwt::Bearer;
use crate::auth::machine::{Auth, Command, Reply, Scratch, State};
use crate::auth::rules::Policy;
use crate::auth::scram::{Credential, MIN_ITERATIONS, Mechanism};
use crate::chance::Chance;
use crate::config::server::{ServerSettings, TokenSettings};
use crate::engine::catalog::Kind;
use crate::engine::ledgers::{Effects, Ledger};
use crate::engine::{Engine, Error};
use crate::ids::Timestamp;
use crate::kafka::access::Access;
use crate::kafka::group::coordinator::Ruled;
use crate::kafka::jwks::Jwks;
use crate::kafka::ledgers;
use crate::kafka::sasl::{Method, TokenLogin, Users};
use crate::kafka::tokens::Tokens;

/// The stream whose only log credentials and rules are folded from.
pub const STREAM: &str = "__auth";

/// How it was configured.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Whether any listener asks who is there: then nothing is open to everybody any more.
    pub enforced: bool,
    pub policy: Arc<Policy>,
    /// `sasl.enabled.mechanisms`
    pub methods: Vec<Method>,
    /// `connections.max.reauth.ms`; 0: for ever.
    pub session_ms: i64,
    /// `connection.failed.authentication.delay.ms`
    pub failure_delay_ms: u64,
    /// `delegation.token.*`; without a secret there are none.
    pub tokens: Option<TokenSettings>,
}

impl Settings {
    /// From the server's configuration.
    pub fn of(settings: &ServerSettings) -> Settings {
        Settings {
            enforced: settings.kafka_listeners.iter().any(|listener| {
                listener.protocol.sasl() || (listener.protocol.tls() && settings.ssl_client_auth != "none")
            }),
            policy: Arc::new(Policy {
                super_users: settings.super_users.iter().cloned().collect(),
                open_without_rules: settings.allow_everyone_if_no_acl_found,
            }),
            methods: settings.sasl_mechanisms.iter().filter_map(|name| Method::of(name)).collect(),
            session_ms: settings.connections_max_reauth_ms,
            failure_delay_ms: u64::try_from(settings.failed_authentication_delay_ms).unwrap_or(0),
            tokens: Some(settings.tokens.clone()),
        }
    }
}

pub struct Security {
    pub settings: Settings,
    state: Arc<ArcSwap<State>>,
    ledger: Option<Ledger<Auth>>,
    /// Users of the configuration, by name and mechanism.
    configured: BTreeMap<(String, Mechanism), Credential>,
    secret: [u8; 32],
    /// `None`: there are no delegation tokens.
    pub tokens: Option<Tokens>,
    /// `None`: tokens of OAuth are not taken.
    oauth: Option<Arc<Jwks>>,
    chance: Chance,
}

impl Security {
    /// Nobody is asked who they are, everybody may do everything, nothing is kept.
    pub fn off() -> Security {
        let (state, configured) = (Arc::default(), BTreeMap::new());
        let settings = Settings::default();
        let (ledger, secret, tokens, oauth, chance) = (None, [0; 32], None, None, Chance::System);
        Security { settings, state, ledger, configured, secret, tokens, oauth, chance }
    }

    /// The same, with tokens of OAuth.
    pub fn with_oauth(self, jwks: Arc<Jwks>) -> Security {
        Security { oauth: Some(jwks), ..self }
    }

    /// Folds credentials and rules from their log, which is made if it is not there. `users`: name and password.
    pub async fn open(engine: Arc<Engine>, settings: Settings, users: &[(String, String)]) -> Result<Security, Error> {
        let log = ledgers::log_of(&engine, STREAM, Kind::Hidden, &[]).await?;
        let state: Arc<ArcSwap<State>> = Arc::default();
        let publish = {
            let state = state.clone();
            move |now: &State, _: &[Reply]| {
                let (state, now) = (state.clone(), Arc::new(now.clone()));
                let then: Box<dyn FnOnce() + Send> = Box::new(move || state.store(now));
                Some(then)
            }
        };
        let secret = *engine.secret();
        let scratch = settings.tokens.as_ref().map(|tokens| Scratch { sweep_ms: tokens.check_interval_ms });
        let scratch = scratch.unwrap_or_default();
        let ledger = Ledger::open(engine, log, scratch, Box::new(publish), Effects::none()).await?;
        let mut configured = BTreeMap::new();
        for (name, password) in users {
            for mechanism in Mechanism::ALL {
                // The salt a stranger of that name is shown too.
                let salt = Credential::of_nobody(mechanism, &secret, name).salt;
                let credential = Credential::of_password(mechanism, password, salt, MIN_ITERATIONS);
                configured.insert((name.clone(), mechanism), credential);
            }
        }
        let tokens = settings.tokens.as_ref().and_then(Tokens::of);
        let (ledger, oauth, chance) = (Some(ledger), None, Chance::System);
        Ok(Security { settings, state, ledger, configured, secret, tokens, oauth, chance })
    }

    /// Credentials and rules as they are durable now.
    pub fn state(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// `None`: nothing is kept here.
    pub async fn ask(&self, command: Command) -> Option<Result<Reply, Error>> {
        Some(self.ledger.as_ref()?.ask(command).await)
    }

    /// An id that nobody had: 22 characters, as Kafka's.
    pub fn new_token_id(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.chance.draw_u128().to_be_bytes())
    }

    /// Something nobody can guess, for a login.
    pub fn nonce(&self) -> String {
        let mut text = String::new();
        write!(text, "{:032x}", self.chance.draw_u128()).expect("a string takes everything");
        text
    }

    /// What says who may know of what; `None`: everybody may know of everything.
    pub fn ruled(&self) -> Option<Ruled> {
        self.settings.enforced.then(|| Ruled { state: self.state(), policy: self.settings.policy.clone() })
    }

    /// What `principal`, coming from `address`, may do by the rules as they are now.
    pub fn access(&self, principal: impl FnOnce() -> Principal, address: IpAddr) -> Access {
        if !self.settings.enforced {
            return Access::open();
        }
        let host = address.to_canonical().to_string();
        Access::of(self.state(), self.settings.policy.clone(), principal(), host)
    }
}

impl Users for Security {
    fn credential(&self, mechanism: Mechanism, user: &str) -> Credential {
        let key = (user.to_owned(), mechanism);
        let state = self.state.load();
        let found = state.credentials.get(&key).or_else(|| self.configured.get(&key));
        found.cloned().unwrap_or_else(|| Credential::of_nobody(mechanism, &self.secret, user))
    }

    /// What was set by an administrator hides what the configuration says.
    fn has_password(&self, user: &str, password: &str) -> bool {
        let state = self.state.load();
        let known = state.of_user(user).next();
        let known = known.or_else(|| self.configured.get(&(user.to_owned(), Mechanism::Sha256)));
        match known {
            Some(credential) => credential.fits_password(password),
            // As long as for somebody who is there.
            None => Credential::of_nobody(Mechanism::Sha256, &self.secret, user).fits_password(password),
        }
    }

    fn token(&self, mechanism: Mechanism, id: &str, now: Timestamp) -> Option<(Credential, TokenLogin)> {
        let tokens = self.tokens.as_ref()?;
        let state = self.state.load();
        let (id, token) = state.tokens.get_key_value(id).filter(|(_, token)| !token.is_expired(now))?;
        let salt = || Credential::of_nobody(mechanism, &self.secret, id).salt;
        let login = TokenLogin { owner: token.owner_name().to_owned(), expires: token.expires.min(token.latest) };
        Some((tokens.credential(mechanism, id, salt), login))
    }

    fn bearer(&self, token: &str, now: Timestamp) -> Option<Bearer> {
        self.oauth.as_ref()?.judge(token, now)
    }
}
