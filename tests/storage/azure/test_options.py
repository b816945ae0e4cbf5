"""Options of ``storage: {type: azure}``: which account, which key, which errors."""

from __future__ import annotations

import base64
import os
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from giftless.base import schema
from giftless.errors import ConfigError
from giftless.lfs.objects import Action
from giftless.storage.azure.account import DEVELOPMENT
from giftless.storage.azure.factory import AzureFactory, AzureOptions
from giftless.storage.remote.modes import DirectStore, ProxyStore
from tests.support.azurite import Azurite
from tests.support.making import environment, key_of
from tests.support.run import CoroutineTestCase

KEY = base64.b64encode(b"key").decode()
STRING = f"DefaultEndpointsProtocol=https;AccountName=acmelfs;AccountKey={KEY}"


class OptionsTestCase(CoroutineTestCase):
    """Tests without Azure's variables in the environment."""

    def setUp(self) -> None:
        self.environ: dict[str, str] = {}
        self.patch(os, "environ", self.environ)

    def build(self, **options: Any) -> Any:
        """Build a store."""
        section = {"container": "lfs", **options}
        return AzureFactory().build(schema.convert(section, AzureOptions, "storage"), environment())

    def href(self, **options: Any) -> str:
        """Return the URL of an upload, without its query."""
        action: Action = self.run_now(self.build(**options).upload_action(key_of(b"x"), 1, 60, {}))
        return action.href.partition("/org/")[0]

    def assert_refused(self, path: str, words: str, **options: Any) -> None:
        """Check that a store is not built, and what is said."""
        error = self.assertRaises(ConfigError, self.build, **options)
        self.assertEqual(error.path, path)
        self.assertIn(words, error.problem)
        self.assertNotIn(KEY, str(error))


class AccountTests(OptionsTestCase):
    """Where account and key come from."""

    def test_account_and_key(self) -> None:
        href = self.href(account="acmelfs", account_key=KEY)
        self.assertEqual(href, "https://acmelfs.blob.core.windows.net/lfs")

    def test_a_connection_string_names_the_account(self) -> None:
        for string, expected in (
            (STRING, "https://acmelfs.blob.core.windows.net/lfs"),
            (f" {STRING.replace(';', ' ; ')};", "https://acmelfs.blob.core.windows.net/lfs"),
            (
                f"{STRING};EndpointSuffix=core.chinacloudapi.cn",
                "https://acmelfs.blob.core.chinacloudapi.cn/lfs",
            ),
            (
                f"{STRING};BlobEndpoint=https://files.acme.example/",
                "https://files.acme.example/lfs",
            ),
            ("UseDevelopmentStorage=true", f"http://127.0.0.1:10000/{DEVELOPMENT[0]}/lfs"),
            (Azurite(7).connection_string, f"{Azurite(7).url}/lfs"),
        ):
            self.assertEqual(self.href(connection_string=string), expected)

    def test_the_endpoint_can_be_given(self) -> None:
        url = "https://files.acme.example/"
        href = self.href(account="acmelfs", account_key=KEY, endpoint_url=url)
        self.assertEqual(href, "https://files.acme.example/lfs")
        self.assertEqual(
            self.href(connection_string=STRING, endpoint_url=url),
            "https://files.acme.example/lfs",
        )

    def test_connection_string_of_the_environment(self) -> None:
        self.environ["AZURE_STORAGE_CONNECTION_STRING"] = STRING
        expected = "https://acmelfs.blob.core.windows.net/lfs"
        self.assertEqual(self.href(), expected)
        self.assertEqual(self.href(account="acmelfs"), expected)

    def test_account_and_key_of_the_environment(self) -> None:
        self.environ.update(AZURE_STORAGE_ACCOUNT="acmelfs", AZURE_STORAGE_KEY=KEY)
        self.assertEqual(self.href(), "https://acmelfs.blob.core.windows.net/lfs")

    def test_the_configuration_wins(self) -> None:
        self.environ["AZURE_STORAGE_CONNECTION_STRING"] = STRING
        href = self.href(account="other", account_key=KEY)
        self.assertEqual(href, "https://other.blob.core.windows.net/lfs")

    def test_the_mode_decides_what_is_built(self) -> None:
        self.assertIsInstance(self.build(connection_string=STRING), DirectStore)
        self.assertIsInstance(self.build(connection_string=STRING, mode="proxy"), ProxyStore)


class MistakeTests(OptionsTestCase):
    """What cannot work is refused, without quoting keys."""

    def test_nothing_that_names_an_account(self) -> None:
        self.assert_refused("account", "AZURE_STORAGE_CONNECTION_STRING")

    def test_key_without_account(self) -> None:
        self.assert_refused("account", "is missing", account_key=KEY)

    def test_two_sources_of_one_option_are_refused(self) -> None:
        self.assert_refused("account", "beside", account="acme", connection_string=STRING)
        self.assert_refused("account_key", "beside", account_key=KEY, connection_string=STRING)

    def test_keys_that_are_none(self) -> None:
        for key in ("", "not base64!", "\u00e9"):
            self.assert_refused("account_key", "base64", account="acmelfs", account_key=key)
        bad = STRING.replace(KEY, "!")
        self.assert_refused("connection_string", "base64", connection_string=bad)
        self.environ["AZURE_STORAGE_CONNECTION_STRING"] = bad
        self.assert_refused("connection_string", "in the environment")

    def test_connection_strings_that_cannot_sign(self) -> None:
        for string in (
            "",
            "x",
            "AccountName=acmelfs",
            "BlobEndpoint=https://acmelfs.blob.core.windows.net;SharedAccessSignature=sv=1&sig=2",
        ):
            self.assert_refused(
                "connection_string", "AccountName and AccountKey", connection_string=string
            )

    def test_names_that_are_none(self) -> None:
        for name in ("", "ab", "LFS", "a--b", "-ab", "ab-", "a/b", "x" * 64, "$root"):
            self.assert_refused("container", "lower-case", container=name, connection_string=STRING)
        for name in ("ab", "Acme", "acme-lfs", "x" * 25):
            self.assert_refused("account", "lower-case", account=name, account_key=KEY)

    def test_urls_that_are_none(self) -> None:
        for option in ("endpoint_url", "public_endpoint_url"):
            self.assert_refused(
                option, "allowed is http(s)", connection_string=STRING, **{option: "acme"}
            )

    def test_a_prefix_that_leads_outside_is_refused(self) -> None:
        self.assert_refused("prefix", "plain", prefix="../x", connection_string=STRING)


class SecretTests(SynchronousTestCase):
    """Values that are of the wrong type are not shown if they may be secret."""

    def test_wrong_types_are_not_shown(self) -> None:
        for name in ("account_key", "connection_string"):
            section = {"container": "lfs", name: ["s3cret"]}
            error = self.assertRaises(ConfigError, schema.convert, section, AzureOptions, "storage")
            self.assertNotIn("s3cret", str(error))
