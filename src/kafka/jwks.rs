//! The keys that tokens of OAuth are judged by: read from a file, or fetched from an address, and again when they have
//! changed (KIP-768). It judges nothing itself (`auth::jwt` does). What is fetched has a limit in bytes and in time; nothing
//! a client sends says where to look.

use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONNECTION, HOST};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::auth::jwt::{self, Bad, Bearer, Demands, JWKS_LIMIT_BYTES, Keys};
use crate::config::server::OauthSettings;
use crate::ids::Timestamp;

/// How often a file is looked at.
const LOOK: Duration = Duration::from_secs(10);
/// How long fetching may take.
const FETCH_TIME: Duration = Duration::from_secs(10);
/// A token of an unknown key has keys fetched at most once in this time (Kafka's own figure).
const UNKNOWN_KEY_PAUSE: Duration = Duration::from_secs(60);

#[derive(Debug)]
enum Source {
    File(PathBuf),
    /// With those who sign its certificate, if it is to have one.
    Address(Uri, Option<Arc<ClientConfig>>),
}

/// What a file was when it was read.
type Seen = Option<(SystemTime, u64)>;

#[derive(Debug)]
pub struct Jwks {
    source: Source,
    demands: Demands,
    keys: ArcSwap<Keys>,
    /// A key was asked for that is not there.
    unknown: Notify,
    refresh: Duration,
    retry: Duration,
    retry_max: Duration,
    seen: Mutex<Seen>,
}

impl Jwks {
    /// Reads or fetches the keys. A file that cannot be read is an error, in words; an address that does not answer is asked
    /// again while the server runs, and until then no token is good.
    pub async fn open(settings: &OauthSettings) -> Result<Jwks, String> {
        let url = &settings.jwks_url;
        let wrong = |why: String| format!("sasl.oauthbearer.jwks.endpoint.url {url}: {why}");
        let source = match url.strip_prefix("file:") {
            Some(path) => Source::File(path.strip_prefix("//").unwrap_or(path).into()),
            None => {
                let uri: Uri = url.parse().map_err(|error| wrong(format!("{error}")))?;
                let tls = match uri.scheme_str() {
                    Some("https") => Some(trusting(&settings.jwks_ca)?),
                    _ => None,
                };
                Source::Address(uri, tls)
            }
        };
        let ms = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or(0).max(1));
        let jwks = Jwks {
            source,
            demands: Demands {
                audience: settings.audience.clone(),
                issuer: settings.issuer.clone(),
                skew_ms: settings.skew_ms,
                scope_claim: settings.scope_claim.clone(),
                subject_claim: settings.subject_claim.clone(),
            },
            keys: ArcSwap::default(),
            unknown: Notify::new(),
            refresh: ms(settings.refresh_ms),
            retry: ms(settings.retry_ms),
            retry_max: ms(settings.retry_max_ms),
            seen: Mutex::default(),
        };
        match (&jwks.source, jwks.refresh().await) {
            (_, Ok(())) => {}
            (Source::File(_), Err(why)) => return Err(wrong(why)),
            (Source::Address(..), Err(why)) => tracing::error!("OAUTHBEARER: no keys yet from {url}: {why}"),
        }
        Ok(jwks)
    }

    /// Whose token this is, if it is good. Our log is told what is wrong with it, and never the token.
    pub fn judge(&self, token: &str, now: Timestamp) -> Option<Bearer> {
        let judged = jwt::judge(token, &self.keys.load(), &self.demands, now);
        if judged == Err(Bad::UnknownKey) {
            self.unknown.notify_one();
        }
        judged.inspect_err(|why| tracing::info!(?why, "OAUTHBEARER: a token is not taken")).ok()
    }

    /// Takes the keys as they are now.
    pub async fn refresh(&self) -> Result<(), String> {
        let bytes = match &self.source {
            Source::File(path) => {
                // First its age: what is written while it is read is found by the next look.
                *self.seen() = look(path);
                read(path)?
            }
            Source::Address(uri, tls) => {
                timeout(FETCH_TIME, fetch(uri, tls.clone())).await.map_err(|_| "it took too long".to_owned())??
            }
        };
        self.keys.store(Arc::new(Keys::parse(&bytes)?));
        Ok(())
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks after the keys for ever. Those that were good stay good while new ones cannot be had.
    pub async fn follow(self: Arc<Jwks>) {
        let mut pause = self.retry;
        let mut failed = self.keys.load().is_empty();
        loop {
            match &self.source {
                Source::File(path) => {
                    sleep(LOOK).await;
                    if *self.seen() == look(path) {
                        continue;
                    }
                }
                Source::Address(..) if failed => {
                    sleep(pause.min(self.retry_max)).await;
                    pause = pause.saturating_mul(2).min(self.retry_max);
                }
                Source::Address(..) => {
                    let at_least = self.refresh.min(UNKNOWN_KEY_PAUSE);
                    sleep(at_least).await;
                    tokio::select! {
                        () = self.unknown.notified() => {}
                        () = sleep(self.refresh.saturating_sub(at_least)) => {}
                    }
                }
            }
            let taken = self.refresh().await;
            failed = taken.is_err();
            match taken {
                Ok(()) => {
                    pause = self.retry;
                    tracing::debug!(keys = self.keys.load().len(), "OAUTHBEARER: the keys were read again");
                }
                Err(why) => tracing::error!("OAUTHBEARER: keys cannot be read again, the old ones stay: {why}"),
            }
        }
    }
}

fn look(path: &PathBuf) -> Seen {
    let about = fs::metadata(path).ok()?;
    Some((about.modified().ok()?, about.len()))
}

fn read(path: &PathBuf) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| error.to_string())?;
    // One byte more than is taken, so that too many are noticed.
    file.take(JWKS_LIMIT_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// Who is believed to be who they are.
fn trusting(ca: &PathBuf) -> Result<Arc<ClientConfig>, String> {
    let wrong = |why: String| format!("sasl.oauthbearer.jwks.endpoint.ca {}: {why}", ca.display());
    let mut roots = RootCertStore::empty();
    for one in CertificateDer::pem_file_iter(ca).map_err(|error| wrong(error.to_string()))? {
        roots.add(one.map_err(|error| wrong(error.to_string()))?).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("no certificate in it".into()));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

async fn fetch(uri: &Uri, tls: Option<Arc<ClientConfig>>) -> Result<Vec<u8>, String> {
    let host = uri.host().ok_or("no host in it")?;
    let port = uri.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
    let name = host.trim_start_matches('[').trim_end_matches(']');
    let socket = TcpStream::connect((name, port)).await.map_err(|error| error.to_string())?;
    match tls {
        None => get(uri, socket).await,
        Some(config) => {
            let name = ServerName::try_from(name.to_owned()).map_err(|error| error.to_string())?;
            let stream = TlsConnector::from(config).connect(name, socket).await.map_err(|error| error.to_string())?;
            get(uri, stream).await
        }
    }
}

/// One GET over a connection of its own. Redirections are not followed.
async fn get(uri: &Uri, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Result<Vec<u8>, String> {
    let (mut sender, connection) =
        http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    let request = Request::get(uri.path_and_query().map_or("/", |path| path.as_str()))
        .header(HOST, uri.authority().map_or("", |authority| authority.as_str()))
        .header(ACCEPT, "application/json")
        .header(CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| error.to_string())?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
        if answer.status() != StatusCode::OK {
            return Err(format!("it answers {}", answer.status()));
        }
        let body = Limited::new(answer.into_body(), JWKS_LIMIT_BYTES).collect().await;
        body.map(|body| body.to_bytes().to_vec()).map_err(|error| error.to_string())
    };
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        // It ends before its answer was read whole, perhaps with all of it at hand.
        _ = connection => answer.await,
    }
}

#[cfg(test)]
mod tests;
