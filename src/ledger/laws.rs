//! The suite every machine passes, and the bench it is driven on: virtual time, no tasks, every record through its bytes.
//! Test support only: nothing here runs in the server.
//!
//! The laws: replay gives the live state · `apply` never fails · snapshot + rest = whole · applying the snapshot to the
//! state itself changes nothing · the snapshot names no key twice (outside transactions) · a ticket is answered at most once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Debug;

use crate::ids::Timestamp;
use crate::ledger::{Entry, Input, Machine, Record, Step, Ticket};

/// Runs one machine as the runner of ledgers does, with everything durable at once.
pub struct Bench<M: Machine> {
    pub state: M::State,
    pub scratch: M::Scratch,
    pub now: Timestamp,
    /// Everything ever written, as it stands in the log.
    pub log: Vec<Entry>,
    /// What happened in other logs together with those writes.
    pub together: Vec<M::Effect>,
    /// What was asked for and is not done.
    pub asked: VecDeque<M::Effect>,
    wake: Option<Timestamp>,
    last_ticket: u64,
    waiting: BTreeSet<Ticket>,
    answers: BTreeMap<Ticket, M::Reply>,
}

/// More ticks than this at one instant means that the machine wakes itself for ever.
const TICKS_AT_ONE_INSTANT: usize = 10_000;

impl<M: Machine> Bench<M> {
    /// An empty machine at `now`, ticked once as the runner does when replay is over.
    pub fn new(now: Timestamp) -> Bench<M> {
        let mut bench = Bench {
            state: M::State::default(),
            scratch: M::Scratch::default(),
            now,
            log: Vec::new(),
            together: Vec::new(),
            asked: VecDeque::new(),
            wake: None,
            last_ticket: 0,
            waiting: BTreeSet::new(),
            answers: BTreeMap::new(),
        };
        bench.decide(Input::Tick);
        bench
    }

    /// Hands a command in and says under which ticket it will be answered.
    pub fn ask(&mut self, command: M::Command) -> Ticket {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.waiting.insert(ticket);
        self.decide(Input::Command(ticket, command));
        ticket
    }

    /// The answer to a ticket, once; `None` while it is parked.
    pub fn answer(&mut self, ticket: Ticket) -> Option<M::Reply> {
        self.answers.remove(&ticket)
    }

    /// A command that must be answered at once.
    pub fn call(&mut self, command: M::Command) -> M::Reply {
        let ticket = self.ask(command);
        self.answer(ticket).expect("the command was parked")
    }

    pub fn is_waiting(&self, ticket: Ticket) -> bool {
        self.waiting.contains(&ticket)
    }

    /// Lets `ms` milliseconds pass, with every tick that was asked for in between.
    pub fn pass(&mut self, ms: i64) {
        let until = self.now.plus_ms(ms);
        let mut ticks = (self.now, 0);
        while let Some(at) = self.wake.filter(|at| *at <= until) {
            self.now = self.now.max(at);
            ticks = if ticks.0 == self.now { (self.now, ticks.1 + 1) } else { (self.now, 1) };
            assert!(ticks.1 < TICKS_AT_ONE_INSTANT, "the machine wakes itself for ever at {:?}", self.now);
            self.wake = None;
            self.decide(Input::Tick);
        }
        self.now = until;
    }

    /// What a crash leaves: the log. Waiting tickets are gone.
    pub fn restart(&mut self) {
        self.state = replay::<M>(&self.log);
        self.scratch = M::Scratch::default();
        self.wake = None;
        self.waiting.clear();
        self.answers.clear();
        self.asked.clear();
        self.decide(Input::Tick);
    }

    /// Does the oldest effect that was asked for, and says so; false if there is none.
    pub fn perform(&mut self, act: impl FnOnce(&M::Effect)) -> bool {
        let Some(effect) = self.asked.pop_front() else { return false };
        act(&effect);
        self.decide(Input::Done(effect));
        true
    }

    fn decide(&mut self, input: Input<M::Command, M::Effect>) {
        let mut steps = Vec::new();
        M::decide(&self.state, &mut self.scratch, self.now, input, &mut steps);
        for step in steps {
            match step {
                Step::Write(record) => {
                    self.log.push(record.encode());
                    M::apply(&mut self.state, &record);
                }
                Step::Reply(ticket, reply) => {
                    assert!(self.waiting.remove(&ticket), "{ticket:?} was answered twice, or was never asked");
                    self.answers.insert(ticket, reply);
                }
                Step::WakeAt(at) => self.wake = Some(self.wake.map_or(at, |before| before.min(at))),
                Step::Together(effect) => self.together.push(effect),
                Step::Then(effect) => self.asked.push_back(effect),
            }
        }
    }
}

impl<M: Machine> Bench<M>
where
    M::State: PartialEq + Debug,
{
    /// Checks every law on what has been written so far, cutting the log in a few places.
    pub fn check_laws(&self) {
        check_laws::<M>(&self.log, &self.state);
    }
}

/// The state that a log gives.
pub fn replay<M: Machine>(log: &[Entry]) -> M::State {
    let mut state = M::State::default();
    extend::<M>(&mut state, log);
    state
}

/// Checks the laws for a log and the state that the machine came to while writing it.
pub fn check_laws<M: Machine>(log: &[Entry], live: &M::State)
where
    M::State: PartialEq + Debug,
{
    assert_eq!(&replay::<M>(log), live, "replay does not give the live state");
    let cuts = [0, log.len() / 3, log.len() / 2, log.len().saturating_sub(1), log.len()];
    for cut in cuts {
        let (before, after) = log.split_at(cut);
        let mut state = replay::<M>(before);
        let snapshot = M::snapshot(&state);
        let entries: Vec<Entry> = snapshot.iter().map(Record::encode).collect();
        for record in &snapshot {
            M::apply(&mut state, record);
        }
        assert_eq!(state, replay::<M>(before), "applying the snapshot at {cut} to its own state changed it");
        let mut restored = replay::<M>(&entries);
        assert_eq!(restored, state, "the snapshot at {cut} does not give the state again");
        extend::<M>(&mut restored, after);
        assert_eq!(&restored, live, "the snapshot at {cut} and the rest do not give the whole");
        let keys: Vec<_> = entries.iter().filter(|e| e.within.is_none()).filter_map(|e| e.key.clone()).collect();
        let distinct: BTreeSet<_> = keys.iter().cloned().collect();
        assert_eq!(keys.len(), distinct.len(), "the snapshot at {cut} names a key twice");
    }
}

/// For a machine whose log may be compacted: only the last entry of each key decides.
pub fn check_compaction<M: Machine>(log: &[Entry], live: &M::State)
where
    M::State: PartialEq + Debug,
{
    let mut seen = BTreeSet::new();
    let mut kept: Vec<Entry> = log.iter().rev().filter(|e| seen.insert(e.key.clone())).cloned().collect();
    kept.reverse();
    assert_eq!(&replay::<M>(&kept), live, "a compacted log does not give the live state");
}

fn extend<M: Machine>(state: &mut M::State, log: &[Entry]) {
    for entry in log {
        let (key, value) = (entry.key.as_deref(), entry.value.as_deref());
        let decoded = match entry.within {
            None => M::Record::decode(key, value),
            Some(within) => M::Record::decode_within(within, key, value),
        };
        let record = decoded
            .expect("a record that the machine wrote is malformed")
            .expect("a record that the machine wrote is of an unknown kind");
        assert_eq!(&record.encode(), entry, "a record changes on its way through bytes");
        M::apply(state, &record);
    }
}
