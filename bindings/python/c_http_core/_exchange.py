"""One request on its way: what has come of it so far, made of its events."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from . import _table as c
from ._failures import failure
from ._ffi import bytes_at, lib
from ._memory import Owned

if TYPE_CHECKING:
    from ._engine import Engine
    from ._upload import Upload

__all__ = ["Exchange", "Piece", "Record", "Waiter"]

# An event as `EVENT` unpacks it: kind, flags, arg, xid, token, error, os_errno, data, len, obj, aux.
Record = tuple[int, int, int, int, int, int, int, int, int, int, int]
# A piece of a body: the object that owns it, its address and its length.
Piece = tuple[int, int, int]


class Waiter(Protocol):
    """What somebody sleeps on until there is news of an exchange."""

    def done(self) -> bool:
        """Whether it was woken, or is not needed any more."""

    def set_result(self, result: None, /) -> None:
        """Wake it."""


class Exchange:
    """The state of one exchange. What it holds of the library's objects it owns."""

    __slots__ = (
        "body",
        "can_write",
        "done",
        "elapsed_ns",
        "engine",
        "error",
        "head",
        "inbox",
        "kept",
        "method",
        "pieces",
        "status",
        "streaming",
        "token",
        "trailers",
        "upload",
        "url",
        "waiter",
        "xid",
    )

    def __init__(self, engine: Engine, method: str, url: str, streaming: bool) -> None:
        self.engine = engine
        self.method = method
        self.url = url
        #: Whether pieces of the body stay where they are until somebody reads them.
        self.streaming = streaming
        self.token = 0
        self.xid = 0
        self.status = 0
        self.head: Owned | None = None
        self.trailers: Owned | None = None
        #: The body of a collected answer, borrowed from `head`: address and length.
        self.body: tuple[int, int] | None = None
        #: Pieces that were not read yet; if not `streaming`, copies of all of them.
        self.pieces: deque[Piece] | list[bytes] = deque() if streaming else []
        self.done = False
        self.error: Exception | None = None
        self.elapsed_ns = 0
        self.can_write = True
        #: What the library borrows of the request's body.
        self.kept: object = None
        self.upload: Upload | None = None
        #: Events that nobody has looked at yet, where others than the owner take them from the queue.
        self.inbox: deque[Record] = deque()
        self.waiter: Waiter | None = None

    def feed(self, record: Record) -> None:
        """Take note of an event, and take over its object."""
        kind, flags, arg, _, _, error, _, data, length, obj, aux = record
        if kind == c.EV_RESPONSE:
            self.head, self.body, self.status = Owned(obj), (data, length), arg
        elif kind == c.EV_BODY:
            pieces = self.pieces
            if isinstance(pieces, deque):
                pieces.append((obj, data, length))
            else:
                pieces.append(bytes_at(data, length))
                lib.release(obj)
        elif kind == c.EV_HEADERS:
            self.head, self.status = Owned(obj), arg
        elif kind == c.EV_DONE:
            if error:
                self.error = failure(error, obj)
            lib.release(obj)
        elif kind == c.EV_TRAILERS:
            self.trailers = Owned(obj)
        elif kind == c.EV_WRITABLE:
            self.can_write = True
        elif kind == c.EV_WRITE_DONE:
            self.kept = None
        elif obj:
            lib.release(obj)
        if flags & c.EF_TERMINAL:
            self.done = True
            self.elapsed_ns = aux
            self.kept = None
            self.engine.forget(self.token)

    def drop_pieces(self) -> None:
        """Release what was not read. The engine may go on with it, so the exchange is to be cancelled before."""
        pieces = self.pieces
        if isinstance(pieces, deque):
            while pieces:
                lib.release(pieces.popleft()[0])

    def __del__(self) -> None:
        self.drop_pieces()


def discard(record: Record) -> None:
    """Release what an event brings that nobody waits for."""
    if record[9]:
        lib.release(record[9])
