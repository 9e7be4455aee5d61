"""Servers for streams without HTTP, and how to read them and look behind them."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import threading
from typing import Any, Callable

from c_http_core.network import EpollNetworkBackend, NetworkStream
from conftest import LONG, ROOT, Scripted

CERTIFICATES = ROOT / "examples" / "demo" / "tls"
CA = CERTIFICATES / "ca.pem"
BULK = 8_000_000
Start = Callable[[Callable[[socket.socket], object]], Scripted]


def port_of(server: Scripted) -> int:
    return int(server.url.rpartition(":")[2])


def echo(connection: socket.socket) -> None:
    while data := connection.recv(65536):
        connection.sendall(data)


def silent(connection: socket.socket) -> None:
    """Says nothing and reads nothing until the client has gone."""
    while connection.recv(1):
        pass


class Unread:
    """A server that reads nothing until it is told to, and then counts."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.ended = threading.Event()
        self.count = 0

    def __call__(self, connection: socket.socket) -> None:
        assert self.go.wait(LONG)
        while data := connection.recv(65536):
            self.count += len(data)
        self.ended.set()


def tls_context(*protocols: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "server.pem")
    if protocols:
        context.set_alpn_protocols(protocols)
    return context


def secured_echo(*protocols: str) -> Callable[[socket.socket], object]:
    context = tls_context(*protocols)

    def handle(connection: socket.socket) -> None:
        try:
            with context.wrap_socket(connection, server_side=True) as secured:
                echo(secured)
                secured.unwrap()
        except (ssl.SSLError, OSError):
            pass  # The client did not like it, or has left.

    return handle


async def read_all(stream: NetworkStream) -> bytes:
    pieces = []
    while piece := await stream.read():
        pieces.append(piece)
    return b"".join(pieces)


async def read_exactly(stream: NetworkStream, size: int) -> bytes:
    read = bytearray()
    while len(read) < size:
        piece = await stream.read(size - len(read))
        assert piece
        read += piece
    return bytes(read)


def descriptors_like(fd: int) -> list[int]:
    """Those of this process that stand for the same file."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.path.sameopenfile(int(name), fd):
                found.append(int(name))
        except OSError:
            pass  # That of the directory.
    return found


async def settled(backend: EpollNetworkBackend) -> None:
    """Nothing is under way any more, once what was closed has ended."""
    engine = backend._engine
    assert engine is not None
    while engine.exchanges:
        await backend.sleep(0.001)
    stats = engine.stats()
    assert (stats["exchanges"], stats["connections"], stats["dials"], stats["waiting"]) == (0, 0, 0, 0)
    assert not engine.exchanges


async def together(*coroutines: Any) -> None:
    """All of them at a time, in whichever loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        import trio

        async def wait(coroutine: Any) -> None:
            await coroutine

        async with trio.open_nursery() as nursery:
            for coroutine in coroutines:
                nursery.start_soon(wait, coroutine)
    else:
        await asyncio.gather(*coroutines)


def full_listener() -> tuple[socket.socket, list[socket.socket]]:
    """One whose queue has no place left, so that connecting to it takes for ever."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=0)
    waiting = []
    for _ in range(3):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(listener.getsockname())
        waiting.append(client)
    return listener, waiting
