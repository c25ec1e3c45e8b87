"""What boto3 must be able to do with the Kinesis face: one step for each behaviour."""

import datetime
import sys
import time
import uuid

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from steps import Skip, done, equal, step, within

ENDPOINT = sys.argv[1]
STREAM = f"boto3-{uuid.uuid4().hex[:8]}"
SHARDS = 3
kinesis = boto3.client("kinesis", endpoint_url=ENDPOINT, config=Config(retries={"max_attempts": 1}))
# The server that refuses what is over the limits of a shard, if there is one.
limited = boto3.client("kinesis", endpoint_url=sys.argv[-1], config=Config(retries={"max_attempts": 1}))
put = []  # (shard, sequence number, key, data) of everything put, in order


def refused(code, call, **arguments):
    """The call must fail with this error code; returns the message."""
    try:
        call(**arguments)
    except ClientError as error:
        equal(error.response["Error"]["Code"], code, "error code")
        return error.response["Error"]["Message"]
    raise AssertionError(f"accepted, but {code} was expected")


def records(shard, kind, limit=10_000, **arguments):
    """Everything from an iterator of this kind to the tip."""
    iterator = kinesis.get_shard_iterator(StreamName=STREAM, ShardId=shard, ShardIteratorType=kind, **arguments)
    position, got = iterator["ShardIterator"], []
    while True:
        page = kinesis.get_records(ShardIterator=position, Limit=limit)
        got.extend(page["Records"])
        position = page["NextShardIterator"]
        if not page["Records"] and page["MillisBehindLatest"] == 0:
            return got


def in_shard(shard):
    return [entry for entry in put if entry[0] == shard]


def create():
    kinesis.create_stream(StreamName=STREAM, ShardCount=SHARDS)
    kinesis.get_waiter("stream_exists").wait(StreamName=STREAM, WaiterConfig={"Delay": 1, "MaxAttempts": 20})
    message = refused("ResourceInUseException", kinesis.create_stream, StreamName=STREAM, ShardCount=SHARDS)
    assert STREAM in message, message


def describe():
    stream = kinesis.describe_stream(StreamName=STREAM)["StreamDescription"]
    equal(stream["StreamStatus"], "ACTIVE", "status")
    equal([shard["ShardId"] for shard in stream["Shards"]], [f"shardId-{n:012}" for n in range(SHARDS)], "shards")
    low = [int(shard["HashKeyRange"]["StartingHashKey"]) for shard in stream["Shards"]]
    high = [int(shard["HashKeyRange"]["EndingHashKey"]) for shard in stream["Shards"]]
    equal((low[0], high[-1]), (0, 2**128 - 1), "ends of the key space")
    equal(low[1:], [end + 1 for end in high[:-1]], "ranges meet")
    summary = kinesis.describe_stream_summary(StreamName=STREAM)["StreamDescriptionSummary"]
    equal((summary["OpenShardCount"], summary["RetentionPeriodHours"]), (SHARDS, 24), "summary")
    equal(stream["StreamARN"], summary["StreamARN"], "ARN")


def list_streams():
    names, arguments = [], {"Limit": 1}
    while True:
        page = kinesis.list_streams(**arguments)
        names += page["StreamNames"]
        if not page["HasMoreStreams"]:
            break
        arguments["ExclusiveStartStreamName"] = names[-1]
    assert STREAM in names, names


def list_shards():
    shards = kinesis.list_shards(StreamName=STREAM, MaxResults=2)
    equal(len(shards["Shards"]), 2, "first page")
    rest = kinesis.list_shards(NextToken=shards["NextToken"])
    equal(len(shards["Shards"]) + len(rest["Shards"]), SHARDS, "shards")
    refused("InvalidArgumentException", kinesis.list_shards, StreamName=STREAM, NextToken=shards["NextToken"])


def put_record():
    for number in range(30):
        key, data = f"key-{number}", f"one-{number}".encode()
        answer = kinesis.put_record(StreamName=STREAM, PartitionKey=key, Data=data)
        put.append((answer["ShardId"], answer["SequenceNumber"], key, data))
    numbers = [int(number) for shard, number, _, _ in put if shard == put[0][0]]
    equal(numbers, sorted(numbers), "sequence numbers rise")


def put_record_ordering():
    shard, number = put[-1][0], put[-1][1]
    answer = kinesis.put_record(
        StreamName=STREAM, PartitionKey=put[-1][2], Data=b"ordered", SequenceNumberForOrdering=number
    )
    equal(answer["ShardId"], shard, "shard")
    assert int(answer["SequenceNumber"]) > int(number), "not after the number it was ordered by"
    put.append((shard, answer["SequenceNumber"], put[-1][2], b"ordered"))


def explicit_hash_key():
    stream = kinesis.describe_stream(StreamName=STREAM)["StreamDescription"]
    for shard in stream["Shards"]:
        for edge in ("StartingHashKey", "EndingHashKey"):
            answer = kinesis.put_record(
                StreamName=STREAM, PartitionKey="k", Data=b"edge", ExplicitHashKey=shard["HashKeyRange"][edge]
            )
            equal(answer["ShardId"], shard["ShardId"], f"shard of its {edge}")
            put.append((answer["ShardId"], answer["SequenceNumber"], "k", b"edge"))


def put_records():
    entries = [{"PartitionKey": f"key-{n % 50}", "Data": f"many-{n}".encode() * (n % 20 + 1)} for n in range(500)]
    answer = kinesis.put_records(StreamName=STREAM, Records=entries)
    equal(answer["FailedRecordCount"], 0, "failed records")
    equal(len(answer["Records"]), 500, "results")
    for entry, result in zip(entries, answer["Records"]):
        put.append((result["ShardId"], result["SequenceNumber"], entry["PartitionKey"], entry["Data"]))


def put_records_partial_failure():
    """AWS takes 1 MB/s for each shard: most of ten quick calls of 4 MB must fail, the rest must be stored."""
    name = f"{STREAM}-limits"
    limited.create_stream(StreamName=name, ShardCount=1)
    limited.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 20})
    try:
        entries = [{"PartitionKey": "k", "Data": bytes(8000)} for _ in range(500)]
        stored = 0
        for _ in range(10):
            answer = limited.put_records(StreamName=name, Records=entries)
            failed = [result for result in answer["Records"] if "ErrorCode" in result]
            equal(answer["FailedRecordCount"], len(failed), "FailedRecordCount")
            for result in failed:
                assert result["ErrorCode"] in ("ProvisionedThroughputExceededException", "InternalFailure"), result
                assert result["ErrorMessage"] and "SequenceNumber" not in result, result
            stored += len(entries) - len(failed)
            if failed:
                shard = answer["Records"][0].get("ShardId", "shardId-000000000000")
                start = limited.get_shard_iterator(StreamName=name, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
                position, count = start["ShardIterator"], 0
                while True:
                    page = limited.get_records(ShardIterator=position)
                    count, position = count + len(page["Records"]), page["NextShardIterator"]
                    if not page["Records"] and page["MillisBehindLatest"] == 0:
                        break
                equal(count, stored, "records stored beside the failed ones")
                return
    finally:
        limited.delete_stream(StreamName=name)
    raise Skip("the server takes everything: it enforces no throughput limit, so no record of a batch fails")


def bad_calls():
    refused("ResourceNotFoundException", kinesis.put_record, StreamName="nothing-here", PartitionKey="k", Data=b"")
    message = refused("ValidationException", kinesis.put_record, StreamName=STREAM, PartitionKey="k" * 257, Data=b"")
    assert "1 validation error detected" in message and "partitionKey" in message, message
    refused("ValidationException", kinesis.get_records, ShardIterator="x", Limit=10_001)
    refused(
        "InvalidArgumentException",
        kinesis.put_record,
        StreamName=STREAM,
        PartitionKey="k",
        Data=b"",
        ExplicitHashKey=str(2**128),
    )
    refused("InvalidArgumentException", kinesis.get_records, ShardIterator="garbage")


def trim_horizon():
    total = 0
    for shard in sorted({entry[0] for entry in put}):
        expected = [(number, key, data) for _, number, key, data in in_shard(shard)]
        got = [(r["SequenceNumber"], r["PartitionKey"], r["Data"]) for r in records(shard, "TRIM_HORIZON", limit=100)]
        equal(len(got), len(expected), f"records of {shard}")
        equal(got, expected, f"records of {shard} in order")
        total += len(got)
    equal(total, len(put), "records")


def at_and_after():
    shard, number = in_shard(put[0][0])[5][:2]
    at = records(shard, "AT_SEQUENCE_NUMBER", StartingSequenceNumber=number)
    equal(at[0]["SequenceNumber"], number, "first record AT")
    after = records(shard, "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=number)
    equal(after[0]["SequenceNumber"], in_shard(shard)[6][1], "first record AFTER")
    equal(len(at), len(after) + 1, "AT has one more")


def at_timestamp():
    shard = put[0][0]
    time.sleep(1.1)  # SDKs send milliseconds, some servers keep seconds
    border = datetime.datetime.now(datetime.timezone.utc)
    time.sleep(0.01)
    answer = kinesis.put_record(StreamName=STREAM, PartitionKey=put[0][2], Data=b"later")
    put.append((answer["ShardId"], answer["SequenceNumber"], put[0][2], b"later"))
    got = records(shard, "AT_TIMESTAMP", Timestamp=border)
    equal([record["Data"] for record in got], [b"later"], "records since the time")
    arrived = got[0]["ApproximateArrivalTimestamp"]
    now = datetime.datetime.now(datetime.timezone.utc)
    assert border - datetime.timedelta(milliseconds=1) <= arrived <= now, f"arrival {arrived}"
    long_ago = border - datetime.timedelta(days=2)
    equal(len(records(shard, "AT_TIMESTAMP", Timestamp=long_ago)), len(in_shard(shard)), "records since long ago")


def latest():
    shard, key = put[0][0], put[0][2]
    start = kinesis.get_shard_iterator(StreamName=STREAM, ShardId=shard, ShardIteratorType="LATEST")["ShardIterator"]
    answer = kinesis.put_record(StreamName=STREAM, PartitionKey=key, Data=b"after latest")
    put.append((shard, answer["SequenceNumber"], key, b"after latest"))
    page = kinesis.get_records(ShardIterator=start)
    equal([record["Data"] for record in page["Records"]], [b"after latest"], "records since LATEST")


def millis_behind():
    shard = put[0][0]
    iterator = kinesis.get_shard_iterator(StreamName=STREAM, ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    page = kinesis.get_records(ShardIterator=iterator["ShardIterator"], Limit=1)
    assert page["MillisBehindLatest"] > 0, "at the first of many records: behind by more than nothing"


def delete():
    kinesis.delete_stream(StreamName=STREAM)

    def gone():
        try:
            kinesis.describe_stream_summary(StreamName=STREAM)
        except kinesis.exceptions.ResourceNotFoundException:
            return True

    within(20, gone, "the stream is gone")


step("create", create)
step("describe", describe)
step("list-streams", list_streams)
step("list-shards", list_shards)
step("put", put_record)
step("put-ordered", put_record_ordering)
step("explicit-hash-key", explicit_hash_key)
step("batch-put", put_records)
step("batch-put-partial-failure", put_records_partial_failure)
step("errors", bad_calls)
step("iterate-TRIM_HORIZON", trim_horizon)
step("iterate-AT-and-AFTER_SEQUENCE_NUMBER", at_and_after)
step("iterate-AT_TIMESTAMP", at_timestamp)
step("iterate-LATEST", latest)
step("millis-behind", millis_behind)
step("delete", delete)
done()
