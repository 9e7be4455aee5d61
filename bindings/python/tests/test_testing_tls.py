"""https on the mock for unit tests: real handshakes, with certificates of the network's own authority."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

import c_http_core
from c_http_core import AsyncClient, Client, TLSContext, errors
from c_http_core.testing import MockNetwork, MockRequest, Reply
from conftest import Run

API = "https://api.test"


@pytest.fixture
def network() -> Iterator[MockNetwork]:
    with MockNetwork() as network:
        yield network


def echo(request: MockRequest) -> Reply:
    return Reply(content=request.content)


def test_routes(network: MockNetwork) -> None:
    network.route("GET", f"{API}/names", Reply(json=["Ada"]))
    network.route("GET", "http://api.test/names", Reply(301, headers={"Location": f"{API}/names"}))
    network.route("POST", f"{API}/echo", echo)
    network.route("GET", "https://[2001:db8::1]:8443/", Reply(204))
    network.route("GET", "https://192.0.2.1/", Reply(content=b"0123456789", split=3))
    with Client(backend=network) as client:
        moved = client.get("http://api.test/names")
        assert (moved.headers["location"], moved.tls) == (f"{API}/names", None)
        answer = client.get(f"{API}/names")
        assert answer.json() == ["Ada"]
        assert answer.tls is not None
        assert (answer.tls.version, answer.tls.alpn, answer.tls.resumed) == ("TLSv1.3", "http/1.1", False)
        assert client.post(f"{API}/echo", content=b"x" * 200_000).content == b"x" * 200_000
        assert client.get("https://API.test:443/names").connection.reused
        assert client.get("https://[2001:db8::1]:8443/").status_code == 204
        assert client.get("https://192.0.2.1/").content == b"0123456789"
    urls = [request.url for request in network.requests]
    assert urls[:3] == ["http://api.test/names", f"{API}/names", f"{API}/echo"]
    assert urls[4:] == ["https://[2001:db8::1]:8443/", "https://192.0.2.1/"]
    assert network.sent(1).startswith(b"GET /names HTTP/1.1\r\n")
    assert network.connections == 4


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"expired": True}, errors.TLSCertExpiredError),
        ({"not_yet_valid": True}, errors.TLSCertNotYetValidError),
        ({"unknown_ca": True}, errors.TLSCertUnknownCAError),
        ({"name": "other.test"}, errors.TLSCertNameError),
        ({"alert": 40}, errors.TLSAlertError),
        ({"alert": 70}, errors.TLSIncompatibleError),
        ({"alpn": "spdy/3"}, errors.TLSALPNError),
    ],
)
def test_handshakes_that_fail(network: MockNetwork, how: dict[str, Any], expected: type[Exception]) -> None:
    network.tls(f"{API}/", times=1, **how)
    network.route("GET", f"{API}/", Reply())
    with Client(backend=network) as client:
        with pytest.raises(expected) as caught:
            client.get(f"{API}/")
        assert isinstance(caught.value, c_http_core.ConnectError)
        assert (network.sent(0), network.requests) == (b"", [])
        # The next ones succeed.
        assert client.get(f"{API}/").status_code == 200


def test_what_a_server_insists_on(network: MockNetwork) -> None:
    network.tls("https://old.test", version="TLSv1.2", alpn="")
    network.tls("https://one.test", cipher="TLS_CHACHA20_POLY1305_SHA256")
    network.route("GET", "https://old.test/", Reply())
    network.route("GET", "https://one.test/", Reply())
    with Client(backend=network) as client:
        old, one = client.get("https://old.test/").tls, client.get("https://one.test/").tls
    assert old is not None and (old.version, old.alpn) == ("TLSv1.2", "")
    assert one is not None and one.cipher == "TLS_CHACHA20_POLY1305_SHA256"
    network.tls("https://expired.test", expired=True)
    network.route("GET", "https://expired.test/", Reply())
    with Client(backend=network, verify=False) as client:
        assert client.get("https://expired.test/").status_code == 200


def test_contexts(network: MockNetwork) -> None:
    """Whoever has settings of their own says whom to trust."""
    network.route("GET", f"{API}/", Reply())
    with Client(backend=network, tls=TLSContext(ca=network.authority)) as client:
        assert client.get(f"{API}/").status_code == 200
    with Client(backend=network, tls=TLSContext(ca=MockNetwork().authority)) as client:
        with pytest.raises(errors.TLSCertUnknownCAError):
            client.get(f"{API}/")


def test_async(network: MockNetwork, run: Run[None]) -> None:
    network.accept(API, delay=5.0)
    network.tls("https://expired.test", expired=True)
    network.route("GET", f"{API}/", Reply(content="hi", delay=10.0))

    async def main() -> None:
        async with AsyncClient(backend=network) as client:
            assert (await client.get(f"{API}/", timeout=None)).text == "hi"
            assert network.time == 15.0
            with pytest.raises(errors.TLSCertExpiredError):
                await client.get("https://expired.test/")

    run(main)


def test_many_at_once(network: MockNetwork) -> None:
    network.route("POST", f"{API}/", echo)

    async def main() -> None:
        async with AsyncClient(backend=network) as client:
            bodies = [b"%d" % number for number in range(50)]
            answers = await asyncio.gather(*(client.post(f"{API}/", content=body) for body in bodies))
            assert [answer.content for answer in answers] == bodies

    asyncio.run(main())


def test_wrong_arguments(network: MockNetwork) -> None:
    for wrong in ({"version": "SSLv3"}, {"alert": 0}, {"alert": 256}):
        with pytest.raises(ValueError):
            network.tls(API, **wrong)
    with pytest.raises(ValueError, match="https://"):
        network.tls("http://api.test", expired=True)
    for refused in ({"cipher": "TLS_NULL_WITH_NULL_NULL"}, {"name": ""}, {"expired": True, "not_yet_valid": True}):
        with pytest.raises(errors.InvalidArgError, match="chttp_mock_tls"):
            network.tls(API, **refused)
