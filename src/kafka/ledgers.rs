//! The logs that the machines of this face are folded from. Which machine it is, and what it says, nobody knows here.

use std::collections::BTreeMap;

use crate::engine::catalog::{Born, Create, Kind};
use crate::engine::{Change, Changed, Engine, Error};
use crate::ids::LogId;

/// The only log of the compacted stream of this name, which is made, with these settings, if it is not there.
pub async fn log_of(engine: &Engine, name: &str, kind: Kind, settings: &[(&str, &str)]) -> Result<LogId, Error> {
    let found = engine.catalog().stream(name).cloned();
    let stream = match found {
        Some(stream) => stream,
        None => match engine.change(vec![birth(name, kind, settings)]).await.pop() {
            Some(Ok(Changed::Created(stream))) => stream,
            Some(Err(error)) => return Err(error),
            other => unreachable!("a stream was to be created: {other:?}"),
        },
    };
    stream.log(0).ok_or(Error::NoSuchLog)
}

fn birth(name: &str, kind: Kind, settings: &[(&str, &str)]) -> Change {
    let settings = settings.iter().chain(&[("cleanup.policy", "compact")]);
    Change::Create(Create {
        name: name.into(),
        born: Born::Kafka,
        kind,
        logs: 1,
        settings: BTreeMap::from_iter(settings.map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))),
        placement: None,
        creating_ms: 0,
    })
}
