//! What the log of transactions folds to: for each transactional id its producer and its newest transaction. No request that
//! waits, no timer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Producer;
use super::record::Record;
use crate::ids::Timestamp;
use crate::kafka::group::coordinator::STREAM as OFFSETS;
use crate::record::records::Marker;

/// A transactional id, or a topic's name.
pub type Name = Arc<str>;

/// A log as a transaction knows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Partition {
    pub topic: Name,
    pub index: i32,
}

impl Partition {
    /// The log of offsets, which all groups share.
    pub fn offsets() -> Partition {
        Partition { topic: OFFSETS.into(), index: 0 }
    }

    /// Where offsets of groups are kept: another ledger writes there.
    pub fn is_offsets(&self) -> bool {
        &*self.topic == OFFSETS
    }
}

/// As Kafka numbers them in its records. Its `Dead` and `PrepareEpochFence` are never written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Empty = 0,
    Ongoing = 1,
    PrepareCommit = 2,
    PrepareAbort = 3,
    CompleteCommit = 4,
    CompleteAbort = 5,
}

impl Status {
    pub const ALL: [Status; 6] = [
        Status::Empty,
        Status::Ongoing,
        Status::PrepareCommit,
        Status::PrepareAbort,
        Status::CompleteCommit,
        Status::CompleteAbort,
    ];

    /// As ListTransactions and DescribeTransactions name it.
    pub fn name(self) -> &'static str {
        match self {
            Status::Empty => "Empty",
            Status::Ongoing => "Ongoing",
            Status::PrepareCommit => "PrepareCommit",
            Status::PrepareAbort => "PrepareAbort",
            Status::CompleteCommit => "CompleteCommit",
            Status::CompleteAbort => "CompleteAbort",
        }
    }

    /// Nothing is under way.
    pub fn is_idle(self) -> bool {
        matches!(self, Status::Empty | Status::CompleteCommit | Status::CompleteAbort)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// While the transaction is being ended: as its markers name the producer.
    pub producer: Producer,
    /// What the producer will be when the end has come; otherwise what it is.
    pub next: Producer,
    pub timeout_ms: i32,
    pub status: Status,
    pub partitions: BTreeSet<Partition>,
    /// When the transaction began; -1: none has.
    pub started: Timestamp,
    pub updated: Timestamp,
    /// Its epoch rises with every transaction (KIP-890's second part; Kafka calls it transaction version 2).
    pub bumps: bool,
}

impl Transaction {
    pub fn new(producer: Producer, timeout_ms: i32, now: Timestamp) -> Transaction {
        Transaction {
            producer,
            next: producer,
            timeout_ms,
            status: Status::Empty,
            partitions: BTreeSet::new(),
            started: Timestamp(-1),
            updated: now,
            bumps: false,
        }
    }

    /// The end has come.
    pub fn complete(&mut self, how: Marker) {
        self.status = match how {
            Marker::Commit => Status::CompleteCommit,
            Marker::Abort => Status::CompleteAbort,
        };
        self.producer = self.next;
        self.partitions.clear();
    }
}

#[derive(Debug, Default, PartialEq)]
pub struct State(BTreeMap<Name, Transaction>);

impl State {
    pub fn get(&self, id: &str) -> Option<&Transaction> {
        self.0.get(id)
    }

    pub fn all(&self) -> impl Iterator<Item = (&Name, &Transaction)> {
        self.0.iter()
    }

    pub fn apply(&mut self, record: &Record) {
        match &record.transaction {
            Some(transaction) => drop(self.0.insert(record.id.clone(), transaction.clone())),
            None => drop(self.0.remove(&record.id)),
        }
    }

    pub fn snapshot(&self) -> Vec<Record> {
        let record = |(id, transaction): (&Name, &Transaction)| Record {
            id: id.clone(),
            transaction: Some(transaction.clone()),
        };
        self.0.iter().map(record).collect()
    }
}
