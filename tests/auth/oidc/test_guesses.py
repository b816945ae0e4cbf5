"""Guessing tokens: what counts as a guess, and what guessers and the issuer are spared."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock

from giftless.auth.access import AccessOptions
from giftless.auth.guard import Guard
from giftless.auth.throttle import Guesses
from giftless.base.shared_table import SharedTable
from giftless.errors import TooManyFailures, Unauthorized, UnfitCredential
from giftless.interfaces import Bearer, Credentials, Password
from tests.auth.oidc.support import in_memory, introspecting
from tests.support.making import SECRET, repo_of
from tests.support.openid import FakeOpenID
from tests.support.run import CoroutineTestCase


class GuessTests(CoroutineTestCase):
    def setUp(self) -> None:
        self.issuer = FakeOpenID()
        options = AccessOptions(max_failures=3, max_failures_per_address=5)
        guesses = Guesses(SharedTable(), SECRET, options, Clock())
        self.guard = Guard(in_memory(self.issuer, **introspecting()), guesses)

    def show(self, credential: Password | Bearer, address: str = "192.0.2.1") -> Any:
        shown = Credentials((credential,), address)
        return self.run_now(self.guard.authenticate(shown, repo_of("acme/rocket")))

    def test_the_issuer_is_not_asked_about_all_that_somebody_guesses(self) -> None:
        for number in range(3):
            self.assertRaises(Unauthorized, self.show, Bearer(f"guess-{number}"))
        for number in range(3, 50):
            self.assertRaises(TooManyFailures, self.show, Bearer(f"guess-{number}"))
        self.assertEqual(self.issuer.count("/introspect"), 3)

    def test_an_address_has_no_more_guesses_for_having_many_users(self) -> None:
        for number in range(5):
            guess = Password(f"user-{number}", f"guess-{number}")
            self.assertRaises(Unauthorized, self.show, guess)
        self.assertRaises(TooManyFailures, self.show, Password("another", "guess"))
        self.assertRaises(Unauthorized, self.show, Password("another", "guess"), "192.0.2.2")

    def test_the_same_wrong_token_is_one_guess(self) -> None:
        for _ in range(20):
            self.assertRaises(Unauthorized, self.show, Password("oauth2", "revoked"))
        self.assertEqual(self.issuer.count("/introspect"), 1)

    def test_a_genuine_token_that_has_expired_is_no_guess(self) -> None:
        for number in range(20):
            expired = Password("oauth2", self.issuer.token(exp=number))
            self.assertRaises(UnfitCredential, self.show, expired)
        self.assertEqual(self.show(Password("oauth2", self.issuer.token())).name, "tess")

    def test_forged_tokens_are_guesses(self) -> None:
        for number in range(3):
            forged = f"{self.issuer.token()[:-8]}{number:08}"
            self.assertRaises(Unauthorized, self.show, Bearer(forged))
        self.assertRaises(TooManyFailures, self.show, Bearer(self.issuer.token()))
