#!/usr/bin/env bash
# Compaction beside Apache Kafka 4.4: the same batches are written to both, one after the other, both compact them, and what
# is left is compared: byte for byte where nothing depends on the moment of compaction, record for record everywhere.
. "$(dirname "$0")/../lib/common.sh"
client compaction 4.4.0
need venv confluent-kafka "confluent-kafka==$CONFLUENT_KAFKA"
maven kafka-4.4 >/dev/null
result_lines timeout 400 env PYTHONPATH="$COMPAT/lib" KAFKA_HEAP=512m "$PYTHON" "$COMPAT/compaction/compaction.py" "$WORK"
finish
