"""The drive of the async client: one descriptor in the event loop, and one call for all that has happened.

asyncio (with uvloop, too) watches the descriptor by `add_reader`, trio by a system task that waits for it.
The library has a thread of its own, so that TLS and parsing hold up nobody. The option `io_threads` of 0 has the work
done inside `drain`: at 20 and at 100 requests at a time that took as much of the process's time, within the noise, and
at one request at a time up to a fifth less.
"""

from __future__ import annotations

import asyncio
import os
import sys
import weakref
from collections.abc import Generator
from contextlib import suppress
from typing import Any, Callable, Protocol

from ._codes import ForkedError
from ._engine import Engine, let_go
from ._exchange import Exchange, Waiter
from ._failures import failure
from ._records import EVENT

__all__ = ["AsyncEngine", "Loop", "engine_here", "running_loop"]


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

    def soon(self, call: Callable[[], object]) -> None:
        """Have something called by the loop. From any thread; `RuntimeError` if it never runs again."""

    def waiter(self) -> Awaitable: ...

    async def wait(self, waiter: Awaitable, seconds: float) -> bool:
        """Wait for so long at most; whether it was woken."""

    async def sleep(self, seconds: float) -> None: ...


class AsyncioLoop:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.waiter = loop.create_future
        self.is_over = loop.is_closed

    def runs_here(self) -> bool:
        try:
            return asyncio.get_running_loop() is self.loop
        except RuntimeError:
            return False

    def watch(self, fd: int, readable: Callable[[], object]) -> None:
        self.loop.add_reader(fd, readable)

    def unwatch(self, fd: int) -> None:
        self.loop.remove_reader(fd)

    def soon(self, call: Callable[[], object]) -> None:
        self.loop.call_soon_threadsafe(call)

    async def wait(self, waiter: Awaitable, seconds: float) -> bool:
        late = False

        def expire() -> None:
            nonlocal late
            if not waiter.done():
                late = True
                waiter.set_result(None)

        timer = self.loop.call_later(seconds, expire)
        try:
            await waiter
        finally:
            timer.cancel()
        return not late

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


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
        self.soon = self.token.run_sync_soon
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
        self.watched.discard(fd)
        self.trio.lowlevel.notify_closing(fd)

    def waiter(self) -> TrioWaiter:
        return TrioWaiter(self.trio.Event())

    async def wait(self, waiter: Awaitable, seconds: float) -> bool:
        with self.trio.move_on_after(seconds):
            await waiter
        return waiter.done()

    async def sleep(self, seconds: float) -> None:
        await self.trio.sleep(seconds)


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


class Reader:
    """What a loop calls when the queue is readable. It holds the engine while an exchange is under way; else
    that goes when nobody else holds it."""

    __slots__ = ("busy", "engine")

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = weakref.ref(engine)
        self.busy: AsyncEngine | None = None

    def __call__(self) -> None:
        engine = self.engine()
        if engine is not None:
            engine.drain()


class Place:
    """Where a queue is watched. Outlives its engine by a moment."""

    __slots__ = ("fd", "loop", "pid")

    def __init__(self, fd: int, loop: Loop) -> None:
        self.fd = fd
        self.loop = loop
        self.pid = os.getpid()

    def leave(self) -> None:
        if not self.loop.is_over():
            self.loop.unwatch(self.fd)


class Leaving:
    """The end of an engine that nobody has closed: first out of the loop, then away. A loop that ends
    before it calls this drops it, which is the same."""

    __slots__ = ("engine", "gone", "place", "queue")

    def __init__(self, place: Place, engine: int, queue: int) -> None:
        self.place = place
        self.engine = engine
        self.queue = queue
        self.gone = False

    def __call__(self) -> None:
        self.place.leave()
        self.end()

    def end(self) -> None:
        if not self.gone:
            self.gone = True
            let_go(self.engine, self.queue)

    __del__ = end


def drop(place: Place, engine: int, queue: int) -> None:
    """For a finalizer, which may run on any thread and at any moment: the loop is asked to do it."""
    leaving = Leaving(place, engine, queue)
    # The loop of a forked child is not that of its parent, whatever it may look like.
    if place.pid == os.getpid():
        with suppress(RuntimeError):
            place.loop.soon(leaving)


class AsyncEngine(Engine):
    """An engine whose queue is in an event loop."""

    def __init__(self, options: dict[str, int | str | bytes], loop: Loop) -> None:
        super().__init__(options)
        self.exchanges: dict[int, Exchange] = {}
        self.reader = Reader(self)
        self.place = Place(self.fd, loop)
        self._finalizer.detach()
        self._finalizer = weakref.finalize(self, drop, self.place, self.engine, self.queue)
        self._finalizer.atexit = False
        self.enter(loop)

    def enter(self, loop: Loop) -> None:
        self.loop = loop
        #: Makes what a task sleeps on until there is news of its exchange.
        self.waiter = loop.waiter
        self.place.loop = loop
        loop.watch(self.fd, self.reader)

    def register(self, exchange: Exchange) -> None:
        self.exchanges[exchange.token] = exchange
        self.reader.busy = self

    def forget(self, token: int) -> None:
        exchanges = self.exchanges
        exchanges.pop(token, None)
        if not exchanges:
            self.reader.busy = None

    def disown(self, exchange: Exchange) -> None:
        # It takes what still comes, and goes with its last event.
        pass

    async def step(self, exchange: Exchange) -> None:
        """Go on with what is uploaded, or else wait until there is news of the exchange."""
        if exchange.upload is not None and exchange.can_write:
            await exchange.upload.pump_async()
            return
        if self.forked:
            raise ForkedError("the exchange belongs to the parent of this process")
        waiter = exchange.waiter = self.waiter()
        await waiter

    def drain(self) -> None:
        """Take one batch of events, and wake whom they are for. If more wait, the descriptor is readable again."""
        count = self.drain_events()
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
        if not exchanges:
            self.reader.busy = None

    def fail(self, error: Exception) -> None:
        """Nothing more is to be had from the library: say so to all who wait."""
        self.place.leave()
        for exchange in self.exchanges.values():
            exchange.error, exchange.done = error, True
            if exchange.waiter is not None and not exchange.waiter.done():
                exchange.waiter.set_result(None)
        self.exchanges.clear()
        self.reader.busy = None

    def move(self, loop: Loop) -> None:
        """Go on in another loop; the one before must be over, or nothing under way."""
        if self.exchanges and not self.loop.is_over():
            raise RuntimeError("the client is in use in another event loop")
        self.place.leave()
        self.enter(loop)

    def close(self) -> None:
        """End all exchanges and the engine. Tasks that wait for one get `EngineClosedError`."""
        with self.guard:
            if self.closed:
                return
            self.closed = True
        if not self.forked:
            self.place.leave()
        self.destroy()
        while (count := self.drain_events()) > 0:
            self.hand_out(count)
        if not self.forked:
            self.destroy_queue()


def engine_here(engine: AsyncEngine | None, options: dict[str, int | str | bytes]) -> AsyncEngine:
    """What to use in the running loop: the engine that was used before, if it is this process's, or a new one."""
    if engine is None or engine.forked:
        return AsyncEngine(options, running_loop())
    if not engine.loop.runs_here():
        engine.move(running_loop())
    return engine
