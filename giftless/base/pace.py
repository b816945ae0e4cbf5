"""Let bytes pass at no more than a certain rate, so that others find the disk and network free."""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

#: Waits shorter than this, in seconds, are left out; later ones make up for them.
SLACK: Final = 0.01

#: What was not used in so many last seconds may be made up for: nobody is woken in time.
CREDIT: Final = 0.1


class Pace:
    """Holds up whoever wants more bytes than a rate allows; all who share it share the rate.

    What is not used is lost soon (:data:`CREDIT`): after a pause nobody hurries.

    :param bytes_per_second: the rate, more than 0; ``None`` if there is no bound.
    :param clock: waits.
    """

    def __init__(self, bytes_per_second: float | None, clock: IReactorTime) -> None:
        self._rate = bytes_per_second
        self._clock = clock
        #: When all bytes that were taken have passed, in seconds of the clock.
        self._passed = clock.seconds()

    async def take(self, count: int) -> None:
        """Wait until bytes may pass.

        Call it before or behind what moves them; the rate over some time is the same.

        :param count: how many bytes.
        """
        if self._rate is None:
            return
        now = self._clock.seconds()
        begin = max(self._passed, now - CREDIT)
        self._passed = begin + count / self._rate
        if begin - now >= SLACK:
            await deferLater(self._clock, begin - now)
