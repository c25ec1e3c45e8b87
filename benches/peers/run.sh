#!/usr/bin/env bash
# Measures us beside Apache Kafka 4.4 (and ferrokinesis for PutRecords) and writes the table of docs/performance.md.
#
#   benches/peers/run.sh [--pairs N] [--mib N] [--only WORK,WORK] [--sides interfluve,kafka-4.4]
#
# Pairs are interleaved (ours, theirs, theirs, ours, …), never at the same time; the table shows medians and their ratio.
# Nothing else should run on the machine meanwhile.
set -u
cd "$(dirname "$0")/../.." || exit 1
. compat/lib/common.sh
maven kafka-4.4 || exit 1
go_program benches/peers/load || exit 1
case " $* " in *' --only '*) ;; *)
    if [ -z "${FERROKINESIS_BIN:-}" ] && ! [ -x "$CACHE/cargo/bin/ferrokinesis" ]; then
        note 'cargo install ferrokinesis: some minutes, once'
        cargo install -q --root "$CACHE/cargo" "ferrokinesis@$FERROKINESIS_VERSION" || exit 1
    fi ;;
esac
command="benches/peers/run.sh $*"
PYTHONPATH=compat/lib LOAD=$GO_PROGRAM exec python3 benches/peers/run.py --command "$command" "$@"
