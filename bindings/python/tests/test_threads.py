"""One sync client on many threads, and signals in the middle."""

from __future__ import annotations

import random
import signal
import threading
import time
from typing import Any

import pytest

import c_http_core
from c_http_core import Client, Limits
from c_http_core import _table as c
from c_http_core._exchange import Exchange
from c_http_core._records import EVENT
from c_http_core._sync import END, SyncEngine
from conftest import LONG, python


def in_threads(count: int, work: Any) -> list[Any]:
    """What `work(n)` answers, each on a thread of its own; an exception is an answer, too."""
    results: list[Any] = [None] * count

    def one(n: int) -> None:
        try:
            results[n] = work(n)
        except BaseException as error:
            results[n] = error

    threads = [threading.Thread(target=one, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LONG)
        assert not thread.is_alive()
    return results


def test_shared(url: str) -> None:
    with Client(limits=Limits(max_connections_per_host=5)) as client:

        def work(n: int) -> int:
            total = 0
            for i in range(20):
                if (n + i) % 5 == 0:
                    with client.stream("GET", f"{url}/bytes/300000") as response:
                        total += sum(map(len, response.iter_bytes()))
                elif (n + i) % 5 == 1:
                    total += len(client.post(f"{url}/echo", content=iter([b"x" * 100_000])).content)
                else:
                    total += len(client.get(f"{url}/bytes/{n}").content)
            return total

        expected = [4 * 300_000 + 4 * 100_000 + 12 * n for n in range(16)]
        assert in_threads(16, work) == expected
        stats = client.stats()
        assert (stats["exchanges"], stats["succeeded"]) == (0, 320)
        assert client._engine is not None and not client._engine.inboxes and not client._engine.followers


def test_waiting_leaves_the_others_alone(url: str) -> None:
    """Whoever waits does not hold the GIL, and the lead goes on to others."""
    with Client() as client:
        done = threading.Event()

        def hang() -> None:
            with pytest.raises(c_http_core.errors.EngineClosedError):
                client.get(f"{url}/hang")
            done.set()

        thread = threading.Thread(target=hang)
        thread.start()
        while not client._engine or not client._engine.lead:
            time.sleep(0.001)
        for _ in range(50):
            assert client.get(f"{url}/").status_code == 200
    assert done.wait(LONG)
    thread.join(LONG)


def test_closing_while_others_wait(url: str) -> None:
    for _ in range(10):
        client = Client()

        def work(n: int, client: Client = client) -> Any:
            if n == 0:
                while not client._engine or client._engine.stats()["exchanges"] < 7:
                    time.sleep(0.001)
                return client.close()
            return client.get(f"{url}/hang")

        closer, *others = in_threads(8, work)
        assert closer is None
        assert all(isinstance(error, c_http_core.errors.EngineClosedError) for error in others)


def test_a_handler_that_does_not_raise(url: str) -> None:
    """PEP 475: a signal alone ends nothing."""
    seen: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
    main = threading.main_thread().ident
    assert main is not None
    stop = threading.Event()

    def send() -> None:
        while not stop.wait(0.005):
            signal.pthread_kill(main, signal.SIGUSR1)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        with Client() as client:
            assert client.get(f"{url}/drip/50/10").status_code == 200
            assert len(client.get(f"{url}/bytes/50000000").content) == 50_000_000
    finally:
        stop.set()
        thread.join(LONG)
        signal.signal(signal.SIGUSR1, before)
    assert len(seen) > 1


class Struck(Exception):
    """What the test's signal handler raises."""


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_handler_that_raises_at_any_moment(url: str) -> None:
    """Whoever is struck fails, nobody else does, and nothing is lost: other threads' events least of all."""
    struck = 0
    armed = False

    def strike(*_: object) -> None:
        nonlocal armed
        if armed:
            armed = False
            raise Struck

    before = signal.signal(signal.SIGUSR1, strike)
    main = threading.main_thread().ident
    assert main is not None
    stop = threading.Event()
    chance = random.Random(2)

    def send() -> None:
        while not stop.wait(chance.random() * 0.002):
            signal.pthread_kill(main, signal.SIGUSR1)

    served = [0] * 3

    def others(n: int) -> None:
        while not stop.is_set():
            assert len(client.get(f"{url}/bytes/{n}").content) == n
            served[n] += 1

    with Client() as client:
        client.get(f"{url}/")
        threads = [threading.Thread(target=others, args=(n,)) for n in range(3)]
        threads.append(threading.Thread(target=send))
        for thread in threads:
            thread.start()
        try:
            for n in range(600):
                try:
                    armed = True
                    if n % 3:
                        client.get(f"{url}/bytes/100")
                    else:
                        with client.stream("GET", f"{url}/chunked/50/1000") as response:
                            response.read()
                except Struck:
                    struck += 1
                finally:
                    armed = False
        finally:
            stop.set()
            for thread in threads:
                thread.join(LONG)
            signal.signal(signal.SIGUSR1, before)
        assert not any(thread.is_alive() for thread in threads)
        assert client.get(f"{url}/").status_code == 200
        assert client.stats()["exchanges"] == 0
        assert client._engine is not None and not client._engine.followers and not client._engine.lead
        assert not client._engine.inboxes and not client._engine.batch
    assert struck and all(served)


def test_keyboard_interrupt(url: str) -> None:
    program = """
import os, signal, sys, threading, time
import c_http_core
# Whoever runs the tests in the background may have it ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
client = c_http_core.Client()
assert client.stats()["exchanges"] == 0

def strike():
    # In the middle of the wait. Like any call that blocks, it does not notice a signal that comes in the instant
    # between Python's last look for one and the system call.
    while client.stats()["exchanges"] == 0:
        time.sleep(0.01)
    time.sleep(0.2)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=strike).start()
try:
    client.get(sys.argv[1] + "/hang")
except KeyboardInterrupt:
    assert client.get(sys.argv[1] + "/").status_code == 200
    assert client.stats()["exchanges"] == 0
    print("interrupted")
"""
    result = python(program, url)
    assert (result.returncode, result.stdout, result.stderr) == (0, "interrupted\n", "")


def test_whoever_has_mail_wakes_the_next_one() -> None:
    """One at a time, unless the GIL is hard to get; and the main thread, which a handler may hold up, not alone."""
    record = (c.EV_HEADERS, 0, 200, 1, 7, 0, 0, 0, 0, 0, 0)
    engine = SyncEngine({})
    main = threading.main_thread().ident
    assert main is not None

    def sleepers(*threads: int) -> list[threading.Lock]:
        engine.followers.clear()
        engine.called.clear()
        locks = []
        for token, thread in enumerate(threads):
            exchange = Exchange(engine, "GET", "", False)
            # Whoever has a thread of 0 has no mail, and is only said to have some.
            exchange.inbox = [record] if thread else []
            signal = threading.Lock()
            signal.acquire()
            engine.followers[token] = exchange, signal, thread
            engine.called.append(token)
            locks.append(signal)
        engine.called.append(len(threads))
        return locks

    def awake(locks: list[threading.Lock]) -> list[bool]:
        return [not lock.locked() for lock in locks]

    other = main + 1
    locks = sleepers(0, other, other)
    assert engine.wake_next() and awake(locks) == [False, True, False] and set(engine.followers) == {0, 2}
    assert engine.wake_next() and awake(locks) == [False, True, True] and set(engine.followers) == {0}
    assert not engine.wake_next() and not engine.called
    locks = sleepers(main, other, other)
    assert engine.wake_next() and awake(locks) == [True, True, False]
    locks = sleepers(main)
    assert not engine.wake_next() and awake(locks) == [True]
    engine.prompt = False
    locks = sleepers(other, 0, other)
    assert engine.wake_next() and awake(locks) == [True, False, True]
    locks = sleepers(other, 0, main)
    engine.wake_all()
    assert awake(locks) == [True, False, True]
    engine.followers.clear()
    engine.close()


def test_recovery_delivers_each_event_once() -> None:
    """Whichever step of moving events was the last that was made."""
    engine = SyncEngine({})
    inbox: list[Any] = []
    engine.inboxes[7] = inbox
    record = (c.EV_HEADERS, 0, 200, 1, 7, 0, 0, 0, 0, 0, 0)

    def filled() -> None:
        EVENT.pack_into(engine.events, 0, *record)

    def moved() -> None:
        filled()
        engine.batch.append(record)

    def wiped() -> None:
        engine.batch.append(record)

    def begun() -> None:
        engine.batch.extend([record, END])

    def ended() -> None:
        engine.batch.append(END)

    def straight() -> None:
        filled()
        inbox.append(record)

    for state, expected in ((filled, 1), (moved, 1), (wiped, 1), (begun, 1), (ended, 0), (straight, 1)):
        state()
        engine.recover()
        assert inbox == [record] * expected, state.__name__
        engine.recover()
        assert len(inbox) == expected and not engine.batch
        inbox.clear()
    engine.close()
