//! Readers that are slow to take their answers, or take nothing at all: what they hold is bounded, and others are served.

use bytes::Bytes;
use interfluve::aws::door::Limits;
use interfluve::ids::{LogId, Timestamp};
use interfluve::kinesis::Settings;
use interfluve::metrics;
use interfluve::record::build::{Builder, NewRecord};
use interfluve::record::compress::{self, Codec};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{SIGNED, Server, Setup, request};

const MIB: usize = 1 << 20;
/// Without filling in base64.
const ABOUT_MIB: usize = MIB - 1;

/// A server whose answers share so much memory, and a stream with records of so many bytes.
async fn server(answers_limit_bytes: usize, write_ms: u64, records: &[usize]) -> (Server, String) {
    let kinesis = Settings { answers_limit_bytes, ..Settings::default() };
    let limits = Limits { write_ms, ..Limits::default() };
    let server = Server::start_with(Setup { kinesis, limits, ..Setup::default() }).await;
    let stream = server.create_kafka_with("s", 1, &[("max.message.bytes", "10485760")]).await;
    for length in records {
        append(&server, stream.logs[0], *length, Codec::None).await;
    }
    let iterator = server.iterator(json!({"StreamName": "s", "ShardIteratorType": "TRIM_HORIZON"})).await;
    (server, iterator)
}

async fn append(server: &Server, log: LogId, length: usize, codec: Codec) {
    let mut batch = Builder::new(codec);
    let value = vec![7; length];
    batch.push(&NewRecord { timestamp: Timestamp(5), key: Some(b"k"), value: Some(&value), headers: &[] });
    server.append(log, batch.finish()).await;
}

/// A reader who has been told that all is well and has read no further.
async fn deaf(server: &Server, iterator: &str) -> TcpStream {
    let mut socket = server.connect().await;
    let body = json!({"ShardIterator": iterator}).to_string();
    socket.write_all(&request("GetRecords", body.as_bytes())).await.expect("sent");
    let mut status = [0; 12];
    socket.read_exact(&mut status).await.expect("an answer");
    assert_eq!(&status, b"HTTP/1.1 200");
    socket
}

fn lengths(page: &Value) -> Vec<usize> {
    let records = page["Records"].as_array().expect("records");
    records.iter().map(|record| record["Data"].as_str().expect("data").len() * 3 / 4).collect()
}

/// Asks until the answer is given; everybody who asks too early is refused as the service does.
async fn patient(server: &Server, iterator: &str) -> Value {
    loop {
        let answer = server.call("GetRecords", &json!({"ShardIterator": iterator})).await;
        if answer.status == 200 {
            return answer.json();
        }
        assert_eq!(answer.error().0, "ProvisionedThroughputExceededException");
    }
}

#[tokio::test]
async fn a_reader_who_is_too_much_is_refused_until_another_has_taken_its_answer() {
    let (server, iterator) = server(16 * MIB, 60_000, &[9 * MIB]).await;
    let refused = metrics::KINESIS_ANSWERS_REFUSED.value();
    let mut slow = deaf(&server, &iterator).await;
    let held = server.kinesis.answers.held_bytes();
    assert!((12 * MIB..=16 * MIB).contains(&held), "{held}");
    for _ in 0..3 {
        let (kind, message) = server.err("GetRecords", json!({"ShardIterator": iterator})).await;
        assert_eq!(kind, "ProvisionedThroughputExceededException");
        assert_eq!(message, "Rate exceeded for shard shardId-000000000000 in stream s under account 000000000000.");
    }
    assert!(metrics::KINESIS_ANSWERS_REFUSED.value() >= refused + 3);
    // Those who do not ask for records, and those for whom there are none, are served.
    server.ok("ListStreams", json!({})).await;
    let latest = server.iterator(json!({"StreamName": "s", "ShardIteratorType": "LATEST"})).await;
    assert_eq!(lengths(&server.records(&latest).await), [0usize; 0]);
    // It wakes up, and its answer is whole.
    let mut taken = 0;
    let mut buffer = vec![0; MIB];
    while taken < 12 * MIB {
        taken += slow.read(&mut buffer).await.expect("the rest");
    }
    assert_eq!(lengths(&patient(&server, &iterator).await), [9 * MIB]);
    server.stop().await;
}

#[tokio::test]
async fn an_answer_without_memory_for_more_ends_early_and_is_gone_on_with() {
    let (server, mut iterator) = server(4 * MIB, 60_000, &[ABOUT_MIB; 6]).await;
    let mut shown = Vec::new();
    while shown.len() < 6 {
        let page = patient(&server, &iterator).await;
        let now = lengths(&page);
        assert_eq!(now.len(), 2);
        shown.extend(now);
        iterator = page["NextShardIterator"].as_str().expect("a next iterator").to_string();
    }
    assert_eq!(shown, [ABOUT_MIB; 6]);
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_given_up_and_its_memory_given_back() {
    let (server, iterator) = server(16 * MIB, 100, &[9 * MIB]).await;
    let deaf = deaf(&server, &iterator).await;
    assert!(server.kinesis.answers.held_bytes() > 12 * MIB);
    assert_eq!(lengths(&patient(&server, &iterator).await), [9 * MIB]);
    drop(deaf);

    // Over HTTP/2 it grants no window, and the connection itself is alive.
    let handshake = h2::client::Builder::new().initial_window_size(1000).handshake::<_, Bytes>(server.connect().await);
    let (mut sender, connection) = handshake.await.expect("HTTP/2");
    let driving = tokio::spawn(connection);
    let head = axum::http::Request::post("http://localhost/")
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", "Kinesis_20131202.GetRecords")
        .header("authorization", SIGNED)
        .header("x-amz-date", "20260101T000000Z")
        .body(())
        .expect("a request");
    let answer = loop {
        let (answer, mut body) = sender.send_request(head.clone(), false).expect("sent");
        body.send_data(json!({"ShardIterator": iterator}).to_string().into(), true).expect("sent");
        let answer = answer.await.expect("an answer");
        if answer.status() == 200 {
            break answer;
        }
    };
    assert!(server.kinesis.answers.held_bytes() > 12 * MIB);
    assert_eq!(lengths(&patient(&server, &iterator).await), [9 * MIB]);
    drop(answer);
    driving.abort();
    server.stop().await;
}

#[tokio::test]
async fn a_batch_over_the_open_limit_is_skipped_and_counted() {
    let open = compress::Limits { max_bytes: 64 << 10, max_ratio: 100_000 };
    let kinesis = Settings { open, ..Settings::default() };
    let server = Server::start_with(Setup { kinesis, ..Setup::default() }).await;
    let stream = server.create_kafka("s", 1).await;
    let skipped = metrics::SKIPPED_RECORDS.of("undecodable").value();
    for length in [100, 100 << 10, 200] {
        append(&server, stream.logs[0], length, Codec::Gzip).await;
    }
    let iterator = server.iterator(json!({"StreamName": "s", "ShardIteratorType": "TRIM_HORIZON"})).await;
    let page = server.records(&iterator).await;
    // Two digits of base64 are filling.
    assert_eq!(lengths(&page).len(), 2);
    assert!(metrics::SKIPPED_RECORDS.of("undecodable").value() > skipped);
    server.stop().await;
}
