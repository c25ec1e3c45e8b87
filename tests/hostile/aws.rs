//! What the AWS port is sent that no SDK would send. (Each wrong request that is HTTP has its own exact answer in
//! `tests/kinesis/malformed.rs`; here is what is hardly HTTP, or none at all.)

use std::sync::Arc;

use interfluve::aws::door;
use interfluve::metrics;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::{Server, Setup};
use crate::{QUIET, both_serve, call, http, logs};

#[tokio::test]
async fn other_protocols_are_named_in_one_log_line() {
    let _quiet = QUIET.read().await;
    logs::keep();
    let server = Server::start().await;
    let hello = b"\x16\x03\x01\x00\xc4\x01\x00\x00\xc0\x03\x03".as_slice();
    let api_versions = b"\x00\x00\x00\x0a\x00\x12\x00\x00\x00\x00\x00\x01\xff\xff".as_slice();
    for (bytes, said) in [
        (hello, "TLS arrived on the AWS port"),
        (api_versions, "a Kafka client at the wrong port?"),
        (b"\xff\xff\xff\xff".as_slice(), "not HTTP"),
        (b"\0".as_slice(), "not HTTP"),
    ] {
        let mut socket = TcpStream::connect(server.aws).await.expect("the door is open");
        let peer = socket.local_addr().expect("an open socket");
        socket.write_all(bytes).await.expect("sent");
        let mut answered = Vec::new();
        let _ = socket.read_to_end(&mut answered).await;
        assert!(answered.is_empty(), "{said}");
        both_serve(&server, said).await;
        let lines = logs::about(peer);
        assert!(lines.len() == 1 && lines[0].contains(said), "{said}: {lines:?}");
    }
}

/// An operation that panics in the middle of its work: its client is answered as AWS answers its own failures, one line
/// says where to look, and the connection goes on, as everybody else's.
#[tokio::test]
async fn a_panic_is_answered_logged_counted_and_hurts_nobody() {
    let _quiet = QUIET.read().await;
    logs::keep();
    let planted: door::Handler = Arc::new(|_| {
        Box::pin(async {
            tokio::task::yield_now().await;
            panic!("a planted panic")
        })
    });
    let at_once: door::Handler = Arc::new(|_| panic!("a planted panic"));
    let operations = [("Kinesis_20131202.Planted", planted), ("Kinesis_20131202.AtOnce", at_once)].into();
    let server = Server::start_with(Setup { operations, ..Setup::default() }).await;
    let keep = |operation: &str| {
        let text = String::from_utf8(call(operation, b"{}")).expect("ASCII");
        text.replace("connection: close\r\n", "")
    };
    let mut neighbour = TcpStream::connect(server.aws).await.expect("the door is open");
    let (head, rest) = HEAD.split_at(40);
    neighbour.write_all(head.as_bytes()).await.expect("sent");
    let counted = metrics::PANICS.of("aws").value();
    for (number, operation) in [(1, "Planted"), (2, "AtOnce")] {
        let mut socket = TcpStream::connect(server.aws).await.expect("the door is open");
        socket.write_all(keep(operation).as_bytes()).await.expect("sent");
        socket.write_all(&call("ListStreams", b"{}")).await.expect("sent");
        let mut said = String::new();
        socket.read_to_string(&mut said).await.expect("two answers");
        let (failed, good) = said.split_at(said.rfind("HTTP/1.1 ").expect("two answers"));
        assert!(failed.starts_with("HTTP/1.1 500 ") && good.starts_with("HTTP/1.1 200 "), "{said}");
        assert!(failed.contains("\r\nx-amzn-errortype: InternalFailure\r\n"), "{failed}");
        assert!(failed.ends_with(r#"{"__type":"InternalFailure","message":"Internal Service Failure"}"#), "{failed}");
        let id = failed.lines().find_map(|line| line.strip_prefix("x-amzn-requestid: ")).expect("an id");
        let lines = logs::with(&format!("request=\"{id}\""));
        assert_eq!(lines.len(), 1, "{lines:?}");
        for word in [format!("operation=\"{operation}\""), "panic=\"a planted panic".to_owned()] {
            assert!(lines[0].contains(&word), "{word}: {lines:?}");
        }
        assert_eq!(metrics::PANICS.of("aws").value(), counted + number);
    }
    neighbour
        .write_all(format!("{rest}connection: close\r\ncontent-length: 2\r\n\r\n{{}}").as_bytes())
        .await
        .expect("sent");
    let mut said = String::new();
    neighbour.read_to_string(&mut said).await.expect("an answer");
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
    both_serve(&server, "panics").await;
}

/// The head of a good request without its end, to be gone on with.
const HEAD: &str = "POST / HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-amz-json-1.1\r\nx-amz-target: \
                    Kinesis_20131202.ListStreams\r\nauthorization: AWS4-HMAC-SHA256 \
                    Credential=AKID/20260101/eu-west-1/kinesis/aws4_request, SignedHeaders=host;x-amz-date, \
                    Signature=abc\r\nx-amz-date: 20260101T000000Z\r\n";

/// What it is, its bytes, and how what is answered may begin; `""`: with nothing, the connection is closed.
struct Case(&'static str, Vec<u8>, &'static [&'static str]);

/// Requests of which every one is wrong in its framing.
fn cases() -> Vec<Case> {
    let head = |rest: &str| format!("{HEAD}{rest}").into_bytes();
    let smuggled = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    let refused: &[&str] = &["HTTP/1.1 400 "];
    let refused_or_closed: &[&str] = &["HTTP/1.1 400 ", ""];
    vec![
        Case("both lengths", head("content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}"), refused),
        Case(
            "both lengths, the chunks first",
            head(&format!("transfer-encoding: chunked\r\ncontent-length: 6\r\n\r\n0\r\n\r\n{smuggled}")),
            refused,
        ),
        Case("two lengths", head("content-length: 2\r\ncontent-length: 3\r\n\r\n{}"), refused),
        Case("two lengths in one", head("content-length: 2, 3\r\n\r\n{}"), refused),
        Case("a negative length", head("content-length: -2\r\n\r\n{}"), refused),
        Case("a length with a sign", head("content-length: +2\r\n\r\n{}"), refused),
        Case("a hexadecimal length", head("content-length: 0x2\r\n\r\n{}"), refused),
        Case("a length that is text", head("content-length: two\r\n\r\n{}"), refused),
        Case("an empty length", head("content-length: \r\n\r\n{}"), refused),
        Case("a length beyond 64 bits", head("content-length: 99999999999999999999\r\n\r\n{}"), refused),
        Case("a length over the limit", head("content-length: 99999999\r\n\r\n{}"), &["HTTP/1.1 413 "]),
        Case("a body that ends early", head("content-length: 20\r\n\r\n{}"), refused_or_closed),
        Case("an unknown coding", head("transfer-encoding: gzip\r\n\r\n{}"), refused),
        Case("chunked that is not last", head("transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n"), refused),
        Case("a chunk size that is none", head("transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"), refused),
        Case("a negative chunk", head("transfer-encoding: chunked\r\n\r\n-1\r\n{}\r\n0\r\n\r\n"), refused),
        Case("a chunk of 2^64", head("transfer-encoding: chunked\r\n\r\n10000000000000000\r\n{}\r\n"), refused),
        Case("a chunk longer than it says", head("transfer-encoding: chunked\r\n\r\n1\r\n{}\r\n0\r\n\r\n"), refused),
        Case("chunks without an end", head("transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n"), refused_or_closed),
        Case(
            "a chunk extension without an end",
            head(&format!("transfer-encoding: chunked\r\n\r\n2;{}", "x".repeat(100_000))),
            refused_or_closed,
        ),
        Case("a folded header", head("x: a\r\n b\r\ncontent-length: 2\r\n\r\n{}"), refused),
        Case("a space before the colon", head("content-length : 2\r\n\r\n{}"), refused),
        Case("a header without a colon", head("content-length\r\n\r\n{}"), refused),
        Case("a header without a name", head(": 2\r\n\r\n{}"), refused),
        Case("a NUL in a value", head("x: a\0b\r\ncontent-length: 2\r\n\r\n{}"), refused),
        Case("a NUL in a name", head("a\0b: x\r\ncontent-length: 2\r\n\r\n{}"), refused),
        Case("a bare CR in a value", head("x: a\rb\r\ncontent-length: 2\r\n\r\n{}"), refused),
        Case("no version", b"POST /\r\n\r\n".to_vec(), refused_or_closed),
        Case("a version there is not", b"POST / HTTP/9.9\r\n\r\n".to_vec(), refused_or_closed),
        Case("a method of bytes", b"P\x80ST / HTTP/1.1\r\n\r\n".to_vec(), refused_or_closed),
        Case("a target with a space", b"POST /a b HTTP/1.1\r\n\r\n".to_vec(), refused_or_closed),
        Case("a target with a NUL", b"POST /\0 HTTP/1.1\r\n\r\n".to_vec(), refused_or_closed),
        Case(
            "a target of 70 KB",
            format!("POST /{} HTTP/1.1\r\n\r\n", "x".repeat(70_000)).into_bytes(),
            &["HTTP/1.1 414 ", "HTTP/1.1 431 ", ""],
        ),
        Case(
            "a header of 100 KB",
            head(&format!("x: {}\r\ncontent-length: 2\r\n\r\n{{}}", "y".repeat(100_000))),
            &["HTTP/1.1 431 ", ""],
        ),
        Case(
            "a thousand headers",
            head(&format!("{}content-length: 2\r\n\r\n{{}}", "a: b\r\n".repeat(1000))),
            &["HTTP/1.1 431 ", ""],
        ),
        Case("a head without an end", head("x: y"), &[""]),
        Case("an HTTP/2 preface that breaks off", b"PRI * HTTP/2.0\r\n\r\nSM".to_vec(), &[""]),
        Case("an HTTP/2 preface that is none", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec(), refused_or_closed),
        Case("empty lines for ever", "\r\n".repeat(100_000).into_bytes(), &["HTTP/1.1 4", ""]),
    ]
}

#[tokio::test]
async fn broken_framing_is_refused_and_nothing_is_smuggled() {
    let _quiet = QUIET.read().await;
    let server = Server::start().await;
    let mut wrong = Vec::new();
    for Case(what, bytes, may) in cases() {
        let mut socket = TcpStream::connect(server.aws).await.expect("the door is open");
        let _ = socket.write_all(&bytes).await;
        let _ = socket.shutdown().await;
        let mut said = Vec::new();
        let _ = socket.read_to_end(&mut said).await;
        let said = String::from_utf8_lossy(&said).into_owned();
        let fits = may.iter().any(|may| said.starts_with(may) && (said.is_empty() || !may.is_empty()));
        if !fits || said.matches("HTTP/1.1 ").count() > 1 {
            wrong.push(format!("{what}: {said}"));
        }
        both_serve(&server, what).await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// RFC 9112 2.2: a recipient may take a bare LF for a line's end. Then it is one request, and one only.
#[tokio::test]
async fn bare_line_feeds_are_one_request_or_none() {
    let _quiet = QUIET.read().await;
    let server = Server::start().await;
    let bytes = format!("{HEAD}connection: close\r\ncontent-length: 2\r\n\r\n{{}}").replace("\r\n", "\n");
    let said = http(&server, bytes.as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 200 ") || said.starts_with("HTTP/1.1 400 "), "{said}");
    assert_eq!(said.matches("HTTP/1.1 ").count(), 1, "{said}");
    both_serve(&server, "bare line feeds").await;
}

#[tokio::test]
async fn a_body_and_a_head_that_do_not_arrive_in_time_are_given_up() {
    let _quiet = QUIET.read().await;
    let aws = door::Limits { header_ms: 200, body_ms: 200, ..door::Limits::default() };
    let server = Server::start_with(Setup { aws, ..Setup::default() }).await;
    for (bytes, may) in [
        (format!("{HEAD}content-length: 20\r\n\r\n{{"), "HTTP/1.1 408 "),
        (format!("{HEAD}transfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n"), "HTTP/1.1 408 "),
        (HEAD.to_owned(), ""),
        ("P".to_owned(), ""),
        ("PRI ".to_owned(), ""),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r".to_owned(), ""),
    ] {
        let mut socket = TcpStream::connect(server.aws).await.expect("the door is open");
        socket.write_all(bytes.as_bytes()).await.expect("sent");
        // The socket stays open on our side: what ends it is the server's patience.
        let mut said = Vec::new();
        let _ = socket.read_to_end(&mut said).await;
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(said.starts_with(may) && (said.is_empty() || !may.is_empty()), "{bytes}: {said}");
        both_serve(&server, may).await;
    }
}

/// Bodies that are no JSON object, for every operation: the service's own error, nothing else.
#[tokio::test]
async fn json_of_every_wrong_kind_is_a_serialization_exception_for_every_operation() {
    let _quiet = QUIET.read().await;
    let server = Server::start().await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_objects = "{\"a\":".repeat(100_000);
    let bodies: &[&[u8]] = &[
        b"null",
        b"true",
        b"0",
        b"-0",
        b"\"text\"",
        b"[]",
        b"[{}]",
        b"{",
        b"{]",
        b"{}}",
        b"{} {}",
        b"{\"a\"}",
        b"{\"a\":}",
        b"{\"a\":1,}",
        b"{a:1}",
        b"{'a':1}",
        b"{\"a\":01}",
        b"{\"a\":+1}",
        b"{\"a\":NaN}",
        b"{\"a\":Infinity}",
        b"{\"a\":\"\\x\"}",
        b"{\"a\":\"\\u12\"}",
        b"{\"a\":\"\n\"}",
        b"{\"a\":\"\xff\"}",
        b"\xef\xbb\xbf{}",
        b"\xff\xfe{\0}\0",
        b"{\"a\":/**/1}",
        deep.as_bytes(),
        deep_objects.as_bytes(),
    ];
    for operation in [
        "CreateStream",
        "DeleteStream",
        "DescribeStream",
        "DescribeStreamSummary",
        "GetRecords",
        "GetShardIterator",
        "ListShards",
        "ListStreams",
        "PutRecord",
        "PutRecords",
    ] {
        for body in bodies {
            let answer = http(&server, &call(operation, body)).await;
            let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
            assert!(answer.starts_with("HTTP/1.1 400 "), "{operation} {shown}: {answer}");
            assert!(answer.contains("SerializationException"), "{operation} {shown}: {answer}");
        }
    }
    both_serve(&server, "JSON of every wrong kind").await;
}

/// Members of every wrong kind, one at a time: an error of the client's making, never of ours.
#[tokio::test]
async fn members_of_every_wrong_kind_are_the_client_s_error() {
    let _quiet = QUIET.read().await;
    let server = Server::start().await;
    let values = [
        "true",
        "{}",
        "[]",
        "[[]]",
        "[null]",
        "-1",
        "1.5",
        "1e999",
        "9223372036854775808",
        "\"\"",
        "\"..\"",
        "\"a/b\"",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "\"====\"",
        "\"AAAA\"",
    ];
    for (operation, members) in [
        ("CreateStream", &["StreamName", "ShardCount", "StreamModeDetails", "Tags"][..]),
        ("DeleteStream", &["StreamName", "StreamARN", "EnforceConsumerDeletion"]),
        ("DescribeStream", &["StreamName", "StreamARN", "Limit", "ExclusiveStartShardId"]),
        ("DescribeStreamSummary", &["StreamName", "StreamARN"]),
        ("GetRecords", &["ShardIterator", "Limit", "StreamARN"]),
        ("GetShardIterator", &["StreamName", "ShardId", "ShardIteratorType", "StartingSequenceNumber", "Timestamp"]),
        ("ListShards", &["StreamName", "NextToken", "MaxResults", "ShardFilter", "StreamCreationTimestamp"]),
        ("ListStreams", &["Limit", "NextToken", "ExclusiveStartStreamName"]),
        ("PutRecord", &["StreamName", "Data", "PartitionKey", "ExplicitHashKey", "SequenceNumberForOrdering"]),
        ("PutRecords", &["StreamName", "Records"]),
    ] {
        for member in members {
            for value in values {
                let answer = http(&server, &call(operation, format!("{{\"{member}\":{value}}}").as_bytes())).await;
                let status = answer.get(9..12).unwrap_or("");
                assert!(["200", "400"].contains(&status), "{operation} {member} {value}: {answer}");
                assert!(status == "200" || answer.contains("\"__type\":"), "{operation} {member} {value}: {answer}");
            }
        }
    }
    both_serve(&server, "members of every wrong kind").await;
}
