#!/usr/bin/env bash
# Beside real Kafka: the same scenarios against Apache Kafka 4.4 and against us, answers compared field by field.
# `allow.list` has the differences that are meant. KEEP=1 keeps both servers' answers and `details`, which has every
# difference and the texts of errors that differ. ORACLE_ANSWERS=DIR takes Kafka's answers from an earlier run there
# (and puts them there the first time). Needs a JDK of version 17 or newer, Maven, Python.
. "$(dirname "$0")/../lib/common.sh"
CLIENT=oracle
need maven kafka-4.4
client oracle 'Apache Kafka 4.4.0'
HERE=$COMPAT/oracle
python3 "$HERE/make.py" "$WORK" || fail make 'the scenarios could not be made'
javac -nowarn -d "$WORK/classes" -cp "$JARS/*" "$HERE/Runner.java" 2>"$WORK/javac.log" || { cat "$WORK/javac.log" >&2; fail runner 'does not compile'; finish; }

# What both are told: users for SASL where access is controlled, and no waiting for more members.
users() { python3 "$HERE/make.py" --users; }
arguments() {
    case $1-$2 in
        interfluve-plain) echo "--group-initial-rebalance-delay-ms 0" ;;
        kafka-4.4-plain) echo "" ;;
    esac
}

# ask BROKER KIND: starts the server, asks everything, stops it.
ask() {
    local home=$WORK/$1-$2 env=$WORK/$1-$2.env began=$SECONDS
    if [ "$1" = kafka-4.4 ] && [ -f "${ORACLE_ANSWERS:-/nonexistent}/$2.jsonl" ] && cat "$WORK/$2.jsonl" "$HERE/Runner.java" | cmp -s - "$ORACLE_ANSWERS/$2.asked"; then
        cp "$ORACLE_ANSWERS/$2.jsonl" "$WORK/$1-$2.jsonl"
        return
    fi
    if ! BROKER=$1 BROKER_ARGS=$(arguments "$1" "$2") python3 "$COMPAT/lib/broker.py" start "$home" >"$env"; then
        fail "start-$1" 'the server did not start'
        finish
    fi
    java -Xmx256m -cp "$WORK/classes:$JARS/*" Runner "$(sed -n 's/^KAFKA=//p' "$env")" "$WORK/$2.jsonl" "$WORK/$1-$2.jsonl" 4 2>"$WORK/runner.log" ||
        { tail "$WORK/runner.log" >&2; fail "runner-$1-$2" 'did not finish'; }
    python3 "$COMPAT/lib/broker.py" stop "$home"
    note "$1, $2: $((SECONDS - began)) s"
    if [ "$1" = kafka-4.4 ] && [ -n "${ORACLE_ANSWERS:-}" ]; then
        mkdir -p "$ORACLE_ANSWERS"
        cp "$WORK/$1-$2.jsonl" "$ORACLE_ANSWERS/$2.jsonl"
        cat "$WORK/$2.jsonl" "$HERE/Runner.java" >"$ORACLE_ANSWERS/$2.asked"
    fi
}

for kind in plain acl; do
    [ -f "$WORK/$kind.jsonl" ] || continue
    ask kafka-4.4 $kind
    ask interfluve $kind
    result_lines python3 "$HERE/diff.py" "$WORK/$kind.jsonl" "$WORK/kafka-4.4-$kind.jsonl" "$WORK/interfluve-$kind.jsonl" "$HERE/allow.list" "$WORK/details-$kind"
done
[ -z "${KEEP:-}" ] || note "answers and details: $WORK"
finish
