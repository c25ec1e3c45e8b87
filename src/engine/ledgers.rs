//! Runs a machine over a log: replay, decide, append, apply, reply when durable. Decisions are pipelined: records are
//! applied at once, and every reply, also of a command that wrote nothing, waits until all that was applied before it
//! is durable. A failed append ends the process, so nothing is ever rolled back.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::sabotage::{self, Bug};
use super::{Engine, Error, Fetch, Group, Origin, Part, Permit, Placed, Read, Receipt, Refused, Until};
use crate::ids::{LogId, Offset, Timestamp};
use crate::ledger::{Entry, Input, Machine, NoEffect, Record, Step, Ticket, Within};
use crate::record::batch::{self, Batch};
use crate::record::build::{self, Builder, NewRecord, Producer};
use crate::record::compress::Codec;
use crate::record::compress::Limits;
use crate::record::records;

/// Commands that may wait for their turn, and decided batches that may wait to be durable.
const WAITING_COMMANDS: usize = 4096;
const WAITING_BATCHES: usize = 1024;
/// Commands decided together, whose records share a batch.
const TURN_COMMANDS: usize = 1024;
/// A ledger's batch is closed at this size.
const BATCH_BYTES: usize = 512 * 1024;
/// Ledgers are written by us, uncompressed; the limits only have to be wide enough.
const LIMITS: Limits = Limits { max_bytes: 64 << 20, max_ratio: 1000 };

/// A handle to a running machine.
pub struct Ledger<M: Machine> {
    asks: mpsc::Sender<Ask<M>>,
}

struct Ask<M: Machine> {
    command: M::Command,
    reply: oneshot::Sender<M::Reply>,
    company: Option<Company>,
}

/// How the records of one command happen together with those of another ledger, all or none. One of the two brings its
/// batches ([`Ledger::ask_through`]), the other takes them into its own group ([`Ledger::carry`]): each log still has one
/// writer that knows where it ends. Such a command has a turn of its own.
enum Company {
    Through(Through),
    Carry(Vec<Part>, oneshot::Sender<Receipt>),
}

/// Appends batches, in a group with others.
pub type Through = Box<dyn FnOnce(Vec<Part>) -> Pin<Box<dyn Future<Output = Receipt> + Send>> + Send>;

/// More than this is not carried in one group: what comes before it is written first, in groups of its own.
const CARRY_BYTES: usize = 4 << 20;

/// Sees every turn that changed the state, with its replies, when it is decided; says what to do once that turn is
/// durable, before anybody is answered.
pub type Observe<M> = Box<dyn FnMut(&<M as Machine>::State, &[<M as Machine>::Reply]) -> WhenDurable + Send>;
pub type WhenDurable = Option<Box<dyn FnOnce() + Send>>;

/// How a machine's effects are done.
pub struct Effects<M: Machine> {
    /// Of [`Step::Together`]: the batches for other logs. One that ends a transaction in a log that is gone is left out.
    pub parts: Together<M>,
    /// Of [`Step::Then`]. An error ends the ledger: the server is stopping, and the next start asks again.
    pub perform: Perform<M>,
}

pub type Together<M> = Box<dyn Fn(<M as Machine>::Effect) -> Vec<Part> + Send>;
pub type Perform<M> = Arc<dyn Fn(&<M as Machine>::Effect) -> Performing + Send + Sync>;

pub type Performing = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

impl<M: Machine<Effect = NoEffect>> Effects<M> {
    pub fn none() -> Effects<M> {
        Effects { parts: Box::new(|never| match never {}), perform: Arc::new(|never| match *never {}) }
    }
}

impl<M: Machine> Clone for Ledger<M> {
    fn clone(&self) -> Self {
        Ledger { asks: self.asks.clone() }
    }
}

impl<M: Machine> Ledger<M> {
    /// Replays the log and starts the machine. `observe` also sees the replayed state, once.
    pub async fn open(
        engine: Arc<Engine>,
        log: LogId,
        scratch: M::Scratch,
        mut observe: Observe<M>,
        effects: Effects<M>,
    ) -> Result<Ledger<M>, Error> {
        let (state, next) = replay::<M>(&engine, log).await?;
        if let Some(then) = observe(&state, &[]) {
            then();
        }
        let (asks, commands) = mpsc::channel(WAITING_COMMANDS);
        let (done, finished) = mpsc::channel(WAITING_BATCHES);
        // As many as may wait to be durable, so that nobody waits for a runner that waits for him.
        let (performed, happened) = mpsc::channel(WAITING_BATCHES);
        tokio::spawn(complete::<M>(engine.clone(), finished, effects.perform, performed));
        let runner = Runner::<M> {
            engine,
            log,
            state,
            scratch,
            next,
            wake: Some(Timestamp(i64::MIN)),
            tickets: BTreeMap::new(),
            last_ticket: 0,
            observe,
            parts: effects.parts,
            done,
            grown_bytes: 0,
            snapshot_bytes: 0,
        };
        tokio::spawn(runner.run(commands, happened));
        Ok(Ledger { asks })
    }

    /// What the machine answers, once everything it saw is durable.
    pub async fn ask(&self, command: M::Command) -> Result<M::Reply, Error> {
        self.hand_over(command).await?.await
    }

    /// Puts a command behind all that were handed over before it. The order is settled when this returns; what it
    /// returns is awaited for the answer.
    pub async fn hand_over(
        &self,
        command: M::Command,
    ) -> Result<impl Future<Output = Result<M::Reply, Error>> + Send + use<M>, Error> {
        self.send(command, None).await
    }

    /// Like [`Ledger::ask`]; what it writes, if anything, is appended by `through`.
    pub async fn ask_through(&self, command: M::Command, through: Through) -> Result<M::Reply, Error> {
        self.send(command, Some(Company::Through(through))).await?.await
    }

    /// Appends `parts` together with what the command writes, which must not depend on whether `parts` are sound: a
    /// refusal ends the engine. The order is settled when this returns.
    pub async fn carry(&self, command: M::Command, parts: Vec<Part>) -> Receipt {
        let (tell, appended) = oneshot::channel();
        // Nobody waits for the reply: whoever brought the parts waits for the receipt.
        let sent = self.send(command, Some(Company::Carry(parts, tell))).await.map(drop);
        match (sent, appended.await) {
            (Ok(()), Ok(receipt)) => receipt,
            (Err(_), _) | (_, Err(_)) => Receipt::refused(Error::ShuttingDown),
        }
    }

    async fn send(
        &self,
        command: M::Command,
        company: Option<Company>,
    ) -> Result<impl Future<Output = Result<M::Reply, Error>> + Send + use<M>, Error> {
        let (reply, answer) = oneshot::channel();
        self.asks.send(Ask { command, reply, company }).await.map_err(|_| Error::ShuttingDown)?;
        Ok(async move { answer.await.map_err(|_| Error::LaneFailed) })
    }
}

/// The fold of a log, and where it ends.
async fn replay<M: Machine>(engine: &Engine, log: LogId) -> Result<(M::State, Offset), Error> {
    let mut state = M::State::default();
    let bounds = engine.bounds(log)?;
    let mut next = bounds.start;
    while next < bounds.end {
        let read = Read { log, from: next, max_bytes: 4 << 20, until: Until::End };
        let fetch = Fetch { reads: vec![read], min_bytes: 0, max_bytes: 4 << 20, deadline: Timestamp(0) };
        let page = match engine.fetch(fetch).await.remove(0) {
            Ok(page) => page,
            Err(Error::Corrupt { first, end }) => {
                tracing::error!(%log, %first, %end, "part of a ledger is damaged; what it said is lost");
                next = end;
                continue;
            }
            Err(e) => return Err(e),
        };
        if page.batches.is_empty() {
            break;
        }
        for stored in page.batches {
            let opened = batch::trust(stored.bytes).map_err(|e| Error::Invalid(format!("ledger {log}: {e}")))?;
            let base = Offset(opened.header.base_offset as u64);
            let iter = records::iterate(&opened, LIMITS)
                .map_err(|e| Error::Invalid(format!("ledger {log} at {base}: {e}")))?;
            for record in iter {
                let record = record.map_err(|e| Error::Invalid(format!("ledger {log} at {base}: {e}")))?;
                let (key, value) = (record.key.as_deref(), record.value.as_deref());
                let decoded = match within(&opened) {
                    None => M::Record::decode(key, value),
                    Some(within) => M::Record::decode_within(within, key, value),
                };
                match decoded {
                    Ok(Some(decoded)) => M::apply(&mut state, &decoded),
                    Ok(None) => {}
                    Err(e) => return Err(Error::Invalid(format!("ledger {log} at {base}: {}", e.0))),
                }
            }
            next = base.plus(opened.header.offsets());
        }
    }
    Ok((state, bounds.end))
}

/// The transaction that a batch belongs to or ends.
fn within(batch: &Batch) -> Option<Within> {
    let header = &batch.header;
    let end = if header.is_control() { records::marker_of(&batch.bytes).map(|(how, _)| how) } else { None };
    header.is_transactional().then_some(Within { producer: header.producer_id, epoch: header.producer_epoch, end })
}

/// A decided turn on its way to being durable.
struct Finished<M: Machine> {
    receipt: Option<Receipt>,
    when_durable: WhenDurable,
    senders: Vec<Option<oneshot::Sender<M::Reply>>>,
    replies: Vec<M::Reply>,
    /// After a snapshot: give up what lies before it.
    trim: Option<(LogId, Offset)>,
    then: Vec<M::Effect>,
    /// Who brought parts that were carried.
    carried: Option<oneshot::Sender<Result<Vec<Placed>, Refused>>>,
}

struct Runner<M: Machine> {
    engine: Arc<Engine>,
    log: LogId,
    state: M::State,
    scratch: M::Scratch,
    next: Offset,
    wake: Option<Timestamp>,
    tickets: BTreeMap<Ticket, oneshot::Sender<M::Reply>>,
    last_ticket: u64,
    observe: Observe<M>,
    parts: Together<M>,
    done: mpsc::Sender<Finished<M>>,
    grown_bytes: u64,
    snapshot_bytes: u64,
}

impl<M: Machine> Runner<M> {
    async fn run(mut self, mut commands: mpsc::Receiver<Ask<M>>, mut happened: mpsc::Receiver<M::Effect>) {
        let clock = self.engine.clock().clone();
        loop {
            let wake = self.wake;
            let mut effect = None;
            let first = tokio::select! {
                biased;
                () = self.engine.closing() => return,
                done = happened.recv() => match done { Some(done) => { effect = Some(done); None } None => return },
                ask = commands.recv() => match ask { Some(ask) => Some(ask), None => return },
                () = async { match wake { Some(at) => clock.sleep_until(at).await, None => std::future::pending().await } } => None,
            };
            let now = clock.now();
            let mut steps = Vec::new();
            if self.wake.is_some_and(|at| at <= now) {
                self.wake = None;
                M::decide(&self.state, &mut self.scratch, now, Input::Tick, &mut steps);
            }
            let mut turn = Turn::new(now);
            self.take_steps(&mut steps, &mut turn);
            while let Some(done) = effect {
                M::decide(&self.state, &mut self.scratch, now, Input::Done(done), &mut steps);
                self.take_steps(&mut steps, &mut turn);
                effect = happened.try_recv().ok();
            }
            let mut ask = first;
            for _ in 0..TURN_COMMANDS {
                let Some(Ask { command, reply, company }) = ask else { break };
                let alone = company.is_some();
                if alone {
                    let before = std::mem::replace(&mut turn, Turn { company, ..Turn::new(now) });
                    if self.finish(before).await.is_err() {
                        return;
                    }
                }
                self.last_ticket += 1;
                let ticket = Ticket(self.last_ticket);
                self.tickets.insert(ticket, reply);
                M::decide(&self.state, &mut self.scratch, now, Input::Command(ticket, command), &mut steps);
                self.take_steps(&mut steps, &mut turn);
                if alone && self.finish(std::mem::replace(&mut turn, Turn::new(now))).await.is_err() {
                    return;
                }
                ask = commands.try_recv().ok();
            }
            if self.finish(turn).await.is_err() {
                return;
            }
        }
    }

    fn take_steps(&mut self, steps: &mut Vec<Step<M::Record, M::Reply, M::Effect>>, turn: &mut Turn<M>) {
        for step in steps.drain(..) {
            match step {
                Step::Write(record) => {
                    turn.write(&record);
                    M::apply(&mut self.state, &record);
                }
                Step::Reply(ticket, reply) => {
                    turn.senders.push(self.tickets.remove(&ticket));
                    turn.replies.push(reply);
                }
                Step::WakeAt(at) => self.wake = Some(self.wake.map_or(at, |w| w.min(at))),
                Step::Together(effect) => turn.together.extend((self.parts)(effect)),
                Step::Then(effect) => turn.then.push(effect),
            }
        }
    }

    async fn finish(&mut self, turn: Turn<M>) -> Result<(), ()> {
        let Turn { written, together, then, senders, replies, now, company } = turn;
        let wrote = !written.is_empty();
        let carries = matches!(company, Some(Company::Carry(..)));
        assert!(wrote || together.is_empty(), "what happens together with records needs records");
        if !wrote && !carries && replies.is_empty() && then.is_empty() {
            return Ok(());
        }
        let mut carried = None;
        let receipt = match company {
            None | Some(Company::Through(_)) if !wrote => None,
            None => Some(self.append(written, together)),
            Some(Company::Through(through)) => Some(through(self.place(written, together)).await),
            Some(Company::Carry(parts, tell)) => {
                let (settled, outcome) = oneshot::channel();
                let receipt = self.carry(written, together, parts);
                // Its own runner waits for this, and for nothing else.
                let _ = tell.send(Receipt(outcome));
                carried = Some(settled);
                Some(receipt)
            }
        };
        let when_durable = if wrote { (self.observe)(&self.state, &replies) } else { None };
        self.send(Finished { receipt, when_durable, senders, replies, trim: None, then, carried }).await?;
        if self.grown_bytes > self.engine.options.ledger_snapshot_bytes.max(2 * self.snapshot_bytes) {
            let mut snapshot = Turn::<M>::new(now);
            let mut records = M::snapshot(&self.state);
            if sabotage::is(Bug::SnapshotShort) {
                records.pop();
            }
            records.iter().for_each(|record| snapshot.write(record));
            if !snapshot.written.is_empty() {
                let first = self.next;
                self.grown_bytes = 0;
                let receipt = Some(self.append(snapshot.written, Vec::new()));
                self.snapshot_bytes = std::mem::take(&mut self.grown_bytes);
                let trim = Some((self.log, first));
                let (senders, replies, then) = (Vec::new(), Vec::new(), Vec::new());
                let carried = None;
                self.send(Finished { receipt, when_durable: None, senders, replies, trim, then, carried }).await?;
            }
        }
        Ok(())
    }

    fn append(&mut self, written: Vec<Written>, together: Vec<Part>) -> Receipt {
        let parts = self.place(written, together);
        self.engine.append(Group { parts, origin: Origin::Ledger }, Permit::default())
    }

    /// Puts the batches of others behind ours, in one group; what is too much for one goes before it.
    fn carry(&mut self, written: Vec<Written>, together: Vec<Part>, others: Vec<Part>) -> Receipt {
        let mut group = Vec::new();
        let mut bytes = 0;
        for part in self.place(written, together) {
            if bytes + part.batch.bytes.len() > CARRY_BYTES && !group.is_empty() {
                let parts = std::mem::take(&mut group);
                bytes = 0;
                // In order: it is durable when the last one is.
                drop(self.engine.append(Group { parts, origin: Origin::Ledger }, Permit::default()));
            }
            bytes += part.batch.bytes.len();
            group.push(part);
        }
        group.extend(others);
        self.engine.append(Group { parts: group, origin: Origin::Ledger }, Permit::default())
    }

    /// Decides where the ledger's own batches stand in its log.
    fn place(&mut self, written: Vec<Written>, together: Vec<Part>) -> Vec<Part> {
        let mut expect = Some(self.next);
        let mut parts = Vec::with_capacity(written.len() + together.len());
        for written in written {
            let batch = written.finish();
            self.next = self.next.plus(batch.header.offsets());
            self.grown_bytes += batch.bytes.len() as u64;
            parts.push(Part { expect: expect.take(), ..Part::new(self.log, batch) });
        }
        parts.extend(together);
        parts
    }

    async fn send(&mut self, finished: Finished<M>) -> Result<(), ()> {
        self.done.send(finished).await.map_err(drop)
    }
}

/// What one turn of a machine decided.
struct Turn<M: Machine> {
    written: Vec<Written>,
    together: Vec<Part>,
    then: Vec<M::Effect>,
    senders: Vec<Option<oneshot::Sender<M::Reply>>>,
    replies: Vec<M::Reply>,
    now: Timestamp,
    company: Option<Company>,
}

/// One batch of the ledger's own log.
enum Written {
    Records { builder: Builder, within: Option<Within> },
    Marker(Batch),
}

impl<M: Machine> Turn<M> {
    fn new(now: Timestamp) -> Turn<M> {
        let (written, together, then) = (Vec::new(), Vec::new(), Vec::new());
        Turn { written, together, then, senders: Vec::new(), replies: Vec::new(), now, company: None }
    }

    fn write(&mut self, record: &M::Record) {
        let Entry { key, value, within } = record.encode();
        if let Some(Within { producer, epoch, end: Some(end) }) = within {
            let producer = Producer { id: producer, epoch, sequence: -1 };
            self.written.push(Written::Marker(build::marker(end, producer, 0, self.now)));
            return;
        }
        let new = NewRecord { key: key.as_deref(), value: value.as_deref(), headers: &[], timestamp: self.now };
        match self.written.last_mut() {
            Some(Written::Records { builder, within: same })
                if *same == within && builder.size_with(&new) <= BATCH_BYTES =>
            {
                builder.push(&new);
            }
            _ => {
                let mut builder = Builder::new(Codec::None);
                if let Some(Within { producer, epoch, .. }) = within {
                    builder = builder.producer(Producer { id: producer, epoch, sequence: -1 }).transactional();
                }
                builder.push(&new);
                self.written.push(Written::Records { builder, within });
            }
        }
    }
}

impl Written {
    fn finish(self) -> Batch {
        match self {
            Written::Records { builder, .. } => builder.finish(),
            Written::Marker(batch) => batch,
        }
    }
}

/// Answers turns in order, each when it is durable.
async fn complete<M: Machine>(
    engine: Arc<Engine>,
    mut finished: mpsc::Receiver<Finished<M>>,
    perform: Perform<M>,
    performed: mpsc::Sender<M::Effect>,
) {
    while let Some(turn) = finished.recv().await {
        let outcome = match turn.receipt {
            Some(receipt) => receipt.await,
            None => Ok(Vec::new()),
        };
        if let Some(carried) = turn.carried {
            let _ = carried.send(outcome.clone());
        }
        if let Err(refused) = outcome {
            if refused.error == Error::ShuttingDown || engine.is_stopping() {
                // Decided while the lane was already stopping: nobody is told, and a restart has not heard of it.
                return;
            }
            engine.fail(format!("a ledger could not be written: {}", refused.error));
            return;
        }
        if let Some(then) = turn.when_durable {
            then();
        }
        for (sender, reply) in turn.senders.into_iter().zip(turn.replies) {
            // Whoever asked may have gone away.
            if let Some(sender) = sender {
                let _ = sender.send(reply);
            }
        }
        for effect in turn.then {
            let (doing, performed) = (perform(&effect), performed.clone());
            tokio::spawn(async move {
                // Neither can fail but in a server that stops.
                if doing.await.is_ok() {
                    let _ = performed.send(effect).await;
                }
            });
        }
        if let Some((log, below)) = turn.trim
            && let Err(e) = engine.trim(log, below).await
        {
            tracing::warn!(%log, "a ledger's old part could not be given up: {e}");
        }
    }
}
