//! Values that carry their own version: an i16, then the message. Records of `__consumer_offsets` and what members of
//! consumer groups tell each other are kept like this. Never decides what to do about an unknown version.

use bytes::Bytes;

use super::codec::{Reader, Writer};
use super::error::WireError;
use super::message::Message;

/// The version that stands before a value.
pub fn version(bytes: &Bytes) -> Result<i16, WireError> {
    Reader::new(bytes.clone()).i16()
}

/// Reads a value of exactly the versions we know, and nothing behind it.
pub fn read<M: Message>(bytes: Bytes) -> Result<(i16, M), WireError> {
    let mut r = Reader::new(bytes);
    r.at(M::NAME, "");
    let version = r.i16()?;
    let message = M::decode(&mut r, version)?;
    r.at(M::NAME, "");
    r.finish()?;
    Ok((version, message))
}

/// Reads a value whose newer versions only add at the end, as the consumer protocol promises: a newer one is read as
/// the newest we know, and what follows is left alone.
pub fn read_newer<M: Message>(bytes: Bytes) -> Result<(i16, M), WireError> {
    let mut r = Reader::new(bytes);
    r.at(M::NAME, "");
    let version = r.i16()?;
    let message = M::decode(&mut r, version.min(*M::RANGE.end()))?;
    Ok((version, message))
}

/// Writes a value behind its version.
pub fn write<M: Message>(message: &M, version: i16) -> Result<Bytes, WireError> {
    let mut w = Writer::with_capacity(2 + message.wire_bytes(version)?);
    w.put(&version.to_be_bytes());
    message.encode(&mut w, version)?;
    Ok(w.finish().into_bytes())
}
