# shellcheck shell=bash
# The behaviours of Kafka's command-line tools, the same for each of their releases. Sourced by java-*/run.sh, which has
# set CLASS_PATH and what moved between releases: main classes (CONSOLE_PRODUCER, DUMP_LOG with its own DUMP_CLASS_PATH)
# and options (READER, FORMATTER; CONSUMER_PROTOCOL where consumers can speak the consumer protocol).
broker
LINES=$WORK/lines
TOPIC=java-$RANDOM$RANDOM
GROUP=$TOPIC-group

# tool CLASS ARGUMENT...: one of Kafka's tools, with a small, quickly started JVM.
JAVA=(java -Xshare:auto -XX:TieredStopAtLevel=1 -Xmx256m -cp)
tool() { timeout 60 "${JAVA[@]}" "$CLASS_PATH" "$@"; }
topics() { tool org.apache.kafka.tools.TopicCommand --bootstrap-server "$KAFKA" "$@"; }
configs() { tool kafka.admin.ConfigCommand --bootstrap-server "$KAFKA" "$@"; }
groups() { tool org.apache.kafka.tools.consumer.group.ConsumerGroupCommand --bootstrap-server "$KAFKA" "$@"; }
produce() { tool "$CONSOLE_PRODUCER" --bootstrap-server "$KAFKA" "$@"; }
CONSUMER=(org.apache.kafka.tools.consumer.ConsoleConsumer --bootstrap-server "$KAFKA")
consume() { tool "${CONSUMER[@]}" --timeout-ms 20000 "$@"; }
get_offsets() { tool org.apache.kafka.tools.GetOffsetShell --bootstrap-server "$KAFKA" "$@"; }

# has TEXT PATTERN: the text contains the pattern (an extended regular expression); shows the text if not.
has() { grep -Eq -- "$2" <<<"$1" || { echo "no match for: $2"; echo "$1"; return 1; }; }
# same FILE FILE: equal as sets of lines; shows the first differences if not.
same() { diff <(sort "$1") <(sort "$2") >"$WORK/difference" || { head -n 5 "$WORK/difference"; return 1; }; }

create() {
    topics --create --topic "$TOPIC" --partitions 4 --replication-factor 1 --config retention.ms=3600000 || return
    has "$(topics --list)" "^$TOPIC\$"
}

create_again_refused() { has "$(topics --create --topic "$TOPIC" --partitions 4 2>&1)" 'already exists'; }

describe() {
    local text
    text=$(topics --describe --topic "$TOPIC")
    has "$text" 'PartitionCount: ?4' && has "$text" 'ReplicationFactor: ?1' && has "$text" 'retention.ms=3600000' &&
        has "$text" 'Partition: 3.*Leader: [0-9]+.*Isr: [0-9]+'
}

# One codec: a thousand lines with keys, written by the console producer.
produce_codec() {
    seq 1 1000 | sed "s/.*/key-&:$1 line &/" >"$LINES.$1"
    produce --topic "$TOPIC" --compression-codec "$1" "$READER" parse.key=true "$READER" key.separator=: \
        <"$LINES.$1" && cat "$LINES.$1" >>"$LINES"
}

consume_all() {
    consume --topic "$TOPIC" --from-beginning --max-messages "$(wc -l <"$LINES")" \
        "$FORMATTER" print.key=true "$FORMATTER" key.separator=: >"$WORK/consumed" && same "$LINES" "$WORK/consumed"
}

# members GROUP COUNT PARTITIONS [TRIES]: waits until the group has so many members with so many partitions each, and no
# other members.
members() {
    local text try
    for try in $(seq "${4:-15}"); do
        sleep 1
        text=$(groups --describe --group "$1" --members 2>/dev/null)
        [ "$(grep -c "^$1 " <<<"$text")" = "$2" ] && [ "$(grep -cE "^$1 .* $3 *\$" <<<"$text")" = "$2" ] && return
    done
    echo "after $try tries not $2 members with $3 partitions each:"; echo "$text"
    return 1
}

# member GROUP OUTPUT [OPTION...]: a member in the background that writes what it reads to the file; sets MEMBER.
member() {
    (exec "${JAVA[@]}" "$CLASS_PATH" "${CONSUMER[@]}" --topic "$TOPIC" --group "$1" "${@:3}" >"$2" 2>/dev/null) &
    MEMBER=$!
}

# gone PID [SIGNAL]
gone() { kill "-${2:-TERM}" "$1"; wait "$1" 2>/dev/null; true; }

# group_rebalance GROUP [OPTION...]: two members with two partitions each; one leaves (as on Ctrl-C), the other has all.
group_rebalance() {
    local one two rc
    member "$1" /dev/null "${@:2}"; one=$MEMBER
    member "$1" /dev/null "${@:2}"; two=$MEMBER
    members "$1" 2 2; rc=$?
    gone $one
    [ $rc != 0 ] || { members "$1" 1 4; rc=$?; }
    gone $two
    return $rc
}

# commit_and_resume GROUP [OPTION...]
commit_and_resume() {
    local all half
    all=$(wc -l <"$LINES") half=$(($(wc -l <"$LINES") / 2))
    consume --topic "$TOPIC" --group "$1" --from-beginning --max-messages $half "${@:2}" >"$WORK/half1" || return
    consume --topic "$TOPIC" --group "$1" --from-beginning --max-messages $((all - half)) "${@:2}" >"$WORK/half2" || return
    sed 's/^[^:]*://' "$LINES" >"$WORK/values"
    same "$WORK/values" <(cat "$WORK/half1" "$WORK/half2") || return
    has "$(groups --describe --group "$1" --offsets)" "$TOPIC +[0-9]+ +[0-9]+ +[0-9]+ +0 "
}

# ── the consumer protocol (KIP-848), where CONSUMER_PROTOCOL says how a consumer is told to speak it

# A member is killed while it reads; once its session is over another has all, and reads what was not committed.
consumer_kill_and_resume() {
    local group=$GROUP-848-kill one two rc
    member "$group" "$WORK/killed" --from-beginning "${CONSUMER_PROTOCOL[@]}"; one=$MEMBER
    members "$group" 1 4 || { gone $one; return 1; }
    gone $one KILL
    member "$group" "$WORK/resumed" --from-beginning "${CONSUMER_PROTOCOL[@]}"; two=$MEMBER
    members "$group" 1 4 70; rc=$?
    sleep 2
    gone $two
    [ $rc = 0 ] || return
    sed 's/^[^:]*://' "$LINES" | sort -u >"$WORK/values"
    sort -u "$WORK/killed" "$WORK/resumed" >"$WORK/read"
    diff "$WORK/values" "$WORK/read" | head -n 5
    cmp "$WORK/values" "$WORK/read"
}

# A static member leaves and comes back: it has its partitions at once.
consumer_static() {
    local group=$GROUP-848-static options=("${CONSUMER_PROTOCOL[@]}") one two rc
    member "$group" /dev/null "${options[@]}" "${options[0]}" group.instance.id=one; one=$MEMBER
    member "$group" /dev/null "${options[@]}" "${options[0]}" group.instance.id=two; two=$MEMBER
    members "$group" 2 2; rc=$?
    gone $one
    member "$group" /dev/null "${options[@]}" "${options[0]}" group.instance.id=one; one=$MEMBER
    [ $rc != 0 ] || { members "$group" 2 2; rc=$?; }
    has "$(groups --describe --group "$group" --state)" 'Stable' || rc=1
    gone $one; gone $two
    return $rc
}

# An old member and a new one share the topic; then the new one goes, and the old one has all.
consumer_migration() {
    local group=$GROUP-848-both old new rc
    member "$group" /dev/null; old=$MEMBER
    members "$group" 1 4; rc=$?
    member "$group" /dev/null "${CONSUMER_PROTOCOL[@]}"; new=$MEMBER
    [ $rc != 0 ] || { members "$group" 2 2; rc=$?; }
    has "$(groups --list --type consumer)" "^$group +Consumer" || rc=1
    gone $new
    [ $rc != 0 ] || { members "$group" 1 4; rc=$?; }
    has "$(groups --list --type classic)" "^$group +Classic" || rc=1
    gone $old
    return $rc
}

# Offsets of a topic that a member reads stay; of one that nobody reads they go.
consumer_delete_offsets() {
    local group=$GROUP-848 one rc=0
    member "$group" /dev/null "${CONSUMER_PROTOCOL[@]}"; one=$MEMBER
    members "$group" 1 4 || rc=1
    has "$(groups --delete-offsets --group "$group" --topic "$TOPIC" 2>&1)" 'subscribed' || rc=1
    gone $one
    sleep 1
    has "$(groups --delete-offsets --group "$group" --topic "$TOPIC" 2>&1)" 'Successful' || rc=1
    return $rc
}

groups_listed() { has "$(groups --list)" "^$GROUP-r\$" && has "$(groups --describe --group "$GROUP-r" --state)" 'Empty'; }

# Two batches with a second between them; the group is sent to the time between and reads only the second.
seek_by_time() {
    local topic=$TOPIC-time between
    topics --create --topic "$topic" --partitions 1 || return
    printf 'early %s\n' 1 2 3 | produce --topic "$topic" || return
    sleep 1; between=$(date -u +%Y-%m-%dT%H:%M:%S.%3N); sleep 1
    printf 'late %s\n' 1 2 | produce --topic "$topic" || return
    has "$(get_offsets --topic "$topic" --time "$(date -u -d "$between" +%s%3N)")" "^$topic:0:3\$" || return
    groups --group "$GROUP-t" --topic "$topic" --reset-offsets --to-datetime "$between" --execute || return
    consume --topic "$topic" --group "$GROUP-t" --max-messages 2 >"$WORK/late" || return
    same <(printf 'late %s\n' 1 2) "$WORK/late"
}

get_offsets_all() {
    local sum
    sum=$(get_offsets --topic "$TOPIC" --time -1 | awk -F: '{ n += $3 } END { print n + 0 }')
    [ "$sum" = "$(wc -l <"$LINES")" ] || { echo "the ends sum to $sum, not $(wc -l <"$LINES")"; return 1; }
    has "$(get_offsets --topic "$TOPIC" --time -2)" "^$TOPIC:0:0\$"
}

admin_configs() {
    configs --alter --entity-type topics --entity-name "$TOPIC" --add-config retention.ms=7200000,segment.bytes=1048576 &&
        has "$(configs --describe --entity-type topics --entity-name "$TOPIC")" 'retention.ms=7200000' &&
        configs --alter --entity-type topics --entity-name "$TOPIC" --delete-config retention.ms &&
        ! has "$(configs --describe --entity-type topics --entity-name "$TOPIC")" ' retention.ms=7200000' >/dev/null &&
        has "$(configs --describe --entity-type topics --entity-name "$TOPIC")" 'segment.bytes=1048576' &&
        has "$(configs --describe --all --entity-type brokers --entity-name 1)" 'log.retention|auto.create.topics' &&
        has "$(configs --alter --entity-type topics --entity-name "$TOPIC" --add-config retention.ms=soon 2>&1)" \
            'InvalidConfig|Invalid value'
}

admin_topics() {
    topics --create --topic "$TOPIC-grow" --partitions 1 && topics --alter --topic "$TOPIC-grow" --partitions 3 &&
        has "$(topics --describe --topic "$TOPIC-grow")" 'PartitionCount: ?3'
}

delete_records() {
    local topic=$TOPIC-trim
    topics --create --topic "$topic" --partitions 1 && seq 1 10 | produce --topic "$topic" || return
    echo "{\"partitions\":[{\"topic\":\"$topic\",\"partition\":0,\"offset\":4}],\"version\":1}" >"$WORK/trim.json"
    tool org.apache.kafka.tools.DeleteRecordsCommand --bootstrap-server "$KAFKA" --offset-json-file "$WORK/trim.json" &&
        has "$(get_offsets --topic "$topic" --time -2)" "^$topic:0:4\$"
}

perf_test() {
    topics --create --topic "$TOPIC-perf" --partitions 3 || return
    has "$(tool org.apache.kafka.tools.ProducerPerformance --topic "$TOPIC-perf" --num-records 20000 --record-size 1000 \
        --throughput -1 --producer-props "bootstrap.servers=$KAFKA" acks=all compression.type=lz4)" \
        '20000 records sent, '
}

# Kafka's own reader over every segment on disk: each must be readable to its end, with records, and nothing invalid.
dump_log() {
    local segment text found=0 records=0
    set -o pipefail
    [ -n "${DATA_DIR:-}" ] || { echo 'no data directory'; return 1; }
    while read -r segment; do
        text=$(timeout 60 "${JAVA[@]}" "$DUMP_CLASS_PATH" "$DUMP_LOG" --print-data-log --files "$segment" 2>&1 |
            sed 's/ payload: .*//') || { echo "$segment"; tail -n 3 <<<"$text"; return 1; }
        if grep -qiE 'invalid|exception|isvalid: false' <<<"$text"; then
            echo "$segment"; grep -iE 'invalid|exception|isvalid: false' <<<"$text" | head -n 3; return 1
        fi
        found=$((found + 1)) records=$((records + $(grep -c '| offset: ' <<<"$text")))
    done < <(find "$DATA_DIR" -name '*.log' -size +0 | grep -v -e __cluster_metadata -e journal | head -n 8)
    [ $found -gt 0 ] && [ $records -gt 0 ] || { echo "$found segments, $records records"; return 1; }
    echo "$found segments, $records records"
}

transaction() { tool org.apache.kafka.tools.TransactionsCommand --bootstrap-server "$KAFKA" "$@"; }
# So many records in transactions of so many ms.
transactional_perf() {
    exec timeout 60 "${JAVA[@]}" "$CLASS_PATH" org.apache.kafka.tools.ProducerPerformance --topic "$TOPIC-txn" \
        --num-records "$2" --record-size 100 --throughput 2000 --producer-props "bootstrap.servers=$KAFKA" \
        --transactional-id "$1" --transaction-duration-ms "$3"
}
# Every value that a careful reader finds.
careful() {
    tool "${CONSUMER[@]}" --topic "$TOPIC-txn" --from-beginning --isolation-level read_committed --timeout-ms 10000 \
        2>/dev/null | wc -l
}

# Records in many short transactions; the tools see the producer and what became of its last transaction.
transactions() {
    topics --create --topic "$TOPIC-txn" --partitions 1 || return
    has "$(transactional_perf "$TOPIC-id" 3000 100)" '3000 records sent, ' || return
    [ "$(careful)" = 3000 ] || { echo "a careful reader sees $(careful)"; return 1; }
    has "$(transaction list)" "^$TOPIC-id[[:space:]]" &&
        has "$(transaction describe --transactional-id "$TOPIC-id")" 'CompleteCommit' &&
        has "$(transaction describe-producers --topic "$TOPIC-txn" --partition 0)" 'None'
}

# A producer is killed in the middle of its transaction, which holds up careful readers until somebody gives it up.
transaction_abort() {
    local pid start try
    (transactional_perf "$TOPIC-hanging" 100000 600000 >/dev/null 2>&1) & pid=$!
    for try in $(seq 20); do
        start=$(transaction describe-producers --topic "$TOPIC-txn" --partition 0 | grep -oE '[0-9]+[[:space:]]*$' |
            tail -n 1 | tr -d '[:space:]')
        [ -z "$start" ] || break
        sleep 0.5
    done
    kill $pid; wait $pid
    [ -n "$start" ] || { echo "no open transaction after $try tries"; return 1; }
    [ "$(careful)" = 3000 ] || { echo "before it was given up: $(careful)"; return 1; }
    transaction abort --topic "$TOPIC-txn" --partition 0 --start-offset "$start" || return
    printf 'after\n' | produce --topic "$TOPIC-txn" || return
    [ "$(careful)" = 3001 ] || { echo "after it was given up: $(careful)"; return 1; }
}

# What Kafka's own tools for its internal topics read in them.
internal() {
    tool "${CONSUMER[@]}" --topic "$1" --from-beginning --timeout-ms 8000 \
        --formatter "org.apache.kafka.tools.consumer.$2MessageFormatter" 2>/dev/null
}
internal_topics() {
    has "$(internal __consumer_offsets Offsets)" "\"group\":\"$GROUP-r\",\"topic\":\"$TOPIC\"" &&
        has "$(internal __consumer_offsets GroupMetadata)" "\"group\":\"$GROUP\"[^[]*\"protocol\":\"range\"" &&
        has "$(internal __transaction_state TransactionLog)" "\"transactionalId\":\"$TOPIC-id\""
}

delete() {
    local name
    groups --delete --group "$GROUP-r" || return
    for name in "$TOPIC" "$TOPIC-grow"; do topics --delete --topic "$name" || return; done
    sleep 1
    ! has "$(topics --list)" "^$TOPIC(-grow)?\$" >/dev/null
}

: >"$LINES"
check create create
check create-again-refused create_again_refused
check describe describe
for codec in none gzip snappy lz4 zstd; do check "produce-$codec" produce_codec $codec; done
check consume consume_all
check group-rebalance group_rebalance "$GROUP"
check commit-resume commit_and_resume "$GROUP-r"
check admin-groups groups_listed
if [ -n "${CONSUMER_PROTOCOL:-}" ]; then
    check consumer-rebalance group_rebalance "$GROUP-848" "${CONSUMER_PROTOCOL[@]}"
    check consumer-resume commit_and_resume "$GROUP-848-r" "${CONSUMER_PROTOCOL[@]}"
    check consumer-static consumer_static
    check consumer-migration consumer_migration
    check consumer-kill-resume consumer_kill_and_resume
    check consumer-delete-offsets consumer_delete_offsets
fi
check seek-by-time seek_by_time
check get-offsets get_offsets_all
check admin-configs admin_configs
check admin-topics admin_topics
check delete-records delete_records
check producer-perf-test perf_test
check transactions transactions
check transaction-abort transaction_abort
[ -z "${CONSUMER_PROTOCOL:-}" ] || check internal-topics internal_topics
check dump-log dump_log
check delete delete
finish
