"""Count: what a process does with its slab.

Everything here belongs into the reactor's thread: two threads that add to one number
at the same time would lose one of the two.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from giftless.base.metrics.families import Family, Kind
from giftless.base.metrics.slab import Slab

#: The values of labels for all series that are too many.
OTHER: Final = "other"

#: How long the value of a label may be, in characters.
MAX_VALUE: Final = 80

#: How many series a family may have, and how many if it is a histogram.
MAX_SERIES: Final = 256
MAX_HISTOGRAMS: Final = 64


class Counts:
    """Makes counters, gauges and histograms over a slab.

    :param slab: where the numbers are; ``None`` for memory that nobody else reads.
    """

    def __init__(self, slab: Slab | None = None) -> None:
        self._slab = slab or Slab()
        self._overflow = 0
        dropped = self.counter(
            "giftless_metrics_overflow_total",
            "How often something was counted as 'other', because there were too many labels.",
        )
        self._overflow = dropped.place(())

    def counter(self, name: str, words: str, *labels: str) -> Numbers:
        """Make a counter; see :class:`~giftless.base.metrics.families.Family`."""
        return self._numbers(Family(name, Kind.COUNTER, words, labels))

    def gauge(self, name: str, words: str, *labels: str) -> Numbers:
        """Make a gauge."""
        return self._numbers(Family(name, Kind.GAUGE, words, labels))

    def histogram(self, name: str, words: str, bounds: Sequence[float], *labels: str) -> Histogram:
        """Make a histogram.

        :param bounds: the upper bounds of its buckets, rising.
        """
        family = Family(name, Kind.HISTOGRAM, words, labels, tuple(bounds))
        return Histogram(self._slab, family, MAX_HISTOGRAMS, self._overflow)

    def _numbers(self, family: Family) -> Numbers:
        return Numbers(self._slab, family, MAX_SERIES, self._overflow)


class Numbers:
    """The series of a counter or a gauge.

    :param slab: where its numbers are.
    :param family: what is counted.
    :param most: how many series it may have.
    :param overflow: the number that counts what is counted as :data:`OTHER`.
    :ivar values: all numbers of the slab: the fastest way to add to one whose
        :meth:`place` is known is ``values[place] += 1``.
    """

    def __init__(self, slab: Slab, family: Family, most: int, overflow: int) -> None:
        self._slab = slab
        self._family = family
        self._overflow = overflow
        slab.add_family(family)
        self._left = most
        self._places: dict[tuple[str, ...], int] = {}
        self.values = slab.numbers
        # Now, so that there is room for it when there is room for nothing else.
        self._other = self._take(tuple(OTHER for _ in family.labels))

    def place(self, labels: tuple[str, ...]) -> int:
        """Return the index of the number of a series.

        :param labels: its labels' values; never what a client has chosen.
        """
        found = self._places.get(labels)
        if found is not None:
            return found
        short = tuple(value[:MAX_VALUE] for value in labels)
        found = self._places.get(short)
        if found is None:
            found = self._new(short)
        if found == self._other and self._family.labels:
            self.values[self._overflow] += 1
        return found

    def add(self, labels: tuple[str, ...], amount: float = 1.0) -> None:
        """Add to the number of a series."""
        self.values[self.place(labels)] += amount

    def _new(self, labels: tuple[str, ...]) -> int:
        if self._left <= 0:
            return self._other
        number = self._slab.add_series(self._family, labels)
        if number is None:
            return self._other
        self._left -= 1
        self._places[labels] = number
        return number

    def _take(self, labels: tuple[str, ...]) -> int:
        number = self._slab.add_series(self._family, labels)
        if number is None:
            raise MemoryError(f"there is no room for {self._family.name}")
        self._places[labels] = number
        return number


class Histogram(Numbers):
    """The series of a histogram."""

    def __init__(self, slab: Slab, family: Family, most: int, overflow: int) -> None:
        super().__init__(slab, family, most, overflow)
        self._bounds = family.bounds
        self._sum = len(family.bounds) + 1

    def observe(self, labels: tuple[str, ...], value: float) -> None:
        """Count a value: in the bucket that it belongs to, and in the sum."""
        self.observe_at(self.place(labels), value)

    def observe_at(self, place: int, value: float) -> None:
        """Count a value in a series whose :meth:`place` is known."""
        values = self.values
        values[place + bisect_left(self._bounds, value)] += 1.0
        values[place + self._sum] += value
