"""Renew what is promised to uploads that run, and end what has expired."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from twisted.internet.interfaces import IReactorTime

from giftless.base.shared_table import KEY_BYTES, SharedTable
from giftless.errors import ObjectDamaged
from giftless.interfaces import Entry, ICatalogue, IObjectStore, WallClock, Wanted
from giftless.lfs.objects import Repo
from giftless.usecases.quotas.promises import MARGIN, Quotas

#: How often promises are looked at, in seconds.
LOOKED: Final = 30.0

#: How many times promises are renewed while they hold.
_RENEWALS: Final = 4

#: How many promises are looked at once, and how many objects a store is asked for.
_PAGE: Final = 1000
_ASKED: Final = 100

#: Where workers note which of them looks.
_TURN: Final = b"quotas: my turn "[:KEY_BYTES]


class QuotaKeeping:
    """Looks after promises of room, now and then.

    :param quotas: has the uploads that run in this process.
    :param catalogue: keeps the promises.
    :param store: tells what has arrived.
    :param table: where all workers note which of them ends promises.
    :param clock: tells the time, the same in all workers.
    :param wall_clock: tells what has expired.
    """

    def __init__(
        self,
        quotas: Quotas,
        catalogue: ICatalogue,
        store: IObjectStore,
        table: SharedTable,
        clock: IReactorTime,
        wall_clock: WallClock,
    ) -> None:
        self._quotas = quotas
        self._catalogue = catalogue
        self._store = store
        self._table = table
        self._clock = clock
        self._wall_clock = wall_clock
        self._renewed_at = clock.seconds()

    async def look(self) -> None:
        """Renew promises if it is time, and end those that have expired if no other does."""
        if self._clock.seconds() - self._renewed_at >= MARGIN / _RENEWALS:
            self._renewed_at = self._clock.seconds()
            await self._quotas.renew()
        if self._is_my_turn():
            await self.end()

    async def end(self) -> None:
        """End what has expired: what has arrived after all is recorded, the rest released."""
        while True:
            now = self._wall_clock()
            expired = await self._catalogue.expired(now, _PAGE)
            by_repo: dict[Repo, list[Wanted]] = {}
            for each in expired:
                by_repo.setdefault(each.key.repo, []).append(each)
            some = (
                promises[start : start + _ASKED]
                for promises in by_repo.values()
                for start in range(0, len(promises), _ASKED)
            )
            ended = sum([await self._end(promises, now) for promises in some])
            if len(expired) < _PAGE or not ended:
                return

    async def _end(self, promises: Sequence[Wanted], now: float) -> int:
        """Return how many have ended: not those of which the store cannot tell."""
        keys = [each.key for each in promises]
        sizes = await self._store.sizes(keys)
        found = dict(zip(keys, sizes, strict=True))
        arrived = [
            Entry(key, size, now, now) for key, size in found.items() if isinstance(size, int)
        ]
        absent = [
            key for key, size in found.items() if size is None or isinstance(size, ObjectDamaged)
        ]
        if arrived:
            await self._catalogue.record(arrived)
        if absent:
            await self._catalogue.release(absent, now)
        return len(arrived) + len(absent)

    def _is_my_turn(self) -> bool:
        table, now = self._table, self._clock.seconds()
        with table.locked():
            if table.get(_TURN, now) is not None:
                return False
            table.put(_TURN, 1, now + LOOKED / 2, now)
            return True
