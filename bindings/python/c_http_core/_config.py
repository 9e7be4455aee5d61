"""What can be set for a client or a request: times, limits and TLS."""

from __future__ import annotations

import enum
import math
import os
import weakref
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, Union

from . import _table as c
from ._failures import check
from ._ffi import lib
from ._memory import give, take
from ._records import POINTERS

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["UNSET", "Config", "Limits", "OptionValue", "Path", "TLSContext", "Timeout", "TimeoutTypes", "Unset"]

# A TLSContext is the value of `tls`, and of nothing else.
OptionValue = Union[int, str, bytes, "TLSContext"]
Path = Union[str, "os.PathLike[str]"]


class Unset(enum.Enum):
    """The default of what may be None."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET
Seconds = Union[float, None, Unset]


def nanoseconds(seconds: Seconds) -> int:
    """As requests have it: 0 for what is not set, and UNLIMITED for None."""
    if seconds is UNSET:
        return 0
    if seconds is None or seconds == math.inf:
        return c.UNLIMITED
    try:
        usable = seconds >= 0
    except TypeError:
        kind = type(seconds).__name__
        raise TypeError(f"a time is a number of seconds or None, and times are a Timeout, not {kind}") from None
    if not usable:
        raise ValueError(f"a time must not be negative: {seconds!r}")
    # 0 is no time at all, which the library would take for its default.
    return min(max(int(seconds * 1e9), 1), c.UNLIMITED - 1)


class Timeout:
    """Times in seconds, of which each has an exception of its own; None is no limit.

    The first argument is for all of the phases (pool, dns, connect, tls, write, read); None there is no limit at all.
    Others set one phase, or `total`. `connect` stands for dns and tls too, where they are not set. What is not set at
    all is the client's, and for a client the library's default: pool 60 s, dns, connect and tls 30 s, write 60 s, read
    300 s, expect 1 s.

    Args:
        pool: the wait for a connection (`PoolTimeout`).
        dns: the name (`DNSTimeout`).
        connect: the connection, all addresses together (`ConnectTimeout`).
        tls: the TLS handshake (`TLSTimeout`).
        write: the server takes no byte of the request (`WriteTimeout`).
        first_byte: from the end of the request to the first byte of the answer (`FirstByteTimeout`).
        read: nothing comes from the server (`ReadTimeout`). Time in which nobody reads the body does not count.
        total: all of it (`TotalTimeout`).
        expect: the wait for 100 (Continue), after which the body is sent: no failure.
    """

    __slots__ = ("_words", "connect", "dns", "expect", "first_byte", "pool", "read", "tls", "total", "write")

    # As they stand in chttp_request.
    ORDER = ("total", "pool", "dns", "connect", "write", "first_byte", "read", "expect", "tls")

    def __init__(
        self,
        timeout: Seconds = UNSET,
        *,
        pool: Seconds = UNSET,
        dns: Seconds = UNSET,
        connect: Seconds = UNSET,
        tls: Seconds = UNSET,
        write: Seconds = UNSET,
        first_byte: Seconds = UNSET,
        read: Seconds = UNSET,
        total: Seconds = UNSET,
        expect: Seconds = UNSET,
    ) -> None:
        connecting = timeout if connect is UNSET else connect
        # A number is for phases, which would not bound these; None is for all.
        others = None if timeout is None else UNSET
        self.pool: Seconds = timeout if pool is UNSET else pool
        self.dns: Seconds = connecting if dns is UNSET else dns
        self.connect: Seconds = connecting
        self.tls: Seconds = connecting if tls is UNSET else tls
        self.write: Seconds = timeout if write is UNSET else write
        self.first_byte: Seconds = others if first_byte is UNSET else first_byte
        self.read: Seconds = timeout if read is UNSET else read
        self.total: Seconds = others if total is UNSET else total
        self.expect: Seconds = expect
        self._words = tuple(nanoseconds(getattr(self, name)) for name in self.ORDER)

    @classmethod
    def of(cls, timeout: TimeoutTypes) -> Timeout:
        return timeout if isinstance(timeout, Timeout) else cls(timeout)

    def words(self) -> tuple[int, ...]:
        """The fields of a request, in nanoseconds."""
        return self._words

    def options(self) -> dict[str, OptionValue]:
        """The options of an engine."""
        limited = {name: word for name, word in zip(self.ORDER, self._words) if word}
        return {f"{name}_timeout_ns": -1 if word == c.UNLIMITED else word for name, word in limited.items()}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Timeout) and self._words == other._words

    def __hash__(self) -> int:
        return hash(self._words)

    def __repr__(self) -> str:
        values = {name: getattr(self, name) for name in self.ORDER}
        shown = ", ".join(f"{name}={value!r}" for name, value in values.items() if value is not UNSET)
        return f"Timeout({shown})"


TimeoutTypes = Union[Timeout, float, None]


class Limits(NamedTuple):
    """Bounds of the pool of connections; None leaves the library's default."""

    #: Connections in total (16384).
    max_connections: int | None = None
    #: Connections to one scheme, host and port (256); what is beyond waits, see `Timeout.pool`.
    max_connections_per_host: int | None = None
    #: Seconds for which an unused connection is kept (60).
    keepalive_expiry: float | None = None
    #: Seconds after which a connection is not used again (no limit).
    max_connection_age: float | None = None
    #: Requests that may wait for a connection; one more fails with `TooManyWaitingError` (no limit).
    max_waiting: int | None = None

    def options(self) -> dict[str, OptionValue]:
        """The options of an engine."""
        given: dict[str, int | None] = {
            "max_connections": self.max_connections,
            "max_connections_per_host": self.max_connections_per_host,
            "max_waiting": self.max_waiting,
        }
        for name, seconds in (
            ("idle_timeout_ns", self.keepalive_expiry),
            ("max_connection_age_ns", self.max_connection_age),
        ):
            given[name] = None if seconds is None else int(seconds * 1e9)
        return {name: value for name, value in given.items() if value is not None}


class Config:
    """The options of an engine or of TLS, in the library's own object. To be used in a `with` statement."""

    def __init__(self, options: Mapping[str, OptionValue]) -> None:
        scratch = take()
        try:
            check(lib.config_new(scratch.address))
            self.address, _ = POINTERS.unpack_from(scratch.buffer)
        finally:
            give(scratch)
        try:
            for name, value in options.items():
                self.set(name, value)
        except BaseException:
            lib.config_free(self.address)
            raise

    def set(self, name: str, value: OptionValue) -> None:
        """Set an option by the name that docs/options.md gives it."""
        if isinstance(value, TLSContext):
            if name != "tls":
                raise TypeError(f"the option {name} is no TLSContext")
            self.set_object(c.OPT_TLS, value.address)
            return
        key, text = name.encode(), value if isinstance(value, bytes) else str(value).encode()
        size = POINTERS.size + len(key) + len(text)
        scratch = take(size)
        try:
            scratch.buffer[:size] = bytes(POINTERS.size) + key + text
            at = scratch.address + POINTERS.size
            code = lib.config_set_named(self.address, at, len(key), at + len(key), len(text), scratch.address)
            error, _ = POINTERS.unpack_from(scratch.buffer)
            # Keys of ours should not stay in memory that is used for other things.
            scratch.buffer[:size] = bytes(size)
        finally:
            give(scratch)
        check(code, error)

    def set_object(self, option: int, obj: int) -> None:
        """Set an option to an object of the library, which is shared."""
        scratch = take()
        try:
            POINTERS.pack_into(scratch.buffer, 0, 0, 0)
            code = lib.config_set_obj(self.address, option, obj, scratch.address)
            error, _ = POINTERS.unpack_from(scratch.buffer)
        finally:
            give(scratch)
        check(code, error)

    def make(self, function: str) -> int:
        """Call a function of the kind (config, object *, error *) -> code, and return the object."""
        scratch = take()
        try:
            POINTERS.pack_into(scratch.buffer, 0, 0, 0)
            code = getattr(lib, function)(self.address, scratch.address, scratch.address + POINTERS.size // 2)
            made, error = POINTERS.unpack_from(scratch.buffer)
        finally:
            give(scratch)
        check(code, error)
        return int(made)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        lib.config_free(self.address)


class TLSContext:
    """Whom to trust and who we are, for https: read and checked once, immutable, shared by any number of clients.

    Make one and keep it: connections and sessions made under one are never used under another. Files are read when it
    is made, and not again. Texts in PEM may be given as bytes.

    Args:
        verify: False accepts any certificate, which is for tests; `pins` holds even then.
        ca: authorities to trust instead of the system's: the path of a file, or PEM as bytes.
        system_roots: True trusts the system's authorities along with `ca`, False never; None if there is no `ca`.
        cert: our own certificate and its chain: the path of a file, or PEM as bytes.
        key: the key of `cert`, not encrypted; None if it stands behind the certificate.
        server_name: the name that is sent (SNI) and that the certificate must be for, instead of the URL's host.
        alpn: application protocols to offer, the best first; () for none at all.
        min_version, max_version: 12 for TLS 1.2, 13 for TLS 1.3.
        pins: hashes of keys, "sha256/BASE64", of which the verified chain must have one.
        crl: revocation lists: the path of a file, or PEM or DER as bytes.
        options: further options of the library by their names, for example {"tls_session_cache": 0}.
    """

    def __init__(
        self,
        *,
        verify: bool = True,
        ca: Path | bytes | None = None,
        system_roots: bool | None = None,
        cert: Path | bytes | None = None,
        key: Path | bytes | None = None,
        server_name: str | None = None,
        alpn: Sequence[str] | None = None,
        min_version: int | None = None,
        max_version: int | None = None,
        pins: Sequence[str] = (),
        crl: Path | bytes | None = None,
        options: Mapping[str, OptionValue] | None = None,
    ) -> None:
        chosen: dict[str, OptionValue] = {}
        if not verify:
            chosen["tls_insecure_no_verification"] = 1
        for name, source in (("ca", ca), ("cert", cert), ("key", key), ("crl", crl)):
            if isinstance(source, bytes):
                chosen[f"tls_{name}_pem"] = source
            elif source is not None:
                chosen[f"tls_{name}_file"] = os.fspath(source)
        if system_roots is not None:
            chosen["tls_system_roots"] = int(system_roots)
        if server_name is not None:
            chosen["tls_server_name"] = server_name
        if alpn is not None:
            chosen["tls_alpn"] = ",".join(alpn) or "-"
        if min_version is not None:
            chosen["tls_min_version"] = min_version
        if max_version is not None:
            chosen["tls_max_version"] = max_version
        if pins:
            chosen["tls_pins"] = ",".join(pins)
        chosen.update(options or {})
        with Config(chosen) as config:
            #: The chttp_tls, valid as long as this object.
            self.address = config.make("tls_new")
        weakref.finalize(self, lib.tls_release, self.address).atexit = False

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a TLSContext holds keys and belongs to its process; make one in the other process")
