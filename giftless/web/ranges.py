"""The headers of a download: ranges and validators.

Ranges are RFC 9110 section 14, conditional requests section 13.
"""

from __future__ import annotations

import re
from typing import Final

from giftless.errors import RangeNotSatisfiable
from giftless.lfs.objects import Oid

_RANGE: Final = re.compile(
    r"bytes=[ \t]*(?:([0-9]{1,19})-([0-9]{0,19})|-([0-9]{1,19}))[ \t]*", re.IGNORECASE
)


def parse_range(value: str | None, size: int) -> tuple[int, int] | None:
    """Parse a Range header.

    :param value: the header; ``None`` if there is none.
    :param size: the object's size in bytes.
    :returns: the first byte's offset and one past the last's; ``None`` to
        send everything, as for several ranges or a unit that is not bytes.
    :raises RangeNotSatisfiable: if the range lies outside the object.
    """
    match = _RANGE.fullmatch(value) if value is not None else None
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        start, end = max(0, size - int(suffix)), size
    else:
        start = int(first)
        end = min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            # Not a valid range at all (RFC 9110 14.1.1): ignore it.
            return None
    if start >= end:
        raise RangeNotSatisfiable(f"the object has {size} bytes", size)
    return start, end


def etag(oid: Oid, encoding: str | None = None) -> str:
    """Return the strong entity tag of an object: its oid names its bytes.

    :param encoding: how it is encoded; that has other bytes, and so another tag.
    """
    return f'"{oid}"' if encoding is None else f'"{oid}+{encoding}"'


def matches(value: str | None, oid: Oid, encoding: str | None = None) -> bool:
    """Whether an If-None-Match header covers the object (RFC 9110 13.1.2).

    :param encoding: how it would be encoded now.
    """
    if value is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in value.split(",")]
    return "*" in tags or etag(oid) in tags or etag(oid, encoding) in tags
