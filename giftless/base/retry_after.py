"""The ``Retry-After`` header of answers (RFC 9110 section 10.2.3)."""

from __future__ import annotations

from email.utils import parsedate_to_datetime


def retry_after(value: str | None, now: float) -> float | None:
    """Read a ``Retry-After`` header.

    :param now: the time in seconds since the epoch.
    :returns: how many seconds to wait; ``None`` if it does not say.
    """
    if value is None:
        return None
    if value.isascii() and value.isdecimal():
        return float(value[:9])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, OverflowError):
        return None
