"""Who signs, where no server is needed to tell."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock

from giftless.base.http_client import Answer
from giftless.errors import ConfigError
from giftless.storage.gcs import answers
from giftless.storage.gcs.accounts import Account, found
from giftless.storage.gcs.authority import AccountAuthority, _refusal
from giftless.storage.gcs.signing import Draft
from giftless.storage.remote.client import StoreClient, StoreError
from tests.support.blocking import InlineBlocking, ManualBlocking
from tests.support.making import environment
from tests.support.run import CoroutineTestCase

DRAFT = Draft("GET", "https://storage.googleapis.com/lfs/o")


class AccountTests(CoroutineTestCase):
    """An account, with and without a key and an address."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.signing = ManualBlocking()

    def authority(self, account: Account, email: str | None = None) -> Any:
        accounts = found(lambda: (account, None), InlineBlocking(), self.clock, self.clock.seconds)
        client = StoreClient(environment().http, self.clock, 20, 64)
        return AccountAuthority(
            accounts,
            email,
            "https://127.0.0.1:9",
            client,
            self.signing,
            self.clock,
            self.clock.seconds,
        )

    def test_a_user_cannot_sign(self) -> None:
        """Nor does giftless guess whom to sign as."""
        authority = self.authority(Account("token"))
        self.assertIn(
            "nobody can sign", str(self.assert_fails(StoreError, self.presign(authority)))
        )
        error = self.assert_fails(ConfigError, authority.check(True))
        self.assertEqual(error.path, "service_account_email")
        # Where nothing is signed, that is no problem.
        self.run_now(authority.check(False))

    def presign(self, authority: Any) -> Any:
        return authority.presign(DRAFT, 60)

    def test_the_key_at_hand_signs_for_its_own_account_only(self) -> None:
        account = Account("token", "a@example.com", lambda text: b"\x01\x02")
        for email in (None, "a@example.com"):
            signed = self.start(self.presign(self.authority(account, email)))
            self.clock.advance(0)
            self.signing.do_next()
            href, expires = self.successResultOf(signed)
            self.assertTrue(href.endswith("&X-Goog-Signature=0102"))
            self.assertEqual(expires, 60)
        self.start(self.presign(self.authority(account, "b@example.com"))).addErrback(lambda _: 0)
        self.clock.advance(0)
        self.assertEqual(self.signing.waiting, 0)

    def test_who_does_not_wait_any_more_disturbs_nobody(self) -> None:
        account = Account("token", "a@example.com", lambda text: text[:4])
        for fails in (False, True):
            authority = self.authority(account)
            first, second = (self.start(self.presign(authority)) for _ in range(2))
            self.clock.advance(0)
            self.assertEqual(self.signing.waiting, 1)
            first.addErrback(lambda _: None)
            first.cancel()
            if fails:
                self.signing.fail_next(OSError("no thread"))
                self.failureResultOf(second, OSError)
            else:
                self.signing.do_next()
                self.assertIn(b"GOOG".hex(), self.successResultOf(second)[0])

    def test_tokens_and_urls_are_not_shown(self) -> None:
        draft = Draft("GET", "https://x/o", {"token": "secret"}, {"a": "secret"})
        self.assertEqual(repr(draft), "<Draft GET https://x/o>")


class AnswerTests(CoroutineTestCase):
    """Errors of the store, in words."""

    def test_all_that_it_says_is_told(self) -> None:
        body = (
            b"<Error><Code>AccessDenied</Code><Message>Access denied.</Message>"
            b"<Details>a@example.com may not do\nthis &amp; that</Details></Error>"
        )
        self.assertEqual(
            answers.describe(Answer(403, {}, body, True)).problem,
            "Cloud Storage answers with status 403 AccessDenied: Access denied."
            " a@example.com may not do this & that",
        )

    def test_a_refusal_to_sign_is_told_whatever_is_in_it(self) -> None:
        for body in (b"", b"<html>", b'{"x": ' + b"[" * 100_000):
            problem = _refusal("a@example.com", 403, body)
            self.assertTrue(
                problem.startswith("signBlob for a@example.com answers with status 403")
            )

    def test_a_refusal_without_words_is_explained(self) -> None:
        problem = answers.describe(Answer(403, {}, b"", True)).problem
        self.assertIn("storage.objects.list", problem)
