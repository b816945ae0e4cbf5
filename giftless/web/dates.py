"""Dates in headers (RFC 9110 section 5.6.7), whatever the locale is."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Final

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = (
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
)


@lru_cache(1)
def http_date(second: int) -> str:
    """Write a time down, in seconds since the epoch: ``Sun, 06 Nov 1994 08:49:37 GMT``."""
    at = time.gmtime(second)
    day = f"{_DAYS[at.tm_wday]}, {at.tm_mday:02} {_MONTHS[at.tm_mon - 1]} {at.tm_year:04}"
    return f"{day} {at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02} GMT"


def http_now() -> str:
    """Return the time as the ``Date`` header has it."""
    return http_date(int(time.time()))
