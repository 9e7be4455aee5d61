"""An HTTP client for Python, on libchttpcore.

`Client` is for threads, `AsyncClient` for asyncio, uvloop and trio; names are those of httpx where it has them.

    import c_http_core

    with c_http_core.Client() as client:
        response = client.get("https://example.com/")
        print(response.status_code, response.headers["content-type"], len(response.content))

Each error of the library has an exception of its own: those that are not named here stand in `c_http_core.errors`.
"""

from . import errors
from ._client import AsyncClient, Client, __version__
from ._codes import (
    ConnectTimeout,
    DNSTimeout,
    FirstByteTimeout,
    ForkedError,
    InvalidURL,
    PoolTimeout,
    ReadTimeout,
    TLSTimeout,
    TotalTimeout,
    UnsupportedProtocol,
    WriteTimeout,
)
from ._config import Limits, Timeout, TLSContext
from ._errors import (
    ConnectError,
    HTTPError,
    HTTPStatusError,
    LocalProtocolError,
    NetworkError,
    ProtocolError,
    RemoteProtocolError,
    RequestError,
    ResponseNotRead,
    StreamClosed,
    StreamConsumed,
    StreamError,
    TimeoutException,
    TLSError,
    TransportError,
    WebSocketClosed,
)
from ._headers import Headers
from ._response import AsyncStreamResponse, Connection, Response, StreamResponse, Timing, TLSInfo
from ._sse import AsyncEventStream, EventStream, Reconnect, ServerSentEvent
from ._websocket import AsyncWebSocket, WebSocket

__all__ = [
    "AsyncClient",
    "AsyncEventStream",
    "AsyncStreamResponse",
    "AsyncWebSocket",
    "Client",
    "ConnectError",
    "ConnectTimeout",
    "Connection",
    "DNSTimeout",
    "EventStream",
    "FirstByteTimeout",
    "ForkedError",
    "HTTPError",
    "HTTPStatusError",
    "Headers",
    "InvalidURL",
    "Limits",
    "LocalProtocolError",
    "NetworkError",
    "PoolTimeout",
    "ProtocolError",
    "ReadTimeout",
    "Reconnect",
    "RemoteProtocolError",
    "RequestError",
    "Response",
    "ResponseNotRead",
    "ServerSentEvent",
    "StreamClosed",
    "StreamConsumed",
    "StreamError",
    "StreamResponse",
    "TLSContext",
    "TLSError",
    "TLSInfo",
    "TLSTimeout",
    "Timeout",
    "TimeoutException",
    "Timing",
    "TotalTimeout",
    "TransportError",
    "UnsupportedProtocol",
    "WebSocket",
    "WebSocketClosed",
    "WriteTimeout",
    "__version__",
    "errors",
]
