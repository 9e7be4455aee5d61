"""WebSockets against a server that is not ours (websockets), by both clients."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import c_http_core
from c_http_core import AsyncClient, Client, WebSocketClosed, errors
from conftest import LONG, Run, Scripted, open_descriptors, run_asyncio
from websocket_server import Peer

BULK = 3_000_000


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.stop()


@pytest.fixture(params=[None, "deflate"])
def compression(request: pytest.FixtureRequest) -> str | None:
    return request.param  # type: ignore[no-any-return]


def test_messages(compression: str | None) -> None:
    peer = Peer(compression=compression)
    try:
        with Client() as client:
            with client.websocket(peer.url, compress=True) as there:
                for message in ("", b"", "text \u20ac", b"\0\xff", "x" * 100_000, bytes(BULK)):
                    there.send(message)
                    assert there.recv() == message
                there.send(bytearray(b"array"))
                assert there.recv(timeout=LONG) == b"array"
                assert there.response.status_code == 101
                assert (there.subprotocol, there.close_code, there.is_closed) == (None, None, False)
                extensions = there.response.headers.get("sec-websocket-extensions", "")
                assert ("permessage-deflate" in extensions) == (compression is not None)
                assert 0 <= there.ping(timeout=LONG) < LONG
            assert there.is_closed and there.close_code == 1000
            assert client.stats()["exchanges"] == client.stats()["connections"] == 0
    finally:
        peer.stop()


def test_what_it_offers() -> None:
    peer = Peer(subprotocols=["chat.v1"])
    try:
        with Client(headers={"X-Tag": "1"}, base_url=peer.url) as client:
            with client.websocket("/", subprotocols=["chat.v2", "chat.v1"], auth=("me", "secret")) as there:
                assert there.subprotocol == "chat.v1"
            # This server wants one of its own to be offered.
            with pytest.raises(c_http_core.HTTPStatusError, match="400") as caught, client.websocket("/"):
                raise AssertionError("it was opened")
            assert b"subprotocol" in caught.value.response.content
            with pytest.raises(errors.InvalidArgError), client.websocket("/", subprotocols=["no token"]):
                raise AssertionError("it was opened")
            assert client.stats()["exchanges"] == 0
    finally:
        peer.stop()


def test_the_server_closes(peer: Peer) -> None:
    with Client() as client, client.websocket(peer.url) as there:
        there.send("one")
        there.send("close")
        # What came before is still there.
        assert there.recv() == "one"
        with pytest.raises(WebSocketClosed) as caught:
            there.recv()
        assert (caught.value.code, caught.value.reason) == (4001, "as asked")
        assert (there.close_code, there.close_reason, there.is_closed) == (4001, "as asked", True)
        with pytest.raises(WebSocketClosed):
            there.send("late")
        with pytest.raises(WebSocketClosed):
            next(there)


def test_we_close(peer: Peer) -> None:
    with Client() as client:
        with client.websocket(peer.url) as there:
            there.send("flood")
            assert there.recv() == b"x" * 100_000
            # What was not received is dropped, or the server's answer would not be seen.
            there.close(3000, "enough")
            assert there.close_code == 3000
            there.close()
            with pytest.raises(WebSocketClosed):
                there.recv()
            assert list(there) == []
        for code, reason in ((999, ""), (1005, "with a reason"), (1000, "x" * 124)):
            with client.websocket(peer.url) as there:
                with pytest.raises(ValueError):
                    there.close(code, reason)
                there.send("still open")
                assert there.recv() == "still open"
        assert client.stats()["exchanges"] == 0


def test_an_exception_ends_it_at_once(peer: Peer) -> None:
    with Client() as client:
        with pytest.raises(ZeroDivisionError), client.websocket(peer.url) as there:
            there.send("hang")
            raise ZeroDivisionError
        with pytest.raises(WebSocketClosed):
            there.recv()
        with pytest.raises(RuntimeError), there:
            raise AssertionError("it was opened twice")
        with pytest.raises(RuntimeError):
            client.websocket(peer.url).send("before it is open")
        with pytest.raises(TypeError, match="no option content"):
            client.websocket(peer.url, content=b"x")  # type: ignore[call-arg]
        with client.websocket(peer.url) as there, pytest.raises(TypeError, match="str or bytes"):
            there.send(1)  # type: ignore[arg-type]


def test_what_went_wrong(peer: Peer, refusing: str) -> None:
    with Client() as client:
        with pytest.raises(c_http_core.ConnectError), client.websocket(f"ws://{refusing}/"):
            raise AssertionError("it was opened")
        with client.websocket(peer.url) as there:
            there.send("drop")
            with pytest.raises(c_http_core.TransportError) as caught:
                there.recv()
            assert isinstance(caught.value, (errors.WsAbnormalError, c_http_core.NetworkError))
        with client.websocket(peer.url, max_message=1000) as there:
            there.send("flood")
            with pytest.raises(errors.WsMessageTooLargeError):
                there.recv()
        with client.websocket(peer.url) as there:
            with pytest.raises(c_http_core.ReadTimeout):
                there.recv(timeout=0.01)
            there.send("on")
            assert there.recv(timeout=LONG) == "on"
        assert client.stats()["exchanges"] == 0


def test_a_silent_server(scripted: Any) -> None:
    def silent(connection: socket.socket) -> None:
        while connection.recv(65536):
            pass

    server: Scripted = scripted(silent)
    with Client() as client:
        with pytest.raises(c_http_core.TimeoutException), client.websocket(server.url, timeout=0.05):
            raise AssertionError("it was opened")
        assert client.stats()["exchanges"] == 0


def test_no_websocket(url: str) -> None:
    with Client() as client:
        with pytest.raises(c_http_core.HTTPStatusError) as caught, client.websocket(f"{url}/bytes/100"):
            raise AssertionError("it was opened")
        assert caught.value.response.status_code == 200
        assert len(caught.value.response.content) == 100
        assert client.stats()["exchanges"] == 0


def test_threads(peer: Peer) -> None:
    """One receives while others send more than fits into the buffers."""
    with Client() as client, client.websocket(peer.url) as there:

        def send() -> None:
            for _ in range(100):
                there.send(bytes(10_000))

        senders = [threading.Thread(target=send) for _ in range(3)]
        for sender in senders:
            sender.start()
        assert sum(len(there.recv()) for _ in range(300)) == 3_000_000
        for sender in senders:
            sender.join(LONG)
            assert not sender.is_alive()


def test_closed_by_another_thread(peer: Peer) -> None:
    client = Client()
    ends: list[BaseException] = []

    def receive() -> None:
        try:
            with client.websocket(peer.url) as there:
                opened.set()
                there.recv()
        except c_http_core.HTTPError as error:
            ends.append(error)

    opened = threading.Event()
    thread = threading.Thread(target=receive)
    thread.start()
    assert opened.wait(LONG)
    client.close()
    thread.join(LONG)
    assert [type(end) for end in ends] == [errors.EngineClosedError]


@pytest.mark.parametrize("io_threads", [0, 1])
def test_async(peer: Peer, run: Run[None], io_threads: int) -> None:
    async def main() -> None:
        async with AsyncClient(options={"io_threads": io_threads}) as client:
            async with client.websocket(peer.url) as there:
                for message in ("text \u20ac", b"\0\xff", bytes(BULK)):
                    await there.send(message)
                    assert await there.recv() == message
                assert 0 <= await there.ping(timeout=LONG) < LONG
                with pytest.raises(c_http_core.ReadTimeout):
                    await there.recv(timeout=0.01)
                await there.send("one")
                await there.send("close")
                received = []
                with pytest.raises(WebSocketClosed):
                    async for message in there:
                        received.append(message)
                assert (received, there.close_code) == (["one"], 4001)
            async with client.websocket(peer.url) as there:
                await there.send("drop")
                with pytest.raises(c_http_core.TransportError):
                    await there.recv()
            async with client.websocket(peer.url) as there:
                await there.send("flood")
                await there.close()
                assert [message async for message in there] == []
            assert client.stats()["exchanges"] == client.stats()["connections"] == 0

    run(main)


def test_tasks(peer: Peer) -> None:
    """One receives while others send more than fits into the buffers."""

    async def main() -> None:
        async with AsyncClient() as client, client.websocket(peer.url) as there:

            async def send() -> None:
                for _ in range(100):
                    await there.send(bytes(10_000))

            async def receive() -> int:
                return sum([len(await there.recv()) for _ in range(300)])

            assert (await asyncio.gather(receive(), send(), send(), send()))[0] == 3_000_000

    run_asyncio(main)


def test_cancelled(peer: Peer) -> None:
    async def main() -> None:
        async with AsyncClient() as client:
            # While it receives: no message is lost, and it goes on.
            async with client.websocket(peer.url) as there:
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(there.recv(), 0.01)
                await there.send("on")
                assert await there.recv() == "on"

            # With the block: nothing is left behind.
            async def block(opened: asyncio.Event) -> None:
                async with client.websocket(peer.url) as there:
                    opened.set()
                    await there.recv()

            opened = asyncio.Event()
            task = asyncio.ensure_future(block(opened))
            await opened.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while client.stats()["connections"]:
                await asyncio.sleep(0.001)
            assert client.stats()["exchanges"] == 0

    run_asyncio(main)


def test_dropped_without_being_closed(peer: Peer) -> None:
    with Client() as client:
        before = open_descriptors()
        there = client.websocket(peer.url)
        there.__enter__()
        assert open_descriptors() > before
        del there
        gc.collect()
        client.get(peer.url.replace("ws:", "http:"))
        assert client.stats()["exchanges"] == 0
