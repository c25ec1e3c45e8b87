//! What a machine is: state that is a fold of a log, and decisions about it. Pure: no IO, no clock, no chance.
//! `engine/ledgers.rs` runs a machine over a log: replay, decide, append, apply, reply when durable.

#[cfg(test)]
pub mod laws;

use std::convert::Infallible;

use bytes::Bytes;

use crate::ids::Timestamp;
use crate::record::records::Marker;

/// A state machine whose memory is a log.
pub trait Machine: Send + 'static {
    /// A fold of the log and nothing else.
    type State: Default + Send + 'static;
    /// Parked requests, session clocks: lost on restart, rightly.
    type Scratch: Default + Send + 'static;
    type Command: Send + 'static;
    type Reply: Send + 'static;
    type Record: Record;
    /// What it does outside its own log; [`NoEffect`] for most.
    type Effect: Send + 'static;

    /// Looks at the state, may change only the scratch, says what should happen.
    ///
    /// The runner performs the steps in order: it appends the written records (all of one `decide` call in one batch),
    /// applies them at once, and lets every reply wait until everything applied so far is durable. A reply may be given
    /// in a later call than its command (a parked request): keep the [`Ticket`] in the scratch.
    fn decide(
        state: &Self::State,
        scratch: &mut Self::Scratch,
        now: Timestamp,
        input: Input<Self::Command, Self::Effect>,
        out: &mut Vec<Step<Self::Record, Self::Reply, Self::Effect>>,
    );

    /// The only way state changes. Never fails: what could be wrong was refused by `decide`.
    fn apply(state: &mut Self::State, record: &Self::Record);

    /// The state as the shortest list of records that gives it again; applying it to the state itself changes nothing.
    fn snapshot(state: &Self::State) -> Vec<Self::Record>;
}

/// A waiting command's number; one reply per ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Of a machine that touches nothing but its own log.
pub type NoEffect = Infallible;

#[derive(Debug)]
pub enum Input<C, E = NoEffect> {
    Command(Ticket, C),
    /// A moment asked for by [`Step::WakeAt`] has come (the earliest asked for since the last tick; ask again if
    /// another is needed).
    Tick,
    /// What a [`Step::Then`] asked for has happened. After a restart nobody remembers that it was asked for: the first
    /// tick asks again for what the state says is not done yet, and so an effect may happen twice.
    Done(E),
}

#[derive(Debug, PartialEq)]
pub enum Step<R, P, E = NoEffect> {
    Write(R),
    Reply(Ticket, P),
    /// Call `decide` with [`Input::Tick`] at this moment (or at an earlier one asked for by another step).
    WakeAt(Timestamp),
    /// Batches for other logs that happen together with the records of this turn: both or neither.
    Together(E),
    /// To be done once this turn is durable, and then told by [`Input::Done`].
    Then(E),
}

/// How a machine's record stands in its log: a key and a value, either of which may be null.
pub trait Record: Sized + Send + 'static {
    fn encode(&self) -> Entry;
    /// `Ok(None)`: a record of a kind this version does not know, to be skipped.
    fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Option<Self>, Malformed>;

    /// A record that stands in somebody's transaction.
    fn decode_within(_: Within, _: Option<&[u8]>, _: Option<&[u8]>) -> Result<Option<Self>, Malformed> {
        Ok(None)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub within: Option<Within>,
}

/// The transaction that a record is part of, or that it ends: then it is a control record, and has no key or value of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Within {
    pub producer: i64,
    pub epoch: i16,
    pub end: Option<Marker>,
}

/// A ledger record that cannot be read; says which and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub String);
