"""From the arguments of a call to what the library is given."""

from __future__ import annotations

import base64
import os
from typing import Any, NamedTuple, TypedDict, Union
from urllib.parse import quote, urlsplit, urlunsplit

from . import _table as c
from ._body import Body, Content, Data, FileBody, as_body, encode_form, encode_json
from ._config import UNSET, Path, Timeout, TimeoutTypes, TLSContext, Unset
from ._headers import Headers, HeaderTypes

__all__ = ["METHODS", "Defaults", "Opening", "Prepared", "RequestOptions", "Subscription", "full_url", "prepare"]

ParamTypes = Union[Data, str]


class RequestOptions(TypedDict, total=False):
    """What every request can be given."""

    #: The body: bytes, str (as UTF-8), a binary file, an iterable or, with `AsyncClient`, an async iterable of bytes.
    #: A regular file is read by the library from its position on, which is not moved. What is iterated over is sent
    #: chunked, unless `headers` has its Content-Length.
    content: Content | None
    #: A form: a mapping or pairs, sent as application/x-www-form-urlencoded.
    data: Data | None
    #: A value that is sent as JSON. None is no body; as a value it is `content="null"`.
    json: Any
    #: Put behind the URL as its query, behind what it has.
    params: ParamTypes | None
    #: Fields to send. They take the place of the client's fields of the same names.
    headers: HeaderTypes | None
    #: Name and password, for Authorization: Basic.
    auth: tuple[str, str] | None
    #: Seconds for each phase, None for no limits, or a `Timeout`. What is not set is the client's.
    timeout: TimeoutTypes | Unset
    #: Whom to trust and who we are, instead of the client's.
    tls: TLSContext | None
    #: The request-target to send instead of the URL's (RFC 9112 section 3.2), for example "*".
    target: str | None
    #: Send `Expect: 100-continue` and hold the body back until the server wants it.
    expect_continue: bool
    #: Do not use the connection again.
    close_connection: bool
    #: The path of a Unix socket to connect to instead of the URL's host; "\\0name" in the abstract namespace.
    unix_socket: Path | bytes | None
    #: The address to connect to instead of the URL's host: "127.0.0.1:8443", "[::1]:443", "unix:path".
    connect_to: str | None
    #: The address of this machine to connect from, without a port; "" for none where the client has one.
    local_address: str | None
    #: The network interface to connect through, by name; "" for none where the client has one.
    interface: str | None
    #: Bytes of the body that may wait here before the server is slowed down; default 1 MiB.
    recv_credit: int | None
    #: The largest body that is handed over in one piece; default 1 MiB.
    collect_max: int | None


class Defaults(NamedTuple):
    """What a client adds to each request."""

    base_url: str
    headers: Headers
    params: ParamTypes | None
    auth: tuple[str, str] | None
    tls: TLSContext | None


class Prepared(NamedTuple):
    """A request as the library takes it: texts, and what becomes of the fields behind `reserved`, if any is needed."""

    method: bytes
    url: bytes
    target: bytes
    block: bytes
    flags: int
    body: Body
    length: int
    tail: Tail | None


class Opening(NamedTuple):
    """What is wanted of a WebSocket: the fields of chttp_websocket that we use, but for the first."""

    flags: int
    protocols: bytes
    max_message: int
    max_frame: int
    heartbeat_ns: int
    pong_timeout_ns: int
    close_timeout_ns: int


class Subscription(NamedTuple):
    """What a request for a stream of events asks for: the fields of chttp_sse, but for the first."""

    flags: int
    last_event_id: bytes
    retry_ns: int
    retry_max_ns: int
    max_attempts: int
    line_max: int
    event_max: int


class Tail(NamedTuple):
    """Fields of a request that few need."""

    unix_path: bytes | None
    recv_credit: int
    collect_max: int
    timeouts: tuple[int, ...]
    tls: TLSContext | None
    connect_to: bytes | None
    local_address: bytes | None
    interface: bytes | None
    special: Opening | Subscription | None = None


NO_TIMES = (0,) * len(Timeout.ORDER)
METHODS = {name: name.encode() for name in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")}
OPTIONS = frozenset(RequestOptions.__annotations__)
# Options that make the tail necessary.
RARE = frozenset(
    ("timeout", "tls", "unix_socket", "connect_to", "local_address", "interface", "recv_credit", "collect_max")
)


def prepare(
    defaults: Defaults,
    method: str,
    url: str,
    options: RequestOptions,
    special: Opening | Subscription | None = None,
    flags: int = 0,
) -> Prepared:
    url = full_url(defaults, url, options.get("params"))
    headers, body, length = defaults.headers, None, 0
    if options:
        if not OPTIONS.issuperset(options):
            unknown = ", ".join(sorted(set(options) - OPTIONS))
            raise TypeError(f"a request has no option {unknown}; it has {', '.join(sorted(OPTIONS))}")
        if given := options.get("headers"):
            headers = headers.merged(given)
        body, kind = body_of(options)
        if kind and "content-type" not in headers:
            headers = headers.copy()
            headers["Content-Type"] = kind
        if options.get("expect_continue"):
            flags |= c.REQ_EXPECT_CONTINUE
        if options.get("close_connection"):
            flags |= c.REQ_CLOSE
    if isinstance(special, Subscription):
        flags |= c.REQ_SSE
        if headers.get("accept") == "*/*":
            # The library says what is wanted, unless somebody else has.
            headers = headers.copy()
            del headers["accept"]
    auth = options.get("auth", defaults.auth)
    if auth is not None and "authorization" not in headers:
        headers = headers.copy()
        headers["Authorization"] = "Basic " + base64.b64encode(":".join(auth).encode()).decode()
    if body is not None:
        if isinstance(body, (bytes, memoryview)):
            length = len(body)
        elif isinstance(body, FileBody):
            flags |= c.REQ_FILE_BODY
            length = body.length
        else:
            flags |= c.REQ_STREAM_BODY
            announced = headers.get("content-length", "")
            length = int(announced) if announced.isdecimal() else c.LENGTH_UNKNOWN
    needed = special is not None or defaults.tls is not None or not RARE.isdisjoint(options)
    return Prepared(
        METHODS.get(method) or method.encode(),
        url.encode(),
        (options.get("target") or "").encode(),
        headers.block(),
        flags,
        body,
        length,
        tail_of(defaults, options, special) if needed else None,
    )


def body_of(options: RequestOptions) -> tuple[Body, str]:
    """The body, and the media type that goes with it."""
    given = [name for name in ("content", "data", "json") if options.get(name) is not None]
    if len(given) > 1:
        raise TypeError(f"a request has one body, not {' and '.join(given)}")
    if not given:
        return None, ""
    if given == ["json"]:
        return encode_json(options["json"]), "application/json"
    if given == ["data"]:
        data = options["data"]
        if isinstance(data, (str, bytes)):
            raise TypeError("data is a form; other bodies are content")
        return encode_form(data or {}).encode(), "application/x-www-form-urlencoded"
    return as_body(options["content"]), ""


def tail_of(defaults: Defaults, options: RequestOptions, special: Opening | Subscription | None) -> Tail:
    timeout = options.get("timeout", UNSET)
    unix = options.get("unix_socket")
    return Tail(
        None if unix is None else os.fsencode(unix),
        options.get("recv_credit") or 0,
        options.get("collect_max") or 0,
        NO_TIMES if timeout is UNSET else Timeout.of(timeout).words(),
        options.get("tls") or defaults.tls,
        encoded(options.get("connect_to")),
        encoded(options.get("local_address")),
        encoded(options.get("interface")),
        special,
    )


def encoded(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def full_url(defaults: Defaults, url: str, params: ParamTypes | None) -> str:
    """The URL with its query, in ASCII."""
    if not isinstance(url, str):
        raise TypeError(f"url must be a str, not {type(url).__name__}")
    if not (defaults.base_url or defaults.params or params) and url.isascii() and " " not in url:
        return url
    if defaults.base_url and "://" not in url.split("?", 1)[0]:
        url = f"{defaults.base_url.rstrip('/')}/{url.lstrip('/')}" if url else defaults.base_url
    query = "&".join(part for part in (query_of(defaults.params), query_of(params)) if part)
    if query:
        url, hash_sign, fragment = url.partition("#")
        url += ("&" if urlsplit(url).query else "" if url.endswith("?") else "?") + query + hash_sign + fragment
    return url if url.isascii() and " " not in url else escaped(url)


def query_of(params: ParamTypes | None) -> str:
    if not params:
        return ""
    return params.lstrip("?") if isinstance(params, str) else encode_form(params)


def escaped(url: str) -> str:
    """The host as IDNA has it, the rest with percent signs."""
    parts = urlsplit(url)
    host = parts.netloc if parts.netloc.isascii() else parts.netloc.encode("idna").decode()
    safe = "%/:=&?~#+!$,;'@()*[]"
    return urlunsplit((parts.scheme, host, quote(parts.path, safe), quote(parts.query, safe), ""))
