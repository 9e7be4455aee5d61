"""Streams over the library's connections."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from .. import _table as c
from .._codes import ReadTimeout, TLSTimeout, UnexpectedDataError, WriteTimeout
from .._failures import failure
from .._ffi import bytes_at, lib, pin
from .._memory import give, take, text_of
from .._records import POINTERS
from .._response import tls_info_of
from ._connection import Connection, deadline
from ._interfaces import NetworkStream, SocketOption

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["EpollNetworkStream", "StreamSocket", "StreamTLSInfo"]

# What is given to the library at a time: less than it buffers for a stream.
PIECE = 65536


class StreamTLSInfo(NamedTuple):
    """What was agreed on for TLS; names are those of the IANA registries."""

    #: "TLSv1.2" or "TLSv1.3".
    version: str
    cipher: str
    #: The key exchange, "" for a resumed session of TLS 1.2.
    group: str
    #: Whether an earlier session went on, with the certificate that was verified then.
    resumed: bool
    #: The chain that the peer sent, in DER: its own certificate first.
    peer_certificates: tuple[bytes, ...]


class StreamSocket:
    """The socket under a stream, to look at and to set options of. The library reads, writes and closes it."""

    __slots__ = ("_connection",)

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def fileno(self) -> int:
        """The descriptor itself, valid until the stream is closed; -1 from then on. Do not read, write or close it."""
        connection = self._connection
        return -1 if connection.closed or connection.done else max(connection.engine.descriptor(connection.xid), -1)

    def _borrowed(self) -> socket.socket:
        # Options are those of the socket, whichever descriptor they are set through; this one may be closed by anybody.
        fd = self.fileno()
        if fd < 0:
            raise OSError("the stream is closed")
        return socket.socket(fileno=socket.dup(fd))

    @property
    def family(self) -> socket.AddressFamily:
        with self._borrowed() as borrowed:
            return socket.AddressFamily(borrowed.family)

    @property
    def type(self) -> socket.SocketKind:
        return socket.SOCK_STREAM

    def getsockname(self) -> Any:
        with self._borrowed() as borrowed:
            return borrowed.getsockname()

    def getpeername(self) -> Any:
        with self._borrowed() as borrowed:
            return borrowed.getpeername()

    @overload
    def getsockopt(self, level: int, option: int, /) -> int: ...

    @overload
    def getsockopt(self, level: int, option: int, size: int, /) -> bytes: ...

    def getsockopt(self, *arguments: int) -> int | bytes:
        """As `socket.getsockopt`."""
        with self._borrowed() as borrowed:
            return borrowed.getsockopt(*arguments)

    def setsockopt(self, *arguments: Any) -> None:
        """As `socket.setsockopt`."""
        with self._borrowed() as borrowed:
            borrowed.setsockopt(*arguments)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} fd={self.fileno()}>"


def address_of(text: str) -> tuple[str, int] | str:
    """ "1.2.3.4:5" or "[::1]:5" as host and port; "" for a Unix socket."""
    if not text:
        return ""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def told(function: Any, *arguments: int) -> bytes | None:
    """What a function of the kind (..., data *, length *) -> code tells."""
    scratch = take()
    try:
        code = function(*arguments, scratch.address, scratch.address + POINTERS.size // 2)
        return None if code < 0 else bytes_at(*POINTERS.unpack_from(scratch.buffer))
    finally:
        give(scratch)


class EpollNetworkStream(NetworkStream):
    """A connection of `EpollNetworkBackend`. One task may read it while another one writes.

    `get_extra_info` knows

    - "socket": a `StreamSocket`, whose `fileno` is the descriptor
    - "peername" and "sockname": host and port; for a Unix socket its path, and ""
    - "server_addr" and "client_addr": the same
    - "ssl_object": whether it is secured, True or False
    - "tls_info": a `StreamTLSInfo`, or None
    - "selected_alpn_protocol": what the peer has chosen, or None
    - "is_readable": whether a read would return at once
    """

    def __init__(self, connection: Connection, unix_path: str | bytes | None = None) -> None:
        self._connection = connection
        #: Whether another stream stands for the connection now.
        self._handed_on = False
        self._writing = False
        self._unix_path = unix_path
        self._socket = StreamSocket(connection)

    @property
    def is_closed(self) -> bool:
        return self._connection.closed

    async def read(self, max_bytes: int | None = None, timeout: float | None = None) -> bytes:
        connection = self._open()
        if max_bytes is not None and max_bytes < 0:
            raise ValueError(f"max_bytes must not be negative: {max_bytes}")
        if connection.waiters.reader is not None:
            raise RuntimeError("another task reads this stream")
        if max_bytes == 0:
            return b""
        if not connection.pieces:
            until = deadline(timeout)
            while not connection.pieces:
                if connection.error is not None:
                    raise connection.failure()
                if connection.ended or connection.done:
                    return b""
                await connection.news(False, until, ReadTimeout)
        return connection.take(max_bytes)

    async def write(self, data: Buffer, timeout: float | None = None) -> None:
        self._open()
        if self._writing:
            raise RuntimeError("another task writes this stream")
        size = memoryview(data).nbytes
        if not size:
            return
        address, pinned = pin(data)
        until = deadline(timeout)
        self._writing = True
        try:
            at = 0
            while at < size:
                length = min(size - at, PIECE)
                if await self._hand_over(address + at, length, until):
                    at += length
            # Nothing is left in the library either.
            while not await self._hand_over(address, 0, until):
                pass
        finally:
            self._writing = False
            del pinned

    async def _hand_over(self, address: int, length: int, until: float | None) -> bool:
        """Give the library some bytes; if there is no room for them, wait until there may be. There is room for none as
        soon as the system has all that came before."""
        connection = self._connection
        code = connection.engine.body_write_at(connection.xid, address, length)
        if code == c.OK or (code == c.E_NOT_FOUND and not length):
            # If the connection broke behind the last byte, the next call says so.
            return True
        connection.can_write = code != c.E_AGAIN
        if code == c.E_NOT_FOUND:
            # It has ended; why is on its way.
            while not connection.done:
                await connection.news(True, until, WriteTimeout)
            raise connection.failure()
        if code != c.E_AGAIN:
            raise failure(code)
        while not (connection.can_write or connection.done):
            await connection.news(True, until, WriteTimeout)
        return False

    async def aclose(self) -> None:
        if not self._connection.closed:
            self._connection.close()

    def get_extra_info(self, name: str) -> Any:
        connection = self._connection
        opened = connection.head
        secured = opened if connection.agreed is None else connection.agreed.obj
        if name == "socket":
            return self._socket
        if name in ("peername", "server_addr"):
            return address_of(text_of(lib.response_peer, opened)) or self._unix_path
        if name in ("sockname", "client_addr"):
            return address_of(text_of(lib.response_local, opened))
        if name == "ssl_object":
            return tls_info_of(secured) is not None
        if name == "tls_info":
            return stream_tls_info(secured)
        if name == "selected_alpn_protocol":
            return (told(lib.stream_alpn, secured) or b"").decode("latin-1") or None
        if name == "is_readable":
            return bool(connection.pieces) or connection.ended or connection.done
        return None

    def _open(self) -> Connection:
        if self._handed_on:
            raise RuntimeError("the stream was handed to connect_tls, which has returned the one to use")
        self._connection.check_open()
        return self._connection

    async def _secure(self, tls: int, name: str, timeout: float | None) -> None:
        """The handshake. If anything goes wrong with it, the stream is closed."""
        connection = self._open()
        if connection.waiters.reader is not None or self._writing:
            raise RuntimeError("another task uses this stream")
        until = deadline(timeout)
        if connection.pieces:
            raise UnexpectedDataError(
                f"{connection.url}: bytes that came in the clear were not read; they must not be taken for secured ones"
            )
        connection.engine.start_tls(connection.xid, tls, name.encode())
        try:
            while connection.agreed is None:
                if connection.done:
                    raise connection.failure()
                await connection.news(False, until, TLSTimeout)
            if connection.injected:
                raise UnexpectedDataError(f"{connection.url}: bytes came in the clear when TLS was being started")
        except BaseException:
            connection.close()
            raise

    def _hand_on(self) -> EpollNetworkStream:
        """Another stream for the same connection, which this one does not read or write any more."""
        self._handed_on = True
        return EpollNetworkStream(self._connection, self._unix_path)

    def _set_options(self, options: Iterable[SocketOption] | None) -> None:
        for option in options or ():
            self._socket.setsockopt(*option)

    def __del__(self) -> None:
        connection = self._connection
        if not (self._handed_on or connection.closed):
            connection.close()

    def __repr__(self) -> str:
        state = "closed" if self.is_closed else "open"
        return f"<{type(self).__name__} {self._connection.url} {state}>"


def stream_tls_info(obj: int) -> StreamTLSInfo | None:
    info = tls_info_of(obj)
    if info is None:
        return None
    chain: list[bytes] = []
    while (certificate := told(lib.stream_certificate, obj, len(chain))) is not None:
        chain.append(certificate)
    return StreamTLSInfo(info.version, info.cipher, info.group, info.resumed, tuple(chain))
