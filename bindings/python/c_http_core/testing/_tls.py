"""How the servers of a test answer handshakes."""

from __future__ import annotations

from typing import NamedTuple

from .._records import layout

__all__ = ["VERSIONS", "Handshake"]

SETTINGS = layout("mock_tls")
VERSIONS = {"TLSv1.2": 12, "TLSv1.3": 13}


class Handshake(NamedTuple):
    """What chttp_mock_tls says; None for what pleases the client."""

    flags: int = 0
    version: int = 0
    alert: int = 0
    alpn: str | None = None
    name: str | None = None
    cipher: str | None = None

    @property
    def size(self) -> int:
        return SETTINGS.size

    def pack(self, address: int) -> bytes:
        """The struct as it is to stand at an address, and its texts behind it; always as long."""
        words: list[int] = []
        texts = b""
        for text in (self.alpn, self.name, self.cipher):
            data = (text or "").encode()
            # Nothing stands at the address of an empty text, but there is one.
            words += (0, 0) if text is None else (address + SETTINGS.size + len(texts), len(data))
            texts += data
        return SETTINGS.pack(SETTINGS.size, self.flags, self.version, self.alert, *words) + texts
