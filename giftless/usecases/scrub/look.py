"""Look how far the scrub is, from any worker: the one that scrubs writes it down."""

from __future__ import annotations

from typing import Final

from giftless.errors import ServiceUnavailable
from giftless.interfaces import IBlocking, WallClock
from giftless.monitoring.scrubbing import ScrubFacts
from giftless.usecases.scrub.journal import Journal

#: For how many seconds nothing may have been written down.
SILENCE: Final = 3600.0

_RETRY_AFTER: Final = 60


class ScrubLook:
    """Reads what is written down; see :class:`giftless.monitoring.health.ScrubCheck`.

    :param journal: where that is.
    :param blocking: reads it.
    :param wall_clock: tells the time of day.
    :ivar facts: what was read last; ``None`` if nothing was.
    """

    def __init__(self, journal: Journal, blocking: IBlocking, wall_clock: WallClock) -> None:
        self._journal = journal
        self._blocking = blocking
        self._wall_clock = wall_clock
        # What nobody has done while the daemon did not run is no fault.
        self._began = wall_clock()
        self.facts: ScrubFacts | None = None

    async def look(self) -> None:
        """Read it.

        :raises ServiceUnavailable: if no worker has scrubbed for :data:`SILENCE` seconds.
        """
        self.facts = None
        found = await self._blocking.run(self._journal.read)
        self.facts = None if found is None else found.facts
        active_at = self._began if self.facts is None else self.facts.active_at
        silent = self._wall_clock() - max(active_at, self._began)
        if silent > SILENCE:
            raise ServiceUnavailable(
                f"nothing has been examined for {silent / 3600:.0f} hours; the log says why",
                _RETRY_AFTER,
            )
