#!/usr/bin/env bash
# The tours of README.md, word for word, but on the ports of a server of their own.
. "$(dirname "$0")/../lib/common.sh"
client readme "$(git -C "$ROOT" log -1 --format=%cs -- README.md)"
debian kcat kcat || need false
need venv aws-cli "awscli==$AWSCLI"
export PATH=$VENV/bin:$PATH
broker

# block NAME: the commands that stand in the README behind `<!-- tour NAME -->`.
block() {
    awk -v mark="<!-- tour $1 -->" '$0 == mark { on = 1; next } on && /^```$/ { exit } on && !/^```/' "$ROOT/README.md" |
        sed "s|127\.0\.0\.1:9092|$KAFKA|g; s|http://127\.0\.0\.1:4566|$KINESIS|g"
}
# tour NAME PATTERN...: runs the commands, each of which must succeed, and looks for every pattern in what they say.
# What an earlier tour exported holds for the later ones, as in the shell of someone who reads on.
tour() {
    local name=$1 said pattern
    shift
    block "$name" >"$WORK/$name.sh"
    [ -s "$WORK/$name.sh" ] || { echo "README.md has no tour $name"; return 1; }
    grep '^export' "$WORK/$name.sh" >>"$WORK/exports.sh"
    said=$(touch "$WORK/exports.sh"; . "$WORK/exports.sh"; bash -eu "$WORK/$name.sh" 2>&1) || { echo "$said"; return 1; }
    for pattern; do
        grep -Eq -- "$pattern" <<<"$said" || { echo "no match for: $pattern"; echo "$said"; return 1; }
    done
}

check tour-kafka tour kafka 'partition 0 offset 2: ann = \{"total": 8\}' '^\{"total": 5\}$'
check tour-kinesis tour kinesis '"Data": "aGVsbG8="' '"PartitionKey": "ann"' '"MillisBehindLatest": 0'
check tour-migrator tour migrator 'offset 1: ann = again' 'sequence number [0-9]+ is offset 3$' '^offset 3: from kafka$'
finish
