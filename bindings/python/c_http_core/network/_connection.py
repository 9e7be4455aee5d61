"""A connection on its way: its events, and those who wait for them."""

from __future__ import annotations

import math
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING

from .. import _table as c
from .._async import AsyncEngine, Awaitable, running_loop
from .._codes import ForkedError
from .._errors import NetworkError, StreamClosed, TimeoutException
from .._exchange import Exchange, Record
from .._ffi import bytes_at, lib
from .._memory import Owned

if TYPE_CHECKING:
    from .._exchange import Waiter

__all__ = ["Connection", "deadline"]


def deadline(timeout: float | None) -> float | None:
    """The moment at which a time that begins now is over."""
    if timeout is None or timeout == math.inf:
        return None
    if not timeout >= 0:
        raise ValueError(f"a time must not be negative: {timeout!r}")
    return monotonic() + timeout


class Waiters:
    """A waiter made of two: one task may read while another one writes. News wakes both."""

    __slots__ = ("reader", "writer")

    def __init__(self) -> None:
        self.reader: Waiter | None = None
        self.writer: Waiter | None = None

    def done(self) -> bool:
        return False

    def set_result(self, _: None, /) -> None:
        for waiter in (self.reader, self.writer):
            if waiter is not None and not waiter.done():
                waiter.set_result(None)

    def wake(self) -> None:
        for waiter in (self.reader, self.writer):
            if waiter is not None and not waiter.done():
                waiter.wake()


class Connection(Exchange):
    """The exchange behind a stream (CHTTP_REQ_RAW). There is a `head` once it is open."""

    __slots__ = ("agreed", "closed", "drive", "ended", "injected", "waiters")

    def __init__(self, engine: AsyncEngine, where: str) -> None:
        super().__init__(engine, "", where, streaming=True)
        self.drive = engine
        self.waiter = self.waiters = Waiters()
        #: Whether this side was closed.
        self.closed = False
        #: Whether the other side was.
        self.ended = False
        #: What tells of TLS that was started midway.
        self.agreed: Owned | None = None
        #: Whether bytes came in the clear while TLS was being started.
        self.injected = False

    def feed(self, record: Record) -> None:
        kind = record[0]
        if kind == c.EV_STREAM_END:
            self.ended = True
        elif kind == c.EV_STREAM_TLS:
            self.agreed = Owned(record[9])
            self.injected = bool(self.pieces)
        else:
            super().feed(record)

    def take(self, most: int | None) -> bytes:
        """What was received and not read yet."""
        pieces = self.pieces
        assert isinstance(pieces, deque)
        parts = []
        room = most
        while pieces and room != 0:
            obj, address, length = pieces.popleft()
            size = length if room is None else min(length, room)
            parts.append(bytes_at(address, size))
            if size < length:
                pieces.appendleft((obj, address + size, length - size))
            else:
                lib.release(obj)
            if room is not None:
                room -= size
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def news(self, writing: bool, until: float | None, late: type[TimeoutException]) -> None:
        """Sleep until something has happened, or raise `late`."""
        engine, waiters = self.drive, self.waiters
        if engine.forked:
            raise ForkedError("the stream belongs to the parent of this process")
        if not engine.loop.runs_here():
            engine.move(running_loop())
        waiter = engine.loop.waiter()
        if writing:
            waiters.writer = waiter
        else:
            waiters.reader = waiter
        try:
            woken = await self.sleep(waiter, until)
        finally:
            if writing:
                waiters.writer = None
            else:
                waiters.reader = None
        self.check_open()
        if not woken:
            raise late(f"{self.url}: nothing happened in time")

    async def sleep(self, waiter: Awaitable, until: float | None) -> bool:
        if until is None:
            await waiter
            return True
        return await self.drive.loop.wait(waiter, max(until - monotonic(), 0.0))

    def check_open(self) -> None:
        if self.closed:
            raise StreamClosed("the stream was closed")

    def failure(self) -> Exception:
        """Why it is over."""
        if self.error is None:
            return NetworkError(f"{self.url}: the connection has ended")
        return self.error.with_traceback(None)

    def close(self) -> None:
        """End it, and tell those who wait. What was written, and was handed to the system, still arrives."""
        self.closed = True
        if not self.done:
            self.engine.body_end(self.xid)
            self.engine.abandon(self)
        self.drop_pieces()
        self.waiters.set_result(None)
