"""Tell once that an organisation or a repository comes near its limit.

Workers share what has been told, in the memory that they count in: so it is told once, and
again only after there was clearly more room in between, or after a restart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

from twisted.internet.interfaces import IReactorTime

from giftless.base.shared_table import KEY_BYTES, SharedTable
from giftless.interfaces import Level, QuotaWarned
from giftless.usecases.events import Events
from giftless.usecases.quotas.rules import Owner

#: For how many seconds it is remembered that somebody was warned of.
_REMEMBERED: Final = 30 * 86_400.0

#: How far below the warning level there must be room before there is another warning.
_CLEARLY: Final = 0.95


class QuotaWarnings:
    """Publishes warnings.

    :param table: where it is noted, for all workers, of whom was warned.
    :param events: where warnings are published.
    :param clock: tells the time, the same in all workers.
    """

    def __init__(self, table: SharedTable, events: Events, clock: IReactorTime) -> None:
        self._table = table
        self._events = events
        self._clock = clock

    def see(self, owners: Sequence[Owner], levels: Sequence[Level]) -> None:
        """Look at how full everything is.

        :param owners: those that the levels are about, in the same order.
        """
        for owner, level in zip(owners, levels, strict=True):
            taken = level.used + level.reserved
            from_here = level.bound.limit * owner.rule.warn
            if taken >= from_here:
                self._warn(owner, level)
            elif taken < from_here * _CLEARLY:
                self._calm(owner)

    def _warn(self, owner: Owner, level: Level) -> None:
        table, key, now = self._table, _key(owner), self._clock.seconds()
        if table.get(key, now) is not None:
            return
        with table.locked():
            if table.get(key, now) is not None:
                return
            table.put(key, 1, now + _REMEMBERED, now)
        self._events.publish(
            QuotaWarned(
                owner.name,
                owner.org,
                level.used,
                level.reserved,
                level.bound.limit,
                float(owner.rule.warn),
            )
        )

    def _calm(self, owner: Owner) -> None:
        table, key = self._table, _key(owner)
        if table.get(key, self._clock.seconds()) is not None:
            with table.locked():
                table.remove(key)


def _key(owner: Owner) -> bytes:
    return hashlib.sha256(f"quota warned {owner}".encode()).digest()[:KEY_BYTES]
