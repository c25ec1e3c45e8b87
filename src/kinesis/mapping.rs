//! One record, two faces: a record's key as a partition key and back, and what a Kinesis reader is shown of a record.
//! Pure. Nothing stored is ever changed: a key is *shown* differently, never rewritten. `docs/mapping.md` is the promise.
//!
//! ```text
//! key of the record                          PartitionKey that is shown
//! text of 1–256 characters                   the text
//! … that begins like one of the forms below  `~` and the text
//! none                                       ~null
//! empty, or bytes that are no text           ~b64:BASE64 (up to 186 bytes)
//! too long for 256 characters                ~sha256:HEX of the bytes (the only form with no way back)
//! ```
//! A record put by a Kinesis client is shown with exactly the key it was put with: where that text begins like one of
//! the forms, the record carries the header [`GENUINE_HEADER`], which says that the text is meant.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

/// Reserved header of a record whose key is text that begins like an escape and is meant literally.
pub const GENUINE_HEADER: &[u8] = b"interfluve.partition.key";
/// Reserved header that keeps the ExplicitHashKey a record was put with, in decimal.
pub const HASH_KEY_HEADER: &[u8] = b"interfluve.explicit.hash.key";

/// Longest partition key, in characters.
pub const KEY_LIMIT_CHARS: usize = 256;

const NULL: &str = "~null";
const BASE64: &str = "~b64:";
const SHA256: &str = "~sha256:";
const TEXT: char = '~';

/// Whether a text begins like one of the forms and so has to be told from them.
fn looks_escaped(text: &str) -> bool {
    text == NULL || ["~~", BASE64, SHA256].iter().any(|form| text.starts_with(form))
}

/// The partition key a record is shown with. `genuine`: the record carries [`GENUINE_HEADER`].
pub fn partition_key(key: Option<&[u8]>, genuine: bool) -> Cow<'_, str> {
    let Some(key) = key else { return Cow::Borrowed(NULL) };
    let fits = |text: &str| (1..=KEY_LIMIT_CHARS).contains(&text.chars().count());
    match std::str::from_utf8(key) {
        Ok(text) if fits(text) && (genuine || !looks_escaped(text)) => return Cow::Borrowed(text),
        Ok(text) if looks_escaped(text) => {
            let escaped = format!("{TEXT}{text}");
            if fits(&escaped) {
                return Cow::Owned(escaped);
            }
        }
        Ok(text) if !text.is_empty() => return Cow::Owned(digest(key)),
        Ok(_) | Err(_) => {
            let escaped = format!("{BASE64}{}", STANDARD.encode(key));
            if fits(&escaped) {
                return Cow::Owned(escaped);
            }
        }
    }
    Cow::Owned(digest(key))
}

fn digest(key: &[u8]) -> String {
    let mut text = SHA256.to_string();
    for byte in Sha256::digest(key) {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// What a shown partition key says about the key behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The record has no key.
    None,
    Key(Vec<u8>),
    /// Only its SHA-256 is known; the key itself stands in the record, which readers of the other face see.
    Digest(String),
}

/// The key behind the partition key of a record that no Kinesis client put: the way back of [`partition_key`].
pub fn meaning(partition_key: &str) -> Meaning {
    if partition_key == NULL {
        return Meaning::None;
    }
    if let Some(hex) = partition_key.strip_prefix(SHA256) {
        return Meaning::Digest(hex.to_string());
    }
    if let Some(text) = partition_key.strip_prefix(TEXT).filter(|text| looks_escaped(text)) {
        return Meaning::Key(text.as_bytes().to_vec());
    }
    let decoded = partition_key.strip_prefix(BASE64).and_then(|text| STANDARD.decode(text).ok());
    Meaning::Key(decoded.unwrap_or_else(|| partition_key.as_bytes().to_vec()))
}

/// Whether a record put with this partition key needs [`GENUINE_HEADER`] to be shown as it was put.
pub fn needs_genuine(partition_key: &str) -> bool {
    looks_escaped(partition_key)
}

/// What a Kinesis reader is shown of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown<'a> {
    Record {
        partition_key: Cow<'a, str>,
        data: &'a [u8],
    },
    /// Larger than the face can show: skipped and counted, never cut.
    Oversize,
}

/// What is shown of a record with this key, value and mark. No value is an empty one.
pub fn shown<'a>(key: Option<&'a [u8]>, value: Option<&'a [u8]>, genuine: bool, limit_bytes: usize) -> Shown<'a> {
    let partition_key = partition_key(key, genuine);
    let data = value.unwrap_or_default();
    if partition_key.len() + data.len() > limit_bytes {
        return Shown::Oversize;
    }
    Shown::Record { partition_key, data }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_are_shown_as_the_table_says() {
        let long = "x".repeat(257);
        let sha = "~sha256:".to_string();
        let wide = "é".repeat(256);
        let binary = vec![0xff; 186];
        let cases: Vec<(Option<&[u8]>, String)> = vec![
            (Some(b"order-1"), "order-1".into()),
            (Some("ключ".as_bytes()), "ключ".into()),
            (Some(b"~"), "~".into()),
            (Some(b"~alice"), "~alice".into()),
            (Some(b"~nullable"), "~nullable".into()),
            (Some(b"~null"), "~~null".into()),
            (Some(b"~~null"), "~~~null".into()),
            (Some(b"~b64:AAEC"), "~~b64:AAEC".into()),
            (None, "~null".into()),
            (Some(b""), "~b64:".into()),
            (Some(&[0, 1, 0xff]), "~b64:AAH/".into()),
            (Some(wide.as_bytes()), wide.clone()),
            (Some(&binary), format!("~b64:{}", STANDARD.encode(&binary))),
            (Some(long.as_bytes()), format!("{sha}{}", &digest(long.as_bytes())[8..])),
        ];
        for (key, expected) in cases {
            assert_eq!(partition_key(key, false), expected, "{key:?}");
        }
    }

    #[test]
    fn keys_too_long_for_any_form_become_a_digest() {
        let tilde = format!("~~{}", "x".repeat(254));
        for key in [&[0xff; 187][..], "y".repeat(300).as_bytes(), tilde.as_bytes()] {
            let shown = partition_key(Some(key), false).into_owned();
            assert!(shown.starts_with("~sha256:") && shown.len() == 72, "{shown}");
            assert!(matches!(meaning(&shown), Meaning::Digest(_)));
        }
    }

    #[test]
    fn no_value_is_shown_as_no_bytes() {
        let expected = Shown::Record { partition_key: Cow::Borrowed("k"), data: b"" };
        assert_eq!(shown(Some(b"k"), None, false, 100), expected);
    }

    #[test]
    fn the_limit_counts_key_and_data_and_nothing_is_cut() {
        assert!(matches!(shown(Some(b"key"), Some(&[0; 97]), false, 100), Shown::Record { .. }));
        assert_eq!(shown(Some(b"key"), Some(&[0; 98]), false, 100), Shown::Oversize);
    }

    proptest! {
        #[test]
        fn a_shown_key_leads_back_to_the_key(key in proptest::option::of(prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..300),
            "~{0,4}(null|b64:|sha256:)?[a-zA-Z0-9=]{0,8}".prop_map(String::into_bytes),
            ".{0,260}".prop_map(String::into_bytes),
        ])) {
            let shown = partition_key(key.as_deref(), false);
            prop_assert!((1..=KEY_LIMIT_CHARS).contains(&shown.chars().count()));
            match meaning(&shown) {
                Meaning::None => prop_assert_eq!(key, None),
                Meaning::Key(back) => prop_assert_eq!(Some(back), key),
                Meaning::Digest(_) => prop_assert!(key.is_some_and(|key| key.len() > 186)),
            }
        }

        #[test]
        fn a_put_key_is_shown_as_it_was_put(text in "(~{0,3}(null|b64:|sha256:)?.{0,40}|.{1,256})") {
            prop_assume!(!text.is_empty());
            prop_assert_eq!(partition_key(Some(text.as_bytes()), needs_genuine(&text)), text.as_str());
        }
    }
}
