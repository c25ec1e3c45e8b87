#!/usr/bin/env bash
# Kafka Streams: word count, exactly once under `kill -9` of the program and of the broker, windows and joins, the reset
# tool.
#
#   KILLS=20 compat/kafka-streams/run.sh    kills of each of the two exactly-once runs (default 6, program and broker in turn)
. "$(dirname "$0")/../lib/common.sh"
. "$COMPAT/lib/jvm.sh"
client kafka-streams 'streams 4.3.1, RocksDB 10.1.3; once more over kafka-clients 4.4.0'
need maven java-4
TOOLS=$JARS
need maven client-4
NEWEST=$JARS
need maven streams-4
need compile "$JARS/*" "$COMPAT/kafka-streams/App.java"
OWN_CLIENT=$CLASS_PATH
NEWEST_CLIENT="$WORK/classes:$NEWEST/*:$JARS/*"
KILLS=${KILLS:-6}
RATE=${RATE:-150}
broker
TAG=s$RANDOM

# program NAME ARGUMENT...: App in the background with a log of that name; sets PID.
program() { background "$WORK/$1.log" App "${@:2}"; }
running() { grep -q '^state RUNNING' "$WORK/$1.log"; }

# ── word count

TEXT=$WORK/text
for file in GPL-2 GPL-3 Apache-2.0; do cat "/usr/share/common-licenses/$file" 2>/dev/null; done >"$TEXT"
[ -s "$TEXT" ] || cat "$ROOT"/docs/*.md >"$TEXT"
tr 'A-Z' 'a-z' <"$TEXT" | LC_ALL=C tr -c 'a-z0-9' '\n' | grep . | sort | uniq -c | awk '{ print $2, $1 }' >"$WORK/words"

# word_count APP
word_count() {
    local rc
    jvm App topics 4 "$1-in" "$1-out" || return
    produce --topic "$1-in" <"$TEXT" || return
    program "$1" count "$1" "$WORK/state-$1" "$1-in" "$1-out"
    jvm App words-check "$1-out" "$WORK/words"; rc=$?
    gone $PID
    return $rc
}

# Its internal topics are as Streams asks for them.
internal_topics() {
    local text
    text=$(topics --describe) || return
    has "$text" "Topic: $1-counts-changelog.*cleanup.policy=compact" || return
    has "$text" "Topic: $1-counts-repartition.*(cleanup.policy=delete.*retention.ms=-1|retention.ms=-1.*cleanup.policy=delete)"
}

# Streams deletes what it has read of its own repartition topic (DeleteRecords).
repartition_is_purged() {
    local text
    text=$(tool org.apache.kafka.tools.GetOffsetShell --bootstrap-server "$KAFKA" --topic "$1-repartition" --time earliest)
    awk -F: '{ n += $3 } END { exit n == 0 }' <<<"$text" || { echo "nothing was purged: $text"; return 1; }
}

reset_tool() {
    local text resetter=(tool org.apache.kafka.tools.StreamsResetter --bootstrap-server "$KAFKA" --application-id "$1")
    # Streams does not leave its group when it is closed, so the members are thrown out (LeaveGroup by an administrator).
    text=$("${resetter[@]}" --input-topics "$1-in" --to-earliest --dry-run --force) || { echo "$text"; return 1; }
    has "$(topics --list)" "^$1-counts-changelog$" || return
    text=$("${resetter[@]}" --input-topics "$1-in" --to-earliest --force) || { echo "$text"; return 1; }
    ! grep "^$1-counts" <(topics --list) || return
    text=$(groups --describe --group "$1" --offsets)
    [ "$(grep -cE "^$1 +$1-in +[0-9]+ +0 " <<<"$text")" = 4 ] || { echo "$text"; return 1; }
    rm -rf "$WORK/state-$1"
    # Counted again from the beginning, over an output that has the first counts: no word has twice its count.
    program "$1" count "$1" "$WORK/state-$1" "$1-in" "$1-out"
    until_true 60 drained "$1" && jvm App words-check "$1-out" "$WORK/words"
    local rc=$?
    gone $PID
    return $rc
}

# The group has read all of its input.
drained() {
    local text
    text=$(groups --describe --group "$1" --offsets) || return
    awk -v t="$1-in" '$2 == t { n++; if ($6 != 0) rest = 1 } END { exit n != 4 || rest }' <<<"$text" || { echo "$text"; return 1; }
}

check word_count word_count "$TAG-words"
check internal_topics internal_topics "$TAG-words"
check reset_tool reset_tool "$TAG-words"
CLASS_PATH=$NEWEST_CLIENT
check word_count_client_4_4 word_count "$TAG-newest"
CLASS_PATH=$OWN_CLIENT

# ── windows, suppression, stream-stream and foreign-key join

zoo() {
    local app=$TAG-zoo rc
    jvm App topics 2 "$app-clicks" "$app-views" "$app-pages" "$app-authors" "$app-out" || return
    program zoo zoo "$app" "$WORK/state-$app" "$app"
    until_true 60 running zoo && jvm App zoo-feed "$app" && jvm App zoo-check "$app"; rc=$?
    gone $PID
    return $rc
}
check windows_and_joins zoo

# ── exactly once

# exactly_once STORE: two instances, killed in turn with the broker while the orders come in.
exactly_once() {
    local app=$TAG-$1 one two feed kill rc=0 seconds orders
    seconds=$((KILLS * 7 + 10)) orders=$(((KILLS * 7 + 10) * RATE))
    jvm App topics 4 "$app-customers" "$app-orders" "$app-out" && jvm App customers "$app" || return
    program "$app-1" join "$app" "$WORK/state-$app-1" "$1" "$app"; one=$PID
    program "$app-2" join "$app" "$WORK/state-$app-2" "$1" "$app"; two=$PID
    until_true 60 running "$app-1" || return
    background "$WORK/$app-feed.log" App orders "$app" $orders "$RATE"; feed=$PID
    echo "$orders orders over $seconds s"
    for kill in $(seq "$KILLS"); do
        sleep $((2 + RANDOM % 4))
        case $((kill % 4)) in
            1) gone $one KILL; program "$app-1" join "$app" "$WORK/state-$app-1" "$1" "$app"; one=$PID; echo "$(date +%T) program 1 killed" ;;
            3) gone $two KILL; program "$app-2" join "$app" "$WORK/state-$app-2" "$1" "$app"; two=$PID; echo "$(date +%T) program 2 killed" ;;
            *) broker_kill9 && broker_restart || return; echo "$(date +%T) broker killed" ;;
        esac
    done
    wait $feed; cat "$WORK/$app-feed.log"
    LIMIT=300 jvm App orders-check "$app" $orders || rc=1
    grep -h '^uncaught' "$WORK/$app-1.log" "$WORK/$app-2.log"
    gone $one; gone $two
    [ $rc = 0 ] && jvm App store-check "$app" $orders
}

# tried NAME COMMAND...: a check, and what it found out on the way.
tried() { check "$@"; grep -E '^exact|^never|killed|^uncaught' "$WORK/$1.log" | sed 's/^/# /' >&2; }

tried exactly_once_memory exactly_once memory
tried exactly_once_rocksdb exactly_once rocksdb
check repartition_is_purged repartition_is_purged "$TAG-rocksdb-regions"
finish
