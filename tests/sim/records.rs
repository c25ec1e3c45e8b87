//! Records that say who they are: their number stands in their value, and everything else follows from it. Keys are of
//! every kind that `docs/mapping.md` tells apart; what Kinesis shows of each is written down here once more, by hand.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::dice::mix;

/// The number of a record; no other record ever has it.
pub type Id = u64;

/// How a record was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// To a log, by a Kafka client or by the engine's own caller.
    Log,
    /// Put by a Kinesis client: its key is text, and shown as it was put.
    Put,
}

pub fn key_of(id: Id, by: Writing) -> Option<Vec<u8>> {
    let text = match (mix(id) % 20, by) {
        (0, _) => "~null".into(),
        (1, Writing::Put) => "~b64:AAA=".into(),
        (1, Writing::Log) => return None,
        (2, Writing::Log) => return Some(Vec::new()),
        (3, Writing::Log) => return Some([&[0xff, 0xfe][..], &id.to_be_bytes()].concat()),
        (4, Writing::Log) => "x".repeat(300),
        (5, Writing::Log) => "~~a".into(),
        _ => format!("k{}", mix(id) % 50),
    };
    Some(text.into_bytes())
}

/// The partition key a Kinesis reader is shown.
pub fn shown_key(id: Id, by: Writing) -> String {
    let key = match key_of(id, by) {
        None => return "~null".into(),
        Some(key) => key,
    };
    match (mix(id) % 20, by) {
        (0 | 5, Writing::Log) => format!("~{}", String::from_utf8_lossy(&key)),
        (2 | 3, Writing::Log) => format!("~b64:{}", STANDARD.encode(&key)),
        (4, Writing::Log) => {
            let digest: String = Sha256::digest(&key).iter().map(|byte| format!("{byte:02x}")).collect();
            format!("~sha256:{digest}")
        }
        _ => String::from_utf8_lossy(&key).into_owned(),
    }
}

/// The id, then bytes that follow from it.
pub fn value_of(id: Id, bytes: usize) -> Vec<u8> {
    let mut value = id.to_be_bytes().to_vec();
    let mut state = id;
    while value.len() < bytes {
        state = mix(state.wrapping_add(0x9e37_79b9_7f4a_7c15));
        value.extend_from_slice(&state.to_be_bytes());
    }
    value.truncate(bytes.max(8));
    value
}

pub fn id_of(value: &[u8]) -> Option<Id> {
    value.first_chunk().map(|id| Id::from_be_bytes(*id))
}
