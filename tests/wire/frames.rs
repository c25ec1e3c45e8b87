//! Goldens of the Kafka face.

use std::collections::BTreeSet;

use bytes::{Bytes, BytesMut};
use interfluve::kafka::table;
use interfluve::kafka::wire::header::{RequestHeader, ResponseHeader, response_frame};
use interfluve::kafka::wire::messages as ours;
use interfluve::kafka::wire::{Message, Reader, Writer};
use kafka_protocol::messages as theirs;
use kafka_protocol::protocol::{Decodable, Encodable, Message as Versions};

use crate::server::Server;
use crate::{Exchange, exchanges};

/// Key, version and correlation id of a frame.
fn head(frame: &[u8]) -> (i16, i16, i32) {
    let two = |at: usize| i16::from_be_bytes([frame[at], frame[at + 1]]);
    (two(0), two(2), i32::from_be_bytes([frame[4], frame[5], frame[6], frame[7]]))
}

/// librdkafka's Metadata for all topics leaves three bytes of a count it did not need behind the request; Kafka, too,
/// reads over them.
const LEFT_OVER: (&str, i16, usize) = ("confluent-kafka-python", 3, 3);

/// Reads a whole request with our codec and writes it again, with what was left over.
fn request_again<M: Message>(frame: &[u8]) -> (Vec<u8>, Bytes) {
    let mut reader = Reader::new(Bytes::copy_from_slice(frame));
    let header = RequestHeader::read(&mut reader).expect("a header");
    let message = M::decode(&mut reader, header.request_api_version).expect("a request");
    let left = reader.rest();
    let mut writer = Writer::new();
    header.write(&mut writer).expect("a header that can be written");
    message.encode(&mut writer, header.request_api_version).expect("a request that can be written");
    (writer.finish().into_bytes().to_vec(), left)
}

/// Reads what may be a request of any message; whether it is one is not asked.
fn read<M: Message>(frame: &[u8]) {
    let mut reader = Reader::new(Bytes::copy_from_slice(frame));
    if let Ok(header) = RequestHeader::read(&mut reader) {
        let _ = M::decode(&mut reader, header.request_api_version);
    }
}

/// Reads a whole answer with our codec, writes it again, and has the other codec, where it knows the version, read and
/// write the same.
fn answer_again<M: Message, P: Versions + Decodable + Encodable>(
    key: i16,
    version: i16,
    frame: &[u8],
) -> (Vec<u8>, bool) {
    let mut reader = Reader::new(Bytes::copy_from_slice(frame));
    let header = ResponseHeader::read(&mut reader, key, version).expect("a header");
    let mut body = reader.rest();
    let message = M::decode(&mut reader, version).expect("an answer");
    reader.finish().expect("nothing is left over");
    let judged = (P::VERSIONS.min..=P::VERSIONS.max).contains(&version);
    if judged {
        let whole = body.clone();
        let peer = P::decode(&mut body, version).expect("an answer the other codec can read");
        assert!(body.is_empty(), "the other codec leaves {} bytes", body.len());
        let mut again = BytesMut::new();
        peer.encode(&mut again, version).expect("the other codec writes what it read");
        assert_eq!(again.freeze(), whole, "{}", M::NAME);
    }
    let whole = response_frame(key, version, header.correlation_id, &message).expect("an answer that can be written");
    (whole.into_bytes()[4..].to_vec(), judged)
}

macro_rules! apis {
    ($($key:literal $module:ident $request:ident $response:ident;)*) => {
        fn ask_again(key: i16, frame: &[u8]) -> (Vec<u8>, Bytes) {
            match key {
                $($key => request_again::<ours::$module::$request>(frame),)*
                _ => panic!("API {key} has no goldens yet: add it here"),
            }
        }

        /// Reads what may be a request, by its key; its first four bytes are there.
        pub fn read_any(frame: &[u8]) {
            match i16::from_be_bytes([frame[0], frame[1]]) {
                $($key => read::<ours::$module::$request>(frame),)*
                _ => {}
            }
        }

        fn hear_again(key: i16, version: i16, frame: &[u8]) -> (Vec<u8>, bool) {
            match key {
                $($key => answer_again::<ours::$module::$response, theirs::$response>(key, version, frame),)*
                _ => panic!("API {key} has no goldens yet: add it here"),
            }
        }
    };
}

apis! {
    0 produce ProduceRequest ProduceResponse;
    1 fetch FetchRequest FetchResponse;
    2 list_offsets ListOffsetsRequest ListOffsetsResponse;
    3 metadata MetadataRequest MetadataResponse;
    8 offset_commit OffsetCommitRequest OffsetCommitResponse;
    9 offset_fetch OffsetFetchRequest OffsetFetchResponse;
    10 find_coordinator FindCoordinatorRequest FindCoordinatorResponse;
    11 join_group JoinGroupRequest JoinGroupResponse;
    12 heartbeat HeartbeatRequest HeartbeatResponse;
    13 leave_group LeaveGroupRequest LeaveGroupResponse;
    14 sync_group SyncGroupRequest SyncGroupResponse;
    15 describe_groups DescribeGroupsRequest DescribeGroupsResponse;
    16 list_groups ListGroupsRequest ListGroupsResponse;
    18 api_versions ApiVersionsRequest ApiVersionsResponse;
    19 create_topics CreateTopicsRequest CreateTopicsResponse;
    20 delete_topics DeleteTopicsRequest DeleteTopicsResponse;
    21 delete_records DeleteRecordsRequest DeleteRecordsResponse;
    22 init_producer_id InitProducerIdRequest InitProducerIdResponse;
    23 offset_for_leader_epoch OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse;
    24 add_partitions_to_txn AddPartitionsToTxnRequest AddPartitionsToTxnResponse;
    25 add_offsets_to_txn AddOffsetsToTxnRequest AddOffsetsToTxnResponse;
    26 end_txn EndTxnRequest EndTxnResponse;
    27 write_txn_markers WriteTxnMarkersRequest WriteTxnMarkersResponse;
    28 txn_offset_commit TxnOffsetCommitRequest TxnOffsetCommitResponse;
    32 describe_configs DescribeConfigsRequest DescribeConfigsResponse;
    33 alter_configs AlterConfigsRequest AlterConfigsResponse;
    37 create_partitions CreatePartitionsRequest CreatePartitionsResponse;
    42 delete_groups DeleteGroupsRequest DeleteGroupsResponse;
    44 incremental_alter_configs IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse;
    60 describe_cluster DescribeClusterRequest DescribeClusterResponse;
    61 describe_producers DescribeProducersRequest DescribeProducersResponse;
    65 describe_transactions DescribeTransactionsRequest DescribeTransactionsResponse;
    66 list_transactions ListTransactionsRequest ListTransactionsResponse;
    68 consumer_group_heartbeat ConsumerGroupHeartbeatRequest ConsumerGroupHeartbeatResponse;
    69 consumer_group_describe ConsumerGroupDescribeRequest ConsumerGroupDescribeResponse;
    75 describe_topic_partitions DescribeTopicPartitionsRequest DescribeTopicPartitionsResponse;
}

/// Requests at versions that are served; clients also ask whether newer ones are.
fn served() -> Vec<Exchange> {
    let is_served = |frame: &[u8]| {
        let (key, version, _) = head(frame);
        table::find(key).is_some_and(|row| row.versions.contains(&version))
    };
    exchanges("kafka").into_iter().filter(|exchange| is_served(&exchange.asked)).collect()
}

#[test]
fn every_recorded_request_is_written_again_byte_for_byte() {
    for Exchange { client, asked, .. } in served() {
        let (key, version, _) = head(&asked);
        let (again, left) = ask_again(key, &asked);
        let known = left.is_empty() || LEFT_OVER == (client.as_str(), key, left.len());
        assert!(known, "{client}: API {key} version {version}: {left:?} left over");
        assert_eq!([&again[..], &left].concat(), asked, "{client}: API {key} version {version}");
    }
}

#[test]
fn every_recorded_answer_is_read_alike_by_another_codec() {
    let mut judged = 0;
    for Exchange { client, asked, heard, .. } in served() {
        let (key, version, _) = head(&asked);
        let Some(heard) = heard else { continue };
        let (again, by_another) = hear_again(key, version, &heard);
        assert_eq!(again, heard, "{client}: API {key} version {version}");
        judged += usize::from(by_another);
    }
    assert!(judged > 100, "the other codec judged only {judged} answers");
}

/// Every client and every codec stands in the goldens.
#[test]
fn the_goldens_cover_the_clients_and_the_apis() {
    let all = served();
    let clients: BTreeSet<&str> = all.iter().map(|exchange| exchange.client.as_str()).collect();
    let expected = ["confluent-kafka-python", "franz-go", "java-3.9", "java-4", "kafkajs", "kcat"];
    assert_eq!(clients.into_iter().collect::<Vec<_>>(), expected);
    let keys: BTreeSet<i16> = all.iter().map(|exchange| head(&exchange.asked).0).collect();
    // No client of these asks the oldest AlterConfigs or leader epochs of its own accord, and none was recorded while it
    // said who it is, administered more than topics or deleted offsets: those are served since later.
    let security = [17, 29, 30, 31, 36, 38, 39, 40, 41, 50, 51];
    let cluster = [34, 35, 43, 45, 46, 48, 49, 55, 57, 64, 74];
    let groups = [47];
    let unrecorded = [&[23, 33, 37, 75][..], &security, &cluster, &groups].concat();
    for row in table::TABLE.iter().filter(|row| !unrecorded.contains(&row.key)) {
        assert!(keys.contains(&row.key), "no golden of {}", row.name);
    }
}

/// A fresh server has never heard of the topics, members and sessions of a recording: what it answers is an answer all
/// the same, at the version it was asked, and the other codec reads it.
#[tokio::test]
async fn every_recorded_request_is_answered_anew() {
    let server = Server::start().await;
    for Exchange { client, asked, heard, .. } in served() {
        let (key, version, correlation) = head(&asked);
        if heard.is_none() {
            continue;
        }
        let mut connection = server.kafka().await;
        connection.send(&asked).await;
        let answer = connection.answer().await;
        let answer = answer.unwrap_or_else(|| panic!("{client}: API {key} version {version}: closed"));
        assert_eq!(answer[..4], correlation.to_be_bytes(), "{client}: API {key} version {version}");
        assert_eq!(hear_again(key, version, &answer).0, answer, "{client}: API {key} version {version}");
    }
}
