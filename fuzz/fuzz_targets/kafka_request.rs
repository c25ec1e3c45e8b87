//! One Kafka request frame, without its length, as a connection reads it: head, header, body of its key and version. What
//! is read is written, and what is written reads as the same. Memory: 64 times the frame, at most.
#![no_main]

use bytes::Bytes;
use interfluve::kafka::wire::{Message, Reader, Writer};
use interfluve::kafka::{frame, table};
use interfluve_fuzz::{bounded, by_key, counted};
use libfuzzer_sys::fuzz_target;

counted!();

/// Reads, writes and reads again.
fn again<M: Message + PartialEq + std::fmt::Debug>(body: &Bytes, version: i16) {
    let read = |bytes: &Bytes| {
        let mut reader = Reader::new(bytes.clone());
        bounded(&HEAP, bytes.len(), 64, 4096, || M::decode(&mut reader, version))
    };
    let Ok(message) = read(body) else { return };
    let mut writer = Writer::new();
    message.encode(&mut writer, version).expect("what was read can be written");
    let written = writer.finish().into_bytes();
    assert_eq!(message.wire_bytes(version).expect("a size"), written.len());
    let second = read(&written).expect("what was written can be read");
    let mut writer = Writer::new();
    second.encode(&mut writer, version).expect("it can be written again");
    assert_eq!(writer.finish().into_bytes(), written);
}

macro_rules! ask {
    ($number:literal, $request:ty, $response:ty, $peer:ty, $peer_response:ty; ($body:ident $version:ident)) => {
        again::<$request>(&$body, $version)
    };
}

fuzz_target!(|data: &[u8]| {
    let Ok(head) = frame::head(data) else { return };
    let bytes = Bytes::copy_from_slice(data);
    let Some(row) = table::find(head.key) else { return };
    let version = head.version;
    if !row.versions.contains(&version) {
        return;
    }
    let Ok((_, body)) = frame::body(&bytes, row.flexible_request(version)) else { return };
    by_key!(head.key, ask!(body version));
});
