//! A word that is said once and heard by everybody who waits for it, in the order in which they began to wait: woken in
//! any other order (tokio's `watch` throws dice), no simulation could be replayed.

use std::pin::pin;
use std::sync::OnceLock;

use tokio::sync::Notify;

#[derive(Debug)]
pub struct Word<T> {
    said: OnceLock<T>,
    waiting: Notify,
}

impl<T> Default for Word<T> {
    fn default() -> Word<T> {
        Word { said: OnceLock::new(), waiting: Notify::new() }
    }
}

impl<T> Word<T> {
    /// The first word stands.
    pub fn say(&self, word: T) {
        let _ = self.said.set(word);
        self.waiting.notify_waiters();
    }

    pub fn said(&self) -> Option<&T> {
        self.said.get()
    }

    /// Resolves when it is said, or at once if it was.
    pub async fn heard(&self) {
        let mut next = pin!(self.waiting.notified());
        // From now on nothing is missed.
        next.as_mut().enable();
        if self.said.get().is_none() {
            next.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test]
    async fn who_waits_first_hears_first_and_who_comes_late_hears_too() {
        let (word, heard) = (Arc::new(Word::default()), Arc::new(Mutex::new(Vec::new())));
        let mut waiting = tokio::task::JoinSet::new();
        for n in 0..10 {
            let (word, heard) = (word.clone(), heard.clone());
            waiting.spawn(async move {
                word.heard().await;
                heard.lock().unwrap().push(n);
            });
        }
        tokio::task::yield_now().await;
        word.say("now");
        word.say("never");
        waiting.join_all().await;
        word.heard().await;
        assert_eq!((word.said(), heard.lock().unwrap().clone()), (Some(&"now"), (0..10).collect()));
    }
}
