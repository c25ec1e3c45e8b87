//! The door itself: protocols told apart, connections kept, CORS, ids, limits, draining.

use axum::http::Request;
use bytes::Bytes;
use interfluve::aws::door::Limits;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{SIGNED, Server, Setup, read_answer, request};

/// One call over HTTP/2 by prior knowledge: status and body.
async fn h2_call(sender: &mut h2::client::SendRequest<Bytes>, operation: &str, body: &str) -> (u16, Vec<u8>) {
    let request = Request::post("http://localhost/")
        .header("content-type", "application/x-amz-json-1.1")
        .header("x-amz-target", format!("Kinesis_20131202.{operation}"))
        .header("authorization", SIGNED)
        .header("x-amz-date", "20260101T000000Z")
        .body(())
        .expect("a request");
    let (answer, mut stream) = sender.send_request(request, false).expect("sent");
    stream.send_data(Bytes::copy_from_slice(body.as_bytes()), true).expect("sent");
    let answer = answer.await.expect("an answer");
    let status = answer.status().as_u16();
    let mut incoming = answer.into_body();
    let mut whole = Vec::new();
    while let Some(data) = incoming.data().await {
        let data = data.expect("data");
        let _ = incoming.flow_control().release_capacity(data.len());
        whole.extend_from_slice(&data);
    }
    (status, whole)
}

#[tokio::test]
async fn http_2_by_prior_knowledge_and_http_1_1_share_the_port() {
    let server = Server::start().await;
    server.create("both", 1).await;
    let (mut sender, connection) = h2::client::handshake(server.connect().await).await.expect("HTTP/2");
    let driving = tokio::spawn(connection);
    let put = json!({"StreamName": "both", "PartitionKey": "k", "Data": "aGk="}).to_string();
    for _ in 0..3 {
        let (status, body) = h2_call(&mut sender, "PutRecord", &put).await;
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
    }
    drop(sender);
    driving.abort();
    let iterator = server.iterator(json!({"StreamName": "both", "ShardIteratorType": "TRIM_HORIZON"})).await;
    assert_eq!(server.records(&iterator).await["Records"].as_array().map(Vec::len), Some(3));
    server.stop().await;
}

#[tokio::test]
async fn many_requests_share_one_connection_and_an_error_keeps_it() {
    let server = Server::start().await;
    let mut socket = server.connect().await;
    for (operation, body, status) in [
        ("ListStreams", "{}", 200),
        ("DescribeStream", r#"{"StreamName":"absent"}"#, 400),
        ("ListStreams", "nope", 400),
        ("ListStreams", "{}", 200),
    ] {
        socket.write_all(&request(operation, body.as_bytes())).await.expect("sent");
        let answer = read_answer(&mut socket).await.expect("an answer");
        assert_eq!(answer.status, status, "{operation} {body}");
    }
    server.stop().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let server = Server::start().await;
    let mut socket = server.connect().await;
    let both = [request("ListStreams", b"{}"), request("DescribeStream", br#"{"StreamName":"absent"}"#)].concat();
    socket.write_all(&both).await.expect("sent");
    let statuses =
        [read_answer(&mut socket).await.expect("one").status, read_answer(&mut socket).await.expect("two").status];
    assert_eq!(statuses, [200, 400]);
    server.stop().await;
}

#[tokio::test]
async fn answers_carry_ids_and_the_type_of_an_error() {
    let server = Server::start().await;
    let ok = server.post("ListStreams", b"{}").await;
    let failed = server.post("DescribeStream", br#"{"StreamName":"absent"}"#).await;
    for answer in [&ok, &failed] {
        assert_eq!(answer.header("x-amzn-requestid").map(str::len), Some(36));
        assert_eq!(answer.header("x-amz-id-2").map(str::len), Some(96));
        assert_eq!(answer.header("content-type"), Some("application/x-amz-json-1.1"));
        assert!(answer.header("date").is_some());
    }
    assert_ne!(ok.header("x-amzn-requestid"), failed.header("x-amzn-requestid"));
    assert_eq!(failed.header("x-amzn-errortype"), Some("ResourceNotFoundException"));
    server.stop().await;
}

#[tokio::test]
async fn browsers_may_ask_from_anywhere() {
    let server = Server::start().await;
    let mut socket = server.connect().await;
    socket
        .write_all(
            b"OPTIONS / HTTP/1.1\r\nhost: a\r\norigin: http://b\r\naccess-control-request-headers: x, y\r\n\
              access-control-request-method: POST\r\ncontent-length: 0\r\n\r\n",
        )
        .await
        .expect("sent");
    let preflight = read_answer(&mut socket).await.expect("an answer");
    let expected = [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-headers", "x, y"),
        ("access-control-allow-methods", "POST"),
        ("access-control-max-age", "172800"),
    ];
    assert_eq!((preflight.status, preflight.body.len()), (200, 0));
    for (name, value) in expected {
        assert_eq!(preflight.header(name), Some(value));
    }
    let text = String::from_utf8(request("ListStreams", b"{}")).expect("text");
    socket.write_all(text.replace("host: localhost", "host: a\r\norigin: http://b").as_bytes()).await.expect("sent");
    let answer = read_answer(&mut socket).await.expect("an answer");
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert!(answer.header("access-control-expose-headers").is_some_and(|names| names.contains("x-amzn-RequestId")));
    server.stop().await;
}

#[tokio::test]
async fn pages_are_served_beside_the_operations() {
    let server = Server::start().await;
    let mut socket = server.connect().await;
    socket.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("sent");
    let page = read_answer(&mut socket).await.expect("an answer");
    assert_eq!((page.status, page.body.as_slice()), (200, b"ok\n".as_slice()));
    socket.write_all(b"GET /other HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("sent");
    let refused = read_answer(&mut socket).await.expect("an answer");
    assert_eq!(refused.status, 403);
    assert!(String::from_utf8_lossy(&refused.body).starts_with("<AccessDeniedException>"));
    server.stop().await;
}

/// What a connection is answered with before it is closed.
async fn answered(mut socket: TcpStream, bytes: &[u8]) -> Vec<u8> {
    // A connection that is closed early may refuse the rest; what it said before counts.
    let _ = socket.write_all(bytes).await;
    let mut said = Vec::new();
    let _ = socket.read_to_end(&mut said).await;
    said
}

#[tokio::test]
async fn what_is_no_http_is_closed_without_a_word() {
    let server = Server::start().await;
    let api_versions = [0, 0, 0, 20, 0, 18, 0, 3, 0, 0, 0, 1, 0, 4, b't', b'e', b's', b't', 0, 0, 0, 0, 0, 0];
    let tls_hello = [0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0];
    for bytes in [&api_versions[..], &tls_hello[..], &[0xff; 64][..]] {
        assert_eq!(answered(server.connect().await, bytes).await, b"", "{bytes:?}");
    }
    server.create("still-there", 1).await;
    server.stop().await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_its_connection_closed() {
    let limits = Limits { body_bytes: 1024, ..Limits::default() };
    let server = Server::start_with(Setup { limits, ..Setup::default() }).await;
    let answer = server.post("ListStreams", &[b'x'; 2000]).await;
    assert_eq!((answer.status, answer.header("connection")), (413, Some("close")));
    // Without a length the limit is met while the body arrives.
    let head = String::from_utf8(request("ListStreams", b"")).expect("text");
    let head = head.replace("content-length: 0", "transfer-encoding: chunked");
    let said =
        answered(server.connect().await, format!("{head}800\r\n{}\r\n0\r\n\r\n", "x".repeat(2048)).as_bytes()).await;
    assert!(String::from_utf8_lossy(&said).starts_with("HTTP/1.1 413"), "{}", String::from_utf8_lossy(&said));
    server.stop().await;
}

#[tokio::test]
async fn slow_headers_and_slow_bodies_are_given_up() {
    let limits = Limits { header_ms: 50, body_ms: 50, ..Limits::default() };
    let server = Server::start_with(Setup { limits, ..Setup::default() }).await;
    assert_eq!(answered_slowly(&server, b"P").await, b"");
    assert_eq!(answered_slowly(&server, b"PRI").await, b"");
    let begun = request("ListStreams", b"{}");
    let said = answered_slowly(&server, &begun[..begun.len() - 1]).await;
    assert!(said.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&said));
    let _ = answered_slowly(&server, &begun[..20]).await;
    server.create("still-there", 1).await;
    server.stop().await;
}

async fn answered_slowly(server: &Server, bytes: &[u8]) -> Vec<u8> {
    answered(server.connect().await, bytes).await
}

#[tokio::test]
async fn more_connections_than_the_limit_are_closed_at_once() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let server = Server::start_with(Setup { limits, ..Setup::default() }).await;
    let mut first = server.connect().await;
    first.write_all(&request("ListStreams", b"{}")).await.expect("sent");
    assert_eq!(read_answer(&mut first).await.map(|answer| answer.status), Some(200));
    let mut second = server.connect().await;
    let mut nothing = Vec::new();
    let _ = second.read_to_end(&mut nothing).await;
    assert_eq!(nothing, b"");
    first.write_all(&request("ListStreams", b"{}")).await.expect("sent");
    assert_eq!(read_answer(&mut first).await.map(|answer| answer.status), Some(200));
    server.stop().await;
}

#[tokio::test]
async fn a_request_that_has_begun_is_answered_while_the_door_closes() {
    let mut server = Server::start().await;
    let mut idle = server.connect().await;
    let mut begun = server.connect().await;
    let whole = request("ListStreams", b"{}");
    let (head, body) = whole.split_at(whole.len() - 2);
    // The first request proves that the connection is being served when the door is told to close.
    begun.write_all(&request("ListStreams", b"{}")).await.expect("sent");
    assert_eq!(read_answer(&mut begun).await.map(|answer| answer.status), Some(200));
    begun.write_all(head).await.expect("sent");
    idle.write_all(&request("ListStreams", b"{}")).await.expect("sent");
    assert_eq!(read_answer(&mut idle).await.map(|answer| answer.status), Some(200));
    server.tell_to_stop();
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.expect("an idle connection is closed");
    begun.write_all(body).await.expect("sent");
    assert_eq!(read_answer(&mut begun).await.map(|answer| answer.status), Some(200));
    server.stop().await;
}
