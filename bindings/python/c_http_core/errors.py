"""Every exception of this package: the bases, and one for each error code of the library."""

from __future__ import annotations

from ._codes import *  # noqa: F403
from ._errors import *  # noqa: F403
