//! Transactions: a machine whose memory is `__transaction_state`, in Kafka's own record format (KIP-98, KIP-447, KIP-890).
//! Pure: no IO, no clock, no chance (a fresh producer id is part of the command that may need one).
//!
//! ```text
//!            add, or write                  end                         offsets of groups are decided too
//!   Empty ───────────────► Ongoing ──────────────────► PrepareCommit ───────────────────► CompleteCommit ──► Ongoing …
//!     ▲                       │   or time is up          or PrepareAbort                    or CompleteAbort
//!     └── InitProducerId ─────┴── of a new incarnation ─────────────────────────────────────────┘
//! ```
//! The markers that end a transaction in its logs stand in one group with the record that says how it ended: all or none,
//! one sync. Offsets that a transaction committed stand in another ledger; for them the end is written first
//! (*Prepare*), then that ledger is told, then the transaction is *Complete*. A transaction without offsets is never
//! seen in *Prepare*.
//!
//! Whoever ends a transaction by the rules of KIP-890 gets a higher epoch with it, and the markers carry that epoch: what
//! comes late from before it is fenced by the log. For older clients (TV1) the epoch stays, and a produce request that
//! was under way while its transaction was given up by time is refused only by the coordinator's look at the
//! transaction before (KIP-890 names the hole that remains).
//!
//! `state.rs` what the log folds to · `record.rs` its bytes · `coordinator.rs` the machine as handlers ask it.

pub mod coordinator;
pub mod record;
pub mod state;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::config::server::ServerSettings;
use crate::ids::Timestamp;
use crate::ledger::{Input, Machine, Step, Ticket};
use crate::record::records::Marker;
pub use record::Record;
pub use state::{Name, Partition, State, Status, Transaction};

/// The machine of `__transaction_state`.
pub struct Transactions;

/// What an operator may set; each has Kafka's name and default.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// `transaction.max.timeout.ms`
    pub max_timeout_ms: i32,
    /// `transactional.id.expiration.ms`
    pub id_expiration_ms: i64,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`
    pub abort_check_ms: i64,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`
    pub remove_check_ms: i64,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            max_timeout_ms: 15 * 60_000,
            id_expiration_ms: 7 * 24 * 3_600_000,
            abort_check_ms: 10_000,
            remove_check_ms: 3_600_000,
        }
    }
}

impl Settings {
    pub fn of(settings: &ServerSettings) -> Settings {
        Settings {
            max_timeout_ms: i32::try_from(settings.transaction_max_timeout_ms).unwrap_or(i32::MAX),
            id_expiration_ms: settings.transactional_id_expiration_ms,
            abort_check_ms: settings.transaction_abort_check_ms,
            remove_check_ms: settings.transaction_remove_check_ms,
        }
    }
}

/// A producer's number and incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Producer {
    pub id: i64,
    pub epoch: i16,
}

#[derive(Clone, Debug)]
pub enum Command {
    Configure(Settings),
    Init(Init),
    Add(Add),
    End(End),
    /// Every transactional id.
    List,
    Describe(Vec<Name>),
}

/// A producer (re)starts under its transactional id (InitProducerId).
#[derive(Clone, Debug)]
pub struct Init {
    pub id: Name,
    pub timeout_ms: i32,
    /// What the producer says it is (KIP-360): it wants the next epoch, and only if nobody came in between.
    pub expected: Option<Producer>,
    /// A number nobody has, for when one is needed.
    pub fresh: i64,
}

/// Partitions come into a transaction (AddPartitionsToTxn, AddOffsetsToTxn, or by a write of a TV2 client).
#[derive(Clone, Debug)]
pub struct Add {
    pub id: Name,
    pub producer: Producer,
    pub partitions: Vec<Partition>,
    /// Only ask whether they are in it.
    pub verify_only: bool,
    /// The client speaks KIP-890's second part: its epoch rises with every transaction.
    pub bumps: bool,
}

/// A transaction is to be committed or given up (EndTxn).
#[derive(Clone, Debug)]
pub struct End {
    pub id: Name,
    pub producer: Producer,
    pub how: Marker,
    pub bumps: bool,
    /// For when the epochs of this producer are used up.
    pub fresh: i64,
}

#[derive(Debug, PartialEq)]
pub enum Reply {
    Done,
    Init(Result<Producer, Refusal>),
    /// Refused as a whole, or by partition: whether each is in the transaction now.
    Add(Result<Vec<bool>, Refusal>),
    /// What the producer is from now on.
    End(Result<Producer, Refusal>),
    List(Vec<(Name, Transaction)>),
    /// `None`: no such transactional id.
    Describe(Vec<Option<Transaction>>),
}

/// Why the machine says no, as facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The timeout is not positive, or above what the operator allows.
    InvalidTimeout,
    /// Nobody has this transactional id, or another producer has it.
    UnknownProducer,
    /// Another incarnation has come since.
    Fenced,
    /// The transaction is being ended: ask again.
    Ending,
    /// Nothing of the kind can be asked in this state.
    InvalidState,
}

/// What happens outside the machine's own log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    pub id: Name,
    /// As the markers name it.
    pub producer: Producer,
    pub how: Marker,
    /// The logs the markers go to (together with the record), or what was committed there (then).
    pub partitions: Vec<Partition>,
}

/// Sessions are nobody's; only requests that wait for an end that is under way.
#[derive(Debug, Default)]
pub struct Scratch {
    settings: Settings,
    waiting: BTreeMap<Name, Vec<(Ticket, Waiting)>>,
    /// The incarnation before the current one, for a client that asks again because the answer was lost.
    before: BTreeMap<Name, Producer>,
    next_check: Option<Timestamp>,
    next_removal: Option<Timestamp>,
    is_loaded: bool,
}

#[derive(Debug)]
enum Waiting {
    /// To be told what the producer is when its transaction has ended.
    End,
    Init(Init),
}

impl Scratch {
    pub fn new(settings: Settings) -> Scratch {
        Scratch { settings, ..Scratch::default() }
    }
}

type Out = Vec<Step<Record, Reply, Ending>>;

/// No producer has a higher epoch in use: the one above is for fencing it.
const LAST_EPOCH: i16 = i16::MAX - 1;

impl Machine for Transactions {
    type State = State;
    type Scratch = Scratch;
    type Command = Command;
    type Reply = Reply;
    type Record = Record;
    type Effect = Ending;

    fn decide(state: &State, scratch: &mut Scratch, now: Timestamp, input: Input<Command, Ending>, out: &mut Out) {
        let mut turn = Turn { state, scratch, now, out };
        if !turn.scratch.is_loaded {
            turn.scratch.is_loaded = true;
            turn.resume();
        }
        match input {
            Input::Command(ticket, command) => turn.answer(ticket, command),
            Input::Tick => turn.tick(),
            Input::Done(ending) => turn.ended(&ending),
        }
    }

    fn apply(state: &mut State, record: &Record) {
        state.apply(record);
    }

    fn snapshot(state: &State) -> Vec<Record> {
        state.snapshot()
    }
}

/// One call of `decide`.
struct Turn<'a> {
    state: &'a State,
    scratch: &'a mut Scratch,
    now: Timestamp,
    out: &'a mut Out,
}

impl Turn<'_> {
    fn answer(&mut self, ticket: Ticket, command: Command) {
        let reply = match command {
            Command::Configure(settings) => {
                self.scratch.settings = settings;
                self.wake();
                Reply::Done
            }
            Command::Init(init) => return self.init(ticket, init),
            Command::Add(add) => Reply::Add(self.add(&add)),
            Command::End(end) => return self.end(ticket, &end),
            Command::List => {
                Reply::List(self.state.all().map(|(name, transaction)| (name.clone(), transaction.clone())).collect())
            }
            Command::Describe(names) => {
                Reply::Describe(names.iter().map(|name| self.state.get(name).cloned()).collect())
            }
        };
        self.out.push(Step::Reply(ticket, reply));
    }

    fn init(&mut self, ticket: Ticket, init: Init) {
        if init.timeout_ms <= 0 || init.timeout_ms > self.scratch.settings.max_timeout_ms {
            return self.refuse_init(ticket, Refusal::InvalidTimeout);
        }
        let Some(known) = self.state.get(&init.id) else {
            // What a producer says it is counts for nothing when nobody remembers it (its id may have expired).
            let producer = Producer { id: init.fresh, epoch: 0 };
            return self.start(ticket, &Init { expected: None, ..init }, producer);
        };
        let current = known.producer;
        let before = self.scratch.before.get(&init.id).copied();
        if init.expected.is_some_and(|expected| expected.id != current.id && Some(expected) != before) {
            return self.refuse_init(ticket, Refusal::Fenced);
        }
        match known.status {
            Status::PrepareCommit | Status::PrepareAbort => {
                self.scratch.waiting.entry(init.id.clone()).or_default().push((ticket, Waiting::Init(init)));
            }
            Status::Ongoing => {
                if init.expected.is_some_and(|expected| expected != current) {
                    return self.refuse_init(ticket, Refusal::Fenced);
                }
                // The incarnation before is fenced: the markers carry an epoch it does not have.
                let (id, known) = (init.id.clone(), known.clone());
                let fence = Producer { epoch: current.epoch.saturating_add(1), ..current };
                if self.finish(&id, &known, fence, fence, Marker::Abort) {
                    self.start(ticket, &init, next_incarnation(fence, init.fresh));
                } else {
                    self.scratch.waiting.entry(id).or_default().push((ticket, Waiting::Init(init)));
                }
            }
            Status::Empty | Status::CompleteCommit | Status::CompleteAbort => match init.expected {
                Some(expected) if expected == current => {
                    self.start(ticket, &init, next_incarnation(current, init.fresh));
                }
                // The answer to this very question was lost.
                Some(expected) if Some(expected) == before => {
                    self.out.push(Step::Reply(ticket, Reply::Init(Ok(current))));
                }
                Some(_) => self.refuse_init(ticket, Refusal::Fenced),
                None => self.start(ticket, &init, next_incarnation(current, init.fresh)),
            },
        }
    }

    /// The transactional id belongs to `producer` from now on.
    fn start(&mut self, ticket: Ticket, init: &Init, producer: Producer) {
        match init.expected {
            Some(expected) => drop(self.scratch.before.insert(init.id.clone(), expected)),
            None => drop(self.scratch.before.remove(&init.id)),
        }
        self.write(&init.id, Transaction::new(producer, init.timeout_ms, self.now));
        self.out.push(Step::Reply(ticket, Reply::Init(Ok(producer))));
        self.wake();
    }

    fn refuse_init(&mut self, ticket: Ticket, refusal: Refusal) {
        self.out.push(Step::Reply(ticket, Reply::Init(Err(refusal))));
    }

    fn add(&mut self, add: &Add) -> Result<Vec<bool>, Refusal> {
        let known = self.state.get(&add.id).ok_or(Refusal::UnknownProducer)?;
        if known.producer.id != add.producer.id {
            return Err(Refusal::UnknownProducer);
        }
        if known.producer.epoch != add.producer.epoch {
            return Err(Refusal::Fenced);
        }
        if matches!(known.status, Status::PrepareCommit | Status::PrepareAbort) {
            return Err(Refusal::Ending);
        }
        let ongoing = known.status == Status::Ongoing;
        let is_in = |partition: &Partition| ongoing && known.partitions.contains(partition);
        if add.verify_only {
            return Ok(add.partitions.iter().map(is_in).collect());
        }
        if !add.partitions.iter().all(is_in) {
            let mut next = known.clone();
            if !ongoing {
                next.status = Status::Ongoing;
                next.partitions.clear();
                next.started = self.now;
            }
            next.partitions.extend(add.partitions.iter().cloned());
            next.updated = self.now;
            next.bumps = add.bumps;
            self.write(&add.id, next);
            self.wake();
        }
        Ok(vec![true; add.partitions.len()])
    }

    fn end(&mut self, ticket: Ticket, end: &End) {
        let reply = match self.try_end(ticket, end) {
            Ok(Some(producer)) => Ok(producer),
            Ok(None) => return,
            Err(refusal) => Err(refusal),
        };
        self.out.push(Step::Reply(ticket, Reply::End(reply)));
    }

    /// `None`: the answer comes when the end has come.
    fn try_end(&mut self, ticket: Ticket, end: &End) -> Result<Option<Producer>, Refusal> {
        let known = self.state.get(&end.id).ok_or(Refusal::UnknownProducer)?;
        let current = known.producer;
        let before = self.scratch.before.get(&end.id).copied();
        // With every end comes an epoch, so a client that asks again has the one before.
        let again = end.bumps
            && (current.id == end.producer.id && i32::from(current.epoch) == i32::from(end.producer.epoch) + 1
                || current.epoch == 0 && before == Some(end.producer));
        if current.id != end.producer.id && !again {
            return Err(Refusal::UnknownProducer);
        }
        if current.epoch != end.producer.epoch && !again {
            return Err(Refusal::Fenced);
        }
        match (known.status, end.how) {
            (Status::Ongoing, _) if again => Err(Refusal::Fenced),
            (Status::Ongoing, how) => {
                let (known, next) = (known.clone(), self.after(end, current));
                let marker = if end.bumps { Producer { epoch: current.epoch + 1, ..current } } else { current };
                if self.finish(&end.id, &known, next, marker, how) {
                    return Ok(Some(next));
                }
                self.scratch.waiting.entry(end.id.clone()).or_default().push((ticket, Waiting::End));
                Ok(None)
            }
            (Status::PrepareCommit, Marker::Commit) | (Status::PrepareAbort, Marker::Abort) if again || !end.bumps => {
                self.scratch.waiting.entry(end.id.clone()).or_default().push((ticket, Waiting::End));
                Ok(None)
            }
            (Status::CompleteCommit, Marker::Commit) | (Status::CompleteAbort, Marker::Abort)
                if again || !end.bumps =>
            {
                Ok(Some(current))
            }
            // Nothing was written in it; giving up nothing still raises the epoch (KIP-890).
            (Status::Empty | Status::CompleteCommit | Status::CompleteAbort, Marker::Abort) if end.bumps && !again => {
                let (mut next, producer) = (known.clone(), self.after(end, current));
                next.status = Status::CompleteAbort;
                next.partitions.clear();
                next.producer = producer;
                next.updated = self.now;
                self.scratch.before.insert(end.id.clone(), current);
                self.write(&end.id, next);
                Ok(Some(producer))
            }
            _ => Err(Refusal::InvalidState),
        }
    }

    /// What the producer is once the transaction has ended.
    fn after(&self, end: &End, current: Producer) -> Producer {
        match end.bumps {
            false => current,
            true if current.epoch >= LAST_EPOCH => Producer { id: end.fresh, epoch: 0 },
            true => Producer { epoch: current.epoch + 1, ..current },
        }
    }

    /// Ends an ongoing transaction, whose producer is `next` afterwards and `marker` in the markers. True: it is over;
    /// false: the offsets in it are still to be decided.
    fn finish(&mut self, id: &Name, known: &Transaction, next: Producer, marker: Producer, how: Marker) -> bool {
        let (offsets, logs): (Vec<Partition>, Vec<Partition>) =
            known.partitions.iter().cloned().partition(Partition::is_offsets);
        self.scratch.before.insert(id.clone(), known.producer);
        let mut over = known.clone();
        over.updated = self.now;
        over.next = next;
        over.producer = marker;
        if offsets.is_empty() {
            over.complete(how);
        } else {
            over.status = if how == Marker::Commit { Status::PrepareCommit } else { Status::PrepareAbort };
            over.partitions = offsets.iter().cloned().collect();
        }
        self.write(id, over);
        let ending = |partitions| Ending { id: id.clone(), producer: marker, how, partitions };
        if !logs.is_empty() {
            self.out.push(Step::Together(ending(logs)));
        }
        if offsets.is_empty() {
            return true;
        }
        self.out.push(Step::Then(ending(offsets)));
        false
    }

    /// The offsets of a transaction are decided: it is over.
    fn ended(&mut self, ending: &Ending) {
        let Some(known) = self.state.get(&ending.id) else { return };
        let preparing = matches!(known.status, Status::PrepareCommit | Status::PrepareAbort);
        if !preparing || known.producer != ending.producer {
            return;
        }
        let mut over = known.clone();
        over.updated = self.now;
        over.complete(ending.how);
        let producer = over.producer;
        self.write(&ending.id, over);
        let mut init = None;
        for (ticket, waiting) in self.scratch.waiting.remove(&ending.id).unwrap_or_default() {
            match waiting {
                Waiting::End => self.out.push(Step::Reply(ticket, Reply::End(Ok(producer)))),
                // Of several incarnations that come at once the last one counts.
                Waiting::Init(next) => {
                    if let Some((ticket, _)) = init.replace((ticket, next)) {
                        self.refuse_init(ticket, Refusal::Fenced);
                    }
                }
            }
        }
        if let Some((ticket, init)) = init {
            let expected =
                init.expected.is_none_or(|expected| Some(expected) == self.scratch.before.get(&ending.id).copied());
            match expected {
                true => self.start(ticket, &init, next_incarnation(producer, init.fresh)),
                false => self.refuse_init(ticket, Refusal::Fenced),
            }
        }
    }

    /// After a restart: what was being ended is ended.
    fn resume(&mut self) {
        let ending: Vec<Ending> = self
            .state
            .all()
            .filter_map(|(id, transaction)| {
                let how = match transaction.status {
                    Status::PrepareCommit => Marker::Commit,
                    Status::PrepareAbort => Marker::Abort,
                    _ => return None,
                };
                let partitions = transaction.partitions.iter().cloned().collect();
                Some(Ending { id: id.clone(), producer: transaction.producer, how, partitions })
            })
            .collect();
        self.out.extend(ending.into_iter().map(Step::Then));
        self.wake();
    }

    /// Gives up transactions whose time is over, and forgets ids that were not used for long.
    fn tick(&mut self) {
        if self.scratch.next_check.is_some_and(|at| at > self.now) {
            return self.wake();
        }
        self.scratch.next_check = None;
        let late: Vec<(Name, Transaction)> = (self.state.all())
            .filter(|(_, t)| t.status == Status::Ongoing && self.now.0 - t.started.0 > i64::from(t.timeout_ms))
            .map(|(id, transaction)| (id.clone(), transaction.clone()))
            .collect();
        for (id, transaction) in late {
            let fence = Producer { epoch: transaction.producer.epoch.saturating_add(1), ..transaction.producer };
            // Its client is fenced, but may ask for the epoch that fences it, and go on (KIP-588).
            self.finish(&id, &transaction, fence, fence, Marker::Abort);
        }
        self.remove_silent();
        self.wake();
    }

    fn remove_silent(&mut self) {
        if self.scratch.next_removal.is_some_and(|at| at > self.now) {
            return;
        }
        self.scratch.next_removal = Some(self.now.plus_ms(self.scratch.settings.remove_check_ms));
        let expiration_ms = self.scratch.settings.id_expiration_ms;
        let silent: Vec<Name> = (self.state.all())
            .filter(|(_, t)| t.status.is_idle() && self.now.0 - t.updated.0 >= expiration_ms)
            .map(|(id, _)| id.clone())
            .collect();
        for id in silent {
            self.scratch.before.remove(&id);
            self.out.push(Step::Write(Record { id, transaction: None }));
        }
    }

    fn write(&mut self, id: &Name, transaction: Transaction) {
        self.out.push(Step::Write(Record { id: id.clone(), transaction: Some(transaction) }));
    }

    /// As long as there is anything that may be late or grow old.
    fn wake(&mut self) {
        if self.scratch.next_check.is_none() {
            self.scratch.next_check = Some(self.now.plus_ms(self.scratch.settings.abort_check_ms));
        }
        if let Some(at) = self.scratch.next_check {
            self.out.push(Step::WakeAt(at));
        }
    }
}

/// The one after `current`; a new number when its epochs are used up.
fn next_incarnation(current: Producer, fresh: i64) -> Producer {
    if current.epoch >= LAST_EPOCH {
        return Producer { id: fresh, epoch: 0 };
    }
    Producer { epoch: current.epoch + 1, ..current }
}
