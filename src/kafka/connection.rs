//! One connection: reads frames, has them handled one after the other, answers strictly in the order of requests.
//! It knows no API. A request that only awaits durability does not hold up the next one; nothing else overtakes.
//!
//! ```text
//! socket ─► frames ─► admit ─► table ─► handler ──┬─► queue of answers, in order ─► written, several slices at once
//!                                                 └─► next frame
//! ```
//! Everything has a limit: a frame's length, the time it takes to arrive, the answers under way, the bytes of them that
//! are not yet sent, the time a client may refuse to read. Memory grows with what has arrived, never with what was
//! claimed. A panic in a handler ends this task and so this connection, no other.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::timeout;

use crate::caught::caught;
use crate::engine::Permit;
use crate::kafka::api::{Later, sasl_authenticate};
use crate::kafka::cx::{Call, Conn, Cx};
use crate::kafka::frame::{self, BadFrame, LENGTH_BYTES, Stranger};
use crate::kafka::sasl::Barred;
use crate::kafka::table::{self, Done, Outcome};
use crate::kafka::wire::Rope;
use crate::metrics;

/// Frames up to this size have a budget of their own, so that small requests pass while large ones wait for memory.
const SMALL_FRAME_BYTES: usize = 64 << 10;
/// The read buffer grows by this at first, …
const READ_STEP_BYTES: usize = 16 << 10;
/// … then by so many times what it holds already: a large frame is moved seldom while it arrives, and memory is never more
/// than a small multiple of what has arrived.
const READ_GROWTH: usize = 3;
/// A frame has this long to arrive …
const FRAME_TIME: Duration = Duration::from_secs(30);
/// … and a second more for so many bytes.
const SLOWEST_BYTES_PER_S: u64 = 256 << 10;
/// How long a client may take none of its answer.
const WRITE_TIME: Duration = Duration::from_secs(60);
/// How long somebody may be silent who has not said who they are, where that has to be said …
const UNKNOWN_TIME: Duration = Duration::from_secs(10);
/// … and how much they may say at a time.
const UNKNOWN_FRAME_BYTES: u32 = 64 << 10;
/// Answers under way, in all stages.
const ANSWERS_LIMIT: usize = 64;
/// Bytes of finished answers that wait to be sent. A larger one waits until it is alone.
const UNSENT_LIMIT_BYTES: usize = 1 << 20;
/// Slices given to the socket at a time.
const SLICES: usize = 64;
/// How long a handler that waits for something may go on when the server stops.
const STOPPING_TIME: Duration = Duration::from_secs(1);

/// Why a connection ended.
#[derive(Debug)]
pub enum End {
    /// The client closed it.
    Closed,
    /// No request for `connections.max.idle.ms`.
    Idle,
    /// A frame did not arrive in time.
    Slow,
    /// The client does not read its answers.
    Deaf,
    /// The server stops.
    Stopping,
    Stranger(Stranger),
    Frame(BadFrame),
    /// An API or a version that is not served.
    NotServed {
        key: i16,
        version: i16,
    },
    /// Somebody asked for what they may not have.
    Barred(&'static str),
    /// Somebody did not prove who they are.
    LoginFailed,
    /// What a handler or the codec said.
    Refused(String),
    /// A bug of ours: the handler panicked.
    Panicked {
        api: &'static str,
        correlation: i32,
        why: String,
    },
    Io(io::Error),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Closed => f.write_str("the client closed it"),
            End::Idle => f.write_str("no request for too long"),
            End::Slow => f.write_str("a frame did not arrive in time"),
            End::Deaf => f.write_str("the client does not read its answers"),
            End::Stopping => f.write_str("the server stops"),
            End::Stranger(Stranger::Tls) => {
                f.write_str("a TLS handshake; this port speaks Kafka without TLS (security.protocol=PLAINTEXT)")
            }
            End::Stranger(Stranger::Http) => f.write_str(
                "an HTTP request; this port speaks Kafka, AWS SDKs and /metrics have a port of their own (aws.listen)",
            ),
            End::Frame(bad) => write!(f, "{bad}"),
            End::NotServed { key, version } => write!(f, "API {key} is not served at version {version}"),
            End::Barred(why) => f.write_str(why),
            End::LoginFailed => f.write_str("authentication failed"),
            End::Refused(why) => f.write_str(why),
            End::Panicked { api, correlation, why } => write!(f, "request {correlation}, {api}, panicked: {why}"),
            End::Io(error) => write!(f, "{error}"),
        }
    }
}

impl End {
    /// The label under which a connection that we closed is counted.
    pub fn reason(&self) -> Option<&'static str> {
        match self {
            End::Closed | End::Io(_) | End::Stopping => None,
            End::Idle => Some("idle"),
            End::Slow => Some("slow"),
            End::Deaf => Some("deaf"),
            End::Stranger(Stranger::Tls) => Some("tls"),
            End::Stranger(Stranger::Http) => Some("http"),
            End::Frame(_) => Some("frame"),
            End::NotServed { .. } => Some("not_served"),
            End::Barred(_) => Some("barred"),
            End::LoginFailed => Some("login"),
            End::Refused(_) => Some("refused"),
            End::Panicked { .. } => Some("panic"),
        }
    }
}

/// Serves one connection until it ends.
pub async fn run<R, W>(cx: Arc<Cx>, conn: Arc<Conn>, from: R, to: W, stop: watch::Receiver<bool>) -> End
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let (queue, answers) = mpsc::channel(ANSWERS_LIMIT);
    let mut reading = std::pin::pin!(read_requests(cx, conn, Frames::new(from), queue, stop));
    let mut writing = std::pin::pin!(write_answers(to, answers));
    tokio::select! {
        biased;
        // The client cannot be answered any more: what it still asks is not worth doing.
        end = &mut writing => end.err().unwrap_or(End::Closed),
        end = &mut reading => {
            // No more requests, but those that were read are answered.
            match writing.await {
                Ok(()) => end,
                Err(worse) => worse,
            }
        }
    }
}

/// One answer on its way out.
struct Pending {
    head: Head,
    what: What,
}

/// Correlation id of an answer, and whether its header has tagged fields.
/// `None`: a bare token, which has no header.
type Head = Option<(i32, bool)>;

enum What {
    Ready(Rope, Option<OwnedSemaphorePermit>),
    Later(Later<Result<Rope, String>>),
    Silent(Later<Result<(), String>>),
}

/// Reads and handles requests until there is a reason to stop. Dropping `queue` on the way out lets the writer finish.
async fn read_requests<R: AsyncRead + Unpin>(
    cx: Arc<Cx>,
    conn: Arc<Conn>,
    mut frames: Frames<R>,
    queue: mpsc::Sender<Pending>,
    mut stop: watch::Receiver<bool>,
) -> End {
    let unsent = Arc::new(Semaphore::new(UNSENT_LIMIT_BYTES));
    loop {
        let next = tokio::select! {
            biased;
            _ = stopped(&mut stop) => return End::Stopping,
            next = frames.next(&cx, &conn) => next,
        };
        let (frame, permit) = match next {
            Ok(next) => next,
            Err(end) => return end,
        };
        metrics::KAFKA_RECEIVED_BYTES.add((LENGTH_BYTES + frame.len()) as u64);
        let was_raw = conn.login().is_raw();
        let (head, Outcome { done, mute_ms }) = match dispatch(&cx, &conn, frame, permit) {
            Ok(Dispatched::Run { api, head, handler }) => {
                let done = tokio::select! {
                    biased;
                    done = caught(handler) => match done {
                        Ok(done) => done,
                        Err(why) => return End::Panicked { api, correlation: head.map_or(0, |head| head.0), why },
                    },
                    end = frames.gone() => return end,
                    _ = stopped_a_while(&mut stop) => return End::Stopping,
                };
                (head, done)
            }
            Ok(Dispatched::Done { head, rope }) => (head, Outcome { done: Done::Answer(rope), mute_ms: 0 }),
            Err(end) => return end,
        };
        let failed = conn.login().has_failed();
        if failed {
            // Whoever guesses shall not guess fast.
            tokio::time::sleep(Duration::from_millis(cx.security.settings.failure_delay_ms)).await;
            if was_raw {
                return End::LoginFailed;
            }
        }
        let what = match done {
            Done::Answer(rope) => {
                let bytes = rope.len().min(UNSENT_LIMIT_BYTES) as u32;
                let room = unsent.clone().acquire_many_owned(bytes).await.expect("never closed");
                What::Ready(rope, Some(room))
            }
            Done::Later(answer) => What::Later(answer),
            Done::Silent(outcome) => What::Silent(outcome),
            Done::Close(why) => return End::Refused(why),
        };
        if queue.send(Pending { head, what }).await.is_err() {
            return End::Closed;
        }
        if failed {
            return End::LoginFailed;
        }
        if mute_ms > 0 {
            // It used more than its quota and was told so; until then it is not read (KIP-219).
            let clock = cx.engine.clock();
            let until = clock.now().plus_ms(i64::from(mute_ms));
            tokio::select! {
                biased;
                _ = stopped(&mut stop) => return End::Stopping,
                end = frames.gone() => return end,
                () = clock.sleep_until(until) => {}
            }
        }
    }
}

enum Dispatched {
    Run { api: &'static str, head: Head, handler: Later<Outcome> },
    Done { head: Head, rope: Rope },
}

/// Finds out who handles a frame.
fn dispatch(cx: &Arc<Cx>, conn: &Arc<Conn>, frame: Bytes, permit: Permit) -> Result<Dispatched, End> {
    if conn.login().is_raw() {
        let said = sasl_authenticate::token(cx, conn, &frame);
        return Ok(Dispatched::Done { head: None, rope: Rope::from(said.map(|said| said.bytes).unwrap_or_default()) });
    }
    let head = frame::head(&frame).map_err(End::Frame)?;
    let (key, version) = (head.key, head.version);
    admit(cx, conn, key)?;
    let row = table::find(key).ok_or(End::NotServed { key, version })?;
    metrics::KAFKA_REQUESTS.of(row.name).inc();
    if !row.versions.contains(&version) {
        return match key {
            // The body is not looked at: nobody knows what stands in it (KIP-511).
            table::API_VERSIONS => {
                Ok(Dispatched::Done { head: Some((head.correlation, false)), rope: table::answer_to_unknown_version() })
            }
            _ => Err(End::NotServed { key, version }),
        };
    }
    let (client_id, body) = frame::body(&frame, row.flexible_request(version)).map_err(End::Frame)?;
    tracing::trace!(peer = %conn.peer, api = row.name, version, correlation = head.correlation, bytes = frame.len());
    let call = Call { version, client_id, conn: conn.clone(), permit };
    let head = Some((head.correlation, row.flexible_response(version)));
    Ok(Dispatched::Run { api: row.name, head, handler: row.run(cx.clone(), call, body) })
}

/// Whether whoever is on the other side may ask for this at all. Costs a look at two flags where nobody is asked who they
/// are.
fn admit(cx: &Cx, conn: &Conn, key: i16) -> Result<(), End> {
    if !cx.security.settings.enforced {
        return Ok(());
    }
    conn.login().gate(key, cx.engine.clock().now()).map_err(|barred| {
        End::Barred(match barred {
            Barred::Unknown => "a request before authentication",
            Barred::Expired => "the session is over and was not renewed",
        })
    })
}

/// Resolves when the server stops.
pub(super) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that nobody can say so any more, which is as good.
    let _ = stop.wait_for(|stop| *stop).await;
}

async fn stopped_a_while(stop: &mut watch::Receiver<bool>) {
    stopped(stop).await;
    tokio::time::sleep(STOPPING_TIME).await;
}

/// The reading half: bytes in, frames out.
struct Frames<R> {
    from: R,
    buffer: BytesMut,
    /// Nothing has been taken out of the buffer yet.
    first: bool,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    fn new(from: R) -> Frames<R> {
        Frames { from, buffer: BytesMut::new(), first: true }
    }

    /// The next frame, without its length, and the memory it was admitted to.
    async fn next(&mut self, cx: &Cx, conn: &Conn) -> Result<(Bytes, Permit), End> {
        let (known, raw) = {
            let login = conn.login();
            (login.is_known(), login.is_raw())
        };
        if self.buffer.is_empty() {
            let idle = match known {
                true => Duration::from_millis(cx.options.idle_ms),
                false => UNKNOWN_TIME,
            };
            timeout(idle, self.read_more(READ_STEP_BYTES)).await.map_err(|_| End::Idle)??;
        }
        let start = timeout(FRAME_TIME, self.read_until(LENGTH_BYTES)).await;
        start.map_err(|_| End::Slow)??;
        let Some(first) = self.buffer.first_chunk::<LENGTH_BYTES>().copied() else { return Err(End::Closed) };
        if let Some(stranger) = frame::stranger(first).filter(|_| self.first) {
            return Err(End::Stranger(stranger));
        }
        let limit = cx.options.frame_limit_bytes.min(if known { u32::MAX } else { UNKNOWN_FRAME_BYTES });
        let bytes = match raw {
            true => frame::token_length(first, limit),
            false => frame::length(first, limit),
        };
        let bytes = bytes.map_err(End::Frame)?;
        let whole = LENGTH_BYTES + bytes as usize;
        let time = FRAME_TIME + Duration::from_secs(u64::from(bytes) / SLOWEST_BYTES_PER_S);
        // Small frames are admitted when they are here; of large ones the beginning has to be, so that memory for many
        // bytes is not given to someone who only claims to have them.
        let enough = whole.min(SMALL_FRAME_BYTES);
        timeout(FRAME_TIME, self.read_until(enough)).await.map_err(|_| End::Slow)??;
        let permit = cx.engine.admit(bytes).await;
        timeout(time, self.read_until(whole)).await.map_err(|_| End::Slow)??;
        self.first = false;
        let mut frame = self.buffer.split_to(whole);
        if whole > SMALL_FRAME_BYTES {
            // A large frame takes its memory along: an idle connection must not keep it.
            self.buffer = BytesMut::from(&self.buffer[..]);
        }
        frame.advance(LENGTH_BYTES);
        Ok((frame.freeze(), permit))
    }

    async fn read_until(&mut self, bytes: usize) -> Result<(), End> {
        while self.buffer.len() < bytes {
            let missing = bytes - self.buffer.len();
            let step = (READ_GROWTH * self.buffer.len()).max(READ_STEP_BYTES);
            self.read_more(missing.min(step).max(READ_STEP_BYTES)).await?;
        }
        Ok(())
    }

    /// Reads at most so much, which must not be 0.
    async fn read_more(&mut self, room: usize) -> Result<(), End> {
        self.buffer.reserve(room);
        match self.from.read_buf(&mut (&mut self.buffer).limit(room)).await {
            Ok(0) => Err(End::Closed),
            Ok(_) => Ok(()),
            Err(error) => Err(End::Io(error)),
        }
    }

    /// Reads ahead, a little, while a request is being handled, only to notice when the client is gone. Resolves when
    /// it is and left nothing to be handled.
    async fn gone(&mut self) -> End {
        while self.buffer.len() < READ_STEP_BYTES {
            match self.read_more(READ_STEP_BYTES).await {
                Ok(()) => {}
                Err(end) if self.buffer.is_empty() => return end,
                Err(_) => break,
            }
        }
        std::future::pending().await
    }
}

/// Writes answers in the order of their requests, those that are ready together with one call of the system.
async fn write_answers<W: AsyncWrite + Unpin>(mut to: W, mut answers: mpsc::Receiver<Pending>) -> Result<(), End> {
    let mut next = answers.recv().await;
    while let Some(mut pending) = next.take() {
        let mut out = Outgoing::default();
        let mut refused = poll_fn(|cx| pending.what.poll(cx, &mut out, pending.head)).await.err();
        while refused.is_none() && out.bytes < UNSENT_LIMIT_BYTES {
            let Ok(mut pending) = answers.try_recv() else { break };
            match poll_fn(|cx| Poll::Ready(pending.what.poll(cx, &mut out, pending.head))).await {
                Poll::Ready(done) => refused = done.err(),
                Poll::Pending => {
                    next = Some(pending);
                    break;
                }
            }
        }
        // What came before a refusal is answered before the connection is closed.
        write_all(&mut to, out.chunks).await?;
        // Now, and not when the next answer is here: that one may be waiting for this room.
        drop(out.rooms);
        if let Some(why) = refused {
            return Err(End::Refused(why));
        }
        if next.is_none() {
            next = answers.recv().await;
        }
    }
    within_write_time(to.shutdown()).await
}

/// Answers that leave together.
#[derive(Default)]
struct Outgoing {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    /// Given back when they have been written.
    rooms: Vec<OwnedSemaphorePermit>,
}

impl Outgoing {
    fn push(&mut self, head: Head, rope: Rope) {
        self.bytes += rope.len();
        self.chunks.extend(match head {
            Some((correlation, flexible)) => frame::answer(correlation, flexible, rope.into_parts()),
            None => frame::token(rope.into_bytes()),
        });
    }
}

impl What {
    /// Puts the answer into `out` when it is there. An error closes the connection.
    fn poll(&mut self, cx: &mut Context<'_>, out: &mut Outgoing, head: Head) -> Poll<Result<(), String>> {
        match self {
            What::Ready(rope, room) => {
                out.push(head, std::mem::take(rope));
                out.rooms.extend(room.take());
                Poll::Ready(Ok(()))
            }
            What::Later(answer) => answer.as_mut().poll(cx).map(|done| done.map(|rope| out.push(head, rope))),
            What::Silent(outcome) => outcome.as_mut().poll(cx),
        }
    }
}

/// Writes all of `chunks`, many at a time.
async fn write_all<W: AsyncWrite + Unpin>(to: &mut W, mut chunks: VecDeque<Bytes>) -> Result<(), End> {
    while !chunks.is_empty() {
        let slices: Vec<IoSlice<'_>> = chunks.iter().take(SLICES).map(|chunk| IoSlice::new(chunk)).collect();
        let mut written = within_write_time(to.write_vectored(&slices)).await?;
        if written == 0 {
            return Err(End::Closed);
        }
        metrics::KAFKA_SENT_BYTES.add(written as u64);
        while let Some(chunk) = chunks.front_mut().filter(|_| written > 0) {
            let step = written.min(chunk.len());
            chunk.advance(step);
            written -= step;
            if chunk.is_empty() {
                chunks.pop_front();
            }
        }
    }
    Ok(())
}

async fn within_write_time<T>(writing: impl Future<Output = io::Result<T>>) -> Result<T, End> {
    match timeout(WRITE_TIME, writing).await {
        Ok(done) => done.map_err(End::Io),
        Err(_) => Err(End::Deaf),
    }
}

#[cfg(test)]
mod tests;
