#!/usr/bin/env bash
# kcat (librdkafka 2.0, from Debian) against the Kafka face.
. "$(dirname "$0")/../lib/common.sh"
CLIENT=kcat; debian kcat kcat || need false
client kcat "$(kcat -V | sed -n 's/^Version \([^ ]*\).*librdkafka \([0-9.]*\).*/\1, librdkafka \2/p')"
# kcat creates topics only by using them, so how many partitions they get is the server's default.
case $BROKER in
    interfluve) export BROKER_ARGS='--num-partitions 4' ;;
    kafka-4.4) export BROKER_ARGS='num.partitions=4' ;;
esac
broker
TOPIC=kcat-$RANDOM$RANDOM
GROUP=$TOPIC-group
LINES=$WORK/lines
: >"$LINES"

k() { timeout 40 kcat -b "$KAFKA" "$@"; }
has() { grep -Eq -- "$2" <<<"$1" || { echo "no match for: $2"; echo "$1"; return 1; }; }
same() { diff <(sort "$1") <(sort "$2") >"$WORK/difference" || { head -n 5 "$WORK/difference"; return 1; }; }

# Producing to a topic that is not there creates it, durably and at once.
create() { echo 'first:record' | k -P -t "$TOPIC" -K: && echo 'first:record' >>"$LINES"; }

describe() {
    local text
    text=$(k -L -t "$TOPIC")
    has "$text" "topic \"$TOPIC\" with 4 partitions" && has "$text" 'partition 3, leader [0-9]+, replicas: [0-9]+, isrs: [0-9]+'
}

produce_codec() {
    seq 1 1000 | sed "s/.*/key-&:$1 line &/" >"$LINES.$1"
    k -P -t "$TOPIC" -K: -z "$1" -X acks=all <"$LINES.$1" && cat "$LINES.$1" >>"$LINES"
}

produce_idempotent() {
    seq 1 1000 | sed "s/.*/key-&:once &/" >"$LINES.once"
    k -P -t "$TOPIC" -K: -X enable.idempotence=true <"$LINES.once" && cat "$LINES.once" >>"$LINES"
}

consume() { k -C -q -t "$TOPIC" -o beginning -e -K: >"$WORK/all" && same "$LINES" "$WORK/all"; }

headers_and_nulls() {
    echo 'k:' | k -P -t "$TOPIC-odd" -K: -Z -H a=1 -H a=2 -p 0 || return
    has "$(k -C -q -t "$TOPIC-odd" -p 0 -o beginning -e -f '%k|%S|%h\n')" '^k\|-1\|a=1,a=2$'
}

# Two members that say on stderr what they are assigned; one leaves and the other gets everything.
group_rebalance() {
    local one two rc=1 try
    local options=(-b "$KAFKA" -X session.timeout.ms=6000 -X heartbeat.interval.ms=500 -G "$GROUP" "$TOPIC")
    (exec kcat "${options[@]}" >/dev/null 2>"$WORK/one") & one=$!
    (exec kcat "${options[@]}" >/dev/null 2>"$WORK/two") & two=$!
    # The last line of each tells its present partitions.
    held() { grep 'assigned:' "$1" | tail -n 1 | grep -o "$TOPIC \[" | wc -l; }
    for try in $(seq 60); do
        sleep 0.5
        if [ "$(held "$WORK/one")" = 2 ] && [ "$(held "$WORK/two")" = 2 ]; then rc=0; break; fi
    done
    kill $one; wait $one
    [ $rc = 0 ] || { echo 'never two members with two partitions each'; cat "$WORK/one" "$WORK/two"; kill $two; return 1; }
    rc=1
    for try in $(seq 60); do sleep 0.5; [ "$(held "$WORK/two")" = 4 ] && { rc=0; break; }; done
    kill $two; wait $two
    [ $rc = 0 ] || { echo 'the member left never had all four partitions'; cat "$WORK/two"; }
    return $rc
}

commit_and_resume() {
    local all half
    all=$(wc -l <"$LINES") half=$(($(wc -l <"$LINES") / 2))
    k -q -G "$GROUP-r" -X auto.offset.reset=earliest -K: -c $half "$TOPIC" >"$WORK/half1" || return
    k -q -G "$GROUP-r" -X auto.offset.reset=earliest -K: -c $((all - half)) "$TOPIC" >"$WORK/half2" || return
    cat "$WORK/half1" "$WORK/half2" >"$WORK/both"
    same "$LINES" "$WORK/both"
}

seek_by_time() {
    local between
    printf '%s\n' early1 early2 early3 | k -P -t "$TOPIC-time" -p 0 || return
    sleep 1; between=$(date +%s%3N); sleep 1
    printf '%s\n' late1 late2 | k -P -t "$TOPIC-time" -p 0 || return
    has "$(k -Q -t "$TOPIC-time:0:$between")" 'offset 3$' || return
    [ "$(k -C -q -t "$TOPIC-time" -p 0 -o "s@$between" -e)" = $'late1\nlate2' ]
}

# Everything about everything, as JSON.
metadata_json() {
    k -L -J >"$WORK/all.json" && python3 - "$WORK/all.json" "$TOPIC" <<'END'
import json, sys
told = json.load(open(sys.argv[1]))
topic = {topic["topic"]: topic for topic in told["topics"]}[sys.argv[2]]
assert len(told["brokers"]) == 1, told["brokers"]
assert [part["partition"] for part in topic["partitions"]] == [0, 1, 2, 3], topic
assert all(part["leader"] == told["controllerid"] for part in topic["partitions"]), topic
END
}

# Many places at once: a time, the start, the end, and a partition that is not there.
query_many() {
    local text
    text=$(k -Q -t "$TOPIC-time:0:-2" -t "$TOPIC-time:0:-1" -t "$TOPIC:3:-2")
    has "$text" "^$TOPIC-time \[0\] offset [05]\$" && has "$text" "^$TOPIC \[3\] offset 0\$"
}

# One envelope for each record, with its headers and its key.
consume_json() {
    k -C -q -t "$TOPIC-odd" -p 0 -o beginning -e -J >"$WORK/odd.json" && python3 - "$WORK/odd.json" <<'END'
import json, sys
told = json.loads(open(sys.argv[1]).readline())
assert (told["key"], told["payload"], told["headers"]) == ("k", None, ["a", "1", "a", "2"]), told
END
}

# From the end backwards, up to a count, and what is between two times.
offsets_relative() { [ "$(k -C -q -t "$TOPIC-time" -p 0 -o -2 -c 1 -e)" = late1 ]; }

careful() { k -C -q -t "$TOPIC-txn" -o beginning -e -X isolation.level=read_committed; }

# Everything on standard input is one transaction, committed at its end.
transaction() {
    k -P -t "$TOPIC-txn" -p 0 <<<start || return
    seq 1 200 | k -P -t "$TOPIC-txn" -X "transactional.id=$TOPIC-id" || return
    same <(seq 1 200; echo start) <(careful)
}

# Killed in the middle: whoever has the id next gives the transaction up.
transaction_abort() {
    local pid
    mkfifo "$WORK/slow"
    (exec kcat -b "$KAFKA" -P -t "$TOPIC-txn" -X "transactional.id=$TOPIC-id" <"$WORK/slow") & pid=$!
    exec 9>"$WORK/slow"
    seq 1001 9000 >&9
    sleep 2
    kill -KILL $pid
    exec 9>&-
    wait $pid
    echo again | k -P -t "$TOPIC-txn" -X "transactional.id=$TOPIC-id" || return
    [ "$(k -C -q -t "$TOPIC-txn" -o beginning -e -X isolation.level=read_uncommitted | wc -l)" -gt 202 ] || return
    same <(seq 1 200; echo start; echo again) <(careful)
}

check create create
check describe describe
for codec in none gzip snappy lz4 zstd; do check "produce-$codec" produce_codec $codec; done
check produce-idempotent produce_idempotent
check consume consume
check headers-and-nulls headers_and_nulls
check group-rebalance group_rebalance
check commit-resume commit_and_resume
check seek-by-time seek_by_time
check metadata-json metadata_json
check query-many query_many
check consume-json consume_json
check offsets-relative offsets_relative
check transactions transaction
check transaction-abort transaction_abort
skip mock-cluster 'kcat -M starts a cluster of its own and talks to no server'
skip admin-topics 'kcat has no such command'
skip admin-configs 'kcat has no such command'
skip delete 'kcat has no such command'
finish
