"""Runs this library and libcurl side by side and prints tables of medians.

Method: the client is pinned to one processor and nginx to another; the rounds are interleaved (A B C, A B C, ...), so that
a machine whose speed drifts drifts for all; the main figure is the client's CPU time for a request (user and system), from
getrusage inside the measuring window; the last column is its ratio to libcurl in the same run. Traffic stays on loopback.
Differences below a tenth mean nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "bench"
BIG = 100_000_000


class Workload(NamedTuple):
    name: str
    title: str
    path: str
    mode: str
    conns: int


class Client(NamedTuple):
    name: str
    argv: list[str]


WORKLOADS = [
    Workload("get-1", "1-byte GET, 1 keep-alive connection", "/small", "get", 1),
    Workload("get-64", "1-byte GET, 64 keep-alive connections", "/small", "get", 64),
    Workload("get-256", "1-byte GET, 256 keep-alive connections", "/small", "get", 256),
    Workload("churn", "a connection for each request, 16 at a time", "/close", "churn", 16),
    Workload("download", "download of 100 MB", "/big", "download", 1),
    Workload("upload", "upload of 100 MB", "/upload", "upload", 1),
]

OURS = str(BUILD / "client")
CLIENTS = [
    Client("chttpcore, caller-driven, fd", [OURS, "--drive", "caller", "--via", "fd"]),
    Client("chttpcore, caller-driven, wait", [OURS, "--drive", "caller", "--via", "wait"]),
    Client("chttpcore, own thread, fd", [OURS, "--drive", "thread", "--via", "fd"]),
    Client("libcurl", [str(BUILD / "curl")]),
]

CONF = """
daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/error.log crit;
events {{ worker_connections 4096; multi_accept on; }}
http {{
    access_log off; sendfile on; keepalive_requests 1000000000; keepalive_timeout 600s; client_max_body_size 0;
    client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3; uwsgi_temp_path {dir}/t4;
    scgi_temp_path {dir}/t5; client_body_buffer_size 128m;
    server {{
        listen 127.0.0.1:{port} backlog=4096; root {dir};
        location = /small {{ return 200 "x"; }}
        location = /close {{ keepalive_timeout 0; return 200 "x"; }}
        location = /upload {{
            proxy_pass http://127.0.0.1:{port}/small; proxy_pass_request_body off;
            proxy_set_header Content-Length "";
        }}
    }}
}}
"""


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
        assert isinstance(port, int)
        return port


def start_nginx(directory: Path, text: str, cpu: int) -> subprocess.Popen[bytes]:
    (directory / "big").write_bytes(os.urandom(1 << 20) * (BIG >> 20) + bytes(BIG % (1 << 20)))
    conf = directory / "nginx.conf"
    conf.write_text(text)
    env = {**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin"}
    argv = ["taskset", "-c", str(cpu), "nginx", "-e", f"{directory}/error.log", "-c", str(conf)]
    server = subprocess.Popen(argv, env=env)
    while not (directory / "nginx.pid").exists():
        if server.poll() is not None:
            sys.exit((directory / "error.log").read_text())
        time.sleep(0.01)
    return server


def run(client: Client, work: Workload, port: int, args: argparse.Namespace) -> dict[str, float]:
    argv = ["taskset", "-c", str(args.client_cpu), *client.argv]
    argv += ["--url", f"http://127.0.0.1:{port}{work.path}", "--mode", work.mode, "--conns", str(work.conns)]
    argv += ["--seconds", str(args.seconds), "--upload-bytes", str(BIG)]
    out = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=120).stdout
    result = json.loads(out.splitlines()[-1])
    assert isinstance(result, dict)
    if result["errors"]:
        print(f"{client.name}: {result['errors']} errors on {work.name}", file=sys.stderr)
    if not result["n"]:
        sys.exit(f"{client.name}: nothing was finished on {work.name}; give it more --seconds")
    per = result["bytes"] / 1e9 * 1e6 if work.mode in ("download", "upload") else result["n"]
    return {"cost": result["cpu_us"] / per, "rate": result["n"] / result["sec"], "errors": result["errors"]}


def table(work: Workload, runs: dict[str, list[dict[str, float]]]) -> None:
    by_size = work.mode in ("download", "upload")
    print(f"\n{work.name}: {work.title}\n")
    print(f"| client | {'CPU s/GB' if by_size else 'CPU µs/request'} | min-max | requests/s | errors | × libcurl |")
    print("|---|--:|--:|--:|--:|--:|")
    base = statistics.median(r["cost"] for r in runs["libcurl"])
    for name, rounds in runs.items():
        costs = [r["cost"] for r in rounds]
        median = statistics.median(costs)
        rate = statistics.median(r["rate"] for r in rounds)
        digits = 3 if by_size else 2
        span = f"{min(costs):.{digits}f}-{max(costs):.{digits}f}"
        failed = int(sum(r["errors"] for r in rounds))
        print(f"| {name} | {median:.{digits}f} | {span} | {rate:,.0f} | {failed} | {median / base:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workloads", nargs="*", help="names; all without any: " + ", ".join(w.name for w in WORKLOADS))
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--client-cpu", type=int, default=1)
    parser.add_argument("--server-cpu", type=int, default=0)
    args = parser.parse_args()
    if (os.cpu_count() or 1) < 2:
        sys.exit("two processors are needed, one for the client and one for the server")
    chosen = [w for w in WORKLOADS if not args.workloads or w.name in args.workloads]
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="chttpcore-bench-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        server = start_nginx(directory, CONF.format(dir=directory, port=port), args.server_cpu)
        try:
            for work in chosen:
                runs: dict[str, list[dict[str, float]]] = {c.name: [] for c in CLIENTS}
                for _ in range(args.reps):
                    for client in CLIENTS:
                        runs[client.name].append(run(client, work, port, args))
                table(work, runs)
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
