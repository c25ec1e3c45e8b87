//! Which stream a request is about: by StreamName, by StreamARN, or by both. Pure.
//!
//! All accounts and regions see the same streams: account and region only decide how ARNs and sentences are written. An
//! ARN's own account and region win over the signature's. A StreamId is never answered and never read.

use crate::aws::door::Caller;
use crate::aws::error::Failure;
use crate::aws::json::{Args, Kind, Member, Rule};
use crate::engine::catalog::{self, Catalog, Stream};
use crate::ids::Timestamp;
use crate::kinesis::error;
use crate::kinesis::validate::{arn_parts, is_name, is_stream_arn};
use std::sync::Arc;

pub const NAME_PATTERN: &str = "[a-zA-Z0-9_.-]+";

/// StreamName where it may be left out.
pub const STREAM_NAME: Member = Member {
    name: "StreamName",
    kind: Kind::Text,
    rules: &[Rule::Pattern(NAME_PATTERN, is_name), Rule::MinLength(1), Rule::MaxLength(128)],
};

pub const STREAM_ARN: Member = Member {
    name: "StreamARN",
    kind: Kind::Text,
    rules: &[
        Rule::Pattern("arn:aws.*:kinesis:.*:\\d{12}:stream/\\S+", is_stream_arn),
        Rule::MinLength(1),
        Rule::MaxLength(2048),
    ],
};

pub const SHARD_ID_RULES: &[Rule] = &[Rule::Pattern(NAME_PATTERN, is_name), Rule::MinLength(1), Rule::MaxLength(128)];

/// A stream as a request names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub name: String,
    pub account: String,
    pub region: String,
}

/// Where a stream is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Creating,
    Active,
}

impl State {
    pub fn of(stream: &Stream, now: Timestamp) -> State {
        if now < stream.active_from { State::Creating } else { State::Active }
    }

    pub fn name(self) -> &'static str {
        match self {
            State::Creating => "CREATING",
            State::Active => "ACTIVE",
        }
    }
}

impl Target {
    /// The stream a request names, which need not exist.
    pub fn of(args: &Args<'_>, caller: &Caller) -> Result<Target, Failure> {
        match (args.text("StreamName"), args.text("StreamARN")) {
            (name, Some(arn)) => {
                let target = Target::of_arn(arn).ok_or_else(|| error::argument(format!("Invalid StreamARN {arn}.")))?;
                match name {
                    Some(name) if name != target.name => Err(error::argument(format!(
                        "StreamName {name} and StreamARN {arn} do not name the same stream."
                    ))),
                    _ => Ok(target),
                }
            }
            (Some(name), None) => Ok(Target::named(name, caller)),
            (None, None) => Err(error::argument("Either StreamName or StreamARN should be provided.")),
        }
    }

    pub fn named(name: &str, caller: &Caller) -> Target {
        Target { name: name.to_string(), account: caller.account.clone(), region: caller.region.clone() }
    }

    pub fn of_arn(arn: &str) -> Option<Target> {
        let (region, account, name) = arn_parts(arn)?;
        Some(Target { name: name.to_string(), account: account.to_string(), region: region.to_string() })
    }

    pub fn arn(&self) -> String {
        arn(&self.region, &self.account, &self.name)
    }

    /// The stream, in whatever state. Streams of our own are nobody's to see.
    pub fn find<'c>(&self, catalog: &'c Catalog) -> Result<&'c Arc<Stream>, Failure> {
        let found = catalog.stream(&self.name).filter(|stream| stream.kind == catalog::Kind::Client);
        found.ok_or_else(|| error::stream_missing(self))
    }

    /// The stream, if it takes and gives records.
    pub fn find_active<'c>(&self, catalog: &'c Catalog, now: Timestamp) -> Result<&'c Arc<Stream>, Failure> {
        let stream = self.find(catalog)?;
        match State::of(stream, now) {
            State::Active => Ok(stream),
            State::Creating => Err(error::stream_missing(self)),
        }
    }
}

/// `arn:aws:kinesis:REGION:ACCOUNT:stream/NAME`, in the part of AWS the region belongs to.
pub fn arn(region: &str, account: &str, name: &str) -> String {
    let part = if region.starts_with("cn-") {
        "aws-cn"
    } else if region.starts_with("us-gov-") {
        "aws-us-gov"
    } else {
        "aws"
    };
    format!("arn:{part}:kinesis:{region}:{account}:stream/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: &[Member] = &[STREAM_NAME, STREAM_ARN];

    fn caller() -> Caller {
        Caller { account: "111122223333".into(), region: "eu-west-1".into() }
    }

    #[test]
    fn a_stream_is_named_by_name_by_arn_or_by_both() {
        let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/a";
        let cases = [
            (r#"{"StreamName":"a"}"#.to_string(), Some(("a", "111122223333", "eu-west-1"))),
            (format!(r#"{{"StreamARN":"{arn}"}}"#), Some(("a", "000000000000", "us-east-1"))),
            (format!(r#"{{"StreamName":"a","StreamARN":"{arn}"}}"#), Some(("a", "000000000000", "us-east-1"))),
            (format!(r#"{{"StreamName":"b","StreamARN":"{arn}"}}"#), None),
            ("{}".to_string(), None),
        ];
        for (body, expected) in cases {
            let args = Args::read(body.as_bytes(), SHAPE).unwrap();
            match (Target::of(&args, &caller()), expected) {
                (Ok(target), Some((name, account, region))) => {
                    assert_eq!((target.name.as_str(), target.account.as_str()), (name, account), "{body}");
                    assert_eq!(target.region, region, "{body}");
                }
                (Err(failure), None) => assert_eq!(failure.kind, "InvalidArgumentException", "{body}"),
                (got, _) => panic!("{body}: {got:?}"),
            }
        }
    }

    #[test]
    fn an_arn_is_of_the_region_s_part_of_aws() {
        let cases = [("eu-west-1", "arn:aws:"), ("cn-north-1", "arn:aws-cn:"), ("us-gov-west-1", "arn:aws-us-gov:")];
        for (region, start) in cases {
            let text = arn(region, "000000000000", "s");
            assert!(text.starts_with(start), "{text}");
            assert_eq!(Target::of_arn(&text).map(|target| target.arn()), Some(text));
        }
    }
}
