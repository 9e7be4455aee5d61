"""A request's body that comes piece by piece, from an iterator or an async iterator.

It is written as fast as the library takes it. Whoever waits for the answer goes on with it whenever there is room, also
while the answer is read: a server that answers before it has read everything blocks nobody.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from . import _table as c
from ._failures import failure

if TYPE_CHECKING:
    from ._exchange import Exchange

__all__ = ["Upload"]


def as_piece(piece: object) -> memoryview:
    """The bytes of what an iterator gave that is no bytes object."""
    try:
        return memoryview(piece).cast("B")  # type: ignore[arg-type]  # what is no buffer is told
    except TypeError:
        raise TypeError(f"content must yield bytes, not {type(piece).__name__}") from None


class Upload:
    """What is left of a body. Its exchange has it until all is written, or nobody wants more."""

    def __init__(self, exchange: Exchange, source: Iterator[bytes] | AsyncIterator[bytes]) -> None:
        self.exchange = exchange
        self.source = source
        #: A piece that was refused for want of room.
        self.piece: bytes | memoryview | None = None

    def pump(self) -> None:
        """Write until there is no room, the end is reached, or the exchange has ended."""
        source = self.source
        if not isinstance(source, Iterator):
            raise TypeError("an async iterable can be sent by AsyncClient only")
        while self.write():
            try:
                self.piece = next(source)
            except StopIteration:
                self.end()

    async def pump_async(self) -> None:
        """The same; an iterator that is not async works, and holds up the loop while it makes a piece."""
        source = self.source
        if isinstance(source, Iterator):
            self.pump()
            return
        while self.write():
            try:
                self.piece = await source.__anext__()
            except StopAsyncIteration:
                self.end()

    def write(self) -> bool:
        """Write the piece that is at hand, if any; whether the next one is wanted."""
        exchange = self.exchange
        if exchange.upload is not self:
            return False
        if not self.piece:
            return True
        if not isinstance(self.piece, bytes):
            self.piece = as_piece(self.piece)
        code = exchange.engine.body_write(exchange.xid, self.piece)
        if code == c.E_AGAIN:
            exchange.can_write = False
            return False
        self.piece = None
        if code == c.OK:
            return True
        self.stop(code)
        return False

    def end(self) -> None:
        self.exchange.upload = None
        self.stop(self.exchange.engine.body_end(self.exchange.xid))

    def stop(self, code: int) -> None:
        """The exchange has ended, or wants no more of it: what became of it comes as an event."""
        self.exchange.upload = None
        if code not in (c.OK, c.E_NOT_FOUND, c.E_BAD_STATE):
            raise failure(code)
