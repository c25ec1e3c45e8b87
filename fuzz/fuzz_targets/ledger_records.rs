//! Records of ledgers: groups and committed offsets, transactions, the catalog. What is read is written, and what is
//! written reads as the same. Input: which (1 byte), length of the key (1 byte; 255: null), key, value.
#![no_main]

use interfluve::engine::catalog::CatalogMachine;
use interfluve::kafka::{group, txn};
use interfluve::ledger::{Machine, Record};
use interfluve_fuzz::{bounded, counted};
use libfuzzer_sys::fuzz_target;

counted!();

fn again<R: Record>(key: Option<&[u8]>, value: Option<&[u8]>) {
    let bytes = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
    let Ok(Some(record)) = bounded(&HEAP, bytes, 64, 4096, || R::decode(key, value)) else { return };
    let entry = record.encode();
    let second = R::decode(entry.key.as_deref(), entry.value.as_deref());
    let second = second.expect("what was written can be read").expect("and is known");
    assert_eq!(second.encode(), entry);
}

fuzz_target!(|data: &[u8]| {
    let [which, length, rest @ ..] = data else { return };
    let at = if *length == 255 { 0 } else { usize::from(*length).min(rest.len()) };
    let (key, value) = rest.split_at(at);
    let key = (*length != 255).then_some(key);
    let value = (which & 4 == 0).then_some(value);
    match which % 4 {
        0 => again::<group::record::Record>(key, value),
        1 => again::<txn::record::Record>(key, value),
        2 => again::<<CatalogMachine as Machine>::Record>(key, value),
        _ => drop(group::record::subscribed_topics(value.unwrap_or_default())),
    }
});
