//! The program as people meet it: its start and its end, its directory, its refusals and its exit codes. The server runs
//! as a process of its own, on free ports.

#[path = "program/process.rs"]
mod process;

use std::fs;
use std::io::{Read, Write};

use process::{Server, answer, output, request};
use serde_json::json;

#[test]
fn it_says_ready_on_one_line_with_real_ports() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(dir.path(), &[]);
    assert_eq!(server.ready["ready"], true);
    assert_eq!(server.ready["pid"], server.pid());
    for face in ["kafka", "aws"] {
        assert!(!server.address(face).ends_with(":0"), "{}", server.ready);
    }
}

#[test]
fn health_and_metrics_have_a_port_of_their_own_if_asked() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(dir.path(), &["--metrics-listen", "127.0.0.1:0"]);
    for (path, want) in [("/healthz", "ok"), ("/readyz", "ready"), ("/metrics", "process_resident_memory_bytes")] {
        let (status, body) = server.get("metrics", path);
        assert!(status.contains("200") && body.contains(want), "{path}: {status} {body}");
    }
}

#[test]
fn health_and_metrics_are_on_the_aws_address_if_not() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(dir.path(), &[]);
    server.kinesis("CreateStream", &json!({"StreamName": "s", "ShardCount": 3}));
    for (path, want) in [("/healthz", "ok"), ("/readyz", "ready"), ("/metrics", "interfluve_streams 3")] {
        let (status, body) = server.get("aws", path);
        assert!(status.contains("200") && body.contains(want), "{path}: {status} {body}");
    }
}

#[test]
fn what_was_acknowledged_outlives_kill_9() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(dir.path(), &[]);
    server.kinesis("CreateStream", &json!({"StreamName": "s", "ShardCount": 1}));
    let put = json!({"StreamName": "s", "Data": "aGVsbG8=", "PartitionKey": "k"});
    let placed = server.kinesis("PutRecord", &put);
    server.signal("KILL");
    let (status, _) = server.ended();
    assert_eq!(status.code(), None);
    let server = Server::start(dir.path(), &[]);
    let shard = json!({"StreamName": "s", "ShardId": placed["ShardId"], "ShardIteratorType": "TRIM_HORIZON"});
    let from = server.kinesis("GetShardIterator", &shard);
    let got = server.kinesis("GetRecords", &json!({"ShardIterator": from["ShardIterator"]}));
    assert_eq!(got["Records"].as_array().map(Vec::len), Some(1), "{got}");
    assert_eq!(
        (&got["Records"][0]["Data"], &got["Records"][0]["SequenceNumber"]),
        (&put["Data"], &placed["SequenceNumber"])
    );
}

/// A request of which the last byte is still to come.
fn under_way(server: &Server) -> (std::net::TcpStream, String) {
    let request = request("ListStreams", "{}");
    let (head, rest) = request.split_at(request.len() - 1);
    let mut socket = server.connect("aws");
    socket.write_all(head.as_bytes()).expect("sent");
    // Its neighbour is answered, so this one has been accepted.
    server.get("aws", "/healthz");
    (socket, rest.to_string())
}

#[test]
fn a_request_that_is_under_way_is_answered_before_the_end() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut server = Server::start(dir.path(), &["--shutdown-grace-ms", "1h"]);
    let (mut socket, rest) = under_way(&server);
    server.signal("TERM");
    server.says("stopping");
    socket.write_all(rest.as_bytes()).expect("sent");
    let (status, body) = answer(socket);
    assert!(status.contains(" 200 ") && body.contains("StreamNames"), "{status} {body}");
    assert_eq!(server.ended().0.code(), Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut server = Server::start(dir.path(), &["--shutdown-grace-ms", "1h"]);
    let _held = under_way(&server);
    server.signal("TERM");
    server.says("stopping");
    server.signal("TERM");
    assert_eq!(server.ended().0.code(), Some(143));
    Server::start(dir.path(), &[]).kinesis("ListStreams", &json!({}));
}

/// Each face: those who find no descriptor left wait, one line says why, and they are served when others have gone.
#[test]
fn out_of_descriptors_it_says_so_once_and_serves_those_who_waited() {
    for (face, listener) in [("kafka", "listener=\"kafka.listeners\""), ("aws", "listener=\"aws.listen\"")] {
        let dir = tempfile::tempdir().expect("a directory");
        let mut server = Server::start(dir.path(), &["--metrics-listen", "127.0.0.1:0"]);
        server.limit_descriptors(Some(3));
        let mut crowd: Vec<_> = (0..20).map(|_| server.connect(face)).collect();
        let said = server.says_somewhere("cannot accept connections");
        assert!(said.last().is_some_and(|line| line.contains(listener)), "{said:?}");
        // The last of the crowd has not been accepted, and asks.
        let mut waiting = crowd.pop().expect("a crowd");
        let request: Vec<u8> = match face {
            "kafka" => vec![0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff],
            _ => request("ListStreams", "{}").into_bytes(),
        };
        waiting.write_all(&request).expect("sent");
        drop(crowd);
        let mut first = [0; 1];
        waiting.read_exact(&mut first).expect("answered once there is room");
        drop(waiting);
        let said = server.says_somewhere("accepting connections again");
        assert!(said.iter().all(|line| !line.contains("cannot accept")), "said once: {said:?}");
        server.limit_descriptors(None);
        let (_, page) = server.get("metrics", "/metrics");
        let failed = page.lines().find(|line| line.contains(&format!("accept_failures_total{{face=\"{face}\"}}")));
        assert!(failed.is_some_and(|line| !line.ends_with(" 0")), "{face}: {failed:?}");
    }
}

/// When the disk fails, nothing more can be acknowledged: the server says so and ends, and the next one has everything
/// that was acknowledged.
#[test]
fn a_disk_that_fails_ends_it_and_loses_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_str().expect("UTF-8");
    let ports = ["--kafka-listeners", "", "--aws-listen", "127.0.0.1:0", "--ready-json"];
    let mut arguments = vec!["serve", "--data-dir", path, "--journal-file-bytes", "4MiB"];
    arguments.extend(ports);
    // Enough for a file of the journal, not for a segment of all that is put.
    let server = Server::run_limited(5 << 20, &arguments);
    server.kinesis("CreateStream", &json!({"StreamName": "s", "ShardCount": 1}));
    let put = json!({"StreamName": "s", "Data": "QUFB".repeat(170_000), "PartitionKey": "k"});
    let mut acknowledged = Vec::new();
    for _ in 0..100 {
        let (status, body) = server.ask_kinesis("PutRecord", &put);
        if !status.contains(" 200 ") {
            break;
        }
        let placed: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        acknowledged.push(placed["SequenceNumber"].clone());
    }
    assert!((2..100).contains(&acknowledged.len()), "{} were acknowledged", acknowledged.len());
    let (status, said) = server.ended();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("STOPPED: "), "{said}");

    let server = Server::run(&arguments);
    let first = json!({"StreamName": "s", "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"});
    let mut iterator = server.kinesis("GetShardIterator", &first)["ShardIterator"].clone();
    let mut found = Vec::new();
    while found.len() < acknowledged.len() {
        let page = server.kinesis("GetRecords", &json!({"ShardIterator": iterator}));
        let records = page["Records"].as_array().expect("a list");
        assert!(!records.is_empty(), "{} of {} are there", found.len(), acknowledged.len());
        found.extend(records.iter().map(|record| record["SequenceNumber"].clone()));
        iterator = page["NextShardIterator"].clone();
    }
    assert_eq!(found[..acknowledged.len()], acknowledged[..]);
}

/// What a Kafka client is told to connect to: host and port of the only broker in an answer to Metadata v0.
fn told(address: &str) -> (String, i32) {
    let mut socket = std::net::TcpStream::connect(address).expect("listening");
    // length 14 │ api 3, version 0 │ correlation id 1 │ no client id │ all streams
    let request = [0, 0, 0, 14, 0, 3, 0, 0, 0, 0, 0, 1, 0xff, 0xff, 0, 0, 0, 0];
    socket.write_all(&request).expect("sent");
    let mut length = [0; 4];
    socket.read_exact(&mut length).expect("answered");
    let mut body = vec![0; u32::from_be_bytes(length) as usize];
    socket.read_exact(&mut body).expect("answered");
    // correlation id │ brokers 1 │ node id │ host: length i16 │ port i32
    let end = 14 + usize::from(u16::from_be_bytes([body[12], body[13]]));
    let port = i32::from_be_bytes(body[end..end + 4].try_into().expect("four bytes"));
    (String::from_utf8(body[14..end].to_vec()).expect("UTF-8"), port)
}

#[test]
fn each_listener_advertises_its_own_address() {
    let server = Server::run(&[
        "--data-dir",
        "memory:",
        "--aws-listen",
        "",
        "--ready-json",
        "--kafka-listeners",
        "internal://127.0.0.1:0,external://127.0.0.1:0",
        "--kafka-advertised",
        "external://broker.example:19093",
    ]);
    let address = |name: &str| server.ready["kafka_listeners"][name].as_str().expect("an address").to_string();
    let (internal, external) = (address("internal"), address("external"));
    let own = internal.rsplit_once(':').expect("an address");
    assert_eq!(told(&internal), (own.0.to_string(), own.1.parse().expect("a port")));
    assert_eq!(told(&external), ("broker.example".to_string(), 19093));
}

#[test]
fn either_face_can_be_left_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let dir = dir.path().to_str().expect("UTF-8");
    for more in [
        ["--kafka-listeners", "", "--aws-listen", "127.0.0.1:0"],
        ["--kafka-listeners", "127.0.0.1:0", "--aws-listen", ""],
    ] {
        let mut arguments = vec!["serve", "--data-dir", dir, "--ready-json"];
        arguments.extend(more);
        let server = Server::run(&arguments);
        let open: Vec<_> = ["kafka", "aws"].into_iter().filter(|face| !server.ready[face].is_null()).collect();
        assert_eq!(open.len(), 1, "{}", server.ready);
        server.signal("TERM");
        assert_eq!(server.ended().0.code(), Some(0));
    }
}

#[test]
fn a_signal_stops_it_cleanly() {
    for signal in ["TERM", "INT"] {
        let dir = tempfile::tempdir().expect("a directory");
        let server = Server::start(dir.path(), &[]);
        server.signal(signal);
        let (status, said) = server.ended();
        assert_eq!(status.code(), Some(0), "{signal}: {said}");
    }
}

#[test]
fn the_screen_says_where_everything_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(dir.path(), &[]);
    let (kafka, aws) = (server.address("kafka"), server.address("aws"));
    server.signal("TERM");
    let (_, said) = server.ended();
    for part in ["interfluve 0.", dir.path().to_str().expect("UTF-8"), &kafka, &aws, "One disk, no replica"] {
        assert!(said.contains(part), "{part:?} in\n{said}");
    }
}

#[test]
fn memory_keeps_nothing_and_says_so() {
    let server = Server::start(std::path::Path::new("memory:"), &[]);
    server.signal("TERM");
    let (status, said) = server.ended();
    assert!(status.success() && said.contains("MEMORY ONLY: nothing is kept"), "{said}");
    assert!(!std::path::Path::new("memory:").exists());
}

#[test]
fn a_second_server_on_one_directory_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = Server::start(dir.path(), &[]);
    let path = dir.path().to_str().expect("UTF-8");
    let (code, _, said) = output(&["--data-dir", path, "--kafka-listeners", "127.0.0.1:0", "--aws-listen", ""]);
    assert_eq!(code, 1);
    assert!(said.contains(&format!("in use by process {}", first.pid())), "{said}");
}

#[test]
fn a_directory_of_a_newer_format_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("format"), "format 99\ncluster x\nwritten-by 9.9.9\n").expect("written");
    let (code, _, said) = output(&["--data-dir", dir.path().to_str().expect("UTF-8")]);
    assert_eq!(code, 1);
    assert!(said.contains("format 99, written by interfluve 9.9.9") && said.contains("reads format 4"), "{said}");
}

#[test]
fn a_port_that_is_taken_is_named_with_the_flag_that_changes_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("bound").to_string();
    let (code, _, said) = output(&["--data-dir", "memory:", "--kafka-listeners", &address]);
    assert_eq!(code, 1);
    assert!(said.contains(&address) && said.contains("--kafka-listeners"), "{said}");
}

#[test]
fn bad_settings_are_refused_with_a_code_of_their_own() {
    let (code, out, said) = output(&["--num-partitions", "none", "--kafka-listner", "x:1"]);
    assert_eq!((code, out.as_str()), (2, ""));
    for part in ["--num-partitions: \"none\"", "--kafka-listner", "did you mean --kafka-listeners?"] {
        assert!(said.contains(part), "{part:?} in {said}");
    }
}

#[test]
fn lines_of_the_log_can_be_json() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(dir.path(), &["--log", "json", "--log-level", "debug"]);
    server.signal("TERM");
    let (_, said) = server.ended();
    let lines = said.lines().filter(|line| line.starts_with('{'));
    let bad: Vec<_> = lines.filter(|line| serde_json::from_str::<serde_json::Value>(line).is_err()).collect();
    assert!(bad.is_empty(), "{bad:?}");
}
