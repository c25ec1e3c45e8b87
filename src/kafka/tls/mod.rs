//! TLS of listeners: the certificate that is shown, what is asked of clients, and files that are read again when they have
//! changed. It never speaks Kafka; a connection that is not served by TLS never comes here.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{NoClientAuth, WebPkiClientVerifier};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

use crate::auth::Principal;
use crate::config::server::ServerSettings;

pub mod name;

use name::Mapping;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(10);

/// Whether a client has to show a certificate (`ssl.client.auth`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    #[default]
    None,
    Requested,
    Required,
}

/// How it was configured; all files are PEM.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `ssl.certificate`: ours, and those between it and its root.
    pub certificate: PathBuf,
    /// `ssl.key`
    pub key: PathBuf,
    /// `ssl.client.auth`
    pub client_auth: ClientAuth,
    /// `ssl.client.ca`: who signs clients' certificates.
    pub client_ca: PathBuf,
    /// `ssl.principal.mapping.rules`
    pub mapping: Mapping,
}

impl Settings {
    /// From the server's configuration; the error is in words.
    pub fn of(settings: &ServerSettings) -> Result<Settings, String> {
        let rules = &settings.ssl_principal_mapping_rules;
        Ok(Settings {
            certificate: settings.ssl_certificate.clone(),
            key: settings.ssl_key.clone(),
            client_auth: match settings.ssl_client_auth.as_str() {
                "required" => ClientAuth::Required,
                "requested" => ClientAuth::Requested,
                _ => ClientAuth::None,
            },
            client_ca: settings.ssl_client_ca.clone(),
            mapping: Mapping::parse(rules).map_err(|why| format!("ssl.principal.mapping.rules: {why}"))?,
        })
    }
}

/// What the files were when they were read.
type Seen = Vec<Option<(SystemTime, u64)>>;

#[derive(Debug)]
pub struct Tls {
    settings: Settings,
    config: ArcSwap<ServerConfig>,
    seen: Mutex<Seen>,
}

impl Tls {
    /// Reads the files; the error is in words for whoever wrote them.
    pub fn open(settings: Settings) -> Result<Tls, String> {
        let seen = Mutex::new(look(&settings));
        let config = ArcSwap::from(read(&settings)?);
        Ok(Tls { settings, config, seen })
    }

    /// A connection's handshake, and who its client showed to be.
    pub async fn accept(&self, socket: TcpStream) -> std::io::Result<(TlsStream<TcpStream>, Option<Principal>)> {
        let stream = TlsAcceptor::from(self.config.load_full()).accept(socket).await?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[CertificateDer<'_>]>::first);
        let name = certificate.and_then(|one| name::subject(one)).and_then(|one| self.settings.mapping.name(&one));
        Ok((stream, name.map(|name| Principal::user(&name))))
    }

    /// Reads the files again if they have changed. Files that cannot be read change nothing: connections are served as
    /// before, and the log says why.
    pub fn refresh(&self) {
        let now = look(&self.settings);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if *seen == now {
            return;
        }
        match read(&self.settings) {
            Ok(config) => {
                self.config.store(config);
                *seen = now;
                tracing::info!("TLS: the files have changed; new connections are served with what they say");
            }
            Err(why) => tracing::error!("TLS: the files have changed and are not taken: {why}"),
        }
    }

    /// Looks after the files for ever.
    pub async fn follow(self: Arc<Tls>) {
        loop {
            tokio::time::sleep(LOOK).await;
            self.refresh();
        }
    }
}

fn look(settings: &Settings) -> Seen {
    let files = [&settings.certificate, &settings.key, &settings.client_ca];
    let seen = |file: &PathBuf| {
        let about = fs::metadata(file).ok()?;
        Some((about.modified().ok()?, about.len()))
    };
    files.map(seen).to_vec()
}

fn read(settings: &Settings) -> Result<Arc<ServerConfig>, String> {
    let provider = Arc::new(ring::default_provider());
    let chain = certificates(&settings.certificate, "ssl.certificate")?;
    let key = PrivateKeyDer::from_pem_file(&settings.key)
        .map_err(|error| format!("ssl.key {}: {error}", settings.key.display()))?;
    let verifier = match settings.client_auth {
        ClientAuth::None => Arc::new(NoClientAuth),
        ClientAuth::Requested | ClientAuth::Required => {
            let mut roots = RootCertStore::empty();
            for root in certificates(&settings.client_ca, "ssl.client.ca")? {
                roots.add(root).map_err(|error| format!("ssl.client.ca: {error}"))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
            let verifier = match settings.client_auth {
                ClientAuth::Requested => verifier.allow_unauthenticated(),
                _ => verifier,
            };
            verifier.build().map_err(|error| format!("ssl.client.ca: {error}"))?
        }
    };
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS: {error}"))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(|error| format!("ssl.certificate and ssl.key do not go together: {error}"))?;
    Ok(Arc::new(config))
}

fn certificates(file: &Path, key: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = file.display();
    let all = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let all = all.map_err(|error| format!("{key} {shown}: {error}"))?;
    if all.is_empty() { Err(format!("{key} {shown}: no certificate in it")) } else { Ok(all) }
}
