# shellcheck shell=bash
# What the scripts of JVM programs share: compiling, running in the background, killing, and killing the broker.
# Sourced after common.sh. Every JVM is small (HEAP, default 256 MiB) and is stopped by its id when the script ends.
HEAP=${HEAP:-256m}
JVM_OPTIONS=(-Xshare:auto -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dorg.slf4j.simpleLogger.defaultLogLevel=warn
    -Dorg.slf4j.simpleLogger.showDateTime=true -Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS)

# compile CLASS_PATH FILE...: into $WORK/classes, which then stands first on CLASS_PATH.
compile() {
    debian javac default-jdk-headless || return
    mkdir -p "$WORK/classes"
    javac -nowarn -Xlint:-options -proc:none -d "$WORK/classes" -cp "$1" "${@:2}" || return
    CLASS_PATH=$WORK/classes:$1
}

# jvm CLASS ARGUMENT...: in the foreground, at most LIMIT seconds (default 120).
jvm() { timeout "${LIMIT:-120}" java "${JVM_OPTIONS[@]}" "-Xmx$HEAP" -cp "$CLASS_PATH" "$@"; }

# background LOG CLASS ARGUMENT...: sets PID. The log grows over restarts.
background() {
    local log=$1
    shift
    (exec java "${JVM_OPTIONS[@]}" "-Xmx$HEAP" -cp "$CLASS_PATH" "$@" >>"$log" 2>&1) &
    PID=$!
}

# gone PID [SIGNAL]: signals it and waits until it is gone; after 30 s it is killed.
gone() {
    local try
    kill "-${2:-TERM}" "$1" 2>/dev/null
    for try in $(seq 300); do kill -0 "$1" 2>/dev/null || break; sleep 0.1; done
    kill -KILL "$1" 2>/dev/null && note "process $1 had to be killed after $try tries"
    wait "$1" 2>/dev/null
    true
}

broker_kill9() { python3 "$COMPAT/lib/broker.py" kill9 "$BROKER_HOME"; }
broker_restart() { python3 "$COMPAT/lib/broker.py" restart "$BROKER_HOME" >/dev/null; }

# has TEXT PATTERN: the text contains the pattern (an extended regular expression); shows the text if not.
has() { grep -Eq -- "$2" <<<"$1" || { echo "no match for: $2"; echo "$1"; return 1; }; }

# until_true SECONDS COMMAND...: tries the command until it succeeds, each half second; shows its last output if never.
until_true() {
    local limit=$((SECONDS + $1)) text
    shift
    until text=$("$@" 2>&1); do
        [ $SECONDS -lt $limit ] || { echo "never: $*"; echo "$text"; return 1; }
        sleep 0.5
    done
}

# tool CLASS ARGUMENT...: one of Kafka's command-line tools of java-4 (TOOLS holds their jars).
tool() { timeout 90 java "${JVM_OPTIONS[@]}" -Xmx256m -cp "$TOOLS/*" "$@"; }
topics() { tool org.apache.kafka.tools.TopicCommand --bootstrap-server "$KAFKA" "$@"; }
configs() { tool kafka.admin.ConfigCommand --bootstrap-server "$KAFKA" "$@"; }
groups() { tool org.apache.kafka.tools.consumer.group.ConsumerGroupCommand --bootstrap-server "$KAFKA" "$@"; }
produce() { tool org.apache.kafka.tools.ConsoleProducer --bootstrap-server "$KAFKA" "$@"; }
consume() { tool org.apache.kafka.tools.consumer.ConsoleConsumer --bootstrap-server "$KAFKA" --timeout-ms 20000 "$@"; }
