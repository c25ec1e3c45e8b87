//! What the hot paths of the record library cost, in nanoseconds and bytes per nanosecond: check, read, build batches.
//! Prints one line for each; asserts nothing about time. Run: `cargo bench --bench codec`; as a test it does everything
//! once.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use interfluve::ids::{Offset, Timestamp};
use interfluve::log::producers::Producers;
use interfluve::record::batch::{self, Batch};
use interfluve::record::build::{Builder, NewRecord, Producer};
use interfluve::record::compress::{Codec, Limits};
use interfluve::record::{hash, records};

/// Long enough to be steady, short enough to be run between two thoughts.
const LONG_ENOUGH: Duration = Duration::from_millis(300);

fn main() {
    for (records, value_bytes) in [(1, 1024), (16, 1024), (500, 100)] {
        println!("batches of {records} records of {value_bytes} bytes");
        let value = filler(value_bytes);
        let plain = built(Codec::None, records, &value);
        let bytes = plain.bytes.len();
        line("parse", bytes, || batch::parse(&plain.bytes).is_ok());
        line("check", bytes, || batch::check(plain.bytes.clone()).is_ok());
        let mut copy = plain.bytes.to_vec();
        line("stamp", bytes, || batch::stamp(black_box(&mut copy), Offset(7), 1));
        line("views", bytes, || {
            let opened = records::open(&plain, Limits::default()).expect("it was built just now");
            opened.views().map(|view| view.map_or(0, |view| view.value.map_or(0, <[u8]>::len))).sum::<usize>()
        });
        line("iterate", bytes, || records::iterate(&plain, Limits::default()).map_or(0, Iterator::count));
        line("validate", bytes, || records::validate(&plain, Limits::default()).is_ok());
        for codec in Codec::ALL {
            line(&format!("build {codec}"), bytes, || built(codec, records, &value).bytes.len());
        }
        for codec in Codec::ALL {
            let packed = built(codec, records, &value);
            line(&format!("open {codec}"), bytes, || records::open(&packed, Limits::default()).is_ok());
        }
    }
    println!("other");
    let mut producers = Producers::EMPTY;
    let known = built(Codec::None, 1, b"value").header;
    for id in 0..1_000 {
        producers.apply(&batch::Header { producer_id: id, ..known }, None, Offset(0), Timestamp(0));
    }
    let next = batch::Header { producer_id: 500, base_sequence: 1, ..known };
    line("decide among 1,000 producers", 0, || producers.decide(black_box(&next)).is_ok());
    line("murmur2 of 16 bytes", 16, || hash::murmur2(black_box(b"sixteen bytes ok")));
    line("md5 of 16 bytes", 16, || hash::md5_key(black_box(b"sixteen bytes ok")));
}

fn built(codec: Codec, records: usize, value: &[u8]) -> Batch {
    let producer = Producer { id: 1, epoch: 0, sequence: 0 };
    let mut builder = Builder::with_capacity(codec, 100 + records * (value.len() + 20)).producer(producer);
    for _ in 0..records {
        let key = Some(&b"key of a record"[..]);
        builder.push(&NewRecord { timestamp: Timestamp(1_700_000_000_000), key, value: Some(value), headers: &[] });
    }
    builder.finish()
}

/// Bytes that shrink to about half: hexadecimal digits of a simple sequence.
fn filler(bytes: usize) -> Bytes {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        b"0123456789abcdef"[(state >> 60) as usize]
    };
    (0..bytes).map(|_| next()).collect()
}

fn line<T>(what: &str, bytes: usize, mut work: impl FnMut() -> T) {
    let mut rounds = 1_u32;
    let took = loop {
        let start = Instant::now();
        for _ in 0..rounds {
            black_box(work());
        }
        let took = start.elapsed();
        // Only `cargo bench` says this.
        let measured = std::env::args().any(|argument| argument == "--bench");
        if took >= LONG_ENOUGH || !measured {
            break took;
        }
        rounds = rounds.saturating_mul(2);
    };
    let ns = took.as_nanos() as f64 / f64::from(rounds);
    println!("  {what:<30} {ns:>12.1} ns  {:>8.2} bytes/ns", bytes as f64 / ns);
}
