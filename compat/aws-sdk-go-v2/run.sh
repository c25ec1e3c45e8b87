#!/usr/bin/env bash
# aws-sdk-go-v2 against the Kinesis face.
. "$(dirname "$0")/../lib/common.sh"
client aws-sdk-go-v2 "$(sed -n 's/.*service\/kinesis v/kinesis /p' "$COMPAT/aws-sdk-go-v2/go.mod" | head -n 1)"
need go_program "$COMPAT/aws-sdk-go-v2"
broker
limited_broker
result_lines timeout 300 "$GO_PROGRAM" "$KINESIS" "$LIMITED"
finish
