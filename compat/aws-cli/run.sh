#!/usr/bin/env bash
# AWS CLI (v1, from PyPI) against the Kinesis face.
. "$(dirname "$0")/../lib/common.sh"
client aws-cli "$AWSCLI"
need venv aws-cli "awscli==$AWSCLI"
broker
limited_broker
STREAM=cli-$RANDOM$RANDOM
SHARD=shardId-000000000000

aws() { timeout 60 "$VENV/bin/aws" --endpoint-url "$KINESIS" kinesis "$@"; }
has() { grep -Eq -- "$2" <<<"$1" || { echo "no match for: $2"; echo "$1"; return 1; }; }
# records TYPE ARGUMENT...: the data of everything since an iterator of this kind, decoded, one a line.
records() {
    local iterator
    iterator=$(aws get-shard-iterator --stream-name "$STREAM" --shard-id $SHARD --shard-iterator-type "$@" \
        --query ShardIterator --output text) || return
    aws get-records --shard-iterator "$iterator" --query 'Records[].Data' --output text | tr '\t' '\n' |
        while read -r data; do [ "$data" = None ] || { base64 -d <<<"$data"; echo; }; done
}

create() {
    aws create-stream --stream-name "$STREAM" --shard-count 1 && aws wait stream-exists --stream-name "$STREAM" &&
        has "$(aws create-stream --stream-name "$STREAM" --shard-count 1 2>&1)" ResourceInUseException
}
describe() {
    has "$(aws describe-stream --stream-name "$STREAM")" '"StreamStatus": "ACTIVE"' &&
        has "$(aws describe-stream-summary --stream-name "$STREAM")" '"OpenShardCount": 1' &&
        has "$(aws list-streams)" "\"$STREAM\"" && has "$(aws list-shards --stream-name "$STREAM")" "\"$SHARD\""
}
put() {
    local number
    for number in 1 2 3; do
        NUMBER=$(aws put-record --stream-name "$STREAM" --partition-key "key-$number" --data "one-$number" \
            --query SequenceNumber --output text) || return
    done
}
batch_put() {
    python3 -c 'import json; print(json.dumps([{"PartitionKey": f"key-{n}", "Data": f"many-{n}"} for n in range(100)]))' \
        >"$WORK/records.json"
    [ "$(aws put-records --stream-name "$STREAM" --records "file://$WORK/records.json" --query FailedRecordCount)" = 0 ]
}
# AWS takes 1 MB/s for each shard, and so does the server with limits; one without takes all of it and nothing fails.
batch_put_partial_failure() {
    local try text KINESIS=$LIMITED
    python3 -c 'import json; print(json.dumps([{"PartitionKey": "k", "Data": "x" * 8000} for _ in range(500)]))' >"$WORK/big.json"
    aws create-stream --stream-name "$STREAM-limits" --shard-count 1
    aws wait stream-exists --stream-name "$STREAM-limits"
    for try in 1 2 3; do
        text=$(aws put-records --stream-name "$STREAM-limits" --records "file://$WORK/big.json")
        if ! grep -q '"FailedRecordCount": 0' <<<"$text"; then
            check batch-put-partial-failure has "$text" '"ErrorCode": "ProvisionedThroughputExceededException"'
            return
        fi
    done
    skip batch-put-partial-failure 'the server takes everything: it enforces no throughput limit, so no record of a batch fails'
}
trim_horizon() { [ "$(records TRIM_HORIZON)" = "$(printf 'one-%d\n' 1 2 3; seq 0 99 | sed 's/^/many-/')" ]; }
at_sequence_number() { [ "$(records AT_SEQUENCE_NUMBER --starting-sequence-number "$NUMBER" | head -n 1)" = one-3 ]; }
after_sequence_number() { [ "$(records AFTER_SEQUENCE_NUMBER --starting-sequence-number "$NUMBER" | head -n 1)" = many-0 ]; }
at_timestamp() {
    local border
    sleep 1.1; border=$(date +%s.%3N)
    aws put-record --stream-name "$STREAM" --partition-key k --data later || return
    [ "$(records AT_TIMESTAMP --timestamp "$border")" = later ]
}
latest() {
    local iterator
    iterator=$(aws get-shard-iterator --stream-name "$STREAM" --shard-id $SHARD --shard-iterator-type LATEST \
        --query ShardIterator --output text) || return
    aws put-record --stream-name "$STREAM" --partition-key k --data new || return
    [ "$(aws get-records --shard-iterator "$iterator" --query 'Records[].Data' --output text | base64 -d)" = new ]
}
delete() { aws delete-stream --stream-name "$STREAM" && aws wait stream-not-exists --stream-name "$STREAM"; }

check create create
check describe describe
check put put
check batch-put batch_put
check iterate-TRIM_HORIZON trim_horizon
check iterate-AT_SEQUENCE_NUMBER at_sequence_number
check iterate-AFTER_SEQUENCE_NUMBER after_sequence_number
check iterate-AT_TIMESTAMP at_timestamp
check iterate-LATEST latest
batch_put_partial_failure
check delete delete
finish
