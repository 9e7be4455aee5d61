"""A network for tests: what connections deliver is written down, and what is written to them is kept.

Nothing waits and no event loop is needed, so it works under `asyncio.run`, trio, or a coroutine that is driven by hand.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from .._config import Path, TLSContext
from .._errors import StreamClosed
from ._interfaces import NetworkBackend, NetworkStream, SocketOption

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["MockNetworkBackend", "MockNetworkStream"]


class MockNetworkStream(NetworkStream):
    """A stream that delivers `data` and what is added to it, then b"". What is written to it is `written_data`.

    `get_extra_info` knows what `set_extra_info` was told. Before that, "ssl_object" is False.
    """

    def __init__(self, data: bytes = b"") -> None:
        self._inbox = bytearray(data)
        self._written = bytearray()
        self._closed = False
        self._extra: dict[str, Any] = {"ssl_object": False}

    def add_data(self, data: bytes) -> None:
        """Deliver this, too, behind what was not read yet."""
        self._inbox += data

    def set_extra_info(self, name: str, value: Any) -> None:
        self._extra[name] = value

    @property
    def written_data(self) -> bytes:
        """All that was written."""
        return bytes(self._written)

    @property
    def closed(self) -> bool:
        """Whether `aclose` was called."""
        return self._closed

    @property
    def is_closed(self) -> bool:
        return self._closed

    async def read(self, max_bytes: int | None = None, timeout: float | None = None) -> bytes:
        self._check_open()
        if max_bytes is not None and max_bytes < 0:
            raise ValueError(f"max_bytes must not be negative: {max_bytes}")
        data = bytes(self._inbox[:max_bytes])
        del self._inbox[: len(data)]
        return data

    async def write(self, data: Buffer, timeout: float | None = None) -> None:
        self._check_open()
        self._written += memoryview(data).cast("B")

    async def aclose(self) -> None:
        self._closed = True

    def get_extra_info(self, name: str) -> Any:
        return self._extra.get(name)

    def _check_open(self) -> None:
        if self._closed:
            raise StreamClosed("the stream was closed")

    def _secured(self, protocols: Sequence[str] | None) -> None:
        self._extra["ssl_object"] = True
        self._extra["selected_alpn_protocol"] = protocols[0] if protocols else "http/1.1"


class MockNetworkBackend(NetworkBackend):
    """A backend whose connections are `MockNetworkStream`s: one for each host and port, until `reset`.

    Connecting always works. `connect_tls` gives another stream, also one for each host and port, which delivers what
    the first one has left; `start_tls` gives the same one.
    """

    def __init__(self) -> None:
        self._connections: dict[tuple[str, int], MockNetworkStream] = {}
        self._tls_connections: dict[tuple[str, int], MockNetworkStream] = {}

    def add_connection_data(self, host: str, port: int, data: bytes) -> None:
        """Let the connection to a host and port deliver this, whether it is open by now or not."""
        self._connection(host, port).add_data(data)

    def get_connection(self, host: str, port: int) -> MockNetworkStream | None:
        """The stream for a host and port, if there was a connection to it or data for it."""
        return self._connections.get((host, port))

    def get_tls_connection(self, host: str, port: int) -> MockNetworkStream | None:
        """The stream that `connect_tls` gave for a host and port."""
        return self._tls_connections.get((host, port))

    def reset(self) -> None:
        """Forget all connections and data."""
        self._connections.clear()
        self._tls_connections.clear()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        *,
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> MockNetworkStream:
        return self._connection(host, port)

    async def connect_unix_socket(
        self, path: Path | bytes, timeout: float | None = None, *, socket_options: Iterable[SocketOption] | None = None
    ) -> MockNetworkStream:
        """The stream for the path as host, and port 0."""
        return self._connection(os.fsdecode(path), 0)

    async def connect_tls(
        self,
        stream: NetworkStream,
        host: str,
        port: int,
        *,
        alpn_protocols: Sequence[str] | None = None,
        tls: TLSContext | None = None,
        timeout: float | None = None,
    ) -> MockNetworkStream:
        plain = mocked(stream)
        plain._check_open()
        secured = self._tls_connections.get((host, port))
        if secured is None:
            secured = self._tls_connections[host, port] = MockNetworkStream()
            secured.set_extra_info("peername", (host, port))
        # It is the same connection: what comes, whenever it was scripted, comes once.
        secured._inbox = plain._inbox
        secured._secured(alpn_protocols)
        return secured

    async def start_tls(
        self,
        stream: NetworkStream,
        host: str,
        *,
        alpn_protocols: Sequence[str] | None = None,
        tls: TLSContext | None = None,
        timeout: float | None = None,
    ) -> MockNetworkStream:
        plain = mocked(stream)
        plain._check_open()
        plain._secured(alpn_protocols)
        return plain

    async def sleep(self, seconds: float) -> None:
        """Return at once: no time passes here."""

    def _connection(self, host: str, port: int) -> MockNetworkStream:
        stream = self._connections.get((host, port))
        if stream is None:
            stream = self._connections[host, port] = MockNetworkStream()
            stream.set_extra_info("peername", (host, port))
        return stream


def mocked(stream: NetworkStream) -> MockNetworkStream:
    if not isinstance(stream, MockNetworkStream):
        raise TypeError(f"stream must be a MockNetworkStream, and is a {type(stream).__name__}")
    return stream
