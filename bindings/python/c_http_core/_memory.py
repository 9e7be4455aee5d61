"""Scratch memory for calls: what the library reads and writes during one call stands there."""

from __future__ import annotations

import struct
from typing import Callable

from ._ffi import lib, pin

__all__ = ["Owned", "Scratch", "give", "take", "text_of", "words_of"]

SIZE = 16384


class Scratch:
    """Bytes with a fixed address. Not thread-safe: `take` one, use it for a call, `give` it back."""

    __slots__ = ("_pinned", "address", "buffer")

    def __init__(self, size: int = SIZE) -> None:
        self.buffer = bytearray(size)
        self.address, self._pinned = pin(self.buffer)


_idle: list[Scratch] = []


def take(size: int = SIZE) -> Scratch:
    if size > SIZE:
        return Scratch(size)
    try:
        return _idle.pop()
    except IndexError:
        return Scratch()


def give(scratch: Scratch) -> None:
    # Large ones are as rare as what needs them.
    if len(scratch.buffer) == SIZE:
        _idle.append(scratch)


class Owned:
    """One reference to an object of the library, released when this is collected."""

    __slots__ = ("_release", "obj")

    def __init__(self, obj: int) -> None:
        self.obj = obj
        # Held here because a module may be empty when the last objects go.
        self._release = lib.release

    def __del__(self) -> None:
        self._release(self.obj)


def text_of(function: Callable[..., int], obj: int) -> str:
    """What a function of the kind (object, buffer, capacity) -> length writes."""
    capacity = SIZE
    while True:
        scratch = take(capacity)
        try:
            length = function(obj, scratch.address, capacity)
            if length < capacity:
                return scratch.buffer[: max(length, 0)].decode("utf-8", "replace")
        finally:
            give(scratch)
        capacity = length + 1


def words_of(function: Callable[..., int], obj: int, record: struct.Struct) -> tuple[int, ...] | None:
    """What a function of the kind (object, struct, size) -> code fills in; None if it has nothing to tell."""
    scratch = take()
    try:
        code = function(obj, scratch.address, record.size)
        return None if code < 0 else record.unpack_from(scratch.buffer)
    finally:
        give(scratch)
