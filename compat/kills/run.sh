#!/usr/bin/env bash
# Groups and transactions while the broker is killed (kill -9) again and again, and a check of the whole history.
#
#   [KILLS=20] compat/kills/run.sh [SEED]
. "$(dirname "$0")/../lib/common.sh"
client kills "librdkafka of confluent-kafka $CONFLUENT_KAFKA, ${KILLS:=20} kills"
need venv confluent-kafka "confluent-kafka==$CONFLUENT_KAFKA"
result_lines timeout 400 env PYTHONPATH="$COMPAT/lib" "$PYTHON" "$COMPAT/kills/kills.py" "$WORK/home" "$KILLS" "${1:-$RANDOM}"
finish
