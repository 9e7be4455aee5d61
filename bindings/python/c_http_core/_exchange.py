"""One request on its way: what has come of it so far, made of its events."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from . import _table as c
from ._failures import failure
from ._ffi import bytes_at, lib
from ._memory import Owned
from ._table import EF_TERMINAL, EV_RESPONSE, EV_SSE

if TYPE_CHECKING:
    from ._engine import Engine
    from ._upload import Upload

__all__ = ["EventExchange", "Exchange", "KeptExchange", "Piece", "Record", "Waiter"]

# An event as `EVENT` unpacks it: kind, flags, arg, xid, token, error, os_errno, data, len, obj, aux.
Record = tuple[int, int, int, int, int, int, int, int, int, int, int]
# A piece of a body: the object that owns it, its address and its length.
Piece = tuple[int, int, int]


class Waiter(Protocol):
    """What somebody sleeps on until there is news of an exchange."""

    def done(self) -> bool:
        """Whether it was woken, or is not needed any more."""

    def set_result(self, result: None, /) -> None:
        """Wake it, wherever the caller is."""

    def wake(self) -> None:
        """Wake it now. Only the event loop calls this, while no task runs."""


class Exchange:
    """The state of one exchange. What it holds of the library's objects it owns.

    What every request needs has a slot. The rest is what the class says until something else is set.
    """

    __slots__ = (
        "__dict__",
        "body",
        "done",
        "elapsed_ns",
        "engine",
        "error",
        "head",
        "inbox",
        "length",
        "method",
        "pieces",
        "status",
        "token",
        "upload",
        "url",
        "waiter",
        "xid",
    )

    #: Events that nobody has looked at yet, where others than the owner take them from the queue.
    inbox: list[Record]
    trailers: Owned | None = None
    #: The pieces of an answer that was to be collected and turned out too large.
    copies: list[bytes] | None = None
    can_write = True
    #: What the library borrows of the request's body.
    kept: object = None

    def __init__(self, engine: Engine, method: str, url: str, streaming: bool) -> None:
        self.engine = engine
        self.method = method
        self.url = url
        self.token = 0
        self.xid = 0
        self.status = 0
        #: The response object; 0 before there is one.
        self.head = 0
        #: The body of a collected answer, borrowed from `head`: its address, 0 for none, and its length.
        self.body = self.length = 0
        self.done = False
        self.elapsed_ns = 0
        self.error: Exception | None = None
        self.upload: Upload | None = None
        self.waiter: Waiter | None = None
        #: Pieces that stay where they are until somebody reads them; None if they are copied.
        self.pieces: deque[Piece] | None = deque() if streaming else None

    def feed(self, record: Record) -> None:
        """Take note of an event, and take over its object."""
        kind, flags, arg, _, _, error, _, data, length, obj, aux = record
        if kind == EV_RESPONSE:
            self.head, self.status, self.body, self.length = obj, arg, data, length
        elif kind == c.EV_BODY:
            if self.pieces is not None:
                self.pieces.append((obj, data, length))
            else:
                self.copies = self.copies or []
                self.copies.append(bytes_at(data, length))
                lib.release(obj)
        elif kind == c.EV_HEADERS:
            self.head, self.status = obj, arg
        elif kind == c.EV_DONE:
            if error:
                failed = self.error = failure(error, obj)
                failed.method, failed.url = self.method, self.url
            lib.release(obj)
        elif kind == c.EV_TRAILERS:
            self.trailers = Owned(obj)
        elif kind == c.EV_WRITABLE:
            self.can_write = True
        elif kind == c.EV_WRITE_DONE:
            self.kept = None
        elif obj:
            lib.release(obj)
        if flags & EF_TERMINAL:
            self.done = True
            self.elapsed_ns = aux
            if self.kept is not None:
                self.kept = None

    def drop_pieces(self) -> None:
        """Release what was not read. The engine may go on with it, so the exchange is to be cancelled before."""
        while self.pieces:
            self.engine.release(self.pieces.popleft()[0])

    def __del__(self) -> None:
        if self.head:
            # Not called as a method: found faster.
            release = self.engine.release
            release(self.head)
        if self.pieces:
            self.drop_pieces()


class KeptExchange(Exchange):
    """An exchange whose news stays as it came until somebody takes it: so long its credit is not back."""

    __slots__ = ("news",)

    def __init__(self, engine: Engine, method: str, url: str) -> None:
        super().__init__(engine, method, url, streaming=True)
        self.news: deque[Record] = deque()

    def drop_pieces(self) -> None:
        super().drop_pieces()
        while self.news:
            self.engine.release(self.news.popleft()[9])

    def __del__(self) -> None:
        if self.news:
            self.drop_pieces()
        super().__del__()


class EventExchange(KeptExchange):
    """A stream of events. Its news are events, and connections that came and went, in their order."""

    __slots__ = ("refused",)

    def __init__(self, engine: Engine, method: str, url: str) -> None:
        super().__init__(engine, method, url)
        #: Why the answer is no stream of events: a code, or 0.
        self.refused = 0

    def feed(self, record: Record) -> None:
        kind = record[0]
        if kind == EV_SSE:
            self.news.append(record)
        elif kind in (c.EV_SSE_RECONNECT, c.EV_HEADERS):
            self.news.append(record)
            if kind == c.EV_HEADERS:
                self.refused = record[5]
        else:
            super().feed(record)

    def change_head(self, head: int, status: int) -> None:
        """The connection has changed for whoever takes the events."""
        if self.head:
            self.engine.release(self.head)
        self.head, self.status = head, status


def discard(record: Record) -> None:
    """Release what an event brings that nobody waits for."""
    if record[9]:
        lib.release(record[9])
