"""The backend whose connections are the library's."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from .. import _table as c
from .._async import AsyncEngine, engine_here, running_loop
from .._codes import ConnectTimeout, EngineClosedError, InvalidURL
from .._config import OptionValue, Path, Timeout, TLSContext
from .._request import Prepared, Tail
from ._connection import Connection
from ._epoll import require
from ._interfaces import NetworkBackend, NetworkStream, SocketOption
from ._stream import EpollNetworkStream

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["EpollNetworkBackend"]


class EpollNetworkBackend(NetworkBackend):
    """Connections by TCP, Unix sockets and TLS, for asyncio, uvloop and trio.

    It belongs to the event loop that it is used in, as an `AsyncClient` does, and goes on in the next one when that is
    over. It need not be closed: what is not used any more goes when it is collected.

    Args:
        verify: False accepts any certificate; the path of a file names authorities to trust instead of the system's.
        cert: our own certificate: a file, or a pair of certificate and key.
        tls: all settings of TLS, instead of `verify` and `cert`.
        options: options of the library, by the names that docs/options.md gives them.
    """

    def __init__(
        self,
        *,
        verify: bool | Path = True,
        cert: Path | tuple[Path, Path] | None = None,
        tls: TLSContext | None = None,
        options: Mapping[str, OptionValue] | None = None,
    ) -> None:
        require(self)
        self._options = dict(options or {})
        self._tls = tls
        self._identity = None if verify is True and cert is None else (verify, cert)
        #: Contexts for the protocols that were offered.
        self._contexts: dict[tuple[str, ...] | None, TLSContext] = {}
        self._engine: AsyncEngine | None = None
        self._closed = False

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        *,
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> EpollNetworkStream:
        local = None if local_address is None else local_address.encode()
        connection = await self._connect(where(host, port), None, local, timeout)
        return self._opened(EpollNetworkStream(connection), socket_options)

    async def connect_unix_socket(
        self, path: Path | bytes, timeout: float | None = None, *, socket_options: Iterable[SocketOption] | None = None
    ) -> EpollNetworkStream:
        connection = await self._connect("localhost:1", os.fsencode(path), None, timeout)
        return self._opened(EpollNetworkStream(connection, os.fspath(path)), socket_options)

    async def connect_tls(
        self,
        stream: NetworkStream,
        host: str,
        port: int,
        *,
        alpn_protocols: Sequence[str] | None = None,
        tls: TLSContext | None = None,
        timeout: float | None = None,
    ) -> EpollNetworkStream:
        secured = await self.start_tls(stream, host, alpn_protocols=alpn_protocols, tls=tls, timeout=timeout)
        return secured._hand_on()

    async def start_tls(
        self,
        stream: NetworkStream,
        host: str,
        *,
        alpn_protocols: Sequence[str] | None = None,
        tls: TLSContext | None = None,
        timeout: float | None = None,
    ) -> EpollNetworkStream:
        if not isinstance(stream, EpollNetworkStream):
            raise TypeError(f"stream must be an EpollNetworkStream, and is a {type(stream).__name__}")
        context = self._context(alpn_protocols, tls)
        await stream._secure(0 if context is None else context.address, in_ascii(host), timeout)
        return stream

    async def sleep(self, seconds: float) -> None:
        await running_loop().sleep(seconds)

    async def aclose(self) -> None:
        """Close all connections. Tasks that wait for one get `EngineClosedError`."""
        self._closed = True
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _connect(
        self, place: str, unix_path: bytes | None, local_address: bytes | None, timeout: float | None
    ) -> Connection:
        if self._closed:
            raise EngineClosedError("the backend was closed")
        engine = self._engine = engine_here(self._engine, self._options)
        # Each read and write, and the handshake, has a time of its own.
        times = Timeout(None, pool=timeout, dns=timeout, connect=timeout, tls=None).words()
        tail = Tail(unix_path, 0, 0, times, None, None, local_address, None)
        connection = Connection(engine, place)
        request = Prepared(b"", f"http://{place}".encode(), b"", b"", c.REQ_RAW, None, 0, tail)
        engine.submit(request, connection, collect=False)
        try:
            while not connection.head:
                if connection.done:
                    raise connection.failure()
                await connection.news(False, None, ConnectTimeout)
        except BaseException:
            engine.abandon(connection)
            raise
        return connection

    def _opened(self, stream: EpollNetworkStream, socket_options: Iterable[SocketOption] | None) -> EpollNetworkStream:
        try:
            stream._set_options(socket_options)
        except BaseException:
            stream._connection.close()
            raise
        return stream

    def _context(self, protocols: Sequence[str] | None, tls: TLSContext | None) -> TLSContext | None:
        """None for the library's own."""
        if isinstance(protocols, str):
            raise TypeError("alpn_protocols is a sequence of names, not one name")
        given = self._tls if tls is None else tls
        if given is not None:
            if protocols is not None:
                raise ValueError(
                    "alpn_protocols cannot be used with a TLSContext, which has its own: TLSContext(alpn=...)"
                )
            return given
        if protocols is None and self._identity is None:
            return None
        offered = None if protocols is None else tuple(protocols)
        context = self._contexts.get(offered)
        if context is None:
            verify, cert = self._identity or (True, None)
            certificate, key = cert if isinstance(cert, tuple) else (cert, None)
            ca = None if isinstance(verify, bool) else verify
            context = TLSContext(verify=verify is not False, ca=ca, cert=certificate, key=key, alpn=offered)
            self._contexts[offered] = context
        return context


def where(host: str, port: int) -> str:
    """Host and port as a URL has them."""
    if not 0 < port < 65536:
        raise InvalidURL(f"port must be 1 to 65535, and is {port}")
    name = in_ascii(host)
    if not name or any(letter in name for letter in "/?#[]"):
        raise InvalidURL(f"host must be a name or an address, and is {host!r}")
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def in_ascii(host: str) -> str:
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode()
    except UnicodeError as error:
        raise InvalidURL(f"host is no name that IDNA knows: {host!r}: {error}") from error
