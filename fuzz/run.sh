#!/bin/sh
# Each fuzz target, or those that are named, for FUZZ_SECONDS (60) each, with what it found before (fuzz/corpus). What makes
# one fail is left in fuzz/artifacts, and is run again by giving its file to the program:
#
#   fuzz/run.sh [TARGET...]
#   target/fuzz/HOST/release/TARGET fuzz/artifacts/TARGET/crash-...
#
# The compiler that builds the library builds them, too: it has what tells libFuzzer which ways were taken, and there is no
# unsafe code in what they reach that a sanitizer would have to watch.
set -eu
cd "$(dirname "$0")/.."
seconds=${FUZZ_SECONDS:-60}
host=$(rustc -vV | sed -n 's/^host: //p')

coverage='-Cpasses=sancov-module'
for choice in level=4 inline-8bit-counters pc-table trace-compares; do
    coverage="$coverage -Cllvm-args=-sanitizer-coverage-$choice"
done
RUSTFLAGS="--cfg fuzzing -Ccodegen-units=1 -Cdebug-assertions=on -Coverflow-checks=on $coverage" \
    ${CARGO:-cargo} build --release --manifest-path fuzz/Cargo.toml --target "$host" --target-dir target/fuzz --bins

[ $# -gt 0 ] || set -- $(sed -n 's|^path = "fuzz_targets/\(.*\)\.rs"|\1|p' fuzz/Cargo.toml)
for target; do
    echo "--- $target"
    mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
    "target/fuzz/$host/release/$target" -max_total_time="$seconds" -max_len=8192 -timeout=10 -rss_limit_mb=2048 \
        -print_final_stats=1 -verbosity=0 -artifact_prefix="fuzz/artifacts/$target/" "fuzz/corpus/$target"
done
