"""Make texts and times such that every database keeps them."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Final

#: The most characters of a text that is kept.
_MAX_TEXT: Final = 1000

#: The most characters of a name that something is counted by: an index holds it.
_MAX_NAME: Final = 250

#: The most characters of an extension; what is longer is none.
_MAX_EXTENSION: Final = 16


def storable(text: str) -> str:
    """Return a text that every database takes: without NUL and lone surrogates, not too long."""
    if len(text) > _MAX_TEXT:
        text = text[:_MAX_TEXT]
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def person_of(who: str) -> str:
    """Return the name by which the objects of somebody are counted."""
    return who[:_MAX_NAME]


def extension_of(filename: str) -> str:
    """Return the extension of a file name, in lower case; empty if it has none.

    >>> extension_of("art/Rocket.final.PSD")
    'psd'
    """
    base, dot, extension = filename.rpartition(".")
    if not dot or not base or base.endswith("/") or "/" in extension:
        return ""
    if len(extension) > _MAX_EXTENSION or not extension.isprintable():
        return ""
    return extension.lower()


def month_of(moment: float) -> str:
    """Return the year and the month of a time, in UTC.

    >>> month_of(1_800_000_000.0)
    '2027-01'
    """
    return _month(int(moment // 86400))


@lru_cache(maxsize=4096)
def _month(day: int) -> str:
    try:
        return time.strftime("%Y-%m", time.gmtime(day * 86400))
    except (OverflowError, ValueError, OSError):
        return ""
