"""Ask workers how their parts are, and remember the answer."""

from __future__ import annotations

from typing import Final

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from giftless.monitoring.health import PATIENCE, Report
from giftless.runtime.questions import HEALTH, Ask, Unanswered

#: For how many seconds a worker's report is waited for: a little longer than it waits.
REPORT_TIMEOUT: Final = PATIENCE + 1.0

#: What the health is looked at for, if only metrics are asked for: at most so often, in
#: seconds.
LOOK_INTERVAL: Final = 10.0

#: For how many seconds metrics tell what was found: as long as Prometheus shows a value
#: that it cannot ask for any more.
MAX_AGE: Final = 300.0


class Doctor:
    """Asks workers how their parts are.

    :param ask: asks a worker, see
        :meth:`giftless.runtime.supervision.supervisor.Supervisor.ask`.
    :param clock: tells the time.
    :ivar last: what was found last; ``None`` before.
    :ivar looked_at: when that was, by this clock; ``None`` before.
    """

    def __init__(self, ask: Ask, clock: IReactorTime) -> None:
        self._ask = ask
        self._clock = clock
        self._next_look = float("-inf")
        self.last: Report | None = None
        self.looked_at: float | None = None

    @property
    def recent(self) -> Report | None:
        """What was found within :data:`MAX_AGE`; ``None`` if nobody has looked then."""
        if self.looked_at is None or self._clock.seconds() - self.looked_at > MAX_AGE:
            return None
        return self.last

    async def report(self) -> Report:
        """Ask a worker; what does not answer in time is not well."""
        self._next_look = self._clock.seconds() + LOOK_INTERVAL
        self.last = report = await self._report()
        self.looked_at = self._clock.seconds()
        return report

    def look(self) -> None:
        """Ask if nobody has asked lately; nobody waits for the answer."""
        if self._clock.seconds() >= self._next_look:
            Deferred.fromCoroutine(self.report())

    async def _report(self) -> Report:
        asked = self._ask(HEALTH, patience=REPORT_TIMEOUT)
        if asked is None:
            return _no_worker("no worker serves and answers")
        try:
            return msgspec.json.decode(await asked, type=Report)
        except Unanswered as reason:
            return _no_worker(f"a worker {reason}")
        except msgspec.MsgspecError:
            return _no_worker("a worker says what this version does not know")


def _no_worker(problem: str) -> Report:
    return Report({"workers": problem})
