"""Requests, found in what a client has sent on one connection.

Only what this library sends is to be understood, so nothing is checked.
"""

from __future__ import annotations

from .._headers import Headers

__all__ = ["Inbox", "Received"]

END = b"\r\n\r\n"


class Received:
    """A request whose head is there, and whose body may be."""

    def __init__(self, head: bytes, scheme: str) -> None:
        self.scheme = scheme
        first, *lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = first.split(" ")
        self.headers = Headers(tuple(line.split(": ", 1)) for line in lines)  # type: ignore[misc]  # of two
        self.body = bytearray()
        self.is_chunked = "chunked" in self.headers.get("transfer-encoding", "")
        self.left = int(self.headers.get("content-length", "0"))

    @property
    def url(self) -> str:
        if "://" in self.target:
            return self.target
        return f"{self.scheme}://{self.headers.get('host', '').lower()}{self.target}"


class Inbox:
    """What came over one connection, of which whole requests are taken."""

    def __init__(self) -> None:
        self.scheme = "http"
        #: How many bytes were seen.
        self.seen = 0
        self.rest = bytearray()
        self.current: Received | None = None
        #: The head at hand asks whether its body is wanted.
        self.wants_continue = False

    def feed(self, data: bytes) -> None:
        self.seen += len(data)
        self.rest += data

    def take(self) -> Received | None:
        """The next request that is there with its body."""
        if self.current is None:
            head, found, _ = self.rest.partition(END)
            if not found:
                return None
            del self.rest[: len(head) + len(END)]
            self.current = Received(bytes(head), self.scheme)
            self.wants_continue = "expect" in self.current.headers
        request = self.current
        if not (self.take_chunks(request) if request.is_chunked else self.take_bytes(request)):
            return None
        self.current, self.wants_continue = None, False
        return request

    def take_bytes(self, request: Received) -> bool:
        piece = self.rest[: request.left]
        del self.rest[: len(piece)]
        request.body += piece
        request.left -= len(piece)
        return request.left == 0

    def take_chunks(self, request: Received) -> bool:
        while True:
            line, found, behind = self.rest.partition(b"\r\n")
            if not found:
                return False
            size = int(bytes(line).split(b";")[0], 16)
            if size == 0:
                # The trailers, up to an empty line.
                end = 0 if behind.startswith(b"\r\n") else behind.find(END) + 2
                if end == 1 or len(behind) < 2:
                    return False
                del self.rest[: len(line) + 2 + end + 2]
                return True
            if len(behind) < size + 2:
                return False
            request.body += behind[:size]
            del self.rest[: len(line) + 2 + size + 2]
