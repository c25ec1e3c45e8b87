//! The pages are whole, and values are judged as Kafka judges them.

use super::*;

fn set(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn every_setting_of_kafkas_broker_is_listed_once() {
    let all = foreign();
    assert!(all.windows(2).all(|pair| pair[0].name < pair[1].name));
    let ours = server_keys::all().iter().filter(|key| !all.iter().any(|f| f.name == key.name)).count();
    // 342 of Kafka 4.4 that are not internal, and three that throttle replicas; what it has and we have not is here.
    assert!(all.len() + ours >= 345, "{} and {ours}", all.len());
    for foreign in all {
        assert!(foreign.doc.ends_with('.') && !foreign.why.is_empty() && !foreign.why.ends_with('.'), "{foreign:?}");
    }
}

#[test]
fn keys_are_sorted_and_their_defaults_are_values() {
    for keys in [GROUP, INNER, CLIENT_METRICS] {
        assert!(keys.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert!(keys.iter().all(|key| key.judge(key.default, Numbers::Plain).is_ok()));
    }
    assert_eq!(check_group(&set(&[]), &set(&[])), Ok(()));
}

#[test]
fn groups_stay_within_what_the_broker_allows() {
    for (pairs, want) in [
        (vec![("consumer.session.timeout.ms", "50000")], None),
        (
            vec![("consumer.session.timeout.ms", "1000")],
            Some("consumer.session.timeout.ms must be in the range 45000 to 60000 inclusive."),
        ),
        (
            vec![("consumer.session.timeout.ms", "0")],
            Some("Invalid value 0 for configuration consumer.session.timeout.ms: Value must be at least 1"),
        ),
        (
            vec![("consumer.session.timeout.ms", "x")],
            Some("Invalid value x for configuration consumer.session.timeout.ms: Not a number of type INT"),
        ),
        (
            vec![("share.heartbeat.interval.ms", "20000")],
            Some("share.heartbeat.interval.ms must be in the range 5000 to 15000 inclusive."),
        ),
        (
            vec![("streams.num.standby.replicas", "9")],
            Some("streams.num.standby.replicas must be less than or equal to 2"),
        ),
        (vec![("consumer.assignor.offload.enable", "false")], None),
        (
            vec![("errors.deadletterqueue.topic.name", "__x")],
            Some("errors.deadletterqueue.topic.name: DLQ topic name must not start with '__'"),
        ),
        (vec![("consumer.session.timeout", "1")], Some("Unknown group config name: consumer.session.timeout")),
        (
            vec![("share.isolation.level", "none")],
            Some(
                "Invalid value none for configuration share.isolation.level: String must be one of: read_committed, \
                 read_uncommitted",
            ),
        ),
    ] {
        let got = check_group(&set(&pairs), &set(&[])).err();
        assert_eq!(got, want.map(|why| Refusal::new(Code::InvalidConfig, why)), "{pairs:?}");
    }
    // What the broker was started with counts.
    let given =
        set(&[("group.consumer.min.heartbeat.interval.ms", "10"), ("group.consumer.min.session.timeout.ms", "5000")]);
    for (pairs, want) in [
        (vec![("consumer.session.timeout.ms", "6000"), ("consumer.heartbeat.interval.ms", "10")], None),
        (
            vec![("consumer.session.timeout.ms", "5000")],
            Some("consumer.session.timeout.ms must be greater than consumer.heartbeat.interval.ms"),
        ),
    ] {
        let got = check_group(&set(&pairs), &given).err();
        assert_eq!(got, want.map(|why| Refusal::new(Code::InvalidConfig, why)), "{pairs:?}");
    }
}

#[test]
fn client_metrics_are_judged_as_in_kafka() {
    for (name, value, code) in [
        ("interval.ms", "1000", None),
        ("interval.ms", "99", Some(Code::InvalidRequest)),
        ("interval.ms", "often", Some(Code::InvalidRequest)),
        ("match", "client_id=a.*, client_source_port=1", None),
        ("match", "shoe=1", Some(Code::InvalidConfig)),
        ("metrics", "org.apache.", None),
        ("size", "1", Some(Code::InvalidRequest)),
    ] {
        let got = check_client_metrics(&set(&[(name, value)])).err().map(|refusal| refusal.code);
        assert_eq!(got, code, "{name} {value}");
    }
}

#[test]
fn a_running_broker_takes_what_kafkas_takes() {
    for (name, value, fine) in [
        ("max.connections", "5", true),
        ("max.connections", "many", false),
        ("log.cleaner.threads", "2", true),
        ("log.cleaner.threads", "two", false),
        ("broker.rack", "a", false),
        ("node.id", "7", false),
        ("ssl.key.password", "secret", false),
        ("no.such.thing", "1", false),
        ("log.retention.ms", "1000", true),
        ("log.retention.hours", "1", false),
        ("message.max.bytes", "2000000", true),
        ("compression.type", "brotli", false),
        ("num.partitions", "3", false),
        ("producer.id.expiration.ms", "1000", true),
        ("group.consumer.assignment.interval.ms", "20", true),
        ("group.consumer.session.timeout.ms", "50000", false),
        ("transaction.max.timeout.ms", "1000", false),
    ] {
        assert_eq!(check_broker(&set(&[(name, value)])).is_ok(), fine, "{name} {value}");
    }
}
