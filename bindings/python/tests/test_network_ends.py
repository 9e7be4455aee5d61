"""Who shares a stream, and how it ends: cancelled, closed, dropped, with its loop, in a forked child."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from typing import Any

import pytest

import c_http_core
from c_http_core import errors
from c_http_core.network import EpollNetworkBackend, EpollNetworkStream
from conftest import LONG, LOOPS, Run, open_descriptors
from network_servers import (
    CA,
    Start,
    Unread,
    echo,
    full_listener,
    port_of,
    read_exactly,
    settled,
    silent,
)

pytestmark = pytest.mark.usefixtures("no_word")


def test_one_reader_and_one_writer(scripted: Start) -> None:
    server = Unread()
    listening = scripted(server)

    async def main() -> None:
        async with EpollNetworkBackend() as backend:
            stream = await backend.connect_tcp("127.0.0.1", port_of(listening))
            tasks = [asyncio.ensure_future(stream.read()), asyncio.ensure_future(stream.write(bytes(50_000_000)))]
            await asyncio.sleep(0.01)
            with pytest.raises(RuntimeError, match="another task reads"):
                await stream.read()
            with pytest.raises(RuntimeError, match="another task writes"):
                await stream.write(b"x")
            with pytest.raises(RuntimeError, match="another task uses"):
                await backend.start_tls(stream, "localhost")
            # Those who wait learn of the end.
            await stream.aclose()
            for task in tasks:
                with pytest.raises(RuntimeError, match="closed"):
                    await task
            await settled(backend)
            server.go.set()

    LOOPS["asyncio"](main)


def test_cancelled_at_every_await(scripted: Start) -> None:
    """Whatever was being waited for: nothing is left of it, and what has come is not lost."""
    port = port_of(scripted(echo))
    hanging = port_of(scripted(silent))
    unread = Unread()
    stuck = port_of(scripted(unread))

    async def cancel(coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def main() -> None:
        async with EpollNetworkBackend(verify=CA) as backend:
            for _ in range(5):
                await cancel(backend.connect_tcp("127.0.0.1", full.getsockname()[1]))
                stream = await backend.connect_tcp("127.0.0.1", port)
                await cancel(stream.read())
                await cancel(stream.read(timeout=LONG))
                await stream.write(b"word")
                assert await read_exactly(stream, 4) == b"word"
                await stream.aclose()
                stream = await backend.connect_tcp("127.0.0.1", hanging)
                await cancel(backend.connect_tls(stream, "localhost", hanging))
                assert stream.is_closed
                stream = await backend.connect_tcp("127.0.0.1", stuck)
                await cancel(stream.write(bytes(50_000_000)))
                await stream.aclose()
            await settled(backend)
            unread.go.set()

    full, clients = full_listener()
    LOOPS["asyncio"](main)
    for sock in (full, *clients):
        sock.close()


def test_cancelled_in_trio(scripted: Start) -> None:
    trio = pytest.importorskip("trio")
    hanging = port_of(scripted(silent))

    async def main() -> None:
        async with EpollNetworkBackend(verify=CA) as backend:
            for _ in range(5):
                stream = await backend.connect_tcp("127.0.0.1", hanging)
                with trio.move_on_after(0.005) as scope:
                    await stream.read()
                assert scope.cancelled_caught and not stream.is_closed
                with trio.move_on_after(0.005) as scope:
                    await backend.connect_tls(stream, "localhost", hanging)
                assert scope.cancelled_caught and stream.is_closed
            await settled(backend)

    LOOPS["trio"](main)


def test_closing_the_backend(scripted: Start) -> None:
    port = port_of(scripted(silent))

    async def main() -> None:
        backend = EpollNetworkBackend()
        stream = await backend.connect_tcp("127.0.0.1", port)
        task = asyncio.ensure_future(stream.read())
        await asyncio.sleep(0)
        await backend.aclose()
        with pytest.raises(errors.EngineClosedError):
            await task
        with pytest.raises(errors.EngineClosedError):
            await stream.read()
        with pytest.raises(errors.EngineClosedError):
            await stream.write(b"x")
        await stream.aclose()

    LOOPS["asyncio"](main)


def test_dropped(echo_port: int, run: Run[None]) -> None:
    """The ancestor's backend has no end: what nobody holds goes by itself, also while the loop runs."""

    async def one() -> None:
        backend = EpollNetworkBackend()
        stream = await backend.connect_tcp("127.0.0.1", echo_port)
        await stream.write(b"x")
        assert await stream.read() == b"x"
        plain = await backend.connect_tcp("127.0.0.1", echo_port)
        del stream
        await plain.write(b"y")
        assert await plain.read() == b"y"

    async def main() -> None:
        backend = EpollNetworkBackend()
        await backend.sleep(0)
        gc.collect()
        before = open_descriptors()
        for _ in range(20):
            await one()
        # Streams that were dropped end as soon as the loop hears of it; then the engine is dropped, too.
        began = time.monotonic()
        while open_descriptors() > before:
            assert time.monotonic() - began < LONG
            gc.collect()
            await backend.sleep(0.01)

    run(main)


def test_a_task_that_nobody_holds_goes_on(echo_port: int) -> None:
    """While an exchange is under way the loop holds all that is needed for it."""
    done: list[bytes] = []

    async def one() -> None:
        async with await EpollNetworkBackend().connect_tcp("127.0.0.1", echo_port) as stream:
            await asyncio.sleep(0)
            await stream.write(b"word")
            done.append(await stream.read())

    async def main() -> None:
        for _ in range(10):
            asyncio.ensure_future(one())  # noqa: RUF006
        while len(done) < 10:
            gc.collect()
            await asyncio.sleep(0.001)

    LOOPS["asyncio"](main)
    assert done == [b"word"] * 10


def test_one_loop_after_another(echo_port: int) -> None:
    backend = EpollNetworkBackend()

    async def begin() -> EpollNetworkStream:
        stream = await backend.connect_tcp("127.0.0.1", echo_port)
        await stream.write(b"one ")
        return stream

    stream = asyncio.run(begin())

    async def end() -> None:
        await stream.write(b"two")
        assert await read_exactly(stream, 7) == b"one two"
        await stream.aclose()
        await settled(backend)
        await backend.aclose()

    trio = pytest.importorskip("trio")
    trio.run(end)


def test_nothing_grows(echo_port: int) -> None:
    backend = EpollNetworkBackend(verify=CA)

    async def main() -> None:
        for _ in range(20):
            async with await backend.connect_tcp("127.0.0.1", echo_port) as stream:
                await stream.write(b"x")
                await stream.read()
        await settled(backend)

    asyncio.run(main())
    before = open_descriptors()
    asyncio.run(main())
    began = time.monotonic()
    # The server closes its side in its own time.
    while open_descriptors() > before:
        assert time.monotonic() - began < LONG
        time.sleep(0.01)

    async def end() -> None:
        await backend.aclose()

    asyncio.run(end())


def test_in_a_forked_child(echo_port: int) -> None:
    """The parent's stream is the parent's; the backend makes connections of the child's own."""
    backend = EpollNetworkBackend()

    async def exchange() -> None:
        async with await backend.connect_tcp("127.0.0.1", echo_port) as stream:
            await stream.write(b"x")
            assert await stream.read() == b"x"

    async def begin() -> EpollNetworkStream:
        return await backend.connect_tcp("127.0.0.1", echo_port)

    async def child(stream: EpollNetworkStream) -> None:
        with pytest.raises(c_http_core.ForkedError):
            await stream.write(b"not ours")
        with pytest.raises(c_http_core.ForkedError):
            await stream.read()
        await stream.aclose()
        await exchange()
        await backend.aclose()

    async def go_on(stream: EpollNetworkStream) -> None:
        await stream.write(b"ours")
        assert await read_exactly(stream, 4) == b"ours"
        await stream.aclose()
        await backend.aclose()

    stream = asyncio.run(begin())
    pid = os.fork()
    if pid == 0:
        try:
            asyncio.run(child(stream))
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    asyncio.run(go_on(stream))
