"""Whether the server is ready, and why not."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from giftless.errors import (
    CatalogueUnavailable,
    InsufficientStorage,
    LocksUnavailable,
    StorageUnavailable,
)
from giftless.interfaces import Bound, ILockStore, IObjectStore, IProbing, Level
from giftless.interfaces.catalogue import Usage, UsageRow
from giftless.lfs.locks import Lock, LockPage, LockQuery
from giftless.lfs.objects import Repo
from giftless.monitoring.health import COUNT_INTERVAL, FRESH, PATIENCE, Health, Report, Stored
from giftless.monitoring.scrubbing import ScrubCounts, ScrubFacts
from giftless.storage.cache.reads import CachedReads
from tests.support.blocking import InlineBlocking
from tests.support.logs import observe
from tests.support.memory import BoundedMemoryStore
from tests.support.run import CoroutineTestCase


@implementer(IProbing)
class Store:
    """A store that is probed.

    :ivar result: what a probe does.
    :ivar probes: how many there were.
    """

    def __init__(self) -> None:
        self.result: Callable[[], Any] = lambda: None
        self.probes = 0

    async def sizes(self, keys: Sequence[Any]) -> Sequence[None]:
        raise AssertionError("a store that can be probed is probed")

    async def probe(self) -> None:
        self.probes += 1
        waits = self.result()
        if isinstance(waits, Deferred):
            await waits


@implementer(IObjectStore)
class PlainStore:
    """A store that cannot be probed."""

    def __init__(self, *answer: Any) -> None:
        self.answer = answer
        self.asked: list[Any] = []

    async def sizes(self, keys: Sequence[Any]) -> Sequence[Any]:
        self.asked += keys
        return self.answer


@implementer(ILockStore)
class Locks:
    """A database of locks."""

    problem: Exception | None = None
    number = 3
    counts = 0

    async def create(self, lock: Lock) -> None:
        raise NotImplementedError

    async def rename(self, source: Repo, target: Repo) -> int:
        raise NotImplementedError

    async def remove(self, lock: Lock) -> bool:
        raise NotImplementedError

    async def page(self, query: LockQuery) -> LockPage:
        if self.problem is not None:
            raise self.problem
        return LockPage()

    async def count(self) -> int:
        if self.problem is not None:
            raise self.problem
        self.counts += 1
        return self.number


class Catalogue:
    """A catalogue.

    :ivar problem: what it raises, if not ``None``.
    :ivar counts: how often usage was asked for.
    :ivar answer: fires when that is answered.
    """

    answer: Deferred[None] = succeed(None)

    def __init__(self) -> None:
        self.problem: Exception | None = None
        self.usage_now = Usage((), UsageRow("", 5, 500, 2, 20), 300)
        self.counts = 0

    async def usage(self, by: str, limit: int) -> Usage:
        if self.problem is not None:
            raise self.problem
        self.counts += 1
        await self.answer
        return self.usage_now

    async def look(self, keys: Sequence[Any]) -> Sequence[None]:
        if self.problem is not None:
            raise self.problem
        return [None for _ in keys]


class Scrub:
    """What looks after a scrub."""

    def __init__(self) -> None:
        self.facts: ScrubFacts | None = None
        self.problem: Exception | None = None

    async def look(self) -> None:
        if self.problem is not None:
            raise self.problem
        self.facts = ScrubFacts(100.0, 1.0, ScrubCounts(1.0))


def failing(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


class HealthTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.store = Store()
        self.locks: Any = Locks()
        self.health = Health(self.store, self.locks, self.clock)
        self.logged: list[Any] = []
        observe(self, self.logged.append)

    def report(self) -> Report:
        return self.run_now(self.health.report())

    def later(self, seconds: float = FRESH) -> Report:
        """Look again, when the last report holds no longer."""
        self.clock.advance(seconds)
        return self.report()

    def test_all_is_well_if_the_store_and_the_locks_answer(self) -> None:
        report = self.report()
        self.assertEqual(report.problems, {"store": "", "locks": ""})
        self.assertTrue(report.ready)

    def test_the_reason_is_told_in_words(self) -> None:
        self.store.result = failing(InsufficientStorage("the disk is full"))
        self.locks.problem = LocksUnavailable("the database does not answer", 1)
        report = self.report()
        self.assertFalse(report.ready)
        self.assertEqual(
            report.problems,
            {"store": "the disk is full", "locks": "the database does not answer"},
        )

    def test_what_nobody_expected_is_told_without_its_text(self) -> None:
        """It may hold a secret."""
        self.store.result = failing(ValueError("hunter2"))
        self.assertIn("ValueError", self.report().problems["store"])
        self.assertNotIn("hunter2", repr(self.report().problems))

    def test_a_report_holds_for_some_seconds(self) -> None:
        self.report()
        self.store.result = failing(StorageUnavailable("gone", 1))
        self.assertTrue(self.later(FRESH - 0.1).ready)
        self.assertFalse(self.later(0.1).ready)
        self.store.result = lambda: None
        self.assertFalse(self.later(FRESH - 0.1).ready)
        self.assertTrue(self.later(0.1).ready)
        self.assertEqual(self.store.probes, 3)

    def test_a_store_that_hangs_is_not_ready_in_time_and_asked_once(self) -> None:
        hanging: Deferred[None] = Deferred()
        self.store.result = lambda: hanging
        first, second = (self.start(self.health.report()) for _ in range(2))
        self.clock.advance(PATIENCE)
        for report in (self.successResultOf(first), self.successResultOf(second)):
            self.assertEqual(report.problems["store"], "has not answered in time")
            self.assertEqual(report.problems["locks"], "")
        self.assertEqual(
            self.later(100).problems["store"], f"has not answered for {PATIENCE + 100:.0f} seconds"
        )
        self.assertEqual(self.store.probes, 1)

    def test_a_store_that_hung_is_ready_when_it_goes_on(self) -> None:
        hanging: Deferred[None] = Deferred()
        self.store.result = lambda: hanging
        asked = self.start(self.health.report())
        self.clock.advance(PATIENCE)
        self.successResultOf(asked)
        self.store.result = lambda: None
        hanging.callback(None)
        self.assertTrue(self.later().ready)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_locks_are_counted_now_and_then(self) -> None:
        self.assertEqual(self.report().locks, 3)
        self.locks.number = 4
        self.assertEqual(self.later(COUNT_INTERVAL - 0.1).locks, 3)
        self.assertEqual(self.later(COUNT_INTERVAL).locks, 4)
        self.assertEqual(self.locks.counts, 2)

    def test_locks_that_cannot_be_counted_are_not_told(self) -> None:
        """The old number would hide that nobody knows."""
        self.report()
        self.locks.problem = LocksUnavailable("the database does not answer", 1)
        for seconds in (FRESH, COUNT_INTERVAL):
            report = self.later(seconds)
            self.assertIsNone(report.locks)
            self.assertTrue(report.problems["locks"])
        self.locks.problem = None
        self.assertEqual(self.later().locks, 3)

    def test_without_locks_there_is_no_number(self) -> None:
        health = Health(self.store, None, self.clock)
        self.assertIsNone(self.run_now(health.report()).locks)

    def test_what_is_stored_is_counted_now_and_then(self) -> None:
        catalogue = self.know()
        self.assertEqual(self.report().stored, Stored(5, 500, 300, 2, 20))
        catalogue.usage_now = Usage((), UsageRow("", 6, 600, 0, 0), 300)
        self.assertEqual(self.later(COUNT_INTERVAL - 0.1).stored, Stored(5, 500, 300, 2, 20))
        self.assertEqual(self.later(COUNT_INTERVAL).stored, Stored(6, 600, 300, 0, 0))
        self.assertEqual(catalogue.counts, 2)

    def test_what_takes_long_to_count_is_counted_less_often(self) -> None:
        catalogue = self.know()
        for seconds, interval in ((1.0, 20.0), (4.0, 80.0), (0.1, COUNT_INTERVAL)):
            catalogue.answer = Deferred()
            asked = self.start(self.health.report())
            self.clock.advance(seconds)
            catalogue.answer.callback(None)
            self.successResultOf(asked)
            before = catalogue.counts
            self.later(interval - 0.1)
            self.assertEqual(catalogue.counts, before)
            self.clock.advance(FRESH)

    def test_a_catalogue_that_fails_is_told_and_its_old_figures_are_not(self) -> None:
        """Clients are served without it."""
        catalogue = self.know()
        self.report()
        catalogue.problem = CatalogueUnavailable("the catalogue does not answer", 1)
        for seconds in (FRESH, COUNT_INTERVAL):
            report = self.later(seconds)
            self.assertIsNone(report.stored)
            self.assertEqual(report.problems["catalogue"], "the catalogue does not answer")
            self.assertTrue(report.ready)
        catalogue.problem = None
        self.assertEqual(self.later().stored, Stored(5, 500, 300, 2, 20))

    def test_the_scrub_is_told_and_leaves_the_server_ready(self) -> None:
        scrub = Scrub()
        self.health = Health(self.store, self.locks, self.clock, scrub=scrub)
        report = self.report()
        self.assertEqual(report.scrub, scrub.facts)
        self.assertEqual(report.problems["scrub"], "")
        self.assertEqual(msgspec.json.decode(msgspec.json.encode(report), type=Report), report)
        scrub.problem = StorageUnavailable("nothing has been examined", 1)
        report = self.later()
        self.assertEqual(report.problems["scrub"], "nothing has been examined")
        self.assertTrue(report.ready)

    def test_caches_are_told_and_leave_the_server_ready(self) -> None:
        reads = CachedReads(self.mktemp(), 1000, InlineBlocking(), self.clock)
        reads.entries.make()
        self.health = Health(self.store, self.locks, self.clock, caches=[reads])
        report = self.report()
        (held,) = report.caches
        self.assertEqual((held.bytes, held.entries, held.limit), (0, 0, 1000))
        self.assertEqual(report.problems["cache"], "")
        self.assertEqual(msgspec.json.decode(msgspec.json.encode(report), type=Report), report)
        os.unlink(os.path.join(reads.path, "ledger"))
        os.mkdir(os.path.join(reads.path, "ledger"))
        report = self.later()
        self.assertEqual(report.caches, ())
        self.assertTrue(report.problems["cache"])
        self.assertTrue(report.ready)

    def test_without_a_catalogue_nothing_is_told_of_it(self) -> None:
        report = self.report()
        self.assertIsNone(report.stored)
        self.assertNotIn("catalogue", report.problems)

    def test_quotas_are_told_beside_what_is_stored(self) -> None:
        catalogue: Any = Catalogue()
        levels = (Level(Bound("acme", True, 1000), 900, 50),)

        async def filled() -> tuple[Level, ...]:
            return levels

        self.health = Health(self.store, self.locks, self.clock, catalogue, filled)
        report = self.report()
        assert report.stored is not None
        self.assertEqual(report.stored.quotas, levels)
        copied = msgspec.json.decode(msgspec.json.encode(report), type=Report)
        assert copied.stored is not None
        self.assertEqual(copied.stored.quotas, levels)

    def know(self) -> Catalogue:
        """Have a catalogue."""
        catalogue: Any = Catalogue()
        self.health = Health(self.store, self.locks, self.clock, catalogue)
        return catalogue

    def test_changes_are_logged_and_not_each_look(self) -> None:
        self.store.result = failing(StorageUnavailable("gone", 1))
        for _ in range(5):
            self.later()
        self.store.result = lambda: None
        for _ in range(5):
            self.later()
        words = [event["log_format"].partition(":")[0] for event in self.logged]
        self.assertEqual(words, ["not ready", "ready again"])

    def test_a_store_that_cannot_be_probed_is_asked_for_what_is_absent(self) -> None:
        store = PlainStore(None)
        health = Health(store, None, self.clock)
        self.assertEqual(self.run_now(health.report()).problems, {"store": ""})
        (key,) = store.asked
        self.assertTrue(key.path.startswith(".giftless/"))
        store.answer = (StorageUnavailable("not now", 1),)
        self.clock.advance(FRESH)
        self.assertEqual(self.run_now(health.report()).problems, {"store": "not now"})

    def test_the_room_is_told_even_if_the_probe_fails(self) -> None:
        class Bounded(BoundedMemoryStore):
            def probe(self) -> Awaitable[None]:
                raise InsufficientStorage("full")

        store: Any = Bounded(1000)
        self.assertEqual(self.run_now(Health(store, None, self.clock).report()).free_bytes, 1000)
        self.assertIsNone(self.report().free_bytes)
