#!/usr/bin/env bash
# kafkajs (its own protocol code in JavaScript) against the Kafka face.
. "$(dirname "$0")/../lib/common.sh"
client kafkajs "$(sed -n 's/.*"kafkajs": "\(.*\)".*/\1/p' "$COMPAT/kafkajs/package.json")"
need npm_modules "$COMPAT/kafkajs"
broker
result_lines timeout 300 node "$NODE_DIR/behaviours.mjs" "$KAFKA"
finish
