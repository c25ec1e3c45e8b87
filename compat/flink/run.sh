#!/usr/bin/env bash
# Flink's Kafka source and exactly-once sink in a cluster within one process: a failure inside, `kill -9` of the process
# and of the broker, restored from checkpoints each time.
. "$(dirname "$0")/../lib/common.sh"
. "$COMPAT/lib/jvm.sh"
client flink 'flink 2.2.1, flink-connector-kafka 5.0.0-2.2, kafka-clients 4.2.0'
need maven flink
need venv confluent-kafka "confluent-kafka==$CONFLUENT_KAFKA"
need compile "$JARS/*" "$COMPAT/flink/App.java"
result_lines timeout 900 env PYTHONPATH="$COMPAT/lib" CLASS_PATH="$CLASS_PATH" \
    "$PYTHON" "$COMPAT/flink/drive.py" "$WORK" "${KILLS:-4}"
finish
