"""The event loop of the network module, inside each of the loops."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from c_http_core import network
from c_http_core.network import EpollEventLoop
from conftest import LONG, LOOPS, Run, open_descriptors


@pytest.fixture
def loop() -> Iterator[EpollEventLoop]:
    with EpollEventLoop() as made:
        yield made


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(LONG)
    with ours, theirs:
        yield ours, theirs


Pair = tuple[socket.socket, socket.socket]


def test_readers_and_writers(loop: EpollEventLoop, pair: Pair, run: Run[None]) -> None:
    ours, theirs = pair
    read: list[bytes] = []

    def readable(size: int) -> None:
        data = ours.recv(size)
        read.append(data)
        if not data:
            loop.remove_reader(ours.fileno())
            loop.stop()

    def writable() -> None:
        ours.sendall(b"written")
        loop.remove_writer(ours.fileno())
        loop.remove_writer(ours.fileno())
        assert theirs.recv(100) == b"written"
        theirs.sendall(b"abcde")
        theirs.shutdown(socket.SHUT_WR)

    loop.add_reader(ours.fileno(), readable, 2)
    loop.add_writer(ours.fileno(), writable)
    assert not loop.is_running
    run(loop.run_forever)
    # What was not read is told again.
    assert read == [b"ab", b"cd", b"e", b""] and not loop.is_running


def test_what_is_replaced_or_removed_is_not_called(loop: EpollEventLoop, run: Run[None]) -> None:
    called: list[str] = []
    pairs = [socket.socketpair() for _ in range(2)]
    first, second = (ours for ours, _ in pairs)

    def one(name: str, other: int) -> None:
        called.append(name)
        loop.remove_reader(other)
        loop.stop()

    for ours, theirs in pairs:
        loop.add_reader(ours.fileno(), called.append, "replaced")
        theirs.sendall(b"x")
    loop.add_reader(first.fileno(), one, "one", second.fileno())
    loop.add_reader(second.fileno(), one, "other", first.fileno())
    run(loop.run_forever)
    assert called in (["one"], ["other"])
    for ours, theirs in pairs:
        ours.close()
        theirs.close()


def test_timers(loop: EpollEventLoop, run: Run[None]) -> None:
    called: list[object] = []
    began = loop.time()
    loop.call_later(0, called.append, 1)
    loop.call_later(0.01, called.append, 2)
    loop.call_later(0.01, called.append, 3)
    loop.call_later(0.02, loop.stop)
    loop.call_later(0.02, called.append, "after the stop")
    loop.call_later(float("inf"), called.append, "never")
    cancelled = loop.call_later(0, called.append, "cancelled")
    cancelled.cancel()
    cancelled.cancel()
    with pytest.raises(ValueError, match="negative"):
        loop.call_later(-1, called.append)
    run(loop.run_forever)
    assert loop.time() - began >= 0.02
    assert called == [1, 2, 3]
    # What was left comes when it runs again.
    loop.call_later(0, loop.stop)
    run(loop.run_forever)
    assert called == [1, 2, 3, "after the stop"]


def test_calls(loop: EpollEventLoop, run: Run[None]) -> None:
    called: list[str] = []

    def first() -> None:
        called.append("first")
        loop.call_soon(called.append, "later")
        loop.call_soon(loop.stop)
        loop.call_soon(called.append, "after the stop")

    loop.call_soon(first)
    loop.call_soon(called.append, "second")
    run(loop.run_forever)
    assert called == ["first", "second", "later"]
    loop.call_soon(loop.stop)
    run(loop.run_forever)
    assert called == ["first", "second", "later", "after the stop"]


def test_other_tasks_go_on(loop: EpollEventLoop, pair: Pair) -> None:
    """It is a task among others, also if it never rests, and they may use it while it waits."""
    ours, theirs = pair

    async def main() -> None:
        running = asyncio.ensure_future(loop.run_forever())
        heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        await asyncio.sleep(0.005)
        assert loop.is_running
        with pytest.raises(RuntimeError, match="runs already"):
            await loop.run_forever()
        with pytest.raises(RuntimeError, match="runs"):
            loop.close()
        loop.add_reader(ours.fileno(), lambda: heard.set_result(ours.recv(9)))
        theirs.sendall(b"word")
        assert await heard == b"word"
        for start in (loop.call_soon, lambda call: loop.call_later(0.001, call)):
            event = asyncio.Event()
            start(event.set)
            await event.wait()

        def again() -> None:
            loop.call_soon(again)

        again()
        await asyncio.sleep(0.005)
        loop.stop()
        await running

    LOOPS["asyncio"](main)


def test_other_threads(loop: EpollEventLoop, run: Run[None]) -> None:
    called: list[int] = []

    def work() -> None:
        for number in range(10_000):
            loop.call_soon_threadsafe(called.append, number)
        loop.call_soon_threadsafe(loop.stop)

    thread = threading.Thread(target=work)
    loop.call_soon(thread.start)
    run(loop.run_forever)
    thread.join(LONG)
    assert called == list(range(10_000))
    # A stop is never lost, whoever says it and when.
    thread = threading.Thread(target=loop.stop)
    thread.start()
    run(loop.run_forever)
    thread.join(LONG)


def test_what_a_function_raises(loop: EpollEventLoop, pair: Pair, run: Run[None]) -> None:
    ours, theirs = pair
    theirs.sendall(b"x")

    def broken() -> None:
        raise KeyError("not ours")

    def readable() -> None:
        assert ours.recv(1) == b"x"
        loop.stop()

    loop.call_soon(broken)
    with pytest.raises(KeyError):
        run(loop.run_forever)
    assert not loop.is_running
    loop.add_reader(ours.fileno(), readable)
    run(loop.run_forever)


def test_cancelled(loop: EpollEventLoop) -> None:
    async def main() -> None:
        for _ in range(3):
            task = asyncio.ensure_future(loop.run_forever())
            await asyncio.sleep(0.001)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not loop.is_running
        loop.call_soon(loop.stop)
        await loop.run_forever()

    LOOPS["asyncio"](main)


def test_cancelled_in_trio(loop: EpollEventLoop) -> None:
    trio = pytest.importorskip("trio")

    async def main() -> None:
        with trio.move_on_after(0.005) as scope:
            await loop.run_forever()
        assert scope.cancelled_caught and not loop.is_running

    LOOPS["trio"](main)


def test_descriptors_that_cannot_be_watched(loop: EpollEventLoop, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (tmp_path / "file").open() as file:
        for fd in (file.fileno(), -1, 1 << 30):
            with pytest.raises((OSError, ValueError)):
                loop.add_reader(fd, print)
            loop.remove_reader(fd)


def test_a_descriptor_that_was_closed(loop: EpollEventLoop, run: Run[None]) -> None:
    """Another one may have its number by now."""
    reader, writer = os.pipe()
    loop.add_reader(reader, print)
    os.close(reader)
    os.close(writer)
    again, writer = os.pipe()
    assert again == reader
    loop.add_reader(again, loop.stop)
    os.write(writer, b"x")
    run(loop.run_forever)
    os.close(again)
    os.close(writer)
    loop.remove_reader(again)


def test_the_end() -> None:
    before = open_descriptors()
    loop = EpollEventLoop()
    loop.call_later(1, print)
    loop.close()
    loop.close()
    loop.stop()
    with pytest.raises(RuntimeError, match="closed"):
        loop.add_reader(0, print)
    with pytest.raises(RuntimeError, match="closed"):
        asyncio.run(loop.run_forever())
    del loop
    EpollEventLoop()
    assert open_descriptors() == before


def test_a_system_without_epoll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network._epoll, "HAS_EPOLL", False)
    with pytest.raises(RuntimeError, match="EpollEventLoop needs epoll"):
        EpollEventLoop()


def test_time_is_monotonic(loop: EpollEventLoop) -> None:
    assert time.monotonic() <= loop.time() <= time.monotonic()
