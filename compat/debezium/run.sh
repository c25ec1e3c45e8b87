#!/usr/bin/env bash
# Debezium's history of schemas and the offsets of its embedded engine, both kept in topics.
. "$(dirname "$0")/../lib/common.sh"
. "$COMPAT/lib/jvm.sh"
client debezium 'debezium 3.6.1, connect 4.3.1'
need maven debezium
need compile "$JARS/*" "$COMPAT/debezium/App.java"
broker
LIMIT=300 result_lines jvm App "$WORK"
finish
