#!/usr/bin/env bash
# confluent-kafka-python (librdkafka) against the Kafka face.
. "$(dirname "$0")/../lib/common.sh"
client confluent-kafka-python "$CONFLUENT_KAFKA"
need venv confluent-kafka "confluent-kafka==$CONFLUENT_KAFKA"
broker
result_lines timeout 300 env PYTHONPATH="$COMPAT/lib" "$PYTHON" "$COMPAT/confluent-kafka-python/behaviours.py" "$KAFKA"
finish
