//! Being told to stop: the first SIGINT or SIGTERM begins the end in order, the second one ends the process at once. What
//! was acknowledged is on disk by then, so nothing is lost by it.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Resolves for everyone who waits when the server is told to stop. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

/// Tells everyone to stop; for what ends the server from inside.
#[derive(Clone, Debug)]
pub struct Stopper(watch::Sender<bool>);

/// Starts listening for signals; to be called within the runtime.
pub fn listen() -> std::io::Result<(Stopper, Stop)> {
    let signals = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let (stopper, stop) = pair();
    tokio::spawn(wait(signals, stopper.clone()));
    Ok((stopper, stop))
}

fn pair() -> (Stopper, Stop) {
    let (sender, receiver) = watch::channel(false);
    (Stopper(sender), Stop(receiver))
}

/// Exit code of a process that was ended by a signal, as shells count it.
const BY_INTERRUPT: i32 = 130;
const BY_TERMINATE: i32 = 143;

async fn wait((mut interrupt, mut terminate): (Signal, Signal), stopper: Stopper) {
    next(&mut interrupt, &mut terminate).await;
    eprintln!("stopping; once more stops at once");
    stopper.stop();
    let code = next(&mut interrupt, &mut terminate).await;
    std::process::exit(code);
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) -> i32 {
    tokio::select! {
        _ = interrupt.recv() => BY_INTERRUPT,
        _ = terminate.recv() => BY_TERMINATE,
    }
}

impl Stopper {
    pub fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    /// Resolves when it is time to stop.
    pub async fn told(mut self) {
        // An error means that no one is left who could tell.
        let _ = self.0.wait_for(|stop| *stop).await;
    }

    /// The same, for those who look at it themselves.
    pub fn receiver(&self) -> watch::Receiver<bool> {
        self.0.clone()
    }

    pub fn is_told(&self) -> bool {
        *self.0.borrow()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_who_wait_are_told_once_and_for_all() {
        let (stopper, stop) = pair();
        assert!(!stop.is_told());
        let waiting = tokio::spawn(stop.clone().told());
        stopper.stop();
        waiting.await.expect("told");
        stop.clone().told().await;
        assert!(stop.is_told());
    }
}
