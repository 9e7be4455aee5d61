"""Calls that are mistaken say which argument is wrong and what would be right, and leave nothing behind."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from c_http_core import AsyncClient, Client, ResponseNotRead, Timeout
from conftest import Run

NO_OPTION = "a request has no option {}; it has auth, .*unix_socket"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"cookies": {"a": "b"}}, NO_OPTION.format("cookies")),
        ({"headers": {"A": "b"}, "follow_redirects": False, "files": {}}, NO_OPTION.format("files, follow_redirects")),
        ({"headers": {"X-Count": 1}}, "headers: the value of 'X-Count' must be str or bytes, not int"),
        ({"headers": [(None, "x")]}, "headers: a name must be str or bytes, not NoneType"),
        ({"timeout": (1, 2)}, "a time is a number of seconds or None, and times are a Timeout, not tuple"),
        ({"timeout": "5"}, "a time is .* not str"),
        ({"content": iter(["text"])}, "content must yield bytes, not str"),
        ({"content": iter([b"x", 5])}, "content must yield bytes, not int"),
    ],
)
def test_options(url: str, options: Any, told: str) -> None:
    with Client() as client:
        with pytest.raises(TypeError, match=told):
            client.post(f"{url}/echo", **options)
        client.get(f"{url}/")
        assert client.stats()["exchanges"] == 0


def test_no_url(url: str) -> None:
    nothing: Any = None
    for base_url in ("", url):
        with Client(base_url=base_url) as client, pytest.raises(TypeError, match="url must be a str, not NoneType"):
            client.get(nothing)


def test_settings() -> None:
    context: Any = ssl.create_default_context()
    with pytest.raises(TypeError, match=r"verify must be .* not SSLContext; tls takes a TLSContext"):
        Client(verify=context)
    wrong: Any = [1]
    with pytest.raises(TypeError, match="not list"):
        Timeout(read=wrong)


def test_pieces_of_other_kinds(url: str) -> None:
    """What has a buffer is bytes enough, whatever its items are."""

    def pieces() -> Iterator[Any]:
        yield bytearray(b"ab")
        yield memoryview(b"\1\0\0\0\2\0\0\0").cast("I")
        yield b""

    with Client() as client:
        assert client.post(f"{url}/echo", content=pieces()).content == b"ab\1\0\0\0\2\0\0\0"


def test_a_body_that_was_not_read(url: str, run: Run[None]) -> None:
    async def main() -> None:
        async with AsyncClient(base_url=url) as client, client.stream("GET", "/bytes/10") as answer:
            assert (answer.num_bytes_downloaded, answer.content_length) == (0, 10)
            with pytest.raises(ResponseNotRead, match=r"aread\(\)"):
                next(answer.iter_bytes())
            await answer.aread()
            assert answer.num_bytes_downloaded == 10 and len(list(answer.iter_bytes(4))) == 3

    run(main)
