//! Listening sockets: accepts connections, within limits, and lets them finish when the server stops. It reads and
//! writes nothing itself.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::accept::Accept;
use crate::kafka::connection::{self, End};
use crate::kafka::cx::{Advertised, Conn, Cx};
use crate::kafka::doors::Shut;
use crate::kafka::sasl::Login;
use crate::kafka::tls::Tls;
use crate::metrics;

/// How long a TLS handshake may take.
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);

/// One listening socket, with the address clients are told (Kafka's `listeners` and `advertised.listeners`).
#[derive(Debug)]
pub struct Listener {
    pub name: Arc<str>,
    pub socket: TcpListener,
    /// Whether clients have to say who they are, by SASL.
    pub sasl: bool,
    /// How connections are encrypted, if they are.
    pub tls: Option<Arc<Tls>>,
    /// `None`: the address at which a client reached us.
    pub advertised: Option<Advertised>,
}

impl Listener {
    /// Listens on `address` (`host:port`; port 0 lets the system choose).
    pub async fn bind(name: &str, address: &str, advertised: Option<Advertised>) -> io::Result<Listener> {
        Ok(Listener {
            name: name.into(),
            socket: TcpListener::bind(address).await?,
            sasl: false,
            tls: None,
            advertised,
        })
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// Accepts and serves connections until `stop` says so; then those that are open are answered what they have asked, for
/// at most `shutdown.grace.ms`.
pub async fn serve(cx: Arc<Cx>, listener: Listener, stop: watch::Receiver<bool>) {
    let mut stopping = stop.clone();
    let mut connections = JoinSet::new();
    let name = if listener.name.is_empty() { "kafka.listeners" } else { &*listener.name };
    let mut accept = Accept::new("kafka", name);
    loop {
        tokio::select! {
            biased;
            () = connection::stopped(&mut stopping) => break,
            Some(ended) = connections.join_next() => ended_well(ended),
            (socket, peer) = accept.next(|| listener.socket.accept()) => {
                admit(&cx, &listener, socket, peer, &stop, &mut connections);
            }
        }
    }
    drop(listener);
    let finish = async {
        while let Some(ended) = connections.join_next().await {
            ended_well(ended);
        }
    };
    if timeout(Duration::from_millis(cx.options.grace_ms), finish).await.is_err() {
        tracing::warn!(connections = connections.len(), "closing connections whose requests did not finish in time");
        connections.shutdown().await;
    }
}

/// Says how a connection's task ended, if it was by a panic; everything else has been logged by itself.
fn ended_well(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        metrics::PANICS.of("kafka").inc();
        tracing::error!("an answer under way panicked; its connection was closed");
    }
}

fn admit(
    cx: &Arc<Cx>,
    listener: &Listener,
    socket: TcpStream,
    peer: SocketAddr,
    stop: &watch::Receiver<bool>,
    connections: &mut JoinSet<()>,
) {
    let entry = match cx.enter(peer.ip()) {
        Ok(entry) => entry,
        Err(shut) => {
            metrics::CONNECTIONS_REFUSED.of("limit").inc();
            match shut {
                Shut::Full(limit) => tracing::warn!(%peer, limit, "closing a connection: max.connections are open"),
                Shut::FullFor(_, limit) => {
                    tracing::warn!(%peer, limit, "closing a connection: max.connections.per.ip are open from there");
                }
            }
            return;
        }
    };
    let now = cx.engine.clock().now();
    let early_ms = cx.quotas.connect(&cx.overrides, peer.ip(), now);
    if early_ms > 0 {
        metrics::CONNECTIONS_REFUSED.of("limit").inc();
        let (clock, mut stop) = (cx.engine.clock().clone(), stop.clone());
        // Closing it at once would only bring the next one sooner (KIP-612).
        connections.spawn(async move {
            tokio::select! {
                () = connection::stopped(&mut stop) => {}
                () = clock.sleep_until(now.plus_ms(early_ms)) => {}
            }
            drop((socket, entry));
        });
        return;
    }
    let advertised = match (&listener.advertised, socket.local_addr()) {
        (Some(advertised), _) => advertised.clone(),
        (None, Ok(local)) => reached_at(local),
        (None, Err(error)) => {
            tracing::debug!(%peer, %error, "the connection was gone before it was served");
            return;
        }
    };
    // Answers are written whole; waiting for more of them would only delay.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%peer, %error, "TCP_NODELAY");
    }
    let conn = Conn {
        peer,
        listener: listener.name.clone(),
        advertised,
        software: OnceLock::new(),
        certified: None,
        login: Mutex::new(Login::new(listener.sasl)),
    };
    let (cx, stop) = (cx.clone(), stop.clone());
    let tls = listener.tls.clone();
    connections.spawn(async move {
        let _entry = entry;
        let _count = Count::one_more();
        let Some(tls) = tls else {
            let (conn, (from, to)) = (Arc::new(conn), socket.into_split());
            let end = connection::run(cx, conn.clone(), from, to, stop).await;
            return report(&conn, &end);
        };
        let shaken = match timeout(HANDSHAKE_TIME, tls.accept(socket)).await {
            Ok(shaken) => shaken,
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        match shaken {
            Ok((stream, certified)) => {
                let conn = Arc::new(Conn { certified, ..conn });
                let (from, to) = tokio::io::split(stream);
                let end = connection::run(cx, conn.clone(), from, to, stop).await;
                report(&conn, &end);
            }
            Err(error) => {
                metrics::CONNECTIONS_REFUSED.of("tls").inc();
                tracing::warn!(%peer, listener = &*conn.listener, "closed a connection: no TLS: {error}");
            }
        }
    });
}

/// The address a client used, as it would have to write it.
fn reached_at(local: SocketAddr) -> Advertised {
    let ip = match local.ip() {
        // A socket for both families shows IPv4 clients' addresses in IPv6 clothes.
        IpAddr::V6(ip) => ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4),
        ip => ip,
    };
    Advertised { host: ip.to_string(), port: local.port() }
}

fn report(conn: &Conn, end: &End) {
    if let Some(reason) = end.reason() {
        metrics::CONNECTIONS_REFUSED.of(reason).inc();
    }
    let (peer, listener) = (conn.peer, &*conn.listener);
    match end {
        End::Closed | End::Idle | End::Stopping | End::Io(_) => {
            tracing::debug!(%peer, listener, "connection ended: {end}")
        }
        End::Panicked { .. } => {
            metrics::PANICS.of("kafka").inc();
            tracing::error!(%peer, listener, "closed a connection: {end}");
        }
        End::Slow
        | End::Deaf
        | End::Stranger(_)
        | End::Frame(_)
        | End::NotServed { .. }
        | End::Refused(_)
        | End::Barred(_)
        | End::LoginFailed => {
            let software = conn.software.get().map(|(name, version)| format!("{name} {version}")).unwrap_or_default();
            tracing::warn!(%peer, listener, software, "closed a connection: {end}");
        }
    }
}

/// One open connection in the metrics.
struct Count;

impl Count {
    fn one_more() -> Count {
        metrics::CONNECTIONS.of("kafka").add(1);
        metrics::CONNECTIONS_OPENED.of("kafka").inc();
        Count
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        metrics::CONNECTIONS.of("kafka").add(-1);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::chance::Chance;
    use crate::clock::Clock;
    use crate::engine::{Driver, Engine};
    use crate::kafka::cx::Options;
    use crate::kafka::group::Settings;
    use crate::kafka::group::coordinator::Coordinator;
    use crate::kafka::table;
    use crate::store::memory::MemDisk;

    /// A request without a body or a client id, and the first bytes of its answer: the correlation id.
    async fn ask(socket: &mut TcpStream, key: i16, correlation: i32) -> Option<i32> {
        let mut frame = vec![0, 0, 0, 10];
        frame.extend(key.to_be_bytes());
        frame.extend([0, 0]);
        frame.extend(correlation.to_be_bytes());
        frame.extend((-1i16).to_be_bytes());
        socket.write_all(&frame).await.ok()?;
        let length = socket.read_u32().await.ok()?;
        let mut answer = vec![0; length as usize];
        socket.read_exact(&mut answer).await.ok()?;
        Some(i32::from_be_bytes(*answer.first_chunk()?))
    }

    #[tokio::test]
    async fn a_panic_is_counted_and_hurts_no_other_client() {
        let disk = Arc::new(MemDisk::new());
        let options = crate::engine::Options::default();
        let opened = Engine::open(options, disk, Clock::System, Chance::seeded(7), Driver::Threads);
        let (engine, _) = opened.await.expect("opened");
        let groups = Coordinator::open(engine.clone(), Settings::default()).await.expect("opened");
        let cx = Arc::new(Cx::new(engine, groups, Options::default()));
        let listener = Listener::bind("", "127.0.0.1:0", None).await.expect("a free port");
        let address = listener.address().expect("an address");
        let (_stop, stopped) = watch::channel(false);
        tokio::spawn(serve(cx, listener, stopped));

        let connect = || async { TcpStream::connect(address).await.expect("listening") };
        let mut neighbour = connect().await;
        assert_eq!(ask(&mut neighbour, table::API_VERSIONS, 1).await, Some(1));
        let before = metrics::PANICS.of("kafka").value();
        for _ in 0..3 {
            assert_eq!(ask(&mut connect().await, table::PLANTED.key, 2).await, None, "the connection is closed");
        }
        assert_eq!(metrics::PANICS.of("kafka").value(), before + 3);
        assert_eq!(ask(&mut neighbour, table::API_VERSIONS, 4).await, Some(4));
        assert_eq!(ask(&mut connect().await, table::API_VERSIONS, 5).await, Some(5));
    }
}
