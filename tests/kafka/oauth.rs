//! OAUTHBEARER over a socket: tokens that are signed here, keys in a file, what is refused and how, sessions that end with
//! the token.

use std::io::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use interfluve::clock::Clock;
use interfluve::config::server::OauthSettings;
use interfluve::kafka::jwks::Jwks;
use interfluve::store::memory::MemDisk;
use kafka_protocol::messages::{MetadataRequest, SaslAuthenticateRequest};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::harness::{Client, Server};
use super::sasl::{NOW, asking, handshake, metadata, settings, token};

fn key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a seed")
}

fn signed(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(&json!({ "alg": "EdDSA", "kid": "one" })), part(claims));
    let signature = URL_SAFE_NO_PAD.encode(key().sign(text.as_bytes()).as_ref());
    format!("{text}.{signature}")
}

fn claims(user: &str, life_s: i64) -> Value {
    let now_s = NOW.0 / 1000;
    json!({ "iss": "me", "aud": "kafka", "sub": user, "iat": now_s, "exp": now_s + life_s })
}

fn message(jwt: &str) -> Vec<u8> {
    format!("n,,\x01auth=Bearer {jwt}\x01\x01").into_bytes()
}

async fn serving(session_ms: i64) -> (Server, Clock, NamedTempFile) {
    let mut file = NamedTempFile::new().expect("a file");
    let x = URL_SAFE_NO_PAD.encode(key().public_key().as_ref());
    let keys = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "one", "x": x }] });
    file.write_all(keys.to_string().as_bytes()).expect("written");
    let oauth = OauthSettings {
        jwks_url: format!("file://{}", file.path().display()),
        jwks_ca: "".into(),
        refresh_ms: 1000,
        retry_ms: 100,
        retry_max_ms: 1000,
        audience: vec!["kafka".into()],
        issuer: "me".into(),
        skew_ms: 30_000,
        scope_claim: "scope".into(),
        subject_claim: "sub".into(),
    };
    let jwks = Arc::new(Jwks::open(&oauth).await.expect("keys"));
    let (server, clock) = asking(settings(session_ms), Some(jwks), Arc::new(MemDisk::new())).await;
    (server, clock, file)
}

async fn log_in(client: &mut Client, jwt: &str) -> (i16, Vec<u8>, i64) {
    assert_eq!(handshake(client, 1, "OAUTHBEARER").await.error_code, 0);
    token(client, 2, &message(jwt)).await
}

#[tokio::test]
async fn a_signed_token_opens_the_door_for_as_long_as_it_is_good() {
    for (session_ms, lifetime_ms) in [(0, 600_000), (300_000, 300_000), (10_000_000, 600_000)] {
        let (server, clock, _file) = serving(session_ms).await;
        let mut client = server.client().await;
        let (code, said, got_ms) = log_in(&mut client, &signed(&claims("joe", 600))).await;
        assert_eq!((code, said.len()), (0, 0));
        // The clock is ours, but timers of the server move it on a little.
        assert!((lifetime_ms - 60_000..=lifetime_ms).contains(&got_ms), "{got_ms} is not near {lifetime_ms}");
        metadata(&mut client).await;
        // Renewed in time, it goes on.
        clock.set(NOW.plus_ms(lifetime_ms - 60_000));
        assert_eq!(log_in(&mut client, &signed(&claims("joe", 2000))).await.0, 0);
        clock.set(NOW.plus_ms(lifetime_ms));
        metadata(&mut client).await;
        clock.set(NOW.plus_ms(20_000_000));
        client.send(12, &MetadataRequest::default()).await;
        assert!(client.is_closed().await);
    }
}

#[tokio::test]
async fn whoever_comes_again_comes_as_the_same_one() {
    let (server, _, _file) = serving(0).await;
    let mut client = server.client().await;
    assert_eq!(log_in(&mut client, &signed(&claims("joe", 600))).await.0, 0);
    assert_eq!(log_in(&mut client, &signed(&claims("ann", 600))).await.0, 58);
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_token_that_is_not_taken_is_answered_in_json_and_then_refused() {
    let (server, _, _file) = serving(0).await;
    let good = signed(&claims("joe", 600));
    let unsigned =
        format!("{}.{}.", URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#), good.split('.').nth(1).expect("claims"));
    let mut strange = claims("joe", 600);
    strange["aud"] = json!("somebody else");
    for jwt in [signed(&claims("joe", -31)), unsigned, signed(&strange), "a.b.c".into(), good[..good.len() - 4].into()]
    {
        let mut client = server.client().await;
        let answer = log_in(&mut client, &jwt).await;
        assert_eq!(answer, (0, br#"{"status":"invalid_token"}"#.to_vec(), 0), "{jwt}");
        let request = SaslAuthenticateRequest::default().with_auth_bytes(bytes::Bytes::from_static(b"\x01"));
        let answer = client.ask(2, request).await;
        assert_eq!(answer.error_code, 58);
        assert_eq!(answer.error_message.as_deref(), Some(r#"{"status":"invalid_token"}"#));
        assert!(client.is_closed().await);
    }
}

#[tokio::test]
async fn what_is_asked_before_the_refusal_was_heard_closes_the_connection() {
    let (server, _, _file) = serving(0).await;
    let mut client = server.client().await;
    assert_eq!(log_in(&mut client, "a.b.c").await.0, 0);
    client.send(12, &MetadataRequest::default()).await;
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn bare_tokens_work_too() {
    let (server, _, _file) = serving(0).await;
    let mut client = server.client().await;
    assert_eq!(handshake(&mut client, 0, "OAUTHBEARER").await.error_code, 0);
    let message = message(&signed(&claims("joe", 600)));
    client.socket.write_all(&(message.len() as i32).to_be_bytes()).await.expect("sent");
    client.socket.write_all(&message).await.expect("sent");
    assert_eq!(client.socket.read_i32().await.expect("an answer"), 0);
    metadata(&mut client).await;
}

#[tokio::test]
async fn without_keys_nobody_is_let_in() {
    let (server, _) = asking(settings(0), None, Arc::new(MemDisk::new())).await;
    let mut client = server.client().await;
    let (code, json, _) = log_in(&mut client, &signed(&claims("joe", 600))).await;
    assert_eq!((code, json.starts_with(b"{\"status\"")), (0, true));
}
