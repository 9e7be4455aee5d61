"""The mock for unit tests of programs, under both clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import c_http_core
from c_http_core import AsyncClient, Client, Limits, Response, Timeout
from c_http_core.errors import (
    BadStateError,
    ClosedBeforeHeadError,
    ConnectRefusedError,
    NameNotFoundError,
    TruncatedBodyError,
)
from c_http_core.testing import MockNetwork, MockRequest, Reply, UnexpectedRequest
from conftest import Run, run_trio

API = "http://api.test"
HOUR = 3600.0


@pytest.fixture
def network() -> Iterator[MockNetwork]:
    with MockNetwork() as network:
        yield network


def echo(request: MockRequest) -> Reply:
    return Reply(content=request.content, headers={"X-Method": request.method})


def test_routes(network: MockNetwork) -> None:
    network.route("GET", f"{API}/names", Reply(json=["Ada"]))
    network.route("GET", f"{API}/names?page=2", Reply(json=["Bob"]))
    network.route("*", f"{API}/echo/*", echo)
    network.route("GET", "http://[::1]:8080", Reply(204))
    with Client(backend=network, base_url=API, headers={"X-Tag": "1"}) as client:
        answer = client.get("/names")
        assert (answer.json(), answer.headers["content-type"]) == (["Ada"], "application/json")
        # The first route that fits is taken, and one without a query fits all.
        assert client.get("/names", params={"page": 2}).json() == ["Ada"]
        assert client.put("/echo/1", content=b"x" * 200_000).content == b"x" * 200_000
        assert client.head("/echo/2").headers["x-method"] == "HEAD"
        assert client.get("http://[::1]:8080/").status_code == 204
        assert client.get("http://API.test:80/names").status_code == 200
        assert client.get("/names").connection.reused
    assert network.connections == 2
    first = network.requests[0]
    assert (first.method, first.url, first.content, first.connection) == ("GET", f"{API}/names", b"", 0)
    assert (first.headers["host"], first.headers["x-tag"]) == ("api.test", "1")
    assert network.requests[1].url == f"{API}/names?page=2"
    assert network.sent(0).startswith(b"GET /names HTTP/1.1\r\n")
    with pytest.raises(IndexError):
        network.sent(2)
    assert network.time == 0


@pytest.mark.parametrize("content", [b"bytes", [b"ab", b"", b"c" * 70_000], [b"x"] * 3])
@pytest.mark.parametrize("announced", [False, True])
def test_uploads(network: MockNetwork, content: Any, announced: bool) -> None:
    network.route("POST", f"{API}/", echo)
    whole = content if isinstance(content, bytes) else b"".join(content)
    headers = {"Content-Length": str(len(whole))} if announced else {}
    body = content if isinstance(content, bytes) else iter(content)
    with Client(backend=network) as client:
        assert client.post(f"{API}/", content=body, headers=headers).content == whole
        assert client.post(f"{API}/", content=whole, expect_continue=True).content == whole
        assert client.get(f"{API}/", headers={}).status_code == 501
    assert [request.content for request in network.requests] == [whole, whole, b""]
    assert isinstance(network.failures.pop(), UnexpectedRequest)


def test_answers_in_turn(network: MockNetwork) -> None:
    network.route("GET", f"{API}/", Reply(503), Reply.reset(), lambda request: Reply(content="late", delay=HOUR))
    with Client(backend=network) as client:
        assert client.get(f"{API}/").status_code == 503
        # A kept connection that dies is no failure for a GET, which is sent again.
        assert client.get(f"{API}/", timeout=None).text == "late"
        assert client.get(f"{API}/", timeout=None).text == "late"
    assert network.time == 2 * HOUR


def test_how_it_comes(network: MockNetwork) -> None:
    network.route("GET", f"{API}/split", Reply(content=b"0123456789", split=3))
    network.route("GET", f"{API}/slow", Reply(content=b"0123456789", split=10, pause=1.0))
    network.route("GET", f"{API}/chunks", Reply(content=[b"one", b"two"], pause=60.0))
    network.route("GET", f"{API}/close", Reply(content=b"x", close=True))
    network.route("GET", f"{API}/raw", Reply.raw(b"HTTP/1.0 200 OK\r\n\r\nto the end", split=1, close=True))
    with Client(backend=network) as client:
        assert client.get(f"{API}/split").content == b"0123456789"
        assert network.time == 0
        assert client.get(f"{API}/slow").content == b"0123456789"
        assert 3 <= network.time < 30
        before = network.time
        with client.stream("GET", f"{API}/chunks") as response:
            assert list(response.iter_bytes()) == [b"one", b"two"]
        # And the last chunk, which is empty.
        assert network.time - before == pytest.approx(120)
        assert client.get(f"{API}/close").headers["connection"] == "close"
        assert client.get(f"{API}/raw").content == b"to the end"
    assert network.connections == 2


def test_failures_of_the_network(network: MockNetwork) -> None:
    network.refuse("http://down.test")
    network.hang("http://dead.test")
    network.accept("http://far.test", delay=5.0)
    network.route("GET", "http://far.test/", Reply())
    network.refuse("http://once.test", times=1)
    network.route("GET", "http://once.test/", Reply())
    network.route("POST", f"{API}/reset", Reply.reset())
    network.route("POST", f"{API}/end", Reply.end(delay=1.0))
    network.route("POST", f"{API}/cut", Reply(content=b"0123456789", cut=4))
    network.route("POST", f"{API}/silence", Reply.silence())
    with Client(backend=network) as client:
        with pytest.raises(ConnectRefusedError):
            client.get("http://down.test/")
        with pytest.raises(NameNotFoundError):
            client.get("http://unknown.test/")
        with pytest.raises(c_http_core.ConnectTimeout):
            client.get("http://dead.test/", timeout=Timeout(connect=HOUR))
        assert network.time == pytest.approx(HOUR, abs=1)
        assert client.get("http://far.test/").timing.connect_took == pytest.approx(5.0, abs=0.1)
        with pytest.raises(ConnectRefusedError):
            client.get("http://once.test/")
        assert client.get("http://once.test/").status_code == 200
        with pytest.raises(c_http_core.NetworkError):
            client.post(f"{API}/reset")
        with pytest.raises(ClosedBeforeHeadError):
            client.post(f"{API}/end")
        with client.stream("POST", f"{API}/cut") as response, pytest.raises(c_http_core.TransportError) as caught:
            assert response.read() == b""
        assert isinstance(caught.value, (TruncatedBodyError, c_http_core.NetworkError))
        with pytest.raises(c_http_core.ReadTimeout):
            client.post(f"{API}/silence", timeout=Timeout(read=HOUR))
        with pytest.raises(BadStateError, match="nothing would ever come"):
            client.post(f"{API}/silence", timeout=None)
        # A client that had to give up goes on.
        assert client.get("http://once.test/").status_code == 200


def test_a_full_pool(network: MockNetwork) -> None:
    network.route("GET", f"{API}/", Reply(delay=10.0))

    async def main() -> None:
        async with AsyncClient(backend=network, limits=Limits(max_connections_per_host=1)) as client:
            answers = await asyncio.gather(*(client.get(f"{API}/") for _ in range(3)))
            assert [answer.status_code for answer in answers] == [200] * 3

    asyncio.run(main())
    assert (network.connections, network.time) == (1, 30.0)


def test_what_is_told_at_the_end() -> None:
    with pytest.raises(UnexpectedRequest, match=r"there is no route for GET http://api\.test/other"):
        with MockNetwork() as network:
            network.route("GET", f"{API}/", Reply())
            with Client(backend=network) as client:
                answer = client.get(f"{API}/other")
                assert (answer.status_code, "no route" in answer.text) == (501, True)

    def wrong(request: MockRequest) -> Reply:
        raise ValueError(f"not {request.method}")

    with pytest.raises(ValueError, match="not GET"):
        with MockNetwork() as network, Client(backend=network) as client:
            network.route("GET", f"{API}/", wrong)
            assert client.get(f"{API}/").status_code == 501
    # What the block itself raises comes first.
    with pytest.raises(ZeroDivisionError):
        with MockNetwork() as network, Client(backend=network) as client:
            network.route("GET", f"{API}/", wrong)
            client.get(f"{API}/")
            raise ZeroDivisionError


def test_wrong_arguments(network: MockNetwork) -> None:
    for url in ("ftp://api.test/", "/path", "api.test"):
        with pytest.raises(ValueError, match="must begin with http://"):
            network.route("GET", url, Reply())
    with pytest.raises(TypeError):
        network.route("GET", API)
    with pytest.raises(TypeError):
        Reply(json=1, content=b"x")
    for wrong in ({"status": 100}, {"delay": -1}, {"split": -1}, {"cut": -1}):
        with pytest.raises(ValueError):
            Reply(**wrong)  # type: ignore[arg-type]
    with Client(backend=network) as one, Client(backend=network) as two:
        one.stats()
        with pytest.raises(c_http_core.HTTPError, match="it has an engine"):
            two.stats()


def test_async(network: MockNetwork, run: Run[None]) -> None:
    network.route("GET", f"{API}/now", Reply(content="now"))
    network.route("GET", f"{API}/later", Reply(content="later", delay=HOUR))
    network.route("GET", f"{API}/chunks", Reply(content=[b"x" * 1000] * 10, pause=1.0))
    network.route("POST", f"{API}/echo", echo)
    network.route("GET", f"{API}/silence", Reply.silence())
    network.refuse("http://down.test")

    async def pieces() -> AsyncIterator[bytes]:
        for number in range(3):
            yield b"%d" % number

    async def main() -> None:
        async with AsyncClient(backend=network, base_url=API) as client:
            assert (await client.get("/now")).text == "now"
            assert network.time == 0
            assert (await client.get("/later", timeout=None)).text == "later"
            assert network.time == HOUR
            async with client.stream("GET", "/chunks") as response:
                assert len(await response.aread()) == 10_000
            assert network.time == HOUR + 10
            assert (await client.post("/echo", content=pieces())).content == b"012"
            with pytest.raises(c_http_core.ReadTimeout):
                await client.get("/silence", timeout=Timeout(read=HOUR))
            with pytest.raises(ConnectRefusedError):
                await client.get("http://down.test/")
            assert client.stats()["exchanges"] == 0
        assert (await again(network)).text == "now"

    async def again(network: MockNetwork) -> Response:
        async with AsyncClient(backend=network) as client:
            return await client.get(f"{API}/now")

    run(main)


def test_an_answer_waits_until_all_tasks_had_their_turn(network: MockNetwork) -> None:
    """Time does not pass while one task after the other goes on."""
    network.route("GET", f"{API}/slow", Reply(delay=10.0))
    network.route("GET", f"{API}/fast", Reply(delay=9.0))
    ends: list[str] = []

    async def main() -> None:
        async with AsyncClient(backend=network) as client:

            async def ask(path: str, hops: int) -> None:
                for _ in range(hops):
                    await asyncio.sleep(0)
                await client.get(f"{API}/{path}")
                ends.append(path)

            await asyncio.gather(ask("slow", 0), ask("fast", 20))

    asyncio.run(main())
    assert (ends, network.time) == (["fast", "slow"], 10.0)


def test_cancel(network: MockNetwork) -> None:
    network.route("GET", f"{API}/silence", Reply.silence())
    network.route("GET", f"{API}/", Reply())

    async def main() -> None:
        async with AsyncClient(backend=network) as client:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.get(f"{API}/silence", timeout=None), 0.01)
            assert (await client.get(f"{API}/")).status_code == 200
            assert client.stats()["exchanges"] == 0

    asyncio.run(main())


def test_trio_ends_in_the_middle(network: MockNetwork) -> None:
    trio = pytest.importorskip("trio")
    network.route("GET", f"{API}/silence", Reply.silence())

    async def main() -> None:
        async with AsyncClient(backend=network) as client:
            with trio.move_on_after(0.01):
                await client.get(f"{API}/silence", timeout=None)

    run_trio(main)
