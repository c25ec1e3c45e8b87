//! Batches that are small on the wire and would be huge when opened, produced as Kafka does and read as Kinesis does: the
//! batch is skipped and counted, what stands behind it is read, and memory is what the limit says.

use std::io::Write;

use bytes::{BufMut, Bytes, BytesMut};
use interfluve::ids::Timestamp;
use interfluve::kafka::wire::messages::produce::{
    PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData,
};
use interfluve::metrics;
use interfluve::record::build::{Builder, NewRecord};
use interfluve::record::compress::Codec;
use serde_json::{Value, json};

use crate::server::Server;
use crate::{QUIET, call, http, memory};

/// What a bomb opens to.
const OPENED_BYTES: usize = 1 << 30;

/// A whole, checksummed batch of one record, whose records are `compressed`.
///
/// ```text
/// 0 base offset i64 │ 8 length i32 │ 12 epoch i32 │ 16 magic 2 │ 17 crc u32 │ 21 attributes i16 │ 23 last delta i32
/// 27 first time i64 │ 35 last time i64 │ 43 producer i64 │ 51 epoch i16 │ 53 sequence i32 │ 57 count i32 │ 61 records
/// ```
fn batch(codec: Codec, compressed: &[u8]) -> Bytes {
    let mut rest = BytesMut::new();
    rest.put_i16(codec as i16);
    rest.put_i32(0);
    rest.put_i64(1_700_000_000_000);
    rest.put_i64(1_700_000_000_000);
    rest.put_i64(-1);
    rest.put_i16(-1);
    rest.put_i32(-1);
    rest.put_i32(1);
    rest.put_slice(compressed);
    let mut whole = BytesMut::new();
    whole.put_i64(0);
    whole.put_i32((rest.len() + 9) as i32);
    whole.put_i32(-1);
    whole.put_i8(2);
    whole.put_u32(crc32c::crc32c(&rest));
    whole.put_slice(&rest);
    whole.freeze()
}

/// A gigabyte of nothing, by deflate.
fn gzip() -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let block = vec![0; 1 << 20];
    for _ in 0..OPENED_BYTES / block.len() {
        encoder.write_all(&block).expect("memory");
    }
    encoder.finish().expect("memory")
}

/// A gigabyte of nothing: a zstd frame of blocks that each say "this byte, 128 KiB times".
fn zstd() -> Vec<u8> {
    const BLOCK_BYTES: u32 = 128 << 10;
    // Magic, no content size, no checksum, a window of 128 KiB.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
    let blocks = (OPENED_BYTES / BLOCK_BYTES as usize) as u32;
    for block in 0..blocks {
        let run_of_one_byte = BLOCK_BYTES << 3 | 1 << 1 | u32::from(block + 1 == blocks);
        frame.extend_from_slice(&run_of_one_byte.to_le_bytes()[..3]);
        frame.push(0);
    }
    frame
}

/// A gigabyte of nothing: lz4 blocks of 4 MiB, each one literal and one endless match.
fn lz4() -> Vec<u8> {
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(
        lz4_flex::frame::FrameInfo::new().block_size(lz4_flex::frame::BlockSize::Max4MB),
        Vec::new(),
    );
    let block = vec![0; 4 << 20];
    for _ in 0..OPENED_BYTES / 8 / block.len() {
        encoder.write_all(&block).expect("memory");
    }
    encoder.finish().expect("memory")
}

/// snappy hardly bombs (64 bytes of 3); but it says beforehand how much will come, and that may be a lie.
fn snappy_that_lies() -> Vec<u8> {
    let mut raw = snap::raw::Encoder::new().compress_vec(&[0; 1000]).expect("memory");
    raw.splice(0..2, [0xff, 0xff, 0xff, 0xff, 0x0f]);
    raw
}

/// Blocks as snappy-java writes them, of which each opens to 32 KiB.
fn snappy() -> Vec<u8> {
    let mut framed = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
    let block = snap::raw::Encoder::new().compress_vec(&vec![0; 32 << 10]).expect("memory");
    for _ in 0..(OPENED_BYTES / 8) / (32 << 10) {
        framed.extend_from_slice(&(block.len() as u32).to_be_bytes());
        framed.extend_from_slice(&block);
    }
    framed
}

/// The JSON of a call that succeeds.
async fn ask(server: &Server, operation: &str, body: Value) -> Value {
    let answer = http(server, &call(operation, body.to_string().as_bytes())).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{operation}: {answer}");
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    serde_json::from_str(body).unwrap_or(Value::Null)
}

#[tokio::test]
async fn bombs_are_skipped_counted_and_never_held() {
    let _quiet = QUIET.write().await;
    let server = Server::start().await;
    for (name, codec, bomb) in [
        ("gzip", Codec::Gzip, gzip()),
        ("snappy", Codec::Snappy, snappy()),
        ("snappy-that-lies", Codec::Snappy, snappy_that_lies()),
        ("lz4", Codec::Lz4, lz4()),
        ("zstd", Codec::Zstd, zstd()),
    ] {
        server.create_topic_with(name, &[("max.message.bytes", "16777216")]).await;
        let mut client = server.kafka().await;
        let mut good = Builder::new(Codec::None);
        let time = Timestamp(1_700_000_000_000);
        good.push(&NewRecord { key: Some(b"k"), value: Some(b"behind"), headers: &[], timestamp: time });
        for (what, records) in [("bomb", batch(codec, &bomb)), ("good", good.finish().bytes)] {
            let partition = PartitionProduceData { index: 0, records: Some(records) };
            let topic =
                TopicProduceData { name: name.into(), partition_data: vec![partition], ..TopicProduceData::default() };
            let request =
                ProduceRequest { acks: -1, timeout_ms: 10_000, topic_data: vec![topic], ..ProduceRequest::default() };
            let answer: ProduceResponse = client.ask(9, &request).await;
            let part = &answer.responses[0].partition_responses[0];
            assert_eq!(part.error_code, 0, "{name} {what} of {} bytes: {:?}", bomb.len(), part.error_message);
        }
        let skipped = metrics::SKIPPED_RECORDS.of("undecodable");
        let (skipped_before, before_kib) = (skipped.value(), memory::kib("VmRSS"));
        memory::reset_peak();
        let shard = json!({"StreamName": name, "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"});
        let iterator = ask(&server, "GetShardIterator", shard).await["ShardIterator"].clone();
        let records = ask(&server, "GetRecords", json!({"ShardIterator": iterator})).await["Records"].clone();
        assert_eq!(records.as_array().map(Vec::len), Some(1), "{name}: {records}");
        assert_eq!(records[0]["Data"], "YmVoaW5k", "{name}");
        assert_eq!(skipped.value() - skipped_before, 1, "{name}");
        // The limit of one opening is 64 MiB; growing a buffer up to there may hold as much again.
        let peak_mib = memory::kib("VmHWM").saturating_sub(before_kib) / 1024;
        assert!(peak_mib < 192, "{name}: {peak_mib} MiB more at the peak");
    }
}
