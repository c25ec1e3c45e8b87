//! Both faces over one engine, without sockets: Kafka's own connection loop on a pipe in memory, so that frames, dispatch
//! and handlers are the real ones; Kinesis' table of operations, called with the JSON of requests.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use interfluve::aws::body::Paid;
use interfluve::aws::door::{Call, Caller, Operations};
use interfluve::engine::{Engine, Error};
use interfluve::kafka::connection;
use interfluve::kafka::cx::{Advertised, Conn, Cx, Options};
use interfluve::kafka::group::Settings;
use interfluve::kafka::group::coordinator::Coordinator;
use interfluve::kafka::wire::header::{ResponseHeader, request_frame};
use interfluve::kafka::wire::{Message, Reader, Request};
use interfluve::kinesis::{self, Kinesis, api};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::watch;

/// Bytes in each direction that may wait in a pipe.
const PIPE_BYTES: usize = 64 << 10;

/// The two faces of one engine's life. Cheap to clone.
#[derive(Clone)]
pub struct Faces {
    cx: Arc<Cx>,
    operations: Arc<Operations>,
    stop: Arc<watch::Sender<bool>>,
}

/// What an operation was refused with.
#[derive(Debug)]
pub struct Failure {
    pub kind: &'static str,
    pub message: String,
}

impl Faces {
    pub async fn open(engine: &Arc<Engine>) -> Result<Faces, Error> {
        let groups = Coordinator::open(engine.clone(), Settings::default()).await?;
        let cx = Arc::new(Cx::new(engine.clone(), groups, Options::default()));
        let kinesis = Arc::new(Kinesis::new(engine.clone(), kinesis::Settings::default()));
        let operations = Arc::new(api::operations(&kinesis));
        Ok(Faces { cx, operations, stop: Arc::new(watch::Sender::new(false)) })
    }

    /// A new connection of a Kafka client.
    pub fn kafka(&self) -> Kafka {
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        let (from, to) = tokio::io::split(far);
        let conn = Conn {
            peer: ([127, 0, 0, 1], 1).into(),
            listener: "sim".into(),
            advertised: Advertised { host: "sim".into(), port: 9092 },
            software: OnceLock::new(),
            certified: None,
            login: std::sync::Mutex::new(interfluve::kafka::sasl::Login::new(false)),
        };
        tokio::spawn(connection::run(self.cx.clone(), Arc::new(conn), from, to, self.stop.subscribe()));
        Kafka { pipe: near, correlation: 0, unanswered: VecDeque::new() }
    }

    /// Calls an operation of Kinesis and reads its answer.
    pub async fn kinesis(&self, operation: &'static str, request: Value) -> Result<Value, Failure> {
        let (target, handler) = self
            .operations
            .iter()
            .find(|(target, _)| target.rsplit('.').next() == Some(operation))
            .expect("an operation that is served");
        let caller = Caller { account: "000000000000".into(), region: "us-east-1".into() };
        let body = Paid::free(Bytes::from(request.to_string()));
        let answer = handler(Call { operation: target, body, caller }).await;
        match answer {
            Ok(bytes) if bytes.is_empty() => Ok(Value::Null),
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).expect("answers are JSON")),
            Err(failure) => Err(Failure { kind: failure.kind, message: failure.message.unwrap_or_default() }),
        }
    }
}

/// A Kafka client's connection. Whatever is not answered because the server closed it is `None`.
pub struct Kafka {
    pipe: DuplexStream,
    correlation: i32,
    unanswered: VecDeque<i32>,
}

impl Kafka {
    pub async fn ask<Q: Request, A: Message>(&mut self, version: i16, request: &Q) -> Option<A> {
        self.send(version, request).await?;
        self.receive(Q::API_KEY, version).await
    }

    pub async fn send<Q: Request>(&mut self, version: i16, request: &Q) -> Option<()> {
        self.correlation += 1;
        let frame = request_frame(version, self.correlation, Some("sim"), request).expect("this version can say it");
        self.unanswered.push_back(self.correlation);
        self.pipe.write_all(&frame.into_bytes()).await.ok()
    }

    /// The answer to the oldest request that has none.
    pub async fn receive<A: Message>(&mut self, key: i16, version: i16) -> Option<A> {
        let oldest = self.unanswered.pop_front().expect("something was asked");
        let length = self.pipe.read_i32().await.ok()?;
        let mut frame = vec![0; usize::try_from(length).expect("a length")];
        self.pipe.read_exact(&mut frame).await.ok()?;
        let mut reader = Reader::new(Bytes::from(frame));
        let header = ResponseHeader::read(&mut reader, key, version).expect("a header");
        assert_eq!(header.correlation_id, oldest, "answers come in the order of requests");
        let answer = A::decode(&mut reader, version).expect("an answer of this version");
        reader.finish().expect("and nothing behind it");
        Some(answer)
    }

    /// The last request will not be answered.
    pub fn no_answer(&mut self) {
        self.unanswered.pop_back();
    }
}
