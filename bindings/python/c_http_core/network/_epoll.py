"""Whether epoll is there, on which the library is built."""

from __future__ import annotations

import select
from typing import Final

__all__ = ["HAS_EPOLL", "require"]

#: Whether this system has epoll. Without it nothing whose name begins with Epoll can be made.
HAS_EPOLL: Final = hasattr(select, "epoll")


def require(what: object) -> None:
    if not HAS_EPOLL:
        raise RuntimeError(f"{type(what).__name__} needs epoll, which this system does not have")
