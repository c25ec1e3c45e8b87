//! The Kafka face: it translates Kafka's protocol into the engine's eight verbs and back, and holds nothing.

pub mod error;
pub mod frame;
pub mod group;
pub mod session;
pub mod wire;
