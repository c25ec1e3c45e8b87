//! Whole frames, their headers, and where record bytes lie.

use bytes::Bytes;

use crate::kafka::wire::codec::SHARE_BYTES;
use crate::kafka::wire::header::{self, RequestHeader, ResponseHeader};
use crate::kafka::wire::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use crate::kafka::wire::messages::consumer_group_records::ConsumerGroupMemberMetadataValue;
use crate::kafka::wire::messages::consumer_protocol::ConsumerProtocolSubscription;
use crate::kafka::wire::messages::fetch::{FetchResponse, FetchableTopicResponse, PartitionData};
use crate::kafka::wire::messages::group_records::{GroupMetadataKey, OffsetCommitKey};
use crate::kafka::wire::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use crate::kafka::wire::messages::offset_commit::{OffsetCommitRequest, OffsetCommitRequestPartition};
use crate::kafka::wire::messages::produce::{PartitionProduceData, ProduceRequest, TopicProduceData};
use crate::kafka::wire::{Message, Reader, Rope, Uuid, What, Writer, versioned};

/// Whether `part` is the very memory of `whole`.
fn lies_in(part: &Bytes, whole: &Bytes) -> bool {
    let whole = whole.as_ptr_range();
    let part = part.as_ptr_range();
    whole.start <= part.start && part.end <= whole.end
}

fn produce_request(records: &Bytes) -> ProduceRequest {
    let partition = |index| PartitionProduceData { index, records: Some(records.clone()) };
    ProduceRequest {
        acks: -1,
        topic_data: vec![TopicProduceData {
            name: "t".into(),
            partition_data: vec![partition(0), partition(1)],
            ..TopicProduceData::default()
        }],
        ..ProduceRequest::default()
    }
}

#[test]
fn records_of_a_produce_request_are_slices_of_its_frame() {
    for records in [Bytes::from(vec![7; 61]), Bytes::from(vec![8; 100_000])] {
        for version in 3..=12 {
            let frame = header::request_frame(version, 1, Some("test"), &produce_request(&records));
            let frame = frame.expect("writable").into_bytes();
            let mut r = Reader::new(frame.slice(4..));
            RequestHeader::read(&mut r).expect("readable");
            let request = ProduceRequest::read(&mut r, version).expect("readable");
            for partition in &request.topic_data[0].partition_data {
                let slice = partition.records.as_ref().expect("not null");
                assert_eq!(slice, &records);
                assert!(lies_in(slice, &frame), "version {version}");
            }
        }
    }
}

fn fetch_response(records: Vec<Option<Rope>>) -> FetchResponse {
    let partition = |(index, records)| PartitionData { partition_index: index, records, ..PartitionData::default() };
    FetchResponse {
        responses: vec![FetchableTopicResponse {
            topic: "t".into(),
            topic_id: Uuid(5),
            partitions: (0..).zip(records).map(partition).collect(),
        }],
        ..FetchResponse::default()
    }
}

#[test]
fn records_of_a_fetch_response_are_sent_from_where_they_lie() {
    let (first, second) = (Bytes::from(vec![1; SHARE_BYTES]), Bytes::from(vec![2; 1 << 20]));
    let records = Rope::from(vec![first.clone(), second.clone()]);
    for version in 4..=18 {
        let response = fetch_response(vec![Some(records.clone()), None]);
        let frame = header::response_frame(1, version, 9, &response).expect("writable");
        let shared = |whole: &Bytes| frame.parts().iter().any(|part| part.as_ptr() == whole.as_ptr());
        assert!(shared(&first) && shared(&second), "version {version}");
        assert_eq!(frame.parts().len(), 4, "nothing else is a piece of its own");
    }
}

#[test]
fn the_size_of_a_fetch_response_is_known_before_it_is_written() {
    let records = Rope::from(vec![Bytes::from(vec![1; 700]), Bytes::from(vec![2; 30]), Bytes::from(vec![3; 5_000])]);
    for version in 4..=18 {
        let response = fetch_response(vec![Some(records.clone()), None, Some(Rope::new())]);
        let size = response.size(version).expect("countable");
        let mut w = Writer::with_capacity(size);
        response.write(&mut w, version).expect("writable");
        assert_eq!(w.finish().len(), size, "version {version}");
        let frame = header::response_frame(1, version, 9, &response).expect("writable").into_bytes();
        let head = if version >= 12 { 5 } else { 4 };
        assert_eq!(frame[..4], ((size + head) as i32).to_be_bytes(), "version {version}");
        assert_eq!(frame.len(), 4 + head + size, "version {version}");
    }
}

#[test]
fn null_and_empty_records_differ() {
    for version in 4..=18 {
        let mut w = Writer::new();
        fetch_response(vec![None, Some(Rope::new())]).write(&mut w, version).expect("writable");
        let back = FetchResponse::from_bytes(w.finish().into_bytes(), version).expect("readable");
        let records: Vec<_> = back.responses[0].partitions.iter().map(|partition| partition.records.clone()).collect();
        assert_eq!(records, [None, Some(Rope::new())], "version {version}");
    }
}

#[test]
fn null_and_empty_topics_differ() {
    for version in 1..=13 {
        for topics in [None, Some(vec![])] {
            let mut w = Writer::new();
            MetadataRequest { topics: topics.clone(), ..MetadataRequest::default() }
                .write(&mut w, version)
                .expect("ok");
            let back = MetadataRequest::from_bytes(w.finish().into_bytes(), version).expect("readable");
            assert_eq!(back.topics, topics, "version {version}");
        }
    }
}

#[test]
fn defaults_are_those_of_the_published_definitions() {
    let request = MetadataRequest::default();
    assert_eq!((request.topics, request.allow_auto_topic_creation), (Some(vec![]), true));
    assert_eq!(MetadataRequestTopic::default().name, Some(String::new()));
    let partition = PartitionData::default();
    assert_eq!((partition.last_stable_offset, partition.preferred_read_replica, partition.records), (-1, -1, None));
    assert_eq!(OffsetCommitRequestPartition::default().committed_leader_epoch, -1);
}

#[test]
fn a_value_the_version_cannot_carry_is_refused_unless_it_may_be_dropped() {
    let write = |version| {
        let request = OffsetCommitRequest { group_instance_id: Some("i".into()), ..OffsetCommitRequest::default() };
        request.write(&mut Writer::new(), version)
    };
    for version in 7..=9 {
        assert_eq!(write(version), Ok(()));
    }
    let request = MetadataRequest { allow_auto_topic_creation: false, ..MetadataRequest::default() };
    let error = request.write(&mut Writer::new(), 3).expect_err("refused");
    assert_eq!(error.what, What::Absent { version: 3 });
    assert_eq!((error.message, error.field), ("MetadataRequest", "allow_auto_topic_creation"));
    // The time since which versions exist is ignorable: old clients never learn it.
    let response = ApiVersionsResponse { throttle_time_ms: 5, ..ApiVersionsResponse::default() };
    assert_eq!(response.write(&mut Writer::new(), 0), Ok(()));
}

#[test]
fn null_is_refused_where_the_version_has_none() {
    let request = MetadataRequest { topics: None, ..MetadataRequest::default() };
    let error = request.write(&mut Writer::new(), 0).expect_err("refused");
    assert_eq!((error.what, error.field), (What::Null, "topics"));
}

#[test]
fn headers_take_the_version_of_their_message() {
    for (key, version, request, response) in [
        (0, 8, Some(1), Some(0)),
        (0, 9, Some(2), Some(1)),
        (3, 8, Some(1), Some(0)),
        (3, 9, Some(2), Some(1)),
        (17, 1, Some(1), Some(0)),
        (18, 2, Some(1), Some(0)),
        (18, 3, Some(2), Some(0)),
        (18, 99, Some(2), Some(0)),
        (60, 0, Some(2), Some(1)),
        (94, 0, Some(2), Some(1)),
        (95, 0, None, None),
        (-1, 0, None, None),
    ] {
        assert_eq!(header::request_header_version(key, version), request, "key {key} version {version}");
        assert_eq!(header::response_header_version(key, version), response, "key {key} version {version}");
    }
}

#[test]
fn a_request_frame_reads_back() {
    let message = ApiVersionsRequest { client_software_name: "c".into(), ..ApiVersionsRequest::default() };
    for (version, client_id) in [(3, None), (4, Some("")), (5, Some("client"))] {
        let frame = header::request_frame(version, 77, client_id, &message).expect("writable").into_bytes();
        assert_eq!(frame[..4], (frame.len() as i32 - 4).to_be_bytes());
        let mut r = Reader::new(frame.slice(4..));
        let expected = RequestHeader {
            request_api_key: 18,
            request_api_version: version,
            correlation_id: 77,
            client_id: client_id.map(str::to_owned),
        };
        assert_eq!(RequestHeader::read(&mut r), Ok(expected));
        assert_eq!(ApiVersionsRequest::read(&mut r, version), Ok(message.clone()));
        assert_eq!(r.finish(), Ok(()));
    }
}

#[test]
fn a_response_frame_reads_back() {
    for (key, version, header_bytes) in [(18, 3, 4), (3, 9, 5), (3, 8, 4)] {
        let mut w = Writer::new();
        ResponseHeader { correlation_id: -3 }.write(&mut w, key, version);
        let bytes = w.finish().into_bytes();
        assert_eq!(bytes.len(), header_bytes);
        let mut r = Reader::new(bytes);
        assert_eq!(ResponseHeader::read(&mut r, key, version), Ok(ResponseHeader { correlation_id: -3 }));
        assert_eq!(r.finish(), Ok(()));
    }
}

#[test]
fn a_newer_subscription_is_read_as_the_newest_known() {
    let known = ConsumerProtocolSubscription { topics: vec!["t".into()], generation_id: 4, ..Default::default() };
    let mut bytes = versioned::write(&known, 3).expect("writable").to_vec();
    bytes[1] = 9;
    bytes.extend([1, 2, 3]);
    assert_eq!(versioned::read_newer(bytes.clone().into()), Ok((9, known)));
    let refused = versioned::read::<ConsumerProtocolSubscription>(bytes.into()).expect_err("refused");
    assert_eq!(refused.what, What::Version(9));
}

#[test]
fn the_version_of_a_group_record_key_tells_its_kind() {
    let position = OffsetCommitKey { group: "g".into(), topic: "t".into(), partition: 3 };
    let bytes = versioned::write(&position, 1).expect("writable");
    assert_eq!(versioned::version(&bytes), Ok(1));
    assert_eq!(versioned::read(bytes.clone()), Ok((1, position)));
    assert_eq!(versioned::read::<GroupMetadataKey>(bytes).expect_err("refused").what, What::Version(1));
    let group = versioned::write(&GroupMetadataKey { group: "g".into() }, 2).expect("writable");
    assert_eq!(group[..], [0, 2, 0, 1, b'g']);
}

/// As Kafka's own classes write it (`compat/wire-oracle`): null is 0 in a tagged field, -1 elsewhere.
#[test]
fn a_null_struct_in_a_tagged_field_is_one_byte_of_zero() {
    let member = ConsumerGroupMemberMetadataValue { classic_member_metadata: None, ..Default::default() };
    let bytes = versioned::write(&member, 0).expect("writable");
    assert_eq!(bytes[bytes.len() - 4..], [1, 0, 1, 0]);
    assert_eq!(versioned::read(bytes), Ok((0, member)));
}

#[test]
fn ropes_are_equal_by_their_bytes() {
    let rope =
        |parts: &[&'static [u8]]| Rope::from(parts.iter().map(|part| Bytes::from_static(part)).collect::<Vec<_>>());
    assert_eq!(rope(&[b"ab", b"", b"c"]), rope(&[b"a", b"bc"]));
    assert_ne!(rope(&[b"ab"]), rope(&[b"abc"]));
    assert_eq!(rope(&[b"ab", b"", b"c"]).parts().len(), 2);
}
