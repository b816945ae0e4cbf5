"""How many workers serve: as many as there are processors, if ``workers: auto`` says so."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Final, Literal

#: Where the processes of a machine are divided into groups (cgroups, version 2).
_GROUPS: Final = Path("/sys/fs/cgroup")
_OWN_GROUP: Final = Path("/proc/self/cgroup")


def number_of_workers(workers: int | Literal["auto"]) -> int:
    """Return how many worker processes serve.

    :param workers: what the configuration says.
    """
    return available() if workers == "auto" else workers


def available(groups: Path = _GROUPS, own: Path = _OWN_GROUP) -> int:
    """Return how many processors there are for this process, 1 or more.

    The kernel may allow some of them only (``CPUAffinity=``), and a container
    or service some time on them only (``--cpus``, ``CPUQuota=``).

    :param groups: where cgroups are mounted.
    :param own: names the cgroup of this process.
    """
    allowed = len(os.sched_getaffinity(0))
    try:
        line = next(line for line in own.read_text().splitlines() if line.startswith("0::/"))
    except (OSError, StopIteration):
        return allowed
    group = groups / line.removeprefix("0::/")
    quotas = [_quota(group) for group in (group, *group.parents) if group.is_relative_to(groups)]
    return max(1, math.ceil(min(allowed, *quotas)))


def _quota(group: Path) -> float:
    """Return how many processors' time a group has."""
    try:
        quota, period = (group / "cpu.max").read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError):  # there is no limit, or "max"
        return math.inf
