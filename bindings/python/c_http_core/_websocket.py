"""WebSockets (RFC 6455): messages in both directions over a connection of their own."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from time import monotonic
from typing import TYPE_CHECKING, Callable, NamedTuple, TypedDict, Union

from . import _table as c
from ._codes import ForkedError, ReadTimeout
from ._config import Path, TimeoutTypes, TLSContext, Unset, nanoseconds
from ._errors import HTTPStatusError, WebSocketClosed
from ._exchange import KeptExchange, Record, Waiter
from ._failures import check
from ._ffi import bytes_at, lib, pin
from ._headers import HeaderTypes
from ._memory import give, take
from ._records import POINTERS
from ._request import Opening, ParamTypes
from ._response import Response, copied
from ._table import EV_WS_MESSAGE

if TYPE_CHECKING:
    from typing_extensions import Buffer, Self

    from ._async import AsyncEngine
    from ._engine import Engine
    from ._sync import SyncEngine

__all__ = ["AsyncWebSocket", "Message", "WebSocket", "WebSocketExchange", "WebSocketOptions"]

Message = Union[str, bytes]
# Of an answer that is no WebSocket so much is read for its error.
REFUSAL = 65536
# A message of more bytes is pinned where it is, which costs more than to copy a short one.
COPIED = 4096
# Bytes of a ping of ours.
PING_SIZE = 8
# RFC 6455 section 7.4.1: the end in due form, or because somebody goes away.
ORDINARY = (1000, 1001, c.WS_NO_STATUS)


class WebSocketOptions(TypedDict, total=False):
    """What `websocket` can be given. Those that requests have, too, are the same there."""

    #: Protocols above WebSocket, the best first. The server chooses one or none.
    subprotocols: Sequence[str]
    #: Offer permessage-deflate (RFC 7692). Do not compress what holds a secret beside what others choose.
    compress: bool
    #: Bytes of a message, once it is decompressed; None for no bound. Default: `ws_max_message`, 16 MiB.
    max_message: int | None
    #: Bytes of a frame; None for no bound.
    max_frame: int | None
    #: Seconds of the server's silence after which it is sent a PING; None, the default, for never.
    heartbeat: float | None
    #: Seconds of silence after that which end it; default 20.
    pong_timeout: float
    #: Seconds that the server may take for the closing handshake; default 10.
    close_timeout: float
    #: True: over HTTP/2 (RFC 8441), on a connection that others may share; a server that does not allow it is an
    #: error. Default: over HTTP/1.1, whatever the client's `http2` says, on a connection of its own.
    http2: bool
    params: ParamTypes | None
    headers: HeaderTypes | None
    auth: tuple[str, str] | None
    timeout: TimeoutTypes | Unset
    tls: TLSContext | None
    unix_socket: Path | bytes | None
    connect_to: str | None
    local_address: str | None
    interface: str | None
    #: Bytes of messages that may wait here before the server is slowed down; default 1 MiB.
    recv_credit: int | None


OWN = frozenset(("subprotocols", "compress", "max_message", "max_frame", "heartbeat", "pong_timeout", "close_timeout"))
KNOWN = frozenset(WebSocketOptions.__annotations__)


def opening(options: WebSocketOptions) -> Opening:
    """The options that are ours."""
    if not KNOWN.issuperset(options):
        unknown = ", ".join(sorted(set(options) - KNOWN))
        raise TypeError(f"a WebSocket has no option {unknown}; it has {', '.join(sorted(KNOWN))}")
    protocols = options.get("subprotocols", ())
    if isinstance(protocols, str):
        raise TypeError("subprotocols is a sequence of names, not one name")
    flags = c.WS_CONTROL
    if "compress" in options:
        flags |= c.WS_DEFLATE if options["compress"] else c.WS_NO_DEFLATE
    return Opening(
        flags,
        ", ".join(protocols).encode(),
        size_of(options, "max_message"),
        size_of(options, "max_frame"),
        nanoseconds(options["heartbeat"]) if "heartbeat" in options else 0,
        nanoseconds(options["pong_timeout"]) if "pong_timeout" in options else 0,
        nanoseconds(options["close_timeout"]) if "close_timeout" in options else 0,
    )


def size_of(options: WebSocketOptions, name: str) -> int:
    if name not in options:
        return 0
    size: int | None = options[name]  # type: ignore[literal-required]
    if size is None:
        return c.UNLIMITED
    if size <= 0:
        raise ValueError(f"{name} must be positive, or None: {size}")
    return size


class Crowd:
    """A waiter made of many: each task that waits for news of one exchange has its own."""

    __slots__ = ("waiters",)

    def __init__(self) -> None:
        self.waiters: list[Waiter] = []

    def done(self) -> bool:
        return not self.waiters

    def set_result(self, _: None, /) -> None:
        for waiter in self.waiters[:]:
            if not waiter.done():
                waiter.set_result(None)

    def wake(self) -> None:
        for waiter in self.waiters[:]:
            waiter.wake()


class WebSocketExchange(KeptExchange):
    """The exchange of a WebSocket. Its news are messages."""

    __slots__ = ("answered", "close_code", "close_reason", "crowd", "is_open", "late", "subprotocol")

    def __init__(self, engine: Engine, url: str) -> None:
        super().__init__(engine, "GET", url)
        self.is_open = False
        self.subprotocol: str | None = None
        #: Of the server's Close frame; None before it.
        self.close_code: int | None = None
        self.close_reason = ""
        #: The last ping that was answered. They are numbered; an answer may do for several (RFC 6455 section 5.5.3).
        self.answered = 0
        #: Timers that have run out.
        self.late: set[int] = set()
        self.waiter = self.crowd = Crowd()

    def feed(self, record: Record) -> None:
        kind, _, arg, xid, _, error, _, data, length, obj, _ = record
        if kind == EV_WS_MESSAGE:
            self.news.append(record)
        elif kind == c.EV_TIMER:
            # It is a timer's end, and not that of the exchange.
            if not error:
                self.late.add(xid)
            if obj:
                lib.release(obj)
        elif kind == c.EV_WS_OPEN:
            self.head, self.status, self.is_open = obj, arg, True
            self.subprotocol = bytes_at(data, length).decode() if data else None
        elif kind == c.EV_WS_CLOSE:
            self.close_code = arg
            self.close_reason = bytes_at(data, length).decode("utf-8", "replace") if length else ""
            if obj:
                lib.release(obj)
        elif kind == c.EV_WS_PONG:
            if length == PING_SIZE:
                self.answered = max(self.answered, int.from_bytes(bytes_at(data, length), "big"))
            if obj:
                lib.release(obj)
        else:
            super().feed(record)


class Outgoing(NamedTuple):
    """A message as the library takes it."""

    opcode: int
    data: bytes | memoryview

    @classmethod
    def of(cls, message: str | Buffer) -> Outgoing:
        if isinstance(message, str):
            return cls(c.WS_TEXT, message.encode())
        try:
            return cls(c.WS_BINARY, memoryview(message).cast("B"))
        except TypeError:
            raise TypeError(f"a message is str or bytes, not {type(message).__name__}") from None


Submit = Callable[[Opening, WebSocketOptions], WebSocketExchange]


class Socket:
    """What both kinds have in common."""

    _exchange: WebSocketExchange | None = None

    def __init__(self, submit: Submit, options: WebSocketOptions) -> None:
        self._submit = submit
        self._opening = opening(options)
        self._options: WebSocketOptions = {k: v for k, v in options.items() if k not in OWN}  # type: ignore[assignment]
        self._entered = False
        self._abandoned = False
        #: Whether we have begun to close it.
        self._is_closing = False
        self._pings = 0

    @property
    def subprotocol(self) -> str | None:
        """What the server has chosen of `subprotocols`."""
        return self._there().subprotocol

    @property
    def response(self) -> Response:
        """The answer to the handshake: status, headers, connection, TLS."""
        return Response(self._there())

    @property
    def close_code(self) -> int | None:
        """The code of the server's Close frame: 1005 if it gave none, None if there was no frame."""
        return self._there().close_code

    @property
    def close_reason(self) -> str:
        """The reason that goes with it."""
        return self._there().close_reason

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be sent any more."""
        exchange = self._exchange
        return exchange is not None and (self._abandoned or exchange.done or exchange.close_code is not None)

    def _there(self) -> WebSocketExchange:
        if self._exchange is None:
            raise RuntimeError("a WebSocket is opened by a with statement")
        return self._exchange

    def _begin(self) -> WebSocketExchange:
        if self._entered:
            raise RuntimeError("a WebSocket is opened once")
        self._entered = True
        exchange = self._exchange = self._submit(self._opening, self._options)
        return exchange

    def _is_open(self) -> bool:
        """Whether the handshake is over; what came of it is raised if it was refused."""
        exchange = self._there()
        if exchange.is_open:
            return True
        received = sum(length for _, _, length in exchange.pieces or ())
        if exchange.head and (exchange.done or received > REFUSAL):
            response = Response(exchange)
            response._content = b"".join([copied(piece) for piece in exchange.pieces or ()])
            exchange.pieces = None
            raise HTTPStatusError(f"{exchange.status} for {exchange.url}, which is no WebSocket", response)
        if exchange.done:
            raise exchange.error or WebSocketClosed(c.WS_NO_STATUS, "")
        return False

    def _next(self, exchange: WebSocketExchange) -> Message | None:
        """The next message that is there."""
        if exchange.news:
            _, _, kind, _, _, _, _, data, length, obj, _ = exchange.news.popleft()
            whole = bytes_at(data, length) if length else b""
            lib.release(obj)
            return whole.decode() if kind == c.WS_TEXT else whole
        return None

    def _check_open(self, exchange: WebSocketExchange) -> None:
        """Raise why nothing more comes, if that is so."""
        if self._abandoned:
            raise WebSocketClosed(c.WS_NO_STATUS, "it was closed on our side")
        if exchange.done or exchange.close_code is not None:
            if exchange.error is not None:
                raise exchange.error.with_traceback(None)
            raise WebSocketClosed(
                c.WS_NO_STATUS if exchange.close_code is None else exchange.close_code, exchange.close_reason
            )

    def _sent(self, call: Callable[..., int], *arguments: int) -> bool:
        """Whether something was taken. False: there is no room for it now."""
        exchange = self._there()
        self._check_open(exchange)
        engine = exchange.engine
        with engine.guard:
            code = c.E_NOT_FOUND if engine.closed else call(engine.engine, exchange.xid, *arguments)
        if code == c.E_AGAIN:
            exchange.can_write = False
            return False
        if code in (c.E_NOT_FOUND, c.E_BAD_STATE):
            # The reason is on its way, or it is our own Close frame.
            raise WebSocketClosed(c.WS_NO_STATUS, "it is closed or being closed")
        check(code)
        return True

    def _close_frame(self, code: int, reason: str) -> bool:
        """Whether a Close frame was sent now. It is not if there is nobody to send it to."""
        exchange = self._there()
        engine, text = exchange.engine, reason.encode()
        size = POINTERS.size + len(text)
        scratch = take(size)
        try:
            scratch.buffer[:size] = bytes(POINTERS.size) + text
            with engine.guard:
                if engine.closed:
                    return False
                at = scratch.address
                code = lib.ws_close(engine.engine, exchange.xid, code, at + POINTERS.size, len(text), at)
            error, _ = POINTERS.unpack_from(scratch.buffer)
        finally:
            give(scratch)
        if code in (c.E_NOT_FOUND, c.E_BAD_STATE):
            lib.release(error)
            return False
        check(code, error)
        return True

    def _give_up(self) -> None:
        self._abandoned = True
        if self._exchange is not None:
            self._exchange.engine.abandon(self._exchange)

    def _ping(self, number: int) -> bool:
        """Whether a ping of this number was sent."""
        address, _pinned = pin(number.to_bytes(PING_SIZE, "big"))
        return self._sent(lib.ws_ping, address, PING_SIZE)

    def _send(self, message: Outgoing) -> bool:
        """Whether there was room for a message."""
        opcode, data = message
        length = len(data)
        if length > COPIED:
            address, _pinned = pin(data)
            return self._sent(lib.ws_send, opcode, 0, address, length)
        scratch = take()
        try:
            scratch.buffer[:length] = data
            return self._sent(lib.ws_send, opcode, 0, scratch.address, length)
        finally:
            give(scratch)

    def _drop_messages(self) -> None:
        self._there().drop_pieces()

    def __del__(self) -> None:
        if self._exchange is not None and not self._exchange.done:
            self._give_up()


class WebSocket(Socket):
    """What `Client.websocket` gives: opened and closed by a `with` statement, and an iterator over the messages.

    Threads may send while another one receives.
    """

    def __init__(self, submit: Submit, options: WebSocketOptions) -> None:
        super().__init__(submit, options)
        self._news = threading.Condition()
        self._is_waiting = False

    def __enter__(self) -> Self:
        """Open it. Raises `HTTPStatusError` if the server answers otherwise, with the answer as its `response`."""
        exchange = self._begin()
        try:
            while not self._is_open():
                self._wait(exchange)
        except BaseException:
            self._give_up()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Close it; at once, and without a Close frame, if an exception ends the block."""
        if kind is None:
            self.close()
        else:
            self._give_up()

    def send(self, message: str | Buffer) -> None:
        """Send a message: str as text, bytes as binary. A server that does not read makes it wait."""
        outgoing = Outgoing.of(message)
        exchange = self._there()
        while not self._send(outgoing):
            while not exchange.can_write and not exchange.done:
                self._wait(exchange)

    def recv(self, timeout: float | None = None) -> Message:
        """The next message: str for text, bytes for binary.

        Raises `ReadTimeout` if none comes in so many seconds; then it may be called again. Behind the last message it
        raises `WebSocketClosed`, or why the connection was lost.
        """
        exchange = self._there()
        message = self._next(exchange)
        if timeout is None:
            while message is None:
                self._check_open(exchange)
                self._wait(exchange)
                message = self._next(exchange)
        elif message is None:
            with Alarm(exchange, timeout) as alarm:
                while (message := self._next(exchange)) is None:
                    self._check_open(exchange)
                    if alarm.has_rung():
                        raise ReadTimeout(f"{exchange.url}: no message came in time")
                    self._wait(exchange)
        return message

    def ping(self, timeout: float | None = None) -> float:
        """Ask for a sign of life, and tell how many seconds it took. Raises `ReadTimeout`."""
        exchange, begun = self._there(), monotonic()
        self._pings += 1
        number = self._pings
        while not self._ping(number):
            while not exchange.can_write and not exchange.done:
                self._wait(exchange)
        with Alarm(exchange, timeout) as alarm:
            while exchange.answered < number:
                self._check_open(exchange)
                if alarm.has_rung():
                    raise ReadTimeout(f"{exchange.url}: no pong came in time")
                self._wait(exchange)
        return monotonic() - begun

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Close it in due form. Messages that nobody has taken are dropped. Closing it again does nothing."""
        exchange = self._exchange
        if exchange is None or exchange.done or self._abandoned:
            return
        self._is_closing = self._close_frame(code, reason)
        try:
            while not exchange.done:
                self._drop_messages()
                self._wait(exchange)
        except BaseException:
            self._give_up()
            raise
        self._drop_messages()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Message:
        """The next message. It is no exception that we have closed it, or the server with code 1000, 1001 or none."""
        try:
            return self.recv()
        except WebSocketClosed as closed:
            if closed.code not in ORDINARY and not self._is_closing:
                raise
        raise StopIteration

    def _wait(self, exchange: WebSocketExchange) -> None:
        """Wait for news. Of several threads one looks for it, and the others are told."""
        with self._news:
            if self._is_waiting:
                self._news.wait()
                return
            self._is_waiting = True
        try:
            if not exchange.done:
                self._engine_of(exchange).step(exchange)
        finally:
            with self._news:
                self._is_waiting = False
                self._news.notify_all()

    def _engine_of(self, exchange: WebSocketExchange) -> SyncEngine:
        engine: SyncEngine = exchange.engine  # type: ignore[assignment]  # of a client of this kind
        return engine


class Alarm:
    """A timer of the library's, whose event is news of an exchange: it ends a wait that has no time-out of its own."""

    def __init__(self, exchange: WebSocketExchange, seconds: float | None) -> None:
        self.exchange = exchange
        self.seconds = seconds
        self.xid = 0

    def __enter__(self) -> Self:
        if self.seconds is None:
            return self
        engine = self.exchange.engine
        scratch = take()
        try:
            POINTERS.pack_into(scratch.buffer, 0, 0, 0)
            with engine.guard:
                if not engine.closed:
                    code = lib.timer_start(
                        engine.engine,
                        engine.queue,
                        nanoseconds(self.seconds),
                        0,
                        self.exchange.token,
                        scratch.address,
                        scratch.address + POINTERS.size // 2,
                    )
                    self.xid, error = POINTERS.unpack_from(scratch.buffer)
                    check(code, error)
        finally:
            give(scratch)
        return self

    def has_rung(self) -> bool:
        return self.xid in self.exchange.late

    def __exit__(self, *_: object) -> None:
        engine = self.exchange.engine
        if self.has_rung():
            self.exchange.late.discard(self.xid)
        elif self.xid:
            with engine.guard:
                if not engine.closed:
                    lib.cancel(engine.engine, self.xid)


class AsyncWebSocket(Socket):
    """What `AsyncClient.websocket` gives: opened and closed by an `async with` statement, and an async iterator over
    the messages.

    Tasks may send while another one receives. A task that is cancelled while it receives loses no message.
    """

    async def __aenter__(self) -> Self:
        """Open it. Raises `HTTPStatusError` if the server answers otherwise, with the answer as its `response`."""
        exchange = self._begin()
        try:
            while not self._is_open():
                await self._wait(exchange)
        except BaseException:
            self._give_up()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Close it; at once, and without a Close frame, if an exception ends the block."""
        if kind is None:
            await self.close()
        else:
            self._give_up()

    async def send(self, message: str | Buffer) -> None:
        """Send a message: str as text, bytes as binary. A server that does not read makes it wait."""
        outgoing = Outgoing.of(message)
        exchange = self._there()
        while not self._send(outgoing):
            while not exchange.can_write and not exchange.done:
                await self._wait(exchange)

    async def recv(self, timeout: float | None = None) -> Message:
        """The next message: str for text, bytes for binary.

        Raises `ReadTimeout` if none comes in so many seconds; then it may be called again. Behind the last message it
        raises `WebSocketClosed`, or why the connection was lost.
        """
        exchange, until = self._there(), deadline(timeout)
        while (message := self._next(exchange)) is None:
            self._check_open(exchange)
            if not await self._wait(exchange, until):
                raise ReadTimeout(f"{exchange.url}: no message came in time")
        return message

    async def ping(self, timeout: float | None = None) -> float:
        """Ask for a sign of life, and tell how many seconds it took. Raises `ReadTimeout`."""
        exchange, begun, until = self._there(), monotonic(), deadline(timeout)
        self._pings += 1
        number = self._pings
        while not self._ping(number):
            while not exchange.can_write and not exchange.done:
                await self._wait(exchange)
        while exchange.answered < number:
            self._check_open(exchange)
            if not await self._wait(exchange, until):
                raise ReadTimeout(f"{exchange.url}: no pong came in time")
        return monotonic() - begun

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close it in due form. Messages that nobody has taken are dropped. Closing it again does nothing."""
        exchange = self._exchange
        if exchange is None or exchange.done or self._abandoned:
            return
        self._is_closing = self._close_frame(code, reason)
        try:
            while not exchange.done:
                self._drop_messages()
                await self._wait(exchange)
        except BaseException:
            self._give_up()
            raise
        self._drop_messages()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        """The next message. It is no exception that we have closed it, or the server with code 1000, 1001 or none."""
        try:
            return await self.recv()
        except WebSocketClosed as closed:
            if closed.code not in ORDINARY and not self._is_closing:
                raise
        raise StopAsyncIteration

    async def _wait(self, exchange: WebSocketExchange, until: float | None = None) -> bool:
        """Wait for news. False: it did not come in time."""
        engine: AsyncEngine = exchange.engine  # type: ignore[assignment]  # of a client of this kind
        if engine.forked:
            raise ForkedError("the WebSocket belongs to the parent of this process")
        waiter = engine.waiter()
        waiters = exchange.crowd.waiters
        waiters.append(waiter)
        try:
            if until is None:
                await waiter
                return True
            return await engine.loop.wait(waiter, max(until - monotonic(), 0.0))
        finally:
            waiters.remove(waiter)


def deadline(seconds: float | None) -> float | None:
    return None if seconds is None else monotonic() + seconds
