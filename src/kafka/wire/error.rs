//! What can be wrong with bytes, or with a value that is to become bytes, and where. Facts only: no reaction to them.

use std::fmt;

/// Why a message could not be read or written, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireError {
    pub what: What,
    /// The struct that was being read or written, as Kafka's message definitions name it.
    pub message: &'static str,
    /// Its field; empty where the fault lies between fields.
    pub field: &'static str,
    /// Bytes from the start of what was read, or bytes already written.
    pub position: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// `needed` more bytes, but only `left` are there.
    Truncated { needed: usize, left: usize },
    /// More elements than the rest of the bytes could hold even if each were as small as possible.
    TooMany { count: usize, left: usize },
    /// A length that no value of this type can have: negative other than -1, or beyond the type.
    Length(i64),
    /// A varint longer than its type.
    Varint,
    /// Null where this version knows none.
    Null,
    /// A string that is not UTF-8.
    Utf8,
    /// A tag that is not larger than the one before it: a duplicate, or out of order.
    Tag { tag: u32, after: u32 },
    /// A tagged field that does not fill exactly the size it announced.
    TagSize { tag: u32, announced: usize, actual: usize },
    /// The decoded value would take more memory than the reader allows.
    Memory { limit: usize },
    /// Bytes left behind the message.
    Trailing(usize),
    /// The message has no such version.
    Version(i16),
    /// A value other than the default in a field that this version does not have (and that may not be dropped).
    Absent { version: i16 },
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)?;
        if !self.field.is_empty() {
            // Names that are words of Rust too stand with a prefix in declarations.
            write!(f, ".{}", self.field.trim_start_matches("r#"))?;
        }
        write!(f, " at byte {}: ", self.position)?;
        match self.what {
            What::Truncated { needed, left } => write!(f, "{needed} bytes needed, {left} left"),
            What::TooMany { count, left } => write!(f, "{count} elements do not fit into the {left} bytes left"),
            What::Length(length) => write!(f, "impossible length {length}"),
            What::Varint => write!(f, "varint too long"),
            What::Null => write!(f, "null is not allowed here"),
            What::Utf8 => write!(f, "not UTF-8"),
            What::Tag { tag, after } => write!(f, "tag {tag} after tag {after}"),
            What::TagSize { tag, announced, actual } => {
                write!(f, "tag {tag} announces {announced} bytes and holds {actual}")
            }
            What::Memory { limit } => write!(f, "decoded value exceeds {limit} bytes of memory"),
            What::Trailing(bytes) => write!(f, "{bytes} bytes left over"),
            What::Version(version) => write!(f, "no version {version}"),
            What::Absent { version } => write!(f, "version {version} cannot carry this value"),
        }
    }
}

impl std::error::Error for WireError {}
