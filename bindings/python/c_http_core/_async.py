"""The drive of the async client: one descriptor in the event loop, and one call for all that has happened.

asyncio (with uvloop, too) watches the descriptor by `add_reader`, trio by a system task that waits for it.
The work is done inside of `drain`, on the loop's thread. With a thread of the library's (`io_threads` of 1) that one
and the loop's change places for every answer when they share a processor, because each wakes the other: 0.9 changes a
request with 64 under way instead of none, and a fifth more time.
"""

from __future__ import annotations

import asyncio
import os
import sys
import weakref
from collections.abc import Coroutine, Generator, Mapping
from contextlib import suppress
from contextvars import Context
from threading import get_ident
from typing import Any, Callable, ClassVar, Protocol
from weakref import ref

from ._codes import ForkedError
from ._config import OptionValue
from ._engine import BATCH, Engine, let_go
from ._exchange import Exchange, Waiter
from ._failures import failure
from ._ffi import lib
from ._records import EVENT
from ._table import EV_RESPONSE

EVENT_SIZE = EVENT.size

# What runs for each answer or each turn of the loop, found at once.
queue_drain, unpack, unpack_one = lib.queue_drain, EVENT.iter_unpack, EVENT.unpack_from

__all__ = ["AsyncEngine", "Loop", "engine_here", "running_loop"]


class Awaitable(Waiter, Protocol):
    def __await__(self) -> Generator[Any, Any, None]: ...


class Waiting:
    """What a task of asyncio's sleeps on, as on a future (`asyncio.isfuture`).

    A callback of the loop that wakes it goes on with the task itself. A future has the loop call the task in its next
    turn, and such a turn costs as much as all that this package does for an answer. It tells of nothing: whoever was
    woken looks at the exchange, and sleeps again if there was no news.
    """

    __slots__ = ("_asyncio_future_blocking", "context", "step")

    #: Of the class that a loop has of this one: asking for the running loop is a system call in some Pythons.
    get_loop: ClassVar[Callable[[], asyncio.AbstractEventLoop | None]]
    # What the task calls when it goes on; it takes None.
    result: ClassVar[Callable[[], None]] = type(None)

    context: Context
    #: The task's, while it sleeps.
    step: Callable[..., object] | None

    def __await__(self) -> Generator[Any, Any, None]:
        self.step = None
        self._asyncio_future_blocking = True
        sleep: Any = iter((self,))
        return sleep  # type: ignore[no-any-return]

    def add_done_callback(self, step: Callable[..., object], *, context: Context) -> None:
        self.step = step
        self.context = context

    def wake(self) -> None:
        step = self.step
        if step is not None:
            self.step = None
            self.context.run(step, self)

    def done(self) -> bool:
        return self.step is None

    def set_result(self, _: None = None, /) -> None:
        step = self.step
        if step is not None:
            self.step = None
            loop = type(self).get_loop()
            if loop is not None:
                loop.call_soon(step, self, context=self.context)

    def cancel(self, msg: object = None) -> bool:
        """The task wants to be cancelled: let it go on, and see for itself."""
        self.set_result()
        return False


class Loop(Protocol):
    """What is needed of an event loop."""

    #: What `current` tells of this very loop.
    home: object

    def current(self) -> object:
        """What runs the caller, by the same kind of library."""

    def runs_here(self) -> bool:
        """Whether the caller is run by this very loop."""

    def is_over(self) -> bool:
        """Whether it never runs again."""

    def watch(self, fd: int, readable: Callable[[], object]) -> None:
        """Call a function whenever a descriptor is readable, until `unwatch`."""

    def unwatch(self, fd: int) -> None: ...

    def spawn(self, task: Callable[[], Coroutine[Any, Any, None]]) -> object:
        """Run a task that ends with the loop at the latest. It lives at least as long as what is returned."""

    def soon(self, call: Callable[[], object]) -> None:
        """Have something called by the loop. From any thread; `RuntimeError` if it never runs again."""

    def waiter(self) -> Awaitable: ...

    async def wait(self, waiter: Awaitable, seconds: float) -> bool:
        """Wait for so long at most; whether it was woken."""

    async def sleep(self, seconds: float) -> None: ...


class AsyncioLoop:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.home: object = loop
        self.waiter: Callable[[], Awaitable] = type("Waiting", (Waiting,), {"__slots__": (), "get_loop": ref(loop)})
        self.current = asyncio._get_running_loop
        self.is_over = loop.is_closed

    def runs_here(self) -> bool:
        return self.current() is self.loop

    def watch(self, fd: int, readable: Callable[[], object]) -> None:
        self.loop.add_reader(fd, readable)

    def unwatch(self, fd: int) -> None:
        self.loop.remove_reader(fd)

    def spawn(self, task: Callable[[], Coroutine[Any, Any, None]]) -> object:
        return self.loop.create_task(task())

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

    def wake(self) -> None:
        self.event.set()

    def __await__(self) -> Generator[Any, Any, None]:
        yield from self.event.wait().__await__()


class TrioLoop:
    def __init__(self, trio: Any) -> None:
        self.trio = trio
        self.home = trio.lowlevel.current_trio_token()
        self.soon = self.home.run_sync_soon
        self.over = False
        self.watched: set[int] = set()

    def current(self) -> object:
        try:
            return self.trio.lowlevel.current_trio_token()
        except RuntimeError:
            return None

    def runs_here(self) -> bool:
        return self.current() is self.home

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

    def spawn(self, task: Callable[[], Coroutine[Any, Any, None]]) -> object:
        return self.trio.lowlevel.spawn_system_task(task)

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


def reader(engine: AsyncEngine) -> Callable[[], None]:
    """What a loop calls when the queue is readable. It holds the exchanges that are under way, which hold the engine;
    without any that goes when nobody else holds it."""
    whose = weakref.ref(engine)

    def read(_: object = engine.exchanges) -> None:
        engine = whose()
        if engine is not None:
            engine.drain()

    return read


class Place:
    """Where a queue is watched. Outlives its engine by a moment."""

    __slots__ = ("fd", "loop", "pid")

    def __init__(self, fd: int, loop: Loop) -> None:
        self.fd = fd
        self.loop = loop
        self.pid = os.getpid()

    def leave(self) -> None:
        # A mock has no descriptor.
        if self.fd >= 0 and not self.loop.is_over():
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

    def __init__(self, options: Mapping[str, OptionValue], loop: Loop, backend: int = 0) -> None:
        super().__init__({"io_threads": 0, **options}, backend)
        self.exchanges: dict[int, Exchange] = {}
        self.reader = reader(self)
        #: The thread on which `drain` goes on with tasks just now: what runs there is run by `loop`. Else 0.
        self.inside = 0
        self.place = Place(self.fd, loop)
        self._finalizer.detach()
        self._finalizer = weakref.finalize(self, drop, self.place, self.engine, self.queue)
        self._finalizer.atexit = False
        self.enter(loop)

    def enter(self, loop: Loop) -> None:
        self.loop = loop
        #: Makes what a task sleeps on until there is news of its exchange.
        self.waiter = loop.waiter
        #: The engine is in use where it belongs if `current` tells `home`.
        self.current, self.home = loop.current, loop.home
        self.place.loop = loop
        if self.fd >= 0:
            loop.watch(self.fd, self.reader)

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
        if self.forked:
            raise ForkedError("the exchange belongs to the parent of this process")
        waiter = exchange.waiter = self.waiter()
        await waiter

    def drain(self) -> None:
        """Take one batch of events, and go on with whom they are for. If more wait, the descriptor is readable again.

        Only the loop calls this, so that no task is running.
        """
        count = queue_drain(self.queue, self.events_address, BATCH, EVENT_SIZE)
        if count < 0:
            self.fail(failure(count))
            return
        # Who is woken may close the engine, and is not to find half of a batch.
        waiting = self.hand_out(count)
        self.inside = get_ident()
        try:
            for waiter in waiting:
                waiter.wake()
        except BaseException:
            # A task was interrupted, and the loop ends with it. The others are to be woken all the same.
            wake_later(waiting)
            raise
        finally:
            self.inside = 0

    def hand_out(self, count: int) -> list[Waiter]:
        """Let a batch of events reach their exchanges. Who waits for one of them."""
        exchanges = self.exchanges
        waiting = []
        for record in unpack(self.window[: count * EVENT_SIZE]) if count != 1 else (unpack_one(self.events),):
            kind, _, arg, _, token, _, _, data, length, obj, aux = record
            exchange = exchanges.get(token)
            if exchange is None:
                # Of the engine itself: ENGINE_DOWN has no object, and nothing else is asked for.
                continue
            if kind == EV_RESPONSE:
                # What `feed` does with it. Most events are one, and terminal.
                exchange.head, exchange.status, exchange.body, exchange.length = obj, arg, data, length
                exchange.done, exchange.elapsed_ns = True, aux
                del exchanges[token]
            else:
                exchange.feed(record)
                if exchange.done:
                    del exchanges[token]
            waiter = exchange.waiter
            if waiter is not None:
                waiting.append(waiter)
        return waiting

    def fail(self, error: Exception) -> None:
        """Nothing more is to be had from the library: say so to all who wait."""
        self.place.leave()
        exchanges = list(self.exchanges.values())
        self.exchanges.clear()
        for exchange in exchanges:
            exchange.error, exchange.done = error, True
        wake_later([exchange.waiter for exchange in exchanges if exchange.waiter is not None])

    def after_fork(self) -> None:
        super().after_fork()
        self.home, self.inside = object(), 0

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
            wake_later(self.hand_out(count))
        if not self.forked:
            self.destroy_queue()


def wake_later(waiters: list[Waiter]) -> None:
    """For where a task may be running, inside of which no other one can."""
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)


class Maker(Protocol):
    """Makes engines of another kind."""

    def _async_engine(self, options: dict[str, OptionValue], loop: Loop) -> AsyncEngine: ...


def engine_here(engine: AsyncEngine | None, options: dict[str, OptionValue], maker: Maker | None = None) -> AsyncEngine:
    """What to use in the running loop: the engine that was used before, if it is this process's, or a new one."""
    if engine is None or engine.forked:
        loop = running_loop()
        return AsyncEngine(options, loop) if maker is None else maker._async_engine(options, loop)
    if not engine.loop.runs_here():
        engine.move(running_loop())
    return engine
