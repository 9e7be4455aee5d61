#!/bin/sh
# The long run: REQUESTS (one million) requests through the poll-fd to nginx at 64 connections, in both drives. No error,
# memory that stays where it is after a fifth of the way, and the budget of system calls. Prints the figures. Then cancels at
# random, ten thousand idle connections over TLS, and, for CHTTP_SOAK_MINUTES (30), a thousand WebSockets and a thousand
# streams of events at once to a server that is killed again and again.
#
#   tests/soak.sh [REQUESTS]
set -eu
cd "$(dirname "$0")/.."
requests=${1:-1000000}
# A busy machine lets connections rest for so long that they are looked at before they are used again. That is one call
# more, which a sample allows.
calls=2.02
[ $# -eq 0 ] || calls=3

mkdir -p build/soak
dir=$(mktemp -d "$PWD/build/soak/run.XXXXXX")
nginx=
finish() {
    if [ -n "$nginx" ]; then
        kill "$nginx" 2>/dev/null || :
        wait "$nginx" 2>/dev/null || :
    fi
    rm -rf "$dir"
}
trap finish EXIT
trap 'exit 1' HUP INT TERM

client=$dir/client
${CC:-cc} -std=c11 -O2 -Wall -Wextra -Werror -Ibuild/include -o "$client" bench/client.c \
    -Lbuild/lib -lchttpcore -Wl,-rpath,"$PWD/build/lib"

# Free a moment ago. Should somebody take it in between, nginx says so and the run fails.
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
mkdir "$dir/tmp"
cat >"$dir/nginx.conf" <<CONF
daemon off;
worker_processes 1;
pid $dir/nginx.pid;
error_log $dir/error.log warn;
events { worker_connections 1024; multi_accept on; }
http {
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 600s;
    client_body_temp_path $dir/tmp/body;
    proxy_temp_path $dir/tmp/proxy;
    fastcgi_temp_path $dir/tmp/fastcgi;
    uwsgi_temp_path $dir/tmp/uwsgi;
    scgi_temp_path $dir/tmp/scgi;
    server {
        listen 127.0.0.1:$port backlog=1024;
        location = /small { return 200 "small"; }
    }
}
CONF
PATH=$PATH:/usr/sbin
nginx -p "$dir" -e "$dir/error.log" -c "$dir/nginx.conf" &
nginx=$!
# It listens before it writes its pid.
until [ -s "$dir/nginx.pid" ]; do
    kill -0 "$nginx" 2>/dev/null || { cat "$dir/error.log" >&2; exit 1; }
    sleep 0.01
done

failed=
for drive in thread caller; do
    echo "drive: $drive"
    "$client" --url "http://127.0.0.1:$port/small" --mode get --conns 64 --drive "$drive" --via fd \
        --requests "$requests" >"$dir/figures" || { echo "the client failed" >&2; failed=1; }
    sed 's/^/  /' "$dir/figures"
    awk -v requests="$requests" -v calls="$calls" '
        { gsub(/[{}":,]/, " "); for (i = 1; i < NF; i++) value[$i] = $(i + 1) }
        function check(what, good) { if (!good) { print "  FAILED: " what; bad = 1 } }
        END {
            grown = value["at_end_kb"] - value["at_20_percent_kb"]
            check("every request succeeds", value["requests"] == requests && value["errors"] "" == "0")
            check("connections stay open", value["opened"] == 64 && value["retried"] + value["failed"] == 0)
            check(calls " socket calls a request", value["socket_calls"] > 0 && value["socket_calls"] <= calls)
            check("0.3 notifier calls a request", value["notifier_calls"] "" != "" && value["notifier_calls"] <= 0.3)
            check("memory stays within 1 MiB", value["at_end_kb"] > 0 && grown < 1024 && grown > -1024)
            exit bad
        }' "$dir/figures" || failed=1
done
test -z "$failed"

# The same at random: cancels, and a server that closes wherever it likes.
if [ $# -eq 0 ]; then
    CHTTP_SOAK_CANCELS=100000 ${CARGO:-cargo} test --quiet --release --test soak -- --nocapture cancels
    CHTTP_IDLE_TLS=10000 ${CARGO:-cargo} test --quiet --release --test idle_tls -- --nocapture
    CHTTP_SOAK_MINUTES=${CHTTP_SOAK_MINUTES:-30} ${CARGO:-cargo} test --quiet --release --test soak_streams -- --nocapture
fi
