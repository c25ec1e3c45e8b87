#!/usr/bin/env bash
# franz-go (Go) against the Kafka face.
. "$(dirname "$0")/../lib/common.sh"
client franz-go "$(sed -n 's/.*twmb\/franz-go v//p' "$COMPAT/franz-go/go.mod" | head -n 1)"
need go_program "$COMPAT/franz-go"
broker
result_lines timeout 300 "$GO_PROGRAM" "$KAFKA"
finish
