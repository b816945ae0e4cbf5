"""Draw an overview in lines of text, as wide and as high as a terminal is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from giftless.commands.harmless import fit, harmless
from giftless.commands.units import bars, clock, number, size, span
from giftless.interfaces import CacheHoldings
from giftless.monitoring.activity import Recent, RepositoryTraffic, Running
from giftless.monitoring.overview import CauseCount, Overview, WorkerFacts

#: What is counted, and how it is written.
_FIGURES: Final = (
    ("requests", number),
    ("refused", number),
    ("errors", number),
    ("objects", number),
    ("uploaded_bytes", size),
    ("downloaded_bytes", size),
)

#: How wide columns are.
_LABEL, _NUMBER, _TIME, _OID = 14, 11, 8, 12


@dataclass(frozen=True)
class Line:
    """One line.

    :ivar style: empty, ``heading`` or ``alarm``.
    """

    text: str
    style: str = ""


@dataclass(frozen=True)
class Section:
    """Lines under a heading; those that have no room are left out."""

    heading: str
    lines: Sequence[str]


def picture(
    overview: Overview,
    columns: int,
    height: int | None = None,
    processor: float | None = None,
    problem: str = "",
) -> list[Line]:
    """Draw an overview.

    :param columns: how wide the lines are.
    :param height: how many there may be; ``None`` for all.
    :param processor: how much of a processor the workers take just now, if that is known.
    :param problem: why this is not how it is now; empty if it is.
    """
    lines = [Line(problem, "alarm")] if problem else []
    lines += _head(overview, processor)
    lines += _figures(overview)
    sections = [
        Section("REFUSED AND FAILED", list(map(_cause, overview.causes))),
        Section("REPOSITORIES, LAST HOUR", list(map(_repository, overview.repositories))),
        Section(_uploads(overview), [_upload(one, overview.now) for one in overview.transfers]),
        Section("EVENTS", [_event(one, overview.now) for one in overview.events]),
    ]
    filled = [section for section in sections if section.lines]
    room = None if height is None else height - len(lines)
    for section, count in zip(filled, _shares([len(it.lines) for it in filled], room), strict=True):
        if count:
            lines.append(Line(section.heading, "heading"))
            lines += map(Line, section.lines[:count])
    return [replace(line, text=fit(line.text, columns)) for line in lines[:height]]


def _shares(wanted: Sequence[int], room: int | None) -> list[int]:
    """Divide the room: every section gets a line in turn, the first one with its heading."""
    if room is None:
        return list(wanted)
    given = [0] * len(wanted)
    while True:
        before = room
        for index, most in enumerate(wanted):
            cost = 1 if given[index] else 2
            if given[index] < most and room >= cost:
                given[index] += 1
                room -= cost
        if room == before:
            return given


def _head(overview: Overview, processor: float | None) -> list[Line]:
    health = overview.health
    up = span(overview.now - overview.started_at)
    lines = [
        Line(
            f"giftless {overview.version}   {harmless(overview.url)}   up {up}"
            f"   {clock(overview.now, overview.now)}",
            "heading",
        )
    ]
    if health is None:
        lines.append(Line("nobody has looked yet whether all is well"))
    else:
        facts = [] if health.locks is None else [f"locks {number(health.locks)}"]
        if health.free_bytes is not None:
            facts.append(f"free {size(health.free_bytes)}")
        if (stored := health.stored) is not None:
            facts.append(f"stored {size(stored.size)} in {number(stored.objects)} objects")
            facts.append(f"trash {size(stored.trashed_size)}")
        rest = "   ".join(["", *facts])
        lines.append(Line(f"ready{rest}") if health.ready else Line(f"NOT READY{rest}", "alarm"))
        lines += [
            Line(f"  {part}: {problem}", "alarm")
            for part, problem in health.problems.items()
            if problem
        ]
    states = Counter(worker.state for worker in overview.workers)
    parts = _processes("workers", overview.workers, overview.died)
    if processor is not None:
        parts.append(f"CPU {processor:.0%}")
    failed = overview.reloads.get("failed", 0)
    parts.append(f"reloads {overview.reloads.get('succeeded', 0)}, {failed} failed")
    lines.append(Line("   ".join(parts), "" if states["serving"] else "alarm"))
    if overview.ssh_started:
        parts = _processes("SSH processes", overview.ssh_processes, overview.ssh_died)
        lines.append(Line("   ".join(parts)))
    if health is not None:
        lines += map(_cache, health.caches)
    if overview.reload_problem:
        lines.append(Line(f"cannot reload: {overview.reload_problem}", "alarm"))
    return lines


def _processes(called: str, found: Sequence[WorkerFacts], died: int) -> list[str]:
    states = Counter(each.state for each in found)
    told = ", ".join(f"{count} {state}" for state, count in states.items()) or "none"
    memory = size(sum(each.memory_bytes for each in found))
    return [f"{called}: {told}", f"{died} died", f"memory {memory}"]


def _cache(cache: CacheHoldings) -> Line:
    return Line(
        f"cache: {size(cache.bytes)} of {size(cache.limit)}"
        f"   {number(cache.entries)} objects   {harmless(cache.path)}"
    )


def _figures(overview: Overview) -> list[Line]:
    titles = "".join(f"{title:>{_NUMBER}}" for title in ("each second", "hour", "day", "total"))
    lines = [Line(" " * _LABEL + titles, "heading")]
    for name, write in _FIGURES:
        values = (
            getattr(overview.rates, name),
            sum(getattr(overview.hour, name)),
            sum(getattr(overview.day, name)),
            getattr(overview.totals, name),
        )
        label = name.removesuffix("_bytes")
        lines.append(
            Line(f"{label:<{_LABEL}}" + "".join(f"{write(it):>{_NUMBER}}" for it in values))
        )
    moved = list(
        map(sum, zip(overview.hour.uploaded_bytes, overview.hour.downloaded_bytes, strict=False))
    )
    lines.append(Line(f"{'bytes, 1 h':<{_LABEL}}{bars(moved)}"))
    return lines


def _cause(one: CauseCount) -> str:
    return f"{number(one.hour):>{_NUMBER}} in an hour {number(one.total):>{_NUMBER}}   {one.cause}"


def _repository(one: RepositoryTraffic) -> str:
    moved = f"{size(one.uploaded_bytes):>9} up {size(one.downloaded_bytes):>9} down"
    objects = one.objects_stored + one.objects_served
    return f"{moved} {number(objects):>7} objects {number(one.batches):>7} batches   {one.name}"


def _uploads(overview: Overview) -> str:
    told, total = len(overview.transfers), overview.running_total
    return f"UPLOADS, {told} OF {total}" if told < total else "UPLOADS"


def _upload(one: Running, now: float) -> str:
    share = size(one.received) if not one.size else f"{one.received / one.size:.0%}"
    whole = "" if one.size is None else f"of {size(one.size)}"
    return (
        f"{share:>7} {whole:<12} {span(now - one.began_at):>13}"
        f"  {one.oid[:_OID]:<{_OID}}   {one.repo}"
    )


def _event(one: Recent, now: float) -> str:
    times = f" x{number(one.count)}" if one.count > 1 else ""
    where = f"{one.repo}: " if one.repo else ""
    return f"{clock(one.at, now):<{_TIME}}{times}  {where}{one.words}"
