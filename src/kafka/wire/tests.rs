//! What every message must do, shown on random values of every message and version. A failing value is named by its
//! seed: `WIRE_SEED` and `WIRE_VALUES` (values per message and version) replay and widen a run.

/// Hands all messages that Kafka states with an API key, and what members of groups tell each other, to a macro, by
/// module.
macro_rules! every_message {
    ($use:ident) => {
        $use! {
            add_offsets_to_txn: AddOffsetsToTxnRequest AddOffsetsToTxnResponse;
            add_partitions_to_txn: AddPartitionsToTxnRequest AddPartitionsToTxnResponse;
            alter_client_quotas: AlterClientQuotasRequest AlterClientQuotasResponse;
            alter_configs: AlterConfigsRequest AlterConfigsResponse;
            alter_partition_reassignments: AlterPartitionReassignmentsRequest AlterPartitionReassignmentsResponse;
            alter_replica_log_dirs: AlterReplicaLogDirsRequest AlterReplicaLogDirsResponse;
            alter_user_scram_credentials: AlterUserScramCredentialsRequest AlterUserScramCredentialsResponse;
            api_versions: ApiVersionsRequest ApiVersionsResponse;
            consumer_group_describe: ConsumerGroupDescribeRequest ConsumerGroupDescribeResponse;
            consumer_group_heartbeat: ConsumerGroupHeartbeatRequest ConsumerGroupHeartbeatResponse;
            consumer_protocol: ConsumerProtocolSubscription ConsumerProtocolAssignment;
            create_acls: CreateAclsRequest CreateAclsResponse;
            create_delegation_token: CreateDelegationTokenRequest CreateDelegationTokenResponse;
            create_partitions: CreatePartitionsRequest CreatePartitionsResponse;
            create_topics: CreateTopicsRequest CreateTopicsResponse;
            delete_acls: DeleteAclsRequest DeleteAclsResponse;
            delete_groups: DeleteGroupsRequest DeleteGroupsResponse;
            delete_records: DeleteRecordsRequest DeleteRecordsResponse;
            delete_topics: DeleteTopicsRequest DeleteTopicsResponse;
            describe_acls: DescribeAclsRequest DescribeAclsResponse;
            describe_client_quotas: DescribeClientQuotasRequest DescribeClientQuotasResponse;
            describe_cluster: DescribeClusterRequest DescribeClusterResponse;
            describe_configs: DescribeConfigsRequest DescribeConfigsResponse;
            describe_delegation_token: DescribeDelegationTokenRequest DescribeDelegationTokenResponse;
            describe_groups: DescribeGroupsRequest DescribeGroupsResponse;
            describe_log_dirs: DescribeLogDirsRequest DescribeLogDirsResponse;
            describe_producers: DescribeProducersRequest DescribeProducersResponse;
            describe_quorum: DescribeQuorumRequest DescribeQuorumResponse;
            describe_topic_partitions: DescribeTopicPartitionsRequest DescribeTopicPartitionsResponse;
            describe_transactions: DescribeTransactionsRequest DescribeTransactionsResponse;
            describe_user_scram_credentials: DescribeUserScramCredentialsRequest DescribeUserScramCredentialsResponse;
            elect_leaders: ElectLeadersRequest ElectLeadersResponse;
            end_txn: EndTxnRequest EndTxnResponse;
            expire_delegation_token: ExpireDelegationTokenRequest ExpireDelegationTokenResponse;
            fetch: FetchRequest FetchResponse;
            find_coordinator: FindCoordinatorRequest FindCoordinatorResponse;
            heartbeat: HeartbeatRequest HeartbeatResponse;
            incremental_alter_configs: IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse;
            init_producer_id: InitProducerIdRequest InitProducerIdResponse;
            join_group: JoinGroupRequest JoinGroupResponse;
            leave_group: LeaveGroupRequest LeaveGroupResponse;
            list_config_resources: ListConfigResourcesRequest ListConfigResourcesResponse;
            list_groups: ListGroupsRequest ListGroupsResponse;
            list_offsets: ListOffsetsRequest ListOffsetsResponse;
            list_partition_reassignments: ListPartitionReassignmentsRequest ListPartitionReassignmentsResponse;
            list_transactions: ListTransactionsRequest ListTransactionsResponse;
            metadata: MetadataRequest MetadataResponse;
            offset_commit: OffsetCommitRequest OffsetCommitResponse;
            offset_delete: OffsetDeleteRequest OffsetDeleteResponse;
            offset_fetch: OffsetFetchRequest OffsetFetchResponse;
            offset_for_leader_epoch: OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse;
            produce: ProduceRequest ProduceResponse;
            renew_delegation_token: RenewDelegationTokenRequest RenewDelegationTokenResponse;
            sasl_authenticate: SaslAuthenticateRequest SaslAuthenticateResponse;
            sasl_handshake: SaslHandshakeRequest SaslHandshakeResponse;
            sync_group: SyncGroupRequest SyncGroupResponse;
            txn_offset_commit: TxnOffsetCommitRequest TxnOffsetCommitResponse;
            unregister_broker: UnregisterBrokerRequest UnregisterBrokerResponse;
            update_features: UpdateFeaturesRequest UpdateFeaturesResponse;
            write_txn_markers: WriteTxnMarkersRequest WriteTxnMarkersResponse;
        }
    };
}

/// Hands what is kept in records to a macro, by module: keys and values of Kafka's own logs, and of control records.
macro_rules! every_record {
    ($use:ident) => {
        $use! {
            consumer_group_records:
                ConsumerGroupMetadataKey ConsumerGroupMetadataValue
                ConsumerGroupPartitionMetadataKey ConsumerGroupPartitionMetadataValue
                ConsumerGroupMemberMetadataKey ConsumerGroupMemberMetadataValue
                ConsumerGroupTargetAssignmentMetadataKey ConsumerGroupTargetAssignmentMetadataValue
                ConsumerGroupTargetAssignmentMemberKey ConsumerGroupTargetAssignmentMemberValue
                ConsumerGroupCurrentMemberAssignmentKey ConsumerGroupCurrentMemberAssignmentValue
                ConsumerGroupRegularExpressionKey ConsumerGroupRegularExpressionValue;
            control_records: ControlRecordTypeSchema EndTxnMarker;
            group_records: OffsetCommitKey OffsetCommitValue GroupMetadataKey GroupMetadataValue;
            transaction_records: TransactionLogKey TransactionLogValue;
        }
    };
}

mod bounds;
mod frames;
mod identity;
mod oracle;
mod peer;

use super::Message;

/// Values per message and version in a normal run.
const VALUES: u64 = 300;

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

/// Calls `check` with random values of every version in turn, each with the seed that makes it again.
fn each_value<M: Message>(mut check: impl FnMut(i16, u64, &M)) {
    let first = setting("WIRE_SEED", 1);
    let values = setting("WIRE_VALUES", VALUES);
    println!("{}: seeds {first}..{} for each version", M::NAME, first + values);
    for version in M::RANGE {
        for seed in first..first + values {
            // Printed only when the test fails, the last line then names the value.
            if seed % 100 == 0 || values == 1 {
                println!("{} version {version} seed {seed}", M::NAME);
            }
            let mut rng = fastrand::Rng::with_seed(seed);
            check(version, seed, &M::sample_message(&mut rng, version));
        }
    }
}
