//! A connection over a pipe in memory, on tokio's paused time: minutes of silence pass at once.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use tokio::io::{DuplexStream, duplex, split};
use tokio::task::JoinHandle;

use super::*;
use crate::chance::Chance;
use crate::clock::Clock;
use crate::engine::{Driver, Engine};
use crate::ids::Timestamp;
use crate::kafka::cx::{Advertised, Options};
use crate::kafka::group::Settings;
use crate::kafka::group::coordinator::Coordinator;
use crate::kafka::overrides::{Clients, Command, Name, Thing};
use crate::store::memory::MemDisk;

async fn cx() -> Arc<Cx> {
    let clock = Clock::manual(Timestamp(1_000_000));
    let pace = Box::new(|| Duration::from_millis(1));
    let disk = Arc::new(MemDisk::new());
    let opened = Engine::open(crate::engine::Options::default(), disk, clock, Chance::seeded(7), Driver::Task(pace));
    let (engine, _) = opened.await.expect("opened");
    let groups = Coordinator::open(engine.clone(), Settings::default()).await.expect("opened");
    Arc::new(Cx::new(engine, groups, Options::default()))
}

struct Peer {
    socket: DuplexStream,
    ended: JoinHandle<End>,
    stop: watch::Sender<bool>,
}

/// A connection whose pipe holds `pipe_bytes` in each direction.
async fn connect(pipe_bytes: usize) -> Peer {
    connect_to(cx().await, pipe_bytes)
}

fn connect_to(cx: Arc<Cx>, pipe_bytes: usize) -> Peer {
    let (socket, ours) = duplex(pipe_bytes);
    let (stop, stopping) = watch::channel(false);
    let conn = Arc::new(conn());
    let (from, to) = split(ours);
    let ended = tokio::spawn(run(cx, conn, from, to, stopping));
    Peer { socket, ended, stop }
}

fn conn() -> Conn {
    Conn {
        peer: ([127, 0, 0, 1], 5).into(),
        listener: "test".into(),
        advertised: Advertised { host: "h".into(), port: 1 },
        software: OnceLock::new(),
        certified: None,
        login: std::sync::Mutex::new(crate::kafka::sasl::Login::new(false)),
    }
}

impl Peer {
    async fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).await.expect("sent");
    }

    /// Everything that was answered before the connection was closed, and why it was.
    async fn end(mut self) -> (Vec<u8>, End) {
        let mut answers = Vec::new();
        self.socket.read_to_end(&mut answers).await.expect("read");
        (answers, self.ended.await.expect("no panic"))
    }
}

/// A frame: key, version, correlation id, no client id, body.
fn request(key: i16, version: i16, correlation: i32, body: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend((10 + body.len() as i32).to_be_bytes());
    frame.extend(key.to_be_bytes());
    frame.extend(version.to_be_bytes());
    frame.extend(correlation.to_be_bytes());
    frame.extend((-1i16).to_be_bytes());
    frame.extend(body);
    frame
}

fn api_versions(correlation: i32) -> Vec<u8> {
    request(table::API_VERSIONS, 0, correlation, &[])
}

/// The correlation ids of answers, in order.
fn correlations(mut answers: &[u8]) -> Vec<i32> {
    let mut ids = Vec::new();
    while let Some((length, rest)) = answers.split_first_chunk::<4>() {
        let (frame, rest) = rest.split_at(i32::from_be_bytes(*length) as usize);
        ids.push(i32::from_be_bytes(*frame.first_chunk().expect("an answer has an id")));
        answers = rest;
    }
    ids
}

#[tokio::test(start_paused = true)]
async fn what_is_no_request_closes_the_connection() {
    for (bytes, want) in [
        (&[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc][..], "TLS"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP"),
        (b"POST / HTTP/1.1\r\n\r\n", "HTTP"),
        (&[0xff, 0xff, 0xff, 0xff, 0, 0], "claims -1 bytes"),
        (&[0, 0, 0, 0, 0, 0], "claims 0 bytes"),
        (&[0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0], "claims 9 bytes"),
        (&[0x7f, 0xff, 0xff, 0xff, 0, 0], "claims 2147483647 bytes"),
        (&request(9999, 0, 1, &[]), "API 9999 is not served at version 0"),
        (&request(3, 99, 1, &[]), "API 3 is not served at version 99"),
        (&request(0, 2, 1, &[]), "API 0 is not served at version 2"),
        (&request(3, -1, 1, &[]), "API 3 is not served at version -1"),
        (&request(3, 1, 1, &[0x7f, 0xff, 0xff, 0xff]), "the request cannot be read"),
        (&[0, 0, 0, 10, 0, 3, 0, 0, 0, 0, 0, 1, 0, 9], "ends inside its header"),
    ] {
        let mut peer = connect(64 << 10).await;
        peer.send(bytes).await;
        let (answers, end) = peer.end().await;
        assert!(end.to_string().contains(want), "{bytes:?}: {end}");
        assert!(end.reason().is_some(), "{end}");
        assert_eq!(answers, [0u8; 0], "{bytes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn api_versions_from_the_future_is_answered_and_the_connection_goes_on() {
    let mut peer = connect(64 << 10).await;
    peer.send(&request(table::API_VERSIONS, 99, 7, b"\x01whatever")).await;
    peer.send(&api_versions(8)).await;
    peer.socket.shutdown().await.expect("half closed");
    let (answers, end) = peer.end().await;
    assert!(matches!(end, End::Closed), "{end}");
    assert_eq!(&answers[..16], &[0, 0, 0, 16, 0, 0, 0, 7, 0, 35, 0, 0, 0, 1, 0, 18]);
    assert_eq!(correlations(&answers), [7, 8]);
}

#[tokio::test(start_paused = true)]
async fn pipelined_requests_are_answered_in_order() {
    let mut peer = connect(1 << 20).await;
    for id in 0..200 {
        // One byte at a time is as good as all at once.
        for byte in api_versions(id) {
            peer.send(&[byte]).await;
        }
    }
    peer.socket.shutdown().await.expect("half closed");
    let (answers, _) = peer.end().await;
    assert_eq!(correlations(&answers), (0..200).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn who_used_more_than_its_quota_is_answered_and_then_not_read_for_that_time() {
    let cx = cx().await;
    let quota = BTreeMap::from([("request_percentage".to_owned(), Some("0.000000001".to_owned()))]);
    let everybody = Thing::Clients(Clients { user: Some(Name::Default), ..Clients::default() });
    cx.overrides.change(&cx.engine, Command(vec![(everybody, quota)])).await.expect("room");
    let mut peer = connect_to(cx.clone(), 64 << 10);
    let began = cx.engine.clock().now();
    for id in 1..=3 {
        peer.send(&request(table::API_VERSIONS, 2, id, &[])).await;
    }
    let mut answered = Vec::new();
    for id in 1..=3 {
        let mut length = [0; 4];
        peer.socket.read_exact(&mut length).await.expect("an answer");
        let mut answer = vec![0; i32::from_be_bytes(length) as usize];
        peer.socket.read_exact(&mut answer).await.expect("a whole answer");
        assert_eq!(answer[..4], i32::to_be_bytes(id));
        let throttle: [u8; 4] = *answer.last_chunk().expect("a time");
        let waited = cx.engine.clock().now().0 - began.0;
        answered.push((i32::from_be_bytes(throttle), waited / 1000));
    }
    // Each is answered at once when it is read, and each next one is read a window later.
    assert!(answered.iter().all(|(throttle, _)| *throttle > 0), "{answered:?}");
    let seconds: Vec<i64> = answered.iter().map(|(_, seconds)| *seconds).collect();
    assert_eq!(seconds, [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn silence_ends_after_the_idle_time_and_not_before() {
    let mut peer = connect(64 << 10).await;
    tokio::time::sleep(Duration::from_millis(Options::default().idle_ms - 1)).await;
    peer.send(&api_versions(1)).await;
    tokio::time::sleep(Duration::from_millis(Options::default().idle_ms - 1)).await;
    assert!(!peer.ended.is_finished());
    let (answers, end) = peer.end().await;
    assert!(matches!(end, End::Idle), "{end}");
    assert_eq!(correlations(&answers), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_trickles_in_is_cut_off() {
    // The length alone, half a header, and a large frame of which nothing more comes.
    for beginning in [&api_versions(1)[..2], &api_versions(1)[..9], &[&[0, 0xff, 0xff, 0xff][..], &[0; 1000]].concat()]
    {
        let mut peer = connect(64 << 10).await;
        peer.send(beginning).await;
        let (_, end) = peer.end().await;
        assert!(matches!(end, End::Slow), "{end}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_given_up() {
    let mut peer = connect(256).await;
    for id in 0..20 {
        if peer.socket.write_all(&api_versions(id)).await.is_err() {
            break;
        }
    }
    let end = peer.ended.await.expect("no panic");
    assert!(matches!(end, End::Deaf), "{end}");
}

#[tokio::test(start_paused = true)]
async fn stopping_answers_what_was_read_and_closes() {
    let mut peer = connect(64 << 10).await;
    peer.send(&api_versions(1)).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    peer.stop.send_replace(true);
    let (answers, end) = peer.end().await;
    assert!(matches!(end, End::Stopping), "{end}");
    assert_eq!(correlations(&answers), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_ends_its_waiting_request() {
    let mut peer = connect(64 << 10).await;
    // Fetch v4: replica -1, wait an hour for a byte, at most 1000, read uncommitted, of no topic.
    let mut body = Vec::new();
    for number in [-1i32, 3_600_000, 1, 1000] {
        body.extend(number.to_be_bytes());
    }
    body.extend([0, 0, 0, 0, 0]);
    peer.send(&request(1, 4, 1, &body)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!peer.ended.is_finished(), "it waits");
    drop(peer.socket);
    let end = tokio::time::timeout(Duration::from_secs(1), peer.ended).await.expect("at once").expect("no panic");
    assert!(matches!(end, End::Closed | End::Io(_)), "{end}");
}

#[tokio::test(start_paused = true)]
async fn a_panic_ends_its_connection_and_says_in_which_request() {
    let mut peer = connect(64 << 10).await;
    peer.send(&api_versions(1)).await;
    peer.send(&request(table::PLANTED.key, 0, 2, &[])).await;
    peer.send(&api_versions(3)).await;
    let (answers, end) = peer.end().await;
    assert_eq!(correlations(&answers), [1]);
    assert!(end.to_string().starts_with("request 2, Planted, panicked: a planted panic"), "{end}");
}

#[tokio::test(start_paused = true)]
async fn memory_grows_with_what_arrived_not_with_what_was_claimed() {
    let (mut theirs, ours) = duplex(1 << 20);
    let mut frames = Frames::new(ours);
    let cx = cx().await;
    // 100 MiB are claimed, 100 KiB come.
    theirs.write_all(&(100i32 << 20).to_be_bytes()).await.expect("sent");
    theirs.write_all(&vec![0; 100 << 10]).await.expect("sent");
    let end = frames.next(&cx, &conn()).await.expect_err("too slow");
    assert!(matches!(end, End::Slow), "{end}");
    assert!(frames.buffer.capacity() <= 512 << 10, "{}", frames.buffer.capacity());
}

#[tokio::test(start_paused = true)]
async fn garbage_of_any_kind_ends_the_connection_and_nothing_else() {
    let mut chance = fastrand::Rng::with_seed(11);
    for _ in 0..50 {
        let mut peer = connect(64 << 10).await;
        for _ in 0..20 {
            let mut body = vec![0u8; chance.usize(0..80)];
            chance.fill(&mut body);
            let row = &table::TABLE[chance.usize(0..table::TABLE.len())];
            let version = chance.i16(*row.versions.start()..=*row.versions.end());
            // The connection may be closed already; then writing fails, which is fine.
            let _ = peer.socket.write_all(&request(row.key, version, 1, &body)).await;
        }
        let _ = peer.socket.shutdown().await;
        peer.end().await;
    }
}
