//! ValidationException: every rule of a request's shape judged, the first ten failures told in the service's words. Pure.
//!
//! ```text
//! 2 validation errors detected: Value '' at 'streamName' failed to satisfy constraint: Member must …; Value null at …
//! ```
//! Judged are values that have the right type already; what they mean together, or beside the catalog, is judged by the
//! operation. The order of several failures is the service's hash order and nobody's promise.

use crate::aws::error::Failure;
use crate::aws::json::{Args, Kind, Member, Node, Rule};

/// Failures that are told.
const TOLD: usize = 10;
/// Characters of a value that are repeated.
const ECHO_LIMIT: usize = 4096;

/// Judges all members of a request.
pub fn check(args: &Args<'_>) -> Result<(), Failure> {
    let mut errors = Vec::new();
    structure(args.members, &args.values, "", &mut errors);
    if errors.is_empty() {
        return Ok(());
    }
    let many = if errors.len() > 1 { "s" } else { "" };
    Err(refuse(format!("{} validation error{many} detected: {}", errors.len(), errors.join("; "))))
}

/// A ValidationException with a sentence of its own.
pub fn refuse(message: impl Into<String>) -> Failure {
    Failure::client("ValidationException", message)
}

fn structure(members: &[Member], values: &[Node<'_>], parent: &str, errors: &mut Vec<String>) {
    for (member, node) in members.iter().zip(values) {
        // Paths are built only where something is inside or wrong: 500 records are judged on every PutRecords.
        judge(member, node, &|| path(parent, member.name), errors);
        if errors.len() >= TOLD {
            return;
        }
    }
}

fn path(parent: &str, name: &str) -> String {
    let mut lower = String::with_capacity(parent.len() + name.len() + 1);
    lower.push_str(parent);
    if !parent.is_empty() {
        lower.push('.');
    }
    let mut characters = name.chars();
    lower.extend(characters.next().map(|first| first.to_ascii_lowercase()));
    lower.push_str(characters.as_str());
    lower
}

fn judge(member: &Member, node: &Node<'_>, at: &dyn Fn() -> String, errors: &mut Vec<String>) {
    for rule in member.rules {
        if errors.len() >= TOLD {
            return;
        }
        if let Some(text) = broken(rule, node) {
            let value = match node {
                Node::Null => "null".to_string(),
                _ => format!("'{}'", cut(shown(member, node))),
            };
            errors.push(format!("Value {value} at '{}' failed to satisfy constraint: Member must {text}", at()));
        }
    }
    match (&member.kind, node) {
        (Kind::Structure(members), Node::Structure(values)) => structure_in(members, values, at, errors),
        (Kind::List(element), Node::List(items, _)) => {
            for (place, item) in items.iter().enumerate() {
                if errors.len() >= TOLD {
                    return;
                }
                judge(element, item, &|| format!("{}.{}.member", at(), place + 1), errors);
            }
        }
        (Kind::Map(value), Node::Map(entries)) => {
            for (key, item) in entries {
                judge(value, item, &|| format!("{}.{key}.member", at()), errors);
            }
        }
        _ => {}
    }
}

fn structure_in(members: &[Member], values: &[Node<'_>], at: &dyn Fn() -> String, errors: &mut Vec<String>) {
    for (member, node) in members.iter().zip(values) {
        judge(member, node, &|| path(&at(), member.name), errors);
    }
}

/// What a value must be and is not.
fn broken(rule: &Rule, node: &Node<'_>) -> Option<String> {
    match (rule, node) {
        (Rule::NotNull, Node::Null) => Some("not be null".to_string()),
        (_, Node::Null) => None,
        (Rule::MinLength(least), node) => {
            (length(node)? < *least).then(|| format!("have length greater than or equal to {least}"))
        }
        (Rule::MaxLength(most), node) => {
            (length(node)? > *most).then(|| format!("have length less than or equal to {most}"))
        }
        (Rule::Min(least), Node::Integer(value)) => {
            (value < least).then(|| format!("have value greater than or equal to {least}"))
        }
        (Rule::Max(most), Node::Integer(value)) => {
            (value > most).then(|| format!("have value less than or equal to {most}"))
        }
        (Rule::Pattern(pattern, fits), Node::Text(text)) => {
            (!fits(text)).then(|| format!("satisfy regular expression pattern: {pattern}"))
        }
        (Rule::OneOf(values), Node::Text(text)) => {
            (!values.contains(&text.as_ref())).then(|| format!("satisfy enum value set: [{}]", values.join(", ")))
        }
        (Rule::NotNull | Rule::Min(_) | Rule::Max(_) | Rule::Pattern(..) | Rule::OneOf(_) | Rule::Shown(_), _) => None,
    }
}

/// Characters, bytes or elements. A text that cannot have too many characters is not counted.
fn length(node: &Node<'_>) -> Option<usize> {
    match node {
        Node::Text(text) if text.is_ascii() => Some(text.len()),
        Node::Text(text) => Some(text.chars().count()),
        Node::Blob(bytes) => Some(bytes.len()),
        Node::List(_, count) => Some(*count),
        Node::Map(entries) => Some(entries.len()),
        Node::Null | Node::Boolean(_) | Node::Integer(_) | Node::Time(_) | Node::Structure(_) => None,
    }
}

/// A value as Java writes it.
fn shown(member: &Member, node: &Node<'_>) -> String {
    match node {
        Node::Null => "null".to_string(),
        Node::Boolean(value) => value.to_string(),
        Node::Integer(value) => value.to_string(),
        Node::Time(ms) => ms.to_string(),
        Node::Text(text) => text.to_string(),
        Node::Blob(bytes) => format!("java.nio.HeapByteBuffer[pos=0 lim={0} cap={0}]", bytes.len()),
        Node::List(items, _) => {
            let name = member.rules.iter().find_map(|rule| match rule {
                Rule::Shown(name) => Some(*name),
                _ => None,
            });
            let inner = match member.kind {
                Kind::List(inner) => inner,
                _ => member,
            };
            let items: Vec<String> =
                items.iter().take(1000).map(|item| name.map_or_else(|| shown(inner, item), str::to_string)).collect();
            format!("[{}]", items.join(", "))
        }
        Node::Map(entries) => {
            let entries: Vec<String> =
                entries.iter().take(1000).map(|(key, value)| format!("{key}={}", shown(member, value))).collect();
            format!("{{{}}}", entries.join(", "))
        }
        Node::Structure(_) => member.name.to_string(),
    }
}

fn cut(text: String) -> String {
    match text.char_indices().nth(ECHO_LIMIT) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

/// `[a-zA-Z0-9_.-]+`
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

/// `0|([1-9]\d{0,128})`
pub fn is_sequence_number(text: &str) -> bool {
    is_whole(text, 129)
}

/// `0|([1-9]\d{0,38})`
pub fn is_hash_key(text: &str) -> bool {
    is_whole(text, 39)
}

fn is_whole(text: &str, digits: usize) -> bool {
    let plain = !text.is_empty() && text.len() <= digits && text.bytes().all(|b| b.is_ascii_digit());
    plain && (text == "0" || !text.starts_with('0'))
}

/// `arn:aws.*:kinesis:.*:\d{12}:stream/\S+`
pub fn is_stream_arn(text: &str) -> bool {
    arn_parts(text).is_some()
}

/// Region, account and name of a stream's ARN.
pub fn arn_parts(text: &str) -> Option<(&str, &str, &str)> {
    let mut parts = text.strip_prefix("arn:aws")?.splitn(5, ':');
    let (_suffix, service, region) = (parts.next()?, parts.next()?, parts.next()?);
    let (account, resource) = (parts.next()?, parts.next()?);
    let name = resource.strip_prefix("stream/")?;
    let account_fits = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
    let name_fits = !name.is_empty() && !name.contains(char::is_whitespace);
    (service == "kinesis" && account_fits && name_fits).then_some((region, account, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &[Member] = &[
        Member {
            name: "PartitionKey",
            kind: Kind::Text,
            rules: &[Rule::NotNull, Rule::MinLength(1), Rule::MaxLength(256)],
        },
        Member { name: "Data", kind: Kind::Blob, rules: &[Rule::NotNull, Rule::MaxLength(3)] },
    ];
    const SHAPE: &[Member] = &[
        Member {
            name: "StreamName",
            kind: Kind::Text,
            rules: &[Rule::Pattern("[a-zA-Z0-9_.-]+", is_name), Rule::MinLength(1), Rule::MaxLength(8)],
        },
        Member { name: "Limit", kind: Kind::Integer, rules: &[Rule::Min(1), Rule::Max(10)] },
        Member { name: "Type", kind: Kind::Text, rules: &[Rule::NotNull, Rule::OneOf(&["A", "B"])] },
        Member {
            name: "Records",
            kind: Kind::List(&Member { name: "member", kind: Kind::Structure(ENTRY), rules: &[] }),
            rules: &[Rule::MinLength(1), Rule::MaxLength(2), Rule::Shown("Entry@1")],
        },
        Member {
            name: "Keys",
            kind: Kind::List(&Member { name: "member", kind: Kind::Text, rules: &[Rule::MaxLength(1)] }),
            rules: &[Rule::MaxLength(2)],
        },
        Member {
            name: "Tags",
            kind: Kind::Map(&Member { name: "member", kind: Kind::Text, rules: &[Rule::MaxLength(1)] }),
            rules: &[Rule::MaxLength(1)],
        },
    ];

    /// The failures, as a sorted set: their order is nobody's promise.
    fn failures(body: &str) -> Vec<String> {
        let args = Args::read(body.as_bytes(), SHAPE).unwrap();
        let Err(failure) = check(&args) else { return vec![] };
        assert_eq!((failure.kind, failure.status), ("ValidationException", 400));
        let message = failure.message.unwrap();
        let (head, list) = message.split_once(" detected: ").unwrap();
        let mut list: Vec<String> = list.split("; ").map(str::to_string).collect();
        let many = if list.len() > 1 { "errors" } else { "error" };
        assert_eq!(head, format!("{} validation {many}", list.len()));
        list.sort();
        list
    }

    #[test]
    fn each_rule_has_its_sentence() {
        let must = |value: &str, at: &str, text: &str| {
            format!("Value {value} at '{at}' failed to satisfy constraint: Member must {text}")
        };
        let cases = [
            (r#"{"Type":"A"}"#, vec![]),
            ("{}", vec![must("null", "type", "not be null")]),
            (r#"{"Type":"C"}"#, vec![must("'C'", "type", "satisfy enum value set: [A, B]")]),
            (r#"{"Type":"A","Limit":0}"#, vec![must("'0'", "limit", "have value greater than or equal to 1")]),
            (r#"{"Type":"A","Limit":11}"#, vec![must("'11'", "limit", "have value less than or equal to 10")]),
            (
                r#"{"Type":"A","StreamName":""}"#,
                vec![
                    must("''", "streamName", "have length greater than or equal to 1"),
                    must("''", "streamName", "satisfy regular expression pattern: [a-zA-Z0-9_.-]+"),
                ],
            ),
            (
                r#"{"Type":"A","StreamName":"123456789"}"#,
                vec![must("'123456789'", "streamName", "have length less than or equal to 8")],
            ),
            (r#"{"Type":"A","Records":[]}"#, vec![must("'[]'", "records", "have length greater than or equal to 1")]),
            (
                r#"{"Type":"A","Records":[{"PartitionKey":"a","Data":"AAAAAA=="},{"PartitionKey":"","Data":""}]}"#,
                vec![
                    must(
                        "'java.nio.HeapByteBuffer[pos=0 lim=4 cap=4]'",
                        "records.1.member.data",
                        "have length less than or equal to 3",
                    ),
                    must("''", "records.2.member.partitionKey", "have length greater than or equal to 1"),
                ],
            ),
            (
                r#"{"Type":"A","Records":[{"PartitionKey":"a","Data":""},{"PartitionKey":"a","Data":""},{"Data":""}]}"#,
                vec![
                    must("'[Entry@1, Entry@1, Entry@1]'", "records", "have length less than or equal to 2"),
                    must("null", "records.3.member.partitionKey", "not be null"),
                ],
            ),
            (
                r#"{"Type":"A","Keys":["a","bc","d"]}"#,
                vec![
                    must("'[a, bc, d]'", "keys", "have length less than or equal to 2"),
                    must("'bc'", "keys.2.member", "have length less than or equal to 1"),
                ],
            ),
            (
                r#"{"Type":"A","Tags":{"x":"1","y":"23"}}"#,
                vec![
                    must("'23'", "tags.y.member", "have length less than or equal to 1"),
                    must("'{x=1, y=23}'", "tags", "have length less than or equal to 1"),
                ],
            ),
        ];
        for (body, mut expected) in cases {
            expected.sort();
            assert_eq!(failures(body), expected, "{body}");
        }
    }

    #[test]
    fn ten_failures_are_told_and_no_more() {
        let body = format!(r#"{{"Records":[{}]}}"#, vec!["{}"; 50].join(","));
        assert_eq!(failures(&body).len(), 10);
    }

    #[test]
    fn lengths_of_text_count_characters() {
        let key = "é".repeat(256);
        let body = format!(r#"{{"Type":"A","Records":[{{"PartitionKey":"{key}","Data":""}}]}}"#);
        assert_eq!(failures(&body), Vec::<String>::new());
    }

    #[test]
    fn a_long_value_is_repeated_in_part() {
        let body = format!(r#"{{"Type":"{}"}}"#, "x".repeat(100_000));
        assert!(failures(&body)[0].len() < 5_000);
    }

    #[test]
    fn patterns_are_the_model_s() {
        let numbers = ["0", "1", "10", &"9".repeat(129)];
        assert!(numbers.iter().all(|text| is_sequence_number(text)));
        let others = ["", "01", "-1", "1a", " 1", "٣", &"9".repeat(130)];
        assert!(others.iter().all(|text| !is_sequence_number(text)));
        assert!(is_hash_key(&"9".repeat(39)) && !is_hash_key(&"9".repeat(40)));
        assert!(is_name("a_B.0-") && !is_name("a b") && !is_name("é") && !is_name("a/b"));
    }

    #[test]
    fn a_stream_s_arn_is_taken_apart() {
        let cases = [
            ("arn:aws:kinesis:us-east-1:000000000000:stream/a", Some(("us-east-1", "000000000000", "a"))),
            ("arn:aws-cn:kinesis:cn-north-1:123456789012:stream/a.b", Some(("cn-north-1", "123456789012", "a.b"))),
            ("arn:aws:kinesis:us-east-1:00000000000:stream/a", None),
            ("arn:aws:sqs:us-east-1:000000000000:stream/a", None),
            ("arn:aws:kinesis:us-east-1:000000000000:stream/", None),
            ("arn:aws:kinesis:us-east-1:000000000000:stream/a b", None),
            ("arn:aws:kinesis", None),
            ("a", None),
        ];
        for (text, parts) in cases {
            assert_eq!(arn_parts(text), parts, "{text}");
            assert_eq!(is_stream_arn(text), parts.is_some());
        }
    }
}
