//! What every message must do, shown on random values of every message and version. A failing value is named by its
//! seed: `WIRE_SEED` and `WIRE_VALUES` (values per message and version) replay and widen a run.

/// Hands all messages we state to a macro, by module.
macro_rules! every_message {
    ($use:ident) => {
        $use! {
            alter_configs: AlterConfigsRequest AlterConfigsResponse;
            api_versions: ApiVersionsRequest ApiVersionsResponse;
            consumer_protocol: ConsumerProtocolSubscription ConsumerProtocolAssignment;
            create_partitions: CreatePartitionsRequest CreatePartitionsResponse;
            create_topics: CreateTopicsRequest CreateTopicsResponse;
            delete_groups: DeleteGroupsRequest DeleteGroupsResponse;
            delete_records: DeleteRecordsRequest DeleteRecordsResponse;
            delete_topics: DeleteTopicsRequest DeleteTopicsResponse;
            describe_cluster: DescribeClusterRequest DescribeClusterResponse;
            describe_configs: DescribeConfigsRequest DescribeConfigsResponse;
            describe_groups: DescribeGroupsRequest DescribeGroupsResponse;
            describe_topic_partitions: DescribeTopicPartitionsRequest DescribeTopicPartitionsResponse;
            fetch: FetchRequest FetchResponse;
            find_coordinator: FindCoordinatorRequest FindCoordinatorResponse;
            heartbeat: HeartbeatRequest HeartbeatResponse;
            incremental_alter_configs: IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse;
            init_producer_id: InitProducerIdRequest InitProducerIdResponse;
            join_group: JoinGroupRequest JoinGroupResponse;
            leave_group: LeaveGroupRequest LeaveGroupResponse;
            list_groups: ListGroupsRequest ListGroupsResponse;
            list_offsets: ListOffsetsRequest ListOffsetsResponse;
            metadata: MetadataRequest MetadataResponse;
            offset_commit: OffsetCommitRequest OffsetCommitResponse;
            offset_fetch: OffsetFetchRequest OffsetFetchResponse;
            offset_for_leader_epoch: OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse;
            produce: ProduceRequest ProduceResponse;
            sync_group: SyncGroupRequest SyncGroupResponse;
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
