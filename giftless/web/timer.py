"""A time-out that is put off much more often than it expires."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Timer:
    """Calls a function after some time, unless that is put off.

    Starting it again, or stopping it, changes nothing but a number: the reactor is
    asked at most once for each time that passes.

    :param clock: tells the time.
    :param expired: is called when the time has passed.
    """

    __slots__ = ("_call", "_clock", "_due", "_expired")

    def __init__(self, clock: IReactorTime, expired: Callable[[], object]) -> None:
        self._clock = clock
        self._expired = expired
        self._due: float | None = None
        self._call: IDelayedCall | None = None

    @property
    def running(self) -> bool:
        """Whether the timer is going to expire."""
        return self._due is not None

    def start(self, seconds: float) -> None:
        """Let the timer expire after some time, counted from now."""
        self._due = self._clock.seconds() + seconds
        if self._call is None:
            self._call = self._clock.callLater(seconds, self._check)
        elif self._call.getTime() > self._due:
            self._call.reset(seconds)

    def stop(self) -> None:
        """Keep the timer from expiring.  Harmless when repeated."""
        self._due = None

    def close(self) -> None:
        """Stop the timer, and let nothing of it remain in the reactor."""
        self._due = None
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _check(self) -> None:
        self._call = None
        if self._due is None:
            return
        left = self._due - self._clock.seconds()
        if left > 0:
            self._call = self._clock.callLater(left, self._check)
        else:
            self._due = None
            self._expired()
