"""The drive of the async client: one descriptor in the event loop, and one call for all that has happened.

asyncio (with uvloop, too) watches the descriptor by `add_reader`, trio by a system task that waits for it.
The library has a thread of its own, which makes one wake-up of the loop of many answers: at 20 and at 100 requests at a
time that took 20 to 30 % less of the process's time for each than working inside `drain` did, which the option
`io_threads` of 0 asks for; at one request at a time there was no difference.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Generator
from functools import partial
from threading import get_ident
from typing import Any, Callable, Protocol

from ._engine import Engine
from ._exchange import Exchange, Waiter
from ._failures import failure
from ._records import EVENT

__all__ = ["AsyncEngine", "Loop", "running_loop"]


class Awaitable(Waiter, Protocol):
    def __await__(self) -> Generator[Any, Any, None]: ...


class Loop(Protocol):
    """What is needed of an event loop."""

    def runs_here(self) -> bool:
        """Whether the caller is run by this very loop."""

    def is_over(self) -> bool:
        """Whether it never runs again."""

    def watch(self, fd: int, readable: Callable[[], object]) -> None:
        """Call a function whenever a descriptor is readable, until `unwatch`."""

    def unwatch(self, fd: int) -> None: ...

    def waiter(self) -> Awaitable: ...


class AsyncioLoop:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.waiter: Callable[[], asyncio.Future[None]] = loop.create_future
        if type(loop).create_future is asyncio.BaseEventLoop.create_future:
            # What that does, without a function of Python's around it.
            self.waiter = partial(asyncio.Future, loop=loop)
        self.is_over = loop.is_closed
        self.is_running = loop.is_running
        #: The thread that it was last seen to run on.
        self.thread = get_ident()

    def runs_here(self) -> bool:
        # A thread runs one loop at a time. To ask which is a system call in some versions of Python.
        if self.is_running() and self.thread == get_ident():
            return True
        try:
            here = asyncio.get_running_loop() is self.loop
        except RuntimeError:
            return False
        if here:
            self.thread = get_ident()
        return here

    def watch(self, fd: int, readable: Callable[[], object]) -> None:
        self.loop.add_reader(fd, readable)

    def unwatch(self, fd: int) -> None:
        self.loop.remove_reader(fd)


class TrioWaiter:
    """A future of asyncio's, made of an event of trio's."""

    def __init__(self, event: Any) -> None:
        self.event = event

    def done(self) -> bool:
        return bool(self.event.is_set())

    def set_result(self, _: None, /) -> None:
        self.event.set()

    def __await__(self) -> Generator[Any, Any, None]:
        yield from self.event.wait().__await__()


class TrioLoop:
    def __init__(self, trio: Any) -> None:
        self.trio = trio
        self.token = trio.lowlevel.current_trio_token()
        self.over = False
        self.watched: set[int] = set()

    def runs_here(self) -> bool:
        try:
            return bool(self.trio.lowlevel.current_trio_token() is self.token)
        except RuntimeError:
            return False

    def is_over(self) -> bool:
        return self.over

    def watch(self, fd: int, readable: Callable[[], object]) -> None:
        self.watched.add(fd)

        async def watcher() -> None:
            # The loop cancels its system tasks when the main task is over.
            try:
                while True:
                    await self.trio.lowlevel.wait_readable(fd)
                    if fd not in self.watched:
                        # It was readable first and then closed, before this ran.
                        return
                    readable()
            except self.trio.ClosedResourceError:
                pass
            except self.trio.Cancelled:
                self.over = True
                raise

        self.trio.lowlevel.spawn_system_task(watcher)

    def unwatch(self, fd: int) -> None:
        self.watched.remove(fd)
        self.trio.lowlevel.notify_closing(fd)

    def waiter(self) -> TrioWaiter:
        return TrioWaiter(self.trio.Event())


def running_loop() -> Loop:
    """The loop that runs the caller."""
    trio = sys.modules.get("trio")
    if trio is not None:
        try:
            # A task of trio's; inside of it, asyncio may run as well.
            trio.lowlevel.current_task()
        except RuntimeError:
            pass
        else:
            return TrioLoop(trio)
    return AsyncioLoop(asyncio.get_running_loop())


class AsyncEngine(Engine):
    """An engine whose queue is in an event loop."""

    def __init__(self, options: dict[str, int | str | bytes], loop: Loop) -> None:
        super().__init__(options)
        self.exchanges: dict[int, Exchange] = {}
        self.enter(loop)

    def enter(self, loop: Loop) -> None:
        self.loop = loop
        #: Makes what a task sleeps on until there is news of its exchange.
        self.waiter = loop.waiter
        loop.watch(self.fd, self.drain)

    def register(self, exchange: Exchange) -> None:
        self.exchanges[exchange.token] = exchange

    def forget(self, token: int) -> None:
        self.exchanges.pop(token, None)

    def disown(self, exchange: Exchange) -> None:
        # It takes what still comes, and goes with its last event.
        pass

    async def step(self, exchange: Exchange) -> None:
        """Go on with what is uploaded, or else wait until there is news of the exchange."""
        if exchange.upload is not None and exchange.can_write:
            await exchange.upload.pump_async()
            return
        waiter = exchange.waiter = self.waiter()
        await waiter

    def drain(self) -> None:
        """Take one batch of events, and wake whom they are for. If more wait, the descriptor is readable again."""
        count = self.take_events(None)
        if count > 0:
            self.hand_out(count)
        elif count < 0:
            self.fail(failure(count))

    def hand_out(self, count: int) -> None:
        exchanges = self.exchanges
        for record in EVENT.iter_unpack(self.window[: count * EVENT.size]):
            exchange = exchanges.get(record[4])
            if exchange is None:
                # Of the engine itself: ENGINE_DOWN has no object, and nothing else is asked for.
                continue
            exchange.feed(record)
            if exchange.done:
                del exchanges[record[4]]
            waiter = exchange.waiter
            if waiter is not None and not waiter.done():
                waiter.set_result(None)

    def fail(self, error: Exception) -> None:
        """Nothing more is to be had from the library: say so to all who wait."""
        self.loop.unwatch(self.fd)
        for exchange in self.exchanges.values():
            exchange.error, exchange.done = error, True
            if exchange.waiter is not None and not exchange.waiter.done():
                exchange.waiter.set_result(None)
        self.exchanges.clear()

    def move(self, loop: Loop) -> None:
        """Go on in another loop; the one before must be over, or nothing under way."""
        if self.exchanges and not self.loop.is_over():
            raise RuntimeError("the client is in use in another event loop")
        if not self.loop.is_over():
            self.loop.unwatch(self.fd)
        self.enter(loop)

    def close(self) -> None:
        """End all exchanges and the engine. Tasks that wait for one get `EngineClosedError`."""
        with self.guard:
            if self.closed:
                return
            self.closed = True
        if not self.loop.is_over() and not self.forked:
            self.loop.unwatch(self.fd)
        self.destroy()
        while (count := self.take_events(None)) > 0:
            self.hand_out(count)
        if not self.forked:
            self.destroy_queue()
