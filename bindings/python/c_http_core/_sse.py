"""Server-sent events: a subscription, over as many connections as it takes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Callable, NamedTuple

from . import _table as c
from ._errors import StreamClosed
from ._exchange import EventExchange, Record
from ._failures import failure
from ._ffi import bytes_at, lib
from ._request import RequestOptions, Subscription
from ._response import Response, copied

if TYPE_CHECKING:
    from typing_extensions import Self

    from ._async import AsyncEngine
    from ._errors import RequestError
    from ._sync import SyncEngine

__all__ = ["AsyncEventStream", "EventStream", "Reconnect", "SSEOptions", "ServerSentEvent"]

# A named tuple's own constructor is a function of Python's around this.
new = tuple.__new__
# `arg` of an event without a retry.
NO_RETRY = 0xFFFFFFFF
# Of an answer that is no stream of events so much is read for its error.
REFUSAL = 65536


class ServerSentEvent(NamedTuple):
    """An event. What is no UTF-8 is replaced by U+FFFD."""

    #: Its type: "message" if the server named none.
    event: str
    #: Its lines, with LF between them.
    data: str
    #: The last event id: of this event, or of the last one before that had one; "" for none.
    id: str
    #: The time to wait before a reconnection that it names, in milliseconds.
    retry: int | None

    def json(self, **options: Any) -> Any:
        """The data as JSON; `options` are those of `json.loads`. Raises `ValueError`."""
        return json.loads(self.data, **options)


class Reconnect(NamedTuple):
    """A connection is gone, and another one follows. What the server does not send again is lost."""

    #: The number of the attempt that follows, counted from the last one on which anything came.
    attempt: int
    #: Seconds until then.
    delay: float
    #: Why: `SSEEndedError` if the server has ended the stream in due form.
    error: RequestError
    #: Where the next request says that we are.
    last_event_id: str


class SSEOptions(RequestOptions, total=False):
    """What `sse` can be given beside the options of every request."""

    #: Where an earlier stream has come to.
    last_event_id: str
    #: Go on with another connection when one is lost or ends; default: for GET only, as other requests do what they do
    #: again. The body is kept for it; one that is iterated over cannot be.
    reconnect: bool | None
    #: Reconnections in a row on which nothing comes; None for no bound, which is the default.
    max_attempts: int | None
    #: Seconds before the first reconnection, unless the server names a time; default 3. Each further one in a row waits
    #: twice as long.
    retry: float
    #: The longest wait in seconds; default 60. Up to a quarter is added to every wait by chance.
    max_retry: float
    #: Take 408, 429, 500, 502, 503 and 504 for a connection that was lost.
    retry_status: bool
    #: Ask for gzip and deflate. A stream that is coded so is decoded in any case.
    compressed: bool
    #: Bytes of a line; default 1 MiB.
    max_line: int
    #: Bytes of an event's data; default 8 MiB.
    max_event: int
    #: Called when a connection is gone, before the events of the next one: in the thread or task that waits for them.
    on_reconnect: Callable[[Reconnect], object] | None


OWN = frozenset(SSEOptions.__annotations__) - frozenset(RequestOptions.__annotations__)


def nanoseconds(name: str, seconds: float | None) -> int:
    if seconds is None:
        return 0
    if not 0 < seconds < 1e9:
        raise ValueError(f"{name} must be between 0 and 1e9 seconds, not {seconds}")
    return max(int(seconds * 1e9), 1)


def bound(name: str, value: int | None, least: int) -> int:
    if value is None:
        return 0
    if not least <= value <= 1 << 30:
        raise ValueError(f"{name} must be within {least} and {1 << 30}, not {value}")
    return value


def subscription(options: SSEOptions) -> Subscription:
    """The options that are ours."""
    flags = 0
    if options.get("reconnect") is not None:
        flags |= c.SSE_RECONNECT if options.get("reconnect") else c.SSE_NO_RECONNECT
    if options.get("retry_status"):
        flags |= c.SSE_RETRY_STATUS
    if options.get("compressed"):
        flags |= c.SSE_COMPRESSED
    attempts = options.get("max_attempts")
    return Subscription(
        flags,
        options.get("last_event_id", "").encode(),
        nanoseconds("retry", options.get("retry")),
        nanoseconds("max_retry", options.get("max_retry")),
        bound("max_attempts", attempts, 1) if attempts is not None else c.UNLIMITED if "max_attempts" in options else 0,
        bound("max_line", options.get("max_line"), 64),
        bound("max_event", options.get("max_event"), 64),
    )


def event_of(record: Record) -> ServerSentEvent:
    """The event that a record tells, and its credit back."""
    _, _, retry, _, _, _, _, data, length, obj, aux = record
    type_length, id_length = aux & 0xFFFF, aux >> 16 & 0xFFFF
    at = aux >> 32
    text = bytes_at(data, length + type_length)
    last_id = bytes_at(data + (at - (1 << 32) if at >> 31 else at), id_length) if id_length else b""
    lib.release(obj)
    return new(
        ServerSentEvent,
        (
            text[length:].decode("utf-8", "replace") if type_length else "message",
            (text[:length] if type_length else text).decode("utf-8", "replace"),
            last_id.decode("utf-8", "replace"),
            None if retry == NO_RETRY else retry,
        ),
    )


class Events:
    """What both kinds of streams have in common."""

    _exchange: EventExchange | None = None

    def __init__(self, options: SSEOptions) -> None:
        self._wanted = subscription(options)
        self._options: RequestOptions = {k: v for k, v in options.items() if k not in OWN}  # type: ignore[assignment]
        self._on_reconnect = options.get("on_reconnect")
        self._closed = False
        self._last_event_id = options.get("last_event_id", "")

    @property
    def last_event_id(self) -> str:
        """The id of the last event that was given out."""
        return self._last_event_id

    @property
    def is_closed(self) -> bool:
        """Whether there are no further events."""
        return self._closed

    @property
    def response(self) -> Response | None:
        """The answer that the events come in: status, headers, connection. None while there is no connection."""
        exchange = self._exchange
        return Response(exchange) if exchange is not None and exchange.head else None

    def _begun(self) -> EventExchange | None:
        if self._closed:
            raise StreamClosed("the stream of events was closed")
        return self._exchange

    def _take(self, exchange: EventExchange) -> ServerSentEvent | None:
        """The next event that is there. Lost connections before it are told."""
        while exchange.news:
            record = exchange.news.popleft()
            if record[0] == c.EV_SSE:
                event = event_of(record)
                self._last_event_id = event.id
                return event
            self._note(exchange, record)
        return None

    def _is_open(self, exchange: EventExchange) -> bool:
        """Whether there is an answer that can be read from, or nothing more will come."""
        while exchange.news and not exchange.head:
            self._note(exchange, exchange.news.popleft())
        if exchange.refused or (exchange.done and not exchange.head):
            return self._is_over(exchange)
        return exchange.head != 0

    def _note(self, exchange: EventExchange, record: Record) -> None:
        """A connection has come or is gone."""
        if record[0] == c.EV_HEADERS:
            exchange.change_head(record[9], record[2])
            return
        exchange.change_head(0, 0)
        attempt, code, data, length, obj, delay = record[2], record[5], *record[7:11]
        try:
            if self._on_reconnect is None:
                return
            error = failure(code, obj)
            last_id = bytes_at(data, length).decode("utf-8", "replace") if length else ""
        finally:
            lib.release(obj)
        self._on_reconnect(Reconnect(attempt, delay / 1e9, error, last_id))

    def _is_over(self, exchange: EventExchange) -> bool:
        """Whether no event follows those that were taken; an error is raised."""
        if exchange.refused and not exchange.done:
            # What the server has to say about it is read, but not for ever.
            if sum(length for _, _, length in exchange.pieces or ()) > REFUSAL:
                error: Exception | None = failure(exchange.refused)
            else:
                return False
        elif not exchange.done:
            return False
        else:
            error = exchange.error
        if error is not None:
            if exchange.refused and exchange.head:
                error.response = self._refusal(exchange)  # type: ignore[attr-defined]  # errors of the library have it
            self._give_up()
            raise error
        self._closed = True
        return True

    def _refusal(self, exchange: EventExchange) -> Response:
        pieces = exchange.pieces or ()
        response = Response(exchange)
        response._content = b"".join([copied(piece) for piece in pieces])
        exchange.pieces = None
        return response

    def _give_up(self) -> None:
        self._closed = True
        exchange = self._exchange
        if exchange is not None:
            exchange.engine.abandon(exchange)

    def __del__(self) -> None:
        if not self.__dict__.get("_closed", True):
            self._give_up()


class EventStream(Events):
    """What `Client.sse` gives: an iterator over the events, and a context manager that ends the stream."""

    def __init__(
        self, submit: Callable[[RequestOptions, Subscription], tuple[SyncEngine, EventExchange]], options: SSEOptions
    ) -> None:
        super().__init__(options)
        self._submit = submit

    def __enter__(self) -> Self:
        """Wait until the stream is open: over a connection, or as soon as it has failed."""
        exchange = self._begun() or self._begin()
        try:
            while not self._is_open(exchange):
                self._engine.step(exchange)
        except BaseException:
            self._give_up()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> ServerSentEvent:
        if self._closed and self._exchange is not None and self._exchange.done:
            raise StopIteration
        exchange = self._begun() or self._begin()
        try:
            while (event := self._take(exchange)) is None:
                if self._is_over(exchange):
                    raise StopIteration
                self._engine.step(exchange)
        except StopIteration:
            raise
        except BaseException:
            self._give_up()
            raise
        return event

    def close(self) -> None:
        """End the stream. What it had told and nobody has taken is lost."""
        self._give_up()

    def _begin(self) -> EventExchange:
        self._engine, self._exchange = self._submit(self._options, self._wanted)
        return self._exchange


class AsyncEventStream(Events):
    """What `AsyncClient.sse` gives: an async iterator over the events, and a context manager that ends the stream."""

    def __init__(
        self, submit: Callable[[RequestOptions, Subscription], tuple[AsyncEngine, EventExchange]], options: SSEOptions
    ) -> None:
        super().__init__(options)
        self._submit = submit

    async def __aenter__(self) -> Self:
        """Wait until the stream is open: over a connection, or as soon as it has failed."""
        exchange = self._begun() or self._begin()
        try:
            while not self._is_open(exchange):
                await self._engine.step(exchange)
        except BaseException:
            self._give_up()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ServerSentEvent:
        if self._closed and self._exchange is not None and self._exchange.done:
            raise StopAsyncIteration
        exchange = self._begun() or self._begin()
        try:
            while (event := self._take(exchange)) is None:
                if self._is_over(exchange):
                    raise StopAsyncIteration
                await self._engine.step(exchange)
        except StopAsyncIteration:
            raise
        except BaseException:
            self._give_up()
            raise
        return event

    async def aclose(self) -> None:
        """End the stream. What it had told and nobody has taken is lost."""
        self._give_up()

    def _begin(self) -> EventExchange:
        self._engine, self._exchange = self._submit(self._options, self._wanted)
        return self._exchange
