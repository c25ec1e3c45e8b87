//! What hostile bytes can do: be refused. Never make the reader take memory that the bytes themselves did not bring.

use bytes::Bytes;

use crate::kafka::wire::codec::STEP_BYTES;
use crate::kafka::wire::header::RequestHeader;
use crate::kafka::wire::messages::api_versions::ApiVersionsRequest;
use crate::kafka::wire::messages::fetch::FetchRequest;
use crate::kafka::wire::messages::metadata::MetadataRequest;
use crate::kafka::wire::messages::produce::ProduceRequest;
use crate::kafka::wire::{Message, Reader, What, WireError, Writer};

/// No struct of ours takes more memory for each byte that its smallest form has on the wire (`min_bytes`).
const LARGEST_RATIO: usize = 40;
/// Arrays in arrays: each level may have taken one step for elements that never come.
const LEVELS: usize = 4;

/// Reads what may be anything; it must end, and take no more memory than its bytes justify.
fn read_within_bounds<M: Message>(bytes: &[u8], version: i16) -> Result<M, WireError> {
    let mut r = Reader::new(Bytes::copy_from_slice(bytes));
    let result = M::decode(&mut r, version);
    let bound = LEVELS * STEP_BYTES.min(bytes.len() * LARGEST_RATIO) + bytes.len() * LARGEST_RATIO;
    assert!(r.decoded_bytes() <= bound, "{}: {} bytes took {}", M::NAME, bytes.len(), r.decoded_bytes());
    result
}

fn refused<M: Message>(version: i16, bytes: &[u8]) -> (What, &'static str, &'static str, usize) {
    let error = read_within_bounds::<M>(bytes, version).err().expect("this must be refused");
    (error.what, error.message, error.field, error.position)
}

#[test]
fn a_count_that_cannot_be_true_is_refused_where_it_stands() {
    let topics = |what| (what, "MetadataRequest", "topics", 4);
    for (bytes, expected) in [
        // kafka-protocol-rs #152: eight bytes with their header, 3.6 GiB for a decoder that believes them.
        (&[0x03, 0x3c, 0x0c, 0x00, 0xb6][..], topics(What::TooMany { count: 0x033c_0c00, left: 1 })),
        (&[0x7f, 0xff, 0xff, 0xff], topics(What::TooMany { count: i32::MAX as usize, left: 0 })),
        (&[0xff, 0xff, 0xff, 0xfe], topics(What::Length(-2))),
        (&[0x80, 0x00, 0x00, 0x00], topics(What::Length(i64::from(i32::MIN)))),
        (&[0xff, 0xff, 0xff, 0xff], topics(What::Null)),
        // One name less than claimed.
        (&[0x00, 0x00, 0x00, 0x02, 0x00, 0x01, b'a'], topics(What::TooMany { count: 2, left: 3 })),
    ] {
        assert_eq!(refused::<MetadataRequest>(0, bytes), expected, "{bytes:02x?}");
    }
}

#[test]
fn a_compact_count_that_cannot_be_true_is_refused_where_it_stands() {
    for (bytes, what, position) in [
        (&[0xff, 0xff, 0xff, 0xff, 0x07][..], What::TooMany { count: i32::MAX as usize - 1, left: 0 }, 5),
        (&[0x80, 0x80, 0x80, 0x80, 0x08], What::TooMany { count: i32::MAX as usize, left: 0 }, 5),
        (&[0xff, 0xff, 0xff, 0xff, 0x0f], What::Length(i64::from(u32::MAX) - 1), 5),
        (&[0xff, 0xff, 0xff, 0xff, 0x1f], What::Varint, 5),
        (&[0xff; 12], What::Varint, 5),
        (&[0x80, 0x80, 0x80, 0x80, 0x80, 0x00], What::Varint, 5),
    ] {
        let expected = (what, "MetadataRequest", "topics", position);
        assert_eq!(refused::<MetadataRequest>(9, bytes), expected, "{bytes:02x?}");
    }
}

#[test]
fn a_string_longer_than_its_bytes_is_refused() {
    for (version, bytes, what, position) in [
        (3, &[0x05, b'a'][..], What::Truncated { needed: 4, left: 1 }, 1),
        (3, &[0x00], What::Null, 1),
        (3, &[0x03, 0xff, 0xfe, 0x01, 0x00], What::Utf8, 1),
        (3, &[0xff, 0xff, 0xff, 0xff, 0x0f], What::Length(i64::from(u32::MAX) - 1), 5),
        (3, &[0x81, 0x80, 0x02, b'a'], What::Length(32_768), 3),
    ] {
        let expected = (what, "ApiVersionsRequest", "client_software_name", position);
        assert_eq!(refused::<ApiVersionsRequest>(version, bytes), expected, "{bytes:02x?}");
    }
}

#[test]
fn records_longer_than_the_frame_are_refused() {
    // Version 3: no transactional id, acks, timeout, one topic `t`, one partition, records that claim 2 GiB.
    let bytes = [
        &[0xff, 0xff, 0, 1, 0, 0, 0, 9, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 0][..],
        &[0x7f, 0xff, 0xff, 0xff, 1, 2, 3],
    ];
    let what = What::Truncated { needed: i32::MAX as usize, left: 3 };
    assert_eq!(refused::<ProduceRequest>(3, &bytes.concat()), (what, "PartitionProduceData", "records", 27));
}

/// A MetadataRequest of version 11 that asks for all topics, before its tagged fields.
const ALL_TOPICS: [u8; 3] = [0x00, 0x01, 0x00];

#[test]
fn unknown_tagged_fields_are_stepped_over() {
    for tags in [&[0x00][..], &[0x01, 0x05, 0x00], &[0x02, 0x00, 0x03, 1, 2, 3, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x01, 9]]
    {
        let read = MetadataRequest::from_bytes([&ALL_TOPICS, tags].concat().into(), 11);
        assert_eq!(read.map(|request| request.topics), Ok(None), "{tags:02x?}");
    }
}

#[test]
fn impossible_tagged_fields_are_refused() {
    for (tags, what) in [
        (&[0x02, 0x05, 0x00, 0x05, 0x00][..], What::Tag { tag: 5, after: 5 }),
        (&[0x02, 0x05, 0x00, 0x04, 0x00], What::Tag { tag: 4, after: 5 }),
        (&[0x01, 0x05, 0x02, 0x00], What::Truncated { needed: 2, left: 1 }),
        (&[0x01, 0x05, 0xff, 0xff, 0xff, 0xff, 0x0f], What::Truncated { needed: u32::MAX as usize, left: 0 }),
        (&[0xff, 0xff, 0xff, 0xff, 0x0f, 0x01], What::TooMany { count: u32::MAX as usize, left: 1 }),
        (&[0x02, 0x05, 0x00], What::TooMany { count: 2, left: 2 }),
    ] {
        let bytes = [&ALL_TOPICS, tags].concat();
        let (actual, message, field, _) = refused::<MetadataRequest>(11, &bytes);
        assert_eq!((actual, message, field), (what, "MetadataRequest", ""), "{tags:02x?}");
    }
}

#[test]
fn a_known_tagged_field_must_fill_its_size() {
    let mut w = Writer::new();
    FetchRequest { cluster_id: Some("c".into()), ..FetchRequest::default() }.write(&mut w, 12).expect("writable");
    let good = w.finish().into_bytes();
    // The last bytes: one tagged field, number 0, two bytes, a string of one character.
    assert_eq!(good[good.len() - 5..], [1, 0, 2, 2, b'c']);
    for (size, actual) in [(1, 2), (3, 2)] {
        let mut bytes = good.to_vec();
        let at = bytes.len() - 3;
        bytes[at] = size;
        bytes.extend([0; 4]);
        let what = What::TagSize { tag: 0, announced: usize::from(size), actual };
        assert_eq!(refused::<FetchRequest>(12, &bytes).0, what);
    }
}

#[test]
fn a_header_with_hostile_tags_is_refused() {
    // Envoy #45859: a tagged field of the header that claims 256 MiB.
    let bytes = [0, 3, 0, 12, 0, 0, 0, 1, 0xff, 0xff, 1, 0, 0x80, 0x80, 0x80, 0x80, 0x01];
    let error = RequestHeader::read(&mut Reader::new(Bytes::copy_from_slice(&bytes))).expect_err("refused");
    assert_eq!(error.what, What::Truncated { needed: 1 << 28, left: 0 });
}

#[test]
fn a_value_that_would_take_too_much_memory_is_refused() {
    // Honest counts, but each topic of two bytes would take 48 in memory.
    let topics = 100_000u32;
    let mut bytes = topics.to_be_bytes().to_vec();
    bytes.resize(4 + 2 * topics as usize, 0);
    let bytes = Bytes::from(bytes);
    let mut r = Reader::with_limit(bytes.clone(), 1 << 20);
    let error = MetadataRequest::read(&mut r, 0).expect_err("refused");
    assert_eq!(error.what, What::Memory { limit: 1 << 20 });
    assert!(r.decoded_bytes() <= (1 << 20) + STEP_BYTES);
    MetadataRequest::from_bytes(bytes, 0).expect("the usual limit is far above");
}

#[test]
fn vectors_grow_in_steps() {
    let mut r = Reader::new(Bytes::new());
    let mut vec = Vec::<u64>::new();
    r.grow(&mut vec, 3).expect("room");
    assert_eq!(vec.capacity(), 3);
    let mut vec = Vec::<u64>::new();
    r.grow(&mut vec, 1 << 40).expect("room");
    assert_eq!(vec.capacity() * size_of::<u64>(), STEP_BYTES);
}

#[test]
fn a_version_we_do_not_have_is_refused() {
    for version in [-1, 14, i16::MAX, i16::MIN] {
        let expected = (What::Version(version), "MetadataRequest", "", 0);
        assert_eq!(refused::<MetadataRequest>(version, &[0; 32]), expected);
    }
}

/// Valid messages with a hostile number written over every place in turn.
fn mutated<M: Message>() {
    const HOSTILE: [&[u8]; 6] = [
        &[0x7f, 0xff, 0xff, 0xff],
        &[0xff, 0xff, 0xff, 0xfe],
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0xff, 0xff, 0xff, 0xff, 0x07],
        &[0x00],
        &[0xff; 11],
    ];
    for version in M::RANGE {
        for seed in 0..6 {
            let mut w = Writer::new();
            let value = M::sample_message(&mut fastrand::Rng::with_seed(seed), version);
            value.encode(&mut w, version).expect("a sampled value can be written");
            let good = w.finish().into_bytes();
            for at in 0..good.len() {
                for hostile in HOSTILE {
                    let mut bytes = good.to_vec();
                    let end = bytes.len().min(at + hostile.len());
                    bytes.splice(at..end, hostile.iter().copied());
                    // Most are refused; what happens to be valid is as good as any other message.
                    let _ = read_within_bounds::<M>(&bytes, version);
                }
            }
        }
    }
}

/// Random bytes, read as every version.
fn garbage<M: Message>() {
    for version in M::RANGE {
        for seed in 0..50 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let bytes: Vec<u8> =
                (0..rng.usize(..400)).map(|_| if rng.bool() { rng.u8(..4) } else { rng.u8(..) }).collect();
            let _ = read_within_bounds::<M>(&bytes, version);
        }
    }
}

macro_rules! hostile {
    ($($module:ident: $($message:ident)*;)*) => {$(
        #[test]
        fn $module() {
            $(
                mutated::<crate::kafka::wire::messages::$module::$message>();
                garbage::<crate::kafka::wire::messages::$module::$message>();
            )*
        }
    )*};
}

every_message!(hostile);
every_record!(hostile);
