"""Answers. What stands in an answer is read from the library's own object when it is asked for."""

from __future__ import annotations

import codecs
import json
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from email.message import Message
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

from . import _table as c
from ._errors import HTTPStatusError, ResponseNotRead, StreamClosed, StreamConsumed
from ._exchange import Exchange, Piece
from ._ffi import bytes_at, lib, memory, text_at, view
from ._headers import Headers
from ._memory import Owned, give, take, text_of, words_of
from ._records import FIELD, layout

if TYPE_CHECKING:
    from typing_extensions import Self

    from ._async import AsyncEngine
    from ._sync import SyncEngine

__all__ = ["AsyncStreamResponse", "Connection", "Response", "StreamResponse", "TLSInfo", "Timing"]

TIMING = layout("timing")
TLS_INFO = layout("tls_info")
REASONS = {
    getattr(c, f"REUSE_{name.upper()}"): name
    for name in (
        "reused prepared taken_over new_first new_busy new_waited new_idle new_age new_peer new_failed new_evicted"
        " new_not_reusable new_stale"
    ).split()
}
# Below this a copy is cheaper than a view.
VIEWED = 32768


class Timing(NamedTuple):
    """Seconds since the request was made; 0 for what did not happen."""

    #: A connection was there, new or used.
    connected: float
    #: The request was handed to the kernel.
    sent: float
    #: The head arrived.
    first_byte: float
    #: How long making the connection took, name and TLS included; 0 on a used one.
    connect_took: float
    #: Of that, resolving the name.
    dns_took: float
    #: Of that, the TLS handshake.
    tls_took: float
    #: The end of the exchange; 0 before.
    total: float


class Connection(NamedTuple):
    """What an answer came over."""

    #: The peer's address, for example "127.0.0.1:80"; "" for a Unix socket.
    peer: str
    #: Our own end.
    local: str
    #: Whether it had served before.
    reused: bool
    #: Why it was an old one ("reused", "prepared", "taken_over") or a new one ("new_first", "new_busy" ...).
    reason: str
    #: Which try of the request was answered, from 1.
    attempt: int


class TLSInfo(NamedTuple):
    """What was agreed on for TLS; names are those of the IANA registries."""

    #: "TLSv1.2" or "TLSv1.3".
    version: str
    cipher: str
    #: The key exchange, "" for a resumed session of TLS 1.2.
    group: str
    #: The application protocol that the server chose; "" for none.
    alpn: str
    #: Whether an earlier session went on, with the certificate that was verified then.
    resumed: bool


def headers_of(obj: int) -> Headers:
    headers = Headers()
    scratch = take()
    try:
        for index in range(lib.response_header_count(obj)):
            lib.response_header_at(obj, index, scratch.address)
            name, name_len, value, value_len = FIELD.unpack_from(scratch.buffer)
            headers.add(bytes_at(name, name_len), bytes_at(value, value_len))
    finally:
        give(scratch)
    return headers


def tls_info_of(obj: int) -> TLSInfo | None:
    words = words_of(lib.response_tls, obj, TLS_INFO)
    if words is None:
        return None
    _, version, resumed, _, *texts = words
    cipher, group, alpn = (text_at(text).decode() if text else "" for text in texts)
    return TLSInfo(f"TLSv{version // 10}.{version % 10}", cipher, group, alpn, bool(resumed))


class Response:
    """A whole answer, whatever its status.

    The attributes are those of httpx, as far as there is something behind them here: redirects are not followed, and
    content is not decoded.
    """

    __slots__ = ("__dict__", "__weakref__", "_content", "_exchange", "status_code")

    _headers: Headers | None = None
    _encoding: str | None = None

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        #: The status, 100 to 999.
        self.status_code = exchange.status
        self._content: bytes | None = None

    @property
    def status(self) -> int:
        """The status, 100 to 999."""
        return self.status_code

    @property
    def reason_phrase(self) -> str:
        """What the server says beside the status; of no meaning."""
        return text_of(lib.response_reason, self._exchange.head)

    reason = reason_phrase

    @property
    def http_version(self) -> str:
        """ "HTTP/1.0", "HTTP/1.1" or "HTTP/2"."""
        version = lib.response_version(self._exchange.head)
        return f"HTTP/{version // 10}.{version % 10}" if version < 20 else f"HTTP/{version // 10}"

    @property
    def method(self) -> str:
        """The method of the request."""
        return self._exchange.method

    @property
    def url(self) -> str:
        """The URL of the request, with its query."""
        return self._exchange.url

    @property
    def headers(self) -> Headers:
        """The header fields, in the order and case in which they came."""
        if self._headers is None:
            self._headers = headers_of(self._exchange.head)
        return self._headers

    @property
    def trailers(self) -> Headers:
        """The trailer fields behind the body; there are none before its end."""
        trailers = self._exchange.trailers
        return Headers() if trailers is None else headers_of(trailers.obj)

    @property
    def is_informational(self) -> bool:
        return self.status_code < 200

    @property
    def is_success(self) -> bool:
        return 200 <= self.status_code < 300

    @property
    def is_redirect(self) -> bool:
        return 300 <= self.status_code < 400

    @property
    def is_client_error(self) -> bool:
        return 400 <= self.status_code < 500

    @property
    def is_server_error(self) -> bool:
        return 500 <= self.status_code < 600

    @property
    def is_error(self) -> bool:
        return 400 <= self.status_code < 600

    def raise_for_status(self) -> Self:
        """Raise `HTTPStatusError` unless the status is 2xx; else return the answer itself."""
        if self.is_success:
            return self
        try:
            phrase = HTTPStatus(self.status_code).phrase
        except ValueError:
            phrase = self.reason_phrase
        raise HTTPStatusError(f"{self.status_code} {phrase} for {self.method} {self.url}", self)

    @property
    def content(self) -> bytes:
        """The body."""
        if self._content is None:
            exchange = self._exchange
            if exchange.body:
                self._content = memory[exchange.body : exchange.body + exchange.length]
            elif exchange.pieces is None:
                self._content, exchange.copies = b"".join(exchange.copies or ()), None
            else:
                raise ResponseNotRead("the body was not read: call read() or, with AsyncClient, aread() before")
        return self._content

    def view(self) -> memoryview:
        """The body without a copy where that is cheaper. It stays valid whatever becomes of the client."""
        exchange = self._exchange
        if self._content is None and exchange.length >= VIEWED:
            lib.retain(exchange.head)
            return view(exchange.body, exchange.length, Owned(exchange.head))
        return memoryview(self.content)

    @property
    def charset_encoding(self) -> str | None:
        """The charset that Content-Type announces."""
        message = Message()
        message["Content-Type"] = self.headers.get("content-type", "")
        return message.get_content_charset()

    @property
    def encoding(self) -> str:
        """How `text` is decoded: what was announced, if Python knows it, else UTF-8. Can be set."""
        if self._encoding is None:
            self._encoding = self.charset_encoding or "utf-8"
            try:
                codecs.lookup(self._encoding)
            except LookupError:
                self._encoding = "utf-8"
        return self._encoding

    @encoding.setter
    def encoding(self, value: str) -> None:
        self._encoding = value

    @property
    def text(self) -> str:
        """The body as text; what cannot be decoded is replaced by U+FFFD."""
        return self.content.decode(self.encoding, "replace")

    def json(self, **options: Any) -> Any:
        """The body as JSON; `options` are those of `json.loads`. Raises `ValueError`."""
        return json.loads(self.content, **options)

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """The body in pieces of `chunk_size` bytes, or in one."""
        content = self.content
        size = chunk_size or len(content) or 1
        for at in range(0, len(content), size):
            yield content[at : at + size]

    def iter_text(self) -> Iterator[str]:
        """The body as text, in pieces."""
        decoder = codecs.getincrementaldecoder(self.encoding)("replace")
        for piece in self.iter_bytes():
            yield decoder.decode(piece)
        yield decoder.decode(b"", True)

    def iter_lines(self) -> Iterator[str]:
        """The body's lines, without their ends, which may be LF, CRLF or CR."""
        lines = Lines(self.encoding)
        for piece in self.iter_bytes():
            yield from lines.feed(piece)
        yield from lines.end()

    @property
    def elapsed(self) -> timedelta:
        """How long the exchange took, from the request to the end of the body."""
        return timedelta(microseconds=self._exchange.elapsed_ns / 1000)

    @property
    def timing(self) -> Timing:
        """Where the time went."""
        words = words_of(lib.response_timing, self._exchange.head, TIMING) or (0,) * 8
        return Timing(*(word / 1e9 for word in (*words[2:], self._exchange.elapsed_ns)))

    @property
    def connection(self) -> Connection:
        """The connection that the answer came over."""
        obj = self._exchange.head
        return Connection(
            text_of(lib.response_peer, obj),
            text_of(lib.response_local, obj),
            lib.response_connection_reused(obj) == 1,
            REASONS.get(lib.response_connection_reason(obj), ""),
            lib.response_attempt(obj),
        )

    @property
    def tls(self) -> TLSInfo | None:
        """What was agreed on for TLS; None for a plain connection."""
        return tls_info_of(self._exchange.head)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} [{self.status_code}]>"


class Lines:
    """Cuts pieces of text into lines."""

    def __init__(self, encoding: str) -> None:
        self.decoder = codecs.getincrementaldecoder(encoding)("replace")
        # The parts of a line whose end did not come yet.
        self.parts: list[str] = []
        self.after_cr = False

    def feed(self, piece: bytes, final: bool = False) -> Iterator[str]:
        text = self.decoder.decode(piece, final)
        if self.after_cr and text:
            # The end of the last piece may have been half of a CRLF.
            self.after_cr = False
            if text[0] == "\n":
                text = text[1:]
        if not text:
            return
        self.after_cr = text[-1] == "\r"
        *lines, rest = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        for line in lines:
            yield "".join([*self.parts, line])
            self.parts.clear()
        if rest:
            self.parts.append(rest)

    def end(self) -> Iterator[str]:
        yield from self.feed(b"", True)
        if self.parts:
            yield "".join(self.parts)


class Streamed(Response):
    """An answer whose body is still to be read."""

    __slots__ = ("_closed", "_downloaded", "_started")

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange)
        self._closed = False
        self._downloaded = 0
        self._started = False

    @property
    def num_bytes_downloaded(self) -> int:
        """How many bytes of the body were read so far."""
        return self._downloaded

    @property
    def is_closed(self) -> bool:
        """Whether nothing more can be read."""
        return self._closed

    @property
    def is_stream_consumed(self) -> bool:
        """Whether reading of the body has begun."""
        return self._started

    @property
    def content_length(self) -> int | None:
        """The length that was announced for the body; None if there was none."""
        length = lib.response_content_length(self._exchange.head)
        return None if length < 0 else length

    def _begin(self) -> None:
        if self._started:
            raise StreamConsumed("the body was read already")
        if self._closed:
            raise StreamClosed("the answer was closed")
        self._started = True

    def _next_piece(self) -> Piece | None:
        """A piece that is there. None: there is none now, or none any more if the exchange is done."""
        if self._closed:
            raise StreamClosed("the answer was closed while its body was read")
        exchange = self._exchange
        if exchange.pieces:
            piece = exchange.pieces.popleft()
            self._downloaded += piece[2]
            return piece
        if exchange.done:
            self._closed = True
            if exchange.error is not None:
                raise exchange.error
        return None

    def _give_up(self) -> None:
        self._closed = True
        self._exchange.engine.abandon(self._exchange)
        self._exchange.drop_pieces()


def copied(piece: Piece) -> bytes:
    """The bytes of a piece, whose credit goes back at once."""
    obj, address, length = piece
    copy = bytes_at(address, length)
    lib.release(obj)
    return copy


def lent(piece: Piece) -> memoryview:
    """The bytes of a piece without a copy; its credit goes back when the view is dropped."""
    obj, address, length = piece
    return view(address, length, Owned(obj))


class Chunks:
    """Cuts pieces anew, into chunks of one size."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.rest = bytearray()

    def feed(self, piece: bytes) -> Iterator[bytes]:
        self.rest += piece
        whole = len(self.rest) - len(self.rest) % self.size
        for at in range(0, whole, self.size):
            yield bytes(self.rest[at : at + self.size])
        del self.rest[:whole]

    def end(self) -> Iterator[bytes]:
        if self.rest:
            yield bytes(self.rest)


class StreamResponse(Streamed):
    """What `Client.stream` gives: the head has come, and the body comes as it is read.

    What is not read stays in the library up to `recv_credit` bytes; beyond that the server is slowed down.
    """

    __slots__ = ()

    def iter_views(self) -> Iterator[memoryview]:
        """The body as it comes, without copies: for the fastest way through. A view that is kept keeps its memory, and
        the credit of its bytes, whatever becomes of the answer and the client."""
        self._begin()
        while (piece := self._wait_piece()) is not None:
            yield lent(piece)

    def iter_bytes(self, chunk_size: int | None = None) -> Iterator[bytes]:
        """The body as it comes, or in chunks of `chunk_size` bytes."""
        if self._content is not None:
            yield from super().iter_bytes(chunk_size)
            return
        self._begin()
        chunks = Chunks(chunk_size) if chunk_size else None
        while (piece := self._wait_piece()) is not None:
            if chunks is None:
                yield copied(piece)
            else:
                yield from chunks.feed(copied(piece))
        if chunks is not None:
            yield from chunks.end()

    def read(self) -> bytes:
        """The whole body, which is `content` from then on."""
        if self._content is None:
            self._content = b"".join(self.iter_bytes())
        return self._content

    def close(self) -> None:
        """Give up what was not read; the connection goes with it. Does nothing after the end of the body."""
        self._give_up()

    def _wait_piece(self) -> Piece | None:
        exchange = self._exchange
        engine: SyncEngine = exchange.engine  # type: ignore[assignment]  # of this kind of answer
        while (piece := self._next_piece()) is None and not exchange.done:
            engine.step(exchange)
        return piece


class AsyncStreamResponse(Streamed):
    """What `AsyncClient.stream` gives: as `StreamResponse`, with httpx's names for what is awaited."""

    __slots__ = ()

    async def aiter_views(self) -> AsyncIterator[memoryview]:
        """As `StreamResponse.iter_views`."""
        self._begin()
        while (piece := await self._wait_piece()) is not None:
            yield lent(piece)

    async def aiter_bytes(self, chunk_size: int | None = None) -> AsyncIterator[bytes]:
        """The body as it comes, or in chunks of `chunk_size` bytes."""
        if self._content is not None:
            for chunk in self.iter_bytes(chunk_size):
                yield chunk
            return
        self._begin()
        chunks = Chunks(chunk_size) if chunk_size else None
        while (piece := await self._wait_piece()) is not None:
            if chunks is None:
                yield copied(piece)
            else:
                for chunk in chunks.feed(copied(piece)):
                    yield chunk
        if chunks is not None:
            for chunk in chunks.end():
                yield chunk

    async def aiter_text(self) -> AsyncIterator[str]:
        """The body as text, in pieces."""
        decoder = codecs.getincrementaldecoder(self.encoding)("replace")
        async for piece in self.aiter_bytes():
            yield decoder.decode(piece)
        yield decoder.decode(b"", True)

    async def aiter_lines(self) -> AsyncIterator[str]:
        """The body's lines, without their ends, which may be LF, CRLF or CR."""
        lines = Lines(self.encoding)
        async for piece in self.aiter_bytes():
            for line in lines.feed(piece):
                yield line
        for line in lines.end():
            yield line

    async def aread(self) -> bytes:
        """The whole body, which is `content` from then on."""
        if self._content is None:
            self._content = b"".join([piece async for piece in self.aiter_bytes()])
        return self._content

    async def aclose(self) -> None:
        """Give up what was not read; the connection goes with it. Does nothing after the end of the body."""
        self._give_up()

    async def _wait_piece(self) -> Piece | None:
        exchange = self._exchange
        engine: AsyncEngine = exchange.engine  # type: ignore[assignment]  # of this kind of answer
        while (piece := self._next_piece()) is None and not exchange.done:
            await engine.step(exchange)
        return piece
