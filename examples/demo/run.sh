#!/bin/sh
# The demo: compiles its programs, starts its two servers on loopback and runs the demo against them; then demo.py, where
# the Python binding exists. Needs the built library, a C compiler and python3, and no network.
# `run.sh URL` fetches that address instead and starts no server.
set -eu
cd "$(dirname "$0")/../.."

here=examples/demo
out=build/demo
mkdir -p "$out"
compile() { ${CC:-cc} -std=c11 -O2 -Wall -Wextra -Werror -Ibuild/include "$@"; }
[ "$#" -gt 0 ] || compile -o "$out/demo_server" "$here/demo_server.c" c_tests/support/*.c
compile -o "$out/demo" "$here/demo.c" "$here/demo_kit.c" "$here/demo_load.c" "$here/demo_tls.c" \
    -Lbuild/lib -lchttpcore -Wl,-rpath,"$PWD/build/lib"

if [ "$#" -gt 0 ]; then
    exec "$out/demo" --fetch "$1"
fi
python3 -c 'import ssl' || { echo 'the demo needs python3 with its ssl module, for the server of https' >&2; exit 1; }

# The servers live as long as descriptor 3 of this shell is open, however the shell ends. It is open for both directions, so
# that opening it waits for nobody.
rm -f "$out/lifeline" "$out/port" "$out/ports"
mkfifo "$out/lifeline" "$out/port" "$out/ports"
exec 3<>"$out/lifeline"
"$out/demo_server" <"$out/lifeline" >"$out/port" 3>&- &
python3 "$here/demo_tls_server.py" <"$out/lifeline" >"$out/ports" 3>&- &
read -r _ port <"$out/port"
read -r _ tls_port mutual_port <"$out/ports"

failed=0
"$out/demo" "http://127.0.0.1:$port" "$here/tls" "$tls_port" "$mutual_port" 3>&- || failed=$?
if [ -e "$here/demo.py" ]; then
    CHTTPCORE_LIBRARY=$PWD/build/lib/libchttpcore.so PYTHONPATH=bindings/python \
        python3 "$here/demo.py" "http://127.0.0.1:$port" 3>&- || failed=$?
fi
exec 3>&-
wait
exit "$failed"
