//! The APIs: one file per key, named as Kafka names it. Here is what they have in common; nothing here knows any one.

use std::future::Future;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::kafka::cx::{Call, Cx};
use crate::kafka::wire::{Message, Request};

pub mod add_offsets_to_txn;
pub mod add_partitions_to_txn;
pub mod alter_client_quotas;
pub mod alter_configs;
pub mod alter_partition_reassignments;
pub mod alter_replica_log_dirs;
pub mod alter_user_scram_credentials;
pub mod api_versions;
pub mod consumer_group_describe;
pub mod consumer_group_heartbeat;
pub mod create_acls;
pub mod create_delegation_token;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_acls;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_acls;
pub mod describe_client_quotas;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_delegation_token;
pub mod describe_groups;
pub mod describe_log_dirs;
pub mod describe_producers;
pub mod describe_quorum;
pub mod describe_topic_partitions;
pub mod describe_transactions;
pub mod describe_user_scram_credentials;
pub mod elect_leaders;
pub mod end_txn;
pub mod expire_delegation_token;
pub mod fetch;
pub mod find_coordinator;
pub mod heartbeat;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod join_group;
pub mod leave_group;
pub mod list_config_resources;
pub mod list_groups;
pub mod list_offsets;
pub mod list_partition_reassignments;
pub mod list_transactions;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod produce;
pub mod renew_delegation_token;
pub mod sasl_authenticate;
pub mod sasl_handshake;
pub mod sync_group;
pub mod txn_offset_commit;
pub mod unregister_broker;
pub mod update_features;
pub mod write_txn_markers;

/// A future of something, owned and sent between threads.
pub type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// One API: all of its versions.
pub trait Api: 'static {
    type Request: Request + Send + 'static;
    type Response: Message + Send + 'static;
    /// What is served; all that the messages can say, if nothing else is said.
    const VERSIONS: RangeInclusive<i16> = <Self::Request as Message>::RANGE;

    /// The memory a request was admitted to goes on with what it appends. Of all others it is given back as soon as the
    /// request is read: a handler that waits must not keep others out.
    const APPENDS: bool = false;

    /// What a client is charged for beside its time: the bytes of the request, or of the answer.
    const CHARGED: Option<Charged> = None;

    /// Handles one request. The connection reads its next request when this is ready; responses leave in the order of
    /// requests in any case. Everything whose order matters is done before the first await.
    fn handle(cx: Arc<Cx>, call: Call, request: Self::Request) -> impl Future<Output = Answer<Self::Response>> + Send;
}

/// What a request is charged for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Charged {
    Request,
    Answer,
}

/// What a handler has to say.
pub enum Answer<R> {
    Now(R),
    /// Everything is in its place, only durability is awaited: the connection goes on with its next request meanwhile.
    Later(Later<R>),
    /// No answer is wanted (acks=0). If it fails after all, the connection is closed: that is all a client can be told.
    Silent(Later<Result<(), String>>),
    /// Nothing can be answered; the connection is closed. The reason is for our log.
    Close(String),
}

/// What a client hears whose timeout passed first.
const LATE: &str = "it did not become durable in time; it may still happen";
/// For clients that give no time at all (several send 0 and mean "as long as it takes").
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Waits for `done` as long as the client wants to wait. `None`: it took longer.
async fn within<T>(timeout_ms: i32, done: impl Future<Output = T>) -> Option<T> {
    let wait = match u64::try_from(timeout_ms) {
        Ok(ms) if ms > 0 => Duration::from_millis(ms),
        _ => LONGEST_WAIT,
    };
    tokio::time::timeout(wait, done).await.ok()
}
