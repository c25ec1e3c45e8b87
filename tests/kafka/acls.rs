//! Access rules over a socket: what each API answers who may not, what it asks for, what is left out of lists, and the
//! three APIs that manage the rules.

use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::*;

use super::acl_cells::*;
use super::harness::{Client, Server, server, text};
use super::sasl::{plain, secured};

/// What refusals are called: of a topic, a group, the cluster, a transactional id, a delegation token.
const REFUSALS: [i16; 5] = [29, 30, 31, 53, 65];

struct World {
    server: Server,
    admin: Client,
    alice: Client,
}

async fn world() -> World {
    let (server, _) = secured(0).await;
    let mut admin = server.client().await;
    assert_eq!(plain(&mut admin, "admin", "adminsecret").await, 0);
    let mut alice = server.client().await;
    assert_eq!(plain(&mut alice, "alice", "alicesecret").await, 0);
    admin.create("t", 1, &[]).await;
    World { server, admin, alice }
}

pub fn rule(kind: i8, name: &str, operation: i8) -> AclCreation {
    AclCreation::default()
        .with_resource_type(kind)
        .with_resource_name(text(name))
        .with_resource_pattern_type(LITERAL)
        .with_principal(text("User:alice"))
        .with_host(text("*"))
        .with_operation(operation)
        .with_permission_type(ALLOW)
}

pub fn any() -> DeleteAclsFilter {
    DeleteAclsFilter::default()
        .with_resource_type_filter(1)
        .with_resource_name_filter(None)
        .with_pattern_type_filter(1)
        .with_principal_filter(None)
        .with_host_filter(None)
        .with_operation(1)
        .with_permission_type(1)
}

pub fn shown(name: Option<&str>) -> DescribeAclsRequest {
    DescribeAclsRequest::default()
        .with_resource_type_filter(1)
        .with_resource_name_filter(name.map(text))
        .with_pattern_type_filter(1)
        .with_principal_filter(None)
        .with_host_filter(None)
        .with_operation(1)
        .with_permission_type(1)
}

impl World {
    async fn allow(&mut self, rules: Vec<AclCreation>) {
        let answer = self.admin.ask(2, CreateAclsRequest::default().with_creations(rules)).await;
        for result in answer.results {
            assert_eq!((result.error_code, result.error_message), (0, Some(text(""))));
        }
    }

    async fn forget_all(&mut self) {
        let answer = self.admin.ask(2, DeleteAclsRequest::default().with_filters(vec![any()])).await;
        assert_eq!(answer.filter_results[0].error_code, 0);
    }
}

/// Keys that anybody may ask for: what is served at all, logins, a cluster's brokers, and what is done to a delegation token
/// by its secret.
const OPEN: [&str; 6] = [
    "SaslHandshake",
    "ApiVersions",
    "SaslAuthenticate",
    "DescribeCluster",
    "RenewDelegationToken",
    "ExpireDelegationToken",
];
/// Keys that leave out what may not be seen.
const LISTS: [&str; 3] = ["ListGroups", "ListTransactions", "DescribeDelegationToken"];

#[test]
fn every_api_has_a_cell() {
    let cells = cells();
    for name in interfluve::kafka::table::TABLE.iter().map(|row| row.name) {
        let known = cells.iter().any(|cell| cell.name.split([' ', ',']).next() == Some(name));
        assert!(known || OPEN.contains(&name) || LISTS.contains(&name), "{name}");
    }
}

#[tokio::test]
async fn every_api_refuses_who_may_not_and_serves_who_may() {
    let mut world = world().await;
    world.admin.create("t2", 1, &[]).await;
    for Cell { name, ask, needs } in cells() {
        for (at, &(refusal, kind, resource, operation)) in needs.iter().enumerate() {
            assert_eq!(ask(&mut world.alice).await, refusal, "{name}, with {at} rules");
            world.allow(vec![rule(kind, resource, operation)]).await;
        }
        let code = ask(&mut world.alice).await;
        assert!(!REFUSALS.contains(&code), "{name}: {code} with all rules");
        world.forget_all().await;
    }
}

#[tokio::test]
async fn what_is_allowed_implies_describe_and_what_is_denied_wins() {
    let mut world = world().await;
    let deny = || rule(TOPIC, "t", READ).with_permission_type(DENY);
    for (rules, allowed) in [
        (vec![rule(TOPIC, "t", READ)], true),
        (vec![rule(TOPIC, "t", WRITE)], true),
        (vec![rule(TOPIC, "t", DELETE)], true),
        (vec![rule(TOPIC, "t", ALTER)], true),
        (vec![rule(TOPIC, "t", ALL)], true),
        (vec![rule(TOPIC, "t", CREATE)], false),
        (vec![rule(TOPIC, "t", ALTER_CONFIGS)], false),
        (vec![rule(TOPIC, "*", DESCRIBE)], true),
        (vec![rule(TOPIC, "t", DESCRIBE).with_resource_pattern_type(PREFIXED)], true),
        (vec![rule(TOPIC, "u", DESCRIBE).with_resource_pattern_type(PREFIXED)], false),
        (vec![rule(TOPIC, "t", DESCRIBE).with_principal(text("User:*"))], true),
        (vec![rule(TOPIC, "t", DESCRIBE).with_principal(text("User:bob"))], false),
        (vec![rule(TOPIC, "t", DESCRIBE).with_host(text("127.0.0.1"))], true),
        (vec![rule(TOPIC, "t", DESCRIBE).with_host(text("10.0.0.1"))], false),
        // Denied is what is named, not what it implies.
        (vec![rule(TOPIC, "t", DESCRIBE), deny()], true),
        (vec![rule(TOPIC, "t", DESCRIBE), deny().with_operation(DESCRIBE)], false),
        (vec![rule(TOPIC, "t", DESCRIBE), deny().with_operation(ALL)], false),
        (vec![rule(TOPIC, "t", DESCRIBE), deny().with_operation(ALL).with_resource_name(text("*"))], false),
    ] {
        world.allow(rules.clone()).await;
        let code = world.alice.ask(7, list_offsets()).await.topics[0].partitions[0].error_code;
        assert_eq!(code, if allowed { 0 } else { 29 }, "{rules:?}");
        world.forget_all().await;
    }
}

#[tokio::test]
async fn lists_hold_what_may_be_seen() {
    let mut world = world().await;
    world.admin.create("u", 1, &[]).await;
    for group in ["g", "h"] {
        let answer = world.admin.ask(8, commit().with_group_id(GroupId(text(group)))).await;
        assert_eq!(answer.topics[0].partitions[0].error_code, 0);
    }
    for id in ["x", "y"] {
        let id = Some(TransactionalId(text(id)));
        let request = InitProducerIdRequest::default().with_transactional_id(id).with_transaction_timeout_ms(1000);
        assert_eq!(world.admin.ask(4, request).await.error_code, 0);
    }
    let rules = vec![rule(TOPIC, "t", READ), rule(GROUP, "g", DESCRIBE), rule(TXN, "x", DESCRIBE)];
    world.allow(rules).await;
    let topics = world.alice.ask(12, MetadataRequest::default().with_topics(None)).await.topics;
    let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_ref().map_or("", |name| name)).collect();
    assert_eq!(names, ["t"]);
    let request = DescribeTopicPartitionsRequest::default().with_response_partition_limit(10);
    let topics = world.alice.ask(0, request).await.topics;
    let names: Vec<&str> = topics.iter().map(|topic| topic.name.as_ref().map_or("", |name| name)).collect();
    assert_eq!(names, ["t"]);
    let groups = world.alice.ask(4, ListGroupsRequest::default()).await.groups;
    assert_eq!(groups.iter().map(|group| &**group.group_id).collect::<Vec<_>>(), ["g"]);
    let all = world.alice.ask(0, ListTransactionsRequest::default()).await.transaction_states;
    assert_eq!(all.iter().map(|one| &**one.transactional_id).collect::<Vec<_>>(), ["x"]);
    // All offsets of a group are those of topics that may be seen.
    let group = OffsetFetchRequestGroup::default().with_group_id(group_id()).with_topics(None);
    let all = OffsetFetchRequest::default().with_groups(vec![group]);
    assert_eq!(world.alice.ask(8, all.clone()).await.groups[0].topics.len(), 1);
    world.forget_all().await;
    world.allow(vec![rule(GROUP, "g", READ), rule(CLUSTER, "kafka-cluster", DESCRIBE)]).await;
    assert_eq!(world.alice.ask(8, all).await.groups[0].topics.len(), 0);
    // Who may see the cluster sees all of its groups.
    assert_eq!(world.alice.ask(4, ListGroupsRequest::default()).await.groups.len(), 2);
}

#[tokio::test]
async fn what_is_hidden_looks_like_what_is_not_there() {
    let mut world = world().await;
    let id = world.admin.ask(12, metadata("t")).await.topics[0].topic_id;
    world.admin.create("gone", 1, &[]).await;
    let gone = world.admin.ask(12, metadata("gone")).await.topics[0].topic_id;
    assert_eq!(world.admin.ask(6, delete("gone")).await.responses[0].error_code, 0);
    let by_id = |id| {
        let topic = MetadataRequestTopic::default().with_name(None).with_topic_id(id);
        MetadataRequest::default().with_topics(Some(vec![topic]))
    };
    for name in ["t", "none"] {
        let topic = world.alice.ask(12, metadata(name)).await.topics.remove(0);
        assert_eq!((topic.error_code, topic.topic_id.is_nil(), topic.partitions.len()), (29, true, 0), "{name}");
        assert_eq!(world.alice.ask(6, delete(name)).await.responses[0].error_code, 29, "{name}");
    }
    // Ids are no secret.
    let topic = world.alice.ask(12, by_id(id)).await.topics.remove(0);
    assert_eq!((topic.error_code, topic.name), (29, None));
    assert_eq!(world.alice.ask(12, by_id(gone)).await.topics[0].error_code, 100);
}

#[tokio::test]
async fn operations_are_those_of_whoever_asks() {
    let mut world = world().await;
    world.allow(vec![rule(TOPIC, "t", READ), rule(GROUP, "g", DELETE)]).await;
    let request = metadata("t").with_include_topic_authorized_operations(true);
    let request = request.with_include_cluster_authorized_operations(true);
    let answer = world.alice.ask(10, request.clone()).await;
    assert_eq!(answer.topics[0].topic_authorized_operations, 1 << READ | 1 << DESCRIBE);
    // Who may not see the cluster is told nothing of it.
    assert_eq!(answer.cluster_authorized_operations, 0);
    let answer = world.admin.ask(10, request).await;
    assert_eq!((answer.topics[0].topic_authorized_operations, answer.cluster_authorized_operations), (3576, 8096));
    let request = DescribeClusterRequest::default().with_include_cluster_authorized_operations(true);
    assert_eq!(world.alice.ask(0, request).await.cluster_authorized_operations, 0);
    let answer = world.admin.ask(8, commit()).await;
    assert_eq!(answer.topics[0].partitions[0].error_code, 0);
    let request = DescribeGroupsRequest::default().with_groups(vec![group_id()]);
    let answer = world.alice.ask(5, request.with_include_authorized_operations(true)).await;
    assert_eq!(answer.groups[0].authorized_operations, 1 << DELETE | 1 << DESCRIBE);
}

#[tokio::test]
async fn rules_are_added_shown_and_removed() {
    let mut world = world().await;
    for version in 1..=3 {
        let request = CreateAclsRequest::default().with_creations(vec![
            rule(TOPIC, "a", READ),
            // There already.
            rule(TOPIC, "a", READ),
            rule(TOPIC, "a", WRITE),
            rule(CLUSTER, "other", READ),
            rule(TOPIC, "", READ),
            rule(TOPIC, "b", 1),
        ]);
        let results = world.admin.ask(version, request).await.results;
        let codes: Vec<i16> = results.iter().map(|result| result.error_code).collect();
        assert_eq!(codes, [0, 0, 0, 42, 42, 42], "v{version}");
        let shown = world.admin.ask(version, shown(Some("a"))).await.resources;
        assert_eq!(shown.len(), 1, "v{version}");
        assert_eq!((&*shown[0].resource_name, shown[0].resource_type, shown[0].pattern_type), ("a", TOPIC, LITERAL));
        let acls: Vec<_> = shown[0].acls.iter().map(|acl| (&*acl.principal, &*acl.host, acl.operation)).collect();
        assert_eq!(acls, [("User:alice", "*", READ), ("User:alice", "*", WRITE)], "v{version}");
        let filter = |operation| any().with_pattern_type_filter(LITERAL).with_operation(operation);
        let request = DeleteAclsRequest::default().with_filters(vec![filter(WRITE), filter(DELETE), filter(99)]);
        let results = world.admin.ask(version, request).await.filter_results;
        let gone: Vec<_> = results.iter().map(|result| (result.error_code, result.matching_acls.len())).collect();
        assert_eq!(gone, [(0, 1), (0, 0), (42, 0)], "v{version}");
        world.forget_all().await;
    }
}

#[tokio::test]
async fn what_cannot_be_a_rule_closes_the_connection() {
    let mut world = world().await;
    world.admin.send(2, &CreateAclsRequest::default().with_creations(vec![rule(0, "a", READ)])).await;
    assert!(world.admin.is_closed().await);
    let mut admin = world.server.client().await;
    assert_eq!(plain(&mut admin, "admin", "adminsecret").await, 0);
    admin.send(2, &DeleteAclsRequest::default().with_filters(vec![any().with_operation(0)])).await;
    assert!(admin.is_closed().await);
}

#[tokio::test]
async fn where_nobody_is_asked_who_they_are_there_are_no_rules() {
    let server = server().await;
    let mut client = server.client().await;
    let shown = client.ask(2, shown(None)).await;
    assert_eq!((shown.error_code, shown.error_message), (54, Some(text("No Authorizer is configured on the broker"))));
    let made = client.ask(2, CreateAclsRequest::default().with_creations(vec![rule(TOPIC, "a", READ)])).await;
    assert_eq!(made.results[0].error_code, 54);
    let gone = client.ask(2, DeleteAclsRequest::default().with_filters(vec![any()])).await;
    assert_eq!(gone.filter_results[0].error_code, 54);
}

/// The topics that a member of a group has by an expression, by id.
async fn expressed(client: &mut Client, member: &str, epoch: i32, regex: Option<&str>) -> (i32, Option<Vec<[u8; 16]>>) {
    let joins = regex.is_some();
    let request = ConsumerGroupHeartbeatRequest::default()
        .with_group_id(group_id())
        .with_member_id(text(member))
        .with_member_epoch(epoch)
        .with_rebalance_timeout_ms(if joins { 60_000 } else { -1 })
        .with_subscribed_topic_names(None)
        .with_subscribed_topic_regex(regex.map(text))
        .with_topic_partitions(joins.then(Vec::new));
    let answer = client.ask(1, request).await;
    assert_eq!(answer.error_code, 0, "{:?}", answer.error_message);
    let ids =
        answer.assignment.map(|all| all.topic_partitions.iter().map(|topic| topic.topic_id.into_bytes()).collect());
    (answer.member_epoch, ids)
}

#[tokio::test]
async fn an_expression_stands_for_what_its_member_may_see() {
    let mut world = world().await;
    world.admin.create("t2", 1, &[]).await;
    let all = world.admin.ask(12, MetadataRequest::default().with_topics(None)).await.topics;
    let id = |name: &str| {
        all.iter().find(|topic| topic.name.as_ref().is_some_and(|n| **n == *name)).expect("there").topic_id.into_bytes()
    };
    world.allow(vec![rule(GROUP, "g", READ), rule(TOPIC, "t", DESCRIBE)]).await;
    let (epoch, ids) = expressed(&mut world.alice, "alice", 0, Some("t.*")).await;
    assert_eq!(ids, Some(vec![id("t")]));
    // Another rule counts from the next heartbeat on.
    world.allow(vec![rule(TOPIC, "t2", READ)]).await;
    let (_, ids) = expressed(&mut world.alice, "alice", epoch, None).await;
    let mut both = [id("t"), id("t2")];
    both.sort_unstable();
    assert_eq!(
        ids.map(|mut ids| {
            ids.sort_unstable();
            ids
        }),
        Some(both.to_vec())
    );
}
