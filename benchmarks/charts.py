"""From results to pictures: an SVG for the documentation, the same bytes each time.

A row for each server in each case: its name, what it reached, and the number.  On a linear
axis a bar goes from nothing to the median; on a logarithmic one, which has no nothing, a dot
is at the median.  A line through it goes from the least to the most of all rounds.  Colours
are classes, which the page's style sheet gives to light and dark.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from html import escape
from typing import Final

from benchmarks.report import OWN, Case, Results, Row

#: The width of all, of the names on the left, and of the numbers on the right.
_WIDTH: Final = 520
_LEFT: Final = 110
_RIGHT: Final = 92
_PLOT: Final = _WIDTH - _LEFT - _RIGHT

#: How high a row is, and what is above the rows of a case.
_ROW: Final = 19
_HEAD: Final = 27


@dataclass(frozen=True)
class Axis:
    """Where values lie between left and right.

    :ivar low: the value on the left: 0 if linear.
    :ivar high: the value on the right.
    """

    low: float
    high: float
    log: bool

    def place(self, value: float) -> float:
        """Return the horizontal place of a value."""
        if self.log:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = value / self.high
        return _LEFT + _PLOT * share

    def ticks(self) -> list[float]:
        """Return the values that the axis names, from left to right."""
        if self.log:
            first, last = math.log10(self.low), math.log10(self.high)
            return [10.0**exponent for exponent in range(round(first), math.floor(last) + 1)]
        step = _round_up(self.high / 5)
        return [step * count for count in range(int(self.high / step) + 1)]


def axis_for(rows: Sequence[Row], log: bool) -> Axis:
    """Return an axis that has room for all values of some rows.

    :raises ValueError: if a value is not positive, and the axis logarithmic.
    """
    values = [value for row in rows for found in row.values.values() for value in found]
    if not log:
        return Axis(0.0, max(values), False)
    if min(values) <= 0:
        raise ValueError("a logarithmic axis has no place for zero")
    return Axis(10.0 ** math.floor(math.log10(min(values))), _round_up(max(values)), True)


def choose(results: Results, patterns: Sequence[str]) -> list[Row]:
    """Return the rows whose cases match one of some patterns, such as ``git lfs *``.

    :raises ValueError: if a pattern matches none, or the rows have several units.
    """
    chosen: list[Row] = []
    for pattern in patterns:
        found = [row for row in results.rows if fnmatchcase(row.case.name, pattern)]
        if not found:
            raise ValueError(f"no case of {results.workload} is called {pattern!r}")
        chosen += found
    if len({(row.case.unit, row.case.more) for row in chosen}) > 1:
        raise ValueError(f"the cases {', '.join(patterns)} have several units")
    return chosen


def draw(results: Results, patterns: Sequence[str], log: bool = False) -> str:
    """Return the SVG of some cases of a workload.

    :param patterns: which cases.
    :param log: whether the axis is logarithmic.
    :raises ValueError: as :func:`choose` and :func:`axis_for`.
    """
    rows = choose(results, patterns)
    axis = axis_for(rows, log)
    case = rows[0].case
    scale = f"{case.unit}{', logarithmic axis' if log else ''}: " + (
        "more is better" if case.more else "less is better"
    )
    body, top = [], 0
    for row in rows:
        body.append(_text("title", 0, top + 18, row.case.name))
        top += _HEAD
        for server in _servers(results, row):
            body += _measured(row, server, axis, top)
            top += _ROW
    ticks = [part for value in axis.ticks() for part in _tick(axis, value, top)]
    foot = _text("second", _LEFT + _PLOT / 2, top + 38, scale)
    described = "; ".join(f"{row.case.name}: {_summary(results, row)}" for row in rows)
    box = f'viewBox="0 0 {_WIDTH} {top + 46}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="chart" role="img" {box}>',
            f"<title>{escape(f'{results.about}, {scale}')}</title>",
            f"<desc>{escape(described)}</desc>",
            *ticks,
            *body,
            foot,
            "</svg>",
        ]
    )


def _servers(results: Results, row: Row) -> list[str]:
    """Return who took part in a case, giftless first."""
    names = [name for name in results.servers if row.values.get(name) or name in row.failures]
    return sorted(names, key=lambda name: name != OWN)


def _measured(row: Row, server: str, axis: Axis, top: int) -> Iterator[str]:
    middle = top + _ROW / 2
    yield _text("server", _LEFT - 8, middle + 4, server)
    values = row.values.get(server)
    if not values:
        yield _text("value", _LEFT + 4, middle + 4, "fails")
        return
    median = axis.place(statistics.median(values))
    left, right = axis.place(min(values)), axis.place(max(values))
    kind = "ours" if server == OWN else "others"
    if axis.log:
        yield f'<circle class="{kind}" cx="{median:.1f}" cy="{middle:.1f}" r="5"/>'
    else:
        width = median - _LEFT
        yield f'<rect class="{kind}" x="{_LEFT}" y="{top + 3}" width="{width:.1f}" height="13"/>'
    yield f'<path class="spread" d="M{left:.1f} {middle:.1f}H{right:.1f}"/>'
    number = _number(statistics.median(values), row.case)
    yield _text("value", max(right, median) + 8, middle + 4, number)


def _tick(axis: Axis, value: float, bottom: int) -> Iterator[str]:
    place = axis.place(value)
    yield f'<path class="grid" d="M{place:.1f} 22V{bottom + 4}"/>'
    yield _text("second", place, bottom + 19, f"{value:,g}".replace(",", "\N{NO-BREAK SPACE}"))


def _summary(results: Results, row: Row) -> str:
    """Say in words what a case's rows show."""
    said = []
    for server in _servers(results, row):
        values = row.values.get(server)
        if not values:
            said.append(f"{server} fails")
            continue
        middle, low, high = (
            _number(value, row.case)
            for value in (statistics.median(values), min(values), max(values))
        )
        said.append(f"{server} {middle} ({low} to {high})")
    return ", ".join(said)


def _number(value: float, case: Case) -> str:
    return f"{value:,.{case.digits}f}".replace(",", "\N{NO-BREAK SPACE}")


def _round_up(value: float) -> float:
    """Return the next of 1, 2 and 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * digit for digit in (1, 2, 5, 10) if power * digit >= value)


def _text(kind: str, left: float, baseline: float, words: str) -> str:
    return f'<text class="{kind}" x="{left:.1f}" y="{baseline:.1f}">{escape(words)}</text>'
