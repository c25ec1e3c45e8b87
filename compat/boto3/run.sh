#!/usr/bin/env bash
# boto3 (the AWS SDK for Python) against the Kinesis face.
. "$(dirname "$0")/../lib/common.sh"
client boto3 "$BOTO3"
need venv boto3 "boto3==$BOTO3"
broker
limited_broker
result_lines timeout 300 env PYTHONPATH="$COMPAT/lib" "$PYTHON" "$COMPAT/boto3/behaviours.py" "$KINESIS" "$LIMITED"
finish
