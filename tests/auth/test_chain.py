"""Authenticators in a row."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from giftless.auth.anonymous import AnonymousAuthenticator
from giftless.auth.chain import AuthChain, EachCredential
from giftless.errors import ServiceUnavailable, Unauthorized
from giftless.interfaces import Credentials, IAuthenticator, Identity
from giftless.lfs.objects import Repo
from tests.contracts.authenticators import AuthenticatorContract, basic
from tests.support.making import action_tokens, reader, repo_of, writer
from tests.support.run import CoroutineTestCase


@implementer(IAuthenticator)
class Fixed:
    """Always gives the same answer.

    :ivar asked: what it was asked.
    """

    def __init__(self, answer: Identity | Exception | None) -> None:
        self._answer = answer
        self.asked: list[tuple[Credentials, Repo]] = []

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        """See :meth:`giftless.interfaces.IAuthenticator.authenticate`."""
        self.asked.append((credentials, repo))
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


@implementer(IAuthenticator)
class Later:
    """Answers with a Deferred."""

    def __init__(self, answer: Deferred[Identity | None]) -> None:
        self._answer = answer

    def authenticate(self, credentials: Credentials, repo: Repo) -> Deferred[Identity | None]:
        """See :meth:`giftless.interfaces.IAuthenticator.authenticate`."""
        return self._answer


class ChainContractTests(AuthenticatorContract, CoroutineTestCase):
    def make_authenticator(self) -> AuthChain:
        return AuthChain([action_tokens(), AnonymousAuthenticator("read")])

    def accepted(self) -> list[Credentials]:
        return [Credentials(), Credentials((basic("somebody", "a password"),))]


class ChainTests(CoroutineTestCase):
    def ask(self, *authenticators: Any, credentials: Credentials | None = None) -> Identity:
        """Ask a chain."""
        chain = AuthChain(authenticators)
        return self.run_now(chain.authenticate(credentials or Credentials(("x",)), repo_of()))

    def test_the_first_to_know_a_credential_decides(self) -> None:
        rita, will = reader(), writer()
        last = Fixed(will)
        self.assertIs(self.ask(Fixed(None), Fixed(rita), last), rita)
        self.assertEqual(last.asked, [])

    def test_each_is_asked_with_everything_that_was_shown(self) -> None:
        credentials = Credentials(("one", "two"), "three")
        first, second = Fixed(None), Fixed(reader())
        self.ask(first, second, credentials=credentials)
        self.assertEqual(first.asked, [(credentials, repo_of())])
        self.assertEqual(second.asked, [(credentials, repo_of())])

    def test_a_refusal_is_final(self) -> None:
        """A bad credential must not be let in by somebody further down."""
        refusal = Unauthorized("the token has expired")
        last = Fixed(writer())
        error = self.assertRaises(Unauthorized, self.ask, Fixed(None), Fixed(refusal), last)
        self.assertIs(error, refusal)
        self.assertEqual(last.asked, [])

    def test_an_authenticator_that_cannot_tell_is_no_open_door(self) -> None:
        outage = ServiceUnavailable("the forge does not answer", 30)
        self.assertRaises(ServiceUnavailable, self.ask, Fixed(outage), Fixed(writer()))

    def test_a_credential_that_nobody_knows_is_401(self) -> None:
        for shown in (Credentials(("x",)), Credentials((), "x")):
            error = self.assertRaises(Unauthorized, self.ask, Fixed(None), credentials=shown)
            self.assertIn("not accepted", error.message)

    def test_no_credential_where_one_is_needed_is_401(self) -> None:
        error = self.assertRaises(Unauthorized, self.ask, Fixed(None), credentials=Credentials())
        self.assertIn("is needed", error.message)

    def test_a_chain_of_nobody_lets_nobody_in(self) -> None:
        self.assertRaises(Unauthorized, self.ask)

    def test_an_authenticator_may_take_its_time(self) -> None:
        answer: Deferred[Identity | None] = Deferred()
        rita = reader()
        chain = AuthChain([Later(succeed(None)), Later(answer)])
        asked = self.start(chain.authenticate(Credentials(), repo_of()))
        self.assertNoResult(asked)
        answer.callback(rita)
        self.assertIs(self.successResultOf(asked), rita)

    def test_chains_can_be_nested(self) -> None:
        rita = reader()
        self.assertIs(self.ask(AuthChain([Fixed(rita)]), Fixed(None)), rita)


class CredentialsTests(CoroutineTestCase):
    def test_it_is_known_whether_any_was_given(self) -> None:
        self.assertFalse(Credentials().given)
        self.assertTrue(Credentials(("x",)).given)
        self.assertTrue(Credentials((), "x").given)
        self.assertTrue(Credentials((), "").given)

    def test_they_are_never_shown(self) -> None:
        shown = repr(Credentials(("Bearer s3cr3t",), "t0k3n"))
        self.assertNotIn("s3cr3t", shown)
        self.assertNotIn("t0k3n", shown)


@implementer(IAuthenticator)
class ByHeader:
    """Answers by the one Authorization header, or the lack of one."""

    def __init__(self, answers: dict[str, Identity | Exception | None]) -> None:
        self._answers = answers

    async def authenticate(self, credentials: Credentials, repo: Repo) -> Identity | None:
        """See :meth:`giftless.interfaces.IAuthenticator.authenticate`."""
        (value,) = credentials.authorization or (credentials.token or "",)
        return await Fixed(self._answers[value]).authenticate(credentials, repo)


class EachCredentialTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.good = writer()
        self.nobody = Identity("anonymous", self.good.grants, anonymous=True)
        self.each = EachCredential(
            ByHeader(
                {
                    "": self.nobody,
                    "good": self.good,
                    "bad": Unauthorized("the first is bad"),
                    "worse": Unauthorized("the second is bad"),
                    "foreign": self.nobody,
                    "unknown": None,
                }
            )
        )

    def ask(self, *headers: str, token: str | None = None) -> Any:
        credentials = Credentials(headers, token, "192.0.2.1")
        return self.run_now(self.each.authenticate(credentials, repo_of("org/repo")))

    def test_one_good_credential_is_enough(self) -> None:
        """Whatever the others are, and in whatever order."""
        for headers in (("good",), ("bad", "good"), ("good", "bad"), ("foreign", "good")):
            self.assertIs(self.ask(*headers), self.good)

    def test_the_query_counts_too(self) -> None:
        self.assertIs(self.ask("bad", token="good"), self.good)

    def test_nobody_is_anonymous_with_a_bad_credential(self) -> None:
        """The first refusal is the one that is reported."""
        error = self.assertRaises(Unauthorized, self.ask, "foreign", "bad", "worse")
        self.assertEqual(error.message, "the first is bad")

    def test_without_a_credential(self) -> None:
        self.assertIs(self.ask(), self.nobody)

    def test_nobody_knows_it(self) -> None:
        self.assertIsNone(self.ask("unknown"))

    def test_the_address_stays_known(self) -> None:
        asked = Fixed(None)
        self.run_now(
            EachCredential(asked).authenticate(
                Credentials(("a", "b"), "c", "192.0.2.1"), repo_of("org/repo")
            )
        )
        self.assertEqual([c.address for c, _ in asked.asked], ["192.0.2.1"] * 3)
