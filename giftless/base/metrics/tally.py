"""Add up what processes count, those that are gone included."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from giftless.base.metrics.counts import OTHER
from giftless.base.metrics.families import Family, Kind
from giftless.base.metrics.slab import SlabReader, slab_memory

#: How many series of one family are told apart, whatever comes and goes.
MAX_SERIES: Final = 4096


class Counted:
    """What one process counts, as its parent sees it.

    :ivar descriptor: the memory, for the process to inherit; -1 when that is done.
    """

    def __init__(self) -> None:
        self.descriptor = slab_memory()
        self.reader = SlabReader(self.descriptor)

    def close(self) -> None:
        """Close the descriptor: the process has its own.  Harmless when repeated."""
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class Sums:
    """The sums of families, by the values of their labels."""

    def __init__(self) -> None:
        self._families: dict[str, Family] = {}
        self._series: dict[str, dict[tuple[str, ...], list[float]]] = {}

    def add(self, family: Family, labels: tuple[str, ...], numbers: list[float]) -> None:
        """Add the numbers of a series.

        :param family: the first of a name counts.  A process of another version may
            have other bounds: its values are counted in the next larger bucket.  What
            differs otherwise is passed over.
        """
        known = self._families.setdefault(family.name, family)
        if (known.kind, known.labels) != (family.kind, family.labels):
            return
        if known.bounds != family.bounds:
            numbers = _rebucketed(numbers, family.bounds, known.bounds)
        series = self._series.setdefault(family.name, {})
        if labels not in series and len(series) >= MAX_SERIES:
            labels = tuple(OTHER for _ in labels)
        sums = series.get(labels)
        series[labels] = (
            numbers if sums is None else list(map(sum, zip(sums, numbers, strict=True)))
        )

    def __iter__(self) -> Iterator[tuple[Family, dict[tuple[str, ...], list[float]]]]:
        for name, family in self._families.items():
            yield family, self._series.get(name, {})


class Tally:
    """The counts of all processes: of those that live, and of those that have ended."""

    def __init__(self) -> None:
        self._live: list[Counted] = []
        self._past = Sums()

    def open(self) -> Counted:
        """Make the memory of another process."""
        counted = Counted()
        self._live.append(counted)
        return counted

    def retire(self, counted: Counted) -> None:
        """Keep what a process has counted, which is gone."""
        self._live.remove(counted)
        counted.close()
        for family, labels, numbers in counted.reader.series():
            if family.kind is not Kind.GAUGE:
                self._past.add(family, labels, numbers)
        counted.reader.close()

    def sums(self) -> Sums:
        """Return the sums of all, as they are at this moment."""
        total = Sums()
        for family, series in self._past:
            for labels, numbers in series.items():
                total.add(family, labels, numbers)
        for counted in self._live:
            for family, labels, numbers in counted.reader.series():
                total.add(family, labels, numbers)
        return total


def _rebucketed(
    numbers: list[float], bounds: tuple[float, ...], wanted: tuple[float, ...]
) -> list[float]:
    """Return a histogram's numbers as one with other bounds has them."""
    changed = [0.0] * (len(wanted) + 2)
    for bound, count in zip((*bounds, float("inf")), numbers[:-1], strict=True):
        changed[bisect_left(wanted, bound)] += count
    changed[-1] = numbers[-1]
    return changed
