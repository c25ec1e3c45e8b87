#!/usr/bin/env bash
# rdkafka (Rust, with librdkafka built from the source in its crate) against the Kafka face.
. "$(dirname "$0")/../lib/common.sh"
client rdkafka "$(sed -n 's/^rdkafka = .*"=\([0-9.]*\)".*/\1/p' "$COMPAT/rdkafka/Cargo.toml")"
PROGRAM=$CACHE/cargo/bin/compat-rdkafka
# What it took to build is thrown away: it is a third of a gigabyte, and the program stays.
build() {
    local target=$CACHE/cargo/rdkafka
    [ "$PROGRAM" -nt "$COMPAT/rdkafka/src/main.rs" ] && [ "$PROGRAM" -nt "$COMPAT/rdkafka/Cargo.lock" ] && return
    note "cargo build $COMPAT/rdkafka"
    mkdir -p "$(dirname "$PROGRAM")"
    CARGO_TARGET_DIR=$target cargo build -q --locked --manifest-path "$COMPAT/rdkafka/Cargo.toml" >&2 &&
        cp "$target/debug/compat-rdkafka" "$PROGRAM" && rm -rf "$target"
}
need build
broker
result_lines timeout 300 "$PROGRAM" "$KAFKA"
finish
