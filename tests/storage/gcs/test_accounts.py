"""Who the daemon is: google-auth's chain, and how fresh a token is kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock

from giftless.storage.gcs.accounts import EARLY, LATE, Account, found, google_chain
from giftless.storage.remote.client import StoreError
from giftless.storage.remote.credentials import LOOK_AGAIN
from tests.storage.gcs.support import GCSTestCase
from tests.support.blocking import InlineBlocking
from tests.support.gcs import Google
from tests.support.processes import PATIENCE, installed
from tests.support.run import CoroutineTestCase

#: Prints who the chain finds.
FIND = """
import json
from giftless.storage.gcs.accounts import google_chain
from giftless.storage.remote.client import StoreError
try:
    account, expiry = google_chain(None)()
    print(json.dumps([account.token, account.email, account.sign is not None, expiry]))
except StoreError as error:
    print(json.dumps(error.problem))
"""


class FreshnessTests(CoroutineTestCase):
    """A token is renewed before it expires."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.lifetime: float | None = 3600.0
        self.asked = 0
        self.accounts = found(self.find, InlineBlocking(), self.clock, self.clock.seconds)

    def find(self) -> tuple[Account, float | None]:
        self.asked += 1
        expiry = None if self.lifetime is None else self.clock.seconds() + self.lifetime
        return Account(f"token {self.asked}"), expiry

    def token(self) -> str:
        """Return the token that is used now."""
        return self.run_now(self.accounts.get()).value.token

    def test_long_before_the_end(self) -> None:
        self.assertEqual(self.token(), "token 1")
        self.clock.advance(3600 - EARLY - 1)
        self.assertEqual((self.token(), self.asked), ("token 1", 1))
        self.clock.advance(2)
        # The old one is good enough while a new one is fetched.
        self.assertEqual((self.token(), self.asked), ("token 1", 2))
        self.assertEqual((self.token(), self.asked), ("token 2", 2))

    def test_an_old_one_is_not_used(self) -> None:
        self.token()
        self.clock.advance(3600 - LATE + 1)
        self.assertEqual(self.token(), "token 2")

    def test_a_short_life_is_halved(self) -> None:
        self.lifetime = 60.0
        self.token()
        self.clock.advance(29)
        self.assertEqual((self.token(), self.asked), ("token 1", 1))
        self.clock.advance(2)
        self.token()
        self.assertEqual(self.asked, 2)

    def test_one_without_end_is_looked_up_again(self) -> None:
        self.lifetime = None
        self.token()
        self.clock.advance(LOOK_AGAIN + 1)
        self.assertEqual(self.token(), "token 1")
        self.assertEqual(self.token(), "token 2")

    def test_secrets_are_not_shown(self) -> None:
        self.assertNotIn("token", repr(Account("token", "a@b")))


class ChainTests(GCSTestCase):
    """Whom google-auth finds."""

    def look(self, **environ: str) -> Any:
        """Look in an environment, in a process of its own: the metadata server is remembered."""
        home = Path(self.mktemp())
        home.mkdir()
        python = installed()
        done = subprocess.run(
            [sys.executable, "-c", FIND],
            env={**python.environ, "HOME": str(home), **environ},
            cwd=home,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
        )
        return json.loads(done.stdout)

    def test_a_key_file(self) -> None:
        account, expiry = google_chain(str(self.google.key_file()))()
        self.assertIn(account.token, self.google.tokens)
        self.assertEqual(account.email, Google.EMAIL)
        self.assertIsNotNone(account.sign)
        self.assertIsNotNone(expiry)

    def test_a_key_file_in_the_environment(self) -> None:
        file = str(self.google.key_file())
        token, email, signs, _ = self.look(GOOGLE_APPLICATION_CREDENTIALS=os.path.abspath(file))
        self.assertIn(token, self.google.tokens)
        self.assertEqual((email, signs), (Google.EMAIL, True))

    def test_the_metadata_server(self) -> None:
        token, email, signs, expiry = self.look(**self.google.metadata)
        self.assertIn(token, self.google.tokens)
        self.assertEqual((email, signs), (Google.MANAGED, False))
        self.assertIsNotNone(expiry)

    def test_an_absent_account_is_one_line(self) -> None:
        problem = self.look(NO_GCE_CHECK="true")
        self.assertIn("credentials were not found", problem)
        self.assertNotIn("\n", problem)

    def test_a_key_that_is_refused(self) -> None:
        find = google_chain(str(self.google.key_file("stranger")))
        error = self.assertRaises(StoreError, find)
        self.assertEqual(
            error.problem,
            "Google credentials cannot be had: invalid_grant: Invalid JWT Signature.",
        )
