"""Servers on loopback, event loops, and what the tests share."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Iterator
from pathlib import Path
from typing import Any, Callable, TypeVar

import pytest

ROOT = Path(__file__).resolve().parents[3]
BUILT = ROOT / "build" / "python"
#: For what must happen in the end, however slow the machine is.
LONG = 60.0
T = TypeVar("T")
Run = Callable[[Callable[[], Awaitable[T]]], T]


class ServerProcess:
    """A server that lives as long as its standard input is open, and first prints its ports."""

    def __init__(self, *command: str | Path) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.ports = [int(port) for port in self.process.stdout.readline().split()[1:]]

    def stop(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(LONG)


@pytest.fixture(scope="session")
def server_program() -> Path:
    """The project's own test server, which can be slow, wrong and rude."""
    program = BUILT / "test_server"
    sources = [ROOT / "examples/demo/demo_server.c", *(ROOT / "c_tests/support").glob("*.c")]
    BUILT.mkdir(parents=True, exist_ok=True)
    subprocess.run([os.environ.get("CC", "cc"), "-std=c11", "-O1", "-o", program, *sources], check=True)
    return program


@pytest.fixture(scope="session")
def url(server_program: Path) -> Iterator[str]:
    server = ServerProcess(server_program)
    yield f"http://127.0.0.1:{server.ports[0]}"
    server.stop()


class TLSServers:
    def __init__(self, ports: list[int]) -> None:
        self.plain, self.mutual = ports
        self.certificates = ROOT / "examples" / "demo" / "tls"
        self.ca = self.certificates / "ca.pem"

    def url(self, path: str = "/", mutual: bool = False) -> str:
        return f"https://localhost:{self.mutual if mutual else self.plain}{path}"


@pytest.fixture(scope="session")
def tls_servers() -> Iterator[TLSServers]:
    server = ServerProcess(sys.executable, ROOT / "examples" / "demo" / "demo_tls_server.py")
    yield TLSServers(server.ports)
    server.stop()


Handler = Callable[[socket.socket], object]


class Scripted:
    """A server whose connections a function of the test handles, each on a thread of its own."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.threads: list[threading.Thread] = []
        self.end, end = socket.socketpair()
        self.accepting = threading.Thread(target=self.accept, args=(end,))
        self.accepting.start()

    def accept(self, end: socket.socket) -> None:
        with end:
            while True:
                readable, _, _ = select.select([self.listener, end], [], [])
                if end in readable:
                    return
                connection, _ = self.listener.accept()
                connection.settimeout(LONG)
                self.threads.append(threading.Thread(target=self.handle, args=(connection,)))
                self.threads[-1].start()

    def handle(self, connection: socket.socket) -> None:
        with connection:
            try:
                self.handler(connection)
            except ConnectionError:
                pass  # The client has left, as it does in many tests.

    def stop(self) -> None:
        self.end.close()
        self.accepting.join(LONG)
        self.listener.close()
        for thread in self.threads:
            thread.join(LONG)


@pytest.fixture
def scripted() -> Iterator[Callable[[Handler], Scripted]]:
    servers: list[Scripted] = []

    def start(handler: Handler) -> Scripted:
        servers.append(Scripted(handler))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def refusing() -> Iterator[str]:
    """An address at which nobody listens, and nobody else will."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


def head_of(connection: socket.socket) -> bytes:
    """Read one request's head; what came behind it stays unread only if nothing did."""
    head = b""
    while b"\r\n\r\n" not in head:
        received = connection.recv(65536)
        if not received:
            raise ConnectionError
        head += received
    return head


@pytest.fixture
def echo_port(scripted: Callable[[Handler], Scripted]) -> int:
    """That of a server that gives back what it is told."""

    def echo(connection: socket.socket) -> None:
        while data := connection.recv(65536):
            connection.sendall(data)

    return int(scripted(echo).url.rpartition(":")[2])


@pytest.fixture
def no_word() -> Iterator[None]:
    """What asyncio or a finalizer has to complain about is told to the collector first."""
    yield
    gc.collect()


def run_asyncio(main: Callable[[], Any]) -> Any:
    return asyncio.run(asyncio.wait_for(main(), LONG))


def run_uvloop(main: Callable[[], Any]) -> Any:
    import uvloop

    return uvloop.run(asyncio.wait_for(main(), LONG))


def run_trio(main: Callable[[], Any]) -> Any:
    import trio

    async def bounded() -> Any:
        with trio.fail_after(LONG):
            return await main()

    return trio.run(bounded)


LOOPS = {"asyncio": run_asyncio, "uvloop": run_uvloop, "trio": run_trio}


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Run[Any]:
    """Runs an async function in each of the loops."""
    name = request.param
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    return LOOPS[name]


def python(program: str, *arguments: str, timeout: float = LONG, **rest: Any) -> subprocess.CompletedProcess[str]:
    """Run a program in an interpreter of its own."""
    command = [sys.executable, "-X", "faulthandler", "-c", program, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, **rest)


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def resident() -> int:
    """Bytes of memory in use (RSS)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
