//! Every message of the Kafka face by its API key, ours and the peer codec's. Adds no rule of its own.

/// Calls `$each!(key, ours request, ours response, theirs request, theirs response)` for the row of `$key`.
#[macro_export]
macro_rules! by_key {
    ($key:expr, $each:ident!$extra:tt) => {
        $crate::by_key!(@rows $key, $each, $extra;
            0 produce ProduceRequest ProduceResponse;
            1 fetch FetchRequest FetchResponse;
            2 list_offsets ListOffsetsRequest ListOffsetsResponse;
            3 metadata MetadataRequest MetadataResponse;
            8 offset_commit OffsetCommitRequest OffsetCommitResponse;
            9 offset_fetch OffsetFetchRequest OffsetFetchResponse;
            10 find_coordinator FindCoordinatorRequest FindCoordinatorResponse;
            11 join_group JoinGroupRequest JoinGroupResponse;
            12 heartbeat HeartbeatRequest HeartbeatResponse;
            13 leave_group LeaveGroupRequest LeaveGroupResponse;
            14 sync_group SyncGroupRequest SyncGroupResponse;
            15 describe_groups DescribeGroupsRequest DescribeGroupsResponse;
            16 list_groups ListGroupsRequest ListGroupsResponse;
            18 api_versions ApiVersionsRequest ApiVersionsResponse;
            19 create_topics CreateTopicsRequest CreateTopicsResponse;
            20 delete_topics DeleteTopicsRequest DeleteTopicsResponse;
            21 delete_records DeleteRecordsRequest DeleteRecordsResponse;
            22 init_producer_id InitProducerIdRequest InitProducerIdResponse;
            23 offset_for_leader_epoch OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse;
            32 describe_configs DescribeConfigsRequest DescribeConfigsResponse;
            33 alter_configs AlterConfigsRequest AlterConfigsResponse;
            37 create_partitions CreatePartitionsRequest CreatePartitionsResponse;
            42 delete_groups DeleteGroupsRequest DeleteGroupsResponse;
            44 incremental_alter_configs IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse;
            60 describe_cluster DescribeClusterRequest DescribeClusterResponse;
            75 describe_topic_partitions DescribeTopicPartitionsRequest DescribeTopicPartitionsResponse;
        )
    };
    (@rows $key:expr, $each:ident, $extra:tt; $($number:literal $module:ident $request:ident $response:ident;)*) => {
        match $key {
            $($number => $each!($number, interfluve::kafka::wire::messages::$module::$request,
                interfluve::kafka::wire::messages::$module::$response,
                kafka_protocol::messages::$request, kafka_protocol::messages::$response; $extra),)*
            _ => {}
        }
    };
}
