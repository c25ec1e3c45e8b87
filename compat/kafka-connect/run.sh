#!/usr/bin/env bash
# Kafka Connect, distributed: its three topics, file source and sink, an exactly-once source under `kill -9` of the worker
# and of the broker, offsets over REST, a dead letter queue, two workers.
#
#   KILLS=20 compat/kafka-connect/run.sh    kills of the exactly-once source (default 6, worker and broker in turn)
. "$(dirname "$0")/../lib/common.sh"
client kafka-connect "connect-runtime 4.3.1, read by confluent-kafka $CONFLUENT_KAFKA"
need maven connect-4
need venv confluent-kafka "confluent-kafka==$CONFLUENT_KAFKA"
result_lines timeout 1500 env PYTHONPATH="$COMPAT/lib" "$PYTHON" "$COMPAT/kafka-connect/drive.py" "$WORK" "${KILLS:-6}"
finish
