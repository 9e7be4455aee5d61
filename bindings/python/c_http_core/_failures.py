"""From a code and an error object of the library to an exception."""

from __future__ import annotations

from ._codes import BY_CODE
from ._errors import RequestError, TransportError
from ._ffi import lib, text_at
from ._memory import text_of

__all__ = ["check", "failure"]

PHASES = ("queued", "resolving", "connecting", "tls", "sending", "waiting", "receiving", "reconnecting")


def failure(code: int, error: int = 0) -> RequestError:
    """The exception for a code and, unless it is 0, the object that explains it, which stays the caller's."""
    # A library that is newer than this table may have further codes.
    made = BY_CODE.get(code, TransportError)
    if not error:
        described = lib.error_describe(code)
        return made(text_at(described).decode() if described else f"error {code}")
    exception = made(text_of(lib.error_message, error))
    phase = lib.error_phase(error)
    exception.phase = PHASES[phase] if 0 <= phase < len(PHASES) else ""
    exception.is_retryable = lib.error_is_retryable(error) == 1
    exception.request_bytes_sent = lib.error_request_bytes_sent(error)
    exception.connection_reused = lib.error_connection_reused(error) == 1
    exception.remote_addr = text_of(lib.error_peer, error)
    exception.os_errno = lib.error_os_errno(error)
    exception.native_code = lib.error_native(error)
    exception.attempt = max(lib.error_attempt(error), 0)
    return exception


def check(code: int, error: int = 0) -> int:
    """Raise what a call answered if it failed. The error object is released."""
    if code >= 0:
        return code
    exception = failure(code, error)
    lib.release(error)
    raise exception
