"""A server that is silent is not waited for by everybody."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from giftless.storage.mirror.errors import UpstreamUnavailable, UpstreamUnusable
from giftless.storage.mirror.outage import PAUSE, SLOW, Outage
from tests.support.run import CoroutineTestCase

SILENT = UpstreamUnavailable("it is silent", 10)


class OutageTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.outage = Outage(self.clock)
        self.asked: list[Deferred[str]] = []

    async def attempt(self) -> str:
        answer: Deferred[str] = Deferred()
        self.asked.append(answer)
        return await answer

    def ask(self) -> Deferred[Any]:
        return self.start(self.outage.ask(self.attempt))

    def let_fail(self, asking: Deferred[Any], after: float = SLOW) -> None:
        """Let the server fail to answer the request that was sent last."""
        self.clock.advance(after)
        self.asked[-1].errback(SILENT)
        self.failureResultOf(asking, UpstreamUnavailable)

    def assert_not_asked(self, retry_after: int) -> None:
        """Fail if a request is sent."""
        before = len(self.asked)
        error = self.failureResultOf(self.ask(), UpstreamUnavailable).value
        self.assertEqual((error.message, error.retry_after), ("it is silent", retry_after))
        self.assertEqual(len(self.asked), before)

    def test_a_silent_server_is_not_asked_for_a_while(self) -> None:
        self.let_fail(self.ask())
        self.assert_not_asked(int(PAUSE))
        self.clock.advance(PAUSE - 2.5)
        self.assert_not_asked(3)

    def test_one_request_asks_it_again(self) -> None:
        self.let_fail(self.ask())
        self.clock.advance(PAUSE)
        asking = self.ask()
        self.assert_not_asked(1)
        self.let_fail(asking)
        self.assert_not_asked(int(PAUSE))
        self.clock.advance(PAUSE)
        asking = self.ask()
        self.asked[-1].callback("well")
        self.assertEqual(self.successResultOf(asking), "well")
        for _ in range(2):
            self.assertNoResult(self.ask())

    def test_what_makes_no_sense_is_an_answer(self) -> None:
        self.let_fail(self.ask())
        self.clock.advance(PAUSE)
        asking = self.ask()
        self.asked[-1].errback(UpstreamUnusable("what is that", 10))
        self.failureResultOf(asking, UpstreamUnusable)
        self.assertNoResult(self.ask())

    def test_a_server_that_fails_at_once_is_asked_each_time(self) -> None:
        for _ in range(3):
            self.let_fail(self.ask(), SLOW / 2)
        self.assertEqual(len(self.asked), 3)

    def test_so_is_one_that_was_silent_before(self) -> None:
        self.let_fail(self.ask())
        self.clock.advance(PAUSE)
        self.let_fail(self.ask(), 0)
        self.assertNoResult(self.ask())

    def test_one_request_that_takes_long_is_no_outage(self) -> None:
        """The server answers others."""
        slow = self.ask()
        self.clock.advance(SLOW / 2)
        quick = self.ask()
        self.asked[-1].callback("well")
        self.successResultOf(quick)
        self.clock.advance(SLOW)
        self.asked[0].errback(SILENT)
        self.failureResultOf(slow, UpstreamUnavailable)
        self.assertNoResult(self.ask())

    def test_who_leaves_lets_the_next_one_ask(self) -> None:
        self.let_fail(self.ask())
        self.clock.advance(PAUSE)
        leaving = self.ask()
        leaving.addErrback(lambda _: None)
        leaving.cancel()
        self.assertNoResult(self.ask())
        self.assertEqual(len(self.asked), 3)
