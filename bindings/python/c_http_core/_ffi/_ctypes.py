"""The back end by ctypes, which the standard library has: for where cffi is not."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Callable

from .._table import FUNCTIONS

if TYPE_CHECKING:
    from typing_extensions import Buffer

# Addresses are size_t, because c_void_p would make None of 0.
TYPES: dict[str, Any] = {
    "": None,
    "I": ctypes.c_uint32,
    "i": ctypes.c_int32,
    "Q": ctypes.c_uint64,
    "q": ctypes.c_int64,
    "N": ctypes.c_size_t,
    "P": ctypes.c_size_t,
}


def functions_of(library: ctypes.CDLL, names: Iterable[str]) -> dict[str, Callable[..., int]]:
    functions = {}
    for name in names:
        result, arguments = FUNCTIONS[name]
        function = getattr(library, f"chttp_{name}")
        function.restype, function.argtypes = TYPES[result], [TYPES[letter] for letter in arguments]
        functions[name] = function
    return functions


def load_held(path: str, names: tuple[str, ...]) -> dict[str, Callable[..., int]]:
    """Functions that are called without giving up the GIL."""
    return functions_of(ctypes.PyDLL(path), names)


class CtypesBackend:
    name = "ctypes"
    memory: Any = (ctypes.c_char * sys.maxsize).from_address(0)

    def load(self, path: str) -> dict[str, Callable[..., int]]:
        return functions_of(ctypes.CDLL(path), FUNCTIONS)

    def pin(self, buffer: Buffer) -> tuple[int, object]:
        window = memoryview(buffer)
        if window.readonly:
            # ctypes finds the address of a read-only buffer only if it is `bytes`.
            copy = buffer if isinstance(buffer, bytes) else window.tobytes()
            pointer = ctypes.c_char_p(copy)
            return ctypes.cast(pointer, ctypes.c_void_p).value or 0, copy
        pinned = (ctypes.c_char * window.nbytes).from_buffer(window)
        return ctypes.addressof(pinned), pinned

    def text_at(self, address: int) -> bytes:
        return ctypes.string_at(address)

    def view(self, address: int, length: int, owner: object) -> memoryview:
        array: Any = (ctypes.c_char * length).from_address(address)
        array.owner = owner
        return memoryview(array).cast("B").toreadonly()
