#!/bin/sh
# Python: `tests/python.sh lint` runs ruff and mypy over every Python file of the project; without an argument the
# binding's own tests run. Tools come into build/venv, so that nothing has to be installed by hand.
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
lint)
    [ -n "$(python_files)" ] || exit 0
    prepare
    python_files | xargs -d '\n' "$venv/bin/ruff" check --quiet
    # Two directories may each have a `demo.py`: module names are paths, except for the binding's package.
    python_files | MYPYPATH=bindings/python xargs -d '\n' \
        "$venv/bin/mypy" --strict --explicit-package-bases --no-error-summary --cache-dir build/mypy
    ;;
test)
    [ -e bindings/python/pyproject.toml ] || exit 0
    prepare
    "$venv/bin/pip" install --quiet --disable-pip-version-check --force-reinstall --no-deps ./bindings/python
    "$venv/bin/python" -m unittest discover --start-directory bindings/python/tests
    ;;
*)
    echo "usage: $0 [lint|test]" >&2
    exit 2
    ;;
esac
