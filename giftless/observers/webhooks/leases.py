"""Which process delivers to which target: one at a time, as long as it lives.

Whoever holds a target counts beats in the database.  Clocks of machines differ and are
set, so nobody compares times: a holder whose count does not change while the looker waits
is dead.  A process that was started later takes a target over at once, because it has the
newer configuration.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from typing import Final

from twisted.internet.interfaces import IReactorTime

from giftless.interfaces import WallClock
from giftless.observers.webhooks.outbox import Outbox, TargetState

#: How often a beat is counted, and the others looked at, in seconds.
BEAT: Final = 3

#: For how many seconds a count may stand still before its holder is taken for dead.
PATIENCE: Final = 10


class Leases:
    """The targets that this process holds.

    :param outbox: where that is noted.
    :param names: the targets that it could deliver to.
    :param clock: measures how long others are silent.
    :param wall_clock: tells when this process was started.
    :ivar holder: what this process is called.
    """

    def __init__(
        self, outbox: Outbox, names: Sequence[str], clock: IReactorTime, wall_clock: WallClock
    ) -> None:
        self._outbox = outbox
        self._names = names
        self._clock = clock
        self._started = int(wall_clock() * 1000)
        self.holder = f"{self._started}-{secrets.token_hex(8)}"
        self._held: Collection[str] = frozenset()
        #: Whom this process has seen hold each target, and since when.
        self._seen: dict[str, tuple[str, int, float]] = {}

    def holds(self, name: str) -> bool:
        """Whether this process holds a target, as far as it knows."""
        return name in self._held

    async def beat(self) -> None:
        """Give a sign of life, and take over what nobody holds, or nobody who lives."""
        states = await self._outbox.beat(self._names, self._may_take, self.holder)
        self._held = {name for name, state in states.items() if state.holder == self.holder}

    async def release(self) -> None:
        """Let others have what this process holds."""
        self._held = frozenset()
        await self._outbox.release(self.holder)

    def _may_take(self, name: str, state: TargetState) -> bool:
        started = state.holder.partition("-")[0]
        if not started.isdecimal() or int(started) < self._started:
            return True
        now = self._clock.seconds()
        holder, beat, since = self._seen.get(name, ("", 0, now))
        if (holder, beat) != (state.holder, state.beat):
            self._seen[name] = (state.holder, state.beat, now)
            return False
        return now - since >= PATIENCE
