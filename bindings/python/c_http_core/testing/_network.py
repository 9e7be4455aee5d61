"""The network of a test: what stands behind which address, what was asked, and a clock."""

from __future__ import annotations

import struct
import weakref
from collections.abc import Callable
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple, Union
from urllib.parse import urlsplit

from .. import _table as c
from .._failures import check
from .._ffi import lib, pin
from .._memory import give, take, text_of, words_of
from .._records import POINTERS, layout
from ._drive import AsyncMockEngine, SyncMockEngine
from ._reply import MockRequest, Reply, Step, steps_of
from ._requests import Inbox, Received
from ._tls import VERSIONS, Handshake

if TYPE_CHECKING:
    from typing_extensions import Self

    from .._async import AsyncEngine, Loop
    from .._config import OptionValue
    from .._sync import SyncEngine

__all__ = ["MockNetwork", "UnexpectedRequest"]

STEP = layout("mock_step")
RECORD = layout("mock_record")
NEVER = 2**64 - 1
Handler = Callable[[MockRequest], Reply]
Answer = Union[Reply, Handler]


PORTS = {"http": 80, "https": 443}


def greeting(url: str) -> list[Step]:
    """What a server does before it is asked."""
    return [Step(c.MOCK_TLS)] if urlsplit(url).scheme == "https" else []


class UnexpectedRequest(AssertionError):
    """A request for which there is no route."""


class Route(NamedTuple):
    method: str
    url: str
    #: Those that were not given yet; the last one stays.
    answers: list[Answer]

    def fits(self, request: MockRequest) -> bool:
        if self.method not in ("*", request.method):
            return False
        if self.url.endswith("*"):
            return request.url.startswith(self.url[:-1])
        return self.url == (request.url if "?" in self.url else request.url.partition("?")[0])


class MockNetwork:
    """A network that a test writes, given to a client as its `backend`; one client at a time.

    Hosts exist once they are named in a route or by `accept`, `refuse` or `hang`; other names are not found. A request
    that fits no route is answered with status 501, and so is one whose function raises; at the end of the `with` block
    that is raised, unless the block raises something itself.

    The clock is virtual. With `Client`, time passes inside of a call, to the next thing that happens; with
    `AsyncClient`, when no task has anything to do but to wait for answers. Nothing sleeps, so a test of a time-out of
    an hour takes none. Sleeping for oneself (`asyncio.sleep`) is by another clock, the real one.

    Hosts of https URLs have certificates of an authority of this network's own, which clients on it trust; one with a
    `TLSContext` has to be told: `TLSContext(ca=network.authority)`.
    """

    def __init__(self) -> None:
        scratch = take()
        try:
            POINTERS.pack_into(scratch.buffer, 0, 0, 0)
            code = lib.mock_new(scratch.address, scratch.address + POINTERS.size // 2)
            self._mock, error = POINTERS.unpack_from(scratch.buffer)
        finally:
            give(scratch)
        check(code, error)
        weakref.finalize(self, lib.release, self._mock).atexit = False
        self._start = lib.mock_now(self._mock)
        self._hosts: dict[str, str] = {}
        self._listening: set[str] = set()
        self._routes: list[Route] = []
        self._inboxes: list[Inbox] = []
        #: All requests that have come whole, in their order.
        self.requests: list[MockRequest] = []
        #: What the end of the `with` block raises: a request without a route, or what a function raised.
        self.failures: list[Exception] = []

    def route(self, method: str, url: str, *answers: Answer) -> None:
        """Answer requests of this method ("*": any) and URL.

        The URL has a scheme and a host. Without a query it fits whatever the query; a "*" at its end stands for any
        rest. The first route that fits is taken. An answer is a `Reply`, or a function that is given the `MockRequest`
        and returns one; of several, each is given once, in turn, and the last one ever after.
        """
        if not answers:
            raise TypeError("a route has an answer")
        self._accept_others(url)
        parts = urlsplit(url)
        # As the request tells it: Host has no default port, and no target is empty.
        host = parts.netloc.lower()
        host = host[: -len(port)] if host.endswith(port := f":{PORTS[parts.scheme]}") else host
        rest = url.partition("://")[2][len(parts.netloc) :]
        rest = rest if rest.startswith("/") else f"/{rest}"
        self._routes.append(Route(method.upper(), f"{parts.scheme}://{host}{rest}", list(answers)))

    def accept(self, url: str, *, delay: float = 0.0) -> None:
        """Accept connections to the host and port of a URL, after so many seconds. A route does that without delay."""
        self._listen(url, [Step(c.MOCK_CONNECT_DELAY, number=int(delay * 1e9)), *greeting(url)], None)

    def refuse(self, url: str, *, times: int | None = None) -> None:
        """Refuse connections to the host and port of a URL: the next ones of that number, or all from now on."""
        self._listen(url, [Step(c.MOCK_REFUSE)], times)

    def hang(self, url: str, *, times: int | None = None) -> None:
        """The same, but attempts to connect have no outcome: what ends them is a time-out."""
        self._listen(url, [Step(c.MOCK_HANG)], times)

    def tls(
        self,
        url: str,
        *,
        times: int | None = None,
        version: str | None = None,
        cipher: str | None = None,
        alpn: str | None = None,
        name: str | None = None,
        expired: bool = False,
        not_yet_valid: bool = False,
        unknown_ca: bool = False,
        alert: int | None = None,
    ) -> None:
        """How the host and port of an https URL answer handshakes: the next ones of that number, or all from now on.
        Without this they succeed, and the application protocol is "http/1.1".

        Args:
            version: the only one it speaks, "TLSv1.2" or "TLSv1.3".
            cipher: the only cipher suite it takes, as the IANA registry names it: of TLS 1.3, or with ECDSA.
            alpn: the only application protocol it knows; "" if it knows nothing of them.
            name: whom its certificate is for, instead of whom the client asks for.
            expired: the certificate has expired in 2001.
            not_yet_valid: it is valid from 9999 on.
            unknown_ca: it is from an authority that nobody knows.
            alert: answer with this alert (RFC 8446 section 6), 1 to 255, and close.
        """
        if urlsplit(url).scheme != "https":
            raise ValueError(f"the URL must begin with https://: {url!r}")
        if version is not None and version not in VERSIONS:
            raise ValueError(f"version must be one of {', '.join(VERSIONS)}, not {version!r}")
        if alert is not None and not 1 <= alert <= 255:
            raise ValueError(f"alert must be within 1 and 255, not {alert}")
        flaws = (
            (c.MOCK_TLS_EXPIRED, expired),
            (c.MOCK_TLS_NOT_YET_VALID, not_yet_valid),
            (c.MOCK_TLS_UNKNOWN_CA, unknown_ca),
        )
        flags = sum(flag for flag, is_set in flaws if is_set)
        number = 0 if version is None else VERSIONS[version]
        wanted = Handshake(flags, number, alert or 0, alpn, name, cipher)
        self._listen(url, [Step(c.MOCK_TLS, handshake=wanted)], times)

    @property
    def authority(self) -> bytes:
        """The certificate, in PEM, of the authority that vouches for the hosts of https URLs."""
        return text_of(lib.mock_authority, self._mock).encode()

    @property
    def time(self) -> float:
        """Seconds that have passed on the clock."""
        return (lib.mock_now(self._mock) - self._start) / 1e9

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        check(lib.mock_advance(self._mock, int(seconds * 1e9)))

    @property
    def connections(self) -> int:
        """How many connections were tried, refused ones too."""
        return check(lib.mock_connection_count(self._mock))

    def sent(self, connection: int) -> bytes:
        """All bytes that the client has sent on a connection, from 0."""
        _, _, length, *_ = self._record(connection)
        room = bytearray(length + 1)
        address, _pinned = pin(room)
        check(lib.mock_sent(self._mock, connection, address, length, 0))
        return bytes(room[:length])

    def _record(self, connection: int) -> tuple[int, ...]:
        record = words_of(lambda mock, out, size: lib.mock_connection(mock, connection, out, size), self._mock, RECORD)
        if record is None:
            raise IndexError(f"there was no connection {connection}")
        return record

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self.failures:
            raise self.failures[0]

    # --- for the clients ---

    def _sync_engine(self, options: dict[str, OptionValue]) -> SyncEngine:
        return SyncMockEngine(self._trusting(options), self, self._mock)

    def _async_engine(self, options: dict[str, OptionValue], loop: Loop) -> AsyncEngine:
        return AsyncMockEngine(self._trusting(options), loop, self, self._mock)

    def _trusting(self, options: dict[str, OptionValue]) -> dict[str, OptionValue]:
        if "tls" in options:
            # Whom to trust was said, and is not for us to change.
            return options
        others = options.get("tls_ca_pem", b"")
        others = others if isinstance(others, bytes) else str(others).encode()
        return {**options, "tls_ca_pem": self.authority + others}

    def play(self) -> bool:
        """Answer what has come whole. False: there was nothing."""
        played = False
        for number in range(self.connections):
            if number == len(self._inboxes):
                self._inboxes.append(Inbox())
            inbox = self._inboxes[number]
            data = self.sent(number)[inbox.seen :]
            if not data:
                continue
            if self._record(number)[1] & c.MOCK_SECURED:
                inbox.scheme = "https"
            inbox.feed(data)
            while (received := inbox.take()) is not None:
                self._extend(number, self._answer(received, number))
                played = True
            if inbox.wants_continue:
                inbox.wants_continue = False
                self._extend(number, [Step(c.MOCK_SEND, b"HTTP/1.1 100 Continue\r\n\r\n")])
                played = True
        return played

    def pass_time(self) -> bool:
        """Let time pass to what happens next. False: nothing ever will."""
        scratch = take()
        try:
            check(lib.mock_next_event(self._mock, scratch.address))
            (at,) = struct.unpack_from("Q", scratch.buffer)
        finally:
            give(scratch)
        if at == NEVER:
            return False
        check(lib.mock_advance(self._mock, max(at - lib.mock_now(self._mock), 0)))
        return True

    def _answer(self, received: Received, connection: int) -> list[Step]:
        request = MockRequest(received.method, received.url, received.headers, bytes(received.body), connection)
        self.requests.append(request)
        try:
            return steps_of(self._reply_to(request), request.method)
        except Exception as error:
            self.failures.append(error)
            return steps_of(Reply(501, f"{type(error).__name__}: {error}"), request.method)

    def _reply_to(self, request: MockRequest) -> Reply:
        for route in self._routes:
            if route.fits(request):
                answer = route.answers.pop(0) if len(route.answers) > 1 else route.answers[0]
                reply = answer if isinstance(answer, Reply) else answer(request)
                if not isinstance(reply, Reply):
                    raise TypeError(f"the function of a route returns a Reply, not {type(reply).__name__}")
                return reply
        raise UnexpectedRequest(f"there is no route for {request.method} {request.url}")

    # --- for the library ---

    def _listen(self, url: str, steps: list[Step], times: int | None) -> None:
        """Put a script behind the address of a URL: for the next connections, or for all."""
        address = self._address(url)
        for _ in range(1 if times is None else times):
            self._place(address, steps, c.MOCK_ALWAYS if times is None else 0)
        if times is None:
            self._listening.add(address)
        else:
            self._accept_others(url)

    def _accept_others(self, url: str) -> None:
        address = self._address(url)
        if address not in self._listening:
            self._listening.add(address)
            self._place(address, greeting(url), c.MOCK_ALWAYS)

    def _address(self, url: str) -> str:
        """The address and port that stand for the host of a URL; a name gets an address of its own."""
        parts = urlsplit(url)
        if parts.scheme not in PORTS or not parts.hostname:
            raise ValueError(f"the URL must begin with http:// or https://, and a host: {url!r}")
        host = parts.hostname
        try:
            plain = ip_address(host)
        except ValueError:
            address = self._hosts.get(host)
            if address is None:
                # 198.18.0.0/15 is for tests of networks (RFC 2544).
                number = len(self._hosts) + 1
                address = self._hosts[host] = f"198.{18 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"
                self._resolve(host, address)
        else:
            address = f"[{plain}]" if plain.version == 6 else str(plain)
        return f"{address}:{parts.port or PORTS[parts.scheme]}"

    def _resolve(self, host: str, address: str) -> None:
        name, text = host.encode(), address.encode()
        memory = Memory(name + text)
        code = lib.mock_resolve(
            self._mock, memory.address, len(name), memory.address + len(name), len(text), memory.error_address
        )
        check(code, memory.error)

    def _place(self, address: str, steps: list[Step], flags: int) -> None:
        text = address.encode()
        memory = Memory(text, steps)
        code = lib.mock_listen(
            self._mock, memory.address, len(text), memory.steps_address, len(steps), flags, memory.error_address
        )
        check(code, memory.error)

    def _extend(self, connection: int, steps: list[Step]) -> None:
        memory = Memory(b"", steps)
        check(
            lib.mock_extend(self._mock, connection, memory.steps_address, len(steps), memory.error_address),
            memory.error,
        )


def data_of(step: Step, address: int) -> bytes:
    """What stands at an address for a step."""
    return step.data if step.handshake is None else step.handshake.pack(address)


class Memory:
    """What one call reads: a place for an error, steps, the bytes of those, and a text."""

    def __init__(self, text: bytes, steps: list[Step] | tuple[Step, ...] = ()) -> None:
        start = POINTERS.size + STEP.size * len(steps)
        size = sum(len(data_of(step, 0)) for step in steps)
        self.buffer = bytearray(start + size) + text + b"\0"
        self.error_address, self._pinned = pin(self.buffer)
        self.steps_address = self.error_address + POINTERS.size
        #: Of the text.
        self.address = self.error_address + start + size
        for number, step in enumerate(steps):
            at = self.error_address + start
            data = data_of(step, at)
            self.buffer[start : start + len(data)] = data
            length = len(data) if step.handshake is None else step.handshake.size
            STEP.pack_into(self.buffer, POINTERS.size + STEP.size * number, step.kind, 0, at, length, step.number)
            start += len(data)

    @property
    def error(self) -> int:
        """The error object that the call has put there, or 0."""
        error: int = POINTERS.unpack_from(self.buffer)[0]
        return error
