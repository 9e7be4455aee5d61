"""A WSGI application that gunicorn loads before it forks its workers (`--preload`): the engine is made in the master, where a
thread keeps it busy, and each worker takes it over. `/N` answers N bytes that come from UPSTREAM, and who fetched them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from fetcher import Fetcher

UPSTREAM = os.environ["UPSTREAM"]
REPORT = Path(os.environ["REPORT"])
MASTER = os.getpid()

fetcher = Fetcher(1)
busy = Fetcher(0)
os.register_at_fork(after_in_child=fetcher.reset)


def keep_busy() -> None:
    """One line for each round, or what went wrong."""
    with REPORT.open("w", buffering=1, encoding="utf-8") as report:
        try:
            while True:
                assert fetcher.fetch([f"{UPSTREAM}/{n * 1000}" for n in range(16)]) == [n * 1000 for n in range(16)]
                assert busy.fetch([f"{UPSTREAM}/1"] * 4) == [1] * 4
                report.write("fine\n")
        except BaseException as error:
            report.write(f"{error!r}\n")
            raise


threading.Thread(target=keep_busy, daemon=True).start()


def app(environ: dict[str, Any], start_response: Callable[[str, list[tuple[str, str]]], object]) -> Iterable[bytes]:
    assert os.getpid() != MASTER
    (length,) = fetcher.fetch([UPSTREAM + environ["PATH_INFO"]])
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Worker", str(os.getpid()))])
    return [b"x" * length]
