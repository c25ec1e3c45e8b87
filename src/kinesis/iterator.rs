//! Shard iterators and page tokens: what a client is handed to come back with. Stateless: everything is inside, under a
//! key, so that a restart forgets none of them and nobody can make one up. Pure; keeps no list of what it handed out.
//!
//! ```text
//! 0 version u64 = 1 │ 8 kind u8 │ 9 created, ms i64 │ 17 stream u128 │ 33 shard u32 │ 37 position u64 │ 45 name … │ HMAC 16
//! ```
//! all big-endian, in base64. `kind` 1 is a shard iterator (`position` is an offset), 2 a page of shards (`shard` is the
//! first one not listed yet, `position` the filter), 3 a page of streams (`name` is the last one listed). The HMAC is
//! SHA-256, its first 16 bytes, over everything before it. The name is there for error texts: the stream is found by id.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::ids::{Offset, ShardNo, StreamId, Timestamp};

/// How long a token is good for.
pub const LIFE_MS: i64 = 300_000;
/// The longest text the service's model allows.
const LIMIT_CHARS: usize = 512;
const VERSION: u64 = 1;
const FIXED_BYTES: usize = 45;
const MAC_BYTES: usize = 16;

/// The secret behind all tokens of one server.
#[derive(Clone)]
pub struct Key([u8; 32]);

impl Key {
    pub fn new(secret: [u8; 32]) -> Key {
        Key(secret)
    }

    fn mac(&self, bytes: &[u8]) -> Hmac<Sha256> {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            unreachable!("HMAC takes a key of any length")
        };
        mac.update(bytes);
        mac
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Iterator = 1,
    Shards = 2,
    Streams = 3,
}

/// What a token holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub kind: Kind,
    pub created: Timestamp,
    pub stream: StreamId,
    pub shard: ShardNo,
    pub position: u64,
    pub name: String,
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not ours, of another kind, or changed on the way.
    Invalid,
    Expired {
        created: Timestamp,
    },
}

impl Token {
    /// A shard iterator.
    pub fn iterator(stream: StreamId, name: &str, shard: ShardNo, next: Offset, now: Timestamp) -> Token {
        Token { kind: Kind::Iterator, created: now, stream, shard, position: next.0, name: name.to_string() }
    }

    pub fn seal(&self, key: &Key) -> String {
        let mut bytes = Vec::with_capacity(FIXED_BYTES + self.name.len() + MAC_BYTES);
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.push(self.kind as u8);
        bytes.extend_from_slice(&self.created.0.to_be_bytes());
        bytes.extend_from_slice(&self.stream.0.to_be_bytes());
        bytes.extend_from_slice(&self.shard.0.to_be_bytes());
        bytes.extend_from_slice(&self.position.to_be_bytes());
        bytes.extend_from_slice(self.name.as_bytes());
        let mac = key.mac(&bytes).finalize().into_bytes();
        bytes.extend_from_slice(&mac[..MAC_BYTES]);
        let text = STANDARD.encode(bytes);
        assert!(text.len() <= LIMIT_CHARS, "a stream that has a token has a name of at most 128 characters");
        text
    }

    /// Opens a token of `kind` that is at most `life_ms` old.
    pub fn open(text: &str, kind: Kind, key: &Key, now: Timestamp, life_ms: i64) -> Result<Token, Refusal> {
        if text.len() > LIMIT_CHARS {
            return Err(Refusal::Invalid);
        }
        let bytes = STANDARD.decode(text).map_err(|_| Refusal::Invalid)?;
        let (body, mac) = bytes.len().checked_sub(MAC_BYTES).map(|at| bytes.split_at(at)).ok_or(Refusal::Invalid)?;
        // Compared in constant time: how much of a forgery is right must not show.
        key.mac(body).verify_truncated_left(mac).map_err(|_| Refusal::Invalid)?;
        let token = Token::read(body).filter(|token| token.kind == kind).ok_or(Refusal::Invalid)?;
        if now.0.saturating_sub(token.created.0) > life_ms {
            return Err(Refusal::Expired { created: token.created });
        }
        Ok(token)
    }

    fn read(body: &[u8]) -> Option<Token> {
        fn field<const N: usize>(body: &[u8], at: usize) -> Option<[u8; N]> {
            body.get(at..at + N)?.try_into().ok()
        }
        if u64::from_be_bytes(field(body, 0)?) != VERSION {
            return None;
        }
        let kind = match body.get(8)? {
            1 => Kind::Iterator,
            2 => Kind::Shards,
            3 => Kind::Streams,
            _ => return None,
        };
        Some(Token {
            kind,
            created: Timestamp(i64::from_be_bytes(field(body, 9)?)),
            stream: StreamId(u128::from_be_bytes(field(body, 17)?)),
            shard: ShardNo(u32::from_be_bytes(field(body, 33)?)),
            position: u64::from_be_bytes(field(body, 37)?),
            name: std::str::from_utf8(body.get(FIXED_BYTES..)?).ok()?.to_string(),
        })
    }
}

/// A moment as the service writes it in a sentence: `Thu Jan 22 01:22:02 UTC 2015`.
pub fn in_words(at: Timestamp) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let seconds = at.0.div_euclid(1000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let weekday = DAYS[days.rem_euclid(7) as usize];
    // Years begin in March here, so that the leap day is the last one.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, year) = if month < 10 { (month + 2, 0) } else { (month - 10, 1) };
    let year = era * 400 + year_of_era + year;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{weekday} {} {day:02} {hour:02}:{minute:02}:{second:02} UTC {year}", MONTHS[month as usize])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn key() -> Key {
        Key::new([7; 32])
    }

    fn token() -> Token {
        Token::iterator(StreamId(42), "orders", ShardNo(3), Offset(99), NOW)
    }

    #[test]
    fn a_token_opens_to_what_was_sealed() {
        let text = token().seal(&key());
        assert_eq!(Token::open(&text, Kind::Iterator, &key(), NOW, LIFE_MS), Ok(token()));
    }

    #[test]
    fn tokens_look_as_the_service_s_do() {
        assert!(token().seal(&key()).starts_with("AAAAAAAAAAE"));
    }

    #[test]
    fn the_longest_name_fits_the_model() {
        let token = Token::iterator(StreamId(u128::MAX), &"n".repeat(128), ShardNo(u32::MAX), Offset(u64::MAX), NOW);
        assert!(token.seal(&key()).len() <= LIMIT_CHARS);
    }

    #[test]
    fn a_token_lives_for_300_seconds_and_not_a_millisecond_more() {
        let text = token().seal(&key());
        let open = |at: i64| Token::open(&text, Kind::Iterator, &key(), NOW.plus_ms(at), LIFE_MS);
        assert_eq!(open(300_000), Ok(token()));
        assert_eq!(open(300_001), Err(Refusal::Expired { created: NOW }));
        // A clock that went back does not invalidate what was handed out.
        assert_eq!(open(-60_000), Ok(token()));
    }

    #[test]
    fn what_we_did_not_make_is_invalid() {
        let text = token().seal(&key());
        let other = Token { kind: Kind::Shards, ..token() }.seal(&key());
        let stranger = token().seal(&Key::new([8; 32]));
        let cases = ["", "AAAA", "not base64", &text[..text.len() - 4], &"A".repeat(600), &other, &stranger];
        for text in cases {
            assert_eq!(Token::open(text, Kind::Iterator, &key(), NOW, LIFE_MS), Err(Refusal::Invalid), "{text}");
        }
    }

    #[test]
    fn moments_are_written_as_java_writes_them() {
        let cases = [
            (0, "Thu Jan 01 00:00:00 UTC 1970"),
            (1_421_889_722_000, "Thu Jan 22 01:22:02 UTC 2015"),
            (951_782_399_999, "Mon Feb 28 23:59:59 UTC 2000"),
            (951_782_400_000, "Tue Feb 29 00:00:00 UTC 2000"),
            (4_107_542_400_000, "Mon Mar 01 00:00:00 UTC 2100"),
            (-1, "Wed Dec 31 23:59:59 UTC 1969"),
        ];
        for (ms, text) in cases {
            assert_eq!(in_words(Timestamp(ms)), text);
        }
    }

    proptest! {
        #[test]
        fn one_flipped_bit_is_noticed(bit in 0usize..(45 + 6 + 16) * 8) {
            let mut bytes = STANDARD.decode(token().seal(&key())).unwrap();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let text = STANDARD.encode(bytes);
            prop_assert_eq!(Token::open(&text, Kind::Iterator, &key(), NOW, LIFE_MS), Err(Refusal::Invalid));
        }

        #[test]
        fn any_text_is_opened_or_refused(text in "[A-Za-z0-9+/=]{0,200}|.{0,80}") {
            let _ = Token::open(&text, Kind::Iterator, &key(), NOW, LIFE_MS);
        }
    }
}
