#!/bin/sh
# Python: `tests/python.sh lint` runs ruff and mypy over every Python file of the project; without an argument the
# binding's own tests run. Tools come into build/venv, so that nothing has to be installed by hand; `tests/python.sh venv` makes
# that alone.
set -eu
cd "$(dirname "$0")/.."

python_files() {
    find . \( -name build -o -name target -o -name '.?*' \) -prune -o \( -name '*.py' -o -name '*.pyi' \) -print
}

venv=build/venv
prepare() {
    if [ ! -e "$venv/stamp" ] || [ tests/requirements.txt -nt "$venv/stamp" ]; then
        rm -rf "$venv"
        python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement tests/requirements.txt
        touch "$venv/stamp"
    fi
}

case "${1:-test}" in
venv)
    prepare
    ;;
lint)
    [ -n "$(python_files)" ] || exit 0
    prepare
    python_files | xargs -d '\n' "$venv/bin/ruff" check --quiet
    "$venv/bin/ruff" format --quiet --check bindings/python tools/python --config bindings/python/pyproject.toml
    # Two directories may each have a `demo.py`: module names are paths, except for the binding's package and tests.
    python_files | MYPYPATH=bench:bindings/python:bindings/python/tests:tests/ctypes xargs -d '\n' \
        "$venv/bin/mypy" --strict --explicit-package-bases --no-error-summary --cache-dir build/mypy
    ;;
test)
    prepare
    # What is tested is what is installed: a wheel with the library in it, and no other.
    unset CHTTPCORE_LIBRARY
    "$venv/bin/pip" install --quiet --disable-pip-version-check --force-reinstall --no-deps ./bindings/python
    MYPYPATH=bindings/python "$venv/bin/stubtest" c_http_core --concise --allowlist bindings/python/tests/stubtest.allow
    C_HTTP_CORE_FFI=cffi "$venv/bin/python" -m pytest bindings/python/tests
    # What does not depend on the back end is tested once.
    C_HTTP_CORE_FFI=ctypes "$venv/bin/python" -m pytest bindings/python/tests \
        --ignore=bindings/python/tests/test_guide.py --ignore=bindings/python/tests/test_package.py \
        --deselect=bindings/python/tests/test_exit.py::test_exits
    ;;
*)
    echo "usage: $0 [lint|test|venv]" >&2
    exit 2
    ;;
esac
