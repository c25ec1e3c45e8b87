//! Every key of a stream, once. Names, types, defaults and ranges are Kafka's own where Kafka has the key (topic configs
//! of 4.4: `LogConfig`, `TopicConfig` and `ServerTopicConfigSynonyms`); what each does here is said in our words.
//! Keys that begin with `interfluve.` are ours.
//!
//! Declarations only: values are judged in [`super::keys`] and typed in [`super::stream`].

use super::keys::{Effect, Key, Kind, Scope, Section, Unit};

const MAX: i64 = i64::MAX;
const INT: i64 = i32::MAX as i64;

const fn key(name: &'static str, section: Section, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    let (scope, live, effect, server_key) = (Scope::Stream, true, Effect::Acts, None);
    Key { name, scope, section, kind, default, live, effect, server_key, doc }
}

impl Key {
    const fn server(mut self, name: &'static str) -> Key {
        self.server_key = Some(name);
        self
    }

    const fn shown(mut self, why: &'static str) -> Key {
        self.effect = Effect::Shown(why);
        self
    }
}

const fn whole(min: i64, max: i64, unit: Unit) -> Kind {
    Kind::Whole { min, max, unit }
}

const ONE_COPY: &str = "there is one copy of a log";
const NO_TIERS: &str = "there is one tier: the disk";

/// All keys of a stream, sorted by name.
pub const STREAM_KEYS: &[Key] = &[
    key(
        "cleanup.policy",
        Section::Retention,
        Kind::ListOf(&["compact", "delete"]),
        "delete",
        "What happens to old records. `delete` gives up whole segments by `retention.ms` and `retention.bytes`; \
         `compact` keeps the newest record of each key and refuses records without one; empty keeps everything.",
    )
    .server("log.cleanup.policy"),
    key(
        "compression.gzip.level",
        Section::Writing,
        Kind::WholeOr { only: -1, min: 1, max: 9 },
        "-1",
        "The level used when batches are compressed again as gzip; -1 is the codec's own default.",
    )
    .server("compression.gzip.level"),
    key(
        "compression.lz4.level",
        Section::Writing,
        whole(1, 17, Unit::Count),
        "9",
        "The level used when batches are compressed again as lz4; 9 is the fast search, as in Kafka, and every other level a \
         slower one that finds more.",
    )
    .server("compression.lz4.level"),
    key(
        "compression.type",
        Section::Writing,
        Kind::OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
        "producer",
        "The codec batches are stored with. `producer` stores what arrives, byte for byte, without opening it; anything \
         else opens and compresses again every batch that came in another codec.",
    )
    .server("compression.type"),
    key(
        "compression.zstd.level",
        Section::Writing,
        whole(-131_072, 22, Unit::Count),
        "3",
        "The level used when batches are compressed again as zstd.",
    )
    .server("compression.zstd.level"),
    key(
        "delete.retention.ms",
        Section::Compaction,
        whole(0, MAX, Unit::Ms),
        "86400000",
        "How long a compacted stream still shows that a key was deleted.",
    )
    .server("log.cleaner.delete.retention.ms"),
    key(
        "file.delete.delay.ms",
        Section::Retention,
        whole(0, MAX, Unit::Ms),
        "60000",
        "How long a file waits between being given up and being removed.",
    )
    .server("log.segment.delete.delay.ms")
    .shown("a segment is removed when no reader holds it any more"),
    key(
        "flush.messages",
        Section::Writing,
        whole(1, MAX, Unit::Count),
        "9223372036854775807",
        "Setting this to more than 1 opts the stream out of syncing before acknowledging: records are acknowledged when \
         written, and synced when a log has this many that are not, or flush.ms (a second, if that is not set) later. Unset \
         (the default shown means unset) or 1, every record is synced before it is acknowledged.",
    )
    .server("log.flush.interval.messages"),
    key(
        "flush.ms",
        Section::Writing,
        whole(0, MAX, Unit::Ms),
        "9223372036854775807",
        "Setting this to more than 0 opts the stream out of syncing before acknowledging: records are acknowledged when \
         written, and synced this much later at the latest, earlier if flush.messages says so. Unset (the default shown \
         means unset) or 0, every record is synced before it is acknowledged.",
    )
    .server("log.flush.interval.ms"),
    key(
        "follower.replication.throttled.replicas",
        Section::Replication,
        Kind::Replicas,
        "",
        "Replicas whose copying is slowed down on the follower's side.",
    )
    .shown(ONE_COPY),
    key(
        "index.interval.bytes",
        Section::Retention,
        whole(0, INT, Unit::Bytes),
        "4096",
        "How many bytes lie between two entries of a segment's offset index.",
    )
    .server("log.index.interval.bytes")
    .shown("the index has one entry for each write to the segment"),
    key(
        "interfluve.kinesis.mode",
        Section::Writing,
        Kind::OneOf(&["PROVISIONED", "ON_DEMAND"]),
        "PROVISIONED",
        "The capacity mode that Kinesis clients are told the stream has.",
    )
    .shown("shards take what the disk takes, whatever the mode"),
    key(
        "interfluve.oversize",
        Section::Writing,
        Kind::OneOf(&["accept", "refuse"]),
        "accept",
        "What happens to a record that is larger than the other face can show. `accept` stores it, and readers of that \
         face see it skipped and counted; `refuse` refuses it at the producer.",
    ),
    key(
        "interfluve.placement",
        Section::Writing,
        Kind::OneOf(&["birth", "kafka", "kinesis"]),
        "birth",
        "Where a record goes whose writer gives a key and no place. `kafka`: murmur2 of the key, modulo the number of \
         logs; `kinesis`: MD5 of the key into the shards' key ranges; `birth`: as the face that created the stream does.",
    ),
    key(
        "leader.replication.throttled.replicas",
        Section::Replication,
        Kind::Replicas,
        "",
        "Replicas whose copying is slowed down on the leader's side.",
    )
    .shown(ONE_COPY),
    key(
        "local.retention.bytes",
        Section::Remote,
        whole(-2, MAX, Unit::Bytes),
        "-2",
        "How many bytes of a log stay on the local disk when older ones are elsewhere; -2 means `retention.bytes`.",
    )
    .server("log.local.retention.bytes")
    .shown(NO_TIERS),
    key(
        "local.retention.ms",
        Section::Remote,
        whole(-2, MAX, Unit::Ms),
        "-2",
        "How long records stay on the local disk when older ones are elsewhere; -2 means `retention.ms`.",
    )
    .server("log.local.retention.ms")
    .shown(NO_TIERS),
    key(
        "max.compaction.lag.ms",
        Section::Compaction,
        whole(1, MAX, Unit::Ms),
        "9223372036854775807",
        "How long a record may at most stay out of reach of compaction.",
    )
    .server("log.cleaner.max.compaction.lag.ms"),
    key(
        "max.decompressed.message.bytes",
        Section::Writing,
        whole(1, INT, Unit::Bytes),
        "2147483639",
        "The most that may come out of a compressed batch where it is opened; `batch.open.limit.bytes` holds besides.",
    )
    .server("max.decompressed.message.bytes"),
    key(
        "max.message.bytes",
        Section::Writing,
        whole(0, INT, Unit::Bytes),
        "1048588",
        "The largest batch that is accepted, as it arrives, headers included.",
    )
    .server("message.max.bytes"),
    key(
        "message.timestamp.after.max.ms",
        Section::Writing,
        whole(0, MAX, Unit::Ms),
        "3600000",
        "How far a record's own time may be ahead of our clock; what is further ahead is refused.",
    )
    .server("log.message.timestamp.after.max.ms"),
    key(
        "message.timestamp.before.max.ms",
        Section::Writing,
        whole(0, MAX, Unit::Ms),
        "9223372036854775807",
        "How far a record's own time may lie behind our clock; what is older is refused.",
    )
    .server("log.message.timestamp.before.max.ms"),
    key(
        "message.timestamp.type",
        Section::Writing,
        Kind::OneOf(&["CreateTime", "LogAppendTime"]),
        "CreateTime",
        "Whose time a record bears: `CreateTime` the producer's, `LogAppendTime` ours at its arrival.",
    )
    .server("log.message.timestamp.type"),
    key(
        "min.cleanable.dirty.ratio",
        Section::Compaction,
        Kind::Ratio { min: 0.0, max: 1.0 },
        "0.5",
        "The part of a log that must be uncompacted before it is compacted again.",
    )
    .server("log.cleaner.min.cleanable.ratio"),
    key(
        "min.compaction.lag.ms",
        Section::Compaction,
        whole(0, MAX, Unit::Ms),
        "0",
        "How long a record is at least out of reach of compaction.",
    )
    .server("log.cleaner.min.compaction.lag.ms"),
    key(
        "min.insync.replicas",
        Section::Replication,
        whole(1, INT, Unit::Count),
        "1",
        "How many copies must hold a record before it is acknowledged to a producer that asks for all.",
    )
    .server("min.insync.replicas")
    .shown(ONE_COPY),
    key(
        "preallocate",
        Section::Writing,
        Kind::Bool,
        "false",
        "Whether the space of a segment is taken when it is begun.",
    )
    .server("log.preallocate")
    .shown("the journal is preallocated, segments grow by large appends"),
    key(
        "remote.copy.lag.bytes",
        Section::Remote,
        whole(-1, MAX, Unit::Bytes),
        "-1",
        "How many bytes a segment must be behind the end of its log before it is copied elsewhere.",
    )
    .shown(NO_TIERS),
    key(
        "remote.copy.lag.ms",
        Section::Remote,
        whole(-1, MAX, Unit::Ms),
        "0",
        "How old a segment must be before it is copied elsewhere.",
    )
    .shown(NO_TIERS),
    key(
        "remote.log.copy.disable",
        Section::Remote,
        Kind::Bool,
        "false",
        "Whether nothing more is copied elsewhere.",
    )
    .shown(NO_TIERS),
    key(
        "remote.log.delete.on.disable",
        Section::Remote,
        Kind::Bool,
        "false",
        "Whether what is elsewhere is deleted when copying is switched off.",
    )
    .shown(NO_TIERS),
    key(
        "remote.storage.enable",
        Section::Remote,
        Kind::Bool,
        "false",
        "Whether old segments move elsewhere. `true` is refused: there is one tier.",
    )
    .shown(NO_TIERS),
    key(
        "retention.bytes",
        Section::Retention,
        whole(i64::MIN, MAX, Unit::Bytes),
        "-1",
        "How large a log may grow before its oldest segments are given up. Negative: as large as it likes.",
    )
    .server("log.retention.bytes"),
    key(
        "retention.ms",
        Section::Retention,
        whole(-1, MAX, Unit::Ms),
        "604800000",
        "How long records are kept before their segment may be given up. -1 keeps them for ever.",
    )
    .server("log.retention.ms"),
    key(
        "segment.bytes",
        Section::Retention,
        whole(1 << 20, INT, Unit::Bytes),
        "1073741824",
        "How large a segment grows before the next one is begun. Records are given up by whole segments.",
    )
    .server("log.segment.bytes"),
    key(
        "segment.index.bytes",
        Section::Retention,
        whole(4, INT, Unit::Bytes),
        "10485760",
        "How large the index of a segment may grow.",
    )
    .server("log.index.size.max.bytes")
    .shown("an index is a cache, as large as its segment needs"),
    key(
        "segment.jitter.ms",
        Section::Retention,
        whole(0, MAX, Unit::Ms),
        "0",
        "By how much, at random, a segment is ended before `segment.ms`.",
    )
    .server("log.roll.jitter.ms")
    .shown("segments of one lane are ended one after the other anyway"),
    key(
        "segment.ms",
        Section::Retention,
        whole(1, MAX, Unit::Ms),
        "604800000",
        "How long a segment may be written to before the next one is begun, even if it is small.",
    )
    .server("log.roll.ms"),
    key(
        "unclean.leader.election.enable",
        Section::Replication,
        Kind::Bool,
        "false",
        "Whether a copy that lacks acknowledged records may take over.",
    )
    .server("unclean.leader.election.enable")
    .shown(ONE_COPY),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::Numbers;

    #[test]
    fn keys_are_sorted_and_named_once() {
        let unsorted: Vec<_> = STREAM_KEYS.windows(2).filter(|w| w[0].name >= w[1].name).map(|w| w[1].name).collect();
        assert!(unsorted.is_empty(), "{unsorted:?}");
    }

    #[test]
    fn every_default_is_a_value_of_its_key() {
        for key in STREAM_KEYS {
            assert!(key.judge(key.default, Numbers::Plain).is_ok(), "{}", key.name);
        }
    }
}
