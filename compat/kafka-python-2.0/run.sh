#!/usr/bin/env bash
# kafka-python 2.0.2 (of 2020, and still what Debian ships) against the Kafka face; the steps are kafka-python's.
. "$(dirname "$0")/../lib/common.sh"
client kafka-python-2.0 "$KAFKA_PYTHON_OLD"
need venv kafka-python-2.0 "kafka-python==$KAFKA_PYTHON_OLD" $PYTHON_CODECS
broker
result_lines timeout 300 env PYTHONPATH="$COMPAT/lib" "$PYTHON" "$COMPAT/kafka-python/behaviours.py" "$KAFKA"
finish
