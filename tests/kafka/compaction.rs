//! Compaction as Kafka's clients see it: what stays where it was, what they may still ask for, and what they are refused.

use std::time::Duration;

use interfluve::clock::Clock;
use interfluve::engine::{self, compact};
use interfluve::kafka::cx::Options;
use interfluve::kafka::group::Settings;
use interfluve::store::memory::MemDisk;
use kafka_protocol::messages::InitProducerIdRequest;
use kafka_protocol::records::{Compression, Record};

use crate::harness::*;
use crate::lookup::list;

const COMPACT: [(&str, &str); 4] =
    [("cleanup.policy", "compact"), ("segment.ms", "1"), ("min.cleanable.dirty.ratio", "0"), ("retention.ms", "-1")];

async fn server_that_compacts(disk: &MemDisk) -> Server {
    let compaction = compact::Options { backoff_ms: 5, ..compact::Options::default() };
    let habits = engine::Options { compaction, ..engine::Options::default() };
    server_over(habits, disk.clone(), Clock::System, Settings::default(), Options::default()).await
}

/// Everything there is in a topic, from its beginning.
async fn all(client: &mut Client, topic: &str) -> Vec<(i64, String)> {
    let mut found: Vec<(i64, String)> = Vec::new();
    loop {
        let from = found.last().map_or(0, |(offset, _)| offset + 1);
        let data = client.fetch(12, topic, from).await;
        assert_eq!(data.error_code, 0);
        let more = decode(data.records);
        if more.is_empty() {
            return found;
        }
        found.extend(more);
    }
}

/// Writes values of one key, one at a time, until some that were written first are gone.
async fn write_until_some_are_gone(client: &mut Client, topic: &str, id: i64) -> Vec<(i64, String)> {
    let enough = async {
        for sequence in 0.. {
            let sent = numbered(id, sequence, &format!("v{sequence}"));
            assert_eq!(client.produce(9, topic, sent).await.base_offset, i64::from(sequence));
            if sequence % 16 == 15 {
                let found = all(client, topic).await;
                if found.len() as i32 <= sequence / 2 {
                    return found;
                }
            }
        }
        Vec::new()
    };
    tokio::time::timeout(Duration::from_secs(60), enough).await.expect("it is compacted")
}

fn numbered(id: i64, sequence: i32, value: &str) -> bytes::Bytes {
    let time = 1_000_000 + i64::from(sequence);
    let one = Record { sequence, producer_id: id, producer_epoch: 0, ..record(0, time, Some("k"), value) };
    encode(&[one], Compression::None)
}

#[tokio::test]
async fn the_newest_stays_where_it_was_and_its_writer_is_still_known() {
    let disk = MemDisk::new();
    let server = server_that_compacts(&disk).await;
    let mut client = server.client().await;
    client.create("t", 1, &COMPACT).await;
    let id = client.ask(4, InitProducerIdRequest::default().with_transactional_id(None)).await.producer_id.0;
    let found = write_until_some_are_gone(&mut client, "t", id).await;
    assert!(found.iter().all(|(offset, value)| *value == format!("v{offset}")), "{found:?}");
    let end = found.last().expect("the newest").0 + 1;
    server.close().await;

    let server = server_that_compacts(&disk).await;
    let mut client = server.client().await;
    assert_eq!(all(&mut client, "t").await.last(), found.last());
    // The log begins and ends where it did; a time is that of the next record that is left.
    let first = all(&mut client, "t").await[0].0;
    assert!(first > 0);
    for (asked, told) in [(-2, (0, -1)), (-1, (end, -1)), (1_000_000, (first, 1_000_000 + first))] {
        let place = list(&mut client, 7, &[(0, asked)]).await.remove(0);
        assert_eq!((place.offset, place.timestamp), told, "asked for {asked}");
    }
    for sequence in [end - 5, end - 1] {
        let again = numbered(id, sequence as i32, &format!("v{sequence}"));
        let placed = client.produce(9, "t", again).await;
        assert_eq!((placed.error_code, placed.base_offset), (0, sequence), "one of the last five is known again");
    }
    assert_eq!(client.produce(9, "t", numbered(id, end as i32 + 1, "gap")).await.error_code, 45);
    assert_eq!(client.produce(9, "t", numbered(id, end as i32, "next")).await.base_offset, end);
}
