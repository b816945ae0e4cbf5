"""Promises that have expired are ended, and the store is asked first."""

from __future__ import annotations

from typing import Any

from giftless.errors import StorageUnavailable
from giftless.interfaces import Wanted
from giftless.usecases.quotas.keeping import LOOKED, QuotaKeeping
from tests.support.making import key_of, repo_of
from tests.usecases.quotas.support import LIFETIME, QuotaTestCase, data_of

A, B = (data_of(name, 40) for name in "ab")


class KeepingTests(QuotaTestCase):
    """What was promised and never came takes no room for ever."""

    def expire(self) -> None:
        """Let the promises of batches expire."""
        self.clock.advance(LIFETIME + 700)

    def test_what_never_came_is_released(self) -> None:
        self.batch(A, B)
        self.run_now(self.keeping.end())
        self.assertEqual(self.level(), (0, 80))
        self.expire()
        self.run_now(self.keeping.end())
        self.assertEqual(self.level(), (0, 0))

    def test_what_came_unseen_is_recorded(self) -> None:
        """Its worker was killed before it could tell, or its client asked for no verification."""
        self.batch(A, B)
        self.store.add(key_of(A), A)
        self.expire()
        self.run_now(self.keeping.end())
        self.assertEqual(self.level(), (40, 0))

    def test_what_came_larger_than_was_said_counts_as_it_is(self) -> None:
        self.batch(A)
        self.store.add(key_of(A), A * 9)
        self.expire()
        self.run_now(self.keeping.end())
        self.assertEqual(self.level(), (360, 0))

    def test_what_the_store_cannot_tell_of_keeps_its_room(self) -> None:
        self.batch(A, B)
        self.store.unknown[key_of(A)] = StorageUnavailable("the disk of org is missing", 5)
        self.expire()
        self.run_now(self.keeping.end())
        self.assertEqual(self.level(), (0, 40))
        self.store.failure = StorageUnavailable("the store does not answer", 5)
        self.assert_fails(StorageUnavailable, self.keeping.end())
        self.assertEqual(self.level(), (0, 40))

    def test_what_is_damaged_is_released(self) -> None:
        self.have(A)
        self.run_now(self.store.mark(key_of(A), "its SHA-256 is wrong"))
        self.batch(A)
        self.expire()
        self.run_now(self.keeping.end())
        self.assertEqual(self.run_now(self.catalogue.expired(self.clock.seconds())), [])

    def test_what_is_promised_anew_meanwhile_stays(self) -> None:
        self.batch(A)
        self.expire()
        sizes = self.store.sizes

        async def slow(keys: Any) -> Any:
            found = await sizes(keys)
            later = self.clock.seconds() + 600
            bounds = self.rules.terms(repo_of()).bounds
            await self.catalogue.reserve([Wanted(key_of(A), 40)], bounds, later)
            return found

        self.patch(self.store, "sizes", slow)
        self.run_now(self.keeping.end())
        self.assertEqual(self.level(), (0, 40))

    def test_many_are_ended_at_once(self) -> None:
        self.configure(repositories=[{"match": "**", "limit": "1G"}])
        for start in range(0, 2500, 500):
            many = [{"oid": f"{n:064x}", "size": 7} for n in range(start, start + 500)]
            self.batch_of(*many, path=f"org/r{start % 3}")
        self.expire()
        self.run_now(self.keeping.end())
        self.assertEqual(self.run_now(self.catalogue.expired(self.clock.seconds())), [])

    def test_one_worker_at_a_time_ends_them(self) -> None:
        now = self.clock.seconds
        workers = [
            QuotaKeeping(self.quotas, self.catalogue, self.store, self.table, self.clock, now)
            for _ in range(3)
        ]
        asked: list[int] = []

        async def expired(*arguments: object) -> list[Wanted]:
            asked.append(1)
            return []

        self.patch(self.catalogue, "expired", expired)
        for _ in range(2):
            for worker in workers:
                self.run_now(worker.look())
            self.clock.advance(LOOKED)
        self.assertEqual(len(asked), 2)
