"""A client that was used before a fork, in the parent and in the child."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Callable

import pytest

import c_http_core
from c_http_core import AsyncClient, Client
from conftest import LONG, open_descriptors

#: One for the whole module, as applications have it that fork after they were loaded.
module_client = Client()
module_async_client = AsyncClient()


@pytest.fixture(scope="module", autouse=True)
def _in_the_end() -> Iterator[None]:
    yield
    module_client.close()
    asyncio.run(module_async_client.aclose())


def in_child(work: Callable[[], object]) -> None:
    """Run `work` in a forked child; it fails as the child does."""
    pid = os.fork()
    if pid == 0:
        # The child must not come back into pytest, whatever happens.
        try:
            signal.alarm(int(LONG))
            work()
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_client_goes_on_in_the_child(url: str) -> None:
    with Client() as client:
        assert client.get(f"{url}/").text == "hello\n"

        def work() -> None:
            response = client.get(f"{url}/")
            assert (response.text, response.connection.reused) == ("hello\n", False)
            assert client.get(f"{url}/").connection.reused
            client.close()

        for _ in range(3):
            in_child(work)
        assert client.get(f"{url}/").connection.reused, "the parent's connection was left alone"
        in_child(client.close)
        assert client.get(f"{url}/").connection.reused


def test_in_the_middle_of_an_exchange(url: str) -> None:
    """What the parent began is the parent's; what has come can be read."""
    with Client() as client, client.stream("GET", f"{url}/bytes/5000000") as response:
        pieces = response.iter_views()
        first = next(pieces)
        answer = client.get(f"{url}/bytes/100000")

        def work() -> None:
            assert len(answer.content) == 100_000 and len(bytes(first)) == len(first)
            with pytest.raises(c_http_core.ForkedError) as raised:
                for _ in pieces:
                    pass
            assert "fork" in str(raised.value)
            response.close()
            assert client.get(f"{url}/").status_code == 200
            gc.collect()

        in_child(work)
        assert len(first) + sum(map(len, pieces)) == 5_000_000


def test_async_client(url: str) -> None:
    async def one() -> bool:
        return (await module_async_client.get(f"{url}/")).connection.reused

    assert asyncio.run(one()) in (False, True)
    in_child(lambda: asyncio.run(one()))
    assert asyncio.run(one())

    async def forking() -> None:
        """The loop goes on in the parent; the child makes one of its own."""
        task = asyncio.ensure_future(module_async_client.get(f"{url}/delay/100"))
        await asyncio.sleep(0)
        thread = threading.Thread(target=in_child, args=(lambda: asyncio.run(one()),))
        thread.start()
        assert (await task).status_code == 200
        while thread.is_alive():
            await asyncio.sleep(0.01)

    asyncio.run(forking())


def fetch(url: str) -> str:
    return module_client.get(url).text


def test_multiprocessing(url: str) -> None:
    assert fetch(f"{url}/") == "hello\n"
    with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
        assert list(pool.map(fetch, [f"{url}/"] * 8, timeout=LONG)) == ["hello\n"] * 8
    assert fetch(f"{url}/") == "hello\n"


def test_a_lock_that_is_held_elsewhere(url: str) -> None:
    """The child comes out of a moment in which other threads of the parent wait, submit and hold locks."""
    stop = threading.Event()
    with Client() as client:

        def busy() -> None:
            while not stop.is_set():
                client.get(f"{url}/")

        threads = [threading.Thread(target=busy) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(20):
                in_child(lambda: client.get(f"{url}/").raise_for_status())
        finally:
            stop.set()
            for thread in threads:
                thread.join(LONG)


def test_a_stream_while_another_thread_waits(url: str) -> None:
    """The thread that has the lead is not there in the child, nor is what it would have brought."""
    with Client() as client, client.stream("GET", f"{url}/bytes/5000000") as response:
        pieces = response.iter_views()
        first = len(next(pieces))
        waiting = threading.Thread(target=client.get, args=(f"{url}/delay/2000",))
        waiting.start()
        while client.stats()["exchanges"] < 2:
            pass

        def work() -> None:
            with pytest.raises(c_http_core.ForkedError):
                for _ in pieces:
                    pass
            response.close()
            assert client.get(f"{url}/").status_code == 200
            client.close()

        in_child(work)
        assert first + sum(map(len, pieces)) == 5_000_000
        waiting.join(LONG)


def test_an_exchange_of_the_parents_loop(url: str) -> None:
    """In a loop of the child's, it says whose it is."""

    async def main() -> None:
        async with AsyncClient() as client, client.stream("GET", f"{url}/bytes/5000000") as response:
            views = response.aiter_views()
            first = await views.__anext__()

            async def on() -> None:
                with pytest.raises(c_http_core.ForkedError):
                    async for _ in views:
                        pass
                assert (await client.get(f"{url}/")).status_code == 200

            def work() -> None:
                # A loop runs on this thread as far as the child knows.
                with ThreadPoolExecutor(1) as other:
                    other.submit(asyncio.run, on()).result(LONG)

            in_child(work)
            assert len(first) + sum([len(view) async for view in views]) == 5_000_000

    asyncio.run(main())


def test_descriptors_of_the_parent_are_closed(url: str) -> None:
    """A child that goes on with a client has the descriptors of one engine, not of two."""
    with Client() as client:
        client.get(f"{url}/")
        gc.collect()
        before = open_descriptors()

        def work() -> None:
            client.get(f"{url}/")
            gc.collect()
            assert open_descriptors() == before

        in_child(work)
        assert client.get(f"{url}/").connection.reused


def test_nothing_is_left_in_the_parent(url: str) -> None:
    before = open_descriptors()
    with Client() as client:
        client.get(f"{url}/")
        in_child(lambda: client.get(f"{url}/"))
    assert open_descriptors() == before


# An application as gunicorn loads it before it forks, and its configuration, which speaks for the parent in the end.
APPLICATION = """
import asyncio, os
import c_http_core

url = os.environ["TEST_URL"]
client = c_http_core.Client()
async_client = c_http_core.AsyncClient()

async def ask():
    return (await async_client.get(url)).text

assert client.get(url).text == asyncio.run(ask()) == "hello\\n"

def application(environ, start_response):
    words = [str(os.getpid()), client.get(url).text.strip(), asyncio.run(ask()).strip()]
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [" ".join(words).encode()]
"""

CONFIGURATION = """
def on_exit(server):
    import application
    print("parent:", application.client.get(application.url).connection.reused, flush=True)
"""


def test_gunicorn_with_preload(url: str, tmp_path: Path) -> None:
    """Clients that were used in the parent serve in each worker, and in the parent as before."""
    pytest.importorskip("gunicorn")
    (tmp_path / "application.py").write_text(APPLICATION)
    (tmp_path / "configuration.py").write_text(CONFIGURATION)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        descriptor = listener.fileno()
        command = [sys.executable, "-m", "gunicorn", "--preload", "--workers=2", "--log-level=warning"]
        command += [f"--bind=fd://{descriptor}", "--config=configuration.py", "application"]
        environment = {**os.environ, "TEST_URL": f"{url}/"}
        pipe = subprocess.PIPE
        server = subprocess.Popen(
            command, env=environment, cwd=tmp_path, pass_fds=[descriptor], stdout=pipe, stderr=pipe, text=True
        )
        workers: set[str] = set()
        try:
            with Client(timeout=LONG) as client:
                began = time.monotonic()
                while len(workers) < 2:
                    assert time.monotonic() - began < LONG and server.poll() is None
                    worker, *answers = client.get(address, close_connection=True).text.split()
                    assert answers == ["hello", "hello"]
                    workers.add(worker)
        finally:
            server.terminate()
            output, complaints = server.communicate(timeout=LONG)
    assert (server.returncode, output, complaints) == (0, "parent: True\n", "")
    assert str(server.pid) not in workers
