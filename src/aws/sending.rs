//! Answers on their way out: handed to the protocol piece by piece, and watched, so that a client who takes nothing of its
//! answer cannot hold the answer's memory for ever. It knows nothing of what an answer says.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

/// Pieces of an answer: small enough that each one taken shows that the client reads.
const PIECE_BYTES: usize = 64 * 1024;

/// What the answers of one connection do.
#[derive(Debug, Default)]
pub struct Sending {
    /// Answers whose bytes somebody holds.
    held: AtomicU64,
    /// Grows whenever a piece is taken or an answer is gone.
    steps: AtomicU64,
}

impl Sending {
    /// An answer as the body of a response.
    pub fn body(self: &Arc<Sending>, answer: Bytes) -> Pieces {
        if answer.is_empty() {
            return Pieces { rest: answer, sending: self.clone() };
        }
        self.held.fetch_add(1, Relaxed);
        Pieces { rest: Bytes::from_owner(Held { answer, sending: self.clone() }), sending: self.clone() }
    }

    /// Resolves when nothing has been taken of an answer for `ms`, or at most twice as long.
    pub async fn stalled(&self, ms: u64) {
        let mut last = None;
        loop {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            let steps = self.steps.load(Relaxed);
            let held = self.held.load(Relaxed) > 0;
            if held && last == Some(steps) {
                return;
            }
            last = held.then_some(steps);
        }
    }
}

/// Bytes of an answer, until the last of them has been written.
struct Held {
    answer: Bytes,
    sending: Arc<Sending>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.answer
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.sending.steps.fetch_add(1, Relaxed);
        self.sending.held.fetch_sub(1, Relaxed);
    }
}

/// An answer, handed out piece by piece.
pub struct Pieces {
    rest: Bytes,
    sending: Arc<Sending>,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        self.sending.steps.fetch_add(1, Relaxed);
        let piece = match self.rest.len() <= PIECE_BYTES {
            // All of it: what is left here would keep the answer from being given back.
            true => std::mem::take(&mut self.rest),
            false => self.rest.split_to(PIECE_BYTES),
        };
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn an_answer_leaves_whole_in_pieces_and_is_held_until_the_last_is_gone() {
        let sending = Arc::new(Sending::default());
        for length in [0, 1, PIECE_BYTES, PIECE_BYTES + 1, 5 * PIECE_BYTES] {
            let answer = Bytes::from((0..length).map(|at| at as u8).collect::<Vec<u8>>());
            let mut body = sending.body(answer.clone());
            assert_eq!(body.size_hint().exact(), Some(length as u64));
            let mut pieces = Vec::new();
            while let Some(frame) = body.frame().await {
                pieces.push(frame.expect("infallible").into_data().expect("data"));
            }
            drop(body);
            assert_eq!((pieces.len(), pieces.concat()), (length.div_ceil(PIECE_BYTES), answer.to_vec()));
            assert_eq!(sending.held.load(Relaxed), u64::from(length > 0));
            drop(pieces);
            assert_eq!(sending.held.load(Relaxed), 0);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_stalled_when_a_client_takes_nothing_and_not_while_it_takes_something() {
        let sending = Arc::new(Sending::default());
        let patient = |ms| tokio::time::timeout(Duration::from_millis(ms), sending.stalled(1000));
        assert!(patient(100_000).await.is_err(), "no answer is under way");
        let mut body = sending.body(Bytes::from(vec![0; 4 * PIECE_BYTES]));
        let reading = async {
            for _ in 0..4 {
                tokio::time::sleep(Duration::from_millis(900)).await;
                body.frame().await;
            }
        };
        tokio::select! {
            () = sending.stalled(1000) => panic!("a piece was taken every 900 ms"),
            () = reading => {}
        }
        let _unread = sending.body(Bytes::from_static(b"x"));
        assert!(patient(2_100).await.is_ok());
    }
}
