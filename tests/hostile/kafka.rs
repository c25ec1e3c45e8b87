//! What the Kafka port is sent that no Kafka client would send.

use interfluve::ids::Timestamp;
use interfluve::kafka::table::{self, TABLE};
use interfluve::kafka::wire::header::{ResponseHeader, request_frame};
use interfluve::kafka::wire::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use interfluve::kafka::wire::messages::create_partitions::{
    CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
};
use interfluve::kafka::wire::messages::create_topics::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest, CreateTopicsResponse,
};
use interfluve::kafka::wire::messages::delete_topics::{DeleteTopicsRequest, DeleteTopicsResponse};
use interfluve::kafka::wire::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use interfluve::kafka::wire::messages::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use interfluve::kafka::wire::messages::produce::{
    PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData,
};
use interfluve::kafka::wire::{Message, Reader, Request};
use interfluve::record::build::{Builder, NewRecord};
use interfluve::record::compress::Codec;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::server::{Kafka, Server};
use crate::{QUIET, both_serve, logs};

/// A request's header and body, without the frame's length.
fn frame(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut bytes = [key.to_be_bytes(), version.to_be_bytes()].concat();
    bytes.extend_from_slice(&[0, 0, 0, 9, 0xff, 0xff]);
    if table::find(key).is_some_and(|row| row.flexible_request(version)) {
        bytes.push(0);
    }
    bytes.extend_from_slice(body);
    bytes
}

/// Sends these bytes and nothing more; whether the server closes without a word.
async fn closed_without_a_word(server: &Server, bytes: &[u8]) -> bool {
    let mut socket = server.kafka().await.socket;
    let _ = socket.write_all(bytes).await;
    let mut said = Vec::new();
    let _ = socket.read_to_end(&mut said).await;
    said.is_empty()
}

#[tokio::test]
async fn lengths_no_frame_may_have_close_the_connection() {
    let _quiet = QUIET.read().await;
    let server = Server::start().await;
    for first in [[0xff; 4], [0x80, 0, 0, 0], [0x7f, 0xff, 0xff, 0xff], [0; 4], [0, 0, 0, 9], [0x06, 0x40, 0, 1]] {
        assert!(closed_without_a_word(&server, &first).await, "{first:?}");
        both_serve(&server, &format!("{first:?}")).await;
    }
}

#[tokio::test]
async fn a_frame_that_ends_early_is_not_answered() {
    let _quiet = QUIET.read().await;
    let server = Server::start().await;
    let whole = frame(18, 0, &[]);
    let whole = [&(whole.len() as u32).to_be_bytes()[..], &whole].concat();
    for end in 1..whole.len() {
        let mut socket = server.kafka().await.socket;
        socket.write_all(&whole[..end]).await.expect("sent");
        socket.shutdown().await.expect("an open socket");
        let mut said = Vec::new();
        let _ = socket.read_to_end(&mut said).await;
        assert!(said.is_empty(), "{end} of {} bytes", whole.len());
    }
    both_serve(&server, "frames that end early").await;
}

#[tokio::test]
async fn headers_that_are_none_close_the_connection() {
    let _quiet = QUIET.read().await;
    let server = Server::start().await;
    let flexible: &[u8] = &[0, 18, 0, 3, 0, 0, 0, 9, 0xff, 0xff];
    for (what, frame) in [
        ("a client id longer than the frame", [&[0, 18, 0, 0, 0, 0, 0, 9, 0x7f, 0xff][..], b"abc"].concat()),
        ("a client id of a length below -1", vec![0, 18, 0, 0, 0, 0, 0, 9, 0xff, 0xfe]),
        ("a client id that is no UTF-8", vec![0, 18, 0, 0, 0, 0, 0, 9, 0, 2, 0xff, 0xfe]),
        ("no tagged fields where they must be", flexible.to_vec()),
        ("four billion tagged fields", [flexible, &[0xff, 0xff, 0xff, 0xff, 0x0f]].concat()),
        ("a tagged field longer than the frame", [flexible, &[1, 0, 0xff, 0xff, 0xff, 0xff, 0x07]].concat()),
    ] {
        let mut client = server.kafka().await;
        client.send(&frame).await;
        assert_eq!(client.answer().await, None, "{what}");
        both_serve(&server, what).await;
    }
}

#[tokio::test]
async fn other_protocols_are_named_in_one_log_line() {
    let _quiet = QUIET.read().await;
    logs::keep();
    let server = Server::start().await;
    let hello = b"\x16\x03\x01\x00\xc4\x01\x00\x00\xc0\x03\x03".as_slice();
    for (bytes, said) in [
        (hello, "a TLS handshake"),
        (b"GET / HTTP/1.1\r\nhost: x\r\n\r\n".as_slice(), "an HTTP request"),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}".as_slice(), "an HTTP request"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), "an HTTP request"),
        (b"SSH-2.0-OpenSSH_9.2\r\n".as_slice(), "a frame claims"),
    ] {
        let mut socket = server.kafka().await.socket;
        let peer = socket.local_addr().expect("an open socket");
        // A test beside this one may have had the same port before.
        let before = logs::about(peer).len();
        socket.write_all(bytes).await.expect("sent");
        let mut answered = Vec::new();
        let _ = socket.read_to_end(&mut answered).await;
        assert!(answered.is_empty(), "{said}");
        both_serve(&server, said).await;
        let lines = logs::about(peer).split_off(before);
        assert!(lines.len() == 1 && lines[0].contains(said), "{said}: {lines:?}");
    }
}

#[tokio::test]
async fn apis_and_versions_that_are_not_served_close_the_connection() {
    let _quiet = QUIET.read().await;
    let server = Server::start().await;
    for key in [-1, i16::MIN, i16::MAX, 4, 7, 94, 95, 1000] {
        assert!(table::find(key).is_none(), "{key} is served");
        let mut client = server.kafka().await;
        client.send(&frame(key, 0, &[0; 32])).await;
        assert_eq!(client.answer().await, None, "key {key}");
    }
    for row in TABLE.iter().filter(|row| row.key != table::API_VERSIONS) {
        for version in [row.versions.start() - 1, row.versions.end() + 1, i16::MIN, i16::MAX] {
            let mut client = server.kafka().await;
            client.send(&frame(row.key, version, &[0; 32])).await;
            assert_eq!(client.answer().await, None, "{} version {version}", row.name);
        }
    }
    both_serve(&server, "versions that are not served").await;
}

/// KIP-511: whatever the version and the body, the answer is version 0 with the error and the versions there are.
#[tokio::test]
async fn api_versions_of_an_unknown_version_is_answered_and_the_connection_goes_on() {
    let _quiet = QUIET.read().await;
    let server = Server::start().await;
    let mut client = server.kafka().await;
    for (version, body) in [(99, &b""[..]), (i16::MAX, b"anything \xff"), (-1, b""), (i16::MIN, &[0xff; 64])] {
        client.send(&frame(table::API_VERSIONS, version, body)).await;
        let answer = client.answer().await.expect("an answer");
        assert_eq!(&answer[..10], [0, 0, 0, 9, 0, 35, 0, 0, 0, 1], "version {version}");
    }
    let answer: ApiVersionsResponse = client.ask(0, &ApiVersionsRequest::default()).await;
    assert_eq!(answer.api_keys.len(), TABLE.len());
}

/// Counts of two billion, in both ways of writing a length, at the start of every request of every version, and behind
/// so much of it that is harmless.
#[tokio::test]
async fn arrays_that_claim_two_billion_entries_are_refused() {
    let _quiet = QUIET.read().await;
    let server = Server::start().await;
    let before_kib = crate::memory::kib("VmSize");
    for row in TABLE {
        for version in row.versions.clone() {
            for claim in
                [&[0x7f, 0xff, 0xff, 0xff][..], &[0x80, 0x80, 0x80, 0x80, 0x08], &[0xff, 0xff, 0xff, 0xff, 0x07]]
            {
                for harmless in [0, 1, 2, 4, 6, 10] {
                    let body = [&vec![0; harmless][..], &claim.repeat(6)].concat();
                    let mut client = server.kafka().await;
                    client.send(&frame(row.key, version, &body)).await;
                    // Read as something else than a count, it may even be a request; then it is answered.
                    let _ = client.socket.shutdown().await;
                    let _ = client.answer().await;
                }
            }
        }
    }
    let grown_mib = crate::memory::kib("VmSize").saturating_sub(before_kib) / 1024;
    assert!(grown_mib < 1024, "{grown_mib} MiB more are mapped");
    both_serve(&server, "arrays that claim two billion entries").await;
}

fn name_cases() -> Vec<String> {
    let mut names: Vec<String> =
        ["", ".", "..", "a/b", "../../etc/passwd", "a\0b", "\0", "a b", "é", "a:b", "a\nb", "*"]
            .map(String::from)
            .into();
    names.extend([250, 256, 300, 32_000].map(|length| "x".repeat(length)));
    names
}

const INVALID_TOPIC: i16 = 17;
const UNKNOWN_TOPIC: i16 = 3;

#[tokio::test]
async fn names_no_topic_can_have_are_refused_wherever_they_are_said() {
    let _quiet = QUIET.read().await;
    let server = Server::start().await;
    let mut client = server.kafka().await;
    for name in name_cases() {
        let short: String = name.escape_debug().take(40).collect();
        let topic = CreatableTopic {
            name: name.clone(),
            num_partitions: 1,
            replication_factor: 1,
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 1000, ..CreateTopicsRequest::default() };
        let answer: CreateTopicsResponse = client.ask(7, &request).await;
        assert_eq!(answer.topics[0].error_code, INVALID_TOPIC, "CreateTopics {short}");

        let topics = Some(vec![MetadataRequestTopic { name: Some(name.clone()), ..MetadataRequestTopic::default() }]);
        let request = MetadataRequest { topics, allow_auto_topic_creation: true, ..MetadataRequest::default() };
        let answer: MetadataResponse = client.ask(9, &request).await;
        assert_eq!(answer.topics[0].error_code, INVALID_TOPIC, "Metadata {short}");

        let request =
            DeleteTopicsRequest { topic_names: vec![name.clone()], timeout_ms: 1000, ..DeleteTopicsRequest::default() };
        let answer: DeleteTopicsResponse = client.ask(5, &request).await;
        let code = answer.responses[0].error_code;
        assert!([INVALID_TOPIC, UNKNOWN_TOPIC].contains(&code), "DeleteTopics {short}: {code}");

        let topic = CreatePartitionsTopic { name: name.clone(), count: 2, assignments: None };
        let request =
            CreatePartitionsRequest { topics: vec![topic], timeout_ms: 1000, ..CreatePartitionsRequest::default() };
        let answer: CreatePartitionsResponse = client.ask(3, &request).await;
        let code = answer.results[0].error_code;
        assert!([INVALID_TOPIC, UNKNOWN_TOPIC].contains(&code), "CreatePartitions {short}: {code}");

        let answer = produce(&mut client, &name, Some(batch().into())).await;
        assert!([INVALID_TOPIC, UNKNOWN_TOPIC].contains(&answer), "Produce {short}: {answer}");
    }
    both_serve(&server, "names no topic can have").await;
}

#[tokio::test]
async fn group_names_are_any_text_but_none() {
    let _quiet = QUIET.read().await;
    let server = Server::start().await;
    let mut client = server.kafka().await;
    let mut names = name_cases();
    names.retain(|name| !name.is_empty());
    let join = |group_id: String| JoinGroupRequest {
        group_id,
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 10_000,
        protocol_type: "consumer".into(),
        protocols: vec![JoinGroupRequestProtocol { name: "range".into(), metadata: bytes::Bytes::new() }],
        ..JoinGroupRequest::default()
    };
    let answer: JoinGroupResponse = client.ask(5, &join(String::new())).await;
    assert_eq!(answer.error_code, 24, "INVALID_GROUP_ID");
    for name in names {
        let answer: JoinGroupResponse = client.ask(5, &join(name.clone())).await;
        assert_eq!(answer.error_code, 79, "MEMBER_ID_REQUIRED {}", name.escape_debug().take(40).collect::<String>());
    }
    both_serve(&server, "odd names of groups").await;
}

fn batch() -> Vec<u8> {
    let mut builder = Builder::new(Codec::None);
    builder.push(&NewRecord {
        key: Some(b"k"),
        value: Some(b"value"),
        headers: &[],
        timestamp: Timestamp(1_700_000_000_000),
    });
    builder.finish().bytes.to_vec()
}

/// The error code of one batch in one partition.
async fn produce(client: &mut Kafka, name: &str, records: Option<bytes::Bytes>) -> i16 {
    let partition = PartitionProduceData { index: 0, records };
    let topic = TopicProduceData { name: name.into(), partition_data: vec![partition], ..TopicProduceData::default() };
    let request = ProduceRequest { acks: -1, timeout_ms: 1000, topic_data: vec![topic], ..ProduceRequest::default() };
    let answer: ProduceResponse = client.ask(9, &request).await;
    answer.responses[0].partition_responses[0].error_code
}

/// One byte of a batch is wrong, whichever it is: it is refused (or, where nothing is protected, taken), and what is
/// stored is only what was whole.
#[tokio::test]
async fn a_batch_with_a_wrong_byte_is_refused() {
    let _quiet = QUIET.read().await;
    let server = Server::start().await;
    server.create_topic("t").await;
    let mut client = server.kafka().await;
    let whole = batch();
    for at in 0..whole.len() {
        for flip in [1, 0x80] {
            let mut wrong = whole.clone();
            wrong[at] ^= flip;
            let code = produce(&mut client, "t", Some(wrong.into())).await;
            match at {
                // Base offset and leader epoch are the server's to say.
                0..8 | 12..16 => assert!([0, 87].contains(&code), "byte {at}: {code}"),
                // Length.
                8..12 => assert!([2, 87].contains(&code), "byte {at}: {code}"),
                // Magic.
                16 => assert!([2, 35, 43, 76, 87].contains(&code), "byte {at}: {code}"),
                // CRC and all that it protects: CORRUPT_MESSAGE.
                _ => assert_eq!(code, 2, "byte {at}"),
            }
        }
    }
    for end in 0..whole.len() {
        let code = produce(&mut client, "t", Some(whole[..end].to_vec().into())).await;
        assert!([2, 87].contains(&code), "{end} bytes: {code}");
    }
    assert!([2, 87].contains(&produce(&mut client, "t", None).await));
    let two = [&whole[..], &whole].concat();
    assert!([2, 87].contains(&produce(&mut client, "t", Some(two.into())).await), "two batches");
    assert_eq!(produce(&mut client, "t", Some(whole.into())).await, 0);
    both_serve(&server, "wrong batches").await;
}

/// Every request here has the same; one connection has one under way.
const CORRELATION: i32 = 7;

impl Kafka {
    /// Asks and is answered.
    pub async fn ask<Q: Request, A: Message>(&mut self, version: i16, request: &Q) -> A {
        let frame = request_frame(version, CORRELATION, Some("test"), request).expect("a request that can be said");
        self.socket.write_all(&frame.into_bytes()).await.expect("sent");
        let answer = self.answer().await.expect("an answer");
        let mut reader = Reader::new(answer);
        let header = ResponseHeader::read(&mut reader, Q::API_KEY, version).expect("a header");
        assert_eq!(header.correlation_id, CORRELATION);
        let answer = A::decode(&mut reader, version).expect("an answer that can be read");
        assert_eq!(reader.remaining(), 0);
        answer
    }
}

impl Server {
    pub async fn create_topic(&self, name: &str) {
        self.create_topic_with(name, &[]).await;
    }

    pub async fn create_topic_with(&self, name: &str, configs: &[(&str, &str)]) {
        let config =
            |(name, value): &(&str, &str)| CreatableTopicConfig { name: (*name).into(), value: Some((*value).into()) };
        let topic = CreatableTopic {
            name: name.into(),
            num_partitions: 1,
            replication_factor: 1,
            configs: configs.iter().map(config).collect(),
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 1000, ..CreateTopicsRequest::default() };
        let answer: CreateTopicsResponse = self.kafka().await.ask(7, &request).await;
        assert_eq!(answer.topics[0].error_code, 0, "{name}");
    }
}
