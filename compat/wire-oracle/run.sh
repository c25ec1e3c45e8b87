#!/usr/bin/env bash
# Shows our bytes to Kafka's own message classes: every message and version we state, random values, both ways.
# Prints what disagrees, then `N passed, N failed`. VALUES (per message and version) and SEED widen or move the run.
# Needs: cargo, a JDK of version 17 or newer, Maven.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$root/target/wire-oracle
mkdir -p "$work"

# 3.9 for the versions that 4 dropped; 4.3 because the group coordinator of 4.4 is not published (its records are the
# same); 4.4 for the newest messages.
artifacts=(
    3.9.2:org.apache.kafka:kafka-clients:3.9.2 3.9.2:org.apache.kafka:kafka-group-coordinator:3.9.2
    4.3.1:org.apache.kafka:kafka-clients:4.3.1 4.3.1:org.apache.kafka:kafka-group-coordinator:4.3.1
    4.4.0:org.apache.kafka:kafka-clients:4.4.0
)
releases=()
for release in 3.9.2 4.3.1 4.4.0; do
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

cases=$work/cases.tsv
rm -f "$cases"
(cd "$root" && WIRE_ORACLE_CASES=$cases WIRE_VALUES=${VALUES:-100} WIRE_SEED=${SEED:-1} \
    cargo test --quiet --lib kafka::wire::tests::oracle) >"$work/cargo.log" 2>&1 || { cat "$work/cargo.log"; exit 1; }

java "$here/Oracle.java" "$cases" "${releases[@]}"
# Kept when something failed, to be looked into.
rm -f "$cases"
