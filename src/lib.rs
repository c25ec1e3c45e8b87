//! interfluve: one log engine with two complete faces.

pub mod accept;
pub mod auth;
pub mod aws;
pub mod caught;
pub mod chance;
pub mod cli;
pub mod clock;
pub mod config;
pub mod engine;
pub mod ids;
pub mod kafka;
pub mod kinesis;
pub mod ledger;
pub mod log;
pub mod metrics;
pub mod record;
pub mod server;
pub mod store;
pub mod trace;
