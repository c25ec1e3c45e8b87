//! What the layers of configuration become, in tables of cases.

use super::*;

fn flag(name: &str, value: &str) -> Text {
    Text {
        written: format!("--{}", name.replace('.', "-")),
        name: name.into(),
        value: value.into(),
        origin: Origin::Flag,
    }
}

fn parse(flags: &[(&str, &str)]) -> Result<ServerSettings, Vec<Refusal>> {
    ServerSettings::parse(flags.iter().map(|(name, value)| flag(name, value)))
}

fn refused(flags: &[(&str, &str)], want: &str) {
    let refusals = parse(flags).expect_err("should be refused");
    let texts: Vec<_> = refusals.iter().map(Refusal::to_string).collect();
    assert!(texts.iter().any(|text| text.contains(want)), "{want:?} in {texts:?}");
}

#[test]
fn defaults_are_usable_as_they_are() {
    let s = parse(&[]).expect("defaults");
    assert_eq!(s.data_dir, DataDir::Directory("./interfluve-data".into()));
    let only = Listener {
        name: String::new(),
        bind: "127.0.0.1:9092".into(),
        protocol: Protocol::Plaintext,
        advertised: None,
    };
    assert_eq!((s.kafka_listeners, s.aws_listen.as_deref()), (vec![only], Some("127.0.0.1:4566")));
    assert_eq!((s.metrics_listen, s.stream_defaults), (None, StreamDefaults::default()));
}

#[test]
fn the_first_layer_that_says_something_wins() {
    let path = std::path::Path::new("i.toml");
    let mut texts = vec![flag("num.partitions", "1")];
    texts.extend(from_environment(
        [("INTERFLUVE_NUM_PARTITIONS", "2"), ("INTERFLUVE_NODE_ID", "20")]
            .into_iter()
            .map(|(name, value)| (name.to_string(), value.to_string())),
    ));
    texts.extend(from_toml(path, "num.partitions = 3\nnode.id = 30\nworker.threads = 3").expect("TOML"));
    let s = ServerSettings::parse(texts).expect("good settings");
    assert_eq!((s.num_logs, s.node_id, s.worker_threads), (1, 20, 3));
    assert_eq!(s.given["worker.threads"], ("3".to_string(), Origin::File(path.into())));
}

#[test]
fn a_text_that_loses_is_judged_all_the_same() {
    let texts = [flag("num.partitions", "1"), Text { origin: Origin::Environment, ..flag("num.partitions", "x") }];
    assert!(ServerSettings::parse(texts).is_err());
}

#[test]
fn tables_and_arrays_of_a_file_are_dotted_names_and_lists() {
    let text =
        "[kafka]\nlisteners = ['a://127.0.0.1:1', 'b://127.0.0.1:2']\n[log]\nformat = 'json'\nretention.hours = 2";
    let s = ServerSettings::parse(from_toml(std::path::Path::new("i.toml"), text).expect("TOML")).expect("good");
    assert_eq!((s.kafka_listeners.len(), s.log_format), (2, LogFormat::Json));
    assert_eq!(s.stream_defaults.get("retention.ms"), Some("7200000"));
}

#[test]
fn each_layer_names_its_place_and_the_nearest_right_name() {
    refused(
        &[("kafka.listener", "x:1")],
        "--kafka-listener: \"x:1\": there is no such key; did you mean --kafka-listeners?",
    );
    let variables = [("INTERFLUVE_NUM_PARTITION".to_string(), "1".to_string())];
    let texts = from_environment(variables.into_iter());
    let refusal = ServerSettings::parse(texts).expect_err("refused").remove(0).to_string();
    assert!(
        refusal.contains("INTERFLUVE_NUM_PARTITION=") && refusal.contains("INTERFLUVE_NUM_PARTITIONS"),
        "{refusal}"
    );
    let texts = from_toml(std::path::Path::new("dir/i.toml"), "log.formt = 'json'").expect("TOML");
    let refusal = ServerSettings::parse(texts).expect_err("refused").remove(0).to_string();
    assert!(refusal.contains("dir/i.toml: log.formt") && refusal.contains("did you mean log.format?"), "{refusal}");
    refused(&[("log.format", "jsn")], "expected one of human, json; did you mean json?");
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    assert_eq!(parse(&[("a", "1"), ("num.partitions", "0"), ("node.id", "-1")]).expect_err("refused").len(), 3);
}

#[test]
fn listeners_are_advertised_by_name() {
    let listeners = "internal://127.0.0.1:9092,external://0.0.0.0:9093";
    let s = parse(&[("kafka.listeners", listeners), ("kafka.advertised", "external://broker.example:19093")]);
    let listeners = s.expect("good settings").kafka_listeners;
    let advertised: Vec<_> = listeners.into_iter().map(|listener| listener.advertised).collect();
    assert_eq!(advertised, [None, Some(("broker.example".to_string(), 19093))]);
    let s = parse(&[("kafka.advertised", "broker.example:1")]).expect("good settings");
    assert_eq!(s.kafka_listeners[0].advertised, Some(("broker.example".to_string(), 1)));
}

#[test]
fn listeners_that_contradict_themselves_are_refused() {
    refused(&[("kafka.listeners", "127.0.0.1:1,127.0.0.1:2")], "need names");
    refused(&[("kafka.listeners", "a://127.0.0.1:1,a://127.0.0.1:2")], "two listeners are named a");
    refused(&[("kafka.listeners", "a://127.0.0.1:1"), ("kafka.advertised", "b://x:1")], "no listener has this name");
    refused(&[("kafka.advertised", "x:1,y:1")], "advertised twice");
}

#[test]
fn every_key_has_a_typed_field_or_a_default_of_streams() {
    // Reading all of them with their defaults proves that each name in `typed` is declared with the type it is read as.
    let s = parse(&[("log.retention.ms", "1d"), ("log.roll.hours", "2"), ("message.max.bytes", "2MiB")]).expect("good");
    assert_eq!(s.stream_defaults.get("retention.ms"), Some("86400000"));
    assert_eq!(s.stream_defaults.get("segment.ms"), Some("7200000"));
    assert_eq!(s.stream_defaults.get("max.message.bytes"), Some("2097152"));
}

#[test]
fn files_that_are_no_toml_say_where() {
    let error = from_toml(std::path::Path::new("i.toml"), "a = \n").expect_err("refused");
    assert!(error.contains("i.toml") && error.contains("line 1"), "{error}");
    assert!(from_toml(std::path::Path::new("i.toml"), "a = 2020-01-01").is_err());
}

/// `max.connections` is a number and cannot be a table too.
#[test]
fn names_in_quotes_are_whole_names() {
    let text = "max.connections = 1\n'max.connections.per.ip' = 2";
    let s = ServerSettings::parse(from_toml(std::path::Path::new("i.toml"), text).expect("TOML")).expect("good");
    assert_eq!((s.max_connections, s.max_connections_per_ip), (1, 2));
}

#[test]
fn listeners_ask_what_their_names_or_the_map_say() {
    let asks = |listeners, map| {
        let settings = parse(&[("kafka.listeners", listeners), ("listener.security.protocol.map", map)]);
        settings.expect("good").kafka_listeners.iter().map(|listener| listener.protocol.sasl()).collect::<Vec<_>>()
    };
    assert_eq!(asks("127.0.0.1:1", ""), [false]);
    assert_eq!(asks("PLAINTEXT://127.0.0.1:1,SASL_PLAINTEXT://127.0.0.1:2", ""), [false, true]);
    assert_eq!(asks("in://127.0.0.1:1,out://127.0.0.1:2", "OUT:SASL_PLAINTEXT"), [false, true]);
    for (listeners, map, why) in [
        ("in://127.0.0.1:1", "out:PLAINTEXT", "no listener has this name"),
        ("in://127.0.0.1:1", "in", "not NAME:PROTOCOL"),
        ("in://127.0.0.1:1", "in:KERBEROS", "PLAINTEXT, SASL_PLAINTEXT, SSL and SASL_SSL are served"),
        ("in://127.0.0.1:1", "in:SSL", "a listener with TLS needs ssl.certificate and ssl.key"),
        ("SASL_SSL://127.0.0.1:1", "", "a listener with TLS needs ssl.certificate and ssl.key"),
    ] {
        refused(&[("kafka.listeners", listeners), ("listener.security.protocol.map", map)], why);
    }
    refused(&[("ssl.client.auth", "required")], "ssl.client.ca, which is not set");
    let secure = [("kafka.listeners", "SASL_SSL://127.0.0.1:1"), ("ssl.certificate", "c"), ("ssl.key", "k")];
    let protocol = parse(&secure).expect("good").kafka_listeners[0].protocol;
    assert!(protocol.sasl() && protocol.tls());
    refused(&[("super.users", "alice")], "not User:name");
    assert_eq!(parse(&[("super.users", "User:a;User:b")]).expect("good").super_users, ["User:a", "User:b"]);
}

#[test]
fn tokens_of_oauth_need_keys_and_somebody_they_are_for_and_from() {
    let url = ("sasl.oauthbearer.jwks.endpoint.url", "https://issuer/keys");
    let on = ("sasl.enabled.mechanisms", "PLAIN,OAUTHBEARER");
    let (audience, issuer) =
        (("sasl.oauthbearer.expected.audience", "a, b"), ("sasl.oauthbearer.expected.issuer", "me"));
    let (any_audience, any_issuer) =
        (("sasl.oauthbearer.allow.unverified.audience", "true"), ("sasl.oauthbearer.allow.unverified.issuer", "true"));
    assert!(parse(&[url]).expect("good").oauth.is_none());
    let oauth = parse(&[on, url, audience, issuer]).expect("good").oauth.expect("asked for");
    assert_eq!((oauth.audience, oauth.skew_ms, oauth.refresh_ms), (vec!["a".into(), "b".into()], 30_000, 3_600_000));
    assert!(parse(&[on, url, any_audience, any_issuer]).is_ok());
    refused(&[on, audience, issuer], "OAUTHBEARER needs the keys that sign tokens");
    refused(&[on, ("sasl.oauthbearer.jwks.endpoint.url", "ftp://x"), audience, issuer], "OAUTHBEARER needs the keys");
    refused(&[on, url, issuer], "unless sasl.oauthbearer.allow.unverified.audience is true");
    refused(&[on, url, audience, any_audience], "unless sasl.oauthbearer.allow.unverified.issuer is true");
}

#[test]
fn a_secret_is_shown_nowhere() {
    let settings = parse(&[("delegation.token.secret.key", "abcxyz")]).expect("good");
    assert_eq!(settings.tokens.secret.as_deref(), Some("abcxyz"));
    assert!(!format!("{settings:?}").contains("abcxyz"));
    assert_eq!(parse(&[]).expect("good").tokens.secret, None);
}
