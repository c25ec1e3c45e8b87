//! Produce and Fetch: what goes in comes out, at every version; what is refused, and how.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use interfluve::kafka::cx::Options;
use interfluve::record::compress::Limits;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{
    ApiVersionsRequest, DeleteTopicsRequest, FetchRequest, InitProducerIdRequest, MetadataRequest, ProduceRequest,
    TransactionalId,
};
use kafka_protocol::records::{Compression, Record};
use tokio::time::timeout;

use crate::harness::*;

#[tokio::test]
async fn records_come_out_as_they_went_in_at_every_version() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[]).await;
    let mut end = 0;
    for version in 3..=12 {
        let placed = client.produce(version, "t", batch(&["a", "b"])).await;
        assert_eq!((placed.error_code, placed.base_offset), (0, end), "Produce v{version}");
        assert_eq!(placed.log_append_time_ms, -1);
        assert_eq!(placed.log_start_offset, if version >= 5 { 0 } else { -1 });
        end += 2;
    }
    for version in 4..=12 {
        let data = client.fetch(version, "t", 4).await;
        assert_eq!((data.error_code, data.high_watermark, data.last_stable_offset), (0, end, end), "Fetch v{version}");
        let records = decode(data.records);
        assert_eq!(records.len(), 16);
        assert_eq!(records[..2], [(4, "a".to_string()), (5, "b".to_string())]);
    }
}

#[tokio::test]
async fn topics_are_named_by_id_from_version_13_on() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[]).await;
    let metadata = client.ask(12, MetadataRequest::default().with_topics(None)).await;
    let id = metadata.topics.iter().find(|t| t.name == Some(topic_name("t"))).expect("there").topic_id;
    let produce = |batch| {
        let mut request = produce_request("", -1, batch);
        request.topic_data[0].topic_id = id;
        request
    };
    let answer = client.ask(13, produce(batch(&["a"]))).await;
    assert_eq!((answer.responses[0].topic_id, answer.responses[0].partition_responses[0].error_code), (id, 0));
    for version in 13..=18 {
        let mut request = fetch_request("", 0);
        request.topics[0].topic_id = id;
        let answer = client.ask(version, request).await;
        assert_eq!(answer.responses[0].topic_id, id);
        assert_eq!(decode(answer.responses[0].partitions[0].records.clone()), [(0, "a".to_string())]);
    }
    // The same name again is another topic.
    let gone =
        client.ask(5, DeleteTopicsRequest::default().with_topic_names(vec![topic_name("t")]).with_timeout_ms(1000));
    assert_eq!(gone.await.responses[0].error_code, 0);
    client.create("t", 1, &[]).await;
    let answer = client.ask(13, produce(batch(&["a"]))).await;
    assert_eq!(answer.responses[0].partition_responses[0].error_code, 100, "UNKNOWN_TOPIC_ID");
    let mut request = fetch_request("", 0);
    request.topics[0].topic_id = id;
    let answer = client.ask(13, request).await;
    assert_eq!(answer.responses[0].partitions[0].error_code, 100, "UNKNOWN_TOPIC_ID");
}

#[tokio::test]
async fn every_codec_is_kept_as_it_came() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[]).await;
    for compression in [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd]
    {
        let records = [record(0, 5, Some("k"), "v")];
        let sent = encode(&records, compression);
        let placed = client.produce(9, "t", sent.clone()).await;
        assert_eq!(placed.error_code, 0, "{compression:?}");
        let got = client.fetch(12, "t", placed.base_offset).await.records.expect("records");
        // Everything but base offset and leader epoch, which are ours to write.
        assert_eq!(got[8..12], sent[8..12]);
        assert_eq!(got[16..], sent[16..]);
    }
}

/// Kafka 4.4 does so too; KIP-110 had refused it below version 10, and some old clients can read it all the same.
#[tokio::test]
async fn zstd_is_answered_at_every_version_of_fetch() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[]).await;
    let zstd = encode(&[record(0, 5, Some("k"), "v")], Compression::Zstd);
    assert_eq!(client.produce(7, "t", zstd).await.error_code, 0);
    for version in 4..=12 {
        let data = client.fetch(version, "t", 0).await;
        assert_eq!((data.error_code, decode(data.records)), (0, vec![(0, "v".to_string())]), "Fetch v{version}");
    }
}

#[tokio::test]
async fn a_fetch_inside_a_batch_is_answered_with_the_whole_batch() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[]).await;
    client.produce(9, "t", batch(&["a", "b", "c"])).await;
    client.produce(9, "t", batch(&["d", "e"])).await;
    for (offset, first) in [(0, 0), (1, 0), (2, 0), (3, 3), (4, 3)] {
        let records = decode(client.fetch(12, "t", offset).await.records);
        assert_eq!((records[0].0, records.last().expect("some").0), (first, 4), "from {offset}");
    }
    assert_eq!(decode(client.fetch(12, "t", 5).await.records), []);
}

#[tokio::test]
async fn at_least_one_batch_is_answered_whatever_its_size() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[("max.message.bytes", "4000000")]).await;
    let large = "x".repeat(2 << 20);
    assert_eq!(client.produce(9, "t", batch(&[&large])).await.error_code, 0);
    let mut request = fetch_request("t", 0).with_max_bytes(1024).with_min_bytes(1);
    request.topics[0].partitions[0].partition_max_bytes = 1024;
    let answer = client.ask(12, request).await;
    assert_eq!(decode(answer.responses[0].partitions[0].records.clone())[0].1.len(), 2 << 20);
}

#[tokio::test]
async fn large_answers_follow_each_other_on_one_connection() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[]).await;
    let large = "x".repeat(700_000);
    assert_eq!(client.produce(9, "t", batch(&[&large])).await.error_code, 0);
    // Two of them are more than a connection keeps unsent: the second must not wait for a third.
    for _ in 0..3 {
        let fetched = timeout(Duration::from_secs(20), client.fetch(12, "t", 0)).await.expect("answered");
        assert_eq!(decode(fetched.records).len(), 1);
    }
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_for_its_partition_alone() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[("max.message.bytes", "1000")]).await;
    client.create("compact", 1, &[("cleanup.policy", "compact")]).await;
    let sound = batch(&["a"]);
    let spoilt = {
        let mut bytes = BytesMut::from(&sound[..]);
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        bytes.freeze()
    };
    let twice = Bytes::from([&sound[..], &sound[..]].concat());
    let with_attributes = |bit: u8| {
        let mut bytes = BytesMut::from(&sound[..]);
        bytes[22] |= bit;
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        bytes.freeze()
    };
    let future = encode(&[record(0, i64::MAX / 2, Some("k"), "v")], Compression::None);
    let keyless = encode(&[record(0, 5, None, "v")], Compression::None);
    let zstd = encode(&[record(0, 5, Some("k"), "v")], Compression::Zstd);
    let mut magic = BytesMut::from(&sound[..]);
    magic[16] = 1;
    for (case, version, topic, bytes, code) in [
        ("no such topic", 9, "nothing", sound.clone(), 3),
        ("a flipped bit", 9, "t", spoilt, 2),
        ("cut off", 9, "t", sound.slice(..sound.len() - 3), 87),
        ("two batches", 9, "t", twice, 87),
        ("no batch", 9, "t", Bytes::new(), 87),
        ("an old format", 9, "t", magic.freeze(), 87),
        ("too large", 9, "t", batch(&[&"x".repeat(1000)]), 10),
        ("a transaction", 9, "t", with_attributes(1 << 4), 53),
        ("a control batch", 9, "t", with_attributes(1 << 5), 87),
        ("from the future", 9, "t", future, 32),
        ("no key on a compacted topic", 9, "compact", keyless, 87),
        ("zstd before version 7", 6, "t", zstd, 76),
    ] {
        let placed = client.produce(version, topic, bytes).await;
        assert_eq!((placed.error_code, placed.base_offset), (code, -1), "{case}");
    }
    assert_eq!(client.produce(9, "t", sound).await.error_code, 0);
    assert_eq!(client.fetch(12, "t", 0).await.high_watermark, 1, "nothing else was kept");
}

#[tokio::test]
async fn a_batch_is_opened_only_as_far_as_the_limit_of_its_key_allows() {
    let open_limits = Limits { max_bytes: 1 << 20, ..Limits::default() };
    let server = server_with(Options { open_limits, ..Options::default() }).await;
    let mut client = server.client().await;
    client.create("t", 1, &[("compression.type", "lz4")]).await;
    for (bytes, code) in [((1 << 20) - 1000, 0), (1 << 20, 2)] {
        let zeros = encode(&[record(0, 5, Some("k"), &"0".repeat(bytes))], Compression::Gzip);
        assert_eq!(client.produce(9, "t", zeros).await.error_code, code, "{bytes}");
    }
}

#[tokio::test]
async fn a_keyless_record_is_named_by_its_index() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("c", 1, &[("cleanup.policy", "compact")]).await;
    let records = [record(0, 5, Some("k"), "keyed"), record(1, 5, None, "keyless")];
    let placed = client.produce(9, "c", encode(&records, Compression::Lz4)).await;
    assert_eq!(placed.error_code, 87);
    assert_eq!(placed.record_errors.iter().map(|e| e.batch_index).collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn acks_are_0_1_or_all() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[]).await;
    for acks in [-2, 2, 100] {
        let answer = client.ask(9, produce_request("t", acks, batch(&["a"]))).await;
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 21, "acks={acks}");
    }
    for acks in [1, -1] {
        let answer = client.ask(9, produce_request("t", acks, batch(&["a"]))).await;
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0, "acks={acks}");
    }
}

/// Pitfall 25: no answer to acks=0, and the answers around it are unharmed.
#[tokio::test]
async fn answers_keep_their_order_whatever_the_acks() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[]).await;
    for _ in 0..20 {
        client.send(9, &produce_request("t", -1, batch(&["all"]))).await;
        client.send(3, &api_versions()).await;
        client.send(9, &produce_request("t", 1, batch(&["one"]))).await;
    }
    for _ in 0..20 {
        client.receive::<ProduceRequest>(9).await;
        client.receive::<ApiVersionsRequest>(3).await;
        client.receive::<ProduceRequest>(9).await;
    }
    client.send(9, &produce_request("t", 0, batch(&["none"]))).await;
    client.no_answer();
    let data = client.fetch(12, "t", 0).await;
    let values: Vec<String> = decode(data.records).into_iter().map(|(_, value)| value).collect();
    assert_eq!(values.len(), 40 + values.iter().filter(|v| *v == "none").count());
    assert!(values.chunks_exact(2).take(20).all(|pair| pair == ["all", "one"]), "{values:?}");
}

fn api_versions() -> ApiVersionsRequest {
    ApiVersionsRequest::default().with_client_software_name(text("x")).with_client_software_version(text("1"))
}

#[tokio::test]
async fn a_batch_refused_with_acks_0_closes_the_connection() {
    let server = server().await;
    let mut client = server.client().await;
    client.send(9, &produce_request("nothing", 0, batch(&["a"]))).await;
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_partition_of_many_that_fails_leaves_the_others_alone() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 2, &[]).await;
    let partitions = [(0, batch(&["a"])), (7, batch(&["b"])), (1, batch(&["c"]))]
        .map(|(index, batch)| PartitionProduceData::default().with_index(index).with_records(Some(batch)));
    let topic = TopicProduceData::default().with_name(topic_name("t")).with_partition_data(partitions.into());
    let request = ProduceRequest::default().with_acks(-1).with_timeout_ms(1000).with_topic_data(vec![topic]);
    let answer = client.ask(9, request).await;
    let got: Vec<_> =
        answer.responses[0].partition_responses.iter().map(|p| (p.index, p.error_code, p.base_offset)).collect();
    assert_eq!(got, [(0, 0, 0), (7, 3, -1), (1, 0, 0)]);
}

#[tokio::test]
async fn an_idempotent_producer_is_answered_as_kafka_does() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[]).await;
    let first = client.ask(4, InitProducerIdRequest::default().with_transactional_id(None)).await;
    let second = client.ask(0, InitProducerIdRequest::default().with_transactional_id(None)).await;
    assert_eq!((first.error_code, first.producer_epoch, second.error_code), (0, 0, 0));
    assert_ne!(first.producer_id, second.producer_id);
    let id = first.producer_id.0;
    let numbered = |sequence: i32, epoch: i16| {
        let one = Record { sequence, producer_id: id, producer_epoch: epoch, ..record(0, 5, Some("k"), "v") };
        encode(&[one], Compression::None)
    };
    for (case, sequence, epoch, code, offset) in [
        ("the first", 0, 0, 0, 0),
        ("the next", 1, 0, 0, 1),
        ("again", 0, 0, 0, 0),
        ("a gap", 5, 0, 45, -1),
        ("a new incarnation", 0, 1, 0, 2),
        ("the old one", 2, 0, 47, -1),
    ] {
        let placed = client.produce(9, "t", numbered(sequence, epoch)).await;
        assert_eq!((placed.error_code, placed.base_offset), (code, offset), "{case}");
    }
}

#[tokio::test]
async fn a_transaction_of_nobody_refuses_the_whole_request() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 2, &[]).await;
    let sound = batch(&["a"]);
    let mut claims = BytesMut::from(&sound[..]);
    claims[22] |= 1 << 4;
    let mut request = produce_request("t", -1, sound);
    let other = PartitionProduceData::default().with_index(1).with_records(Some(claims.freeze()));
    request.topic_data[0].partition_data.push(other);
    let answer = client.ask(9, request).await;
    let codes: Vec<_> = answer.responses[0].partition_responses.iter().map(|p| (p.index, p.error_code)).collect();
    assert_eq!(codes, [(0, 53), (1, 53)]);
    assert_eq!(client.fetch(12, "t", 0).await.high_watermark, 0);
}

#[tokio::test]
async fn a_transactional_id_gets_an_epoch_with_each_incarnation() {
    let server = server().await;
    let mut client = server.client().await;
    let init = |id: &str, timeout_ms| {
        let id = Some(TransactionalId(text(id)));
        InitProducerIdRequest::default().with_transactional_id(id).with_transaction_timeout_ms(timeout_ms)
    };
    for (id, timeout_ms, code) in [("", 60_000, 42), ("tx", 0, 50), ("tx", 15 * 60_000 + 1, 50)] {
        assert_eq!(client.ask(4, init(id, timeout_ms)).await.error_code, code, "{id:?} {timeout_ms}");
    }
    for epoch in 0..3 {
        let answer = client.ask(4, init("tx", 60_000)).await;
        assert_eq!((answer.error_code, answer.producer_epoch), (0, epoch));
    }
    let features = client.ask(4, api_versions()).await.finalized_features;
    let level = features.iter().find(|feature| &*feature.name == "transaction.version").map(|f| f.max_version_level);
    assert_eq!(level, Some(2), "clients end their transactions by KIP-890");
}

#[tokio::test]
async fn places_where_nothing_is_are_answered_with_their_error() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("t", 1, &[]).await;
    client.produce(9, "t", batch(&["a"])).await;
    for (topic, offset, code) in [("t", 2, 1), ("t", -1, 1), ("t", i64::MAX, 1), ("nothing", 0, 3), ("", 0, 3)] {
        let data = client.fetch(12, topic, offset).await;
        assert_eq!((data.error_code, data.high_watermark), (code, -1), "{topic} from {offset}");
    }
    for (epoch, code) in [(-1, 0), (0, 0), (100, 75)] {
        let mut request = fetch_request("t", 0);
        request.topics[0].partitions[0].current_leader_epoch = epoch;
        assert_eq!(client.ask(12, request).await.responses[0].partitions[0].error_code, code, "epoch {epoch}");
    }
}

#[tokio::test]
async fn a_fetch_waits_for_news_and_an_error_does_not_wait() {
    let server = server().await;
    let (mut reader, mut writer) = (server.client().await, server.client().await);
    writer.create("t", 1, &[]).await;
    let an_hour = |topic: &str| fetch_request(topic, 0).with_max_wait_ms(3_600_000).with_min_bytes(1);
    reader.send(12, &an_hour("t")).await;
    writer.produce(9, "t", batch(&["a"])).await;
    let answer = reader.receive::<FetchRequest>(12).await;
    assert_eq!(decode(answer.responses[0].partitions[0].records.clone()).len(), 1);
    assert_eq!(reader.ask(12, an_hour("nothing")).await.responses[0].partitions[0].error_code, 3);
}

#[tokio::test]
async fn a_stream_of_another_codec_or_of_arrival_times_is_kept_so() {
    let server = server().await;
    let mut client = server.client().await;
    client.create("gz", 1, &[("compression.type", "gzip")]).await;
    assert_eq!(client.produce(9, "gz", batch(&["a", "b"])).await.error_code, 0);
    let stored = client.fetch(12, "gz", 0).await.records.expect("records");
    assert_eq!(stored[22] & 7, 1, "gzip");
    assert_eq!(decode(Some(stored)), [(0, "a".to_string()), (1, "b".to_string())]);
    client.create("arrival", 1, &[("message.timestamp.type", "LogAppendTime")]).await;
    let placed = client.produce(9, "arrival", batch(&["a"])).await;
    assert!(placed.log_append_time_ms > 1_700_000_000_000, "{}", placed.log_append_time_ms);
    let stored = client.fetch(12, "arrival", 0).await.records.expect("records");
    assert_eq!(stored[22] & 8, 8, "log append time");
    assert_eq!(stored[35..43], placed.log_append_time_ms.to_be_bytes());
    assert_eq!(decode(Some(stored)).len(), 1);
}
