//! Both faces over one engine on a disk in memory, in this process, on ports the system chooses; and a Kafka client that
//! says exactly the bytes it is given. Knows no golden and no hostile input.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use interfluve::aws::door::{self, Caller, Door};
use interfluve::chance::Chance;
use interfluve::clock::Clock;
use interfluve::engine::{self, Driver, Engine};
use interfluve::kafka::cx::{Cx, Options};
use interfluve::kafka::group::{self, coordinator::Coordinator};
use interfluve::kafka::listen::{self, Listener};
use interfluve::kinesis::{self, Kinesis, api};
use interfluve::metrics::{self, Health};
use interfluve::store::memory::MemDisk;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A server; it stops when this is dropped.
pub struct Server {
    pub kafka: SocketAddr,
    pub aws: SocketAddr,
    stop: watch::Sender<bool>,
}

/// What tests choose of a server.
pub struct Setup {
    pub kafka: Options,
    pub aws: door::Limits,
    pub groups: group::Settings,
    /// Operations of the AWS port beyond those of the façade.
    pub operations: door::Operations,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            kafka: Options::default(),
            aws: door::Limits::default(),
            // Nobody waits for members that do not come.
            groups: group::Settings { initial_rebalance_delay_ms: 0, ..group::Settings::default() },
            operations: door::Operations::new(),
        }
    }
}

impl Server {
    pub async fn start() -> Server {
        Server::start_with(Setup::default()).await
    }

    pub async fn start_with(setup: Setup) -> Server {
        let disk = Arc::new(MemDisk::new());
        let options = engine::Options::default();
        let opened = Engine::open(options, disk, Clock::System, Chance::seeded(7), Driver::Threads).await;
        let (engine, _) = opened.expect("an engine opens on an empty disk");
        let (stop, stopped) = watch::channel(false);

        let groups = Coordinator::open(engine.clone(), setup.groups).await.expect("groups open on an empty disk");
        let cx = Arc::new(Cx::new(engine.clone(), groups, setup.kafka));
        let listener = Listener::bind("", "127.0.0.1:0", None).await.expect("a free port");
        let kafka = listener.address().expect("an address");
        tokio::spawn(listen::serve(cx, listener, stopped.clone()));

        let kinesis = Arc::new(Kinesis::new(engine.clone(), kinesis::Settings::default()));
        let socket = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let aws = socket.local_addr().expect("an address");
        let health = Health::default();
        health.ready();
        let door = Door {
            engine: engine.clone(),
            operations: api::operations(&kinesis).into_iter().chain(setup.operations).collect(),
            home: Caller { account: "000000000000".into(), region: "us-east-1".into() },
            pages: metrics::router(health, || {}),
            limits: setup.aws,
        };
        let mut told = stopped;
        tokio::spawn(door::serve(door, socket, async move {
            let _ = told.wait_for(|stop| *stop).await;
        }));
        Server { kafka, aws, stop }
    }

    pub async fn kafka(&self) -> Kafka {
        Kafka::connect(self.kafka).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.stop.send(true);
    }
}

/// A connection to the Kafka face.
pub struct Kafka {
    pub socket: TcpStream,
}

impl Kafka {
    pub async fn connect(address: SocketAddr) -> Kafka {
        let socket = TcpStream::connect(address).await.expect("the listener is open");
        socket.set_nodelay(true).expect("an open socket");
        Kafka { socket }
    }

    /// Sends a frame: its length, then these bytes.
    pub async fn send(&mut self, frame: &[u8]) {
        let length = u32::try_from(frame.len()).expect("a small frame").to_be_bytes();
        // The server may have closed already: that is for the reader to see.
        let _ = self.socket.write_all(&[&length, frame].concat()).await;
    }

    /// The next answer without its length; `None`: the connection was closed.
    pub async fn answer(&mut self) -> Option<Bytes> {
        let length = self.socket.read_u32().await.ok()?;
        let mut frame = vec![0; length as usize];
        self.socket.read_exact(&mut frame).await.ok()?;
        Some(frame.into())
    }
}
