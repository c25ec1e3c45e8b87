//! The lane's mailbox. Senders are many and never wait; the lane takes everything at once. No news is looked at here.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::News;

/// The lane's mailbox: many senders, one lane.
#[derive(Default)]
pub struct Inbox {
    news: Mutex<Letters>,
    arrived: Condvar,
    /// For a driver that is a task and not a thread.
    pub notify: Notify,
}

#[derive(Default)]
struct Letters {
    waiting: Vec<News>,
    /// Nobody reads any more; what is put is dropped, and with it the sender's hope.
    closed: bool,
}

impl Inbox {
    pub fn put(&self, news: News) {
        let mut letters = self.letters();
        if letters.closed {
            return;
        }
        letters.waiting.push(news);
        drop(letters);
        self.arrived.notify_one();
        self.notify.notify_one();
    }

    /// No more turns will be taken: whoever still waits is told by the drop of what he sent.
    pub fn close(&self) {
        let mut letters = self.letters();
        letters.closed = true;
        letters.waiting.clear();
        drop(letters);
        self.arrived.notify_all();
        self.notify.notify_one();
    }

    pub fn is_closed(&self) -> bool {
        self.letters().closed
    }

    pub(super) fn take(&self) -> Vec<News> {
        std::mem::take(&mut self.letters().waiting)
    }

    /// Blocks a driver's thread until there is news, or there will be none, or `most` has passed.
    pub fn wait(&self, most: Option<Duration>) {
        let letters = self.letters();
        let nothing = |l: &mut Letters| l.waiting.is_empty() && !l.closed;
        match most {
            Some(most) => drop(self.arrived.wait_timeout_while(letters, most, nothing)),
            None => drop(self.arrived.wait_while(letters, nothing)),
        }
    }

    fn letters(&self) -> MutexGuard<'_, Letters> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
