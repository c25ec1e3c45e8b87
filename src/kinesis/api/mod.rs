//! One file per operation, named as the service names it, and the table of them all.

pub mod create_stream;
pub mod delete_stream;
pub mod describe_stream;
pub mod describe_stream_summary;
pub mod get_records;
pub mod get_shard_iterator;
pub mod list_shards;
pub mod list_streams;
pub mod put_record;
pub mod put_records;
pub mod show;

use std::sync::Arc;

use crate::aws::door::{Call, Handler, Operations};
use crate::kinesis::Kinesis;

macro_rules! table {
    ($($name:literal => $module:ident,)*) => {
        /// Every operation this face serves, by the target a request names.
        pub fn operations(kinesis: &Arc<Kinesis>) -> Operations {
            let mut table = Operations::new();
            $({
                let kinesis = kinesis.clone();
                let handler: Handler = Arc::new(move |call: Call| {
                    let kinesis = kinesis.clone();
                    Box::pin(async move { $module::handle(&kinesis, &call).await })
                });
                table.insert(concat!("Kinesis_20131202.", $name), handler);
            })*
            table
        }
    };
}

table! {
    "CreateStream" => create_stream,
    "DeleteStream" => delete_stream,
    "DescribeStream" => describe_stream,
    "DescribeStreamSummary" => describe_stream_summary,
    "GetRecords" => get_records,
    "GetShardIterator" => get_shard_iterator,
    "ListShards" => list_shards,
    "ListStreams" => list_streams,
    "PutRecord" => put_record,
    "PutRecords" => put_records,
}
