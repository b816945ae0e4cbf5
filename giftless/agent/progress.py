"""The progress of a transfer: counted by several threads, reported in order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

#: The least time between two reports, in seconds.
INTERVAL: Final = 0.1


class Progress:
    """Counts bytes and reports them, never fewer than before.

    What has to be sent again is taken back from the count, and the reports
    stand still until it has been.

    :param size: how many there are.
    :param report: is called with the bytes so far and those since the last
        report.  Nothing is reported after :meth:`close`.
    :param clock: tells the time, in seconds.
    """

    def __init__(
        self,
        size: int,
        report: Callable[[int, int], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._size = size
        self._report = report
        self._clock = clock
        self._lock = threading.Lock()
        self._count = 0
        self._reported = 0
        self._next = 0.0
        self._closed = False

    def begin(self, count: int) -> None:
        """Say how many bytes are there already."""
        with self._lock:
            self._count = count
            self._tell()

    def add(self, count: int) -> None:
        """Count bytes; fewer than none if they have to be sent again."""
        with self._lock:
            self._count += count
            self._tell()

    def close(self, complete: bool) -> None:
        """Report no more, but for the last byte if all are there."""
        with self._lock:
            if complete:
                self._count = self._size
                self._next = 0.0
                self._tell()
            self._closed = True

    def _tell(self) -> None:
        count = min(self._count, self._size)
        if self._closed or count <= self._reported:
            return
        now = self._clock()
        if now < self._next and count < self._size:
            return
        since, self._reported, self._next = count - self._reported, count, now + INTERVAL
        self._report(count, since)
