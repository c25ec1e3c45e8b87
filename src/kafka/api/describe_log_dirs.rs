//! DescribeLogDirs (35): the directory that logs are in, its volume, and how many bytes each partition takes there.
//!
//! Serves v0–5: v2 flexible · v3 an error of its own · v4 the volume (KIP-827) · v5 cordoned directories (KIP-1066). There
//! is one directory, always online and never cordoned. A size is what of the log is kept: settled, or still in the journal.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::engine::Catalog;
use crate::engine::catalog::Stream;
use crate::kafka::access::CLUSTER;
use crate::kafka::cx::{self, Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::wire::messages::describe_log_dirs::{
    DescribableLogDirTopic, DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse,
    DescribeLogDirsResult, DescribeLogDirsTopic,
};

pub struct DescribeLogDirs;

impl Api for DescribeLogDirs {
    type Request = DescribeLogDirsRequest;
    type Response = DescribeLogDirsResponse;

    async fn handle(cx: Arc<Cx>, call: Call, request: DescribeLogDirsRequest) -> Answer<DescribeLogDirsResponse> {
        if let Err(code) = cx.access(&call).check(Action::Describe, CLUSTER) {
            return Answer::Now(DescribeLogDirsResponse { error_code: code.wire(), ..Default::default() });
        }
        let log_dir = cx.options.log_dir.clone();
        let result = match cx.engine.volume().await {
            Err(_) => {
                DescribeLogDirsResult { error_code: Code::KafkaStorageError.wire(), log_dir, ..Default::default() }
            }
            Ok(volume) => {
                let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
                DescribeLogDirsResult {
                    log_dir,
                    topics: topics(&cx, &cx.engine.catalog(), request.topics),
                    total_bytes: bytes(volume.total_bytes),
                    usable_bytes: bytes(volume.free_bytes),
                    ..Default::default()
                }
            }
        };
        Answer::Now(DescribeLogDirsResponse { results: vec![result], ..Default::default() })
    }
}

/// What of `asked` is here; `None`: everything. What is not here is not mentioned.
fn topics(cx: &Cx, catalog: &Catalog, asked: Option<Vec<DescribableLogDirTopic>>) -> Vec<DescribeLogDirsTopic> {
    let Some(asked) = asked else {
        return cx::topics(catalog).filter_map(|stream| sizes(cx, stream, None)).collect();
    };
    let named = asked.into_iter().filter_map(|topic| {
        let numbers = topic.partitions.into_iter().collect();
        sizes(cx, cx::topic(catalog, &topic.topic)?, Some(&numbers))
    });
    named.collect()
}

fn sizes(cx: &Cx, stream: &Stream, only: Option<&BTreeSet<i32>>) -> Option<DescribeLogDirsTopic> {
    let numbered = stream.logs.iter().zip(0..).filter(|(_, number)| only.is_none_or(|only| only.contains(number)));
    let partitions = numbered.filter_map(|(log, partition_index)| {
        // It may have been deleted since the catalog was looked at.
        let bytes = cx.engine.log_bytes(*log).ok()?;
        let partition_size = i64::try_from(bytes).unwrap_or(i64::MAX);
        Some(DescribeLogDirsPartition { partition_index, partition_size, ..Default::default() })
    });
    let partitions: Vec<_> = partitions.collect();
    (!partitions.is_empty()).then(|| DescribeLogDirsTopic { name: stream.name.to_string(), partitions })
}
