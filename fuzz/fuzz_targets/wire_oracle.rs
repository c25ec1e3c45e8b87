//! Requests and answers that our codec reads, given to another codec, which must read and write the same bytes.
//! Input: API key (1 byte), version (1), 0 or 1 for request or answer (1), the body.
#![no_main]

use bytes::{Bytes, BytesMut};
use interfluve::kafka::wire::{Message, Writer};
use interfluve_fuzz::{by_key, counted};
use kafka_protocol::protocol::{Decodable, Encodable, Message as Versions};
use libfuzzer_sys::fuzz_target;

counted!();

fn compare<M: Message, P: Versions + Decodable + Encodable>(body: &Bytes, version: i16) {
    if !(P::VERSIONS.min..=P::VERSIONS.max).contains(&version) {
        return;
    }
    let Ok(message) = M::from_bytes(body.clone(), version) else { return };
    let mut writer = Writer::new();
    message.encode(&mut writer, version).expect("what was read can be written");
    let ours = writer.finish().into_bytes();
    let mut left = ours.clone();
    let peer = P::decode(&mut left, version).unwrap_or_else(|e| panic!("{} {version}: not read: {e}", M::NAME));
    assert!(left.is_empty(), "{} {version}: {} bytes left", M::NAME, left.len());
    let mut theirs = BytesMut::new();
    peer.encode(&mut theirs, version).unwrap_or_else(|e| panic!("{} {version}: not written: {e}", M::NAME));
    assert_eq!(theirs.freeze(), ours, "{} {version}", M::NAME);
}

macro_rules! both {
    ($number:literal, $request:ty, $response:ty, $peer:ty, $peer_response:ty; ($body:ident $version:ident $answer:ident)) => {
        if $answer {
            compare::<$response, $peer_response>(&$body, $version)
        } else {
            compare::<$request, $peer>(&$body, $version)
        }
    };
}

fuzz_target!(|data: &[u8]| {
    let [key, version, answer, body @ ..] = data else { return };
    let (version, answer, body) = (i16::from(*version), answer & 1 == 1, Bytes::copy_from_slice(body));
    by_key!(*key, both!(body version answer));
});
