"""Make the reactor measure time with a clock that nobody can set."""

from __future__ import annotations

import time
from typing import Any


def use_monotonic_time(reactor: Any) -> None:
    """Let everything that the reactor times run on monotonic time.

    Twisted's reactors ask the wall clock.  Where that is set back by an hour, no
    timer fires for an hour: heartbeats, deadlines and systemd's watchdog stop.

    Call it before anything is scheduled.

    :param reactor: the process's reactor.
    """
    reactor.seconds = time.monotonic
