"""Durations, sizes and shares as people write them: ``30d``, ``10G``, ``80%``.

Options of type :class:`Duration`, :class:`Size` and :class:`Share` are read by
:mod:`giftless.base.schema`.  Command lines give the same classes as the type of an
option::

    ["older-than", "o", None, "Only what is older, such as 30d.", Duration.of]

Without a unit, a duration has seconds and a size has bytes.  ``k``, ``M``, ``G``, ``T`` and
``P`` are decimal (1 G = 1 GB = 1,000,000,000 bytes), as giftless and the makers of disks
print sizes; ``KiB``, ``MiB``, ``GiB``, ``TiB`` and ``PiB`` are binary.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import ClassVar, Final, Self

from giftless.lfs.objects import MAX_SIZE

_FORM: Final = re.compile(r"([0-9]{1,20}(?:\.[0-9]{1,20})?)\s?([A-Za-z%]*)", re.ASCII)

_SECONDS: Final = {"": 1, "s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}

_DECIMAL: Final = {prefix: 1000**power for power, prefix in enumerate(("", *"kMGTP"))}
_BYTES: Final = {
    **_DECIMAL,
    **{f"{prefix}B": factor for prefix, factor in _DECIMAL.items()},
    "K": 1000,
    "KB": 1000,
    **{f"{prefix}iB": 1024**power for power, prefix in enumerate("KMGTP", 1)},
}

#: The longest duration: a century, so that dates stay within a calendar's.
_LONGEST: Final = 36_525 * 86_400


class Duration(float):
    """A span of time in seconds, 0 or more: ``30d``, ``12h``, ``45min``, ``90s``, ``90``."""

    ALLOWED: ClassVar = "a duration such as 30d, 12h, 45min or 90s"

    @classmethod
    def of(cls, value: object) -> Self:
        """Read text, or a number of seconds.

        :raises ValueError: if it is no duration, or one of more than 100 years.
        """
        seconds = _amount(value, _SECONDS)
        if seconds is None or seconds > _LONGEST:
            raise ValueError(f"allowed is {cls.ALLOWED}")
        return cls(seconds)


class Size(int):
    """A number of bytes from 0 to 2**63 - 1: ``10G``, ``1.5T``, ``500 MB``, ``10GiB``, ``512``."""

    ALLOWED: ClassVar = "a size such as 500M, 10G, 1.5T or 10GiB"

    @classmethod
    def of(cls, value: object) -> Self:
        """Read text, or a number of bytes; a fraction of a byte is left out.

        :raises ValueError: if it is no size.
        """
        count = _amount(value, _BYTES)
        if count is None or count > MAX_SIZE:
            raise ValueError(f"allowed is {cls.ALLOWED}")
        return cls(count)


class Share(float):
    """A part of a whole, from 0 to 1, written in percent: ``80%``."""

    ALLOWED: ClassVar = "a percentage from 0% to 100%"

    @classmethod
    def of(cls, value: object) -> Self:
        """Read text.  A number alone is refused: 1 could be all, or a hundredth.

        :raises ValueError: if it is no percentage.
        """
        percent = _amount(value, {"%": 1}) if isinstance(value, str) else None
        if percent is None or percent > 100:
            raise ValueError(f"allowed is {cls.ALLOWED}")
        return cls(percent / 100)


def size_in_words(count: int) -> str:
    """Write a number of bytes with at most three decimals: ``0 bytes``, ``9.998 GB``.

    Fractions are cut off, so that what is below a limit never looks like the limit.
    """
    for prefix in "PTGMk":
        factor = _DECIMAL[prefix]
        if count >= factor:
            whole, rest = divmod(count * 1000 // factor, 1000)
            decimals = f".{rest:03}".rstrip("0").rstrip(".")
            return f"{whole:,}{decimals} {prefix}B"
    return "1 byte" if count == 1 else f"{count} bytes"


def duration_in_words(seconds: float) -> str:
    """Write a span of time by its two largest units: ``3 d 4 h``, ``0 s``.

    Less than the smaller of the two is left out.
    """
    rest = int(seconds)
    parts: list[str] = []
    for unit in ("d", "h", "min", "s"):
        count, rest = divmod(rest, _SECONDS[unit])
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
    return " ".join(filter(None, parts[:2])) or "0 s"


def _amount(value: object, factors: Mapping[str, int]) -> Decimal | None:
    """Read an amount and its unit; ``None`` if it is none, or has another unit."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        value = f"{Decimal(str(value)):f}" if value < float("inf") else ""
    if not isinstance(value, str) or (found := _FORM.fullmatch(value.strip())) is None:
        return None
    factor = factors.get(found[2])
    return None if factor is None else Decimal(found[1]) * factor
