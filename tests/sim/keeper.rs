//! Somebody who keeps the newest value of a few keys in a compacted stream of his own. Whatever happens, the newest value
//! that was acknowledged is found (a tombstone, until its time has come), every record stands where it stood, and nothing is
//! found that was not sent.

use std::collections::{BTreeMap, BTreeSet};

use interfluve::engine::catalog::{Born, Create, Kind};
use interfluve::engine::{Change, Error, Fetch, Group, Origin, Part, Permit, Read, Refused, Until};
use interfluve::ids::{LogId, Offset, Timestamp};
use interfluve::record::batch;
use interfluve::record::build::{Builder, NewRecord};
use interfluve::record::compress::Limits;
use interfluve::record::records;

use crate::actors::{Stage, codec};
use crate::dice::Dice;

/// The stream; nobody else writes there.
pub const KEPT: &str = "kept";
const KEYS: u64 = 24;
const LIMITS: Limits = Limits { max_bytes: 1 << 20, max_ratio: 1000 };

/// A key and its value, a number that is never sent twice; 0 modulo 5: none.
type Put = (u8, u64);

fn is_tombstone(put: Put) -> bool {
    put.1.is_multiple_of(5)
}

/// What there must be.
#[derive(Default)]
pub struct Kept {
    /// By offset: what was acknowledged, or seen.
    stands: BTreeMap<u64, Put>,
    /// Sent, and nobody knows.
    unknown: BTreeSet<Put>,
}

impl Kept {
    /// What was found of the whole log, in order.
    fn judge(&mut self, found: &[(u64, Put)]) -> Vec<String> {
        let mut wrong = Vec::new();
        for pair in found.windows(2).filter(|pair| pair[0].0 >= pair[1].0) {
            wrong.push(format!("{:?} stands before {:?}", pair[0], pair[1]));
        }
        for (offset, put) in found {
            match self.stands.get(offset) {
                Some(known) if known == put => {}
                Some(known) => wrong.push(format!("{put:?} stands at {offset}, where {known:?} stood")),
                None if self.unknown.remove(put) => drop(self.stands.insert(*offset, *put)),
                None => wrong.push(format!("{put:?} at {offset} was never sent, or refused")),
            }
        }
        let newest: BTreeMap<u8, (u64, Put)> = self.stands.iter().map(|(at, put)| (put.0, (*at, *put))).collect();
        let found: BTreeSet<&(u64, Put)> = found.iter().collect();
        let lost = newest.values().filter(|newest| !is_tombstone(newest.1) && !found.contains(newest));
        wrong.extend(lost.map(|lost| format!("{lost:?} is the newest of its key, and gone")));
        wrong
    }
}

pub struct Keeper {
    pub dice: Dice,
    pub next: u64,
}

impl Keeper {
    pub async fn act(&mut self, stage: Stage) {
        for _ in 0..2 * stage.acts {
            let Some(log) = self.log(&stage).await else { return };
            match self.dice.below(8) {
                0 => judge(&stage).await,
                _ => {
                    if !self.put(&stage, log).await {
                        return;
                    }
                }
            }
            stage.pause(30, &mut self.dice).await;
        }
    }

    async fn log(&mut self, stage: &Stage) -> Option<LogId> {
        if let Some(stream) = stage.engine.catalog().stream(KEPT) {
            return Some(stream.logs[0]);
        }
        let settings = [
            ("cleanup.policy", "compact".to_owned()),
            ("min.cleanable.dirty.ratio", ["0", "0.3", "0.6"][self.dice.below(3) as usize].to_owned()),
            ("delete.retention.ms", self.dice.range(1, 2_000).to_string()),
            ("segment.ms", self.dice.range(1, 400).to_string()),
        ];
        let create = Create {
            name: KEPT.into(),
            born: Born::Kafka,
            kind: Kind::Client,
            logs: 1,
            settings: settings.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            placement: None,
            creating_ms: 0,
        };
        stage.engine.change(vec![Change::Create(create)]).await.remove(0).ok()?;
        Some(stage.engine.catalog().stream(KEPT)?.logs[0])
    }

    /// False: the engine is gone.
    async fn put(&mut self, stage: &Stage, log: LogId) -> bool {
        let mut builder = Builder::new(codec(&mut self.dice));
        let mut puts: Vec<Put> = Vec::new();
        for _ in 0..self.dice.range(1, 4) {
            self.next += 1;
            let put = (self.dice.below(KEYS) as u8, self.next);
            let value = format!("{:>1$}", put.1, self.dice.range(1, 200) as usize);
            let value = (!is_tombstone(put)).then_some(value.as_bytes());
            let (key, number) = ([put.0], put.1.to_be_bytes());
            let headers: [(&[u8], Option<&[u8]>); 1] = [(b"n", Some(&number))];
            builder.push(&NewRecord { timestamp: stage.now(), key: Some(&key), value, headers: &headers });
            puts.push(put);
        }
        stage.model().kept.unknown.extend(&puts);
        let part = Part::new(log, builder.finish());
        let group = Group { parts: vec![part], origin: Origin::Client };
        let answer = stage.engine.append(group, Permit::default()).await;
        let mut model = stage.model();
        match answer {
            Ok(placed) => {
                for (offset, put) in (placed[0].first.0..).zip(&puts) {
                    // Somebody may have read it before its writer was told.
                    model.kept.unknown.remove(put);
                    if model.kept.stands.insert(offset, *put).is_some_and(|stood| stood != *put) {
                        model.blame(format!("kept: {put:?} was placed at {offset}, where another stands"));
                    }
                }
                model.note(format!("kept {puts:?} at {}", placed[0].first));
                true
            }
            Err(Refused { error: Error::LaneFailed, .. }) => false,
            Err(Refused { error, .. }) => {
                let expected = matches!(error, Error::ShuttingDown)
                    || matches!(error, Error::Full | Error::Overloaded) && model.full && !stage.calm;
                if !expected {
                    model.blame(format!("kept: {puts:?} was refused: {error}"));
                }
                for put in &puts {
                    model.kept.unknown.remove(put);
                }
                !matches!(error, Error::ShuttingDown)
            }
        }
    }
}

/// Reads all that is kept, and compares.
pub async fn judge(stage: &Stage) {
    let Some(log) = stage.engine.catalog().stream(KEPT).map(|stream| stream.logs[0]) else { return };
    let Ok(bounds) = stage.engine.bounds(log) else { return };
    let (mut from, mut found) = (bounds.start, Vec::new());
    while from < bounds.end {
        let read = Read { log, from, max_bytes: 3_000, until: Until::Committed };
        let fetch = Fetch { reads: vec![read], min_bytes: 0, max_bytes: 3_000, deadline: Timestamp(0) };
        let page = match stage.engine.fetch(fetch).await.remove(0) {
            Ok(page) => page,
            Err(Error::Unreadable { .. }) if stage.disk.is_off() => return,
            Err(Error::LaneFailed | Error::ShuttingDown) => return,
            Err(e) => return stage.model().blame(format!("kept: reading at {from}: {e}")),
        };
        if page.batches.is_empty() {
            break;
        }
        for stored in &page.batches {
            let Ok(opened) = batch::check(stored.bytes.clone()) else {
                return stage.model().blame(format!("kept: a batch at {from} is none"));
            };
            let base = opened.header.base_offset as u64;
            for record in records::iterate(&opened, LIMITS).into_iter().flatten().flatten() {
                let number =
                    record.headers.first().and_then(|(_, n)| n.as_deref()?.try_into().ok().map(u64::from_be_bytes));
                let key = record.key.and_then(|key| key.first().copied());
                found.push((base + record.offset_delta as u64, (key.unwrap_or(255), number.unwrap_or(0))));
            }
            from = Offset(base).plus(opened.header.offsets()).max(from.plus(1));
        }
    }
    let mut model = stage.model();
    model.note(format!("kept: {} records found up to {}", found.len(), bounds.end));
    for wrong in model.kept.judge(&found) {
        model.blame(format!("kept: {wrong}"));
    }
}
