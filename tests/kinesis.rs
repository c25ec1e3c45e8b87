//! The Kinesis face over loopback: a real door, a real engine on a disk in memory, HTTP/1.1 and HTTP/2 in clear text.

#[path = "kinesis/faces.rs"]
mod faces;
#[path = "kinesis/harness.rs"]
mod harness;
#[path = "kinesis/malformed.rs"]
mod malformed;
#[path = "kinesis/operations.rs"]
mod operations;
#[path = "kinesis/reads.rs"]
mod reads;
#[path = "kinesis/slow.rs"]
mod slow;
#[path = "kinesis/wire.rs"]
mod wire;
