#!/bin/sh
# `make bench`: this library beside libcurl, on this machine. Installs what it needs when run as root.
#
#   bench/run.sh [--reps N] [--seconds S] [WORKLOAD ...]
set -eu
cd "$(dirname "$0")/.."
missing=
command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || missing="$missing nginx-light"
[ -e /usr/include/x86_64-linux-gnu/curl/curl.h ] || [ -e /usr/include/curl/curl.h ] || missing="$missing libcurl4-openssl-dev"
if [ -n "$missing" ]; then
    # The names are words of their own.
    # shellcheck disable=SC2086
    if [ "$(id -u)" = 0 ]; then
        apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends $missing
    else
        echo "needed: apt-get install$missing" >&2
        exit 1
    fi
fi
mkdir -p build/bench
${CC:-cc} -std=c11 -O2 -Wall -Wextra -Werror -Ibuild/include -o build/bench/client bench/client.c \
    -Lbuild/lib -lchttpcore -Wl,-rpath,"$PWD/build/lib"
${CC:-cc} -std=c11 -O2 -o build/bench/curl bench/peers/curl.c -lcurl
python3 bench/run.py "$@"
[ $# -gt 0 ] || python3 bench/http2.py
