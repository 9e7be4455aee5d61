"""The drive of the sync client: the work is done on the threads that wait, inside the library's own wait.

One thread at a time waits for the library and puts what comes into the inboxes of the exchanges: it has the lead.
Others sleep until they have mail, or are given the lead. The GIL is not held in either case.

A signal's handler may raise (KeyboardInterrupt is the usual one) between any two steps of Python, also right behind a
wait that has taken events from the library, which would be lost then, those of other threads too. So events are moved
in steps that Python cannot interrupt, each of which leaves a trace of whether it was done, and `recover` does what is
left.
"""

from __future__ import annotations

import threading
from collections import deque
from itertools import tee
from operator import itemgetter
from typing import Final

from . import _table as c
from ._codes import EngineClosedError
from ._engine import BATCH, Engine
from ._exchange import Exchange, Record, discard
from ._failures import failure
from ._ffi import lib
from ._records import EVENT

__all__ = ["SyncEngine"]

NO_EVENTS: Final = bytes(BATCH * EVENT.size)
TOKEN: Final = itemgetter(4)
END: Final[Record] = (0,) * 11


class Inboxes(dict[int, "deque[Record]"]):
    """By token. What belongs to nobody is thrown away."""

    def __init__(self) -> None:
        self.discarded: deque[Record] = deque()

    def __missing__(self, token: int) -> deque[Record]:
        return self.discarded


class SyncEngine(Engine):
    """An engine that has no thread of its own."""

    def __init__(self, options: dict[str, int | str | bytes]) -> None:
        super().__init__({**options, "io_threads": 0})
        self.inboxes = Inboxes()
        #: Events on their way from `events` to the inboxes.
        self.batch: deque[Record] = deque()
        self.mutex = threading.Lock()
        #: The token of the exchange whose thread has the lead; 0 for nobody's.
        self.leader = 0
        #: Whose threads sleep, and the locks that they sleep on.
        self.followers: dict[int, tuple[Exchange, threading.Lock]] = {}
        self.destroyed = False

    def register(self, exchange: Exchange) -> None:
        self.inboxes[exchange.token] = exchange.inbox = deque()

    def submit_plain(self, block: bytes, exchange: Exchange, collect: bool) -> bool:
        # Other threads use the same templates.
        with self.guard:
            return super().submit_plain(block, exchange, collect)

    def forget(self, token: int) -> None:
        self.inboxes.pop(token, None)

    def disown(self, exchange: Exchange) -> None:
        self.inboxes.pop(exchange.token, None)
        while exchange.inbox:
            record = exchange.inbox.popleft()
            if record[1] & c.EF_TERMINAL:
                exchange.done = True
            discard(record)

    def step(self, exchange: Exchange) -> None:
        """Go on with what is uploaded, or else wait until there is news of the exchange, and take note of it."""
        if exchange.upload is not None and exchange.can_write:
            exchange.upload.pump()
            return
        inbox = exchange.inbox
        if not inbox:
            self.sleep(exchange)
        while inbox:
            exchange.feed(inbox.popleft())
        if exchange.done:
            self.forget(exchange.token)

    def sleep(self, exchange: Exchange) -> None:
        token, inbox = exchange.token, exchange.inbox
        signal = threading.Lock()
        try:
            with self.mutex:
                if self.destroyed and not inbox:
                    raise EngineClosedError("the client was closed")
                if self.leader:
                    signal.acquire()
                    self.followers[token] = exchange, signal
                else:
                    self.leader = token
            if self.leader == token:
                while not inbox and not self.closed:
                    self.turn(c.UNLIMITED)
            elif not inbox:
                # Released by whoever brings mail or hands over the lead. A signal's handler runs in between.
                signal.acquire()
        finally:
            with self.mutex:
                self.followers.pop(token, None)
                if self.leader == token:
                    self.leader = 0
                self.hand_over()

    def hand_over(self) -> None:
        """Give the lead to somebody who sleeps; if the client was closed, end it. The mutex is held."""
        if self.leader:
            return
        if self.closed and not self.destroyed:
            self.end()
        for _, signal in self.followers.values():
            wake(signal)
            break

    def turn(self, wait_ns: int | None) -> None:
        """Let the library work, and bring what comes to the inboxes. For whoever has the lead."""
        try:
            count = self.take_events(wait_ns)
            if count > 0:
                self.batch.extend(EVENT.iter_unpack(self.window[: count * EVENT.size]))
                self.window[: count * EVENT.size] = NO_EVENTS[: count * EVENT.size]
                self.deliver()
        except BaseException:
            self.recover()
            raise
        if count < 0 and count not in (c.E_INTERRUPTED, c.E_ENGINE_DOWN):
            raise failure(count)
        if count == c.E_ENGINE_DOWN:
            self.closed = True

    def recover(self) -> None:
        """Finish what `turn` was interrupted in. An event has a kind, and is wiped out once it is in `batch`."""
        while self.batch and self.batch[-1] is END:
            self.batch.pop()
        found = [record for record in EVENT.iter_unpack(self.window) if record[0]]
        if found and list(self.batch) != found:
            self.batch.extend(found)
        self.window[:] = NO_EVENTS
        self.deliver()

    def deliver(self) -> None:
        """Move `batch` to the inboxes: one call, in which no Python runs, and so no handler of a signal."""
        self.batch.append(END)
        tokens, records = tee(iter(self.batch.popleft, END))
        deque(map(deque.append, map(self.inboxes.__getitem__, map(TOKEN, tokens)), records), maxlen=0)
        discarded = self.inboxes.discarded
        while discarded:
            discard(discarded.popleft())
        with self.mutex:
            for exchange, signal in self.followers.values():
                if exchange.inbox:
                    wake(signal)

    def close(self) -> None:
        """End all exchanges and the engine. Threads that wait for one get `EngineClosedError`."""
        with self.guard:
            self.closed = True
        if self.forked:
            self.destroy()
            return
        with self.mutex:
            if self.leader:
                # Its thread ends it.
                lib.queue_wakeup(self.queue)
            else:
                self.hand_over()

    def end(self) -> None:
        """The last events come to the inboxes. The mutex is held, and nobody has the lead."""
        self.destroyed = True
        self.destroy()
        while (count := self.take_events(None)) > 0:
            for record in EVENT.iter_unpack(self.window[: count * EVENT.size]):
                inbox = self.inboxes[record[4]]
                inbox.append(record)
        while self.inboxes.discarded:
            discard(self.inboxes.discarded.popleft())
        self.destroy_queue()
        for _, signal in self.followers.values():
            wake(signal)


def wake(signal: threading.Lock) -> None:
    if signal.locked():
        signal.release()
