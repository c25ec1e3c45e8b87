//! DeleteStream: the stream and all its records are gone when this is answered. Never waits for readers.

use bytes::Bytes;

use crate::aws::door::{Answer, Call};
use crate::aws::json::{Args, Kind, Member};
use crate::engine::Change;
use crate::kinesis::target::{STREAM_ARN, STREAM_NAME, Target};
use crate::kinesis::{Kinesis, error, validate};

const SHAPE: &[Member] =
    &[STREAM_NAME, STREAM_ARN, Member { name: "EnforceConsumerDeletion", kind: Kind::Boolean, rules: &[] }];

pub async fn handle(kinesis: &Kinesis, call: &Call) -> Answer {
    let args = Args::read(&call.body.bytes, SHAPE)?;
    validate::check(&args)?;
    let target = Target::of(&args, &call.caller)?;
    let catalog = kinesis.engine.catalog();
    let id = target.find(&catalog)?.id;
    match kinesis.engine.change(vec![Change::Delete { id }]).await.pop() {
        Some(Ok(_)) => Ok(Bytes::new()),
        Some(Err(refused)) => Err(error::engine(&refused, &target)),
        None => unreachable!("every change has its answer"),
    }
}
