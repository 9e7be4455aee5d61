"""The C library, loaded: `lib` has its functions, without the prefix `chttp_`.

Everything is a number to them: a pointer is an address, structs are packed into pinned memory by `struct`. That needs
no C type, is the same for both back ends, and costs least of what was measured (a call with seven arguments by cffi:
0.9 us, by ctypes 1.8 us).

Both give up the GIL for each call. Where threads wait for it that wakes one of them, most often for nothing, and costs
two changes of thread. For those `held` has the short calls of each request, which keep it. It is by ctypes in any case.

`C_HTTP_CORE_FFI` in the environment chooses the back end, `cffi` or `ctypes`; without it cffi is taken where it is
installed. `CHTTPCORE_LIBRARY` names the library to load instead of the one that came with this package.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Protocol

from .._table import FUNCTIONS
from ._ctypes import load_held

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["backend", "bytes_at", "held", "lib", "memory", "pin", "text_at", "view"]

SONAME = "libchttpcore.so.0"
# They never wait: what they lock is held for moments, and by nobody who wants the GIL.
HELD = ("release", "submit_packed")


class Backend(Protocol):
    """What is asked of a foreign function interface."""

    name: str
    #: All memory: a slice is a copy of what stands at those addresses.
    memory: bytes

    def load(self, path: str) -> dict[str, Callable[..., int]]:
        """The library's functions, each by its name without the prefix."""

    def pin(self, buffer: Buffer) -> tuple[int, object]:
        """The address of a buffer's bytes, valid as long as the second object lives."""

    def text_at(self, address: int) -> bytes:
        """A copy of a text that ends with NUL."""

    def view(self, address: int, length: int, owner: object) -> memoryview:
        """Memory without a copy; the view and all views of it keep `owner` alive."""


class Library:
    """The functions of the C interface as attributes: numbers in, a number out."""

    def __init__(self, functions: dict[str, Callable[..., int]]) -> None:
        self.__dict__.update(functions)

    if TYPE_CHECKING:
        # A class that has this at run time looks up every attribute the slow way.
        def __getattr__(self, name: str) -> Callable[..., int]: ...


def choose() -> Backend:
    wanted = os.environ.get("C_HTTP_CORE_FFI", "")
    if wanted not in ("", "cffi", "ctypes"):
        raise ImportError(f"C_HTTP_CORE_FFI is {wanted!r}; it can be 'cffi' or 'ctypes'")
    if wanted != "ctypes":
        try:
            from ._cffi import CffiBackend
        except ImportError:
            if wanted:
                raise
        else:
            return CffiBackend()
    from ._ctypes import CtypesBackend

    return CtypesBackend()


def locate() -> str:
    """The library that the environment names, that of this package, or that of the system."""
    packaged = Path(__file__).parent.parent / SONAME
    return os.environ.get("CHTTPCORE_LIBRARY") or (str(packaged) if packaged.exists() else SONAME)


def load(backend: Backend, path: str) -> Library:
    try:
        functions = backend.load(path)
    except (OSError, AttributeError) as error:
        raise ImportError(f"c_http_core cannot use the library {path}: {error}") from error
    missing = FUNCTIONS.keys() - functions.keys()
    assert not missing, missing
    return Library(functions)


backend: Backend = choose()
lib = load(backend, locate())
held = Library(load_held(locate(), HELD))
memory, pin, text_at, view = backend.memory, backend.pin, backend.text_at, backend.view


def bytes_at(address: int, length: int) -> bytes:
    """A copy of memory."""
    return memory[address : address + length]
