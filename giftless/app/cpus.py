"""How many workers serve: as many as there are processors, if ``workers: auto`` says so."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Final

from giftless.app import cgroups
from giftless.app.config import Config

_MIB: Final = 1024 * 1024

#: What the parent needs of memory, and what a worker or a process for SSH may need beside
#: ``limits.memory``, in bytes.
PARENT_MEMORY: Final = 64 * _MIB
PROCESS_MEMORY: Final = 192 * _MIB


def number_of_workers(options: Config, mount: Path = cgroups.MOUNT, own: Path = cgroups.OWN) -> int:
    """Return how many worker processes serve.

    ``auto`` is one for each processor, but no more than have room in the memory of the
    service or container, twice: during a reload there are old ones and new ones.

    :param mount: where cgroups are mounted.
    :param own: names the cgroups of this process.
    """
    if options.workers != "auto":
        return options.workers
    room = cgroups.memory(mount, own) - PARENT_MEMORY
    if options.ssh.endpoints:
        room -= 2 * options.ssh.processes * PROCESS_MEMORY
    fitting = room / (2 * (PROCESS_MEMORY + options.limits.memory))
    processors = available(mount, own)
    return processors if fitting >= processors else max(1, int(fitting))


def available(mount: Path = cgroups.MOUNT, own: Path = cgroups.OWN) -> int:
    """Return how many processors there are for this process, 1 or more.

    The kernel may allow some of them only (``CPUAffinity=``), and a container
    or service some time on them only (``--cpus``, ``CPUQuota=``).

    Parameters are those of :func:`number_of_workers`.
    """
    allowed = len(os.sched_getaffinity(0))
    return max(1, math.ceil(min(allowed, cgroups.processors(mount, own))))
