"""The async client, in each of the loops."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import socket
from collections.abc import AsyncIterator
from typing import Any, Callable

import pytest

import c_http_core
from c_http_core import AsyncClient, Limits, Timeout
from conftest import LONG, LOOPS, Run, Scripted, head_of, open_descriptors, resident

#: The drive: a thread of the library's, or none.
THREADS = pytest.mark.parametrize("io_threads", [0, 1])
#: How many tasks `test_random_cancels` makes and cancels.
CANCELS = int(os.environ.get("C_HTTP_CORE_CANCELS", "1500"))
#: Bytes by which memory may have grown in half of them, if they are ten thousand or more.
GROWTH = 4_000_000


def client_of(io_threads: int, **settings: Any) -> AsyncClient:
    return AsyncClient(options={"io_threads": io_threads}, **settings)


@THREADS
def test_requests(url: str, run: Run[None], io_threads: int) -> None:
    async def main() -> None:
        async with client_of(io_threads, base_url=url) as client:
            assert (await client.get("/")).text == "hello\n"
            for method in ("post", "put", "patch", "delete", "options"):
                response = await getattr(client, method)("/headers")
                assert response.text.startswith(f"{method.upper()} /headers")
            assert (await client.head("/bytes/5")).headers["content-length"] == "5"
            assert len((await client.get("/bytes/5000000")).content) == 5_000_000
            assert (await client.post("/echo", json=[1])).json() == [1]
            assert (await client.post("/echo", content=b"x" * 1_000_000)).content == b"x" * 1_000_000
            with pytest.raises(c_http_core.ReadTimeout):
                await client.get("/hang", timeout=Timeout(read=0.05))
            with pytest.raises(c_http_core.InvalidURL):
                await client.get("http://")
            assert client.stats()["exchanges"] == 0
        with pytest.raises(c_http_core.errors.EngineClosedError):
            await client.get("/")

    run(main)


@THREADS
def test_many_at_a_time(url: str, io_threads: int) -> None:
    async def main() -> None:
        async with client_of(io_threads) as client:
            answers = await asyncio.gather(*(client.get(f"{url}/bytes/{n}") for n in range(500)))
            assert [len(answer.content) for answer in answers] == list(range(500))

    LOOPS["asyncio"](main)


@THREADS
def test_streams(url: str, run: Run[None], io_threads: int) -> None:
    async def main() -> None:
        async with client_of(io_threads, base_url=url) as client:
            async with client.stream("GET", "/bytes/3000000") as response:
                assert sum([len(piece) async for piece in response.aiter_bytes()]) == 3_000_000
            async with client.stream("GET", "/bytes/3000000") as response:
                sizes = [len(chunk) async for chunk in response.aiter_bytes(1_000_000)]
                assert sizes == [1_000_000] * 3
            async with client.stream("GET", "/bytes/3000000") as response:
                views = [view async for view in response.aiter_views() if len(view) > 100_000_000]
                assert views == []
            async with client.stream("GET", "/chunked/10/10") as response:
                assert await response.aread() == response.content
            async with client.stream("GET", "/headers") as response:
                lines = [line async for line in response.aiter_lines()]
                assert lines[0] == "GET /headers HTTP/1.1"
            async with client.stream("GET", "/headers") as response:
                assert "".join([text async for text in response.aiter_text()]).startswith("GET /headers")
            async with client.stream("GET", "/bytes/100000000") as response:
                pieces = response.aiter_bytes()
                await pieces.__anext__()
                await response.aclose()
                with pytest.raises(c_http_core.StreamClosed):
                    await pieces.__anext__()
            async with client.stream("GET", "/cut/10000/5000") as response:
                with pytest.raises(c_http_core.RemoteProtocolError):
                    await response.aread()

    run(main)


@THREADS
def test_uploads(url: str, run: Run[None], io_threads: int) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for n in range(300):
            yield bytes([n % 256]) * 10_000

    async def broken() -> AsyncIterator[bytes]:
        yield b"some"
        raise KeyError("not ours")

    async def main() -> None:
        async with client_of(io_threads, base_url=url) as client:
            expected = b"".join([piece async for piece in pieces()])
            assert (await client.post("/echo", content=pieces())).content == expected
            assert (await client.post("/echo", content=iter([b"a", b"b"]))).content == b"ab"
            with pytest.raises(KeyError):
                await client.post("/echo", content=broken())
            early = await client.post("/early413", content=pieces(), headers={"Content-Length": "3000000"})
            assert early.status_code == 413

    run(main)


async def settled(client: AsyncClient) -> dict[str, int]:
    """The books, once the last cancelled exchange has left them."""
    while client.stats()["exchanges"]:
        await asyncio.sleep(0.001)
    stats = client.stats()
    assert stats["submitted"] == stats["succeeded"] + stats["failed"] + stats["cancelled"]
    assert stats["connections_opened"] - stats["connections_closed"] == stats["connections"] - stats["dials"]
    assert stats["connections_idle"] == stats["connections"] - stats["dials"]
    return stats


@THREADS
def test_random_cancels(url: str, io_threads: int) -> None:
    """Whenever it comes, no place is lost, the books are exact, and memory stays as it is."""

    async def main() -> None:
        chance = random.Random(1)
        paths = ("/", "/bytes/2000000", "/chunked/100/1000", "/drip/10/1", "/delay/5", "/hang")
        async with client_of(io_threads, base_url=url, limits=Limits(max_connections_per_host=8)) as client:
            await client.get("/")
            descriptors = open_descriptors()

            async def one() -> None:
                path = chance.choice(paths)
                if chance.random() < 0.5:
                    await client.get(path)
                else:
                    async with client.stream("GET", path) as response:
                        async for _ in response.aiter_bytes():
                            pass

            sizes: list[int] = []
            for _ in range(CANCELS // 25):
                tasks = [asyncio.ensure_future(one()) for _ in range(25)]
                for _ in range(chance.randrange(20)):
                    await asyncio.sleep(0)
                for task in chance.sample(tasks, len(tasks)):
                    await asyncio.sleep(0 if chance.random() < 0.9 else 0.001)
                    task.cancel()
                results = await asyncio.gather(*tasks, return_exceptions=True)
                assert all(result is None or isinstance(result, asyncio.CancelledError) for result in results)
                del tasks, results
                sizes.append(resident())
            # The least counts, because what lies about between two collections comes and goes. A few only fill caches.
            half = len(sizes) // 2
            assert CANCELS < 10_000 or min(sizes[half:]) - min(sizes[half // 2 : half]) < GROWTH
            assert open_descriptors() - descriptors <= 8 + 8
            # All eight places are to be had again.
            streams = [client.stream("GET", "/bytes/100000000") for _ in range(8)]
            for stream in streams:
                await stream.__aenter__()
            assert client.stats()["connections"] == 8
            for stream in streams:
                await stream.__aexit__(None, None, None)
            assert (await client.get("/")).status_code == 200
            assert (await settled(client))["waiting"] == 0
            assert client._engine is not None and not client._engine.exchanges

    asyncio.run(asyncio.wait_for(main(), LONG + CANCELS / 100))


def test_cancel_in_trio(url: str) -> None:
    trio = pytest.importorskip("trio")

    async def main() -> None:
        async with AsyncClient(base_url=url, limits=Limits(max_connections_per_host=1)) as client:
            for _ in range(20):
                with trio.move_on_after(0.005) as scope:
                    await client.get("/hang")
                assert scope.cancelled_caught
            assert (await client.get("/")).status_code == 200

    LOOPS["trio"](main)


@THREADS
def test_closing_while_others_wait(url: str, io_threads: int) -> None:
    async def main() -> None:
        client = client_of(io_threads, base_url=url)
        tasks = [asyncio.ensure_future(client.get("/hang")) for _ in range(5)]
        while not client._engine or len(client._engine.exchanges) < 5:
            await asyncio.sleep(0)
        await client.aclose()
        for task in tasks:
            with pytest.raises(c_http_core.errors.EngineClosedError):
                await task

    LOOPS["asyncio"](main)


@THREADS
def test_one_client_in_one_loop_after_another(url: str, io_threads: int) -> None:
    client = client_of(io_threads, base_url=url)

    async def main() -> bool:
        return (await client.get("/")).connection.reused

    assert [asyncio.run(main()) for _ in range(3)] == [False, True, True]
    trio = pytest.importorskip("trio")
    assert trio.run(main) and trio.run(main) and asyncio.run(main())

    async def end() -> None:
        await client.aclose()

    asyncio.run(end())


def test_not_in_two_loops_at_a_time(url: str) -> None:
    client = AsyncClient(base_url=url)

    async def other() -> None:
        with pytest.raises(RuntimeError, match="another event loop"):
            await client.get("/")

    async def main() -> None:
        task = asyncio.ensure_future(client.get("/delay/50"))
        await asyncio.sleep(0)
        await asyncio.get_running_loop().run_in_executor(None, asyncio.run, other())
        assert (await task).status_code == 200
        await client.aclose()

    LOOPS["asyncio"](main)


@THREADS
def test_dropped_without_being_closed(url: str, io_threads: int) -> None:
    async def main() -> None:
        client = client_of(io_threads, base_url=url)
        response = await client.get("/bytes/100000")
        stream = client.stream("GET", "/bytes/100000000")
        streamed = await stream.__aenter__()
        view = await streamed.aiter_views().__anext__()
        first = bytes(view[:10])
        del client, stream, streamed
        gc.collect()
        assert len(response.content) == 100_000
        assert bytes(view[:10]) == first

    LOOPS["asyncio"](main)


def test_upload_goes_on_while_the_answer_is_read(scripted: Callable[[Any], Scripted], run: Run[None]) -> None:
    def handle(connection: socket.socket) -> None:
        received = head_of(connection).partition(b"\r\n\r\n")[2]
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not received.endswith(b"0\r\n\r\n"):
            connection.sendall(b"%x\r\n%b\r\n" % (len(received), received) if received else b"")
            received = connection.recv(65536)
        connection.sendall(b"0\r\n\r\n")

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield bytes(50_000)

    server = scripted(handle)

    async def main() -> None:
        async with AsyncClient() as client, client.stream("POST", server.url, content=pieces()) as response:
            assert len(await response.aread()) > 4_000_000

    run(main)
