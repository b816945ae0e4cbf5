"""From measurements to tables: ratios with their median and spread.

Every number is how many times as good giftless is as the other server, in the
same round: twice as many objects a second, or half the time or memory, is 2.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

#: The server that the others are compared with.
OWN = "giftless"


class Case(msgspec.Struct, frozen=True):
    """One thing that is measured on every server.

    :ivar name: what a reader calls it.
    :ivar unit: of the values, e.g. ``objects/s``.
    :ivar more: whether more is better.
    :ivar digits: behind the decimal point.
    :ivar ratio: whether others are compared by it; if not, their own values are
        shown, as for what is close to nothing.
    """

    name: str
    unit: str
    more: bool = True
    digits: int = 0
    ratio: bool = True


class Row(msgspec.Struct):
    """What was measured for a case.

    :ivar values: a value for each round, by server.
    :ivar failures: why there is none, by server.
    """

    case: Case
    values: dict[str, list[float]]
    failures: dict[str, str]


class Results(msgspec.Struct):
    """A workload's results.

    :ivar workload: its name.
    :ivar about: what it does, in words.
    :ivar command: runs it again.
    :ivar date: when it began.
    :ivar machine: facts about the machine, by name.
    :ivar servers: the version of each server that took part.
    :ivar missing: why the others did not.
    :ivar tools: the versions of what made the load.
    :ivar notes: what a reader should know about this run.
    :ivar promises: what each server promises, in words; older results do not say.
    """

    workload: str
    about: str
    command: str
    date: str
    machine: dict[str, str]
    servers: dict[str, str]
    missing: dict[str, str]
    tools: dict[str, str]
    notes: list[str]
    rows: list[Row]
    promises: dict[str, list[str]] = {}


def ratios(row: Row, other: str) -> list[float]:
    """Return how many times as good giftless is as another server, round by round."""
    pairs = zip(row.values.get(OWN, ()), row.values.get(other, ()), strict=False)
    if row.case.more:
        return [own / value for own, value in pairs if value]
    return [value / own for own, value in pairs if own > 0]


def cell(row: Row, server: str) -> str:
    """Render one server's part of a row."""
    if server in row.failures:
        return "fails"
    if server == OWN or not row.case.ratio:
        values = row.values.get(server, [])
        return f"{_spread(values, row.case.digits)} {row.case.unit}".rstrip() if values else "—"
    found = ratios(row, server)
    return _spread(found, 2) if found else "—"


def table(results: Results) -> list[list[str]]:
    """Return the table's lines: a head, what is promised, and one for each case."""
    others = [name for name in [*results.servers, *results.missing] if name != OWN]
    promises = [", ".join(results.promises.get(name, ())) or "—" for name in [OWN, *others]]
    return [
        ["", OWN, *(f"x {name}" for name in others)],
        ["*promises*", *promises],
        *(
            [row.case.name, *(cell(row, server) for server in [OWN, *others])]
            for row in results.rows
        ),
    ]


def text(results: Results) -> str:
    """Render for a terminal."""
    lines = table(results)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rendered = [
        "  ".join(value.ljust(width) for value, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join(["", f"{results.workload}: {results.about}", *rendered, *_remarks(results)])


def rst(results: Results) -> str:
    """Render for the documentation."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for line in table(results):
        lines += [f"   {'*' if not i else ' '} - {value}" for i, value in enumerate(line)]
    lines += ["", *(f"- {remark}" for remark in _remarks(results)), ""]
    facts = {
        "Command": f"``{results.command}``",
        "Date": results.date,
        "Machine": "; ".join(f"{name}: {value}" for name, value in results.machine.items()),
        "Servers": "; ".join(results.servers.values()),
        "Load": "; ".join(results.tools.values()),
    }
    return "\n".join([*lines, *(f":{name}: {value}" for name, value in facts.items() if value), ""])


def write(results: Results, directory: Path) -> None:
    """Write all values as JSON and the table as reStructuredText."""
    directory.mkdir(parents=True, exist_ok=True)
    data = msgspec.json.format(msgspec.json.encode(results), indent=1)
    (directory / f"{results.workload}.json").write_bytes(data + b"\n")
    (directory / f"{results.workload}.rst").write_text(rst(results))


def _remarks(results: Results) -> list[str]:
    missing = [f"Without {name}: {reason}." for name, reason in results.missing.items()]
    failed: dict[tuple[str, str], list[str]] = {}
    for row in results.rows:
        for server, reason in row.failures.items():
            failed.setdefault((server, reason), []).append(row.case.name)
    return [
        *missing,
        *(
            f"{server} fails ({'; '.join(cases)}): {reason}."
            for (server, reason), cases in failed.items()
        ),
        *results.notes,
    ]


def _spread(values: Sequence[float], digits: int) -> str:
    """Render the median, and from where to where the values go."""
    middle, low, high = (
        f"{value:,.{digits}f}".replace(",", "\N{NO-BREAK SPACE}")
        for value in (statistics.median(values), min(values), max(values))
    )
    return f"{middle} ({low} to {high})" if len(values) > 1 else middle


def machine(facts: Mapping[str, str]) -> dict[str, str]:
    """Return what the machine is, as far as the kernel tells.

    :param facts: others to add.
    """
    cpu = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        "unknown",
    )
    total = int(Path("/proc/meminfo").read_text().split()[1]) / 1024**2
    kernel = Path("/proc/sys/kernel/osrelease").read_text().strip()
    return {"processor": cpu, "memory": f"{total:.0f} GiB", "kernel": kernel, **facts}
