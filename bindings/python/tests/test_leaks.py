"""Descriptors and memory, after many of everything."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

import c_http_core
from c_http_core import AsyncClient, Client, Timeout, TLSContext
from conftest import LONG, LOOPS, TLSServers, open_descriptors, resident


def thread_names() -> Iterator[str]:
    for task in Path("/proc/self/task").glob("*/comm"):
        try:
            yield task.read_text()
        except OSError:
            pass  # It has ended meanwhile.


def settle() -> None:
    """Wait for the threads of engines that were released and not closed."""
    gc.collect()
    began = time.monotonic()
    while any(name.startswith("chttp-io") for name in thread_names()):
        assert time.monotonic() - began < LONG
        time.sleep(0.01)


def does_not_grow(work: Callable[[], Any], rounds: int, most: int) -> None:
    """Memory may grow in the first rounds, while caches fill; then by less than `most` bytes in each.

    Allocators keep and return memory as they like, so that the least of several rounds is what counts.
    """

    def least() -> int:
        sizes = []
        for _ in range(rounds):
            work()
            settle()
            sizes.append(resident())
        return min(sizes)

    for _ in range(rounds):
        work()
    before, descriptors = least(), open_descriptors()
    assert (least() - before) / rounds < most
    assert open_descriptors() == descriptors


def test_requests(url: str) -> None:
    with Client(base_url=url) as client:

        def work() -> None:
            for _ in range(40):
                client.get("/headers", headers={"X": "1"}).headers.get("x")
                client.post("/echo", content=b"x" * 100_000).view()
                assert client.post("/echo", content=iter([b"x" * 1000])).content
                with client.stream("GET", "/bytes/100000") as response:
                    response.read()
            with pytest.raises(c_http_core.ReadTimeout):
                client.get("/hang", timeout=Timeout(read=0.001))
            with client.stream("GET", "/bytes/10000000") as response:
                next(response.iter_views())

        does_not_grow(work, 8, 100_000)


def test_clients(url: str, tls_servers: TLSServers) -> None:
    def work() -> None:
        for closed in (True, False):
            context = TLSContext(ca=tls_servers.ca)
            client = Client(tls=context)
            client.get(f"{url}/")
            client.get(tls_servers.url())
            stream = client.stream("GET", f"{url}/bytes/10000000")
            stream.__enter__()
            if closed:
                client.close()
            del client, stream
            gc.collect()

    does_not_grow(work, 6, 200_000)


@pytest.mark.parametrize("io_threads", [0, 1])
def test_async_clients(url: str, io_threads: int) -> None:
    async def main() -> None:
        for closed in (True, False):
            client = AsyncClient(options={"io_threads": io_threads})
            await asyncio.gather(*(client.get(f"{url}/bytes/1000") for _ in range(20)))
            task = asyncio.ensure_future(client.get(f"{url}/hang"))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            async with client.stream("GET", f"{url}/bytes/10000000") as response:
                await response.aiter_views().__anext__()
            if closed:
                await client.aclose()

    does_not_grow(lambda: LOOPS["asyncio"](main), 10, 200_000)


def test_errors(url: str) -> None:
    def work() -> None:
        with Client() as client:
            for _ in range(100):
                for bad in ("ftp://x/", "http://127.0.0.1:1/", f"{url}/garbage"):
                    with pytest.raises(c_http_core.RequestError):
                        client.get(bad)

    does_not_grow(work, 5, 150_000)
