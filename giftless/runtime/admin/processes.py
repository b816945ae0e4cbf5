"""What the kernel says of processes (``proc(5)``)."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")

#: The places of user and system time and of resident pages in ``/proc/PID/stat``, behind
#: the name.
_UTIME, _STIME, _RSS = 11, 12, 21


@dataclass(frozen=True, slots=True)
class Figures:
    """Sums over processes.

    :ivar cpu_seconds: processor time, in seconds.
    :ivar memory_bytes: resident memory, in bytes; what they share counts for each.
    :ivar descriptors: how many they have open.
    """

    cpu_seconds: float = 0.0
    memory_bytes: int = 0
    descriptors: int = 0


def figures_of(pids: Iterable[int]) -> Figures:
    """Add up the figures of processes; those that are gone have none."""
    cpu, memory, descriptors = 0.0, 0, 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
                fields = stat.read().rpartition(")")[2].split()
            descriptors += len(os.listdir(f"/proc/{pid}/fd"))
        except OSError:
            continue
        cpu += (int(fields[_UTIME]) + int(fields[_STIME])) / _TICKS
        memory += int(fields[_RSS]) * _PAGE
    return Figures(cpu, memory, descriptors)


def ended_cpu_seconds() -> float:
    """Return the processor time of all children of this process that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
