//! Goldens of the Kinesis face, replayed in order: what a later request quotes from an answer (iterators, sequence
//! numbers) is put in its place.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::server::Server;
use crate::{Exchange, exchanges};

/// The head of a message, and its body.
fn parts(message: &[u8]) -> (String, Vec<u8>) {
    let at = message.windows(4).position(|four| four == b"\r\n\r\n").expect("the end of a head") + 4;
    (String::from_utf8_lossy(&message[..at]).into_owned(), message[at..].to_vec())
}

fn status(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or("")
}

/// Sends one request on a connection of its own; everything of the one answer.
async fn ask(server: &Server, head: &str, body: &[u8]) -> (String, Vec<u8>) {
    let mut socket = TcpStream::connect(server.aws).await.expect("the door is open");
    let mut lines: Vec<&str> = head.trim_end().split("\r\n").collect();
    let length = format!("content-length: {}", body.len());
    lines.retain(|line| !["content-length:", "connection:"].iter().any(|name| line.to_lowercase().starts_with(name)));
    lines.extend([length.as_str(), "connection: close"]);
    let bytes = [(lines.join("\r\n") + "\r\n\r\n").as_bytes(), body].concat();
    socket.write_all(&bytes).await.expect("sent");
    let mut said = Vec::new();
    socket.read_to_end(&mut said).await.expect("an answer");
    parts(&said)
}

/// Texts that differ at the same place of two answers of one shape.
fn learn(old: &Value, new: &Value, learned: &mut BTreeMap<String, String>) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (name, old) in old {
                learn(old, new.get(name).unwrap_or(&Value::Null), learned);
            }
        }
        (Value::Array(old), Value::Array(new)) => old.iter().zip(new).for_each(|(old, new)| learn(old, new, learned)),
        (Value::String(old), Value::String(new)) if old != new => {
            learned.insert(old.clone(), new.clone());
        }
        _ => {}
    }
}

/// Members of an answer that are the same every time, with those of its lists' first elements.
fn shape(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members: Vec<String> = members.iter().map(|(name, value)| format!("{name}:{}", shape(value))).collect();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(elements) => format!("[{}]", elements.first().map_or_else(String::new, shape)),
        Value::String(_) => "text".into(),
        Value::Number(_) => "number".into(),
        Value::Bool(_) => "bool".into(),
        Value::Null => "null".into(),
    }
}

#[tokio::test]
async fn every_recorded_call_is_answered_alike() {
    let mut clients = BTreeSet::new();
    let mut wrong = Vec::new();
    let mut last = None;
    let mut server = Server::start().await;
    let mut learned: BTreeMap<String, String> = BTreeMap::new();
    for Exchange { client, asked, heard, .. } in exchanges("http1") {
        if last.as_ref() != Some(&client) {
            server = Server::start().await;
            learned.clear();
            last = Some(client.clone());
        }
        clients.insert(client.clone());
        let (head, body) = parts(&asked);
        let (heard_head, heard_body) = parts(&heard.expect("recorded whole"));
        let mut text = String::from_utf8(body).expect("JSON");
        for (old, new) in &learned {
            text = text.replace(old, new);
        }
        let asks: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        // Quoted from an answer that was too large to be kept, or not kept: this server has never said it.
        let strange = ["ShardIterator", "StartingSequenceNumber", "SequenceNumberForOrdering"]
            .iter()
            .any(|member| asks[member].as_str().is_some_and(|quoted| !learned.values().any(|said| said == quoted)));
        let (new_head, new_body) = ask(&server, &head, text.as_bytes()).await;
        let old: Value = serde_json::from_slice(&heard_body).unwrap_or(Value::Null);
        let new: Value = serde_json::from_slice(&new_body).unwrap_or(Value::Null);
        learn(&old, &new, &mut learned);
        let said = |head: &str, value: &Value| format!("{} {} {}", status(head), value["__type"], shape(value));
        let (was, is) = (said(&heard_head, &old), said(&new_head, &new));
        // What records there are depends on calls that were too large to be kept.
        let same = match was.contains("Records:[") {
            _ if strange => is == was || status(&new_head) == "400" && is.contains("{__type:text,message:text}"),
            true => is.contains("Records:[") && status(&heard_head) == status(&new_head),
            false => was == is,
        };
        if !same {
            wrong.push(format!("{client}: {text}\n  was {was}\n  is  {is}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(clients.into_iter().collect::<Vec<_>>(), ["aws-cli", "aws-sdk-go-v2", "boto3"]);
}

/// The data that each stream of an HTTP/2 connection carried, by its number, and which streams were ended.
fn streams(mut bytes: &[u8]) -> BTreeMap<u32, (Vec<u8>, bool)> {
    let mut found: BTreeMap<u32, (Vec<u8>, bool)> = BTreeMap::new();
    while let [l0, l1, l2, kind, flags, s0, s1, s2, s3, rest @ ..] = bytes {
        let length = u32::from_be_bytes([0, *l0, *l1, *l2]) as usize;
        let Some((payload, after)) = rest.split_at_checked(length) else { break };
        let number = u32::from_be_bytes([*s0 & 0x7f, *s1, *s2, *s3]);
        if matches!(kind, 0 | 1) {
            let stream = found.entry(number).or_default();
            if *kind == 0 {
                stream.0.extend_from_slice(payload);
            }
            stream.1 |= flags & 1 == 1;
        }
        bytes = after;
    }
    found
}

/// JavaScript's client opens an HTTP/2 connection for each request. What it said is said again, byte for byte.
#[tokio::test]
async fn every_recorded_http2_connection_is_answered() {
    let server = Server::start().await;
    for Exchange { client, form, asked, heard } in exchanges("http2") {
        let mut socket = TcpStream::connect(server.aws).await.expect("the door is open");
        socket.write_all(&asked).await.expect("sent");
        let was = streams(&heard.expect("recorded whole"));
        let ended = |found: &BTreeMap<u32, (Vec<u8>, bool)>| -> Vec<u32> {
            found.iter().filter(|(_, (_, ended))| *ended).map(|(number, _)| *number).collect()
        };
        // The connection stays open on our side until all that was answered then is answered now.
        let (mut said, mut is) = (Vec::new(), BTreeMap::new());
        while ended(&is) != ended(&was) {
            let read = socket.read_buf(&mut said).await.expect("an open socket");
            assert!(read > 0, "{client} {form}: closed with {:?} of {:?} answered", ended(&is), ended(&was));
            is = streams(&said);
        }
        for (number, (data, _)) in is {
            let json = data.is_empty() || serde_json::from_slice::<Value>(&data).is_ok();
            assert!(json, "{client} {form} stream {number}: {}", String::from_utf8_lossy(&data));
        }
    }
}
