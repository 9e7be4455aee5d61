"""What a backend and a stream are, whatever is behind them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Union

from .._config import Path, TLSContext

if TYPE_CHECKING:
    from typing_extensions import Buffer, Self

__all__ = ["NetworkBackend", "NetworkStream", "SocketOption"]

#: The arguments of `socket.setsockopt`.
SocketOption = Union["tuple[int, int, int]", "tuple[int, int, bytes]", "tuple[int, int, None, int]"]


class NetworkStream(ABC):
    """A connection: bytes in both directions. `async with` closes it at the end."""

    @abstractmethod
    async def read(self, max_bytes: int | None = None, timeout: float | None = None) -> bytes:
        """Wait for at least a byte, and return what is there: `max_bytes` at most.

        Returns b"" at the end of the stream.

        Args:
            max_bytes: how many bytes at most (0 or more); None for all that are there.
            timeout: seconds to wait at most; None for no limit.

        Raises:
            ReadTimeout: nothing came in time. The stream is as it was.
            RuntimeError: the stream was closed, or another task reads.
        """

    @abstractmethod
    async def write(self, data: Buffer, timeout: float | None = None) -> None:
        """Send all of `data`: on return the operating system has it.

        Args:
            data: what is sent. It must not change until then.
            timeout: seconds for all of it; None for no limit.

        Raises:
            WriteTimeout: not all was taken in time. Nobody knows how much has left: close the stream.
            RuntimeError: the stream was closed, or another task writes.
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Close the connection. Closing it again does nothing. Tasks that wait for it get `RuntimeError`."""

    @abstractmethod
    def get_extra_info(self, name: str) -> Any | None:
        """What is known of the connection under a name, or None. Each kind of stream says which names it knows."""

    @property
    @abstractmethod
    def is_closed(self) -> bool:
        """Whether it was closed on this side."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class NetworkBackend(ABC):
    """What makes connections. Times are seconds, and None is no limit."""

    @abstractmethod
    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        *,
        local_address: str | None = None,
        socket_options: Iterable[SocketOption] | None = None,
    ) -> NetworkStream:
        """Connect to a host by TCP.

        Args:
            host: a name or an address.
            port: 1 to 65535.
            timeout: seconds for the name, and again for the connection.
            local_address: the address of this machine to connect from.
            socket_options: arguments of `setsockopt`, which is called for each as soon as there is a connection.

        Raises:
            ConnectError: there is no such host, or no connection to it.
            ConnectTimeout, DNSTimeout: it took too long.
        """

    async def connect_unix_socket(
        self, path: Path | bytes, timeout: float | None = None, *, socket_options: Iterable[SocketOption] | None = None
    ) -> NetworkStream:
        """Connect to a Unix socket. The arguments are as for `connect_tcp`; "\\0name" is in the abstract namespace."""
        raise NotImplementedError(f"{type(self).__name__} has no Unix sockets")

    @abstractmethod
    async def connect_tls(
        self,
        stream: NetworkStream,
        host: str,
        port: int,
        *,
        alpn_protocols: Sequence[str] | None = None,
        tls: TLSContext | None = None,
        timeout: float | None = None,
    ) -> NetworkStream:
        """Start TLS on a connection, and return a new stream that stands for it from then on.

        Args:
            stream: the connection. What it has received must have been read.
            host: whom to verify: a name or an address.
            port: the port that it is connected to, for people.
            alpn_protocols: application protocols to offer, the best first; () for none. None leaves the choice to the
                context, which offers "http/1.1" unless told otherwise.
            tls: whom to trust and who we are, instead of the backend's. It has its own `alpn`.
            timeout: seconds for the handshake.

        Raises:
            TLSError: the connection could not be secured, and is closed.
            TLSTimeout: it took too long; the connection is closed.
        """

    @abstractmethod
    async def start_tls(
        self,
        stream: NetworkStream,
        host: str,
        *,
        alpn_protocols: Sequence[str] | None = None,
        tls: TLSContext | None = None,
        timeout: float | None = None,
    ) -> NetworkStream:
        """Start TLS on a connection, and return the same stream. Else as `connect_tls`."""

    async def sleep(self, seconds: float) -> None:
        """Sleep, in whatever event loop there is."""
        raise NotImplementedError(f"{type(self).__name__} has no clock")
