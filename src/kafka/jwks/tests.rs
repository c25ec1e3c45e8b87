//! Keys from files and from a small HTTP server of our own.

use std::io::Write as _;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const ONE: &str =
    r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

fn settings(url: String) -> OauthSettings {
    OauthSettings {
        jwks_url: url,
        jwks_ca: "/no/such/file".into(),
        refresh_ms: 1,
        retry_ms: 1,
        retry_max_ms: 1,
        audience: Vec::new(),
        issuer: String::new(),
        skew_ms: 0,
        scope_claim: "scope".into(),
        subject_claim: "sub".into(),
    }
}

#[tokio::test]
async fn a_file_is_read_and_read_again_and_what_is_broken_changes_nothing() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(ONE.as_bytes()).expect("written");
    for slashes in ["", "//"] {
        let jwks = Jwks::open(&settings(format!("file:{slashes}{}", file.path().display()))).await.expect("keys");
        assert_eq!(jwks.keys.load().len(), 1);
    }
    let jwks = Jwks::open(&settings(format!("file://{}", file.path().display()))).await.expect("keys");
    file.write_all(b"x").expect("written");
    assert!(jwks.refresh().await.is_err());
    assert_eq!(jwks.keys.load().len(), 1);
    let none = Jwks::open(&settings("file:///no/such/file".into())).await.expect_err("not there");
    assert!(none.starts_with("sasl.oauthbearer.jwks.endpoint.url file:///no/such/file: "), "{none}");
}

/// Answers one connection after the other.
async fn answering(answers: Vec<String>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        for answer in answers {
            let (mut socket, _) = listener.accept().await.expect("a connection");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(socket.read_u8().await.expect("a request"));
            }
            let request = String::from_utf8(request).expect("text").to_ascii_lowercase();
            assert!(request.starts_with("get /keys?a=b http/1.1\r\n"), "{request}");
            assert!(request.contains(&format!("host: {address}\r\n")), "{request}");
            // Whoever has heard enough is gone.
            let _ = socket.write_all(answer.as_bytes()).await;
        }
    });
    format!("http://{address}/keys?a=b")
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn an_address_is_asked_until_it_has_keys_and_they_stay_when_it_has_none() {
    let huge = "x".repeat(JWKS_LIMIT_BYTES + 1);
    let url = answering(vec![
        "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n".into(),
        ok(ONE),
        "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1/\r\ncontent-length: 0\r\n\r\n".into(),
        ok(&huge),
        format!("HTTP/1.1 200 OK\r\n\r\n{huge}"),
        "garbage".into(),
        ok("{}"),
    ])
    .await;
    let jwks = Jwks::open(&settings(url)).await.expect("nobody needs keys at once");
    assert!(jwks.keys.load().is_empty());
    assert_eq!(jwks.refresh().await, Ok(()));
    for _ in 0..5 {
        assert!(jwks.refresh().await.is_err());
        assert_eq!(jwks.keys.load().len(), 1);
    }
    // Nobody listens any more.
    assert!(jwks.refresh().await.is_err());
}

#[tokio::test]
async fn keys_that_could_not_be_had_are_fetched_by_and_by() {
    let url = answering(vec!["HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n".into(), "x".into(), ok(ONE)]).await;
    let jwks = Arc::new(Jwks::open(&settings(url)).await.expect("opened"));
    let following = tokio::spawn(jwks.clone().follow());
    while jwks.keys.load().is_empty() {
        tokio::task::yield_now().await;
    }
    following.abort();
}

#[tokio::test]
async fn an_encrypted_address_needs_somebody_to_trust() {
    let none = Jwks::open(&settings("https://127.0.0.1/keys".into())).await.expect_err("no file");
    assert!(none.starts_with("sasl.oauthbearer.jwks.endpoint.ca /no/such/file: "), "{none}");
}
