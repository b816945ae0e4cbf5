"""Several authenticators, and several credentials."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from giftless.auth.anonymous import AnonymousAuthenticator
from giftless.auth.chain import AuthChain, first_good
from giftless.errors import ServiceUnavailable, Unauthorized
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
from tests.contracts.authenticators import AuthenticatorContract
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
        return [Credentials(), Credentials((Password("somebody", "a password"),))]


class ChainTests(CoroutineTestCase):
    def ask(self, *authenticators: Any, credentials: Credentials | None = None) -> Identity:
        """Ask a chain."""
        chain = AuthChain(authenticators)
        return self.run_now(
            chain.authenticate(credentials or Credentials((Bearer("x"),)), repo_of())
        )

    def test_the_first_to_know_a_credential_decides(self) -> None:
        rita, will = reader(), writer()
        last = Fixed(will)
        self.assertIs(self.ask(Fixed(None), Fixed(rita), last), rita)
        self.assertEqual(last.asked, [])

    def test_each_is_asked_with_everything_that_was_shown(self) -> None:
        credentials = Credentials((Bearer("one"), Password("two", "three")))
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
        for shown in (Credentials((Bearer("x"),)), Credentials((Bearer("x", in_url=True),))):
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
    EACH: tuple[Credential, ...] = (
        Password("alice", "s3cr3t"),
        Bearer("t0k3n"),
        Bearer("t0k3n", in_url=True),
        Vouched("carol", "basic"),
        Unreadable("negotiate"),
    )

    def test_each_kind_of_credential_counts_as_given(self) -> None:
        self.assertFalse(Credentials().given)
        for item in (*self.EACH, Bearer("", in_url=True), Unreadable()):
            self.assertTrue(Credentials((item,)).given)

    def test_credentials_can_be_asked_for_by_kind(self) -> None:
        password, bearer, in_url, vouched, _ = self.EACH
        credentials = Credentials(self.EACH)
        self.assertEqual(credentials.passwords, (password,))
        self.assertEqual(credentials.bearers, (bearer, in_url))
        self.assertEqual(credentials.vouched, (vouched,))

    def test_no_representation_shows_a_secret(self) -> None:
        """Nor the user, which may be a token."""
        words = ("alice", "s3cr3t", "t0k3n", "bl0b", "negotiate")
        for shown in (*self.EACH, Credentials(self.EACH, "192.0.2.1")):
            for text in (repr(shown), str(shown), f"{shown}"):
                self.assertEqual([word for word in words if word in text], [])

    def test_credentials_cannot_be_changed(self) -> None:
        for value in (*self.EACH, Credentials()):
            for name in value.__struct_fields__:
                self.assertRaises(AttributeError, setattr, value, name, "x")


class FirstGoodTests(CoroutineTestCase):
    """Trying several credentials, of which each has a fixed outcome."""

    def ask(self, *outcomes: Identity | Unauthorized | None) -> Identity | None:
        async def identify(outcome: Identity | Unauthorized | None) -> Identity | None:
            if isinstance(outcome, Unauthorized):
                raise outcome
            return outcome

        return self.run_now(first_good(outcomes, identify))

    def test_the_first_good_credential_counts(self) -> None:
        rita, will, bad = reader(), writer(), Unauthorized("bad")
        self.assertIs(self.ask(None, bad, rita, will), rita)

    def test_the_first_refusal_is_reported_if_none_is_good(self) -> None:
        first, second = Unauthorized("first"), Unauthorized("second")
        self.assertIs(self.assertRaises(Unauthorized, self.ask, None, first, second), first)

    def test_there_is_no_identity_where_no_credential_is_known(self) -> None:
        self.assertIsNone(self.ask(None, None))
        self.assertIsNone(self.ask())
