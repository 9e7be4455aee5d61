"""The network that is written down: no socket, no event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from c_http_core.network import EpollNetworkBackend, MockNetworkBackend, MockNetworkStream, NetworkBackend
from conftest import open_descriptors

T = TypeVar("T")


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run what never waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("it waits for something")


def test_stream() -> None:
    stream = MockNetworkStream(b"hello")
    assert (drive(stream.read(2)), drive(stream.read(0)), drive(stream.read())) == (b"he", b"", b"llo")
    assert drive(stream.read()) == b"", "the end, for now"
    stream.add_data(b"more")
    stream.add_data(b" yet")
    assert drive(stream.read(100, timeout=1)) == b"more yet"
    drive(stream.write(b"one "))
    drive(stream.write(bytearray(b"two"), timeout=1))
    assert stream.written_data == b"one two"
    assert stream.get_extra_info("ssl_object") is False and stream.get_extra_info("peername") is None
    stream.set_extra_info("peername", ("example.com", 80))
    assert stream.get_extra_info("peername") == ("example.com", 80)
    with pytest.raises(ValueError, match="max_bytes"):
        drive(stream.read(-1))
    assert not (stream.closed or stream.is_closed)
    drive(stream.aclose())
    drive(stream.aclose())
    assert stream.closed and stream.is_closed and stream.written_data == b"one two"
    with pytest.raises(RuntimeError):
        drive(stream.read())
    with pytest.raises(RuntimeError):
        drive(stream.write(b"x"))
    assert MockNetworkStream().written_data == b""


def test_backend() -> None:
    backend = MockNetworkBackend()
    assert backend.get_connection("example.com", 80) is None
    backend.add_connection_data("example.com", 80, b"before ")
    stream = drive(backend.connect_tcp("example.com", 80, timeout=1))
    assert isinstance(stream, MockNetworkStream) and stream.get_extra_info("peername") == ("example.com", 80)
    backend.add_connection_data("example.com", 80, b"after")
    assert drive(stream.read()) == b"before after"
    assert drive(backend.connect_tcp("example.com", 80)) is stream is backend.get_connection("example.com", 80)
    assert drive(backend.connect_tcp("example.com", 81)) is not stream
    backend.reset()
    assert backend.get_connection("example.com", 80) is None
    fresh = drive(backend.connect_tcp("example.com", 80))
    assert fresh is not stream and drive(fresh.read()) == b""
    unix = drive(backend.connect_unix_socket("/run/app"))
    assert unix is backend.get_connection("/run/app", 0)
    drive(backend.sleep(1000))


def test_tls() -> None:
    backend = MockNetworkBackend()
    backend.add_connection_data("example.com", 443, b"clear, secured")
    plain = drive(backend.connect_tcp("example.com", 443))
    assert drive(plain.read(7)) == b"clear, "
    assert backend.get_tls_connection("example.com", 443) is None
    secured = drive(backend.connect_tls(plain, "example.com", 443, alpn_protocols=["h2", "http/1.1"]))
    assert secured is not plain and secured is backend.get_tls_connection("example.com", 443)
    assert secured.get_extra_info("ssl_object") is True and plain.get_extra_info("ssl_object") is False
    assert secured.get_extra_info("selected_alpn_protocol") == "h2"
    assert secured.get_extra_info("peername") == ("example.com", 443)
    drive(secured.write(b"secret"))
    assert (secured.written_data, plain.written_data) == (b"secret", b"")
    backend.add_connection_data("example.com", 443, b" later")
    assert drive(secured.read()) == b"secured later"

    for protocols, chosen in ((None, "http/1.1"), ((), "http/1.1"), (["h2"], "h2")):
        stream = drive(backend.connect_tcp("example.com", 25))
        assert drive(backend.start_tls(stream, "example.com", alpn_protocols=protocols)) is stream
        assert stream.get_extra_info("ssl_object") is True
        assert stream.get_extra_info("selected_alpn_protocol") == chosen
    drive(stream.aclose())
    with pytest.raises(RuntimeError):
        drive(backend.start_tls(stream, "example.com"))
    with pytest.raises(TypeError, match="MockNetworkStream"):
        drive(backend.start_tls(EpollLike(), "example.com"))  # type: ignore[arg-type]


class EpollLike:
    """Some other kind of stream."""


def test_code_that_takes_either() -> None:
    """What is written against `NetworkBackend` cannot tell them apart, and opens nothing with the mock."""

    async def fetch(backend: NetworkBackend) -> bytes:
        async with await backend.connect_tcp("example.com", 80) as stream:
            await stream.write(b"GET / HTTP/1.0\r\n\r\n")
            return await stream.read()

    backend = MockNetworkBackend()
    backend.add_connection_data("example.com", 80, b"HTTP/1.0 200 OK\r\n\r\n")
    asyncio.run(asyncio.sleep(0))
    before = open_descriptors()
    assert asyncio.run(fetch(backend)) == b"HTTP/1.0 200 OK\r\n\r\n"
    assert open_descriptors() == before
    stream = backend.get_connection("example.com", 80)
    assert stream is not None and stream.written_data == b"GET / HTTP/1.0\r\n\r\n" and stream.closed
    assert issubclass(EpollNetworkBackend, NetworkBackend)
