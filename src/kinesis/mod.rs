//! The Kinesis façade: streams, shards and records as AWS's SDKs expect them, translated to the engine's eight verbs.
//! It holds no state that is not the engine's.

pub mod iterator;
pub mod mapping;
pub mod sequence;
pub mod validate;
