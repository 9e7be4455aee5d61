"""Requests that differ in nothing but their URL and their token: packed once, and then only those two are written."""

from __future__ import annotations

from array import array
from typing import Final

from ._ffi import pin
from ._headers import Headers
from ._records import REQUEST_SHORT, SUBMISSION, fields

__all__ = ["ERROR", "TOKEN", "XID", "Template"]

# Longer URLs are packed anew each time.
ROOM: Final = 2048
# Places in `words`: of the request, in which two fields share the first word, of what the library hands out, and behind
# that of the arguments of the call.
WORD: Final = 8
TOKEN: Final = fields("request").index("token") - 1
URL_LEN: Final = fields("request").index("url_len") - 1
XID: Final = REQUEST_SHORT.size // WORD
ERROR: Final = XID + 1
CALL: Final = ERROR + 1


class Template:
    """A request without a body, as the library takes it, in memory of a fixed address. Not thread-safe.

    Behind it stand two words for what the library hands out, `XID` and `ERROR`, the arguments of `chttp_submit`, and
    the texts, the URL last. Whoever submits it writes `TOKEN`, and 0 into `XID`.
    """

    __slots__ = ("_at", "_pinned", "block", "buffer", "given", "headers", "submission", "url", "words")

    def __init__(self, engine: int, queue: int, method: bytes, headers: Headers, flags: int) -> None:
        block = headers.block()
        texts = method + block
        #: The fields, and what they were when this was packed.
        self.headers = headers
        start = CALL * WORD + SUBMISSION.size
        self.block = block
        # Single words cost less to write and read than in a view.
        self.words = array("Q", bytes(-(-(start + len(texts) + ROOM) // WORD) * WORD))
        self.buffer = memoryview(self.words).cast("B")
        address, self._pinned = pin(self.buffer)
        #: Where the arguments stand.
        self.submission = address + CALL * WORD
        self._at = start + len(texts)
        #: The URL that stands there.
        self.url = ""
        #: That URL, if it was given as it stands there.
        self.given: str | None = None
        at = address + start
        self.buffer[start : self._at] = texts
        REQUEST_SHORT.pack_into(
            self.buffer,
            0,
            REQUEST_SHORT.size,
            flags,
            0,
            address + self._at,
            0,
            at,
            len(method),
            0,
            0,
            0,
            0,
            at + len(method) if block else 0,
            len(block),
            0,
            0,
            0,
            -1,
            0,
        )

        SUBMISSION.pack_into(
            self.buffer,
            CALL * WORD,
            SUBMISSION.size,
            1,
            engine,
            queue,
            address,
            0,
            address + XID * WORD,
            address + ERROR * WORD,
        )

    def put(self, url: str) -> bool:
        """Make it a request of this URL, which is ASCII. False: it has no room for that."""
        text = url.encode()
        length = len(text)
        if length > ROOM:
            return False
        self.buffer[self._at : self._at + length] = text
        self.words[URL_LEN] = length
        self.url = url
        return True
