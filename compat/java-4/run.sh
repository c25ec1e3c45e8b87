#!/usr/bin/env bash
# Kafka's own command-line tools, newest release in the registry (4.3.1), over the newest Java client (4.4.0).
. "$(dirname "$0")/../lib/common.sh"
client java-4 'tools 4.3.1, kafka-clients 4.4.0'
need maven java-4
TOOLS=$JARS
need maven client-4
CLASS_PATH="$JARS/*:$TOOLS/*"
CONSOLE_PRODUCER=org.apache.kafka.tools.ConsoleProducer
# DumpLogSegments calls inner classes of the client that 4.4.0 no longer has: it runs over its own client.
DUMP_LOG=org.apache.kafka.tools.DumpLogSegments DUMP_CLASS_PATH="$TOOLS/*"
CONSUMER_PROTOCOL=(--command-property group.protocol=consumer)
READER=--reader-property FORMATTER=--formatter-property
. "$COMPAT/lib/java_tools.sh"
