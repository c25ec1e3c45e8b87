//! Bytes in several pieces that are sent as one. Pieces are shared, never copied, and never empty.

use bytes::{Bytes, BytesMut};

/// A run of bytes held as slices of other buffers. Equality is that of the bytes, however they are cut.
#[derive(Clone, Debug, Default)]
pub struct Rope {
    parts: Vec<Bytes>,
    len: usize,
}

impl Rope {
    pub fn new() -> Rope {
        Rope::default()
    }

    pub fn push(&mut self, part: Bytes) {
        if !part.is_empty() {
            self.len += part.len();
            self.parts.push(part);
        }
    }

    /// The number of bytes in all pieces together.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pieces in order; none is empty.
    pub fn parts(&self) -> &[Bytes] {
        &self.parts
    }

    pub fn into_parts(self) -> Vec<Bytes> {
        self.parts
    }

    /// One piece: without a copy if it already is one.
    pub fn into_bytes(mut self) -> Bytes {
        match self.parts.len() {
            0 => Bytes::new(),
            1 => self.parts.remove(0),
            _ => {
                let mut whole = BytesMut::with_capacity(self.len);
                self.parts.iter().for_each(|part| whole.extend_from_slice(part));
                whole.freeze()
            }
        }
    }
}

impl PartialEq for Rope {
    fn eq(&self, other: &Rope) -> bool {
        fn bytes(rope: &Rope) -> impl Iterator<Item = &u8> {
            rope.parts.iter().flat_map(|part| part.iter())
        }
        self.len == other.len && bytes(self).eq(bytes(other))
    }
}

impl Eq for Rope {}

impl From<Bytes> for Rope {
    fn from(part: Bytes) -> Rope {
        let mut rope = Rope::new();
        rope.push(part);
        rope
    }
}

impl From<Vec<Bytes>> for Rope {
    fn from(parts: Vec<Bytes>) -> Rope {
        let mut rope = Rope::new();
        parts.into_iter().for_each(|part| rope.push(part));
        rope
    }
}
