"""Server-sent events, by both clients."""

from __future__ import annotations

import gc
import socket
import threading
import zlib
from collections.abc import Iterator
from typing import Any, Callable

import pytest

import c_http_core
from c_http_core import AsyncClient, Client, Reconnect, ServerSentEvent, errors
from conftest import LONG, Run, Scripted, head_of

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
NO_MORE = b"HTTP/1.1 204 No Content\r\n\r\n"
Start = Callable[[Callable[[socket.socket], object]], Scripted]


def numbers(first: int, last: int) -> list[ServerSentEvent]:
    return [ServerSentEvent("count", f"number {n}", str(n), None) for n in range(first, last + 1)]


def answers(*replies: bytes) -> tuple[Callable[[socket.socket], None], list[bytes]]:
    """Answers one connection after the other; and the heads that came."""
    heads: list[bytes] = []
    left = iter(replies)
    lock = threading.Lock()

    def handler(connection: socket.socket) -> None:
        with lock:
            heads.append(head_of(connection))
            connection.sendall(next(left))

    return handler, heads


def test_a_stream_goes_on(url: str) -> None:
    told: list[Reconnect] = []
    with Client() as client:
        with client.sse(f"{url}/events/100/7", on_reconnect=told.append) as events:
            assert events.response is not None and events.response.status_code == 200
            assert list(events) == numbers(1, 100)
            assert events.is_closed and events.last_event_id == "100"
            assert list(events) == []
        assert [(r.attempt, r.last_event_id) for r in told] == [(1, str(n)) for n in [*range(7, 100, 7), 100]]
        assert all(isinstance(r.error, errors.SSEEndedError) and 0 < r.delay < 1 for r in told)
        assert list(client.sse(f"{url}/events/12/7", last_event_id="9")) == numbers(10, 12)
        # Without a block, and given up in the middle.
        for event in client.sse(f"{url}/events/100/7"):
            if event.id == "20":
                break
        del event
        gc.collect()
        with client.sse(f"{url}/events/100/7") as events:
            assert next(events) == numbers(1, 1)[0]
        with pytest.raises(c_http_core.StreamClosed):
            next(events)
        assert client.get(url).text == "hello\n"


def test_a_stream_goes_on_async(url: str, run: Run[None]) -> None:
    async def main() -> None:
        told: list[Reconnect] = []
        async with AsyncClient() as client:
            async with client.sse(f"{url}/events/100/7", on_reconnect=told.append) as events:
                assert events.response is not None and events.response.headers["content-type"] == "text/event-stream"
                assert [event async for event in events] == numbers(1, 100)
            assert len(told) == 15
            assert [event async for event in client.sse(f"{url}/events/12/7", last_event_id="9")] == numbers(10, 12)
            async with client.sse(f"{url}/events/100/7") as events:
                assert await events.__anext__() == numbers(1, 1)[0]
            with pytest.raises(c_http_core.StreamClosed):
                await events.__anext__()
            assert (await client.get(url)).text == "hello\n"

    run(main)


def test_what_an_event_tells(scripted: Start) -> None:
    body = 'data\n\nid: ä\nevent: ö\nretry: 1500\ndata: {"a":\ndata: 1}\n\nid\ndata: \ufffd\n\n'.encode()
    handler, heads = answers(HEAD + body.replace("\ufffd".encode(), b"\xff"))
    with Client(base_url=scripted(handler).url) as client:
        events = list(client.sse("/", reconnect=False))
    first, second, third = events
    assert first == ServerSentEvent("message", "", "", None)
    assert tuple(second) == ("ö", '{"a":\n1}', "ä", 1500)
    assert second.json() == {"a": 1}
    assert tuple(third) == ("message", "\ufffd", "", None)
    with pytest.raises(ValueError):
        third.json()
    assert b"\r\nAccept: text/event-stream\r\nCache-Control: no-cache\r\n\r\n" in heads[0]
    assert b"*/*" not in heads[0] and b"Last-Event-ID" not in heads[0]


def test_settings(scripted: Start) -> None:
    body = b"data: one\n\n"
    packer = zlib.compressobj(wbits=31)
    coded = packer.compress(body) + packer.flush()
    handler, heads = answers(HEAD.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n") + coded, NO_MORE)
    with Client(headers={"Accept": "text/event-stream, */*"}) as client:
        url = scripted(handler).url
        events = client.sse(
            url,
            method="POST",
            json={"a": 1},
            reconnect=True,
            compressed=True,
            retry=0.001,
            max_retry=1,
            max_attempts=None,
        )
        assert [event.data for event in events] == ["one"]
    assert len(heads) == 2
    for head in heads:
        assert head.startswith(b"POST / ") and b'{"a":1}' in head
        assert b"\r\nAccept: text/event-stream, */*\r\n" in head and b"Accept-Encoding: gzip, deflate" in head


@pytest.mark.parametrize(
    ("reply", "error", "content"),
    [
        (b"HTTP/1.1 404 x\r\nContent-Length: 4\r\n\r\ngone", errors.SSEStatusError, b"gone"),
        (b"HTTP/1.1 200 x\r\nContent-Type: text/html\r\n\r\n<html>", errors.SSEContentTypeError, b"<html>"),
    ],
)
def test_other_answers(scripted: Start, run: Run[None], reply: bytes, error: type[Exception], content: bytes) -> None:
    url = scripted(answers(reply, reply, reply)[0]).url

    def check(caught: pytest.ExceptionInfo[Any]) -> None:
        failed = caught.value
        assert isinstance(failed, c_http_core.RemoteProtocolError) and failed.url.startswith(url)
        assert failed.response is not None and failed.response.content == content

    with Client() as client:
        with pytest.raises(error) as caught, client.sse(url):
            raise AssertionError
        check(caught)
        with pytest.raises(error) as caught:
            list(client.sse(url))
        check(caught)

    async def main() -> None:
        async with AsyncClient() as client:
            with pytest.raises(error) as caught:
                async with client.sse(url):
                    raise AssertionError
            check(caught)

    run(main)


def test_an_endless_refusal_is_not_read_for_ever(scripted: Start) -> None:
    def handler(connection: socket.socket) -> None:
        head_of(connection)
        connection.sendall(b"HTTP/1.1 200 x\r\nContent-Type: text/plain\r\n\r\n")
        while True:
            connection.sendall(b"x" * 10_000)

    with Client() as client, pytest.raises(errors.SSEContentTypeError) as caught:
        list(client.sse(scripted(handler).url))
    assert caught.value.response is not None and len(caught.value.response.content) > 65536


def test_failures_end_the_stream(refusing: str, scripted: Start, run: Run[None]) -> None:
    told: list[Reconnect] = []
    with Client() as client:
        with pytest.raises(c_http_core.ConnectError) as caught:
            list(client.sse(f"http://{refusing}/", retry=0.001, max_attempts=2, on_reconnect=told.append))
        assert [r.attempt for r in told] == [1, 2] and caught.value.code == told[0].error.code
        told.clear()
        handler = answers(HEAD + b"data: " + b"x" * 100 + b"\n\n")[0]
        with pytest.raises(errors.SSELineTooLongError):
            list(client.sse(scripted(handler).url, max_line=64))
        for wrong in ({"retry": 0}, {"max_retry": -1}, {"max_line": 1}, {"max_event": 1 << 40}, {"max_attempts": 0}):
            with pytest.raises(ValueError):
                client.sse(refusing, **wrong)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            list(client.sse(f"http://{refusing}/", nonsense=1))  # type: ignore[call-arg]
        with pytest.raises(errors.NotRewindableError):
            list(client.sse(f"http://{refusing}/", method="POST", content=iter([b"x"]), reconnect=True))
        with pytest.raises(errors.InvalidHeaderError), client.sse(f"http://{refusing}/", last_event_id="a\nb"):
            raise AssertionError

    async def main() -> None:
        async with AsyncClient() as client:
            with pytest.raises(c_http_core.ConnectError):
                async for _ in client.sse(f"http://{refusing}/", retry=0.001, max_attempts=2):
                    raise AssertionError

    run(main)


def test_an_exception_of_the_callback_ends_the_stream(url: str) -> None:
    def refuse(_: Reconnect) -> None:
        raise KeyError("enough")

    seen = []
    with Client() as client:
        with pytest.raises(KeyError):
            for event in client.sse(f"{url}/events/100/7", on_reconnect=refuse):
                seen.append(event)
        assert seen == numbers(1, 7)
        assert client.get(url).text == "hello\n"


def test_what_is_not_taken_slows_the_server_down(scripted: Start) -> None:
    stopped = threading.Event()
    sent = 0

    def handler(connection: socket.socket) -> None:
        nonlocal sent
        head_of(connection)
        connection.sendall(HEAD)
        connection.settimeout(1.0)
        piece = b"data: x\n\n" * 1000
        try:
            while sent < 100_000_000:
                connection.sendall(piece)
                sent += len(piece)
        except OSError:
            pass
        stopped.set()

    with Client() as client, client.sse(scripted(handler).url, reconnect=False) as events:
        assert next(events).data == "x"
        assert stopped.wait(LONG)
        assert sent < 50_000_000


def test_threads_share_a_client(url: str) -> None:
    results: list[list[ServerSentEvent]] = []
    with Client() as client:

        def follow() -> None:
            results.append(list(client.sse(f"{url}/events/200/9")))

        threads = [threading.Thread(target=follow) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONG)
    assert results == [numbers(1, 200)] * 8


def test_closing_the_client_ends_streams(url: str, refusing: str) -> None:
    client = Client()
    events: Iterator[ServerSentEvent] = iter(client.sse(f"http://{refusing}/", on_reconnect=lambda _: client.close()))
    with pytest.raises(errors.EngineClosedError):
        next(events)


def test_a_task_that_is_cancelled(url: str, run: Run[None]) -> None:
    import asyncio

    async def main() -> None:
        async with AsyncClient() as client:

            async def follow() -> None:
                async for _ in client.sse(f"{url}/hang"):
                    raise AssertionError

            task = asyncio.ensure_future(follow())
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            while client.stats()["exchanges"]:
                await client.get(url)

    asyncio.run(main())
