//! A disk that does not give what is stored, for a while or for ever: nobody steps over it, and nobody is held up who
//! wants something else.

use std::sync::Arc;

use super::super::*;
use super::{new_stream, open, put, small};
use crate::record::batch;
use crate::store::memory::MemDisk;

const RECORDS: u64 = 200;

/// An engine with most of its records settled, and where their segments are.
async fn settled() -> (MemDisk, Arc<Engine>, LogId, Vec<String>) {
    let disk = MemDisk::faulty();
    let engine = open(&disk, small()).await;
    let log = new_stream(&engine, "s", 1, &[]).await.logs[0];
    for i in 0..RECORDS {
        put(&engine, log, &[7; 500], 1_000 + i as i64).await;
    }
    let dir = format!("logs/{log}");
    let names = disk.list(&dir).unwrap().into_iter().filter(|name| name.ends_with(".log"));
    let files: Vec<String> = names.map(|name| format!("{dir}/{name}")).collect();
    assert!(!files.is_empty(), "nothing has been settled");
    (disk, engine, log, files)
}

async fn page(engine: &Engine, log: LogId, from: u64) -> Result<Page, Error> {
    let read = Read { log, from: Offset(from), max_bytes: 4_000, until: Until::Committed };
    let fetch = Fetch { reads: vec![read], min_bytes: 0, max_bytes: 4_000, deadline: Timestamp(0) };
    engine.fetch(fetch).await.remove(0)
}

/// Reads on from an offset until the end or an error; how far that was.
async fn read_on(engine: &Engine, log: LogId, mut from: u64) -> (u64, Option<Error>) {
    loop {
        match page(engine, log, from).await {
            Ok(page) => match page.batches.last() {
                Some(last) => {
                    let header = batch::parse_header(&last.bytes).unwrap();
                    from = header.base_offset as u64 + header.offsets();
                }
                None => return (from, None),
            },
            Err(error) => return (from, Some(error)),
        }
    }
}

#[tokio::test]
async fn a_segment_that_cannot_be_read_now_is_neither_stepped_over_nor_lost() {
    let (disk, engine, log, files) = settled().await;
    let length = disk.open(&files[0], Open::Read).unwrap().len().unwrap();
    disk.spoil(&files[0], 0..length).unwrap();
    let unreadable = Error::Unreadable { at: Offset(0) };
    assert_eq!(read_on(&engine, log, 0).await, (0, Some(unreadable.clone())));
    // Nothing is found by time in what cannot be read; what lies behind it is not given in its place.
    assert_eq!(engine.seek(log, Seek::Time(Timestamp(1_000))).await, Err(unreadable));
    // The newest are in memory.
    assert_eq!(read_on(&engine, log, RECORDS - 1).await, (RECORDS, None));
    disk.mend(&files[0]).unwrap();
    assert_eq!(read_on(&engine, log, 0).await, (RECORDS, None));
    engine.close().await;
}

#[tokio::test]
async fn one_bad_sector_holds_up_those_who_want_it_and_nobody_else() {
    let (disk, engine, log, files) = settled().await;
    let length = disk.open(&files[0], Open::Read).unwrap().len().unwrap();
    disk.spoil(&files[0], length / 2..length / 2 + 1).unwrap();
    let (at, error) = read_on(&engine, log, 0).await;
    assert!(at > 0 && at < RECORDS - 20, "{at}");
    assert_eq!(error, Some(Error::Unreadable { at: Offset(at) }));
    assert_eq!(read_on(&engine, log, at + 1).await, (RECORDS, None));
    engine.close().await;
}
