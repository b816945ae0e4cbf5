"""What was chosen is read, each object once, whatever interrupts it."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from giftless.base.pace import Pace
from giftless.base.whole_object import READ_ATTEMPTS, READ_DELAY
from giftless.errors import StorageUnavailable
from giftless.lfs.objects import ObjectKey, in_trash
from giftless.usecases.fsck import places as places_module
from giftless.usecases.fsck.examiner import Examiner
from giftless.usecases.fsck.findings import Finding, Outcome
from giftless.usecases.fsck.journal import Journal
from giftless.usecases.fsck.places import Places
from giftless.usecases.fsck.reading import GIVEN_UP, Reading
from giftless.usecases.fsck.selection import Selection, Subset
from tests.support.blocking import InlineBlocking
from tests.support.making import key_of
from tests.support.memory import MemoryStore
from tests.support.run import CoroutineTestCase

DATA = [b"%d" % number * 10 for number in range(60)]


class ReadingTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.patch(places_module, "PAGE", 10)
        self.clock = Clock()
        self.store = MemoryStore()
        for number, data in enumerate(DATA):
            key = key_of(data, f"acme/r{number % 3}")
            self.store.add(in_trash(key) if number % 10 == 9 else key, data)
        self.opened: list[ObjectKey] = []
        self.held: Deferred[None] | None = None
        opening = self.store.open

        async def opened(key: ObjectKey) -> Any:
            if self.held is not None and len(self.opened) >= self.until:
                await self.held
            found = await opening(key)
            self.opened.append(key)
            return found

        self.until = 0
        self.store.open = opened  # type: ignore[method-assign]
        self.directory = os.path.join(self.mktemp(), "fsck")
        self.found: list[Finding] = []

    async def report(self, finding: Finding) -> None:
        """Note a finding."""
        self.found.append(finding)

    def run_once(
        self, jobs: int = 1, subset: Subset | None = None, patterns: tuple[str, ...] = ()
    ) -> tuple[Journal, Reading, Deferred[None]]:
        """Begin a run, or go on with one."""
        journal = Journal(self.directory, "name")
        journal.open()
        self.addCleanup(journal.close)
        if not journal.seed:
            journal.begin("seed", 0.0)
        subset = subset or Subset()
        selection = Selection(subset, journal.seed)
        selection.narrow(sum(map(len, DATA)))
        selection.share = journal.fix(selection.share)
        blocking = InlineBlocking()
        examiner = Examiner(self.store, blocking, Pace(None, self.clock), self.clock)
        reading = Reading(
            examiner,
            Places(self.store, patterns),
            selection,
            journal,
            self.report,
            set(),
            blocking,
            self.clock,
            subset.most,
        )
        return journal, reading, self.start(reading.run(jobs))

    def test_everything_is_read_once(self) -> None:
        for jobs in (1, 4):
            self.opened.clear()
            journal, reading, running = self.run_once(jobs)
            self.successResultOf(running)
            self.assertTrue(reading.complete)
            self.assertEqual((len(self.opened), len(set(self.opened))), (60, 60))
            self.assertEqual((journal.read, journal.size), (60, sum(map(len, DATA))))
            journal.finish()
            journal.close()

    def test_a_run_goes_on_where_another_was_killed(self) -> None:
        for jobs in (1, 4):
            self.opened.clear()
            for until in (*range(3, 60, 7), 100):
                self.held, self.until = Deferred(), until
                journal, reading, running = self.run_once(jobs)
                if until < 100:
                    self.assertNoResult(running)
                # Killed: nothing more is done, or written.
                journal.close()
                self.held = None
            self.successResultOf(running)
            self.assertTrue(reading.complete)
            self.assertEqual(sorted(self.opened, key=str), sorted(set(self.opened), key=str))
            self.assertEqual(len(self.opened), 60)
            os.unlink(os.path.join(self.directory, "name.journal"))

    def test_what_was_found_before_is_known_afterwards(self) -> None:
        key = key_of(DATA[0], "acme/r0")
        self.store.add(key, b"wrong")
        _, _, running = self.run_once()
        self.successResultOf(running)
        self.assertEqual([each.key for each in self.found], [key])

    def test_only_some_repositories_are_read(self) -> None:
        for patterns, count in (((), 60), (("acme/r1",), 20), (("*/r[12]",), 0), (("*/r?",), 60)):
            self.opened.clear()
            journal, _, running = self.run_once(patterns=patterns)
            self.successResultOf(running)
            self.assertEqual(len(self.opened), count)
            journal.finish()
            journal.close()

    def test_no_more_bytes_are_read_than_are_wanted(self) -> None:
        most = sum(map(len, DATA)) // 3
        journal, _, running = self.run_once(4, Subset(most=most))
        self.successResultOf(running)
        self.assertLessEqual(journal.size, most)
        self.assertGreater(journal.size, most / 3)

    def test_a_store_that_goes_away_ends_reading_and_the_next_run_goes_on(self) -> None:
        self.held, self.until = Deferred(), 25
        journal, reading, running = self.run_once()
        self.store.failure = StorageUnavailable("the disk is gone", 30)
        self.held.callback(None)
        self.clock.pump([READ_DELAY] * READ_ATTEMPTS * (GIVEN_UP + 1))
        self.successResultOf(running)
        self.assertFalse(reading.complete)
        self.assertEqual({each.outcome for each in self.found}, {Outcome.UNKNOWN})
        self.assertLessEqual(len(self.found), GIVEN_UP + 1)
        journal.close()
        self.store.failure = self.held = None
        _, reading, running = self.run_once()
        self.successResultOf(running)
        self.assertTrue(reading.complete)
        self.assertEqual(len(self.opened), len(set(self.opened)))
