"""A small event loop over one epoll descriptor, which is itself watched by the loop that runs the program."""

from __future__ import annotations

import errno
import heapq
import os
import select
from collections import deque
from contextlib import suppress
from itertools import count
from time import monotonic
from typing import TYPE_CHECKING, Any, Callable

from .._async import Awaitable, running_loop
from ._connection import deadline
from ._epoll import require

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["EpollEventLoop", "TimerHandle"]

Callback = Callable[..., object]
# A callback with its arguments.
Call = tuple[Callback, tuple[Any, ...]]
# A descriptor whose other side is gone, or that is broken, can be read and written: the call says what is wrong.
BROKEN = select.EPOLLHUP | select.EPOLLERR if hasattr(select, "epoll") else 0
READABLE = BROKEN | select.EPOLLIN if hasattr(select, "epoll") else 0
WRITABLE = BROKEN | select.EPOLLOUT if hasattr(select, "epoll") else 0


class TimerHandle:
    """What `EpollEventLoop.call_later` gives."""

    __slots__ = ("_call",)

    def __init__(self, call: Call) -> None:
        self._call: Call | None = call

    def cancel(self) -> None:
        """Do not call it. Does nothing if it was called."""
        self._call = None


class EpollEventLoop:
    """Calls functions when descriptors are ready, when it is time, or when another thread says so.

    It is driven by `await loop.run_forever()`, inside asyncio, uvloop or trio, whose other tasks go on meanwhile. All
    methods but `call_soon_threadsafe` and `stop` are for the thread that runs it. Descriptors are told of as long as
    they are ready (level-triggered). What a function raises ends `run_forever`, which may then be awaited again.

    Close it in the end, or use it in a `with` statement. The descriptors that it watches stay the caller's: remove them
    before closing them.
    """

    def __init__(self) -> None:
        require(self)
        self._epoll = select.epoll()
        self._readers: dict[int, Call] = {}
        self._writers: dict[int, Call] = {}
        self._soon: deque[Call] = deque()
        #: What runs out first is the first (a heap). The number keeps the order of equal moments.
        self._timers: list[tuple[float, int, TimerHandle]] = []
        self._numbers = count()
        self._waiter: Awaitable | None = None
        self._running = False
        self._stopping = False
        #: A byte in this pipe says that another thread has put something down.
        self._bell, self._rope = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._epoll.register(self._bell, select.EPOLLIN)

    def add_reader(self, fd: int, callback: Callback, *args: Any) -> None:
        """Call a function whenever a descriptor can be read, has come to its end or is broken.

        It takes the place of the one before. Raises `OSError` for what epoll does not take, such as a file.
        """
        self._watch(self._readers, fd, (callback, args))

    def add_writer(self, fd: int, callback: Callback, *args: Any) -> None:
        """The same for writing."""
        self._watch(self._writers, fd, (callback, args))

    def remove_reader(self, fd: int) -> None:
        """Do not call it any more. Does nothing if there is none."""
        self._unwatch(self._readers, fd)

    def remove_writer(self, fd: int) -> None:
        """The same for writing."""
        self._unwatch(self._writers, fd)

    def call_soon(self, callback: Callback, *args: Any) -> None:
        """Call a function once, after what was asked for before."""
        self._soon.append((callback, args))
        self._wake()

    def call_soon_threadsafe(self, callback: Callback, *args: Any) -> None:
        """The same, from any thread."""
        self._soon.append((callback, args))
        self._ring()

    def call_later(self, delay: float, callback: Callback, *args: Any) -> TimerHandle:
        """Call a function once, after so many seconds. Those that are due at the same time come in their order."""
        moment = deadline(delay)
        handle = TimerHandle((callback, args))
        if moment is not None:
            heapq.heappush(self._timers, (moment, next(self._numbers), handle))
            self._wake()
        return handle

    def time(self) -> float:
        """The clock of `call_later`, in seconds (`time.monotonic`)."""
        return monotonic()

    @property
    def is_running(self) -> bool:
        """Whether a task is in `run_forever`."""
        return self._running

    def stop(self) -> None:
        """Let `run_forever` return once the function at hand has; if nobody runs it, the next one does at once.

        It may be called from any thread.
        """
        self._stopping = True
        self._ring()

    async def run_forever(self) -> None:
        """Run until `stop` is called."""
        if self._running:
            raise RuntimeError("the loop runs already")
        if self._epoll.closed:
            raise RuntimeError("the loop was closed")
        host, fd = running_loop(), self._epoll.fileno()
        self._running = True
        try:
            host.watch(fd, self._wake)
            try:
                while not self._stopping:
                    self._turn()
                    if self._stopping:
                        break
                    if self._soon:
                        # Others have their turn, too.
                        await host.sleep(0)
                        continue
                    self._waiter = waiter = host.waiter()
                    try:
                        if self._timers:
                            await host.wait(waiter, max(self._timers[0][0] - monotonic(), 0.0))
                        else:
                            await waiter
                    finally:
                        self._waiter = None
                self._stopping = False
            finally:
                host.unwatch(fd)
        finally:
            self._running = False

    def close(self) -> None:
        """Forget all functions, and close the loop's own descriptors. Closing it again does nothing."""
        if self._running:
            raise RuntimeError("the loop runs")
        if not self._epoll.closed:
            self._epoll.close()
            os.close(self._bell)
            os.close(self._rope)
        for forgotten in (self._readers, self._writers, self._soon, self._timers):
            forgotten.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        # A constructor that was refused has left nothing.
        if hasattr(self, "_rope") and not self._epoll.closed:
            self._epoll.close()
            os.close(self._bell)
            os.close(self._rope)

    def _turn(self) -> None:
        """Call what is to be called now. What that brings about is for the next turn."""
        for fd, events in self._epoll.poll(0):
            if fd == self._bell:
                with suppress(BlockingIOError):
                    os.read(fd, 4096)
                continue
            for calls, wanted in ((self._readers, READABLE), (self._writers, WRITABLE)):
                # One that was called before may have removed this one.
                call = calls.get(fd) if events & wanted else None
                if call is not None and not self._stopping:
                    call[0](*call[1])
        now = monotonic()
        while self._timers and self._timers[0][0] <= now and not self._stopping:
            handle = heapq.heappop(self._timers)[2]
            call, handle._call = handle._call, None
            if call is not None:
                call[0](*call[1])
        for _ in range(len(self._soon)):
            if self._stopping:
                break
            callback, args = self._soon.popleft()
            callback(*args)

    def _interest(self, fd: int) -> int:
        return (select.EPOLLIN if fd in self._readers else 0) | (select.EPOLLOUT if fd in self._writers else 0)

    def _watch(self, calls: dict[int, Call], fd: int, call: Call) -> None:
        if self._epoll.closed:
            raise RuntimeError("the loop was closed")
        before = calls.get(fd)
        calls[fd] = call
        try:
            try:
                self._epoll.modify(fd, self._interest(fd))
            except FileNotFoundError:
                # It is new, or was closed and is another one now.
                self._epoll.register(fd, self._interest(fd))
        except BaseException:
            if before is None:
                del calls[fd]
            else:
                calls[fd] = before
            raise

    def _unwatch(self, calls: dict[int, Call], fd: int) -> None:
        if calls.pop(fd, None) is None:
            return
        interest = self._interest(fd)
        try:
            if interest:
                self._epoll.modify(fd, interest)
            else:
                self._epoll.unregister(fd)
        except OSError as error:
            # It was closed before, and epoll has forgotten it.
            if error.errno not in (errno.ENOENT, errno.EBADF):
                raise

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _ring(self) -> None:
        if not self._epoll.closed:
            # A full pipe rings, too.
            with suppress(BlockingIOError):
                os.write(self._rope, b"\0")
