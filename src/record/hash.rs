//! The two hashes that place a record by its key: Kafka's murmur2 and Kinesis' MD5. No other use.

use md5::{Digest, Md5};

const MURMUR_SEED: u32 = 0x9747_b28c;
const MURMUR_MULTIPLIER: u32 = 0x5bd1_e995;
const MURMUR_SHIFT: u32 = 24;

/// Which of `logs` Kafka's clients choose for a key by default: murmur2, its sign bit cleared, modulo the number of
/// logs.
pub fn murmur2_place(key: &[u8], logs: u32) -> u32 {
    assert!(logs > 0, "a stream has a log");
    (murmur2(key) & i32::MAX as u32) % logs
}

/// MurmurHash2, 32 bits, little-endian, with the seed of Kafka's clients. (Java shows the same bits as a signed int.)
pub fn murmur2(key: &[u8]) -> u32 {
    let mix = |word: u32| {
        let word = word.wrapping_mul(MURMUR_MULTIPLIER);
        (word ^ word >> MURMUR_SHIFT).wrapping_mul(MURMUR_MULTIPLIER)
    };
    let (words, rest) = key.as_chunks::<4>();
    let mut hash = MURMUR_SEED ^ key.len() as u32;
    for word in words {
        hash = hash.wrapping_mul(MURMUR_MULTIPLIER) ^ mix(u32::from_le_bytes(*word));
    }
    if !rest.is_empty() {
        let last = rest.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte));
        hash = (hash ^ last).wrapping_mul(MURMUR_MULTIPLIER);
    }
    hash = (hash ^ hash >> 13).wrapping_mul(MURMUR_MULTIPLIER);
    hash ^ hash >> 15
}

/// Where in 0..2^128 a key lies: its MD5, read as one big-endian number.
pub fn md5_key(key: &[u8]) -> u128 {
    u128::from_be_bytes(Md5::digest(key).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur2_is_kafkas() {
        // The cases of Kafka's own UtilsTest, then some that its Utils.murmur2 gave: every length of the rest and
        // high bytes.
        let table: [(&[u8], i32); 11] = [
            (b"21", -973_932_308),
            (b"foobar", -790_332_482),
            (b"a-little-bit-long-string", -985_981_536),
            (b"a-little-bit-longer-string", -1_486_304_829),
            (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            (b"abc", 479_470_107),
            (b"", 275_646_681),
            (b"a", -1_563_381_124),
            (b"abcde", 461_995_741),
            (b"abcdefg", -346_467_175),
            (b"\xff\x80\xfe", 957_058_525),
        ];
        for (key, expected) in table {
            assert_eq!(murmur2(key) as i32, expected, "{key:?}");
        }
    }

    #[test]
    fn a_negative_hash_loses_its_sign_not_its_bits() {
        assert_eq!(murmur2_place(b"foobar", 10), (-790_332_482_i32 & i32::MAX) as u32 % 10);
        assert_eq!(murmur2_place(b"anything", 1), 0);
    }

    #[test]
    fn md5_is_one_big_endian_number() {
        // RFC 1321, appendix A.5.
        assert_eq!(md5_key(b""), 0xd41d_8cd9_8f00_b204_e980_0998_ecf8_427e);
        assert_eq!(md5_key(b"message digest"), 0xf96b_697d_7cb7_938d_525a_2f31_aaf1_61d0);
    }
}
