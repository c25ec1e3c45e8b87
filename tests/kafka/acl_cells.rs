//! One cell per API: what is asked, what is refused to whoever may do nothing, and which rules help. No test is here.

use std::future::Future;
use std::pin::Pin;

use kafka_protocol::messages::add_partitions_to_txn_request::{AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction};
use kafka_protocol::messages::alter_replica_log_dirs_request::{AlterReplicaLogDir, AlterReplicaLogDirTopic};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::CreatableTopic;
use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::offset_commit_request::{OffsetCommitRequestPartition, OffsetCommitRequestTopic};
use kafka_protocol::messages::offset_delete_request::{OffsetDeleteRequestPartition, OffsetDeleteRequestTopic};
use kafka_protocol::messages::offset_fetch_request::{OffsetFetchRequestGroup, OffsetFetchRequestTopics};
use kafka_protocol::messages::offset_for_leader_epoch_request::{OffsetForLeaderPartition, OffsetForLeaderTopic};
use kafka_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use kafka_protocol::messages::write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic};
use kafka_protocol::messages::*;

use super::acls::{any, rule, shown};
use super::harness::{Client, batch, fetch_request, produce_request, text, topic_name};

// Kafka's numbers (AclOperation, ResourceType).
pub const ALL: i8 = 2;
pub const READ: i8 = 3;
pub const WRITE: i8 = 4;
pub const CREATE: i8 = 5;
pub const DELETE: i8 = 6;
pub const ALTER: i8 = 7;
pub const DESCRIBE: i8 = 8;
pub const CLUSTER_ACTION: i8 = 9;
pub const DESCRIBE_CONFIGS: i8 = 10;
pub const ALTER_CONFIGS: i8 = 11;
pub const IDEMPOTENT_WRITE: i8 = 12;
pub const CREATE_TOKENS: i8 = 13;
pub const DESCRIBE_TOKENS: i8 = 14;
pub const TOPIC: i8 = 2;
pub const GROUP: i8 = 3;
pub const CLUSTER: i8 = 4;
pub const TXN: i8 = 5;
pub const TOKEN: i8 = 6;
pub const USER: i8 = 7;
pub const LITERAL: i8 = 3;
pub const PREFIXED: i8 = 4;
pub const DENY: i8 = 2;
pub const ALLOW: i8 = 3;

pub type Asked<'a> = Pin<Box<dyn Future<Output = i16> + 'a>>;

/// One API, asked by somebody who may do nothing at first.
pub struct Cell {
    pub name: &'static str,
    pub ask: for<'a> fn(&'a mut Client) -> Asked<'a>,
    /// What is answered, and the rule that helps further; in this order.
    pub needs: &'static [(i16, i8, &'static str, i8)],
}

macro_rules! cell {
    ($name:literal, $version:literal, $request:expr, |$answer:ident| $code:expr, $needs:expr) => {
        Cell {
            name: $name,
            ask: |client| {
                Box::pin(async move {
                    let $answer = client.ask($version, $request).await;
                    $code
                })
            },
            needs: &$needs,
        }
    };
}

pub fn group_id() -> GroupId {
    GroupId(text("g"))
}

fn txn_id() -> TransactionalId {
    TransactionalId(text("x"))
}

fn config(kind: i8, name: &str) -> DescribeConfigsRequest {
    let resource = DescribeConfigsResource::default().with_resource_type(kind).with_resource_name(text(name));
    DescribeConfigsRequest::default().with_resources(vec![resource.with_configuration_keys(None)])
}

fn alter(kind: i8, name: &str) -> IncrementalAlterConfigsRequest {
    let resource = incremental_alter_configs_request::AlterConfigsResource::default();
    let resource = resource.with_resource_type(kind).with_resource_name(text(name));
    IncrementalAlterConfigsRequest::default().with_resources(vec![resource])
}

fn create(name: &str) -> CreateTopicsRequest {
    let topic = CreatableTopic::default().with_name(topic_name(name)).with_num_partitions(1).with_replication_factor(1);
    CreateTopicsRequest::default().with_topics(vec![topic]).with_validate_only(true)
}

pub fn delete(name: &str) -> DeleteTopicsRequest {
    let topic = DeleteTopicState::default().with_name(Some(topic_name(name)));
    DeleteTopicsRequest::default().with_topics(vec![topic])
}

pub fn metadata(name: &str) -> MetadataRequest {
    let topic = MetadataRequestTopic::default().with_name(Some(topic_name(name)));
    MetadataRequest::default().with_topics(Some(vec![topic])).with_allow_auto_topic_creation(true)
}

pub fn commit() -> OffsetCommitRequest {
    let partition = OffsetCommitRequestPartition::default().with_committed_metadata(Some(text("")));
    let topic = OffsetCommitRequestTopic::default().with_name(topic_name("t")).with_partitions(vec![partition]);
    OffsetCommitRequest::default().with_group_id(group_id()).with_topics(vec![topic])
}

fn fetch_offsets() -> OffsetFetchRequest {
    let topic = OffsetFetchRequestTopics::default().with_name(topic_name("t")).with_partition_indexes(vec![0]);
    let group = OffsetFetchRequestGroup::default().with_group_id(group_id()).with_topics(Some(vec![topic]));
    OffsetFetchRequest::default().with_groups(vec![group])
}

fn told(group: &offset_fetch_response::OffsetFetchResponseGroup) -> i16 {
    group.topics.first().map_or(group.error_code, |topic| topic.partitions[0].error_code)
}

fn coordinator(kind: i8, key: &str) -> FindCoordinatorRequest {
    FindCoordinatorRequest::default().with_key_type(kind).with_coordinator_keys(vec![text(key)])
}

pub fn list_offsets() -> ListOffsetsRequest {
    let partition = ListOffsetsPartition::default().with_timestamp(-1);
    let topic = ListOffsetsTopic::default().with_name(topic_name("t")).with_partitions(vec![partition]);
    ListOffsetsRequest::default().with_replica_id((-1).into()).with_topics(vec![topic])
}

fn delete_records() -> DeleteRecordsRequest {
    let topic = DeleteRecordsTopic::default().with_name(topic_name("t"));
    let topic = topic.with_partitions(vec![DeleteRecordsPartition::default()]);
    DeleteRecordsRequest::default().with_topics(vec![topic]).with_timeout_ms(1000)
}

fn leader_epoch() -> OffsetForLeaderEpochRequest {
    let topic = OffsetForLeaderTopic::default().with_topic(topic_name("t"));
    let topic = topic.with_partitions(vec![OffsetForLeaderPartition::default()]);
    OffsetForLeaderEpochRequest::default().with_replica_id((-2).into()).with_topics(vec![topic])
}

fn txn_topic() -> Vec<AddPartitionsToTxnTopic> {
    vec![AddPartitionsToTxnTopic::default().with_name(topic_name("t")).with_partitions(vec![0])]
}

fn txn_commit() -> TxnOffsetCommitRequest {
    let partition = TxnOffsetCommitRequestPartition::default().with_committed_metadata(Some(text("")));
    let topic = TxnOffsetCommitRequestTopic::default().with_name(topic_name("t")).with_partitions(vec![partition]);
    TxnOffsetCommitRequest::default().with_transactional_id(txn_id()).with_group_id(group_id()).with_topics(vec![topic])
}

fn marker() -> WriteTxnMarkersRequest {
    let topic = WritableTxnMarkerTopic::default().with_name(topic_name("none")).with_partition_indexes(vec![0]);
    WriteTxnMarkersRequest::default().with_markers(vec![WritableTxnMarker::default().with_topics(vec![topic])])
}

fn scram() -> AlterUserScramCredentialsRequest {
    let deletion = alter_user_scram_credentials_request::ScramCredentialDeletion::default();
    AlterUserScramCredentialsRequest::default().with_deletions(vec![deletion.with_name(text("u")).with_mechanism(1)])
}

pub fn cells() -> Vec<Cell> {
    let cluster = "kafka-cluster";
    assert_eq!(cluster, interfluve::auth::CLUSTER);
    vec![
        cell!(
            "Produce",
            9,
            produce_request("t", -1, batch(&["v"])),
            |a| a.responses[0].partition_responses[0].error_code,
            [(29, TOPIC, "t", WRITE)]
        ),
        cell!(
            "Fetch",
            12,
            fetch_request("t", 0),
            |a| a.responses[0].partitions[0].error_code,
            [(29, TOPIC, "t", READ)]
        ),
        cell!("ListOffsets", 7, list_offsets(), |a| a.topics[0].partitions[0].error_code, [(29, TOPIC, "t", DESCRIBE)]),
        cell!("Metadata", 12, metadata("t"), |a| a.topics[0].error_code, [(29, TOPIC, "t", DESCRIBE)]),
        cell!(
            "Metadata, creating",
            12,
            metadata("new"),
            |a| a.topics[0].error_code,
            [(29, TOPIC, "new", DESCRIBE), (29, TOPIC, "new", CREATE)]
        ),
        cell!(
            "OffsetCommit",
            8,
            commit(),
            |a| a.topics[0].partitions[0].error_code,
            [(30, GROUP, "g", READ), (29, TOPIC, "t", READ)]
        ),
        cell!(
            "OffsetFetch",
            8,
            fetch_offsets(),
            |a| told(&a.groups[0]),
            [(30, GROUP, "g", DESCRIBE), (29, TOPIC, "t", DESCRIBE)]
        ),
        cell!(
            "FindCoordinator of a group",
            4,
            coordinator(0, "g"),
            |a| a.coordinators[0].error_code,
            [(30, GROUP, "g", DESCRIBE)]
        ),
        cell!(
            "FindCoordinator of a transactional id",
            4,
            coordinator(1, "x"),
            |a| a.coordinators[0].error_code,
            [(53, TXN, "x", DESCRIBE)]
        ),
        cell!(
            "JoinGroup",
            5,
            JoinGroupRequest::default().with_group_id(group_id()),
            |a| a.error_code,
            [(30, GROUP, "g", READ)]
        ),
        cell!(
            "Heartbeat",
            4,
            HeartbeatRequest::default().with_group_id(group_id()),
            |a| a.error_code,
            [(30, GROUP, "g", READ)]
        ),
        cell!(
            "LeaveGroup",
            4,
            LeaveGroupRequest::default().with_group_id(group_id()).with_members(vec![MemberIdentity::default()]),
            |a| a.error_code,
            [(30, GROUP, "g", READ)]
        ),
        cell!(
            "SyncGroup",
            4,
            SyncGroupRequest::default().with_group_id(group_id()),
            |a| a.error_code,
            [(30, GROUP, "g", READ)]
        ),
        cell!(
            "DescribeGroups",
            5,
            DescribeGroupsRequest::default().with_groups(vec![group_id()]),
            |a| a.groups[0].error_code,
            [(30, GROUP, "g", DESCRIBE)]
        ),
        cell!(
            "DeleteGroups",
            2,
            DeleteGroupsRequest::default().with_groups_names(vec![group_id()]),
            |a| a.results[0].error_code,
            [(30, GROUP, "g", DELETE)]
        ),
        cell!(
            "CreateTopics by the topic",
            7,
            create("new2"),
            |a| a.topics[0].error_code,
            [(29, TOPIC, "new2", CREATE)]
        ),
        cell!(
            "CreateTopics by the cluster",
            7,
            create("new2"),
            |a| a.topics[0].error_code,
            [(29, CLUSTER, "kafka-cluster", CREATE)]
        ),
        cell!(
            "CreateTopics, settings",
            7,
            create("new2"),
            |a| if a.topics[0].error_code == 0 { a.topics[0].topic_config_error_code } else { a.topics[0].error_code },
            [(29, TOPIC, "new2", CREATE), (29, TOPIC, "new2", DESCRIBE_CONFIGS)]
        ),
        cell!("DeleteTopics", 6, delete("none"), |a| a.responses[0].error_code, [(29, TOPIC, "none", DELETE)]),
        cell!(
            "DeleteTopics of one that is seen",
            6,
            delete("t2"),
            |a| a.responses[0].error_code,
            [(29, TOPIC, "t2", DESCRIBE), (29, TOPIC, "t2", DELETE)]
        ),
        cell!(
            "DeleteRecords",
            2,
            delete_records(),
            |a| a.topics[0].partitions[0].error_code,
            [(29, TOPIC, "t", DELETE)]
        ),
        cell!(
            "InitProducerId by the cluster",
            4,
            InitProducerIdRequest::default().with_transactional_id(None),
            |a| a.error_code,
            [(31, CLUSTER, "kafka-cluster", IDEMPOTENT_WRITE)]
        ),
        cell!(
            "InitProducerId by any topic",
            4,
            InitProducerIdRequest::default().with_transactional_id(None),
            |a| a.error_code,
            [(31, TOPIC, "any", WRITE)]
        ),
        cell!(
            "InitProducerId with an id",
            4,
            InitProducerIdRequest::default().with_transactional_id(Some(txn_id())),
            |a| a.error_code,
            [(53, TXN, "x", WRITE)]
        ),
        cell!(
            "OffsetForLeaderEpoch",
            4,
            leader_epoch(),
            |a| a.topics[0].partitions[0].error_code,
            [(29, TOPIC, "t", DESCRIBE)]
        ),
        cell!(
            "OffsetForLeaderEpoch of brokers",
            4,
            leader_epoch(),
            |a| a.topics[0].partitions[0].error_code,
            [(29, CLUSTER, "kafka-cluster", CLUSTER_ACTION)]
        ),
        cell!(
            "AddPartitionsToTxn",
            3,
            AddPartitionsToTxnRequest::default()
                .with_v3_and_below_transactional_id(txn_id())
                .with_v3_and_below_topics(txn_topic()),
            |a| a.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code,
            [(53, TXN, "x", WRITE), (29, TOPIC, "t", WRITE)]
        ),
        cell!(
            "AddPartitionsToTxn of brokers",
            4,
            AddPartitionsToTxnRequest::default().with_transactions(vec![
                AddPartitionsToTxnTransaction::default().with_transactional_id(txn_id()).with_topics(txn_topic())
            ]),
            |a| a.error_code,
            [(31, CLUSTER, "kafka-cluster", CLUSTER_ACTION)]
        ),
        cell!(
            "AddOffsetsToTxn",
            3,
            AddOffsetsToTxnRequest::default().with_transactional_id(txn_id()).with_group_id(group_id()),
            |a| a.error_code,
            [(53, TXN, "x", WRITE), (30, GROUP, "g", READ)]
        ),
        cell!(
            "EndTxn",
            3,
            EndTxnRequest::default().with_transactional_id(txn_id()),
            |a| a.error_code,
            [(53, TXN, "x", WRITE)]
        ),
        cell!(
            "WriteTxnMarkers",
            1,
            marker(),
            |a| a.markers[0].topics[0].partitions[0].error_code,
            [(31, CLUSTER, "kafka-cluster", ALTER)]
        ),
        cell!(
            "TxnOffsetCommit",
            3,
            txn_commit(),
            |a| a.topics[0].partitions[0].error_code,
            [(53, TXN, "x", WRITE), (30, GROUP, "g", READ), (29, TOPIC, "t", READ)]
        ),
        cell!("DescribeAcls", 2, shown(None), |a| a.error_code, [(31, CLUSTER, "kafka-cluster", DESCRIBE)]),
        cell!(
            "CreateAcls",
            2,
            CreateAclsRequest::default().with_creations(vec![rule(TOPIC, "z", READ)]),
            |a| a.results[0].error_code,
            [(31, CLUSTER, "kafka-cluster", ALTER)]
        ),
        cell!(
            "DeleteAcls",
            2,
            DeleteAclsRequest::default().with_filters(vec![any().with_resource_name_filter(Some(text("z")))]),
            |a| a.filter_results[0].error_code,
            [(31, CLUSTER, "kafka-cluster", ALTER)]
        ),
        cell!(
            "DescribeConfigs of a topic",
            4,
            config(2, "t"),
            |a| a.results[0].error_code,
            [(29, TOPIC, "t", DESCRIBE_CONFIGS)]
        ),
        cell!(
            "DescribeConfigs of a broker",
            4,
            config(4, "1"),
            |a| a.results[0].error_code,
            [(31, CLUSTER, "kafka-cluster", DESCRIBE_CONFIGS)]
        ),
        cell!(
            "DescribeConfigs of a group",
            4,
            config(32, "g"),
            |a| a.results[0].error_code,
            [(30, GROUP, "g", DESCRIBE_CONFIGS)]
        ),
        cell!(
            "AlterConfigs",
            2,
            AlterConfigsRequest::default().with_resources(vec![
                alter_configs_request::AlterConfigsResource::default()
                    .with_resource_type(2)
                    .with_resource_name(text("t"))
            ]),
            |a| a.responses[0].error_code,
            [(29, TOPIC, "t", ALTER_CONFIGS)]
        ),
        cell!(
            "IncrementalAlterConfigs of a topic",
            1,
            alter(2, "t"),
            |a| a.responses[0].error_code,
            [(29, TOPIC, "t", ALTER_CONFIGS)]
        ),
        cell!(
            "IncrementalAlterConfigs of a broker",
            1,
            alter(4, "1"),
            |a| a.responses[0].error_code,
            [(31, CLUSTER, "kafka-cluster", ALTER_CONFIGS)]
        ),
        cell!(
            "IncrementalAlterConfigs of a group",
            1,
            alter(32, "g"),
            |a| a.responses[0].error_code,
            [(30, GROUP, "g", ALTER_CONFIGS)]
        ),
        cell!(
            "CreatePartitions",
            3,
            CreatePartitionsRequest::default().with_topics(vec![
                CreatePartitionsTopic::default().with_name(topic_name("t")).with_count(1).with_assignments(None)
            ]),
            |a| a.results[0].error_code,
            [(29, TOPIC, "t", ALTER)]
        ),
        cell!(
            "CreateDelegationToken for somebody else",
            3,
            CreateDelegationTokenRequest::default()
                .with_owner_principal_type(Some(text("User")))
                .with_owner_principal_name(Some(text("bob"))),
            |a| a.error_code,
            [(65, USER, "User:bob", CREATE_TOKENS)]
        ),
        cell!(
            "DescribeUserScramCredentials",
            0,
            DescribeUserScramCredentialsRequest::default().with_users(None),
            |a| a.error_code,
            [(31, CLUSTER, "kafka-cluster", DESCRIBE)]
        ),
        cell!(
            "AlterUserScramCredentials",
            0,
            scram(),
            |a| a.results[0].error_code,
            [(31, CLUSTER, "kafka-cluster", ALTER)]
        ),
        cell!(
            "DescribeProducers",
            0,
            DescribeProducersRequest::default().with_topics(vec![
                describe_producers_request::TopicRequest::default()
                    .with_name(topic_name("t"))
                    .with_partition_indexes(vec![0])
            ]),
            |a| a.topics[0].partitions[0].error_code,
            [(29, TOPIC, "t", READ)]
        ),
        cell!(
            "DescribeTransactions",
            0,
            DescribeTransactionsRequest::default().with_transactional_ids(vec![txn_id()]),
            |a| a.transaction_states[0].error_code,
            [(53, TXN, "x", DESCRIBE)]
        ),
        cell!(
            "DescribeTopicPartitions",
            0,
            DescribeTopicPartitionsRequest::default().with_response_partition_limit(10).with_topics(vec![
                describe_topic_partitions_request::TopicRequest::default().with_name(topic_name("t"))
            ]),
            |a| a.topics[0].error_code,
            [(29, TOPIC, "t", DESCRIBE)]
        ),
        cell!(
            "OffsetDelete",
            0,
            OffsetDeleteRequest::default().with_group_id(group_id()).with_topics(vec![
                OffsetDeleteRequestTopic::default()
                    .with_name(topic_name("t"))
                    .with_partitions(vec![OffsetDeleteRequestPartition::default()])
            ]),
            |a| a.topics.first().map_or(a.error_code, |topic| topic.partitions[0].error_code),
            [(30, GROUP, "g", DELETE), (29, TOPIC, "t", READ)]
        ),
        cell!(
            "ConsumerGroupHeartbeat",
            0,
            ConsumerGroupHeartbeatRequest::default()
                .with_group_id(group_id())
                .with_subscribed_topic_names(Some(vec![topic_name("t")])),
            |a| a.error_code,
            [(30, GROUP, "g", READ), (29, TOPIC, "t", DESCRIBE)]
        ),
        cell!(
            "ConsumerGroupDescribe",
            0,
            ConsumerGroupDescribeRequest::default().with_group_ids(vec![group_id()]),
            |a| a.groups[0].error_code,
            [(30, GROUP, "g", DESCRIBE)]
        ),
        cell!(
            "AlterReplicaLogDirs",
            2,
            AlterReplicaLogDirsRequest::default().with_dirs(vec![AlterReplicaLogDir::default().with_topics(vec![
                AlterReplicaLogDirTopic::default().with_name(topic_name("t")).with_partitions(vec![0])
            ])]),
            |a| a.results[0].partitions[0].error_code,
            [(31, CLUSTER, "kafka-cluster", ALTER)]
        ),
        cell!(
            "DescribeLogDirs",
            4,
            DescribeLogDirsRequest::default().with_topics(None),
            |a| a.error_code,
            [(31, CLUSTER, "kafka-cluster", DESCRIBE)]
        ),
        cell!(
            "ElectLeaders",
            2,
            ElectLeadersRequest::default().with_topic_partitions(None),
            |a| a.error_code,
            [(31, CLUSTER, "kafka-cluster", ALTER)]
        ),
        cell!(
            "AlterPartitionReassignments",
            0,
            AlterPartitionReassignmentsRequest::default(),
            |a| a.error_code,
            [(31, CLUSTER, "kafka-cluster", ALTER)]
        ),
        cell!(
            "ListPartitionReassignments",
            0,
            ListPartitionReassignmentsRequest::default().with_topics(None),
            |a| a.error_code,
            [(31, CLUSTER, "kafka-cluster", DESCRIBE)]
        ),
        cell!(
            "DescribeQuorum",
            2,
            DescribeQuorumRequest::default(),
            |a| a.error_code,
            [(31, CLUSTER, "kafka-cluster", DESCRIBE)]
        ),
        cell!(
            "UpdateFeatures",
            1,
            UpdateFeaturesRequest::default(),
            |a| a.error_code,
            [(31, CLUSTER, "kafka-cluster", ALTER)]
        ),
        cell!(
            "UnregisterBroker",
            0,
            UnregisterBrokerRequest::default(),
            |a| a.error_code,
            [(31, CLUSTER, "kafka-cluster", ALTER)]
        ),
        cell!(
            "ListConfigResources",
            1,
            ListConfigResourcesRequest::default(),
            |a| a.error_code,
            [(31, CLUSTER, "kafka-cluster", DESCRIBE_CONFIGS)]
        ),
        cell!(
            "DescribeClientQuotas",
            1,
            DescribeClientQuotasRequest::default(),
            |a| a.error_code,
            [(31, CLUSTER, "kafka-cluster", DESCRIBE_CONFIGS)]
        ),
        cell!(
            "AlterClientQuotas",
            1,
            AlterClientQuotasRequest::default().with_validate_only(true).with_entries(vec![
                alter_client_quotas_request::EntryData::default().with_entity(vec![
                    alter_client_quotas_request::EntityData::default()
                        .with_entity_type(text("user"))
                        .with_entity_name(None)
                ])
            ]),
            |a| a.entries[0].error_code,
            [(31, CLUSTER, "kafka-cluster", ALTER_CONFIGS)]
        ),
    ]
}
