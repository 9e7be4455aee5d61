"""What can be the body of a request, and how it gets to the library."""

from __future__ import annotations

import io
import json as json_module
import os
import stat
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Union
from urllib.parse import urlencode

__all__ = ["Body", "Content", "Data", "FileBody", "as_body", "encode_form", "encode_json"]

Content = Union[str, bytes, bytearray, memoryview, io.IOBase, Iterable[bytes], AsyncIterable[bytes]]
Data = Union[Mapping[str, Any], Iterable["tuple[str, Any]"]]
# How much of a file that is none of the kernel's is read at a time.
PIECE = 65536


class FileBody(NamedTuple):
    """The rest of a file, which the library reads itself. Its position is neither used nor moved."""

    file: object
    fd: int
    offset: int
    length: int


Body = Union[bytes, memoryview, FileBody, Iterator[bytes], AsyncIterator[bytes], None]


def as_body(content: Content | None) -> Body:
    if content is None or isinstance(content, bytes):
        return content
    if isinstance(content, str):
        return content.encode()
    if isinstance(content, (bytearray, memoryview)):
        return memoryview(content).cast("B")
    if isinstance(content, io.TextIOBase):
        raise TypeError("a file to be sent must be opened in binary mode")
    if isinstance(content, io.IOBase) or hasattr(content, "read"):
        return file_body(content)
    if isinstance(content, AsyncIterable):
        return content.__aiter__()
    if isinstance(content, Iterable) and not isinstance(content, Mapping):
        return iter(content)
    raise TypeError(f"content cannot be sent: {type(content).__name__}")


def file_body(file: Any) -> Body:
    """A regular file is read by the library; other things, a view of a file as gzip has it too, are read here."""
    inner = getattr(file, "file", file)  # what tempfile wraps
    raw = getattr(inner, "raw", inner)
    if isinstance(raw, io.FileIO):
        status = os.fstat(raw.fileno())
        if stat.S_ISREG(status.st_mode):
            offset = inner.tell()
            return FileBody(file, raw.fileno(), offset, max(status.st_size - offset, 0))
    return iter(lambda: file.read(PIECE), b"")


def encode_json(value: Any) -> bytes:
    return json_module.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def plain(value: Any) -> str:
    """A value of a form or a query; the constants as JSON writes them."""
    if value is None:
        return ""
    if value is True:
        return "true"
    if value is False:
        return "false"
    return value.decode() if isinstance(value, bytes) else str(value)


def encode_form(data: Data) -> str:
    """application/x-www-form-urlencoded; a list as value repeats its name."""
    pairs = data.items() if isinstance(data, Mapping) else data
    flat = []
    for name, value in pairs:
        values = value if isinstance(value, (list, tuple)) else [value]
        flat += [(name, plain(one)) for one in values]
    return urlencode(flat)
