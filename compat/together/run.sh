#!/usr/bin/env bash
# Old and new clients on one topic at the same time, transactions included: what each reads is compared by checksum.
. "$(dirname "$0")/../lib/common.sh"
SARAMA=$(sed -n 's/.*IBM\/sarama v//p' "$COMPAT/together/together-sarama/go.mod")
client together "kafka-clients 2.8.2, 3.9.2, 4.4.0; kafka-python $KAFKA_PYTHON_OLD, $KAFKA_PYTHON; librdkafka of confluent-kafka $CONFLUENT_KAFKA; sarama $SARAMA"
need maven client-2.8; JAVA28=$JARS
need maven java-3.9; JAVA39=$JARS
need maven client-4; JAVA4=$JARS
need venv kafka-python-2.0 "kafka-python==$KAFKA_PYTHON_OLD" $PYTHON_CODECS; PYTHON20=$PYTHON
need venv kafka-python "kafka-python==$KAFKA_PYTHON" $PYTHON_CODECS; PYTHON3=$PYTHON
need venv confluent-kafka "confluent-kafka==$CONFLUENT_KAFKA"
need go_program "$COMPAT/together/together-sarama"
need debian javac default-jdk-headless
need javac -nowarn -proc:none -d "$WORK/classes" -cp "$JAVA28/*" "$COMPAT/together/Together.java"
broker
mkdir "$WORK/out"
result_lines timeout 300 env PYTHONPATH="$COMPAT/lib" "$PYTHON" "$COMPAT/together/together.py" "$KAFKA" "$WORK/out" \
    "$WORK/classes" "$JAVA28/*" "$JAVA39/*" "$JAVA4/*:$JAVA28/slf4j-nop-1.7.36.jar" "$PYTHON20" "$PYTHON3" "$GO_PROGRAM"
finish
