//! A panic in one request: caught, put into words, and nobody else's business. It decides nothing about what is answered.
//!
//! What a request shares with others stands behind locks that outlive a panic, or dies with the request; an engine's
//! lane, whose state would not be sound any more, is not run in here.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::task::Poll;

thread_local! {
    /// Whether what this thread does now is caught if it panics.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
    /// Where the last panic was that was caught.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// The output of a future, or what it panicked with: one line, with the place in our sources where the process knows it.
pub async fn caught<F: Future>(future: F) -> Result<F::Output, String> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| {
        let outside = CAUGHT.replace(true);
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
        CAUGHT.set(outside);
        match polled {
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(panic) => Poll::Ready(Err(words(&*panic))),
        }
    })
    .await
}

/// From here on, a panic that is caught writes no lines of its own: who caught it tells of it, in one line.
pub fn quiet() {
    let loud = panic::take_hook();
    panic::set_hook(Box::new(move |info| match (CAUGHT.get(), info.location()) {
        (true, Some(place)) => PLACE.set(Some(format!(" at {place}"))),
        _ => loud(info),
    }));
}

fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let place = PLACE.take().unwrap_or_default();
    text.unwrap_or("no words").replace('\n', " ") + &place
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_one_line_and_an_output_stays_what_it_is() {
        assert_eq!(caught(async { 7 }).await, Ok(7));
        let why = caught(async { panic!("one\ntwo {}", 3) }).await.expect_err("it panicked");
        assert!(why.starts_with("one two 3"), "{why}");
        let why = caught(async {
            tokio::task::yield_now().await;
            std::panic::panic_any(5)
        });
        assert!(why.await.expect_err("it panicked").starts_with("no words"));
        assert!(!CAUGHT.get());
    }
}
