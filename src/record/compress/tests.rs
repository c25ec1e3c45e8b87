//! Round trips, framings of other clients, bombs and damage, codec by codec.

use super::*;

const REAL: [Codec; 4] = [Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

fn pack(codec: Codec, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    compress(codec, None, plain, &mut out);
    out
}

fn limits(max_bytes: usize) -> Limits {
    Limits { max_bytes, max_ratio: usize::MAX }
}

/// Bytes that shrink a little: words in an order that depends on `seed`.
fn text(bytes: usize, seed: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let words: [&[u8]; 6] = [b"stream ", b"log ", b"shard ", b"record ", b"batch ", b"offset\n"];
    let mut out = Vec::new();
    while out.len() < bytes {
        out.extend_from_slice(words[random.usize(..words.len())]);
        out.push(random.u8(..));
    }
    out.truncate(bytes);
    out
}

#[test]
fn what_goes_in_comes_out() {
    for codec in Codec::ALL {
        for bytes in [0, 1, 100, 32 * 1024, 32 * 1024 + 1, 64 * 1024, 300_000] {
            let plain = text(bytes, bytes as u64);
            let packed = pack(codec, &plain);
            assert_eq!(decompress(codec, &packed, limits(bytes)), Ok(plain), "{codec} {bytes}");
        }
    }
}

#[test]
fn one_byte_over_the_limit_is_refused() {
    for codec in Codec::ALL {
        let packed = pack(codec, &text(100_000, 1));
        let refused = Err(CompressError::TooLarge { codec, limit_bytes: 99_999 });
        assert_eq!(decompress(codec, &packed, limits(99_999)), refused);
    }
}

#[test]
fn a_bomb_is_refused_in_memory_near_the_limit() {
    let limit_bytes = 100_000;
    for codec in REAL {
        let bomb = pack(codec, &vec![0; 8 << 20]);
        let mut output = Output { bytes: Vec::new(), codec, limit_bytes };
        let refused = match codec {
            Codec::None => unreachable!("no bomb without a codec"),
            Codec::Gzip => output.read_all(flate2::bufread::MultiGzDecoder::new(&bomb[..]), bomb.len()),
            Codec::Snappy => snappy(&bomb, &mut output),
            Codec::Lz4 => lz4(&bomb, &mut output),
            Codec::Zstd => zstd(&bomb, &mut output),
        };
        assert_eq!(refused, Err(CompressError::TooLarge { codec, limit_bytes }));
        assert!(output.bytes.capacity() <= 2 * limit_bytes + 64, "{codec} took {}", output.bytes.capacity());
    }
}

#[test]
fn the_ratio_binds_only_over_the_free_bytes() {
    let packed = pack(Codec::Zstd, &vec![7; RATIO_FREE_BYTES]);
    let strict = Limits { max_bytes: usize::MAX, max_ratio: 10 };
    assert!(decompress(Codec::Zstd, &packed, strict).is_ok());
    let packed = pack(Codec::Zstd, &vec![7; RATIO_FREE_BYTES + 1]);
    let refused = Err(CompressError::TooLarge { codec: Codec::Zstd, limit_bytes: RATIO_FREE_BYTES });
    assert_eq!(decompress(Codec::Zstd, &packed, strict), refused);
}

#[test]
fn a_snappy_block_that_claims_four_gigabytes_allocates_nothing() {
    let claim = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0];
    let mut output = Output { bytes: Vec::new(), codec: Codec::Snappy, limit_bytes: usize::MAX };
    assert_eq!(snappy(&claim, &mut output), Err(output.corrupt("a block size that cannot be")));
    assert_eq!(output.bytes.capacity(), 0);
}

#[test]
fn raw_snappy_is_read_too() {
    let plain = text(100_000, 3);
    let raw = snap::raw::Encoder::new().compress_vec(&plain).unwrap();
    assert_eq!(decompress(Codec::Snappy, &raw, limits(100_000)), Ok(plain));
}

#[test]
fn gzip_members_follow_each_other() {
    let packed = [pack(Codec::Gzip, b"one"), pack(Codec::Gzip, b"two")].concat();
    assert_eq!(decompress(Codec::Gzip, &packed, limits(100)), Ok(b"onetwo".to_vec()));
}

#[test]
fn every_kind_of_lz4_frame_is_read() {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    let plain = text(700_000, 4);
    for mode in [BlockMode::Independent, BlockMode::Linked] {
        for size in [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB] {
            for checked in [false, true] {
                let info = FrameInfo::new()
                    .block_mode(mode)
                    .block_size(size)
                    .block_checksums(checked)
                    .content_checksum(checked)
                    .content_size(checked.then_some(plain.len() as u64));
                let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
                encoder.write_all(&plain).unwrap();
                let packed = encoder.finish().unwrap();
                let opened = decompress(Codec::Lz4, &packed, limits(plain.len()));
                assert_eq!(opened.as_deref(), Ok(&plain[..]), "{mode:?} {size:?} {checked}");
            }
        }
    }
}

#[test]
fn a_zstd_window_over_the_limit_is_refused_before_anything_is_allocated() {
    let plain = text(100, 5);
    for (log, allowed) in [(ZSTD_WINDOW_LOG, true), (ZSTD_WINDOW_LOG + 1, false), (27, false)] {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(log).unwrap();
        encoder.write_all(&plain).unwrap();
        let packed = encoder.finish().unwrap();
        let refused = CompressError::Window { window_bytes: 1 << log, limit_bytes: 1 << ZSTD_WINDOW_LOG };
        let expected = if allowed { Ok(plain.clone()) } else { Err(refused) };
        assert_eq!(decompress(Codec::Zstd, &packed, limits(100)), expected, "2^{log}");
    }
}

#[test]
fn a_zstd_content_size_is_not_believed() {
    // One segment that claims 2^62 bytes, and one of 8 bytes that claims a megabyte.
    let mut huge = ZSTD_MAGIC.to_le_bytes().to_vec();
    huge.push(0xe0);
    huge.extend_from_slice(&(1_u64 << 62).to_le_bytes());
    let refused = CompressError::Window { window_bytes: 1 << 62, limit_bytes: 1 << ZSTD_WINDOW_LOG };
    assert_eq!(decompress(Codec::Zstd, &huge, limits(100)), Err(refused));

    let mut lying = ZSTD_MAGIC.to_le_bytes().to_vec();
    lying.push(0xa0);
    lying.extend_from_slice(&(1_u32 << 20).to_le_bytes());
    lying.extend_from_slice(&[0x41, 0, 0]);
    lying.extend_from_slice(b"8 bytes!");
    let refused = CompressError::Corrupt { codec: Codec::Zstd, what: "the stream" };
    assert_eq!(decompress(Codec::Zstd, &lying, limits(100)), Err(refused));
}

#[test]
fn whatever_is_cut_off_is_missed() {
    for codec in REAL {
        let plain = text(70_000, 6);
        let packed = pack(codec, &plain);
        for keep in (0..packed.len()).step_by(97).chain(packed.len() - 8..packed.len()) {
            let opened = decompress(codec, &packed[..keep], limits(70_000));
            // Snappy's framing has no end: a cut between two blocks is a shorter stream.
            let shorter = codec == Codec::Snappy && opened.as_ref().is_ok_and(|opened| plain.starts_with(opened));
            assert!(opened.is_err() || shorter, "{codec} cut to {keep} of {}", packed.len());
        }
    }
}

#[test]
fn damage_never_panics() {
    let mut random = fastrand::Rng::with_seed(7);
    for codec in REAL {
        let packed = pack(codec, &text(5_000, 8));
        for _ in 0..3_000 {
            let mut bytes = packed.clone();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(..bytes.len());
                bytes[at] = random.u8(..);
            }
            let _ = decompress(codec, &bytes, limits(1 << 20));
        }
    }
}

#[test]
fn a_level_changes_the_bytes_and_not_what_they_say() {
    let plain = text(600_000, 7);
    let at = |codec, level| {
        let mut out = Vec::new();
        compress(codec, level, &plain, &mut out);
        assert_eq!(decompress(codec, &out, limits(plain.len())).as_ref(), Ok(&plain), "{codec} {level:?}");
        out.len()
    };
    for (codec, low, high) in [(Codec::Gzip, 1, 9), (Codec::Lz4, 3, 12), (Codec::Zstd, -50, 19)] {
        assert!(at(codec, Some(high)) < at(codec, Some(low)), "{codec}");
    }
    // The ends of what the keys allow: nothing is refused, and every decoder can look back far enough.
    for (codec, level) in [(Codec::Lz4, 1), (Codec::Lz4, 17), (Codec::Zstd, -131_072), (Codec::Zstd, 22)] {
        at(codec, Some(level));
    }
    assert!(at(Codec::Lz4, Some(12)) < at(Codec::Lz4, None));
}
