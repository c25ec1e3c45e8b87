//! AlterReplicaLogDirs (34): partitions are to move to other directories. There is one, so what is there already stays, and
//! every other directory is unknown.
//!
//! Serves v0–2: v2 flexible.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Answer, Api};
use crate::auth::Action;
use crate::kafka::access::CLUSTER;
use crate::kafka::cx::{self, Call, Cx};
use crate::kafka::error::Code;
use crate::kafka::wire::messages::alter_replica_log_dirs::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult, AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
};

pub struct AlterReplicaLogDirs;

impl Api for AlterReplicaLogDirs {
    type Request = AlterReplicaLogDirsRequest;
    type Response = AlterReplicaLogDirsResponse;

    async fn handle(
        cx: Arc<Cx>,
        call: Call,
        request: AlterReplicaLogDirsRequest,
    ) -> Answer<AlterReplicaLogDirsResponse> {
        let catalog = cx.engine.catalog();
        let may = cx.access(&call).check(Action::Alter, CLUSTER);
        let mut topics: BTreeMap<String, BTreeMap<i32, Code>> = BTreeMap::new();
        for dir in request.dirs {
            for topic in dir.topics {
                let stream = cx::topic(&catalog, &topic.name);
                let outcomes = topics.entry(topic.name).or_default();
                for partition in topic.partitions {
                    let here = stream.is_some_and(|s| u32::try_from(partition).is_ok_and(|n| s.log(n).is_some()));
                    let code = match here {
                        _ if may.is_err() => Code::ClusterAuthorizationFailed,
                        _ if dir.path != cx.options.log_dir => Code::LogDirNotFound,
                        false => Code::ReplicaNotAvailable,
                        true => Code::None,
                    };
                    // Named for two directories, it belongs to the last one.
                    outcomes.insert(partition, code);
                }
            }
        }
        let results = topics.into_iter().map(|(topic_name, outcomes)| AlterReplicaLogDirTopicResult {
            topic_name,
            partitions: outcomes
                .into_iter()
                .map(|(partition_index, code)| AlterReplicaLogDirPartitionResult {
                    partition_index,
                    error_code: code.wire(),
                })
                .collect(),
        });
        Answer::Now(AlterReplicaLogDirsResponse { results: results.collect(), ..Default::default() })
    }
}
