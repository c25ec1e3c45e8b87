//! Quotas: what is set and found, and that it is said to whoever uses more. That nobody is read meanwhile is tested on
//! the connection itself, with time in the test's hand.

use kafka_protocol::messages::alter_client_quotas_request::{EntityData, EntryData, OpData};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_client_quotas_request::ComponentData;
use kafka_protocol::messages::{
    AlterClientQuotasRequest, ApiVersionsRequest, CreatePartitionsRequest, CreateTopicsRequest, DeleteTopicsRequest,
    DescribeClientQuotasRequest,
};

use crate::harness::*;

type Entity<'a> = &'a [(&'a str, Option<&'a str>)];

fn entry(entity: Entity<'_>, ops: &[(&str, Option<f64>)]) -> EntryData {
    let entity = entity
        .iter()
        .map(|(kind, name)| EntityData::default().with_entity_type(text(kind)).with_entity_name(name.map(text)));
    let ops = ops.iter().map(|(key, value)| {
        OpData::default().with_key(text(key)).with_value(value.unwrap_or(0.0)).with_remove(value.is_none())
    });
    EntryData::default().with_entity(entity.collect()).with_ops(ops.collect())
}

/// Code and message of each entry.
async fn alter(client: &mut Client, only_ask: bool, entries: Vec<EntryData>) -> Vec<(i16, Option<String>)> {
    let request = AlterClientQuotasRequest::default().with_entries(entries).with_validate_only(only_ask);
    let answer = client.ask(1, request).await;
    answer.entries.iter().map(|e| (e.error_code, e.error_message.as_ref().map(|m| m.to_string()))).collect()
}

async fn set(client: &mut Client, entity: Entity<'_>, key: &str, value: f64) {
    assert_eq!(alter(client, false, vec![entry(entity, &[(key, Some(value))])]).await, [(0, None)]);
}

/// Entities and values that a filter of `(kind, match type, name)` finds.
async fn found(client: &mut Client, strict: bool, filter: &[(&str, i8, Option<&str>)]) -> Result<Vec<String>, i16> {
    let components = filter.iter().map(|(kind, how, name)| {
        ComponentData::default().with_entity_type(text(kind)).with_match_type(*how).with_match(name.map(text))
    });
    let request = DescribeClientQuotasRequest::default().with_components(components.collect()).with_strict(strict);
    let mut all = Vec::new();
    for version in 0..=1 {
        let answer = client.ask(version, request.clone()).await;
        assert_eq!(answer.entries.is_none(), answer.error_code != 0);
        let Some(entries) = answer.entries else { return Err(answer.error_code) };
        all = entries
            .iter()
            .map(|entry| {
                let entity = entry.entity.iter().map(|e| {
                    format!("{}={}", e.entity_type, e.entity_name.as_ref().map_or("<default>", |name| name.as_str()))
                });
                let values = entry.values.iter().map(|value| format!("{}={}", value.key, value.value));
                entity.chain(values).collect::<Vec<_>>().join(" ")
            })
            .collect();
    }
    Ok(all)
}

#[tokio::test]
async fn quotas_are_found_by_every_filter() {
    let server = server().await;
    let mut client = server.client().await;
    let entities: [Entity<'_>; 6] = [
        &[("user", Some("u"))],
        &[("user", None)],
        &[("user", Some("u")), ("client-id", Some("c"))],
        &[("user", Some("u")), ("client-id", None)],
        &[("client-id", Some("c"))],
        &[("ip", Some("127.0.0.9"))],
    ];
    for entity in entities {
        let key = if entity[0].0 == "ip" { "connection_creation_rate" } else { "consumer_byte_rate" };
        set(&mut client, entity, key, 7.0).await;
    }
    let (u, default) = ("user=u consumer_byte_rate=7", "user=<default> consumer_byte_rate=7");
    let (uc, ud) = ("client-id=c user=u consumer_byte_rate=7", "client-id=<default> user=u consumer_byte_rate=7");
    let (c, ip) = ("client-id=c consumer_byte_rate=7", "ip=127.0.0.9 connection_creation_rate=7");
    let sorted = |mut all: Vec<String>| {
        all.sort();
        all
    };
    type Filter<'a> = &'a [(&'a str, i8, Option<&'a str>)];
    let cases: [(Filter<'_>, bool, &[&str]); 9] = [
        (&[], false, &[u, default, uc, ud, c, ip]),
        (&[], true, &[]),
        (&[("user", 0, Some("u"))], false, &[u, uc, ud]),
        (&[("user", 0, Some("u"))], true, &[u]),
        (&[("user", 1, None)], false, &[default]),
        (&[("user", 2, None)], true, &[u, default]),
        (&[("user", 2, None), ("client-id", 2, None)], true, &[uc, ud]),
        (&[("client-id", 0, Some("c"))], false, &[uc, c]),
        (&[("ip", 2, None)], true, &[ip]),
    ];
    for (filter, strict, want) in cases {
        let want = sorted(want.iter().map(|text| (*text).to_owned()).collect());
        assert_eq!(found(&mut client, strict, filter).await.map(sorted), Ok(want), "{filter:?} {strict}");
    }
    let wrong: [(Filter<'_>, i16); 8] = [
        (&[("", 0, Some("u"))], 42),
        (&[("shoe", 0, Some("u"))], 35),
        (&[("user", 0, None)], 42),
        (&[("user", 1, Some("u"))], 42),
        (&[("user", 2, Some("u"))], 42),
        (&[("user", 3, None)], 42),
        (&[("user", 1, None), ("user", 2, None)], 42),
        (&[("user", 1, None), ("ip", 2, None)], 42),
    ];
    for (filter, code) in wrong {
        assert_eq!(found(&mut client, false, filter).await, Err(code), "{filter:?}");
    }
    let gone = entities.iter().map(|entity| {
        let key = if entity[0].0 == "ip" { "connection_creation_rate" } else { "consumer_byte_rate" };
        entry(entity, &[(key, None)])
    });
    assert!(alter(&mut client, false, gone.collect()).await.iter().all(|(code, _)| *code == 0));
    assert_eq!(found(&mut client, false, &[]).await, Ok(vec![]));
}

#[tokio::test]
async fn what_is_no_quota_is_refused_in_kafkas_words() {
    let server = server().await;
    let mut client = server.client().await;
    let u: Entity<'_> = &[("user", Some("u"))];
    let ip: Entity<'_> = &[("ip", Some("127.0.0.1"))];
    let no = |why: &str| (42, Some(why.to_owned()));
    let fractional = "producer_byte_rate cannot be a fractional value.";
    let combined = "Invalid quota entity combination, IP entity shouldnot be combined with User or ClientId";
    let twice =
        "Duplicate quota key request_percentage not updating quota for this entity ClientQuotaEntity(entries={user=u})";
    for (entity, ops, want) in [
        (u, vec![("request_percentage", Some(0.5))], (0, None)),
        (u, vec![("producer_byte_rate", Some(0.0))], no("Quota producer_byte_rate must be greater than 0")),
        (u, vec![("producer_byte_rate", Some(1.5))], no(fractional)),
        (u, vec![("shoe_size", Some(1.0))], no("Invalid configuration key shoe_size")),
        (u, vec![("connection_creation_rate", Some(1.0))], no("Invalid configuration key connection_creation_rate")),
        (ip, vec![("producer_byte_rate", Some(1.0))], no("Invalid configuration key producer_byte_rate")),
        (
            ip,
            vec![("connection_creation_rate", Some(1e10))],
            no("Proposed value for connection_creation_rate is too large for an INT."),
        ),
        (u, vec![("request_percentage", Some(1.0)), ("request_percentage", None)], no(twice)),
        (&[], vec![], no("Invalid empty client quota entity")),
        (&[("shoe", Some("u"))], vec![], no("Unhandled client quota entity type: shoe")),
        (&[("user", Some(""))], vec![], no("Empty user not supported")),
        (&[("ip", Some("nowhere"))], vec![], no("nowhere is not a valid IP or resolvable host.")),
        (&[("user", Some("u")), ("ip", None)], vec![], no(combined)),
    ] {
        assert_eq!(alter(&mut client, true, vec![entry(entity, &ops)]).await, [want], "{entity:?} {ops:?}");
    }
    assert_eq!(found(&mut client, false, &[]).await, Ok(vec![]), "only asked");
}

#[tokio::test]
async fn who_writes_or_reads_more_than_allowed_is_told_to_wait() {
    let server = server().await;
    let mut admin = server.client().await;
    admin.create("t", 1, &[]).await;
    let value = "x".repeat(20_000);
    set(&mut admin, &[("client-id", Some("tester"))], "producer_byte_rate", 1000.0).await;
    let mut client = server.client().await;
    let first = client.ask(9, produce_request("t", -1, batch(&[&value]))).await;
    assert!(first.throttle_time_ms > 9_000, "{}", first.throttle_time_ms);
    assert_eq!(first.responses[0].partition_responses[0].error_code, 0, "it is written all the same");
    set(&mut admin, &[("client-id", Some("tester"))], "consumer_byte_rate", 1000.0).await;
    let mut client = server.client().await;
    let answer = client.ask(12, fetch_request("t", 0)).await;
    assert!(answer.throttle_time_ms > 9_000, "{}", answer.throttle_time_ms);
    assert!(!answer.responses[0].partitions[0].records.as_ref().expect("records").is_empty());
    let mut client = server.client().await;
    let free = client.ask(
        3,
        ApiVersionsRequest::default().with_client_software_name(text("x")).with_client_software_version(text("1")),
    );
    assert_eq!(free.await.throttle_time_ms, 0, "another kind of request");
}

#[tokio::test]
async fn time_is_paid_for_and_quotas_taken_back_are_forgotten() {
    let server = server().await;
    let mut admin = server.client().await;
    admin.create("t", 1, &[]).await;
    let whose: Entity<'_> = &[("user", None)];
    // So little that every request is more.
    set(&mut admin, whose, "request_percentage", 1e-9).await;
    let mut client = server.client().await;
    let answer = client.ask(9, produce_request("t", -1, batch(&["one"]))).await;
    assert_eq!(answer.throttle_time_ms, 1000, "at most a window");
    let mut admin = server.client().await;
    assert_eq!(alter(&mut admin, false, vec![entry(whose, &[("request_percentage", None)])]).await, [(0, None)]);
    let mut client = server.client().await;
    let answer = client.ask(9, produce_request("t", -1, batch(&["one"]))).await;
    assert_eq!(answer.throttle_time_ms, 0);
}

#[tokio::test]
async fn partitions_are_created_and_deleted_at_a_rate() {
    let server = server().await;
    let mut admin = server.client().await;
    set(&mut admin, &[("user", None)], "controller_mutation_rate", 1.0).await;
    let topic = |name: &str, partitions| {
        CreatableTopic::default().with_name(topic_name(name)).with_num_partitions(partitions).with_replication_factor(1)
    };
    let create =
        |topics: Vec<CreatableTopic>| CreateTopicsRequest::default().with_topics(topics).with_timeout_ms(10_000);
    // Eleven seconds' worth are there; what is begun while some are left is finished.
    let answer = admin.ask(7, create(vec![topic("a", 10), topic("b", 10), topic("c", 1)])).await;
    let got: Vec<_> = answer.topics.iter().map(|t| (t.name.as_str(), t.error_code, t.error_message.clone())).collect();
    assert_eq!(got.len(), 3);
    assert!(
        got.contains(&("a", 0, None)) && got.contains(&("b", 0, None)) && got.contains(&("c", 89, None)),
        "{got:?}"
    );
    assert!(answer.throttle_time_ms > 8_000, "{}", answer.throttle_time_ms);
    let mut client = server.client().await;
    let grow = CreatePartitionsTopic::default().with_name(topic_name("a")).with_count(11).with_assignments(None);
    let answer = client.ask(3, CreatePartitionsRequest::default().with_topics(vec![grow])).await;
    assert_eq!((answer.results[0].error_code, answer.results[0].error_message.clone()), (89, None));
    let mut client = server.client().await;
    let state = DeleteTopicState::default().with_name(Some(topic_name("a")));
    let answer = client.ask(6, DeleteTopicsRequest::default().with_topics(vec![state])).await;
    assert_eq!((answer.responses[0].error_code, answer.responses[0].error_message.clone()), (89, None));
    // An older client does not know that error: it gets what it wants, and waits.
    let mut client = server.client().await;
    let answer = client.ask(5, create(vec![topic("d", 1)])).await;
    assert_eq!(answer.topics[0].error_code, 0);
    assert!(answer.throttle_time_ms > 8_000, "{}", answer.throttle_time_ms);
}

#[tokio::test]
async fn connections_that_come_too_fast_from_one_address_are_closed() {
    let server = server().await;
    let mut admin = server.client().await;
    set(&mut admin, &[("ip", Some("127.0.0.1"))], "connection_creation_rate", 1.0).await;
    // Ten windows' worth at once.
    for _ in 0..10 {
        server.client().await.ask(0, ApiVersionsRequest::default()).await;
    }
    assert!(server.client().await.is_closed().await);
    assert_eq!(
        alter(&mut admin, false, vec![entry(&[("ip", Some("127.0.0.1"))], &[("connection_creation_rate", None)])])
            .await,
        [(0, None)]
    );
    server.client().await.ask(0, ApiVersionsRequest::default()).await;
}
