//! Pitfalls 3 to 6, 10 and 21 to 25: batches, how they are kept and how they are read.

use bytes::{Bytes, BytesMut};
use interfluve::clock::Clock;
use interfluve::kafka::cx::Options;
use interfluve::kafka::group::Settings;
use interfluve::store::memory::MemDisk;
use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{
    ApiVersionsRequest, DeleteRecordsRequest, FetchRequest, InitProducerIdRequest, ProduceRequest,
};
use kafka_protocol::records::{Compression, Record};
use tokio::io::AsyncWriteExt;

use super::FOR_EVER;
use crate::harness::*;

const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

/// One record by an idempotent producer.
fn numbered(id: i64, epoch: i16, sequence: i32) -> Bytes {
    let one = Record { sequence, producer_id: id, producer_epoch: epoch, ..record(0, 5, Some("k"), "v") };
    encode(&[one], Compression::None)
}

/// The last five batches of a producer are remembered, through a restart too; one of them again is answered with the
/// original's place and time, an older one or a gap is out of order, and 2³¹-1 is followed by 0. (Every order of
/// batches: src/log/producers; state that ages: src/log/retain; through compaction: ../compaction.rs.)
#[tokio::test]
async fn pitfall_03_idempotent_producers_repeat_themselves() {
    let disk = MemDisk::new();
    let start = || server_on(disk.clone(), Clock::System, Settings::default(), Options::default());
    let server = start().await;
    let mut client = server.client().await;
    client.create("t", 1, &[("message.timestamp.type", "LogAppendTime")]).await;
    let id = client.ask(4, InitProducerIdRequest::default().with_transactional_id(None)).await.producer_id.0;
    let mut times = Vec::new();
    for sequence in 0..7 {
        let placed = client.produce(9, "t", numbered(id, 0, sequence)).await;
        assert_eq!((placed.error_code, placed.base_offset), (0, i64::from(sequence)));
        times.push(placed.log_append_time_ms);
    }
    server.close().await;
    let server = start().await;
    let mut client = server.client().await;
    for (sequence, code) in [(0, 45), (1, 45), (2, 0), (3, 0), (4, 0), (5, 0), (6, 0), (8, 45)] {
        let placed = client.produce(9, "t", numbered(id, 0, sequence)).await;
        assert_eq!(placed.error_code, code, "OUT_OF_ORDER_SEQUENCE_NUMBER: {sequence}");
        if code == 0 {
            let original = (i64::from(sequence), times[sequence as usize]);
            assert_eq!((placed.base_offset, placed.log_append_time_ms), original);
        }
    }
    for (epoch, sequence, code) in [(1, 7, 45), (1, 0, 0), (0, 7, 47), (1, 1, 0)] {
        let placed = client.produce(9, "t", numbered(id, epoch, sequence)).await;
        assert_eq!(placed.error_code, code, "epoch {epoch}, sequence {sequence}");
    }
    // Of a producer the log knows nothing of, any sequence is the first.
    let other = client.ask(4, InitProducerIdRequest::default().with_transactional_id(None)).await.producer_id.0;
    for (sequence, code) in [(i32::MAX, 0), (0, 0), (i32::MAX, 0), (0, 0), (2, 45), (1, 0)] {
        assert_eq!(client.produce(9, "t", numbered(other, 0, sequence)).await.error_code, code, "{sequence}");
    }
    assert_eq!(client.fetch(12, "t", 0).await.high_watermark, 12, "nothing twice");
}

fn crc_is_right(batch: &[u8]) -> bool {
    batch[17..21] == crc32c::crc32c(&batch[21..]).to_be_bytes()
}

/// The CRC covers what stands behind it: base offset and leader epoch are rewritten and nothing else is. Arrival time
/// changes an attribute and the newest time, and with them the CRC. (Segments beside Kafka's own reader: compat/java-4.)
#[tokio::test]
async fn pitfall_04_the_crc_covers_what_is_not_rewritten() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[FOR_EVER]).await;
    client.create("arrival", 1, &[("message.timestamp.type", "LogAppendTime")]).await;
    for topic in ["t", "arrival"] {
        for codec in CODECS {
            let sent = encode(&[record(0, 5, Some("k"), "a"), record(1, 7, None, "b")], codec);
            let placed = client.produce(9, topic, sent.clone()).await;
            let kept = client.fetch(12, topic, placed.base_offset).await.records.expect("records");
            assert_eq!(kept[..8], placed.base_offset.to_be_bytes(), "{topic} {codec:?}");
            assert_eq!(kept[12..16], [0; 4], "the leader's epoch");
            assert!(crc_is_right(&kept), "{topic} {codec:?}");
            if topic == "t" {
                assert_eq!((&kept[8..12], &kept[16..]), (&sent[8..12], &sent[16..]), "{codec:?}");
                continue;
            }
            assert_eq!(kept[22] & 8, 8, "log append time");
            assert_eq!(kept[35..43], placed.log_append_time_ms.to_be_bytes(), "{codec:?}");
            assert_eq!(
                (&kept[27..35], &kept[43..]),
                (&sent[27..35], &sent[43..]),
                "records are not touched: {codec:?}"
            );
        }
    }
}

/// A fetch inside a batch is answered with the whole batch, at every version and from memory as from a segment (those:
/// src/engine/tests).
#[tokio::test]
async fn pitfall_05_a_fetch_inside_a_batch_gets_all_of_it() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[FOR_EVER]).await;
    client.produce(9, "t", batch(&["a", "b", "c"])).await;
    client.produce(9, "t", batch(&["d", "e"])).await;
    for version in 4..=12 {
        for (offset, first) in [(0, 0), (1, 0), (2, 0), (3, 3), (4, 3)] {
            let records = decode(client.fetch(version, "t", offset).await.records);
            assert_eq!((records[0].0, records.last().expect("some").0), (first, 4), "v{version} from {offset}");
        }
        let data = client.fetch(version, "t", 5).await;
        assert_eq!((data.error_code, decode(data.records).len()), (0, 0));
    }
}

/// Partitions of `t` to read, with a limit of bytes each.
fn wanted(partitions: &[i32], offset: i64, bytes: i32) -> Vec<FetchTopic> {
    let partitions = partitions.iter().map(|partition| {
        FetchPartition::default().with_partition(*partition).with_fetch_offset(offset).with_partition_max_bytes(bytes)
    });
    vec![FetchTopic::default().with_topic(topic_name("t")).with_partitions(partitions.collect())]
}

/// One batch at least, whatever its size and the limits, from the first partition that has one; and in a session the
/// partition that was answered goes behind the others, so that each gets its turn.
#[tokio::test]
async fn pitfall_06_one_batch_at_least_and_no_partition_starves() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 3, &[("max.message.bytes", "4000000"), FOR_EVER]).await;
    let large = "x".repeat(2 << 20);
    for index in [1, 2] {
        let mut request = produce_request("t", -1, batch(&[&large]));
        request.topic_data[0].partition_data[0].index = index;
        assert_eq!(client.ask(9, request).await.responses[0].partition_responses[0].error_code, 0);
    }
    let answered = |answer: &kafka_protocol::messages::FetchResponse| -> Vec<(i32, usize)> {
        let partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
        partitions
            .map(|p| (p.partition_index, decode(p.records.clone()).len()))
            .filter(|(_, records)| *records > 0)
            .collect()
    };
    let asked = |partitions: &[i32]| {
        FetchRequest::default().with_max_bytes(1024).with_min_bytes(1).with_topics(wanted(partitions, 0, 1024))
    };
    for (order, first) in [([0, 1, 2], 1), ([2, 1, 0], 2), ([1, 0, 2], 1)] {
        for version in 4..=12 {
            let answer = client.ask(version, asked(&order).with_session_epoch(-1)).await;
            assert_eq!(answered(&answer), [(first, 1)], "v{version} {order:?}");
        }
    }
    let first = client.ask(12, asked(&[0, 1, 2]).with_session_epoch(0)).await;
    assert_eq!(answered(&first), [(1, 1)]);
    // The client does not move on: it asks for the same again. The first answer of a session moves nothing, as in Kafka.
    for (epoch, turn) in [(1, 1), (2, 2), (3, 1)] {
        let again = asked(&[]).with_topics(Vec::new()).with_session_id(first.session_id).with_session_epoch(epoch);
        assert_eq!(answered(&client.ask(12, again).await), [(turn, 1)], "epoch {epoch}");
    }
}

/// Incremental answers leave out what has not changed, and tell of every bound that has moved even without records; a
/// wrong id is 70, a wrong epoch 71; and when all slots are taken, a full fetch simply gets no session.
#[tokio::test]
async fn pitfall_10_fetch_sessions_tell_what_has_moved() {
    let server = server_with(Options { session_slots: 10, ..Options::default() }).await;
    let mut client = server.client().await;
    client.create("t", 2, &[FOR_EVER]).await;
    client.produce(9, "t", batch(&["a", "b"])).await;
    let request = |id: i32, epoch: i32, topics: Vec<FetchTopic>| {
        FetchRequest::default()
            .with_max_bytes(1 << 20)
            .with_session_id(id)
            .with_session_epoch(epoch)
            .with_topics(topics)
    };
    let answered = |answer: &kafka_protocol::messages::FetchResponse| -> Vec<(i32, i64, i64)> {
        let partitions = answer.responses.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|p| (p.partition_index, p.high_watermark, p.log_start_offset)).collect()
    };
    let id = client.ask(12, request(0, 0, wanted(&[0, 1], 2, 1 << 20).into_iter().map(from_ends).collect())).await;
    let id = id.session_id;
    assert!(answered(&client.ask(12, request(id, 1, vec![])).await).is_empty());
    // The start moves, and nothing else.
    let partition = delete_records_partition(1);
    let deleted =
        client.ask(2, DeleteRecordsRequest::default().with_topics(vec![partition]).with_timeout_ms(1000)).await;
    assert_eq!(deleted.topics[0].partitions[0].error_code, 0);
    assert_eq!(answered(&client.ask(12, request(id, 2, vec![])).await), [(0, 2, 1)]);
    assert!(answered(&client.ask(12, request(id, 3, vec![])).await).is_empty());
    for (id, epoch, code) in [(id, 9, 71), (id + 1, 1, 70), (id, 4, 0), (id, 4, 71)] {
        assert_eq!(client.ask(12, request(id, epoch, vec![])).await.error_code, code, "{id} {epoch}");
    }
    // As many as there are slots, and one more: that one reads without.
    let mut ids = Vec::new();
    for _ in 0..11 {
        let answer = client.ask(12, request(0, 0, wanted(&[0], 1, 1 << 20))).await;
        assert_eq!((answer.error_code, answered(&answer).len()), (0, 1));
        ids.push(answer.session_id);
    }
    assert_eq!(ids.iter().filter(|id| **id == 0).count(), 2, "{ids:?}: one slot was taken before");
    let closed = client.ask(12, request(ids[0], -1, wanted(&[0], 1, 1 << 20))).await;
    assert_eq!((closed.error_code, closed.session_id), (0, 0));
    assert_ne!(client.ask(12, request(0, 0, wanted(&[0], 1, 1 << 20))).await.session_id, 0);
}

/// Partition 1 is empty and is read from its start.
fn from_ends(mut topic: FetchTopic) -> FetchTopic {
    topic.partitions[1].fetch_offset = 0;
    topic
}

fn delete_records_partition(offset: i64) -> kafka_protocol::messages::delete_records_request::DeleteRecordsTopic {
    use kafka_protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsTopic};
    let partition = DeleteRecordsPartition::default().with_partition_index(0).with_offset(offset);
    DeleteRecordsTopic::default().with_name(topic_name("t")).with_partitions(vec![partition])
}

/// The limit is of the batch, as it came and as it is stored: what grows by another codec is judged again. A header that
/// counts otherwise than its records is refused.
#[tokio::test]
async fn pitfall_21_the_limit_is_of_the_batch_as_stored() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("plain", 1, &[("max.message.bytes", "51200")]).await;
    client.create("unpacked", 1, &[("max.message.bytes", "51200"), ("compression.type", "uncompressed")]).await;
    client.create("packed", 1, &[("max.message.bytes", "51200"), ("compression.type", "zstd")]).await;
    client.create("default", 1, &[]).await;
    let of = |bytes: usize, codec| encode(&[record(0, 5, Some("k"), &"x".repeat(bytes))], codec);
    // A batch of one such record is 70 bytes more than its value where that is long.
    let overhead = of(50_000, Compression::None).len() - 50_000;
    for (topic, batch, code) in [
        ("plain", of(51_200 - overhead, Compression::None), 0),
        ("plain", of(51_201 - overhead, Compression::None), 10),
        ("plain", of(10 << 20, Compression::None), 10),
        ("plain", of(60_000, Compression::Gzip), 0),
        ("unpacked", of(60_000, Compression::Gzip), 10),
        ("unpacked", of(40_000, Compression::Gzip), 0),
        ("packed", of(60_000, Compression::None), 10),
        ("packed", of(40_000, Compression::None), 0),
        ("default", of(1_048_588 - overhead, Compression::None), 0),
        ("default", of(1_048_589 - overhead, Compression::None), 10),
    ] {
        let bytes = batch.len();
        assert_eq!(client.produce(9, topic, batch).await.error_code, code, "MESSAGE_TOO_LARGE: {topic}, {bytes}");
    }
    let with = |at: usize, number: [u8; 4]| {
        let mut bytes = BytesMut::from(&batch(&["a", "b"])[..]);
        bytes[at..at + 4].copy_from_slice(&number);
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        bytes.freeze()
    };
    for (what, batch) in [
        ("three records by the count", with(57, [0, 0, 0, 3])),
        ("no record by the count", with(57, [0; 4])),
        ("three offsets by the delta", with(23, [0, 0, 0, 2])),
        ("a count below zero", with(57, [0xff; 4])),
    ] {
        assert_eq!(client.produce(9, "default", batch).await.error_code, 87, "INVALID_RECORD: {what}");
    }
}

/// A compacted topic takes no record without a key: the batch is refused whole, and from version 8 each record at fault
/// is named. (Codecs: tests/kafka/data.)
#[tokio::test]
async fn pitfall_22_null_keys_are_refused_record_by_record() {
    let server = server().await;
    let mut client = server.client().await;
    for (topic, policy) in [("c", "compact"), ("cd", "compact,delete")] {
        client.create(topic, 1, &[("cleanup.policy", policy), FOR_EVER]).await;
        let keys = [Some("k"), None, Some(""), None, None];
        let records: Vec<_> = (0..).zip(keys).map(|(at, key)| record(at, 5, key, "v")).collect();
        for version in 3..=12 {
            let refused = client.produce(version, topic, encode(&records, Compression::Gzip)).await;
            assert_eq!((refused.error_code, refused.base_offset), (87, -1), "INVALID_RECORD: {topic} v{version}");
            let named: Vec<i32> = refused.record_errors.iter().map(|error| error.batch_index).collect();
            assert_eq!(named, if version >= 8 { vec![1, 3, 4] } else { vec![] }, "{topic} v{version}");
            assert_eq!(refused.error_message.is_some(), version >= 8);
            for error in refused.record_errors {
                assert!(error.batch_index_error_message.is_some());
            }
        }
        let keyed = [record(0, 5, Some(""), "an empty key is one"), record(1, 5, Some("k"), "v")];
        assert_eq!(client.produce(9, topic, encode(&keyed, Compression::None)).await.error_code, 0);
        assert_eq!(client.fetch(12, topic, 0).await.high_watermark, 2);
    }
}

/// What a producer packs stays packed as it is, or is packed as the topic says, in the framing that every client reads;
/// who is too old for zstd is told so, writing and reading. (Batches of six clients: tests/wire; codecs: src/record.)
#[tokio::test]
async fn pitfall_23_batches_are_kept_in_the_codec_of_their_topic() {
    let server = server().await;
    let mut client = server.client().await;
    let values = ["a".repeat(500), "b".repeat(500)];
    let records = [record(0, 5, Some("k"), &values[0]), record(1, 6, None, &values[1])];
    for (kind, want) in [
        ("producer", None),
        ("uncompressed", Some(0)),
        ("gzip", Some(1)),
        ("snappy", Some(2)),
        ("lz4", Some(3)),
        ("zstd", Some(4)),
    ] {
        client.create(kind, 1, &[("compression.type", kind), FOR_EVER]).await;
        for (came, codec) in (0..).zip(CODECS) {
            let sent = encode(&records, codec);
            let placed = client.produce(9, kind, sent.clone()).await;
            assert_eq!(placed.error_code, 0, "{codec:?} into {kind}");
            let kept = client.fetch(12, kind, placed.base_offset).await.records.expect("records");
            let now = kept[22] & 7;
            assert_eq!(now, want.unwrap_or(came), "{codec:?} into {kind}");
            if now == came {
                assert_eq!(kept[16..], sent[16..], "{codec:?} into {kind}: as it came");
            }
            let first: &[u8] = match now {
                1 => &[0x1f, 0x8b],
                2 if now != came => b"\x82SNAPPY\0",
                3 => &[0x04, 0x22, 0x4d, 0x18],
                4 => &[0x28, 0xb5, 0x2f, 0xfd],
                _ => &[],
            };
            assert!(kept[61..].starts_with(first), "{codec:?} into {kind}: {:?}", &kept[61..69]);
            assert!(crc_is_right(&kept));
            let read: Vec<String> = decode(Some(kept)).into_iter().map(|(_, value)| value).collect();
            assert_eq!(read, values, "{codec:?} into {kind}");
        }
    }
    let zstd = encode(&records, Compression::Zstd);
    for version in 3..=12 {
        let code = client.produce(version, "producer", zstd.clone()).await.error_code;
        assert_eq!(code, if version < 7 { 76 } else { 0 }, "UNSUPPORTED_COMPRESSION_TYPE: Produce v{version}");
    }
    for version in 4..=12 {
        // KIP-110 refused it below version 10; Kafka 4.4 hands it out, and kafka-python 2.0 reads it so.
        assert_eq!(client.fetch(version, "zstd", 0).await.error_code, 0, "Fetch v{version}");
    }
}

/// Versions 0 to 2 stand in the list, because librdkafka looks for 0 before it packs anything, and are not served.
/// (With librdkafka itself: compat/kcat.)
#[tokio::test]
async fn pitfall_24_produce_0_to_2_are_listed_and_refused() {
    let server = server().await;
    for version in 0..=4 {
        let request = match version {
            3.. => ApiVersionsRequest::default()
                .with_client_software_name(text("librdkafka"))
                .with_client_software_version(text("2")),
            _ => ApiVersionsRequest::default(),
        };
        let answer = server.client().await.ask(version, request).await;
        let produce = answer.api_keys.iter().find(|api| api.api_key == 0).expect("listed");
        assert_eq!((produce.min_version, produce.max_version), (0, 13), "v{version}");
    }
    for version in 0..3u8 {
        let mut client = server.client().await;
        client.create("t", 1, &[FOR_EVER]).await;
        // acks -1, timeout 1000 ms, no topics; client id "x".
        let body = [0, 0, 0, version, 0, 0, 0, 2, 0, 1, b'x', 0xff, 0xff, 0, 0, 3, 0xe8, 0, 0, 0, 0];
        client.socket.write_all(&(body.len() as i32).to_be_bytes()).await.expect("sent");
        client.socket.write_all(&body).await.expect("sent");
        assert!(client.is_closed().await, "v{version}");
        server.client().await.delete("t").await;
    }
}

/// acks=0 is never answered, and what else is asked on the connection is answered in its order; a batch that is refused
/// with nobody to tell closes the connection.
#[tokio::test]
async fn pitfall_25_acks_0_is_silent_and_order_is_kept() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[FOR_EVER]).await;
    for round in 0..20 {
        for acks in [0, 1, -1] {
            client.send(9, &produce_request("t", acks, batch(&["v"]))).await;
            if acks == 0 {
                client.no_answer();
            }
        }
        client.send(2, &ApiVersionsRequest::default()).await;
        for nth in [1, 2] {
            let placed = client.receive::<ProduceRequest>(9).await.responses.remove(0).partition_responses.remove(0);
            assert_eq!((placed.error_code, placed.base_offset), (0, 3 * round + nth));
        }
        assert_eq!(client.receive::<ApiVersionsRequest>(2).await.error_code, 0);
    }
    assert_eq!(client.fetch(12, "t", 0).await.high_watermark, 60);
    client.send(9, &produce_request("nothing", 0, batch(&["v"]))).await;
    assert!(client.is_closed().await);
}
