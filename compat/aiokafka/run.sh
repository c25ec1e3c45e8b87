#!/usr/bin/env bash
# aiokafka (kafka-python's asyncio cousin, with transactions of its own) against the Kafka face.
. "$(dirname "$0")/../lib/common.sh"
client aiokafka "$AIOKAFKA"
need venv aiokafka "aiokafka==$AIOKAFKA" $PYTHON_CODECS cramjam
broker
result_lines timeout 300 env PYTHONPATH="$COMPAT/lib" "$PYTHON" "$COMPAT/aiokafka/behaviours.py" "$KAFKA"
finish
