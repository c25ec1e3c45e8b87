//! What a log may forget. Pure.

use crate::ids::{Offset, Timestamp};

/// A run of records that is given up as a whole: a segment, the last of which is still being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub end: Offset,
    pub bytes: u64,
    /// The greatest record timestamp in it.
    pub newest: Timestamp,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    pub ms: Option<i64>,
    pub bytes: Option<u64>,
}

/// The offset below which everything is to be given up, if there is such.
///
/// As Kafka does: from the oldest on, a piece goes when its newest record is older than the retention time, or when the
/// log without it is still at least as large as the retention size. By size the piece being written never goes.
pub fn expired(pieces: &[Piece], rules: Rules, now: Timestamp) -> Option<Offset> {
    let mut below = None;
    let mut total: u64 = pieces.iter().map(|p| p.bytes).sum();
    for (i, piece) in pieces.iter().enumerate() {
        let old = rules.ms.is_some_and(|ms| now.0.saturating_sub(piece.newest.0) > ms);
        let large = rules.bytes.is_some_and(|bytes| i + 1 < pieces.len() && total - piece.bytes >= bytes);
        if !old && !large {
            break;
        }
        total -= piece.bytes;
        below = Some(piece.end);
    }
    below
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pieces: &[(u64, u64, i64)], ms: Option<i64>, bytes: Option<u64>, expect: Option<u64>) {
        let pieces: Vec<Piece> = pieces
            .iter()
            .map(|(end, bytes, newest)| Piece { end: Offset(*end), bytes: *bytes, newest: Timestamp(*newest) })
            .collect();
        assert_eq!(expired(&pieces, Rules { ms, bytes }, Timestamp(1000)), expect.map(Offset));
    }

    #[test]
    fn time_takes_the_oldest_pieces_and_stops_at_the_first_young_one() {
        check(&[(10, 1, 100), (20, 1, 950), (30, 1, 100)], Some(500), None, Some(10));
    }

    #[test]
    fn time_takes_the_piece_being_written_too() {
        check(&[(10, 1, 100)], Some(500), None, Some(10));
    }

    #[test]
    fn size_keeps_at_least_the_size_and_the_piece_being_written() {
        check(&[(10, 50, 0), (20, 50, 0), (30, 50, 0)], None, Some(100), Some(10));
        check(&[(10, 50, 0)], None, Some(0), None);
    }

    #[test]
    fn nothing_is_given_up_without_rules() {
        check(&[(10, 50, 0)], None, None, None);
    }
}
