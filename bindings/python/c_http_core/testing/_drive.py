"""The engines of clients on a mock, which has no descriptor: they play the servers, too, and let time pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .._async import AsyncEngine, Loop, wake_later
from .._codes import BadStateError
from .._engine import BATCH
from .._failures import failure
from .._ffi import lib
from .._records import EVENT
from .._sync import SyncEngine

if TYPE_CHECKING:
    from .._config import OptionValue
    from .._exchange import Exchange

__all__ = ["AsyncMockEngine", "SyncMockEngine"]

# How many times all tasks that are ready get their turn before time passes. A task that goes on may wake one that
# wakes another one, and so on.
TURNS = 50
# Seconds between two looks when nothing will ever come of itself.
IDLE = 0.001


class Network(Protocol):
    """What is needed of the network."""

    def play(self) -> bool:
        """Let the servers answer. False: they have nothing to say."""

    def pass_time(self) -> bool:
        """Let time pass to what happens next. False: nothing ever will."""


class SyncMockEngine(SyncEngine):
    def __init__(self, options: dict[str, OptionValue], network: Network, mock: int) -> None:
        super().__init__(options, mock)
        self.network = network
        self.wait = self.play

    def play(self, queue: int, events: int, room: int, size: int, _: int) -> int:
        """In the place of `chttp_queue_wait`."""
        while True:
            count = lib.queue_drain(queue, events, room, size)
            if count:
                return count
            if not self.network.play() and not self.network.pass_time():
                raise BadStateError("nothing would ever come: no answer, no timer and no time-out is left")


class AsyncMockEngine(AsyncEngine):
    def __init__(self, options: dict[str, OptionValue], loop: Loop, network: Network, mock: int) -> None:
        super().__init__({**options, "io_threads": 0}, loop, mock)
        self.network = network
        self.is_playing = False

    def register(self, exchange: Exchange) -> None:
        super().register(exchange)
        if not self.is_playing:
            self.is_playing = True
            self.player = self.loop.spawn(self.play)

    async def play(self) -> None:
        """A task, as long as an exchange is under way."""
        turns = 0
        pause = 0.0
        try:
            while self.exchanges:
                await self.loop.sleep(pause)
                pause = 0.0
                if self.closed:
                    # Its queue is gone.
                    return
                count = lib.queue_drain(self.queue, self.events_address, BATCH, EVENT.size)
                if count < 0:
                    self.fail(failure(count))
                elif count:
                    wake_later(self.hand_out(count))
                    turns = 0
                elif self.network.play():
                    turns = 0
                elif turns < TURNS:
                    turns += 1
                elif not self.network.pass_time():
                    pause = IDLE
        finally:
            self.is_playing = False
