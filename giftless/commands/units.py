"""Numbers, sizes and times, in a few columns."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

_PREFIXES: Final = ("", "k", "M", "G", "T", "P", "E")

#: How many seconds there are in each of these.
_SPANS: Final = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))

#: From nothing to the most.
_BARS: Final = " ▁▂▃▄▅▆▇█"

_DAY: Final = 86_400


def number(value: float) -> str:
    """Write a number: ``12.3``, ``1,234``, ``12.3 M``."""
    if value < 100 and value != int(value):
        return f"{value:.1f}"
    return f"{value:,.0f}" if value < 10_000_000 else _scaled(value)


def size(value: float) -> str:
    """Write a number of bytes: ``0 B``, ``12.3 MB``."""
    return f"{value:.0f} B" if value < 1000 else f"{_scaled(value)}B"


def span(seconds: float) -> str:
    """Write how long something took, by its two largest units: ``3 d 4 h``."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for unit, length in _SPANS:
        count, left = divmod(left, length)
        if count or parts or unit == "s":
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2])


def clock(at: float, now: float) -> str:
    """Write a time of day, or the day if that was another one, in 8 columns.

    :param at: in seconds since the epoch.
    :param now: the same.
    """
    shape = "%H:%M:%S" if abs(now - at) < _DAY else "%y-%m-%d"
    try:
        return time.strftime(shape, time.localtime(at))
    except (ValueError, OverflowError, OSError):
        return "--------"


def bars(values: Sequence[float]) -> str:
    """Draw values, one character each; nothing at all is left blank."""
    most = max(values, default=0.0)
    if most <= 0:
        return " " * len(values)
    steps = len(_BARS) - 1
    # What is little is not nothing.
    return "".join(_BARS[max(value > 0, round(value / most * steps))] for value in values)


def _scaled(value: float) -> str:
    power = 0
    while value >= 999.5 and power < len(_PREFIXES) - 1:
        value /= 1000
        power += 1
    digits = 0 if value >= 99.5 else 1
    return f"{value:.{digits}f} {_PREFIXES[power]}"
