"""A callback of the loop goes on itself with the tasks whose answers have come, and they must not notice."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import time
import weakref
from collections.abc import Awaitable
from typing import Any, Callable

import pytest

from c_http_core import AsyncClient
from c_http_core.errors import EngineClosedError
from conftest import LONG, LOOPS

NUMBER: contextvars.ContextVar[int] = contextvars.ContextVar("NUMBER")
Main = Callable[[], Awaitable[None]]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Main], None]:
    pytest.importorskip(request.param)
    return LOOPS[request.param]


def tasks_of(*coroutines: Any) -> list[asyncio.Task[Any]]:
    return [asyncio.ensure_future(coroutine) for coroutine in coroutines]


async def let_answers_gather(client: AsyncClient, count: int) -> None:
    """Hold up the loop until so many answers are there, so that it finds them all in one batch."""
    await asyncio.sleep(0)
    until = time.monotonic() + LONG
    while client.stats()["succeeded"] < count:
        assert time.monotonic() < until
        time.sleep(0.001)


@pytest.mark.parametrize("io_threads", [0, 1])
def test_it_is_the_current_task_in_its_own_context(url: str, run: Callable[[Main], None], io_threads: int) -> None:
    async def ask(client: AsyncClient, number: int) -> None:
        NUMBER.set(number)
        task = asyncio.current_task()
        for _ in range(5):
            answer = await client.get(f"{url}/bytes/{number}")
            assert len(answer.content) == number == NUMBER.get()
            assert asyncio.current_task() is task

    async def main() -> None:
        async with AsyncClient(options={"io_threads": io_threads}) as client:
            await asyncio.gather(*(ask(client, number) for number in range(20)))

    run(main)


# It works on while a test holds up the loop, so that answers gather.
THREAD = {"io_threads": 1}


def test_one_may_cancel_another_of_its_batch(url: str, run: Callable[[Main], None]) -> None:
    async def main() -> None:
        async with AsyncClient(base_url=url, options=THREAD) as client:

            async def ask(others: Callable[[], None]) -> int:
                answer = await client.get("/")
                others()
                return answer.status_code

            def cancel() -> None:
                for task in tasks[1:]:
                    task.cancel()

            tasks = tasks_of(ask(cancel), ask(cancel), ask(cancel))
            await let_answers_gather(client, 3)
            await asyncio.wait(tasks)
            assert tasks[0].result() == 200
            assert [task.cancelled() for task in tasks] == [False, True, True]
            assert client.stats()["exchanges"] == 0

    run(main)


def test_one_may_close_the_client_of_its_batch(url: str, run: Callable[[Main], None]) -> None:
    async def main() -> None:
        client = AsyncClient(base_url=url, options=THREAD)

        async def ask() -> int:
            answer = await client.get("/")
            await client.aclose()
            return answer.status_code

        tasks = tasks_of(ask(), ask(), ask())
        hanging = tasks_of(client.get("/hang"))
        await let_answers_gather(client, 3)
        assert await asyncio.gather(*tasks) == [200, 200, 200]
        with pytest.raises(EngineClosedError):
            await hanging[0]

    run(main)


def test_an_interrupt_in_one_loses_none_of_its_batch(url: str, run: Callable[[Main], None]) -> None:
    """KeyboardInterrupt is not the task's alone: it leaves the loop, from inside of the callback."""
    ends: list[str] = []

    async def main() -> None:
        async with AsyncClient(base_url=url, options=THREAD) as client:

            async def ask(name: str) -> None:
                try:
                    await client.get("/")
                    ends.append(name)
                    if name == "first":
                        raise KeyboardInterrupt
                except asyncio.CancelledError:
                    ends.append(f"{name} cancelled")

            tasks = tasks_of(ask("first"), ask("second"), ask("third"))
            await let_answers_gather(client, 3)
            await asyncio.wait(tasks)

    with pytest.raises(KeyboardInterrupt):
        run(main)
    # What ends the loop also cancels its tasks.
    assert ends[0] == "first"
    assert sorted(end.split()[0] for end in ends) == ["first", "second", "third"]


def test_nothing_keeps_a_task_that_is_over(url: str, run: Callable[[Main], None]) -> None:
    async def main() -> None:
        async with AsyncClient(base_url=url) as client:
            gc.collect()
            gc.disable()
            try:
                task = asyncio.ensure_future(client.get("/"))
                answer = await task
                gone = weakref.ref(task)
                del task
                # The loop holds what it is in the middle of calling.
                await asyncio.sleep(0)
                assert gone() is None
                assert answer.status_code == 200
            finally:
                gc.enable()

    run(main)


def test_a_time_out_ends_the_wait(url: str, run: Callable[[Main], None]) -> None:
    async def main() -> None:
        async with AsyncClient(base_url=url) as client:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.get("/hang"), 0.01)
            assert (await client.get("/")).status_code == 200
            assert client.stats()["exchanges"] == 0

    run(main)


def test_another_loop_is_refused_while_a_task_goes_on_inside_of_the_callback(url: str, run: Any) -> None:
    """There the loop is taken for granted, but not on other threads."""
    refused: list[BaseException] = []

    async def main() -> None:
        async with AsyncClient() as client:

            async def elsewhere() -> None:
                try:
                    await client.get(f"{url}/")
                except RuntimeError as error:
                    refused.append(error)

            hanging = asyncio.ensure_future(client.get(f"{url}/hang"))
            await asyncio.sleep(0)
            await client.get(f"{url}/")
            assert client._engine is not None and client._engine.inside == threading.get_ident()
            thread = threading.Thread(target=asyncio.run, args=(elsewhere(),))
            thread.start()
            thread.join(LONG)
            assert (await client.get(f"{url}/")).status_code == 200
            hanging.cancel()
            await asyncio.gather(hanging, return_exceptions=True)
            await asyncio.sleep(0)
            assert client._engine.inside == 0

    run(main)
    assert [str(error) for error in refused] == ["the client is in use in another event loop"]
