"""Cut off clients that take their responses too slowly, or not at all.

What counts is what has left this machine: the kernel takes megabytes for a client at
once, and then nothing for minutes while the client reads them.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from giftless.web.limits import Limits


class Delivery:
    """Watches how a client takes a response.

    A client may pause for as long as the rate's window if it keeps up the rate
    otherwise: the rate must be kept up in one half at least of any two windows.

    :param clock: tells the time.
    :param limits: how slow is too slow.
    :param taken: returns how many bytes the client has taken, from any beginning.
    :param cut: cuts the client off.
    """

    def __init__(
        self,
        clock: IReactorTime,
        limits: Limits,
        taken: Callable[[], int],
        cut: Callable[[], object],
    ) -> None:
        self._clock = clock
        self._limits = limits
        self._taken = taken
        self._cut = cut
        self._stall: IDelayedCall | None = None
        self._rate: IDelayedCall | None = None

    def start(self) -> None:
        """Begin to watch.  Harmless when repeated."""
        if self._stall is not None:
            return
        limits, now = self._limits, self._taken()
        self._stall = self._clock.callLater(limits.stall_timeout, self._check_stall, now)
        if limits.response_min_rate:
            window = limits.response_rate_window
            self._rate = self._clock.callLater(window, self._check_rate, None, now)

    def stop(self) -> None:
        """Watch no longer.  Harmless when repeated."""
        for call in (self._stall, self._rate):
            if call is not None and call.active():
                call.cancel()
        self._stall = self._rate = None

    def _check_stall(self, before: int) -> None:
        taken = self._taken()
        if taken <= before:
            self._give_up()
        else:
            self._stall = self._clock.callLater(
                self._limits.stall_timeout, self._check_stall, taken
            )

    def _check_rate(self, earlier: int | None, before: int) -> None:
        """Compare with what had been taken two windows ago, if that is known, and one."""
        limits, taken = self._limits, self._taken()
        window = limits.response_rate_window
        if earlier is not None and taken - earlier < limits.response_min_rate * window:
            self._give_up()
        else:
            self._rate = self._clock.callLater(window, self._check_rate, before, taken)

    def _give_up(self) -> None:
        self.stop()
        self._cut()
