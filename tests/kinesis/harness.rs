//! A server of its own for each test, and a client that speaks as plainly as the wire does.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use interfluve::aws::door::{Caller, Door, Limits, serve};
use interfluve::chance::Chance;
use interfluve::clock::Clock;
use interfluve::engine::catalog::{Born, Create, Kind, Stream};
use interfluve::engine::{Change, Changed, Driver, Engine, Group, Options, Origin, Part, Permit, Placed};
use interfluve::ids::{LogId, Timestamp};
use interfluve::kinesis::{self, Kinesis, api};
use interfluve::record::batch::Batch;
use interfluve::store::memory::MemDisk;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub const SIGNED: &str = "AWS4-HMAC-SHA256 Credential=AKID/20260101/eu-west-1/kinesis/aws4_request, \
                          SignedHeaders=host;x-amz-date, Signature=abc";
/// The moment every test begins at.
pub const NOW: Timestamp = Timestamp(1_700_000_000_000);

pub struct Server {
    pub engine: Arc<Engine>,
    pub kinesis: Arc<Kinesis>,
    pub clock: Clock,
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    ended: JoinHandle<std::io::Result<()>>,
}

/// What a test wants otherwise than usual.
#[derive(Default)]
pub struct Setup {
    pub kinesis: kinesis::Settings,
    pub limits: Limits,
    pub disk: MemDisk,
    pub engine: Options,
}

/// An answer, taken apart.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    /// The error's type and sentence.
    pub fn error(&self) -> (String, String) {
        let value = self.json();
        let text = |name: &str| value[name].as_str().unwrap_or("").to_string();
        let message = text("message") + &text("Message");
        (text("__type"), message)
    }
}

impl Server {
    pub async fn start() -> Server {
        Server::start_with(Setup::default()).await
    }

    pub async fn start_with(setup: Setup) -> Server {
        let clock = Clock::manual(NOW);
        let disk = Arc::new(setup.disk);
        let opened = Engine::open(setup.engine, disk, clock.clone(), Chance::seeded(7), Driver::Threads).await;
        let (engine, _) = opened.expect("an engine opens on an empty disk");
        let kinesis = Arc::new(Kinesis::new(engine.clone(), setup.kinesis));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let door = Door {
            engine: engine.clone(),
            operations: api::operations(&kinesis),
            home: Caller { account: "000000000000".into(), region: "us-east-1".into() },
            pages: Router::new().route("/healthz", axum::routing::get(|| async { "ok\n" })),
            limits: setup.limits,
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let ended = tokio::spawn(serve(door, listener, async {
            let _ = stopped.await;
        }));
        Server { engine, kinesis, clock, address, stop: Some(stop), ended }
    }

    /// Tells the door to close; resolves when it has.
    pub async fn stop(mut self) -> Arc<Engine> {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        let ended = (&mut self.ended).await;
        assert!(matches!(ended, Ok(Ok(()))), "{ended:?}");
        self.engine.clone()
    }

    /// Tells the door to close and goes on.
    pub fn tell_to_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the door is open")
    }

    /// One signed call.
    pub async fn call(&self, operation: &str, body: &Value) -> Answer {
        self.post(operation, body.to_string().as_bytes()).await
    }

    pub async fn post(&self, operation: &str, body: &[u8]) -> Answer {
        let mut socket = self.connect().await;
        socket.write_all(&request(operation, body)).await.expect("sent");
        read_answer(&mut socket).await.expect("an answer")
    }

    /// A call that succeeds, and its answer.
    pub async fn ok(&self, operation: &str, body: Value) -> Value {
        let answer = self.call(operation, &body).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let asked: String = body.to_string().chars().take(300).collect();
        assert_eq!(answer.status, 200, "{operation} {asked}: {text}");
        answer.json()
    }

    /// A call that fails, and the error's type and sentence.
    pub async fn err(&self, operation: &str, body: Value) -> (String, String) {
        let answer = self.call(operation, &body).await;
        assert_ne!(answer.status, 200, "{operation} {body}: {}", String::from_utf8_lossy(&answer.body));
        answer.error()
    }

    pub async fn create(&self, name: &str, shards: u32) {
        self.ok("CreateStream", json!({"StreamName": name, "ShardCount": shards})).await;
    }

    pub fn advance(&self, ms: i64) {
        self.clock.set(self.clock.now().plus_ms(ms));
    }

    /// A stream as the other face creates it.
    pub async fn create_kafka(&self, name: &str, logs: u32) -> Arc<Stream> {
        self.create_kafka_with(name, logs, &[]).await
    }

    pub async fn create_kafka_with(&self, name: &str, logs: u32, settings: &[(&str, &str)]) -> Arc<Stream> {
        let create = Create {
            name: name.into(),
            born: Born::Kafka,
            kind: Kind::Client,
            logs,
            settings: settings.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
            placement: None,
            creating_ms: 0,
        };
        match self.engine.change(vec![Change::Create(create)]).await.pop() {
            Some(Ok(Changed::Created(stream))) => stream,
            other => panic!("{name}: {other:?}"),
        }
    }

    /// A batch as the other face appends it.
    pub async fn append(&self, log: LogId, batch: Batch) -> Placed {
        let group = Group { parts: vec![Part::new(log, batch)], origin: Origin::Client };
        self.engine.append(group, Permit::default()).await.expect("placed")[0]
    }

    pub async fn iterator(&self, mut ask: Value) -> String {
        if ask["ShardId"].is_null() {
            ask["ShardId"] = json!("shardId-000000000000");
        }
        let answer = self.ok("GetShardIterator", ask).await;
        answer["ShardIterator"].as_str().expect("an iterator").to_string()
    }

    pub async fn records(&self, iterator: &str) -> Value {
        self.ok("GetRecords", json!({"ShardIterator": iterator})).await
    }
}

/// A signed request over HTTP/1.1.
pub fn request(operation: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-amz-json-1.1\r\nx-amz-target: \
         Kinesis_20131202.{operation}\r\nauthorization: {SIGNED}\r\nx-amz-date: 20260101T000000Z\r\ncontent-length: \
         {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Reads one answer; `None`: the connection was closed before it was whole.
pub async fn read_answer(socket: &mut TcpStream) -> Option<Answer> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, String)> =
        lines.filter_map(|line| line.split_once(": ")).map(|(n, v)| (n.to_lowercase(), v.to_string())).collect();
    let length = headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, value)| value.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    socket.read_exact(&mut body).await.ok()?;
    Some(Answer { status, headers, body })
}
