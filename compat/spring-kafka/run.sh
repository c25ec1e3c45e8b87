#!/usr/bin/env bash
# Spring for Apache Kafka: listeners, error handlers, dead letters, retry topics, transactions, request and reply.
. "$(dirname "$0")/../lib/common.sh"
. "$COMPAT/lib/jvm.sh"
client spring-kafka 'spring-kafka 4.1.2, kafka-clients 4.2.2'
need maven spring-kafka
need compile "$JARS/*" "$COMPAT/spring-kafka/App.java"
broker
HEAP=384m LIMIT=400 result_lines jvm App
finish
