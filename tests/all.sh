#!/bin/sh
# Everything that continuous integration runs. Each part runs whatever became of the others, and its output is kept in
# build/PART.log. The last lines say what failed, and why.
set -u
cd "$(dirname "$0")/.."
failed=

part() {
    name=$1
    shift
    { "$@" 2>&1 && echo passed >"build/$name.verdict" || echo failed >"build/$name.verdict"; } | tee "build/$name.log"
    grep -q passed "build/$name.verdict" || failed="$failed $name"
}

part lint "${MAKE:-make}" --no-print-directory lint
part python tests/python.sh
part cargo-test "${CARGO:-cargo}" test --no-fail-fast
# Whether the tests that docs/contract.md names were run, by whatever way one may be lost.
part contract python3 tests/ran.py build/cargo-test.log

[ -n "$failed" ] || exit 0
python3 tests/failures.py build/python.log build/cargo-test.log
echo "failed:$failed" >&2
exit 1
