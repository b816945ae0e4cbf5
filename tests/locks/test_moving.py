"""Two lock stores, while locks move from one to the other."""

from __future__ import annotations

import itertools
import os
from collections.abc import Awaitable, Callable
from typing import Any

from zope.interface import implementer

from giftless.errors import ConfigError, LocksUnavailable
from giftless.interfaces import ILockStore, ILockStoreFactory
from giftless.lfs.locks import Lock, LockPage, LockQuery, PathLocked
from giftless.lfs.objects import Repo
from giftless.locks.moving import MovingLocks
from giftless.usecases.migration.locks import LockMigration, LockReport
from tests.contracts.lockstores import LockStoreContract, lock_of
from tests.support.making import part_builder, repo_of
from tests.support.run import CoroutineTestCase


@implementer(ILockStore)
class MemoryLocks:
    """A lock store in memory.

    :ivar kept: its locks by repository and path, the oldest first.
    :ivar failure: what every method raises, if set.
    :ivar behind: is called with each lock that has been created.
    """

    def __init__(self) -> None:
        self.kept: dict[tuple[Repo, str], tuple[int, Lock]] = {}
        self.failure: Exception | None = None
        self.behind: Callable[[Lock], Awaitable[object]] | None = None
        self._numbers = itertools.count(1)

    @property
    def locks(self) -> list[Lock]:
        """Its locks, the oldest first."""
        return [lock for _, lock in sorted(self.kept.values())]

    async def create(self, lock: Lock) -> None:
        """See :meth:`giftless.interfaces.ILockStore.create`."""
        self._misbehave()
        _, holder = self.kept.setdefault((lock.repo, lock.path), (next(self._numbers), lock))
        if holder.id != lock.id:
            raise PathLocked.by(holder)
        if self.behind is not None:
            await self.behind(lock)

    async def page(self, query: LockQuery) -> LockPage:
        """See :meth:`giftless.interfaces.ILockStore.page`: of all, or of one id."""
        self._misbehave()
        found = [
            (number, lock)
            for number, lock in sorted(self.kept.values(), reverse=True)
            if query.id in (None, lock.id) and (not query.cursor or number < int(query.cursor))
        ]
        page = found[: query.limit]
        cursor = str(page[-1][0]) if len(found) > len(page) else None
        return LockPage(tuple(lock for _, lock in page), cursor)

    async def count(self) -> int:
        """See :meth:`giftless.interfaces.ILockStore.count`."""
        return len(self.kept)

    async def rename(self, source: Repo, target: Repo) -> int:
        """See :meth:`giftless.interfaces.ILockStore.rename`."""
        raise NotImplementedError

    async def remove(self, lock: Lock) -> bool:
        """See :meth:`giftless.interfaces.ILockStore.remove`."""
        self._misbehave()
        for place, (_, kept) in list(self.kept.items()):
            if kept.id == lock.id:
                del self.kept[place]
                return True
        return False

    def _misbehave(self) -> None:
        if self.failure is not None:
            raise self.failure


class ContractTests(LockStoreContract, CoroutineTestCase):
    """It is a lock store, over two files."""

    def make_store(self) -> Any:
        if not hasattr(self, "state"):
            os.makedirs(path := self.mktemp())
            self.state = path
        parts = part_builder(self.state)
        sections = [{"type": "sqlite", "path": f"{self.state}/{name}"} for name in ("new", "old")]
        section = {"type": "moving", "to": sections[0], "from": sections[1]}
        store = parts.build(ILockStoreFactory, section, "locks")
        parts.environment.services.startService()
        self.addCleanup(lambda: parts.environment.services.stopService())
        return store


class MovingTestCase(CoroutineTestCase):
    def setUp(self) -> None:
        self.new, self.old = MemoryLocks(), MemoryLocks()
        self.both = MovingLocks(self.new, self.old)

    def create(self, lock: Lock, store: Any = None) -> Lock:
        """Create a lock."""
        self.run_now((store or self.both).create(lock))
        return lock

    def migrate(self, served: bool = True) -> LockReport:
        """Copy locks."""
        return self.run_now(LockMigration(self.old, self.new, served).run())


class BothTests(MovingTestCase):
    def test_a_lock_is_in_both(self) -> None:
        lock = self.create(lock_of())
        self.assertEqual((self.new.locks, self.old.locks), ([lock], [lock]))
        self.assertIs(self.run_now(self.both.remove(lock)), True)
        self.assertEqual((self.new.locks, self.old.locks), ([], []))
        self.assertIs(self.run_now(self.both.remove(lock)), False)

    def test_no_path_is_locked_that_is_locked_in_one_of_them(self) -> None:
        """By a process that still uses the old one alone, or uses the new one already."""
        for store, other in ((self.old, self.new), (self.new, self.old)):
            held = self.create(lock_of(), store)
            error = self.assert_fails(PathLocked, self.both.create(lock_of()))
            self.assertEqual(error.lock, held)
            self.assertEqual((store.locks, other.locks), ([held], []))
            self.run_now(store.remove(held))

    def test_a_lock_that_cannot_be_kept_in_both_is_kept_in_none(self) -> None:
        self.new.failure = LocksUnavailable("no answer", 5)
        self.assert_fails(LocksUnavailable, self.both.create(lock_of()))
        self.assertEqual(self.old.locks, [])

    def test_what_cannot_work_is_refused(self) -> None:
        parts = part_builder(self.mktemp())

        def build(new: dict[str, str], old: dict[str, str]) -> None:
            parts.build(ILockStoreFactory, {"type": "moving", "to": new, "from": old}, "locks")

        kept = {"type": "sqlite", "path": self.mktemp()}
        for sections, words in (
            ((kept, dict(kept)), "locks.to: is the same as 'from'"),
            ((kept, {"type": "none"}), "locks.from.type: keeps no locks"),
            (({"type": "none"}, kept), "locks.to.type: keeps no locks"),
        ):
            self.assertIn(words, str(self.assertRaises(ConfigError, build, *sections)))


class MigrationTests(MovingTestCase):
    def test_all_locks_are_copied_in_their_order(self) -> None:
        locks = [self.create(lock_of(f"{number}.psd"), self.old) for number in range(1500)]
        report = self.migrate()
        self.assertEqual(self.new.locks, locks)
        self.assertEqual(report, LockReport(1500, 1500, 0, [], True))
        self.assertEqual(self.migrate().copied, 0)

    def test_locks_come_and_go_meanwhile(self) -> None:
        first, second = (self.create(lock_of(f"{n}.psd"), self.old) for n in range(2))
        third = lock_of("3.psd")

        async def change(lock: Lock) -> None:
            self.new.behind = None
            await self.both.remove(first)
            await self.both.create(third)

        self.new.behind = change
        report = self.migrate()
        self.assertEqual((self.new.locks, self.old.locks), ([third, second], [second, third]))
        self.assertTrue(report.complete)

    def test_a_lock_that_is_released_just_when_it_is_copied_is_not_left(self) -> None:
        lock = self.create(lock_of(), self.old)

        async def release(copied: Lock) -> None:
            await self.old.remove(copied)

        self.new.behind = release
        report = self.migrate()
        self.assertEqual((self.new.locks, self.old.locks), ([], []))
        self.assertEqual(report.removed, 1)
        self.new.behind = None
        self.create(lock_of(lock.path))

    def test_what_a_killed_run_has_left_goes(self) -> None:
        ghost = self.create(lock_of(), self.new)
        lock = self.create(lock_of(), self.old)
        self.assertEqual(ghost.path, lock.path)
        report = self.migrate()
        self.assertEqual(self.new.locks, [lock])
        self.assertTrue(report.complete)

    def test_nothing_is_removed_while_only_one_store_is_used(self) -> None:
        theirs, ours = self.create(lock_of(), self.new), self.create(lock_of(), self.old)
        report = self.migrate(served=False)
        self.assertEqual(self.new.locks, [theirs])
        self.assertFalse(report.complete)
        self.assertIn(ours.path, report.conflicts[0])

    def test_a_lock_follows_its_repository(self) -> None:
        lock = lock_of()
        self.create(lock, self.new)
        moved = Lock(lock.id, repo_of("other/place"), lock.path, lock.owner, lock.locked_at)
        self.create(moved, self.old)
        self.assertTrue(self.migrate().complete)
        self.assertEqual(self.new.locks, [moved])
