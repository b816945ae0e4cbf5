"""Work out charts: bars that stand on each other, in a box of 100 units height.

Templates draw them as SVG, which browsers stretch to the room that there is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

#: How wide a bar is, with the gap behind it.
PITCH: Final = 10

HEIGHT: Final = 100.0

#: The least that can be seen of something that is not nothing.
_LEAST: Final = 1.5


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a bar.

    :ivar kind: what it counts; names its colour.
    :ivar y: where its top is, from the top of the chart.
    :ivar height: its height.
    """

    kind: str
    y: float
    height: float


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar.

    :ivar x: where it begins.
    :ivar words: what it shows, for people.
    :ivar pieces: from the bottom up; none are empty.
    """

    x: int
    words: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart.

    :ivar title: what it shows.
    :ivar words: its figures in one sentence, for who cannot see it.
    :ivar top: what the height of the chart stands for.
    :ivar ends: what stands below its two ends.
    :ivar legend: what each kind of piece counts.
    :ivar width: its width in units.
    :ivar bars: those that are not empty.
    """

    title: str
    words: str
    top: str
    ends: tuple[str, str]
    legend: Mapping[str, str]
    width: int
    bars: tuple[Bar, ...]


def bars(
    counts: Mapping[str, Sequence[float]], words: Callable[[int], str]
) -> tuple[float, tuple[Bar, ...]]:
    """Stack counts.

    :param counts: for each kind, one number for each bar; the first is at the bottom.
    :param words: says what a bar shows.
    :returns: the height of the highest bar in what is counted, and the bars.
    """
    sums = [sum(map(_positive, numbers)) for numbers in zip(*counts.values(), strict=True)]
    highest = max(sums, default=0.0)
    drawn = []
    for index, total in enumerate(sums):
        if total <= 0:
            continue
        values = {kind: _positive(numbers[index]) for kind, numbers in counts.items()}
        pieces, bottom = [], HEIGHT
        for kind, height in _heights(values, highest).items():
            bottom = max(0.0, bottom - height)
            pieces.append(Piece(kind, round(bottom, 2), round(height, 2)))
        drawn.append(Bar(index * PITCH, words(index), tuple(pieces)))
    return highest, tuple(drawn)


def _heights(values: Mapping[str, float], highest: float) -> dict[str, float]:
    """Return the heights of the pieces of a bar; none is too low to be seen.

    :param highest: what the height of the chart stands for.
    """
    exact = {kind: value / highest * HEIGHT for kind, value in values.items() if value > 0}
    heights = {kind: max(height, _LEAST) for kind, height in exact.items()}
    # The tallest makes room for what is shown larger than it is.
    tallest = max(heights, key=heights.__getitem__)
    heights[tallest] -= max(0.0, sum(heights.values()) - HEIGHT)
    return heights


def _positive(value: float) -> float:
    """Return a number of the chart; clocks and restarts must not turn a bar around."""
    return max(0.0, value)
