"""What the tests of fork fetch with, in parents and children."""

from __future__ import annotations

import select

from test_ctypes import EF_TERMINAL, LIB, REQ_COLLECT, Client, Event, call, request

# No wait takes as long, however slow the machine is.
GUARD_S = 60


class Fetcher(Client):
    """A client that fetches many URLs at a time, on one thread at a time."""

    def reset(self) -> None:
        """In a forked child: an engine of its own, and another descriptor."""
        call(LIB.chttp_engine_reset_after_fork, self.engine)
        self.fd = LIB.chttp_queue_fd(self.queue)
        assert self.fd >= 0

    def fetch(self, urls: list[str]) -> list[int]:
        """Lengths of the answers."""
        lengths, left = [-1] * len(urls), len(urls)

        def take(event: Event) -> None:
            nonlocal left
            if event.flags & EF_TERMINAL:
                assert (event.error, event.arg) == (0, 200), LIB.chttp_error_name(event.error)
                lengths[event.token] = event.len
                left -= 1

        self.submit([request(url, flags=REQ_COLLECT, token=i) for i, url in enumerate(urls)])
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        while left:
            assert poll.poll(GUARD_S * 1000), "nothing came"
            self.drain(take)
        return lengths
