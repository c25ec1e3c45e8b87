//! Logins over a socket: each mechanism, both handshakes, what is closed and what is answered, sessions that end.

use interfluve::auth::rules::Policy;
use interfluve::auth::scram::Mechanism;
use interfluve::chance::Chance;
use interfluve::clock::Clock;
use interfluve::engine::{self, Driver, Engine};
use interfluve::ids::Timestamp;
use interfluve::kafka::cx::{Cx, Options};
use interfluve::kafka::group::Settings as Groups;
use interfluve::kafka::group::coordinator::Coordinator;
use interfluve::kafka::jwks::Jwks;
use interfluve::kafka::listen::{Listener, serve};
use interfluve::kafka::sasl::Method;
use interfluve::kafka::security::{Security, Settings};
use interfluve::store::memory::MemDisk;
use kafka_protocol::messages::alter_user_scram_credentials_request::{
    ScramCredentialDeletion, ScramCredentialUpsertion,
};
use kafka_protocol::messages::{
    AlterUserScramCredentialsRequest, ApiVersionsRequest, DescribeUserScramCredentialsRequest, MetadataRequest,
    SaslAuthenticateRequest, SaslHandshakeRequest, SaslHandshakeResponse,
};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use super::harness::{Client, Server, text};

pub const NOW: Timestamp = Timestamp(1_000_000);

/// A server that asks who is there: `admin` may do everything, `alice` nothing.
pub async fn secured(session_ms: i64) -> (Server, Clock) {
    asking(settings(session_ms), None, Arc::new(MemDisk::new())).await
}

pub fn settings(session_ms: i64) -> Settings {
    Settings {
        enforced: true,
        policy: Policy { super_users: ["User:admin".to_owned()].into(), open_without_rules: false }.into(),
        methods: Method::ALL.to_vec(),
        session_ms,
        failure_delay_ms: 1,
        tokens: None,
    }
}

/// A listener that asks who is there.
pub async fn asking(settings: Settings, jwks: Option<Arc<Jwks>>, disk: Arc<MemDisk>) -> (Server, Clock) {
    let mut listener = Listener::bind("test", "127.0.0.1:0", None).await.expect("a free port");
    listener.sasl = true;
    let users = [("admin", "adminsecret"), ("alice", "alicesecret"), ("bob", "bobsecret")];
    listening_on(disk, listener, settings, &users, jwks, None).await
}

pub async fn listening(listener: Listener, settings: Settings, users: &[(&str, &str)]) -> (Server, Clock) {
    listening_on(Arc::new(MemDisk::new()), listener, settings, users, None, None).await
}

async fn listening_on(
    disk: Arc<MemDisk>,
    listener: Listener,
    settings: Settings,
    users: &[(&str, &str)],
    jwks: Option<Arc<Jwks>>,
    beside: Option<Listener>,
) -> (Server, Clock) {
    let clock = Clock::manual(NOW);
    let opened = Engine::open(engine::Options::default(), disk, clock.clone(), Chance::System, Driver::Threads).await;
    let (engine, _) = opened.expect("an empty engine opens");
    let groups = Coordinator::open(engine.clone(), Groups::default()).await.expect("no groups open");
    let users: Vec<_> = users.iter().map(|(name, password)| (name.to_string(), password.to_string())).collect();
    let mut security = Security::open(engine.clone(), settings, &users).await.expect("opened");
    if let Some(jwks) = jwks {
        security = security.with_oauth(jwks);
    }
    let cx = Arc::new(Cx::new(engine.clone(), groups, Options::default()).secured(security));
    if let Some(open) = beside {
        let cx = cx.clone();
        // For as long as the test's own tasks live.
        let (keep, stay) = watch::channel(false);
        tokio::spawn(async move {
            serve(cx, open, stay).await;
            drop(keep);
        });
    }
    let address = listener.address().expect("bound");
    let (stop, stopping) = watch::channel(false);
    let serving = tokio::spawn(serve(cx, listener, stopping));
    (Server { engine, address, stop, serving }, clock)
}

pub async fn handshake(client: &mut Client, version: i16, mechanism: &str) -> SaslHandshakeResponse {
    client.ask(version, SaslHandshakeRequest::default().with_mechanism(text(mechanism))).await
}

/// The code, our token, and how long the session lasts.
pub async fn token(client: &mut Client, version: i16, token: &[u8]) -> (i16, Vec<u8>, i64) {
    let request = SaslAuthenticateRequest::default().with_auth_bytes(bytes::Bytes::copy_from_slice(token));
    let answer = client.ask(version, request).await;
    (answer.error_code, answer.auth_bytes.to_vec(), answer.session_lifetime_ms)
}

pub async fn plain(client: &mut Client, user: &str, password: &str) -> i16 {
    assert_eq!(handshake(client, 1, "PLAIN").await.error_code, 0);
    token(client, 2, format!("\0{user}\0{password}").as_bytes()).await.0
}

pub async fn metadata(client: &mut Client) {
    client.ask(12, MetadataRequest::default()).await;
}

#[tokio::test]
async fn plain_by_every_version_opens_the_door() {
    let (server, _) = secured(0).await;
    for version in 0..=2 {
        let mut client = server.client().await;
        client
            .ask(
                3,
                ApiVersionsRequest::default()
                    .with_client_software_name(text("t"))
                    .with_client_software_version(text("1")),
            )
            .await;
        let offered = handshake(&mut client, 1, "PLAIN").await;
        assert_eq!((offered.error_code, offered.mechanisms.len()), (0, 4));
        assert_eq!(token(&mut client, version, b"\0admin\0adminsecret").await, (0, vec![], 0));
        metadata(&mut client).await;
    }
}

#[tokio::test]
async fn bare_tokens_follow_handshake_0() {
    let (server, _) = secured(0).await;
    let mut client = server.client().await;
    assert_eq!(handshake(&mut client, 0, "PLAIN").await.error_code, 0);
    client.socket.write_all(b"\0\0\0\x12\0admin\0adminsecret").await.expect("sent");
    assert_eq!(client.socket.read_i32().await.expect("an answer"), 0);
    metadata(&mut client).await;
    // A wrong one is not answered.
    let mut client = server.client().await;
    handshake(&mut client, 0, "PLAIN").await;
    client.socket.write_all(b"\0\0\0\x04\0a\0b").await.expect("sent");
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn what_is_asked_before_closes_the_connection() {
    let (server, _) = secured(0).await;
    let mut client = server.client().await;
    client.send(12, &MetadataRequest::default()).await;
    assert!(client.is_closed().await);
    // More than 64 KiB from a stranger.
    let mut client = server.client().await;
    client.socket.write_all(&(65_537i32).to_be_bytes()).await.expect("sent");
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn refusals_are_answered_and_then_the_connection_is_closed() {
    let (server, _) = secured(0).await;
    for (mechanism, first, code) in
        [("PLAIN", &b"\0admin\0wrong"[..], 58), ("PLAIN", b"\0nobody\0x", 58), ("SCRAM-SHA-256", b"junk", 58)]
    {
        let mut client = server.client().await;
        assert_eq!(handshake(&mut client, 1, mechanism).await.error_code, 0);
        assert_eq!(token(&mut client, 1, first).await.0, code);
        assert!(client.is_closed().await, "{mechanism}");
    }
    let mut client = server.client().await;
    assert_eq!(handshake(&mut client, 1, "GSSAPI").await.error_code, 33);
    assert!(client.is_closed().await);
    let mut client = server.client().await;
    assert_eq!(token(&mut client, 1, b"\0admin\0adminsecret").await.0, 34);
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_session_lives_on_when_it_is_renewed_and_ends_when_it_is_not() {
    let (server, clock) = secured(2000).await;
    let mut client = server.client().await;
    assert_eq!(handshake(&mut client, 1, "PLAIN").await.error_code, 0);
    assert_eq!(token(&mut client, 2, b"\0admin\0adminsecret").await, (0, vec![], 2000));
    metadata(&mut client).await;
    clock.set(NOW.plus_ms(1500));
    assert_eq!(plain(&mut client, "admin", "adminsecret").await, 0);
    clock.set(NOW.plus_ms(3000));
    metadata(&mut client).await;
    clock.set(NOW.plus_ms(3500));
    client.send(12, &MetadataRequest::default()).await;
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn credentials_are_set_shown_used_and_removed() {
    let (server, _) = secured(0).await;
    let mut admin = server.client().await;
    assert_eq!(plain(&mut admin, "admin", "adminsecret").await, 0);
    let salted = Mechanism::Sha256.salted(b"evesecret", b"salt", 8192);
    let set = |iterations| {
        let upsertion = ScramCredentialUpsertion::default()
            .with_name(text("eve"))
            .with_mechanism(1)
            .with_iterations(iterations)
            .with_salt(bytes::Bytes::from_static(b"salt"))
            .with_salted_password(salted.clone().into());
        AlterUserScramCredentialsRequest::default().with_upsertions(vec![upsertion])
    };
    for (iterations, code) in [(4095, 93), (16_385, 93), (8192, 0)] {
        assert_eq!(admin.ask(0, set(iterations)).await.results[0].error_code, code, "{iterations}");
    }
    let shown = admin.ask(0, DescribeUserScramCredentialsRequest::default().with_users(None)).await;
    assert_eq!(shown.results.len(), 1);
    let info = &shown.results[0].credential_infos[0];
    assert_eq!((&*shown.results[0].user, info.mechanism, info.iterations), ("eve", 1, 8192));
    let mut eve = server.client().await;
    assert_eq!(plain(&mut eve, "eve", "evesecret").await, 0);
    let delete = || {
        let deletion = ScramCredentialDeletion::default().with_name(text("eve")).with_mechanism(1);
        AlterUserScramCredentialsRequest::default().with_deletions(vec![deletion])
    };
    assert_eq!(admin.ask(0, delete()).await.results[0].error_code, 0);
    assert_eq!(admin.ask(0, delete()).await.results[0].error_code, 91);
    let mut eve = server.client().await;
    assert_eq!(plain(&mut eve, "eve", "evesecret").await, 58);
}

#[tokio::test]
async fn a_listener_that_asks_nobody_stands_beside_one_that_does() {
    let open = Listener::bind("open", "127.0.0.1:0", None).await.expect("a free port");
    let mut asks = Listener::bind("asks", "127.0.0.1:0", None).await.expect("a free port");
    asks.sasl = true;
    let address = open.address().expect("bound");
    let (disk, users) = (Arc::new(MemDisk::new()), [("admin", "adminsecret")]);
    let (mut server, _) = listening_on(disk, asks, settings(0), &users, None, Some(open)).await;
    let mut admin = server.client().await;
    assert_eq!(plain(&mut admin, "admin", "adminsecret").await, 0);
    admin.create("t", 1, &[]).await;
    server.address = address;
    let mut nobody = server.client().await;
    // Nobody asks who is there, and so it is nobody, who may do nothing.
    assert_eq!(handshake(&mut nobody, 1, "PLAIN").await.error_code, 34);
    let list = nobody.ask(12, MetadataRequest::default().with_topics(None)).await;
    assert_eq!(list.topics.len(), 0);
    let rule = super::acls::rule(super::acl_cells::TOPIC, "t", super::acl_cells::DESCRIBE);
    let rules = vec![rule.with_principal(text("User:ANONYMOUS"))];
    let answer = admin.ask(2, kafka_protocol::messages::CreateAclsRequest::default().with_creations(rules)).await;
    assert_eq!(answer.results[0].error_code, 0);
    let list = nobody.ask(12, MetadataRequest::default().with_topics(None)).await;
    assert_eq!(list.topics.len(), 1);
}
