#!/usr/bin/env bash
# sarama (its own protocol code in Go) against the Kafka face, as every version of Kafka it can pretend to talk to.
. "$(dirname "$0")/../lib/common.sh"
client sarama "$(sed -n 's/.*IBM\/sarama v//p' "$COMPAT/sarama/go.mod")"
need go_program "$COMPAT/sarama"
broker
result_lines timeout 500 "$GO_PROGRAM" "$KAFKA"
finish
