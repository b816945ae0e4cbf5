"""Write numbers, times and names for people."""

from __future__ import annotations

import unicodedata
from datetime import UTC, datetime
from typing import Final

_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB", "EB")

#: What spans of time are told in, the longest first: their names and seconds.
_SPANS: Final = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))

#: Categories of characters that cannot be seen, or change how others look: controls,
#: formats (among them those that turn the direction of writing), and what is no character.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def number(value: float) -> str:
    """Write a number; small ones with one digit behind the point."""
    if value and abs(value) < 10 and value != round(value):
        return f"{value:.1f}" if abs(value) >= 0.05 else "<0.1"
    return f"{round(value):,}"


def size(count: float) -> str:
    """Write a number of bytes in decimal units, with three digits at most."""
    value, unit = float(count), 0
    while round(value) >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    digits = 1 if unit and value < 9.95 else 0
    return f"{value:,.{digits}f} {_UNITS[unit]}"


def span(seconds: float) -> str:
    """Write how long something lasts, in at most two units."""
    rest = max(0, int(seconds))
    for index, (name, length) in enumerate(_SPANS):
        if rest >= length:
            count, rest = divmod(rest, length)
            if index + 1 < len(_SPANS) and (more := rest // _SPANS[index + 1][1]):
                return f"{count} {name} {more} {_SPANS[index + 1][0]}"
            return f"{count} {name}"
    return "0 s"


def moment(seconds: float) -> str:
    """Write a date and a time.

    :param seconds: since the epoch.
    """
    return _format(seconds, "%Y-%m-%d %H:%M:%S UTC")


def clock(seconds: float) -> str:
    """Write the time of a day, without seconds.

    :param seconds: since the epoch.
    """
    return _format(seconds, "%H:%M")


def _format(seconds: float, form: str) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime(form)
    except (OverflowError, ValueError, OSError):
        return "at an unknown time"


def seen(text: str, limit: int = 0) -> str:
    """Write what a client has chosen so that all of it can be seen.

    :param limit: how many characters it may have, about; 0 for any number.  What is too
        much is left out in the middle: names of files begin and end characteristically.
    """
    if limit and len(text) > limit:
        half = limit // 2
        text = f"{text[:half]}…{text[-half:]}"
    return "".join(
        _escape(char) if unicodedata.category(char) in _UNSEEN else char for char in text
    )


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
