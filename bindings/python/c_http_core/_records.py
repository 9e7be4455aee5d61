"""The structs of the C interface as `struct` sees them, checked against the library that was loaded."""

from __future__ import annotations

import struct
from typing import Final

from . import _table as c
from ._ffi import lib

__all__ = ["EVENT", "FIELD", "POINTERS", "REQUEST", "REQUEST_SHORT", "SUBMISSION", "fields", "layout"]


def fields(name: str) -> list[str]:
    return [field for field, _ in c.STRUCTS[name]]


def layout(name: str, until: str = "") -> struct.Struct:
    """A struct of the table, or its part before one field. The compiler's alignment is that of `struct`, too."""
    letters = [letter for _, letter in c.STRUCTS[name]]
    return struct.Struct("@" + "".join(letters[: fields(name).index(until)] if until else letters))


EVENT: Final = layout("event")
FIELD: Final = layout("field")
REQUEST: Final = layout("request")
# What most requests need; the size that is written into it tells the library that the rest is zero.
REQUEST_SHORT: Final = layout("request", until="unix_path")
SUBMISSION: Final = layout("submission")
# Two places for what the library hands out.
POINTERS: Final = struct.Struct("@PP")


def check() -> None:
    """A library of another layout would be read wrongly without a sign of it."""
    for name in c.STRUCTS:
        number = getattr(c, f"STRUCT_{name.upper()}", None)
        if number is None:
            continue
        size, expected = lib.struct_size(number), layout(name).size
        # Structs only grow at their ends, and the library fills in or reads no more than it is told of.
        grown = name not in ("event", "field") and size > expected
        if size != expected and not grown:
            raise ImportError(f"chttp_{name} has {size} bytes in the loaded library, and {expected} here")


check()
