//! The Kafka face: it translates Kafka's protocol into the engine's eight verbs and back, and holds nothing.

pub mod access;
pub mod acl;
pub mod api;
pub mod configs;
pub mod connection;
pub mod cx;
pub mod doors;
pub mod error;
pub mod frame;
pub mod group;
pub mod jwks;
pub mod ledgers;
pub mod listen;
pub mod overrides;
pub mod quota;
pub mod recompress;
pub mod sasl;
pub mod security;
pub mod session;
pub mod settings;
pub mod table;
pub mod tls;
pub mod tokens;
pub mod txn;
pub mod wire;
