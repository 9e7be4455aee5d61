"""An engine of the library with its queue: what the sync and the async client have in common."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Mapping
from itertools import count
from typing import TYPE_CHECKING, Any

from . import _table as c
from ._body import FileBody
from ._codes import EngineClosedError, ForkedError
from ._config import Config, OptionValue
from ._exchange import Exchange
from ._failures import check
from ._ffi import lib, pin
from ._memory import give, take, words_of
from ._records import EVENT, POINTERS, REQUEST, REQUEST_SHORT, fields, layout
from ._request import METHODS, Opening, full_url
from ._template import ERROR, TOKEN, XID, Template
from ._upload import Upload

if TYPE_CHECKING:
    from ._request import Defaults, Prepared, Tail

__all__ = ["BATCH", "Engine", "let_go", "making"]

# Events that are taken from the queue at a time.
BATCH = 256
# A body of more bytes than this is pinned where it is instead of being copied into scratch memory first; the library
# copies up to 64 KiB all the same, and borrows what is larger.
COPIED = 4096
STATS = layout("stats")
WEBSOCKET = layout("websocket")
ALIGNMENT = 8
# The fields of a request behind those that stand in the order of `Tail`.
LAST = fields("request")[fields("request").index("interface_len") + 1 :]
SSE = layout("sse")


def let_go(engine: int, queue: int) -> None:
    """The end of an engine that nobody has closed. Does not wait, because a finalizer must not.

    In a forked child the library leaves the parent's alone.
    """
    lib.engine_release(engine)
    lib.queue_destroy(queue)


class Engine:
    """An engine and one queue, with the calls that concern an exchange. Those are thread-safe.

    Exchanges are kept by token until their last event. `guard` is held during calls that need the engine, so that none
    is under way when it is destroyed; it is reentrant, because a finalizer may run inside.
    """

    def __init__(self, options: Mapping[str, OptionValue], backend: int = 0) -> None:
        with Config(options) as config:
            if backend:
                config.set_object(c.OPT_BACKEND, backend)
            self.engine = config.make("engine_new")
        scratch = take()
        try:
            code = lib.queue_new(self.engine, scratch.address)
            self.queue, _ = POINTERS.unpack_from(scratch.buffer)
        finally:
            give(scratch)
        if code < 0:
            lib.engine_destroy(self.engine)
            check(code)
        #: Negative on a mock.
        self.fd = lib.queue_fd(self.queue)
        self.guard = threading.RLock()
        self.closed = False
        #: Whether this is a forked child and the engine the parent's.
        self.forked = False
        self.tokens = count(1)
        #: By method, for answers that are collected and that are not.
        self.collecting: dict[str, Template] = {}
        self.streaming: dict[str, Template] = {}
        # Of each request, and not methods: those would be looked for in the class first.
        self.submit_packed = lib.submit_packed
        self.release = lib.release
        #: Where the events of a batch stand, oldest first.
        self.events = bytearray(BATCH * EVENT.size)
        self.window = memoryview(self.events)
        self.events_address, self._pinned = pin(self.events)
        self._finalizer: weakref.finalize[..., Any] = weakref.finalize(self, let_go, self.engine, self.queue)
        self._finalizer.atexit = False
        _engines.add(self)

    def register(self, exchange: Exchange) -> None:
        """Let events with the exchange's token reach it."""
        raise NotImplementedError

    def forget(self, token: int) -> None:
        """No event with this token comes any more."""
        raise NotImplementedError

    def disown(self, exchange: Exchange) -> None:
        """Let further events of the exchange be released; nobody waits for them."""
        raise NotImplementedError

    def submit(self, request: Prepared, exchange: Exchange, collect: bool) -> None:
        """Hand a request to the library. On return the exchange is under way; on an exception it is not."""
        method, url, target, block, flags, body, length, tail = request
        upload = None
        pointer, offset, fd, text = 0, 0, -1, b""
        if body is not None:
            if isinstance(body, (bytes, memoryview)):
                if length > COPIED:
                    pointer, exchange.kept = pin(body)
                    exchange.kept = (exchange.kept, body)
                else:
                    text = bytes(body)
            elif isinstance(body, FileBody):
                offset, fd = body.offset, body.fd
            else:
                upload = Upload(exchange, body)
        if collect:
            flags |= c.REQ_COLLECT
        texts = b"".join((url, method, target, block, text))
        record = REQUEST_SHORT if tail is None else REQUEST
        start = record.size + POINTERS.size
        rest: tuple[int, ...] = ()
        more = b""
        scratch = take(start + len(texts) + (0 if tail is None else room_for(tail)))
        try:
            at = scratch.address + start
            end = start + len(texts)
            if tail is not None:
                rest, more = place_tail(tail, scratch.address + end)
                scratch.buffer[end : end + len(more)] = more
            scratch.buffer[start:end] = texts
            token = exchange.token = next(self.tokens)
            self.register(exchange)
            a, b = at + len(url), at + len(url) + len(method)
            d = b + len(target)
            record.pack_into(
                scratch.buffer,
                0,
                record.size,
                flags,
                token,
                at,
                len(url),
                a if method else 0,
                len(method),
                b if target else 0,
                len(target),
                0,
                0,
                d if block else 0,
                len(block),
                pointer or (d + len(block) if text else 0),
                length,
                offset,
                fd,
                0,
                *rest,
            )
            POINTERS.pack_into(scratch.buffer, record.size, 0, 0)
            try:
                code = self.locked_submit(scratch.address, record.size)
                exchange.xid, error = POINTERS.unpack_from(scratch.buffer, record.size)
                check(code, error)
            except BaseException:
                self.give_up(exchange, POINTERS.unpack_from(scratch.buffer, record.size)[0])
                raise
            if upload is not None:
                exchange.upload = upload
            give(scratch)
        except BaseException:
            # A signal's handler may have raised behind the submission, too.
            if exchange.xid:
                self.abandon(exchange)
            raise

    def submit_plain(self, method: str, url: str, defaults: Defaults, collect: bool) -> Exchange | None:
        """The same for a request that is nothing but a method, a URL and fields: None if it is none of those that are
        packed once."""
        template = (self.collecting if collect else self.streaming).get(method)
        if template is None or url != template.given or template.block is not template.headers._block:
            template = self.template(method, url, defaults, collect)
            if template is None:
                return None
        exchange = Exchange(self, method, template.url, not collect)
        token = exchange.token = next(self.tokens)
        words = template.words
        words[TOKEN] = token
        words[XID] = 0
        self.register(exchange)
        try:
            if self.closed:
                raise EngineClosedError("the client was closed")
            submit = self.submit_packed
            code = submit(template.submission)
            exchange.xid = words[XID]
            if code:
                error, words[ERROR] = words[ERROR], 0
                check(code, error)
        except BaseException:
            self.give_up(exchange, words[XID])
            raise
        return exchange

    def template(self, method: str, url: str, defaults: Defaults, collect: bool) -> Template | None:
        """One that holds the request."""
        whole, headers = full_url(defaults, url, None), defaults.headers
        templates, flags = (self.collecting, c.REQ_COLLECT) if collect else (self.streaming, 0)
        template = templates.get(method)
        if template is None or template.headers is not headers or template.block is not headers.block():
            if method not in METHODS:
                return None
            template = templates[method] = Template(self.engine, self.queue, METHODS[method], headers, flags)
        if whole != template.url and not template.put(whole):
            return None
        # What became another one may become yet another the next time.
        template.given = url if whole is url else None
        return template

    def give_up(self, exchange: Exchange, xid: int) -> None:
        """A submission failed, or a signal's handler has raised; then it may be under way all the same."""
        if xid:
            exchange.xid = xid
            self.abandon(exchange)
        else:
            self.forget(exchange.token)
            exchange.done = True

    def locked_submit(self, request: int, size: int) -> int:
        xid = request + size
        with self.guard:
            if self.closed:
                raise EngineClosedError("the client was closed")
            return lib.submit(self.engine, self.queue, request, 1, 0, xid, xid + POINTERS.size // 2)

    def body_write(self, xid: int, piece: bytes | memoryview) -> int:
        address, _pinned = pin(piece)
        return self.body_write_at(xid, address, len(piece))

    def body_write_at(self, xid: int, address: int, length: int) -> int:
        with self.guard:
            return c.E_NOT_FOUND if self.closed else lib.body_write(self.engine, xid, address, length)

    def body_end(self, xid: int) -> int:
        with self.guard:
            return c.E_NOT_FOUND if self.closed else lib.body_end(self.engine, xid, 0, 0, 0)

    def start_tls(self, xid: int, tls: int, name: bytes) -> None:
        """TLS from here on, on an open stream; `tls` is a chttp_tls, or 0 for the engine's own."""
        size = POINTERS.size + len(name)
        scratch = take(size)
        try:
            scratch.buffer[:size] = bytes(POINTERS.size) + name
            at = scratch.address + POINTERS.size
            with self.guard:
                if self.closed:
                    raise EngineClosedError("the engine was closed")
                code = lib.stream_start_tls(self.engine, xid, tls, at, len(name), scratch.address)
            error, _ = POINTERS.unpack_from(scratch.buffer)
        finally:
            give(scratch)
        check(code, error)

    def descriptor(self, xid: int) -> int:
        """That of an open stream, or a code."""
        with self.guard:
            return c.E_NOT_FOUND if self.closed else lib.stream_fd(self.engine, xid)

    def abandon(self, exchange: Exchange) -> None:
        """Cancel an exchange of which nobody wants to hear any more. May be called on any thread, in finalizers too."""
        if exchange.done:
            self.forget(exchange.token)
            return
        exchange.upload = None
        self.disown(exchange)
        with self.guard:
            if not self.closed and exchange.xid:
                lib.cancel(self.engine, exchange.xid)
        exchange.drop_pieces()

    def stats(self) -> dict[str, int]:
        with self.guard:
            words = None if self.closed else words_of(lib.engine_stats, self.engine, STATS)
        if words is None:
            raise ForkedError("the client belongs to the parent") if self.forked else EngineClosedError("it was closed")
        return dict(zip(fields("stats")[2:], words[2:]))

    def drain_events(self) -> int:
        """Move events that are there from the queue to `events`. How many, or a code."""
        return lib.queue_drain(self.queue, self.events_address, BATCH, EVENT.size)

    def after_fork(self) -> None:
        """In a child. A lock may be held by a thread that exists in the parent alone."""
        self.forked = True
        self.guard = threading.RLock()

    def destroy(self) -> None:
        """End the engine; every exchange has its last event in the queue then. Nobody may wait for events."""
        if self._finalizer.detach() is not None:
            lib.engine_destroy(self.engine)

    def destroy_queue(self) -> None:
        lib.queue_destroy(self.queue)


def room_for(tail: Tail) -> int:
    room = sum(len(text or b"\0") for text in (tail.unix_path, tail.connect_to, tail.local_address, tail.interface))
    if tail.special is None:
        return room
    record = WEBSOCKET if isinstance(tail.special, Opening) else SSE
    return room + ALIGNMENT + record.size + len(tail.special[1])


def place_tail(tail: Tail, address: int) -> tuple[tuple[int, ...], bytes]:
    """The fields of a request behind `reserved`, with texts that are to stand at `address`."""
    more = bytearray()

    def text(value: bytes | None) -> tuple[int, int]:
        if value is None:
            return 0, 0
        at = address + len(more)
        # Nothing stands at the address of an empty text, but there is one.
        more.extend(value or b"\0")
        return at, len(value)

    unix, connect, local, interface = (
        text(value) for value in (tail.unix_path, tail.connect_to, tail.local_address, tail.interface)
    )
    tls = 0 if tail.tls is None else tail.tls.address
    last = dict.fromkeys(LAST, 0)
    if tail.special is not None:
        flags, words, *numbers = tail.special
        name, record = ("websocket", WEBSOCKET) if isinstance(tail.special, Opening) else ("sse", SSE)
        more += bytes(-(address + len(more)) % ALIGNMENT)
        at = last[name] = address + len(more)
        rest = (0,) * (len(fields(name)) - 4 - len(numbers))
        more += record.pack(record.size, flags, at + record.size if words else 0, len(words), *numbers, *rest) + words
    texts = (*connect, *local, *interface)
    return (*unix, tail.recv_credit, tail.collect_max, *tail.timeouts, tls, *texts, *last.values()), bytes(more)


class Making:
    """What is held while a thread makes an engine that others may want, too."""

    lock = threading.Lock()


making = Making()
_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


def after_fork() -> None:
    """In a child: the engines are the parent's. Their clients make new ones."""
    for engine in list(_engines):
        engine.after_fork()
    making.lock = threading.Lock()


os.register_at_fork(after_in_child=after_fork)
