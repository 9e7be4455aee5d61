"""What a mock is asked, and what it answers."""

from __future__ import annotations

import json as json_module
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, NamedTuple, Union

from .. import _table as c
from .._headers import Headers, HeaderTypes
from ._tls import Handshake

__all__ = ["MockRequest", "Reply", "Step", "steps_of"]

Content = Union[bytes, str, Iterable[bytes]]


class MockRequest(NamedTuple):
    """One request, as it was sent."""

    method: str
    #: With scheme, host and query: "https://api.test/names?page=2".
    url: str
    headers: Headers
    #: The body, whole and without any framing.
    content: bytes
    #: Which connection it came over, from 0, in the order in which they were made.
    connection: int

    @property
    def text(self) -> str:
        return self.content.decode()

    def json(self) -> Any:
        """The body as JSON. Raises `ValueError`."""
        return json_module.loads(self.content)


class Step(NamedTuple):
    """One step of a script, as chttp_mock_step has it."""

    kind: int
    data: bytes = b""
    number: int = 0
    #: In the place of data.
    handshake: Handshake | None = None


class Reply:
    """An answer, and how it comes.

    Args:
        status: the status.
        content: the body: bytes, str (as UTF-8), or an iterable of bytes, which is sent chunked, a chunk for each.
        json: a value, as the body and with the Content-Type that goes with it.
        headers: fields; Content-Length or Transfer-Encoding is added as the body needs it.
        delay: seconds before anything is sent.
        split: the client finds so many bytes at each read, and not more; 0 for all that there is.
        pause: seconds between two chunks, or, with `split`, between two pieces.
        cut: reset the connection behind so many bytes of the body.
        close: close the connection behind the answer.
    """

    def __init__(
        self,
        status: int = 200,
        content: Content = b"",
        *,
        json: Any = None,
        headers: HeaderTypes | None = None,
        delay: float = 0.0,
        split: int = 0,
        pause: float = 0.0,
        cut: int | None = None,
        close: bool = False,
    ) -> None:
        if json is not None and content != b"":
            raise TypeError("a reply has one body, not content and json")
        if not 200 <= status <= 999:
            raise ValueError(f"status must be 200 to 999: {status}")
        for name, number in (("delay", delay), ("split", split), ("pause", pause), ("cut", cut or 0)):
            if number < 0:
                raise ValueError(f"{name} must not be negative: {number}")
        self.status = status
        self.headers = Headers(headers)
        if json is not None:
            content = json_module.dumps(json).encode()
            self.headers.setdefault("Content-Type", "application/json")
        if isinstance(content, str):
            content = content.encode()
        self.chunks: list[bytes] | None = None if isinstance(content, bytes) else [*content]
        self.content = content if isinstance(content, bytes) else b"".join(self.chunks or ())
        self.delay, self.split, self.pause, self.cut, self.close = delay, split, pause, cut, close
        self._ends: tuple[Step, ...] | None = None

    @classmethod
    def reset(cls, *, delay: float = 0.0) -> Reply:
        """No answer: the connection is reset."""
        return cls._of(Step(c.MOCK_RESET), delay)

    @classmethod
    def end(cls, *, delay: float = 0.0) -> Reply:
        """No answer: the connection is closed."""
        return cls._of(Step(c.MOCK_CLOSE), delay)

    @classmethod
    def silence(cls) -> Reply:
        """No answer ever; only a time-out, or a cancel, ends the request."""
        return cls._of(None, 0.0)

    @classmethod
    def raw(cls, data: bytes, *, delay: float = 0.0, split: int = 0, close: bool = False) -> Reply:
        """These bytes, whether they are an answer or not."""
        reply = cls._of(Step(c.MOCK_SEND, data, split), delay)
        if close:
            reply._ends = (*(reply._ends or ()), Step(c.MOCK_CLOSE))
        return reply

    @classmethod
    def _of(cls, step: Step | None, delay: float) -> Reply:
        reply = cls(delay=delay)
        reply._ends = () if step is None else (step,)
        return reply


def waiting(seconds: float) -> list[Step]:
    return [Step(c.MOCK_DELAY, number=int(seconds * 1e9))] if seconds > 0 else []


def steps_of(reply: Reply, method: str) -> list[Step]:
    """What the peer does to give this answer to a request of this method."""
    steps = waiting(reply.delay)
    if reply._ends is not None:
        return [*steps, *reply._ends]
    pieces = pieces_of(reply, method)
    for number, piece in enumerate(pieces):
        if number:
            steps += waiting(reply.pause)
        steps.append(Step(c.MOCK_SEND, piece, reply.split))
    if reply.cut is not None:
        steps.append(Step(c.MOCK_RESET))
    elif reply.close:
        steps.append(Step(c.MOCK_CLOSE))
    return steps


def pieces_of(reply: Reply, method: str) -> list[bytes]:
    """Head and body, in the pieces between which there is a pause."""
    headers = reply.headers.copy()
    if reply.close and "connection" not in headers:
        headers["Connection"] = "close"
    has_body = method != "HEAD" and reply.status not in (204, 304)
    if "content-length" not in headers and "transfer-encoding" not in headers and reply.status != 204:
        if reply.chunks is None:
            headers["Content-Length"] = str(len(reply.content))
        else:
            headers["Transfer-Encoding"] = "chunked"
    try:
        phrase = HTTPStatus(reply.status).phrase
    except ValueError:
        phrase = ""
    head = f"HTTP/1.1 {reply.status} {phrase}\r\n".encode() + headers.block() + b"\r\n"
    if not has_body:
        return [head]
    body = framed(reply)
    if reply.cut is not None:
        return [head + body[0][: reply.cut]] if reply.chunks is None else [head + b"".join(body)[: reply.cut]]
    if reply.pause > 0 and reply.split and reply.chunks is None:
        whole = head + body[0]
        return [whole[at : at + reply.split] for at in range(0, len(whole), reply.split)]
    # A head alone would be a piece of its own.
    return [head + body[0], *body[1:]]


def framed(reply: Reply) -> list[bytes]:
    """The body as it is sent; at least one piece."""
    if reply.chunks is None:
        return [reply.content]
    if "chunked" not in reply.headers.get("transfer-encoding", "chunked"):
        return reply.chunks or [b""]
    return [*(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in reply.chunks if chunk), b"0\r\n\r\n"]
