"""Fork, as Python programs do it: os.fork(), multiprocessing, and gunicorn with an application that is loaded before its
workers are forked. The engine is the parent's, which goes on with its requests; each child takes it over.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import unittest
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Self

from fetcher import GUARD_S, Fetcher
from test_ctypes import CODES, LIB, Handler, Server

HERE = Path(__file__).resolve().parent


class Traffic:
    """Requests of the parent's, one round after the other, until it is left."""

    def __init__(self, fetcher: Fetcher, url: str) -> None:
        self.fetcher, self.url = fetcher, url
        self.rounds, self.over = 0, False
        self.pool = ThreadPoolExecutor(1)

    def run(self) -> None:
        sizes = [n * 500 for n in range(64)]
        while not self.over:
            assert self.fetcher.fetch([f"{self.url}/{size}" for size in sizes]) == sizes
            self.rounds += 1

    def __enter__(self) -> Self:
        self.outcome = self.pool.submit(self.run)
        return self

    def __exit__(self, *_: object) -> None:
        self.over = True
        self.pool.shutdown()
        self.outcome.result()


# What children of multiprocessing work with: those of one test at a time.
inherited: list[Fetcher] = []


def take_over() -> None:
    for fetcher in inherited:
        fetcher.reset()


os.register_at_fork(after_in_child=take_over)


def fetch_in_child(url: str) -> tuple[int, list[int]]:
    signal.alarm(GUARD_S)
    return os.getpid(), [fetcher.fetch([url])[0] for fetcher in inherited]


class UnixConnection(HTTPConnection):
    """One request to gunicorn."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=GUARD_S)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(GUARD_S)
        self.sock.connect(str(self.path))


def listens(path: Path) -> bool:
    """The socket is there a moment before anybody listens."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


class ForkTest(unittest.TestCase):
    server: Server
    thread: threading.Thread
    url: str

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = Server(("127.0.0.1", 0), Handler)
        cls.thread = threading.Thread(target=cls.server.serve_forever)
        cls.thread.start()
        cls.url = f"http://127.0.0.1:{cls.server.server_port}"

    @classmethod
    def tearDownClass(cls) -> None:
        cls.server.shutdown()
        cls.thread.join()
        cls.server.server_close()

    def in_child(self, fetcher: Fetcher) -> None:
        before = fetcher.fd
        forked = CODES["CHTTP_E_FORKED"]
        assert LIB.chttp_queue_fd(fetcher.queue) == forked
        assert LIB.chttp_cancel(fetcher.engine, 1) == forked
        fetcher.reset()
        assert fetcher.fd != before
        for size in range(4):
            assert fetcher.fetch([f"{self.url}/{size}"] * 8) == [size] * 8
        fetcher.close()

    def test_os_fork(self) -> None:
        for io_threads in (0, 1):
            fetcher = Fetcher(io_threads)
            with Traffic(fetcher, self.url) as traffic:
                for _ in range(10):
                    rounds = traffic.rounds
                    child = os.fork()
                    if child == 0:
                        signal.alarm(GUARD_S)
                        status = 1
                        try:
                            self.in_child(fetcher)
                            status = 0
                        finally:
                            if status:
                                traceback.print_exc()
                            os._exit(status)
                    self.assertEqual(os.waitpid(child, 0)[1], 0)
                    while traffic.rounds < rounds + 2 and not traffic.outcome.done():
                        time.sleep(0.001)
            fetcher.close()

    def test_multiprocessing(self) -> None:
        inherited.extend(Fetcher(io_threads) for io_threads in (0, 1))
        busy = Fetcher(1)
        fork = multiprocessing.get_context("fork")
        with Traffic(busy, self.url), fork.Pool(3, maxtasksperchild=4) as pool:
            answers = pool.map(fetch_in_child, [f"{self.url}/{n}" for n in range(48)], chunksize=1)
        self.assertEqual([lengths for _, lengths in answers], [[n, n] for n in range(48)])
        self.assertGreaterEqual(len({pid for pid, _ in answers}), 3)
        # They are the parent's as before.
        self.assertEqual([fetcher.fetch([f"{self.url}/7"]) for fetcher in inherited], [[7], [7]])
        for fetcher in (*inherited, busy):
            fetcher.close()
        inherited.clear()

    def test_gunicorn_with_preload(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            address, report, log = (directory / part for part in ("socket", "report", "log"))
            # Workers end after some requests, so that the master forks again and again.
            options = ["--preload", "--workers=3", "--max-requests=5", f"--pythonpath={HERE}", f"--bind=unix:{address}"]
            command = [sys.executable, "-m", "gunicorn", "--no-control-socket", *options, "fork_app:app"]
            environment = os.environ | {"UPSTREAM": self.url, "REPORT": str(report)}
            with log.open("wb") as output:
                master = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
            try:
                self.wait_for(lambda: listens(address), master)
                workers = {self.ask(address, n) for n in range(60)}
                self.assertGreaterEqual(len(workers), 6)
                # The master went through all of that, and goes on.
                rounds = len(report.read_text().splitlines())
                self.wait_for(lambda: len(report.read_text().splitlines()) > rounds, master)
                self.assertEqual(set(report.read_text().splitlines()), {"fine"})
                master.send_signal(signal.SIGTERM)
                self.assertEqual(master.wait(GUARD_S), 0)
            except BaseException:
                print(log.read_text(), report.read_text() if report.exists() else "no report", file=sys.stderr)
                raise
            finally:
                if master.poll() is None:
                    master.kill()
                    master.wait()

    def wait_for(self, condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + GUARD_S
        while not condition():
            self.assertIsNone(process.poll(), "it has ended")
            self.assertLess(time.monotonic(), deadline, "it does nothing")
            time.sleep(0.005)

    def ask(self, address: Path, size: int) -> str:
        """Ask a worker for so many bytes; which one answered."""
        connection = UnixConnection(address)
        try:
            connection.request("GET", f"/{size}")
            answer = connection.getresponse()
            self.assertEqual((answer.status, len(answer.read())), (200, size))
            return str(answer.headers["X-Worker"])
        finally:
            connection.close()
