//! DescribeStreamSummary: a stream without its shards. Never a StreamId, though the model has one.

use super::show;
use crate::aws::door::{Answer, Call};
use crate::aws::json::{Args, Member};
use crate::aws::write::Out;
use crate::kinesis::target::{STREAM_ARN, STREAM_NAME, State, Target};
use crate::kinesis::{Kinesis, validate};

const SHAPE: &[Member] = &[STREAM_NAME, STREAM_ARN];

pub async fn handle(kinesis: &Kinesis, call: &Call) -> Answer {
    let args = Args::read(&call.body.bytes, SHAPE)?;
    validate::check(&args)?;
    let target = Target::of(&args, &call.caller)?;
    let now = kinesis.engine.clock().now();
    let catalog = kinesis.engine.catalog();
    let stream = target.find(&catalog)?;
    let open = match State::of(stream, now) {
        State::Creating => 0,
        State::Active => stream.shards.iter().filter(|shard| shard.end.is_none()).count(),
    };
    let mut out = Out::default();
    out.begin();
    out.begin_in("StreamDescriptionSummary");
    show::stream(&mut out, kinesis, stream, &target, now);
    out.integer("OpenShardCount", open as i64);
    out.integer("ConsumerCount", 0);
    out.integer("MaxRecordSizeInKiB", show::record_limit_kib(kinesis.settings(stream).max_message_bytes));
    out.end();
    out.end();
    Ok(out.finish().into())
}
