#!/usr/bin/env bash
# Kafka's own command-line tools of the 3.9 line: the floor of what we serve.
. "$(dirname "$0")/../lib/common.sh"
client java-3.9 'tools and kafka-clients 3.9.2'
need maven java-3.9
CLASS_PATH="$JARS/*"
CONSOLE_PRODUCER=kafka.tools.ConsoleProducer
DUMP_LOG=kafka.tools.DumpLogSegments DUMP_CLASS_PATH=$CLASS_PATH
READER=--property FORMATTER=--property
. "$COMPAT/lib/java_tools.sh"
