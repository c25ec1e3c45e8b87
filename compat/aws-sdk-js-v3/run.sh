#!/usr/bin/env bash
# AWS SDK for JavaScript v3 (HTTP/2 without TLS, a session for each request) against the Kinesis face.
. "$(dirname "$0")/../lib/common.sh"
client aws-sdk-js-v3 "$(sed -n 's/.*client-kinesis": "\(.*\)".*/client-kinesis \1/p' "$COMPAT/aws-sdk-js-v3/package.json")"
need npm_modules "$COMPAT/aws-sdk-js-v3"
broker
limited_broker
result_lines timeout 300 node "$NODE_DIR/behaviours.mjs" "$KINESIS" "$LIMITED"
finish
