# shellcheck shell=bash
# What every compat script shares: places, result lines, installing pinned clients, one broker for the run.
# Sourced, never run. Nothing is installed outside compat/.cache, except Debian packages that are missing.
#
# A script says `client NAME VERSION`, then `broker`, then any number of `check`, `pass`, `fail` and `skip`,
# and ends with `finish`, which prints `N passed, N failed` and exits accordingly.
#
#   BROKER=interfluve   what to test (also kafka-4.4, ferrokinesis: the oracles)
#   KAFKA, KINESIS      use this running server instead of starting one (host:port, http://host:port)
set -u
COMPAT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
ROOT=$(cd "$COMPAT/.." && pwd)
CACHE=${COMPAT_CACHE:-$COMPAT/.cache}
BROKER=${BROKER:-interfluve}
export BROKER COMPAT CACHE
# shellcheck source=versions.env
. "$COMPAT/lib/versions.env"
RESULTS=$CACHE/results
[ "$BROKER" = interfluve ] || RESULTS=$CACHE/results-$BROKER
mkdir -p "$RESULTS"

# Every AWS client needs some key and region; which ones does not matter to a server that does not verify.
export AWS_ACCESS_KEY_ID=AKIDEXAMPLE AWS_SECRET_ACCESS_KEY=secret AWS_REGION=eu-west-1 AWS_DEFAULT_REGION=eu-west-1
export AWS_EC2_METADATA_DISABLED=true AWS_PAGER='' PYTHONUNBUFFERED=1

note() { printf '# %s\n' "$*" >&2; }

# ── results ──────────────────────────────────────────────────────────────────────────────────────────────────────

passed=0 failed=0 skipped=0

# client NAME VERSION: opens the result file of this client.
client() {
    CLIENT=$1
    RESULT_FILE=$RESULTS/$CLIENT.tsv
    WORK=$(mktemp -d "${TMPDIR:-/tmp}/compat-$CLIENT.XXXXXX")
    trap 'leave' EXIT
    trap 'exit 130' INT TERM
    printf 'CLIENT\t%s\t%s\t%s\t%s\n' "$1" "$2" "$(date -u +%F)" \
        "$(git -C "$ROOT" rev-parse --short HEAD 2>/dev/null || echo unknown)" >"$RESULT_FILE"
    echo "CLIENT $1 $2"
}

# The reason a behaviour is known not to work, from the client's allow.list (`name reason`), or nothing.
known() { sed -n "s/^$1[[:space:]]\+//p" "$COMPAT/$CLIENT/allow.list" 2>/dev/null | head -n 1; }

pass() {
    passed=$((passed + 1))
    printf 'PASS\t%s\t\n' "$1" >>"$RESULT_FILE"
    echo "PASS $1"
    [ -z "$(known "$1")" ] || note "$1 passes: take it off $CLIENT/allow.list"
}

# A failure that the allow list names is reported as skipped, never as passed.
fail() {
    local why
    why=$(printf '%s' "${2:-}" | tr '\t\n' '  ' | cut -c1-300)
    if [ -n "$(known "$1")" ]; then skip "$1" "known: $(known "$1")"; note "$1: $why"; return; fi
    failed=$((failed + 1))
    printf 'FAIL\t%s\t%s\n' "$1" "$why" >>"$RESULT_FILE"
    echo "FAIL $1: $why"
}

skip() {
    skipped=$((skipped + 1))
    printf 'SKIP\t%s\t%s\n' "$1" "$2" >>"$RESULT_FILE"
    echo "SKIP $1: $2"
}

# check NAME COMMAND...: passes if the command succeeds; its output is in $WORK/NAME.log and, on failure, on stderr.
check() {
    local name=$1 log=$WORK/$1.log
    shift
    if "$@" >"$log" 2>&1; then pass "$name"; else
        local rc=$?
        fail "$name" "exit $rc: $(grep -v '^[[:space:]]*at ' "$log" | grep . | tail -n 2)"
        { echo "--- $name: $*"; tail -n 30 "$log"; echo '---'; } | cut -c1-400 >&2
    fi
}

# result_lines COMMAND...: runs a program that prints PASS, FAIL and SKIP lines itself.
result_lines() {
    local kind rest out=$WORK/result_lines.log
    "$@" >"$out" 2>"$out.err"
    local rc=$?
    while read -r kind rest; do
        case $kind in
            PASS) pass "$rest" ;;
            FAIL) fail "${rest%%:*}" "${rest#*: }" ;;
            SKIP) skip "${rest%%:*}" "${rest#*: }" ;;
            DONE) ;;
            *) note "$kind $rest" ;;
        esac
    done <"$out"
    grep -q '^DONE' "$out" || fail program "ended early, exit $rc: $(tail -n 1 "$out.err")"
    [ ! -s "$out.err" ] || { echo '--- stderr'; tail -n 40 "$out.err"; echo '---'; } | cut -c1-400 >&2
}

finish() {
    if [ $((passed + failed)) = 0 ]; then fail ran 'nothing was run'; fi
    if [ $failed -gt 0 ] && [ -d "${BROKER_HOME:-}" ]; then
        { echo '--- broker log'; tail -n 40 "$BROKER_HOME/broker.log"; } | cut -c1-400 >&2
    fi
    [ $skipped = 0 ] && echo "$passed passed, $failed failed" || echo "$passed passed, $failed failed, $skipped skipped"
    [ $failed = 0 ]
    exit $?
}

leave() {
    local rc=$?
    for pid in $(jobs -p); do kill "$pid" 2>/dev/null; done
    [ -z "${BROKER_HOME:-}" ] || python3 "$COMPAT/lib/broker.py" stop "$BROKER_HOME" >/dev/null
    [ -z "${LIMITED_HOME:-}" ] || python3 "$COMPAT/lib/broker.py" stop "$LIMITED_HOME" >/dev/null
    [ -n "${KEEP:-}" ] || rm -rf "${WORK:-/nonexistent}"
    exit $rc
}

# ── the broker ───────────────────────────────────────────────────────────────────────────────────────────────────

# Starts the broker under test (or takes the one named by KAFKA / KINESIS); sets KAFKA, KINESIS, DATA_DIR.
broker() {
    if [ -n "${KAFKA:-}${KINESIS:-}" ]; then note "using kafka ${KAFKA:-none}, kinesis ${KINESIS:-none}"; return; fi
    BROKER_HOME=$WORK/broker
    if ! python3 "$COMPAT/lib/broker.py" start "$BROKER_HOME" >"$WORK/broker.env"; then
        fail start 'the broker did not start'
        finish
    fi
    # shellcheck disable=SC1091
    . "$WORK/broker.env"
    export KAFKA KINESIS DATA_DIR
}

# Starts a second server, which refuses what is over AWS's limits of a shard; sets LIMITED to its address. A server that
# was there already, or one that is not ours, is taken as it is.
limited_broker() {
    LIMITED=$KINESIS
    [ -n "${BROKER_HOME:-}" ] && [ "$BROKER" = interfluve ] || return 0
    LIMITED_HOME=$WORK/limited
    local start=(python3 "$COMPAT/lib/broker.py" start "$LIMITED_HOME")
    if ! BROKER_ARGS='--kinesis-limits enforce' "${start[@]}" >"$WORK/limited.env"; then
        fail start 'the server with limits did not start'
        finish
    fi
    LIMITED=$(sed -n 's/^KINESIS=//p' "$WORK/limited.env")
}

# ── installing ───────────────────────────────────────────────────────────────────────────────────────────────────

# debian COMMAND PACKAGE...: installs the packages unless COMMAND is there.
debian() {
    command -v "$1" >/dev/null && return
    shift
    note "apt-get install $*"
    apt-get update -qq >&2 && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

# venv NAME PACKAGE...: a Python environment with exactly these packages; sets PYTHON and VENV.
venv() {
    VENV=$CACHE/venv/$1 PYTHON=$CACHE/venv/$1/bin/python
    local want="${*:2}"
    [ "$(cat "$VENV/.packages" 2>/dev/null)" = "$want" ] && return
    note "pip install $want"
    rm -rf "$VENV"
    python3 -m venv "$VENV" 2>/dev/null || { debian no-such-command python3-venv; python3 -m venv "$VENV"; } || return
    "$PYTHON" -m pip install -q --disable-pip-version-check "${@:2}" >&2 || return
    echo "$want" >"$VENV/.packages"
}

# maven NAME: the jars of lib/maven/NAME.xml; sets JARS to their folder.
maven() {
    JARS=$CACHE/maven/$1
    local pom=$COMPAT/lib/maven/$1.xml
    cmp -s "$pom" "$JARS/.complete" && return
    debian java default-jre-headless && debian mvn maven || return
    note "maven: jars of $1"
    rm -rf "$JARS"
    mvn -q -B --no-transfer-progress -Dstyle.color=never -f "$pom" dependency:copy-dependencies -DoutputDirectory="$JARS" -DincludeScope=runtime >&2 || return
    cp "$pom" "$JARS/.complete"
}

# npm_modules DIR: installs what DIR/package.json pins, into the cache; sets NODE_DIR, where the sources are copied.
npm_modules() {
    NODE_DIR=$CACHE/npm/$(basename "$1")
    debian npm nodejs npm || return
    mkdir -p "$NODE_DIR"
    cp "$1"/*.mjs "$COMPAT/lib/steps.mjs" "$NODE_DIR/"
    cmp -s "$1/package.json" "$NODE_DIR/package.json" && [ -f "$NODE_DIR/.complete" ] && return
    rm -f "$NODE_DIR/.complete"
    cp "$1/package.json" "$NODE_DIR/"
    note "npm install in $NODE_DIR"
    (cd "$NODE_DIR" && npm install --no-audit --no-fund --silent >&2) && touch "$NODE_DIR/.complete"
}

# go_program DIR: builds the Go program in DIR; sets GO_PROGRAM.
go_program() {
    command -v go >/dev/null || { note 'go (1.24 or newer) is not installed'; return 1; }
    GO_PROGRAM=$CACHE/go/$(basename "$1")
    note "go build $1"
    (cd "$1" && go build -o "$GO_PROGRAM" .) >&2
}

# Ends the script with one failure if an installation did not work.
need() { "$@" || { [ -n "${CLIENT:-}" ] || client unknown unknown; fail install "$*"; finish; }; }
