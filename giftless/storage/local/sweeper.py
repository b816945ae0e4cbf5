"""Remove what abandoned uploads have left, now and then."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from twisted.application.internet import TimerService
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from giftless.interfaces import WallClock

#: The longest time between two searches for abandoned uploads, in seconds.
SWEEP_INTERVAL: Final = 3600

_log = Logger(namespace="giftless.storage")


class Sweeper(TimerService):
    """Removes what abandoned uploads have left, at regular intervals.

    :param sweep: removes the uploads to which nothing has come since a time, in seconds
        since the epoch; returns an awaitable of how many.
    :param what: what such uploads are called in the log.
    :param expiry: after how many seconds without something new an upload is abandoned.
    :param clock: tells when to look.
    :param wall_clock: is compared with the dates of files.
    """

    def __init__(
        self,
        sweep: Callable[[float], Awaitable[int]],
        what: str,
        expiry: int,
        clock: IReactorTime,
        wall_clock: WallClock,
    ) -> None:
        super().__init__(min(SWEEP_INTERVAL, max(1, expiry // 4)), self._run)
        self.clock = clock
        self._wall_clock = wall_clock
        self._sweep = sweep
        self._what = what
        self._expiry = expiry

    def stopService(self) -> Any:
        """See :class:`twisted.application.internet.TimerService`; it may not have begun."""
        return super().stopService() if self.running else None

    async def _run(self) -> None:
        try:
            count = await self._sweep(self._wall_clock() - self._expiry)
        except OSError as error:
            _log.error("{what} could not be swept: {error}", what=self._what, error=str(error))
            return
        if count:
            _log.info("{count} {what} were removed", count=count, what=self._what)
