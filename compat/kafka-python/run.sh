#!/usr/bin/env bash
# kafka-python, the newest release, against the Kafka face.
. "$(dirname "$0")/../lib/common.sh"
client kafka-python "$KAFKA_PYTHON"
need venv kafka-python "kafka-python==$KAFKA_PYTHON" $PYTHON_CODECS
broker
result_lines timeout 300 env PYTHONPATH="$COMPAT/lib" "$PYTHON" "$COMPAT/kafka-python/behaviours.py" "$KAFKA"
finish
