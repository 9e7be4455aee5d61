#!/bin/sh
# The demo: compiles demo_server.c and demo.c, starts the server on loopback and runs the demo against it; then
# demo.py, where the Python binding exists. Needs the built library, a C compiler and python3, and no network.
# `run.sh URL` fetches that address instead and starts no server.
set -eu
cd "$(dirname "$0")/../.."

out=build/demo
mkdir -p "$out"
compile() { ${CC:-cc} -std=c11 -O2 -Wall -Wextra -Werror -Ibuild/include "$@"; }
[ "$#" -gt 0 ] || compile -o "$out/demo_server" examples/demo/demo_server.c c_tests/support/test_server.c
compile -o "$out/demo" examples/demo/demo.c -Lbuild/lib -lchttpcore -Wl,-rpath,"$PWD/build/lib"

if [ "$#" -gt 0 ]; then
    exec "$out/demo" --fetch "$1"
fi

# The server lives as long as descriptor 3 of this shell is open, however the shell ends.
rm -f "$out/lifeline" "$out/port"
mkfifo "$out/lifeline" "$out/port"
"$out/demo_server" <"$out/lifeline" >"$out/port" &
exec 3>"$out/lifeline" 4<"$out/port"
read -r _ port <&4
exec 4<&-

"$out/demo" "http://127.0.0.1:$port" 3>&-
if [ -e examples/demo/demo.py ]; then
    CHTTPCORE_LIBRARY=$PWD/build/lib/libchttpcore.so PYTHONPATH=bindings/python \
        python3 examples/demo/demo.py "http://127.0.0.1:$port" 3>&-
fi
