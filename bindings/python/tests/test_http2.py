"""HTTP/2, against hypercorn: by ALPN and by prior knowledge, many requests at a time, bodies both ways."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from c_http_core import AsyncClient, Client, Limits, errors
from conftest import LONG, Run, ServerProcess, TLSServers, run_asyncio


class HTTP2Server:
    def __init__(self, streams: int) -> None:
        program = Path(__file__).with_name("http2_server.py")
        self.process = ServerProcess(sys.executable, program, str(streams))
        secure, plain = self.process.ports
        self.secure, self.plain = f"https://localhost:{secure}", f"http://127.0.0.1:{plain}"


@pytest.fixture(scope="module")
def server() -> Iterator[HTTP2Server]:
    server = HTTP2Server(100)
    yield server
    server.process.stop()


@pytest.fixture(scope="module")
def strict() -> Iterator[HTTP2Server]:
    """Few streams at a time."""
    server = HTTP2Server(5)
    yield server
    server.process.stop()


def test_version_is_opt_in(server: HTTP2Server, tls_servers: TLSServers) -> None:
    ca = tls_servers.ca
    with Client(verify=ca) as client:
        response = client.get(server.secure)
        assert (response.text, response.http_version) == ("1.1", "HTTP/1.1")
    with Client(verify=ca, http2=True) as client:
        response = client.get(server.secure)
        assert (response.text, response.http_version) == ("2", "HTTP/2")
        assert response.reason_phrase == "" and response.tls is not None and response.tls.alpn == "h2"
        # A server without it, and http.
        assert client.get(tls_servers.url()).http_version == "HTTP/1.1"
        assert client.get(server.plain).http_version == "HTTP/1.1"
    with Client(verify=ca, http1=False, http2=True) as client:
        assert client.get(server.secure).http_version == "HTTP/2"
        assert client.get(server.plain).http_version == "HTTP/2"
        with pytest.raises((errors.H2NotSpokenError, errors.TLSALPNError)):
            client.get(tls_servers.url())
    with pytest.raises(ValueError, match="no version"):
        Client(http1=False)


def test_bodies(server: HTTP2Server) -> None:
    with Client(http1=False, http2=True, base_url=server.plain) as client:
        assert len(client.get("/bytes/5000000").content) == 5_000_000
        assert client.post("/count", content=b"y" * 3_000_000).text == "3000000"
        assert client.post("/count", content=(b"z" * 10_000 for _ in range(50))).text == "500000"
        with client.stream("GET", "/bytes/1000000") as response:
            assert sum(len(piece) for piece in response.iter_bytes()) == 1_000_000
        with client.stream("GET", "/bytes/1000000") as response:
            assert len(next(response.iter_bytes())) > 0
        assert client.get("/").http_version == "HTTP/2"


def test_threads_share_a_connection(server: HTTP2Server) -> None:
    texts: list[str] = []
    with Client(http1=False, http2=True, base_url=server.plain, limits=Limits(max_connections=1)) as client:

        def work() -> None:
            texts.extend(client.get("/").text for _ in range(20))

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert texts == ["2"] * 160


def test_each_loop(server: HTTP2Server, tls_servers: TLSServers, run: Run[None]) -> None:
    async def main() -> None:
        async with AsyncClient(verify=tls_servers.ca, http2=True, base_url=server.secure) as client:
            assert (await client.get("/")).http_version == "HTTP/2"
            async with client.stream("GET", "/bytes/300000") as response:
                assert len(await response.aread()) == 300_000
            again = await client.post("/count", content=b"x" * 200_000)
            assert again.text == "200000" and again.connection.reused

    run(main)


def test_many_at_a_time(server: HTTP2Server, tls_servers: TLSServers) -> None:
    async def main() -> None:
        async with AsyncClient(verify=tls_servers.ca, http2=True, base_url=server.secure) as client:
            for _ in range(5):
                answers = await asyncio.gather(*(client.get("/bytes/1000") for _ in range(100)))
                assert all(len(answer.content) == 1000 and answer.http_version == "HTTP/2" for answer in answers)
                assert len({answer.connection.local for answer in answers}) == 1

    run_asyncio(main)


def test_few_streams(strict: HTTP2Server, tls_servers: TLSServers) -> None:
    async def main() -> None:
        async with AsyncClient(verify=tls_servers.ca, http2=True, base_url=strict.secure) as client:
            # This server ends a connection for streams beyond its limit that were begun before it was known.
            assert (await client.get("/")).status_code == 200
            answers = await asyncio.gather(*(client.post("/count", content=b"x" * 1000) for _ in range(100)))
            assert [answer.text for answer in answers] == ["1000"] * 100
            assert len({answer.connection.local for answer in answers}) > 1

    run_asyncio(main)


def test_websockets(server: HTTP2Server, tls_servers: TLSServers) -> None:
    with Client(verify=tls_servers.ca, http1=False, http2=True) as client:
        assert client.get(server.secure).http_version == "HTTP/2"
        url = server.secure.replace("https", "wss")
        with (
            client.websocket(url, http2=True) as one,
            client.websocket(url, http2=True) as two,
        ):
            for there in (one, two, one):
                there.send("text \u20ac")
                there.send(bytes(300_000))
                assert there.recv(timeout=LONG) == "text \u20ac"
                assert there.recv(timeout=LONG) == bytes(300_000)
            assert one.response.status_code == 200 and one.response.http_version == "HTTP/2"
            assert client.get(server.secure).connection.reused
            assert client.stats()["connections"] == 1
        assert one.close_code == two.close_code == 1000


def test_websockets_that_are_not_allowed(tls_servers: TLSServers) -> None:
    # It speaks no HTTP/2 at all.
    url = tls_servers.url().replace("https", "wss")
    with (
        Client(verify=tls_servers.ca, http2=True) as client,
        pytest.raises((errors.H2NotSpokenError, errors.TLSALPNError)),
        client.websocket(url, http2=True),
    ):
        raise AssertionError("it was opened")
