"""How many requests each client may send."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from zope.interface import implementer
from zope.interface.verify import verifyObject

from giftless.auth.rates import Rated, RateOptions, Rates
from giftless.base.shared_table import SharedTable, shared_memory
from giftless.errors import TooManyRequests
from giftless.interfaces import Credentials, IAuthenticator, Identity
from giftless.lfs.objects import Repo
from tests.support.making import SECRET, reader, repo_of, stranger, uploader
from tests.support.run import CoroutineTestCase


@implementer(IAuthenticator)
class Says:
    """Identifies everybody as the same."""

    def __init__(self, identity: Identity | None) -> None:
        self.identity = identity

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        """Return who it is."""
        return self.identity


class RateTests(CoroutineTestCase):
    """Requests take tokens, which come back evenly."""

    def setUp(self) -> None:
        self.clock = Clock()
        # Monotonic time begins anywhere.
        self.clock.advance(1000.0)
        self.table = SharedTable()

    def rates(self, **options: Any) -> Rates:
        """Return what counts, over the one table."""
        return Rates(self.table, SECRET, RateOptions(**options), self.clock)

    def accepted(
        self, rates: Rates, times: int, identity: Identity | None = None, address: str = ""
    ) -> int:
        """Send requests until one is refused; return how many were not."""
        for count in range(times):
            try:
                rates.take(identity or reader(), address)
            except TooManyRequests as error:
                self.error = error
                return count
        return times

    def test_as_many_as_a_minute_has_may_come_at_once(self) -> None:
        self.assertEqual(self.accepted(self.rates(per_minute=60), 100), 60)

    def test_one_comes_back_after_its_part_of_the_minute(self) -> None:
        rates = self.rates(per_minute=30)
        self.accepted(rates, 100)
        self.clock.advance(1.9)
        self.assertEqual(self.accepted(rates, 5), 0)
        self.clock.advance(0.2)
        self.assertEqual(self.accepted(rates, 5), 1)
        self.clock.advance(60)
        self.assertEqual(self.accepted(rates, 100), 30)

    def test_a_burst_may_be_smaller_than_a_minute_has(self) -> None:
        rates = self.rates(per_minute=60, burst=5)
        self.assertEqual(self.accepted(rates, 100), 5)
        self.clock.advance(3)
        self.assertEqual(self.accepted(rates, 100), 3)

    def test_the_refusal_says_when_to_come_back(self) -> None:
        rates = self.rates(per_minute=2, burst=1)
        self.accepted(rates, 2)
        self.assertEqual(
            self.error.message,
            "too many requests from rita: 2 a minute are allowed; try again in 30 seconds",
        )
        self.assertEqual(self.error.headers, {"Retry-After": "30"})
        self.clock.advance(29.5)
        self.accepted(rates, 2)
        self.assertTrue(self.error.message.endswith("try again in 1 second"))

    def test_nobody_waits_longer_than_a_minute(self) -> None:
        """git-lfs gives up on more than 300 seconds."""
        rates = self.rates(per_minute=1)
        self.assertEqual(self.accepted(rates, 2), 1)
        self.assertEqual(self.error.retry_after, 60)

    def test_a_refused_request_takes_nothing(self) -> None:
        rates = self.rates(per_minute=1)
        self.accepted(rates, 1)
        for _ in range(100):
            self.accepted(rates, 1)
        self.clock.advance(60)
        self.assertEqual(self.accepted(rates, 2), 1)

    def test_everybody_has_a_bucket_of_his_own(self) -> None:
        """People behind one address do not wait for each other; names are not compared."""
        rates = self.rates(per_minute=3)
        office = "192.0.2.1"
        self.assertEqual(self.accepted(rates, 9, reader("a"), office), 3)
        self.assertEqual(self.accepted(rates, 9, reader("b"), office), 3)
        self.assertEqual(self.accepted(rates, 9, reader("a"), "192.0.2.2"), 0)
        namesake = Identity("a", reader().grants, principal="elsewhere#a")
        self.assertEqual(self.accepted(rates, 9, namesake, office), 3)

    def test_anonymous_requests_count_by_address(self) -> None:
        rates = self.rates(anonymous_per_minute=3)
        self.assertEqual(self.accepted(rates, 9, stranger(), "192.0.2.1"), 3)
        self.assertEqual(self.accepted(rates, 9, stranger(), "192.0.2.2"), 3)
        self.assertIn("anonymous requests from this address", self.error.message)
        self.assertEqual(self.accepted(rates, 9, reader(), "192.0.2.1"), 9)

    def test_each_kind_of_request_has_a_bucket_of_its_own(self) -> None:
        rates = self.rates(per_minute=2)
        self.assertEqual(self.accepted(rates, 9), 2)
        for _ in range(2):
            rates.take(reader(), "", "locks")
        self.assertRaises(TooManyRequests, rates.take, reader(), "", "locks")

    def test_a_network_of_version_6_is_one_address(self) -> None:
        rates = self.rates(anonymous_per_minute=3)
        self.assertEqual(self.accepted(rates, 9, stranger(), "2001:db8::1"), 3)
        self.assertEqual(self.accepted(rates, 9, stranger(), "2001:db8::2"), 0)

    def test_a_name_cannot_take_the_place_of_an_address(self) -> None:
        rates = self.rates(per_minute=3, anonymous_per_minute=3)
        liar = Identity("x", reader().grants, principal="192.0.2.1")
        self.assertEqual(self.accepted(rates, 9, liar), 3)
        self.assertEqual(self.accepted(rates, 9, stranger(), "192.0.2.1"), 3)

    def test_names_of_all_characters_are_counted(self) -> None:
        rates = self.rates(per_minute=1)
        self.assertEqual(self.accepted(rates, 2, reader("\ud800 ünïcode")), 1)

    def test_workers_count_together(self) -> None:
        memory = shared_memory()
        self.addCleanup(os.close, memory)
        options = RateOptions(per_minute=10)
        workers = [Rates(SharedTable(memory), SECRET, options, self.clock) for _ in range(3)]
        self.assertEqual(sum(self.accepted(worker, 4) for worker in workers), 10)

    @given(
        st.integers(1, 1000),
        st.integers(0, 50),
        st.lists(st.floats(0, 10), max_size=60),
    )
    def test_never_more_than_the_burst_and_what_came_back(
        self, per_minute: int, burst: int, pauses: list[float]
    ) -> None:
        self.setUp()
        rates = self.rates(per_minute=per_minute, burst=burst)
        taken = 0
        for pause in pauses:
            self.clock.advance(pause)
            taken += self.accepted(rates, 3)
        passed = sum(pauses)
        self.assertLessEqual(taken, (burst or per_minute) + passed * per_minute / 60 + 1e-3)


class RatedTests(CoroutineTestCase):
    """Requests are counted where it is known who sends them."""

    def ask(self, identity: Identity | None) -> Identity | None:
        """Authenticate twice, where one request is allowed."""
        options = RateOptions(per_minute=1, anonymous_per_minute=1)
        rated = Rated(Says(identity), Rates(SharedTable(), SECRET, options, Clock()), "objects")
        verifyObject(IAuthenticator, rated)
        credentials = Credentials((), "192.0.2.1")
        self.run_now(rated.authenticate(credentials, repo_of()))
        return self.run_now(rated.authenticate(credentials, repo_of()))

    def test_the_second_request_is_refused(self) -> None:
        self.assertRaises(TooManyRequests, self.ask, reader())
        self.assertRaises(TooManyRequests, self.ask, stranger())

    def test_requests_of_actions_are_not_counted(self) -> None:
        self.assertIsNotNone(self.ask(uploader(7)))

    def test_who_is_nobody_is_not_counted(self) -> None:
        self.assertIsNone(self.ask(None))
