"""Refuse bodies that arrive too slowly."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from giftless.base.received_body import RequestBody
from giftless.errors import RequestTimeout
from giftless.web.limits import Limits


class Arrival:
    """Measures how fast a body arrives.

    :param clock: tells the time.
    :param limits: how slow is too slow.
    :param body: the body.
    :param excused: returns whether the client has not been told to go on yet.
    :param refuse: is called with an error when the body is too slow.
    """

    def __init__(
        self,
        clock: IReactorTime,
        limits: Limits,
        body: RequestBody,
        excused: Callable[[], bool],
        refuse: Callable[[RequestTimeout], object],
    ) -> None:
        self._clock = clock
        self._limits = limits
        self._body = body
        self._excused = excused
        self._refuse = refuse
        self._timer: IDelayedCall | None = None
        self._before = 0
        self._held_up = False

    def start(self) -> None:
        """Measure from now on."""
        if self._limits.body_min_rate:
            self._before = self._body.received
            self._held_up = self._body.paused
            self._timer = self._clock.callLater(self._limits.body_rate_window, self._check)

    def stop(self) -> None:
        """Measure no longer.  Harmless when repeated."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def hold_up(self) -> None:
        """Note that the daemon is what is slow, so that the client is not timed out."""
        self._held_up = True

    def _check(self) -> None:
        self._timer = None
        limits = self._limits
        arrived = self._body.received - self._before
        enough = arrived >= limits.body_min_rate * limits.body_rate_window
        if self._held_up or enough or self._excused():
            self.start()
            return
        self._refuse(
            RequestTimeout(f"the body arrives at less than {limits.body_min_rate} bytes a second")
        )
