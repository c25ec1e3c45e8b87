//! The machine of overrides as handlers ask it. Its log is made when something is set for the first time; until then, and
//! for ever on most servers, nothing is kept. Decides nothing.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::OnceCell;

use super::{Command, Overrides, Reply, State};
use crate::engine::catalog::Kind;
use crate::engine::ledgers::{Effects, Ledger};
use crate::engine::{Engine, Error};
use crate::kafka::error::{Code, Refusal};
use crate::kafka::ledgers;
use crate::kafka::quota::limits::Limits;

/// The stream whose only log overrides are folded from.
pub const STREAM: &str = "__overrides";

/// What stands, and what follows from it.
#[derive(Debug, Default)]
pub struct Standing {
    pub state: State,
    pub limits: Limits,
}

#[derive(Default)]
pub struct Door {
    standing: Arc<ArcSwap<Standing>>,
    ledger: OnceCell<Ledger<Overrides>>,
}

impl Door {
    /// What stands and is durable.
    pub fn standing(&self) -> Arc<Standing> {
        self.standing.load_full()
    }

    /// Whether any quota of clients stands: the one look that every request takes.
    pub fn has_limits(&self) -> bool {
        self.standing.load().limits.any()
    }

    /// For the start: reads what was set before.
    pub async fn resume(&self, engine: &Arc<Engine>) -> Result<(), Error> {
        match engine.catalog().stream(STREAM) {
            Some(_) => self.ledger(engine).await.map(drop),
            None => Ok(()),
        }
    }

    pub async fn change(&self, engine: &Arc<Engine>, command: Command) -> Result<(), Refusal> {
        let ledger = self.ledger(engine).await.map_err(|error| Refusal::from(&error))?;
        match ledger.ask(command).await.map_err(|error| Refusal::from(&error))? {
            Reply::Done => Ok(()),
            Reply::Full => {
                Err(Refusal::new(Code::PolicyViolation, format!("At most {} settings can stand.", super::LIMIT)))
            }
        }
    }

    async fn ledger(&self, engine: &Arc<Engine>) -> Result<&Ledger<Overrides>, Error> {
        self.ledger.get_or_try_init(|| open(engine.clone(), self.standing.clone())).await
    }
}

async fn open(engine: Arc<Engine>, standing: Arc<ArcSwap<Standing>>) -> Result<Ledger<Overrides>, Error> {
    let log = ledgers::log_of(&engine, STREAM, Kind::Hidden, &[]).await?;
    let publish = move |state: &State, _: &[Reply]| {
        let now = Arc::new(Standing { state: state.clone(), limits: Limits::of(state) });
        let standing = standing.clone();
        let then: Box<dyn FnOnce() + Send> = Box::new(move || standing.store(now));
        Some(then)
    };
    Ledger::open(engine, log, (), Box::new(publish), Effects::none()).await
}
