"""What is done now and then."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from giftless.base.repeated import Repeated
from giftless.errors import StorageUnavailable


class RepeatedTests(SynchronousTestCase):
    """Work is repeated, whatever becomes of it."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.done = 0
        self.failure: Exception | None = None
        self.waiting: Deferred[None] | None = None
        self.repeated = Repeated(self.work, 10.0, self.clock)
        self.repeated.startService()
        self.addCleanup(self.stop)

    def stop(self) -> None:
        """Stop, if that was not done."""
        if self.repeated.running:
            self.repeated.stopService()

    async def work(self) -> None:
        """Do it, fail or wait."""
        self.done += 1
        if self.failure is not None:
            raise self.failure
        if self.waiting is not None:
            await self.waiting

    def test_it_is_done_for_the_first_time_when_the_interval_is_over(self) -> None:
        self.clock.advance(9)
        self.assertEqual(self.done, 0)
        self.clock.advance(1)
        self.clock.pump([10.0] * 3)
        self.assertEqual(self.done, 4)

    def test_what_fails_is_tried_again(self) -> None:
        self.failure = StorageUnavailable("the disk is missing", 5)
        self.clock.pump([10.0] * 2)
        self.failure = OSError("the disk is full")
        self.clock.advance(10)
        self.failure = ValueError("a mistake")
        self.clock.pump([10.0] * 2)
        self.assertEqual(self.done, 5)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_what_takes_long_is_not_done_twice_at_once(self) -> None:
        self.waiting = Deferred()
        self.clock.pump([10.0] * 5)
        self.assertEqual(self.done, 1)
        self.waiting.callback(None)
        self.waiting = None
        self.clock.advance(10)
        self.assertEqual(self.done, 2)

    def test_what_is_being_done_is_given_up_at_the_end(self) -> None:
        cancelled: list[Deferred[None]] = []
        self.waiting = Deferred(cancelled.append)
        self.clock.advance(10)
        self.repeated.stopService()
        self.assertEqual(len(cancelled), 1)
        self.clock.pump([10.0] * 5)
        self.assertEqual(self.done, 1)
