//! Who a client's certificate says it is: the subject, written as Kafka writes it (RFC 2253, the last part first), and the
//! rules that make a principal of it (`ssl.principal.mapping.rules`, KIP-371). Pure. No certificate is judged here: that
//! has been done when one comes.
//!
//! ```text
//! Certificate ::= { TBS { [0] version?, serial, algorithm, issuer, validity, subject, … }, algorithm, signature }
//! Name        ::= { SET OF { OID, string } … }
//! ```

use std::fmt::Write as _;

use regex::{Regex, RegexBuilder};

/// Parts of a name looked at.
const PARTS_LIMIT: usize = 64;
/// The largest a pattern may become when it is compiled.
const PATTERN_LIMIT_BYTES: usize = 1 << 20;

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;
const VERSION: u8 = 0xa0;

/// One element of DER: its tag, its content, and all of its bytes.
struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    whole: &'a [u8],
}

/// Takes the first element off `from`.
fn take<'a>(from: &mut &'a [u8]) -> Option<Element<'a>> {
    let (&tag, &first) = (from.first()?, from.get(1)?);
    let (length, head) = match first {
        0..=0x7f => (usize::from(first), 2),
        0x81..=0x83 => {
            let count = usize::from(first & 0x7f);
            let bytes = from.get(2..2 + count)?;
            (bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), 2 + count)
        }
        _ => return None,
    };
    let (whole, rest) = from.split_at_checked(head + length)?;
    *from = rest;
    Some(Element { tag, content: &whole[head..], whole })
}

fn take_a<'a>(tag: u8, from: &mut &'a [u8]) -> Option<&'a [u8]> {
    take(from).filter(|element| element.tag == tag).map(|element| element.content)
}

/// The subject of a certificate in DER; `None`: it is none, or says nobody.
pub fn subject(certificate: &[u8]) -> Option<String> {
    let mut certificate = certificate;
    let mut outer = take_a(SEQUENCE, &mut certificate)?;
    let mut tbs = take_a(SEQUENCE, &mut outer)?;
    if tbs.first() == Some(&VERSION) {
        take(&mut tbs)?;
    }
    // Serial number, algorithm, issuer and validity.
    for _ in 0..4 {
        take(&mut tbs)?;
    }
    let mut name = take_a(SEQUENCE, &mut tbs)?;
    let mut parts = Vec::new();
    while !name.is_empty() && parts.len() < PARTS_LIMIT {
        let mut set = take_a(SET, &mut name)?;
        let mut texts = Vec::new();
        while !set.is_empty() {
            let mut pair = take_a(SEQUENCE, &mut set)?;
            let (oid, value) = (take_a(OID, &mut pair)?, take(&mut pair)?);
            texts.push(part(oid, &value)?);
        }
        parts.push(texts.join("+"));
    }
    parts.reverse();
    (!parts.is_empty()).then(|| parts.join(","))
}

/// `CN=text`, or `1.2.3=#hex` for what RFC 2253 has no word for.
fn part(oid: &[u8], value: &Element<'_>) -> Option<String> {
    let word = match oid {
        [0x55, 4, 3] => "CN",
        [0x55, 4, 6] => "C",
        [0x55, 4, 7] => "L",
        [0x55, 4, 8] => "ST",
        [0x55, 4, 9] => "STREET",
        [0x55, 4, 10] => "O",
        [0x55, 4, 11] => "OU",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 1] => "UID",
        [0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 1, 25] => "DC",
        _ => {
            let mut text = dotted(oid)?;
            text.push_str("=#");
            value.whole.iter().for_each(|byte| write!(text, "{byte:02x}").expect("a string takes everything"));
            return Some(text);
        }
    };
    let text = std::str::from_utf8(value.content).ok()?;
    Some(format!("{word}={}", escaped(text)))
}

fn dotted(oid: &[u8]) -> Option<String> {
    let (&first, rest) = oid.split_first()?;
    let mut text = format!("{}.{}", (first / 40).min(2), first - 40 * (first / 40).min(2));
    let mut number = 0u64;
    for byte in rest {
        number = number.checked_mul(128)? | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            write!(text, ".{number}").expect("a string takes everything");
            number = 0;
        }
    }
    Some(text)
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let last = text.chars().count().saturating_sub(1);
    for (at, c) in text.chars().enumerate() {
        let special = matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';');
        let edge = (c == '#' && at == 0) || (c == ' ' && (at == 0 || at == last));
        if special || edge {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// How a principal's name is made of a subject: the first rule that fits decides.
#[derive(Clone, Debug, Default)]
pub struct Mapping(Vec<Rule>);

#[derive(Clone, Debug)]
enum Rule {
    /// The subject as it is.
    Default,
    Replace {
        pattern: Regex,
        by: String,
        case: Case,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Case {
    Kept,
    Lower,
    Upper,
}

impl Mapping {
    /// From `RULE:pattern/replacement/[LU]` and `DEFAULT`, comma-separated; nothing means `DEFAULT`.
    pub fn parse(text: &str) -> Result<Mapping, String> {
        let mut rules = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (rule, after) = match rest.strip_prefix("DEFAULT") {
                Some(after) => (Rule::Default, after),
                None => replacing(rest).ok_or_else(|| format!("no rule: {rest}"))?,
            };
            rules.push(rule);
            let after = after.trim_start();
            rest = match after.strip_prefix(',') {
                Some(more) => more.trim_start(),
                None if after.is_empty() => after,
                None => return Err(format!("no comma before: {after}")),
            };
        }
        Ok(Mapping(rules))
    }

    /// `None`: no rule fits, and so nobody is there.
    pub fn name(&self, subject: &str) -> Option<String> {
        if self.0.is_empty() {
            return Some(subject.to_owned());
        }
        self.0.iter().find_map(|rule| match rule {
            Rule::Default => Some(subject.to_owned()),
            Rule::Replace { pattern, by, case } => pattern.captures(subject).map(|found| {
                let mut name = String::new();
                found.expand(by, &mut name);
                match case {
                    Case::Kept => name,
                    Case::Lower => name.to_lowercase(),
                    Case::Upper => name.to_uppercase(),
                }
            }),
        })
    }
}

/// A rule, and what stands behind it. A slash behind a backslash is one of the pattern.
fn replacing(text: &str) -> Option<(Rule, &str)> {
    let (pattern, rest) = until_slash(text.strip_prefix("RULE:")?)?;
    let (by, rest) = until_slash(rest)?;
    let (case, rest) = match rest.as_bytes().first() {
        Some(b'L') => (Case::Lower, &rest[1..]),
        Some(b'U') => (Case::Upper, &rest[1..]),
        _ => (Case::Kept, rest),
    };
    let pattern = RegexBuilder::new(&format!("^(?:{pattern})$")).size_limit(PATTERN_LIMIT_BYTES).build().ok()?;
    // `$1` is a group by its number, whatever stands behind it.
    let by = Regex::new(r"\$([0-9])").ok()?.replace_all(by, "$${${1}}").into_owned();
    Some((Rule::Replace { pattern, by, case }, rest))
}

fn until_slash(text: &str) -> Option<(&str, &str)> {
    let bytes = text.as_bytes();
    let end = (0..bytes.len()).find(|&at| bytes[at] == b'/' && (at == 0 || bytes[at - 1] != b'\\'))?;
    Some((&text[..end], &text[end + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_map_as_in_kafka() {
        let rules = "RULE:^CN=(.*?),OU=ServiceUsers.*$/$1/,RULE:^CN=(.*?),OU=(.*?),O=(.*?)$/$1@$2/L,\
                     RULE:^.*[Cc][Nn]=([a-zA-Z0-9.]*).*$/$1/U,DEFAULT";
        let mapping = Mapping::parse(rules).expect("sound rules");
        for (subject, name) in [
            ("CN=kafka1,OU=ServiceUsers,O=X", "kafka1"),
            ("CN=Alice,OU=Admins,O=X", "alice@admins"),
            ("OU=o,cn=duke,ST=s", "DUKE"),
            ("O=only", "O=only"),
        ] {
            assert_eq!(mapping.name(subject).as_deref(), Some(name), "{subject}");
        }
        assert_eq!(Mapping::default().name("CN=a").as_deref(), Some("CN=a"));
        assert_eq!(Mapping::parse("RULE:^CN=x$/y/").expect("sound").name("CN=a"), None);
        for bad in ["RULE:", "RULE:a/b", "default", "RULE:(/b/", "DEFAULT x"] {
            assert!(Mapping::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_no_certificate_is_nobody() {
        for bytes in [&b""[..], b"\x30", b"\x30\x84\xff\xff\xff\xff", b"\x30\x02\x30\x00", &[0x30; 300]] {
            assert_eq!(subject(bytes), None);
        }
    }

    #[test]
    fn special_characters_are_escaped() {
        assert_eq!(escaped(" a,b#\\ "), "\\ a\\,b#\\\\\\ ");
        assert_eq!(escaped("#a"), "\\#a");
        assert_eq!(dotted(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1]).as_deref(), Some("1.2.840.113549.1.9.1"));
    }
}
