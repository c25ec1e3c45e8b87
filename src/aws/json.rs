//! Reads a JSON 1.1 body by the shape of its operation, in one pass and in bounded memory. Pure.
//!
//! A shape says which members an operation has and of what type. Everything else in a body is stepped over and never
//! kept; a value of the wrong type is refused in the words the service uses for it. Whether a value is *allowed*
//! (present, long enough, of a pattern) is a later question: the rules stand in the shape, façades judge them.
//!
//! Limits: nesting of 64; [`LIST_LIMIT`] elements of one list are kept (the rest is counted). Text is borrowed from the
//! body where it has no escapes, blobs are decoded as they are met.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::error::Failure;

/// Nesting beyond which a body is refused.
const DEPTH_LIMIT: u32 = 64;
/// Elements of one list that are kept.
pub const LIST_LIMIT: usize = 10_001;
/// Characters of a bad value that an error repeats.
const ECHO_LIMIT: usize = 1024;
/// What no message of ours says: marks a body that is nested too deeply.
const TOO_DEEP: &str = "\u{0}too deep";

/// One member of a structure.
#[derive(Debug)]
pub struct Member {
    pub name: &'static str,
    pub kind: Kind,
    pub rules: &'static [Rule],
}

/// The type of a member.
#[derive(Debug)]
pub enum Kind {
    Boolean,
    /// 32 bits: decimals are cut, greater values are clamped, as the service does.
    Integer,
    Text,
    /// Strict base64.
    Blob,
    /// Seconds since the epoch, with decimals.
    Time,
    List(&'static Member),
    Map(&'static Member),
    Structure(&'static [Member]),
}

/// What a member's value must be. Judged by the façade.
#[derive(Debug)]
pub enum Rule {
    NotNull,
    /// Characters of a text, bytes of a blob, elements of a list or map.
    MinLength(usize),
    MaxLength(usize),
    Min(i64),
    Max(i64),
    /// The pattern as it is quoted, and the test.
    Pattern(&'static str, fn(&str) -> bool),
    OneOf(&'static [&'static str]),
    /// How an element that is a structure is shown when its list is quoted.
    Shown(&'static str),
}

/// A value, read by its shape.
#[derive(Clone, Debug, PartialEq)]
pub enum Node<'a> {
    Null,
    Boolean(bool),
    Integer(i64),
    Text(Cow<'a, str>),
    Blob(Vec<u8>),
    /// Milliseconds since the epoch.
    Time(i64),
    /// The elements kept, and how many there were.
    List(Vec<Node<'a>>, usize),
    Map(Vec<(String, Node<'a>)>),
    /// One value per member, in the shape's order.
    Structure(Vec<Node<'a>>),
}

impl Node<'_> {
    pub fn is_null(&self) -> bool {
        matches!(self, Node::Null)
    }
}

/// The members of a request, by name.
#[derive(Debug)]
pub struct Args<'a> {
    pub members: &'static [Member],
    pub values: Vec<Node<'a>>,
}

impl<'a> Args<'a> {
    /// Reads a body. Errors: SerializationException, with the service's sentence for a wrong type and without one for
    /// what is no JSON object.
    pub fn read(body: &'a [u8], members: &'static [Member]) -> Result<Args<'a>, Failure> {
        if body.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'{') {
            return Err(Failure::bare("SerializationException"));
        }
        let mut from = serde_json::Deserializer::from_slice(body);
        let node = Seed { kind: &Kind::Structure(members) }.deserialize(&mut from);
        match node.and_then(|node| from.end().map(|()| node)) {
            Ok(Node::Structure(values)) => Ok(Args { members, values }),
            Ok(_) => Err(Failure::bare("SerializationException")),
            Err(error) => Err(refusal(body, &error)),
        }
    }

    /// The value of a member, which the shape must declare.
    pub fn node(&self, name: &str) -> &Node<'a> {
        let place = self.members.iter().position(|m| m.name == name);
        match place.and_then(|place| self.values.get(place)) {
            Some(node) => node,
            None => unreachable!("{name} is not a member of this operation"),
        }
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        match self.node(name) {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn integer(&self, name: &str) -> Option<i64> {
        match self.node(name) {
            Node::Integer(value) => Some(*value),
            _ => None,
        }
    }

    pub fn time_ms(&self, name: &str) -> Option<i64> {
        match self.node(name) {
            Node::Time(ms) => Some(*ms),
            _ => None,
        }
    }

    pub fn boolean(&self, name: &str) -> Option<bool> {
        match self.node(name) {
            Node::Boolean(value) => Some(*value),
            _ => None,
        }
    }

    /// A structure inside the request, as one of its own.
    pub fn inner(&self, name: &str) -> Option<Args<'a>> {
        let place = self.members.iter().position(|m| m.name == name)?;
        match (&self.members[place].kind, &self.values[place]) {
            (Kind::Structure(members), Node::Structure(values)) => Some(Args { members, values: values.clone() }),
            _ => None,
        }
    }
}

/// Type errors keep the service's words; what is no JSON at all has none, even where a type error stands before it.
fn refusal(body: &[u8], error: &serde_json::Error) -> Failure {
    let whole = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let message = whole.strip_suffix(&place).unwrap_or(&whole);
    let well_formed = || serde_json::from_slice::<IgnoredAny>(body).is_ok();
    if error.is_data() && message != TOO_DEEP && well_formed() && !message.is_empty() {
        Failure::client("SerializationException", message)
    } else {
        Failure::bare("SerializationException")
    }
}

/// Reads one value of a kind.
struct Seed<'s> {
    kind: &'s Kind,
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Node<'de>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Node<'de>, D::Error> {
        from.deserialize_any(self)
    }
}

const LIST_HERE: &str = "Start of list found where not expected";
const MAP_HERE: &str = "Start of structure or map found where not expected.";
const NUMBER: &str = "com.amazon.coral.value.json.numbers.TruncatingBigNumber";

impl Seed<'_> {
    /// The sentence for a scalar that is not what the shape says.
    fn wrong<E: serde::de::Error>(&self, class: &str) -> E {
        E::custom(match self.kind {
            Kind::Boolean => format!("class {class} can not be converted to an Boolean"),
            Kind::Integer => format!("class {class} can not be converted to an Integer"),
            Kind::Text => format!("class {class} can not be converted to an String"),
            Kind::Blob => format!("class {class} can not be converted to a Blob"),
            Kind::Time => format!("class {class} can not be converted to milliseconds since epoch"),
            Kind::List(_) => "Expected list or null".to_string(),
            Kind::Map(_) => "Expected map or null".to_string(),
            Kind::Structure(_) => "Expected null".to_string(),
        })
    }

    fn number<'de, E: serde::de::Error>(&self, value: f64) -> Result<Node<'de>, E> {
        match self.kind {
            Kind::Integer => Ok(Node::Integer((value.floor() as i64).min(i64::from(i32::MAX)))),
            Kind::Time => Ok(Node::Time((value * 1000.0).round() as i64)),
            _ => Err(self.wrong(NUMBER)),
        }
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of the operation's shape")
    }

    fn visit_unit<E>(self) -> Result<Node<'de>, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Node<'de>, E> {
        match self.kind {
            Kind::Boolean => Ok(Node::Boolean(value)),
            _ => Err(self.wrong("java.lang.Boolean")),
        }
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Node<'de>, E> {
        match self.kind {
            Kind::Integer => Ok(Node::Integer(value.min(i64::from(i32::MAX)))),
            Kind::Time => Ok(Node::Time(value.saturating_mul(1000))),
            _ => Err(self.wrong(NUMBER)),
        }
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Node<'de>, E> {
        self.visit_i64(i64::try_from(value).unwrap_or(i64::MAX))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Node<'de>, E> {
        self.number(value)
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, value: &'de str) -> Result<Node<'de>, E> {
        match self.kind {
            Kind::Text => Ok(Node::Text(Cow::Borrowed(value))),
            _ => self.visit_str(value),
        }
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Node<'de>, E> {
        match self.kind {
            Kind::Text => Ok(Node::Text(Cow::Owned(value.to_string()))),
            Kind::Blob => blob(value).map(Node::Blob).map_err(E::custom),
            Kind::Boolean => match value.to_ascii_uppercase().as_str() {
                "TRUE" | "1" | "YES" => Ok(Node::Boolean(true)),
                "FALSE" | "0" | "NO" => Ok(Node::Boolean(false)),
                other => Err(E::custom(format!("'{}' can not be converted to an Boolean", echo(other)))),
            },
            _ => Err(self.wrong("java.lang.String")),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node<'de>, A::Error> {
        let Kind::List(element) = self.kind else {
            return Err(A::Error::custom(LIST_HERE));
        };
        let mut kept = Vec::new();
        while kept.len() < LIST_LIMIT {
            match seq.next_element_seed(Seed { kind: &element.kind })? {
                Some(node) => kept.push(node),
                None => {
                    let count = kept.len();
                    return Ok(Node::List(kept, count));
                }
            }
        }
        let mut count = kept.len();
        while seq.next_element_seed(Skip { depth: 3 })?.is_some() {
            count += 1;
        }
        Ok(Node::List(kept, count))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node<'de>, A::Error> {
        match self.kind {
            Kind::Structure(members) => {
                let mut values: Vec<Node<'de>> = Vec::with_capacity(members.len());
                values.resize(members.len(), Node::Null);
                while let Some(place) = map.next_key_seed(Name { members })? {
                    match place {
                        Some(place) => values[place] = map.next_value_seed(Seed { kind: &members[place].kind })?,
                        None => map.next_value_seed(Skip { depth: 4 })?,
                    }
                }
                Ok(Node::Structure(values))
            }
            Kind::Map(value) => {
                let mut entries: Vec<(String, Node<'de>)> = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    if entries.len() < LIST_LIMIT {
                        let node = map.next_value_seed(Seed { kind: &value.kind })?;
                        entries.push((key, node));
                    } else {
                        map.next_value_seed(Skip { depth: 3 })?;
                    }
                }
                Ok(Node::Map(entries))
            }
            _ => Err(A::Error::custom(MAP_HERE)),
        }
    }
}

/// Finds a member by its name without keeping the name.
struct Name {
    members: &'static [Member],
}

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Option<usize>, D::Error> {
        from.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<usize>, E> {
        Ok(self.members.iter().position(|m| m.name == name))
    }
}

/// Steps over a value, counting how deep it goes.
struct Skip {
    depth: u32,
}

impl Skip {
    fn deeper<E: serde::de::Error>(&self) -> Result<Skip, E> {
        if self.depth >= DEPTH_LIMIT { Err(E::custom(TOO_DEEP)) } else { Ok(Skip { depth: self.depth + 1 }) }
    }
}

impl<'de> DeserializeSeed<'de> for Skip {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Skip {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(self.deeper()?)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while map.next_key::<IgnoredAny>()?.is_some() {
            map.next_value_seed(self.deeper()?)?;
        }
        Ok(())
    }
}

/// Strict base64: a multiple of four characters, no foreign character, no stray bits.
fn blob(text: &str) -> Result<Vec<u8>, String> {
    if let Ok(bytes) = STANDARD.decode(text) {
        return Ok(bytes);
    }
    let opening = format!("'{}' can not be converted to a Blob: ", echo(text));
    // The service counts UTF-16 units, as Java does.
    let length = text.encode_utf16().count();
    if !length.is_multiple_of(4) {
        return Err(format!("{opening}Base64 encoded length is expected a multiple of 4 bytes but found: {length}"));
    }
    let mut after_padding = false;
    for character in text.chars() {
        match character {
            '=' => after_padding = true,
            _ if after_padding => return Err(format!("{opening}Invalid Base64 character: '='")),
            'A'..='Z' | 'a'..='z' | '0'..='9' | '+' | '/' => {}
            other => return Err(format!("{opening}Invalid Base64 character: '{other}'")),
        }
    }
    Err(format!("{opening}Invalid last non-pad Base64 character dectected"))
}

fn echo(text: &str) -> String {
    if text.chars().count() <= ECHO_LIMIT {
        return text.to_string();
    }
    let mut cut: String = text.chars().take(ECHO_LIMIT).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &[Member] = &[
        Member { name: "Data", kind: Kind::Blob, rules: &[] },
        Member { name: "PartitionKey", kind: Kind::Text, rules: &[] },
    ];
    const SHAPE: &[Member] = &[
        Member { name: "Flag", kind: Kind::Boolean, rules: &[] },
        Member { name: "Count", kind: Kind::Integer, rules: &[] },
        Member { name: "Name", kind: Kind::Text, rules: &[] },
        Member { name: "Data", kind: Kind::Blob, rules: &[] },
        Member { name: "Time", kind: Kind::Time, rules: &[] },
        Member {
            name: "List",
            kind: Kind::List(&Member { name: "member", kind: Kind::Structure(ENTRY), rules: &[] }),
            rules: &[],
        },
        Member { name: "Tags", kind: Kind::Map(&Member { name: "member", kind: Kind::Text, rules: &[] }), rules: &[] },
        Member { name: "Entry", kind: Kind::Structure(ENTRY), rules: &[] },
    ];

    fn node(body: &str, name: &str) -> Node<'static> {
        let args = Args::read(body.as_bytes(), SHAPE).unwrap();
        match args.node(name).clone() {
            Node::Text(text) => Node::Text(Cow::Owned(text.into_owned())),
            Node::Boolean(value) => Node::Boolean(value),
            Node::Integer(value) => Node::Integer(value),
            Node::Blob(bytes) => Node::Blob(bytes),
            Node::Time(ms) => Node::Time(ms),
            _ => Node::Null,
        }
    }

    #[test]
    fn values_are_read_by_their_shape() {
        let cases = [
            (r#"{"Flag":true}"#, "Flag", Node::Boolean(true)),
            (r#"{"Flag":"no"}"#, "Flag", Node::Boolean(false)),
            (r#"{"Count":7}"#, "Count", Node::Integer(7)),
            (r#"{"Count":7.9}"#, "Count", Node::Integer(7)),
            (r#"{"Count":-7.1}"#, "Count", Node::Integer(-8)),
            (r#"{"Count":99999999999}"#, "Count", Node::Integer(2_147_483_647)),
            (r#"{"Count":18446744073709551615}"#, "Count", Node::Integer(2_147_483_647)),
            (r#"{"Name":"a\u00e9"}"#, "Name", Node::Text("aé".into())),
            (r#"{"Name":null}"#, "Name", Node::Null),
            (r#"{}"#, "Name", Node::Null),
            (r#"{"Other":[{"deep":[1,"x",null,true,2.5]}],"Name":"n"}"#, "Name", Node::Text("n".into())),
            (r#"{"Name":"a","Name":"b"}"#, "Name", Node::Text("b".into())),
            (r#"{"Data":"aGk="}"#, "Data", Node::Blob(b"hi".to_vec())),
            (r#"{"Data":""}"#, "Data", Node::Blob(vec![])),
            (r#"{"Time":1700000000}"#, "Time", Node::Time(1_700_000_000_000)),
            (r#"{"Time":1700000000.1234567}"#, "Time", Node::Time(1_700_000_000_123)),
            (r#"{"Time":1.7e9}"#, "Time", Node::Time(1_700_000_000_000)),
            (r#"{"Time":-1}"#, "Time", Node::Time(-1000)),
        ];
        for (body, name, expected) in cases {
            assert_eq!(node(body, name), expected, "{body}");
        }
    }

    #[test]
    fn wrong_types_are_refused_in_the_service_s_words() {
        let big = "com.amazon.coral.value.json.numbers.TruncatingBigNumber";
        let map = "Start of structure or map found where not expected.".to_string();
        let list = "Start of list found where not expected".to_string();
        let cases: Vec<(&str, String)> = vec![
            (r#"{"Count":"1"}"#, "class java.lang.String can not be converted to an Integer".into()),
            (r#"{"Count":true}"#, "class java.lang.Boolean can not be converted to an Integer".into()),
            (r#"{"Count":[]}"#, list.clone()),
            (r#"{"Count":{}}"#, map.clone()),
            (r#"{"Name":1}"#, format!("class {big} can not be converted to an String")),
            (r#"{"Name":1.5}"#, format!("class {big} can not be converted to an String")),
            (r#"{"Name":false}"#, "class java.lang.Boolean can not be converted to an String".into()),
            (r#"{"Name":{}}"#, map.clone()),
            (r#"{"Flag":1}"#, format!("class {big} can not be converted to an Boolean")),
            (r#"{"Flag":"what"}"#, "'WHAT' can not be converted to an Boolean".into()),
            (r#"{"Time":"now"}"#, "class java.lang.String can not be converted to milliseconds since epoch".into()),
            (r#"{"Time":true}"#, "class java.lang.Boolean can not be converted to milliseconds since epoch".into()),
            (r#"{"List":"x"}"#, "Expected list or null".into()),
            (r#"{"List":34}"#, "Expected list or null".into()),
            (r#"{"List":{}}"#, map.clone()),
            (r#"{"List":["x"]}"#, "Expected null".into()),
            (r#"{"List":[[]]}"#, list.clone()),
            (r#"{"List":[{"PartitionKey":2}]}"#, format!("class {big} can not be converted to an String")),
            (r#"{"Tags":[]}"#, list.clone()),
            (r#"{"Tags":true}"#, "Expected map or null".into()),
            (r#"{"Entry":"x"}"#, "Expected null".into()),
            (r#"{"Data":5}"#, format!("class {big} can not be converted to a Blob")),
            (r#"{"Data":true}"#, "class java.lang.Boolean can not be converted to a Blob".into()),
            (
                r#"{"Data":"YQ"}"#,
                "'YQ' can not be converted to a Blob: Base64 encoded length is expected a multiple of 4 bytes but \
                 found: 2"
                    .into(),
            ),
            (r#"{"Data":"Y(=="}"#, "'Y(==' can not be converted to a Blob: Invalid Base64 character: '('".into()),
            (
                r#"{"Data":"Y==="}"#,
                "'Y===' can not be converted to a Blob: Invalid last non-pad Base64 character \
                 dectected"
                    .into(),
            ),
            (
                r#"{"Data":"YR=="}"#,
                "'YR==' can not be converted to a Blob: Invalid last non-pad Base64 character \
                 dectected"
                    .into(),
            ),
            (r#"{"Data":"=YQY"}"#, "'=YQY' can not be converted to a Blob: Invalid Base64 character: '='".into()),
        ];
        for (body, message) in cases {
            let failure = Args::read(body.as_bytes(), SHAPE).unwrap_err();
            assert_eq!((failure.kind, failure.message), ("SerializationException", Some(message)), "{body}");
        }
    }

    #[test]
    fn what_is_no_json_object_is_refused_without_a_sentence() {
        let deep = format!("{{\"x\":{}{}}}", "[".repeat(100), "]".repeat(100));
        let deeper = format!("{{\"x\":{}", "[".repeat(100_000));
        let cases: [&[u8]; 14] = [
            b"",
            b"{",
            b"nope",
            b"null",
            b"\x00\x01\x02",
            b"{\"Name\":\"\xff\"}",
            b"{\"Name\":\"\\ud800\"}",
            b"{\"Name\":1e999}",
            b"{} {}",
            b"{\"Count\":\"x\"",
            b"{\"Count\":\"x\"} trailing",
            b"{\"Count\":01}",
            deep.as_bytes(),
            deeper.as_bytes(),
        ];
        for body in cases {
            let failure = Args::read(body, SHAPE).unwrap_err();
            assert_eq!(failure, Failure::bare("SerializationException"), "{:?}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn a_body_may_nest_as_deep_as_the_limit() {
        let body = format!("{{\"x\":{}{}}}", "[".repeat(60), "]".repeat(60));
        assert!(Args::read(body.as_bytes(), SHAPE).is_ok());
    }

    #[test]
    fn a_body_that_is_a_scalar_or_a_list_is_refused() {
        for body in ["[]", "5", "\"x\"", "true"] {
            let failure = Args::read(body.as_bytes(), SHAPE).unwrap_err();
            assert_eq!(failure, Failure::bare("SerializationException"), "{body}");
        }
    }

    #[test]
    fn a_long_list_is_counted_but_not_kept() {
        let body = format!("{{\"List\":[{}{{}}]}}", "{},".repeat(LIST_LIMIT + 6));
        let args = Args::read(body.as_bytes(), SHAPE).unwrap();
        match args.node("List") {
            Node::List(kept, count) => assert_eq!((kept.len(), *count), (LIST_LIMIT, LIST_LIMIT + 7)),
            other => panic!("not a list: {other:?}"),
        }
    }

    #[test]
    fn plain_text_is_borrowed_from_the_body() {
        let body = br#"{"Name":"plain"}"#;
        let args = Args::read(body, SHAPE).unwrap();
        assert!(matches!(args.node("Name"), Node::Text(Cow::Borrowed("plain"))));
    }
}
