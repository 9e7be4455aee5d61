"""Streams without HTTP, in each of the loops."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest

import c_http_core
from c_http_core import TLSContext, errors, network
from c_http_core.network import EpollNetworkBackend, EpollNetworkStream, NetworkBackend, NetworkStream
from conftest import LONG, Run
from network_servers import (
    BULK,
    CA,
    Start,
    Unread,
    descriptors_like,
    full_listener,
    port_of,
    read_all,
    read_exactly,
    settled,
    silent,
    together,
)

pytestmark = pytest.mark.usefixtures("no_word")


def test_names() -> None:
    assert network.HAS_EPOLL
    assert issubclass(EpollNetworkBackend, NetworkBackend) and issubclass(EpollNetworkStream, NetworkStream)
    abstract: tuple[Any, ...] = (NetworkBackend, NetworkStream)
    for made in abstract:
        with pytest.raises(TypeError):
            made()


def test_a_system_without_epoll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network._epoll, "HAS_EPOLL", False)
    with pytest.raises(RuntimeError, match="EpollNetworkBackend needs epoll"):
        EpollNetworkBackend()


def test_back_and_forth(echo_port: int, run: Run[None]) -> None:
    async def main() -> None:
        async with EpollNetworkBackend() as backend, await backend.connect_tcp("127.0.0.1", echo_port) as stream:
            assert not stream.is_closed and "open" in repr(stream)
            for data in (b"a", bytearray(b"bc"), memoryview(b"xdefx")[1:4], memoryview(bytearray(b"gh"))):
                await stream.write(data)
            await stream.write(b"")
            assert await read_exactly(stream, 3) == b"abc"
            assert await stream.read(0) == b""
            assert await read_exactly(stream, 5) == b"defgh"
            with pytest.raises(ValueError, match="max_bytes"):
                await stream.read(-1)
            await stream.aclose()
            await stream.aclose()
            assert stream.is_closed and "closed" in repr(stream)
            with pytest.raises(RuntimeError):
                await stream.read()
            with pytest.raises(RuntimeError):
                await stream.write(b"x")
            await settled(backend)
        with pytest.raises(errors.EngineClosedError):
            await backend.connect_tcp("127.0.0.1", echo_port)

    run(main)


def test_pieces(scripted: Start, run: Run[None]) -> None:
    """A read returns at most what it was asked for, and what is there without being asked."""

    def handle(connection: socket.socket) -> None:
        connection.recv(1)
        connection.sendall(bytes(range(256)) * 400)

    server = scripted(handle)

    async def main() -> None:
        async with EpollNetworkBackend() as backend, await backend.connect_tcp("127.0.0.1", port_of(server)) as stream:
            await stream.write(b"x")
            read = bytearray()
            while piece := await stream.read(1000):
                assert len(piece) <= 1000
                read += piece
            assert read == bytes(range(256)) * 400
            assert [await stream.read(), await stream.read(5)] == [b"", b""]

    run(main)


def test_more_than_fits_both_ways(echo_port: int, run: Run[None]) -> None:
    """One task writes while another one reads; both are slowed down by the other side."""
    data = os.urandom(BULK)

    async def main() -> None:
        async with EpollNetworkBackend(options={"recv_credit": 20_000}) as backend:
            async with await backend.connect_tcp("localhost", echo_port) as stream:
                await together(stream.write(data), check(stream))
            await settled(backend)

    async def check(stream: NetworkStream) -> None:
        assert await read_exactly(stream, BULK) == data

    run(main)


def test_what_was_written_arrives(scripted: Start, run: Run[None]) -> None:
    """A write returns when the system has it all, so that closing right behind it loses nothing."""
    stuck, server = Unread(), Unread()
    stuck_port, port = port_of(scripted(stuck)), port_of(scripted(server))

    async def main() -> None:
        async with EpollNetworkBackend() as backend:
            stream = await backend.connect_tcp("127.0.0.1", stuck_port)
            with pytest.raises(c_http_core.WriteTimeout):
                await stream.write(bytes(50_000_000), timeout=0.05)
            await stream.aclose()
            stuck.go.set()

            server.go.set()
            small = [(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)]
            stream = await backend.connect_tcp("127.0.0.1", port, socket_options=small)
            await stream.write(bytes(1_000_000))
            await stream.aclose()

    run(main)
    assert server.ended.wait(LONG) and server.count == 1_000_000


def test_extra_info(echo_port: int, run: Run[None]) -> None:
    async def main() -> None:
        async with EpollNetworkBackend() as backend:
            stream = await backend.connect_tcp(
                "localhost",
                echo_port,
                local_address="127.0.0.1",
                socket_options=[(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 77)],
            )
            info = stream.get_extra_info
            sock = info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 77
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            assert (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_STREAM)
            assert info("peername") == info("server_addr") == sock.getpeername() == ("127.0.0.1", echo_port)
            assert info("sockname") == info("client_addr") == sock.getsockname()
            assert (info("ssl_object"), info("tls_info"), info("selected_alpn_protocol")) == (False, None, None)
            assert info("is_readable") is False and info("other") is None
            await stream.write(b"x")
            assert await stream.read() == b"x"
            assert info("socket").fileno() == sock.fileno() and descriptors_like(sock.fileno()) == [sock.fileno()]
            await stream.aclose()
            assert sock.fileno() == -1 and info("peername") == ("127.0.0.1", echo_port)
            with pytest.raises(OSError, match="closed"):
                sock.getsockname()
            with pytest.raises(OSError):
                await backend.connect_tcp("127.0.0.1", echo_port, socket_options=[(socket.SOL_SOCKET, 9999, 1)])
            await settled(backend)

    run(main)


def test_ipv6(run: Run[None]) -> None:
    try:
        listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")

    async def main() -> None:
        async with EpollNetworkBackend() as backend, await backend.connect_tcp("::1", port) as stream:
            assert stream.get_extra_info("peername") == ("::1", port)

    with listener:
        port = listener.getsockname()[1]
        run(main)


@pytest.mark.parametrize("abstract", [False, True])
def test_unix_socket(tmp_path: Path, run: Run[None], abstract: bool) -> None:
    path = f"\0chttp-test-{os.getpid()}-{time.monotonic_ns()}" if abstract else str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        async def main() -> None:
            async with EpollNetworkBackend() as backend, await backend.connect_unix_socket(path) as stream:
                peer, _ = listener.accept()
                with peer:
                    peer.sendall(b"word")
                    assert await read_exactly(stream, 4) == b"word"
                    assert (stream.get_extra_info("peername"), stream.get_extra_info("sockname")) == (path, "")
                    assert stream.get_extra_info("socket").family == socket.AF_UNIX
            with pytest.raises(c_http_core.ConnectError):
                await backend_of_none.connect_unix_socket(tmp_path / "nowhere")

        backend_of_none = EpollNetworkBackend()
        run(main)


def test_what_cannot_be_connected_to(run: Run[None]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed_port = listener.getsockname()[1]

    async def main() -> None:
        async with EpollNetworkBackend() as backend:
            with pytest.raises(c_http_core.ConnectError) as raised:
                await backend.connect_tcp("127.0.0.1", closed_port)
            assert isinstance(raised.value, errors.ConnectRefusedError) and str(closed_port) in str(raised.value)
            for host, port in (("", 1), ("a/b", 1), ("a b", 1), ("a@b", 1), ("a?b", 1), ("[::1]", 1), ("ä" * 70, 1)):
                with pytest.raises(c_http_core.InvalidURL):
                    await backend.connect_tcp(host, port)
            for port in (0, -1, 65536):
                with pytest.raises(c_http_core.InvalidURL, match="port"):
                    await backend.connect_tcp("localhost", port)
            with pytest.raises(ValueError, match="negative"):
                await backend.connect_tcp("127.0.0.1", closed_port, timeout=-1)
            await settled(backend)

    run(main)


def test_timeouts(scripted: Start, run: Run[None]) -> None:
    port = port_of(scripted(silent))

    async def main() -> None:
        async with EpollNetworkBackend(tls=TLSContext(ca=CA)) as backend:
            with pytest.raises(c_http_core.ConnectTimeout):
                await backend.connect_tcp("127.0.0.1", full.getsockname()[1], timeout=0.05)
            stream = await backend.connect_tcp("127.0.0.1", port, timeout=LONG)
            for timeout in (0.05, 0):
                with pytest.raises(c_http_core.ReadTimeout) as raised:
                    await stream.read(timeout=timeout)
                assert isinstance(raised.value, TimeoutError)
            with pytest.raises(ValueError, match="negative"):
                await stream.read(timeout=-0.1)
            await stream.write(b"still open", timeout=float("inf"))
            with pytest.raises(c_http_core.TLSTimeout):
                await backend.connect_tls(stream, "localhost", port, timeout=0.05)
            assert stream.is_closed
            await settled(backend)

    full, clients = full_listener()
    run(main)
    for sock in (full, *clients):
        sock.close()


def test_the_peer_breaks_off(scripted: Start, run: Run[None]) -> None:
    def handle(connection: socket.socket) -> None:
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    server = scripted(handle)

    async def main() -> None:
        async with EpollNetworkBackend() as backend:
            stream = await backend.connect_tcp("127.0.0.1", port_of(server))
            await stream.write(b"x")
            for _ in range(2):
                with pytest.raises(c_http_core.NetworkError):
                    await stream.read()
            with pytest.raises(c_http_core.NetworkError):
                await stream.write(b"x")
            assert not stream.is_closed and stream.get_extra_info("socket").fileno() == -1
            await stream.aclose()
            await settled(backend)

    run(main)


def test_the_peer_closes_its_side(scripted: Start, run: Run[None]) -> None:
    received: list[bytes] = []

    def handle(connection: socket.socket) -> None:
        connection.sendall(b"bye")
        connection.shutdown(socket.SHUT_WR)
        while data := connection.recv(100):
            received.append(data)

    server = scripted(handle)

    async def main() -> None:
        async with EpollNetworkBackend() as backend:
            stream = await backend.connect_tcp("127.0.0.1", port_of(server))
            assert await read_all(stream) == b"bye"
            assert stream.get_extra_info("is_readable") is True
            await stream.write(b"still said")
            await stream.aclose()

    run(main)
    server.stop()
    assert b"".join(received) == b"still said"
