"""The drive of the sync client: the work is done on the threads that wait, inside the library's own wait.

One thread at a time waits for the library and puts what comes into the inboxes of the exchanges: it has the lead.
Others sleep until they have mail, or are given the lead. The GIL is not held in either case.

Of those who have mail one is woken, and wakes the next one. Whoever is woken needs the GIL first: many at a time would
wait for it, and be put to sleep and woken once more each. But if other work in Python keeps the GIL, all have to stand
in line for it together, or each would wait for a whole switch interval.

A signal's handler may raise (KeyboardInterrupt is the usual one) between any two steps of Python, also right behind a
wait that has taken events from the library, which would be lost then, those of other threads too. So events are moved
in steps that Python cannot interrupt, each of which leaves a trace of whether it was done, and `recover` does what is
left. The lead, too, is taken by one step that says who has it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from itertools import tee
from operator import itemgetter
from threading import get_ident
from time import monotonic
from typing import Callable, Final

from . import _table as c
from ._codes import EngineClosedError
from ._config import OptionValue
from ._engine import BATCH, Engine
from ._exchange import Exchange, Record, discard
from ._failures import failure
from ._ffi import held, lib
from ._records import EVENT
from ._request import Defaults

__all__ = ["SyncEngine"]

NO_EVENTS: Final = bytes(BATCH * EVENT.size)
TOKEN: Final = itemgetter(4)
END: Final[Record] = (0,) * 11
LEADER: Final = 0
# Seconds from being woken to having the GIL, of which a switch interval has 0.005.
LATE: Final = 0.004
NOBODY: Final = (None, threading.Lock(), 0)


class Inboxes(dict[int, "list[Record]"]):
    """By token. What belongs to nobody is thrown away."""

    def __init__(self) -> None:
        self.discarded: list[Record] = []

    def __missing__(self, token: int) -> list[Record]:
        return self.discarded


class SyncEngine(Engine):
    """An engine that has no thread of its own. Many threads of Python's may use it."""

    def __init__(self, options: Mapping[str, OptionValue], backend: int = 0) -> None:
        super().__init__({**options, "io_threads": 0}, backend)
        self.submit_packed, self.release = held.submit_packed, held.release
        self.wait: Callable[[int, int, int, int, int], int] = lib.queue_wait
        self.inboxes = Inboxes()
        #: Events on their way from `events` to the inboxes.
        self.batch: deque[Record] = deque()
        #: The first of the words of each event, which has its kind in it.
        self.kinds = self.window.cast("Q")[:: EVENT.size // 8]
        #: At LEADER the token of the exchange whose thread has the lead, or of whoever ends the engine.
        self.lead: dict[int, int] = {}
        #: Whose threads sleep, the locks that they sleep on, and which they are.
        self.followers: dict[int, tuple[Exchange, threading.Lock, int]] = {}
        #: Tokens of those who have mail and were not woken yet.
        self.called: deque[int] = deque()
        #: When somebody was woken last, and whether the last one who was got the GIL soon.
        self.woken = 0.0
        self.prompt = True
        #: The thread that runs the handlers of signals.
        self.main = threading.main_thread().ident
        #: Held while the queue is used without the lead, and while it is destroyed.
        self.mutex = threading.Lock()
        self.destroyed = False

    def register(self, exchange: Exchange) -> None:
        self.inboxes[exchange.token] = exchange.inbox = []

    def submit_plain(self, method: str, url: str, defaults: Defaults, collect: bool) -> Exchange | None:
        exchange = None
        try:
            # Other threads use the same templates.
            with self.guard:
                exchange = Engine.submit_plain(self, method, url, defaults, collect)
        except BaseException:
            # The end of the `with` statement is a call, in which a signal's handler may raise.
            if exchange is not None:
                self.abandon(exchange)
            raise
        return exchange

    def forget(self, token: int) -> None:
        self.inboxes.pop(token, None)

    def disown(self, exchange: Exchange) -> None:
        self.inboxes.pop(exchange.token, None)
        while exchange.inbox:
            record = exchange.inbox.pop(0)
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
            exchange.feed(inbox.pop(0))
        if exchange.done:
            del self.inboxes[exchange.token]

    def sleep(self, exchange: Exchange) -> None:
        token, inbox = exchange.token, exchange.inbox
        try:
            if self.lead.setdefault(LEADER, token) == token:
                while not inbox and not self.closed:
                    self.turn(token)
                if self.destroyed and not inbox:
                    raise EngineClosedError("the client was closed")
            else:
                self.follow(exchange)
        finally:
            # Nothing is called before the lead is let go of, so that no handler of a signal runs.
            if self.lead == {LEADER: token}:
                del self.lead[LEADER]
            if self.followers or self.closed:
                try:
                    self.hand_over(token)
                except BaseException:
                    # If that was a handler of a signal, the others still have to be told.
                    self.wake_all()
                    self.hand_over(token)
                    raise

    def follow(self, exchange: Exchange) -> None:
        """Sleep until whoever has the lead brings mail or lets go of it."""
        signal = threading.Lock()
        signal.acquire()
        self.followers[exchange.token] = exchange, signal, get_ident()
        # It may have happened before it could be told to us. A signal's handler runs while we wait.
        if self.lead and not exchange.inbox:
            signal.acquire()
            self.prompt = monotonic() - self.woken < LATE

    def hand_over(self, token: int) -> None:
        """Do not follow any more, and wake who is next: who has mail, or else somebody to take the lead. If the client
        was closed, end it."""
        self.followers.pop(token, None)
        if self.closed:
            self.end()
        if not self.wake_next() and not self.lead:
            for _, signal, _ in list(self.followers.values()):
                self.woken = monotonic()
                wake(signal)
                break

    def turn(self, token: int) -> None:
        """Let the library work, and bring what comes to the inboxes. For whoever has the lead and an empty inbox."""
        try:
            count = self.wait(self.queue, self.events_address, BATCH, EVENT.size, c.UNLIMITED)
            if count == 1 and (record := EVENT.unpack_from(self.events))[4] == token:
                self.inboxes[token].append(record)
                self.kinds[0] = 0
            elif count > 0:
                self.batch.extend(EVENT.iter_unpack(self.window[: count * EVENT.size]))
                self.window[: count * EVENT.size] = NO_EVENTS[: count * EVENT.size]
                came = list(map(TOKEN, self.batch))
                self.deliver()
                self.called.extend(came)
                self.wake_next()
        except BaseException:
            self.recover()
            raise
        if count < 0 and count not in (c.E_INTERRUPTED, c.E_ENGINE_DOWN):
            raise failure(count)
        if count == c.E_ENGINE_DOWN:
            self.closed = True

    def recover(self) -> None:
        """Finish what `turn` was interrupted in. An event has a kind, and is wiped out once it is on its way."""
        while self.batch and self.batch[-1] is END:
            self.batch.pop()
        # None is the last of its inbox but that of the leader's own, which goes there without a detour.
        found = [record for record in EVENT.iter_unpack(self.window) if record[0] and not self.has(record)]
        if found and list(self.batch) != found:
            self.batch.extend(found)
        self.window[:] = NO_EVENTS
        self.deliver()
        self.wake_all()

    def has(self, record: Record) -> bool:
        return self.inboxes[record[4]][-1:] == [record]

    def deliver(self) -> None:
        """Move `batch` to the inboxes: one call, in which no Python runs, and so no handler of a signal."""
        self.batch.append(END)
        tokens, records = tee(iter(self.batch.popleft, END))
        deque(map(list.append, map(self.inboxes.__getitem__, map(TOKEN, tokens)), records), maxlen=0)
        self.throw_away()

    def wake_next(self) -> bool:
        """Wake one of those who have mail, who does the same for the next one before it goes its way; where threads are
        late for the GIL, all of them. The main thread is not relied on: a signal's handler may hold it up. Whether
        there was anybody else.
        """
        found = False
        while self.called and not (found and self.prompt):
            try:
                token = self.called.popleft()
            except IndexError:
                break  # Another thread was quicker.
            exchange, signal, thread = self.followers.get(token, NOBODY)
            if exchange is not None and exchange.inbox:
                # In this order, in which `wake_all` finds whom a signal's handler kept from being woken.
                self.woken = monotonic()
                wake(signal)
                self.followers.pop(token, None)
                found = found or thread != self.main
        return found

    def wake_all(self) -> None:
        """Wake all who have mail: a signal's handler may have raised where one of them was to be woken."""
        for exchange, signal, _ in list(self.followers.values()):
            if exchange.inbox:
                wake(signal)

    def throw_away(self) -> None:
        discarded = self.inboxes.discarded
        while discarded:
            discard(discarded.pop())

    def after_fork(self) -> None:
        super().after_fork()
        self.mutex = threading.Lock()
        self.lead.clear()
        self.followers.clear()
        self.called.clear()

    def close(self) -> None:
        """End all exchanges and the engine. Threads that wait for one get `EngineClosedError`."""
        with self.guard:
            self.closed = True
        if self.forked:
            self.destroy()
            return
        self.end()
        with self.mutex:
            if not self.destroyed:
                # Whoever has the lead ends it.
                lib.queue_wakeup(self.queue)

    def end(self) -> None:
        """End the engine, unless somebody has the lead, who does it then. The last events come to the inboxes."""
        token = next(self.tokens)
        try:
            if self.lead.setdefault(LEADER, token) == token and not self.destroyed:
                self.destroy()
                while (count := self.drain_events()) > 0:
                    for record in EVENT.iter_unpack(self.window[: count * EVENT.size]):
                        self.inboxes[record[4]].append(record)
                self.throw_away()
                with self.mutex:
                    self.destroyed = True
                    self.destroy_queue()
                for _, signal, _ in list(self.followers.values()):
                    wake(signal)
        finally:
            if self.lead == {LEADER: token}:
                del self.lead[LEADER]


def wake(signal: threading.Lock) -> None:
    try:
        signal.release()
    except RuntimeError:
        pass  # Somebody else did.
