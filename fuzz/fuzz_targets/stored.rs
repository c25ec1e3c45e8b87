//! What the engine keeps beside batches: groups and facts of the journal, the table, sidecars, producers, transactions.
//! Checksums are put right first. Input: which (1 byte), the bytes. Memory: 64 times the input.
#![no_main]

use bytes::Bytes;
use interfluve::engine::{frame, table};
use interfluve::log::producers::Producers;
use interfluve::log::segment;
use interfluve::log::transactions::Transactions;
use interfluve_fuzz::{bounded, counted};
use libfuzzer_sys::fuzz_target;

counted!();

/// The same with `crc` over everything from `from`, at `at`.
fn sealed(bytes: &[u8], at: usize, from: usize) -> Bytes {
    let mut bytes = bytes.to_vec();
    if bytes.len() >= from {
        let crc = crc32c::crc32c(&bytes[from..]);
        bytes[at..at + 4].copy_from_slice(&crc.to_be_bytes());
    }
    bytes.into()
}

fuzz_target!(|data: &[u8]| {
    let [which, rest @ ..] = data else { return };
    let bytes = Bytes::copy_from_slice(rest);
    bounded(&HEAP, rest.len(), 64, 4096, || match which % 7 {
        0 => drop(frame::decode_group(&bytes)),
        1 => {
            if let Ok(facts) = frame::decode_facts(&bytes) {
                let again = Bytes::from(frame::encode_facts(&facts));
                let facts = frame::decode_facts(&again).expect("what was written can be read");
                assert_eq!(frame::encode_facts(&facts), again);
            }
        }
        2 => drop(frame::decode_settled(&mut bytes.clone())),
        3 => drop(table::decode(sealed(rest, 8, 12))),
        4 => {
            let entry_bytes = rest.get(8..12).map_or(0, |at| u32::from_be_bytes([at[0], at[1], at[2], at[3]]) as usize);
            let Some(entry) = rest.get(..entry_bytes).filter(|entry| entry.len() >= 12) else { return };
            let entry = sealed(entry, 4, 8);
            let _ = segment::head(&entry);
            let (slots, aborted) = (segment::slots(&entry), segment::aborted(&entry));
            assert_eq!(slots.is_some(), aborted.is_some());
        }
        5 => {
            let mut bytes = rest.to_vec();
            let crc = crc32c::crc32c(&bytes);
            bytes.extend_from_slice(&crc.to_be_bytes());
            if let Ok(producers) = Producers::decode(&bytes) {
                let mut again = Vec::new();
                producers.encode(&mut again);
                assert!(Producers::decode(&again).is_ok(), "what was written can be read");
            }
        }
        _ => drop(Transactions::decode(&mut bytes.clone())),
    });
});
