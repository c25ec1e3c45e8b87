//! A machine of the simulation's own: a list of numbers that only grows. It shows that the runner of ledgers keeps what
//! it acknowledged, whatever happens.

use bytes::Bytes;
use interfluve::ids::Timestamp;
use interfluve::ledger::{Entry, Input, Machine, Malformed, NoEffect, Record, Step};

pub struct Numbers;

#[derive(Debug)]
pub enum Command {
    Put(u64),
    Count,
}

/// One number at its place; places make snapshots and replays the same.
pub struct Placed(pub usize, pub u64);

impl Record for Placed {
    fn encode(&self) -> Entry {
        let key = Bytes::from((self.0 as u64).to_be_bytes().to_vec());
        // Some weight, so that snapshots happen.
        let mut value = self.1.to_be_bytes().to_vec();
        value.resize(64, 7);
        Entry { key: Some(key), value: Some(Bytes::from(value)), within: None }
    }

    fn decode(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Option<Placed>, Malformed> {
        let number = |bytes: Option<&[u8]>| bytes.and_then(|b| b.first_chunk().map(|c| u64::from_be_bytes(*c)));
        match (number(key), number(value)) {
            (Some(place), Some(value)) => Ok(Some(Placed(place as usize, value))),
            _ => Err(Malformed("not a number at a place".into())),
        }
    }
}

impl Machine for Numbers {
    type State = Vec<u64>;
    type Scratch = ();
    type Command = Command;
    /// The place of the number, or how many there are.
    type Reply = usize;
    type Record = Placed;
    type Effect = NoEffect;

    fn decide(
        state: &Vec<u64>,
        (): &mut (),
        _now: Timestamp,
        input: Input<Command>,
        out: &mut Vec<Step<Placed, usize>>,
    ) {
        match input {
            Input::Command(ticket, Command::Put(number)) => {
                out.push(Step::Write(Placed(state.len(), number)));
                out.push(Step::Reply(ticket, state.len()));
            }
            Input::Command(ticket, Command::Count) => out.push(Step::Reply(ticket, state.len())),
            Input::Tick => {}
            Input::Done(never) => match never {},
        }
    }

    fn apply(state: &mut Vec<u64>, record: &Placed) {
        if state.len() <= record.0 {
            state.resize(record.0 + 1, 0);
        }
        state[record.0] = record.1;
    }

    fn snapshot(state: &Vec<u64>) -> Vec<Placed> {
        state.iter().enumerate().map(|(place, number)| Placed(place, *number)).collect()
    }
}
