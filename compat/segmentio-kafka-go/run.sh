#!/usr/bin/env bash
# segmentio/kafka-go (its own protocol code in Go) against the Kafka face.
. "$(dirname "$0")/../lib/common.sh"
client segmentio-kafka-go "$(sed -n 's/.*segmentio\/kafka-go v//p' "$COMPAT/segmentio-kafka-go/go.mod")"
need go_program "$COMPAT/segmentio-kafka-go"
broker
result_lines timeout 300 "$GO_PROGRAM" "$KAFKA"
finish
