//! The only place that asks what time it is (tests/tidy.rs enforces it). Everything else is handed a [`Clock`] or a
//! [`Timestamp`], so that a simulation can hold time in its hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::ids::Timestamp;

/// Where the time comes from. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's wall clock.
    System,
    /// A hand-moved clock: unit tests and the simulation.
    Manual(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands at `at` until [`Clock::set`] moves it.
    pub fn manual(at: Timestamp) -> Clock {
        Clock::Manual(Arc::new(AtomicI64::new(at.0)))
    }

    pub fn now(&self) -> Timestamp {
        match self {
            Clock::System => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
                Timestamp(since.as_millis() as i64)
            }
            Clock::Manual(at) => Timestamp(at.load(Ordering::Relaxed)),
        }
    }

    /// Moves a manual clock; a system clock cannot be moved and ignores it.
    pub fn set(&self, to: Timestamp) {
        if let Clock::Manual(at) = self {
            at.store(to.0, Ordering::Relaxed);
        }
    }

    /// Waits until `deadline` by this clock: by tokio's timer, which a simulation pauses and advances itself.
    pub async fn sleep_until(&self, deadline: Timestamp) {
        loop {
            let left = deadline.0.saturating_sub(self.now().0);
            if left <= 0 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(left as u64)).await;
            if let Clock::Manual(_) = self {
                // The timer ran on tokio's (paused) time; the hand-moved clock follows it.
                if self.now() < deadline {
                    self.set(deadline);
                }
            }
        }
    }
}

/// How long something took: for metrics, and for what a client pays by time (a quota). Nothing else may be decided by it.
#[derive(Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    pub fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    /// Microseconds since the start.
    pub fn us(&self) -> u64 {
        self.0.elapsed().as_micros() as u64
    }
}
