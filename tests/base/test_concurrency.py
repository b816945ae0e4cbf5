"""Waiting for many things at once."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred

from giftless.base.concurrency import settle
from tests.support.run import CoroutineTestCase


async def after(event: Deferred[int]) -> int:
    """Return what ``event`` brings."""
    return await event


class SettleTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.events: list[Deferred[int]] = [Deferred() for _ in range(3)]
        self.settled = self.start(settle(after(event) for event in self.events))

    def test_results_come_in_the_order_of_the_work(self) -> None:
        for number in (2, 0, 1):
            self.assertNoResult(self.settled)
            self.events[number].callback(number)
        self.assertEqual(self.successResultOf(self.settled), [0, 1, 2])

    def test_there_may_be_nothing_to_do(self) -> None:
        self.assertEqual(self.run_now(settle([])), [])

    def test_a_failure_is_raised_when_all_have_ended(self) -> None:
        """Nothing is left running behind it."""
        self.events[2].errback(ZeroDivisionError())
        self.events[1].errback(KeyError())
        self.assertNoResult(self.settled)
        self.events[0].callback(0)
        self.failureResultOf(self.settled, KeyError)

    def test_cancelling_cancels_all_that_still_run(self) -> None:
        cancelled: list[int] = []
        events: list[Deferred[int]] = [
            Deferred(lambda _, number=number: cancelled.append(number))  # type: ignore[misc]
            for number in range(3)
        ]
        settled = self.start(settle(after(event) for event in events))
        events[1].callback(1)
        settled.addErrback(lambda failure: failure.trap(CancelledError))
        settled.cancel()
        self.assertEqual(cancelled, [0, 2])
        for event in self.events:
            event.callback(0)
