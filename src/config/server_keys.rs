//! Every key of the server, once. Where Kafka's broker has a key of the same meaning it bears Kafka's name and type, and
//! where nothing speaks against it Kafka's default (broker configs of 4.4); the rest is ours. A stream's key that names
//! a server key gives that one too.
//!
//! Declarations only: texts are gathered by `cli` and typed by [`super::server`].

mod security;

use std::sync::LazyLock;

use super::keys::{Effect, Key, Kind, Scope, Section, Unit};
use super::stream_keys::STREAM_KEYS;

const MAX: i64 = i64::MAX;
const INT: i64 = i32::MAX as i64;
const MIB: i64 = 1 << 20;

const fn key(name: &'static str, section: Section, kind: Kind, default: &'static str, doc: &'static str) -> Key {
    let (scope, live, effect, server_key) = (Scope::Server, false, Effect::Acts, None);
    Key { name, scope, section, kind, default, live, effect, server_key, doc }
}

const fn shown(mut key: Key, why: &'static str) -> Key {
    key.effect = Effect::Shown(why);
    key
}

const fn whole(min: i64, max: i64, unit: Unit) -> Kind {
    Kind::Whole { min, max, unit }
}

/// The keys that are the server's alone, by section.
const OWN: &[Key] = &[
    // ── place
    key(
        "data.dir",
        Section::Place,
        Kind::Directory,
        "./interfluve-data",
        "Directory of everything that is kept. `memory:` keeps nothing: for tests.",
    ),
    // ── listening
    key(
        "kafka.listeners",
        Section::Listening,
        Kind::Listeners,
        "127.0.0.1:9092",
        "Addresses for Kafka clients: [name://]host:port, comma-separated. Port 0 lets the system choose. Empty: none.",
    ),
    key(
        "kafka.advertised",
        Section::Listening,
        Kind::Listeners,
        "",
        "Addresses clients are told to connect to, by listener name. Needed behind NAT and in containers; a listener that \
         is not named here is advertised as it listens.",
    ),
    key(
        "aws.listen",
        Section::Listening,
        Kind::Address,
        "127.0.0.1:4566",
        "Address for AWS SDKs (HTTP/1.1 and HTTP/2 without TLS). Empty: none.",
    ),
    key(
        "metrics.listen",
        Section::Listening,
        Kind::Address,
        "",
        "Address of its own for /metrics, /healthz and /readyz. Empty: they are served on the AWS address.",
    ),
    key(
        "node.id",
        Section::Listening,
        whole(0, INT, Unit::Count),
        "1",
        "The number Kafka clients know this server by.",
    ),
    // ── new streams
    key(
        "auto.create.topics.enable",
        Section::Streams,
        Kind::Bool,
        "true",
        "Whether a stream is created when a Kafka client asks for one that does not exist.",
    ),
    key(
        "num.partitions",
        Section::Streams,
        whole(1, INT, Unit::Count),
        "1",
        "Logs of a new stream whose creator does not say how many.",
    ),
    shown(
        key(
            "default.replication.factor",
            Section::Streams,
            whole(1, 32_767, Unit::Count),
            "1",
            "Copies of a new stream whose creator does not say how many.",
        ),
        "there is one copy of a log",
    ),
    key(
        "kinesis.creating.ms",
        Section::Streams,
        whole(0, 600_000, Unit::Ms),
        "0",
        "How long a stream created by an AWS SDK says CREATING before it is ACTIVE.",
    ),
    key(
        "kinesis.limits",
        Section::Limits,
        Kind::OneOf(&["off", "warn", "enforce"]),
        "off",
        "AWS's limits of each shard (1,000 records and 1 MiB written, 5 reads and 2 MiB read each second). `off`: none; \
         `warn`: what AWS would refuse is counted; `enforce`: it is refused as AWS does.",
    ),
    key(
        "kinesis.answers.limit.bytes",
        Section::Limits,
        whole(16 * MIB, 4095 * MIB, Unit::Bytes),
        "67108864",
        "Memory for answers to GetRecords that are not taken yet. Beyond it calls are refused as too fast.",
    ),
    key(
        "kinesis.reads.limit",
        Section::Limits,
        whole(1, 10_000, Unit::Count),
        "16",
        "GetRecords calls that may hold opened batches at one time; the next one waits for its turn.",
    ),
    key(
        "kinesis.open.limit.bytes",
        Section::Limits,
        whole(MIB, INT, Unit::Bytes),
        "67108864",
        "Most bytes that come out of one compressed batch for GetRecords; one that holds more is skipped and counted.",
    ),
    key(
        "kinesis.open.limit.ratio",
        Section::Limits,
        whole(1, INT, Unit::Count),
        "100000",
        "The same for each byte that went in, beyond the first MiB.",
    ),
    // ── groups and producers
    key(
        "group.initial.rebalance.delay.ms",
        Section::Groups,
        whole(0, INT, Unit::Ms),
        "3000",
        "How long an empty group waits for more members after its first one.",
    ),
    key(
        "group.min.session.timeout.ms",
        Section::Groups,
        whole(1, INT, Unit::Ms),
        "6000",
        "Shortest session timeout a group member may ask for.",
    ),
    key(
        "group.max.session.timeout.ms",
        Section::Groups,
        whole(1, INT, Unit::Ms),
        "1800000",
        "Longest session timeout a group member may ask for.",
    ),
    key("group.max.size", Section::Groups, whole(1, INT, Unit::Count), "2147483647", "Most members of one group."),
    key(
        "group.consumer.session.timeout.ms",
        Section::Groups,
        whole(1, INT, Unit::Ms),
        "45000",
        "How long a member of the consumer protocol (KIP-848) may be silent.",
    ),
    key(
        "group.consumer.min.session.timeout.ms",
        Section::Groups,
        whole(1, INT, Unit::Ms),
        "45000",
        "Shortest `group.consumer.session.timeout.ms`.",
    ),
    key(
        "group.consumer.max.session.timeout.ms",
        Section::Groups,
        whole(1, INT, Unit::Ms),
        "60000",
        "Longest `group.consumer.session.timeout.ms`.",
    ),
    key(
        "group.consumer.heartbeat.interval.ms",
        Section::Groups,
        whole(1, INT, Unit::Ms),
        "5000",
        "How often members of the consumer protocol are told to send heartbeats.",
    ),
    key(
        "group.consumer.min.heartbeat.interval.ms",
        Section::Groups,
        whole(1, INT, Unit::Ms),
        "5000",
        "Shortest `group.consumer.heartbeat.interval.ms`.",
    ),
    key(
        "group.consumer.max.heartbeat.interval.ms",
        Section::Groups,
        whole(1, INT, Unit::Ms),
        "15000",
        "Longest `group.consumer.heartbeat.interval.ms`.",
    ),
    key(
        "group.consumer.max.size",
        Section::Groups,
        whole(1, INT, Unit::Count),
        "2147483647",
        "Most members of one group of the consumer protocol.",
    ),
    key(
        "group.consumer.assignors",
        Section::Groups,
        Kind::ListOf(&["uniform", "range"]),
        "uniform,range",
        "The assignors that members of the consumer protocol may ask for; the first is the default.",
    ),
    key(
        "group.consumer.migration.policy",
        Section::Groups,
        Kind::OneOf(&["disabled", "upgrade", "downgrade", "bidirectional"]),
        "bidirectional",
        "Whether groups with members may change their protocol. `upgrade` is from the classic to the consumer protocol, \
         `downgrade` is back.",
    ),
    key(
        "group.consumer.assignment.interval.ms",
        Section::Groups,
        whole(0, INT, Unit::Ms),
        "1000",
        "Shortest time between two assignments of one group of the consumer protocol. Where nobody sets it, nothing \
         waits: what changes while an assignment is made is the next one's.",
    ),
    key(
        "group.consumer.min.assignment.interval.ms",
        Section::Groups,
        whole(0, INT, Unit::Ms),
        "0",
        "Shortest `consumer.assignment.interval.ms` of a group.",
    ),
    key(
        "group.consumer.max.assignment.interval.ms",
        Section::Groups,
        whole(0, INT, Unit::Ms),
        "15000",
        "Longest `consumer.assignment.interval.ms` of a group.",
    ),
    key(
        "group.consumer.assignor.offload.enable",
        Section::Groups,
        Kind::Bool,
        "true",
        "Whether large assignments are made beside the coordinator; small ones are always made at once.",
    ),
    shown(
        key(
            "group.consumer.regex.refresh.interval.ms",
            Section::Groups,
            whole(10_000, INT, Unit::Ms),
            "600000",
            "How often subscriptions by expression are compared with the streams there are.",
        ),
        "they are compared whenever there are other streams",
    ),
    key(
        "group.limit.bytes",
        Section::Groups,
        whole(1024, 16 * MIB, Unit::Bytes),
        "8388608",
        "Most that the members of one group may say about themselves, together; who is too much is refused.",
    ),
    key(
        "group.new.member.join.timeout.ms",
        Section::Groups,
        whole(1, INT, Unit::Ms),
        "300000",
        "How long a member that has not been in a group yet may wait for it to form without being heard of.",
    ),
    key(
        "offsets.retention.minutes",
        Section::Groups,
        whole(1, INT, Unit::Minutes),
        "10080",
        "How long the offsets of a group without members are kept.",
    ),
    key(
        "offsets.retention.check.interval.ms",
        Section::Groups,
        whole(1, MAX, Unit::Ms),
        "600000",
        "How often expired offsets are looked for.",
    ),
    key(
        "offset.metadata.max.bytes",
        Section::Groups,
        whole(0, INT, Unit::Bytes),
        "4096",
        "Longest text a member may commit with an offset.",
    ),
    key(
        "producer.id.expiration.ms",
        Section::Groups,
        whole(1, INT, Unit::Ms),
        "86400000",
        "How long a log remembers an idempotent producer that is silent.",
    ),
    key(
        "transaction.max.timeout.ms",
        Section::Groups,
        whole(1, INT, Unit::Ms),
        "900000",
        "Longest timeout a transaction may ask for.",
    ),
    key(
        "transactional.id.expiration.ms",
        Section::Groups,
        whole(1, INT, Unit::Ms),
        "604800000",
        "How long a transactional id is remembered that nobody uses.",
    ),
    key(
        "transaction.abort.timed.out.transaction.cleanup.interval.ms",
        Section::Groups,
        whole(1, INT, Unit::Ms),
        "10000",
        "How often transactions that took too long are looked for.",
    ),
    key(
        "transaction.remove.expired.transaction.cleanup.interval.ms",
        Section::Groups,
        whole(1, INT, Unit::Ms),
        "3600000",
        "How often transactional ids that nobody uses are looked for.",
    ),
    key(
        "producers.limit",
        Section::Groups,
        whole(1000, INT, Unit::Count),
        "100000",
        "Most idempotent producers remembered, counted once per log they wrote to; beyond it the longest silent go.",
    ),
    // ── limits
    key(
        "socket.request.max.bytes",
        Section::Limits,
        whole(1, INT, Unit::Bytes),
        "104857600",
        "Largest request of a Kafka client.",
    ),
    key(
        "batch.open.limit.bytes",
        Section::Limits,
        whole(MIB, INT, Unit::Bytes),
        "67108864",
        "Most bytes that come out of one compressed batch where it has to be opened.",
    ),
    key(
        "batch.open.limit.ratio",
        Section::Limits,
        whole(1, INT, Unit::Count),
        "16384",
        "Most bytes that come out of a compressed batch for each one that went in, beyond the first MiB.",
    ),
    key(
        "aws.request.max.bytes",
        Section::Limits,
        whole(1024, INT, Unit::Bytes),
        "16777216",
        "Largest body of an HTTP request.",
    ),
    key(
        "max.connections",
        Section::Limits,
        whole(1, INT, Unit::Count),
        "10000",
        "Most connections at one time on each face; more are closed at once.",
    ),
    key(
        "max.connections.per.ip",
        Section::Limits,
        whole(0, INT, Unit::Count),
        "2147483647",
        "Most connections of Kafka clients at one time from one address.",
    ),
    key(
        "connections.max.idle.ms",
        Section::Limits,
        whole(1, MAX, Unit::Ms),
        "600000",
        "A connection that is silent this long is closed.",
    ),
    key(
        "fetch.max.bytes",
        Section::Limits,
        whole(1024, INT, Unit::Bytes),
        "57671680",
        "Most bytes of one answer to a Kafka client that fetches.",
    ),
    key(
        "max.incremental.fetch.session.cache.slots",
        Section::Limits,
        whole(0, INT, Unit::Count),
        "1000",
        "Most fetch sessions that are remembered at one time.",
    ),
    key(
        "ingress.limit.bytes",
        Section::Limits,
        whole(4 * MIB, INT, Unit::Bytes),
        "33554432",
        "Memory for requests that have arrived and are not answered; readers of sockets wait for it.",
    ),
    key(
        "ingress.small.limit.bytes",
        Section::Limits,
        whole(MIB, INT, Unit::Bytes),
        "16777216",
        "The same for requests of at most 64 KiB, so that large ones never keep a heartbeat waiting.",
    ),
    key(
        "tail.limit.bytes",
        Section::Limits,
        whole(MIB, MAX, Unit::Bytes),
        "50331648",
        "Memory for the newest records of all logs together; older ones are read from disk.",
    ),
    // ── storage
    key(
        "journal.file.bytes",
        Section::Storage,
        whole(4 * MIB, 4096 * MIB, Unit::Bytes),
        "33554432",
        "Size of one journal file; they are preallocated and used again.",
    ),
    key(
        "journal.limit.bytes",
        Section::Storage,
        whole(8 * MIB, MAX, Unit::Bytes),
        "167772160",
        "Size of the whole journal; the logs that wait longest are settled into segments to keep it.",
    ),
    key(
        "settle.bytes",
        Section::Storage,
        whole(MIB / 16, MAX, Unit::Bytes),
        "4194304",
        "A log is settled into its segment when this much of it waits; smaller means more syncs.",
    ),
    key(
        "pack.bytes",
        Section::Storage,
        whole(0, 16 * MIB, Unit::Bytes),
        "65536",
        "A log with less than this to settle is packed with others, until it has more.",
    ),
    key(
        "pack.logs",
        Section::Storage,
        whole(1, INT, Unit::Count),
        "512",
        "As many logs with that little are packed; fewer are settled into segments at once.",
    ),
    key(
        "unsettled.limit.bytes",
        Section::Storage,
        whole(4 * MIB, MAX, Unit::Bytes),
        "50331648",
        "Most bytes in the journal that are not yet in segments; bounds the time of a restart.",
    ),
    key(
        "disk.reserve.bytes",
        Section::Storage,
        whole(0, MAX, Unit::Bytes),
        "67108864",
        "Writes are refused while the disk has less room than this, and accepted again at twice as much.",
    ),
    key(
        "disk.direct.io",
        Section::Storage,
        Kind::Bool,
        "true",
        "Whether bulk writes, and the first reader of old records, go past the system's page cache.",
    ),
    key(
        "fetch.disk.limit.bytes",
        Section::Storage,
        whole(MIB, INT, Unit::Bytes),
        "8388608",
        "Most bytes that one fetch reads from segments, beyond its first batch; the reader asks again for the rest.",
    ),
    key(
        "open.files.limit",
        Section::Storage,
        whole(16, INT, Unit::Count),
        "512",
        "Most segment files that are open at one time.",
    ),
    key(
        "log.retention.check.interval.ms",
        Section::Storage,
        whole(1, MAX, Unit::Ms),
        "300000",
        "How often records that may be given up are looked for; first half a minute after the start.",
    ),
    key("log.cleaner.enable", Section::Storage, Kind::Bool, "true", "Whether compacted streams are compacted."),
    key(
        "log.cleaner.backoff.ms",
        Section::Storage,
        whole(1, MAX, Unit::Ms),
        "15000",
        "How long compaction pauses when no log is dirty enough.",
    ),
    key(
        "log.cleaner.dedupe.buffer.size",
        Section::Storage,
        whole(MIB, MAX, Unit::Bytes),
        "134217728",
        "Memory for keys while a log is compacted, 24 bytes each; a log that has more takes rounds.",
    ),
    key(
        "log.cleaner.io.max.bytes.per.second",
        Section::Storage,
        whole(1, MAX, Unit::Bytes),
        "9223372036854775807",
        "Bytes that compaction reads and writes in a second at most.",
    ),
    // ── running
    key(
        "worker.threads",
        Section::Running,
        whole(0, 1024, Unit::Count),
        "0",
        "Threads for sockets, HTTP and timers. 0: one per processor, at most 8.",
    ),
    key(
        "shutdown.grace.ms",
        Section::Running,
        whole(0, 3_600_000, Unit::Ms),
        "10000",
        "How long requests that are under way may take to finish after a signal to stop.",
    ),
    key(
        "log.format",
        Section::Running,
        Kind::OneOf(&["human", "json"]),
        "human",
        "Form of the lines the server writes about itself.",
    ),
    key(
        "log.level",
        Section::Running,
        Kind::Text,
        "info",
        "Least important line written: error, warn, info, debug or trace. Or by part of the server: \
         `info,interfluve::kafka=debug`.",
    ),
    // ── defaults of streams, in Kafka's coarser units
    key(
        "log.retention.minutes",
        Section::StreamDefaults,
        whole(-1, INT, Unit::Minutes),
        "",
        "Like log.retention.ms, in minutes; used if that is not set.",
    ),
    key(
        "log.retention.hours",
        Section::StreamDefaults,
        whole(-1, INT, Unit::Hours),
        "",
        "Like log.retention.ms, in hours; used if neither that nor log.retention.minutes is set.",
    ),
    key(
        "log.roll.hours",
        Section::StreamDefaults,
        whole(1, INT, Unit::Hours),
        "",
        "Like log.roll.ms, in hours; used if that is not set.",
    ),
];

static ALL: LazyLock<Vec<Key>> = LazyLock::new(|| {
    let own: Vec<Key> = OWN.iter().chain(security::KEYS).copied().collect();
    let mut all = own.clone();
    for stream in STREAM_KEYS {
        if let Some(name) = stream.server_key {
            let section = Section::StreamDefaults;
            all.push(Key { name, section, scope: Scope::Server, live: false, server_key: None, ..*stream });
        }
    }
    all.sort_by_key(|key| (key.section, own.iter().position(|own| own.name == key.name), key.name));
    all
});

/// Every key of the server, in the order of `--help`.
pub fn all() -> &'static [Key] {
    &ALL
}

/// One key of the server by its name.
pub fn named(name: &str) -> Option<&'static Key> {
    all().iter().find(|key| key.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::Numbers;
    use std::collections::BTreeSet;

    #[test]
    fn names_flags_and_variables_are_distinct() {
        let count = all().len();
        let distinct = |of: fn(&Key) -> String| all().iter().map(of).collect::<BTreeSet<_>>().len();
        assert_eq!((distinct(|k| k.name.into()), distinct(Key::flag), distinct(Key::env)), (count, count, count));
    }

    #[test]
    fn every_default_is_a_value_of_its_key() {
        for key in all().iter().filter(|key| !key.default.is_empty()) {
            assert!(key.judge(key.default, Numbers::Units).is_ok(), "{}", key.name);
        }
    }

    #[test]
    fn briefs_fit_a_line() {
        for key in all().iter().filter(|key| key.section != Section::StreamDefaults) {
            assert!(key.brief().len() <= 110, "{}: {}", key.name, key.brief());
        }
    }
}
