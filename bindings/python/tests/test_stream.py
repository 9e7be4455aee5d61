"""The sync client: answers and uploads that come piece by piece."""

from __future__ import annotations

import gc
import socket
import threading
from typing import Any, Callable

import pytest

import c_http_core
from c_http_core import Client
from conftest import LONG, Scripted, head_of


def test_pieces(url: str) -> None:
    with Client() as client:
        expected = client.get(f"{url}/bytes/3000000").content
        with client.stream("GET", f"{url}/bytes/3000000") as response:
            assert (response.status_code, response.content_length) == (200, 3_000_000)
            with pytest.raises(c_http_core.ResponseNotRead):
                _ = response.content
            assert b"".join(response.iter_bytes()) == expected
            assert response.is_closed and response.is_stream_consumed
            with pytest.raises(c_http_core.StreamConsumed):
                response.read()
        with client.stream("GET", f"{url}/bytes/3000000") as response:
            sizes = [len(chunk) for chunk in response.iter_bytes(70_000)]
            assert sizes == [70_000] * 42 + [60_000]
        with client.stream("GET", f"{url}/chunked/100/1000") as response:
            assert response.read() == response.content
            assert response.read() == b"".join(response.iter_bytes())
            assert response.content_length is None
        assert client.stats()["connections_opened"] == 1


def test_views_outlive_everything(url: str) -> None:
    with Client() as client:
        expected = client.get(f"{url}/bytes/500000").content
        with client.stream("GET", f"{url}/bytes/500000", recv_credit=1 << 20) as response:
            views = list(response.iter_views())
            assert all(view.readonly for view in views)
    del response, client
    gc.collect()
    part = views[0][3:13]
    assert b"".join(views) == expected
    del views
    gc.collect()
    assert bytes(part) == expected[3:13]


def test_closing_early(url: str) -> None:
    with Client() as client:
        with client.stream("GET", f"{url}/bytes/100000000") as response:
            for _ in response.iter_bytes():
                break
        with pytest.raises(c_http_core.StreamConsumed):
            response.read()
        with client.stream("GET", f"{url}/bytes/100000000") as response:
            pass
        with pytest.raises(c_http_core.StreamClosed):
            response.read()
        with client.stream("GET", f"{url}/bytes/100000000") as response:
            pieces = response.iter_bytes()
            next(pieces)
            response.close()
            with pytest.raises(c_http_core.StreamClosed):
                next(pieces)
        # Dropped without a word: it gives its place back, too.
        manager = client.stream("GET", f"{url}/bytes/100000000")
        response = manager.__enter__()
        del manager, response
        gc.collect()
        client.get(f"{url}/")
        stats = client.stats()
        assert (stats["exchanges"], stats["cancelled"], stats["connections"]) == (0, 4, 1)


def test_back_pressure(scripted: Callable[[Any], Scripted]) -> None:
    """Nobody reads, so the server is stopped; memory is bounded by the credit and the kernel's buffers."""
    total = 200_000_000
    sent = 0
    stopped = threading.Event()

    def handle(connection: socket.socket) -> None:
        nonlocal sent
        head_of(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        connection.settimeout(0.5)
        piece = bytes(1 << 20)
        while sent < total:
            try:
                sent += connection.send(piece[: total - sent])
            except socket.timeout:  # TimeoutError, from Python 3.10 on
                stopped.set()
                connection.settimeout(LONG)

    with Client() as client, client.stream("GET", scripted(handle).url, recv_credit=100_000) as response:
        pieces = response.iter_views()
        first = next(pieces)
        assert stopped.wait(LONG)
        assert sent < total // 2
        read = len(first)
        del first
        for piece in pieces:
            read += len(piece)
            del piece
        assert read == total


def test_lines_and_text(scripted: Callable[[Any], Scripted]) -> None:
    parts = [b"one\r", b"\ntw", b"o\n\n", b"thr\xc3", b"\xa9e\rfour\r\n", b"five"]

    def handle(connection: socket.socket) -> None:
        for _ in range(3):
            head_of(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for part in parts:
                connection.sendall(b"%x\r\n%b\r\n" % (len(part), part))
            connection.sendall(b"0\r\n\r\n")

    server, expected = scripted(handle), ["one", "two", "", "thrée", "four", "five"]
    with Client() as client:
        with client.stream("GET", server.url) as response:
            assert list(response.iter_lines()) == expected
        with client.stream("GET", server.url) as response:
            assert "".join(response.iter_text()) == b"".join(parts).decode()
        assert list(client.get(server.url).iter_lines()) == expected


def test_body_that_is_not_whole(url: str) -> None:
    with Client() as client:
        with client.stream("GET", f"{url}/cut/100000/50000") as response:
            received = 0
            with pytest.raises(c_http_core.errors.TruncatedBodyError):
                for piece in response.iter_bytes():
                    received += len(piece)
            assert received == 50_000
        with pytest.raises(c_http_core.RemoteProtocolError):
            client.get(f"{url}/cut/100000/50000")


def test_upload_that_fails(url: str) -> None:
    def broken() -> Any:
        yield b"some"
        raise KeyError("not ours")

    async def asynchronous() -> Any:
        yield b"some"

    with Client() as client:
        with pytest.raises(KeyError, match="not ours"):
            client.post(f"{url}/echo", content=broken())
        with pytest.raises(TypeError):
            client.post(f"{url}/echo", content=asynchronous())
        with pytest.raises(c_http_core.errors.BodyLengthError):
            client.post(f"{url}/echo", content=iter([b"abc"]), headers={"Content-Length": "4"})
        client.get(f"{url}/")
        assert client.stats()["exchanges"] == 0


def test_answer_before_the_upload_is_read(scripted: Callable[[Any], Scripted]) -> None:
    """The server answers at once and at length, and reads nothing: nobody waits for ever."""
    body = b"x" * 3_000_000
    read = threading.Event()

    def handle(connection: socket.socket) -> None:
        head_of(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        read.wait(LONG)

    endless = iter(lambda: bytes(100_000), None)
    with Client() as client, client.stream("POST", scripted(handle).url, content=endless) as response:
        assert response.read() == body
        read.set()


def test_upload_goes_on_while_the_answer_is_read(scripted: Callable[[Any], Scripted]) -> None:
    """The server sends back what it reads, as it reads it."""

    def handle(connection: socket.socket) -> None:
        received = head_of(connection).partition(b"\r\n\r\n")[2]
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"%x\r\n%b\r\n" % (len(received), received) if received else b"")
            if received.endswith(b"0\r\n\r\n"):
                connection.sendall(b"0\r\n\r\n")
                return
            received = connection.recv(65536)
            if not received:
                return

    upload = (bytes([n % 256]) * 50_000 for n in range(200))
    with Client() as client, client.stream("POST", scripted(handle).url, content=upload) as response:
        echoed = response.read()
    assert len(echoed) > 200 * 50_000
    assert echoed.endswith(b"0\r\n\r\n")
