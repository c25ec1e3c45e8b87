//! Transactions in logs: what a careful reader sees, from memory, from segments and after every kind of restart.

use super::*;
use crate::log::transactions::Filter;
use crate::record::build::{self, Producer};
use crate::record::records::Marker;

fn written(producer: i64, epoch: i16, sequence: i32, size: usize) -> Batch {
    let mut builder = Builder::new(Codec::None).producer(Producer { id: producer, epoch, sequence }).transactional();
    builder.push(&NewRecord { timestamp: Timestamp(1), key: None, value: Some(&vec![b'v'; size]), headers: &[] });
    builder.finish()
}

fn joining(log: LogId, batch: Batch, since: Offset) -> Group {
    let part = Part { joins: Some(Joins { since, bumps: false }), ..Part::new(log, batch) };
    Group { parts: vec![part], origin: Origin::Client }
}

async fn write(engine: &Engine, log: LogId, producer: i64, sequence: i32, size: usize) -> Result<Placed, Error> {
    let since = engine.bounds(log)?.end;
    let group = joining(log, written(producer, 0, sequence, size), since);
    engine.append(group, Permit::default()).await.map(|placed| placed[0]).map_err(|refused| refused.error)
}

async fn end(engine: &Engine, log: LogId, producer: i64, how: Marker) -> Offset {
    let by = Producer { id: producer, epoch: 0, sequence: -1 };
    let part = Part::new(log, build::marker(how, by, 0, Timestamp(1)));
    let group = Group { parts: vec![part], origin: Origin::Ledger };
    engine.append(group, Permit::default()).await.unwrap()[0].first
}

/// The offsets of the records that a careful reader sees from `from` on.
async fn seen(engine: &Engine, log: LogId, mut from: Offset) -> Vec<u64> {
    let mut seen = Vec::new();
    loop {
        let read = Read { log, from, max_bytes: 1_500, until: Until::Committed };
        let fetch = Fetch { reads: vec![read], min_bytes: 0, max_bytes: 1_500, deadline: Timestamp(0) };
        let page = engine.fetch(fetch).await.remove(0).unwrap();
        if page.batches.is_empty() {
            assert_eq!(from, page.bounds.committed);
            return seen;
        }
        assert!(page.aborted.is_sorted_by_key(|a| a.first), "told in the order in which they began");
        let mut filter = Filter::new(page.aborted);
        for stored in page.batches {
            let opened = batch::check(stored.bytes).unwrap();
            let base = opened.header.base_offset as u64;
            if filter.shows(&opened.header, &opened.bytes) {
                seen.extend(base..base + opened.header.offsets());
            }
            from = Offset(base).plus(opened.header.offsets());
        }
    }
}

/// What should be seen, by offset.
#[derive(Default)]
struct Model {
    /// `None`: in a transaction that is open. Markers are never seen.
    visible: Vec<Option<bool>>,
    open: BTreeMap<i64, Vec<usize>>,
}

impl Model {
    fn wrote(&mut self, producer: Option<i64>, at: Offset) {
        assert_eq!(at.0 as usize, self.visible.len());
        if let Some(producer) = producer {
            self.open.entry(producer).or_default().push(self.visible.len());
        }
        self.visible.push(producer.is_none().then_some(true));
    }

    fn ended(&mut self, producer: i64, how: Marker, at: Offset) {
        for index in self.open.remove(&producer).unwrap_or_default() {
            self.visible[index] = Some(how == Marker::Commit);
        }
        assert_eq!(at.0 as usize, self.visible.len());
        self.visible.push(Some(false));
    }

    fn seen_from(&self, from: usize) -> Vec<u64> {
        let decided = self.visible.iter().take_while(|visible| visible.is_some());
        let all = decided.enumerate().filter(|(_, visible)| **visible == Some(true));
        all.map(|(at, _)| at as u64).filter(|at| *at >= from as u64).collect()
    }
}

#[tokio::test]
async fn careful_readers_see_what_was_decided_and_not_given_up() {
    for seed in 0..12 {
        let mut chance = fastrand::Rng::with_seed(seed);
        let mut disk = MemDisk::new();
        let mut engine = open(&disk, small()).await;
        let log = new_stream(&engine, "s", 1, &[]).await.logs[0];
        let (mut model, mut sequences) = (Model::default(), [0; 4]);
        for step in 0..400 {
            let producer = chance.i64(0..4);
            match chance.u32(0..100) {
                0..60 => {
                    let placed =
                        write(&engine, log, producer, sequences[producer as usize], chance.usize(1..400)).await;
                    model.wrote(Some(producer), placed.unwrap().first);
                    sequences[producer as usize] += 1;
                }
                60..70 => model.wrote(None, put(&engine, log, &[b'p'; 200], 1).await.first),
                70..96 => {
                    let how = if chance.bool() { Marker::Commit } else { Marker::Abort };
                    let at = end(&engine, log, producer, how).await;
                    model.ended(producer, how, at);
                }
                96..98 => {
                    engine.close().await;
                    engine = open(&disk, small()).await;
                }
                _ => {
                    // A kill: what the system has been given stays.
                    disk = disk.kill();
                    engine.close().await;
                    engine = open(&disk, small()).await;
                }
            }
            if step % 20 == 19 {
                let from = chance.usize(0..=model.visible.iter().take_while(|v| v.is_some()).count());
                let seen = seen(&engine, log, Offset(from as u64)).await;
                assert_eq!(seen, model.seen_from(from), "seed {seed}, step {step}, from {from}");
            }
        }
        engine.close().await;
    }
}

#[tokio::test]
async fn a_transaction_is_begun_by_who_was_let_in_and_by_nobody_else() {
    let engine = open(&MemDisk::new(), Options::default()).await;
    let log = new_stream(&engine, "s", 1, &[]).await.logs[0];
    let invalid = Err(Error::Sequence(SequenceError::InvalidTransaction));
    let alone = engine.append(group(log, written(1, 0, 0, 9)), Permit::default()).await;
    assert_eq!(alone.map_err(|refused| refused.error).map(|placed| placed[0].first), invalid, "nobody was asked");
    let before = engine.bounds(log).unwrap().end;
    write(&engine, log, 1, 0, 9).await.unwrap();
    assert!(engine.append(group(log, written(1, 0, 1, 9)), Permit::default()).await.is_ok(), "it is open now");
    end(&engine, log, 1, Marker::Abort).await;
    let late = engine.append(joining(log, written(1, 0, 2, 9), before), Permit::default()).await;
    assert_eq!(late.map_err(|refused| refused.error).map(|placed| placed[0].first), invalid, "it ended meanwhile");
    engine.close().await;
}

#[tokio::test]
async fn the_end_of_a_transaction_in_a_log_that_is_gone_is_nobodys_loss() {
    let engine = open(&MemDisk::new(), Options::default()).await;
    let log = new_stream(&engine, "s", 1, &[]).await.logs[0];
    let by = Producer { id: 1, epoch: 0, sequence: -1 };
    let marker = |log| Part::new(log, build::marker(Marker::Commit, by, 0, Timestamp(1)));
    let parts = vec![marker(LogId(9_999)), Part::new(log, one(b"with it", 1))];
    let placed = engine.append(Group { parts, origin: Origin::Ledger }, Permit::default()).await.unwrap();
    assert_eq!(placed[1].first, Offset(0));
    assert_eq!(engine.bounds(log).unwrap().end, Offset(1));
    engine.close().await;
}
