//! The Kafka face over loopback: real sockets, a real engine on a disk in memory, and the `kafka-protocol` crate as a
//! client that was written by others.

#[path = "kafka/acl_cells.rs"]
mod acl_cells;
#[path = "kafka/acls.rs"]
mod acls;
#[path = "kafka/admin.rs"]
mod admin;
#[path = "kafka/cluster.rs"]
mod cluster;
#[path = "kafka/compaction.rs"]
mod compaction;
#[path = "kafka/configs.rs"]
mod configs;
#[path = "kafka/consumers.rs"]
mod consumers;
#[path = "kafka/data.rs"]
mod data;
#[path = "kafka/harness.rs"]
mod harness;
#[path = "kafka/live.rs"]
mod live;
#[path = "kafka/lookup.rs"]
mod lookup;
#[path = "kafka/oauth.rs"]
mod oauth;
#[path = "kafka/oracle.rs"]
mod oracle;
#[path = "kafka/pitfalls/mod.rs"]
mod pitfalls;
#[path = "kafka/quotas.rs"]
mod quotas;
#[path = "kafka/sasl.rs"]
mod sasl;
#[path = "kafka/sessions.rs"]
mod sessions;
#[path = "kafka/tls.rs"]
mod tls;
#[path = "kafka/tokens.rs"]
mod tokens;
