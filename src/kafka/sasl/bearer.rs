//! The client's message of OAUTHBEARER (RFC 7628, KIP-255), taken apart. Pure; the token in it is not looked at.
//!
//! ```text
//! client  n,[a=name],^A auth=Bearer token ^A (key=value ^A)* ^A
//! server  (nothing)                                    or {"status":"invalid_token"}, and the client says ^A
//! ```

use crate::auth::scram::unescape;

/// What is said to a client whose token is not taken, twice: as an answer, and as the error that ends it.
pub const INVALID_TOKEN: &str = r#"{"status":"invalid_token"}"#;

/// What a client says.
#[derive(Debug, PartialEq, Eq)]
pub struct First<'a> {
    pub token: &'a str,
    /// As whom it wants to act, if it says so.
    pub authorization: Option<String>,
}

const MARK: char = '\x01';

impl First<'_> {
    /// `None`: it is none.
    pub fn parse(message: &[u8]) -> Option<First<'_>> {
        let text = std::str::from_utf8(message).ok()?;
        let (header, pairs) = text.split_once(MARK)?;
        let authorization = match header.strip_prefix("n,")?.strip_suffix(',')? {
            "" => None,
            name => Some(unescape(name.strip_prefix("a=")?).ok()?),
        };
        let mut token = None;
        // Each pair ends with a mark, and one more ends them all.
        for pair in pairs.strip_suffix(MARK)?.strip_suffix(MARK)?.split(MARK) {
            let (key, value) = pair.split_once('=')?;
            if key.is_empty() || !key.bytes().all(|b| b.is_ascii_alphabetic()) || !is_value(value) {
                return None;
            }
            if key == "auth" && token.replace(bearer(value)?).is_some() {
                return None;
            }
        }
        Some(First { token: token?, authorization })
    }
}

fn is_value(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|b| (0x20..=0x7e).contains(&b) || b"\t\r\n".contains(&b))
}

fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    let is_token = !token.is_empty() && token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    (scheme.eq_ignore_ascii_case("bearer") && is_token).then_some(token)
}
