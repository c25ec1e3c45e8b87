//! A frame: what stands before a request's body, and what strangers say instead. Pure: looks at bytes that have
//! arrived; never reads, waits or allocates by a length that was only claimed.
//!
//! ```text
//! 0 length i32 (of what follows) │ 4 api key i16 │ 6 version i16 │ 8 correlation id i32
//! 12 client id: length i16 (-1: none), utf-8 │ from request header v2 on: tagged fields │ body …
//! ```
//! Answers begin `0 length i32 │ 4 correlation id i32 │ from response header v1 on: tagged fields (one 0 byte)`; the
//! answer to ApiVersions has header v0 whatever its version, because a client cannot know yet what we speak (KIP-511).

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

/// Of the length that stands before every frame.
pub const LENGTH_BYTES: usize = 4;
/// The shortest request: key, version, correlation id and the length of an absent client id.
pub const MIN_FRAME_BYTES: usize = 10;
/// Longer names than this are refused with the frame: they would only fill metrics and logs.
const CLIENT_ID_LIMIT_BYTES: usize = 4096;
/// Tagged fields of the header that nobody defined yet; more than this is garbage.
const TAGS_LIMIT: u32 = 64;

/// The first fixed fields of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub key: i16,
    pub version: i16,
    pub correlation: i32,
}

/// Why a frame cannot be answered; the connection is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadFrame {
    Length { claimed: i32, limit: u32 },
    TooShort,
    ClientId,
    Tags,
}

impl fmt::Display for BadFrame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadFrame::Length { claimed, limit } => {
                write!(f, "a frame claims {claimed} bytes; allowed are {MIN_FRAME_BYTES} to {limit}")
            }
            BadFrame::TooShort => f.write_str("the frame ends inside its header"),
            BadFrame::ClientId => f.write_str("the client id is not a string"),
            BadFrame::Tags => f.write_str("the header's tagged fields are malformed"),
        }
    }
}

/// What speaks to us, when it is not Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stranger {
    Tls,
    Http,
}

/// Looks at the first four bytes of a connection. All of these are lengths no Kafka client can mean: a TLS record
/// begins 0x16 0x03, an HTTP verb is over a gigabyte read as a length.
pub fn stranger(first: [u8; LENGTH_BYTES]) -> Option<Stranger> {
    match &first {
        [0x16, 0x03, _, _] => Some(Stranger::Tls),
        b"GET " | b"HEAD" | b"POST" | b"PUT " | b"DELE" | b"OPTI" | b"PATC" | b"TRAC" | b"CONN" | b"PRI " => {
            Some(Stranger::Http)
        }
        _ => None,
    }
}

/// The length of the frame that `first` announces, if a frame may be that long.
pub fn length(first: [u8; LENGTH_BYTES], limit: u32) -> Result<u32, BadFrame> {
    let claimed = i32::from_be_bytes(first);
    match u32::try_from(claimed) {
        Ok(bytes) if bytes as usize >= MIN_FRAME_BYTES && bytes <= limit => Ok(bytes),
        _ => Err(BadFrame::Length { claimed, limit }),
    }
}

/// The length of the bare SASL token that `first` announces (after SaslHandshake v0).
pub fn token_length(first: [u8; LENGTH_BYTES], limit: u32) -> Result<u32, BadFrame> {
    let claimed = i32::from_be_bytes(first);
    u32::try_from(claimed).ok().filter(|bytes| *bytes <= limit).ok_or(BadFrame::Length { claimed, limit })
}

/// A bare SASL token behind its length.
pub fn token(token: Bytes) -> Vec<Bytes> {
    let length = u32::try_from(token.len()).expect("tokens are small");
    let length = Bytes::copy_from_slice(&length.to_be_bytes());
    // Nothing to write is not given to a socket.
    if token.is_empty() { vec![length] } else { vec![length, token] }
}

/// The fixed fields of `frame` (without its length).
pub fn head(frame: &[u8]) -> Result<Head, BadFrame> {
    let (fixed, _) = frame.split_first_chunk::<8>().ok_or(BadFrame::TooShort)?;
    let [k0, k1, v0, v1, c0, c1, c2, c3] = *fixed;
    Ok(Head {
        key: i16::from_be_bytes([k0, k1]),
        version: i16::from_be_bytes([v0, v1]),
        correlation: i32::from_be_bytes([c0, c1, c2, c3]),
    })
}

/// The client id and the body of `frame` (without its length). `flexible`: the header ends with tagged fields (v2).
pub fn body(frame: &Bytes, flexible: bool) -> Result<(Option<String>, Bytes), BadFrame> {
    let mut rest = frame.get(8..).ok_or(BadFrame::TooShort)?;
    let (length, after) = rest.split_first_chunk::<2>().ok_or(BadFrame::TooShort)?;
    rest = after;
    let client_id = match i16::from_be_bytes(*length) {
        -1 => None,
        length => {
            let length = usize::try_from(length).map_err(|_| BadFrame::ClientId)?;
            if length > CLIENT_ID_LIMIT_BYTES {
                return Err(BadFrame::ClientId);
            }
            let (text, after) = rest.split_at_checked(length).ok_or(BadFrame::TooShort)?;
            rest = after;
            Some(std::str::from_utf8(text).map_err(|_| BadFrame::ClientId)?.to_owned())
        }
    };
    if flexible {
        rest = skip_tags(rest)?;
    }
    Ok((client_id, frame.slice(frame.len() - rest.len()..)))
}

fn skip_tags(mut rest: &[u8]) -> Result<&[u8], BadFrame> {
    let (count, after) = varint(rest)?;
    rest = after;
    if count > TAGS_LIMIT {
        return Err(BadFrame::Tags);
    }
    for _ in 0..count {
        let (_tag, after) = varint(rest)?;
        let (bytes, after) = varint(after)?;
        rest = after.get(bytes as usize..).ok_or(BadFrame::Tags)?;
    }
    Ok(rest)
}

/// An unsigned varint of at most five bytes.
fn varint(bytes: &[u8]) -> Result<(u32, &[u8]), BadFrame> {
    let mut value = 0u64;
    for (at, byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let value = u32::try_from(value).map_err(|_| BadFrame::Tags)?;
            return Ok((value, &bytes[at + 1..]));
        }
    }
    Err(BadFrame::Tags)
}

/// Puts length and response header before the body of an answer: a list of slices to be written in one go.
pub fn answer(correlation: i32, flexible_header: bool, body: Vec<Bytes>) -> Vec<Bytes> {
    let body_bytes: usize = body.iter().map(Bytes::len).sum();
    let header_bytes = 4 + usize::from(flexible_header);
    let length = i32::try_from(header_bytes + body_bytes).expect("answers are bounded far below 2 GiB");
    let mut front = BytesMut::with_capacity(LENGTH_BYTES + header_bytes);
    front.put_i32(length);
    front.put_i32(correlation);
    if flexible_header {
        front.put_u8(0);
    }
    let mut chunks = Vec::with_capacity(1 + body.len());
    chunks.push(front.freeze());
    chunks.extend(body.into_iter().filter(|chunk| !chunk.is_empty()));
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_recognized_by_their_first_bytes() {
        for (first, want) in [
            ([0x16, 0x03, 0x01, 0x02], Some(Stranger::Tls)),
            ([0x16, 0x03, 0x03, 0x00], Some(Stranger::Tls)),
            (*b"GET ", Some(Stranger::Http)),
            (*b"POST", Some(Stranger::Http)),
            (*b"PRI ", Some(Stranger::Http)),
            ([0, 0, 0, 20], None),
            ([0xff, 0xff, 0xff, 0xff], None),
        ] {
            assert_eq!(stranger(first), want, "{first:?}");
        }
    }

    #[test]
    fn lengths_are_bounded_both_ways() {
        let limit = 1000;
        for (claimed, fine) in [(-1, false), (0, false), (9, false), (10, true), (1000, true), (1001, false)] {
            assert_eq!(length(i32::to_be_bytes(claimed), limit).is_ok(), fine, "{claimed}");
        }
        assert!(length(i32::MIN.to_be_bytes(), limit).is_err());
        assert!(length(i32::MAX.to_be_bytes(), limit).is_err());
    }

    fn request(client: &[u8], tail: &[u8]) -> Bytes {
        let mut bytes = vec![0, 18, 0, 3, 0, 0, 0, 7];
        bytes.extend_from_slice(client);
        bytes.extend_from_slice(tail);
        Bytes::from(bytes)
    }

    #[test]
    fn a_header_is_taken_apart() {
        let frame = request(&[0, 2, b'm', b'e'], &[0, 9, 9]);
        assert_eq!(head(&frame), Ok(Head { key: 18, version: 3, correlation: 7 }));
        assert_eq!(body(&frame, false), Ok((Some("me".to_owned()), Bytes::from_static(&[0, 9, 9]))));
        assert_eq!(body(&frame, true), Ok((Some("me".to_owned()), Bytes::from_static(&[9, 9]))));
        let nobody = request(&[0xff, 0xff], &[1, 5, 2, 8, 8, 7]);
        assert_eq!(body(&nobody, true), Ok((None, Bytes::from_static(&[7]))));
    }

    #[test]
    fn malformed_headers_are_refused() {
        for (frame, flexible, why) in [
            (request(&[0], &[]), false, BadFrame::TooShort),
            (request(&[0, 5, b'a'], &[]), false, BadFrame::TooShort),
            (request(&[0xff, 0xfe], &[]), false, BadFrame::ClientId),
            (request(&[0, 1, 0xff], &[]), false, BadFrame::ClientId),
            (request(&[0xff, 0xff], &[]), true, BadFrame::Tags),
            (request(&[0xff, 0xff], &[0xff; 8]), true, BadFrame::Tags),
            (request(&[0xff, 0xff], &[1, 0, 200, 1]), true, BadFrame::Tags),
            (request(&[0xff, 0xff], &[0xff, 0xff, 0xff, 0xff, 0x0f]), true, BadFrame::Tags),
        ] {
            assert_eq!(body(&frame, flexible).unwrap_err(), why, "{frame:?}");
        }
        assert_eq!(head(&[0; 7]), Err(BadFrame::TooShort));
    }

    #[test]
    fn any_bytes_at_all_are_taken_without_a_panic() {
        let mut chance = fastrand::Rng::with_seed(7);
        for _ in 0..10_000 {
            let mut bytes = vec![0u8; chance.usize(0..64)];
            chance.fill(&mut bytes);
            let _ = head(&bytes);
            let frame = Bytes::from(bytes);
            let _ = body(&frame, true);
            let _ = body(&frame, false);
        }
    }

    #[test]
    fn an_answer_points_at_its_body() {
        let records = Bytes::from(vec![7u8; 100]);
        let chunks = answer(5, true, vec![Bytes::from_static(b"ab"), Bytes::new(), records.clone()]);
        assert_eq!(&chunks[0][..], &[0, 0, 0, 107, 0, 0, 0, 5, 0]);
        assert_eq!(chunks[2].as_ptr(), records.as_ptr());
        assert_eq!(chunks.len(), 3);
        assert_eq!(&answer(5, false, vec![])[0][..], &[0, 0, 0, 4, 0, 0, 0, 5]);
    }
}
