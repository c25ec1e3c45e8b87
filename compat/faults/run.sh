#!/usr/bin/env bash
# The real server on a real disk that is full, fails to sync, is taken, is too new, or has lost a bit. Needs root, for a
# small tmpfs and for strace; a step that cannot have them says so and is skipped.
#
#   compat/faults/run.sh [STEP...]    only these steps
. "$(dirname "$0")/../lib/common.sh"
client faults "$(git -C "$ROOT" rev-parse --short HEAD 2>/dev/null || echo unknown)"
debian strace strace || note 'strace is not there'
need venv confluent-kafka "confluent-kafka==$CONFLUENT_KAFKA"
result_lines timeout 400 env PYTHONPATH="$COMPAT/lib" "$PYTHON" "$COMPAT/faults/faults.py" "$WORK" "$@"
finish
