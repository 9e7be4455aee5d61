"""Requests that differ in nothing but their URL and their token: packed once, and then only those two are written."""

from __future__ import annotations

from typing import Final

from ._ffi import pin
from ._records import POINTERS, REQUEST_SHORT, fields

__all__ = ["ERROR", "XID", "Template"]

# Longer URLs are packed anew each time.
ROOM: Final = 2048
# Places in `words`, which every field behind the first two fills.
WORD: Final = 8
TOKEN: Final = fields("request").index("token") - 1
URL_LEN: Final = fields("request").index("url_len") - 1
XID: Final = REQUEST_SHORT.size // WORD
ERROR: Final = XID + 1


class Template:
    """A request without a body, as the library takes it, in memory of a fixed address. Not thread-safe.

    Behind it stand two words for what `chttp_submit` hands out, `XID` and `ERROR`, and the texts, the URL last.
    """

    __slots__ = ("_at", "_pinned", "_url", "address", "block", "buffer", "error_address", "words", "xid_address")

    def __init__(self, method: bytes, block: bytes, flags: int) -> None:
        texts = method + block
        start = REQUEST_SHORT.size + POINTERS.size
        self.block = block
        self.buffer = bytearray(-(-(start + len(texts) + ROOM) // WORD) * WORD)
        self.address, self._pinned = pin(self.buffer)
        self.words = memoryview(self.buffer).cast("Q")
        self.xid_address = self.address + XID * WORD
        self.error_address = self.address + ERROR * WORD
        self._at = start + len(texts)
        self._url = ""
        at = self.address + start
        self.buffer[start : self._at] = texts
        REQUEST_SHORT.pack_into(
            self.buffer,
            0,
            REQUEST_SHORT.size,
            flags,
            0,
            self.address + self._at,
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

    def fill(self, token: int, url: str) -> None:
        """Make it the request of this token and URL, which is ASCII and has at most `ROOM` characters."""
        words = self.words
        if url != self._url:
            text = url.encode()
            self.buffer[self._at : self._at + len(text)] = text
            words[URL_LEN] = len(text)
            self._url = url
        words[TOKEN] = token
        words[XID] = 0
