"""Streams without HTTP, in each of the loops."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest

import c_http_core
from c_http_core import TLSContext, errors, network
from c_http_core.network import EpollNetworkBackend, EpollNetworkStream, NetworkBackend, NetworkStream
from conftest import LONG, LOOPS, ROOT, Run, Scripted, open_descriptors

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


@pytest.fixture
def echo_port(scripted: Start) -> int:
    return port_of(scripted(echo))


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
    assert engine.reader.busy is None


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


@pytest.mark.parametrize("new", [True, False], ids=["connect_tls", "start_tls"])
def test_tls(scripted: Start, run: Run[None], new: bool) -> None:
    port = port_of(scripted(secured_echo("second", "first")))

    async def main() -> None:
        async with EpollNetworkBackend(verify=CA) as backend:
            plain = await backend.connect_tcp("127.0.0.1", port)
            if new:
                stream = await backend.connect_tls(plain, "localhost", port, alpn_protocols=["first", "other"])
                assert stream is not plain
                with pytest.raises(RuntimeError, match="connect_tls"):
                    await plain.read()
                with pytest.raises(RuntimeError, match="connect_tls"):
                    await plain.write(b"x")
            else:
                stream = await backend.start_tls(plain, "localhost", alpn_protocols=["first", "other"])
                assert stream is plain
            await together(stream.write(bytes(BULK)), read_exactly(stream, BULK))
            info = stream.get_extra_info
            assert info("ssl_object") is True and info("selected_alpn_protocol") == "first"
            tls = info("tls_info")
            assert tls.version == "TLSv1.3" and tls.cipher.startswith("TLS") and not tls.resumed
            own = ssl.PEM_cert_to_DER_cert(certificate_of("server.pem"))
            assert tls.peer_certificates[0] == own
            with pytest.raises(errors.BadStateError, match="TLS"):
                await backend.start_tls(stream, "localhost")
            await stream.aclose()
            assert plain.is_closed and stream.is_closed
            await plain.aclose()

            plain = await backend.connect_tcp("127.0.0.1", port)
            stream = await backend.connect_tls(plain, "localhost", port, alpn_protocols=())
            assert stream.get_extra_info("selected_alpn_protocol") is None
            await plain.aclose()
            assert stream.is_closed, "it is the same connection"
            await settled(backend)

    run(main)


def certificate_of(name: str) -> str:
    text = (CERTIFICATES / name).read_text()
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    return begin + text.split(begin)[1].split(end)[0] + end


def test_tls_that_fails(scripted: Start, run: Run[None]) -> None:
    port = port_of(scripted(secured_echo()))
    echoing = port_of(scripted(echo))

    async def main() -> None:
        async with EpollNetworkBackend() as backend:
            trusting = TLSContext(ca=CA)
            for host, tls, error in (
                ("localhost", None, errors.TLSCertUnknownCAError),
                ("other.example", trusting, errors.TLSCertNameError),
            ):
                plain = await backend.connect_tcp("127.0.0.1", port)
                with pytest.raises(error) as raised:
                    await backend.connect_tls(plain, host, port, tls=tls)
                assert isinstance(raised.value, c_http_core.ConnectError)
                assert plain.is_closed
            plain = await backend.connect_tcp("127.0.0.1", echoing)
            with pytest.raises(c_http_core.TLSError):
                await backend.start_tls(plain, "localhost", tls=trusting)
            assert plain.is_closed
            with pytest.raises(RuntimeError):
                await backend.start_tls(plain, "localhost", tls=trusting)
            await settled(backend)

            plain = await backend.connect_tcp("127.0.0.1", port)
            with pytest.raises(ValueError, match="alpn_protocols"):
                await backend.start_tls(plain, "localhost", tls=trusting, alpn_protocols=["h2"])
            with pytest.raises(TypeError, match="alpn_protocols"):
                await backend.start_tls(plain, "localhost", alpn_protocols="h2")
            with pytest.raises(TypeError, match="EpollNetworkStream"):
                await backend.start_tls(network.MockNetworkStream(), "localhost")
            assert not plain.is_closed
            await plain.aclose()

    run(main)


def test_nothing_in_the_clear_is_taken_for_secured(scripted: Start, run: Run[None]) -> None:
    """STARTTLS with something behind the word that lets TLS begin (CVE-2011-0411)."""

    def handle(connection: socket.socket) -> None:
        connection.sendall(b"220 go\r\ninjected")
        secured_echo()(connection)

    server = scripted(handle)

    async def main() -> None:
        async with EpollNetworkBackend(verify=CA) as backend:
            stream = await backend.connect_tcp("127.0.0.1", port_of(server))
            assert await read_exactly(stream, 8) == b"220 go\r\n"
            assert await read_exactly(stream, 2) == b"in"
            with pytest.raises(errors.UnexpectedDataError, match="in the clear"):
                await backend.start_tls(stream, "localhost")
            assert await read_exactly(stream, 6) == b"jected"
            await backend.start_tls(stream, "localhost")
            await stream.write(b"secret")
            assert await read_exactly(stream, 6) == b"secret"
            await stream.aclose()

    run(main)


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


@pytest.fixture(autouse=True)
def _no_word() -> Iterator[None]:
    """What asyncio or a finalizer has to complain about is told to the collector first."""
    yield
    gc.collect()
