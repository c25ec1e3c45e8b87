//! Reads the body of a request: as it arrives, never more than a limit, every byte paid for before it is kept.
//!
//! Memory is asked of the engine twice at most: for the first 64 KiB (which have a budget of their own), and for all the
//! rest once those have arrived. So a client that announces 16 MiB and sends little holds little, and no two requests wait
//! for what the other one holds, as they would if each took its memory bit by bit.

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;

use crate::engine::{Engine, Permit};

/// What is charged before the first byte arrives.
const FIRST_STEP_BYTES: usize = 64 * 1024;

/// A body, and the memory it was charged for. The charge is given back when this is dropped.
#[derive(Debug)]
pub struct Paid {
    pub bytes: Bytes,
    charge: Vec<Permit>,
}

impl Paid {
    /// A body that costs nothing, for tests and for callers that hold its bytes anyway.
    pub fn free(bytes: Bytes) -> Paid {
        Paid { bytes, charge: Vec::new() }
    }

    /// How many steps it was charged in.
    pub fn steps(&self) -> usize {
        self.charge.len()
    }
}

/// Why there is no body.
#[derive(Debug, PartialEq, Eq)]
pub enum BodyError {
    TooLarge,
    /// The client went away or broke the protocol.
    Broken,
}

/// Reads a whole body of at most `limit_bytes`; `declared` is its Content-Length, where there is one.
pub async fn read(
    engine: &Engine,
    mut body: Body,
    declared: Option<u64>,
    limit_bytes: usize,
) -> Result<Paid, BodyError> {
    if declared.is_some_and(|length| length > limit_bytes as u64) {
        return Err(BodyError::TooLarge);
    }
    // A declared length bounds what will come; without one the limit does.
    let most = declared.map_or(limit_bytes, |length| length as usize);
    let mut paid = 0;
    let mut charge = Vec::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
        let length = all.len() + data.len();
        if length > limit_bytes {
            return Err(BodyError::TooLarge);
        }
        if length > paid {
            let upto = if length <= FIRST_STEP_BYTES { FIRST_STEP_BYTES.min(most) } else { most };
            let step = upto.max(length) - paid;
            charge.push(engine.admit(u32::try_from(step).unwrap_or(u32::MAX)).await);
            paid += step;
        }
        all.extend_from_slice(&data);
    }
    Ok(Paid { bytes: all.freeze(), charge })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chance::Chance;
    use crate::clock::Clock;
    use crate::engine::{Driver, Options};
    use crate::ids::Timestamp;
    use crate::store::memory::MemDisk;
    use hyper::body::Frame;
    use std::collections::VecDeque;
    use std::io;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context, Poll};

    /// A body that arrives in these pieces; an error ends it.
    struct Pieces(VecDeque<io::Result<Bytes>>);

    impl hyper::body::Body for Pieces {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
            Poll::Ready(self.0.pop_front().map(|piece| piece.map(Frame::data)))
        }
    }

    fn pieces(length: usize) -> Body {
        let bytes = Bytes::from(vec![7; length]);
        let pieces = (0..length).step_by(10_000).map(|at| Ok(bytes.slice(at..length.min(at + 10_000))));
        Body::new(Pieces(pieces.collect()))
    }

    async fn engine() -> Arc<Engine> {
        let clock = Clock::manual(Timestamp(1_000_000));
        let disk = Arc::new(MemDisk::new());
        Engine::open(Options::default(), disk, clock, Chance::seeded(1), Driver::Threads).await.unwrap().0
    }

    #[tokio::test]
    async fn a_body_is_paid_for_in_two_steps_at_most_and_kept_whole() {
        let engine = engine().await;
        for (length, steps) in [(0, 0), (1, 1), (64 * 1024, 1), (64 * 1024 + 1, 2), (3 << 20, 2)] {
            for declared in [Some(length as u64), None] {
                let paid = read(&engine, pieces(length), declared, 4 << 20).await.unwrap();
                assert_eq!((paid.bytes.len(), paid.steps()), (length, steps), "{declared:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_or_breaks_off_is_none() {
        let engine = engine().await;
        let broken = vec![Ok(Bytes::from_static(b"x")), Err(io::ErrorKind::ConnectionReset.into())];
        let cases = [
            (pieces(10), Some(11), BodyError::TooLarge),
            (pieces(11), None, BodyError::TooLarge),
            // A length that lies is no way around the limit.
            (pieces(11), Some(5), BodyError::TooLarge),
            (Body::new(Pieces(broken.into())), None, BodyError::Broken),
        ];
        for (body, declared, error) in cases {
            assert_eq!(read(&engine, body, declared, 10).await.map(|paid| paid.bytes), Err(error));
        }
    }

    #[tokio::test]
    async fn more_bodies_than_there_is_memory_for_wait_for_each_other_and_all_are_read() {
        let engine = engine().await;
        let reads: Vec<_> = (0..12)
            .map(|_| {
                let engine = engine.clone();
                tokio::spawn(
                    async move { read(&engine, pieces(15 << 20), None, 16 << 20).await.map(|paid| paid.steps()) },
                )
            })
            .collect();
        for reading in reads {
            assert_eq!(reading.await.unwrap(), Ok(2));
        }
    }
}
