"""HTTP/2 beside HTTP/1.1 of this library, where sharing a connection could make it the slower one.

streams: 1,000 requests at once, to a server that allows 10 streams on a connection and takes 20 ms for an answer; both
versions may open as many connections. distance: 100 MB through a proxy that holds every byte back for 50 ms in each direction,
with the default options. The figure is time, start to end with connecting; rounds are interleaved, figures are medians.

With --load instead: 100,000 requests over one connection of 100 streams, and over ten of 10, to nginx, to nginx that is told
to reload all the time (GOAWAY), and to nghttpd. Any error ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import multiprocessing
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import run

LOAD = 100_000
RELOAD_S = 0.3
AT_ONCE = 1000
ALLOWED = 10
ANSWER_S = 0.02
ONE_WAY_S = 0.05
# What may be on its way in one direction: the largest window that Linux gives a socket by itself (the end of tcp_rmem). A way
# without such an end is none that TCP knows.
UNDER_WAY = 6 << 20

CONF = """
daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/error.log crit;
events {{ worker_connections 8192; multi_accept on; }}
http {{
    access_log off; sendfile on; keepalive_requests 1000000000; http2_max_concurrent_streams {allowed};
    client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3; uwsgi_temp_path {dir}/t4;
    scgi_temp_path {dir}/t5;
    upstream slow {{ server 127.0.0.1:{slow}; keepalive 1024; }}
    server {{
        listen 127.0.0.1:{one} backlog=4096; listen 127.0.0.1:{two} http2 backlog=4096; root {dir};
        location = /slow {{ proxy_pass http://slow; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
}}
"""


async def answer_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            await asyncio.sleep(ANSWER_S)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx")
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def hold_back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hand on what comes, each piece so much later."""
    pieces: collections.deque[tuple[float, bytes]] = collections.deque()
    change = asyncio.Condition()
    size = 0

    def has_room() -> bool:
        return size < UNDER_WAY

    async def deliver() -> None:
        nonlocal size
        while True:
            async with change:
                await change.wait_for(lambda: bool(pieces))
                due, piece = pieces.popleft()
                size -= len(piece)
                change.notify_all()
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            if not piece:
                return writer.close()
            writer.write(piece)
            await writer.drain()

    delivery = asyncio.create_task(deliver())
    try:
        while True:
            piece = await reader.read(1 << 18)
            async with change:
                await change.wait_for(has_room)
                pieces.append((time.monotonic() + ONE_WAY_S, piece))
                size += len(piece)
                change.notify_all()
            if not piece:
                break
        await delivery
    except ConnectionError:
        delivery.cancel()
        writer.close()


def peers(slow: int, ways: dict[int, int]) -> None:
    """The slow server, and a proxy for each port to another."""

    async def main() -> None:
        await asyncio.start_server(answer_late, "127.0.0.1", slow, backlog=4096)
        for port, target in ways.items():

            async def through(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to: int = target) -> None:
                back, forth = await asyncio.open_connection("127.0.0.1", to, limit=1 << 20)
                await asyncio.gather(hold_back(reader, forth), hold_back(back, writer), return_exceptions=True)

            await asyncio.start_server(through, "127.0.0.1", port, limit=1 << 20)
        await asyncio.Event().wait()

    asyncio.run(main())


def once(port: int, path: str, h2: bool, args: argparse.Namespace, more: list[str]) -> float:
    argv = ["taskset", "-c", str(args.client_cpu), run.OURS, "--url", f"http://127.0.0.1:{port}{path}", *more]
    argv += ["--drive", args.drive, *(["--h2"] if h2 else [])]
    out = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=120).stdout
    result = json.loads(out.splitlines()[-1])
    if result["errors"]:
        sys.exit(f"{result['errors']} errors on {path}")
    return float(result["sec"])


def under_load(args: argparse.Namespace) -> None:
    one, two, behind, slow = (run.free_port() for _ in range(4))
    with tempfile.TemporaryDirectory(prefix="chttpcore-bench-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        (directory / "small").write_bytes(b"x" * 100)
        nginx = run.start_nginx(
            directory, CONF.format(dir=name, allowed=128, slow=slow, one=one, two=two), args.server_cpu
        )
        nghttpd = subprocess.Popen(["nghttpd", "--no-tls", "-d", name, str(behind)])
        while socket.socket().connect_ex(("127.0.0.1", behind)) != 0:
            time.sleep(0.01)
        over = threading.Event()

        def reload() -> None:
            while not over.wait(RELOAD_S):
                nginx.send_signal(signal.SIGHUP)

        reloading = threading.Thread(target=reload)
        try:
            print("| | connections x streams | seconds |\n|---|---|--:|")
            for title, port in (("nghttpd", behind), ("nginx", two), ("nginx, reloading", two)):
                if title != "nginx" and port == two:
                    reloading.start()
                for connections in (1, 10):
                    streams = 100 // connections
                    more = ["--mode", "get", "--requests", str(LOAD), "--conns", str(connections)]
                    seconds = once(port, "/small", True, args, [*more, "--streams", str(streams)])
                    print(f"| {title} | {connections} x {streams} | {seconds:.2f} |", flush=True)
        finally:
            over.set()
            if reloading.is_alive():
                reloading.join()
            for server in (nginx, nghttpd):
                server.terminate()
                server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reps", type=int, default=7)
    parser.add_argument("--drive", default="caller", choices=("caller", "thread"))
    parser.add_argument("--client-cpu", type=int, default=1)
    parser.add_argument("--server-cpu", type=int, default=0)
    parser.add_argument("--load", action="store_true")
    args = parser.parse_args()
    if args.load:
        under_load(args)
        return
    one, two, slow, far_one, far_two = (run.free_port() for _ in range(5))
    with tempfile.TemporaryDirectory(prefix="chttpcore-bench-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        conf = CONF.format(dir=name, allowed=ALLOWED, slow=slow, one=one, two=two)
        server = run.start_nginx(directory, conf, args.server_cpu)
        helper = multiprocessing.Process(target=peers, args=(slow, {far_one: one, far_two: two}), daemon=True)
        helper.start()
        try:
            rows: dict[str, tuple[str, dict[bool, int], list[str]]] = {}
            for connections in (10, 50, 100):
                many = ["--mode", "get", "--requests", str(AT_ONCE), "--conns", str(connections)]
                many += ["--streams", str(AT_ONCE // connections)]
                rows[f"streams, {connections} connections"] = ("/slow", {False: one, True: two}, many)
            rows["distance"] = ("/big", {False: far_one, True: far_two}, ["--mode", "download", "--requests", "1"])
            print("| | HTTP/1.1, s | HTTP/2, s | x HTTP/1.1 |\n|---|--:|--:|--:|")
            for title, (path, ports, more) in rows.items():
                times: dict[bool, list[float]] = {False: [], True: []}
                for _ in range(args.reps):
                    for h2, seconds in times.items():
                        seconds.append(once(ports[h2], path, h2, args, more))
                first, second = (statistics.median(times[h2]) for h2 in (False, True))
                print(f"| {title} | {first:.3f} | {second:.3f} | {second / first:.2f} |", flush=True)
        finally:
            helper.terminate()
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
