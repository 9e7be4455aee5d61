"""The bases of all exceptions, with the names that httpx gives them where it has any.

`_codes` derives one class for each error code of the library from them, so that `except` can be as narrow or as wide as
wanted: `TLSCertExpiredError` is a `TLSError`, that is a `ConnectError`, a `NetworkError`, a `TransportError`, a
`RequestError` and an `HTTPError`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from ._response import Response

__all__ = [
    "ArgumentError",
    "ConnectError",
    "HTTPError",
    "HTTPStatusError",
    "LocalProtocolError",
    "NetworkError",
    "ProtocolError",
    "RemoteProtocolError",
    "RequestError",
    "ResolveError",
    "ResourceError",
    "ResponseNotRead",
    "StateError",
    "StreamClosed",
    "StreamConsumed",
    "StreamError",
    "TLSError",
    "TimeoutException",
    "TransportError",
]


class HTTPError(Exception):
    """All that this package raises of its own, but for misuse of a stream."""


class HTTPStatusError(HTTPError):
    """`Response.raise_for_status` met a status that is no success."""

    def __init__(self, message: str, response: Response) -> None:
        super().__init__(message)
        self.response = response

    def __reduce__(self) -> tuple[type[HTTPError], tuple[str]]:
        # The answer belongs to this process.
        return HTTPError, (str(self),)


class StreamError(RuntimeError):
    """A body was read in a way in which it cannot be."""


class WebSocketClosed(StreamError):
    """A WebSocket was closed, in due form, by the server or on our side."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"the WebSocket was closed: {code} {reason}".rstrip())
        #: Of the server's Close frame (RFC 6455 section 7.4); 1005 if it gave none, or there was no frame.
        self.code = code
        self.reason = reason

    def __reduce__(self) -> tuple[type[WebSocketClosed], tuple[int, str]]:
        return type(self), (self.code, self.reason)


class StreamConsumed(StreamError):
    """The body was read before, piece by piece, and is not kept."""


class StreamClosed(StreamError):
    """The answer was closed before all of its body was read, or a stream of `c_http_core.network` was closed."""


class ResponseNotRead(StreamError):
    """The body of a streamed answer is asked for as a whole, and was not read: call `read` or `aread` first."""


class RequestError(HTTPError):
    """The library refused a request, or could not carry it out."""

    #: The library's number of the error, below 0; 0 for errors of no code.
    code: ClassVar[int] = 0
    #: The name of `code` in the C interface: "CHTTP_E_...".
    name: ClassVar[str] = ""
    #: What, where and when, in words for people.
    message: str
    #: The method and the URL of the exchange that failed; "" for what was refused before it began.
    method: str = ""
    url: str = ""
    #: How far the request had come: "queued", "resolving", "connecting", "tls", "sending", "waiting" or "receiving"; a
    #: stream of events may also be "reconnecting".
    phase: str = "queued"
    #: Whether sending the request again is safe and may help.
    is_retryable: bool = False
    #: Bytes of the request that were handed to a connection: 0 proves that the server has seen nothing of it.
    request_bytes_sent: int = 0
    #: Whether the request was on a connection that had served before.
    connection_reused: bool = False
    #: The peer's address, for example "127.0.0.1:80"; "" if there was no connection.
    remote_addr: str = ""
    #: The errno behind the error, or 0.
    os_errno: int = 0
    #: The code of the layer below, or 0: EAI_... of the resolver, the number of an alert of TLS.
    native_code: int = 0
    #: Which try failed, from 1; 0 if nothing was tried.
    attempt: int = 0
    #: The answer that was no stream of events, for errors of `sse`.
    response: Response | None = None

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message

    @property
    def retryable(self) -> bool:
        """The same as `is_retryable`."""
        return self.is_retryable


class ArgumentError(RequestError, ValueError):
    """An argument or an option cannot be used; nothing was sent."""


class StateError(RequestError, RuntimeError):
    """The call makes no sense now."""


class TransportError(RequestError):
    """The exchange failed on its way."""


class TimeoutException(TransportError, TimeoutError):
    """A time that was set has passed."""


class NetworkError(TransportError):
    """The connection could not be made, or broke."""


class ConnectError(NetworkError):
    """The connection could not be made."""


class ResolveError(ConnectError):
    """The name has no address, or the name service failed."""


class TLSError(ConnectError):
    """The connection could not be secured."""


class ProtocolError(TransportError):
    """A rule of HTTP was broken."""


class RemoteProtocolError(ProtocolError):
    """The server broke a rule of HTTP."""


class LocalProtocolError(ProtocolError):
    """We would have broken a rule of HTTP."""


class ResourceError(TransportError):
    """A limit was reached, or the system has no more of something."""
