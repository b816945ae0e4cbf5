"""How much of the processors tests and everything that they start use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

#: Clock ticks in a second.
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds() -> float:
    """Return the CPU time of this process and of all that descend from it, in seconds.

    Those that have ended count as soon as their parent has seen it.  A daemon that is
    killed before its workers loses what they have used.
    """
    return sum(map(_ticks, _family(os.getpid()))) / TICKS


def _family(pid: int) -> Iterator[int]:
    yield pid
    for thread in _listed(Path(f"/proc/{pid}/task")):
        for child in _read(thread / "children").split():
            yield from _family(int(child))


def _ticks(pid: int) -> int:
    """Return what a process and its children that have ended have used, in ticks."""
    fields = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return sum(map(int, fields[11:15]))


def _listed(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except OSError:
        return []


def _read(path: Path) -> str:
    """Return a file of a process; nothing, if that has ended."""
    try:
        return path.read_text()
    except OSError:
        return ""
