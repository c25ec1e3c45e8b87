//! How much in how long: the two ways in which Kafka measures against a quota. Pure: the time is an argument, in ms.
//!
//! ```text
//! rate     │ 3 │ 0 │ 7 │ … │ 2 │ 5      eleven windows of a second, the last one under way (quota.window.num)
//!          └── sum ÷ time ──────┘        time: from the first of them, at least ten windows
//! bucket   level ≤ eleven seconds' worth, filled steadily, and drawn from even if it holds less
//! ```

use std::collections::VecDeque;

/// `quota.window.num`, `controller.quota.window.num`
pub const WINDOWS: i64 = 11;
/// `quota.window.size.seconds`, `controller.quota.window.size.seconds`
pub const WINDOW_MS: i64 = 1000;

/// A rate over the last windows.
#[derive(Clone, Debug, Default)]
pub struct Rate {
    /// When each window began, and what was recorded in it; oldest first.
    windows: VecDeque<(i64, f64)>,
}

impl Rate {
    pub fn record(&mut self, value: f64, now: i64) {
        self.forget(now);
        match self.windows.back_mut() {
            Some((began, sum)) if now - *began < WINDOW_MS => *sum += value,
            _ => self.windows.push_back((now, value)),
        }
    }

    /// By the second.
    pub fn rate(&mut self, now: i64) -> f64 {
        self.forget(now);
        let sum: f64 = self.windows.iter().map(|(_, sum)| sum).sum();
        sum * 1000.0 / self.time_ms(now) as f64
    }

    /// How long nothing may be recorded until the rate is `limit` again; 0 if it is not above.
    pub fn excess_ms(&mut self, limit: f64, now: i64) -> i64 {
        let rate = self.rate(now);
        if rate <= limit {
            return 0;
        }
        ((rate - limit) / limit * self.time_ms(now) as f64).round() as i64
    }

    /// Whether nothing is remembered any more.
    pub fn is_silent(&mut self, now: i64) -> bool {
        self.forget(now);
        self.windows.is_empty()
    }

    fn forget(&mut self, now: i64) {
        while self.windows.front().is_some_and(|(began, _)| now - began >= WINDOWS * WINDOW_MS) {
            self.windows.pop_front();
        }
    }

    /// The time that the windows cover. Those that were never begun count whole, so that a first burst is not taken for
    /// a rate.
    fn time_ms(&self, now: i64) -> i64 {
        let elapsed = self.windows.front().map_or(0, |(began, _)| (now - began).max(0));
        let missing = (WINDOWS - 1 - elapsed / WINDOW_MS).max(0);
        (elapsed + missing * WINDOW_MS).max(WINDOW_MS)
    }
}

/// A bucket that is filled at a rate (KIP-599).
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    level: f64,
    at: i64,
}

impl Bucket {
    pub fn full(limit: f64, now: i64) -> Bucket {
        Bucket { level: burst(limit), at: now }
    }

    /// How long until it is not below zero.
    pub fn wait_ms(&mut self, limit: f64, now: i64) -> i64 {
        self.fill(limit, now);
        if self.level >= 0.0 { 0 } else { (-self.level / limit * 1000.0).round() as i64 }
    }

    pub fn draw(&mut self, value: f64, limit: f64, now: i64) {
        self.fill(limit, now);
        self.level = (self.level - value).min(burst(limit));
    }

    fn fill(&mut self, limit: f64, now: i64) {
        let passed_s = (now - self.at).max(0) as f64 / 1000.0;
        self.level = (self.level + passed_s * limit).min(burst(limit));
        self.at = self.at.max(now);
    }
}

fn burst(limit: f64) -> f64 {
    limit * (WINDOWS * WINDOW_MS / 1000) as f64
}
