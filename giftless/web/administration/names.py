"""The endpoints of the administration's API, the same wherever it is served."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

#: What the paths of the endpoints begin with, on admin endpoints; below ``/-/`` as well.
API: Final = "api"

#: The endpoints, and the methods of each; ``HEAD`` comes with ``GET``.
NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "objects": ("GET",),
    "objects/remove": ("POST",),
    "usage": ("GET",),
    "trash": ("GET",),
    "trash/restore": ("POST",),
    "trash/empty": ("POST",),
    "aliases": ("GET", "POST"),
    "rename": ("POST",),
    "copy": ("POST",),
    "remove": ("POST",),
}

#: The most bytes of a body: 500 oids, and two paths in escaped characters.
MAX_BODY: Final = 64 * 1024
