"""What a worker does beside serving."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.defer import Deferred

from giftless.base.repeated import Repeated
from giftless.errors import CatalogueUnavailable
from giftless.interfaces import State
from giftless.lfs.objects import in_trash
from giftless.usecases.repositories import REFRESHED
from giftless.usecases.upkeep import FIRST, LOOKED, PURGED, SWEPT, Purging, Refreshing
from tests.support.blocking import InlineBlocking
from tests.support.logs import observe
from tests.support.making import repo_of
from tests.usecases.moving import KEY, OPERATOR, MovingTestCase


class RefreshingTests(MovingTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.here = self.place()
        self.service = Refreshing(self.here.presence, self.here.moved, self.here.trash, self.clock)

    def start_service(self) -> None:
        """Start it, until the test ends."""
        self.service.startService()
        self.addCleanup(self.service.stopService)

    def test_a_worker_learns_what_others_have_done(self) -> None:
        self.arrange(State.STORED, True, False)
        self.start_service()
        self.run_now(self.place().trash.discard([KEY], "", OPERATOR))
        self.run_now(self.catalogue.alias("org/old", "org/new"))
        self.clock.advance(REFRESHED)
        self.assertEqual(self.here.presence.trashing, {KEY.repo})
        self.assertEqual(self.here.moved.kept(repo_of("org/old")), repo_of("org/new"))
        self.run_now(self.place().trash.restore([KEY], OPERATOR))
        self.run_now(self.catalogue.alias("org/old", None))
        self.clock.advance(REFRESHED)
        self.assertEqual(self.here.presence.trashing, frozenset())
        self.assertIsNone(self.here.moved.kept(repo_of("org/old")))

    def test_what_is_known_stays_while_the_catalogue_is_away(self) -> None:
        self.run_now(self.catalogue.alias("org/old", "org/new"))
        self.start_service()
        self.clock.advance(REFRESHED)

        async def away() -> Any:
            raise CatalogueUnavailable("the catalogue is away", 5)

        patch = self.patch(self.catalogue, "aliases", away)
        self.clock.advance(REFRESHED)
        self.assertEqual(self.here.moved.kept(repo_of("org/old")), repo_of("org/new"))
        patch.restore()
        self.run_now(self.catalogue.alias("org/old", None))
        self.clock.advance(REFRESHED)
        self.assertIsNone(self.here.moved.kept(repo_of("org/old")))

    def test_a_start_waits_for_the_catalogue_but_not_for_long(self) -> None:
        self.run_now(self.catalogue.alias("org/old", "org/new"))
        self.run_now(self.service.begin())
        self.assertEqual(self.here.moved.kept(repo_of("org/old")), repo_of("org/new"))
        hanging: Deferred[Any] = Deferred()
        self.patch(self.catalogue, "aliases", lambda: hanging)
        beginning = self.start(self.service.begin())
        self.clock.advance(FIRST - 1)
        self.assertNoResult(beginning)
        self.clock.advance(1)
        self.successResultOf(beginning)

    def test_a_mistake_does_not_end_it(self) -> None:
        times: list[int] = []

        async def fail() -> None:
            times.append(1)
            raise RuntimeError("a mistake")

        service = Repeated(fail, 5, self.clock)
        service.startService()
        self.clock.pump([5, 5])
        self.assertEqual(len(times), 2)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)
        service.stopService()
        self.clock.advance(5)
        self.assertEqual(len(times), 2)

    def test_what_runs_is_given_up_at_the_end(self) -> None:
        waiting: Deferred[None] = Deferred()

        async def wait() -> None:
            await waiting

        service = Repeated(wait, 5, self.clock)
        service.startService()
        self.clock.advance(5)
        service.stopService()
        self.assertTrue(waiting.called, "it is cancelled")
        self.assertEqual(self.flushLoggedErrors(), [])


class PurgingTests(MovingTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.state_dir = self.mktemp()
        os.makedirs(self.state_dir)
        self.here = self.place()
        self.service = self.worker()
        self.arrange(State.STORED, True, False)
        self.run_now(self.here.trash.discard([KEY], "", OPERATOR))

    def worker(self) -> Purging:
        """Return the service of one more worker."""
        return Purging(
            self.here.trash, self.state_dir, InlineBlocking(), self.clock, self.wall_clock
        )

    def is_kept(self) -> bool:
        """Whether the object is in the trash."""
        return self.is_there(in_trash(KEY))

    def test_what_is_kept_for_long_enough_is_deleted(self) -> None:
        self.clock.advance(self.here.trash.keep - 1)
        self.run_now(self.service.purge())
        self.assertTrue(self.is_kept())
        self.clock.advance(2)
        self.run_now(self.service.purge())
        self.assertTrue(self.is_kept(), "it is not time yet")
        self.clock.advance(PURGED)
        self.run_now(self.service.purge())
        self.assertFalse(self.is_kept())
        self.assertIsNone(self.entry())

    def test_what_is_kept_for_minutes_is_deleted_within_minutes(self) -> None:
        self.here.trash.keep = 120.0
        service = self.worker()
        self.run_now(service.purge())
        self.assertTrue(self.is_kept())
        self.clock.advance(120.0 + LOOKED)
        self.run_now(service.purge())
        self.assertFalse(self.is_kept())

    def test_it_is_done_by_itself(self) -> None:
        self.service.startService()
        self.addCleanup(self.service.stopService)
        self.clock.advance(self.here.trash.keep + 1)
        self.clock.advance(LOOKED)
        self.assertFalse(self.is_kept())

    def test_one_worker_at_a_time_does_it(self) -> None:
        self.clock.advance(self.here.trash.keep + 1)
        held: Deferred[Any] = Deferred()
        self.patch(self.here.trash, "rescue", lambda: held)
        working = self.start(self.service.purge())
        self.assertNoResult(working)
        others: list[str] = []

        async def rescue() -> int:
            others.append("rescue")
            return 0

        self.patch(self.here.trash, "rescue", rescue)
        self.run_now(self.worker().purge())
        self.assertEqual(others, [])
        held.callback(0)
        self.successResultOf(working)
        self.assertFalse(self.is_kept())
        self.run_now(self.worker().purge())
        self.assertEqual(others, [], "it was done just before")

    def test_copies_that_nobody_needs_are_swept(self) -> None:
        self.run_now(self.here.trash.restore([KEY], OPERATOR))
        self.assertTrue(self.is_kept())
        self.run_now(self.service.purge())
        self.assertTrue(self.is_kept(), "somebody may hang who needs it")
        self.clock.advance(SWEPT + 1)
        self.run_now(self.service.purge())
        self.assertFalse(self.is_kept())
        self.assertTrue(self.is_there())

    def test_what_cannot_be_read_is_written_anew(self) -> None:
        with open(os.path.join(self.state_dir, "trash.json"), "w") as file:
            file.write("this is " * 100)
        self.clock.advance(self.here.trash.keep + 1)
        self.run_now(self.service.purge())
        self.assertFalse(self.is_kept())
        with open(os.path.join(self.state_dir, "trash.json")) as file:
            self.assertIn(str(int(self.wall_clock())), file.read())

    def test_a_missing_directory_is_logged(self) -> None:
        logged: list[Any] = []
        observe(self, logged.append)
        os.rmdir(self.state_dir)
        self.run_now(self.service.attempt())
        (event,) = (event for event in logged if event["log_level"].name == "warn")
        self.assertIn("No such file", str(event["problem"]))
