//! A server on a free port of loopback, and a client for it.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use interfluve::chance::Chance;
use interfluve::clock::Clock;
use interfluve::engine::{self, Driver, Engine};
use interfluve::kafka::cx::{Cx, Options};
use interfluve::kafka::group::Settings;
use interfluve::kafka::group::coordinator::Coordinator;
use interfluve::kafka::listen::{Listener, serve};
use interfluve::kafka::wire;
use interfluve::store::memory::MemDisk;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::PartitionProduceResponse;
use kafka_protocol::messages::{
    CreateTopicsRequest, DeleteTopicsRequest, FetchRequest, MetadataRequest, ProduceRequest, RequestHeader, TopicName,
};
use kafka_protocol::protocol::{Decodable, HeaderVersion, Request, StrBytes};
use kafka_protocol::records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub struct Server {
    pub engine: Arc<Engine>,
    pub address: std::net::SocketAddr,
    pub stop: watch::Sender<bool>,
    pub serving: JoinHandle<()>,
}

pub async fn server() -> Server {
    server_with(Options::default()).await
}

pub async fn server_with(options: Options) -> Server {
    server_on(MemDisk::new(), Clock::System, Settings::default(), options).await
}

/// On a disk that may have been a server's before.
pub async fn server_on(disk: MemDisk, clock: Clock, groups: Settings, options: Options) -> Server {
    server_over(engine::Options::default(), disk, clock, groups, options).await
}

/// With an engine of these habits.
pub async fn server_over(
    habits: engine::Options,
    disk: MemDisk,
    clock: Clock,
    groups: Settings,
    options: Options,
) -> Server {
    let opened = Engine::open(habits, Arc::new(disk), clock, Chance::System, Driver::Threads).await;
    let (engine, _) = opened.expect("the engine opens");
    let groups = Coordinator::open(engine.clone(), groups).await.expect("the groups open");
    let cx = Arc::new(Cx::new(engine.clone(), groups, options));
    cx.resume().await.expect("what was set and under way is read");
    let listener = Listener::bind("test", "127.0.0.1:0", None).await.expect("a free port");
    let address = listener.address().expect("bound");
    let (stop, stopping) = watch::channel(false);
    let serving = tokio::spawn(serve(cx, listener, stopping));
    Server { engine, address, stop, serving }
}

impl Server {
    pub async fn client(&self) -> Client {
        let socket = TcpStream::connect(self.address).await.expect("the server listens");
        // A request is two writes; the second must not wait until the first is acknowledged.
        socket.set_nodelay(true).expect("a socket of TCP");
        Client { socket, correlation: 0, answered: 0 }
    }

    /// Closes the engine; connections end with it.
    pub async fn close(self) {
        let _ = self.stop.send(true);
        self.engine.close().await;
        let _ = self.serving.await;
    }
}

pub struct Client {
    pub socket: TcpStream,
    correlation: i32,
    answered: i32,
}

pub fn text(text: &str) -> StrBytes {
    StrBytes::from_string(text.to_owned())
}

pub fn topic_name(name: &str) -> TopicName {
    TopicName(text(name))
}

impl Client {
    /// Sends a request and reads its answer.
    pub async fn ask<R: Request>(&mut self, version: i16, request: R) -> R::Response {
        self.send(version, &request).await;
        self.receive::<R>(version).await
    }

    pub async fn send<R: Request>(&mut self, version: i16, request: &R) {
        self.correlation += 1;
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.correlation)
            .with_client_id(Some(text("tester")));
        let mut frame = BytesMut::new();
        kafka_protocol::protocol::Encodable::encode(&header, &mut frame, R::header_version(version)).expect("encodes");
        request.encode(&mut frame, version).expect("encodes");
        self.socket.write_all(&(frame.len() as i32).to_be_bytes()).await.expect("sent");
        self.socket.write_all(&frame).await.expect("sent");
    }

    /// Reads the next answer, which must be to the oldest request not yet answered.
    pub async fn receive<R: Request>(&mut self, version: i16) -> R::Response {
        self.answered += 1;
        let length = self.socket.read_i32().await.expect("an answer");
        let mut frame = vec![0; length as usize];
        self.socket.read_exact(&mut frame).await.expect("a whole answer");
        let mut frame = Bytes::from(frame);
        assert_eq!(frame.get_i32(), self.answered, "answers come in order");
        if R::Response::header_version(version) > 0 {
            assert_eq!(frame.get_u8(), 0, "no tagged fields in the header");
        }
        let response = R::Response::decode(&mut frame, version).expect("the answer can be read");
        assert!(frame.is_empty(), "{} bytes are left", frame.len());
        response
    }

    /// Sends a request of our own codec, which knows the versions that the other one does not, and reads its answer.
    pub async fn ask_own<Q: wire::Request, A: wire::Message>(&mut self, version: i16, request: &Q) -> A {
        self.correlation += 1;
        let frame = wire::header::request_frame(version, self.correlation, Some("tester"), request);
        self.socket.write_all(&frame.expect("a request").into_bytes()).await.expect("sent");
        self.answered += 1;
        let length = self.socket.read_i32().await.expect("an answer");
        let mut frame = vec![0; length as usize];
        self.socket.read_exact(&mut frame).await.expect("a whole answer");
        let mut reader = wire::Reader::new(frame.into());
        let header = wire::header::ResponseHeader::read(&mut reader, Q::API_KEY, version).expect("a header");
        assert_eq!(header.correlation_id, self.answered, "answers come in order");
        let answer = A::decode(&mut reader, version).expect("the answer can be read");
        reader.finish().expect("nothing is left");
        answer
    }

    /// What Metadata says of a topic, its id for one.
    pub async fn topic(&mut self, name: &str) -> MetadataResponseTopic {
        let topic = MetadataRequestTopic::default().with_name(Some(topic_name(name)));
        self.ask(12, MetadataRequest::default().with_topics(Some(vec![topic]))).await.topics.remove(0)
    }

    pub async fn delete(&mut self, name: &str) {
        let request = DeleteTopicsRequest::default().with_topic_names(vec![topic_name(name)]).with_timeout_ms(1000);
        assert_eq!(self.ask(5, request).await.responses[0].error_code, 0);
    }

    /// The next request will not be answered.
    pub fn no_answer(&mut self) {
        self.answered += 1;
    }

    /// Whether the server closes the connection, without another byte.
    pub async fn is_closed(&mut self) -> bool {
        matches!(self.socket.read(&mut [0; 1]).await, Ok(0) | Err(_))
    }

    pub async fn create(&mut self, name: &str, partitions: i32, configs: &[(&str, &str)]) {
        let configs = configs
            .iter()
            .map(|(name, value)| CreatableTopicConfig::default().with_name(text(name)).with_value(Some(text(value))));
        let topic = CreatableTopic::default()
            .with_name(topic_name(name))
            .with_num_partitions(partitions)
            .with_replication_factor(1)
            .with_configs(configs.collect());
        let answer = self.ask(7, CreateTopicsRequest::default().with_topics(vec![topic])).await;
        assert_eq!((answer.topics[0].error_code, &answer.topics[0].error_message), (0, &None));
    }

    /// Produces one batch to partition 0 with acks=-1.
    pub async fn produce(&mut self, version: i16, topic: &str, batch: Bytes) -> PartitionProduceResponse {
        let mut answer = self.ask(version, produce_request(topic, -1, batch)).await;
        answer.responses.remove(0).partition_responses.remove(0)
    }

    /// Fetches partition 0 without a session and without waiting.
    pub async fn fetch(&mut self, version: i16, topic: &str, offset: i64) -> PartitionData {
        let mut answer = self.ask(version, fetch_request(topic, offset)).await;
        answer.responses.remove(0).partitions.remove(0)
    }
}

pub fn produce_request(topic: &str, acks: i16, batch: Bytes) -> ProduceRequest {
    let partition = PartitionProduceData::default().with_index(0).with_records(Some(batch));
    let topic = TopicProduceData::default().with_name(topic_name(topic)).with_partition_data(vec![partition]);
    ProduceRequest::default().with_acks(acks).with_timeout_ms(10_000).with_topic_data(vec![topic])
}

pub fn fetch_request(topic: &str, offset: i64) -> FetchRequest {
    let partition =
        FetchPartition::default().with_partition(0).with_fetch_offset(offset).with_partition_max_bytes(1 << 20);
    let topic = FetchTopic::default().with_topic(topic_name(topic)).with_partitions(vec![partition]);
    FetchRequest::default().with_max_bytes(1 << 20).with_topics(vec![topic])
}

pub fn record(offset: i64, timestamp: i64, key: Option<&str>, value: &str) -> Record {
    Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: -1,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset,
        // The encoder puts records into one batch whose sequences and offsets run alike; the first one is -1: none.
        sequence: offset as i32 - 1,
        timestamp,
        key: key.map(|key| Bytes::from(key.to_owned())),
        value: Some(Bytes::from(value.to_owned())),
        headers: Default::default(),
    }
}

/// One batch of these records.
pub fn encode(records: &[Record], compression: Compression) -> Bytes {
    let mut bytes = BytesMut::new();
    let options = RecordEncodeOptions { version: 2, compression };
    RecordBatchEncoder::encode(&mut bytes, records, &options).expect("encodes");
    bytes.freeze()
}

/// A batch of these values, one millisecond apart, beginning at 1,000,000.
pub fn batch(values: &[&str]) -> Bytes {
    let records: Vec<Record> = values
        .iter()
        .enumerate()
        .map(|(at, value)| record(at as i64, 1_000_000 + at as i64, Some("k"), value))
        .collect();
    encode(&records, Compression::None)
}

/// The offsets and values in what a fetch answered.
pub fn decode(records: Option<Bytes>) -> Vec<(i64, String)> {
    let mut bytes = records.unwrap_or_default();
    let mut all = Vec::new();
    while !bytes.is_empty() {
        let set = kafka_protocol::records::RecordBatchDecoder::decode(&mut bytes).expect("sound batches");
        all.extend(set.records.into_iter().map(|record| {
            let value = record.value.unwrap_or_default();
            (record.offset, String::from_utf8_lossy(&value).into_owned())
        }));
    }
    all
}
