"""Guessing credentials is slowed down, per address and in bounded memory."""

from __future__ import annotations

from typing import cast
from unittest.mock import patch

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from giftless.auth import throttle
from giftless.auth.grants import READ, RepoGrants
from giftless.auth.throttle import FailureTable, Throttled
from giftless.errors import TooManyRequests, Unauthorized
from giftless.interfaces import Bearer, Credential, Credentials, IAuthenticator, Identity
from giftless.lfs.objects import Repo

REPO = Repo.parse(["org", "repo"])
GOOD = Bearer("good")


@implementer(IAuthenticator)
class OnePassword:
    """Knows one credential, and counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        self.asked += 1
        if credentials.items == (GOOD,):
            return Identity("somebody", RepoGrants(READ))
        if credentials.given:
            raise Unauthorized("wrong")
        return Identity("anonymous", RepoGrants(READ), anonymous=True)


class ThrottledTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.inner = OnePassword()
        table = FailureTable(3, 60, cast(IReactorTime, self.clock))
        self.throttled = Throttled(self.inner, table)

    def ask(self, shown: Credential | None, address: str = "192.0.2.1") -> Identity | None:
        credentials = Credentials(() if shown is None else (shown,), address)
        return self.successResultOf(
            Deferred.fromCoroutine(self.throttled.authenticate(credentials, REPO))
        )

    def fail_times(self, count: int, address: str = "192.0.2.1") -> None:
        for _ in range(count):
            with self.assertRaises(Unauthorized):
                self.try_bad(address)

    def try_bad(self, address: str = "192.0.2.1") -> None:
        credentials = Credentials((Bearer("bad"),), address)
        deferred = Deferred.fromCoroutine(self.throttled.authenticate(credentials, REPO))
        raise self.failureResultOf(deferred).value

    def test_it_provides_the_interface(self) -> None:
        """It is an authenticator itself."""
        verifyObject(IAuthenticator, self.throttled)

    def test_failures_below_the_limit_are_answered(self) -> None:
        self.fail_times(3)
        self.assertEqual(self.inner.asked, 3)

    def test_too_many_failures_must_wait(self) -> None:
        """The credential is not looked at, and Retry-After says how long."""
        self.fail_times(2)
        self.clock.advance(10)
        self.fail_times(1)
        with self.assertRaises(TooManyRequests) as caught:
            self.try_bad()
        self.assertEqual(caught.exception.headers, {"Retry-After": "50"})
        self.assertEqual(self.inner.asked, 3)

    def test_the_window_ends(self) -> None:
        self.fail_times(3)
        self.clock.advance(60)
        self.fail_times(1)

    def test_other_addresses_are_not_concerned(self) -> None:
        self.fail_times(3)
        self.fail_times(1, "192.0.2.2")

    def test_requests_without_credentials_are_not_concerned(self) -> None:
        self.fail_times(3)
        identity = self.ask(None)
        assert identity is not None
        self.assertTrue(identity.anonymous)

    def test_a_good_credential_clears_the_count(self) -> None:
        self.fail_times(2)
        self.ask(GOOD)
        self.fail_times(3)

    def test_the_table_is_bounded(self) -> None:
        """The address that failed longest ago is forgotten first."""
        with patch.object(throttle, "TABLE_SIZE", 2):
            self.fail_times(3, "192.0.2.1")
            self.fail_times(1, "192.0.2.2")
            self.fail_times(1, "192.0.2.3")
            self.fail_times(1, "192.0.2.1")
