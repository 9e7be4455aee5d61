#!/bin/sh
# Installs what the tests need beyond the Rust toolchain: as root it does so, otherwise it prints the command.
# Quick when nothing is missing, because `make test` always begins with it.
set -eu

missing=
need() {
    case " $missing " in
    *" $1 "*) ;;
    *) missing="$missing $1" ;;
    esac
}
has() { command -v "$1" >/dev/null 2>&1; }

has make || need make
has cc || need gcc
has c++ || need g++
has ld || need binutils
has pkg-config || need pkg-config
has cmake || need cmake
has man || need man-db
has valgrind || need valgrind
has python3 || need python3
has nginx || [ -x /usr/sbin/nginx ] || need nginx-light
has nghttpd || need nghttp2-server
has openssl || need openssl
has node || need nodejs
has npm || need npm

# The event loops of examples/loops.
if has pkg-config; then
    pkg-config --exists libuv || need libuv1-dev
    pkg-config --exists glib-2.0 || need libglib2.0-dev
    pkg-config --exists libevent || need libevent-dev
else
    need libuv1-dev
    need libglib2.0-dev
    need libevent-dev
fi
echo '#include <boost/version.hpp>' | c++ -x c++ -E - >/dev/null 2>&1 || need libboost-dev

# A compiler can be there without the headers of the C library.
echo '#include <stdio.h>' | cc -E - >/dev/null 2>&1 || need libc6-dev

# valgrind replaces functions inside ld.so and finds them by symbols that Debian ships apart.
if has dpkg-query; then
    dpkg-query -W -f '${db:Status-Status}' libc6-dbg 2>/dev/null | grep -qx installed || need libc6-dbg
fi

# Debian splits off the part of Python that makes virtual environments.
if has python3; then
    python3 -c 'import ensurepip, venv' 2>/dev/null || need python3-venv
else
    need python3-venv
fi

[ -n "$missing" ] || exit 0

# The list is meant to be split into words.
# shellcheck disable=SC2086
if [ "$(id -u)" -ne 0 ] || ! has apt-get; then
    echo "The tests need packages that are not installed. As root:" >&2
    echo "  apt-get update && apt-get install --yes --no-install-recommends$missing" >&2
    exit 1
else
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install --yes --quiet --no-install-recommends $missing
fi
