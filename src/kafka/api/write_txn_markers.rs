//! WriteTxnMarkers (27): markers, by whoever administers (`kafka-transactions.sh abort`, KIP-664): how a transaction that
//! hangs in a log is ended.
//!
//! Serves v0–2: v1 flexible · v2 the rules the marker is held to (KIP-1228).

use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::engine::{Group, Joins, Origin, Part, Permit};
use crate::ids::Offset;
use crate::kafka::access::CLUSTER;
use crate::kafka::cx::{self, Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::wire::messages::write_txn_markers::{
    WritableTxnMarker, WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
    WriteTxnMarkersRequest, WriteTxnMarkersResponse,
};
use crate::record::build::{self, Producer};
use crate::record::records::Marker;

pub struct WriteTxnMarkers;

impl Api for WriteTxnMarkers {
    type Request = WriteTxnMarkersRequest;
    type Response = WriteTxnMarkersResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: WriteTxnMarkersRequest) -> Answer<WriteTxnMarkersResponse> {
        let access = cx.access(&call);
        let may = access.check(Action::Alter, CLUSTER).or_else(|_| access.check(Action::ClusterAction, CLUSTER));
        let mut markers = Vec::with_capacity(request.markers.len());
        for marker in request.markers {
            let mut topics = Vec::with_capacity(marker.topics.len());
            for topic in &marker.topics {
                let mut partitions = Vec::with_capacity(topic.partition_indexes.len());
                for &partition_index in &topic.partition_indexes {
                    let written = match may {
                        Ok(()) => write(&cx, &marker, &topic.name, partition_index).await,
                        Err(code) => Err(code),
                    };
                    let code = written.err().unwrap_or(Code::None);
                    partitions.push(WritableTxnMarkerPartitionResult { partition_index, error_code: code.wire() });
                }
                topics.push(WritableTxnMarkerTopicResult { name: topic.name.clone(), partitions });
            }
            markers.push(WritableTxnMarkerResult { producer_id: marker.producer_id, topics });
        }
        Answer::Now(WriteTxnMarkersResponse { markers })
    }
}

async fn write(cx: &Cx, marker: &WritableTxnMarker, topic: &str, index: i32) -> Result<(), Code> {
    let how = if marker.transaction_result { Marker::Commit } else { Marker::Abort };
    let catalog = cx.engine.catalog();
    let stream = cx::topic(&catalog, topic).ok_or(Code::UnknownTopicOrPartition)?;
    let log = u32::try_from(index).ok().and_then(|number| stream.log(number)).ok_or(Code::UnknownTopicOrPartition)?;
    if cx::is_internal(stream) {
        // Groups keep their log themselves.
        return match topic == crate::kafka::group::coordinator::STREAM {
            true => (cx.groups.end(marker.producer_id, marker.producer_epoch, how).await).map_err(|e| Code::from(&e)),
            false => Err(Code::InvalidTopicException),
        };
    }
    let by = Producer { id: marker.producer_id, epoch: marker.producer_epoch, sequence: -1 };
    let batch = build::marker(how, by, marker.coordinator_epoch, cx.engine.clock().now());
    // Where epochs rise with every transaction, its own marker has the next one already.
    let joins = (marker.transaction_version >= 2).then_some(Joins { since: Offset(0), bumps: true });
    let part = Part { joins, ..Part::new(log, batch) };
    let group = Group { parts: vec![part], origin: Origin::Marker };
    cx.engine.append(group, Permit::default()).await.map(drop).map_err(|refused| Code::from(&refused.error))
}
