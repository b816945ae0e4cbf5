"""What holds for credentials of every kind."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from zope.interface import implementer
from zope.interface.verify import verifyObject

from giftless.auth.access import AccessOptions
from giftless.auth.anonymous import AnonymousAuthenticator
from giftless.auth.guard import MAX_CREDENTIALS, Guard
from giftless.auth.throttle import Guesses
from giftless.base.shared_table import SharedTable
from giftless.errors import BadRequest, TooManyFailures, Unauthorized
from giftless.interfaces import (
    Bearer,
    Credential,
    Credentials,
    IAuthenticator,
    Identity,
    Password,
    Unreadable,
    Vouched,
)
from giftless.lfs.objects import Repo
from tests.auth.test_chain import Fixed
from tests.support.making import repo_of, writer
from tests.support.run import CoroutineTestCase


@implementer(IAuthenticator)
class ByToken:
    """Answers by the one bearer token, or the lack of one."""

    def __init__(self, answers: dict[str, Identity | Exception | None]) -> None:
        self._answers = answers

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        """See :meth:`giftless.interfaces.IAuthenticator.authenticate`."""
        (token,) = [item.token for item in credentials.bearers] or [""]
        return await Fixed(self._answers[token]).authenticate(credentials, repo)


class GuardTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.good = writer()
        self.anonymous = Identity("anonymous", self.good.grants, anonymous=True)
        self.each = Guard(
            ByToken(
                {
                    "": self.anonymous,
                    "good": self.good,
                    "bad": Unauthorized("the first is bad"),
                    "worse": Unauthorized("the second is bad"),
                    "foreign": self.anonymous,
                    "unknown": None,
                }
            ),
            None,
        )

    def ask(self, *items: Credential | str) -> Any:
        """Ask about credentials; a text is a bearer token."""
        each = tuple(Bearer(item) if isinstance(item, str) else item for item in items)
        return self.run_now(
            self.each.authenticate(Credentials(each, "192.0.2.1"), repo_of("org/repo"))
        )

    def test_it_provides_the_interface(self) -> None:
        verifyObject(IAuthenticator, self.each)

    def test_one_good_credential_is_enough(self) -> None:
        """Whatever the others are, and in whatever order."""
        for other in ("good", "bad", "foreign", "unknown"):
            self.assertIs(self.ask("good", other), self.good)
            self.assertIs(self.ask(other, "good"), self.good)

    def test_the_query_counts_too(self) -> None:
        self.assertIs(self.ask("bad", Bearer("good", in_url=True)), self.good)

    def test_nobody_is_anonymous_with_a_bad_credential(self) -> None:
        """The first refusal is the one that is reported."""
        error = self.assertRaises(Unauthorized, self.ask, "foreign", "bad", "worse")
        self.assertEqual(error.message, "the first is bad")

    def test_nobody_is_anonymous_with_a_header_that_cannot_be_read(self) -> None:
        for items in (
            (Unreadable(),),
            (Unreadable("digest"), "foreign"),
            ("unknown", Unreadable()),
        ):
            error = self.assertRaises(Unauthorized, self.ask, *items)
            self.assertIn("Authorization header", error.message)

    def test_a_header_that_cannot_be_read_is_no_obstacle_to_a_good_credential(self) -> None:
        self.assertIs(self.ask(Unreadable("negotiate"), "good"), self.good)
        self.assertIs(self.ask("good", Unreadable("negotiate")), self.good)

    def test_a_client_without_a_credential_is_anonymous(self) -> None:
        self.assertIs(self.ask(), self.anonymous)

    def test_nobody_is_anonymous_with_a_credential_that_nobody_takes(self) -> None:
        for tokens in (("foreign",), ("unknown",), ("unknown", "foreign")):
            error = self.assertRaises(Unauthorized, self.ask, *tokens)
            self.assertIn("not accepted here", error.message)

    def test_credentials_are_passed_over_where_none_can_be_good(self) -> None:
        """Or git would ask for a password that cannot exist."""
        guard = Guard(AnonymousAuthenticator("read"), None, names_people=lambda _: False)
        for item in (Bearer("x"), Password("a", "b"), Unreadable("negotiate")):
            for count in (1, MAX_CREDENTIALS + 1):
                credentials = Credentials((item,) * count, "192.0.2.1")
                identity = self.run_now(guard.authenticate(credentials, repo_of()))
                assert identity is not None
                self.assertTrue(identity.anonymous)

    def test_a_request_may_carry_few_credentials(self) -> None:
        asked = Fixed(self.good)
        guard = Guard(asked, None)
        for count, allowed in ((MAX_CREDENTIALS, True), (MAX_CREDENTIALS + 1, False), (200, False)):
            items = tuple(Bearer(str(number)) for number in range(count))
            asked.asked.clear()
            authenticating = guard.authenticate(Credentials(items), repo_of())
            if allowed:
                self.assertIs(self.run_now(authenticating), self.good)
                continue
            error = self.assert_fails(BadRequest, authenticating)
            self.assertIn(f"at most {MAX_CREDENTIALS} credentials", error.message)
            self.assertEqual(asked.asked, [], "one was looked at")

    def test_the_address_stays_known(self) -> None:
        asked = Fixed(Unauthorized("no"))
        items = (Bearer("a"), Password("b", "c"), Bearer("d", in_url=True))
        authenticating = Guard(asked, None).authenticate(Credentials(items, "192.0.2.1"), repo_of())
        self.assert_fails(Unauthorized, authenticating)
        self.assertEqual([c.items for c, _ in asked.asked], [(item,) for item in items])
        self.assertEqual([c.address for c, _ in asked.asked], ["192.0.2.1"] * 3)


class VouchedTests(CoroutineTestCase):
    """Who is vouched for has guessed nothing."""

    def setUp(self) -> None:
        self.table = SharedTable()
        options = AccessOptions(max_failures=2)
        self.guesses = Guesses(self.table, b"s" * 32, options, Clock())

    def ask(self, answer: Identity | Exception | None, *items: Credential) -> Any:
        """Ask a guard that counts, over an authenticator with one answer."""
        guard = Guard(Fixed(answer), self.guesses)
        return self.run_now(guard.authenticate(Credentials(items, "192.0.2.1"), repo_of()))

    def test_refusals_of_a_vouched_user_are_no_guesses(self) -> None:
        for answer in (None, Unauthorized("no")):
            for number in range(10):
                vouched = Vouched(f"user{number}", "basic")
                self.assertRaises(Unauthorized, self.ask, answer, vouched)
        self.assertRaises(Unauthorized, self.ask, Unauthorized("no"), Password("alice", "x"))

    def test_a_vouched_user_is_not_refused_for_the_guesses_of_others(self) -> None:
        for number in range(2):
            wrong = Password("alice", str(number))
            self.assertRaises(Unauthorized, self.ask, Unauthorized("no"), wrong)
        self.assertRaises(TooManyFailures, self.ask, writer(), Password("alice", "right"))
        good = writer()
        self.assertIs(self.ask(good, Vouched("alice", "basic")), good)

    def test_a_vouched_user_is_never_anonymous(self) -> None:
        anonymous = Identity("anonymous", writer().grants, anonymous=True)
        self.assertRaises(Unauthorized, self.ask, anonymous, Vouched("alice", "elsewhere"))
