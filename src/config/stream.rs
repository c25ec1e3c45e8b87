//! The settings of one stream, typed: what its owner set, over the server's defaults, over ours.
//!
//! Pure. A stream's settings are stored as the texts its owner gave ([`parse`](StreamSettings::parse) is called again
//! at every start), so a key that is added later has its default in old streams too.

use std::collections::BTreeMap;

use super::keys::{BadSetting, Key, Numbers, Value};
use super::stream_keys::STREAM_KEYS;

/// What a stream that sets nothing of its own gets: by stream key name, where the server's configuration differs from
/// the key's default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamDefaults(BTreeMap<&'static str, String>);

impl StreamDefaults {
    /// Sets the default of `key`; the text has to be a value of it.
    pub fn set(&mut self, key: &'static Key, text: &str) -> Result<(), BadSetting> {
        key.judge(text, Numbers::Plain)?;
        self.0.insert(key.name, text.into());
        Ok(())
    }

    /// The default of a stream key here, if the server's configuration sets one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    CreateTime,
    LogAppendTime,
}

/// The codec batches are stored with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// As they arrive.
    Producer,
    Uncompressed,
    /// Each with how hard it tries; `None`: as the codec does by itself.
    Gzip {
        level: Option<i32>,
    },
    Snappy,
    Lz4 {
        level: Option<i32>,
    },
    Zstd {
        level: Option<i32>,
    },
}

/// What happens to a record larger than the other face can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oversize {
    Accept,
    Refuse,
}

/// Where a record goes whose writer gives a key and no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlacementRule {
    Murmur2,
    KeyRange,
}

#[derive(Clone, Debug, PartialEq)]
pub struct StreamSettings {
    /// Records of one key: only the newest is kept, and a record without a key is refused.
    pub compact: bool,
    /// Old segments are given up by time and size.
    pub delete: bool,
    pub compression: Compression,
    pub delete_retention_ms: i64,
    pub file_delete_delay_ms: i64,
    /// `None`: not set.
    pub flush_messages: Option<i64>,
    /// `None`: not set.
    pub flush_ms: Option<i64>,
    pub index_interval_bytes: u32,
    pub max_compaction_lag_ms: i64,
    /// The largest batch accepted, as it arrives and as it is kept.
    pub max_message_bytes: u32,
    /// What may come out of a compressed batch where it is opened.
    pub max_decompressed_message_bytes: usize,
    pub message_timestamp_after_max_ms: i64,
    pub message_timestamp_before_max_ms: i64,
    pub message_timestamp_type: TimestampType,
    pub min_cleanable_dirty_ratio: f64,
    pub min_compaction_lag_ms: i64,
    pub min_insync_replicas: u32,
    pub oversize: Oversize,
    /// `None`: as the face that created the stream does.
    pub placement: Option<PlacementRule>,
    /// `None`: a log may grow for ever.
    pub retention_bytes: Option<u64>,
    /// `None`: records are kept for ever.
    pub retention_ms: Option<i64>,
    pub segment_bytes: u32,
    pub segment_ms: i64,
}

impl Default for StreamSettings {
    fn default() -> StreamSettings {
        match StreamSettings::parse(&BTreeMap::new()) {
            Ok(settings) => settings,
            Err(bad) => unreachable!("every default is a value of its key (tested): {bad}"),
        }
    }
}

/// One key of a stream by its name.
pub fn key(name: &str) -> Option<&'static Key> {
    STREAM_KEYS.binary_search_by(|key| key.name.cmp(name)).ok().map(|at| &STREAM_KEYS[at])
}

/// Whether `text` is a value of the stream key `name`.
pub fn check(name: &str, text: &str) -> Result<(), BadSetting> {
    match key(name) {
        Some(key) => key.judge(text, Numbers::Plain).map(drop),
        None => Err(BadSetting::unknown(name, text, STREAM_KEYS.iter().map(|key| key.name))),
    }
}

impl StreamSettings {
    /// The settings of a stream whose owner set `set`, by key name. The first bad one, in order of names, is the error.
    pub fn parse(set: &BTreeMap<String, String>) -> Result<StreamSettings, BadSetting> {
        StreamSettings::parse_over(&StreamDefaults::default(), set)
    }

    /// Like [`parse`](StreamSettings::parse), with the server's own defaults for what is not set.
    pub fn parse_over(defaults: &StreamDefaults, set: &BTreeMap<String, String>) -> Result<StreamSettings, BadSetting> {
        for (name, text) in set {
            check(name, text)?;
        }
        let from = Texts { defaults, set };
        let cleanup = from.list("cleanup.policy");
        let settings = StreamSettings {
            compact: cleanup.iter().any(|p| p == "compact"),
            delete: cleanup.iter().any(|p| p == "delete"),
            compression: from.compression(),
            delete_retention_ms: from.whole("delete.retention.ms"),
            file_delete_delay_ms: from.whole("file.delete.delay.ms"),
            flush_messages: from.set("flush.messages").then(|| from.whole("flush.messages")),
            flush_ms: from.set("flush.ms").then(|| from.whole("flush.ms")),
            index_interval_bytes: from.bytes("index.interval.bytes"),
            max_compaction_lag_ms: from.whole("max.compaction.lag.ms"),
            max_message_bytes: from.bytes("max.message.bytes"),
            max_decompressed_message_bytes: from.bytes("max.decompressed.message.bytes") as usize,
            message_timestamp_after_max_ms: from.whole("message.timestamp.after.max.ms"),
            message_timestamp_before_max_ms: from.whole("message.timestamp.before.max.ms"),
            message_timestamp_type: match from.text("message.timestamp.type").as_str() {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            min_cleanable_dirty_ratio: from.ratio("min.cleanable.dirty.ratio"),
            min_compaction_lag_ms: from.whole("min.compaction.lag.ms"),
            min_insync_replicas: from.bytes("min.insync.replicas"),
            oversize: match from.text("interfluve.oversize").as_str() {
                "refuse" => Oversize::Refuse,
                _ => Oversize::Accept,
            },
            placement: match from.text("interfluve.placement").as_str() {
                "kafka" => Some(PlacementRule::Murmur2),
                "kinesis" => Some(PlacementRule::KeyRange),
                _ => None,
            },
            retention_bytes: u64::try_from(from.whole("retention.bytes")).ok(),
            retention_ms: Some(from.whole("retention.ms")).filter(|ms| *ms >= 0),
            segment_bytes: from.bytes("segment.bytes"),
            segment_ms: from.whole("segment.ms"),
        };
        settings.agree(set)?;
        Ok(settings)
    }

    /// What no single key can say.
    fn agree(&self, set: &BTreeMap<String, String>) -> Result<(), BadSetting> {
        let bad = |key: &str, why: String| Err(BadSetting::value(key, set.get(key).map_or("", |text| text), why));
        if self.min_compaction_lag_ms > self.max_compaction_lag_ms {
            let why = format!("it is more than max.compaction.lag.ms ({})", self.max_compaction_lag_ms);
            return bad("min.compaction.lag.ms", why);
        }
        if set.get("remote.storage.enable").is_some_and(|text| text.trim().eq_ignore_ascii_case("true")) {
            return bad("remote.storage.enable", "tiered storage is not available on this server".into());
        }
        Ok(())
    }

    /// The largest record that every face can show, key and value together: what AWS allows (1 MiB, up to 10 MiB per
    /// stream: UpdateMaxRecordSize), as far as the stream takes batches of that size.
    pub fn shown_limit_bytes(&self) -> usize {
        (self.max_message_bytes as usize).clamp(1 << 20, 10 << 20)
    }

    /// Whether a record of these lengths is refused at its producer, because a face could not show it.
    pub fn refuses_oversize(&self, key_bytes: Option<usize>, value_bytes: usize) -> bool {
        // The longest a key can become where it has to be text: base64 with a mark, or a hash.
        let key = key_bytes.map_or(5, |bytes| (5 + bytes.div_ceil(3) * 4).min(1024));
        self.oversize == Oversize::Refuse && key + value_bytes > self.shown_limit_bytes()
    }

    /// Whether records are durable before they are acknowledged: always, unless the stream says how late it may be.
    pub fn sync_before_ack(&self) -> bool {
        let always = |set: Option<i64>, least: i64| set.is_some_and(|value| value <= least);
        match (self.flush_messages, self.flush_ms) {
            (None, None) => true,
            (messages, ms) => always(messages, 1) || always(ms, 0),
        }
    }
}

/// The text of each key: the stream's, else the server's, else the key's default. All have been judged before.
struct Texts<'a> {
    defaults: &'a StreamDefaults,
    set: &'a BTreeMap<String, String>,
}

impl Texts<'_> {
    fn set(&self, name: &str) -> bool {
        self.set.contains_key(name) || self.defaults.get(name).is_some()
    }

    fn value(&self, name: &'static str) -> Value {
        let Some(key) = key(name) else { unreachable!("{name} is not declared (tested)") };
        let text = self.set.get(name).map(String::as_str).or(self.defaults.get(name)).unwrap_or(key.default);
        match key.judge(text, Numbers::Plain) {
            Ok(value) => value,
            Err(bad) => unreachable!("judged before: {bad}"),
        }
    }

    fn whole(&self, name: &'static str) -> i64 {
        match self.value(name) {
            Value::Whole(number) => number,
            other => unreachable!("{name} is declared as a whole number (tested), not {other:?}"),
        }
    }

    /// A number whose range lies within 32 bits.
    fn bytes(&self, name: &'static str) -> u32 {
        match u32::try_from(self.whole(name)) {
            Ok(number) => number,
            Err(_) => unreachable!("{name} is declared within 32 bits (tested)"),
        }
    }

    fn ratio(&self, name: &'static str) -> f64 {
        match self.value(name) {
            Value::Ratio(number) => number,
            other => unreachable!("{name} is declared as a ratio (tested), not {other:?}"),
        }
    }

    fn text(&self, name: &'static str) -> String {
        match self.value(name) {
            Value::Text(text) => text,
            other => unreachable!("{name} is declared as a text (tested), not {other:?}"),
        }
    }

    fn list(&self, name: &'static str) -> Vec<String> {
        match self.value(name) {
            Value::List(list) => list,
            other => unreachable!("{name} is declared as a list (tested), not {other:?}"),
        }
    }

    fn compression(&self) -> Compression {
        // The default of each key stands for what the codec does by itself: lz4's is its fast search, as in Kafka.
        let level = |name| {
            let level = self.whole(name);
            let default = key(name).is_some_and(|key| key.default == level.to_string());
            (!default).then_some(level as i32)
        };
        match self.text("compression.type").as_str() {
            "uncompressed" => Compression::Uncompressed,
            "gzip" => Compression::Gzip { level: level("compression.gzip.level") },
            "snappy" => Compression::Snappy,
            "lz4" => Compression::Lz4 { level: level("compression.lz4.level") },
            "zstd" => Compression::Zstd { level: level("compression.zstd.level") },
            _ => Compression::Producer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(set: &[(&str, &str)]) -> Result<StreamSettings, BadSetting> {
        StreamSettings::parse(&set.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect())
    }

    fn refused(set: &[(&str, &str)], key: &str, why: &str) {
        let bad = parse(set).expect_err("should be refused");
        assert_eq!(bad.key, key);
        assert!(bad.why.contains(why), "{bad}");
    }

    #[test]
    fn defaults_are_those_of_kafka() {
        let d = StreamSettings::default();
        assert_eq!((d.retention_ms, d.retention_bytes), (Some(604_800_000), None));
        assert_eq!((d.segment_bytes, d.segment_ms), (1 << 30, 604_800_000));
        assert_eq!((d.max_message_bytes, d.compact, d.delete), (1_048_588, false, true));
        assert_eq!((d.compression, d.message_timestamp_type), (Compression::Producer, TimestampType::CreateTime));
        assert_eq!((d.flush_messages, d.flush_ms, d.placement), (None, None, None));
        assert_eq!((d.message_timestamp_before_max_ms, d.message_timestamp_after_max_ms), (i64::MAX, 3_600_000));
    }

    #[test]
    fn what_is_set_is_typed() {
        let s = parse(&[
            ("cleanup.policy", "compact,delete"),
            ("compression.type", "zstd"),
            ("compression.zstd.level", "-5"),
            ("interfluve.placement", "kinesis"),
            ("retention.bytes", "1000"),
            ("retention.ms", "-1"),
        ])
        .expect("good settings");
        assert!(s.compact && s.delete);
        assert_eq!(s.compression, Compression::Zstd { level: Some(-5) });
        assert_eq!((s.placement, s.retention_bytes, s.retention_ms), (Some(PlacementRule::KeyRange), Some(1000), None));
    }

    #[test]
    fn an_empty_cleanup_policy_keeps_everything() {
        let s = parse(&[("cleanup.policy", "")]).expect("good settings");
        assert!(!s.compact && !s.delete);
    }

    #[test]
    fn bad_settings_are_refused_with_the_reason() {
        refused(&[("retention.ms", "-2")], "retention.ms", "at least -1");
        refused(&[("retention.ms", "1d")], "retention.ms", "whole number");
        refused(&[("segment.bytes", "1000")], "segment.bytes", "at least 1048576");
        refused(&[("segment.bytes", "2147483648")], "segment.bytes", "no more than");
        refused(&[("cleanup.policy", "remove")], "cleanup.policy", "one of");
        refused(&[("compression.gzip.level", "0")], "compression.gzip.level", "or -1");
        refused(&[("min.cleanable.dirty.ratio", "1.1")], "min.cleanable.dirty.ratio", "between");
        refused(
            &[("min.compaction.lag.ms", "2"), ("max.compaction.lag.ms", "1")],
            "min.compaction.lag.ms",
            "more than",
        );
        refused(&[("remote.storage.enable", "true")], "remote.storage.enable", "not available");
        refused(&[("no.such.key", "1")], "no.such.key", "no such key");
    }

    #[test]
    fn an_unknown_key_is_told_its_nearest_name() {
        let bad = parse(&[("retentoin.ms", "1")]).expect_err("should be refused");
        assert_eq!((bad.nearest, bad.known), (Some("retention.ms"), false));
    }

    #[test]
    fn syncing_comes_first_unless_the_stream_opts_out() {
        for (set, synced) in [
            (&[][..], true),
            (&[("flush.messages", "1")], true),
            (&[("flush.ms", "0")], true),
            (&[("flush.messages", "10000")], false),
            (&[("flush.ms", "1000")], false),
            (&[("flush.messages", "9223372036854775807")], false),
            (&[("flush.messages", "1"), ("flush.ms", "1000")], true),
        ] {
            assert_eq!(parse(set).expect("good settings").sync_before_ack(), synced, "{set:?}");
        }
    }

    #[test]
    fn a_record_no_face_could_show_is_refused_only_where_asked() {
        let big = 2 << 20;
        let refuse = ("interfluve.oversize", "refuse");
        for (set, bytes, refused) in [
            (&[][..], big, false),
            (&[refuse], big, true),
            (&[refuse], 1_048_588 - 5, false),
            (&[refuse], 1_048_588 - 4, true),
            (&[refuse, ("max.message.bytes", "4194304")], big, false),
            (&[refuse, ("max.message.bytes", "100000000")], 11 << 20, true),
        ] {
            assert_eq!(parse(set).expect("good settings").refuses_oversize(None, bytes), refused, "{set:?} {bytes}");
        }
    }

    #[test]
    fn the_server_gives_defaults_and_the_stream_has_the_last_word() {
        let mut defaults = StreamDefaults::default();
        defaults.set(key("retention.ms").expect("declared"), "5000").expect("a value");
        let set = |ms: &str| BTreeMap::from([("retention.ms".to_string(), ms.to_string())]);
        let parse = |set| StreamSettings::parse_over(&defaults, &set).expect("good settings").retention_ms;
        assert_eq!((parse(BTreeMap::new()), parse(set("7"))), (Some(5000), Some(7)));
    }
}
