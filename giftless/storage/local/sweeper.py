"""Remove what abandoned uploads have left, now and then."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from giftless.interfaces import WallClock

#: The longest time between two searches for abandoned uploads, in seconds.
SWEEP_INTERVAL: Final = 3600

_log = Logger(namespace="giftless.storage")


class Sweeper(Service):
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
        self._interval = min(SWEEP_INTERVAL, max(1, expiry // 4))
        self._loop = LoopingCall(self._run)
        self._loop.clock = clock
        self._finished: Deferred[Any] = succeed(None)
        self._wall_clock = wall_clock
        self._sweep = sweep
        self._what = what
        self._expiry = expiry

    def startService(self) -> None:
        """Look at once, and from now on."""
        super().startService()
        self._finished = self._loop.start(self._interval)
        self._finished.addErrback(lambda failure: _log.failure("nothing is swept", failure))

    def stopService(self) -> Deferred[Any]:
        """Look no more.

        :returns: fires when nothing is being removed any more.
        """
        super().stopService()
        if self._loop.running:
            self._loop.stop()
        return self._finished

    async def _run(self) -> None:
        try:
            count = await self._sweep(self._wall_clock() - self._expiry)
        except OSError as error:
            _log.error("{what} could not be swept: {error}", what=self._what, error=str(error))
            return
        if count:
            _log.info("{count} {what} were removed", count=count, what=self._what)
