//! Hostile bytes on both ports, over loopback, against a whole server in this process: each gets the protocol's own error
//! or a closed connection, memory stays bounded, and the next client does not notice.

#[path = "wire/server.rs"]
mod server;

#[path = "hostile/aws.rs"]
mod aws;
#[path = "hostile/bombs.rs"]
mod bombs;
#[path = "hostile/kafka.rs"]
mod kafka;
#[path = "hostile/logs.rs"]
mod logs;
#[path = "hostile/memory.rs"]
mod memory;

use interfluve::kafka::wire::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use server::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::RwLock;

/// Held for writing by tests that measure this process, for reading by all others.
static QUIET: RwLock<()> = RwLock::const_new(());

/// Both faces still serve a client that comes now.
async fn both_serve(server: &Server, after: &str) {
    let answer: ApiVersionsResponse = server.kafka().await.ask(0, &ApiVersionsRequest::default()).await;
    assert_eq!(answer.error_code, 0, "after {after}");
    let answer = http(server, &call("ListStreams", b"{}")).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "after {after}: {answer}");
}

/// A signed call of one operation that closes its connection.
fn call(operation: &str, body: &[u8]) -> Vec<u8> {
    let signed = "AWS4-HMAC-SHA256 Credential=AKID/20260101/eu-west-1/kinesis/aws4_request, \
                  SignedHeaders=host;x-amz-date, Signature=abc";
    let head = format!(
        "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/x-amz-json-1.1\r\n\
         x-amz-target: Kinesis_20131202.{operation}\r\nauthorization: {signed}\r\nx-amz-date: 20260101T000000Z\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Everything that is answered to these bytes until the server closes.
async fn http(server: &Server, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(server.aws).await.expect("the door is open");
    let _ = socket.write_all(bytes).await;
    let mut said = Vec::new();
    let _ = socket.read_to_end(&mut said).await;
    String::from_utf8_lossy(&said).into_owned()
}
