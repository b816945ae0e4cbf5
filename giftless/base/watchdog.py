"""Notice that nothing has moved for too long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Watchdog:
    """Calls a function when too much time goes by without progress.

    It is idle until it is started.

    :param timeout: after how many seconds without progress; at most twice as
        many if there was some before.
    :param act: called then, once.
    :ivar expired: whether ``act`` has been called.
    """

    def __init__(self, clock: IReactorTime, timeout: float, act: Callable[[], Any]) -> None:
        self._clock = clock
        self._timeout = timeout
        self._act = act
        self._moved = False
        self._call: IDelayedCall | None = None
        self.expired = False

    def start(self) -> None:
        """Count the seconds from now on, whatever has been counted before."""
        self.stop()
        self._moved = False
        self._call = self._clock.callLater(self._timeout, self._check)

    def progress(self) -> None:
        """Note that something has moved; quick, for each piece of many."""
        self._moved = True

    def stop(self) -> None:
        """Stop counting.  Harmless when repeated."""
        call, self._call = self._call, None
        if call is not None:
            call.cancel()

    def _check(self) -> None:
        self._call = None
        if self._moved:
            self.start()
        else:
            self.expired = True
            self._act()
