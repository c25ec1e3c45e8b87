#!/usr/bin/env bash
# Beside real Kafka: the same scenarios against Apache Kafka 4.4 and against us, answers compared field by field.
# `allow.list` has the differences that are meant. KEEP=1 keeps both servers' answers and `details`, which has every
# difference and the texts of errors that differ. KINDS=plain or KINDS=acl runs one half. ORACLE_ANSWERS=DIR takes Kafka's answers from an earlier run there
# (and puts them there the first time). Needs a JDK of version 17 or newer, Maven, Python.
. "$(dirname "$0")/../lib/common.sh"
CLIENT=oracle
need maven kafka-4.4
client oracle 'Apache Kafka 4.4.0'
HERE=$COMPAT/oracle
python3 "$HERE/make.py" "$WORK" || fail make 'the scenarios could not be made'
javac -nowarn -d "$WORK/classes" -cp "$JARS/*" "$HERE/Runner.java" 2>"$WORK/javac.log" || { cat "$WORK/javac.log" >&2; fail runner 'does not compile'; finish; }

# What each is told; for `acl`, who there is, and that only `admin` may do everything. (A space in a value is written as
# Java's properties allow, because arguments are separated by spaces.)
arguments() {
    case $1-$2 in
        interfluve-plain) echo '--group-initial-rebalance-delay-ms 0' ;;
        interfluve-acl)
            sed 's/.*/&=&-secret/' "$WORK/users" >"$WORK/passwords"
            echo "--group-initial-rebalance-delay-ms 0 --listener-security-protocol-map :SASL_PLAINTEXT" \
                "--sasl-enabled-mechanisms PLAIN --sasl-users-file $WORK/passwords --super-users User:admin"
            ;;
        kafka-4.4-acl)
            local s='\u0020'
            echo "listener.security.protocol.map=PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT sasl.enabled.mechanisms=PLAIN" \
                'sasl.mechanism.inter.broker.protocol=PLAIN super.users=User:admin;User:ANONYMOUS' \
                'authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer' \
                "listener.name.plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule${s}required$(
                    printf '%susername="admin"%spassword="admin-secret"' "$s" "$s"
                    sed "s/.*/\\\\u0020user_&=\"&-secret\"/" "$WORK/users" | tr -d '\n'
                );"
            ;;
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

for kind in ${KINDS:-plain acl}; do
    [ -f "$WORK/$kind.jsonl" ] || continue
    ask kafka-4.4 $kind
    ask interfluve $kind
    result_lines python3 "$HERE/diff.py" "$WORK/$kind.jsonl" "$WORK/kafka-4.4-$kind.jsonl" "$WORK/interfluve-$kind.jsonl" "$HERE/allow.list" "$WORK/details-$kind"
done
[ -z "${KEEP:-}" ] || note "answers and details: $WORK"
finish
