//! Settings of brokers, groups and client metrics: listed whole, kept, and honoured where they mean something.

use interfluve::kafka::overrides::Thing;
use interfluve::kafka::overrides::door::Door;
use kafka_protocol::messages::alter_configs_request::{
    AlterConfigsResource as LegacyResource, AlterableConfig as LegacyConfig,
};
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResult;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{
    AlterConfigsRequest, ApiVersionsRequest, DescribeConfigsRequest, IncrementalAlterConfigsRequest,
    ListConfigResourcesRequest,
};

use crate::harness::*;

pub const TOPIC: i8 = 2;
pub const BROKER: i8 = 4;
const CLIENT_METRICS: i8 = 16;
pub const GROUP: i8 = 32;
pub const SET: i8 = 0;
pub const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

pub async fn describe(client: &mut Client, kind: i8, name: &str) -> DescribeConfigsResult {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default()
        .with_resources(vec![resource])
        .with_include_synonyms(true)
        .with_include_documentation(true);
    client.ask(4, request).await.results.remove(0)
}

/// Value and source of a setting.
fn found(result: &DescribeConfigsResult, name: &str) -> (Option<String>, i8) {
    let config = result.configs.iter().find(|config| config.name.as_str() == name).expect("described");
    (config.value.as_ref().map(|value| value.to_string()), config.config_source)
}

pub async fn alter(client: &mut Client, kind: i8, name: &str, change: (i8, &str, Option<&str>)) -> (i16, String) {
    let (operation, key, value) = change;
    let config =
        AlterableConfig::default().with_name(text(key)).with_config_operation(operation).with_value(value.map(text));
    let resource = AlterConfigsResource::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_configs(vec![config]);
    let answer = client.ask(1, IncrementalAlterConfigsRequest::default().with_resources(vec![resource])).await;
    let response = &answer.responses[0];
    (response.error_code, response.error_message.as_ref().map(|message| message.to_string()).unwrap_or_default())
}

/// Pitfall 27: every key with its source, synonyms, type and doc; brokers, groups and client metrics too.
#[tokio::test]
async fn every_setting_of_kafka_is_described_with_a_type_and_a_doc() {
    let server = server().await;
    let mut client = server.client().await;
    for (kind, name, at_least) in [(BROKER, "1", 345), (GROUP, "g", 21), (CLIENT_METRICS, "m", 3)] {
        let result = describe(&mut client, kind, name).await;
        assert!(result.configs.len() >= at_least, "{kind}: {}", result.configs.len());
        for config in &result.configs {
            assert!(config.config_type > 0, "{config:?}");
            assert!(config.documentation.as_ref().is_some_and(|doc| !doc.is_empty()), "{config:?}");
            assert!(!config.synonyms.is_empty(), "{config:?}");
            assert!(!config.is_sensitive || config.value.is_none(), "{config:?}");
        }
    }
    let broker = describe(&mut client, BROKER, "1").await;
    for (name, value) in [
        ("log.dirs", Some("memory:")),
        ("offsets.topic.replication.factor", Some("1")),
        ("default.replication.factor", Some("1")),
        ("controlled.shutdown.enable", Some("true")),
        ("ssl.keystore.password", None),
        ("broker.rack", None),
    ] {
        assert_eq!(found(&broker, name), (value.map(str::to_owned), 5), "{name}");
    }
}

#[tokio::test]
async fn groups_and_client_metrics_keep_what_is_set() {
    let server = server().await;
    let mut client = server.client().await;
    let (session, metrics) = ("consumer.session.timeout.ms", "metrics");
    for (kind, name, change, code, want) in [
        (GROUP, "g", (SET, session, Some("50000")), 0, (Some("50000"), 8)),
        (GROUP, "g", (SET, session, Some("1")), 40, (Some("50000"), 8)),
        (GROUP, "g", (SET, session, None), 42, (Some("50000"), 8)),
        (GROUP, "g", (SET, "session", Some("50000")), 40, (Some("50000"), 8)),
        (GROUP, "g", (DELETE, session, None), 0, (Some("45000"), 5)),
        (GROUP, "", (SET, session, Some("50000")), 42, (None, 0)),
        (CLIENT_METRICS, "m", (SET, metrics, Some("a.,b.")), 0, (Some("a.,b."), 7)),
        (CLIENT_METRICS, "m", (APPEND, metrics, Some("c.")), 0, (Some("a.,b.,c."), 7)),
        (CLIENT_METRICS, "m", (SUBTRACT, metrics, Some("a.")), 0, (Some("b.,c."), 7)),
        (CLIENT_METRICS, "m", (SET, "interval.ms", Some("1")), 42, (Some("b.,c."), 7)),
        (CLIENT_METRICS, "", (SET, metrics, Some("c.")), 42, (None, 0)),
    ] {
        let (got, why) = alter(&mut client, kind, name, change).await;
        assert_eq!(got, code, "{name} {change:?}: {why}");
        if !name.is_empty() {
            let key = if kind == GROUP { session } else { metrics };
            let result = describe(&mut client, kind, name).await;
            assert_eq!(found(&result, key), (want.0.map(str::to_owned), want.1), "{name} {change:?}");
        }
    }
    alter(&mut client, GROUP, "h", (SET, session, Some("50000"))).await;
    for (version, want) in [(0, vec![(16, "m")]), (1, vec![(32, "h"), (16, "m"), (8, "1"), (4, "1")])] {
        let answer = client.ask(version, ListConfigResourcesRequest::default()).await;
        let got: Vec<_> = answer.config_resources.iter().map(|r| (r.resource_type, r.resource_name.as_str())).collect();
        assert_eq!(got, want, "v{version}");
    }
    // What is not named goes.
    let config = LegacyConfig::default().with_name(text("interval.ms")).with_value(Some(text("1000")));
    let resource =
        LegacyResource::default().with_resource_type(16).with_resource_name(text("m")).with_configs(vec![config]);
    let answer = client.ask(2, AlterConfigsRequest::default().with_resources(vec![resource])).await;
    assert_eq!(answer.responses[0].error_code, 0);
    let result = describe(&mut client, CLIENT_METRICS, "m").await;
    assert_eq!(found(&result, metrics), (Some(String::new()), 5));
    assert_eq!(found(&result, "interval.ms"), (Some("1000".into()), 7));
}

#[tokio::test]
async fn limits_of_connections_change_while_the_server_runs() {
    let server = server().await;
    let mut client = server.client().await;
    let name = "max.connections";
    assert_eq!(alter(&mut client, BROKER, "", (SET, name, Some("50"))).await.0, 0);
    assert_eq!(alter(&mut client, BROKER, "1", (SET, name, Some("1"))).await.0, 0);
    let broker = describe(&mut client, BROKER, "1").await;
    let config = broker.configs.iter().find(|config| config.name.as_str() == name).expect("described");
    let synonyms: Vec<_> =
        config.synonyms.iter().map(|s| (s.value.as_ref().map_or("", |v| v.as_str()), s.source)).collect();
    assert_eq!((synonyms, config.read_only), (vec![("1", 2), ("50", 3), ("10000", 5)], false));
    let all = describe(&mut client, BROKER, "").await;
    assert_eq!((all.configs.len(), found(&all, name)), (1, (Some("50".into()), 3)));
    assert!(server.client().await.is_closed().await, "one is open already");
    assert_eq!(alter(&mut client, BROKER, "1", (DELETE, name, None)).await.0, 0);
    server.client().await.ask(0, ApiVersionsRequest::default()).await;
    for (change, code) in [
        ((SET, "log.cleaner.threads", Some("2")), 0),
        ((SET, "log.cleaner.threads", Some("two")), 42),
        ((SET, "ssl.key.password", Some("secret")), 42),
        ((SET, "node.id", Some("2")), 42),
    ] {
        assert_eq!(alter(&mut client, BROKER, "1", change).await.0, code, "{change:?}");
    }
    let refused = alter(&mut client, BROKER, "1", (SET, "node.id", Some("2"))).await.1;
    assert_eq!(refused, "Cannot update these configs dynamically: [node.id]");
}

#[tokio::test]
async fn what_is_set_outlives_the_server() {
    let server = server().await;
    let mut client = server.client().await;
    alter(&mut client, GROUP, "g", (SET, "consumer.session.timeout.ms", Some("50000"))).await;
    let next = Door::default();
    next.resume(&server.engine).await.expect("resumed");
    let standing = next.standing();
    let settings = standing.state.of(&Thing::Group("g".into())).expect("kept");
    assert_eq!(settings["consumer.session.timeout.ms"], "50000");
}
