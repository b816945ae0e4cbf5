"""Copy all locks from one lock store to another, while both are used as one.

Processes that use both keep every lock in both, the old one first, and remove it from the
old one first (:mod:`giftless.locks.moving`).  So a lock that is in the new store alone was
removed just while it was copied, and goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from giftless.interfaces import ILockStore
from giftless.lfs.locks import MAX_LIMIT, Lock, LockQuery, PathLocked

#: After how many passes locks that change all the while are given up.
MAX_PASSES: Final = 6


class LockReport(msgspec.Struct):
    """What has become of locks.

    :ivar locks: how many there are in the old store.
    :ivar copied: how many were copied by this run.
    :ivar removed: how many were removed from the new store, because the old one has them
        no more.
    :ivar conflicts: what could not be copied, because somebody else has locked the path in
        the new store: the old lock and the new one, in words.
    :ivar complete: whether a last look has found all of them in the new store.
    """

    locks: int = 0
    copied: int = 0
    removed: int = 0
    conflicts: list[str] = []
    complete: bool = False


class LockMigration:
    """Copies locks.

    :param source: the old store.
    :param target: the new one.
    :param served: whether every process that runs uses both stores.
    """

    def __init__(self, source: ILockStore, target: ILockStore, served: bool) -> None:
        self._source = source
        self._target = target
        self._served = served
        self._report = LockReport()

    async def run(self) -> LockReport:
        """Copy until a look finds everything copied.

        :raises ServiceUnavailable: if one of the stores fails.
        """
        report = self._report
        for _ in range(MAX_PASSES):
            before = (report.copied, report.removed)
            report.conflicts = []
            await self._pass()
            if (report.copied, report.removed) == before:
                report.complete = not report.conflicts
                break
        return report

    async def _pass(self) -> None:
        # In this order: what is created meanwhile comes to the old store first.
        there = await _all(self._target)
        here = await _all(self._source)
        self._report.locks = len(here)
        # Lists begin with the newest, and are in the order in which locks are made.
        for lock in reversed(list(here.values())):
            if there.get(lock.id) != lock:
                await self._copy(lock, there.get(lock.id))
        if self._served:
            for lock_id in there.keys() - here.keys():
                await self._drop(there[lock_id])

    async def _copy(self, lock: Lock, other: Lock | None) -> None:
        """Copy a lock.

        :param other: the lock of this id that is to give way: its repository was renamed.
        """
        if other is not None:
            await self._target.remove(other)
        try:
            await self._target.create(lock)
        except PathLocked as error:
            if not (self._served and await self._drop(error.lock)):
                self._report.conflicts.append(f"{lock} in {lock.repo}; in TO: {error.lock}")
            return
        self._report.copied += 1
        if await self._find(lock) != lock and await self._target.remove(lock):
            self._report.removed += 1

    async def _drop(self, lock: Lock) -> bool:
        """Remove a lock from the new store, unless the old one has it."""
        if await self._find(lock) is not None:
            return False
        if await self._target.remove(lock):
            self._report.removed += 1
        return True

    async def _find(self, lock: Lock) -> Lock | None:
        """Return what the old store has under the id of a lock."""
        page = await self._source.page(LockQuery(1, id=lock.id))
        return page.locks[0] if page.locks else None


async def _all(store: ILockStore) -> Mapping[str, Lock]:
    """Return all locks of a store by their ids, the newest first."""
    found: dict[str, Lock] = {}
    cursor: str | None = None
    while True:
        page = await store.page(LockQuery(MAX_LIMIT, cursor=cursor))
        found.update((lock.id, lock) for lock in page.locks)
        cursor = page.next_cursor
        if cursor is None:
            return found
