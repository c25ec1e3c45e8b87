//! Requests that are wrong in every way we can think of: each gets the protocol's own answer, the server goes on, and no
//! other client notices.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::harness::{Answer, SIGNED, Server, read_answer};

const JSON: &str = "application/x-amz-json-1.1";
const TARGET: &str = "Kinesis_20131202.ListStreams";

/// A request of parts, any of which may be left out.
#[derive(Clone, Copy)]
struct Raw<'a> {
    method: &'a str,
    path: &'a str,
    content_type: Option<&'a str>,
    target: Option<&'a str>,
    authorization: Option<&'a str>,
    date: Option<&'a str>,
    body: &'a [u8],
}

const WHOLE: Raw<'static> = Raw {
    method: "POST",
    path: "/",
    content_type: Some(JSON),
    target: Some(TARGET),
    authorization: Some(SIGNED),
    date: Some("20260101T000000Z"),
    body: b"{}",
};

impl Raw<'_> {
    fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nhost: localhost\r\n", self.method, self.path);
        let headers = [
            ("content-type", self.content_type),
            ("x-amz-target", self.target),
            ("authorization", self.authorization),
            ("x-amz-date", self.date),
        ];
        for (name, value) in headers {
            if let Some(value) = value {
                head += &format!("{name}: {value}\r\n");
            }
        }
        head += &format!("content-length: {}\r\n\r\n", self.body.len());
        [head.as_bytes(), self.body].concat()
    }
}

async fn sent(server: &Server, raw: &Raw<'_>) -> Answer {
    let mut socket = server.connect().await;
    socket.write_all(&raw.bytes()).await.expect("sent");
    read_answer(&mut socket).await.expect("an answer")
}

#[tokio::test]
async fn each_wrong_request_has_its_own_answer_in_the_service_s_order() {
    let server = Server::start().await;
    let deep = format!("{{\"a\":{}", "[".repeat(200_000));
    let query = "/?X-Amz-Algorithm=AWS4-HMAC-SHA256";
    let denied = "<AccessDeniedException>";
    let cases: Vec<(Raw<'_>, u16, &str)> = vec![
        (WHOLE, 200, ""),
        (Raw { path: "/any/path?x=1", ..WHOLE }, 200, ""),
        (Raw { method: "PUT", ..WHOLE }, 403, denied),
        (Raw { method: "DELETE", body: b"", ..WHOLE }, 403, denied),
        (Raw { method: "OPTIONS", ..WHOLE }, 403, denied),
        (Raw { method: "BREW", ..WHOLE }, 403, denied),
        (Raw { content_type: None, target: None, ..WHOLE }, 403, denied),
        (Raw { content_type: Some("text/plain"), target: None, ..WHOLE }, 403, denied),
        (Raw { content_type: Some("text/plain"), target: Some("Kinesis_20131202."), ..WHOLE }, 403, denied),
        (Raw { content_type: Some("text/plain"), ..WHOLE }, 404, "<UnknownOperationException/>"),
        (Raw { content_type: None, ..WHOLE }, 404, "<UnknownOperationException/>"),
        (Raw { body: b"", ..WHOLE }, 400, "SerializationException"),
        (Raw { body: b"", target: Some("Kinesis_20131202.No"), ..WHOLE }, 400, "UnknownOperationException"),
        (Raw { target: Some("Kinesis_20131202.No"), ..WHOLE }, 400, "UnknownOperationException"),
        (Raw { target: Some("Kinesis_19990101.ListStreams"), ..WHOLE }, 400, "UnknownOperationException"),
        (Raw { target: None, ..WHOLE }, 400, "UnknownOperationException"),
        (Raw { target: Some("Kinesis_20131202.No"), body: b"{", ..WHOLE }, 400, "SerializationException"),
        (Raw { content_type: Some("application/x-amz-cbor-1.1"), ..WHOLE }, 400, "SerializationException"),
        (Raw { authorization: None, ..WHOLE }, 400, "MissingAuthenticationTokenException"),
        (Raw { authorization: Some("AWS4-"), ..WHOLE }, 400, "IncompleteSignatureException"),
        (Raw { authorization: Some("Basic dTpw"), ..WHOLE }, 400, "IncompleteSignatureException"),
        (Raw { date: None, ..WHOLE }, 400, "IncompleteSignatureException"),
        (Raw { path: query, authorization: None, ..WHOLE }, 400, "IncompleteSignatureException"),
        (Raw { path: query, ..WHOLE }, 400, "InvalidSignatureException"),
        (Raw { body: b"{", ..WHOLE }, 400, "SerializationException"),
        (Raw { body: b"[]", ..WHOLE }, 400, "SerializationException"),
        (Raw { body: b"null", ..WHOLE }, 400, "SerializationException"),
        (Raw { body: b"\x00\x01\xff", ..WHOLE }, 400, "SerializationException"),
        (Raw { body: b"{\"Limit\":1}}", ..WHOLE }, 400, "SerializationException"),
        (Raw { body: b"{'Limit':1}", ..WHOLE }, 400, "SerializationException"),
        (Raw { body: b"{\"Limit\":NaN}", ..WHOLE }, 400, "SerializationException"),
        (Raw { body: b"{\"Limit\":1e999}", ..WHOLE }, 400, "SerializationException"),
        (Raw { body: b"{\"Limit\":\"1\"}", ..WHOLE }, 400, "SerializationException"),
        (Raw { body: b"{\"ExclusiveStartStreamName\":\"\xff\"}", ..WHOLE }, 400, "SerializationException"),
        (Raw { body: deep.as_bytes(), ..WHOLE }, 400, "SerializationException"),
        (Raw { body: b"{\"Limit\":0}", ..WHOLE }, 400, "ValidationException"),
        (Raw { body: b"{\"Limit\":10001}", ..WHOLE }, 400, "ValidationException"),
        (Raw { body: b"{\"NextToken\":\"AAAA\"}", ..WHOLE }, 400, "InvalidArgumentException"),
        // What is wrong earlier in the order is told first.
        (Raw { authorization: None, body: b"{\"Limit\":0}", ..WHOLE }, 400, "MissingAuthenticationTokenException"),
        (Raw { body: b"{\"Limit\":0,\"NextToken\":5}", ..WHOLE }, 400, "SerializationException"),
        // Unknown members and null ones are no mistakes.
        (Raw { body: b"{\"Limit\":null,\"Other\":[{\"x\":1}]}", ..WHOLE }, 200, ""),
    ];
    for (raw, status, expected) in cases {
        let answer = sent(&server, &raw).await;
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        let what = String::from_utf8_lossy(&raw.bytes()[..raw.bytes().len().min(300)]).into_owned();
        assert_eq!(answer.status, status, "{what}\n{body}");
        assert!(body.contains(expected), "{what}\n{body}");
    }
    server.create("still-there", 1).await;
    server.stop().await;
}

#[tokio::test]
async fn broken_framing_ends_its_connection_and_no_other() {
    let server = Server::start().await;
    let endless = format!("POST / HTTP/1.1\r\nx: {}", "y".repeat(200_000));
    let many = format!("POST / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(1000));
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let cases: Vec<Vec<u8>> = vec![
        b"POST\r\n\r\n".to_vec(),
        b"POST / HTTP/9.9\r\n\r\n".to_vec(),
        b"POST / HTTP/1.1\r\ncontent-length: -5\r\n\r\n".to_vec(),
        b"POST / HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello".to_vec(),
        b"POST / HTTP/1.1\r\ncontent-length: 99999999999999999999999\r\n\r\n".to_vec(),
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec(),
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n".to_vec(),
        b"POST / HTTP/1.1\r\nbad header\r\n\r\n".to_vec(),
        b"POST / HTTP/1.1\r\nx\0y: z\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec(),
        [preface.clone(), vec![0xff; 100]].concat(),
        [preface, b"\xff\xff\xff\x00\x00\x00\x00\x00\x01".to_vec()].concat(),
        endless.into_bytes(),
        many.into_bytes(),
    ];
    for bytes in cases {
        let mut socket = server.connect().await;
        let _ = socket.write_all(&bytes).await;
        let _ = socket.shutdown().await;
        let mut said = Vec::new();
        let _ = socket.read_to_end(&mut said).await;
        let what = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
        assert!(!said.starts_with(b"HTTP/1.1 2"), "{what}: {}", String::from_utf8_lossy(&said));
        assert_eq!(sent(&server, &WHOLE).await.status, 200, "after {what}");
    }
    server.stop().await;
}

#[tokio::test]
async fn names_no_stream_can_have_are_refused() {
    let server = Server::start().await;
    let long = "x".repeat(129);
    for name in ["", "..", ".", "a/b", "../../etc/passwd", "a b", "a\u{0}b", "é", "a:b", &long, &"y".repeat(70_000)] {
        let body = serde_json::json!({"StreamName": name, "ShardCount": 1});
        let (kind, _) = server.err("CreateStream", body).await;
        assert!(matches!(kind.as_str(), "ValidationException" | "InvalidArgumentException"), "{name}: {kind}");
    }
    assert_eq!(server.ok("ListStreams", serde_json::json!({})).await["StreamNames"], serde_json::json!([]));
    server.stop().await;
}

#[tokio::test]
async fn base64_of_every_wrong_kind_is_refused() {
    let server = Server::start().await;
    server.create("s", 1).await;
    for data in ["a", "ab", "abc", "a===", "ab=c", "ab\n=", "a b=", "ab==ab==", "_-==", "YR==", "é===", "====", "AA=A"]
    {
        let body = serde_json::json!({"StreamName": "s", "PartitionKey": "k", "Data": data});
        let (kind, message) = server.err("PutRecord", body).await;
        assert_eq!(kind, "SerializationException", "{data}");
        assert!(message.contains("can not be converted to a Blob"), "{data}: {message}");
    }
    server.stop().await;
}
