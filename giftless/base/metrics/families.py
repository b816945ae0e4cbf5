"""What is counted: families of series, told apart by labels, as Prometheus has them."""

from __future__ import annotations

import math
import re
from enum import Enum
from typing import Final

import msgspec

_NAME: Final = re.compile(r"[a-z_][a-z0-9_]*", re.ASCII)


class Kind(Enum):
    """How the values of a family are to be read.

    :cvar COUNTER: it only grows.  What a process has counted outlasts that process.
    :cvar GAUGE: it goes up and down, and is the sum over the processes that live.
    :cvar HISTOGRAM: how many values lay between which bounds, and their sum; a counter too.
    """

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Family(msgspec.Struct, frozen=True, array_like=True, tag="family"):
    """Everything that is counted under one name.

    :ivar name: in Prometheus' form, with its unit: ``giftless_store_requests_total``.
    :ivar kind: how its values are to be read.
    :ivar words: what it says, in one line.
    :ivar labels: the names of what tells its series apart.
    :ivar bounds: the upper bounds of a histogram's buckets, rising; the last bucket has
        none.
    """

    name: str
    kind: Kind
    words: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()

    @property
    def width(self) -> int:
        """How many numbers a series has: a histogram's buckets and then their sum, or one."""
        return len(self.bounds) + 2 if self.kind is Kind.HISTOGRAM else 1

    @property
    def is_sound(self) -> bool:
        """Whether Prometheus takes it: its names, and its bounds."""
        bounds = self.bounds
        return all(map(_NAME.fullmatch, (self.name, *self.labels))) and (
            list(bounds) == sorted(set(bounds)) and all(map(math.isfinite, bounds))
        )
