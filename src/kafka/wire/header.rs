//! The headers before every message, which version of them a message takes, and whole frames. Never reads a message.
//!
//! ```text
//! frame             i32 size of what follows │ header │ message
//! request header 1  i16 API key │ i16 API version │ i32 correlation │ classic nullable string client id
//! request header 2  the same │ tagged fields                          (from the message's first flexible version)
//! response header 0 i32 correlation
//! response header 1 i32 correlation │ tagged fields      (from the first flexible version, never for ApiVersions)
//! ```
//! The client id stays classic in header 2, so that a broker can read the header of a request it does not know.

use super::codec::{Reader, Writer};
use super::error::{What, WireError};
use super::message::{Message, NEVER, Request};
use super::rope::Rope;

const API_VERSIONS: i16 = 18;

/// The first flexible version of each API key of Kafka 3.9 and 4.4, internal ones included.
const FLEXIBLE_FROM: [i16; 95] = {
    const N: i16 = NEVER;
    [
        9, 12, 6, 9, 4, 2, 6, 3, 8, 6, // Produce … OffsetFetch
        3, 6, 4, 4, 4, 5, 3, N, 3, 5, // FindCoordinator … CreateTopics
        4, 2, 2, 4, 3, 3, 3, 1, 3, 2, // DeleteTopics … DescribeAcls
        2, 2, 4, 2, 2, 2, 2, 2, 2, 2, // CreateAcls … RenewDelegationToken
        2, 2, 2, 2, 1, 0, 0, N, 1, 1, // ExpireDelegationToken … AlterClientQuotas
        0, 0, 0, 1, 1, 0, 0, 0, 0, 0, // DescribeUserScramCredentials … FetchSnapshot
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // DescribeCluster … ConsumerGroupDescribe
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // ControllerRegistration … ShareAcknowledge
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, // AddRaftVoter … StreamsGroupDescribe
        0, 0, 0, 0, 0, // DescribeShareGroupOffsets … UnregisterController
    ]
};

/// Whether a message has compact lengths and tagged fields; `None` for an unknown API key.
pub fn is_flexible(key: i16, version: i16) -> Option<bool> {
    let from = FLEXIBLE_FROM.get(usize::try_from(key).ok()?)?;
    Some(version >= *from)
}

/// The header version of a request: 1 or 2; `None` for an unknown API key.
pub fn request_header_version(key: i16, version: i16) -> Option<i16> {
    Some(if is_flexible(key, version)? { 2 } else { 1 })
}

/// The header version of a response: 0 or 1; `None` for an unknown API key.
pub fn response_header_version(key: i16, version: i16) -> Option<i16> {
    // A client that asks which versions exist cannot know how the answer is headed (KIP-511).
    Some(i16::from(key != API_VERSIONS && is_flexible(key, version)?))
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHeader {
    pub request_api_key: i16,
    pub request_api_version: i16,
    pub correlation_id: i32,
    pub client_id: Option<String>,
}

impl RequestHeader {
    /// Reads the header and leaves the reader at the message. An unknown API key is read as header version 1: enough
    /// to say who asked for what.
    pub fn read(r: &mut Reader) -> Result<RequestHeader, WireError> {
        r.at("RequestHeader", "request_api_key");
        let request_api_key = r.i16()?;
        r.at("RequestHeader", "request_api_version");
        let request_api_version = r.i16()?;
        r.at("RequestHeader", "correlation_id");
        let correlation_id = r.i32()?;
        r.at("RequestHeader", "client_id");
        let client_id = r.string(false)?;
        if is_flexible(request_api_key, request_api_version) == Some(true) {
            r.at("RequestHeader", "");
            skip_tags(r)?;
        }
        Ok(RequestHeader { request_api_key, request_api_version, correlation_id, client_id })
    }

    /// Writes the header in the version its API key and version take.
    pub fn write(&self, w: &mut Writer) -> Result<(), WireError> {
        w.at("RequestHeader", "client_id");
        w.put(&self.request_api_key.to_be_bytes());
        w.put(&self.request_api_version.to_be_bytes());
        w.put(&self.correlation_id.to_be_bytes());
        w.string(self.client_id.as_deref(), false)?;
        if is_flexible(self.request_api_key, self.request_api_version) == Some(true) {
            w.uvarint(0);
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseHeader {
    pub correlation_id: i32,
}

impl ResponseHeader {
    /// Reads the header that an answer to this API key and version has.
    pub fn read(r: &mut Reader, key: i16, version: i16) -> Result<ResponseHeader, WireError> {
        r.at("ResponseHeader", "correlation_id");
        let correlation_id = r.i32()?;
        if response_header_version(key, version) == Some(1) {
            r.at("ResponseHeader", "");
            skip_tags(r)?;
        }
        Ok(ResponseHeader { correlation_id })
    }

    /// Writes the header that an answer to this API key and version has.
    pub fn write(&self, w: &mut Writer, key: i16, version: i16) {
        w.put(&self.correlation_id.to_be_bytes());
        if response_header_version(key, version) == Some(1) {
            w.uvarint(0);
        }
    }
}

fn skip_tags(r: &mut Reader) -> Result<(), WireError> {
    let mut tags = r.tags()?;
    while let Some(tag) = r.next_tag(&mut tags)? {
        r.skip_tag(tag);
    }
    Ok(())
}

/// A whole frame that answers a request of this API key and version. Byte slices of the message are shared.
pub fn response_frame<M: Message>(key: i16, version: i16, correlation_id: i32, message: &M) -> Result<Rope, WireError> {
    let header = ResponseHeader { correlation_id };
    frame(|w| {
        header.write(w, key, version);
        message.encode(w, version)
    })
}

/// A whole frame that asks.
pub fn request_frame<M: Request>(
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
    message: &M,
) -> Result<Rope, WireError> {
    let header = RequestHeader {
        request_api_key: M::API_KEY,
        request_api_version: version,
        correlation_id,
        client_id: client_id.map(str::to_owned),
    };
    frame(|w| {
        header.write(w)?;
        message.encode(w, version)
    })
}

/// The size stands before everything else: the content is counted first, then written.
fn frame(content: impl Fn(&mut Writer) -> Result<(), WireError>) -> Result<Rope, WireError> {
    let mut counter = Writer::counting();
    content(&mut counter)?;
    let size = counter.written();
    let wire_size = i32::try_from(size).map_err(|_| counter.error(What::Length(size as i64)))?;
    let mut w = Writer::with_capacity(4 + counter.copied());
    w.put(&wire_size.to_be_bytes());
    content(&mut w)?;
    Ok(w.finish())
}
