"""The back end by cffi, in ABI mode: nothing is compiled.

The functions are loaded one by one through the module below cffi's own face, as that face does it. Handing it all
declarations as C would have them parsed in Python: 80 ms at each import, instead of one.
"""

from __future__ import annotations

import importlib
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Callable

from .._table import FUNCTIONS

if TYPE_CHECKING:
    from typing_extensions import Buffer

below: Any = importlib.import_module("_cffi_backend")
ffi: Any = below.FFI()
TYPES = {
    "": "void",
    "I": "uint32_t",
    "i": "int32_t",
    "Q": "uint64_t",
    "q": "int64_t",
    "N": "size_t",
    "P": "uintptr_t",
}
CHARS, ARRAY, ADDRESS = (ffi.typeof(name) for name in ("char *", "char[]", "uintptr_t"))


def forget(_owner: object, _pointer: object) -> None:
    """Being called is all: until then, whoever was to call it kept the owner."""


class CffiBackend:
    name = "cffi"
    memory: bytes = ffi.buffer(ffi.cast(CHARS, 0), sys.maxsize)

    def load(self, path: str) -> dict[str, Callable[..., int]]:
        # The second argument is what dlopen() is told, 0 being RTLD_NOW.
        # It is kept, because the functions do not keep it loaded.
        library = self.library = below.load_library(path, 0)
        functions = {}
        for name, (result, arguments) in FUNCTIONS.items():
            parameters = ", ".join(TYPES[letter] for letter in arguments) or "void"
            functions[name] = library.load_function(ffi.typeof(f"{TYPES[result]}(*)({parameters})"), f"chttp_{name}")
        return functions

    def pin(self, buffer: Buffer) -> tuple[int, object]:
        pinned = ffi.from_buffer(ARRAY, buffer)
        return int(ffi.cast(ADDRESS, pinned)), pinned

    def text_at(self, address: int) -> bytes:
        text: bytes = ffi.string(ffi.cast(CHARS, address))
        return text

    def view(self, address: int, length: int, owner: object) -> memoryview:
        pointer = ffi.gc(ffi.cast(CHARS, address), partial(forget, owner))
        return memoryview(ffi.buffer(pointer, length)).toreadonly()
