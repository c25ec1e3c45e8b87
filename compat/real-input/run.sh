#!/usr/bin/env bash
# Debian's package index in through one face and out through the other, in both directions, under kill -9.
#
#   compat/real-input/run.sh [KILLS [SEED]]    KILLS for each direction (default 20)
#
# The record key is the package's name, the value its stanza. What came out must equal what went in, key by key and in
# order. The seed decides when the broker is killed and is printed: give it to try the same moments again.
. "$(dirname "$0")/../lib/common.sh"
client real-input "confluent-kafka $CONFLUENT_KAFKA, boto3 $BOTO3"
need venv real-input "confluent-kafka==$CONFLUENT_KAFKA" "boto3==$BOTO3"
if [ "$(apt-cache dumpavail | head -c 100 | wc -c)" -lt 100 ]; then need apt-get update -qq; fi
result_lines timeout 1500 env PYTHONPATH="$COMPAT/lib" "$PYTHON" "$COMPAT/real-input/transfer.py" \
    "$WORK/broker" "${1:-20}" "${2:-$RANDOM$RANDOM}"
finish
