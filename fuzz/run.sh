#!/usr/bin/env bash
# Fuzzes every target for a while on one core and prints one table.
#
#   fuzz/run.sh [SECONDS [TARGET...]]    for each target (default 60); all targets unless some are named
#
# Stable Rust is enough. Needs cargo-fuzz (`cargo install cargo-fuzz`) and Python 3. An input that failed is in
# fuzz/artifacts/TARGET/; the exit code is 0 only if there is none and every target ran.
set -u
cd "$(dirname "$0")" || exit 1
seconds=${1:-60}
shift
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(sed -n 's/^name = "\(.*\)"$/\1/p' Cargo.toml | tail -n +2)
command -v cargo-fuzz >/dev/null || { echo 'cargo install cargo-fuzz'; exit 1; }
python3 seeds.py || exit 1
mkdir -p logs
table='' bad=0
for target in "${targets[@]}"; do
    echo "=== $target: $seconds s"
    mkdir -p "corpus/$target" "seeds/$target"
    (cd .. && CARGO_BUILD_JOBS=1 nice -n 19 cargo fuzz run --dev -s none "$target" \
        "fuzz/corpus/$target" "fuzz/seeds/$target" -- -max_total_time="$seconds" -max_len=20000 -timeout=10 \
        -rss_limit_mb=512 -print_final_stats=1) 2>&1 | tee "logs/$target.log" | grep -aE '^#|^==|panicked|ERROR|Compiling interfluve'
    rc=${PIPESTATUS[0]}
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "logs/$target.log" | tail -n 1)
    peak=$(sed -n 's/^stat::peak_rss_mb: *//p' "logs/$target.log" | tail -n 1)
    edges=$(grep -aoE 'cov: [0-9]+' "logs/$target.log" | tail -n 1 | cut -d' ' -f2)
    [ "$rc" = 0 ] && [ -n "$runs" ] && word=clean || { word="**failed, exit $rc**"; bad=1; }
    table+="| $target | $seconds | ${runs:--} | ${edges:--} | ${peak:--} | $word |"$'\n'
done
printf '\n| target | s | inputs | edges | peak MiB | result |\n|---|--:|--:|--:|--:|---|\n%s' "$table"
exit $bad
