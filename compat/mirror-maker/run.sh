#!/usr/bin/env bash
# MirrorMaker 2 between this server and Apache Kafka 4.4, both directions at once, exactly once under `kill -9`.
. "$(dirname "$0")/../lib/common.sh"
client mirror-maker "connect-mirror 4.3.1, Kafka 4.4.0 on the other side"
need maven connect-4
need maven kafka-4.4
need venv confluent-kafka "confluent-kafka==$CONFLUENT_KAFKA"
export KAFKA_HEAP=${KAFKA_HEAP:-512m}
result_lines timeout 1500 env PYTHONPATH="$COMPAT/lib" "$PYTHON" "$COMPAT/mirror-maker/drive.py" "$WORK" "${KILLS:-6}"
finish
