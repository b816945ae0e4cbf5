"""Call a function at intervals, beside serving."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from giftless.errors import LFSError

_log = Logger()


class Repeated(Service):
    """Calls a function at intervals; a call begins when the one before has ended.

    :param work: the function; its errors are logged.
    :param interval: how long to wait between two calls, in seconds.
    :param clock: waits.
    """

    def __init__(
        self,
        work: Callable[[], Coroutine[Any, Any, None]],
        interval: float,
        clock: IReactorTime,
    ) -> None:
        self._work = work
        self._interval = interval
        self._loop = LoopingCall(self._run)
        self._loop.clock = clock
        self._running: Deferred[None] | None = None

    def startService(self) -> None:
        """Call the function for the first time when the interval is over."""
        super().startService()
        self._loop.start(self._interval, now=False)

    def stopService(self) -> None:
        """Call the function no more, and cancel a call that runs."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()
        if self._running is not None:
            self._running.cancel()

    async def attempt(self) -> None:
        """Call the function now; log why it fails."""
        try:
            await self._work()
        except CancelledError:
            raise
        except LFSError as error:
            _log.warn("{problem}", problem=error.message)
        except OSError as error:
            _log.warn("{problem}", problem=error)
        except Exception:
            _log.failure("this will be tried again")

    def _run(self) -> Deferred[None]:
        running = self._running = Deferred.fromCoroutine(self.attempt())
        running.addErrback(lambda failure: failure.trap(CancelledError))
        return running
