"""What the kernel's groups of processes (cgroups) leave this process: time and memory.

A service or a container is such a group, with limits of its own (``CPUQuota=``, ``--cpus``,
``MemoryMax=``, ``--memory``) and those of the groups above it.  In a container, its group may
look like the topmost one.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

#: Where groups are mounted, and what names those of this process.
MOUNT: Final = Path("/sys/fs/cgroup")
OWN: Final = Path("/proc/self/cgroup")


def processors(mount: Path = MOUNT, own: Path = OWN) -> float:
    """Return how many processors' time there is; infinite without a limit.

    :param mount: where groups are mounted.
    :param own: names those of this process.
    """
    return min(map(_processors, _groups("cpu", mount, own)), default=math.inf)


def memory(mount: Path = MOUNT, own: Path = OWN) -> float:
    """Return how many bytes of memory there are; infinite without a limit.

    Parameters are those of :func:`processors`.
    """
    return min(map(_memory, _groups("memory", mount, own)), default=math.inf)


def _groups(controller: str, mount: Path, own: Path) -> Iterator[Path]:
    """Yield the directories of the groups of this process, and of those above them.

    A line of version 2 names no controllers.  With version 1, one or several controllers are
    mounted together, in a directory with the names of all; one with a single name may lead there.
    """
    try:
        # A name may be any bytes; of those that end lines only the newline is escaped.
        lines = os.fsdecode(own.read_bytes()).split("\n")
    except OSError:
        return
    for line in filter(None, lines):
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        tops = (mount / controller, mount / controllers) if controllers else (mount,)
        for top in filter(Path.is_dir, tops):
            group = _below(top, path)
            yield from (each for each in (group, *group.parents) if each.is_relative_to(top))


def _below(top: Path, path: str) -> Path:
    """Return the directory of a group.

    A container may see its own group at the top, and what is in it below: of its path it is
    the end that leads there.
    """
    names = [name for name in path.split("/") if name]
    if ".." not in names:
        for start in range(len(names)):
            group = top.joinpath(*names[start:])
            if group.is_dir():
                return group
    return top


def _processors(group: Path) -> float:
    quota, _, period = _read(group / "cpu.max").partition(" ")
    if not period:
        quota, period = _read(group / "cpu.cfs_quota_us"), _read(group / "cpu.cfs_period_us")
    # "max", or -1, for no limit.
    if not quota.isdecimal() or not period.isdecimal() or not int(period):
        return math.inf
    return int(quota) / int(period)


def _memory(group: Path) -> float:
    limit = _read(group / "memory.max") or _read(group / "memory.limit_in_bytes")
    return int(limit) if limit.isdecimal() else math.inf


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
