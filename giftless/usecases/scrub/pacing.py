"""How fast the scrub works: as slowly as its period allows, and never in the way of others."""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from giftless.base.pace import SLACK, Pace
from giftless.monitoring.scrubbing import OBJECT_COST, ScrubFacts

#: Which part of the time it works at most; the rest it waits.  A busy disk makes work take
#: longer, and so the pauses.
SHARE: Final = 0.25

#: How many bytes of an object are read in a second at least, if the ceiling allows: what was
#: read of an object is lost when the worker ends, so none may take days.
FLOOR: Final = 8_000_000


class GentlePace(Pace):
    """Holds up reading to a rate, and to a share of the time.

    :param rate: how many bytes may be read in a second at most.
    :param clock: waits.
    """

    def __init__(self, rate: float, clock: IReactorTime) -> None:
        super().__init__(rate, clock)
        self._ceiling = rate
        self._resumed = clock.seconds()
        self._owed = 0.0

    def begin(self, size: int, seconds: float) -> None:
        """Begin an object; what came before was no work.

        :param size: in bytes.
        :param seconds: how long it may take.
        """
        wanted = size / seconds if seconds > 0 else self._ceiling
        self._rate = min(self._ceiling, max(FLOOR, wanted))
        self._resumed = self._clock.seconds()

    async def take(self, count: int) -> None:
        """Wait until bytes may pass, and as long as the work before has earned others."""
        self._owed += (self._clock.seconds() - self._resumed) * (1 / SHARE - 1)
        if self._owed >= SLACK:
            owed, self._owed = self._owed, 0.0
            await deferLater(self._clock, owed)
        await super().take(count)
        self._resumed = self._clock.seconds()


#: In which part of the period a pass is to be done: the rest is for what comes in between.
PLANNED: Final = 0.95


def slot(facts: ScrubFacts, size: int, now: float) -> float:
    """Return how many seconds an object has, so that all are evenly spread over the period.

    There are none if it is late, or if there are more objects than were expected.

    :param size: of the object, in bytes.
    :param now: in seconds since the epoch.
    """
    seconds = facts.running.began_at + PLANNED * facts.period - now
    weight = size + OBJECT_COST
    if seconds <= 0 or facts.left <= 0:
        return 0.0
    return seconds * min(weight / facts.left, 1.0)
