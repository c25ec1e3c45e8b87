//! The table of APIs: one line each. What ApiVersions answers, who handles a request, what metrics call it and what
//! `docs/protocol.md` says all come from here; nothing that is not in it is served or advertised.

use std::fmt::Write as _;
use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;

use crate::engine::Permit;
use crate::kafka::api::{self, Answer, Api, Charged, Later};
use crate::kafka::cx::{Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::quota::limits::Kind;
use crate::kafka::quota::{self, Timed};
use crate::kafka::wire::messages::api_versions::{ApiVersion, ApiVersionsResponse};
use crate::kafka::wire::{Message, NEVER, Reader, Request, Rope, Writer};

/// Every API served, sorted by key.
pub static TABLE: &[Row] = &[
    row::<api::produce::Produce>("Produce").listed_from(0),
    row::<api::fetch::Fetch>("Fetch"),
    row::<api::list_offsets::ListOffsets>("ListOffsets"),
    row::<api::metadata::Metadata>("Metadata"),
    row::<api::offset_commit::OffsetCommit>("OffsetCommit"),
    row::<api::offset_fetch::OffsetFetch>("OffsetFetch"),
    row::<api::find_coordinator::FindCoordinator>("FindCoordinator"),
    row::<api::join_group::JoinGroup>("JoinGroup"),
    row::<api::heartbeat::Heartbeat>("Heartbeat"),
    row::<api::leave_group::LeaveGroup>("LeaveGroup"),
    row::<api::sync_group::SyncGroup>("SyncGroup"),
    row::<api::describe_groups::DescribeGroups>("DescribeGroups"),
    row::<api::list_groups::ListGroups>("ListGroups"),
    row::<api::sasl_handshake::SaslHandshake>("SaslHandshake"),
    row::<api::api_versions::ApiVersions>("ApiVersions"),
    row::<api::create_topics::CreateTopics>("CreateTopics"),
    row::<api::delete_topics::DeleteTopics>("DeleteTopics"),
    row::<api::delete_records::DeleteRecords>("DeleteRecords"),
    row::<api::init_producer_id::InitProducerId>("InitProducerId"),
    row::<api::offset_for_leader_epoch::OffsetForLeaderEpoch>("OffsetForLeaderEpoch"),
    row::<api::add_partitions_to_txn::AddPartitionsToTxn>("AddPartitionsToTxn"),
    row::<api::add_offsets_to_txn::AddOffsetsToTxn>("AddOffsetsToTxn"),
    row::<api::end_txn::EndTxn>("EndTxn"),
    row::<api::write_txn_markers::WriteTxnMarkers>("WriteTxnMarkers"),
    row::<api::txn_offset_commit::TxnOffsetCommit>("TxnOffsetCommit"),
    row::<api::describe_acls::DescribeAcls>("DescribeAcls"),
    row::<api::create_acls::CreateAcls>("CreateAcls"),
    row::<api::delete_acls::DeleteAcls>("DeleteAcls"),
    row::<api::describe_configs::DescribeConfigs>("DescribeConfigs"),
    row::<api::alter_configs::AlterConfigs>("AlterConfigs"),
    row::<api::alter_replica_log_dirs::AlterReplicaLogDirs>("AlterReplicaLogDirs"),
    row::<api::describe_log_dirs::DescribeLogDirs>("DescribeLogDirs"),
    row::<api::sasl_authenticate::SaslAuthenticate>("SaslAuthenticate"),
    row::<api::create_partitions::CreatePartitions>("CreatePartitions"),
    row::<api::create_delegation_token::CreateDelegationToken>("CreateDelegationToken"),
    row::<api::renew_delegation_token::RenewDelegationToken>("RenewDelegationToken"),
    row::<api::expire_delegation_token::ExpireDelegationToken>("ExpireDelegationToken"),
    row::<api::describe_delegation_token::DescribeDelegationToken>("DescribeDelegationToken"),
    row::<api::delete_groups::DeleteGroups>("DeleteGroups"),
    row::<api::elect_leaders::ElectLeaders>("ElectLeaders"),
    row::<api::incremental_alter_configs::IncrementalAlterConfigs>("IncrementalAlterConfigs"),
    row::<api::alter_partition_reassignments::AlterPartitionReassignments>("AlterPartitionReassignments"),
    row::<api::list_partition_reassignments::ListPartitionReassignments>("ListPartitionReassignments"),
    row::<api::offset_delete::OffsetDelete>("OffsetDelete"),
    row::<api::describe_client_quotas::DescribeClientQuotas>("DescribeClientQuotas"),
    row::<api::alter_client_quotas::AlterClientQuotas>("AlterClientQuotas"),
    row::<api::describe_user_scram_credentials::DescribeUserScramCredentials>("DescribeUserScramCredentials"),
    row::<api::alter_user_scram_credentials::AlterUserScramCredentials>("AlterUserScramCredentials"),
    row::<api::describe_quorum::DescribeQuorum>("DescribeQuorum"),
    row::<api::update_features::UpdateFeatures>("UpdateFeatures"),
    row::<api::describe_cluster::DescribeCluster>("DescribeCluster"),
    row::<api::describe_producers::DescribeProducers>("DescribeProducers"),
    row::<api::unregister_broker::UnregisterBroker>("UnregisterBroker"),
    row::<api::describe_transactions::DescribeTransactions>("DescribeTransactions"),
    row::<api::list_transactions::ListTransactions>("ListTransactions"),
    row::<api::consumer_group_heartbeat::ConsumerGroupHeartbeat>("ConsumerGroupHeartbeat"),
    row::<api::consumer_group_describe::ConsumerGroupDescribe>("ConsumerGroupDescribe"),
    row::<api::list_config_resources::ListConfigResources>("ListConfigResources"),
    row::<api::describe_topic_partitions::DescribeTopicPartitions>("DescribeTopicPartitions"),
];

/// The key of ApiVersions, which alone is answered at versions we do not know.
pub const API_VERSIONS: i16 = 18;

/// One API.
pub struct Row {
    pub key: i16,
    pub name: &'static str,
    /// The versions that are served.
    pub versions: RangeInclusive<i16>,
    /// The lowest version ApiVersions lists. Lower than served only for Produce: librdkafka switches compression off
    /// where Produce 0 is not listed (KAFKA-18659), so Kafka lists 0-2 and refuses them, and so do we.
    pub listed_from: i16,
    /// The first version with tagged fields; it decides the request's and the response's header too.
    pub flexible_from: i16,
    run: fn(Arc<Cx>, Call, Bytes) -> Later<Outcome>,
}

/// What became of a request, and for how long its connection is not to be read: its client has used more than its quota.
pub struct Outcome {
    pub done: Done,
    pub mute_ms: i32,
}

/// What became of a request, in bytes.
pub enum Done {
    Answer(Rope),
    /// The order of what it does is settled; the answer comes when it is durable.
    Later(Later<Result<Rope, String>>),
    /// No answer is wanted (acks=0); an error closes the connection.
    Silent(Later<Result<(), String>>),
    /// Nothing can be answered; the reason is for our log.
    Close(String),
}

/// An API that panics, for tests of what becomes of its connection and of others.
#[cfg(test)]
pub static PLANTED: Row = Row {
    key: i16::MAX,
    name: "Planted",
    versions: 0..=0,
    listed_from: 0,
    flexible_from: NEVER,
    run: |_, _, _| Box::pin(async { panic!("a planted panic") }),
};

/// The line of an API key.
pub fn find(key: i16) -> Option<&'static Row> {
    #[cfg(test)]
    if key == PLANTED.key {
        return Some(&PLANTED);
    }
    TABLE.binary_search_by_key(&key, |row| row.key).ok().map(|at| &TABLE[at])
}

impl Row {
    const fn listed_from(mut self, version: i16) -> Row {
        self.listed_from = version;
        self
    }

    /// Whether a request of this version has a header with tagged fields.
    pub fn flexible_request(&self, version: i16) -> bool {
        version >= self.flexible_from
    }

    /// Whether its answer has one: never for ApiVersions, which a client sends before it knows what we speak.
    pub fn flexible_response(&self, version: i16) -> bool {
        version >= self.flexible_from && self.key != API_VERSIONS
    }

    /// Handles one request of a served version.
    pub fn run(&self, cx: Arc<Cx>, call: Call, body: Bytes) -> Later<Outcome> {
        (self.run)(cx, call, body)
    }
}

const fn row<A: Api>(name: &'static str) -> Row {
    Row {
        key: A::Request::API_KEY,
        name,
        versions: A::VERSIONS,
        listed_from: *A::VERSIONS.start(),
        flexible_from: A::Request::FLEXIBLE,
        run: |cx, call, body| Box::pin(run::<A>(cx, call, body)),
    }
}

async fn run<A: Api>(cx: Arc<Cx>, mut call: Call, body: Bytes) -> Outcome {
    let (version, request_bytes) = (call.version, body.len());
    let outcome = |done: Done, mute_ms: i32| Outcome { done, mute_ms };
    let request = match A::Request::decode(&mut Reader::new(body), version) {
        Ok(request) => request,
        Err(error) => return outcome(Done::Close(format!("the request cannot be read: {error}")), 0),
    };
    if !A::APPENDS {
        call.permit = Permit::default();
    }
    let metered = cx.quotas.metered(&cx.overrides, &call);
    let Some(metered) = metered else {
        return match A::handle(cx, call, request).await {
            Answer::Now(response) => outcome(encode(&response, version).map_or_else(Done::Close, Done::Answer), 0),
            Answer::Later(answer) => outcome(Done::Later(Box::pin(async move { encode(&answer.await, version) })), 0),
            Answer::Silent(later) => outcome(Done::Silent(later), 0),
            Answer::Close(why) => outcome(Done::Close(why), 0),
        };
    };
    let handled = A::handle(cx.clone(), call, request);
    let (answer, us) = if metered.pays_for_time() { Timed::new(handled).await } else { (handled.await, 0) };
    let now = cx.engine.clock().now();
    let mut mute_ms = cx.quotas.charge(&metered, Kind::Request, quota::percent_of_a_second(us), now);
    if A::CHARGED == Some(Charged::Request) {
        mute_ms = mute_ms.max(cx.quotas.charge(&metered, Kind::Produce, request_bytes as f64, now));
    }
    match answer {
        Answer::Now(mut response) => {
            if A::CHARGED == Some(Charged::Answer) {
                let bytes = response.wire_bytes(version).unwrap_or(0);
                mute_ms = mute_ms.max(cx.quotas.charge(&metered, Kind::Fetch, bytes as f64, now));
            }
            // A handler may have said more.
            mute_ms = response.throttle(mute_ms);
            outcome(encode(&response, version).map_or_else(Done::Close, Done::Answer), mute_ms)
        }
        Answer::Later(response) => {
            let later = async move {
                let mut response = response.await;
                response.throttle(mute_ms);
                encode(&response, version)
            };
            outcome(Done::Later(Box::pin(later)), mute_ms)
        }
        Answer::Silent(later) => outcome(Done::Silent(later), mute_ms),
        Answer::Close(why) => outcome(Done::Close(why), 0),
    }
}

fn encode<M: Message>(response: &M, version: i16) -> Result<Rope, String> {
    let mut writer = Writer::new();
    match response.encode(&mut writer, version) {
        Ok(()) => Ok(writer.finish()),
        Err(error) => Err(format!("the answer cannot be written: {error}")),
    }
}

/// What ApiVersions says we speak.
pub fn api_keys() -> Vec<ApiVersion> {
    TABLE.iter().map(listing).collect()
}

fn listing(row: &Row) -> ApiVersion {
    ApiVersion { api_key: row.key, min_version: row.listed_from, max_version: *row.versions.end() }
}

/// The answer to an ApiVersions request of a version from the future: version 0, which every client can read, with the
/// versions of ApiVersions itself, so that it asks again (KIP-511).
pub fn answer_to_unknown_version() -> Rope {
    let api_keys = find(API_VERSIONS).map(listing).into_iter().collect();
    let error_code = Code::UnsupportedVersion.wire();
    let response = ApiVersionsResponse { error_code, api_keys, ..ApiVersionsResponse::default() };
    encode(&response, 0).unwrap_or_default()
}

/// `docs/protocol.md`.
pub fn protocol_markdown() -> String {
    let mut text = String::from(
        "# The Kafka protocol, as served\n\n\
         Generated from `src/kafka/table.rs`; do not edit. Versions are Kafka 3.9's oldest and Kafka 4.4's newest at \
         once. An API or a version that is not in this table is not advertised; a request for one closes the \
         connection, as in Kafka, except that ApiVersions is answered at version 0 with UNSUPPORTED_VERSION.\n\n\
         | key | API | versions | tagged fields from |\n|--:|---|---|---|\n",
    );
    for row in TABLE {
        let (first, last) = (row.versions.start(), row.versions.end());
        let listed = match row.listed_from < *first {
            true => format!(" (lists {} too, refuses them)", range(row.listed_from, first - 1)),
            false => String::new(),
        };
        let flexible = if row.flexible_from == NEVER { "never".into() } else { row.flexible_from.to_string() };
        writeln!(text, "| {} | {} | {}{listed} | {flexible} |", row.key, row.name, range(*first, *last))
            .expect("a string takes everything");
    }
    text
}

fn range(first: i16, last: i16) -> String {
    if first == last { first.to_string() } else { format!("{first}–{last}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_by_key_and_named_once() {
        assert!(TABLE.windows(2).all(|w| w[0].key < w[1].key && w[0].name != w[1].name));
    }

    #[test]
    fn served_versions_can_be_read_and_written() {
        for row in TABLE {
            assert!(!row.versions.is_empty(), "{}", row.name);
            assert!(row.listed_from <= *row.versions.start(), "{}", row.name);
        }
    }

    #[test]
    fn the_answer_to_a_version_from_the_future_is_version_0_with_error_35() {
        let bytes = answer_to_unknown_version().into_bytes();
        assert_eq!(&bytes[..], [0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 5]);
    }

    #[test]
    fn produce_lists_what_it_refuses() {
        let produce = find(0).expect("served");
        assert_eq!((produce.listed_from, produce.versions.clone()), (0, 3..=13));
    }
}
