//! TLS over a socket: what is served, who is known by a certificate, and files that change. The certificates are for these
//! tests alone, signed by an authority whose key nobody has.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use interfluve::auth::rules::Policy;
use interfluve::kafka::listen::Listener;
use interfluve::kafka::security::Settings as Security;
use interfluve::kafka::tls::name::Mapping;
use interfluve::kafka::tls::{ClientAuth, Settings, Tls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::harness::Server;
use super::sasl::listening;

const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/tls");

fn settings(dir: &Path, client_auth: ClientAuth) -> Settings {
    Settings {
        certificate: dir.join("server.pem"),
        key: dir.join("server.key"),
        client_auth,
        client_ca: dir.join("ca.pem"),
        mapping: Mapping::default(),
    }
}

/// A server with TLS; whoever is `super_user` may do everything.
async fn secure(tls: Arc<Tls>, super_user: &str) -> Server {
    let policy = Policy { super_users: [super_user.to_owned()].into(), open_without_rules: false };
    let security = Security { enforced: true, policy: policy.into(), failure_delay_ms: 1, ..Security::default() };
    let mut listener = Listener::bind("test", "127.0.0.1:0", None).await.expect("a free port");
    listener.tls = Some(tls);
    listening(listener, security, &[]).await.0
}

async fn connect(server: &Server, certified: bool) -> std::io::Result<TlsStream<TcpStream>> {
    let file = |name: &str| Path::new(HERE).join(name);
    let certificate = |name: &str| CertificateDer::from_pem_file(file(name)).expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(certificate("ca.pem")).expect("a root");
    let config = ClientConfig::builder_with_provider(ring::default_provider().into());
    let config = config.with_safe_default_protocol_versions().expect("versions").with_root_certificates(roots);
    let config = match certified {
        true => {
            let key = PrivateKeyDer::from_pem_file(file("client.key")).expect("a key");
            config.with_client_auth_cert(vec![certificate("client.pem")], key).expect("they go together")
        }
        false => config.with_no_client_auth(),
    };
    let socket = TcpStream::connect(server.address).await?;
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, socket).await
}

/// What InitProducerId v0 answers.
async fn code(stream: &mut TlsStream<TcpStream>) -> std::io::Result<i16> {
    // Length, key, version, correlation, no client id, no transactional id, timeout.
    stream.write_all(b"\0\0\0\x10\0\x16\0\0\0\0\0\x01\xff\xff\xff\xff\0\0\0\0").await?;
    let mut answer = [0; 4 + 4 + 4 + 2 + 8 + 2];
    stream.read_exact(&mut answer).await?;
    Ok(i16::from_be_bytes([answer[12], answer[13]]))
}

#[tokio::test]
async fn a_client_is_known_by_its_certificate() {
    let tls = Tls::open(settings(Path::new(HERE), ClientAuth::Requested)).expect("sound files");
    let server = secure(Arc::new(tls), "User:CN=client,O=Tests\\, Inc.,C=DE").await;
    let mut known = connect(&server, true).await.expect("a handshake");
    assert_eq!(code(&mut known).await.expect("an answer"), 0);
    let mut nobody = connect(&server, false).await.expect("a handshake");
    assert_eq!(code(&mut nobody).await.expect("an answer"), 31);
}

#[tokio::test]
async fn a_rule_names_whoever_the_certificate_is_of() {
    let mapping = Mapping::parse("RULE:^CN=(.*?),.*$/$1/U").expect("a rule");
    let settings = Settings { mapping, ..settings(Path::new(HERE), ClientAuth::Requested) };
    let server = secure(Arc::new(Tls::open(settings).expect("sound files")), "User:CLIENT").await;
    let mut known = connect(&server, true).await.expect("a handshake");
    assert_eq!(code(&mut known).await.expect("an answer"), 0);
}

#[tokio::test]
async fn who_shows_nothing_where_something_is_required_is_not_served() {
    let tls = Tls::open(settings(Path::new(HERE), ClientAuth::Required)).expect("sound files");
    let server = secure(Arc::new(tls), "User:ANONYMOUS").await;
    // With TLS 1.3 a client hears of it with its first answer only.
    let served = match connect(&server, false).await {
        Ok(mut stream) => code(&mut stream).await,
        Err(error) => Err(error),
    };
    assert!(served.is_err());
    // Nor is who speaks no TLS at all.
    let mut plain = server.client().await;
    plain.socket.write_all(b"\0\0\0\x10\0\x16\0\0\0\0\0\x01\xff\xff\xff\xff\0\0\0\0").await.expect("sent");
    let mut rest = Vec::new();
    let _ = plain.socket.read_to_end(&mut rest).await;
    assert!(rest.first().is_none_or(|first| *first == 21), "an alert of TLS, or nothing: {rest:?}");
}

#[tokio::test]
async fn files_that_change_are_read_again_and_bad_ones_change_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let copy = |from: &str, to: &str| fs::copy(Path::new(HERE).join(from), dir.path().join(to)).expect("copied");
    for name in ["ca.pem", "server.pem", "server.key"] {
        copy(name, name);
    }
    let tls = Arc::new(Tls::open(settings(dir.path(), ClientAuth::None)).expect("sound files"));
    let server = secure(tls.clone(), "User:nobody").await;
    let shown = async || {
        let stream = connect(&server, false).await.expect("a handshake");
        let shown = stream.get_ref().1.peer_certificates().expect("shown")[0].clone();
        interfluve::kafka::tls::name::subject(&shown).expect("a subject")
    };
    assert_eq!(shown().await, "CN=server,O=Tests\\, Inc.,C=DE");
    fs::write(dir.path().join("server.pem"), "no certificate").expect("written");
    tls.refresh();
    assert_eq!(shown().await, "CN=server,O=Tests\\, Inc.,C=DE");
    copy("server2.pem", "server.pem");
    copy("server2.key", "server.key");
    tls.refresh();
    assert_eq!(shown().await, "CN=server2,O=Tests\\, Inc.,C=DE");
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let sound = || settings(Path::new(HERE), ClientAuth::Required);
    let missing = || Path::new(HERE).join("missing.pem");
    for (settings, key) in [
        (Settings { certificate: missing(), ..sound() }, "ssl.certificate"),
        (Settings { key: missing(), ..sound() }, "ssl.key"),
        (Settings { client_ca: missing(), ..sound() }, "ssl.client.ca"),
        (Settings { key: Path::new(HERE).join("client.key"), ..sound() }, "ssl.certificate and ssl.key"),
        (Settings { certificate: Path::new(HERE).join("server.key"), ..sound() }, "ssl.certificate"),
    ] {
        let why = Tls::open(settings).expect_err("refused");
        assert!(why.contains(key), "{why}");
    }
}
