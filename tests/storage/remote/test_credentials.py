"""Values that expire, fetched in the background."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from giftless.storage.remote.client import StoreError
from giftless.storage.remote.credentials import RETRY_DELAY, Expiring, Refreshing
from tests.support.logs import observe
from tests.support.run import CoroutineTestCase


class RefreshingTests(CoroutineTestCase):
    """A value that is good for 1000 seconds and is renewed after 600."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(50_000)
        self.fetches: list[Deferred[Expiring[str]]] = []
        self.cache: Refreshing[str] = Refreshing(
            self.fetch, self.clock, self.clock.seconds, "a secret"
        )
        self.warnings: list[Any] = []
        observe(self, self.warnings.append)

    def fetch(self) -> Deferred[Expiring[str]]:
        self.fetches.append(Deferred())
        return self.fetches[-1]

    def deliver(self, value: str) -> None:
        now = self.clock.seconds()
        self.fetches[-1].callback(Expiring(value, now + 1000, now + 600))

    def get(self) -> Deferred[Expiring[str]]:
        return self.start(self.cache.get())

    def assert_gets(self, value: str) -> None:
        """Somebody who asks need not wait."""
        self.assertEqual(self.successResultOf(self.get()).value, value)

    def test_nothing_is_fetched_before_somebody_asks(self) -> None:
        self.assertEqual(self.fetches, [])

    def test_all_who_ask_share_the_first_fetch(self) -> None:
        asked = [self.get() for _ in range(5)]
        self.assertEqual(len(self.fetches), 1)
        self.deliver("a")
        self.assertEqual([self.successResultOf(one).value for one in asked], ["a"] * 5)
        self.assert_gets("a")
        self.assertEqual(len(self.fetches), 1)

    def test_it_is_renewed_in_the_background(self) -> None:
        self.get()
        self.deliver("a")
        self.clock.advance(599)
        self.assert_gets("a")
        self.assertEqual(len(self.fetches), 1)
        self.clock.advance(1)
        for _ in range(3):
            self.assert_gets("a")
        self.assertEqual(len(self.fetches), 2)
        self.deliver("b")
        self.assert_gets("b")

    def test_what_is_good_is_used_while_renewal_fails(self) -> None:
        self.get()
        self.deliver("a")
        self.clock.advance(600)
        self.assert_gets("a")
        self.fetches[-1].errback(StoreError("no metadata service"))
        self.assert_gets("a")
        self.assertEqual(len(self.fetches), 2, "it is not asked for again at once")
        self.clock.advance(RETRY_DELAY)
        self.assert_gets("a")
        self.assertEqual(len(self.fetches), 3)
        self.assertTrue(any("no metadata service" in str(e.get("error")) for e in self.warnings))

    def test_an_unchanged_value_is_not_asked_for_again_at_once(self) -> None:
        """Metadata services give out the same credentials until shortly before the end."""
        self.get()
        self.deliver("a")
        end = self.clock.seconds() + 1000
        self.clock.advance(700)
        self.assert_gets("a")
        self.fetches[-1].callback(Expiring("a", end, end - 400))
        for _ in range(5):
            self.assert_gets("a")
        self.assertEqual(len(self.fetches), 2)
        self.clock.advance(RETRY_DELAY)
        self.assert_gets("a")
        self.assertEqual(len(self.fetches), 3)

    def test_what_has_expired_is_never_used(self) -> None:
        self.get()
        self.deliver("a")
        self.clock.advance(1000)
        asked = self.get()
        self.assertNoResult(asked)
        self.deliver("b")
        self.assertEqual(self.successResultOf(asked).value, "b")

    def test_a_failure_is_told_to_all_who_wait_and_the_next_asks_again(self) -> None:
        asked = [self.get() for _ in range(3)]
        self.fetches[-1].errback(StoreError("nothing there"))
        for one in asked:
            self.failureResultOf(one, StoreError)
        again = self.get()
        self.assertEqual(len(self.fetches), 2)
        self.deliver("a")
        self.assertEqual(self.successResultOf(again).value, "a")

    def test_who_stops_waiting_does_not_disturb_the_others(self) -> None:
        first, second = self.get(), self.get()
        first.addErrback(lambda _: None)
        first.cancel()
        self.deliver("a")
        self.assertEqual(self.successResultOf(second).value, "a")
        self.assert_gets("a")

    def test_what_never_expires_may_still_be_renewed(self) -> None:
        self.get()
        self.fetches[-1].callback(Expiring("a", None, self.clock.seconds() + 900))
        self.clock.advance(10_000)
        self.assert_gets("a")
        self.assertEqual(len(self.fetches), 2)
        self.fetches[-1].callback(Expiring("b"))
        self.clock.advance(1e9)
        self.assert_gets("b")
        self.assertEqual(len(self.fetches), 2)

    def test_the_value_is_in_no_representation(self) -> None:
        self.assertNotIn("hush", repr(Expiring("hush", 5.0)))


class WallClockTests(CoroutineTestCase):
    """Credentials whose expiry is a date, while somebody sets the clock."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.wall = 1_700_000_000.0
        self.fetches = 0
        self.cache: Refreshing[str] = Refreshing(
            self.fetch, self.clock, lambda: self.wall, "a secret"
        )

    async def fetch(self) -> Expiring[str]:
        self.fetches += 1
        return Expiring("a", self.wall + 1000, self.wall + 600)

    def assert_fetched(self, times: int) -> None:
        """Ask, and check how often the value has been fetched since the start."""
        self.run_now(self.cache.get())
        self.assertEqual(self.fetches, times)

    def test_a_clock_that_is_set_back_does_not_lengthen_a_value_s_life(self) -> None:
        self.assert_fetched(1)
        self.wall -= 3600
        self.clock.advance(599)
        self.assert_fetched(1)
        self.clock.advance(1)
        self.assert_fetched(2)

    def test_a_clock_that_is_put_right_ends_what_has_expired(self) -> None:
        """A machine that starts years behind must not keep credentials for years."""
        self.assert_fetched(1)
        self.wall += 1000
        self.assert_fetched(2)
