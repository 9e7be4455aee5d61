"""Exceptions: which one, and what it tells."""

from __future__ import annotations

import pickle
import select
import socket
import time
from typing import Any, Callable

import pytest

import c_http_core
from c_http_core import Client, Limits, Timeout, errors
from conftest import LONG, Scripted, head_of


def test_refused(refusing: str) -> None:
    with Client() as client, pytest.raises(c_http_core.ConnectError) as raised:
        client.get(f"http://{refusing}/")
    error = raised.value
    assert isinstance(error, errors.ConnectRefusedError)
    assert (error.code, error.name, error.phase) == (-401, "CHTTP_E_CONNECT_REFUSED", "connecting")
    assert error.is_retryable and error.retryable and error.request_bytes_sent == 0
    assert error.os_errno == 111 and not error.connection_reused
    assert refusing in str(error) and error.message == str(error)
    assert (error.method, error.url) == ("GET", f"http://{refusing}/")
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.message, again.os_errno) == (type(error), error.message, 111)


def test_name() -> None:
    with Client() as client, pytest.raises(errors.ResolveError) as raised:
        client.get("http://no-such-name.invalid/")
    assert isinstance(raised.value, c_http_core.ConnectError)


def test_reset(url: str) -> None:
    with Client() as client:
        with pytest.raises(c_http_core.NetworkError) as raised:
            client.post(f"{url}/reset", content=b"x")
        assert raised.value.request_bytes_sent > 0 and not raised.value.is_retryable
        assert raised.value.remote_addr == url.removeprefix("http://")
        with pytest.raises(c_http_core.RemoteProtocolError):
            client.get(f"{url}/garbage")


@pytest.mark.parametrize(
    ("timeout", "error"),
    [
        (Timeout(read=0.05), c_http_core.ReadTimeout),
        (Timeout(first_byte=0.05), c_http_core.FirstByteTimeout),
        (Timeout(total=0.05), c_http_core.TotalTimeout),
        (0.5, c_http_core.ReadTimeout),
    ],
)
def test_timeouts(url: str, timeout: Any, error: type[Exception]) -> None:
    with Client() as client:
        with pytest.raises(error) as raised:
            client.get(f"{url}/hang", timeout=timeout)
        assert isinstance(raised.value, (c_http_core.TimeoutException, TimeoutError))
    with Client(timeout=timeout) as client:
        with pytest.raises(error):
            client.get(f"{url}/hang")
        # What the request says comes before what the client says.
        assert client.get(f"{url}/delay/100", timeout=None).status_code == 200
        with pytest.raises(error), client.stream("GET", f"{url}/hang") as _:
            pass


def test_timeout_of_the_connection(url: str) -> None:
    # Nobody accepts, and the queue of those who wait for it is full.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = []
        for _ in range(8):
            waiting.append(socket.socket())
            waiting[-1].setblocking(False)
            waiting[-1].connect_ex(listener.getsockname())
        with Client(timeout=Timeout(connect=0.05)) as client, pytest.raises(c_http_core.ConnectTimeout) as raised:
            client.get(f"http://127.0.0.1:{listener.getsockname()[1]}/")
        assert raised.value.phase == "connecting" and raised.value.is_retryable
        for sock in waiting:
            sock.close()


def test_timeout_of_tls() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with Client(timeout=Timeout(tls=0.05)) as client, pytest.raises(c_http_core.TLSTimeout):
            client.get(f"https://127.0.0.1:{listener.getsockname()[1]}/")


def test_timeout_of_the_pool(url: str) -> None:
    with Client(limits=Limits(max_connections_per_host=1, max_waiting=1)) as client:
        with client.stream("GET", f"{url}/bytes/100000000") as _:
            with pytest.raises(c_http_core.PoolTimeout):
                client.get(f"{url}/", timeout=Timeout(pool=0.05))


def test_timeout_of_sending(scripted: Callable[[Any], Scripted]) -> None:
    def handle(connection: socket.socket) -> None:
        head_of(connection)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        # The client gives up and closes; what it has sent is not read before.
        poll = select.poll()
        poll.register(connection, select.POLLRDHUP)
        poll.poll(LONG * 1000)

    with Client() as client, pytest.raises(c_http_core.WriteTimeout):
        client.post(scripted(handle).url, content=b"x" * 50_000_000, timeout=Timeout(write=0.2))


def test_timeout_class() -> None:
    assert Timeout(5).words() == (0, *[5_000_000_000] * 4, 0, 5_000_000_000, 0, 5_000_000_000)
    assert Timeout(5) == Timeout(5.0) != Timeout(5, total=6)
    assert (Timeout(5, connect=1).dns, Timeout(5, connect=1, tls=2).tls, Timeout(None).read) == (1, 2, None)
    assert repr(Timeout(connect=1)) == "Timeout(dns=1, connect=1, tls=1)"
    with pytest.raises(ValueError):
        Timeout(-1)
    with pytest.raises(ValueError):
        Timeout(float("nan"))


def test_time_is_in_seconds(url: str) -> None:
    began = time.monotonic()
    with Client() as client, pytest.raises(c_http_core.ReadTimeout):
        client.get(f"{url}/hang", timeout=Timeout(read=0.3))
    assert time.monotonic() - began >= 0.3


def test_bases() -> None:
    assert issubclass(errors.TLSCertExpiredError, (c_http_core.TLSError, c_http_core.ConnectError))
    assert issubclass(c_http_core.ConnectTimeout, TimeoutError)
    assert issubclass(c_http_core.InvalidURL, ValueError)
    assert issubclass(c_http_core.StreamClosed, RuntimeError)
    assert errors.TimeoutException is c_http_core.TimeoutException
