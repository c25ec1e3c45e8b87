//! One port for every AWS protocol: HTTP/1.1 and HTTP/2 by prior knowledge, told apart by their first bytes.
//!
//! ```text
//! "PRI "          HTTP/2 in clear text (Java's async client, JavaScript v3)
//! A–Z, CR, LF     HTTP/1.1
//! 0x16            a TLS hello       ┐ one line in the log, then the connection is closed
//! anything else   Kafka or garbage  ┘
//! ```
//! A request is a POST to any path; `X-Amz-Target` names the operation. What the door refuses, it refuses in this order:
//! CORS preflight, method, empty body, content type, target, signature. The operation does the rest. The door
//! verifies no signature, knows no operation, and never holds a body it has not been granted memory for.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tower_service::Service;

use super::begun::{Begun, Spoken, first_bytes};
use super::body::{self, BodyError, Paid};
use super::error::Failure;
use super::sending::Sending;
use super::sigv4;
use crate::accept::Accept;
use crate::caught::caught;
use crate::engine::Engine;
use crate::metrics;

const JSON: &str = "application/x-amz-json-1.1";
const CBOR: &str = "application/x-amz-cbor-1.1";
const TARGET: HeaderName = HeaderName::from_static("x-amz-target");

/// Who is asking, and for what.
#[derive(Debug)]
pub struct Call {
    /// The operation's name, without the prefix of its service.
    pub operation: &'static str,
    pub body: Paid,
    pub caller: Caller,
}

/// The account and region a request speaks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub account: String,
    pub region: String,
}

/// The body of a successful answer; empty where the operation has no output.
pub type Answer = Result<Bytes, Failure>;
pub type Pending = Pin<Box<dyn Future<Output = Answer> + Send>>;
pub type Handler = Arc<dyn Fn(Call) -> Pending + Send + Sync>;
/// Operations by their target, `Kinesis_20131202.PutRecord`.
pub type Operations = BTreeMap<&'static str, Handler>;

/// What bounds a connection and a request.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections served at once; the next one is closed.
    pub connections: usize,
    /// From the first byte of a request to the end of its header, and the longest a connection may idle.
    pub header_ms: u64,
    /// From the end of the header to the end of the body.
    pub body_ms: u64,
    pub body_bytes: usize,
    /// A client that takes none of its answer for so long (or at most twice as long) is given up.
    pub write_ms: u64,
    /// How long requests may take to finish after the door was told to close.
    pub drain_ms: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 10_000,
            header_ms: 60_000,
            body_ms: 60_000,
            body_bytes: 16 * 1024 * 1024,
            write_ms: 60_000,
            drain_ms: 10_000,
        }
    }
}

/// Everything [`serve`] needs.
pub struct Door {
    pub engine: Arc<Engine>,
    pub operations: Operations,
    /// The account and region of a request whose signature names none.
    pub home: Caller,
    /// What is answered to GET and HEAD (health, metrics); what it has no route for is refused as AWS refuses it.
    pub pages: Router,
    pub limits: Limits,
}

/// Serves connections until `shutdown` resolves, then lets requests in flight finish (at most [`Limits::drain_ms`]).
pub async fn serve(mut door: Door, listener: TcpListener, shutdown: impl Future<Output = ()> + Send) -> io::Result<()> {
    let limits = door.limits;
    let places = Arc::new(Semaphore::new(limits.connections));
    door.pages = door.pages.fallback(no_page);
    let door = Arc::new(door);
    let (closing, closed) = watch::channel(false);
    let mut shutdown = std::pin::pin!(shutdown);
    let mut connections = tokio::task::JoinSet::new();
    let mut accept = Accept::new("aws", "aws.listen");
    loop {
        let (socket, peer) = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept.next(|| listener.accept()) => accepted,
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                ended_well(ended);
                continue;
            }
        };
        let place = places.clone().try_acquire_owned().ok();
        let Some(place) = place else {
            metrics::CONNECTIONS_REFUSED.of("too many").inc();
            continue;
        };
        let (door, closed) = (door.clone(), closed.clone());
        connections.spawn(async move {
            let _place = place;
            let _open = Open::count();
            // A small answer leaves at once; waiting for more of it would cost 40 ms. Without it we are only slower.
            let _ = socket.set_nodelay(true);
            let limit = Duration::from_millis(door.limits.header_ms);
            match tokio::time::timeout(limit, first_bytes(socket)).await {
                Ok(Ok(Spoken::Http1(io))) => http1(door, peer, io, closed).await,
                Ok(Ok(Spoken::Http2(io))) => http2(door, peer, io, closed).await,
                Ok(Ok(Spoken::Tls)) => {
                    metrics::CONNECTIONS_REFUSED.of("foreign protocol").inc();
                    tracing::warn!(%peer, "TLS arrived on the AWS port, which speaks clear text: use http://; closed");
                }
                Ok(Ok(Spoken::Foreign(byte))) => {
                    metrics::CONNECTIONS_REFUSED.of("foreign protocol").inc();
                    tracing::warn!(
                        %peer, byte,
                        "what arrived on the AWS port is not HTTP (a Kafka client at the wrong port?); closed"
                    );
                }
                Ok(Err(_)) | Err(_) => {}
            }
        });
    }
    drop(listener);
    let _ = closing.send(true);
    let drained = async {
        while let Some(ended) = connections.join_next().await {
            ended_well(ended);
        }
    };
    if tokio::time::timeout(Duration::from_millis(limits.drain_ms), drained).await.is_err() {
        tracing::warn!(open = connections.len(), "requests on the AWS port did not finish in time and were cut off");
        connections.shutdown().await;
    }
    Ok(())
}

/// Says how a connection's task ended, if it was by a panic of our own; one of a handler has been answered.
fn ended_well(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        metrics::PANICS.of("aws").inc();
        tracing::error!("serving a connection panicked on the AWS port; it was closed");
    }
}

/// A connection in the metrics, for as long as it is open.
struct Open(Arc<metrics::Gauge>);

impl Open {
    fn count() -> Open {
        metrics::CONNECTIONS_OPENED.of("aws").inc();
        let open = metrics::CONNECTIONS.of("aws");
        open.add(1);
        Open(open)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

async fn http1(door: Arc<Door>, peer: SocketAddr, io: Begun, closed: watch::Receiver<bool>) {
    let timeout = Duration::from_millis(door.limits.header_ms);
    let served = Served::new(&door, peer, closed);
    let sending = served.sending.clone();
    let service = hyper::service::service_fn(move |request| answer(door.clone(), sending.clone(), request));
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(timeout)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(io), service);
    served.run(connection, |connection| connection.graceful_shutdown()).await;
}

async fn http2(door: Arc<Door>, peer: SocketAddr, io: Begun, closed: watch::Receiver<bool>) {
    let served = Served::new(&door, peer, closed);
    let sending = served.sending.clone();
    let service = hyper::service::service_fn(move |request| answer(door.clone(), sending.clone(), request));
    let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(256)
        .max_header_list_size(64 * 1024)
        // Windows bound what one connection can make us hold before a body is granted memory.
        .initial_stream_window_size(256 * 1024)
        .initial_connection_window_size(1024 * 1024)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(30))
        .serve_connection(TokioIo::new(io), service);
    served.run(connection, |connection| connection.graceful_shutdown()).await;
}

/// A connection that is served, whatever it speaks.
struct Served {
    peer: SocketAddr,
    sending: Arc<Sending>,
    write_ms: u64,
    closed: watch::Receiver<bool>,
}

impl Served {
    fn new(door: &Door, peer: SocketAddr, closed: watch::Receiver<bool>) -> Served {
        Served { peer, sending: Arc::default(), write_ms: door.limits.write_ms, closed }
    }

    /// Until the connection ends, or its client takes nothing any more; when the door closes, until what is under way has
    /// been answered.
    async fn run<C>(mut self, connection: C, finish: impl FnOnce(Pin<&mut C>))
    where
        C: Future<Output = hyper::Result<()>>,
    {
        let mut connection = std::pin::pin!(connection);
        let serving = async {
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = told(&mut self.closed) => {
                    finish(connection.as_mut());
                    connection.await
                }
            }
        };
        tokio::select! {
            ended = serving => if let Err(error) = ended {
                tracing::debug!(peer = %self.peer, %error, "an HTTP connection ended early");
            },
            () = self.sending.stalled(self.write_ms) => {
                metrics::CONNECTIONS_REFUSED.of("deaf").inc();
                tracing::warn!(peer = %self.peer, "closed a connection on the AWS port: the client does not read its answer");
            }
        }
    }
}

/// Resolves when the door is closing.
async fn told(closed: &mut watch::Receiver<bool>) {
    // An error means that the door itself is gone, which is closing too.
    let _ = closed.wait_for(|closed| *closed).await;
}

/// Answers one request. Never fails: what goes wrong is an answer too, and so is a panic.
async fn answer(
    door: Arc<Door>,
    sending: Arc<Sending>,
    request: Request<Incoming>,
) -> Result<Response, std::convert::Infallible> {
    let request = request.map(Body::new);
    let marks = Marks::new(&door, request.method(), request.headers());
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        let (parts, _) = request.into_parts();
        let page = door.pages.clone().call(Request::from_parts(parts, Body::empty()));
        let plain = match caught(page).await {
            Ok(Ok(page)) if page.extensions().get::<NoPage>().is_none() => return Ok(page),
            Ok(Ok(_)) => Plain::denied(),
            Ok(Err(never)) => match never {},
            Err(why) => panicked("a page", &why, &marks),
        };
        return Ok(marks.dress(plain, &sending));
    }
    let target = text(request.headers(), TARGET).unwrap_or("");
    let operation = door.operations.get_key_value(target).map_or("none", |(target, _)| short(target));
    let plain = match caught(route(&door, request)).await {
        Ok(plain) => plain,
        Err(why) => panicked(operation, &why, &marks),
    };
    if let Some(error) = plain.error {
        metrics::AWS_ERRORS.of(error).inc();
    }
    Ok(marks.dress(plain, &sending))
}

/// Tells of a panic, and what its client is answered.
fn panicked(operation: &str, why: &str, marks: &Marks) -> Plain {
    metrics::PANICS.of("aws").inc();
    tracing::error!(
        operation,
        request = marks.id(),
        panic = why,
        "a request panicked; it was answered InternalFailure"
    );
    Plain::failed(JSON, &Failure::internal("Internal Service Failure"))
}

/// Marks an answer of the fallback, so that it is told from a page that answers 404 itself.
#[derive(Clone, Copy)]
struct NoPage;

async fn no_page() -> Response {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(NoPage);
    response
}

/// An answer before the headers every answer has.
struct Plain {
    status: StatusCode,
    content_type: Option<&'static str>,
    error: Option<&'static str>,
    body: Bytes,
    close: bool,
}

impl Plain {
    fn empty(status: StatusCode) -> Plain {
        Plain { status, content_type: None, error: None, body: Bytes::new(), close: false }
    }

    fn ok(content_type: &'static str, body: Bytes) -> Plain {
        Plain { status: StatusCode::OK, content_type: Some(content_type), error: None, body, close: false }
    }

    fn failed(content_type: &'static str, failure: &Failure) -> Plain {
        Plain {
            status: StatusCode::from_u16(failure.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            content_type: Some(content_type),
            error: Some(failure.kind),
            body: failure.body().into(),
            close: false,
        }
    }

    /// What is answered where not even the service can be told.
    fn denied() -> Plain {
        let body = "<AccessDeniedException>\n  <Message>Unable to determine service/operation name to be authorized\
                    </Message>\n</AccessDeniedException>\n";
        Plain { body: Bytes::from_static(body.as_bytes()), ..Plain::empty(StatusCode::FORBIDDEN) }
    }

    fn closing(status: StatusCode) -> Plain {
        Plain { close: true, ..Plain::empty(status) }
    }
}

async fn route(door: &Door, request: Request) -> Plain {
    let (parts, incoming) = request.into_parts();
    if parts.method == Method::OPTIONS && parts.headers.contains_key(header::ORIGIN) {
        return Plain::empty(StatusCode::OK);
    }
    if parts.method != Method::POST {
        return Plain::denied();
    }
    let declared = text(&parts.headers, header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
    let reading = body::read(&door.engine, incoming, declared, door.limits.body_bytes);
    let paid = match tokio::time::timeout(Duration::from_millis(door.limits.body_ms), reading).await {
        Ok(Ok(paid)) => paid,
        Ok(Err(BodyError::TooLarge)) => return Plain::closing(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(BodyError::Broken)) => return Plain::closing(StatusCode::BAD_REQUEST),
        Err(_) => return Plain::closing(StatusCode::REQUEST_TIMEOUT),
    };
    let content_type = text(&parts.headers, header::CONTENT_TYPE).unwrap_or("");
    let content_type = content_type.split(';').next().unwrap_or("").trim();
    let target = text(&parts.headers, TARGET).unwrap_or("");
    let operation = door.operations.get_key_value(target);
    if paid.bytes.is_empty() {
        let kind = if operation.is_some() { "SerializationException" } else { "UnknownOperationException" };
        return Plain::failed(JSON, &Failure::bare(kind));
    }
    if content_type == CBOR {
        let message = "This server does not read application/x-amz-cbor-1.1 yet; send application/x-amz-json-1.1.";
        return Plain::failed(JSON, &Failure::client("SerializationException", message));
    }
    if content_type != JSON {
        return if target.split_once('.').is_some_and(|(service, name)| !service.is_empty() && !name.is_empty()) {
            let body = Bytes::from_static(b"<UnknownOperationException/>\n");
            Plain { body, ..Plain::empty(StatusCode::NOT_FOUND) }
        } else {
            Plain::denied()
        };
    }
    let Some((target, handler)) = operation else {
        let well_formed = serde_json::from_slice::<serde::de::IgnoredAny>(&paid.bytes).is_ok();
        let kind = if well_formed { "UnknownOperationException" } else { "SerializationException" };
        return Plain::failed(JSON, &Failure::bare(kind));
    };
    let authorization = parts.headers.get(header::AUTHORIZATION).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let dated = parts.headers.contains_key("x-amz-date") || parts.headers.contains_key(header::DATE);
    let caller = match sigv4::claim(authorization.as_deref(), parts.uri.query(), dated) {
        Ok(claim) => Caller {
            account: claim.account(&door.home.account).to_string(),
            region: claim.region(&door.home.region).to_string(),
        },
        Err(failure) => return Plain::failed(JSON, &failure),
    };
    let operation = short(target);
    metrics::AWS_REQUESTS.of(operation).inc();
    match handler(Call { operation, body: paid, caller }).await {
        Ok(body) => Plain::ok(JSON, body),
        Err(failure) => Plain::failed(JSON, &failure),
    }
}

/// An operation's name without its service's.
fn short(target: &'static str) -> &'static str {
    target.rsplit('.').next().unwrap_or(target)
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// What a request says that its answer must repeat, and the answer's identity.
struct Marks {
    seed: u64,
    origin: bool,
    preflight: bool,
    asked_headers: Option<HeaderValue>,
    asked_method: Option<HeaderValue>,
}

impl Marks {
    fn new(door: &Door, method: &Method, headers: &HeaderMap) -> Marks {
        let origin = headers.contains_key(header::ORIGIN);
        Marks {
            seed: door.engine.random(),
            origin,
            preflight: origin && method == Method::OPTIONS,
            asked_headers: headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned(),
            asked_method: headers.get(header::ACCESS_CONTROL_REQUEST_METHOD).cloned(),
        }
    }

    /// The request's id, as its answer bears it.
    fn id(&self) -> String {
        Chance(self.seed).uuid()
    }

    /// Adds the headers every answer has: ids, CORS, type.
    fn dress(self, plain: Plain, sending: &Arc<Sending>) -> Response {
        let mut response = Response::new(Body::new(sending.body(plain.body)));
        *response.status_mut() = plain.status;
        let headers = response.headers_mut();
        let mut chance = Chance(self.seed);
        headers.insert("x-amzn-requestid", ascii(&chance.uuid()));
        if !self.preflight {
            headers.insert("x-amz-id-2", ascii(&STANDARD.encode(chance.bytes::<72>())));
        }
        if let Some(content_type) = plain.content_type {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        if let Some(error) = plain.error {
            headers.insert("x-amzn-errortype", HeaderValue::from_static(error));
        }
        if plain.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        if self.origin {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            if self.preflight {
                if let Some(asked) = self.asked_headers {
                    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, asked);
                }
                if let Some(asked) = self.asked_method {
                    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, asked);
                }
                headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("172800"));
            } else {
                headers.insert(
                    header::ACCESS_CONTROL_EXPOSE_HEADERS,
                    HeaderValue::from_static(
                        "x-amzn-RequestId,x-amzn-ErrorType,x-amz-request-id,x-amz-id-2,x-amzn-ErrorMessage,Date",
                    ),
                );
            }
        }
        response
    }
}

fn ascii(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""))
}

/// The ids of one answer, drawn out of one number the engine gave (splitmix64).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_be_bytes()[..chunk.len()]);
        }
        bytes
    }

    fn uuid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xfff,
            0x8000 | (low >> 48 & 0x3fff),
            low & 0xffff_ffff_ffff
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_form_of_ids() {
        let mut chance = Chance(7);
        let id = chance.uuid();
        let lengths: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_ne!(chance.uuid(), id);
        assert_eq!(STANDARD.encode(chance.bytes::<72>()).len(), 96);
    }
}
