//! Compressed bytes of each codec: what comes out is at most what was allowed, and packs and unpacks again.
//! Input: codec (1 byte), compressed bytes.
#![no_main]

use interfluve::record::compress::{Codec, Limits, compress, decompress};
use interfluve_fuzz::{bounded, counted};
use libfuzzer_sys::fuzz_target;

counted!();

const LIMITS: Limits = Limits { max_bytes: 256 << 10, max_ratio: 1000 };

fuzz_target!(|data: &[u8]| {
    let [id, packed @ ..] = data else { return };
    let Some(codec) = Codec::of_id(id % 5) else { return };
    let out = bounded(&HEAP, packed.len(), 4, 24 << 20, || decompress(codec, packed, LIMITS));
    let Ok(plain) = out else { return };
    assert!(plain.len() <= LIMITS.max_bytes);
    let mut packed = Vec::new();
    compress(codec, None, &plain, &mut packed);
    let free = Limits { max_bytes: plain.len(), max_ratio: usize::MAX };
    assert_eq!(decompress(codec, &packed, free).as_ref(), Ok(&plain));
});
