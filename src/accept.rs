//! What a listener does when the system will not give it the next connection: it says so once, waits a little longer each
//! time, and says when it is over. It opens no socket and knows no protocol.
//!
//! Mostly the process is out of descriptors then. Those who connect meanwhile wait in the system's own line and are
//! served as soon as others have gone.

use std::future::Future;
use std::io;
use std::time::Duration;

use crate::metrics;

/// The first pause after an error; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The state of one listener.
#[derive(Debug)]
pub struct Accept {
    face: &'static str,
    listener: String,
    pause: Duration,
    /// Errors since the last connection.
    errors: u64,
}

impl Accept {
    /// `face` labels the metric, `listener` names the socket to people.
    pub fn new(face: &'static str, listener: &str) -> Accept {
        Accept { face, listener: listener.to_owned(), pause: FIRST_PAUSE, errors: 0 }
    }

    /// The next connection; `one` asks the system for it. May be dropped and called again at any time: the system is
    /// asked again at once then, which is right when a connection has just ended.
    pub async fn next<T, F>(&mut self, mut one: impl FnMut() -> F) -> T
    where
        F: Future<Output = io::Result<T>>,
    {
        loop {
            match one().await {
                Ok(connection) => {
                    self.succeeded();
                    return connection;
                }
                Err(error) if is_the_clients(&error) => {}
                Err(error) => {
                    let pause = self.failed(&error);
                    tokio::time::sleep(pause).await;
                }
            }
        }
    }

    fn succeeded(&mut self) {
        if self.errors > 0 {
            let (listener, errors) = (&self.listener, self.errors);
            tracing::info!(listener, errors, "accepting connections again");
            (self.errors, self.pause) = (0, FIRST_PAUSE);
        }
    }

    /// How long to wait before the system is asked again.
    fn failed(&mut self, error: &io::Error) -> Duration {
        metrics::ACCEPT_FAILURES.of(self.face).inc();
        if self.errors == 0 {
            let listener = &self.listener;
            tracing::warn!(listener, %error, "cannot accept connections; trying again until it works");
        }
        self.errors += 1;
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        pause
    }
}

/// Errors of one connection that was gone before it was accepted; the next accept is none the worse.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::future::ready;

    /// What the system answers, in order.
    fn answers(of: impl IntoIterator<Item = io::Result<u32>>) -> VecDeque<io::Result<u32>> {
        of.into_iter().collect()
    }

    fn out_of_descriptors() -> io::Result<u32> {
        Err(io::Error::from_raw_os_error(24))
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_grow_up_to_the_longest_and_end_with_the_first_connection() {
        let mut accept = Accept::new("test", "test");
        let error = io::Error::from_raw_os_error(24);
        let pauses: Vec<_> = (0..9).map(|_| accept.failed(&error).as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
        let mut system = answers([out_of_descriptors(), out_of_descriptors(), Ok(1)]);
        assert_eq!(accept.next(|| ready(system.pop_front().expect("an answer"))).await, 1);
        assert_eq!((accept.errors, accept.failed(&error)), (0, FIRST_PAUSE));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_gone_already_is_no_failure() {
        let mut accept = Accept::new("test", "test");
        let gone = [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset, io::ErrorKind::Interrupted];
        let mut system = answers(gone.into_iter().map(|kind| Err(kind.into())).chain([Ok(1)]));
        assert_eq!(accept.next(|| ready(system.pop_front().expect("an answer"))).await, 1);
        assert_eq!((accept.errors, accept.pause), (0, FIRST_PAUSE));
    }
}
