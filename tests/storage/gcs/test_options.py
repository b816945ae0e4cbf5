"""What the options of ``type: gcs`` mean, without asking anybody."""

from __future__ import annotations

import os
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from giftless.base import schema
from giftless.errors import ConfigError
from giftless.storage.gcs.factory import GCSFactory, GCSOptions
from tests.support.making import environment, key_of
from tests.support.run import CoroutineTestCase

KEY = {"hmac_access_key": "GOOG1E", "hmac_secret": "very secret"}


def build(**section: object) -> Any:
    """Build a store from these options."""
    options = schema.convert({"bucket": "lfs", **section}, GCSOptions, "")
    return GCSFactory().build(options, environment())


class UrlTests(CoroutineTestCase):
    """Where requests go."""

    def href(self, **section: object) -> str:
        """Sign a download with an HMAC key."""
        store = build(**KEY, **section)
        signed: str = self.run_now(store.download_action(key_of(b""), 0, 60, {})).href
        return signed.partition("?")[0].removesuffix(f"/org/repo/{key_of(b'').oid}")

    def test_google_by_default(self) -> None:
        self.patch(os, "environ", {})
        self.assertEqual(self.href(), "https://storage.googleapis.com/lfs")
        self.assertEqual(self.href(prefix="/a b/"), "https://storage.googleapis.com/lfs/a%20b")
        self.assertEqual(self.href(bucket="a.b_c"), "https://storage.googleapis.com/a.b_c")

    def test_an_endpoint_url_replaces_that_of_google(self) -> None:
        for url, expected in (
            ("https://Storage.Example:443/", "https://storage.example/lfs"),
            ("http://h:80/x", "http://h/x/lfs"),
            ("http://h:4443", "http://h:4443/lfs"),
        ):
            self.assertEqual(self.href(endpoint_url=url), expected)
        href = self.href(endpoint_url="http://inside", public_endpoint_url="https://outside")
        self.assertEqual(href, "https://outside/lfs")

    def test_an_emulator_in_the_environment(self) -> None:
        """As Google's own clients have it; the option wins."""
        for value in ("http://127.0.0.1:4443", "127.0.0.1:4443"):
            self.patch(os, "environ", {"STORAGE_EMULATOR_HOST": value})
            self.assertEqual(self.href(), "http://127.0.0.1:4443/lfs")
            self.assertEqual(self.href(endpoint_url="http://h"), "http://h/lfs")

    def test_a_lifetime_has_an_end(self) -> None:
        """Seven days at most."""
        action = self.run_now(build(**KEY).download_action(key_of(b""), 0, 10**6, {}))
        self.assertEqual(action.expires_in, 604_800)
        self.assertIn("X-Goog-Expires=604800&", action.href)


class RefusalTests(SynchronousTestCase):
    """What cannot work is said at the start."""

    def assert_refused(self, path: str, words: str, **section: object) -> None:
        error = self.assertRaises(ConfigError, build, **section)
        self.assertEqual(error.path, path)
        self.assertIn(words, error.problem)
        self.assertNotIn("very secret", str(error))

    def test_half_a_key(self) -> None:
        self.assert_refused("hmac_secret", "missing", hmac_access_key="GOOG1E")
        self.assert_refused("hmac_access_key", "missing", hmac_secret="very secret")

    def test_two_kinds_of_credentials_are_refused(self) -> None:
        self.assert_refused("credentials_file", "beside", **KEY, credentials_file="key.json")
        self.assert_refused("service_account_email", "beside", **KEY, service_account_email="a@b")

    def test_urls_and_names(self) -> None:
        for name in ("endpoint_url", "public_endpoint_url", "iam_endpoint_url"):
            self.assert_refused(name, "allowed is http", **{name: "ftp://x"})
        self.assert_refused("bucket", "1", bucket="")
        self.assert_refused("prefix", "plain relative path", prefix="a/../b", **KEY)
        for email in ("", "a", "a@b/c", "a b@c", "@b"):
            self.assert_refused(
                "service_account_email", "allowed is name@domain", service_account_email=email
            )

    def test_secrets_are_not_shown(self) -> None:
        options = schema.convert({"bucket": "lfs", **KEY}, GCSOptions, "")
        self.assertNotIn("very secret", repr(options))
