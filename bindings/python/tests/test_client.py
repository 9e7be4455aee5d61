"""The sync client: requests and answers."""

from __future__ import annotations

import base64
import socket
import threading
from pathlib import Path
from typing import Any, Callable

import pytest

import c_http_core
from c_http_core import Client, Headers, Limits, Response
from conftest import LONG, Scripted, head_of


def sent_head(response: Response) -> dict[str, str]:
    """What /headers answers: the head as the server got it."""
    lines = response.text.split("\r\n")[1:]
    return dict(line.split(": ", 1) for line in lines if line)


def test_methods(url: str) -> None:
    with Client(base_url=url) as client:
        for method in ("get", "post", "put", "patch", "delete", "options"):
            response = getattr(client, method)("/headers")
            assert response.status_code == 200
            assert response.text.startswith(f"{method.upper()} /headers HTTP/1.1\r\n")
            assert response.method == method.upper()
            assert response.url == f"{url}/headers"
        head = client.head("/bytes/10")
        assert (head.content, head.headers["content-length"]) == (b"", "10")
        assert client.request("FROB", "/headers").text.startswith("FROB /headers")


def test_answer(url: str) -> None:
    with Client() as client:
        response = client.get(f"{url}/bytes/1000")
        assert (response.status_code, response.status, response.reason_phrase) == (200, 200, "OK")
        assert response.http_version == "HTTP/1.1"
        assert len(response.content) == 1000 and response.content is response.content
        assert response.is_success and not response.is_error
        assert response.raise_for_status() is response
        assert 0 < response.elapsed.total_seconds() < LONG
        timing = response.timing
        assert 0 < timing.connected <= timing.sent <= timing.first_byte <= timing.total
        assert response.connection.peer == url.removeprefix("http://")
        assert response.connection.local.startswith("127.0.0.1:")
        assert (response.connection.reused, response.connection.reason) == (False, "new_first")
        assert response.connection.attempt == 1
        assert response.tls is None
        assert repr(response) == "<Response [200]>"
        again = client.get(f"{url}/")
        assert again.connection.reused and again.connection.reason == "reused"


@pytest.mark.parametrize("size", [0, 1, 32767, 32768, 1 << 20, (1 << 20) + 1, 5_000_000])
def test_sizes(url: str, size: int) -> None:
    with Client() as client:
        response = client.get(f"{url}/bytes/{size}")
        view = response.view()
        assert len(response.content) == size == len(view)
        assert bytes(view) == response.content == b"".join(response.iter_bytes(1000))


def test_statuses(url: str) -> None:
    with Client() as client:
        for status in (204, 304, 404, 503, 999):
            response = client.get(f"{url}/status/{status}")
            assert response.status_code == status
            if status == 204:
                response.raise_for_status()
                continue
            with pytest.raises(c_http_core.HTTPStatusError) as raised:
                response.raise_for_status()
            assert raised.value.response is response
            assert str(status) in str(raised.value) and url in str(raised.value)
        redirect = client.get(f"{url}/redirect/1/302")
        assert redirect.is_redirect and redirect.headers["location"]


def test_what_is_sent(url: str) -> None:
    with Client(headers={"X-Client": "1", "User-Agent": "me"}, params={"a": 1}) as client:
        response = client.get(f"{url}/headers", headers=[("X-A", "1"), ("x-a", "2")], params={"b": ["x", "y z"]})
        assert response.text.startswith("GET /headers?a=1&b=x&b=y+z HTTP/1.1\r\n")
        assert response.text.endswith("X-Client: 1\r\nUser-Agent: me\r\nX-A: 1\r\nx-a: 2\r\n\r\n")
        replaced = client.get(f"{url}/headers", headers={"x-client": "2"})
        assert sent_head(replaced)["x-client"] == "2" and "X-Client" not in replaced.text
        client.headers["X-Client"] = "3"
        assert sent_head(client.get(f"{url}/headers"))["X-Client"] == "3"
        del client.headers["user-agent"]
        assert "User-Agent" not in client.get(f"{url}/headers").text


def test_requests_that_differ_in_little(url: str) -> None:
    """What is packed once must not be seen in other requests, whatever comes in which order."""
    with Client(base_url=url, params="p=1") as client:
        for n in (1, 5000, 2, 300, 20_000, 7):
            path = f"/headers?{'x' * n}"
            assert client.get(path).text.startswith(f"GET {path}&p=1 HTTP/1.1\r\n")
            client.headers["X-N"] = str(n)
            for method in ("GET", "DELETE", "OPTIONS", "BREW", "get"):
                answer = client.request(method, path)
                assert answer.text.startswith(f"{method} {path}&p=1 HTTP/1.1\r\n")
                assert sent_head(answer)["X-N"] == str(n) and answer.url == f"{url}{path}&p=1"
            with client.stream("GET", path) as streamed:
                assert streamed.read() == client.get(path).content
            assert client.get("/headers", headers={"X-N": "own"}).text.count("X-N: own") == 1
        for bad in ("ftp://x/", "http://"):
            with pytest.raises(c_http_core.errors.ArgumentError):
                client.get(bad)
        assert sent_head(client.get("/headers"))["X-N"] == "7"
    with pytest.raises(c_http_core.errors.EngineClosedError):
        client.get("/headers")


def test_urls(url: str) -> None:
    with Client() as client:
        for path, sent in (
            ("/headers?q=1#part", "/headers?q=1"),
            ("/headers?q=a b", "/headers?q=a%20b"),
            ("/headers?q=ä%20", "/headers?q=%C3%A4%20"),
        ):
            assert client.get(url + path).text.split(" ")[1] == sent
        assert client.get(f"{url}/headers?", params="x=1").text.split(" ")[1] == "/headers?x=1"
        assert client.options(url, target="*").status_code == 404
        for bad, error in (
            ("ftp://x/", c_http_core.UnsupportedProtocol),
            ("/relative", c_http_core.InvalidURL),
            ("http://", c_http_core.InvalidURL),
        ):
            with pytest.raises(error):
                client.get(bad)


def test_bodies(url: str) -> None:
    with Client(base_url=url) as client:
        for content, expected in (
            ("grün", "grün".encode()),
            (b"bytes", b"bytes"),
            (bytearray(b"array"), b"array"),
            (memoryview(b"view")[1:], b"iew"),
            (b"", b""),
            (b"x" * 5000, b"x" * 5000),
            (b"y" * 300_000, b"y" * 300_000),
            (memoryview(bytearray(b"z" * 300_000)), b"z" * 300_000),
            ((part for part in (b"a", b"", b"b")), b"ab"),
            ([b"x" * 100_000] * 30, b"x" * 3_000_000),
        ):
            assert client.post("/echo", content=content).content == expected
        assert client.post("/echo", json={"a": [1, "ä"]}).content == '{"a":[1,"ä"]}'.encode()
        assert client.post("/echo", data={"a": "1 2", "b": ["x", "y"]}).content == b"a=1+2&b=x&b=y"
        assert sent_head(client.post("/headers", json=1))["Content-Type"] == "application/json"
        assert sent_head(client.post("/headers", data={}))["Content-Type"] == "application/x-www-form-urlencoded"
        announced = client.post("/headers", content=iter([b"abc"]), headers={"Content-Length": "3"})
        assert sent_head(announced)["Content-Length"] == "3" and "Transfer-Encoding" not in announced.text
        with pytest.raises(TypeError):
            client.post("/echo", json=1, content=b"2")
        with pytest.raises(TypeError):
            client.post("/echo", content={"a": 1})  # type: ignore[dict-item]  # that is data


def test_files(url: str, tmp_path: Path) -> None:
    contents = bytes(range(256)) * 8000
    path = tmp_path / "file"
    path.write_bytes(contents)
    with Client(base_url=url) as client:
        with path.open("rb") as file:
            file.seek(1000)
            assert client.post("/echo", content=file).content == contents[1000:]
            assert file.tell() == 1000
        with path.open("rb", buffering=0) as raw:
            assert client.post("/count", content=raw).text == f"{len(contents)}\n"
        with socket.create_server(("127.0.0.1", 0)) as listener:
            # A file that is none of the kernel's is read piece by piece.
            with socket.create_connection(listener.getsockname()) as one, listener.accept()[0] as other:
                one.sendall(b"from a socket")
                one.shutdown(socket.SHUT_WR)
                with other.makefile("rb") as stream:
                    assert client.post("/echo", content=stream).content == b"from a socket"
        with path.open() as text, pytest.raises(TypeError):
            client.post("/echo", content=text)


def test_auth(url: str) -> None:
    expected = "Basic " + base64.b64encode("me:geheim§".encode()).decode()
    with Client(auth=("me", "geheim§")) as client:
        assert sent_head(client.get(f"{url}/headers"))["Authorization"] == expected
        assert "Authorization" not in client.get(f"{url}/headers", auth=None).text
        assert sent_head(client.get(f"{url}/headers", headers={"authorization": "own"}))["authorization"] == "own"


def test_text_and_json(scripted: Callable[[Any], Scripted]) -> None:
    answers = [
        (b"text/plain; charset=ISO-8859-1", "grün".encode("latin-1")),
        (b"application/json", '{"a": "ü"}'.encode()),
        (b"text/plain; charset=no-such", b"caf\xc3\xa9"),
        (b"text/plain", b"\xff"),
    ]

    def handle(connection: socket.socket) -> None:
        for kind, body in answers:
            head_of(connection)
            head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n" % (kind, len(body))
            connection.sendall(head + body)

    server = scripted(handle)
    with Client() as client:
        latin, json, unknown, broken = (client.get(server.url) for _ in answers)
    assert (latin.encoding, latin.text, "".join(latin.iter_text())) == ("iso-8859-1", "grün", "grün")
    assert json.json() == {"a": "ü"}
    assert unknown.text == "café"
    assert broken.text == "\ufffd"
    broken.encoding = "latin-1"
    assert broken.text == "ÿ"
    with pytest.raises(ValueError):
        broken.json()


def test_headers_of_an_answer(scripted: Callable[[Any], Scripted]) -> None:
    def handle(connection: socket.socket) -> None:
        head_of(connection)
        connection.sendall(
            b"HTTP/1.1 200 Fine\r\nSet-Cookie: a=1\r\nContent-Length: 0\r\nset-cookie: b=2\r\nX: caf\xc3\xa9\r\n"
            b"Y: \xff\r\n\r\n"
        )

    with Client() as client:
        response = client.get(scripted(handle).url)
    assert response.headers.raw == [
        (b"Set-Cookie", b"a=1"),
        (b"Content-Length", b"0"),
        (b"set-cookie", b"b=2"),
        (b"X", b"caf\xc3\xa9"),
        (b"Y", b"\xff"),
    ]
    assert response.headers.get_list("SET-COOKIE") == ["a=1", "b=2"]
    assert (response.headers["set-cookie"], response.headers["x"], response.headers["y"]) == ("a=1, b=2", "café", "ÿ")
    assert response.reason == "Fine"


def test_injection(url: str) -> None:
    with Client() as client:
        for headers in ({"X": "a\r\nY: b"}, {"X\n": "a"}, {"X: a\r\nY": "b"}, {"X:": "a"}, {"X": "a\0"}, {"": "a"}):
            with pytest.raises(c_http_core.errors.InvalidHeaderError):
                client.get(f"{url}/", headers=headers)
        with pytest.raises(c_http_core.errors.InvalidMethodError):
            client.request("GET /x", f"{url}/")
        assert client.stats()["submitted"] == 0


def test_trailers_and_interim_answers(scripted: Callable[[Any], Scripted], url: str) -> None:
    def handle(connection: socket.socket) -> None:
        head_of(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 5\r\n\r\n")

    with Client() as client:
        response = client.get(scripted(handle).url)
        assert (response.content, response.trailers["x-sum"]) == (b"hi", "5")
        assert client.get(f"{url}/hints/3").text == "hello\n"
        assert client.post(f"{url}/continue", content=b"x" * 10, expect_continue=True).content == b"x" * 10


def test_where_to_connect(url: str, tmp_path: Path, scripted: Callable[[Any], Scripted]) -> None:
    address = url.removeprefix("http://")
    with Client() as client:
        moved = client.get("http://somewhere.test/headers", connect_to=address)
        assert sent_head(moved)["Host"] == "somewhere.test"
        assert client.get(f"{url}/", local_address="127.0.0.5").connection.local.startswith("127.0.0.5:")
        assert client.get(f"{url}/", interface="lo").status_code == 200
        with pytest.raises(c_http_core.errors.InvalidRouteError):
            client.get(url, connect_to="nowhere")
    with Client(connect_overrides={"a.test:80": address}, local_address="127.0.0.7") as client:
        response = client.get("http://a.test/")
        assert response.connection.local.startswith("127.0.0.7:")
        assert client.get("http://a.test/", local_address="").connection.local.startswith("127.0.0.1:")

    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            for _ in range(2):
                connection, _ = listener.accept()
                with connection:
                    head_of(connection)
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nunix")

        thread = threading.Thread(target=serve)
        thread.start()
        with Client(unix_socket=path) as client:
            response = client.get("http://docker/info")
            assert (response.text, response.connection.peer) == ("unix", "")
        with Client() as client:
            assert client.get("http://docker/info", unix_socket=path).text == "unix"
        thread.join(LONG)


def test_limits_and_options(url: str) -> None:
    with Client(limits=Limits(max_connections_per_host=1, keepalive_expiry=1.0)) as client:
        barrier = threading.Barrier(4)
        connections = set()

        def fetch() -> None:
            barrier.wait(LONG)
            connections.add(client.get(f"{url}/delay/20").connection.local)

        threads = [threading.Thread(target=fetch) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LONG)
        assert len(connections) == 1
    with Client(options={"head_max": 64}) as client, pytest.raises(c_http_core.errors.HeadTooLargeError):
        client.get(f"{url}/head/1000")
    with Client(options={"no_such_option": 1}) as client, pytest.raises(c_http_core.errors.UnknownOptionError):
        client.get(url)
    with Client() as client:
        assert not client.get(f"{url}/", close_connection=True).connection.reused
        assert not client.get(f"{url}/").connection.reused


def test_closing(url: str) -> None:
    client = Client()
    response = client.get(f"{url}/bytes/100000")
    view = response.view()
    client.close()
    client.close()
    assert client.is_closed
    with pytest.raises(c_http_core.errors.EngineClosedError):
        client.get(url)
    expected = response.content
    del response, client
    assert bytes(view[5:10]) == expected[5:10]


def test_headers_class() -> None:
    headers = Headers({"A": "1"})
    headers.add("a", "2")
    headers["B"] = "3"
    assert (headers["a"], headers.get_list("A"), len(headers), list(headers)) == ("1, 2", ["1", "2"], 2, ["a", "b"])
    assert "A" in headers and "c" not in headers and headers.get("c") is None
    assert headers == Headers([("b", "3"), ("a", "1"), ("A", "2")]) and headers != Headers()
    headers["a"] = "x"
    assert headers.raw == [(b"a", b"x"), (b"B", b"3")]
    del headers["b"]
    with pytest.raises(KeyError):
        del headers["b"]
    with pytest.raises(KeyError):
        headers["b"]
    assert Headers({"Authorization": "secret"}).copy() == {"authorization": "secret"}
    assert "secret" not in repr(Headers({"Authorization": "secret"}))
