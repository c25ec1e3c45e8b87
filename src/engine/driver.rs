//! Who gives the lane its turns: three OS threads (lane, syncer, settler) in a server, one task in a simulation. The
//! lane itself does not know which.

use std::io;
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::lane::{Inbox, Lane, News, Task, Turn};
use super::sabotage::{self, Bug};
use super::table;
use super::vault::Vault;
use super::word::Word;
use crate::clock::{Clock, Stopwatch};
use crate::metrics;
use crate::store::journal::{FrameNo, Syncer};
use crate::store::{Disk, is_full};

/// The word that a lane has failed, and why. Everybody who serves must stop: nothing more can be acknowledged.
pub type Failure = Word<String>;

/// What the three of them share.
pub struct Parts {
    pub lane: Lane,
    pub syncer: Syncer,
    pub vault: Arc<Vault>,
    pub disk: Arc<dyn Disk>,
    pub inbox: Arc<Inbox>,
    pub clock: Clock,
    pub failure: Arc<Failure>,
}

/// What the syncer is asked for.
#[derive(Default)]
struct Wish {
    upto: FrameNo,
    over: bool,
}

/// Starts the threads. They end when the lane has stopped or failed.
pub fn start_threads(parts: Parts) -> io::Result<Vec<JoinHandle<()>>> {
    let Parts { mut lane, mut syncer, vault, disk, inbox, clock, failure } = parts;
    let wish: Arc<(Mutex<Wish>, Condvar)> = Arc::default();
    let (tasks, queue) = mpsc::channel::<Task>();

    let syncing = {
        let (wish, inbox, failure) = (wish.clone(), inbox.clone(), failure.clone());
        thread::Builder::new().name("syncer".into()).spawn(move || {
            let (wanted, asked) = &*wish;
            let mut synced = 0;
            loop {
                let guard = wanted.lock().unwrap_or_else(PoisonError::into_inner);
                let guard = asked.wait_while(guard, |w| w.upto <= synced && !w.over);
                let over = guard.unwrap_or_else(PoisonError::into_inner).over;
                let watch = Stopwatch::start();
                match syncer.sync() {
                    Ok(upto) => {
                        metrics::SYNCS.inc();
                        metrics::SYNC_SECONDS.observe_us(watch.us());
                        synced = upto;
                        inbox.put(News::Synced(upto));
                    }
                    Err(e) => return fail(&failure, &inbox, "syncing the journal", &e),
                }
                if over {
                    return;
                }
            }
        })?
    };
    let settling = {
        let (inbox, failure) = (inbox.clone(), failure.clone());
        thread::Builder::new().name("settler".into()).spawn(move || {
            while let Ok(task) = queue.recv() {
                match perform(task, &vault, &*disk) {
                    Ok(news) => news.into_iter().for_each(|n| inbox.put(n)),
                    Err(e) => return fail(&failure, &inbox, "settling", &e),
                }
            }
        })?
    };
    let writing = thread::Builder::new().name("lane".into()).spawn(move || {
        // A panic in the lane is a failure of the lane: the process must not go on without its writer.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            loop {
                let turn = lane.turn(clock.now())?;
                if let Some(upto) = turn.sync {
                    let mut wanted = wish.0.lock().unwrap_or_else(PoisonError::into_inner);
                    wanted.upto = wanted.upto.max(upto);
                    wish.1.notify_one();
                }
                turn.tasks.into_iter().for_each(|task| drop(tasks.send(task)));
                if turn.stopped {
                    return Ok::<(), io::Error>(());
                }
                let now = clock.now();
                inbox.wait(turn.wake.map(|at| Duration::from_millis((at.0 - now.0).max(0) as u64)));
                if inbox.is_closed() {
                    // Another thread failed: there is nothing left to write for.
                    return Ok(());
                }
            }
        }));
        match outcome {
            Ok(Ok(())) => inbox.close(),
            Ok(Err(e)) => fail(&failure, &inbox, "writing the journal", &e),
            Err(_) => fail(&failure, &inbox, "the lane", &io::Error::other("it panicked")),
        }
        wish.0.lock().unwrap_or_else(PoisonError::into_inner).over = true;
        wish.1.notify_one();
    })?;
    Ok(vec![syncing, settling, writing])
}

/// Drives the lane as one task: for a simulation, where the pace of syncs is an argument and disk calls take no time.
pub async fn run_as_task(parts: Parts, mut sync_pace: impl FnMut() -> Duration) {
    let Parts { mut lane, mut syncer, vault, disk, inbox, clock, failure } = parts;
    let mut syncing: Option<std::pin::Pin<Box<tokio::time::Sleep>>> = None;
    loop {
        let Turn { sync, wake, tasks, stopped } = match lane.turn(clock.now()) {
            Ok(turn) => turn,
            Err(e) => return fail(&failure, &inbox, "writing the journal", &e),
        };
        if sync.is_some() && syncing.is_none() {
            syncing = Some(Box::pin(tokio::time::sleep(sync_pace())));
        }
        for task in tasks {
            match perform(task, &vault, &*disk) {
                Ok(news) => news.into_iter().for_each(|n| inbox.put(n)),
                Err(e) => return fail(&failure, &inbox, "settling", &e),
            }
        }
        if stopped {
            if let Err(e) = syncer.sync() {
                fail(&failure, &inbox, "syncing the journal", &e);
            }
            return inbox.close();
        }
        tokio::select! {
            biased;
            () = async { match &mut syncing { Some(sleep) => sleep.await, None => std::future::pending().await } } => {
                syncing = None;
                match syncer.sync() {
                    Ok(upto) => inbox.put(News::Synced(upto)),
                    Err(e) => return fail(&failure, &inbox, "syncing the journal", &e),
                }
            }
            () = inbox.notify.notified() => {}
            () = async { match wake { Some(at) => clock.sleep_until(at).await, None => std::future::pending().await } } => {}
        }
    }
}

fn perform(task: Task, vault: &Vault, disk: &dyn Disk) -> io::Result<Vec<News>> {
    vault.remove_unread();
    match task {
        Task::Settle(round) => match vault.settle(&round) {
            Ok(done) => Ok(vec![News::Settled(done)]),
            Err(e) if is_full(&e) => Ok(vec![News::NotSettled, News::Room(0)]),
            Err(e) => Err(e),
        },
        Task::Snapshot { frame, .. } if sabotage::is(Bug::ForgetWithoutTable) => Ok(vec![News::Snapshotted(frame)]),
        Task::Snapshot { frame, table } => match table::write(disk, &table) {
            Ok(()) => Ok(vec![News::Snapshotted(frame)]),
            Err(e) if is_full(&e) => Ok(vec![News::NotSnapshotted, News::Room(0)]),
            Err(e) => Err(e),
        },
        Task::RemoveSegments(segments) => {
            segments.into_iter().try_for_each(|segment| vault.remove(segment)).map(|()| Vec::new())
        }
        Task::RemoveLog(log) => vault.remove_log(log).map(|()| Vec::new()),
        Task::RemovePacks(packs) => packs.into_iter().try_for_each(|id| vault.remove_pack(id)).map(|()| Vec::new()),
        Task::Tidy(ask, logs) => vault.tidy(ask, &logs).map(|tidied| vec![News::Tidied(tidied)]),
    }
}

fn fail(failure: &Failure, inbox: &Inbox, what: &str, error: &io::Error) {
    tracing::error!("{what} failed: {error}; nothing more will be acknowledged");
    failure.say(format!("{what} failed: {error}"));
    inbox.close();
}
