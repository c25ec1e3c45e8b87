//! Short texts of AWS requests: the Authorization header and query, stream ARNs, sequence numbers, shard ids, iterators,
//! partition keys. What is read is written the same. Input: which (1 byte), text.
#![no_main]

use interfluve::aws::sigv4;
use interfluve::ids::Timestamp;
use interfluve::kinesis::iterator::{Key, Kind, Token};
use interfluve::kinesis::sequence::{SequenceNumber, shard_id, shard_no};
use interfluve::kinesis::target::Target;
use interfluve::kinesis::{mapping, validate};
use interfluve_fuzz::{bounded, counted};
use libfuzzer_sys::fuzz_target;

counted!();

fuzz_target!(|data: &[u8]| {
    let [which, text @ ..] = data else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    bounded(&HEAP, text.len(), 64, 16 << 10, || match which % 7 {
        0 => drop(sigv4::claim(Some(text), None, true)),
        1 => drop(sigv4::claim(None, Some(text), false)),
        2 => {
            if let Some(target) = Target::of_arn(text) {
                assert_eq!(Target::of_arn(&target.arn()).map(|target| target.arn()), Some(target.arn()));
            }
        }
        3 => {
            let is_valid = validate::is_sequence_number(text);
            if let Some(number) = SequenceNumber::parse(text) {
                assert!(is_valid, "{text} is read and not valid");
                assert_eq!(number.to_string(), text);
            }
        }
        4 => {
            if let Some(no) = shard_no(text) {
                assert_eq!(shard_no(&shard_id(no)), Some(no));
            }
        }
        5 => {
            let key = Key::new([7; 32]);
            for kind in [Kind::Iterator, Kind::Shards, Kind::Streams] {
                assert!(Token::open(text, kind, &key, Timestamp(0), 300_000).is_err(), "a token nobody made");
            }
        }
        _ => {
            let _ = mapping::meaning(text);
            let _ = mapping::needs_genuine(text);
            let _ = mapping::shown(Some(text.as_bytes()), None, which & 8 == 0, 1 << 20);
        }
    });
});
