//! The machine of transactions as the handlers ask it: one method per command, and what it answers in Kafka's codes. Here
//! its effects are done: markers in logs, and the word to the groups. Decides nothing; every answer is durable when it comes.

use std::sync::{Arc, Weak};

use super::{
    Add, Command, End, Ending, Init, Name, Partition, Producer, Refusal, Reply, Scratch, Settings, Transaction,
    Transactions,
};
use crate::engine::catalog::Kind;
use crate::engine::ledgers::{Effects, Ledger, Performing};
use crate::engine::{Engine, Error, Part};
use crate::kafka::error::Code;
use crate::kafka::group::coordinator::Coordinator as Groups;
use crate::kafka::ledgers;
use crate::record::build;

/// The stream whose only log the transactions are folded from. Kafka's readers may read it, nobody else writes it.
pub const STREAM: &str = "__transaction_state";
/// The largest batch of it.
const BATCH_LIMIT_BYTES: u32 = 32 << 20;
/// There is one coordinator, and always will have been.
const COORDINATOR_EPOCH: i32 = 0;

/// Cheap to clone.
#[derive(Clone)]
pub struct Coordinator(Ledger<Transactions>);

impl Coordinator {
    /// Folds the transactions from their log, which is made if it is not there, and keeps them from then on.
    pub async fn open(engine: Arc<Engine>, groups: Groups, settings: Settings) -> Result<Coordinator, Error> {
        let limit = BATCH_LIMIT_BYTES.to_string();
        let kept = [("compression.type", "uncompressed"), ("max.message.bytes", &*limit)];
        let log = ledgers::log_of(&engine, STREAM, Kind::Shown, &kept).await?;
        let effects = Effects {
            parts: {
                let engine = Arc::downgrade(&engine);
                Box::new(move |ending| markers(&engine, &ending))
            },
            perform: Arc::new(move |ending: &Ending| {
                let (groups, Ending { producer, how, .. }) = (groups.clone(), ending.clone());
                let told = async move { groups.end(producer.id, producer.epoch, how).await };
                Box::pin(told) as Performing
            }),
        };
        Ledger::open(engine, log, Scratch::new(settings), Box::new(|_, _| None), effects).await.map(Coordinator)
    }

    pub async fn init(&self, init: Init) -> Result<Producer, Code> {
        match self.ask(Command::Init(init)).await? {
            Reply::Init(result) => Ok(result?),
            other => wrong(&other),
        }
    }

    /// Whether each partition is in the transaction now.
    pub async fn add(&self, add: Add) -> Result<Vec<bool>, Code> {
        match self.ask(Command::Add(add)).await? {
            Reply::Add(result) => Ok(result?),
            other => wrong(&other),
        }
    }

    /// What the producer is from now on.
    pub async fn end(&self, end: End) -> Result<Producer, Code> {
        match self.ask(Command::End(end)).await? {
            Reply::End(result) => Ok(result?),
            other => wrong(&other),
        }
    }

    pub async fn list(&self) -> Result<Vec<(Name, Transaction)>, Code> {
        match self.ask(Command::List).await? {
            Reply::List(all) => Ok(all),
            other => wrong(&other),
        }
    }

    /// `None` where there is no such transactional id.
    pub async fn describe(&self, ids: Vec<Name>) -> Result<Vec<Option<Transaction>>, Code> {
        match self.ask(Command::Describe(ids)).await? {
            Reply::Describe(found) => Ok(found),
            other => wrong(&other),
        }
    }

    async fn ask(&self, command: Command) -> Result<Reply, Code> {
        self.0.ask(command).await.map_err(|_| Code::CoordinatorNotAvailable)
    }
}

/// The markers that end a transaction in its logs; a topic that is gone has none.
fn markers(engine: &Weak<Engine>, ending: &Ending) -> Vec<Part> {
    let Some(engine) = engine.upgrade() else { return Vec::new() };
    let (catalog, now) = (engine.catalog(), engine.clock().now());
    let Producer { id, epoch } = ending.producer;
    let log = |Partition { topic, index }: &Partition| catalog.stream(topic)?.log(u32::try_from(*index).ok()?);
    let marker = |log| {
        let by = build::Producer { id, epoch, sequence: -1 };
        Part::new(log, build::marker(ending.how, by, COORDINATOR_EPOCH, now))
    };
    ending.partitions.iter().filter_map(log).map(marker).collect()
}

fn wrong(reply: &Reply) -> ! {
    unreachable!("the machine of transactions answered another command: {reply:?}")
}

impl From<Refusal> for Code {
    fn from(refusal: Refusal) -> Code {
        match refusal {
            Refusal::InvalidTimeout => Code::InvalidTransactionTimeout,
            Refusal::UnknownProducer => Code::InvalidProducerIdMapping,
            Refusal::Fenced => Code::ProducerFenced,
            Refusal::Ending => Code::ConcurrentTransactions,
            Refusal::InvalidState => Code::InvalidTxnState,
        }
    }
}
