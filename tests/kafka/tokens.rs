//! Delegation tokens over a socket: who may ask for them, what is answered, logins by them, sessions that end with them,
//! and what a restart leaves.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use interfluve::auth::scram::Mechanism;
use interfluve::clock::Clock;
use interfluve::config::server::TokenSettings;
use interfluve::ids::Timestamp;
use interfluve::kafka::security::Settings;
use interfluve::store::memory::MemDisk;
use kafka_protocol::messages::create_delegation_token_request::CreatableRenewers;
use kafka_protocol::messages::describe_delegation_token_request::DescribeDelegationTokenOwner;
use kafka_protocol::messages::{
    CreateAclsRequest, CreateDelegationTokenRequest, CreateDelegationTokenResponse, DescribeDelegationTokenRequest,
    ExpireDelegationTokenRequest, MetadataRequest, RenewDelegationTokenRequest,
};

use super::acl_cells::{CREATE_TOKENS, DESCRIBE, DESCRIBE_TOKENS, TOKEN, USER};
use super::acls::rule;
use super::harness::{Client, Server, server, text};
use super::sasl::{NOW, asking, handshake, metadata, plain, secured, settings, token};

const DAY_MS: i64 = 24 * 3_600_000;
const DISABLED: i16 = 61;
const NOT_FOUND: i16 = 62;
const OWNER_MISMATCH: i16 = 63;
const NOT_ALLOWED: i16 = 64;
const UNAUTHORIZED: i16 = 65;
const EXPIRED: i16 = 66;
const INVALID_PRINCIPAL_TYPE: i16 = 67;

/// Tokens for a day, a week at most.
async fn with_tokens(disk: Arc<MemDisk>) -> (Server, Clock) {
    let tokens = TokenSettings {
        secret: Some("a secret".into()),
        max_lifetime_ms: 7 * DAY_MS,
        expiry_ms: DAY_MS,
        check_interval_ms: 7 * DAY_MS,
    };
    asking(Settings { tokens: Some(tokens), ..settings(0) }, None, disk).await
}

async fn known(server: &Server, user: &str) -> Client {
    let mut client = server.client().await;
    assert_eq!(plain(&mut client, user, &format!("{user}secret")).await, 0);
    client
}

fn create(renewers: &[&str]) -> CreateDelegationTokenRequest {
    let renewer =
        |name: &&str| CreatableRenewers::default().with_principal_type(text("User")).with_principal_name(text(name));
    CreateDelegationTokenRequest::default()
        .with_owner_principal_name(None)
        .with_owner_principal_type(None)
        .with_renewers(renewers.iter().map(renewer).collect())
        .with_max_lifetime_ms(-1)
}

fn owned_by(name: &str) -> CreateDelegationTokenRequest {
    create(&[]).with_owner_principal_type(Some(text("User"))).with_owner_principal_name(Some(text(name)))
}

async fn created(client: &mut Client, request: CreateDelegationTokenRequest) -> CreateDelegationTokenResponse {
    let answer = client.ask(3, request).await;
    assert_eq!(answer.error_code, 0);
    answer
}

/// The code, and the time in ms after the start.
async fn renew(client: &mut Client, hmac: &[u8], period_ms: i64) -> (i16, i64) {
    let request =
        RenewDelegationTokenRequest::default().with_hmac(hmac.to_vec().into()).with_renew_period_ms(period_ms);
    let answer = client.ask(2, request).await;
    (answer.error_code, answer.expiry_timestamp_ms)
}

async fn expire(client: &mut Client, hmac: &[u8], period_ms: i64) -> (i16, i64) {
    let request =
        ExpireDelegationTokenRequest::default().with_hmac(hmac.to_vec().into()).with_expiry_time_period_ms(period_ms);
    let answer = client.ask(2, request).await;
    (answer.error_code, answer.expiry_timestamp_ms)
}

/// The code, and the owners of the tokens that are seen, or of those that were asked for.
async fn seen(client: &mut Client, of: Option<&[&str]>) -> (i16, Vec<String>) {
    let owner = |name: &&str| {
        DescribeDelegationTokenOwner::default().with_principal_type(text("User")).with_principal_name(text(name))
    };
    let owners = of.map(|names| names.iter().map(owner).collect());
    let answer = client.ask(3, DescribeDelegationTokenRequest::default().with_owners(owners)).await;
    let mut names: Vec<String> = answer.tokens.iter().map(|token| token.principal_name.to_string()).collect();
    names.sort_unstable();
    (answer.error_code, names)
}

/// What is answered to the proof: the code and how long the session lasts.
async fn by_token(client: &mut Client, mechanism: Mechanism, id: &str, hmac: &[u8]) -> (i16, i64) {
    assert_eq!(handshake(client, 1, mechanism.name()).await.error_code, 0);
    let first = format!("n={id},r=abc,tokenauth=true");
    let (code, challenge, _) = token(client, 2, format!("n,,{first}").as_bytes()).await;
    if code != 0 {
        return (code, 0);
    }
    let challenge = String::from_utf8(challenge).expect("text");
    let field = |name: &str| challenge.split(',').find_map(|field| field.strip_prefix(name)).expect("a field");
    let salt = STANDARD.decode(field("s=")).expect("base64");
    let salted = mechanism.salted(STANDARD.encode(hmac).as_bytes(), &salt, field("i=").parse().expect("a number"));
    let key = mechanism.hmac(&salted, &[b"Client Key"]);
    let credential = interfluve::auth::scram::Credential::of_salted(mechanism, &salted, salt.into(), 4096);
    let last = format!("c=biws,r={}", field("r="));
    let signature = mechanism.hmac(&credential.stored_key, &[format!("{first},{challenge},{last}").as_bytes()]);
    let proof: Vec<u8> = key.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
    let (code, _, lifetime_ms) = token(client, 2, format!("{last},p={}", STANDARD.encode(proof)).as_bytes()).await;
    (code, lifetime_ms)
}

/// The clock is ours, but timers of the server move it on a little.
fn near(got_ms: i64, want_ms: i64) {
    assert!((want_ms - 60_000..=want_ms + 60_000).contains(&got_ms), "{got_ms} is not near {want_ms}");
}

#[tokio::test]
async fn a_token_is_made_shown_renewed_and_ended_by_every_version() {
    let (server, clock) = with_tokens(Arc::new(MemDisk::new())).await;
    let mut alice = known(&server, "alice").await;
    // The client's crate knows no version 0; what we read and write of it is compared elsewhere.
    for version in 1..=3 {
        let mut request = create(&["bob"]).with_max_lifetime_ms(3 * DAY_MS);
        if version < 3 {
            let none = CreateDelegationTokenRequest::default();
            request.owner_principal_type = none.owner_principal_type;
            request.owner_principal_name = none.owner_principal_name;
        }
        let made = alice.ask(version, request).await;
        assert_eq!((made.error_code, &*made.principal_type, &*made.principal_name), (0, "User", "alice"));
        let now_ms = made.issue_timestamp_ms;
        let times = (made.issue_timestamp_ms, made.expiry_timestamp_ms, made.max_timestamp_ms);
        assert_eq!(times, (now_ms, now_ms + DAY_MS, now_ms + 3 * DAY_MS));
        assert_eq!((made.token_id.len(), made.hmac.len()), (22, 64));
        let shown = alice.ask(version, DescribeDelegationTokenRequest::default().with_owners(None)).await;
        assert_eq!((shown.error_code, shown.tokens.len()), (0, 1));
        let shown = &shown.tokens[0];
        assert_eq!((&shown.token_id, &shown.hmac), (&made.token_id, &made.hmac));
        assert_eq!((shown.issue_timestamp, shown.expiry_timestamp, shown.max_timestamp), times);
        assert_eq!(&*shown.renewers[0].principal_name, "bob");
        if version == 3 {
            assert_eq!(
                (&*made.token_requester_principal_name, &*shown.token_requester_principal_name),
                ("alice", "alice")
            );
        }
        let other = version.min(2);
        clock.set(Timestamp(now_ms + 10_000));
        let hmac = made.hmac.clone();
        let request = RenewDelegationTokenRequest::default().with_hmac(hmac.clone()).with_renew_period_ms(-1);
        let renewed = alice.ask(other, request).await;
        assert_eq!(renewed.error_code, 0);
        near(renewed.expiry_timestamp_ms, now_ms + 10_000 + DAY_MS);
        let request = ExpireDelegationTokenRequest::default().with_hmac(hmac).with_expiry_time_period_ms(-1);
        let ended = alice.ask(other, request).await;
        assert_eq!((ended.error_code, ended.expiry_timestamp_ms), (0, -1));
        assert_eq!(seen(&mut alice, None).await, (0, vec![]));
    }
}

#[tokio::test]
async fn without_a_secret_there_are_no_tokens() {
    let (server, _) = secured(0).await;
    let mut alice = known(&server, "alice").await;
    let refused = alice.ask(3, create(&[])).await;
    assert_eq!((refused.error_code, &*refused.principal_name, refused.issue_timestamp_ms), (DISABLED, "alice", 0));
    assert_eq!(renew(&mut alice, b"x", -1).await, (DISABLED, 0));
    assert_eq!(expire(&mut alice, b"x", -1).await, (DISABLED, 0));
    assert_eq!(seen(&mut alice, None).await, (DISABLED, vec![]));
}

#[tokio::test]
async fn who_did_not_say_who_they_are_gets_no_tokens() {
    let server = server().await;
    let mut client = server.client().await;
    let refused = client.ask(3, create(&[])).await;
    assert_eq!(
        (refused.error_code, &*refused.principal_name, refused.issue_timestamp_ms),
        (NOT_ALLOWED, "ANONYMOUS", -1)
    );
    assert_eq!(renew(&mut client, b"x", -1).await, (NOT_ALLOWED, -1));
    assert_eq!(expire(&mut client, b"x", -1).await, (NOT_ALLOWED, -1));
    assert_eq!(seen(&mut client, None).await, (NOT_ALLOWED, vec![]));
}

#[tokio::test]
async fn a_token_logs_in_as_its_owner_and_makes_no_other_token() {
    let (server, clock) = with_tokens(Arc::new(MemDisk::new())).await;
    let mut alice = known(&server, "alice").await;
    let made = created(&mut alice, create(&[])).await;
    for mechanism in Mechanism::ALL {
        let mut client = server.client().await;
        let (code, lifetime_ms) = by_token(&mut client, mechanism, &made.token_id, &made.hmac).await;
        assert_eq!(code, 0);
        near(lifetime_ms, DAY_MS);
        metadata(&mut client).await;
        let refused = client.ask(3, create(&[])).await;
        assert_eq!((refused.error_code, &*refused.principal_name), (NOT_ALLOWED, "alice"));
        assert_eq!(renew(&mut client, &made.hmac, -1).await.0, NOT_ALLOWED);
    }
    // The session is over with the token.
    let mut client = server.client().await;
    assert_eq!(by_token(&mut client, Mechanism::Sha256, &made.token_id, &made.hmac).await.0, 0);
    clock.set(Timestamp(made.expiry_timestamp_ms));
    client.send(12, &MetadataRequest::default()).await;
    assert!(client.is_closed().await);
    // A wrong secret, an id that nobody has, a token that has expired.
    for (id, hmac, at_ms) in [
        (&*made.token_id, &b"wrong"[..], 0),
        ("AAAAAAAAAAAAAAAAAAAAAA", &made.hmac[..], 0),
        (&*made.token_id, &made.hmac[..], DAY_MS + 600_000),
    ] {
        clock.set(NOW.plus_ms(at_ms));
        let mut client = server.client().await;
        assert_eq!(by_token(&mut client, Mechanism::Sha256, id, hmac).await.0, 58, "{id} {at_ms}");
        assert!(client.is_closed().await);
    }
}

#[tokio::test]
async fn the_name_of_a_token_is_no_user_and_its_secret_no_password() {
    let (server, _) = with_tokens(Arc::new(MemDisk::new())).await;
    let mut alice = known(&server, "alice").await;
    let made = created(&mut alice, create(&[])).await;
    let mut client = server.client().await;
    assert_eq!(plain(&mut client, &made.token_id, &STANDARD.encode(&made.hmac)).await, 58);
}

#[tokio::test]
async fn owners_and_renewers_change_a_token_and_others_do_not() {
    let (server, clock) = with_tokens(Arc::new(MemDisk::new())).await;
    let (mut alice, mut bob) = (known(&server, "alice").await, known(&server, "bob").await);
    let mut admin = known(&server, "admin").await;
    let shared = created(&mut alice, create(&["bob"])).await;
    let own = created(&mut alice, create(&[])).await;
    let (code, expires_ms) = renew(&mut bob, &shared.hmac, 3_600_000).await;
    assert_eq!(code, 0);
    near(expires_ms, NOW.0 + 3_600_000);
    assert_eq!(renew(&mut bob, &own.hmac, 1000).await, (OWNER_MISMATCH, 0));
    // Not even who may do everything.
    assert_eq!(expire(&mut admin, &own.hmac, -1).await, (OWNER_MISMATCH, 0));
    assert_eq!(expire(&mut alice, &own.hmac, 30 * DAY_MS).await, (0, own.max_timestamp_ms));
    assert_eq!(renew(&mut alice, b"nobody's", -1).await, (NOT_FOUND, 0));
    clock.set(Timestamp(expires_ms + 1));
    assert_eq!(renew(&mut bob, &shared.hmac, -1).await, (EXPIRED, 0));
    assert_eq!(expire(&mut alice, &shared.hmac, -1).await, (EXPIRED, 0));
    let wrong = CreatableRenewers::default().with_principal_type(text("Group")).with_principal_name(text("x"));
    let refused = alice.ask(3, create(&[]).with_renewers(vec![wrong])).await;
    assert_eq!((refused.error_code, refused.max_timestamp_ms), (INVALID_PRINCIPAL_TYPE, -1));
    let many = vec!["x".repeat(1000); 20];
    let refused = alice.ask(3, create(&many.iter().map(String::as_str).collect::<Vec<_>>())).await;
    assert_eq!(refused.error_code, 42);
}

#[tokio::test]
async fn rules_say_whose_tokens_are_made_and_seen() {
    let (server, _) = with_tokens(Arc::new(MemDisk::new())).await;
    let (mut alice, mut bob) = (known(&server, "alice").await, known(&server, "bob").await);
    let mut admin = known(&server, "admin").await;
    created(&mut alice, create(&[])).await;
    let bobs = created(&mut bob, create(&[])).await;
    assert_eq!(seen(&mut alice, None).await.1, ["alice"]);
    assert_eq!(seen(&mut alice, Some(&["bob"])).await.1, [""; 0]);
    assert_eq!(seen(&mut alice, Some(&[])).await, (0, vec![]));
    assert_eq!(seen(&mut admin, None).await.1, ["alice", "bob"]);
    assert_eq!(seen(&mut admin, Some(&["bob"])).await.1, ["bob"]);
    let refused = alice.ask(3, owned_by("bob")).await;
    assert_eq!((refused.error_code, &*refused.principal_name), (UNAUTHORIZED, "bob"));
    assert_eq!(&*refused.token_requester_principal_name, "alice");
    let mut allow = async |kind, name: &str, operation| {
        let rules = vec![rule(kind, name, operation)];
        assert_eq!(admin.ask(2, CreateAclsRequest::default().with_creations(rules)).await.results[0].error_code, 0);
    };
    allow(TOKEN, &bobs.token_id, DESCRIBE).await;
    assert_eq!(seen(&mut alice, None).await.1, ["alice", "bob"]);
    allow(USER, "User:carol", CREATE_TOKENS).await;
    let carols = created(&mut alice, owned_by("carol")).await;
    assert_eq!((&*carols.principal_name, &*carols.token_requester_principal_name), ("carol", "alice"));
    // Who asked for it sees it, and may do no more with it.
    assert_eq!(seen(&mut alice, None).await.1, ["alice", "bob", "carol"]);
    assert_eq!(renew(&mut alice, &carols.hmac, -1).await.0, OWNER_MISMATCH);
    let second = created(&mut bob, create(&[])).await;
    assert_eq!(seen(&mut alice, None).await.1, ["alice", "bob", "carol"]);
    allow(USER, "User:bob", DESCRIBE_TOKENS).await;
    assert_eq!(seen(&mut alice, None).await.1, ["alice", "bob", "bob", "carol"]);
    let mut carol = server.client().await;
    assert_eq!(by_token(&mut carol, Mechanism::Sha512, &carols.token_id, &carols.hmac).await.0, 0);
    assert_ne!(second.token_id, bobs.token_id);
}

#[tokio::test]
async fn tokens_are_there_after_a_restart_with_the_same_secret() {
    let disk = Arc::new(MemDisk::new());
    let (server, _) = with_tokens(disk.clone()).await;
    let mut alice = known(&server, "alice").await;
    let made = created(&mut alice, create(&["bob"])).await;
    drop(alice);
    server.stop.send(true).expect("it listens");
    server.serving.await.expect("it ends");
    server.engine.close().await;
    let (server, _) = with_tokens(disk).await;
    let mut client = server.client().await;
    assert_eq!(by_token(&mut client, Mechanism::Sha256, &made.token_id, &made.hmac).await.0, 0);
    let mut bob = known(&server, "bob").await;
    assert_eq!(renew(&mut bob, &made.hmac, -1).await.0, 0);
}
