//! Kafka's messages as bytes and as structs: our own codec, bounded and without copies of record bytes.
//!
//! `codec` reads and writes the primitive types, `message` states whole messages, `messages/` holds one file per API
//! key, `header` the frame headers. Nothing here knows a connection, the engine or the meaning of a message, and
//! nothing is ever allocated from a length on the wire.

pub mod codec;
pub mod error;
pub mod header;
#[macro_use]
mod message;
pub mod field;
pub mod messages;
pub mod rope;
pub mod versioned;

pub use codec::{Reader, Writer};
pub use error::{What, WireError};
pub use field::Uuid;
pub use message::{Message, NEVER, Request};
pub use rope::Rope;

#[cfg(test)]
mod tests;
