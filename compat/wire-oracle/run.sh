#!/usr/bin/env bash
# Shows our bytes to Kafka's own message classes, and theirs to us: every message and version we state, random values.
# Prints what disagrees, then `N passed, N failed`. VALUES (per message and version) and SEED widen or move the run.
# Needs: cargo, a JDK of version 17 or newer, Maven.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$root/target/wire-oracle
mkdir -p "$work"

# 3.9 for the versions that 4 dropped, 4.4 for the newest; the coordinators have the records of groups and transactions.
artifacts=() releases=()
for release in 3.9.2 4.4.0; do
    for name in clients group-coordinator transaction-coordinator; do
        artifacts+=("$release:org.apache.kafka:kafka-$name:$release")
    done
    artifacts+=("$release:org.slf4j:slf4j-api:1.7.36" "$release:org.slf4j:slf4j-nop:1.7.36")
    releases+=("$release=$work/$release")
done
for entry in "${artifacts[@]}"; do
    release=${entry%%:*} artifact=${entry#*:}
    file=${artifact#*:}
    [ -e "$work/$release/${file/:/-}.jar" ] || mvn --quiet --batch-mode \
        org.apache.maven.plugins:maven-dependency-plugin:2.8:copy \
        -Dartifact="$artifact" -DoutputDirectory="$work/$release"
done

cases=$work/cases.tsv made=$work/made.tsv values=${VALUES:-500} seed=${SEED:-1}
rm -f "$cases" "$made"
# Ours for Kafka to judge, then Kafka's for us.
ours() {
    (cd "$root" && env "$@" cargo test --quiet --lib kafka::wire::tests::oracle) >"$work/cargo.log" 2>&1
}
ours WIRE_ORACLE_CASES="$cases" WIRE_VALUES="$values" WIRE_SEED="$seed" || { cat "$work/cargo.log"; exit 1; }
java "$here/Oracle.java" "$cases" "$made" "$values" "$seed" "${releases[@]}" | tee "$work/judged.log"
if ! ours WIRE_ORACLE_MADE="$made"; then
    cat "$work/cargo.log"
    echo "FAILED to read or write values of Kafka's as Kafka does"
    exit 1
fi
# Kept when something failed, to be looked into.
rm -f "$cases" "$made"
# The last line counts what Kafka's classes judged and what we did, all of which was right.
awk '/^[0-9]+ passed, [0-9]+ failed$/ { passed = $1 } / values of Kafka.s$/ { made = $1 }
    END { print passed + made " passed, 0 failed" }' "$work/judged.log"
