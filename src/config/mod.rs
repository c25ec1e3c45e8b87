//! Configuration: what can be set, what it means, and how a text becomes a value. One declaration per key.
//!
//! Nothing here reads a file, an environment variable or a clock, and nothing here knows a protocol: `cli` gathers the
//! texts and says where each came from; a façade hands over what a client sent.

pub mod keys;
pub mod server;
pub mod server_keys;
pub mod stream;
pub mod stream_keys;

pub use keys::{BadSetting, Effect, Key, Kind, Scope, Section, Unit};
