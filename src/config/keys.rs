//! What a key is: its name, type, range, default and doc, and the one judgement whether a text is a value of it.
//! The keys themselves stand in [`super::server_keys`] and [`super::stream_keys`].
//!
//! Nothing is stored here and no key is named twice: flags, environment, file, documentation and what a façade
//! describes to its clients all come from these declarations.

use std::fmt;

/// One thing that can be set.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Dotted, in lower case. Where another system has a name for exactly this, it is that name.
    pub name: &'static str,
    pub scope: Scope,
    pub section: Section,
    pub kind: Kind,
    /// As a text that [`Kind::judge`] accepts; empty where nothing is the default.
    pub default: &'static str,
    /// Takes effect without a restart.
    pub live: bool,
    pub effect: Effect,
    /// For a stream's key: the server's key that gives its default, if there is one.
    pub server_key: Option<&'static str>,
    /// One or more sentences; the first is what `--help` shows.
    pub doc: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Server,
    Stream,
}

/// The headings of `--help` and of `docs/configuration.md`, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    Place,
    Listening,
    Security,
    Streams,
    Groups,
    Limits,
    Storage,
    Running,
    StreamDefaults,
    Retention,
    Writing,
    Compaction,
    Remote,
    Replication,
}

impl Section {
    pub fn title(self) -> &'static str {
        match self {
            Section::Place => "Where the data is",
            Section::Listening => "Listening",
            Section::Security => "Security",
            Section::Streams => "New streams",
            Section::Groups => "Groups and producers",
            Section::Limits => "Limits",
            Section::Storage => "Storage",
            Section::Running => "Running",
            Section::StreamDefaults => "Defaults of streams that do not set their own",
            Section::Retention => "Keeping",
            Section::Writing => "Writing",
            Section::Compaction => "Compacting",
            Section::Remote => "Tiers",
            Section::Replication => "Replicas",
        }
    }
}

/// Whether setting the key changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Acts,
    /// Checked, stored and shown as clients expect, and nothing else; the text says why.
    Shown(&'static str),
}

/// The type of a key, with its range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Bool,
    /// A whole number in `min..=max`.
    Whole {
        min: i64,
        max: i64,
        unit: Unit,
    },
    /// Like `Whole`, in `min..=max` or exactly this one value.
    WholeOr {
        only: i64,
        min: i64,
        max: i64,
    },
    Ratio {
        min: f64,
        max: f64,
    },
    Text,
    /// A text that is never shown.
    Secret,
    OneOf(&'static [&'static str]),
    /// Comma-separated, each one of these, none twice; may be empty.
    ListOf(&'static [&'static str]),
    /// Comma-separated, whatever they are; may be empty.
    Texts,
    /// `*`, or a comma-separated list of `number:number`.
    Replicas,
    /// `host:port`; port 0 lets the system choose. Empty: none.
    Address,
    /// A comma-separated list of `[name://]host:port`.
    Listeners,
    /// A directory, or `memory:`.
    Directory,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Count,
    Bytes,
    Ms,
    Minutes,
    Hours,
}

/// A text that is no value of its key, or a key that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadSetting {
    pub key: String,
    pub value: String,
    /// What is wrong, as the end of a sentence.
    pub why: String,
    /// For an unknown key: the name that was probably meant. For a value: the value that was probably meant.
    pub nearest: Option<&'static str>,
    /// Whether the key exists.
    pub known: bool,
}

impl BadSetting {
    pub fn unknown(key: &str, value: &str, names: impl Iterator<Item = &'static str>) -> BadSetting {
        let nearest = nearest(key, names);
        BadSetting { key: key.into(), value: value.into(), why: "there is no such key".into(), nearest, known: false }
    }

    pub fn value(key: &str, value: &str, why: impl Into<String>) -> BadSetting {
        BadSetting { key: key.into(), value: value.into(), why: why.into(), nearest: None, known: true }
    }
}

impl fmt::Display for BadSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {:?}: {}", self.key, self.value, self.why)?;
        match self.nearest {
            Some(nearest) => write!(f, " (did you mean {nearest}?)"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for BadSetting {}

/// The name that `given` was probably meant to be: the most similar one, if it is similar at all.
pub fn nearest(given: &str, names: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let given = given.to_ascii_lowercase();
    let mut best = None;
    for name in names {
        let likeness = strsim::jaro_winkler(&given, &name.to_ascii_lowercase());
        if likeness > 0.8 && best.is_none_or(|(most, _)| likeness > most) {
            best = Some((likeness, name));
        }
    }
    best.map(|(_, name)| name)
}

/// How liberally numbers are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// Digits with an optional sign: what clients send.
    Plain,
    /// Also `64MiB`, `10s`, `7d`: what people write in files and flags.
    Units,
}

/// What a judged text is.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Bool(bool),
    Whole(i64),
    Ratio(f64),
    Text(String),
    List(Vec<String>),
}

impl Key {
    /// The flag of a server's key, without the dashes.
    pub fn flag(&self) -> String {
        self.name.replace('.', "-")
    }

    /// The environment variable of a server's key.
    pub fn env(&self) -> String {
        format!("INTERFLUVE_{}", self.name.replace('.', "_").to_ascii_uppercase())
    }

    /// The first sentence of the doc.
    pub fn brief(&self) -> &'static str {
        match self.doc.find(". ") {
            Some(end) => &self.doc[..end],
            None => self.doc.trim_end_matches('.'),
        }
    }

    /// The value a text stands for, or what is wrong with it.
    pub fn judge(&self, text: &str, numbers: Numbers) -> Result<Value, BadSetting> {
        self.kind.judge(text, numbers).map_err(|Wrong { why, nearest }| BadSetting {
            key: self.name.into(),
            value: text.into(),
            why,
            nearest,
            known: true,
        })
    }
}

struct Wrong {
    why: String,
    nearest: Option<&'static str>,
}

impl From<String> for Wrong {
    fn from(why: String) -> Wrong {
        Wrong { why, nearest: None }
    }
}

impl Kind {
    fn judge(&self, text: &str, numbers: Numbers) -> Result<Value, Wrong> {
        let text = text.trim();
        match *self {
            Kind::Bool => match text.to_ascii_lowercase().as_str() {
                "true" => Ok(Value::Bool(true)),
                "false" => Ok(Value::Bool(false)),
                _ => Err(Wrong::from("expected true or false".to_string())),
            },
            Kind::Whole { min, max, unit } => {
                let number = match numbers {
                    Numbers::Plain => text.parse().ok(),
                    Numbers::Units => with_unit(text, unit),
                };
                between(number, min, max, unit.example()).map(Value::Whole)
            }
            Kind::WholeOr { only, min, max } => match text.parse::<i64>() {
                Ok(number) if number == only => Ok(Value::Whole(number)),
                other => between(other.ok(), min, max, "")
                    .map(Value::Whole)
                    .map_err(|w| Wrong { why: format!("{}, or {only}", w.why), nearest: None }),
            },
            Kind::Ratio { min, max } => match text.parse::<f64>() {
                Ok(number) if number >= min && number <= max => Ok(Value::Ratio(number)),
                Ok(_) => Err(Wrong::from(format!("value must be between {min} and {max}"))),
                Err(_) => Err(Wrong::from("expected a number".to_string())),
            },
            Kind::Text | Kind::Secret => Ok(Value::Text(text.into())),
            Kind::Texts => Ok(Value::List(items(text).map(String::from).collect())),
            Kind::OneOf(allowed) => one_of(text, allowed).map(Value::Text),
            Kind::ListOf(allowed) => list_of(text, allowed).map(Value::List),
            Kind::Replicas => replicas(text).map(Value::List),
            Kind::Address => match text.is_empty() || is_address(text) {
                true => Ok(Value::Text(text.into())),
                false => Err(Wrong::from("expected host:port".to_string())),
            },
            Kind::Listeners => listeners(text).map(Value::List),
            Kind::Directory => match text.is_empty() || text.contains('\0') {
                true => Err(Wrong::from("expected a directory, or memory:".to_string())),
                false => Ok(Value::Text(text.into())),
            },
        }
    }

    /// The type in one or two words, for documentation.
    pub fn describe(&self) -> String {
        match self {
            Kind::Bool => "true or false".into(),
            Kind::Whole { unit, .. } => match unit {
                Unit::Count => "number".into(),
                Unit::Bytes => "bytes".into(),
                Unit::Ms => "milliseconds".into(),
                Unit::Minutes => "minutes".into(),
                Unit::Hours => "hours".into(),
            },
            Kind::WholeOr { .. } | Kind::Ratio { .. } => "number".into(),
            Kind::Text => "text".into(),
            Kind::Secret => "text that is never shown".into(),
            Kind::Texts => "list".into(),
            Kind::OneOf(allowed) => allowed.join(", "),
            Kind::ListOf(allowed) => format!("list of {}", allowed.join(", ")),
            Kind::Replicas => "list of number:number, or *".into(),
            Kind::Address => "host:port".into(),
            Kind::Listeners => "list of [name://]host:port".into(),
            Kind::Directory => "directory, or memory:".into(),
        }
    }

    /// The range of a number in words, empty where the type says it all.
    pub fn range(&self) -> String {
        match *self {
            Kind::Whole { min, max, .. } => match (min, max) {
                (i64::MIN, i64::MAX) => String::new(),
                (min, i64::MAX) => format!("≥ {min}"),
                (min, max) => format!("{min} … {max}"),
            },
            Kind::WholeOr { only, min, max } => format!("{min} … {max}, or {only}"),
            Kind::Ratio { min, max } => format!("{min} … {max}"),
            _ => String::new(),
        }
    }
}

impl Unit {
    fn example(self) -> &'static str {
        match self {
            Unit::Bytes => ", such as 1048576 or 64MiB",
            Unit::Ms => ", such as 1500 or 10s",
            Unit::Count | Unit::Minutes | Unit::Hours => "",
        }
    }
}

fn between(number: Option<i64>, min: i64, max: i64, example: &str) -> Result<i64, Wrong> {
    match number {
        None => Err(Wrong::from(format!("expected a whole number{example}"))),
        Some(number) if number < min => Err(Wrong::from(format!("value must be at least {min}"))),
        Some(number) if number > max => Err(Wrong::from(format!("value must be no more than {max}"))),
        Some(number) => Ok(number),
    }
}

fn with_unit(text: &str, unit: Unit) -> Option<i64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match (unit, text[digits.len()..].to_ascii_lowercase().as_str()) {
        (_, "") => 1,
        (Unit::Bytes, "b") => 1,
        (Unit::Bytes, "kib" | "k") => 1 << 10,
        (Unit::Bytes, "mib" | "m") => 1 << 20,
        (Unit::Bytes, "gib" | "g") => 1 << 30,
        (Unit::Ms, "ms") => 1,
        (Unit::Ms, "s") => 1_000,
        (Unit::Ms, "m" | "min") => 60_000,
        (Unit::Ms, "h") => 3_600_000,
        (Unit::Ms, "d") => 86_400_000,
        _ => return None,
    };
    digits.trim().parse::<i64>().ok()?.checked_mul(factor)
}

fn one_of(text: &str, allowed: &'static [&'static str]) -> Result<String, Wrong> {
    match allowed.contains(&text) {
        true => Ok(text.into()),
        false => Err(Wrong {
            why: format!("expected one of {}", allowed.join(", ")),
            nearest: nearest(text, allowed.iter().copied()),
        }),
    }
}

fn items(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|item| !item.is_empty())
}

fn list_of(text: &str, allowed: &'static [&'static str]) -> Result<Vec<String>, Wrong> {
    let mut list: Vec<String> = Vec::new();
    for item in items(text) {
        let item = one_of(item, allowed)?;
        if list.contains(&item) {
            return Err(Wrong::from(format!("{item} is named twice")));
        }
        list.push(item);
    }
    Ok(list)
}

fn replicas(text: &str) -> Result<Vec<String>, Wrong> {
    let list: Vec<String> = items(text).map(String::from).collect();
    let pair =
        |item: &String| item.split_once(':').is_some_and(|(a, b)| a.parse::<u32>().is_ok() && b.parse::<u32>().is_ok());
    match list == ["*"] || list.iter().all(pair) {
        true => Ok(list),
        false => Err(Wrong::from("expected * or a list of number:number".to_string())),
    }
}

/// `host:port`, `[v6]:port`; the host is not looked up here.
pub fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let host_ok = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').is_some_and(|v6| v6.parse::<std::net::Ipv6Addr>().is_ok()),
        None => !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b)),
    };
    host_ok && port.parse::<u16>().is_ok() && port.bytes().all(|b| b.is_ascii_digit())
}

fn listeners(text: &str) -> Result<Vec<String>, Wrong> {
    let list: Vec<String> = items(text).map(String::from).collect();
    for item in &list {
        let (name, address) = item.split_once("://").unwrap_or(("", item));
        if !is_address(address) || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) {
            return Err(Wrong::from(format!("{item:?} is not [name://]host:port")));
        }
    }
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Kind = Kind::Whole { min: 1, max: 1 << 40, unit: Unit::Bytes };

    fn check(kind: Kind, text: &str, want: Result<Value, &str>) {
        let got = kind.judge(text, Numbers::Units).map_err(|wrong| wrong.why);
        match want {
            Ok(value) => assert_eq!(got, Ok(value), "{kind:?} {text:?}"),
            Err(part) => assert!(got.clone().is_err_and(|why| why.contains(part)), "{kind:?} {text:?}: {got:?}"),
        }
    }

    #[test]
    fn numbers_are_read_with_and_without_units() {
        check(WHOLE, "17", Ok(Value::Whole(17)));
        check(WHOLE, " 64MiB ", Ok(Value::Whole(64 << 20)));
        check(WHOLE, "1g", Ok(Value::Whole(1 << 30)));
        check(WHOLE, "0", Err("at least 1"));
        check(WHOLE, "2000gib", Err("no more than"));
        check(WHOLE, "9223372036854775807gib", Err("whole number"));
        check(WHOLE, "10s", Err("whole number"));
        check(WHOLE, "é", Err("whole number"));
        let ms = Kind::Whole { min: -1, max: i64::MAX, unit: Unit::Ms };
        check(ms, "7d", Ok(Value::Whole(604_800_000)));
        check(ms, "-1", Ok(Value::Whole(-1)));
        check(ms, "1.5s", Err("whole number"));
    }

    #[test]
    fn plain_numbers_have_no_unit() {
        assert!(WHOLE.judge("64MiB", Numbers::Plain).is_err());
        assert!(WHOLE.judge(" 64 ", Numbers::Plain).is_ok());
    }

    #[test]
    fn lists_hold_what_is_allowed_once() {
        let kind = Kind::ListOf(&["compact", "delete"]);
        check(kind, "delete , compact", Ok(Value::List(vec!["delete".into(), "compact".into()])));
        check(kind, "", Ok(Value::List(vec![])));
        check(kind, "delete,delete", Err("twice"));
        check(kind, "remove", Err("one of"));
    }

    #[test]
    fn addresses_are_checked_and_not_looked_up() {
        for (text, good) in [
            ("127.0.0.1:9092", true),
            ("broker.example:1", true),
            ("[::1]:0", true),
            ("", true),
            ("9092", false),
            (":9092", false),
            ("host:70000", false),
            ("host:+1", false),
            ("[zz]:1", false),
            ("a b:1", false),
        ] {
            assert_eq!(Kind::Address.judge(text, Numbers::Units).is_ok(), good, "{text:?}");
        }
        check(
            Kind::Listeners,
            "internal://127.0.0.1:9092,0.0.0.0:9093",
            Ok(Value::List(vec!["internal://127.0.0.1:9092".into(), "0.0.0.0:9093".into()])),
        );
        check(Kind::Listeners, "internal:/127.0.0.1:9092", Err("not [name://]host:port"));
    }

    #[test]
    fn replicas_are_pairs_or_a_star() {
        check(Kind::Replicas, "0:1,2:3", Ok(Value::List(vec!["0:1".into(), "2:3".into()])));
        check(Kind::Replicas, "*", Ok(Value::List(vec!["*".into()])));
        check(Kind::Replicas, "*,0:1", Err("expected *"));
    }

    #[test]
    fn the_nearest_name_is_offered_only_when_it_is_near() {
        let names = || ["retention.ms", "retention.bytes", "segment.ms"].into_iter();
        assert_eq!(nearest("retention_ms", names()), Some("retention.ms"));
        assert_eq!(nearest("retension.bytes", names()), Some("retention.bytes"));
        assert_eq!(nearest("zzz", names()), None);
    }

    #[test]
    fn a_bad_setting_reads_as_a_sentence() {
        let bad = BadSetting::unknown("retention.mss", "1", ["retention.ms"].into_iter());
        assert_eq!(bad.to_string(), r#"retention.mss = "1": there is no such key (did you mean retention.ms?)"#);
    }
}
