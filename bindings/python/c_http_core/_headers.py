"""Header fields: a multi-dict that keeps order, case and duplicates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Union

from ._codes import InvalidHeaderError

__all__ = ["HeaderTypes", "Headers"]

Text = Union[str, bytes]
HeaderTypes = Union["Headers", Mapping[str, str], Mapping[bytes, bytes], Iterable[tuple[Text, Text]]]


def as_bytes(text: Text, of: Text = "") -> bytes:
    """A name, or a value of the field `of`."""
    if isinstance(text, bytes):
        return text
    try:
        return text.encode("ascii")
    except UnicodeEncodeError:
        return text.encode()
    except AttributeError:
        what = f"the value of {of!r}" if of else "a name"
        raise TypeError(f"headers: {what} must be str or bytes, not {type(text).__name__}") from None


def as_text(raw: bytes) -> str:
    """UTF-8 where it is that, else Latin-1, which everything is."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


class Headers(MutableMapping[str, str]):
    """Header fields as they stand on the wire.

    As a mapping, names are compared without regard to case, and the values of a name that stands there more than once
    are joined by ", ". `raw` and `multi_items` show all of it; `get_list` gives the values of one name.
    """

    __slots__ = ("_block", "_fields")

    def __init__(self, headers: HeaderTypes | None = None) -> None:
        self._fields: list[tuple[bytes, bytes, bytes]] = []
        # What `block` made of the fields; None after a change.
        self._block: bytes | None = None
        if isinstance(headers, Headers):
            self._fields += headers._fields
        elif headers:
            pairs: Iterable[tuple[Text, Text]] = headers.items() if isinstance(headers, Mapping) else headers
            for name, value in pairs:
                self.add(name, value)

    @property
    def raw(self) -> list[tuple[bytes, bytes]]:
        """All fields, as bytes."""
        return [(name, value) for _, name, value in self._fields]

    def multi_items(self) -> list[tuple[str, str]]:
        """All fields, duplicates included, with names in lower case."""
        return [(as_text(key), as_text(value)) for key, _, value in self._fields]

    def get_list(self, name: Text) -> list[str]:
        """The values of one name, in their order."""
        wanted = as_bytes(name).lower()
        return [as_text(value) for key, _, value in self._fields if key == wanted]

    def add(self, name: Text, value: Text) -> None:
        """Add a field behind all others, whether its name is there or not."""
        raw = as_bytes(name)
        self._fields.append((raw.lower(), raw, as_bytes(value, name)))
        self._block = None

    def copy(self) -> Headers:
        return Headers(self)

    def __getitem__(self, name: str) -> str:
        values = self.get_list(name)
        if not values:
            raise KeyError(name)
        return ", ".join(values)

    def __setitem__(self, name: str, value: str) -> None:
        """Replace the first field of that name and remove the others, or add one."""
        self._block = None
        raw = as_bytes(name)
        key = raw.lower()
        new = (key, raw, as_bytes(value, name))
        for at, field in enumerate(self._fields):
            if field[0] == key:
                rest = [other for other in self._fields[at + 1 :] if other[0] != key]
                self._fields[at:] = [new, *rest]
                return
        self._fields.append(new)

    def __delitem__(self, name: str) -> None:
        key = as_bytes(name).lower()
        kept = [field for field in self._fields if field[0] != key]
        if len(kept) == len(self._fields):
            raise KeyError(name)
        self._fields, self._block = kept, None

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(as_text(key) for key, _, _ in self._fields))

    def __len__(self) -> int:
        return len({key for key, _, _ in self._fields})

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, (str, bytes)):
            return False
        key = as_bytes(name).lower()
        return any(field[0] == key for field in self._fields)

    def __eq__(self, other: object) -> bool:
        """Equal fields, whatever the order of different names and the case of names."""
        if not isinstance(other, Headers):
            if not isinstance(other, (Mapping, list, tuple)):
                return NotImplemented
            other = Headers(other)
        return sorted((key, value) for key, _, value in self._fields) == sorted(
            (key, value) for key, _, value in other._fields
        )

    def __repr__(self) -> str:
        secret = (b"authorization", b"proxy-authorization", b"cookie", b"set-cookie")
        shown = [(as_text(name), "[secure]" if key in secret else as_text(value)) for key, name, value in self._fields]
        return f"Headers({shown!r})"

    def merged(self, headers: HeaderTypes) -> Headers:
        """These fields, where `headers` has none of the name, and behind them all of `headers`."""
        new = Headers(headers)
        replaced = {key for key, _, _ in new._fields}
        new._fields[:0] = [field for field in self._fields if field[0] not in replaced]
        return new

    def block(self) -> bytes:
        """The text that is sent. A field that would be read as more than one is refused; the library checks others."""
        if self._block is not None:
            return self._block
        block = b"".join([b"%b: %b\r\n" % (name, value) for _, name, value in self._fields])
        count = len(self._fields)
        if block.count(b"\n") != count or block.count(b"\r") != count:
            raise InvalidHeaderError("headers: a field must not hold CR or LF")
        if any(b":" in key for key, _, _ in self._fields):
            raise InvalidHeaderError("headers: a name must not hold a colon")
        self._block = block
        return block
