"""What the first process of a container does beside its work.

The kernel makes it the parent of every process whose own parent has ended, and ignores
signals for it that nobody handles.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Container
from typing import Final

from twisted.internet import process
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall

#: The number of the first process.
FIRST: Final = 1

#: How often ended processes are looked for that nobody waits for, in seconds.
INTERVAL: Final = 10.0

#: The status of a process that ends by SIGTERM, as shells tell it.
_TERMINATED: Final = 128 + signal.SIGTERM


def end_by_signal() -> None:
    """Let SIGTERM end the first process, until its reactor handles it."""
    if os.getpid() == FIRST:
        signal.signal(signal.SIGTERM, _end)


def watch_orphans(clock: IReactorTime) -> LoopingCall | None:
    """Let ended processes go again and again, if this is the first process.

    :returns: what does so, which runs; ``None`` in another process.
    """
    if os.getpid() != FIRST:
        return None
    watch = LoopingCall(reap_orphans, process.reapProcessHandlers)
    watch.clock = clock
    watch.start(INTERVAL, now=False)
    return watch


def reap_orphans(own: Container[int]) -> None:
    """Wait for all children that have ended, until there is one that somebody waits for.

    :param own: the processes that Twisted waits for.
    """
    while (ended := _ended_child()) is not None and ended not in own:
        os.waitpid(ended, os.WNOHANG)


def _ended_child() -> int | None:
    """Return a child that has ended, without waiting for it; ``None`` if there is none."""
    try:
        found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return None if found is None else found.si_pid


def _end(*_: object) -> None:
    raise SystemExit(_TERMINATED)
