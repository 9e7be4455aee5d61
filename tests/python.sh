#!/bin/sh
# Python: `tests/python.sh lint` runs ruff and mypy over every Python file of the project; without an argument the
# binding's own tests run. Tools come into build/venv, so that nothing has to be installed by hand.
set -eu
cd "$(dirname "$0")/.."

python_files() {
    # Files that git ignores are built ones.
    git ls-files --cached --others --exclude-standard -- '*.py' '*.pyi'
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
    python_files | xargs -d '\n' "$venv/bin/mypy" --strict --no-error-summary --cache-dir build/mypy
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
