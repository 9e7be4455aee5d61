"""The two clients."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from threading import get_ident
from typing import TYPE_CHECKING, Any, cast

from . import _table as c
from ._async import AsyncEngine, engine_here
from ._codes import EngineClosedError
from ._config import UNSET, Limits, OptionValue, Path, Timeout, TimeoutTypes, TLSContext, Unset
from ._engine import Engine, making
from ._exchange import EventExchange, Exchange
from ._ffi import lib, text_at
from ._headers import Headers, HeaderTypes
from ._request import Defaults, Opening, ParamTypes, RequestOptions, Subscription, prepare
from ._response import AsyncStreamResponse, Response, StreamResponse
from ._sse import AsyncEventStream, EventStream, SSEOptions
from ._sync import SyncEngine
from ._websocket import AsyncWebSocket, WebSocket, WebSocketExchange, WebSocketOptions

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from .testing import MockNetwork

__all__ = ["AsyncClient", "Client", "__version__"]

__version__ = text_at(lib.version_string()).decode()


class BaseClient:
    """What both clients are told when they are made. No engine exists before the first request.

    Args:
        base_url: put before URLs that are not absolute.
        headers: fields of every request; besides, User-Agent and Accept are sent unless they are taken away.
        params: put behind every URL as its query.
        auth: name and password of every request, for Authorization: Basic.
        timeout: seconds for each phase, None for no limits, or a `Timeout`; see there for the defaults.
        limits: bounds of the pool of connections.
        http1: False: HTTP/2 only, without TLS too ("prior knowledge"); a server that does not speak it is an error.
        http2: True: HTTP/2 over TLS with servers that agree to it. Without `http1=False` http stays HTTP/1.1.
        verify: False accepts any certificate; the path of a file names authorities to trust instead of the system's.
        cert: our own certificate: a file, or a pair of certificate and key.
        tls: all settings of TLS, instead of `verify` and `cert`.
        unix_socket: the path of a Unix socket to connect to, whatever the URL's host.
        local_address: the address of this machine that connections begin at.
        interface: the network interface that connections go through.
        connect_overrides: addresses that stand in for hosts: {"example.com:443": "127.0.0.1:8443", "*:80": "unix:/x"}.
        backend: a network of `c_http_core.testing` instead of the system's.
        options: any other options of the library, by the names that docs/options.md gives them.
    """

    def __init__(
        self,
        *,
        base_url: str = "",
        headers: HeaderTypes | None = None,
        params: ParamTypes | None = None,
        auth: tuple[str, str] | None = None,
        timeout: TimeoutTypes | Unset = UNSET,
        limits: Limits | None = None,
        http1: bool = True,
        http2: bool = False,
        verify: bool | Path = True,
        cert: Path | tuple[Path, Path] | None = None,
        tls: TLSContext | None = None,
        unix_socket: Path | None = None,
        local_address: str | None = None,
        interface: str | None = None,
        connect_overrides: Mapping[str, str] | None = None,
        backend: MockNetwork | None = None,
        options: Mapping[str, OptionValue] | None = None,
    ) -> None:
        if not isinstance(verify, (bool, str, os.PathLike)):
            kind = type(verify).__name__
            raise TypeError(f"verify must be a bool or the path of a file, not {kind}; tls takes a TLSContext")
        if tls is None and (verify is not True or cert is not None):
            certificate, key = cert if isinstance(cert, tuple) else (cert, None)
            ca = None if isinstance(verify, bool) else verify
            tls = TLSContext(verify=verify is not False, ca=ca, cert=certificate, key=key)
        if not (http1 or http2):
            raise ValueError("http1 and http2 are both False: no version of HTTP is left")
        # The library's own default is HTTP/1.1.
        self._options: dict[str, OptionValue] = {"http_version": 0 if http1 else 2} if http2 else {}
        if timeout is not UNSET:
            self._options.update(Timeout.of(timeout).options())
        if limits is not None:
            self._options.update(limits.options())
        overrides = [f"{host}={address}" for host, address in (connect_overrides or {}).items()]
        if unix_socket is not None:
            overrides.insert(0, f"*:*=unix:{unix_socket}")
        for name, text in (
            ("local_address", local_address),
            ("interface", interface),
            ("connect_overrides", ",".join(overrides)),
        ):
            if text:
                self._options[name] = text
        self._options.update(options or {})
        self._backend = backend
        # Said once for the engine, so that requests need not say it; beside options of TLS the library refuses that.
        if tls is not None and not any(name.startswith("tls_") and name != "tls_timeout_ns" for name in self._options):
            self._options["tls"], tls = tls, None
        fields = Headers({"User-Agent": f"c_http_core/{__version__}", "Accept": "*/*"})
        self._defaults = Defaults(base_url, fields.merged(headers or {}), params, auth, tls)
        # Whether requests without options of their own are a method, a URL and the client's fields.
        self._is_plain = auth is None and tls is None
        self._closed = False

    @property
    def headers(self) -> Headers:
        """Fields of every request. They may be changed."""
        return self._defaults.headers

    @property
    def is_closed(self) -> bool:
        return self._closed

    def _submit(self, engine: Engine, method: str, url: str, options: RequestOptions, collect: bool) -> Exchange:
        """Send a request on its way."""
        defaults = self._defaults
        if not options and self._is_plain:
            plain = engine.submit_plain(method, url, defaults, collect)
            if plain is not None:
                return plain
        prepared = prepare(defaults, method, url, options)
        exchange = Exchange(engine, method, prepared.url.decode(), not collect)
        engine.submit(prepared, exchange, collect)
        return exchange

    def _open(self, engine: Engine, url: str, options: WebSocketOptions, opening: Opening) -> WebSocketExchange:
        """Send the handshake of a WebSocket on its way."""
        flags = c.REQ_WEBSOCKET
        if options.get("http2"):
            flags |= c.REQ_HTTP2
        # The others are those of a request, but for ones that it does not have.
        rest = cast(RequestOptions, {name: value for name, value in options.items() if name != "http2"})
        prepared = prepare(self._defaults, "", url, rest, opening, flags)
        exchange = WebSocketExchange(engine, prepared.url.decode())
        engine.submit(prepared, exchange, False)
        return exchange

    def _subscribe(
        self, engine: Engine, method: str, url: str, options: RequestOptions, sse: Subscription
    ) -> EventExchange:
        """Send a request for a stream of events on its way."""
        prepared = prepare(self._defaults, method, url, options, sse)
        exchange = EventExchange(engine, method, prepared.url.decode())
        engine.submit(prepared, exchange, False)
        return exchange

    def _check_open(self) -> None:
        if self._closed:
            raise EngineClosedError("the client was closed")


class Client(BaseClient):
    """An HTTP client for threads. Any number of them may share one; each waits without holding the GIL.

    It has no thread of its own: connections are worked on while somebody waits for an answer.
    """

    _engine: SyncEngine | None = None

    def _get_engine(self) -> SyncEngine:
        engine = self._engine
        if engine is None or engine.forked:
            self._check_open()
            with making.lock:
                engine = self._engine
                if engine is None or engine.forked:
                    backend = self._backend
                    engine = SyncEngine(self._options) if backend is None else backend._sync_engine(self._options)
                    self._engine = engine
        return engine

    def request(self, method: str, url: str, **options: Unpack[RequestOptions]) -> Response:
        """Make a request and wait for its whole answer, whatever its status. See `RequestOptions`."""
        return self._request(method, url, options)

    def _request(self, method: str, url: str, options: RequestOptions) -> Response:
        engine = self._get_engine()
        exchange = self._submit(engine, method, url, options, collect=True)
        try:
            while not exchange.done:
                engine.step(exchange)
        except BaseException:
            engine.abandon(exchange)
            raise
        if exchange.error is not None:
            raise exchange.error
        return Response(exchange)

    @contextmanager
    def stream(self, method: str, url: str, **options: Unpack[RequestOptions]) -> Iterator[StreamResponse]:
        """Make a request and go on as soon as the head has come: `with client.stream("GET", url) as response:`.

        At the end of the block what was not read is given up.
        """
        engine = self._get_engine()
        exchange = self._submit(engine, method, url, options, collect=False)
        try:
            while not exchange.head and not exchange.done:
                engine.step(exchange)
            if not exchange.head and exchange.error is not None:
                raise exchange.error
            response = StreamResponse(exchange)
            try:
                yield response
            finally:
                response.close()
        except BaseException:
            engine.abandon(exchange)
            raise

    def sse(self, url: str, *, method: str = "GET", **options: Unpack[SSEOptions]) -> EventStream:
        """A stream of server-sent events, which goes on over as many connections as it takes:

            with client.sse("https://example.com/updates") as events:
                for event in events:
                    print(event.event, event.data)

        See `SSEOptions`. Nothing is sent before the `with` block is entered or the first event is asked for.
        """

        def submit(options: RequestOptions, sse: Subscription) -> tuple[SyncEngine, EventExchange]:
            engine = self._get_engine()
            return engine, self._subscribe(engine, method, url, options, sse)

        return EventStream(submit, options)

    def websocket(self, url: str, **options: Unpack[WebSocketOptions]) -> WebSocket:
        """A WebSocket, which a `with` statement opens and closes:

            with client.websocket("wss://example.com/chat") as socket:
                socket.send("hello")
                for message in socket:
                    print(message)

        See `WebSocketOptions`. The URL begins with ws or wss, or http or https, which is the same.
        """
        return WebSocket(lambda opening, options: self._open(self._get_engine(), url, options, opening), options)

    def get(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        return self._request("GET", url, options)

    def head(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        return self._request("HEAD", url, options)

    def options(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        return self._request("OPTIONS", url, options)

    def delete(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        return self._request("DELETE", url, options)

    def post(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        return self._request("POST", url, options)

    def put(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        return self._request("PUT", url, options)

    def patch(self, url: str, **options: Unpack[RequestOptions]) -> Response:
        return self._request("PATCH", url, options)

    def stats(self) -> dict[str, int]:
        """The library's counters and gauges; docs: chttp_stats in chttpcore.h."""
        return self._get_engine().stats()

    def close(self) -> None:
        """Close all connections. Other threads that wait for an answer get `EngineClosedError`."""
        self._closed = True
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncClient(BaseClient):
    """An HTTP client for asyncio, uvloop or trio, found out when it is used.

    It belongs to the event loop of its first request; when that is over, the next one takes it on. All calls are to be
    made on the loop's thread.

    The work is done on the loop's thread, without the GIL. With `options={"io_threads": 1}` a thread of the library's
    does it, which runs no Python: for large answers over TLS, where processors are free.
    """

    _engine: AsyncEngine | None = None

    def _get_engine(self) -> AsyncEngine:
        self._check_open()
        engine = self._engine = engine_here(self._engine, self._options, self._backend)
        return engine

    async def request(self, method: str, url: str, **options: Unpack[RequestOptions]) -> Response:
        """Make a request and wait for its whole answer, whatever its status. See `RequestOptions`."""
        return await self._request(method, url, options)

    async def _request(self, method: str, url: str, options: RequestOptions) -> Response:
        engine = self._engine
        if engine is None or (engine.inside != get_ident() and engine.current() is not engine.home):
            engine = self._get_engine()
        exchange = None
        if not options and self._is_plain:
            exchange = engine.submit_plain(method, url, self._defaults, True)
        if exchange is None:
            exchange = self._submit(engine, method, url, options, True)
        try:
            while not exchange.done:
                if exchange.upload is None:
                    new = engine.waiter
                    waiter = exchange.waiter = new()
                    await waiter
                else:
                    await engine.step(exchange)
        except BaseException:
            engine.abandon(exchange)
            raise
        if exchange.error is not None:
            raise exchange.error
        return Response(exchange)

    @asynccontextmanager
    async def stream(
        self, method: str, url: str, **options: Unpack[RequestOptions]
    ) -> AsyncIterator[AsyncStreamResponse]:
        """Make a request and go on as soon as the head has come: `async with client.stream("GET", url) as response:`.

        At the end of the block what was not read is given up.
        """
        engine = self._get_engine()
        exchange = self._submit(engine, method, url, options, collect=False)
        try:
            while not exchange.head and not exchange.done:
                await engine.step(exchange)
            if not exchange.head and exchange.error is not None:
                raise exchange.error
            response = AsyncStreamResponse(exchange)
            try:
                yield response
            finally:
                await response.aclose()
        except BaseException:
            engine.abandon(exchange)
            raise

    def sse(self, url: str, *, method: str = "GET", **options: Unpack[SSEOptions]) -> AsyncEventStream:
        """A stream of server-sent events, as `Client.sse`:

        async with client.sse("https://example.com/updates") as events:
            async for event in events:
                print(event.event, event.data)
        """

        def submit(options: RequestOptions, sse: Subscription) -> tuple[AsyncEngine, EventExchange]:
            engine = self._get_engine()
            return engine, self._subscribe(engine, method, url, options, sse)

        return AsyncEventStream(submit, options)

    def websocket(self, url: str, **options: Unpack[WebSocketOptions]) -> AsyncWebSocket:
        """A WebSocket, which an `async with` statement opens and closes:

            async with client.websocket("wss://example.com/chat") as socket:
                await socket.send("hello")
                async for message in socket:
                    print(message)

        See `WebSocketOptions`. The URL begins with ws or wss, or http or https, which is the same.
        """
        return AsyncWebSocket(lambda opening, options: self._open(self._get_engine(), url, options, opening), options)

    # Not `async`: what is returned is the same, and there is one coroutine less to go through at each step.
    def get(self, url: str, **options: Unpack[RequestOptions]) -> Coroutine[Any, Any, Response]:
        return self._request("GET", url, options)

    def head(self, url: str, **options: Unpack[RequestOptions]) -> Coroutine[Any, Any, Response]:
        return self._request("HEAD", url, options)

    def options(self, url: str, **options: Unpack[RequestOptions]) -> Coroutine[Any, Any, Response]:
        return self._request("OPTIONS", url, options)

    def delete(self, url: str, **options: Unpack[RequestOptions]) -> Coroutine[Any, Any, Response]:
        return self._request("DELETE", url, options)

    def post(self, url: str, **options: Unpack[RequestOptions]) -> Coroutine[Any, Any, Response]:
        return self._request("POST", url, options)

    def put(self, url: str, **options: Unpack[RequestOptions]) -> Coroutine[Any, Any, Response]:
        return self._request("PUT", url, options)

    def patch(self, url: str, **options: Unpack[RequestOptions]) -> Coroutine[Any, Any, Response]:
        return self._request("PATCH", url, options)

    def stats(self) -> dict[str, int]:
        """The library's counters and gauges; docs: chttp_stats in chttpcore.h."""
        return self._get_engine().stats()

    async def aclose(self) -> None:
        """Close all connections. Tasks that wait for an answer get `EngineClosedError`."""
        self._closed = True
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
